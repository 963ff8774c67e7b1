/* The habit: every EOF is "closed by client". Here each end is reported as what it is. */
#define _GNU_SOURCE
#include "fixture.h"
#include "peer.h"

#include <string.h>

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
#define EACH_VERSION(v) (size_t v = 0; v < sizeof versions / sizeof *versions; v++)

typedef void (*ending)(struct fixture *f, struct peer *p);

static struct record only_record(struct fixture *f)
{
    struct record r;
    EVENTUALLY_EQ(f->disconnects, 1);
    CHECK(fixture_nth(f, 0, &r));
    return r;
}

/* A connection that echoes once, then ends; the record of its life. */
static struct record end_by(struct options options, int version, ending end)
{
    struct fixture *f = fixture_start(options);
    struct peer p = peer_connect_with(f->port, (struct peer_options){ .version = version });
    CHECK(peer_echo(&p, "before the end"));
    end(f, &p);
    struct record r = only_record(f);
    if (p.fd >= 0) peer_close(&p);
    CHECK_EQ(f->handshakes_failed, 0);
    EVENTUALLY_EQ(fixture_stats(f).disconnects_by_reason[r.reason], 1); /* it counts behind the callback */
    fixture_stop(f);
    CHECK(strlen(r.why) > 0); /* "in on_disconnect it tells the end" */
    return r;
}

static void check_end(struct options options, ending end, int reason, const char *order)
{
    for EACH_VERSION(v) {
        struct record r = end_by(options, versions[v], end);
        CHECK_STR(tlsloop_reason_name(r.reason), tlsloop_reason_name(reason));
        CHECK_EQ(r.reason, reason);
        CHECK_STR(r.order, order);
    }
}

static void polite(struct fixture *f, struct peer *p)
{
    (void)f;
    peer_leave(p);
}

/* The peer waits for the answer to its close_notify, which is the server's. */
static void polite_and_waits(struct fixture *f, struct peer *p)
{
    (void)f;
    CHECK(peer_close_notify(p));
    CHECK_EQ(peer_until_end(p, NULL), PEER_CLEAN);
    CHECK_EQ(tcp_until_end(p->fd), PEER_FIN);
}

static void fin(struct fixture *f, struct peer *p)
{
    (void)f;
    tcp_fin(p->fd);
}

static void reset(struct fixture *f, struct peer *p)
{
    (void)f;
    peer_reset(p);
}

/* "REASON_PEER: close_notify"; "on_end NULL: tlsloop closes". */
static void close_notify_is_peer(void)
{
    check_end((struct options){ 0 }, polite, TLSLOOP_REASON_PEER, "cdx");
    check_end((struct options){ 0 }, polite_and_waits, TLSLOOP_REASON_PEER, "cdx");
}

/* "REASON_TRUNCATED: FIN without close_notify" */
static void fin_is_truncated(void)
{
    check_end((struct options){ 0 }, fin, TLSLOOP_REASON_TRUNCATED, "cdx");
}

/* "REASON_RESET: RST, or a failed write" */
static void rst_is_reset(void)
{
    check_end((struct options){ 0 }, reset, TLSLOOP_REASON_RESET, "cdx");
}

static void forged_record(struct fixture *f, struct peer *p)
{
    static const unsigned char record[] = { 23, 3, 3, 0, 32, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
                                            14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27,
                                            28, 29, 30, 31, 32 };
    (void)f;
    CHECK(tcp_send(p->fd, record, sizeof record));
    CHECK_EQ(peer_until_end(p, NULL), PEER_FAILED); /* it is told so, by an alert */
}

/* "REASON_PROTOCOL: TLS error": a record that does not decrypt. */
static void forged_record_is_protocol(void)
{
    check_end((struct options){ 0 }, forged_record, TLSLOOP_REASON_PROTOCOL, "cdx");
}

