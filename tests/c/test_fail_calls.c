/*
 * "Fail everything once", for the ways in and the calls that a TLS server on a port does not make: unix sockets,
 * sockets that the host hands in, connections that the host ends, files. Each use of each call fails with each
 * error of its man page; what the host gave stays the host's unless the answer is TLSLOOP_OK.
 */
#define _GNU_SOURCE
#include "dial.h"
#include "interpose.h"
#include "keys.h"
#include "measure.h"
#include "stage.h"

#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* One way to use the library, from its start to its end. */
struct way {
    void (*run)(void);
    enum call calls[16]; /* those that it makes, CALLS at the end */
};

static struct {
    enum call call;
    int n, error;    /* what fails in this run */
    bool in_the_way; /* the consequence may be that an address is in use */
} now;

static void fails_the_case(const char *what)
{
    check_failed(__FILE__, __LINE__, "%s, use %d: %s: %s", interposed[now.call].name, now.n, strerror(now.error),
                 what);
}

static void mark_call(bool inside)
{
    interpose_marked = inside;
}

static void mark_worker(struct fixture *f, unsigned worker)
{
    (void)f;
    (void)worker;
    if (!host_wanted()) interpose_marked = true;
}

/* The answer of a call that was made while calls may fail; whether it is TLSLOOP_OK. */
static bool went_well(int answer)
{
    if (answer >= TLSLOOP_OK) return true;
    if (interpose_failed == 0 || (now.error == EINTR && !now.in_the_way)) fails_the_case(tlsloop_last_error());
    /* Some errors of a descriptor that was handed in are its host's fault. */
    bool is_argument = now.error == EBADF || now.error == ENOTSOCK || now.error == ENOTCONN;
    CHECK(answer == TLSLOOP_ESYS || (is_argument && answer == TLSLOOP_EINVAL));
    bool in_the_way = now.in_the_way && strstr(tlsloop_last_error(), strerror(EADDRINUSE));
    if (!in_the_way) CHECK_HAS(tlsloop_last_error(), strerror(now.error));
    return false;
}

#define MARKED(answer, call)           \
    do {                               \
        interpose_marked = true;       \
        *(answer) = call;              \
        interpose_marked = false;      \
    } while (0)

static void each_failure_of(const struct way *way)
{
    now.call = CALLS;
    way->run(); /* pays for what is made once */
    way->run();
    size_t heap = measure_heap();
    unsigned descriptors = measure_descriptors();
    int step = check_time_factor() > 1 ? 3 : 1;
    for (const enum call *call = way->calls; *call < CALLS; call++) {
        const int *errors = interposed[*call].errors;
        unsigned failed = 0;
        for (int e = 0; errors[e]; e++) {
            for (int n = 1 + e % step, more = 1; more; n += step) {
                now.call = *call, now.n = n, now.error = errors[e];
                interpose_arm(*call, n, errors[e], false);
                way->run();
                if (interpose_seen > 500) fails_the_case("the loop spins");
                more = interpose_disarm();
                failed += (unsigned)more;
            }
            CHECK_EQ(measure_descriptors(), descriptors);
        }
        measure_heap_is_back(heap);
        printf("# %s failed in %u runs\n", interposed[*call].name, failed);
    }
}

static struct options plain_options(void)
{
    unsigned limit = interpose_limit_ms(interpose_stalls(now.call, now.error));
    return (struct options){
        .on.worker_start = mark_worker, .around = mark_call,
        .config = { .mode = TLSLOOP_MODE_PLAIN, .close_timeout_ms = limit, .idle_timeout_ms = limit,
                    .handshake_timeout_ms = limit },
    };
}

static struct fixture *try_start(struct options options)
{
    int code;
    struct fixture *f = stage_try_start(options, NULL, &code);
    if (!f) went_well(code);
    return f;
}

/* Whether the echo came back. A visit that fails has to have a reason. */
static bool echo(int fd)
{
    bool served = tcp_send(fd, "hello", 5) && dial_expect(fd, "hello");
    if (!served && interpose_failed == 0) fails_the_case("not served, and nothing had failed");
    return served;
}

static int listen_at(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    CHECK(strlen(path) < sizeof at.sun_path);
    memcpy(at.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 1) == 0);
    return fd;
}

