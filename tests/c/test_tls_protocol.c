/*
 * What is agreed on in a handshake: "Defaults: TLS 1.2 and 1.3, forward-secret AEAD suites, server preference, one
 * stateless ticket; no renegotiation, compression or 0-RTT (replay)", and what a host may change of it.
 */
#define _GNU_SOURCE
#include "policy.h"
#include "visitor.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct identity mine(void)
{
    return keys_make((struct identity_spec){ .names = "DNS:localhost" });
}

static struct fixture *serve_defaults(void)
{
    struct identity who = mine();
    return policy_serve(policy_of(&who));
}

/* The facts of one visit, as the host knows them. */
static tlsloop_info facts_of(struct fixture *f, struct visitor v)
{
    unsigned n = f->connects;
    struct peer p = visitor_settle(f->port, v);
    tlsloop_info info = policy_info(f, n);
    peer_leave(&p);
    return info;
}

/* A visit that ends with this alert, and what the host is told of it. */
static void refused(struct fixture *f, struct visitor v, int alert, const char *why)
{
    unsigned n = f->handshakes_failed;
    CHECK_EQ(visitor_refused(f->port, v), alert);
    struct record failure = policy_failure(f, n);
    CHECK_EQ(failure.code, TLSLOOP_ETLS);
    CHECK_HAS(failure.why, why);
}

static void versions(void)
{
    struct identity who = mine();
    const struct visitor tls11 = { .version = TLS1_1_VERSION, .ciphers = "ALL:@SECLEVEL=0" };
    const struct visitor tls12 = { .version = TLS1_2_VERSION }, tls13 = { .version = TLS1_3_VERSION };
    struct fixture *f = policy_serve(policy_of(&who));
    CHECK_STR(facts_of(f, (struct visitor){ 0 }).version, "TLSv1.3");
    CHECK_STR(facts_of(f, tls12).version, "TLSv1.2");
    refused(f, tls11, SSL_AD_PROTOCOL_VERSION, "unsupported protocol");

    tlsloop_tls *tls = policy_of(&who);
    CHECK_OK(tlsloop_tls_set_versions(tls, TLSLOOP_TLS1_3, TLSLOOP_TLS1_3));
    policy_reload(f, tls);
    CHECK_STR(facts_of(f, tls13).version, "TLSv1.3");
    refused(f, tls12, SSL_AD_PROTOCOL_VERSION, "unsupported protocol");

    tls = policy_of(&who);
    CHECK_OK(tlsloop_tls_set_versions(tls, TLSLOOP_TLS1_2, TLSLOOP_TLS1_2));
    policy_reload(f, tls);
    CHECK_STR(facts_of(f, (struct visitor){ 0 }).version, "TLSv1.2");
    refused(f, tls13, SSL_AD_PROTOCOL_VERSION, "unsupported protocol");
    refused(f, tls11, SSL_AD_PROTOCOL_VERSION, "unsupported protocol");
    fixture_stop(f);
}

static void versions_that_cannot_be_had(void)
{
    tlsloop_tls *tls = policy_new();
    CHECK_FAILS(tlsloop_tls_set_versions(tls, TLSLOOP_TLS1_3, TLSLOOP_TLS1_2), TLSLOOP_EINVAL, "min");
    CHECK_FAILS(tlsloop_tls_set_versions(tls, TLS1_1_VERSION, TLSLOOP_TLS1_2), TLSLOOP_EINVAL, "min");
    CHECK_FAILS(tlsloop_tls_set_versions(tls, TLSLOOP_TLS1_2, 0x0305), TLSLOOP_EINVAL, "max");
    CHECK_FAILS(tlsloop_tls_set_versions(tls, 0, 0), TLSLOOP_EINVAL, "min");
    tlsloop_tls_free(tls);
}

