/*
 * Clients that show a certificate, or should: "none, optional, required"; what the host learns of them, and what both
 * sides learn when one is refused.
 */
#define _GNU_SOURCE
#include "policy.h"
#include "visitor.h"

#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <string.h>

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

/* Who is in these stories. */
struct cast {
    struct identity root, server, alice;
};

static struct cast cast(void)
{
    struct cast c;
    c.root = keys_make((struct identity_spec){ .common_name = "root" });
    c.server = keys_make((struct identity_spec){ .names = "DNS:localhost,IP:127.0.0.1", .issuer = &c.root });
    c.alice = keys_make((struct identity_spec){ .common_name = "alice", .issuer = &c.root });
    return c;
}

/* A policy that asks clients for a certificate of the root's. */
static tlsloop_tls *asking(const struct cast *c, int verify)
{
    tlsloop_tls *tls = policy_of(&c->server);
    CHECK_OK(tlsloop_tls_set_trust_file(tls, c->root.chain));
    CHECK_OK(tlsloop_tls_set_verify(tls, verify));
    return tls;
}

/* What the host knows of a client that is let in. */
static tlsloop_info welcome(struct fixture *f, struct visitor v)
{
    unsigned n = f->connects;
    struct peer p = visitor_settle(f->port, v);
    tlsloop_info info = policy_info(f, n);
    peer_leave(&p);
    return info;
}

static void unwelcome(struct fixture *f, struct visitor v, int alert, int code, const char *why)
{
    unsigned n = f->handshakes_failed;
    CHECK_EQ(visitor_refused(f->port, v), alert);
    struct record failure = policy_failure(f, n);
    CHECK_EQ(failure.code, code);
    CHECK_HAS(failure.why, why);
}

/* "server: none": a client that has a certificate is not asked for it, whatever is trusted. */
static void nobody_is_asked(void)
{
    struct cast c = cast();
    const int kinds[] = { TLSLOOP_VERIFY_DEFAULT, TLSLOOP_VERIFY_NONE };
    for (size_t i = 0; i < 2; i++) {
        struct fixture *f = policy_serve(asking(&c, kinds[i]));
        for (size_t k = 0; k < 2; k++) {
            tlsloop_info info = welcome(f, (struct visitor){ .version = versions[k], .own = &c.alice });
            CHECK_EQ(info.has_certificate, 0);
            CHECK_STR(info.subject, "");
        }
        fixture_stop(f);
    }
}

static void optional_and_required(void)
{
    struct cast c = cast();
    struct identity stranger = keys_make((struct identity_spec){ .common_name = "stranger" });
    /* RFC 8446 has an alert of its own for a certificate that is missing. */
    const int missing[] = { SSL_AD_HANDSHAKE_FAILURE, SSL_AD_CERTIFICATE_REQUIRED };
    struct fixture *f = policy_serve(asking(&c, TLSLOOP_VERIFY_OPTIONAL));
    for (size_t i = 0; i < 2; i++) {
        CHECK_EQ(welcome(f, (struct visitor){ .version = versions[i] }).has_certificate, 0);
        CHECK_STR(welcome(f, (struct visitor){ .version = versions[i], .own = &c.alice }).subject, "CN=alice");
        unwelcome(f, (struct visitor){ .version = versions[i], .own = &stranger }, SSL_AD_UNKNOWN_CA,
                  TLSLOOP_EVERIFY, "self-signed certificate");
    }
    policy_reload(f, asking(&c, TLSLOOP_VERIFY_REQUIRED));
    for (size_t i = 0; i < 2; i++) {
        CHECK_STR(welcome(f, (struct visitor){ .version = versions[i], .own = &c.alice }).subject, "CN=alice");
        unwelcome(f, (struct visitor){ .version = versions[i], .own = &stranger }, SSL_AD_UNKNOWN_CA,
                  TLSLOOP_EVERIFY, "self-signed certificate");
        unwelcome(f, (struct visitor){ .version = versions[i] }, missing[i], TLSLOOP_ETLS,
                  "peer did not return a certificate");
    }
    fixture_stop(f);
}

