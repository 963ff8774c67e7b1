/*
 * L37: "given ticket keys that are rotated on a live server, tlsloop resumes tickets of the previous key, also in
 * another process with the same files, and renews them under the first key; a file of a wrong size or a missing one
 * changes nothing and is named."
 */
#define _GNU_SOURCE
#include "child.h"
#include "policy.h"
#include "visitor.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
static const size_t sizes[] = { 48, 80 };

/* One key in its file. */
struct key {
    unsigned char bytes[80];
    size_t size;
    const char *path;
};

static struct key key_of(const char *name, size_t size)
{
    struct key key = { .size = size };
    CHECK(RAND_bytes(key.bytes, (int)size) == 1);
    key.path = keys_file(name, key.bytes, size);
    return key;
}

static tlsloop_tls *with_keys(const struct identity *who, const char *first, const char *second)
{
    const char *const paths[] = { first, second };
    tlsloop_tls *tls = policy_of(who);
    CHECK_OK(tlsloop_tls_set_ticket_key_files(tls, paths, second ? 2 : 1));
    return tls;
}

/* The ticket is one of this key: its name stands in front (RFC 5077 4). */
static bool is_of(const SSL_SESSION *session, const struct key *key)
{
    const unsigned char *ticket;
    size_t len;
    SSL_SESSION_get0_ticket(session, &ticket, &len);
    CHECK(len > 16);
    return memcmp(ticket, key->bytes, 16) == 0;
}

/* A visit with a session, which must be resumed; the session that could be resumed next. */
static SSL_SESSION *resume(struct fixture *f, struct visitor v, SSL_SESSION *session)
{
    v.session = session;
    struct peer p = visitor_settle(f->port, v);
    CHECK_EQ(SSL_session_reused(p.ssl), 1);
    SSL_SESSION *next = SSL_get1_session(p.ssl);
    CHECK(next != NULL);
    peer_leave(&p);
    return next;
}

static void rotate(const struct identity *who, int version, size_t size)
{
    struct key a = key_of("a.key", size), b = key_of("b.key", size), c = key_of("c.key", size);
    struct visitor v = { .version = version };
    struct fixture *f = policy_serve(with_keys(who, a.path, NULL));
    SSL_SESSION *old = visitor_session(f->port, v);
    CHECK(is_of(old, &a));
    policy_reload(f, with_keys(who, b.path, a.path));
    SSL_SESSION *renewed = resume(f, v, old);
    CHECK(is_of(renewed, &b)); /* "and is renewed" */
    SSL_SESSION *fresh = visitor_session(f->port, v);
    CHECK(is_of(fresh, &b));
    policy_reload(f, with_keys(who, c.path, b.path));
    CHECK(!visitor_resumes(f->port, v, old)); /* its key is gone */
    CHECK(visitor_resumes(f->port, v, renewed));
    CHECK(visitor_resumes(f->port, v, fresh));
    fixture_stop(f);
    /* A restart: another server, another policy, the same files. */
    f = policy_serve(with_keys(who, c.path, b.path));
    SSL_SESSION *last = resume(f, v, fresh);
    CHECK(is_of(last, &c));
    fixture_stop(f);
    SSL_SESSION_free(old);
    SSL_SESSION_free(renewed);
    SSL_SESSION_free(fresh);
    SSL_SESSION_free(last);
}

static void l37_rotation_on_a_live_server(void)
{
    struct identity who = keys_local();
    for (size_t i = 0; i < 4; i++) rotate(&who, versions[i & 1], sizes[i >> 1]);
}

/* The files that both processes have. */
struct shared {
    struct identity who;
    struct key a, b;
};

/* The other process: it begins with the new key in front. */
static void other_process(int socket, void *arg)
{
    const struct shared *shared = arg;
    struct fixture *f = policy_serve(with_keys(&shared->who, shared->b.path, shared->a.path));
    child_tell(socket, f->port);
    CHECK_EQ(child_hear(socket), 1);
    child_tell(socket, (long)fixture_stats(f).handshakes_resumed);
    fixture_stop(f);
}

