/*
 * A client that dies at every step in every mode: after each byte of what it would say, in one of three ways, with a PROXY
 * header in front and without. Each is told to the host once, the counters balance, and nothing is left of them.
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "header.h"
#include "measure.h"
#include "peer.h"
#include "stage.h"

#include <string.h>

#define TEXT "twenty bytes of text"
#define COMMAND "begin TLS"
#define ANSWER "go on"

enum death { BY_RESET, BY_CLOSE, BY_FIN, DEATHS };

/* Who comes. */
struct story {
    int mode;      /* of the server */
    int version;   /* of TLS; 0: the client speaks plain text */
    bool balanced; /* behind a PROXY header */
};

struct client {
    struct peer peer; /* its ssl is used by those who speak TLS */
    size_t left;      /* bytes that it will live to say */
};

/* Says as much as it lives for; false: it is dead now, or nobody listens any more. */
static bool say(struct client *c, const void *bytes, size_t len)
{
    size_t n = len < c->left ? len : c->left;
    c->left -= n;
    return tcp_send(c->peer.fd, bytes, n) && n == len;
}

static bool hear(struct client *c, const char *text)
{
    char back[64];
    size_t got = 0, len = strlen(text);
    for (long n; got < len; got += (size_t)n)
        if ((n = tcp_recv(c->peer.fd, back + got, len - got)) <= 0) return false;
    return memcmp(back, text, len) == 0;
}

static bool say_sealed(struct client *c)
{
    unsigned char bytes[4096];
    size_t len = peer_take(&c->peer, bytes, sizeof bytes);
    return say(c, bytes, len);
}

static bool shake_hands(struct client *c)
{
    do {
        peer_step(&c->peer);
        if (!say_sealed(c)) return false;
    } while (!SSL_is_init_finished(c->peer.ssl) && peer_fill(&c->peer) > 0);
    return SSL_is_init_finished(c->peer.ssl);
}

static bool talk_sealed(struct client *c)
{
    char back[sizeof TEXT];
    if (!shake_hands(c)) return false;
    peer_seal(&c->peer, TEXT, strlen(TEXT));
    if (!say_sealed(c) || !peer_recv_all(&c->peer, back, strlen(TEXT))) return false;
    CHECK(memcmp(back, TEXT, strlen(TEXT)) == 0);
    peer_seal_close_notify(&c->peer);
    return say_sealed(c);
}

/* The whole of it; false: it has died on the way. */
static bool talk(struct client *c, struct story story)
{
    static const char introduction[] = "PROXY TCP4 192.0.2.7 198.51.100.1 5123 443\r\n";
    static struct header header;
    if (story.balanced) {
        /* Both versions, by turns. */
        if (c->left % 2) header_v1(&header, introduction); else header_v2(&header, HEADER_PROXY, HEADER_TCP6);
        if (!say(c, header.bytes, header.len)) return false;
    }
    if (story.version == 0) return say(c, TEXT, strlen(TEXT)) && hear(c, TEXT);
    if (story.mode == TLSLOOP_MODE_STARTTLS && (!say(c, COMMAND, strlen(COMMAND)) || !hear(c, ANSWER))) return false;
    return talk_sealed(c);
}

static void die(struct client *c, enum death how)
{
    if (how == BY_RESET) {
        peer_reset(&c->peer);
        return;
    }
    if (how == BY_FIN) {
        tcp_fin(c->peer.fd);
        tcp_until_end(c->peer.fd);
    }
    peer_close(&c->peer);
}

/* Echoes; the command starts TLS where it can. A part of it is text like any other. */
static void answer(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    bool is_command = len == strlen(COMMAND) && memcmp(data, COMMAND, len) == 0;
    (void)f;
    if (is_command) {
        CHECK_OK(tlsloop_conn_send(conn, ANSWER, strlen(ANSWER)));
        CHECK_OK(tlsloop_conn_start_tls(conn));
    } else {
        CHECK_OK(tlsloop_conn_send(conn, data, len));
    }
}

