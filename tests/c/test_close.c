/* "Nothing is lost at the end": what conn_close owes, and for how long. */
#define _GNU_SOURCE
#include "fixture.h"
#include "measure.h"
#include "peer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MEGABYTE = 1 << 20,
    MUCH = 8 * MEGABYTE, /* more than the kernel keeps for a peer that does not read (tcp_wmem) */
};

static char block[MEGABYTE];

static void send_and_close(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    (void)data;
    (void)len;
    CHECK_OK(tlsloop_conn_send(conn, block, sizeof block));
    CHECK_OK(tlsloop_conn_close(conn));
}

/* L08: "1 MB accepted by conn_send, then conn_close at once, and a peer that reads slowly: every byte
 * and then close_notify" */
static void l08_every_byte_then_close_notify(void)
{
    static char buf[16384];
    struct fixture *f = fixture_start((struct options){ .on.data = send_and_close });
    struct peer p = peer_connect_with(f->port, (struct peer_options){ .receive_buffer = 4096 });
    CHECK(peer_send(&p, "go", 2));
    unsigned long long bytes = 0;
    long n;
    for (unsigned i = 0; (n = peer_recv(&p, buf, sizeof buf)) > 0; i++) {
        bytes += (unsigned long long)n;
        if (i % 8 == 0) check_nap(20);
    }
    CHECK_EQ(n, PEER_CLEAN);
    CHECK_EQ(bytes, sizeof block);
    peer_leave(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_HOST], 1);
    CHECK_EQ(fixture_stats(f).bytes_out, sizeof block);
    fixture_stop(f);
}

static void answer_once_and_close(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)data;
    (void)len;
    (void)f;
    CHECK_OK(tlsloop_conn_send(conn, "the answer", 10));
    CHECK_OK(tlsloop_conn_close(conn));
}

/*
 * L10: "a peer that is still sending when the host has answered and closes: the answer is not
 * destroyed by a reset". The peer sends for a while without reading; then the answer and the
 * close_notify must still be there, and no RST before them.
 */
static void l10_the_answer_survives_a_peer_that_is_still_sending(void)
{
    for (unsigned i = 0; i < check_scaled(20); i++) {
        char answer[16];
        struct fixture *f = fixture_start((struct options){ .on.data = answer_once_and_close });
        struct peer p = peer_connect(f->port);
        for (int sent = 0; sent < 40; sent++) CHECK(peer_send(&p, block, 16000));
        EVENTUALLY_EQ(f->data_calls, 1);
        for (int sent = 0; sent < 40; sent++) CHECK(peer_send(&p, block, 16000));
        CHECK(peer_recv_all(&p, answer, 10));
        CHECK(memcmp(answer, "the answer", 10) == 0);
        CHECK_EQ(peer_recv(&p, answer, sizeof answer), PEER_CLEAN);
        CHECK_EQ(f->disconnects, 0); /* "reads and drops until the peer's end" */
        peer_leave(&p);
        EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_HOST], 1);
        CHECK_EQ(f->data_calls, 1); /* dropped, not delivered */
        fixture_stop(f);
    }
}

static void send_much_and_close(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    (void)data;
    (void)len;
    char *bytes = calloc(1, MUCH);
    CHECK(bytes != NULL);
    CHECK_OK(tlsloop_conn_send(conn, bytes, MUCH));
    free(bytes);
    CHECK_OK(tlsloop_conn_close(conn));
}

/* L11: "a peer that never reads: on_disconnect by close_timeout_ms, with SEND_TIMEOUT" */
static void l11_a_peer_that_never_reads(void)
{
    struct fixture *f = fixture_start((struct options){
        .on.data = send_much_and_close,
        .config.close_timeout_ms = 300,
    });
    struct peer p = peer_connect_with(f->port, (struct peer_options){ .receive_buffer = 4096 });
    CHECK(peer_send(&p, "go", 2));
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_SEND_TIMEOUT], 1);
    peer_close(&p);
    fixture_stop(f);
}