/* One visit in this process, the next in the other, which has rotated already, and back. */
static void l37_in_another_process(void)
{
    struct shared shared = { keys_local(), key_of("a.key", 80), key_of("b.key", 80) };
    struct child child = child_start(other_process, &shared);
    int port = (int)child_hear(child.socket);
    struct fixture *f = policy_serve(with_keys(&shared.who, shared.a.path, shared.b.path));
    struct fixture there = { .port = port };
    for (size_t i = 0; i < 2; i++) {
        struct visitor v = { .version = versions[i] };
        SSL_SESSION *here = visitor_session(f->port, v);
        CHECK(is_of(here, &shared.a));
        SSL_SESSION *other = resume(&there, v, here);
        CHECK(is_of(other, &shared.b));
        SSL_SESSION *back = resume(f, v, other);
        CHECK(is_of(back, &shared.a));
        SSL_SESSION_free(here);
        SSL_SESSION_free(other);
        SSL_SESSION_free(back);
    }
    child_tell(child.socket, 1);
    CHECK_EQ(child_hear(child.socket), 2);
    CHECK_EQ(fixture_stats(f).handshakes_resumed, 2);
    fixture_stop(f);
    child_ended_well(&child);
}

/* "the keys in use stay": the call is refused, names the file, and what was set before still counts. */
static void l37_files_that_cannot_be_used(void)
{
    static const size_t wrong[] = { 0, 1, 16, 47, 49, 79, 81, 96, 160 };
    unsigned char bytes[160] = { 0 };
    char name[32];
    struct identity who = keys_local();
    struct key a = key_of("a.key", 80), small = key_of("small.key", 48);
    tlsloop_tls *tls = with_keys(&who, a.path, NULL);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf(name, sizeof name, "wrong-%zu.key", wrong[i]);
        const char *bad = keys_file(name, bytes, wrong[i]), *const second[] = { a.path, bad };
        CHECK_FAILS(tlsloop_tls_set_ticket_key_files(tls, &bad, 1), TLSLOOP_EINVAL, bad);
        CHECK_FAILS(tlsloop_tls_set_ticket_key_files(tls, second, 2), TLSLOOP_EINVAL, bad);
    }
    const char *const mixed[] = { a.path, small.path }, *const missing[] = { a.path, "/nowhere/b.key" };
    const char *const forgotten[] = { a.path, NULL }, *const no_file[] = { keys_dir() };
    CHECK_FAILS(tlsloop_tls_set_ticket_key_files(tls, mixed, 2), TLSLOOP_EINVAL, small.path);
    CHECK_HAS(tlsloop_last_error(), "mixed");
    CHECK_FAILS(tlsloop_tls_set_ticket_key_files(tls, missing, 2), TLSLOOP_ESYS, "/nowhere/b.key");
    CHECK_FAILS(tlsloop_tls_set_ticket_key_files(tls, no_file, 1), TLSLOOP_ESYS, keys_dir());
    CHECK_FAILS(tlsloop_tls_set_ticket_key_files(tls, forgotten, 2), TLSLOOP_EINVAL, "paths");
    CHECK_FAILS(tlsloop_tls_set_ticket_key_files(tls, NULL, 1), TLSLOOP_EINVAL, "paths");
    CHECK_FAILS(tlsloop_tls_set_ticket_key_files(tls, mixed, 0), TLSLOOP_EINVAL, "paths");
    struct fixture *f = policy_serve(tls);
    SSL_SESSION *session = visitor_session(f->port, (struct visitor){ 0 });
    CHECK(is_of(session, &a));
    SSL_SESSION_free(session);
    fixture_stop(f);
}

