/*
 * How much the kernel tells the loop: the wait is wrapped, and what it answers is counted.
 */
#define _GNU_SOURCE
#include "dial.h"
#include "fixture.h"
#include "peer.h"
#include "stage.h"

#include <stdio.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_uint told; /* events, since the process began */
static atomic_bool early; /* the next error that comes with a hang-up comes before it, as it may while the peer is closing */

int epoll_wait(int epoll, struct epoll_event *events, int room, int timeout_ms)
{
    int n = (int)syscall(SYS_epoll_pwait, epoll, events, room, timeout_ms, NULL, 0);
    if (n > 0) told += (unsigned)n;
    for (int i = 0; i < n; i++) {
        if (!(events[i].events & EPOLLERR) || !(events[i].events & EPOLLHUP) || !atomic_exchange(&early, false)) continue;
        events[i].events &= ~(unsigned)EPOLLHUP;
    }
    return n;
}

enum { MANY = 300, ENOUGH = 6 }; /* events of one connection: it came, it sent, it left, and then some of the loop's own */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void wait_at_gate(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    (void)conn;
    (void)data;
    (void)len;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

/*
 * L26: "the echo latency of established connections bounded": a crowd that waits for its handshakes, one a turn, and has
 * left already, is no news in each of these turns. Else every turn would look at all who wait.
 */
static void l26_those_who_wait_are_told_of_once(void)
{
    char hello[2048];
    size_t len = peer_client_hello(hello, sizeof hello);
    struct fixture *f = fixture_start((struct options){ .on.data = wait_at_gate });
    struct peer guard = peer_connect(f->port);
    unsigned many = check_scaled(MANY);
    CHECK_EQ(pthread_mutex_lock(&gate), 0);
    CHECK(peer_send(&guard, "hold", 4));
    EVENTUALLY_EQ(f->data_calls, 1);
    for (unsigned i = 0; i < many; i++) {
        int fd = tcp_connect(f->port);
        CHECK(tcp_send(fd, hello, len));
        if (i % 2) tcp_reset(fd);
        else close(fd);
    }
    unsigned before = told;
    CHECK_EQ(pthread_mutex_unlock(&gate), 0);
    EVENTUALLY_EQ(f->handshakes_failed, many);
    CHECK(told - before <= ENOUGH * many);
    peer_leave(&guard);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

static void greet(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_send(conn, "unread", 6));
}

/* A unix socket whose peer has gone with data unread (unix(7), ECONNRESET): however the kernel tells it, it is a reset. */
static void an_error_without_a_hang_up(void)
{
    for (int with_data = 0; with_data < 2; with_data++) {
        char path[64];
        snprintf(path, sizeof path, "unix:wake_ups.%d.%d", (int)getpid(), with_data);
        struct fixture *f = stage_start((struct options){ .on = { .connect = greet, .data = wait_at_gate },
            .config = { .mode = TLSLOOP_MODE_PLAIN, .address = path } }, NULL);
        int fd = dial_unix(path + 5);
        EVENTUALLY_EQ(f->connects, 1);
        EVENTUALLY_EQ(tlsloop_conn_queued(fixture_conn(f, 0)), 0);
        CHECK_EQ(pthread_mutex_lock(&gate), 0);
        if (with_data) CHECK(tcp_send(fd, "x", 1));
        if (with_data) EVENTUALLY_EQ(f->data_calls, 1);
        if (with_data) CHECK(tcp_send(fd, "x", 1));
        early = true;
        close(fd);
        CHECK_EQ(pthread_mutex_unlock(&gate), 0);
        CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_RESET);
        CHECK(!early);
        fixture_stop(f);
    }
}

CHECK_MAIN(CASE(an_error_without_a_hang_up), CASE(l26_those_who_wait_are_told_of_once))
