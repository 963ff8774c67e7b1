/* Calls with ids that have ended, and with numbers that never were ids. */
#define _GNU_SOURCE
#include "fixture.h"
#include "measure.h"
#include "peer.h"

#include <string.h>

enum { THREADS = 4 };

/* "every call with the id answers ECLOSED (queued 0, data NULL), for ever" */
static void check_closed(tlsloop_conn conn)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    int anything;
    CHECK_EQ(tlsloop_conn_send(conn, "stale", 5), TLSLOOP_ECLOSED);
    CHECK_EQ(tlsloop_conn_send(conn, NULL, 0), TLSLOOP_ECLOSED);
    CHECK_EQ(tlsloop_conn_queued(conn), 0);
    CHECK_EQ(tlsloop_conn_info(conn, &info), TLSLOOP_ECLOSED);
    CHECK_EQ(tlsloop_conn_set_data(conn, &anything), TLSLOOP_ECLOSED);
    CHECK(tlsloop_conn_data(conn) == NULL);
    CHECK_EQ(tlsloop_conn_close(conn), TLSLOOP_ECLOSED);
    CHECK_EQ(tlsloop_conn_abort(conn), TLSLOOP_ECLOSED);
    CHECK(strlen(tlsloop_last_error()) > 0);
}

static void set_own_data(struct fixture *f, tlsloop_conn conn)
{
    CHECK_OK(tlsloop_conn_set_data(conn, f));
}

static void data_is_there(struct fixture *f, tlsloop_conn conn, int reason)
{
    (void)reason;
    CHECK(tlsloop_conn_data(conn) == f); /* "inside on_disconnect, info and data still work" */
}

static struct fixture *start(void)
{
    return fixture_start((struct options){
        .on.connect = set_own_data,
        .on.disconnect = data_is_there,
        .config.workers = 2,
    });
}

/* The id of a connection that has come and gone. */
static tlsloop_conn used_id(struct fixture *f)
{
    unsigned before = f->disconnects;
    struct peer p = peer_connect(f->port);
    CHECK(peer_echo(&p, "short life"));
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects, before + 1);
    return fixture_conn(f, before);
}

/* "Once on_disconnect has returned, every call with the id answers ECLOSED" */
static void after_the_disconnect(void)
{
    struct fixture *f = start();
    tlsloop_conn first = used_id(f);
    /* on_disconnect has returned when the statistics count it */
    EVENTUALLY_EQ(fixture_stats(f).disconnects, 1);
    check_closed(first);
    for (int i = 0; i < 20; i++) CHECK(used_id(f) != first);
    check_closed(first);
    fixture_stop(f);
    check_closed(first);
}

/* "… for ever, also after the server is gone", and while the next one serves. */
static void after_the_server_is_gone(void)
{
    struct fixture *f = start();
    struct peer p = peer_connect(f->port);
    CHECK(peer_echo(&p, "short life"));
    tlsloop_conn conn = fixture_conn(f, 0);
    f->loose_descriptors = true; /* the peer's outlives the server here */
    fixture_stop(f);
    check_closed(conn);
    peer_close(&p);

    f = start();
    check_closed(conn);
    for (int i = 0; i < 20; i++) CHECK(used_id(f) != conn);
    check_closed(conn);
    fixture_stop(f);
    check_closed(conn);
}

struct hammer {
    tlsloop_conn stale[64];
    unsigned n;
    atomic_bool enough;
    atomic_uint rounds;
};

static void *hammer_on(void *arg)
{
    struct hammer *hammer = arg;
    while (!hammer->enough) {
        for (unsigned i = 0; i < hammer->n; i++) check_closed(hammer->stale[i]);
        hammer->rounds++;
    }
    return NULL;
}

/*
 * L05: "any call with a connection whose on_disconnect has run, from any thread: ECLOSED, reaches no
 * other connection". The slots of the stale ids are in use again meanwhile; a call that reached
 * the new connection would show as a byte too many, a changed pointer, or an early end.
 */
static void l05_from_other_threads_while_slots_are_used_again(void)
{
    struct hammer hammer = { .n = 64 };
    pthread_t threads[THREADS];
    struct fixture *f = start();
    for (unsigned i = 0; i < hammer.n; i++) hammer.stale[i] = used_id(f);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, hammer_on, &hammer) == 0);
    for (unsigned i = 0; i < check_scaled(300); i++) {
        struct peer p = peer_connect(f->port);
        CHECK(peer_echo(&p, "mine alone"));
        CHECK(peer_close_notify(&p));
        CHECK_EQ(peer_until_end(&p, NULL), PEER_CLEAN);
        peer_close(&p);
    }
    EVENTUALLY(hammer.rounds > 0);
    hammer.enough = true;
    for (int i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], check_scaled(300) + hammer.n);
    fixture_stop(f);
}

