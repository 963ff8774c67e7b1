/* MODE_PLAIN: "The same callbacks and reasons in all modes", without TLS. */
#define _GNU_SOURCE
#include "dial.h"
#include "fixture.h"
#include "peer.h"
#include "stage.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char block[1 << 20];

static struct fixture *plain(struct options options)
{
    options.config.mode = TLSLOOP_MODE_PLAIN;
    return stage_start(options, NULL);
}

typedef void (*ending)(struct fixture *f, int *fd);

/* A connection that echoes once, then ends. */
static struct record end_by(struct options options, ending end)
{
    struct fixture *f = plain(options);
    int fd = tcp_connect(f->port);
    CHECK(tcp_send(fd, "before the end", 14));
    CHECK(dial_expect(fd, "before the end"));
    end(f, &fd);
    struct record r = stage_ended(f, 0);
    if (fd >= 0) close(fd);
    CHECK_EQ(f->handshakes_failed, 0);
    CHECK_EQ(stage_tls_ups(f), 0);
    CHECK_EQ(fixture_stats(f).handshakes, 0);
    fixture_stop(f);
    CHECK(strlen(r.why) > 0);
    return r;
}

static void check_end(struct options options, ending end, int reason, const char *order)
{
    struct record r = end_by(options, end);
    CHECK_STR(tlsloop_reason_name(r.reason), tlsloop_reason_name(reason));
    CHECK_STR(r.order, order);
}

static void fin(struct fixture *f, int *fd)
{
    (void)f;
    tcp_fin(*fd);
    CHECK_EQ(tcp_until_end(*fd), PEER_FIN);
}

static void rst(struct fixture *f, int *fd)
{
    (void)f;
    tcp_reset(*fd);
    *fd = -1;
}

static void silence(struct fixture *f, int *fd)
{
    (void)f;
    CHECK_EQ(tcp_until_end(*fd), PEER_FIN);
}

static void host_closes(struct fixture *f, int *fd)
{
    CHECK_OK(tlsloop_conn_close(fixture_conn(f, 0)));
    CHECK_EQ(tcp_until_end(*fd), PEER_FIN);
    tcp_fin(*fd);
}

static void host_ends(struct fixture *f, int *fd)
{
    CHECK_OK(tlsloop_conn_end(fixture_conn(f, 0)));
    CHECK_EQ(tcp_until_end(*fd), PEER_FIN);
    CHECK(tcp_send(*fd, "more", 4)); /* "goes on receiving" */
    EVENTUALLY_EQ(f->bytes, 18);
    tcp_fin(*fd);
}

static void host_aborts(struct fixture *f, int *fd)
{
    CHECK_OK(tlsloop_conn_abort(fixture_conn(f, 0)));
    CHECK_EQ(tcp_until_end(*fd), PEER_RESET);
}

static void close_in_on_end(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_send(conn, block, sizeof block));
    CHECK_OK(tlsloop_conn_close(conn));
}

static void fin_and_a_megabyte(struct fixture *f, int *fd)
{
    (void)f;
    static char room[65536];
    size_t bytes = 0;
    tcp_fin(*fd);
    for (long n; (n = tcp_recv(*fd, room, sizeof room)) > 0;) bytes += (size_t)n;
    CHECK_EQ(bytes, sizeof block);
}

/* "REASON_PEER: close_notify (in PLAIN: FIN)", and each other reason that there is without TLS. */
static void every_reason(void)
{
    struct options none = { 0 };
    check_end(none, fin, TLSLOOP_REASON_PEER, "cdx");
    check_end((struct options){ .on.end = close_in_on_end }, fin_and_a_megabyte, TLSLOOP_REASON_PEER,
              "cdex");
    check_end(none, rst, TLSLOOP_REASON_RESET, "cdx");
    check_end((struct options){ .config.idle_timeout_ms = 200 }, silence, TLSLOOP_REASON_IDLE_TIMEOUT,
              "cdx");
    check_end(none, host_closes, TLSLOOP_REASON_HOST, "cdx");
    check_end(none, host_ends, TLSLOOP_REASON_HOST, "cdx");
    check_end(none, host_aborts, TLSLOOP_REASON_ABORTED, "cdx");
}

static void send_much(struct fixture *f, tlsloop_conn conn)
{
    for (int i = 0; i < 16; i++) CHECK_OK(tlsloop_conn_send(conn, block, sizeof block));
    if (f->context) CHECK_OK(tlsloop_conn_close(conn));
}

/* "REASON_SEND_TIMEOUT": in mid traffic by send_timeout_ms, in the end by close_timeout_ms. */
static void send_timeouts(void)
{
    for (int closes = 0; closes < 2; closes++) {
        struct fixture *f = plain((struct options){
            .on.connect = send_much,
            .context = closes ? block : NULL,
            .config = {
                .send_high_water = 64 << 20,
                .send_timeout_ms = closes ? TLSLOOP_NONE : 300,
                .close_timeout_ms = 300,
            },
        });
        int fd = tcp_connect_small(f->port, 4096);
        CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_SEND_TIMEOUT);
        close(fd);
        fixture_stop(f);
    }
}

