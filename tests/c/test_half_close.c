/* conn_end and on_end: each direction of a connection ends by itself, and nothing on the other is lost. */
#define _GNU_SOURCE
#include "fixture.h"
#include "peer.h"
#include "stage.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1 << 20, MUCH = 8 << 20 };

static char block[BLOCK];

/* The answer to a request: a megabyte, then the end of this direction. */
static void answer_and_end(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)data;
    if (f->data_calls > 1) return;
    CHECK_EQ(len, 2);
    CHECK_OK(tlsloop_conn_send(conn, block, sizeof block));
    CHECK_OK(tlsloop_conn_end(conn));
    CHECK_EQ(tlsloop_conn_send(conn, "late", 4), TLSLOOP_ECLOSED);
    CHECK_EQ(tlsloop_conn_end(conn), TLSLOOP_ECLOSED);
}

static struct peer read_the_answer(struct fixture *f)
{
    unsigned long long bytes = 0;
    struct peer p = peer_connect(f->port);
    CHECK(peer_send(&p, "go", 2));
    CHECK_EQ(peer_until_end(&p, &bytes), PEER_CLEAN);
    CHECK_EQ(bytes, BLOCK);
    return p;
}

/* Sends more after the host's end, which the host must see. */
static uint64_t send_more(struct fixture *f, struct peer *p)
{
    uint64_t hash = fixture_hash(FIXTURE_HASH, "go", 2);
    char piece[10000];
    for (int i = 0; i < 50; i++) {
        memset(piece, i, sizeof piece);
        CHECK(peer_send(p, piece, sizeof piece));
        hash = fixture_hash(hash, piece, sizeof piece);
    }
    EVENTUALLY_EQ(f->bytes, 2 + 50 * sizeof piece);
    CHECK_EQ(f->disconnects, 0);
    return hash;
}

/*
 * L13: "given conn_end, the host goes on receiving until the peer's end"; "half-close: flush,
 * close_notify; goes on receiving". The host does nothing more, with on_end or without.
 */
static void l13_the_host_receives_after_its_own_end(void)
{
    for (int with_on_end = 0; with_on_end < 2; with_on_end++) {
        struct fixture *f = fixture_start((struct options){
            .on = { .data = answer_and_end, .end = with_on_end ? stage_only_note : NULL },
        });
        struct peer p = read_the_answer(f);
        uint64_t hash = send_more(f, &p);
        peer_leave(&p);
        struct record r = stage_ended(f, 0);
        CHECK_EQ(r.reason, TLSLOOP_REASON_HOST);
        CHECK(r.hash == hash);
        CHECK_STR(r.order, with_on_end ? "cdex" : "cdx");
        fixture_stop(f);
    }
}

/* "REASON_RESET: RST": a host that keeps its own direction open learns of it, whatever it has sent meanwhile. */
static void a_reset_after_the_peers_end_is_a_reset(void)
{
    for (int mode = TLSLOOP_MODE_TLS; mode <= TLSLOOP_MODE_PLAIN; mode++) {
        struct fixture *f = stage_start((struct options){ .on.end = stage_only_note, .config.mode = mode }, NULL);
        struct peer p = mode == TLSLOOP_MODE_TLS ? peer_connect(f->port) : (struct peer){ .fd = tcp_connect(f->port) };
        if (p.ssl) CHECK(peer_close_notify(&p));
        else tcp_fin(p.fd);
        tlsloop_conn conn = fixture_conn(f, 0);
        EVENTUALLY_EQ(f->ends, 1);
        CHECK_OK(tlsloop_conn_send(conn, block, 1000));
        EVENTUALLY_EQ(tlsloop_conn_queued(conn), 0);
        peer_reset(&p);
        struct record r = stage_ended(f, 0);
        CHECK_EQ(r.reason, TLSLOOP_REASON_RESET);
        CHECK_STR(r.order, "cex");
        fixture_stop(f);
    }
}

/* "a truncated stream is never reported as a clean end", also after the host's own end. */
static void a_bare_fin_after_the_hosts_end_is_truncated(void)
{
    struct fixture *f = fixture_start((struct options){
        .on = { .data = answer_and_end, .end = stage_only_note },
    });
    struct peer p = read_the_answer(f);
    send_more(f, &p);
    peer_close(&p);
    struct record r = stage_ended(f, 0);
    CHECK_EQ(r.reason, TLSLOOP_REASON_TRUNCATED);
    CHECK_STR(r.order, "cdx");
    fixture_stop(f);
}

