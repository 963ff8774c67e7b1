/*
 * Close and abort from inside every callback, of the own connection and of another.
 *
 * Where several connections are concerned there is one worker, so that they stand in the same batch
 * of events whenever the peers were quick enough; a gate in one of them makes sure of it.
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "peer.h"

#include <string.h>

/* What a case does with a connection. */
enum act { CLOSE, ABORT, CLOSE_ABORT, ABORT_CLOSE, SEND_CLOSE, CLOSE_TWICE };

struct plan {
    enum act act;
    char when; /* as in record.order */
};

/* "send, end, close, abort never call back before they return" */
static _Thread_local bool inside_call;

static int close_conn(tlsloop_conn conn)
{
    inside_call = true;
    int answer = tlsloop_conn_close(conn);
    inside_call = false;
    return answer;
}

static int abort_conn(tlsloop_conn conn)
{
    inside_call = true;
    int answer = tlsloop_conn_abort(conn);
    inside_call = false;
    return answer;
}

static void act(tlsloop_conn conn, enum act what)
{
    switch (what) {
    case CLOSE:
        CHECK_OK(close_conn(conn));
        break;
    case ABORT:
        CHECK_OK(abort_conn(conn));
        break;
    case CLOSE_ABORT: /* an abort stays an abort */
        CHECK_OK(close_conn(conn));
        CHECK_OK(abort_conn(conn));
        break;
    case ABORT_CLOSE:
        CHECK_OK(abort_conn(conn));
        CHECK_EQ(close_conn(conn), TLSLOOP_ECLOSED);
        break;
    case SEND_CLOSE:
        CHECK_OK(tlsloop_conn_send(conn, "bye", 3));
        CHECK_OK(close_conn(conn));
        break;
    case CLOSE_TWICE:
        CHECK_OK(close_conn(conn));
        CHECK_EQ(close_conn(conn), TLSLOOP_ECLOSED);
        break;
    }
    CHECK_EQ(tlsloop_conn_send(conn, "late", 4), TLSLOOP_ECLOSED);
}

static void at(struct fixture *f, tlsloop_conn conn, char now)
{
    const struct plan *plan = f->context;
    CHECK(!inside_call);
    if (plan->when == now) act(conn, plan->act);
}

static void at_connect(struct fixture *f, tlsloop_conn conn)
{
    at(f, conn, 'c');
}

/* Fills the queue, so that a drain will come. */
static void fill(tlsloop_conn conn)
{
    static char block[1 << 15];
    while (tlsloop_conn_send(conn, block, sizeof block) == TLSLOOP_OK) {}
}

static void at_data(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    const struct plan *plan = f->context;
    (void)data;
    (void)len;
    if (plan->when == 'w') fill(conn);
    at(f, conn, 'd');
}

static void at_drain(struct fixture *f, tlsloop_conn conn)
{
    at(f, conn, 'w');
}

static void at_end(struct fixture *f, tlsloop_conn conn)
{
    const struct plan *plan = f->context;
    at(f, conn, 'e');
    if (plan->when != 'e') close_conn(conn);
}

static void at_disconnect(struct fixture *f, tlsloop_conn conn, int reason)
{
    (void)f;
    (void)reason;
    CHECK(!inside_call);
    /* "inside on_disconnect, info and data still work, send and close answer ECLOSED" */
    tlsloop_info info = TLSLOOP_INFO_INIT;
    CHECK_OK(tlsloop_conn_info(conn, &info));
    CHECK_HAS(info.peer, "127.0.0.1:");
    CHECK(tlsloop_conn_data(conn) == NULL);
    CHECK_EQ(tlsloop_conn_send(conn, "late", 4), TLSLOOP_ECLOSED);
    CHECK_EQ(close_conn(conn), TLSLOOP_ECLOSED);
    CHECK_EQ(abort_conn(conn), TLSLOOP_ECLOSED);
    CHECK_EQ(tlsloop_conn_queued(conn), 0);
}

static const struct hooks hooks = {
    .connect = at_connect,
    .data = at_data,
    .drain = at_drain,
    .end = at_end,
    .disconnect = at_disconnect,
};

/* One visitor of a server that acts at `when`. */
static void visit(struct fixture *f, char when)
{
    static char answer[1 << 14];
    struct peer p = peer_open(f->port, (struct peer_options){ .receive_buffer = 8192 });
    if (!peer_handshake(&p)) {
        CHECK_EQ(when, 'c'); /* the abort was quicker than the peer's last flight */
        peer_close(&p);
        return;
    }
    if (when != 'c') CHECK(peer_send(&p, "hello", 5));
    if (when == 'e') CHECK(peer_close_notify(&p));
    while (peer_recv(&p, answer, sizeof answer) > 0) {}
    peer_leave(&p);
}

static int expected_reason(enum act what, char when)
{
    if (what == ABORT || what == CLOSE_ABORT || what == ABORT_CLOSE) return TLSLOOP_REASON_ABORTED;
    return when == 'e' ? TLSLOOP_REASON_PEER : TLSLOOP_REASON_HOST;
}

static void each_act(char when)
{
    for (enum act what = CLOSE; what <= CLOSE_TWICE; what++) {
        struct plan plan = { what, when };
        struct fixture *f = fixture_start((struct options){
            .on = hooks,
            .context = &plan,
            .config.send_high_water = 1 << 18,
        });
        for (unsigned i = 0; i < 10; i++) {
            visit(f, when);
            EVENTUALLY_EQ(f->disconnects, i + 1);
        }
        CHECK_EQ(f->reasons[expected_reason(what, when)], 10);
        fixture_stop(f);
    }
}