/* "forward-secret AEAD suites": each of these clients offers one thing that is not. */
static void old_suites_are_refused(void)
{
    static const char *const old[] = {
        "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "AES128-GCM-SHA256", "AES256-SHA",
        "DHE-RSA-AES128-GCM-SHA256",
    };
    struct fixture *f = serve_defaults();
    for (size_t i = 0; i < sizeof old / sizeof *old; i++)
        refused(f, (struct visitor){ .version = TLS1_2_VERSION, .ciphers = old[i] }, SSL_AD_HANDSHAKE_FAILURE,
                "no shared cipher");
    fixture_stop(f);
}

/* "server preference": both clients offer the same two, in either order. */
static void the_servers_order_counts(void)
{
    struct fixture *f = serve_defaults();
    static const char *const orders[] = {
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256",
    };
    static const char *const suites[] = {
        "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256",
    };
    for (size_t i = 0; i < 2; i++) {
        struct visitor v = { .version = TLS1_2_VERSION, .ciphers = orders[i] };
        CHECK_STR(facts_of(f, v).cipher, "ECDHE-ECDSA-AES128-GCM-SHA256");
        v = (struct visitor){ .version = TLS1_3_VERSION, .suites = suites[i] };
        CHECK_STR(facts_of(f, v).cipher, "TLS_AES_128_GCM_SHA256");
    }
    /* A client that has ChaCha first is a machine without AES in hardware: it gets its wish. */
    struct visitor phone = { .ciphers = "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384",
                             .version = TLS1_2_VERSION };
    CHECK_STR(facts_of(f, phone).cipher, "ECDHE-ECDSA-CHACHA20-POLY1305");
    fixture_stop(f);
}

static void suites_of_the_host(void)
{
    struct identity who = mine();
    tlsloop_tls *tls = policy_of(&who);
    CHECK_OK(tlsloop_tls_set_ciphers(tls, "ECDHE-ECDSA-AES128-GCM-SHA256", NULL));
    CHECK_OK(tlsloop_tls_set_ciphers(tls, NULL, "TLS_CHACHA20_POLY1305_SHA256")); /* NULL: as is */
    struct fixture *f = policy_serve(tls);
    CHECK_STR(facts_of(f, (struct visitor){ .version = TLS1_2_VERSION }).cipher, "ECDHE-ECDSA-AES128-GCM-SHA256");
    CHECK_STR(facts_of(f, (struct visitor){ .version = TLS1_3_VERSION }).cipher, "TLS_CHACHA20_POLY1305_SHA256");
    refused(f, (struct visitor){ .version = TLS1_3_VERSION, .suites = "TLS_AES_128_GCM_SHA256" },
            SSL_AD_HANDSHAKE_FAILURE, "no shared cipher");
    fixture_stop(f);
}

/* "an unknown cipher: an error at once, from the call that named it" */
static void unknown_suites_and_groups(void)
{
    static const char *const bad_ciphers[] = {
        "", "NOSUCH", "ECDHE+AESGCM:NOSUCH", "NOSUCH:ECDHE+AESGCM", "TLS_AES_128_GCM_SHA256", "!ALL",
    };
    static const char *const bad_suites[] = {
        "", "TLS_NOSUCH", "TLS_AES_128_GCM_SHA256:TLS_NOSUCH", "ECDHE-RSA-AES128-GCM-SHA256",
    };
    static const char *const bad_groups[] = { "", "NOSUCH", "X25519:NOSUCH", "X25519,P-256" };
    tlsloop_tls *tls = policy_new();
    for (size_t i = 0; i < sizeof bad_ciphers / sizeof *bad_ciphers; i++) {
        CHECK_FAILS(tlsloop_tls_set_ciphers(tls, bad_ciphers[i], NULL), TLSLOOP_EINVAL, "tls12_list");
        if (strstr(bad_ciphers[i], "NOSUCH")) CHECK_HAS(tlsloop_last_error(), "\"NOSUCH\"");
    }
    for (size_t i = 0; i < sizeof bad_suites / sizeof *bad_suites; i++)
        CHECK_FAILS(tlsloop_tls_set_ciphers(tls, NULL, bad_suites[i]), TLSLOOP_EINVAL, "tls13_suites");
    for (size_t i = 0; i < sizeof bad_groups / sizeof *bad_groups; i++)
        CHECK_FAILS(tlsloop_tls_set_groups(tls, bad_groups[i]), TLSLOOP_EINVAL, "groups");
    CHECK_FAILS(tlsloop_tls_set_groups(tls, NULL), TLSLOOP_EINVAL, "groups");
    CHECK_OK(tlsloop_tls_set_ciphers(tls, NULL, NULL));
    tlsloop_tls_free(tls);
}

