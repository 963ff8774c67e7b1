/* TLS echo written by hand for speed: edge-triggered epoll (registered once per connection), OpenSSL reads ahead
 * 64 KiB, several records are gathered before they are written, few accepts a turn, no session cache. */
#include "common.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS = 512, ACCEPTS = 16, RECORD = 16384, GATHERED = 65536 };
enum outcome { GO_ON, CLEAN_END, DEAD };

struct connection {
    SSL *ssl;
    int fd, shaken;
    char *rest;
    size_t length, offset;
};

static int poller;
static SSL_CTX *context;
static char buffer[GATHERED];

/* Returns how many bytes went out, -1 if the connection is dead. */
static long put(struct connection *c, const char *bytes, size_t count)
{
    size_t done = 0;
    while (done < count) {
        int n = SSL_write(c->ssl, bytes + done, (int)(count - done));
        if (n <= 0) {
            int error = SSL_get_error(c->ssl, n);
            return error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ ? (long)done : -1;
        }
        done += (size_t)n;
    }
    return (long)done;
}

static enum outcome send_rest(struct connection *c)
{
    long n = put(c, c->rest + c->offset, c->length - c->offset);
    if (n < 0) return DEAD;
    c->offset += (size_t)n;
    if (c->offset < c->length) return GO_ON;
    free(c->rest);
    c->rest = NULL;
    return GO_ON;
}

static enum outcome keep(struct connection *c, const char *bytes, size_t count)
{
    c->rest = malloc(count);
    if (c->rest == NULL) return DEAD;
    memcpy(c->rest, bytes, count);
    c->length = count;
    c->offset = 0;
    return GO_ON;
}

struct gathered {
    size_t bytes;
    int is_all; /* the socket is empty: the next event will come for what arrives from now on */
    enum outcome outcome;
};

/* Reads records while there is room for a whole one. A record shorter than the largest, with nothing behind it in
 * OpenSSL's buffer, was the last in the socket, so the read that would only say so is spared. */
static struct gathered gather(struct connection *c)
{
    struct gathered g = {0, 0, GO_ON};
    while (g.bytes + RECORD <= sizeof buffer && !g.is_all) {
        int n = SSL_read(c->ssl, buffer + g.bytes, (int)(sizeof buffer - g.bytes));
        if (n > 0) {
            g.bytes += (size_t)n;
            g.is_all = n < RECORD && !SSL_has_pending(c->ssl);
            continue;
        }
        int error = SSL_get_error(c->ssl, n);
        g.is_all = 1;
        if (error == SSL_ERROR_ZERO_RETURN) g.outcome = CLEAN_END;
        else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) g.outcome = DEAD;
    }
    return g;
}

static enum outcome echo(struct connection *c)
{
    for (;;) {
        struct gathered g = gather(c);
        if (g.bytes > 0) {
            long sent = put(c, buffer, g.bytes);
            if (sent < 0) return DEAD;
            if ((size_t)sent < g.bytes) {
                enum outcome kept = keep(c, buffer + sent, g.bytes - (size_t)sent);
                return g.outcome != GO_ON ? g.outcome : kept;
            }
        }
        if (g.outcome != GO_ON || g.is_all) return g.outcome;
    }
}

static enum outcome serve(struct connection *c)
{
    ERR_clear_error();
    if (!c->shaken) {
        int result = SSL_do_handshake(c->ssl);
        if (result != 1) {
            int error = SSL_get_error(c->ssl, result);
            return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? GO_ON : DEAD;
        }
        c->shaken = 1;
    }
    if (c->rest != NULL) {
        enum outcome outcome = send_rest(c);
        if (outcome != GO_ON || c->rest != NULL) return outcome;
    }
    return echo(c);
}

static void end(struct connection *c, enum outcome outcome)
{
    if (outcome == CLEAN_END) SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    close(c->fd);
    free(c->rest);
    free(c);
}

static void accept_some(int listener)
{
    for (int i = 0; i < ACCEPTS; i++) {
        int fd = peer_accept(listener);
        if (fd < 0) return;
        struct connection *c = calloc(1, sizeof *c);
        if (c == NULL || (c->ssl = SSL_new(context)) == NULL) abort();
        c->fd = fd;
        SSL_set_fd(c->ssl, fd);
        SSL_set_accept_state(c->ssl);
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

/* Writability alone is news only to a connection that waits for it. */
static int concerns(const struct connection *c, uint32_t events)
{
    return (events & ~(uint32_t)EPOLLOUT) != 0 || !c->shaken || c->rest != NULL;
}

int main(int argc, char **argv)
{
    int listener = peer_listen(peer_port(argc, argv, 3));
    struct epoll_event events[EVENTS], accepting = {.events = EPOLLIN, .data.ptr = NULL};
    context = peer_context(argv[2], argv[3]);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, GATHERED);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF); /* tickets hold their state themselves */
    poller = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &accepting);
    for (;;) {
        int n = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            enum outcome outcome = GO_ON;
            if (c == NULL) accept_some(listener);
            else if (concerns(c, events[i].events)) outcome = serve(c);
            if (outcome != GO_ON) end(c, outcome);
        }
    }
}