/* L03: "a close or abort from inside any callback … keeps an abort an abort, and never runs
 * on_disconnect inside conn_close or conn_abort" */
static void l03_in_on_connect(void)
{
    each_act('c');
}

static void l03_in_on_data(void)
{
    each_act('d');
}

static void l03_in_on_drain(void)
{
    each_act('w');
}

static void l03_in_on_end(void)
{
    each_act('e');
}

static void close_a_failed_one(struct fixture *f, tlsloop_conn conn, int code, const char *peer,
                               const char *why)
{
    (void)f;
    (void)code;
    (void)peer;
    (void)why;
    CHECK_EQ(tlsloop_conn_send(conn, "late", 4), TLSLOOP_ECLOSED);
    CHECK_EQ(close_conn(conn), TLSLOOP_ECLOSED);
    CHECK_EQ(abort_conn(conn), TLSLOOP_ECLOSED);
    CHECK_EQ(tlsloop_conn_queued(conn), 0);
}

/* A connection that failed its handshake is over: the calls say so and do nothing. */
static void in_on_handshake_failed(void)
{
    struct fixture *f = fixture_start((struct options){ .on.handshake_failed = close_a_failed_one });
    for (unsigned i = 0; i < 10; i++) {
        int fd = tcp_connect(f->port);
        tcp_send(fd, "GET / HTTP/1.1\r\n\r\n", 18);
        tcp_until_end(fd);
        tcp_reset(fd);
        EVENTUALLY_EQ(f->handshakes_failed, i + 1);
    }
    fixture_stop(f);
}

enum { CROWD = 20 };

/* L02: A acts on B while B stands in the same batch. */
struct batch {
    enum act act;
    pthread_mutex_t gate; /* the worker waits here until all peers have sent */
    atomic_bool acted;
    tlsloop_conn actor; /* set before it has acted */
};

static void hold_then_act(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    struct batch *batch = f->context;
    const char *text = data;
    (void)len;
    if (text[0] == 'G') { /* the gate */
        pthread_mutex_lock(&batch->gate);
        pthread_mutex_unlock(&batch->gate);
        return;
    }
    /* "gives B nothing more than its on_disconnect" */
    CHECK(!batch->acted || conn == batch->actor);
    if (batch->acted) return;
    batch->actor = conn;
    batch->acted = true;
    for (unsigned i = 0; i < CROWD + 1; i++) {
        tlsloop_conn other = fixture_conn(f, i);
        if (other != conn) act(other, batch->act);
    }
}

/* Connections 1 to CROWD send while the worker is held by connection 0; the first one that is
 * served then ends all others. */
static void one_ends_all_others(enum act what)
{
    struct batch batch = { .act = what, .gate = PTHREAD_MUTEX_INITIALIZER };
    struct fixture *f = fixture_start((struct options){ .on.data = hold_then_act, .context = &batch });
    struct peer gate = peer_connect(f->port), crowd[CROWD];
    EVENTUALLY_EQ(f->connects, 1);
    for (unsigned i = 0; i < CROWD; i++) crowd[i] = peer_connect(f->port);
    EVENTUALLY_EQ(f->connects, CROWD + 1);

    pthread_mutex_lock(&batch.gate);
    CHECK(peer_send(&gate, "G", 1));
    EVENTUALLY_EQ(f->data_calls, 1);
    for (unsigned i = 0; i < CROWD; i++) CHECK(peer_send(&crowd[i], "hello", 5));
    pthread_mutex_unlock(&batch.gate);

    EVENTUALLY(batch.acted);
    for (unsigned i = 0; i < CROWD; i++) {
        if (fixture_conn(f, i + 1) != batch.actor) peer_until_end(&crowd[i], NULL);
        peer_leave(&crowd[i]);
    }
    peer_leave(&gate);
    EVENTUALLY_EQ(f->disconnects, CROWD + 1);
    CHECK_EQ(f->reasons[expected_reason(what, 'd')], CROWD);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_PEER], 1); /* the actor */
    fixture_stop(f);
}

static void l02_abort_of_others_in_the_same_batch(void)
{
    one_ends_all_others(ABORT);
}

static void l02_close_of_others_in_the_same_batch(void)
{
    one_ends_all_others(CLOSE);
    one_ends_all_others(CLOSE_ABORT);
}

/* L02: the other one is just ending: whatever on_disconnect of A does to B, B ends once. */
static void abort_all(struct fixture *f, tlsloop_conn conn, int reason)
{
    (void)reason;
    for (unsigned i = 0; i < CROWD; i++) {
        tlsloop_conn other = fixture_conn(f, i);
        int answer = abort_conn(other);
        if (other == conn) CHECK_EQ(answer, TLSLOOP_ECLOSED);
        CHECK(answer == TLSLOOP_OK || answer == TLSLOOP_ECLOSED);
    }
}

static void l02_abort_of_others_in_on_disconnect(void)
{
    struct fixture *f = fixture_start((struct options){ .on.disconnect = abort_all });
    struct peer crowd[CROWD];
    for (unsigned i = 0; i < CROWD; i++) crowd[i] = peer_connect(f->port);
    EVENTUALLY_EQ(f->connects, CROWD);
    for (unsigned i = 0; i < CROWD; i++) peer_leave(&crowd[i]);
    EVENTUALLY_EQ(f->disconnects, CROWD);
    fixture_stop(f);
}

CHECK_MAIN(CASE(l03_in_on_connect), CASE(l03_in_on_data), CASE(l03_in_on_drain),
           CASE(l03_in_on_end), CASE(in_on_handshake_failed),
           CASE(l02_abort_of_others_in_the_same_batch),
           CASE(l02_close_of_others_in_the_same_batch), CASE(l02_abort_of_others_in_on_disconnect))
