/* MODE_DETECT: one port for TLS and for plain text. */
#define _GNU_SOURCE
#include "dial.h"
#include "fixture.h"
#include "peer.h"
#include "stage.h"

#include <string.h>
#include <unistd.h>

static struct fixture *detecting(struct options options)
{
    options.config.mode = TLSLOOP_MODE_DETECT;
    return stage_start(options, NULL);
}

static int is_tls(tlsloop_conn conn)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    CHECK_OK(tlsloop_conn_info(conn, &info));
    return info.is_tls;
}

/* The handshake and an echo, with the first flight cut at this byte. */
static void cut_hello(struct fixture *f, size_t cut, unsigned n)
{
    char hello[4096];
    struct peer p = peer_over_socket(tcp_connect(f->port));
    peer_step(&p);
    size_t len = peer_take(&p, hello, sizeof hello);
    CHECK(len > 0 && len < sizeof hello);
    if (cut > len) cut = len;
    CHECK(tcp_send(p.fd, hello, cut));
    if (cut <= 8) check_nap(5); /* else it would arrive in one piece, which is tried as well */
    CHECK(tcp_send(p.fd, hello + cut, len - cut));
    CHECK(peer_handshake(&p));
    CHECK(peer_echo(&p, "through TLS"));
    CHECK(is_tls(fixture_conn(f, n)));
    peer_leave(&p);
}

/*
 * L30: "a ClientHello …, cut at each byte in turn, completes the handshake; in mode DETECT it decides on
 * several bytes, gives the same answer for every cut, loses no byte"
 */
static void l30_every_cut_of_a_client_hello(void)
{
    struct fixture *f = detecting((struct options){ 0 });
    unsigned n = 0;
    for (size_t cut = 1; cut < 600; cut += check_under_valgrind() ? 37 : cut < 16 ? 1 : 7)
        cut_hello(f, cut, n++);
    EVENTUALLY_EQ(f->disconnects, n);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_PEER], n);
    fixture_stop(f);
}

/* Byte by byte, as the slowest network would. */
static void byte_by_byte(void)
{
    char hello[4096];
    struct fixture *f = detecting((struct options){ 0 });
    struct peer p = peer_over_socket(tcp_connect(f->port));
    peer_step(&p);
    size_t len = peer_take(&p, hello, sizeof hello);
    for (size_t i = 0; i < len; i++) {
        CHECK(tcp_send(p.fd, hello + i, 1));
        if (i < 6) check_nap(10);
    }
    CHECK(peer_handshake(&p));
    CHECK(peer_echo(&p, "through TLS"));
    peer_leave(&p);
    fixture_stop(f);
}

static void echo_plain(struct fixture *f, const char *text, size_t len, size_t cut, unsigned n)
{
    char back[64];
    int fd = tcp_connect(f->port);
    CHECK(tcp_send(fd, text, cut));
    if (cut < len) check_nap(5);
    CHECK(tcp_send(fd, text + cut, len - cut));
    tcp_fin(fd);
    size_t have = 0;
    for (long got; (got = tcp_recv(fd, back + have, sizeof back - have)) > 0;) have += (size_t)got;
    CHECK_EQ(have, len);
    CHECK(memcmp(back, text, len) == 0);
    struct record r = stage_ended(f, n);
    CHECK_EQ(r.reason, TLSLOOP_REASON_PEER);
    CHECK_EQ(r.bytes, len);
    close(fd);
}

/* The same for what is plain, also where it begins like TLS. */
static void l30_every_cut_of_plain_text(void)
{
    static const struct { const char *text; size_t len; } plain[] = {
        { "EHLO example.org\r\n", 18 },
        { "\x16", 1 },
        { "\x16\x03", 2 },
        { "\x16\x02\x01 no TLS", 10 },
        { "\x16\x04\x01 no TLS", 10 },
        { "\x16\x03\x10 no TLS", 10 },
        { "\x16\x03\xff no TLS", 10 },
        { "\x17\x03\x03 no TLS", 10 },
        { "\x16MORE", 5 },
        { "\0\0\0", 3 },
    };
    struct fixture *f = detecting((struct options){ 0 });
    unsigned n = 0;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        for (size_t cut = 1; cut <= plain[i].len; cut++)
            echo_plain(f, plain[i].text, plain[i].len, cut, n++);
    CHECK_EQ(f->handshakes_failed, 0);
    CHECK_EQ(fixture_stats(f).handshakes, 0);
    fixture_stop(f);
}

