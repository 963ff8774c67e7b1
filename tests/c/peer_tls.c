#define _GNU_SOURCE
#include "peer.h"

#include "check.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static SSL_CTX *context;

static void make_context(void)
{
    context = SSL_CTX_new(TLS_client_method());
    CHECK(context != NULL);
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    /* A session cache would make one peer's end another peer's memory. */
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

SSL_CTX *peer_context(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_context);
    return context;
}

static struct peer peer_over(int fd, SSL_CTX *ctx)
{
    struct peer p = { fd, SSL_new(ctx), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()) };
    CHECK(p.ssl != NULL && p.in != NULL && p.out != NULL);
    BIO_set_mem_eof_return(p.in, -1); /* empty means "later", not "the end" */
    SSL_set_bio(p.ssl, p.in, p.out);
    return p;
}

struct peer peer_open(int port, struct peer_options options)
{
    int fd = tcp_connect_small(port, options.receive_buffer);
    struct peer p = peer_over(fd, options.context ? options.context : peer_context());
    SSL_set_connect_state(p.ssl);
    if (options.version) {
        CHECK(SSL_set_min_proto_version(p.ssl, options.version) == 1);
        CHECK(SSL_set_max_proto_version(p.ssl, options.version) == 1);
    }
    if (options.server_name) CHECK(SSL_set_tlsext_host_name(p.ssl, options.server_name) == 1);
    return p;
}

struct peer peer_over_socket(int fd)
{
    struct peer p = peer_over(fd, peer_context());
    SSL_set_connect_state(p.ssl);
    return p;
}

struct peer peer_accepted(int fd, SSL_CTX *ctx)
{
    struct peer p = peer_over(fd, ctx);
    tcp_limits(fd);
    SSL_set_accept_state(p.ssl);
    return p;
}

struct peer peer_connect_with(int port, struct peer_options options)
{
    struct peer p = peer_open(port, options);
    CHECK(peer_handshake(&p));
    return p;
}

struct peer peer_connect(int port)
{
    return peer_connect_with(port, (struct peer_options){ 0 });
}

void peer_step(struct peer *p)
{
    ERR_clear_error();
    SSL_do_handshake(p->ssl);
}

size_t peer_take(struct peer *p, void *buf, size_t room)
{
    int n = BIO_read(p->out, buf, (int)room);
    return n > 0 ? (size_t)n : 0;
}

void peer_feed(struct peer *p, const void *data, size_t len)
{
    CHECK_EQ(BIO_write(p->in, data, (int)len), len);
}

long peer_fill(struct peer *p)
{
    char buf[16384];
    long n = tcp_recv(p->fd, buf, sizeof buf);
    if (n > 0) peer_feed(p, buf, (size_t)n);
    return n;
}

bool peer_flush(struct peer *p)
{
    char *bytes;
    long n = BIO_get_mem_data(p->out, &bytes);
    bool sent = n <= 0 || tcp_send(p->fd, bytes, (size_t)n);
    (void)BIO_reset(p->out);
    return sent;
}

bool peer_handshake(struct peer *p)
{
    for (;;) {
        ERR_clear_error();
        int answer = SSL_do_handshake(p->ssl);
        bool want = answer != 1 && SSL_get_error(p->ssl, answer) == SSL_ERROR_WANT_READ;
        if (!peer_flush(p)) return false;
        if (!want) return answer == 1;
        if (peer_fill(p) <= 0) return false;
    }
}

void peer_last_flight(struct peer *p)
{
    peer_step(p);
    CHECK(peer_flush(p));
    while (!SSL_is_init_finished(p->ssl)) {
        CHECK(peer_fill(p) > 0);
        peer_step(p);
    }
}

void peer_seal(struct peer *p, const void *data, size_t len)
{
    ERR_clear_error();
    CHECK_EQ(SSL_write(p->ssl, data, (int)len), len);
}

void peer_seal_close_notify(struct peer *p)
{
    ERR_clear_error();
    SSL_shutdown(p->ssl);
}

bool peer_send(struct peer *p, const void *data, size_t len)
{
    peer_seal(p, data, len);
    return peer_flush(p);
}

bool peer_close_notify(struct peer *p)
{
    peer_seal_close_notify(p);
    return peer_flush(p);
}

long peer_recv(struct peer *p, void *buf, size_t len)
{
    for (;;) {
        ERR_clear_error();
        int n = SSL_read(p->ssl, buf, (int)len);
        int error = SSL_get_error(p->ssl, n);
        peer_flush(p); /* an alert, or the answer to a key update */
        if (n > 0) return n;
        if (error == SSL_ERROR_ZERO_RETURN) return PEER_CLEAN;
        if (error != SSL_ERROR_WANT_READ) return PEER_FAILED;
        long filled = peer_fill(p);
        if (filled <= 0) return filled;
    }
}

bool peer_recv_all(struct peer *p, void *buf, size_t len)
{
    char *to = buf;
    while (len > 0) {
        long n = peer_recv(p, to, len);
        if (n <= 0) return false;
        to += n;
        len -= (size_t)n;
    }
    return true;
}

bool peer_echo(struct peer *p, const char *text)
{
    char back[4096];
    size_t len = strlen(text);
    CHECK(len <= sizeof back);
    return peer_send(p, text, len) && peer_recv_all(p, back, len) && memcmp(back, text, len) == 0;
}

long peer_until_end(struct peer *p, unsigned long long *bytes)
{
    static _Thread_local char buf[16384];
    long n;
    while ((n = peer_recv(p, buf, sizeof buf)) > 0)
        if (bytes) *bytes += (unsigned long long)n;
    return n;
}

void peer_close(struct peer *p)
{
    SSL_free(p->ssl);
    CHECK(close(p->fd) == 0);
    *p = (struct peer){ .fd = -1 };
}

void peer_leave(struct peer *p)
{
    peer_close_notify(p);
    peer_close(p);
}

void peer_reset(struct peer *p)
{
    SSL_free(p->ssl);
    tcp_reset(p->fd);
    *p = (struct peer){ .fd = -1 };
}

size_t peer_client_hello(void *buf, size_t room)
{
    struct peer p = peer_over(-1, peer_context());
    SSL_set_connect_state(p.ssl);
    peer_step(&p);
    size_t n = peer_take(&p, buf, room);
    CHECK(n > 0 && n < room);
    SSL_free(p.ssl);
    return n;
}
