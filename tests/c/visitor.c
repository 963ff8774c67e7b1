#define _GNU_SOURCE
#include "visitor.h"

#include "check.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

static void offer_protocols(SSL_CTX *ctx, const char *list)
{
    unsigned char wire[256];
    size_t len = strlen(list), start = 0;
    CHECK(len + 1 < sizeof wire);
    for (size_t i = 0; i <= len; i++) {
        if (list[i] != ',' && list[i] != 0) {
            wire[i + 1] = (unsigned char)list[i];
            continue;
        }
        wire[start] = (unsigned char)(i - start);
        start = i + 1;
    }
    CHECK(SSL_CTX_set_alpn_protos(ctx, wire, (unsigned)len + 1) == 0);
}

static void show_and_trust(SSL_CTX *ctx, const struct visitor *v)
{
    if (v->own) {
        CHECK(SSL_CTX_use_certificate_chain_file(ctx, v->own->chain) == 1);
        CHECK(SSL_CTX_use_PrivateKey_file(ctx, v->own->key, SSL_FILETYPE_PEM) == 1);
    }
    if (v->trust) {
        CHECK(SSL_CTX_load_verify_locations(ctx, v->trust->chain, NULL) == 1);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    }
}

SSL_CTX *visitor_context(const struct visitor *v)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    CHECK(ctx != NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (v->version) {
        CHECK(SSL_CTX_set_min_proto_version(ctx, v->version) == 1);
        CHECK(SSL_CTX_set_max_proto_version(ctx, v->version) == 1);
    }
    if (v->ciphers) CHECK(SSL_CTX_set_cipher_list(ctx, v->ciphers) == 1);
    if (v->suites) CHECK(SSL_CTX_set_ciphersuites(ctx, v->suites) == 1);
    if (v->signatures) CHECK(SSL_CTX_set1_sigalgs_list(ctx, v->signatures) == 1);
    if (v->groups) CHECK(SSL_CTX_set1_groups_list(ctx, v->groups) == 1);
    if (v->protocols) offer_protocols(ctx, v->protocols);
    if (v->wants_staple) CHECK(SSL_CTX_set_tlsext_status_type(ctx, TLSEXT_STATUSTYPE_ocsp) == 1);
    show_and_trust(ctx, v);
    return ctx;
}

struct peer visitor_open(int port, struct visitor v)
{
    SSL_CTX *ctx = visitor_context(&v);
    struct peer p = peer_open(port, (struct peer_options){ .context = ctx, .server_name = v.server_name });
    SSL_CTX_free(ctx); /* the connection keeps its own reference */
    if (v.session) CHECK(SSL_set_session(p.ssl, v.session) == 1);
    return p;
}

static void explain(const char *what)
{
    check_failed(__FILE__, __LINE__, "%s: %s", what, ERR_reason_error_string(ERR_peek_last_error()));
}

struct peer visitor_enter(int port, struct visitor v)
{
    struct peer p = visitor_open(port, v);
    if (!peer_handshake(&p)) explain("the handshake of a visitor");
    return p;
}

struct peer visitor_settle(int port, struct visitor v)
{
    struct peer p = visitor_enter(port, v);
    if (!peer_echo(&p, "Hello")) explain("the echo of a visitor");
    return p;
}

int visitor_alert(void)
{
    unsigned long error = ERR_peek_last_error();
    int reason = ERR_GET_REASON(error);
    if (error == 0 || ERR_GET_LIB(error) != ERR_LIB_SSL || reason < SSL_AD_REASON_OFFSET) return 0;
    return reason - SSL_AD_REASON_OFFSET;
}

int visitor_refused(int port, struct visitor v)
{
    struct peer p = visitor_open(port, v);
    char byte;
    /* A client of TLS 1.3 is done before the server has looked at its certificate. */
    if (peer_handshake(&p)) CHECK(peer_recv(&p, &byte, 1) < PEER_CLEAN);
    int alert = visitor_alert();
    peer_close(&p);
    return alert;
}

SSL_SESSION *visitor_session(int port, struct visitor v)
{
    struct peer p = visitor_settle(port, v);
    SSL_SESSION *session = SSL_get1_session(p.ssl);
    CHECK(session != NULL && SSL_SESSION_is_resumable(session));
    CHECK(SSL_SESSION_has_ticket(session));
    peer_leave(&p);
    return session;
}

bool visitor_resumes(int port, struct visitor v, SSL_SESSION *session)
{
    v.session = session;
    struct peer p = visitor_settle(port, v);
    bool resumed = SSL_session_reused(p.ssl) == 1;
    peer_leave(&p);
    return resumed;
}

void visitor_check_shown(const char *file, int line, const struct peer *p, const struct identity *who)
{
    char text[65];
    unsigned char digest[32];
    X509 *cert = SSL_get1_peer_certificate(p->ssl);
    if (!cert) check_failed(file, line, "the server has shown no certificate");
    CHECK(X509_digest(cert, EVP_sha256(), digest, NULL) == 1);
    X509_free(cert);
    for (int i = 0; i < 32; i++) snprintf(text + 2 * i, 3, "%02x", digest[i]);
    check_string(file, line, "the certificate shown", text, who->sha256);
}
