/* conn_pause and conn_resume: what is held back, what is not, and that nothing of it is lost. */
#define _GNU_SOURCE
#include "fixture.h"
#include "measure.h"
#include "peer.h"
#include "stage.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { RECORDS = 100, RECORD = 1000 };

static char block[1 << 20];

static atomic_bool quiet; /* nothing may be delivered while it is set */

static void pause_now(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_pause(conn));
}

/* Pauses in the first on_data, in the middle of what has arrived. */
static void pause_once(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)data;
    (void)len;
    CHECK(!quiet);
    if (f->data_calls > 1) return;
    CHECK_OK(tlsloop_conn_pause(conn));
    quiet = true;
}

static void not_while_quiet(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK(!quiet);
    CHECK_OK(tlsloop_conn_close(conn));
}

static uint64_t send_burst(struct peer *p)
{
    uint64_t hash = FIXTURE_HASH;
    char record[RECORD];
    for (int i = 0; i < RECORDS; i++) {
        memset(record, i, sizeof record);
        peer_seal(p, record, sizeof record);
        hash = fixture_hash(hash, record, sizeof record);
    }
    CHECK(peer_flush(p));
    return hash;
}

/* L15: "a pause in the middle of a burst and a resume a second later, from any thread: delivers the rest
 * though no packet comes, and delivers nothing in between" */
static void l15_pause_in_a_burst_and_resume(void)
{
    quiet = false;
    struct fixture *f = fixture_start((struct options){ .on.data = pause_once });
    struct peer p = peer_connect(f->port);
    uint64_t hash = send_burst(&p);
    EVENTUALLY(quiet);
    check_nap(1000);
    struct record r;
    CHECK(fixture_nth(f, 0, &r));
    CHECK_EQ(f->data_calls, 1);
    quiet = false;
    CHECK_OK(tlsloop_conn_resume(r.conn));
    EVENTUALLY_EQ(f->bytes, RECORDS * RECORD);
    CHECK(fixture_nth(f, 0, &r));
    CHECK(r.hash == hash);
    peer_leave(&p);
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_PEER);
    fixture_stop(f);
}

/* "Bytes already inside OpenSSL come after resume though no packet does": one record at a time is let
 * through, pause and resume are the only events. */
static atomic_uint pauses;

static void pause_again(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    (void)data;
    (void)len;
    CHECK_OK(tlsloop_conn_pause(conn));
    pauses++; /* behind it: a resume that came first would be undone */
}

static void every_piece_needs_its_resume(void)
{
    pauses = 0;
    struct fixture *f = fixture_start((struct options){ .on.data = pause_again });
    struct peer p = peer_connect(f->port);
    tlsloop_conn conn = fixture_conn(f, 0);
    for (int i = 0; i < 40; i++) peer_seal(&p, block, 16000);
    CHECK(peer_flush(&p));
    for (unsigned calls = 1; f->bytes < 40 * 16000; calls++) {
        EVENTUALLY_EQ(pauses, calls);
        CHECK_EQ(f->data_calls, calls);
        CHECK_OK(tlsloop_conn_resume(conn));
    }
    CHECK_EQ(f->bytes, 40 * 16000);
    CHECK_OK(tlsloop_conn_resume(conn));
    CHECK(peer_close_notify(&p));
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_PEER);
    peer_close(&p);
    fixture_stop(f);
}

/* "Undoes tlsloop_conn_pause(), however often that was called"; a resume that nothing preceded is harmless. */
static void one_resume_undoes_many_pauses(void)
{
    struct fixture *f = fixture_start((struct options){ 0 });
    struct peer p = peer_connect(f->port);
    tlsloop_conn conn = fixture_conn(f, 0);
    CHECK_OK(tlsloop_conn_resume(conn));
    for (int i = 0; i < 5; i++) CHECK_OK(tlsloop_conn_pause(conn));
    CHECK(peer_send(&p, "held", 4));
    CHECK_OK(tlsloop_conn_resume(conn));
    char back[4];
    CHECK(peer_recv_all(&p, back, 4));
    CHECK(peer_echo(&p, "and on"));
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    CHECK_EQ(tlsloop_conn_pause(conn), TLSLOOP_ECLOSED);
    CHECK_EQ(tlsloop_conn_resume(conn), TLSLOOP_ECLOSED);
    fixture_stop(f);
}