/* "TLS if the first bytes are 16 03 0x": then it is TLS, whatever follows, and never plain. */
static void a_bad_hello_is_bad_tls(void)
{
    struct fixture *f = detecting((struct options){ 0 });
    for (unsigned x = 0; x < 16; x++) {
        char bytes[] = { 0x16, 3, (char)x, 0, 4, 'j', 'u', 'n', 'k', 'j', 'u', 'n', 'k' };
        int fd = tcp_connect(f->port);
        CHECK(tcp_send(fd, bytes, sizeof bytes));
        tcp_until_end(fd);
        EVENTUALLY_EQ(f->handshakes_failed, x + 1);
        CHECK_EQ(f->last_code, TLSLOOP_ETLS);
        close(fd);
    }
    CHECK_EQ(f->connects, 0);
    fixture_stop(f);
}

/* L30: "treats a peer that sends none as a handshake that times out"; one and two bytes that may be the
 * beginning of TLS are none that decide. */
static void l30_silence_times_out(void)
{
    struct fixture *f = detecting((struct options){ .config.handshake_timeout_ms = 300 });
    for (unsigned sent = 0; sent < 3; sent++) {
        int fd = tcp_connect(f->port);
        CHECK(tcp_send(fd, "\x16\x03", sent));
        long end = tcp_until_end(fd);
        CHECK(end == PEER_FIN || end == PEER_RESET);
        EVENTUALLY_EQ(f->handshakes_failed, sent + 1);
        CHECK_EQ(f->last_code, TLSLOOP_ETIMEDOUT);
        close(fd);
    }
    CHECK_EQ(f->connects, 0);
    CHECK_EQ(fixture_stats(f).handshakes_failed, 3);
    fixture_stop(f);
}

/* The end without a byte, by FIN and by RST: nobody came up. */
static void leaves_without_a_word(void)
{
    struct fixture *f = detecting((struct options){ 0 });
    close(tcp_connect(f->port));
    EVENTUALLY_EQ(f->handshakes_failed, 1);
    tcp_reset(tcp_connect(f->port));
    /* A connection that is reset before it was accepted may never be seen. */
    EVENTUALLY(f->handshakes_failed == 2 || fixture_stats(f).accepted == 1);
    CHECK_EQ(f->connects, 0);
    CHECK_EQ(f->warnings, 0);
    fixture_stop(f);
}

/* The deadline ends with the decision, also for plain text. */
static void plain_text_may_be_silent_later(void)
{
    struct fixture *f = detecting((struct options){ .config.handshake_timeout_ms = 300 });
    int fd = tcp_connect(f->port);
    CHECK(tcp_send(fd, "a", 1));
    CHECK(dial_expect(fd, "a"));
    check_nap(900);
    CHECK(tcp_send(fd, "still there", 11));
    CHECK(dial_expect(fd, "still there"));
    CHECK_EQ(f->disconnects, 0);
    close(fd);
    fixture_stop(f);
}

/* Both kinds at once on one port, with their own reasons at the end. */
static void both_at_once(void)
{
    enum { PAIRS = 20 };
    struct peer tls[PAIRS];
    int plain[PAIRS];
    struct fixture *f = detecting((struct options){ .config.workers = 2 });
    for (int i = 0; i < PAIRS; i++) {
        plain[i] = tcp_connect(f->port);
        tls[i] = peer_connect(f->port);
    }
    for (int i = 0; i < PAIRS; i++) {
        CHECK(tcp_send(plain[i], "plain", 5));
        CHECK(peer_echo(&tls[i], "through TLS"));
        CHECK(dial_expect(plain[i], "plain"));
    }
    for (int i = 0; i < PAIRS; i++) {
        close(plain[i]);     /* FIN: a clean end in plain text, */
        peer_close(&tls[i]); /* and a truncation under TLS */
    }
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], PAIRS);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_TRUNCATED], PAIRS);
    CHECK_EQ(fixture_stats(f).handshakes, PAIRS);
    CHECK_EQ(fixture_stats(f).connects, 2 * PAIRS);
    fixture_stop(f);
}

CHECK_MAIN(CASE(l30_every_cut_of_a_client_hello), CASE(byte_by_byte),
           CASE(l30_every_cut_of_plain_text), CASE(a_bad_hello_is_bad_tls), CASE(l30_silence_times_out),
           CASE(leaves_without_a_word), CASE(plain_text_may_be_silent_later), CASE(both_at_once))