/* "REASON_RESET: RST": the connection still is one, with both ends to lose. */
static void a_reset_after_the_hosts_end_is_a_reset(void)
{
    struct fixture *f = fixture_start((struct options){ .on.data = answer_and_end });
    struct peer p = read_the_answer(f);
    send_more(f, &p);
    peer_reset(&p);
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_RESET);
    fixture_stop(f);
}

/* "close_timeout_ms runs from close (or end) …; after close_notify has left it runs once more. If it ends
 * with bytes unsent: SEND_TIMEOUT; else HOST" */
static void a_silent_peer_after_the_hosts_end(void)
{
    struct fixture *f = fixture_start((struct options){
        .on.data = answer_and_end,
        .config.close_timeout_ms = 300,
    });
    struct peer p = read_the_answer(f);
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_HOST);
    peer_close(&p);
    fixture_stop(f);
}

/* "close_timeout_ms … after close_notify has left it runs once more": an idle timeout that is set meanwhile is another. */
static void the_idle_timeout_does_not_prolong_it(void)
{
    struct fixture *f = fixture_start((struct options){ .on.data = answer_and_end, .config.close_timeout_ms = 300 });
    struct peer p = read_the_answer(f);
    tlsloop_conn conn = fixture_conn(f, 0);
    struct check_wait wait = check_wait_start();
    while (tlsloop_conn_set_idle_timeout(conn, 0) == TLSLOOP_OK) CHECK(check_wait_more(&wait));
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_HOST);
    peer_close(&p);
    fixture_stop(f);
}

static void much_and_end(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    (void)data;
    (void)len;
    char *much = calloc(1, MUCH);
    CHECK(much != NULL);
    CHECK_OK(tlsloop_conn_send(conn, much, MUCH));
    CHECK_OK(tlsloop_conn_end(conn));
    free(much);
}

static void a_peer_that_never_reads(void)
{
    struct fixture *f = fixture_start((struct options){
        .on.data = much_and_end,
        .config.close_timeout_ms = 300,
    });
    struct peer p = peer_connect_with(f->port, (struct peer_options){ .receive_buffer = 4096 });
    CHECK(peer_send(&p, "go", 2));
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_SEND_TIMEOUT);
    peer_close(&p);
    fixture_stop(f);
}

/* "conn_close: flush, close_notify, read and drop until the peer's end": what conn_end has begun, a close
 * and an abort may still finish. */
static void close_and_abort_after_the_end(void)
{
    for (int aborts = 0; aborts < 2; aborts++) {
        struct fixture *f = fixture_start((struct options){ .on.data = answer_and_end });
        struct peer p = read_the_answer(f);
        tlsloop_conn conn = fixture_conn(f, 0);
        if (aborts) {
            CHECK_OK(tlsloop_conn_abort(conn));
            CHECK_EQ(tcp_until_end(p.fd), PEER_RESET);
        } else {
            CHECK_OK(tlsloop_conn_close(conn));
            CHECK_EQ(tlsloop_conn_close(conn), TLSLOOP_ECLOSED);
            CHECK(peer_send(&p, "is dropped", 10));
            CHECK(peer_close_notify(&p));
        }
        CHECK_EQ(stage_ended(f, 0).reason,
                 aborts ? TLSLOOP_REASON_ABORTED : TLSLOOP_REASON_HOST);
        CHECK_EQ(f->bytes, 2);
        peer_close(&p);
        fixture_stop(f);
    }
}

/* "on_end: peer's close_notify; NULL: tlsloop closes": what was queued leaves before. */
static void answer_only(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    (void)data;
    (void)len;
    CHECK_OK(tlsloop_conn_send(conn, block, sizeof block));
}

static void without_on_end_tlsloop_closes(void)
{
    unsigned long long bytes = 0;
    struct fixture *f = fixture_start((struct options){ .on.data = answer_only });
    struct peer p = peer_connect(f->port);
    peer_seal(&p, "go", 2);
    peer_seal_close_notify(&p);
    CHECK(peer_flush(&p));
    CHECK_EQ(peer_until_end(&p, &bytes), PEER_CLEAN);
    CHECK_EQ(bytes, BLOCK);
    peer_close(&p);
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_PEER);
    fixture_stop(f);
}

/* L07: "N bytes, close_notify and FIN that arrive in one segment: N bytes, then on_end, then on_disconnect
 * with PEER" */
static void end_own_half(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_end(conn));
}