/*
 * "pause holds back on_data and what stands behind the data (on_end, a clean or truncated end)";
 * L07: "the same when reading was paused at that moment". The pause comes in on_connect or, as the data,
 * the close_notify and the FIN may be there already, before.
 */
static void held_back(bool clean)
{
    quiet = true;
    struct fixture *f = fixture_start((struct options){
        .on = { .connect = pause_now, .data = stage_swallow, .end = not_while_quiet },
    });
    struct peer p = peer_connect(f->port);
    peer_seal(&p, block, 100000);
    if (clean) peer_seal_close_notify(&p);
    CHECK(peer_flush(&p));
    tcp_fin(p.fd);
    tlsloop_conn conn = fixture_conn(f, 0);
    check_nap(300);
    CHECK_EQ(f->data_calls + f->ends + f->disconnects, 0);
    quiet = false;
    CHECK_OK(tlsloop_conn_resume(conn));
    struct record r = stage_ended(f, 0);
    CHECK_EQ(r.bytes, 100000);
    CHECK_EQ(r.reason, clean ? TLSLOOP_REASON_PEER : TLSLOOP_REASON_TRUNCATED);
    CHECK_STR(r.order, clean ? "cdex" : "cdx");
    peer_close(&p);
    fixture_stop(f);
}

static void l07_paused_clean_end(void)
{
    held_back(true);
}

static void paused_truncated_end(void)
{
    held_back(false);
}

static struct record paused_end(struct options options, void (*end)(struct fixture *, struct peer *))
{
    options.on.connect = pause_now;
    struct fixture *f = fixture_start(options);
    struct peer p = peer_connect(f->port);
    fixture_conn(f, 0);
    CHECK(peer_send(&p, "unread", 6));
    end(f, &p);
    struct record r = stage_ended(f, 0);
    if (p.fd >= 0) peer_close(&p);
    fixture_stop(f);
    return r;
}

static void reset(struct fixture *f, struct peer *p)
{
    (void)f;
    peer_reset(p);
}

static void fin_then_reset(struct fixture *f, struct peer *p)
{
    (void)f;
    tcp_fin(p->fd);
    check_nap(50);
    peer_reset(p);
}

static void wait_only(struct fixture *f, struct peer *p)
{
    (void)f;
    tcp_until_end(p->fd);
}

static void host_closes(struct fixture *f, struct peer *p)
{
    CHECK_OK(tlsloop_conn_close(fixture_conn(f, 0)));
    CHECK_EQ(peer_until_end(p, NULL), PEER_CLEAN);
    peer_leave(p);
}

static void host_aborts(struct fixture *f, struct peer *p)
{
    CHECK_OK(tlsloop_conn_abort(fixture_conn(f, 0)));
    CHECK_EQ(tcp_until_end(p->fd), PEER_RESET);
}

/* "reset, timeouts and the host's own close come at once" */
static void what_a_pause_does_not_hold_back(void)
{
    struct options idle = { .config.idle_timeout_ms = 200 };
    struct options none = { 0 };
    CHECK_EQ(paused_end(none, reset).reason, TLSLOOP_REASON_RESET);
    CHECK_EQ(paused_end(none, fin_then_reset).reason, TLSLOOP_REASON_RESET);
    CHECK_EQ(paused_end(idle, wait_only).reason, TLSLOOP_REASON_IDLE_TIMEOUT);
    CHECK_EQ(paused_end(none, host_closes).reason, TLSLOOP_REASON_HOST);
    CHECK_EQ(paused_end(none, host_aborts).reason, TLSLOOP_REASON_ABORTED);
}

/* The send timeout is one of them. */
static void pause_and_fill(struct fixture *f, tlsloop_conn conn)
{
    pause_now(f, conn);
    while (tlsloop_conn_send(conn, block, sizeof block) == TLSLOOP_OK) {}
}

static void the_send_timeout_comes_while_paused(void)
{
    struct fixture *f = fixture_start((struct options){
        .on.connect = pause_and_fill,
        .config = { .send_timeout_ms = 300, .send_high_water = 8 << 20 },
    });
    struct peer p = peer_connect_with(f->port, (struct peer_options){ .receive_buffer = 4096 });
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_SEND_TIMEOUT);
    peer_close(&p);
    fixture_stop(f);
}

