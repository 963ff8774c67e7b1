#include "tls.h"

#include "basics.h"
#include "options.h"

#include <openssl/err.h>
#include <stdio.h>

struct negotiated negotiated;

static SSL_CTX *context;
static int connection_index; /* of the connection among what OpenSSL keeps for an SSL object */
static unsigned char hello_bytes[2048];
static int hello_length;

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct connection *c = SSL_get_ex_data(ssl, connection_index);
    if (c == NULL) return 0;
    SSL_SESSION_free(c->session);
    c->session = session;
    c->has_ticket = 1;
    return 1;
}

static void make_hello(void)
{
    SSL *ssl = SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    SSL_do_handshake(ssl);
    hello_length = BIO_read(out, hello_bytes, sizeof hello_bytes);
    SSL_free(ssl);
    ERR_clear_error();
}

void tls_prepare(void)
{
    int version = options.tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;

    context = SSL_CTX_new(TLS_client_method());
    connection_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
    /* The servers' certificate is made for the run; to judge it would only cost the client. */
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1);
    if (options.mode == MODE_BULK) SSL_CTX_set_default_read_buffer_len(context, BUFFER);
    if (options.mode == MODE_IDLE) SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    if (options.suites != NULL && SSL_CTX_set_ciphersuites(context, options.suites) != 1) die("not a list of suites");
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    if (options.resume) {
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(context, on_session);
    }
    make_hello();
}

SSL *tls_client(struct connection *c)
{
    SSL *ssl = SSL_new(context);
    if (ssl == NULL) die("out of memory");
    SSL_set_ex_data(ssl, connection_index, c);
    SSL_set_fd(ssl, c->fd);
    SSL_set_connect_state(ssl);
    if (c->session == NULL) return ssl;
    SSL_set_session(ssl, c->session);
    if (!options.tls12) { /* a ticket of TLS 1.3 is used once */
        SSL_SESSION_free(c->session);
        c->session = NULL;
    }
    return ssl;
}

void tls_note_negotiated(SSL *ssl)
{
    static atomic_int noted;
    int no = 0;
    if (!atomic_compare_exchange_strong(&noted, &no, 1)) return;
    int group = (int)SSL_get_negotiated_group(ssl);
    const char *name = group > 0 ? OBJ_nid2sn(group) : NULL;
    snprintf(negotiated.version, sizeof negotiated.version, "%s", SSL_get_version(ssl));
    snprintf(negotiated.suite, sizeof negotiated.suite, "%s", SSL_get_cipher(ssl));
    snprintf(negotiated.group, sizeof negotiated.group, "%s", name != NULL ? name : "");
}

int tls_hello(const unsigned char **hello)
{
    *hello = hello_bytes;
    return hello_length;
}
