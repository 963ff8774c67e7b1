/* Small answers leave at once, wherever the socket came from: none waits for the acknowledgement of the one before. */
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

/* tcp(7): without TCP_NODELAY a small segment waits while another is unacknowledged, which is 40 ms and more. */
static void check_leaves_at_once(int fd)
{
    int value = 0;
    socklen_t len = sizeof value;
    CHECK(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len) == 0);
    CHECK(value != 0);
}

static void check_served(struct fixture *f, int port)
{
    int fd = tcp_connect(port);
    CHECK(tcp_send(fd, "echo", 4));
    CHECK(dial_expect(fd, "echo"));
    check_leaves_at_once(other_end(fd));
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
    tlsloop_conn conn = 0;
    CHECK_OK(tlsloop_server_adopt(f->server, accepted, NULL, &conn));
    CHECK(tcp_send(fd, "echo", 4));
    CHECK(dial_expect(fd, "echo"));
    check_leaves_at_once(other_end(fd));
    close(listener);
    close(fd);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

CHECK_MAIN(CASE(on_a_socket_of_its_own), CASE(on_a_socket_that_was_handed_in),
           CASE(on_a_connection_that_was_handed_in))
