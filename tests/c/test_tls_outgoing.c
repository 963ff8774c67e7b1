/*
 * The client's side of the policy, for the blocking client and for connections that a server begins: whom it believes,
 * what it shows, what it resumes. Every case runs through both doors.
 */
#define _GNU_SOURCE
#include "outgoing.h"
#include "policy.h"
#include "stage.h"

#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

static const enum outgoing_door doors[] = { BY_CLIENT, BY_SERVER };

/* Each policy is given up as soon as it was used, except where it is to be used again. */
static tlsloop_info welcome_once(struct outgoing o)
{
    tlsloop_info info = outgoing_welcome(o);
    tlsloop_tls_free(o.tls);
    return info;
}

static void refused_once(struct outgoing o, int code, const char *why)
{
    outgoing_refused(o, code, why);
    tlsloop_tls_free(o.tls);
}

/* However they ended. */
static void all_have_left(struct fixture *f, unsigned n)
{
    EVENTUALLY_EQ(f->disconnects + f->handshakes_failed, n);
}

static void names_and_addresses(void)
{
    struct identity root = keys_make((struct identity_spec){ 0 });
    struct identity who = keys_make((struct identity_spec){
        .common_name = "common.example",
        .names = "DNS:a.example,DNS:*.wild.example,DNS:127.0.0.3,IP:127.0.0.1,IP:::1,IP:fe80::1",
        .issuer = &root });
    static const char *const good[] = { NULL, "a.example", "A.Example", "a.example.", "x.wild.example", "::1",
                                        "[::1]", "0:0:0:0:0:0:0:1", "fe80::1%lo" };
    static const char *const bad[] = { "b.example", "wild.example", "y.x.wild.example", "xwild.example",
                                       "common.example", "127.0.0.2", "127.0.0.3", "::2", "a.example.b" };
    struct fixture *f = policy_serve(policy_of(&who));
    const size_t n_good = sizeof good / sizeof *good, n_bad = sizeof bad / sizeof *bad;
    for (size_t d = 0; d < 2; d++) {
        struct outgoing o = { .door = doors[d], .port = f->port };
        for (size_t i = 0; i < n_good; i++) {
            o.server_name = good[i];
            o.tls = policy_trusting(&root);
            CHECK_STR(welcome_once(o).sha256, who.sha256);
        }
        for (size_t i = 0; i < n_bad; i++) {
            o.server_name = bad[i];
            o.tls = policy_trusting(&root);
            refused_once(o, TLSLOOP_EVERIFY, bad[i]);
        }
    }
    all_have_left(f, 2 * (unsigned)(n_good + n_bad));
    fixture_stop(f);
}