static ino_t file_at(const char *path)
{
    struct stat file;
    return stat(path, &file) == 0 ? file.st_ino : 0;
}

/* A socket file of a server that is gone lies in the way. */
static void on_a_unix_socket(void)
{
    char address[256];
    snprintf(address, sizeof address, "unix:%s/socket", keys_dir());
    const char *path = address + strlen("unix:");
    int stale = listen_at(path);
    close(stale);
    struct options options = plain_options();
    options.config.address = address;
    /* Whether the file is stale could not be told. */
    now.in_the_way = now.call == STATX || now.call == CONNECT || (now.call == SOCKET && now.n > 1);
    ino_t before = file_at(path);
    char other[256]; /* as long as this stands for the same file, no other has its number */
    snprintf(other, sizeof other, "%s/other", keys_dir());
    CHECK(link(path, other) == 0);
    struct fixture *f = try_start(options);
    if (!f && file_at(path) != 0 && file_at(path) != before) fails_the_case("a file of ours is left behind");
    if (f) {
        int fd = dial_unix(path);
        echo(fd);
        close(fd);
        EVENTUALLY_EQ(fixture_stats(f).open + fixture_stats(f).handshaking, 0);
        fixture_stop(f);
        if (access(path, F_OK) == 0 && interpose_failed == 0) fails_the_case("the file is still there");
    }
    unlink(path);
    unlink(other);
}

static void l06_a_unix_socket(void)
{
    each_failure_of(&(struct way){ on_a_unix_socket, { SOCKET, BIND, LISTEN, CONNECT, STATX, UNLINK, GETSOCKNAME,
                                                       FCNTL, ACCEPT4, SHUTDOWN, CLOSE, CALLS } });
}

/* The listening socket is handed in, and handed on; the server drains. */
static void with_a_socket_handed_in(void)
{
    int port, mine = tcp_listen(&port), flags = fcntl(mine, F_GETFL), answer;
    struct options options = plain_options();
    options.config.listen_fd = mine;
    struct fixture *f = try_start(options);
    if (!f) {
        CHECK_EQ(fcntl(mine, F_GETFL), flags);
        CHECK(close(tcp_connect(port)) == 0 && close(mine) == 0); /* it is still ours, and listens */
        return;
    }
    f->loose_descriptors = true; /* it had ours to begin with */
    MARKED(&answer, tlsloop_server_listen_fd(f->server));
    if (went_well(answer)) close(answer);
    int fd = tcp_connect(port);
    echo(fd);
    close(fd);
    MARKED(&answer, tlsloop_server_drain(f->server));
    CHECK(went_well(answer));
    EVENTUALLY_EQ(fixture_stats(f).open + fixture_stats(f).handshaking, 0);
    fixture_stop(f);
}

static void l06_a_listening_socket_handed_in(void)
{
    each_failure_of(&(struct way){ with_a_socket_handed_in, { GETSOCKOPT, FCNTL, GETSOCKNAME, EPOLL_CREATE1,
                                                              EPOLL_CTL, EVENTFD, CLOSE, CALLS } });
}

/* A drain that meets the limit of descriptors waits like any accept: "it refuses and goes on, without spinning". */
static void l27_draining_at_the_limit(void)
{
    struct options options = plain_options();
    options.config.idle_timeout_ms = 0;
    struct fixture *f = try_start(options);
    int first = tcp_connect(f->port);
    echo(first);
    interpose_arm(ACCEPT4, 1, EMFILE, true);
    int fd = tcp_connect(f->port);
    CHECK_OK(tlsloop_server_drain(f->server));
    check_nap(50 * check_time_factor());
    if (interpose_seen > 100) check_failed(__FILE__, __LINE__, "%u calls in 50 ms", (unsigned)interpose_seen);
    interpose_disarm();
    echo(fd);
    echo(first);
    close(fd);
    close(first);
    EVENTUALLY_EQ(fixture_stats(f).open, 0);
    fixture_stop(f);
}