static unsigned told(struct fixture *f)
{
    return f->handshakes_failed + f->disconnects;
}

/* Everybody is gone, and each was told once: "connects == disconnects + open". */
static void check_balance(struct fixture *f, unsigned visits)
{
    tlsloop_stats stats;
    EVENTUALLY_EQ(told(f), visits);
    EVENTUALLY_EQ(fixture_stats(f).open + fixture_stats(f).handshaking, 0);
    stats = fixture_stats(f);
    fixture_balanced(&stats);
    CHECK_EQ(stats.accepted, visits);
    CHECK_EQ(stats.connects, f->connects);
    CHECK_EQ(stats.disconnects, f->disconnects);
    CHECK_EQ(stats.disconnects + f->handshakes_failed, visits);
    CHECK_EQ(stats.queued_bytes, 0);
    CHECK_EQ(stats.refused_limit + stats.refused_per_ip + stats.refused_descriptors, 0);
}

static void visit_until_one_survives(struct story story, size_t step)
{
    struct options options = { .on.data = answer };
    unsigned visits = 0;
    bool has_survived = false;
    options.config.mode = story.mode;
    options.config.workers = 1;
    options.config.max_connections = 1000; /* which are counted, too */
    options.config.max_connections_per_ip = 500;
    if (story.balanced) options.config.proxy_protocol = TLSLOOP_PROXY_REQUIRED;
    if (story.balanced) options.config.proxy_trusted = "127.0.0.1";
    struct fixture *f = stage_start(options, NULL);
    for (size_t life = 0; !has_survived; life += step) {
        for (int how = 0; how < DEATHS; how++) {
            struct client c = { peer_open(f->port, (struct peer_options){ .version = story.version }), life };
            has_survived = talk(&c, story);
            die(&c, how);
            visits++;
        }
        /* No more at once than there were the first time. */
        EVENTUALLY(told(f) + DEATHS >= visits);
    }
    CHECK(visits > DEATHS);
    check_balance(f, visits);
    CHECK(f->connects >= DEATHS);
    fixture_stop(f);
}

/* Twice: what is made once and for all is made the first time. */
static void dies_at_every_step(struct story story)
{
    visit_until_one_survives(story, 7);
    unsigned descriptors = measure_descriptors();
    size_t heap = measure_heap();
    visit_until_one_survives(story, check_scaled(10) < 10 ? 23 : 1);
    CHECK_EQ(measure_descriptors(), descriptors);
    measure_heap_is_back(heap);
}

static void with_and_without_a_header(int mode, int version)
{
    dies_at_every_step((struct story){ mode, version, false });
    dies_at_every_step((struct story){ mode, version, true });
}

static void l06_in_tls(void)
{
    with_and_without_a_header(TLSLOOP_MODE_TLS, TLS1_3_VERSION);
}

static void l06_in_tls12(void)
{
    with_and_without_a_header(TLSLOOP_MODE_TLS, TLS1_2_VERSION);
}

static void l06_in_plain_text(void)
{
    with_and_without_a_header(TLSLOOP_MODE_PLAIN, 0);
}

static void l06_on_the_way_to_tls(void)
{
    with_and_without_a_header(TLSLOOP_MODE_STARTTLS, TLS1_3_VERSION);
}

static void l06_without_starting_tls(void)
{
    with_and_without_a_header(TLSLOOP_MODE_STARTTLS, 0);
}

static void l06_detected_as_tls(void)
{
    with_and_without_a_header(TLSLOOP_MODE_DETECT, TLS1_3_VERSION);
}

static void l06_detected_as_plain_text(void)
{
    with_and_without_a_header(TLSLOOP_MODE_DETECT, 0);
}

CHECK_MAIN(CASE(l06_in_tls), CASE(l06_in_tls12), CASE(l06_in_plain_text), CASE(l06_on_the_way_to_tls),
           CASE(l06_without_starting_tls), CASE(l06_detected_as_tls), CASE(l06_detected_as_plain_text))
