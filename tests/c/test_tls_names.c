/*
 * Which certificate a server shows: "picked by SNI from the names that each certificate itself carries
 * (exact before wildcard; ECDSA before RSA where the client takes both); no match, or no SNI: the first."
 */
#define _GNU_SOURCE
#include "keys.h"
#include "policy.h"
#include "visitor.h"

#include <stdio.h>
#include <string.h>

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

/* The signatures of a client that cannot verify ECDSA, or nothing else; for TLS 1.2 the suites say so, too. */
#define ONLY_RSA .signatures = "rsa_pss_rsae_sha256:RSA+SHA256", .ciphers = "ECDHE-RSA-AES128-GCM-SHA256"
#define ONLY_ECDSA .signatures = "ECDSA+SHA256", .ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256"

static struct identity named(const char *names, enum keys_kind kind)
{
    return keys_make((struct identity_spec){ .names = names, .kind = kind });
}

static void add(tlsloop_tls *tls, const struct identity *who)
{
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, who->chain, who->key));
}

/* A whole visit, which must be shown this one's certificate. */
static void visit(struct fixture *f, struct visitor v, const struct identity *who)
{
    struct peer p = visitor_settle(f->port, v);
    CHECK_SHOWN(&p, who);
    peer_leave(&p);
}

static void visit_by_name(struct fixture *f, const char *name, const struct identity *who)
{
    for (size_t i = 0; i < 2; i++)
        visit(f, (struct visitor){ .server_name = name, .version = versions[i] }, who);
}

static void exact_before_wildcard_and_the_first_by_default(void)
{
    struct identity first = named("DNS:first.example", KEYS_EC);
    struct identity wild = named("DNS:*.a.example,DNS:*.deep.b.example", KEYS_EC);
    struct identity exact = named("DNS:www.a.example,DNS:b.example", KEYS_EC);
    struct identity later = named("DNS:www.a.example,DNS:first.example", KEYS_EC);
    struct identity plain = keys_make((struct identity_spec){ .common_name = "old.example" });
    struct identity upper = named("DNS:UPPER.Example", KEYS_EC);
    const struct identity *all[] = { &first, &wild, &exact, &later, &plain, &upper };
    tlsloop_tls *tls = policy_new();
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) add(tls, all[i]);
    struct fixture *f = policy_serve(tls);
    visit_by_name(f, NULL, &first);
    visit_by_name(f, "first.example", &first); /* of two with the same name and kind, the first */
    visit_by_name(f, "nobody.example", &first);
    visit_by_name(f, "www.a.example", &exact); /* though the wildcard was added before */
    visit_by_name(f, "WWW.a.EXAMPLE", &exact);
    visit_by_name(f, "x.a.example", &wild);
    visit_by_name(f, "x.deep.b.example", &wild);
    visit_by_name(f, "a.example", &first);     /* a wildcard is not its parent */
    visit_by_name(f, "y.x.a.example", &first); /* nor two labels */
    visit_by_name(f, "b.example", &exact);
    visit_by_name(f, "old.example", &plain); /* a certificate without names has its common name */
    visit_by_name(f, "upper.example", &upper);
    fixture_stop(f);
}

/* "conn_info": the host learns the name that was asked for. */
static void the_host_learns_the_name(void)
{
    struct identity first = named("DNS:first.example", KEYS_EC);
    struct fixture *f = policy_serve(policy_of(&first));
    struct peer named_peer = visitor_enter(f->port, (struct visitor){ .server_name = "x.example" });
    CHECK_STR(policy_info(f, 0).sni, "x.example");
    struct peer nameless = visitor_enter(f->port, (struct visitor){ 0 });
    CHECK_STR(policy_info(f, 1).sni, "");
    peer_leave(&named_peer);
    peer_leave(&nameless);
    fixture_stop(f);
}

/* Three kinds of clients and one name; the RSA certificate was added first. */
static void ecdsa_before_rsa(void)
{
    struct identity first = named("DNS:first.example", KEYS_EC);
    struct identity rsa = named("DNS:a.example", KEYS_RSA), ec = named("DNS:a.example", KEYS_EC);
    tlsloop_tls *tls = policy_of(&first);
    add(tls, &rsa);
    add(tls, &ec);
    struct fixture *f = policy_serve(tls);
    for (size_t i = 0; i < 2; i++) {
        const int version = versions[i];
        visit(f, (struct visitor){ .server_name = "a.example", .version = version }, &ec);
        visit(f, (struct visitor){ .server_name = "a.example", .version = version, ONLY_RSA }, &rsa);
        visit(f, (struct visitor){ .server_name = "a.example", .version = version, ONLY_ECDSA }, &ec);
    }
    fixture_stop(f);
}

