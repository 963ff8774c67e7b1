/*
 * "Fail everything once: each system call of a connect–echo–close run fails in turn, and L06 holds
 * after each": whoever was accepted is reported once, the next peer is served, nothing is left over.
 *
 * The calls are interposed by this program and fail only on threads that are marked for it, so the
 * peers, which run on the main thread, are never hit.
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "measure.h"
#include "peer.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum call { RECV, SEND, ACCEPT, EPOLL_CTL, EPOLL_WAIT, SETSOCKOPT, GETSOCKNAME, SHUTDOWN, READ, WRITE,
            SOCKET, BIND, LISTEN, EPOLL_CREATE, EVENTFD, CALLS };

static const char *const names[CALLS] = {
    "recv", "send", "accept4", "epoll_ctl", "epoll_wait", "setsockopt", "getsockname", "shutdown",
    "read", "write", "socket", "bind", "listen", "epoll_create1", "eventfd",
};

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

ssize_t read(int fd, void *buf, size_t len)
{
    if (fails(READ)) return -1;
    return syscall(SYS_read, fd, buf, len);
}

ssize_t write(int fd, const void *buf, size_t len)
{
    if (fails(WRITE)) return -1;
    return syscall(SYS_write, fd, buf, len);
}

int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict len, int flags)
{
    if (fails(ACCEPT)) return -1;
    return (int)syscall(SYS_accept4, fd, address, len, flags);
}

int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    if (fails(EPOLL_CTL)) return -1;
    return (int)syscall(SYS_epoll_ctl, epoll, op, fd, event);
}

int epoll_wait(int epoll, struct epoll_event *events, int room, int timeout)
{
    if (fails(EPOLL_WAIT)) return -1;
    return (int)syscall(SYS_epoll_pwait, epoll, events, room, timeout, NULL, 0);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    if (fails(SETSOCKOPT)) return -1;
    return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}

int getsockname(int fd, struct sockaddr *restrict address, socklen_t *restrict len)
{
    if (fails(GETSOCKNAME)) return -1;
    return (int)syscall(SYS_getsockname, fd, address, len);
}

int shutdown(int fd, int how)
{
    if (fails(SHUTDOWN)) return -1;
    return (int)syscall(SYS_shutdown, fd, how);
}

int socket(int domain, int type, int protocol)
{
    if (fails(SOCKET)) return -1;
    return (int)syscall(SYS_socket, domain, type, protocol);
}

int bind(int fd, const struct sockaddr *address, socklen_t len)
{
    if (fails(BIND)) return -1;
    return (int)syscall(SYS_bind, fd, address, len);
}

int listen(int fd, int backlog)
{
    if (fails(LISTEN)) return -1;
    return (int)syscall(SYS_listen, fd, backlog);
}

int epoll_create1(int flags)
{
    if (fails(EPOLL_CREATE)) return -1;
    return (int)syscall(SYS_epoll_create1, flags);
}

int eventfd(unsigned count, int flags)
{
    if (fails(EVENTFD)) return -1;
    return (int)syscall(SYS_eventfd2, count, flags);
}

static atomic_uint marks;

static void mark(struct fixture *f, unsigned worker)
{
    (void)f;
    (void)worker;
    marked = true;
    marks++;
}

/* One visitor; whether it was served to its end. */
static bool visit(struct fixture *f)
{
    struct peer p = peer_over_socket(tcp_connect(f->port));
    bool served = peer_handshake(&p) && peer_echo(&p, "hello") && peer_close_notify(&p) &&
                  peer_until_end(&p, NULL) == PEER_CLEAN;
    peer_close(&p);
    return served;
}