/* Of two keys with the same name the first counts, and a ticket that is no ticket of it is no harm. */
static void a_ticket_that_was_tampered_with(void)
{
    struct identity who = keys_local();
    struct key a = key_of("a.key", 80);
    struct fixture *f = policy_serve(with_keys(&who, a.path, NULL));
    for (size_t i = 0; i < 2; i++) {
        struct visitor v = { .version = versions[i] };
        SSL_SESSION *session = visitor_session(f->port, v);
        struct key twin = a; /* the same name, other secrets */
        CHECK(RAND_bytes(twin.bytes + 16, 64) == 1);
        twin.path = keys_file("twin.key", twin.bytes, twin.size);
        policy_reload(f, with_keys(&who, twin.path, NULL));
        CHECK(!visitor_resumes(f->port, v, session));
        policy_reload(f, with_keys(&who, a.path, NULL));
        CHECK(visitor_resumes(f->port, v, session));
        SSL_SESSION_free(session);
    }
    CHECK_EQ(f->handshakes_failed, 0);
    fixture_stop(f);
}

/* Opens a ticket (name 16, start value 16, what is sealed, HMAC 32) with the parts of a key. */
static void open_by_hand(const SSL_SESSION *session, const unsigned char *aes, const unsigned char *hmac, size_t len)
{
    const unsigned char *ticket;
    unsigned char digest[32], plain[8192];
    size_t all;
    unsigned digest_len = sizeof digest;
    int part, rest;
    SSL_SESSION_get0_ticket(session, &ticket, &all);
    CHECK(all > 16 + 16 + 32 && all < sizeof plain);
    CHECK(HMAC(EVP_sha256(), hmac, (int)len, ticket, all - 32, digest, &digest_len) != NULL);
    CHECK(memcmp(digest, ticket + all - 32, 32) == 0);
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    const EVP_CIPHER *kind = len == 32 ? EVP_aes_256_cbc() : EVP_aes_128_cbc();
    CHECK(EVP_DecryptInit_ex(cipher, kind, NULL, aes, ticket + 16) == 1);
    CHECK(EVP_DecryptUpdate(cipher, plain, &part, ticket + 32, (int)(all - 64)) == 1);
    CHECK(EVP_DecryptFinal_ex(cipher, plain + part, &rest) == 1);
    EVP_CIPHER_CTX_free(cipher);
    const unsigned char *from = plain;
    CHECK_EQ(plain[0], 0x30); /* a SEQUENCE in DER; what AWS-LC has in it, only AWS-LC reads */
    if (policy_on_aws_lc()) return;
    SSL_SESSION *inside = d2i_SSL_SESSION(NULL, &from, part + rest);
    CHECK(inside != NULL);
    SSL_SESSION_free(inside);
}

/* "48 bytes (name 16, AES 16, HMAC 16) or 80 bytes (name 16, HMAC 32, AES 32), nginx's layouts" */
static void the_layouts_are_nginxs(void)
{
    struct identity who = keys_local();
    struct key small = key_of("small.key", 48), large = key_of("large.key", 80);
    for (size_t i = 0; i < 2; i++) {
        struct visitor v = { .version = versions[i] };
        struct fixture *f = policy_serve(with_keys(&who, small.path, NULL));
        SSL_SESSION *session = visitor_session(f->port, v);
        open_by_hand(session, small.bytes + 16, small.bytes + 32, 16);
        SSL_SESSION_free(session);
        policy_reload(f, with_keys(&who, large.path, NULL));
        session = visitor_session(f->port, v);
        open_by_hand(session, large.bytes + 48, large.bytes + 16, 32);
        SSL_SESSION_free(session);
        fixture_stop(f);
    }
}

/* The files are read by the call that names them, and not again. */
static void the_files_may_be_replaced_at_once(void)
{
    struct identity who = keys_local();
    struct key a = key_of("a.key", 80);
    tlsloop_tls *tls = with_keys(&who, a.path, NULL);
    keys_file("a.key", "", 0);
    struct fixture *f = policy_serve(tls);
    SSL_SESSION *session = visitor_session(f->port, (struct visitor){ 0 });
    CHECK(is_of(session, &a) && visitor_resumes(f->port, (struct visitor){ 0 }, session));
    SSL_SESSION_free(session);
    fixture_stop(f);
}

CHECK_MAIN(CASE(l37_rotation_on_a_live_server), CASE(l37_in_another_process), CASE(l37_files_that_cannot_be_used),
           CASE(a_ticket_that_was_tampered_with), CASE(the_layouts_are_nginxs), CASE(the_files_may_be_replaced_at_once))