/* The same by a call from another thread, which comes back: there is more to do behind it. */
static void l11_close_returns_at_once(void)
{
    enum { PEERS = 5 };
    struct peer peers[PEERS];
    char *much = calloc(1, MUCH);
    CHECK(much != NULL);
    struct fixture *f = fixture_start((struct options){ .config.close_timeout_ms = 1000 });
    for (unsigned i = 0; i < PEERS; i++)
        peers[i] = peer_connect_with(f->port, (struct peer_options){ .receive_buffer = 4096 });
    for (unsigned i = 0; i < PEERS; i++) {
        CHECK_OK(tlsloop_conn_send(fixture_conn(f, i), much, MUCH));
        CHECK_OK(tlsloop_conn_close(fixture_conn(f, i)));
    }
    struct peer other = peer_connect(f->port);
    CHECK(peer_echo(&other, "meanwhile"));
    peer_leave(&other);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_SEND_TIMEOUT], PEERS);
    for (unsigned i = 0; i < PEERS; i++) peer_close(&peers[i]);
    fixture_stop(f);
    free(much);
}

/* "Connections that it ends: STOPPED", also one that the host had closed and that still owes its peer something. */
static void a_stop_before_everything_has_left(void)
{
    struct fixture *f = fixture_start((struct options){
        .on.data = send_much_and_close,
        .config.close_timeout_ms = TLSLOOP_NONE,
    });
    f->loose_descriptors = true;
    struct peer p = peer_connect_with(f->port, (struct peer_options){ .receive_buffer = 4096 });
    CHECK(peer_send(&p, "go", 2));
    EVENTUALLY_EQ(f->data_calls, 1);
    CHECK(peer_recv_all(&p, block, 1000)); /* the queue is on its way */
    fixture_stop(f);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_STOPPED], 1);
    peer_close(&p);
}

/* "send_timeout_ms: without the kernel taking a byte": SEND_TIMEOUT without any close. */
static void fill_up(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    while (tlsloop_conn_send(conn, block, sizeof block) == TLSLOOP_OK) {}
}

static void send_timeout(void)
{
    struct fixture *f = fixture_start((struct options){
        .on.connect = fill_up,
        .config.send_timeout_ms = 300,
        .config.send_high_water = MUCH,
    });
    struct peer p = peer_connect_with(f->port, (struct peer_options){ .receive_buffer = 4096 });
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_SEND_TIMEOUT], 1);
    peer_close(&p);
    fixture_stop(f);
}

/* "If it ends with bytes unsent: SEND_TIMEOUT; else HOST": the peer has everything and never ends. */
static void a_peer_that_never_ends_is_host(void)
{
    struct fixture *f = fixture_start((struct options){
        .on.data = answer_once_and_close,
        .config.close_timeout_ms = 300,
    });
    char answer[16];
    struct peer p = peer_connect(f->port);
    CHECK(peer_send(&p, "go", 2));
    CHECK(peer_recv_all(&p, answer, 10));
    CHECK_EQ(peer_recv(&p, answer, sizeof answer), PEER_CLEAN);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_HOST], 1);
    peer_close(&p);
    fixture_stop(f);
}

/* The peer's end after the host's close: however it is, all bytes had been handed over before. */
static void the_host_was_first(void (*end)(struct peer *p))
{
    struct fixture *f = fixture_start((struct options){ .on.data = answer_once_and_close });
    char answer[16];
    struct peer p = peer_connect(f->port);
    CHECK(peer_send(&p, "go", 2));
    CHECK(peer_recv_all(&p, answer, 10));
    CHECK_EQ(peer_recv(&p, answer, sizeof answer), PEER_CLEAN);
    end(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_HOST], 1);
    fixture_stop(f);
}

static void ends_after_the_hosts_close(void)
{
    the_host_was_first(peer_leave);
    the_host_was_first(peer_close);
}

static atomic_int worker;

static void note_worker(struct fixture *f, unsigned number)
{
    (void)f;
    (void)number;
    worker = gettid();
}

/* "What arrives is dropped until the peer's end", also when it is no TLS any more: nothing spins over it, and the end
 * is seen when it comes. */
static void garbage_after_the_hosts_close(void)
{
    static char garbage[200000];
    struct fixture *f = fixture_start((struct options){
        .on = { .data = answer_once_and_close, .worker_start = note_worker },
        .config.close_timeout_ms = TLSLOOP_NONE,
    });
    char answer[16];
    struct peer p = peer_connect(f->port);
    CHECK(peer_send(&p, "go", 2));
    CHECK(peer_recv_all(&p, answer, 10));
    CHECK_EQ(peer_recv(&p, answer, sizeof answer), PEER_CLEAN);
    for (int i = 0; i < 3; i++) {
        CHECK(tcp_send(p.fd, garbage, sizeof garbage));
        for (int seen = 0; seen < 20; seen++) EVENTUALLY(measure_sleeps(worker));
    }
    CHECK_EQ(f->disconnects, 0);
    peer_close(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_HOST], 1);
    fixture_stop(f);
}

