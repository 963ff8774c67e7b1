/* Whom a server believes: a file, memory, the system; what it says when that cannot be read; and what clients of
 * tlsloop's own learn when they are refused. */
#define _GNU_SOURCE
#include "dial.h"
#include "outgoing.h"
#include "policy.h"
#include "stage.h"
#include "visitor.h"

#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Two authorities, and a client of each. */
struct cast {
    struct identity one, two, server, alice, bob;
};

static struct cast cast(void)
{
    struct cast c;
    c.one = keys_make((struct identity_spec){ .common_name = "one" });
    c.two = keys_make((struct identity_spec){ .common_name = "two" });
    c.server = keys_make((struct identity_spec){ .names = "DNS:localhost,IP:127.0.0.1", .issuer = &c.one });
    c.alice = keys_make((struct identity_spec){ .common_name = "alice", .issuer = &c.one });
    c.bob = keys_make((struct identity_spec){ .common_name = "bob", .issuer = &c.two });
    return c;
}

static tlsloop_tls *requiring(const struct cast *c)
{
    tlsloop_tls *tls = policy_of(&c->server);
    CHECK_OK(tlsloop_tls_set_verify(tls, TLSLOOP_VERIFY_REQUIRED));
    return tls;
}

static void welcome(struct fixture *f, const struct identity *who)
{
    unsigned n = f->connects;
    struct peer p = visitor_settle(f->port, (struct visitor){ .own = who });
    CHECK_STR(policy_info(f, n).sha256, who->sha256);
    peer_leave(&p);
}

static void unwelcome(struct fixture *f, const struct identity *who)
{
    unsigned n = f->handshakes_failed;
    CHECK_EQ(visitor_refused(f->port, (struct visitor){ .own = who }), SSL_AD_UNKNOWN_CA);
    CHECK_EQ(policy_failure(f, n).code, TLSLOOP_EVERIFY);
}

static unsigned long both(const struct cast *c, char *text, size_t room)
{
    unsigned long len = keys_read(c->one.chain, text, room);
    return len + keys_read(c->two.chain, text + len, room - len);
}

static void several_authorities(void)
{
    char text[8192];
    struct cast c = cast();
    struct identity stranger = keys_make((struct identity_spec){ 0 });
    unsigned long len = both(&c, text, sizeof text);
    for (int from_memory = 0; from_memory < 2; from_memory++) {
        tlsloop_tls *tls = requiring(&c);
        if (from_memory)
            CHECK_OK(tlsloop_tls_set_trust(tls, text, len));
        else
            CHECK_OK(tlsloop_tls_set_trust_file(tls, keys_file("both.pem", text, len)));
        struct fixture *f = policy_serve(tls);
        welcome(f, &c.alice);
        welcome(f, &c.bob);
        unwelcome(f, &stranger);
        fixture_stop(f);
    }
}

/* "replaces" */
static void the_last_trust_counts(void)
{
    struct cast c = cast();
    tlsloop_tls *tls = requiring(&c);
    CHECK_OK(tlsloop_tls_set_trust_file(tls, c.one.chain));
    CHECK_OK(tlsloop_tls_set_trust_file(tls, c.two.chain));
    struct fixture *f = policy_serve(tls);
    welcome(f, &c.bob);
    unwelcome(f, &c.alice);
    fixture_stop(f);
}

/* "A certificate in it ends a chain whether it is a root or not": one client, trusted by itself. */
static void a_client_trusted_by_itself(void)
{
    struct cast c = cast();
    struct identity other = keys_make((struct identity_spec){ .issuer = &c.one });
    tlsloop_tls *tls = requiring(&c);
    CHECK_OK(tlsloop_tls_set_trust_file(tls, c.alice.chain));
    struct fixture *f = policy_serve(tls);
    welcome(f, &c.alice);
    unwelcome(f, &other);
    unwelcome(f, &c.bob);
    fixture_stop(f);
}

/* "NULL: those of the system" */
static void the_trust_of_the_system(void)
{
    struct cast c = cast();
    CHECK(setenv("SSL_CERT_FILE", c.two.chain, 1) == 0 && setenv("SSL_CERT_DIR", "/nowhere", 1) == 0);
    tlsloop_tls *tls = requiring(&c);
    CHECK_OK(tlsloop_tls_set_trust_file(tls, c.one.chain));
    CHECK_OK(tlsloop_tls_set_trust_file(tls, NULL));
    struct fixture *f = policy_serve(tls);
    welcome(f, &c.bob);
    unwelcome(f, &c.alice);
    fixture_stop(f);
}