/* The same threads, while servers come and go. */
static void from_other_threads_while_servers_stop(void)
{
    struct hammer hammer = { 0 };
    pthread_t threads[THREADS];
    unsigned descriptors = measure_descriptors();
    struct fixture *f = start();
    hammer.n = 8;
    for (unsigned i = 0; i < hammer.n; i++) hammer.stale[i] = used_id(f);
    fixture_stop(f);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, hammer_on, &hammer) == 0);
    for (unsigned i = 0; i < check_scaled(50); i++) {
        f = start();
        f->loose_descriptors = true; /* a call that is under way may hold one a little longer */
        used_id(f);
        fixture_stop(f);
    }
    hammer.enough = true;
    for (int i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK_EQ(measure_descriptors(), descriptors);
}

struct live {
    atomic_ullong conn;
    atomic_bool enough;
    atomic_uint accepted;
};

/* Sends to whatever the newest id is, dying or dead: OK or ECLOSED, nothing else. */
static void *send_to_the_dying(void *arg)
{
    struct live *live = arg;
    while (!live->enough) {
        tlsloop_conn conn = live->conn;
        tlsloop_info info = TLSLOOP_INFO_INIT;
        int answer = tlsloop_conn_send(conn, "x", 1);
        CHECK(answer == TLSLOOP_OK || answer == TLSLOOP_ECLOSED || answer == TLSLOOP_EFULL);
        live->accepted += answer == TLSLOOP_OK;
        answer = tlsloop_conn_info(conn, &info);
        CHECK(answer == TLSLOOP_OK || answer == TLSLOOP_ECLOSED);
        if (answer == TLSLOOP_OK) CHECK_HAS(info.peer, "127.0.0.1:");
        tlsloop_conn_queued(conn);
    }
    return NULL;
}

static void newest(struct fixture *f, tlsloop_conn conn)
{
    ((struct live *)f->context)->conn = conn;
}

/* "Connections (from any thread)": while they end, too. */
static void calls_race_with_the_end(void)
{
    struct live live = { 0 };
    pthread_t threads[THREADS];
    struct fixture *f = fixture_start((struct options){
        .on.connect = newest,
        .context = &live,
        .config.workers = 2,
    });
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, send_to_the_dying, &live) == 0);
    for (unsigned i = 0; i < check_scaled(200); i++) {
        struct peer p = peer_connect(f->port);
        char buf[64];
        CHECK(peer_recv(&p, buf, sizeof buf) > 0);
        if (i % 2) peer_reset(&p); else peer_leave(&p);
    }
    EVENTUALLY_EQ(f->disconnects, check_scaled(200));
    live.enough = true;
    for (int i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(live.accepted > 0);
    fixture_stop(f);
}

/* "0 never does"; "below 2^63"; "The first call on an invented number answers ECLOSED." */
static void invented_numbers(void)
{
    static const tlsloop_conn invented[] = {
        0, 1, 2, 0x7fffffff, 0x80000000, 0x80000001, 0xffffffffffffffff, 0x8000000000000000,
        0x8000000000000001, 0x7fffffffffffffff, 0x0008000000000001, 0x123456789abcdef0,
    };
    for (size_t i = 0; i < sizeof invented / sizeof *invented; i++) check_closed(invented[i]);
    struct fixture *f = start();
    struct peer p = peer_connect(f->port);
    CHECK(peer_echo(&p, "real"));
    tlsloop_conn real = fixture_conn(f, 0);
    for (size_t i = 0; i < sizeof invented / sizeof *invented; i++)
        if (invented[i] != real) check_closed(invented[i]);
    for (int bit = 0; bit < 64; bit++) check_closed(real ^ (1ull << bit));
    CHECK(peer_echo(&p, "untouched"));
    peer_leave(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    fixture_stop(f);
}

CHECK_MAIN(CASE(after_the_disconnect), CASE(after_the_server_is_gone),
           CASE(l05_from_other_threads_while_slots_are_used_again),
           CASE(from_other_threads_while_servers_stop), CASE(calls_race_with_the_end),
           CASE(invented_numbers))
