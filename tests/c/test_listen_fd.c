/* Listening sockets that the host brings or takes along: listen_fd, tlsloop_server_listen_fd, drain. */
#define _GNU_SOURCE
#include "dial.h"
#include "fixture.h"
#include "measure.h"
#include "peer.h"
#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static struct fixture *over(int listen_fd, struct options options)
{
    options.config.listen_fd = listen_fd;
    if (options.config.mode == TLSLOOP_MODE_TLS) options.config.mode = TLSLOOP_MODE_PLAIN;
    struct fixture *f = stage_start(options, NULL);
    f->descriptors_before--; /* it is the server's, and goes with it */
    return f;
}

/* The number may have been given out again, to something else. */
static bool listens(int fd)
{
    int is;
    socklen_t len = sizeof is;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is, &len) == 0 && is;
}

static int another(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    CHECK(copy >= 0);
    return copy;
}

static bool served(int fd)
{
    return tcp_send(fd, "served", 6) && dial_expect(fd, "served");
}

static void check_served(int port)
{
    int fd = tcp_connect(port);
    CHECK(served(fd));
    close(fd);
}

/* Whoever waits at the socket now is this one's to take: it was not shut down. */
static void check_still_listens(int fd, int port)
{
    int client = tcp_connect(port), taken = accept(fd, NULL, NULL);
    CHECK(taken >= 0);
    CHECK(tcp_send(taken, "by the host", 11) && dial_expect(client, "by the host"));
    close(taken);
    close(client);
}

/* "A descriptor passes to the server only on TLSLOOP_OK"; "Not a listening stream socket: EINVAL" */
static void what_does_not_listen(void)
{
    int ends[2], port, listener = tcp_listen(&port);
    dial_accepted(ends);
    int fds[] = {
        open("/dev/null", O_RDWR | O_CLOEXEC), eventfd(0, EFD_CLOEXEC), socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
        socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), ends[1],
    };
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        tlsloop_server_config config = { .listen_fd = fds[i], .mode = TLSLOOP_MODE_PLAIN };
        int status = fcntl(fds[i], F_GETFL);
        CHECK(status != -1);
        CHECK_FAILS(stage_refused(config), TLSLOOP_EINVAL, "listen_fd");
        CHECK_EQ(fcntl(fds[i], F_GETFL), status);
        CHECK(close(fds[i]) == 0);
        CHECK_FAILS(stage_refused(config), TLSLOOP_EINVAL, "listen_fd");
    }
    tlsloop_server_config config = { .listen_fd = -2, .mode = TLSLOOP_MODE_PLAIN };
    CHECK_FAILS(stage_refused(config), TLSLOOP_EINVAL, "listen_fd");
    /* It is all right, but something else is not: it stays the host's. */
    config = (tlsloop_server_config){ .listen_fd = listener, .mode = TLSLOOP_MODE_TLS };
    CHECK_FAILS(stage_refused(config), TLSLOOP_EINVAL, "tls");
    check_still_listens(listener, port);
    close(listener);
    close(ends[0]);
}

/* What waits at the socket already is served; the address of the configuration is not looked at. */
static void a_socket_of_the_hosts(void)
{
    int port, listener = tcp_listen(&port), early = tcp_connect(port);
    struct fixture *f = over(listener, (struct options){ .config.address = "192.0.2.1", .config.port = 1 });
    CHECK_EQ(f->port, port);
    CHECK(!listens(listener)); /* it has passed to the server */
    CHECK(served(early));
    check_served(port);
    close(early);
    f->descriptors_before--;
    EVENTUALLY_EQ(f->disconnects, 2);
    fixture_stop(f);
    CHECK(tcp_try_connect(port) < 0);
}

/* L35: "a listening descriptor that it shares with another process: does not shut that descriptor down"; "A socket that
 * was handed in is never shutdown" */
static void l35_the_hosts_copy_goes_on(void)
{
    int port, listener = tcp_listen(&port), copy = another(listener);
    for (int round = 0; round < 3; round++) {
        struct fixture *f = over(round ? another(copy) : listener, (struct options){ .config.workers = 2 });
        check_served(port);
        EVENTUALLY_EQ(f->disconnects, 1);
        if (round == 1) CHECK_OK(tlsloop_server_drain(f->server));
        fixture_stop(f);
        int flags = fcntl(copy, F_GETFL); /* the flag is the socket's, not the copy's */
        CHECK(fcntl(copy, F_SETFL, flags & ~O_NONBLOCK) == 0);
        check_still_listens(copy, port);
    }
    close(copy);
}

