/*
 * L36: "given a session ticket that was issued under one policy of trust and verification, tlsloop does not resume it
 * under another; within one policy it resumes, with client certificates too, and conn_info still shows the identity."
 */
#define _GNU_SOURCE
#include "policy.h"
#include "visitor.h"

#include <openssl/rand.h>
#include <string.h>

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

/* Who is in these stories. */
struct cast {
    struct identity one, two, server, alice, bob;
    const char *keys, *both, *crl; /* files: ticket keys; both authorities; nobody is on it */
};

static struct cast cast(void)
{
    char text[8192];
    unsigned char key[80];
    struct cast c;
    c.one = keys_make((struct identity_spec){ .common_name = "one" });
    c.two = keys_make((struct identity_spec){ .common_name = "two" });
    c.server = keys_make((struct identity_spec){ .names = "DNS:localhost,DNS:a.example,DNS:b.example" });
    c.alice = keys_make((struct identity_spec){ .common_name = "alice", .issuer = &c.one });
    c.bob = keys_make((struct identity_spec){ .common_name = "bob", .issuer = &c.two });
    unsigned long len = keys_read(c.one.chain, text, sizeof text);
    len += keys_read(c.two.chain, text + len, sizeof text - len);
    c.both = keys_file("both.pem", text, len);
    c.crl = keys_crl(&c.one, NULL, 0);
    CHECK(RAND_bytes(key, sizeof key) == 1);
    c.keys = keys_file("ticket.key", key, sizeof key);
    return c;
}

/* One policy about clients. All of them have the same keys for their tickets. */
struct about_clients {
    int verify;
    const char *trust, *crl;
};

static tlsloop_tls *policy(const struct cast *c, struct about_clients about)
{
    tlsloop_tls *tls = policy_of(&c->server);
    CHECK_OK(tlsloop_tls_set_verify(tls, about.verify));
    if (about.trust) CHECK_OK(tlsloop_tls_set_trust_file(tls, about.trust));
    if (about.crl) CHECK_OK(tlsloop_tls_set_crl_file(tls, about.crl));
    CHECK_OK(tlsloop_tls_set_ticket_key_files(tls, &c->keys, 1));
    return tls;
}

/* The descriptors and threads of the others are not this one's. */
static void stop_beside_others(struct fixture *f)
{
    f->loose_descriptors = f->loose_threads = true;
    fixture_stop(f);
}

static void knows(struct fixture *f, unsigned n, const struct identity *who, int resumed)
{
    unsigned char expected[4096], der[4096];
    size_t len = sizeof der, whole = keys_der(who, expected, sizeof expected);
    tlsloop_info info = policy_info(f, n);
    CHECK_EQ(info.is_resumed, resumed);
    CHECK_EQ(info.has_certificate, 1);
    CHECK_STR(info.sha256, who->sha256);
    CHECK_STR(info.subject, "CN=alice");
    CHECK_STR(info.issuer, "CN=one");
    CHECK_EQ(info.verify_result, X509_V_OK);
    CHECK_OK(tlsloop_conn_peer_certificate(fixture_conn(f, n), der, &len));
    CHECK(len == whole && memcmp(der, expected, len) == 0);
}

static void l36_the_identity_is_still_shown(void)
{
    struct cast c = cast();
    for (size_t i = 0; i < 2; i++) {
        struct fixture *f = policy_serve(
            policy(&c, (struct about_clients){ TLSLOOP_VERIFY_REQUIRED, c.one.chain, NULL }));
        struct visitor v = { .version = versions[i], .own = &c.alice };
        for (unsigned n = 0; n < 4; n++) {
            struct peer p = visitor_settle(f->port, v);
            CHECK_EQ(SSL_session_reused(p.ssl), n > 0);
            knows(f, n, &c.alice, n > 0);
            SSL_SESSION_free(v.session);
            v.session = SSL_get1_session(p.ssl); /* the next visit continues this one */
            v.own = NULL;                        /* and needs no certificate for it */
            peer_leave(&p);
        }
        SSL_SESSION_free(v.session);
        CHECK_EQ(fixture_stats(f).handshakes_resumed, 3);
        CHECK_EQ(fixture_stats(f).handshakes, 4);
        fixture_stop(f);
    }
}

/* The visitor with a ticket of another policy: it is let in anew, by its certificate, or not at all. */
static void offer(struct fixture *f, struct visitor v, SSL_SESSION *session, bool same, bool trusted)
{
    if (!trusted) {
        unsigned n = f->handshakes_failed;
        v.session = session;
        CHECK_EQ(visitor_refused(f->port, v), SSL_AD_UNKNOWN_CA);
        CHECK_EQ(policy_failure(f, n).code, TLSLOOP_EVERIFY);
        return;
    }
    CHECK_EQ(visitor_resumes(f->port, v, session), same);
}