/* Both ends of tlsloop, because this program's own OpenSSL may be older than the one in it. */
static void groups(void)
{
    struct identity who = mine();
    tlsloop_tls *tls = policy_of(&who);
    CHECK_OK(tlsloop_tls_set_groups(tls, "P-384:X25519"));
    struct fixture *f = policy_serve(tls);
    CHECK_STR(facts_of(f, (struct visitor){ .groups = "P-384" }).group, "secp384r1");
    CHECK_STR(facts_of(f, (struct visitor){ .groups = "X25519", .version = TLS1_3_VERSION }).group, "x25519");
    CHECK_STR(facts_of(f, (struct visitor){ .groups = "X25519:P-384:P-256", .version = TLS1_2_VERSION }).group,
              "secp384r1");
    /* A guess that is wrong costs a round trip, and no more: HelloRetryRequest. */
    CHECK_STR(facts_of(f, (struct visitor){ .groups = "P-256:P-384" }).group, "secp384r1");
    refused(f, (struct visitor){ .groups = "P-256", .version = TLS1_3_VERSION }, SSL_AD_HANDSHAKE_FAILURE,
            "no suitable key share");
    refused(f, (struct visitor){ .groups = "P-256", .version = TLS1_2_VERSION }, SSL_AD_HANDSHAKE_FAILURE,
            "no shared cipher");
    fixture_stop(f);
}

static void group_with_client(struct fixture *f, const char *groups, const char *agreed)
{
    unsigned n = f->connects;
    tlsloop_client *client;
    tlsloop_info info = TLSLOOP_INFO_INIT;
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    config.host = "127.0.0.1";
    config.port = (uint16_t)f->port;
    config.tls = policy_new();
    CHECK_OK(tlsloop_tls_set_verify(config.tls, TLSLOOP_VERIFY_NONE));
    if (groups) CHECK_OK(tlsloop_tls_set_groups(config.tls, groups));
    CHECK_OK(tlsloop_client_connect(&config, &client));
    tlsloop_tls_free(config.tls);
    CHECK_OK(tlsloop_client_info(client, &info));
    CHECK_STR(info.group, agreed);
    CHECK_STR(policy_info(f, n).group, agreed);
    CHECK_OK(tlsloop_client_close(client));
}

/* "X25519MLKEM768, which a quantum computer does not break, where OpenSSL has it (3.5)" */
static void the_key_exchange_by_default(void)
{
    tlsloop_tls *tls = policy_new();
    bool has_it = tlsloop_tls_set_groups(tls, "X25519MLKEM768") == TLSLOOP_OK;
    tlsloop_tls_free(tls);
    struct fixture *f = serve_defaults();
    group_with_client(f, NULL, has_it ? "X25519MLKEM768" : "x25519");
    group_with_client(f, "X25519", "x25519");
    group_with_client(f, "P-256", "secp256r1");
    group_with_client(f, "P-384", "secp384r1");
    EVENTUALLY_EQ(f->disconnects, 4);
    /* Finite fields let a client burn the server's processor. */
    refused(f, (struct visitor){ .groups = "ffdhe2048", .version = TLS1_3_VERSION }, SSL_AD_HANDSHAKE_FAILURE,
            "no suitable key share");
    fixture_stop(f);
}

CHECK_MAIN(CASE(versions), CASE(versions_that_cannot_be_had), CASE(old_suites_are_refused),
           CASE(the_servers_order_counts), CASE(suites_of_the_host), CASE(unknown_suites_and_groups), CASE(groups),
           CASE(the_key_exchange_by_default))