/* The n-th use of the call fails in a visit. False: there are not so many. */
static bool fail_in_a_visit(enum call call, int n, int error, bool harmless)
{
    unsigned before = marks;
    struct fixture *f = fixture_start((struct options){
        .on.worker_start = mark,
        .config = { .handshake_timeout_ms = 2000, .close_timeout_ms = 1000, .idle_timeout_ms = 2000 },
    });
    EVENTUALLY_EQ(marks, before + 1);
    failure = error;
    victim = (int)call;
    countdown = n;
    bool served = visit(f);
    bool reached = countdown == 0;
    countdown = 0;
    if (!served && harmless)
        check_failed(__FILE__, __LINE__, "%s, use %d: %s ended the visit", names[call], n,
                     strerror(error));
    if (!served && !reached) check_failed(__FILE__, __LINE__, "not served, and nothing had failed");
    EVENTUALLY_EQ(fixture_stats(f).open + fixture_stats(f).handshaking, 0);
    if (!visit(f))
        check_failed(__FILE__, __LINE__, "%s, use %d: after %s the next visitor is not served",
                     names[call], n, strerror(error));
    EVENTUALLY_EQ(fixture_stats(f).open, 0);
    fixture_stop(f);
    return reached;
}

static void each_use_fails(enum call call, int error, bool harmless)
{
    int n = 1;
    while (n < 60 && fail_in_a_visit(call, n, error, harmless)) n++;
    if (n == 1)
        printf("# %s is not used in a visit\n", names[call]);
}

/* An interrupted call is tried again; nobody notices. */
static void what_passes_is_not_noticed(void)
{
    static const enum call calls[] = { RECV, SEND, ACCEPT, READ, WRITE, EPOLL_WAIT };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) each_use_fails(calls[i], EINTR, true);
}

static void receiving_fails(void)
{
    each_use_fails(RECV, ECONNRESET, false);
    each_use_fails(RECV, ENOMEM, false);
    each_use_fails(RECV, ETIMEDOUT, false);
}

static void sending_fails(void)
{
    each_use_fails(SEND, EPIPE, false);
    each_use_fails(SEND, ENOBUFS, false);
    each_use_fails(SEND, ECONNRESET, false);
}

static void what_the_kernel_lacks_memory_for(void)
{
    static const enum call calls[] = { EPOLL_CTL, SETSOCKOPT, GETSOCKNAME, SHUTDOWN };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) each_use_fails(calls[i], ENOMEM, false);
    each_use_fails(EPOLL_CTL, ENOSPC, false);
    each_use_fails(SHUTDOWN, ENOTCONN, false);
}

/* The n-th use of the call fails in tlsloop_server_start. False: there are not so many. */
static bool fail_in_start(const tlsloop_server_config *config, enum call call, int n)
{
    tlsloop_server *server = NULL;
    marked = true;
    failure = call == BIND ? EADDRINUSE : ENOMEM;
    victim = (int)call;
    countdown = n;
    int answer = tlsloop_server_start(config, &server);
    bool reached = countdown == 0;
    countdown = 0;
    marked = false;
    if (answer == TLSLOOP_OK) {
        CHECK_OK(tlsloop_server_stop(server, 0));
        return reached;
    }
    CHECK(reached);
    CHECK(server == NULL);
    CHECK_EQ(answer, TLSLOOP_ESYS);
    CHECK_HAS(tlsloop_last_error(), strerror(failure)); /* "errno's own words" */
    return true;
}

/* A start that fails at any of its steps leaves nothing behind. */
static void starting_fails(void)
{
    tlsloop_callbacks none = TLSLOOP_CALLBACKS_INIT;
    tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
    tlsloop_tls *tls = tlsloop_tls_new();
    CHECK(tls != NULL);
    CHECK_OK(tlsloop_tls_add_self_signed(tls, "localhost"));
    config.address = "127.0.0.1";
    config.callbacks = &none;
    config.tls = tls;
    config.workers = 3;
    fail_in_start(&config, SOCKET, 1); /* pays for what is made once */
    unsigned descriptors = measure_descriptors(), threads = measure_threads();
    for (enum call call = RECV; call < CALLS; call++) {
        int n = 1;
        while (n < 60 && fail_in_start(&config, call, n)) n++;
        CHECK_EQ(measure_descriptors(), descriptors);
        EVENTUALLY_EQ(measure_threads(), threads);
    }
    tlsloop_tls_free(tls);
}

CHECK_MAIN(CASE(what_passes_is_not_noticed), CASE(receiving_fails), CASE(sending_fails),
           CASE(what_the_kernel_lacks_memory_for), CASE(starting_fails))
