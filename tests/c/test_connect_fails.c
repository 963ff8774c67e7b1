/*
 * "Fail everything once", on the side that connects: each system call of a connect–echo–close run fails
 * in turn, for the blocking client and for a connection that a server begins. Each run ends once, with
 * a code, and leaves nothing behind.
 *
 * The calls are interposed by this program and fail only on threads that are marked for it, so the
 * server that is connected to, which is tlsloop's too, is never hit.
 */
#define _GNU_SOURCE
#include "keys.h"
#include "measure.h"
#include "stage.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum call { SOCKET, CONNECT, POLL, EPOLL_CTL, RECV, SEND, GETSOCKOPT, SETSOCKOPT, GETPEERNAME, SHUTDOWN, CALLS };

static const char *const names[CALLS] = { "socket", "connect", "poll", "epoll_ctl", "recv", "send",
                                          "getsockopt", "setsockopt", "getpeername", "shutdown" };

static _Thread_local bool marked;
static atomic_int victim = -1; /* which call */
static atomic_int countdown;   /* its how manieth use from now; 0: none */
static atomic_int failure;

static bool fails(enum call call)
{
    if (!marked || victim != (int)call || countdown == 0) return false;
    if (--countdown > 0) return false;
    errno = failure;
    return true;
}

int socket(int domain, int type, int protocol)
{
    if (fails(SOCKET)) return -1;
    return (int)syscall(SYS_socket, domain, type, protocol);
}

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
    if (fails(CONNECT)) return -1;
    return (int)syscall(SYS_connect, fd, address, len);
}

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
    if (fails(POLL)) return -1;
    struct timespec limit = { timeout / 1000, timeout % 1000 * 1000000L };
    return (int)syscall(SYS_ppoll, fds, n, timeout < 0 ? NULL : &limit, NULL, 0);
}

int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    if (fails(EPOLL_CTL)) return -1;
    return (int)syscall(SYS_epoll_ctl, epoll, op, fd, event);
}

ssize_t recv(int fd, void *buf, size_t len, int flags)
{
    if (fails(RECV)) return -1;
    return syscall(SYS_recvfrom, fd, buf, len, flags, NULL, NULL);
}

ssize_t send(int fd, const void *buf, size_t len, int flags)
{
    if (fails(SEND)) return -1;
    return syscall(SYS_sendto, fd, buf, len, flags, NULL, 0);
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict len)
{
    if (fails(GETSOCKOPT)) return -1;
    return (int)syscall(SYS_getsockopt, fd, level, name, value, len);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    if (fails(SETSOCKOPT)) return -1;
    return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}

int getpeername(int fd, struct sockaddr *restrict address, socklen_t *restrict len)
{
    if (fails(GETPEERNAME)) return -1;
    return (int)syscall(SYS_getpeername, fd, address, len);
}

int shutdown(int fd, int how)
{
    if (fails(SHUTDOWN)) return -1;
    return (int)syscall(SYS_shutdown, fd, how);
}

static const char text[] = "hello";

static tlsloop_client_config config_for(const struct fixture *far, const struct identity *who)
{
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    config.host = "127.0.0.1";
    config.port = (uint16_t)far->port;
    config.tls = tlsloop_tls_new();
    CHECK_OK(tlsloop_tls_set_trust_file(config.tls, who->chain));
    return config;
}

static struct fixture *start_far(const struct identity *who)
{
    tlsloop_tls *tls = tlsloop_tls_new();
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, who->chain, who->key));
    struct fixture *far = stage_start((struct options){ .config.tls = tls }, NULL);
    tlsloop_tls_free(tls);
    far->loose_descriptors = far->loose_threads = true;
    return far;
}

/* What the client answers in the end: TLSLOOP_OK, or the first code. */
static long client_run(const tlsloop_client_config *config)
{
    char back[sizeof text];
    tlsloop_client *client = NULL;
    long answer = tlsloop_client_connect(config, &client);
    if (answer != TLSLOOP_OK) {
        CHECK(client == NULL);
        return answer;
    }
    answer = tlsloop_client_send(client, text, sizeof text);
    for (long n = 0; answer >= 0 && n < (long)sizeof text; n += answer)
        answer = tlsloop_client_recv(client, back + n, sizeof back - (size_t)n);
    if (answer > 0) {
        CHECK(memcmp(back, text, sizeof text) == 0);
        answer = tlsloop_client_end(client);
    }
    if (answer == 0) answer = tlsloop_client_recv(client, back, sizeof back);
    CHECK(answer <= 0);
    CHECK_OK(tlsloop_client_close(client));
    return answer;
}

static void arm(enum call call, int n, int error)
{
    failure = error;
    victim = (int)call;
    countdown = n;
}

