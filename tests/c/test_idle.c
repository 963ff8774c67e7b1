/* "No needless wake-ups": what is at rest costs no processor. */
#define _GNU_SOURCE
#include "dial.h"
#include "fixture.h"
#include "measure.h"
#include "peer.h"
#include "stage.h"

#include <linux/net_tstamp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REST_MS = 500 };

static atomic_int worker;

static void note_worker(struct fixture *f, unsigned number)
{
    (void)f;
    (void)number;
    worker = gettid();
}

static void only_note(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    (void)conn;
}

/* The worker sleeps, and has not been awake in between. */
static void check_rest(void)
{
    for (int seen = 0; seen < 20; seen++) EVENTUALLY(measure_sleeps(worker));
    unsigned long before = measure_sleeps_begun(worker);
    check_nap(REST_MS);
    CHECK_EQ(measure_sleeps_begun(worker), before);
}

static unsigned peers_that_fit(unsigned wanted)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    unsigned room = limit.rlim_cur > 200 ? (unsigned)(limit.rlim_cur - 200) / 2 : 1;
    return wanted < room ? wanted : room;
}

/* What the peers do once they are connected. */
static void at_rest(struct options options, unsigned wanted, void (*then)(struct peer *p))
{
    unsigned n = wanted ? peers_that_fit(check_scaled(wanted)) : 0;
    struct peer *peers = calloc(n + 1, sizeof *peers);
    CHECK(peers != NULL);
    options.on.worker_start = note_worker;
    worker = 0;
    struct fixture *f = fixture_start(options);
    EVENTUALLY(worker);
    check_rest();
    for (unsigned i = 0; i < n; i++) {
        peers[i] = peer_connect(f->port);
        CHECK(peer_echo(&peers[i], "and silence"));
        if (then) then(&peers[i]);
    }
    if (options.on.end) EVENTUALLY_EQ(f->ends, n);
    CHECK_EQ(fixture_stats(f).open, n);
    check_rest();
    CHECK_EQ(f->disconnects, 0);
    for (unsigned i = 0; i < n; i++) peer_leave(&peers[i]);
    if (!options.on.end) EVENTUALLY_EQ(f->disconnects, n);
    fixture_stop(f);
    free(peers);
}

/* L20: "1,000 connections that are idle: wakes up for none of them" */
static void l20_idle_connections(void)
{
    at_rest((struct options){ 0 }, 1000, NULL);
}

static void end_politely(struct peer *p)
{
    CHECK(peer_close_notify(p));
}

static void end_and_fin(struct peer *p)
{
    CHECK(peer_close_notify(p));
    tcp_fin(p->fd);
}

/* L20: "half-closed": the peer has ended, the host has not. */
static void l20_half_closed_connections(void)
{
    at_rest((struct options){ .on.end = only_note }, 200, end_politely);
    at_rest((struct options){ .on.end = only_note }, 200, end_and_fin);
}

/* A socket that the host adopted with time stamps on: epoll(7) tells of them as of an error, until somebody reads them. */
static void l20_time_stamps_that_nobody_reads(void)
{
    int flags = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_TX_ACK, ends[2];
    tlsloop_conn conn;
    worker = 0;
    struct fixture *f = stage_start((struct options){
        .on.worker_start = note_worker,
        .config = { .mode = TLSLOOP_MODE_PLAIN, .listen_fd = TLSLOOP_NO_LISTENER } }, NULL);
    EVENTUALLY(worker);
    dial_accepted(ends);
    if (setsockopt(ends[1], SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof flags) != 0) check_skip("no time stamps here");
    CHECK_OK(tlsloop_server_adopt(f->server, ends[1], NULL, &conn));
    CHECK(tcp_send(ends[0], "stamped", 7) && dial_expect(ends[0], "stamped"));
    check_rest();
    CHECK_OK(tlsloop_conn_pause(conn));
    CHECK_OK(tlsloop_conn_send(conn, "too", 3));
    CHECK(dial_expect(ends[0], "too"));
    check_rest();
    CHECK_EQ(f->disconnects, 0);
    CHECK_OK(tlsloop_conn_resume(conn));
    close(ends[0]);
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_PEER);
    fixture_stop(f);
}

/* A server without a connection has nothing to wake up for, whatever its deadlines are. */
static void no_connection_at_all(void)
{
    at_rest((struct options){ .config = { .idle_timeout_ms = 50, .handshake_timeout_ms = 50 } }, 0,
            NULL);
}

CHECK_MAIN(CASE(l20_idle_connections), CASE(l20_half_closed_connections),
           CASE(l20_time_stamps_that_nobody_reads),
           CASE(no_connection_at_all))
