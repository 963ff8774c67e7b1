/*
 * A peer that leaves in its handshake, at every step and after every byte of its flights.
 *
 * The host leaves SIGPIPE at its default: "a peer that leaves during its handshake kills the process"
 * is the habit, "own BIO, MSG_NOSIGNAL" is what the library does instead. The peer never raises
 * the signal itself, so a case that is killed by it has found tlsloop.
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "peer.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum leave { BY_RESET, BY_FIN, BY_CLOSE };

static void leave(struct peer *p, enum leave how)
{
    switch (how) {
    case BY_RESET:
        peer_reset(p);
        return;
    case BY_FIN:
        tcp_fin(p->fd);
        tcp_until_end(p->fd);
        peer_close(p);
        return;
    case BY_CLOSE:
        peer_close(p);
        return;
    }
}

static void sigpipe_is_default(void)
{
    struct sigaction action;
    CHECK(sigaction(SIGPIPE, NULL, &action) == 0);
    CHECK(action.sa_handler == SIG_DFL);
}

/* Sends `cut` bytes of the flight and leaves. False: the flight is not that long. */
static bool leave_inside_flight(struct fixture *f, int version, int flight, size_t cut,
                                enum leave how)
{
    unsigned char bytes[4096];
    struct peer p = peer_open(f->port, (struct peer_options){ .version = version });
    for (int i = 0; i < flight; i++) {
        peer_step(&p);
        CHECK(peer_flush(&p));
        CHECK(peer_fill(&p) > 0);
    }
    size_t len;
    /* The server's flight may come in pieces; the peer speaks when it has understood all of it. */
    for (;;) {
        peer_step(&p);
        len = peer_take(&p, bytes, sizeof bytes);
        if (len > 0) break;
        CHECK(peer_fill(&p) > 0);
    }
    bool inside = cut < len;
    if (inside) CHECK(tcp_send(p.fd, bytes, cut));
    leave(&p, how);
    return inside;
}

static void leave_after_every_byte(int version, enum leave how)
{
    sigpipe_is_default();
    struct fixture *f = fixture_start((struct options){ 0 });
    unsigned visits = 0, step = check_scaled(100) < 100 ? 16 : 1;
    for (int flight = 0; flight < 2; flight++) {
        bool inside = true;
        for (size_t cut = 0; inside; cut += step, visits++)
            inside = leave_inside_flight(f, version, flight, cut, how);
    }
    EVENTUALLY_EQ(f->handshakes_failed, visits);
    CHECK_EQ(f->connects, 0);
    tlsloop_stats stats = fixture_stats(f);
    CHECK_EQ(stats.accepted, visits);
    CHECK_EQ(stats.handshakes_failed, visits);
    EVENTUALLY_EQ(fixture_stats(f).handshaking, 0);

    struct peer p = peer_connect(f->port);
    CHECK(peer_echo(&p, "the process lives"));
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

/* "What fails before on_connect gets one on_handshake_failed instead." */
static void reset_after_every_byte_tls13(void)
{
    leave_after_every_byte(TLS1_3_VERSION, BY_RESET);
}

/* The same with the older handshake, whose flights are others. */
static void reset_after_every_byte_tls12(void)
{
    leave_after_every_byte(TLS1_2_VERSION, BY_RESET);
}

/* A bare FIN, and the peer stays to hear the answer. */
static void fin_after_every_byte(void)
{
    leave_after_every_byte(TLS1_3_VERSION, BY_FIN);
}

/* close: a FIN, and a reset for whatever the server still says. */
static void close_after_every_byte_tls13(void)
{
    leave_after_every_byte(TLS1_3_VERSION, BY_CLOSE);
}

static void close_after_every_byte_tls12(void)
{
    leave_after_every_byte(TLS1_2_VERSION, BY_CLOSE);
}

/*
 * "SIGPIPE is never raised": the server answers a whole flight of a peer that is already gone. Its
 * last flight may even have completed the handshake, so the count is of both kinds.
 */
static void gone_before_the_answer(int version, int flights, enum leave how)
{
    sigpipe_is_default();
    struct fixture *f = fixture_start((struct options){ 0 });
    unsigned visits = check_scaled(200);
    for (unsigned i = 0; i < visits; i++) {
        struct peer p = peer_open(f->port, (struct peer_options){ .version = version });
        for (int flight = 0; flight < flights; flight++) {
            while (BIO_ctrl_pending(p.out) == 0) {
                peer_step(&p);
                if (BIO_ctrl_pending(p.out) == 0) CHECK(peer_fill(&p) > 0);
            }
            CHECK(peer_flush(&p));
        }
        leave(&p, how);
    }
    EVENTUALLY_EQ(f->handshakes_failed + f->disconnects, visits);
    if (flights == 1) CHECK_EQ(f->connects, 0);
    CHECK_EQ(f->disconnects, f->connects);
    fixture_stop(f);
}

static void gone_before_the_answer_to_the_client_hello(void)
{
    gone_before_the_answer(TLS1_3_VERSION, 1, BY_RESET);
    gone_before_the_answer(TLS1_3_VERSION, 1, BY_CLOSE);
    gone_before_the_answer(TLS1_2_VERSION, 1, BY_CLOSE);
}

static void gone_before_the_answer_to_the_last_flight(void)
{
    gone_before_the_answer(TLS1_3_VERSION, 2, BY_RESET);
    gone_before_the_answer(TLS1_3_VERSION, 2, BY_CLOSE);
    gone_before_the_answer(TLS1_2_VERSION, 2, BY_RESET);
    gone_before_the_answer(TLS1_2_VERSION, 2, BY_CLOSE);
}

static void check_failure(struct fixture *f, tlsloop_conn conn, int code, const char *peer,
                          const char *why)
{
    (void)f;
    CHECK(conn != 0 && code < 0);
    CHECK_HAS(peer, "127.0.0.1:");
    CHECK(strlen(why) > 0);
    CHECK(tlsloop_strerror(code) != NULL);
}

/* on_handshake_failed(conn, code, peer, why): the peer by name, the cause in words; and a peer that
 * only knocks is a failed handshake like any other. */
static void the_failure_names_the_peer(void)
{
    struct fixture *f = fixture_start((struct options){ .on.handshake_failed = check_failure });
    int knock = tcp_connect(f->port);
    close(knock);
    EVENTUALLY_EQ(f->handshakes_failed, 1);
    knock = tcp_connect(f->port);
    tcp_reset(knock);
    EVENTUALLY_EQ(f->handshakes_failed, 2);
    fixture_stop(f);
}

CHECK_MAIN(CASE(reset_after_every_byte_tls13), CASE(reset_after_every_byte_tls12),
           CASE(fin_after_every_byte), CASE(close_after_every_byte_tls13),
           CASE(close_after_every_byte_tls12), CASE(gone_before_the_answer_to_the_client_hello),
           CASE(gone_before_the_answer_to_the_last_flight), CASE(the_failure_names_the_peer))
