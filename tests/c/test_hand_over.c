/*
 * "tlsloop_server_listen_fd: hand over to a successor process without losing a queued connection": servers follow each
 * other as processes at one socket, under a load of clients that come without a pause, each in TLS or in plain text.
 */
#define _GNU_SOURCE
#include "child.h"
#include "dial.h"
#include "fixture.h"
#include "peer.h"
#include "stage.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { GENERATIONS = 4, CLIENTS = 4 };

/* What a server is told to do. */
enum order { HAND_OVER = 1, LEAVE };

struct generation {
    struct child child;
    int before, after; /* where the socket comes from and goes to; -1: nowhere */
    long served;
};

static void pass(int link, int fd)
{
    union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control = { 0 };
    struct iovec byte = { .iov_base = "x", .iov_len = 1 };
    struct msghdr message = { .msg_iov = &byte, .msg_iovlen = 1,
                              .msg_control = control.room, .msg_controllen = sizeof control.room };
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    *head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd) };
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
    CHECK(sendmsg(link, &message, MSG_NOSIGNAL) == 1);
}

static int receive(int link)
{
    union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control;
    char byte;
    struct iovec to = { .iov_base = &byte, .iov_len = 1 };
    struct msghdr message = { .msg_iov = &to, .msg_iovlen = 1,
                              .msg_control = control.room, .msg_controllen = sizeof control.room };
    int fd;
    CHECK(recvmsg(link, &message, MSG_CMSG_CLOEXEC) == 1);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    CHECK(head != NULL && head->cmsg_type == SCM_RIGHTS);
    memcpy(&fd, CMSG_DATA(head), sizeof fd);
    return fd;
}

/* Whether this process still has a socket that listens. */
static bool listens(void)
{
    for (int fd = 0; fd < 2000; fd++) {
        int is;
        socklen_t len = sizeof is;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is, &len) == 0 && is) return true;
    }
    return false;
}

static struct fixture *begin(const struct generation *g)
{
    tlsloop_server_config config = { .mode = TLSLOOP_MODE_DETECT, .workers = 2 };
    if (g->before >= 0) config.listen_fd = receive(g->before);
    struct fixture *f = stage_start((struct options){ .config = config }, NULL);
    f->loose_descriptors = true;
    return f;
}

/* One server's life: begins, hands over, drains, serves those it has to their end. */
static void serve(int socket, void *arg)
{
    const struct generation *g = arg;
    struct fixture *f = begin(g);
    child_tell(socket, f->port);
    if (g->after >= 0) {
        CHECK_EQ(child_hear(socket), HAND_OVER);
        int fd = tlsloop_server_listen_fd(f->server);
        CHECK(fd >= 0);
        pass(g->after, fd);
        close(fd);
    }
    CHECK_EQ(child_hear(socket), LEAVE);
    CHECK_OK(tlsloop_server_drain(f->server));
    EVENTUALLY(!listens());
    EVENTUALLY(fixture_stats(f).open == 0 && fixture_stats(f).handshaking == 0);
    tlsloop_stats stats = fixture_stats(f);
    CHECK_EQ(stats.handshakes_failed, 0);
    CHECK_EQ(stats.accepted, stats.connects);
    CHECK_EQ(stats.disconnects_by_reason[TLSLOOP_REASON_PEER], stats.connects);
    fixture_stop(f);
    child_tell(socket, (long)stats.connects);
}

static atomic_bool enough;
static atomic_uint visits;
static int port;

static void visit(bool secure)
{
    int fd = tcp_try_connect(port);
    CHECK(fd >= 0); /* nobody is refused */
    struct peer p = { .fd = fd };
    if (secure) {
        p = dial_tls(fd);
        CHECK(peer_echo(&p, "nobody is lost"));
        peer_leave(&p);
    } else {
        CHECK(tcp_send(fd, "nobody is lost", 14) && dial_expect(fd, "nobody is lost"));
        close(fd);
    }
    visits++;
}

static void *load(void *arg)
{
    while (!enough) visit(arg != NULL);
    return NULL;
}

static void more_visits(unsigned n)
{
    unsigned until = visits + n;
    EVENTUALLY(visits >= until);
}

/* The next one begins while this one serves; then this one leaves, with a client of its own that stays for a while. */
static void succession(struct generation *g, struct generation *next)
{
    struct peer stays = peer_over_socket(tcp_connect(port));
    CHECK(peer_handshake(&stays) && peer_echo(&stays, "who was there before"));
    visits++;
    child_tell(g->child.socket, HAND_OVER);
    CHECK_EQ(child_hear(next->child.socket), port);
    more_visits(check_scaled(20));
    child_tell(g->child.socket, LEAVE);
    more_visits(check_scaled(40));
    CHECK(peer_echo(&stays, "stays, whoever serves the others"));
    peer_leave(&stays);
    g->served = child_hear(g->child.socket);
    child_ended_well(&g->child);
    more_visits(CLIENTS + 1); /* there is nobody else to serve them now */
}

static void start_all(struct generation *all)
{
    for (int i = 0; i < GENERATIONS; i++) all[i].before = all[i].after = -1;
    for (int i = 0; i + 1 < GENERATIONS; i++) {
        int ends[2];
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        all[i].after = ends[0];
        all[i + 1].before = ends[1];
    }
    for (int i = 0; i < GENERATIONS; i++) all[i].child = child_start(serve, &all[i]);
    for (int i = 0; i + 1 < GENERATIONS; i++) {
        close(all[i].after);
        close(all[i + 1].before);
    }
}

/* L35: "no connection at all is lost" */
static void l35_from_process_to_process(void)
{
    struct generation all[GENERATIONS] = { 0 };
    pthread_t clients[CLIENTS];
    start_all(all);
    port = (int)child_hear(all[0].child.socket);
    for (int c = 0; c < CLIENTS; c++)
        CHECK(pthread_create(&clients[c], NULL, load, c % 2 ? &clients : NULL) == 0);
    more_visits(check_scaled(20));
    for (int i = 0; i + 1 < GENERATIONS; i++) succession(&all[i], &all[i + 1]);
    enough = true;
    for (int c = 0; c < CLIENTS; c++) CHECK(pthread_join(clients[c], NULL) == 0);
    struct generation *last = &all[GENERATIONS - 1];
    child_tell(last->child.socket, LEAVE);
    last->served = child_hear(last->child.socket);
    child_ended_well(&last->child);
    long sum = 0;
    for (int i = 0; i < GENERATIONS; i++) {
        CHECK(all[i].served > 0);
        sum += all[i].served;
    }
    CHECK_EQ(sum, visits); /* each by one of them, once */
    CHECK(tcp_try_connect(port) < 0);
}

CHECK_MAIN(CASE(l35_from_process_to_process))