/* Seven servers in one process, with the same ticket keys; each ticket is tried at each of them. */
static void l36_no_ticket_crosses_policies(void)
{
    struct cast c = cast();
    const struct about_clients abouts[] = {
        { TLSLOOP_VERIFY_NONE, NULL, NULL },
        { TLSLOOP_VERIFY_OPTIONAL, c.one.chain, NULL },
        { TLSLOOP_VERIFY_REQUIRED, c.one.chain, NULL },
        { TLSLOOP_VERIFY_REQUIRED, c.one.chain, c.crl },
        { TLSLOOP_VERIFY_REQUIRED, c.both, NULL },
        { TLSLOOP_VERIFY_OPTIONAL, c.two.chain, NULL },
        { TLSLOOP_VERIFY_REQUIRED, c.two.chain, NULL },
    };
    enum { SERVERS = sizeof abouts / sizeof *abouts, ONLY_TWO = 5 };
    struct fixture *f[SERVERS];
    for (size_t i = 0; i < SERVERS; i++) f[i] = policy_serve(policy(&c, abouts[i]));
    for (size_t i = 0; i < SERVERS * 2; i++) {
        size_t from = i / 2;
        /* Alice is known everywhere but where two alone counts, and there it is Bob. */
        bool is_bob = from >= ONLY_TWO;
        struct visitor v = { .version = versions[i % 2], .own = is_bob ? &c.bob : &c.alice };
        SSL_SESSION *session = visitor_session(f[from]->port, v);
        for (size_t to = 0; to < SERVERS; to++) {
            bool trusted = is_bob ? to == 0 || to >= 4 : to < ONLY_TWO;
            offer(f[to], v, session, to == from, trusted);
        }
        SSL_SESSION_free(session);
    }
    for (size_t i = 0; i < SERVERS; i++) stop_beside_others(f[i]);
}

/* The same facts make the same policy, though it is another object, another server and another certificate. */
static void the_same_policy_built_twice(void)
{
    struct cast c = cast();
    struct identity renewed = keys_make((struct identity_spec){ .names = "DNS:localhost" });
    const struct about_clients about = { TLSLOOP_VERIFY_REQUIRED, c.one.chain, c.crl };
    struct fixture *f = policy_serve(policy(&c, about));
    for (size_t i = 0; i < 2; i++) {
        struct visitor v = { .version = versions[i], .own = &c.alice };
        SSL_SESSION *session = visitor_session(f->port, v);
        struct cast other = c;
        other.server = renewed;
        policy_reload(f, policy(&other, about));
        CHECK(visitor_resumes(f->port, v, session));
        SSL_SESSION_free(session);
    }
    fixture_stop(f);
}

/* "and after a reload": a server that gets stricter forgets whom it let in before. */
static void l36_a_reload_to_a_stricter_policy(void)
{
    struct cast c = cast();
    const int alerts[] = { SSL_AD_HANDSHAKE_FAILURE, SSL_AD_CERTIFICATE_REQUIRED };
    const struct about_clients lax = { TLSLOOP_VERIFY_OPTIONAL, c.one.chain, NULL };
    const struct about_clients strict = { TLSLOOP_VERIFY_REQUIRED, c.one.chain, NULL };
    struct fixture *f = policy_serve(policy(&c, lax));
    for (unsigned i = 0; i < 2; i++) {
        struct visitor v = { .version = versions[i] };
        SSL_SESSION *session = visitor_session(f->port, v);
        CHECK(visitor_resumes(f->port, v, session));
        policy_reload(f, policy(&c, strict));
        v.session = session;
        CHECK_EQ(visitor_refused(f->port, v), alerts[i]);
        CHECK_HAS(policy_failure(f, i).why, "did not return a certificate");
        v.own = &c.alice;
        CHECK(!visitor_resumes(f->port, v, session));
        policy_reload(f, policy(&c, lax));
        v.own = NULL;
        CHECK(visitor_resumes(f->port, v, session)); /* it was good all the time, there */
        SSL_SESSION_free(session);
    }
    fixture_stop(f);
}

