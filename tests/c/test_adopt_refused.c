/* Sockets that the server does not take, which stay the host's, and those that fail before they are up. */
#define _GNU_SOURCE
#include "dial.h"
#include "fixture.h"
#include "header.h"
#include "peer.h"
#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static int mine; /* its address is the data of each connection */

static struct fixture *without_listener(struct options options)
{
    options.config.listen_fd = TLSLOOP_NO_LISTENER;
    return stage_start(options, NULL);
}

static tlsloop_conn adopt(struct fixture *f, int fd)
{
    tlsloop_conn conn = 0;
    CHECK_OK(tlsloop_server_adopt(f->server, fd, &mine, &conn));
    return conn;
}

/* Refused with the code, and the words name the descriptor or what `part` says; the descriptor stays the host's and is
 * as it was. */
static void check_refused(struct fixture *f, int fd, int code, const char *part)
{
    char name[32];
    tlsloop_conn conn = 77;
    int status = fcntl(fd, F_GETFL), flags = fcntl(fd, F_GETFD);
    snprintf(name, sizeof name, "fd %d", fd);
    CHECK_FAILS(tlsloop_server_adopt(f->server, fd, &mine, &conn), code, part ? part : name);
    CHECK_EQ(conn, 77); /* "out parameters are written on success only" */
    CHECK_EQ(fcntl(fd, F_GETFL), status);
    CHECK_EQ(fcntl(fd, F_GETFD), flags);
}

static void check_nothing_happened(struct fixture *f)
{
    tlsloop_stats stats = fixture_stats(f);
    CHECK_EQ(stats.accepted, 0);
    CHECK_EQ(stats.handshaking, 0);
    CHECK_EQ(f->connects + f->handshakes_failed, 0);
}

/* "not a connected stream socket: EINVAL"; "passes to the server … only on TLSLOOP_OK" */
static void what_is_no_connection(void)
{
    struct fixture *f = without_listener((struct options){ .config.mode = TLSLOOP_MODE_PLAIN });
    int pipe_ends[2], packets[2], port;
    CHECK(pipe2(pipe_ends, O_CLOEXEC) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, packets) == 0);
    int fds[] = {
        open("/dev/null", O_RDWR | O_CLOEXEC), eventfd(0, EFD_CLOEXEC), pipe_ends[0], pipe_ends[1], packets[0], packets[1],
        socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0),
        socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
        tcp_listen(&port),
    };
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        CHECK(fds[i] >= 0);
        check_refused(f, fds[i], TLSLOOP_EINVAL, NULL);
        CHECK(close(fds[i]) == 0); /* it is the host's to close, and is closed nowhere else */
        check_refused(f, fds[i], TLSLOOP_EINVAL, NULL);
    }
    check_refused(f, -1, TLSLOOP_EINVAL, NULL);
    check_refused(f, -2, TLSLOOP_EINVAL, NULL);
    check_refused(f, 1 << 30, TLSLOOP_EINVAL, NULL);
    CHECK_FAILS(tlsloop_server_adopt(NULL, 0, NULL, NULL), TLSLOOP_EINVAL, "server");
    check_nothing_happened(f);
    fixture_stop(f);
}

/* The peer has reset it before the host gave it away: either is right, but nothing between the two. */
static void reset_before(void)
{
    struct fixture *f = without_listener((struct options){ 0 });
    int ends[2];
    dial_accepted(ends);
    tcp_reset(ends[0]);
    if (tlsloop_server_adopt(f->server, ends[1], &mine, NULL) == TLSLOOP_OK) {
        EVENTUALLY_EQ(f->handshakes_failed, 1);
    } else {
        check_nothing_happened(f);
        CHECK(close(ends[1]) == 0);
    }
    fixture_stop(f);
}

