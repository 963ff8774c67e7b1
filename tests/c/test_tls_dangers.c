/*
 * What is switched off, for it has hurt others: "no renegotiation, compression or 0-RTT (replay)". The clients here
 * ask for it.
 */
#define _GNU_SOURCE
#include "policy.h"
#include "visitor.h"

#include <openssl/err.h>
#include <string.h>
#include <unistd.h>

static struct fixture *serve(void)
{
    struct identity who = keys_make((struct identity_spec){ .names = "DNS:localhost" });
    return policy_serve(policy_of(&who));
}

/* "renegotiation refused": the client hears the alert no_renegotiation, and nobody else notices. */
static void renegotiation(void)
{
    struct fixture *f = serve();
    struct peer other = visitor_settle(f->port, (struct visitor){ .version = TLS1_2_VERSION });
    struct peer p = visitor_settle(f->port, (struct visitor){ .version = TLS1_2_VERSION });
    CHECK_EQ(SSL_get_secure_renegotiation_support(p.ssl), 1); /* RFC 5746: that it can be told from an attack */
    CHECK_EQ(SSL_renegotiate(p.ssl), 1);
    CHECK(!peer_handshake(&p));
    /* A warning; AWS-LC's alert is fatal. */
    CHECK_EQ(ERR_GET_REASON(ERR_peek_last_error()),
             policy_on_aws_lc() ? SSL_R_TLSV1_ALERT_NO_RENEGOTIATION : SSL_R_NO_RENEGOTIATION);
    EVENTUALLY_EQ(f->disconnects, 1); /* OpenSSL's client gives up over it, by an alert of its own */
    CHECK_EQ(f->reasons[TLSLOOP_REASON_PROTOCOL], 1);
    CHECK(peer_echo(&other, "still here"));
    CHECK_EQ(fixture_stats(f).handshakes, 2);
    peer_close(&p);
    peer_leave(&other);
    fixture_stop(f);
}

/* The place behind the session id and the suites in a ClientHello: the list of compression methods. */
static size_t compression_at(const unsigned char *hello, size_t len)
{
    size_t at = 5 + 4 + 2 + 32; /* record, handshake, version, random */
    at += 1u + hello[at];
    at += 2u + ((size_t)hello[at] << 8 | hello[at + 1]);
    CHECK(at + 2 < len && hello[at] == 1 && hello[at + 1] == 0);
    return at;
}

/* Sends a ClientHello that offers DEFLATE (RFC 3749) before no compression; the server's first record. */
static size_t offer_deflate(struct fixture *f, int version, unsigned char *answer, size_t room)
{
    unsigned char hello[4096];
    struct peer p = visitor_open(f->port, (struct visitor){ .version = version });
    peer_step(&p);
    size_t len = peer_take(&p, hello, sizeof hello - 1), at = compression_at(hello, len);
    memmove(hello + at + 2, hello + at + 1, len - at - 1);
    hello[at] = 2;
    hello[at + 1] = 1;
    if (++hello[4] == 0) hello[3]++; /* the lengths of record and handshake grow by one */
    if (++hello[8] == 0) hello[7]++;
    CHECK(tcp_send(p.fd, hello, len + 1));
    long got = tcp_recv(p.fd, answer, room);
    CHECK(got > 5);
    peer_close(&p);
    return (size_t)got;
}

/* "compression off" (CRIME): TLS 1.2 chooses none, TLS 1.3 refuses who offers it (RFC 8446 4.1.2). */
static void compression(void)
{
    enum { HANDSHAKE = 22, SERVER_HELLO = 2, ALERT = 21 };
    unsigned char answer[16384];
    struct fixture *f = serve();
    size_t len = offer_deflate(f, TLS1_2_VERSION, answer, sizeof answer), at = 5 + 4 + 2 + 32;
    CHECK_EQ(answer[0], HANDSHAKE);
    CHECK_EQ(answer[5], SERVER_HELLO);
    at += 1u + answer[at] + 2; /* the session id, the suite */
    CHECK(at < len);
    CHECK_EQ(answer[at], 0);
    offer_deflate(f, TLS1_3_VERSION, answer, sizeof answer);
    CHECK_EQ(answer[0], ALERT);
    CHECK_EQ(answer[6], SSL_AD_ILLEGAL_PARAMETER);
    EVENTUALLY_EQ(f->handshakes_failed, 2);
    fixture_stop(f);
}

/* "0-RTT off": no ticket allows early data, and what a client sends early all the same is never delivered. */
static void early_data(void)
{
    static const char early[] = "TRANSFER ALL MONEY";
    size_t written;
    struct fixture *f = serve();
    SSL_SESSION *session = visitor_session(f->port, (struct visitor){ .version = TLS1_3_VERSION });
    EVENTUALLY_EQ(f->disconnects, 1);
    CHECK_EQ(SSL_SESSION_get_max_early_data(session), 0);
    CHECK_EQ(SSL_SESSION_set_max_early_data(session, 16384), 1);
    unsigned long long before = f->bytes;
    struct peer p = visitor_open(f->port, (struct visitor){ .session = session });
    CHECK_EQ(SSL_write_early_data(p.ssl, early, sizeof early, &written), 1);
    CHECK(peer_handshake(&p));
    CHECK_EQ(SSL_get_early_data_status(p.ssl), SSL_EARLY_DATA_REJECTED);
    CHECK_EQ(SSL_session_reused(p.ssl), 1); /* the session itself is good */
    CHECK(peer_echo(&p, "in due time"));
    CHECK_EQ(f->bytes - before, strlen("in due time"));
    peer_leave(&p);
    SSL_SESSION_free(session);
    fixture_stop(f);
}

/* What binds a session to its handshake: the extended master secret (RFC 7627), always there in TLS 1.3. */
static void sessions_are_bound_to_their_handshake(void)
{
    struct fixture *f = serve();
    struct peer p = visitor_settle(f->port, (struct visitor){ .version = TLS1_2_VERSION });
    CHECK_EQ(SSL_get_extms_support(p.ssl), 1);
    peer_leave(&p);
    fixture_stop(f);
}

/* What has taken renegotiation's place in TLS 1.3 (RFC 8446 4.6.3) goes on. */
static void key_updates_are_answered(void)
{
    struct fixture *f = serve();
    struct peer p = visitor_settle(f->port, (struct visitor){ .version = TLS1_3_VERSION });
    for (unsigned i = 0; i < 20; i++) {
        CHECK_EQ(SSL_key_update(p.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        CHECK(peer_echo(&p, "under new keys"));
    }
    peer_leave(&p);
    fixture_stop(f);
}

CHECK_MAIN(CASE(renegotiation), CASE(compression), CASE(early_data), CASE(sessions_are_bound_to_their_handshake),
           CASE(key_updates_are_answered))
