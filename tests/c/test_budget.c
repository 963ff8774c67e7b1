/* Bytes that are already inside OpenSSL, and work that is bounded per turn. */
#define _GNU_SOURCE
#include "fixture.h"
#include "peer.h"

#include <pthread.h>
#include <string.h>

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

static void swallow(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    (void)conn;
    (void)data;
    (void)len;
}

static void burst(int version, unsigned records, size_t each)
{
    static char record[16384];
    struct fixture *f = fixture_start((struct options){ .on.data = swallow });
    struct peer p = peer_connect_with(f->port, (struct peer_options){ .version = version });
    uint64_t hash = FIXTURE_HASH;
    for (unsigned i = 0; i < records; i++) {
        memset(record, (int)i, each);
        peer_seal(&p, record, each);
        hash = fixture_hash(hash, record, each);
    }
    CHECK(peer_flush(&p));
    struct record r;
    EVENTUALLY_EQ(f->bytes, records * each); /* "without a further packet" */
    CHECK(fixture_nth(f, 0, &r) && r.hash == hash);
    peer_leave(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    fixture_stop(f);
}

/* L14: "100 records in one burst and silence afterwards: all of them without a further packet: bytes
 * inside OpenSSL count as ready" */
static void l14_a_burst_of_small_records(void)
{
    for (int v = 0; v < 2; v++) {
        burst(versions[v], 100, 1);
        burst(versions[v], 100, 100);
        burst(versions[v], 2000, 7);
    }
}

static void l14_a_burst_of_full_records(void)
{
    for (int v = 0; v < 2; v++) burst(versions[v], 200, 16384);
}

/* The burst stands right behind the last flight of the handshake, in the same segment. */
static void l14_a_burst_behind_the_handshake(void)
{
    struct fixture *f = fixture_start((struct options){ .on.data = swallow });
    struct peer p = peer_open(f->port, (struct peer_options){ .version = TLS1_3_VERSION });
    peer_step(&p);
    CHECK(peer_flush(&p));
    while (SSL_do_handshake(p.ssl) != 1) CHECK(peer_fill(&p) > 0);
    for (int i = 0; i < 100; i++) peer_seal(&p, "burst", 5);
    CHECK(peer_flush(&p));
    EVENTUALLY_EQ(f->bytes, 500);
    peer_leave(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    fixture_stop(f);
}

/* "One at a time … data in order": a record cut at each byte is one on_data's worth, whole. */
static void cut_a_record(int version)
{
    static const char text[] = "a record that arrives in two pieces";
    unsigned char bytes[256];
    struct fixture *f = fixture_start((struct options){ 0 });
    struct peer p = peer_connect_with(f->port, (struct peer_options){ .version = version });
    peer_seal(&p, text, sizeof text);
    size_t n = peer_take(&p, bytes, sizeof bytes);
    for (size_t cut = 0; cut <= n; cut++) {
        if (cut > 0) {
            peer_seal(&p, text, sizeof text);
            CHECK_EQ(peer_take(&p, bytes, sizeof bytes), n);
        }
        CHECK(tcp_send(p.fd, bytes, cut));
        check_nap(1);
        CHECK(tcp_send(p.fd, bytes + cut, n - cut));
        char back[sizeof text];
        CHECK(peer_recv_all(&p, back, sizeof back) && memcmp(back, text, sizeof text) == 0);
    }
    peer_leave(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    fixture_stop(f);
}

static void a_record_cut_at_each_byte(void)
{
    for (int v = 0; v < 2; v++) cut_a_record(versions[v]);
}

struct flood {
    int port;
    atomic_bool enough;
    atomic_uint sent;
};

static void *flood_with_tiny_records(void *arg)
{
    struct flood *flood = arg;
    struct peer p = peer_connect(flood->port);
    while (!flood->enough) {
        for (int i = 0; i < 100; i++) peer_seal(&p, "x", 1);
        if (!peer_flush(&p)) break;
        flood->sent++;
    }
    peer_reset(&p);
    return NULL;
}

static void *flood_with_handshakes(void *arg)
{
    struct flood *flood = arg;
    while (!flood->enough) {
        struct peer p = peer_over_socket(tcp_connect(flood->port));
        peer_step(&p);
        peer_flush(&p); /* makes the server sign, and leaves */
        peer_reset(&p);
        flood->sent++;
    }
    return NULL;
}

static void echo_only_short(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    if (memcmp(data, "x", 1) != 0) CHECK_OK(tlsloop_conn_send(conn, data, len));
}

/* Whether the flood is over, or more connections than `*ended` have come to their end since the last look. */
static bool has_moved(struct fixture *f, uint64_t *ended, bool *at_rest)
{
    tlsloop_stats now = fixture_stats(f);
    uint64_t before = *ended;
    *ended = now.disconnects + now.handshakes_failed;
    *at_rest = now.open + now.handshaking == 0;
    return *at_rest || *ended > before;
}

/* Waits until the flood has been dealt with, however much of it there is: only a standstill is an error. */
static void wait_for_the_rest(struct fixture *f)
{
    uint64_t ended = 0;
    for (bool at_rest = false; !at_rest;) EVENTUALLY(has_moved(f, &ended, &at_rest));
}

/*
 * "A handshake storm does not starve established connections: work per turn is bounded." (L26) No time
 * is measured: while the flood goes on without a pause, an established connection on the same and
 * only worker makes its round trips, or the case never ends.
 */
static void progress_under(void *(*run)(void *arg))
{
    enum { FLOODERS = 4 };
    struct flood flood = { 0 };
    pthread_t threads[FLOODERS];
    struct fixture *f = fixture_start((struct options){ .on.data = echo_only_short });
    struct peer p = peer_connect(f->port);
    flood.port = f->port;
    for (int i = 0; i < FLOODERS; i++) CHECK(pthread_create(&threads[i], NULL, run, &flood) == 0);
    EVENTUALLY(flood.sent >= FLOODERS);
    for (unsigned i = 0; i < check_scaled(200); i++) CHECK(peer_echo(&p, "established"));
    flood.enough = true;
    for (int i = 0; i < FLOODERS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(peer_echo(&p, "established"));
    peer_leave(&p);
    wait_for_the_rest(f);
    fixture_stop(f);
}

static void l26_progress_under_a_flood_of_tiny_records(void)
{
    progress_under(flood_with_tiny_records);
}

static void l26_progress_under_a_handshake_storm(void)
{
    progress_under(flood_with_handshakes);
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint tiny, tiny_before_other;

static void hold_or_count(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f, (void)conn;
    char first = *(const char *)data;
    if (first == 'x') tiny += (unsigned)len;
    if (first == 'o') tiny_before_other = tiny;
    if (first != 'h') return;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

/* "work per turn is bounded", in records as well: who comes behind a burst of them waits for a part of it. */
static void l26_a_burst_of_tiny_records_is_no_single_piece(void)
{
    enum { BURST = 2000, PART = BURST / 4 };
    struct fixture *f = fixture_start((struct options){ .on.data = hold_or_count });
    struct peer guard = peer_connect(f->port), burst = peer_connect(f->port), other = peer_connect(f->port);
    EVENTUALLY_EQ(f->connects, 3);
    CHECK_EQ(pthread_mutex_lock(&gate), 0);
    CHECK(peer_send(&guard, "hold", 4));
    EVENTUALLY_EQ(f->data_calls, 1);
    for (int i = 0; i < BURST; i++) peer_seal(&burst, "x", 1);
    CHECK(peer_flush(&burst));
    CHECK(peer_send(&other, "other", 5));
    CHECK_EQ(pthread_mutex_unlock(&gate), 0);
    EVENTUALLY_EQ(f->bytes, 4 + BURST + 5);
    CHECK(tiny_before_other <= PART);
    CHECK_EQ(tiny, BURST);
    peer_leave(&guard);
    peer_leave(&burst);
    peer_leave(&other);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 3);
    fixture_stop(f);
}

static void send_a_lot(struct fixture *f, tlsloop_conn conn)
{
    static const char block[1 << 16];
    (void)f;
    while (tlsloop_conn_send(conn, block, sizeof block) == TLSLOOP_OK) {}
}

static void close_at_third_drain(struct fixture *f, tlsloop_conn conn)
{
    if (f->drains < 3) send_a_lot(f, conn); else CHECK_OK(tlsloop_conn_close(conn));
}

/* L16: "a write wants to read first (a key update) … while the send queue is full: neither stalls nor
 * spins" */
static void l16_key_updates_while_the_queue_is_full(void)
{
    static char buf[16384];
    struct fixture *f = fixture_start((struct options){
        .on = { .connect = send_a_lot, .drain = close_at_third_drain, .data = swallow },
    });
    struct peer p = peer_connect_with(
        f->port, (struct peer_options){ .version = TLS1_3_VERSION, .receive_buffer = 4096 });
    long n;
    unsigned updates = 0;
    for (unsigned reads = 0; (n = peer_recv(&p, buf, sizeof buf)) > 0; reads++) {
        if (reads % 10 != 0) continue;
        CHECK(SSL_key_update(p.ssl, SSL_KEY_UPDATE_REQUESTED) == 1); /* the server must answer */
        CHECK(peer_send(&p, "?", 1));
        updates++;
    }
    CHECK_EQ(n, PEER_CLEAN);
    CHECK(updates > 3);
    CHECK_EQ(f->drains, 3);
    peer_leave(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_HOST], 1);
    fixture_stop(f);
}

CHECK_MAIN(CASE(l14_a_burst_of_small_records), CASE(l14_a_burst_of_full_records),
           CASE(l14_a_burst_behind_the_handshake), CASE(a_record_cut_at_each_byte),
           CASE(l26_a_burst_of_tiny_records_is_no_single_piece),
           CASE(l26_progress_under_a_flood_of_tiny_records),
           CASE(l26_progress_under_a_handshake_storm), CASE(l16_key_updates_while_the_queue_is_full))