/* Only one direction is paused. */
static void sends_go_on_while_paused(void)
{
    unsigned long long bytes = 0;
    struct fixture *f = fixture_start((struct options){ .on.connect = pause_now });
    struct peer p = peer_connect(f->port);
    tlsloop_conn conn = fixture_conn(f, 0);
    for (int i = 0; i < 20; i++) {
        CHECK(peer_send(&p, "unread", 6));
        CHECK_OK(tlsloop_conn_send(conn, block, 50000));
        while (bytes < 50000ull * (unsigned)(i + 1)) {
            static char buf[16384];
            long n = peer_recv(&p, buf, sizeof buf);
            CHECK(n > 0);
            bytes += (unsigned long long)n;
        }
    }
    CHECK_EQ(f->data_calls, 0);
    peer_reset(&p);
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_RESET);
    fixture_stop(f);
}

/* "TCP then makes the peer wait": what is held back is in the kernel, not in this process. */
static void the_peer_waits(void)
{
    struct fixture *f = fixture_start((struct options){
        .on = { .connect = pause_now, .data = stage_swallow },
    });
    struct peer p = peer_connect(f->port);
    tlsloop_conn conn = fixture_conn(f, 0);
    size_t before = measure_heap();
    unsigned sent = 0;
    struct timeval soon = { .tv_usec = 200000 };
    CHECK(setsockopt(p.fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon) == 0);
    while (sent < 64 && peer_send(&p, block, sizeof block / 4)) sent++;
    CHECK(sent < 64); /* 16 MB do not fit between two sockets */
    CHECK(measure_heap() < before + (2 << 20));
    CHECK_OK(tlsloop_conn_resume(conn));
    EVENTUALLY(f->bytes >= sent * (sizeof block / 4));
    peer_reset(&p);
    stage_ended(f, 0);
    fixture_stop(f);
}

static atomic_int worker;

static void note_worker(struct fixture *f, unsigned number)
{
    (void)f;
    (void)number;
    worker = gettid();
}

static void check_rest(void)
{
    for (int seen = 0; seen < 20; seen++) EVENTUALLY(measure_sleeps(worker));
    unsigned long before = measure_sleeps_begun(worker);
    check_nap(500);
    CHECK_EQ(measure_sleeps_begun(worker), before);
}

/* L20: "connections that are … paused … or hung up while paused: wakes up for none of them" */
static void l20_paused_connections(void)
{
    enum { PEERS = 150 };
    static struct peer peers[PEERS];
    if (host_wanted()) check_skip("the host's own loop is what sleeps there");
    struct fixture *f = fixture_start((struct options){
        .on = { .connect = pause_now, .data = stage_swallow, .worker_start = note_worker },
    });
    for (int i = 0; i < PEERS; i++) {
        peers[i] = peer_connect(f->port);
        CHECK(peer_send(&peers[i], "unread", 6));
        if (i % 3 == 1) CHECK(peer_close_notify(&peers[i]));
        if (i % 3 != 0) tcp_fin(peers[i].fd);
    }
    EVENTUALLY_EQ(f->connects, PEERS);
    check_rest();
    CHECK_EQ(f->data_calls + f->disconnects, 0);
    for (unsigned i = 0; i < PEERS; i++) CHECK_OK(tlsloop_conn_resume(fixture_conn(f, i)));
    EVENTUALLY_EQ(f->bytes, 6 * PEERS);
    for (int i = 0; i < PEERS; i++) peer_leave(&peers[i]);
    EVENTUALLY_EQ(f->disconnects, PEERS);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_TRUNCATED], PEERS / 3);
    fixture_stop(f);
}

CHECK_MAIN(CASE(l20_paused_connections), CASE(l15_pause_in_a_burst_and_resume), CASE(every_piece_needs_its_resume),
           CASE(one_resume_undoes_many_pauses), CASE(l07_paused_clean_end), CASE(paused_truncated_end),
           CASE(what_a_pause_does_not_hold_back), CASE(the_send_timeout_comes_while_paused),
           CASE(sends_go_on_while_paused), CASE(the_peer_waits))