/* "TLSLOOP_ESTATE at the limit of connections": the host may still say why it hangs up, or keep the socket for later. */
static void at_the_limit(void)
{
    struct fixture *f = stage_start(
        (struct options){ .config = { .mode = TLSLOOP_MODE_PLAIN, .max_connections = 2 } }, NULL);
    int first[2], second, third[2];
    dial_accepted(first);
    adopt(f, first[1]);
    second = tcp_connect(f->port); /* the listener's count too */
    EVENTUALLY_EQ(f->connects, 2);
    dial_accepted(third);
    for (int i = 0; i < 3; i++) check_refused(f, third[1], TLSLOOP_ESTATE, "limit");
    CHECK(tcp_send(third[1], "busy", 4) && dial_expect(third[0], "busy"));
    close(second);
    EVENTUALLY_EQ(fixture_stats(f).open, 1);
    adopt(f, third[1]);
    CHECK(tcp_send(third[0], "taken", 5) && dial_expect(third[0], "taken"));
    int turned_away = tcp_connect(f->port);
    CHECK(tcp_until_end(turned_away) != PEER_SILENT);
    CHECK_EQ(fixture_stats(f).refused_limit, 1);
    close(turned_away);
    close(first[0]);
    close(third[0]);
    EVENTUALLY_EQ(f->disconnects, 3);
    fixture_stop(f);
}

/* max_connections_per_ip counts whoever accepted: adopted connections fill it up, and are refused when it is full. */
static void at_the_limit_of_its_address(void)
{
    struct fixture *f = stage_start(
        (struct options){ .config = { .mode = TLSLOOP_MODE_PLAIN, .max_connections_per_ip = 2 } }, NULL);
    int ends[3][2], pair[2];
    for (int i = 0; i < 3; i++) dial_accepted(ends[i]);
    adopt(f, ends[0][1]);
    adopt(f, ends[1][1]);
    check_refused(f, ends[2][1], TLSLOOP_ESTATE, "127.0.0.1");
    int turned_away = tcp_connect(f->port);
    CHECK(tcp_until_end(turned_away) != PEER_SILENT);
    close(turned_away);
    CHECK_EQ(fixture_stats(f).refused_per_ip, 1);
    int elsewhere = dial_from("127.0.0.2", f->port);
    CHECK(tcp_send(elsewhere, "another", 7) && dial_expect(elsewhere, "another"));
    dial_pair(pair); /* has no address */
    adopt(f, pair[1]);
    EVENTUALLY_EQ(f->connects, 4);
    close(ends[0][0]);
    EVENTUALLY_EQ(fixture_stats(f).open, 3);
    adopt(f, ends[2][1]);
    EVENTUALLY_EQ(f->connects, 5);
    close(ends[1][0]);
    close(ends[2][0]);
    close(elsewhere);
    close(pair[0]);
    EVENTUALLY_EQ(f->disconnects, 5);
    int again = tcp_connect(f->port);
    CHECK(tcp_send(again, "and again", 9) && dial_expect(again, "and again"));
    close(again);
    EVENTUALLY_EQ(f->disconnects, 6);
    fixture_stop(f);
}

static atomic_uint told;
static tlsloop_conn failed_conn;

static void note_failure(struct fixture *f, tlsloop_conn conn, int code, const char *peer, const char *why)
{
    (void)f;
    (void)code;
    CHECK(strlen(peer) > 0 && strlen(why) > 0);
    CHECK(tlsloop_conn_data(conn) == &mine); /* so that the host can free it */
    CHECK_EQ(tlsloop_conn_send(conn, "x", 1), TLSLOOP_ECLOSED);
    failed_conn = conn;
    told++;
}

static void nothing(int *fd) { (void)fd; }
static void leave(int *fd) { tcp_fin(*fd); }
static void say_nonsense(int *fd) { CHECK(tcp_send(*fd, "nonsense, and no ClientHello", 28)); }

static void reset(int *fd)
{
    tcp_reset(*fd);
    *fd = -1;
}

static void fails(void (*peer)(int *fd), int code)
{
    struct fixture *f = without_listener((struct options){
        .on.handshake_failed = note_failure, .config.handshake_timeout_ms = 300 * check_time_factor() });
    int ends[2];
    char own[64];
    struct record r;
    dial_accepted(ends);
    dial_name(ends[0], own, sizeof own);
    tlsloop_conn conn = adopt(f, ends[1]);
    peer(&ends[0]);
    EVENTUALLY_EQ(f->handshakes_failed, 1);
    CHECK(failed_conn == conn); /* "its id matches adopt's … out" */
    CHECK(fixture_find(f, conn, &r));
    CHECK_STR(r.peer, own);
    CHECK_EQ(r.code, code);
    CHECK_EQ(fixture_stats(f).handshakes_failed, 1);
    CHECK_EQ(fixture_stats(f).accepted, 1);
    EVENTUALLY(fcntl(ends[1], F_GETFD) == -1 && errno == EBADF);
    EVENTUALLY_EQ(tlsloop_conn_data(conn), 0);
    if (ends[0] >= 0) close(ends[0]);
    fixture_stop(f);
}