/* "REASON_STOPPED: ended by server_stop": the queued bytes leave within the grace, then FIN. */
static void stopped(void)
{
    struct fixture *f = plain((struct options){ 0 });
    int fd = tcp_connect(f->port);
    tlsloop_conn conn = fixture_conn(f, 0);
    CHECK_OK(tlsloop_conn_send(conn, "the last words", 14));
    f->loose_descriptors = true;
    fixture_stop_grace(f, 500);
    CHECK(dial_expect(fd, "the last words"));
    CHECK_EQ(tcp_until_end(fd), PEER_FIN);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_STOPPED], 1);
    close(fd);
}

static void speak_first(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_send(conn, "220 ready\r\n", 11));
}

/* "PLAIN, STARTTLS: accepted": the server speaks first, and nothing of its bytes is changed. */
static void the_server_speaks_first(void)
{
    struct fixture *f = plain((struct options){ .on.connect = speak_first });
    int fd = tcp_connect(f->port);
    CHECK(dial_expect(fd, "220 ready\r\n"));
    char all[256];
    for (int i = 0; i < 256; i++) all[i] = (char)i;
    for (int round = 0; round < 3; round++) {
        char back[256] = { 0 };
        CHECK(tcp_send(fd, all, sizeof all));
        for (size_t have = 0; have < sizeof back;) {
            long n = tcp_recv(fd, back + have, sizeof back - have);
            CHECK(n > 0);
            have += (size_t)n;
        }
        CHECK(memcmp(all, back, sizeof all) == 0);
    }
    tlsloop_info info = TLSLOOP_INFO_INIT;
    CHECK_OK(tlsloop_conn_info(fixture_conn(f, 0), &info));
    CHECK_EQ(info.is_tls, 0);
    CHECK_STR(info.version, "");
    CHECK_STR(info.cipher, "");
    CHECK_EQ(info.has_certificate, 0);
    char name[64];
    dial_name(fd, name, sizeof name);
    CHECK_STR(info.peer, name);
    close(fd);
    fixture_stop(f);
}

/* In plain text an end says that this was all. One that cuts bytes off is a reset, whatever the reason is. */
static void l09_what_is_cut_off_does_not_end_well(void)
{
    static const char much[8 << 20];
    for (int by_stop = 0; by_stop < 2; by_stop++) {
        tlsloop_server_config config = { .idle_timeout_ms = by_stop ? 0 : 300 * check_time_factor(),
            .send_high_water = sizeof much };
        struct fixture *f = plain((struct options){ .config = config });
        int fd = tcp_connect_small(f->port, 8192);
        CHECK_OK(tlsloop_conn_send(fixture_conn(f, 0), much, sizeof much));
        f->loose_descriptors = true; /* the peer's outlives it */
        if (by_stop) fixture_stop(f);
        else CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_IDLE_TIMEOUT);
        CHECK_EQ(tcp_until_end(fd), PEER_RESET);
        close(fd);
        if (!by_stop) fixture_stop(f);
    }
}

/* L07, in plain: bytes and FIN in one go, a stream with its hash. */
static void l07_bytes_and_fin(void)
{
    for (unsigned i = 0; i < sizeof block; i++) block[i] = (char)(i * 7919 >> 3);
    struct fixture *f = plain((struct options){ .on.data = stage_swallow });
    int fd = tcp_connect(f->port);
    CHECK(tcp_send(fd, block, sizeof block));
    close(fd);
    struct record r = stage_ended(f, 0);
    CHECK_EQ(r.reason, TLSLOOP_REASON_PEER);
    CHECK_EQ(r.bytes, sizeof block);
    CHECK(r.hash == fixture_hash(FIXTURE_HASH, block, sizeof block));
    fixture_stop(f);
}

/* A mode that there is not. */
static void no_such_mode(void)
{
    CHECK_FAILS(stage_refused((tlsloop_server_config){ .mode = 4 }), TLSLOOP_EINVAL, "mode");
    CHECK_FAILS(stage_refused((tlsloop_server_config){ .mode = -1 }), TLSLOOP_EINVAL, "mode");
    for (int mode = 0; mode < 4; mode++)
        if (mode != TLSLOOP_MODE_PLAIN) /* "NULL only in MODE_PLAIN" */
            CHECK_FAILS(stage_refused((tlsloop_server_config){ .mode = mode }), TLSLOOP_EINVAL, "tls");
}

CHECK_MAIN(CASE(every_reason), CASE(send_timeouts), CASE(stopped), CASE(the_server_speaks_first),
           CASE(l09_what_is_cut_off_does_not_end_well), CASE(l07_bytes_and_fin), CASE(no_such_mode))