static void l07_bytes_close_notify_and_fin(void)
{
    for (unsigned i = 0; i < check_scaled(50); i++) {
        struct fixture *f = fixture_start((struct options){
            .on = { .data = stage_swallow, .end = end_own_half },
        });
        struct peer p = peer_connect(f->port);
        peer_seal(&p, block, 1000 + i * 300);
        peer_seal_close_notify(&p);
        CHECK(peer_flush(&p));
        tcp_fin(p.fd);
        struct record r = stage_ended(f, 0);
        CHECK_EQ(r.bytes, 1000 + i * 300);
        CHECK_EQ(r.reason, TLSLOOP_REASON_PEER);
        CHECK_STR(r.order, "cdex");
        peer_close(&p);
        fixture_stop(f);
    }
}

/* RFC 8446, 6.1: "Any data received after a closure alert has been received MUST be ignored": also by the kernel, which
 * would answer what nobody has read with a reset, and destroy what has not been fetched of the host's last answer. */
static void answer_and_close(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_send(conn, block, sizeof block));
    CHECK_OK(tlsloop_conn_close(conn));
}

static void what_comes_behind_the_peers_end_is_dropped(void)
{
    static const char more[] = "and another thing";
    struct fixture *f = fixture_start((struct options){ .on.end = answer_and_close });
    unsigned long long bytes = 0;
    char end[100];
    struct peer p = peer_connect(f->port);
    peer_seal_close_notify(&p);
    size_t n = peer_take(&p, end, sizeof end - sizeof more);
    memcpy(end + n, more, sizeof more);
    CHECK(tcp_send(p.fd, end, n + sizeof more));
    EVENTUALLY_EQ(f->ends, 1);
    EVENTUALLY_EQ(tlsloop_conn_queued(fixture_conn(f, 0)), 0);
    for (int i = 0; i < 20; i++) {
        CHECK(tcp_send(p.fd, more, sizeof more));
        check_nap(1);
    }
    CHECK_EQ(peer_until_end(&p, &bytes), PEER_CLEAN);
    CHECK_EQ(bytes, BLOCK);
    peer_close(&p);
    struct record r = stage_ended(f, 0);
    CHECK_EQ(r.reason, TLSLOOP_REASON_PEER);
    CHECK_STR(r.order, "cex");
    fixture_stop(f);
}

/* Both ends at once: whichever is seen first, it is a clean end, told once. */
static void both_end_at_once(void)
{
    struct fixture *f = fixture_start((struct options){ .on.end = stage_only_note });
    for (unsigned i = 0; i < check_scaled(200); i++) {
        struct peer p = peer_connect(f->port);
        tlsloop_conn conn = fixture_conn(f, i);
        CHECK(peer_close_notify(&p));
        CHECK_OK(tlsloop_conn_end(conn));
        CHECK_EQ(peer_until_end(&p, NULL), PEER_CLEAN);
        int reason = stage_ended(f, i).reason;
        CHECK(reason == TLSLOOP_REASON_PEER || reason == TLSLOOP_REASON_HOST);
        peer_close(&p);
    }
    fixture_stop(f);
}

/* "from any thread; from inside callbacks too": an end in on_connect is a server that only listens. */
static void ends_in_on_connect(void)
{
    struct fixture *f = fixture_start((struct options){
        .on = { .connect = end_own_half, .data = stage_swallow },
    });
    struct peer p = peer_connect(f->port);
    CHECK_EQ(peer_until_end(&p, NULL), PEER_CLEAN);
    for (int i = 0; i < 100; i++) CHECK(peer_send(&p, block, 5000));
    peer_leave(&p);
    struct record r = stage_ended(f, 0);
    CHECK_EQ(r.bytes, 500000);
    CHECK_EQ(r.reason, TLSLOOP_REASON_HOST);
    CHECK_STR(r.order, "cdx");
    fixture_stop(f);
}

CHECK_MAIN(CASE(l13_the_host_receives_after_its_own_end),
           CASE(a_bare_fin_after_the_hosts_end_is_truncated),
           CASE(a_reset_after_the_hosts_end_is_a_reset), CASE(a_reset_after_the_peers_end_is_a_reset),
           CASE(what_comes_behind_the_peers_end_is_dropped), CASE(a_silent_peer_after_the_hosts_end),
           CASE(the_idle_timeout_does_not_prolong_it), CASE(a_peer_that_never_reads), CASE(close_and_abort_after_the_end),
           CASE(without_on_end_tlsloop_closes), CASE(l07_bytes_close_notify_and_fin),
           CASE(both_end_at_once), CASE(ends_in_on_connect))
