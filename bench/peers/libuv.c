/* TLS echo with libuv: its streams joined to OpenSSL by memory BIOs. What uv_try_write does not take is queued, and
 * while more than 1 MiB waits, nothing is read. */
#include "common.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define HIGH_WATER (1u << 20)

struct connection {
    uv_tcp_t tcp;
    SSL *ssl;
    BIO *in, *out;
    int is_closing, is_paused;
};

struct queued {
    uv_write_t request;
    char bytes[];
};

static SSL_CTX *context;
static char ciphertext[65536], plaintext[16384];

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *from);

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room)
{
    (void)handle, (void)suggested;
    *room = uv_buf_init(ciphertext, sizeof ciphertext);
}

static void on_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;
    SSL_free(c->ssl);
    free(c);
}

static void end(struct connection *c)
{
    if (c->is_closing) return;
    c->is_closing = 1;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

static void on_written(uv_write_t *request, int status)
{
    struct connection *c = request->handle->data;
    uv_stream_t *stream = (uv_stream_t *)&c->tcp;
    free(request->data);
    if (c->is_closing) return;
    if (status < 0) {
        end(c);
    } else if (c->is_paused && uv_stream_get_write_queue_size(stream) < HIGH_WATER / 2) {
        c->is_paused = 0;
        uv_read_start(stream, on_room, on_read);
    }
}

static void queue(struct connection *c, const char *bytes, size_t count)
{
    uv_stream_t *stream = (uv_stream_t *)&c->tcp;
    struct queued *q = malloc(sizeof *q + count);
    if (q == NULL) abort();
    memcpy(q->bytes, bytes, count);
    q->request.data = q;
    uv_buf_t buffer = uv_buf_init(q->bytes, (unsigned)count);
    uv_write(&q->request, stream, &buffer, 1, on_written);
    if (uv_stream_get_write_queue_size(stream) <= HIGH_WATER || c->is_paused) return;
    c->is_paused = 1;
    uv_read_stop(stream);
}

static void flush(struct connection *c)
{
    uv_stream_t *stream = (uv_stream_t *)&c->tcp;
    char *bytes;
    long count = BIO_get_mem_data(c->out, &bytes);
    if (count <= 0) return;
    int sent = 0;
    if (uv_stream_get_write_queue_size(stream) == 0) {
        uv_buf_t buffer = uv_buf_init(bytes, (unsigned)count);
        sent = uv_try_write(stream, &buffer, 1);
        if (sent < 0 && sent != UV_EAGAIN) {
            end(c);
            return;
        }
        if (sent < 0) sent = 0;
    }
    if (sent < count) queue(c, bytes + sent, (size_t)(count - sent));
    (void)BIO_reset(c->out);
}

/* Returns whether there may be data to read. */
static int shake_hands(struct connection *c)
{
    int result = SSL_do_handshake(c->ssl);
    if (result == 1) return 1;
    int error = SSL_get_error(c->ssl, result);
    flush(c);
    if (error != SSL_ERROR_WANT_READ) end(c);
    return 0;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *from)
{
    struct connection *c = stream->data;
    int got;
    if (n < 0) end(c);
    if (n <= 0) return;
    BIO_write(c->in, from->base, (int)n);
    ERR_clear_error();
    if (!SSL_is_init_finished(c->ssl) && !shake_hands(c)) return;
    while ((got = SSL_read(c->ssl, plaintext, sizeof plaintext)) > 0) SSL_write(c->ssl, plaintext, got);
    int error = SSL_get_error(c->ssl, got);
    if (error == SSL_ERROR_ZERO_RETURN) SSL_shutdown(c->ssl);
    flush(c);
    if (error != SSL_ERROR_WANT_READ) end(c);
}

static void on_connection(uv_stream_t *listener, int status)
{
    if (status < 0) return;
    struct connection *c = calloc(1, sizeof *c);
    if (c == NULL) abort();
    uv_tcp_init(listener->loop, &c->tcp);
    c->tcp.data = c;
    c->ssl = SSL_new(context);
    c->in = BIO_new(BIO_s_mem());
    c->out = BIO_new(BIO_s_mem());
    SSL_set_bio(c->ssl, c->in, c->out);
    SSL_set_accept_state(c->ssl);
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0) {
        end(c);
        return;
    }
    uv_tcp_nodelay(&c->tcp, 1);
    uv_read_start((uv_stream_t *)&c->tcp, on_room, on_read);
}

int main(int argc, char **argv)
{
    uint16_t port = peer_port(argc, argv, 3);
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t listener;
    struct sockaddr_in address;

    context = peer_context(argv[2], argv[3]);
    uv_tcp_init(loop, &listener);
    uv_ip4_addr("0.0.0.0", port, &address);
    uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0);
    int error = uv_listen((uv_stream_t *)&listener, BACKLOG, on_connection);
    if (error != 0) {
        fprintf(stderr, "listen: %s\n", uv_strerror(error));
        return 1;
    }
    return uv_run(loop, UV_RUN_DEFAULT);
}