/* L06: a peer that fails "in mid send" and "in close": reported once, as RESET. */
static void l06_reset_in_mid_send(void)
{
    static char received[10000];
    for (int closing = 0; closing < 2; closing++) {
        struct fixture *f = fixture_start((struct options){
            .on.data = closing ? send_much_and_close : NULL,
            .on.connect = closing ? NULL : fill_up,
        });
        struct peer p = peer_connect_with(f->port, (struct peer_options){ .receive_buffer = 4096 });
        if (closing) CHECK(peer_send(&p, "go", 2));
        CHECK(peer_recv_all(&p, received, sizeof received));
        peer_reset(&p);
        EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_RESET], 1);
        CHECK_EQ(fixture_stats(f).queued_bytes, 0);
        fixture_stop(f);
    }
}

/* "Bytes accepted by send are handed to this machine's kernel … or the reason is not HOST or PEER (a
 * close_notify followed by a failed write is RESET)" */
static void close_notify_and_no_reader(void)
{
    struct fixture *f = fixture_start((struct options){
        .on.data = send_much_and_close,
        .config.send_high_water = MUCH,
    });
    struct peer p = peer_connect_with(f->port, (struct peer_options){ .receive_buffer = 4096 });
    CHECK(peer_send(&p, "go", 2));
    CHECK(peer_recv_all(&p, block, 1000));
    CHECK(peer_close_notify(&p));
    tcp_reset(p.fd);
    SSL_free(p.ssl);
    EVENTUALLY_EQ(f->disconnects, 1);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_RESET], 1);
    fixture_stop(f);
}

static void answer_in_on_end(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_send(conn, block, sizeof block));
    CHECK_OK(tlsloop_conn_close(conn));
}

/* L13: "the peer's close_notify and a host with on_end: the host goes on sending until it closes, and
 * the peer receives all of it" */
static void l13_the_host_answers_after_the_peers_end(void)
{
    struct fixture *f = fixture_start((struct options){ .on.end = answer_in_on_end });
    struct peer p = peer_connect(f->port);
    CHECK(peer_close_notify(&p));
    unsigned long long bytes = 0;
    CHECK_EQ(peer_until_end(&p, &bytes), PEER_CLEAN);
    CHECK_EQ(bytes, sizeof block);
    peer_close(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    fixture_stop(f);
}

static void only_note(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    (void)conn;
}

/* L13, later and from another thread: an ended peer stays connected as long as the host wants. */
static void l13_the_host_answers_when_it_likes(void)
{
    struct fixture *f = fixture_start((struct options){ .on.end = only_note });
    struct peer p = peer_connect(f->port);
    CHECK(peer_close_notify(&p));
    EVENTUALLY_EQ(f->ends, 1);
    for (unsigned i = 0; i < 10; i++) {
        char text[5];
        CHECK_OK(tlsloop_conn_send(fixture_conn(f, 0), "still", 5));
        CHECK(peer_recv_all(&p, text, 5));
    }
    CHECK_EQ(f->disconnects, 0);
    CHECK_OK(tlsloop_conn_close(fixture_conn(f, 0)));
    CHECK_EQ(peer_until_end(&p, NULL), PEER_CLEAN);
    peer_close(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    CHECK_EQ(f->ends, 1);
    fixture_stop(f);
}

CHECK_MAIN(CASE(l08_every_byte_then_close_notify),
           CASE(l10_the_answer_survives_a_peer_that_is_still_sending),
           CASE(l11_a_peer_that_never_reads), CASE(l11_close_returns_at_once), CASE(send_timeout),
           CASE(a_stop_before_everything_has_left),
           CASE(a_peer_that_never_ends_is_host), CASE(ends_after_the_hosts_close),
           CASE(garbage_after_the_hosts_close),
           CASE(l06_reset_in_mid_send), CASE(close_notify_and_no_reader),
           CASE(l13_the_host_answers_after_the_peers_end),
           CASE(l13_the_host_answers_when_it_likes))