/* "Failed before on_connect: on_handshake_failed, once, instead" */
static void failures(void)
{
    fails(nothing, TLSLOOP_ETIMEDOUT);
    fails(leave, TLSLOOP_ETRUNCATED);
    fails(say_nonsense, TLSLOOP_ETLS);
    fails(reset, TLSLOOP_ESYS);
}

/* "close or abort before it gives this callback" */
static void ended_before_it_is_up(int (*end)(tlsloop_conn conn), long seen)
{
    struct fixture *f = without_listener((struct options){ .on.handshake_failed = note_failure });
    int ends[2];
    dial_accepted(ends);
    tlsloop_conn conn = adopt(f, ends[1]);
    CHECK_OK(tlsloop_conn_send(conn, "never sent", 10));
    CHECK_OK(end(conn));
    EVENTUALLY_EQ(f->handshakes_failed, 1);
    CHECK_EQ(f->last_code, TLSLOOP_ECLOSED);
    CHECK_EQ(tcp_until_end(ends[0]), seen);
    close(ends[0]);
    CHECK_EQ(end(conn), TLSLOOP_ECLOSED);
    fixture_stop(f);
}

static void ended_by_the_host(void)
{
    ended_before_it_is_up(tlsloop_conn_close, PEER_FIN);
    ended_before_it_is_up(tlsloop_conn_abort, PEER_RESET);
}

static struct header header;

static struct fixture *behind(struct options options)
{
    options.config.mode = TLSLOOP_MODE_PLAIN;
    options.config.proxy_protocol = TLSLOOP_PROXY_REQUIRED;
    options.config.proxy_trusted = "127.0.0.1";
    return without_listener(options);
}

/* PROXY headers are required of adopted connections, too, and only believed from trusted sources. */
static void behind_a_balancer(void)
{
    struct fixture *f = behind((struct options){ 0 });
    int ends[2], pair[2];
    tlsloop_info info = TLSLOOP_INFO_INIT;
    dial_pair(pair);
    check_refused(f, pair[1], TLSLOOP_ESTATE, "proxy_trusted");
    close(pair[0]);
    close(pair[1]);
    check_nothing_happened(f);
    dial_accepted(ends);
    tlsloop_conn conn = adopt(f, ends[1]);
    header_v2(&header, HEADER_PROXY, HEADER_TCP4);
    CHECK(tcp_send(ends[0], header.bytes, header.len) && tcp_send(ends[0], "behind it", 9));
    CHECK(dial_expect(ends[0], "behind it"));
    CHECK_OK(tlsloop_conn_info(conn, &info));
    CHECK_STR(info.peer, "192.0.2.7:5123");
    close(ends[0]);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

/* The limit counts the client; and as the host holds an id, it is told. */
static void clients_behind_a_balancer_are_counted(void)
{
    struct fixture *f = behind((struct options){ .on.handshake_failed = note_failure, .config.max_connections_per_ip = 2 });
    int ends[3][2];
    header_v2(&header, HEADER_PROXY, HEADER_TCP4);
    for (int i = 0; i < 3; i++) {
        dial_accepted(ends[i]);
        adopt(f, ends[i][1]);
        CHECK(tcp_send(ends[i][0], header.bytes, header.len));
        EVENTUALLY_EQ(f->connects + f->handshakes_failed, i + 1);
    }
    CHECK_EQ(f->handshakes_failed, 1);
    CHECK_EQ(f->last_code, TLSLOOP_ESTATE);
    CHECK_EQ(fixture_stats(f).refused_per_ip, 1);
    for (int i = 0; i < 3; i++) close(ends[i][0]);
    EVENTUALLY_EQ(f->disconnects, 2);
    fixture_stop(f);
}

CHECK_MAIN(CASE(what_is_no_connection), CASE(reset_before), CASE(at_the_limit), CASE(at_the_limit_of_its_address),
           CASE(failures), CASE(ended_by_the_host), CASE(behind_a_balancer), CASE(clients_behind_a_balancer_are_counted))
