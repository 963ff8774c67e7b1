/* TLS echo as it is usually written by hand: level-triggered epoll, SSL_set_fd, one buffer for all connections,
 * SSL_read followed by SSL_write, and what the socket does not take is kept while nothing more is read. */
#include "common.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS = 512, ACCEPTS = 64, RECORD = 16384 };
enum outcome { GO_ON, CLEAN_END, DEAD };

struct connection {
    SSL *ssl;
    int fd;
    uint32_t interest;
    char *rest;
    size_t length, offset;
};

static int poller;
static SSL_CTX *context;
static char buffer[RECORD];

static void want(struct connection *c, uint32_t events)
{
    if (c->interest == events) return;
    struct epoll_event event = {.events = events, .data.ptr = c};
    epoll_ctl(poller, c->interest != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event);
    c->interest = events;
}

static enum outcome shake_hands(struct connection *c)
{
    int result = SSL_do_handshake(c->ssl);
    int error = result == 1 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, result);
    if (error == SSL_ERROR_NONE || error == SSL_ERROR_WANT_READ) want(c, EPOLLIN);
    else if (error == SSL_ERROR_WANT_WRITE) want(c, EPOLLOUT);
    else return DEAD;
    return GO_ON;
}

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
    want(c, EPOLLIN);
    return GO_ON;
}

static enum outcome keep(struct connection *c, const char *bytes, size_t count)
{
    c->rest = malloc(count);
    if (c->rest == NULL) return DEAD;
    memcpy(c->rest, bytes, count);
    c->length = count;
    c->offset = 0;
    want(c, EPOLLOUT);
    return GO_ON;
}

/* What OpenSSL has already taken from the socket must be read now: no event will tell of it. */
static enum outcome echo(struct connection *c)
{
    do {
        int n = SSL_read(c->ssl, buffer, sizeof buffer);
        if (n <= 0) {
            int error = SSL_get_error(c->ssl, n);
            if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return GO_ON;
            return error == SSL_ERROR_ZERO_RETURN ? CLEAN_END : DEAD;
        }
        long sent = put(c, buffer, (size_t)n);
        if (sent < 0) return DEAD;
        if (sent < n) return keep(c, buffer + sent, (size_t)(n - sent));
    } while (SSL_has_pending(c->ssl));
    return GO_ON;
}

static enum outcome serve(struct connection *c)
{
    ERR_clear_error();
    if (!SSL_is_init_finished(c->ssl)) {
        enum outcome outcome = shake_hands(c);
        if (outcome != GO_ON || !SSL_is_init_finished(c->ssl) || !SSL_has_pending(c->ssl)) return outcome;
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
        want(c, EPOLLIN);
    }
}

int main(int argc, char **argv)
{
    int listener = peer_listen(peer_port(argc, argv, 3));
    struct epoll_event events[EVENTS], accepting = {.events = EPOLLIN, .data.ptr = NULL};
    context = peer_context(argv[2], argv[3]);
    poller = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &accepting);
    for (;;) {
        int n = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            enum outcome outcome = GO_ON;
            if (c == NULL) accept_some(listener);
            else outcome = serve(c);
            if (outcome != GO_ON) end(c, outcome);
        }
    }
}
