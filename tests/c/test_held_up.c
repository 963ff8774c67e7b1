/*
 * The loop was held up, by a callback that took its time or by the machine: nobody is blamed for bytes that stand in the
 * kernel meanwhile, and who comes is served.
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "peer.h"
#include "stage.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static atomic_bool held, go_on;

static unsigned limit_ms(void)
{
    return 300 * check_time_factor();
}

/* A call that counts time from now, in a callback which has taken longer than any limit. */
static void hold(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    if (len != 4 || memcmp(data, "hold", 4) != 0) return;
    CHECK_OK(tlsloop_conn_set_idle_timeout(conn, 0));
    held = true;
    EVENTUALLY(go_on);
    CHECK_OK(tlsloop_conn_set_idle_timeout(conn, 0));
}

static struct fixture *start(tlsloop_server_config config)
{
    held = go_on = false;
    return stage_start((struct options){ .on.data = hold, .config = config }, NULL);
}

static struct peer hold_up(struct fixture *f)
{
    struct peer guard = peer_connect(f->port);
    CHECK(peer_send(&guard, "hold", 4));
    EVENTUALLY(held);
    return guard;
}

static void finish(struct fixture *f, struct peer *guard)
{
    peer_leave(guard);
    EVENTUALLY_EQ(fixture_stats(f).open, 0);
    fixture_stop(f);
}

/* The time of each begins with its first bytes, so that it does not matter how long it takes until all are there. */
static void limit_from_now(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    if (len == 5 && memcmp(data, "early", 5) == 0) CHECK_OK(tlsloop_conn_set_idle_timeout(conn, 5 * limit_ms()));
    else hold(f, conn, data, len);
}

/* "Milliseconds without a byte in either direction": a byte that came in time counts, though it was read later. */
static void what_has_come_counts_for_the_idle_timeout(void)
{
    enum { TALKERS = 300 }; /* more than one wait can tell of */
    struct peer *talkers = calloc(TALKERS, sizeof *talkers);
    held = go_on = false;
    struct fixture *f = stage_start((struct options){ .on.data = limit_from_now }, NULL);
    unsigned n = check_scaled(TALKERS);
    struct peer guard = hold_up(f);
    go_on = true;
    for (unsigned i = 0; i < n; i++) talkers[i] = peer_connect(f->port);
    for (unsigned i = 0; i < n; i++) CHECK(peer_send(&talkers[i], "early", 5));
    EVENTUALLY_EQ(f->bytes, 4 + 5 * n);
    held = go_on = false;
    CHECK(peer_send(&guard, "hold", 4));
    EVENTUALLY(held);
    for (unsigned i = 0; i < n; i++) CHECK(peer_send(&talkers[i], "in time", 7));
    check_nap(7 * limit_ms());
    go_on = true;
    EVENTUALLY_EQ(f->bytes, 8 + 12 * n);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_IDLE_TIMEOUT], 0);
    for (unsigned i = 0; i < n; i++) peer_reset(&talkers[i]);
    finish(f, &guard);
    free(talkers);
}

/* "without the kernel taking a byte": a peer that has read meanwhile has made room. */
static void room_counts_for_the_send_timeout(void)
{
    enum { MUCH = 8 << 20 };
    char *much = calloc(1, MUCH), piece[16384];
    unsigned long long got = 0;
    struct fixture *f = start((tlsloop_server_config){ .send_timeout_ms = 3 * limit_ms(), .send_high_water = 2 * MUCH });
    struct peer reader = peer_connect_with(f->port, (struct peer_options){ .receive_buffer = 8192 });
    tlsloop_conn conn = fixture_conn(f, 0);
    CHECK(much != NULL);
    CHECK_OK(tlsloop_conn_send(conn, much, MUCH));
    struct peer guard = hold_up(f);
    for (int i = 0; i < 20; i++) {
        check_nap(limit_ms() / 4);
        long n = peer_recv(&reader, piece, sizeof piece);
        CHECK(n > 0);
        got += (unsigned long long)n;
    }
    go_on = true;
    while (got < MUCH) {
        long n = peer_recv(&reader, piece, sizeof piece);
        CHECK(n > 0);
        got += (unsigned long long)n;
    }
    peer_leave(&reader);
    finish(f, &guard);
    free(much);
}