/* Revocation is a part of the policy: whoever is on the new list does not come back by a ticket. */
static void l36_a_ticket_does_not_outlive_its_certificate(void)
{
    struct cast c = cast();
    struct fixture *f =
        policy_serve(policy(&c, (struct about_clients){ TLSLOOP_VERIFY_REQUIRED, c.one.chain, c.crl }));
    for (unsigned i = 0; i < 2; i++) {
        struct visitor v = { .version = versions[i], .own = &c.alice };
        SSL_SESSION *session = visitor_session(f->port, v);
        const char *revoked = keys_crl(&c.one, &c.alice, 0);
        policy_reload(f, policy(&c, (struct about_clients){ TLSLOOP_VERIFY_REQUIRED, c.one.chain, revoked }));
        v.session = session;
        CHECK_EQ(visitor_refused(f->port, v), SSL_AD_CERTIFICATE_REVOKED);
        CHECK_EQ(policy_failure(f, i).code, TLSLOOP_EVERIFY);
        SSL_SESSION_free(session);
        policy_reload(f, policy(&c, (struct about_clients){ TLSLOOP_VERIFY_REQUIRED, c.one.chain, c.crl }));
    }
    fixture_stop(f);
}

/* Without key files "each policy has a random key": its servers share it, other policies do not know it. */
static void without_key_files(void)
{
    struct cast c = cast();
    tlsloop_tls *tls = policy_of(&c.server), *other = policy_of(&c.server);
    struct fixture *first = policy_serve(policy_of(&c.server));
    struct fixture *second = fixture_start((struct options){ .config.tls = tls });
    struct fixture *third = fixture_start((struct options){ .config.tls = tls });
    for (size_t i = 0; i < 2; i++) {
        struct visitor v = { .version = versions[i] };
        SSL_SESSION *session = visitor_session(second->port, v);
        CHECK(visitor_resumes(second->port, v, session));
        CHECK(visitor_resumes(third->port, v, session));
        CHECK(!visitor_resumes(first->port, v, session));
        SSL_SESSION_free(session);
    }
    struct visitor v = { .version = TLS1_3_VERSION };
    SSL_SESSION *session = visitor_session(third->port, v);
    policy_reload(third, other);
    CHECK(!visitor_resumes(third->port, v, session));
    CHECK(visitor_resumes(second->port, v, session));
    SSL_SESSION_free(session);
    tlsloop_tls_free(tls);
    stop_beside_others(first);
    stop_beside_others(second);
    stop_beside_others(third);
}

/* RFC 6066 3: a session of TLS 1.2 is not resumed under another name. */
static void a_session_has_one_name(void)
{
    struct cast c = cast();
    struct fixture *f = policy_serve(policy(&c, (struct about_clients){ TLSLOOP_VERIFY_NONE, NULL, NULL }));
    struct visitor v = { .version = TLS1_2_VERSION, .server_name = "a.example" };
    SSL_SESSION *session = visitor_session(f->port, v);
    CHECK(visitor_resumes(f->port, v, session));
    v.server_name = "b.example";
    CHECK(!visitor_resumes(f->port, v, session));
    v.server_name = NULL;
    CHECK(!visitor_resumes(f->port, v, session));
    SSL_SESSION_free(session);
    fixture_stop(f);
}

static unsigned tickets; /* that this client was given */

static int count_ticket(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    tickets += SSL_SESSION_has_ticket(session) != 0;
    return 0;
}

/* "one stateless ticket", also for a handshake that was itself resumed. */
static void one_ticket_for_each_handshake(void)
{
    struct cast c = cast();
    struct fixture *f = policy_serve(policy(&c, (struct about_clients){ TLSLOOP_VERIFY_NONE, NULL, NULL }));
    struct visitor v = { .version = TLS1_3_VERSION };
    SSL_CTX *ctx = visitor_context(&v);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, count_ticket);
    SSL_SESSION *session = NULL;
    for (unsigned i = 1; i <= 3; i++) {
        struct peer p = peer_open(f->port, (struct peer_options){ .context = ctx });
        if (session) CHECK(SSL_set_session(p.ssl, session) == 1);
        CHECK(peer_handshake(&p) && peer_echo(&p, "one") && peer_echo(&p, "two"));
        CHECK_EQ(SSL_session_reused(p.ssl), i > 1);
        CHECK_EQ(tickets, i);
        SSL_SESSION_free(session);
        session = SSL_get1_session(p.ssl);
        peer_leave(&p);
    }
    SSL_SESSION_free(session);
    SSL_CTX_free(ctx);
    fixture_stop(f);
}

CHECK_MAIN(CASE(l36_the_identity_is_still_shown), CASE(l36_no_ticket_crosses_policies),
           CASE(the_same_policy_built_twice), CASE(l36_a_reload_to_a_stricter_policy),
           CASE(l36_a_ticket_does_not_outlive_its_certificate), CASE(without_key_files), CASE(a_session_has_one_name),
           CASE(one_ticket_for_each_handshake))