static void rejected_by_peer(struct fixture *f, struct peer *p)
{
    unsigned char bytes[4096];
    (void)f;
    CHECK(peer_send(p, "?", 1));
    long n = tcp_recv(p->fd, bytes, sizeof bytes);
    CHECK(n > 0);
    bytes[n - 1] ^= 1; /* damaged on its way to the peer, whose OpenSSL answers with a fatal alert */
    peer_feed(p, bytes, (size_t)n);
    CHECK_EQ(peer_recv(p, bytes, sizeof bytes), PEER_FAILED);
}

/* "REASON_PROTOCOL: … or alert": a fatal alert from the peer. */
static void alert_is_protocol(void)
{
    check_end((struct options){ 0 }, rejected_by_peer, TLSLOOP_REASON_PROTOCOL, "cdx");
}

static void silence(struct fixture *f, struct peer *p)
{
    (void)f;
    CHECK(peer_until_end(p, NULL) == PEER_CLEAN);
    peer_leave(p);
}

/* "REASON_IDLE_TIMEOUT", with a close_notify for the peer. */
static void silence_is_idle_timeout(void)
{
    check_end((struct options){ .config.idle_timeout_ms = 700 * check_time_factor() }, silence,
              TLSLOOP_REASON_IDLE_TIMEOUT, "cdx");
}

static void host_closes(struct fixture *f, struct peer *p)
{
    CHECK_OK(tlsloop_conn_close(fixture_conn(f, 0)));
    CHECK_EQ(peer_until_end(p, NULL), PEER_CLEAN);
    peer_leave(p);
}

/* "REASON_HOST: conn_close, all bytes handed to the kernel" */
static void close_is_host(void)
{
    check_end((struct options){ 0 }, host_closes, TLSLOOP_REASON_HOST, "cdx");
}

static void host_aborts(struct fixture *f, struct peer *p)
{
    CHECK_OK(tlsloop_conn_abort(fixture_conn(f, 0)));
    CHECK_EQ(peer_until_end(p, NULL), PEER_RESET);
}

/* "REASON_ABORTED: conn_abort"; "RST". */
static void abort_is_aborted(void)
{
    check_end((struct options){ 0 }, host_aborts, TLSLOOP_REASON_ABORTED, "cdx");
}

static void remember_reason(struct fixture *f, tlsloop_conn conn, int reason)
{
    (void)conn;
    *(int *)f->context = reason;
}

/* "Connections that it ends: STOPPED" */
static void stop_is_stopped(void)
{
    int reason = -1;
    struct fixture *f =
        fixture_start((struct options){ .on.disconnect = remember_reason, .context = &reason });
    struct peer p = peer_connect(f->port);
    CHECK(peer_echo(&p, "before the end"));
    f->loose_descriptors = true; /* the peer's outlives the server here */
    fixture_stop(f);
    CHECK_EQ(reason, TLSLOOP_REASON_STOPPED);
    CHECK_EQ(peer_until_end(&p, NULL), PEER_CLEAN);
    peer_close(&p);
}

static void close_in_on_end(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_close(conn));
}

static void data_and_end_at_once(bool with_hook, void (*end)(struct peer *p), int reason,
                                 const char *order)
{
    static char block[20000];
    for EACH_VERSION(v) {
        struct options options = { 0 };
        if (with_hook) options.on.end = close_in_on_end;
        struct fixture *f = fixture_start(options);
        struct peer p =
            peer_connect_with(f->port, (struct peer_options){ .version = versions[v] });
        peer_seal(&p, block, sizeof block);
        end(&p);
        struct record r = only_record(f);
        CHECK_EQ(r.bytes, sizeof block);
        CHECK_EQ(r.reason, reason);
        CHECK_STR(r.order, order);
        peer_close(&p);
        fixture_stop(f);
    }
}

static void seal_close_notify_and_fin(struct peer *p)
{
    peer_seal_close_notify(p);
    CHECK(peer_flush(p));
    tcp_fin(p->fd);
}

static void flush_and_fin(struct peer *p)
{
    CHECK(peer_flush(p));
    tcp_fin(p->fd);
}