static void whole_der(tlsloop_conn conn, const struct identity *who)
{
    unsigned char expected[4096], der[4096];
    size_t len = 0, whole = keys_der(who, expected, sizeof expected);
    CHECK_FAILS(tlsloop_conn_peer_certificate(conn, NULL, &len), TLSLOOP_EINVAL, "room");
    CHECK_EQ(len, whole);
    len = whole - 1;
    memset(der, 0xee, sizeof der);
    CHECK_EQ(tlsloop_conn_peer_certificate(conn, der, &len), TLSLOOP_EINVAL);
    CHECK_EQ(len, whole);
    CHECK_EQ(der[0], 0xee); /* all or nothing */
    CHECK_OK(tlsloop_conn_peer_certificate(conn, der, &len));
    CHECK(len == whole && memcmp(der, expected, whole) == 0);
    CHECK_EQ(der[whole], 0xee);
    CHECK_FAILS(tlsloop_conn_peer_certificate(conn, der, NULL), TLSLOOP_EINVAL, "len");
}

/* "subject, issuer, SAN list, SHA-256, verify result and whole DER to the host" */
static void what_the_host_learns(void)
{
    struct cast c = cast();
    struct identity bob = keys_make((struct identity_spec){
        .common_name = "bob, \xc3\xa4 \\ \"b\"",
        .names = "DNS:bob.example,IP:192.0.2.7,IP:2001:db8::7,email:bob@a.example,URI:https://a.example/bob",
        .issuer = &c.root,
        .kind = KEYS_ED25519 });
    struct fixture *f = policy_serve(asking(&c, TLSLOOP_VERIFY_REQUIRED));
    for (unsigned i = 0; i < 2; i++) {
        struct peer p = visitor_settle(f->port, (struct visitor){ .version = versions[i], .own = &bob });
        tlsloop_info info = policy_info(f, i);
        CHECK_EQ(info.has_certificate, 1);
        CHECK_EQ(info.verify_result, X509_V_OK);
        CHECK_STR(info.subject, "CN=bob\\, \xc3\xa4 \\\\ \\\"b\\\"");
        CHECK_STR(info.issuer, "CN=root");
        CHECK_STR(info.san, "DNS:bob.example,IP:192.0.2.7,IP:2001:db8::7,email:bob@a.example,"
                            "URI:https://a.example/bob");
        CHECK_EQ(info.san_truncated, 0);
        CHECK_STR(info.sha256, bob.sha256);
        whole_der(fixture_conn(f, i), &bob);
        peer_leave(&p);
    }
    fixture_stop(f);
}

static void without_a_certificate_there_is_no_der(void)
{
    unsigned char der[16];
    size_t len = sizeof der;
    struct cast c = cast();
    struct fixture *f = policy_serve(asking(&c, TLSLOOP_VERIFY_OPTIONAL));
    struct peer p = visitor_settle(f->port, (struct visitor){ 0 });
    tlsloop_conn conn = fixture_conn(f, 0);
    CHECK_FAILS(tlsloop_conn_peer_certificate(conn, der, &len), TLSLOOP_ESTATE, "certificate");
    tlsloop_info info = policy_info(f, 0);
    CHECK_EQ(info.has_certificate, 0);
    CHECK_STR(info.sha256, "");
    CHECK_STR(info.san, "");
    peer_leave(&p);
    EVENTUALLY_EQ(fixture_stats(f).disconnects, 1); /* which counts when on_disconnect has returned */
    CHECK_EQ(tlsloop_conn_peer_certificate(conn, der, &len), TLSLOOP_ECLOSED);
    fixture_stop(f);
}

/* "text is cut to fit", but of names whole ones only, so that no cut one is taken for another. */
static void more_names_than_fit(void)
{
    static char many[64 * 100];
    char *end = many;
    for (unsigned i = 0; i < 100; i++)
        end += sprintf(end, "%sDNS:name-%02u.of-some-length.example", i ? "," : "", i);
    struct cast c = cast();
    struct identity bob = keys_make((struct identity_spec){ .names = many, .issuer = &c.root });
    struct fixture *f = policy_serve(asking(&c, TLSLOOP_VERIFY_REQUIRED));
    tlsloop_info info = welcome(f, (struct visitor){ .own = &bob });
    CHECK_EQ(info.san_truncated, 1);
    size_t len = strlen(info.san);
    CHECK(len < sizeof info.san && memcmp(info.san, many, len) == 0);
    CHECK_EQ(many[len], ',');
    CHECK(len + 64 > sizeof info.san);
    fixture_stop(f);
}

