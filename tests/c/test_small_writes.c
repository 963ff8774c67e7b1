/*
 * Sockets that come with options of their own, or inherit them: small answers leave at once, what has come is told of
 * however little it is, and a close neither holds its thread up nor destroys what is on its way.
 */
#define _GNU_SOURCE
#include "dial.h"
#include "fixture.h"
#include "peer.h"
#include "stage.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

static int port_by(int (*name)(int, struct sockaddr *, socklen_t *), int fd)
{
    struct sockaddr_in address = { 0 };
    socklen_t len = sizeof address;
    if (name(fd, (struct sockaddr *)&address, &len) != 0 || address.sin_family != AF_INET) return -1;
    return ntohs(address.sin_port);
}

static int peer_name(int fd, struct sockaddr *address, socklen_t *len) { return getpeername(fd, address, len); }
static int own_name(int fd, struct sockaddr *address, socklen_t *len) { return getsockname(fd, address, len); }

/* The server's end of a connection, which is in this process too. */
static int other_end(int fd)
{
    for (int other = 3; other < 2048; other++)
        if (other != fd && port_by(peer_name, other) == port_by(own_name, fd)) return other;
    check_failed(__FILE__, __LINE__, "the connection has no other end here");
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;
    CHECK(getsockopt(fd, level, name, &value, &len) == 0);
    return value;
}

/*
 * tcp(7): without TCP_NODELAY a small segment waits while another is unacknowledged, which is 40 ms and more; with TCP_CORK
 * 200 ms. socket(7): SO_LINGER makes close(2) wait, also that of a non-blocking socket, or reset the connection.
 */
static void check_ordinary(int fd)
{
    CHECK(option(fd, IPPROTO_TCP, TCP_NODELAY) != 0);
    CHECK_EQ(option(fd, IPPROTO_TCP, TCP_CORK), 0);
    CHECK_EQ(option(fd, SOL_SOCKET, SO_RCVLOWAT), 1);
    CHECK_EQ(option(fd, SOL_SOCKET, SO_LINGER), 0); /* its first member says whether it is on */
}

static void make_odd(int fd)
{
    int one = 1, many = 1000;
    struct linger linger = { .l_onoff = 1, .l_linger = 60 };
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_CORK, &one, sizeof one) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &many, sizeof many) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
}

static void check_served(struct fixture *f, int port)
{
    int fd = tcp_connect(port);
    CHECK(tcp_send(fd, "echo", 4));
    CHECK(dial_expect(fd, "echo"));
    check_ordinary(other_end(fd));
    close(fd);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

static struct options plain(int listen_fd)
{
    return (struct options){ .config = { .mode = TLSLOOP_MODE_PLAIN, .listen_fd = listen_fd } };
}

static void on_a_socket_of_its_own(void)
{
    struct fixture *f = fixture_start(plain(0));
    check_served(f, f->port);
}

static void on_a_socket_that_was_handed_in(void)
{
    int port, listener = tcp_listen(&port);
    make_odd(listener);
    struct fixture *f = fixture_start(plain(listener));
    f->loose_descriptors = true; /* the listening socket was there before, and goes with the server */
    check_served(f, port);
}

static void on_a_connection_that_was_handed_in(void)
{
    int port, listener = tcp_listen(&port), fd = tcp_connect(port);
    struct fixture *f = stage_start(plain(TLSLOOP_NO_LISTENER), NULL);
    f->loose_descriptors = true; /* they came before the fixture counted */
    int accepted = accept(listener, NULL, NULL);
    make_odd(accepted);
    tlsloop_conn conn = 0;
    CHECK_OK(tlsloop_server_adopt(f->server, accepted, NULL, &conn));
    CHECK(tcp_send(fd, "echo", 4));
    CHECK(dial_expect(fd, "echo"));
    check_ordinary(other_end(fd));
    close(listener);
    close(fd);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

CHECK_MAIN(CASE(on_a_socket_of_its_own), CASE(on_a_socket_that_was_handed_in),
           CASE(on_a_connection_that_was_handed_in))