static void hold_as_well(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    if (len == 3 && memcmp(data, "nap", 3) == 0) check_nap(7 * limit_ms());
    else hold(f, conn, data, len);
}

/* The time that one callback takes is not held against those who are served behind it in the same turn: one that has just
 * been heard, and one that has just come. */
static void those_behind_a_slow_callback(void)
{
    struct fixture *f = stage_start((struct options){ .on.data = hold_as_well, .config = {
        .idle_timeout_ms = 5 * limit_ms(), .handshake_timeout_ms = 5 * limit_ms() } }, NULL);
    struct peer first = peer_connect(f->port), talker = peer_connect(f->port), guard;
    go_on = false;
    guard = hold_up(f);
    CHECK(peer_send(&first, "nap", 3));
    CHECK(peer_send(&talker, "here", 4));
    struct peer newcomer = peer_over_socket(tcp_connect(f->port));
    go_on = true;
    CHECK(peer_handshake(&newcomer));
    EVENTUALLY_EQ(f->bytes, 11);
    CHECK(peer_send(&talker, "still", 5));
    EVENTUALLY_EQ(f->bytes, 16);
    CHECK_EQ(f->handshakes_failed, 0);
    peer_leave(&newcomer);
    peer_leave(&talker);
    peer_close(&first);
    finish(f, &guard);
}

static void take_a_while(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    check_nap(10);
    CHECK_OK(tlsloop_conn_send(conn, data, len));
}

struct talk {
    int port;
    bool tls;
    atomic_bool *enough;
};

static void *keep_talking(void *arg)
{
    struct talk *t = arg;
    char back[5];
    struct peer p = t->tls ? peer_connect(t->port) : (struct peer){ .fd = tcp_connect(t->port) };
    while (!*t->enough) {
        if (t->tls) CHECK(peer_echo(&p, "again"));
        else CHECK(tcp_send(p.fd, "again", 5) && tcp_recv(p.fd, back, 5) > 0);
    }
    peer_close(&p);
    return NULL;
}

/* Those who are up keep the loop busy, turn after turn; those who come are served beside them, before their time is over. */
static void newcomers_among_the_busy(int mode)
{
    enum { BUSY = 8, NEWCOMERS = 60 };
    pthread_t busy[BUSY];
    struct peer newcomers[NEWCOMERS];
    atomic_bool enough = false;
    struct fixture *f = stage_start((struct options){ .on.data = take_a_while,
        .config = { .mode = mode, .handshake_timeout_ms = 3000 * check_time_factor() } }, NULL);
    struct talk talk = { f->port, mode == TLSLOOP_MODE_TLS, &enough };
    for (int i = 0; i < BUSY; i++) CHECK(pthread_create(&busy[i], NULL, keep_talking, &talk) == 0);
    EVENTUALLY_EQ(f->connects, BUSY);
    for (int i = 0; i < NEWCOMERS; i++) {
        newcomers[i] = (struct peer){ .fd = tcp_connect(f->port) };
        if (talk.tls) newcomers[i] = peer_over_socket(newcomers[i].fd);
        if (talk.tls) peer_step(&newcomers[i]);
        if (talk.tls) CHECK(peer_flush(&newcomers[i]));
    }
    for (int i = 0; i < NEWCOMERS && talk.tls; i++) CHECK(peer_handshake(&newcomers[i]));
    EVENTUALLY_EQ(f->connects, BUSY + NEWCOMERS);
    enough = true;
    for (int i = 0; i < BUSY; i++) CHECK(pthread_join(busy[i], NULL) == 0);
    CHECK_EQ(f->handshakes_failed, 0);
    for (int i = 0; i < NEWCOMERS; i++) peer_close(&newcomers[i]);
    EVENTUALLY_EQ(fixture_stats(f).open, 0);
    fixture_stop(f);
}

static void newcomers_with_tls(void)
{
    newcomers_among_the_busy(TLSLOOP_MODE_TLS);
}

static void newcomers_in_plain_text(void)
{
    newcomers_among_the_busy(TLSLOOP_MODE_PLAIN);
}

CHECK_MAIN(CASE(what_has_come_counts_for_the_idle_timeout), CASE(room_counts_for_the_send_timeout),
           CASE(those_behind_a_slow_callback),
           CASE(newcomers_with_tls), CASE(newcomers_in_plain_text))