/* L38: each refusal has its own alert, and the host is told the verifier's words. */
static void l38_why_a_client_is_refused(void)
{
    struct cast c = cast();
    const struct identity *root = &c.root;
    struct identity other = keys_make((struct identity_spec){ .common_name = "other root" });
    struct identity middle = keys_make((struct identity_spec){ .issuer = root, .may_issue = 1 });
    struct identity forger = keys_make((struct identity_spec){ .common_name = "root" });
    struct {
        struct identity who;
        int alert;
        const char *why;
    } cases[] = {
        { keys_make((struct identity_spec){ .issuer = root, .expired = 1 }), SSL_AD_CERTIFICATE_EXPIRED,
          "certificate has expired" },
        { keys_make((struct identity_spec){ .issuer = root, .not_yet = 1 }),
          policy_on_aws_lc() ? SSL_AD_CERTIFICATE_EXPIRED : SSL_AD_BAD_CERTIFICATE, "not yet valid" },
        { keys_make((struct identity_spec){ .issuer = &other }), SSL_AD_UNKNOWN_CA, "unable to get local issuer" },
        { keys_make((struct identity_spec){ .issuer = &middle }), SSL_AD_UNKNOWN_CA, "unable to get local issuer" },
        { keys_make((struct identity_spec){ .issuer = root, .usage = "serverAuth" }), SSL_AD_UNSUPPORTED_CERTIFICATE,
          "certificate purpose" },
        { keys_make((struct identity_spec){ .issuer = &c.alice, .with_issuers = 1 }), SSL_AD_UNKNOWN_CA,
          "invalid CA certificate" },
        { keys_make((struct identity_spec){ .issuer = &forger }), SSL_AD_DECRYPT_ERROR, "signature failure" },
    };
    struct fixture *f = policy_serve(asking(&c, TLSLOOP_VERIFY_OPTIONAL));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t k = 0; k < 2; k++)
            unwelcome(f, (struct visitor){ .version = versions[k], .own = &cases[i].who }, cases[i].alert,
                      TLSLOOP_EVERIFY, cases[i].why);
    /* Whoever brings what stands between is believed, and so is a certificate meant for clients. */
    struct identity complete = keys_make((struct identity_spec){ .issuer = &middle, .with_issuers = 1 });
    struct identity meant = keys_make((struct identity_spec){ .issuer = root, .usage = "clientAuth" });
    CHECK_STR(welcome(f, (struct visitor){ .own = &complete }).sha256, complete.sha256);
    CHECK_STR(welcome(f, (struct visitor){ .own = &meant }).sha256, meant.sha256);
    fixture_stop(f);
}

static tlsloop_tls *revoking(const struct cast *c, const char *crl)
{
    tlsloop_tls *tls = asking(c, TLSLOOP_VERIFY_REQUIRED);
    CHECK_OK(tlsloop_tls_set_crl_file(tls, crl));
    return tls;
}

static void revocation(void)
{
    struct cast c = cast();
    struct identity mallory = keys_make((struct identity_spec){ .issuer = &c.root });
    struct identity other = keys_make((struct identity_spec){ .common_name = "other root" });
    struct fixture *f = policy_serve(revoking(&c, keys_crl(&c.root, &mallory, 0)));
    for (size_t i = 0; i < 2; i++) {
        CHECK_STR(welcome(f, (struct visitor){ .version = versions[i], .own = &c.alice }).subject, "CN=alice");
        unwelcome(f, (struct visitor){ .version = versions[i], .own = &mallory }, SSL_AD_CERTIFICATE_REVOKED,
                  TLSLOOP_EVERIFY, "certificate revoked");
    }
    policy_reload(f, revoking(&c, keys_crl(&c.root, NULL, 0)));
    CHECK_STR(welcome(f, (struct visitor){ .own = &mallory }).sha256, mallory.sha256);
    /* "Each issuer of a peer's chain must have a list in it, and one that is up to date" */
    policy_reload(f, revoking(&c, keys_crl(&c.root, NULL, 1)));
    unwelcome(f, (struct visitor){ .own = &c.alice }, SSL_AD_CERTIFICATE_EXPIRED, TLSLOOP_EVERIFY, "CRL has expired");
    policy_reload(f, revoking(&c, keys_crl(&other, NULL, 0)));
    unwelcome(f, (struct visitor){ .own = &c.alice }, SSL_AD_UNKNOWN_CA, TLSLOOP_EVERIFY, "CRL");
    fixture_stop(f);
}

CHECK_MAIN(CASE(nobody_is_asked), CASE(optional_and_required), CASE(what_the_host_learns),
           CASE(without_a_certificate_there_is_no_der), CASE(more_names_than_fit), CASE(l38_why_a_client_is_refused),
           CASE(revocation))