/* "a dup, to hand to a successor; the host closes it" */
static void a_duplicate(void)
{
    struct fixture *f = stage_start((struct options){ .config.mode = TLSLOOP_MODE_PLAIN }, NULL);
    int fd = tlsloop_server_listen_fd(f->server), other = tlsloop_server_listen_fd(f->server);
    CHECK(fd > 0 && other > 0 && fd != other);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(other);
    struct fixture *second = over(another(fd), (struct options){ 0 });
    CHECK_EQ(second->port, f->port);
    for (int i = 0; i < 20; i++) check_served(f->port); /* by one or the other */
    EVENTUALLY_EQ(f->disconnects + second->disconnects, 20);
    second->loose_threads = true;
    fixture_stop(second);
    check_served(f->port);
    EVENTUALLY_EQ(f->connects, f->disconnects);
    close(fd);
    fixture_stop(f);
}

static sem_t held, go_on;

static void hold(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    if (len == 4 && memcmp(data, "hold", 4) == 0) {
        CHECK(sem_post(&held) == 0);
        while (sem_wait(&go_on) != 0) CHECK(errno == EINTR);
    }
    (void)f;
    CHECK_OK(tlsloop_conn_send(conn, data, len));
}

/* L35: "drain under load accepts all that the kernel had queued before it closes its copy". The worker is kept in a callback
 * while they come, so that all of them wait with the kernel when the drain begins. */
static void drained(tlsloop_server_config config)
{
    enum { WAITING = 60 };
    int clients[WAITING], fd;
    CHECK(sem_init(&held, 0, 0) == 0 && sem_init(&go_on, 0, 0) == 0);
    config.mode = TLSLOOP_MODE_PLAIN;
    struct fixture *f = stage_start((struct options){ .on.data = hold, .config = config }, NULL);
    int holder = tcp_connect(f->port);
    CHECK(tcp_send(holder, "hold", 4));
    while (sem_wait(&held) != 0) CHECK(errno == EINTR);
    for (int i = 0; i < WAITING; i++) clients[i] = tcp_connect(f->port);
    CHECK_EQ(fixture_stats(f).accepted, 1);
    CHECK_OK(tlsloop_server_drain(f->server));
    CHECK_OK(tlsloop_server_drain(f->server)); /* "again, it does nothing" */
    CHECK_FAILS(tlsloop_server_listen_fd(f->server), TLSLOOP_ESTATE, "listening");
    CHECK(sem_post(&go_on) == 0);
    for (int i = 0; i < WAITING; i++) CHECK(served(clients[i]));
    EVENTUALLY((fd = tcp_try_connect(f->port)) < 0 || (close(fd), false)); /* "stop accepting" */
    CHECK(dial_expect(holder, "hold") && served(holder)); /* "keep serving" */
    for (int i = 0; i < WAITING; i++) close(clients[i]);
    close(holder);
    EVENTUALLY_EQ(f->disconnects, f->connects);
    CHECK(f->connects >= WAITING + 1);
    fixture_stop(f);
    sem_destroy(&held);
    sem_destroy(&go_on);
}

/* L35: "Where another process holds the socket, no connection is lost": who cannot be taken is left to the other. */
static void l35_who_cannot_be_taken_is_left_to_the_successor(void)
{
    enum { WAITING = 5 };
    int clients[WAITING];
    CHECK(sem_init(&held, 0, 0) == 0 && sem_init(&go_on, 0, 0) == 0);
    struct fixture *f = stage_start((struct options){
        .on.data = hold, .config = { .mode = TLSLOOP_MODE_PLAIN, .max_connections = 1 } }, NULL);
    int fd = tlsloop_server_listen_fd(f->server), holder = tcp_connect(f->port);
    f->loose_descriptors = f->loose_threads = true;
    CHECK(tcp_send(holder, "hold", 4));
    while (sem_wait(&held) != 0) CHECK(errno == EINTR);
    for (int i = 0; i < WAITING; i++) clients[i] = tcp_connect(f->port);
    CHECK_OK(tlsloop_server_drain(f->server));
    CHECK(sem_post(&go_on) == 0);
    CHECK(dial_expect(holder, "hold") && served(holder));
    struct fixture *successor = over(fd, (struct options){ 0 });
    successor->loose_descriptors = successor->loose_threads = true;
    for (int i = 0; i < WAITING; i++) CHECK(served(clients[i]));
    CHECK_EQ(fixture_stats(f).refused_limit, 0);
    for (int i = 0; i < WAITING; i++) close(clients[i]);
    close(holder);
    EVENTUALLY_EQ(f->disconnects, 1);
    EVENTUALLY_EQ(successor->disconnects, WAITING);
    fixture_stop(f);
    fixture_stop(successor);
    sem_destroy(&held);
    sem_destroy(&go_on);
}