static int name_is(const X509_NAME *name, const char *common_name)
{
    char text[64];
    X509_NAME_oneline(name, text, sizeof text);
    return strstr(text, common_name) != NULL;
}

/* A client with several certificates picks the right one, for it is told whom the server believes. */
static void the_client_is_told_whom(void)
{
    char text[8192];
    struct cast c = cast();
    tlsloop_tls *tls = requiring(&c);
    CHECK_OK(tlsloop_tls_set_trust(tls, text, both(&c, text, sizeof text)));
    struct fixture *f = policy_serve(tls);
    struct peer p = visitor_settle(f->port, (struct visitor){ .own = &c.bob });
    const STACK_OF(X509_NAME) *names = SSL_get0_peer_CA_list(p.ssl);
    CHECK_EQ(sk_X509_NAME_num(names), 2);
    CHECK(name_is(sk_X509_NAME_value(names, 0), "one") && name_is(sk_X509_NAME_value(names, 1), "two"));
    peer_leave(&p);
    fixture_stop(f);
}

/* "A server with verify OPTIONAL or REQUIRED and no trust: EINVAL at start", and at set_tls. */
static void no_trust_at_all(void)
{
    struct cast c = cast();
    const int kinds[] = { TLSLOOP_VERIFY_OPTIONAL, TLSLOOP_VERIFY_REQUIRED };
    struct fixture *f = policy_serve(policy_of(&c.server));
    for (size_t i = 0; i < 2; i++) {
        tlsloop_tls *tls = policy_of(&c.server);
        CHECK_OK(tlsloop_tls_set_verify(tls, kinds[i]));
        CHECK_EQ(stage_refused((tlsloop_server_config){ .tls = tls, .address = "127.0.0.1" }), TLSLOOP_EINVAL);
        CHECK_HAS(tlsloop_last_error(), "trust");
        CHECK_FAILS(tlsloop_server_set_tls(f->server, tls), TLSLOOP_EINVAL, "trust");
        /* It is not frozen by that: what was forgotten can be done. */
        CHECK_OK(tlsloop_tls_set_trust_file(tls, c.one.chain));
        if (i == 1) CHECK_OK(tlsloop_server_set_tls(f->server, tls));
        tlsloop_tls_free(tls);
    }
    welcome(f, &c.alice);
    fixture_stop(f);
}

/* Each of these is named, and leaves the trust as it was. */
static void files_that_cannot_be_read(void)
{
    char text[8192];
    struct cast c = cast();
    tlsloop_tls *tls = requiring(&c);
    CHECK_OK(tlsloop_tls_set_trust_file(tls, c.one.chain));
    CHECK_OK(tlsloop_tls_set_crl_file(tls, keys_crl(&c.one, NULL, 0)));
    const char *empty = keys_file("empty.pem", "", 0);
    unsigned long len = both(&c, text, sizeof text);
    const char *half = keys_file("half.pem", text, len - 200); /* the first is whole */
    CHECK_FAILS(tlsloop_tls_set_trust_file(tls, "/nowhere/ca.pem"), TLSLOOP_ESYS, "/nowhere/ca.pem");
    CHECK_FAILS(tlsloop_tls_set_trust_file(tls, keys_dir()), TLSLOOP_ESYS, keys_dir());
    CHECK_FAILS(tlsloop_tls_set_trust_file(tls, empty), TLSLOOP_ETLS, empty);
    CHECK_FAILS(tlsloop_tls_set_trust_file(tls, c.one.key), TLSLOOP_ETLS, c.one.key);
    CHECK_FAILS(tlsloop_tls_set_trust_file(tls, half), TLSLOOP_ETLS, half);
    CHECK_HAS(tlsloop_last_error(), "certificate 2 is damaged");
    CHECK_FAILS(tlsloop_tls_set_trust(tls, "rubbish", 7), TLSLOOP_ETLS, "ca_pem");
    CHECK_FAILS(tlsloop_tls_set_trust(tls, text, 0), TLSLOOP_EINVAL, "ca_pem");
    CHECK_FAILS(tlsloop_tls_set_trust(tls, NULL, 0), TLSLOOP_EINVAL, "ca_pem");
    CHECK_FAILS(tlsloop_tls_set_crl_file(tls, "/nowhere/ca.crl"), TLSLOOP_ESYS, "/nowhere/ca.crl");
    CHECK_FAILS(tlsloop_tls_set_crl_file(tls, c.one.chain), TLSLOOP_ETLS, c.one.chain);
    CHECK_FAILS(tlsloop_tls_set_crl_file(tls, NULL), TLSLOOP_EINVAL, "crl_pem");
    CHECK_FAILS(tlsloop_tls_set_verify(tls, 4), TLSLOOP_EINVAL, "verify");
    CHECK_FAILS(tlsloop_tls_set_verify(tls, -1), TLSLOOP_EINVAL, "verify");
    struct fixture *f = policy_serve(tls);
    welcome(f, &c.alice);
    unwelcome(f, &c.bob);
    fixture_stop(f);
}