/* A client that takes only RSA gets the wildcard's certificate if that is the RSA one, and else the first that it
 * takes; one that takes none is refused, and both sides know why. */
static void a_client_gets_what_it_can_take(void)
{
    struct identity first = named("DNS:first.example", KEYS_EC), rsa = named("DNS:first.example", KEYS_RSA);
    struct identity exact = named("DNS:www.a.example", KEYS_EC), wild = named("DNS:*.a.example", KEYS_RSA);
    const struct identity *all[] = { &first, &rsa, &exact, &wild };
    tlsloop_tls *tls = policy_new();
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) add(tls, all[i]);
    struct fixture *f = policy_serve(tls);
    const char *words[] = { "no shared cipher", "no suitable signature algorithm" };
    if (policy_on_aws_lc()) words[0] = words[1]; /* it looks at the suite first, and then finds no signature */
    for (size_t i = 0; i < 2; i++) {
        const int version = versions[i];
        visit(f, (struct visitor){ .server_name = "www.a.example", .version = version }, &exact);
        visit(f, (struct visitor){ .server_name = "www.a.example", .version = version, ONLY_RSA }, &wild);
        visit(f, (struct visitor){ .server_name = "nobody.example", .version = version, ONLY_RSA }, &rsa);
        visit(f, (struct visitor){ .version = version, ONLY_RSA }, &rsa);
        visit(f, (struct visitor){ .version = version }, &first);
        CHECK_EQ(visitor_refused(f->port, (struct visitor){ .version = version, .signatures = "ed25519" }),
                 SSL_AD_HANDSHAKE_FAILURE);
        struct record failure = policy_failure(f, (unsigned)i);
        CHECK_EQ(failure.code, TLSLOOP_ETLS);
        CHECK_HAS(failure.why, words[i]);
    }
    fixture_stop(f);
}

/* The first is the first also if it is RSA: a client without SNI that takes both kinds gets it. */
static void the_default_is_the_first_and_not_the_best(void)
{
    struct identity rsa = named("DNS:first.example", KEYS_RSA), ec = named("DNS:a.example", KEYS_EC);
    tlsloop_tls *tls = policy_of(&rsa);
    add(tls, &ec);
    struct fixture *f = policy_serve(tls);
    visit_by_name(f, NULL, &rsa);
    visit_by_name(f, "nobody.example", &rsa);
    visit_by_name(f, "a.example", &ec);
    fixture_stop(f);
}

/* Names of several certificates, and many names in one. */
static void hundreds_of_names(void)
{
    static char many[32 * 500];
    static struct identity others[200];
    const unsigned n = check_scaled(200);
    char name[32], *end = many;
    for (unsigned i = 0; i < 500; i++)
        end += sprintf(end, "%sDNS:n%u.many.example", i ? "," : "", i);
    struct identity one = named(many, KEYS_EC);
    tlsloop_tls *tls = policy_of(&one);
    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof name, "DNS:h%u.example", i);
        others[i] = named(name, KEYS_EC);
        add(tls, &others[i]);
    }
    struct fixture *f = policy_serve(tls);
    for (unsigned i = 0; i < n; i += 7) {
        snprintf(name, sizeof name, "h%u.example", i);
        visit(f, (struct visitor){ .server_name = name }, &others[i]);
    }
    snprintf(name, sizeof name, "h%u.example", n - 1);
    visit(f, (struct visitor){ .server_name = name }, &others[n - 1]);
    visit(f, (struct visitor){ .server_name = "n499.many.example" }, &one);
    visit(f, (struct visitor){ .server_name = "n500.many.example" }, &one); /* the default */
    fixture_stop(f);
}

