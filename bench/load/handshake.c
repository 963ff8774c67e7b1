#include "handshake.h"

#include "basics.h"
#include "connection.h"
#include "options.h"
#include "stream.h"
#include "tls.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* By then the server has computed and sent all it can without an answer: ServerHello to Finished. */
enum { FLIGHT = 600 };

static void begin_close(struct worker *w, struct connection *c)
{
    if (options.closing == CLOSE_RESET) {
        connection_reset_on_close(c);
        SSL_set_quiet_shutdown(c->ssl, 1);
        connection_end(w, c, 1);
        return;
    }
    SSL_shutdown(c->ssl);
    if (options.closing == CLOSE_FAST) {
        connection_end(w, c, 1);
        return;
    }
    shutdown(c->fd, SHUT_WR);
    c->stage = STAGE_DRAINING;
    connection_want(w, c, EPOLLIN);
}

static void opened(struct worker *w, struct connection *c)
{
    c->stage = STAGE_OPEN;
    connection_want(w, c, EPOLLIN);
    w->opening--;
    w->open++;
    stream_begin(w, c);
}

/* A ticket follows the handshake; to leave before it has come would be to come back without one. */
static int must_wait_for_ticket(const struct connection *c)
{
    int keeps_session = options.tls12 && SSL_session_reused(c->ssl);
    return options.resume && !c->has_ticket && !keeps_session;
}

static void shaken(struct worker *w, struct connection *c)
{
    tls_note_negotiated(c->ssl);
    if (!is_cycle(w)) {
        opened(w, c);
        return;
    }
    worker_record(w, now() - c->started);
    if (run.phase == PHASE_RUN && SSL_session_reused(c->ssl)) w->resumed++;
    if (w->kind == KIND_CYCLES && must_wait_for_ticket(c)) {
        c->stage = STAGE_TICKET;
        connection_want(w, c, EPOLLIN);
        return;
    }
    begin_close(w, c);
}

static void shake(struct worker *w, struct connection *c)
{
    int result = SSL_do_handshake(c->ssl);
    if (result == 1) {
        shaken(w, c);
        return;
    }
    switch (SSL_get_error(c->ssl, result)) {
    case SSL_ERROR_WANT_READ: connection_want(w, c, EPOLLIN); break;
    case SSL_ERROR_WANT_WRITE: connection_want(w, c, EPOLLOUT); break;
    default:
        worker_fail(w, "handshake: %s", strerror(errno));
        connection_end(w, c, 0);
    }
}

static void send_hello(struct worker *w, struct connection *c)
{
    const unsigned char *hello;
    int length = tls_hello(&hello);
    if (send(c->fd, hello, (size_t)length, MSG_NOSIGNAL) != length) {
        worker_fail(w, "hello: %s", strerror(errno));
        connection_end(w, c, 0);
        return;
    }
    c->stage = STAGE_DRAINING;
    connection_want(w, c, EPOLLIN);
}

static void connected(struct worker *w, struct connection *c)
{
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) {
        worker_fail(w, "connect: %s", strerror(error));
        connection_end(w, c, 0);
    } else if (w->kind == KIND_STORM && options.storm_of_hellos) {
        send_hello(w, c);
    } else if (options.plain && is_cycle(w)) {
        connection_end(w, c, 1);
    } else if (options.plain) {
        opened(w, c);
    } else {
        c->ssl = tls_client(c);
        c->stage = STAGE_HANDSHAKE;
        shake(w, c);
    }
}

static void await_ticket(struct worker *w, struct connection *c)
{
    int result = connection_read(c, w->buffer, BUFFER);
    if (c->has_ticket) {
        begin_close(w, c);
    } else if (result == ENDED || result == BROKEN) {
        worker_fail(w, "no ticket came");
        connection_end(w, c, 0);
    }
}

/* The replayed hello: the server's flight is awaited, so that it has done its work, and then it gets a reset. */
static void take_flight(struct worker *w, struct connection *c, ssize_t n)
{
    if (n > 0) c->read += (uint64_t)n;
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        worker_fail(w, "storm: the server closed early");
        connection_end(w, c, 0);
    } else if (c->read > FLIGHT) {
        connection_reset_on_close(c);
        connection_end(w, c, 1);
    }
}

static void drain(struct worker *w, struct connection *c)
{
    ssize_t n = recv(c->fd, w->buffer, BUFFER, 0);
    if (c->ssl == NULL) {
        take_flight(w, c, n);
    } else if (n == 0 || (n < 0 && errno != EAGAIN)) {
        connection_end(w, c, 1); /* a reset is an end as well: both sides had said their close_notify */
    }
}

void handshake_advance(struct worker *w, struct connection *c)
{
    switch (c->stage) {
    case STAGE_CONNECTING: connected(w, c); break;
    case STAGE_HANDSHAKE: shake(w, c); break;
    case STAGE_TICKET: await_ticket(w, c); break;
    case STAGE_DRAINING: drain(w, c); break;
    case STAGE_NONE: case STAGE_OPEN: break;
    }
}