/* L07: "N bytes, close_notify and FIN in one segment: N bytes, then on_end, then PEER" */
static void l07_data_close_notify_and_fin_at_once(void)
{
    data_and_end_at_once(true, seal_close_notify_and_fin, TLSLOOP_REASON_PEER, "cdex");
    data_and_end_at_once(false, seal_close_notify_and_fin, TLSLOOP_REASON_PEER, "cdx");
}

/* "A bare FIN under TLS: no more on_data, queued bytes are still flushed, then TRUNCATED"; on_end is
 * for close_notify alone. */
static void data_and_fin_at_once(void)
{
    data_and_end_at_once(true, flush_and_fin, TLSLOOP_REASON_TRUNCATED, "cdx");
}

/* "queued bytes are still flushed, then TRUNCATED": the echo arrives although the peer's half is
 * gone. */
static void echo_is_flushed_after_a_bare_fin(void)
{
    static char sent[300000];
    unsigned long long bytes = 0;
    struct fixture *f = fixture_start((struct options){ 0 });
    struct peer p = peer_connect_with(f->port, (struct peer_options){ .receive_buffer = 4096 });
    CHECK(peer_send(&p, sent, sizeof sent));
    tcp_fin(p.fd);
    peer_until_end(&p, &bytes);
    CHECK_EQ(bytes, sizeof sent);
    CHECK_EQ(only_record(f).reason, TLSLOOP_REASON_TRUNCATED);
    peer_close(&p);
    fixture_stop(f);
}

/*
 * L01: "a hang-up and readable data in the same turn: one on_disconnect". What a reset destroys in
 * the kernel is not owed, so the data may or may not come; the fixture holds the rest.
 */
static void l01_data_and_reset_in_one_turn(void)
{
    unsigned visits = check_scaled(200);
    struct fixture *f = fixture_start((struct options){ 0 });
    for (unsigned i = 0; i < visits; i++) {
        struct peer p = peer_connect(f->port);
        peer_seal(&p, "data", 4);
        if (i % 2) peer_seal_close_notify(&p);
        CHECK(peer_flush(&p));
        peer_reset(&p);
    }
    EVENTUALLY_EQ(f->disconnects + f->handshakes_failed, visits);
    CHECK_EQ(f->connects, f->disconnects);
    fixture_stop(f);
}

static void inside_a_record(void (*end)(struct peer *p), int reason)
{
    unsigned char bytes[256];
    struct fixture *f = fixture_start((struct options){ 0 });
    struct peer p = peer_connect(f->port);
    CHECK(peer_echo(&p, "whole"));
    peer_seal(&p, "half a record", 13);
    size_t n = peer_take(&p, bytes, sizeof bytes);
    CHECK(tcp_send(p.fd, bytes, n / 2));
    end(&p);
    struct record r = only_record(f);
    CHECK_EQ(r.reason, reason);
    CHECK_EQ(r.bytes, 5);
    if (p.fd >= 0) peer_close(&p);
    fixture_stop(f);
}

/* L06: "a peer that fails in mid record" is reported once, after all data received before it. */
static void l06_end_inside_a_record(void)
{
    inside_a_record(flush_and_fin, TLSLOOP_REASON_TRUNCATED);
    inside_a_record(peer_reset, TLSLOOP_REASON_RESET);
}

CHECK_MAIN(CASE(close_notify_is_peer), CASE(fin_is_truncated), CASE(rst_is_reset),
           CASE(forged_record_is_protocol), CASE(alert_is_protocol), CASE(silence_is_idle_timeout),
           CASE(close_is_host), CASE(abort_is_aborted), CASE(stop_is_stopped),
           CASE(l07_data_close_notify_and_fin_at_once), CASE(data_and_fin_at_once),
           CASE(echo_is_flushed_after_a_bare_fin), CASE(l01_data_and_reset_in_one_turn),
           CASE(l06_end_inside_a_record))