/* A client that believes the root alone needs what stands between, from the file and from memory. */
static void a_chain(void)
{
    char chain[16384], key[4096];
    struct identity root = keys_make((struct identity_spec){ .common_name = "root" });
    struct identity middle = keys_make((struct identity_spec){ .issuer = &root, .may_issue = 1 });
    struct identity last =
        keys_make((struct identity_spec){ .issuer = &middle, .may_issue = 1, .with_issuers = 1 });
    struct identity whole = keys_make(
        (struct identity_spec){ .names = "DNS:whole.example", .issuer = &last, .with_issuers = 1 });
    struct identity memory = keys_make((struct identity_spec){
        .names = "DNS:memory.example", .issuer = &last, .with_issuers = 1, .kind = KEYS_RSA });
    struct identity bare = keys_make((struct identity_spec){ .names = "DNS:bare.example", .issuer = &last });
    tlsloop_tls *tls = policy_of(&whole);
    unsigned long chain_len = keys_read(memory.chain, chain, sizeof chain);
    CHECK_OK(tlsloop_tls_add_certificate(tls, chain, chain_len, key, keys_read(memory.key, key, sizeof key)));
    memset(key, 0, sizeof key); /* "the host may overwrite it when the call returns" */
    add(tls, &bare);
    struct fixture *f = policy_serve(tls);
    for (size_t i = 0; i < 2; i++) {
        struct visitor v = { .version = versions[i], .trust = &root, .server_name = "whole.example" };
        visit(f, v, &whole);
        v.server_name = "memory.example";
        visit(f, v, &memory);
        v.server_name = "bare.example";
        visitor_refused(f->port, v);
        /* The host learns it, too. In TLS 1.3 OpenSSL's client says it unencrypted, which AWS-LC does not read. */
        bool unread = policy_on_aws_lc() && versions[i] == TLS1_3_VERSION;
        CHECK_HAS(policy_failure(f, (unsigned)i).why, unread ? "decryption failed" : "alert unknown ca");
    }
    fixture_stop(f);
}

static void serves(const struct identity *who, const char *password)
{
    char chain[16384], key[4096];
    unsigned long chain_len = keys_read(who->chain, chain, sizeof chain);
    unsigned long key_len = keys_read(who->key, key, sizeof key);
    for (int from_memory = 0; from_memory < 2; from_memory++) {
        tlsloop_tls *tls = policy_new();
        CHECK_OK(tlsloop_tls_set_key_password(tls, password));
        if (from_memory)
            CHECK_OK(tlsloop_tls_add_certificate(tls, chain, chain_len, key, key_len));
        else
            add(tls, who);
        struct fixture *f = policy_serve(tls);
        visit_by_name(f, NULL, who);
        fixture_stop(f);
    }
}

static void keys_of_every_kind(void)
{
    const enum keys_kind kinds[] = { KEYS_EC, KEYS_RSA, KEYS_ED25519 };
    for (size_t i = 0; i < 3; i++) {
        struct identity open = named("DNS:a", kinds[i]);
        serves(&open, NULL);
        struct identity locked = keys_make((struct identity_spec){ .kind = kinds[i], .password = "Sesam" });
        serves(&locked, "Sesam");
    }
    struct identity old =
        keys_make((struct identity_spec){ .kind = KEYS_RSA, .password = "Sesam", .old_format = 1 });
    serves(&old, "Sesam");
}

/* L34: "an expired one loads with a warning", at each start and each set_tls. */
static void l34_expired_and_not_yet_valid(void)
{
    struct identity good = keys_local();
    struct identity old = keys_make((struct identity_spec){ .common_name = "old", .expired = 1 });
    struct identity early = keys_make((struct identity_spec){ .common_name = "early", .not_yet = 1 });
    struct fixture *f = policy_serve(policy_of(&old));
    CHECK_EQ(f->warnings, 1);
    CHECK(policy_logged(old.chain) && policy_logged("CN=old has expired"));
    visit_by_name(f, NULL, &old);
    policy_reload(f, policy_of(&good));
    CHECK_EQ(f->warnings, 1);
    tlsloop_tls *tls = policy_of(&early);
    add(tls, &old);
    CHECK_OK(tlsloop_server_set_tls(f->server, tls));
    EVENTUALLY_EQ(f->warnings, 3);
    EVENTUALLY(policy_logged(early.chain) && policy_logged("CN=early is not valid yet"));
    policy_reload(f, tls); /* once more */
    EVENTUALLY_EQ(f->warnings, 5);
    visit_by_name(f, NULL, &early);
    fixture_stop(f);
}

CHECK_MAIN(CASE(exact_before_wildcard_and_the_first_by_default), CASE(the_host_learns_the_name),
           CASE(ecdsa_before_rsa), CASE(a_client_gets_what_it_can_take),
           CASE(the_default_is_the_first_and_not_the_best), CASE(hundreds_of_names), CASE(a_chain),
           CASE(keys_of_every_kind), CASE(l34_expired_and_not_yet_valid))