/* L38: "given a server that refuses the client's certificate after the TLS 1.3 handshake has ended, it reports the
 * alert's words and not a bare reset": by both doors. */
static void l38_what_our_own_clients_hear(void)
{
    struct cast c = cast();
    const int versions[] = { TLSLOOP_TLS1_2, TLSLOOP_TLS1_3 };
    const struct {
        const struct identity *own;
        const char *words[2];
    } cases[] = {
        { NULL, { "handshake failure", "certificate required" } },
        { &c.bob, { "unknown ca", "unknown ca" } },
    };
    tlsloop_tls *tls = requiring(&c);
    CHECK_OK(tlsloop_tls_set_trust_file(tls, c.one.chain));
    struct fixture *f = policy_serve(tls);
    for (size_t i = 0; i < 8; i++) {
        size_t which = i & 1, version = i >> 1 & 1;
        tls = policy_trusting(&c.one);
        if (cases[which].own)
            CHECK_OK(tlsloop_tls_add_certificate_file(tls, cases[which].own->chain, cases[which].own->key));
        CHECK_OK(tlsloop_tls_set_versions(tls, versions[version], versions[version]));
        outgoing_refused((struct outgoing){ .door = i < 4 ? BY_CLIENT : BY_SERVER, .port = f->port, .tls = tls },
                         TLSLOOP_ETLS, cases[which].words[version]);
        tlsloop_tls_free(tls);
        EVENTUALLY_EQ(f->handshakes_failed, i + 1);
    }
    fixture_stop(f);
}

static void start_tls(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    (void)data;
    (void)len;
    CHECK_OK(tlsloop_conn_send(conn, "go\n", 3));
    CHECK_OK(tlsloop_conn_start_tls(conn));
}

/* Behind STARTTLS the connection was up, so its end tells the reason: "on_disconnect(PROTOCOL)". */
static void refused_behind_starttls(void)
{
    struct cast c = cast();
    tlsloop_tls *tls = requiring(&c);
    CHECK_OK(tlsloop_tls_set_trust_file(tls, c.one.chain));
    struct fixture *f = stage_start((struct options){
        .on.data = start_tls, .config = { .mode = TLSLOOP_MODE_STARTTLS, .tls = tls } }, NULL);
    tlsloop_tls_free(tls);
    struct peer p = visitor_open(f->port, (struct visitor){ .own = &c.bob });
    CHECK(tcp_send(p.fd, "STARTTLS\n", 9) && dial_expect(p.fd, "go\n"));
    char byte;
    if (peer_handshake(&p)) CHECK_EQ(peer_recv(&p, &byte, 1), PEER_FAILED);
    CHECK_EQ(visitor_alert(), SSL_AD_UNKNOWN_CA);
    struct record r = stage_ended(f, 0);
    CHECK_EQ(r.reason, TLSLOOP_REASON_PROTOCOL);
    CHECK_HAS(r.why, "unable to get local issuer");
    peer_close(&p);
    fixture_stop(f);
}

CHECK_MAIN(CASE(several_authorities), CASE(the_last_trust_counts), CASE(a_client_trusted_by_itself),
           CASE(the_trust_of_the_system), CASE(the_client_is_told_whom), CASE(no_trust_at_all),
           CASE(files_that_cannot_be_read), CASE(l38_what_our_own_clients_hear), CASE(refused_behind_starttls))