/* L38: "a client without any policy refuses an unknown issuer", and one with a policy whatever else is wrong. */
static void l38_servers_that_are_not_believed(void)
{
    struct identity root = keys_make((struct identity_spec){ .common_name = "root" });
    struct identity forger = keys_make((struct identity_spec){ .common_name = "root" });
    struct identity stranger = keys_make((struct identity_spec){ .names = "IP:127.0.0.1" });
    const struct {
        struct identity who;
        const char *why;
    } cases[] = {
        { stranger, "self-signed certificate" },
        { keys_make((struct identity_spec){ .names = "IP:127.0.0.1", .issuer = &stranger }), "local issuer" },
        { keys_make((struct identity_spec){ .names = "IP:127.0.0.1", .issuer = &root, .expired = 1 }), "has expired" },
        { keys_make((struct identity_spec){ .names = "IP:127.0.0.1", .issuer = &root, .not_yet = 1 }), "not yet" },
        { keys_make((struct identity_spec){ .names = "IP:127.0.0.1", .issuer = &root, .usage = "clientAuth" }),
          "purpose" },
        { keys_make((struct identity_spec){ .names = "IP:127.0.0.1", .issuer = &forger }), "signature failure" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture *f = policy_serve(policy_of(&cases[i].who));
        for (size_t d = 0; d < 2; d++) {
            refused_once((struct outgoing){ .door = doors[d], .port = f->port, .tls = policy_trusting(&root) },
                         TLSLOOP_EVERIFY, cases[i].why);
            outgoing_refused((struct outgoing){ .door = doors[d], .port = f->port }, TLSLOOP_EVERIFY, "127.0.0.1");
        }
        all_have_left(f, 4);
        fixture_stop(f);
    }
}

static void revoked_servers(void)
{
    struct identity root = keys_make((struct identity_spec){ 0 });
    struct identity who = keys_make((struct identity_spec){ .names = "IP:127.0.0.1", .issuer = &root });
    const char *clean = keys_crl(&root, NULL, 0), *revoked = keys_crl(&root, &who, 0);
    struct fixture *f = policy_serve(policy_of(&who));
    for (size_t d = 0; d < 2; d++) {
        struct outgoing o = { .door = doors[d], .port = f->port, .tls = policy_trusting(&root) };
        CHECK_OK(tlsloop_tls_set_crl_file(o.tls, clean));
        welcome_once(o);
        o.tls = policy_trusting(&root);
        CHECK_OK(tlsloop_tls_set_crl_file(o.tls, revoked));
        refused_once(o, TLSLOOP_EVERIFY, "revoked");
    }
    all_have_left(f, 4);
    fixture_stop(f);
}

/* "instead of chain, name and dates" */
static void pins(void)
{
    struct identity who =
        keys_make((struct identity_spec){ .names = "DNS:elsewhere.example", .expired = 1, .usage = "clientAuth" });
    struct identity other = keys_make((struct identity_spec){ .names = "DNS:elsewhere.example" });
    char colons[96];
    for (int i = 0; i < 32; i++)
        sprintf(colons + 3 * i, "%.2s%s", who.sha256 + 2 * i, i < 31 ? ":" : "");
    const char *const good[] = { who.sha256, colons };
    struct fixture *f = policy_serve(policy_of(&who));
    for (size_t d = 0; d < 2; d++) {
        struct outgoing o = { .door = doors[d], .port = f->port };
        for (size_t i = 0; i < 2; i++) {
            o.tls = policy_new();
            CHECK_OK(tlsloop_tls_set_pin(o.tls, good[i]));
            CHECK_STR(welcome_once(o).sha256, who.sha256);
        }
        o.tls = policy_trusting(&who); /* trusted by its chain, and yet not the one */
        CHECK_OK(tlsloop_tls_set_pin(o.tls, other.sha256));
        refused_once(o, TLSLOOP_EVERIFY, "pin");
        o.tls = policy_new(); /* a pin counts also where nothing else is looked at */
        CHECK_OK(tlsloop_tls_set_verify(o.tls, TLSLOOP_VERIFY_NONE));
        CHECK_OK(tlsloop_tls_set_pin(o.tls, other.sha256));
        refused_once(o, TLSLOOP_EVERIFY, "pin");
    }
    all_have_left(f, 8);
    fixture_stop(f);
}

static void pins_that_are_none(void)
{
    static const char *const bad[] = { "", "ab", "g123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                                       "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde",
                                       "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0" };
    tlsloop_tls *tls = policy_new();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_FAILS(tlsloop_tls_set_pin(tls, bad[i]), TLSLOOP_EINVAL, "sha256_hex");
    CHECK_FAILS(tlsloop_tls_set_pin(tls, NULL), TLSLOOP_EINVAL, "sha256_hex");
    tlsloop_tls_free(tls);
}

/* "NULL: the system's trust, verified", also where it is asked for by name. */
static void the_trust_of_the_system(void)
{
    struct identity root = keys_make((struct identity_spec){ 0 });
    struct identity who = keys_make((struct identity_spec){ .names = "IP:127.0.0.1", .issuer = &root });
    CHECK(setenv("SSL_CERT_FILE", root.chain, 1) == 0 && setenv("SSL_CERT_DIR", "/nowhere", 1) == 0);
    struct fixture *f = policy_serve(policy_of(&who));
    for (size_t d = 0; d < 2; d++) {
        struct outgoing o = { .door = doors[d], .port = f->port };
        CHECK_EQ(outgoing_welcome(o).verify_result, X509_V_OK);
        o.tls = policy_new();
        welcome_once(o);
        o.tls = policy_trusting(&who);
        CHECK_OK(tlsloop_tls_set_trust_file(o.tls, NULL));
        welcome_once(o);
        o.server_name = "wrong.example";
        o.tls = NULL;
        outgoing_refused(o, TLSLOOP_EVERIFY, "wrong.example");
    }
    all_have_left(f, 8);
    fixture_stop(f);
}

/* Where distributions have what they believe. */
static const char *system_bundle(void)
{
    static const char *const places[] = { "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                          "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem" };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (access(places[i], R_OK) == 0) return places[i];
    check_skip("this machine believes nobody");
}

/* The system's authorities are found without anybody's help, whichever OpenSSL is inside: a certificate that claims to
 * be of one of them is told from one of an issuer that nobody knows. */
static void the_authorities_of_the_distribution(void)
{
    X509 *authority = keys_load_certificate(system_bundle());
    bool is_rsa = EVP_PKEY_is_a(X509_get0_pubkey(authority), "RSA"); /* an issuer has the right kind of key */
    X509_free(authority);
    struct identity liar = keys_make((struct identity_spec){ .kind = is_rsa ? KEYS_RSA : KEYS_EC });
    snprintf(liar.chain, sizeof liar.chain, "%s", system_bundle());
    struct identity who = keys_make((struct identity_spec){ .names = "IP:127.0.0.1", .issuer = &liar });
    CHECK(unsetenv("SSL_CERT_FILE") == 0 && unsetenv("SSL_CERT_DIR") == 0);
    struct fixture *f = policy_serve(policy_of(&who));
    for (size_t d = 0; d < 2; d++) {
        struct outgoing o = { .door = doors[d], .port = f->port, .tls = policy_new() };
        CHECK_OK(tlsloop_tls_set_verify(o.tls, TLSLOOP_VERIFY_NONE));
        CHECK_OK(tlsloop_tls_set_trust_file(o.tls, NULL));
        int verdict = welcome_once(o).verify_result;
        if (verdict != X509_V_ERR_CERT_HAS_EXPIRED) CHECK_EQ(verdict, X509_V_ERR_CERT_SIGNATURE_FAILURE);
        o.tls = NULL;
        outgoing_refused(o, TLSLOOP_EVERIFY, "127.0.0.1");
    }
    all_have_left(f, 4);
    fixture_stop(f);
}

/* Who asks nobody does not read the files of all authorities; who names the system's trust may look at the verdict. */
static void verify_none_reads_no_trust(void)
{
    struct identity root = keys_make((struct identity_spec){ 0 });
    struct identity who = keys_make((struct identity_spec){ .names = "DNS:elsewhere.example", .issuer = &root });
    char events[4096];
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    CHECK(watch >= 0);
    CHECK(setenv("SSL_CERT_FILE", root.chain, 1) == 0 && setenv("SSL_CERT_DIR", "/nowhere", 1) == 0);
    struct fixture *f = policy_serve(policy_of(&who));
    CHECK(inotify_add_watch(watch, root.chain, IN_OPEN) >= 0);
    for (size_t d = 0; d < 2; d++) {
        struct outgoing o = { .door = doors[d], .port = f->port, .tls = policy_new() };
        CHECK_OK(tlsloop_tls_set_verify(o.tls, TLSLOOP_VERIFY_NONE));
        tlsloop_info info = welcome_once(o);
        CHECK_STR(info.sha256, who.sha256);
        CHECK_EQ(info.verify_result, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
        CHECK(read(watch, events, sizeof events) < 0); /* nobody has opened it */
        o.tls = policy_new();
        CHECK_OK(tlsloop_tls_set_verify(o.tls, TLSLOOP_VERIFY_NONE));
        CHECK_OK(tlsloop_tls_set_trust_file(o.tls, NULL));
        CHECK_EQ(welcome_once(o).verify_result, X509_V_ERR_IP_ADDRESS_MISMATCH);
        CHECK(read(watch, events, sizeof events) > 0);
    }
    all_have_left(f, 4);
    fixture_stop(f);
    close(watch);
}

/* "A client shows its certificate to a server that asks for one", with what stands between. */
static void a_certificate_of_its_own(void)
{
    struct identity root = keys_make((struct identity_spec){ 0 });
    struct identity middle = keys_make((struct identity_spec){ .issuer = &root, .may_issue = 1 });
    struct identity who = keys_make((struct identity_spec){ .names = "IP:127.0.0.1", .issuer = &root });
    const enum keys_kind kinds[] = { KEYS_EC, KEYS_RSA, KEYS_ED25519 };
    tlsloop_tls *tls = policy_of(&who);
    CHECK_OK(tlsloop_tls_set_trust_file(tls, root.chain));
    CHECK_OK(tlsloop_tls_set_verify(tls, TLSLOOP_VERIFY_REQUIRED));
    struct fixture *f = policy_serve(tls);
    for (size_t i = 0; i < 6; i++) {
        struct identity own =
            keys_make((struct identity_spec){ .kind = kinds[i / 2], .issuer = &middle, .with_issuers = 1 });
        struct outgoing o = { .door = doors[i % 2], .port = f->port, .tls = policy_trusting(&root) };
        CHECK_OK(tlsloop_tls_add_certificate_file(o.tls, own.chain, own.key));
        welcome_once(o);
    }
    all_have_left(f, 6);
    CHECK_EQ(f->handshakes_failed, 0);
    fixture_stop(f);
}

/* What begins with a dot would stand for every name below it (X509_check_host(3)). */
static const char *const no_names[] = { "", " ", ".", "a b", ".localhost", "a..b", "*.example ", "caf\xc3\xa9.example" };

/* "TLSLOOP_EINVAL for NULL or a member that is wrong", before anything is connected or frozen. */
static void names_that_are_none(void)
{
    struct fixture *f = stage_start((struct options){ .config = {
        .listen_fd = TLSLOOP_NO_LISTENER, .mode = TLSLOOP_MODE_PLAIN } }, NULL);
    tlsloop_tls *tls = policy_new();
    tlsloop_client *client;
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    config.host = "127.0.0.1";
    config.port = 1;
    config.tls = tls;
    for (int mode = TLSLOOP_MODE_TLS; mode <= TLSLOOP_MODE_STARTTLS; mode++) {
        if (mode == TLSLOOP_MODE_PLAIN || mode == TLSLOOP_MODE_DETECT) continue;
        config.mode = mode;
        for (unsigned i = 0; i < sizeof no_names / sizeof *no_names; i++) {
            config.server_name = no_names[i];
            CHECK_FAILS(tlsloop_client_connect(&config, &client), TLSLOOP_EINVAL, "server_name");
            CHECK_FAILS(tlsloop_server_connect(f->server, &config, NULL), TLSLOOP_EINVAL, "server_name");
        }
    }
    config.server_name = NULL;
    config.port = 0;
    CHECK_FAILS(tlsloop_client_connect(&config, &client), TLSLOOP_EINVAL, "port");
    CHECK_FAILS(tlsloop_server_connect(f->server, &config, NULL), TLSLOOP_EINVAL, "port");
    CHECK_OK(tlsloop_tls_set_verify(tls, TLSLOOP_VERIFY_NONE)); /* nobody uses it */
    tlsloop_tls_free(tls);
    fixture_stop(f);
}

CHECK_MAIN(CASE(names_and_addresses), CASE(l38_servers_that_are_not_believed), CASE(revoked_servers), CASE(pins),
           CASE(pins_that_are_none), CASE(the_trust_of_the_system), CASE(the_authorities_of_the_distribution),
           CASE(verify_none_reads_no_trust), CASE(a_certificate_of_its_own),
           CASE(names_that_are_none))