static void l35_drain_takes_what_is_queued(void)
{
    drained((tlsloop_server_config){ 0 });
    drained((tlsloop_server_config){ .max_handshakes = 1 }); /* the pause at this limit is over, too */
}

/* Handshakes that wait with the kernel, more than may be under way at once: the drain takes them all. */
static void l35_drain_at_the_limit_of_handshakes(void)
{
    enum { WAITING = 10 };
    struct peer peers[WAITING];
    struct fixture *f = stage_start((struct options){
        .config = { .max_handshakes = 1, .handshake_timeout_ms = TLSLOOP_NONE } }, NULL);
    int silent = tcp_connect(f->port);
    EVENTUALLY_EQ(fixture_stats(f).handshaking, 1);
    for (int i = 0; i < WAITING; i++) {
        peers[i] = peer_over_socket(tcp_connect(f->port));
        peer_step(&peers[i]);
        CHECK(peer_flush(&peers[i]));
    }
    CHECK_EQ(fixture_stats(f).accepted, 1);
    CHECK_OK(tlsloop_server_drain(f->server));
    for (int i = 0; i < WAITING; i++) CHECK(peer_handshake(&peers[i]) && peer_echo(&peers[i], "served"));
    for (int i = 0; i < WAITING; i++) peer_leave(&peers[i]);
    close(silent);
    EVENTUALLY_EQ(f->disconnects, WAITING);
    EVENTUALLY_EQ(f->handshakes_failed, 1);
    CHECK_EQ(fixture_stats(f).accepted, WAITING + 1);
    fixture_stop(f);
}

static void drain_in_connect(struct fixture *f, tlsloop_conn conn)
{
    (void)conn;
    CHECK_OK(tlsloop_server_drain(f->server));
    CHECK_EQ(tlsloop_server_port(f->server), f->port); /* it is known still */
}

/* "Any thread and any callback may call it"; by several workers the socket is closed once all have looked. */
static void drain_in_a_callback(void)
{
    for (unsigned workers = 1; workers <= 3; workers += 2) {
        struct fixture *f = stage_start((struct options){
            .on.connect = drain_in_connect,
            .config = { .mode = TLSLOOP_MODE_PLAIN, .workers = workers } }, NULL);
        int fd = tcp_connect(f->port), late;
        CHECK(served(fd));
        EVENTUALLY((late = tcp_try_connect(f->port)) < 0 || (close(late), false));
        CHECK(served(fd));
        close(fd);
        EVENTUALLY_EQ(f->disconnects, f->connects);
        fixture_stop(f);
    }
}

/* "While another process holds the socket, no connection is lost": one that comes when the server has closed its copy
 * waits for whoever holds the other. */
static void l35_who_comes_later_waits_for_the_successor(void)
{
    struct fixture *f = stage_start((struct options){ .config.mode = TLSLOOP_MODE_PLAIN }, NULL);
    int fd = tlsloop_server_listen_fd(f->server), port = f->port;
    unsigned with_listener = measure_descriptors();
    CHECK_OK(tlsloop_server_drain(f->server));
    EVENTUALLY(measure_descriptors() < with_listener);
    int waiting[5];
    for (int i = 0; i < 5; i++) {
        waiting[i] = tcp_connect(port);
        CHECK(tcp_send(waiting[i], "served", 6));
    }
    f->loose_descriptors = true;
    fixture_stop(f);
    CHECK_EQ(f->connects, 0);
    struct fixture *second = over(fd, (struct options){ 0 });
    for (int i = 0; i < 5; i++) CHECK(dial_expect(waiting[i], "served"));
    for (int i = 0; i < 5; i++) close(waiting[i]);
    EVENTUALLY_EQ(second->disconnects, 5);
    second->loose_descriptors = true;
    fixture_stop(second);
}

CHECK_MAIN(CASE(what_does_not_listen), CASE(a_socket_of_the_hosts), CASE(l35_the_hosts_copy_goes_on),
           CASE(a_duplicate), CASE(l35_drain_takes_what_is_queued), CASE(l35_who_cannot_be_taken_is_left_to_the_successor), CASE(l35_drain_at_the_limit_of_handshakes),
           CASE(drain_in_a_callback), CASE(l35_who_comes_later_waits_for_the_successor))