static void each_use_fails_for_the_client(struct fixture *far, const tlsloop_client_config *config,
                                          enum call call, int error)
{
    unsigned connected = far->connects + far->handshakes_failed;
    for (int n = 1; n < 60; n++) {
        unsigned descriptors = measure_descriptors();
        arm(call, n, error);
        marked = true;
        long answer = client_run(config);
        marked = false;
        bool reached = countdown == 0;
        countdown = 0;
        if (!reached && answer != TLSLOOP_OK)
            check_failed(__FILE__, __LINE__, "%s: nothing failed, but the answer is %ld: %s", names[call],
                         answer, tlsloop_last_error());
        if (answer < 0 && error != EINTR) CHECK(strlen(tlsloop_last_error()) > 0);
        if (error == EINTR) CHECK_EQ(answer, TLSLOOP_OK);
        EVENTUALLY_EQ(fixture_stats(far).open + fixture_stats(far).handshaking, 0);
        EVENTUALLY_EQ(measure_descriptors(), descriptors);
        if (!reached) {
            CHECK(n > 1 || call == GETPEERNAME || call == EPOLL_CTL);
            break;
        }
    }
    CHECK(far->connects + far->handshakes_failed > connected);
}

static void the_client(void)
{
    struct identity mine = keys_local();
    struct fixture *far = start_far(&mine);
    tlsloop_client_config config = config_for(far, &mine);
    CHECK_EQ(client_run(&config), TLSLOOP_OK); /* pays for what is made once */
    EVENTUALLY_EQ(fixture_stats(far).open, 0);
    for (enum call call = SOCKET; call < CALLS; call++)
        each_use_fails_for_the_client(far, &config, call, ENOMEM);
    each_use_fails_for_the_client(far, &config, RECV, ECONNRESET);
    each_use_fails_for_the_client(far, &config, SEND, EPIPE);
    each_use_fails_for_the_client(far, &config, RECV, EINTR);
    each_use_fails_for_the_client(far, &config, SEND, EINTR);
    each_use_fails_for_the_client(far, &config, POLL, EINTR);
    tlsloop_tls_free(config.tls);
    fixture_stop(far);
}

static atomic_uint marks;

static void mark(struct fixture *f, unsigned worker)
{
    (void)f;
    (void)worker;
    marked = true;
    marks++;
}

static void say_hello(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK(tlsloop_conn_send(conn, text, sizeof text) <= TLSLOOP_OK);
}

static void close_when_it_is_back(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    struct record r;
    (void)data;
    (void)len;
    CHECK(fixture_find(f, conn, &r));
    if (r.bytes == sizeof text) CHECK(tlsloop_conn_close(conn) <= TLSLOOP_OK);
}

/* The n-th use of the call fails in a connection that `near` begins. False: there are not so many. */
static bool fail_on_the_way(struct fixture *near, tlsloop_client_config *config, enum call call, int n,
                            int error)
{
    tlsloop_conn conn = 0;
    struct record r = { 0 };
    arm(call, n, error);
    CHECK_OK(tlsloop_server_connect(near->server, config, &conn));
    EVENTUALLY(fixture_find(near, conn, &r) && r.failures + r.disconnects == 1 && !r.in_callback);
    EVENTUALLY_EQ(fixture_stats(near).open + fixture_stats(near).handshaking, 0);
    bool reached = countdown == 0;
    countdown = 0;
    if (r.failures) CHECK(r.code < 0 && strlen(r.why) > 0);
    if (!reached) CHECK(r.disconnects == 1 && r.reason == TLSLOOP_REASON_HOST);
    return reached;
}

static void a_connection_of_a_server(void)
{
    static const enum call calls[] = { SOCKET, CONNECT, EPOLL_CTL, RECV, SEND, GETSOCKOPT, SETSOCKOPT,
                                       GETPEERNAME, SHUTDOWN };
    if (host_wanted()) check_skip("the thread that polls is not marked");
    struct identity mine = keys_local();
    struct fixture *far = start_far(&mine);
    struct fixture *near = stage_start((struct options){
        .on = { .worker_start = mark, .connect = say_hello, .data = close_when_it_is_back },
        .config = { .listen_fd = TLSLOOP_NO_LISTENER, .mode = TLSLOOP_MODE_PLAIN, .close_timeout_ms = 1000 } },
        NULL);
    EVENTUALLY_EQ(marks, 1);
    tlsloop_client_config config = config_for(far, &mine);
    fail_on_the_way(near, &config, CALLS, 1, 0); /* nothing fails: pays for what is made once */
    EVENTUALLY_EQ(fixture_stats(far).open, 0);
    unsigned descriptors = measure_descriptors();
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        int n = 1;
        while (n < 60 && fail_on_the_way(near, &config, calls[i], n, ENOMEM)) n++;
        if (n == 1) check_failed(__FILE__, __LINE__, "%s is not used", names[calls[i]]);
        EVENTUALLY_EQ(fixture_stats(far).open + fixture_stats(far).handshaking, 0);
        EVENTUALLY_EQ(measure_descriptors(), descriptors);
    }
    tlsloop_tls_free(config.tls);
    near->loose_descriptors = near->loose_threads = true;
    fixture_stop(near);
    fixture_stop(far);
}

CHECK_MAIN(CASE(the_client), CASE(a_connection_of_a_server))