static void with_a_connection_handed_in(void)
{
    int ends[2], answer;
    tlsloop_conn conn = 0;
    struct options options = plain_options();
    options.config.listen_fd = TLSLOOP_NO_LISTENER;
    struct fixture *f = try_start(options);
    if (!f) return;
    dial_pair(ends);
    int status = fcntl(ends[1], F_GETFL), flags = fcntl(ends[1], F_GETFD);
    f->loose_descriptors = true;
    MARKED(&answer, tlsloop_server_adopt(f->server, ends[1], NULL, &conn));
    if (went_well(answer)) {
        CHECK(conn != 0);
        echo(ends[0]);
    } else {
        CHECK(fcntl(ends[1], F_GETFL) == status && fcntl(ends[1], F_GETFD) == flags);
        CHECK(conn == 0 && close(ends[1]) == 0); /* still ours */
    }
    close(ends[0]);
    EVENTUALLY_EQ(fixture_stats(f).open + fixture_stats(f).handshaking, 0);
    fixture_stop(f);
}

static void l06_a_connection_handed_in(void)
{
    each_failure_of(&(struct way){ with_a_connection_handed_in, { GETSOCKOPT, GETPEERNAME, GETSOCKNAME, FCNTL,
                                                                  EPOLL_CTL, RECV, SEND, SHUTDOWN, WRITE, CLOSE,
                                                                  CALLS } });
}

static void say_and_close(struct fixture *f, tlsloop_conn conn)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    (void)f;
    CHECK_OK(tlsloop_conn_info(conn, &info)); /* asks for addresses, which may fail: then they are "" */
    CHECK_OK(tlsloop_conn_send(conn, "bye", 3));
    CHECK_OK(tlsloop_conn_close(conn));
}

static void say_and_abort(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_send(conn, "bye", 3));
    CHECK_OK(tlsloop_conn_abort(conn));
}

static void ended_by(void (*connected)(struct fixture *f, tlsloop_conn conn))
{
    char buf[16];
    struct options options = plain_options();
    options.on.connect = connected;
    struct fixture *f = try_start(options);
    if (!f) return;
    int fd = tcp_connect(f->port);
    while (tcp_recv(fd, buf, sizeof buf) > 0) {}
    close(fd);
    EVENTUALLY_EQ(fixture_stats(f).open + fixture_stats(f).handshaking, 0);
    fixture_stop(f);
}

static void closed_by_the_host(void)
{
    ended_by(say_and_close);
}

static void aborted_by_the_host(void)
{
    ended_by(say_and_abort);
}

static void l06_the_host_ends(void)
{
    each_failure_of(&(struct way){ closed_by_the_host, { GETSOCKNAME, SEND, SHUTDOWN, RECV, EPOLL_CTL, CLOSE,
                                                         CALLS } });
    each_failure_of(&(struct way){ aborted_by_the_host, { SETSOCKOPT, CONNECT, EPOLL_CTL, CLOSE, CALLS } });
}

static struct identity mine;
static const char *ticket_keys[2], *key_log;

static void with_files(void)
{
    int answer;
    tlsloop_tls *tls = tlsloop_tls_new();
    CHECK(tls != NULL);
    MARKED(&answer, tlsloop_tls_add_certificate_file(tls, mine.chain, mine.key));
    went_well(answer);
    MARKED(&answer, tlsloop_tls_set_trust_file(tls, mine.chain));
    went_well(answer);
    MARKED(&answer, tlsloop_tls_set_ticket_key_files(tls, ticket_keys, 2));
    went_well(answer);
    MARKED(&answer, tlsloop_tls_set_keylog_file(tls, key_log));
    went_well(answer);
    interpose_marked = true;
    tlsloop_tls_free(tls);
    interpose_marked = false;
}

static void l34_files(void)
{
    mine = keys_local();
    ticket_keys[0] = keys_file("new.key", "0123456789012345678901234567890123456789abcdefgh", 48);
    ticket_keys[1] = keys_file("old.key", "abcdefgh0123456789012345678901234567890123456789", 48);
    key_log = keys_file("log", "", 0);
    each_failure_of(&(struct way){ with_files, { OPEN, READ, STATX, CLOSE, CALLS } });
    /* A file that comes in pieces is a whole file. */
    interpose_most = 1;
    now.call = CALLS;
    with_files();
    CHECK(interpose_seen > 500);
}

CHECK_MAIN(CASE(l06_a_unix_socket), CASE(l06_a_listening_socket_handed_in), CASE(l27_draining_at_the_limit),
           CASE(l06_a_connection_handed_in),
           CASE(l06_the_host_ends), CASE(l34_files))
