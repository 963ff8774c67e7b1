/* One visit, from the socket to its end. */
#include "visitors.h"

#include "basics.h"
#include "options.h"
#include "pattern.h"
#include "tls.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* DEAF_ENOUGH: more than both kernels and the server's queue hold. */
enum { SIP = 2048, ROUNDS = 16, WIDE = 256 << 10, DEAF_ENOUGH = 64 << 20 };

/* OpenSSL gives up the session of a connection that ended in another way than by close_notify; most visits do. */
static void drop(struct connection *c)
{
    if (c->ssl != NULL) SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    connection_drop(&crew, c);
}

static void over(struct connection *c)
{
    struct visit *v = visit_of(c);
    if (!v->counted) {
        v->counted = 1;
        if (v->manner == DEAF) tally.deaf++;
        else tally.ended[v->way]++;
        tally.visits++;
    }
    drop(c);
}

static void fail(struct connection *c, const char *what)
{
    const struct visit *v = visit_of(c);
    worker_fail(&crew, "visit %" PRIu64 ", manner %d, way %d, stage %d, %" PRIu64 " of %" PRIu64 " bytes back: %s",
                c->id, (int)v->manner, (int)v->way, (int)c->stage, c->read, c->written, what);
    drop(c);
}

void visit_begin(struct connection *c, enum manner manner, enum way way, uint32_t total)
{
    struct visit *v = visit_of(c);
    *v = (struct visit){.manner = manner, .way = way};
    connection_open(&crew, c);
    if (c->stage == STAGE_NONE) return;
    c->goal = total != 0 ? total : sizeof v->order;
    v->order = (struct order){.mark = "SK", .way = (uint8_t)way, .total = total, .id = c->id};
    v->until = c->started + (5 + dice(25)) * SECOND;
}

/* --- What is sent and what comes back -------------------------------------------------------------------------- */

/* The bytes from this position on, and how many lie together. */
static const unsigned char *bytes_at(const struct connection *c, uint64_t position, size_t *count)
{
    const struct order *order = &visit_of(c)->order;
    if (position >= sizeof *order) return pattern_at(c->id, position);
    if (*count > sizeof *order - position) *count = sizeof *order - position;
    return (const unsigned char *)order + position;
}

static void say(struct connection *c)
{
    while (c->written < c->goal) {
        size_t count = c->goal - c->written < 16384 ? c->goal - c->written : 16384;
        const unsigned char *bytes = bytes_at(c, c->written, &count);
        int n = connection_write(c, bytes, (int)count);
        if (n == WOULD_BLOCK) break;
        if (n < 0) return; /* reading tells why */
        c->written += (uint64_t)n;
    }
    int reads = visit_of(c)->manner == SHORT || visit_of(c)->manner == EAGER;
    connection_want(&crew, c, (reads ? EPOLLIN : 0u) | (c->written < c->goal ? EPOLLOUT : 0u) | EPOLLRDHUP);
}

static int is_same(struct connection *c, const unsigned char *bytes, size_t len)
{
    c->deadline = now() + (uint64_t)(options.timeout * SECOND);
    while (len > 0) {
        size_t count = len;
        const unsigned char *wanted = bytes_at(c, c->read, &count);
        if (c->read + count > c->written || memcmp(bytes, wanted, count) != 0) {
            tally.differences++;
            fail(c, "other bytes than those sent");
            return 0;
        }
        c->read += count;
        tally.bytes += count;
        bytes += count;
        len -= count;
    }
    return 1;
}

/* --- The end --------------------------------------------------------------------------------------------------- */

static int is_servers(enum way way) { return way == BY_HOST || way == BY_IDLENESS || way == BY_ABORT; }

static void await_end(struct connection *c)
{
    c->stage = STAGE_DRAINING;
    c->deadline = now() + (uint64_t)(options.timeout * SECOND);
    connection_want(&crew, c, EPOLLIN);
}

static void part(struct connection *c)
{
    static const unsigned char rubbish[37] = {0x17, 3, 3, 0, 32, 1, 2, 3};
    switch (visit_of(c)->way) {
    case BY_RESET:
        connection_reset_on_close(c);
        over(c);
        return;
    case BY_PEER:
        SSL_shutdown(c->ssl);
        shutdown(c->fd, SHUT_WR);
        break;
    case BY_FIN: shutdown(c->fd, SHUT_WR); break;
    case BY_PROTOCOL:
        if (send(c->fd, rubbish, sizeof rubbish, MSG_NOSIGNAL) != sizeof rubbish) return fail(c, "not all is taken");
        break;
    default: break;
    }
    await_end(c);
}

/* The end has come, and what it must look like. */
static void ended(struct connection *c, int how)
{
    struct visit *v = visit_of(c);
    if (v->manner == DEAF) {
        over(c);
    } else if (c->stage == STAGE_OPEN && !(is_servers(v->way) && v->manner == SHORT)) {
        fail(c, how == ENDED ? "the server closed" : strerror(errno));
    } else if (v->way == BY_ABORT ? how != BROKEN : is_servers(v->way) && how != ENDED) {
        fail(c, how == ENDED ? "a clean end instead of a reset" : "no clean end");
    } else if (is_servers(v->way) && v->way != BY_ABORT && c->read != c->goal) {
        fail(c, "an end before the echo was whole");
    } else {
        if (v->way == BY_HOST) SSL_shutdown(c->ssl);
        over(c);
    }
}

static void drain(struct connection *c)
{
    struct visit *v = visit_of(c);
    for (;;) {
        int tls = is_servers(v->way) && c->ssl != NULL;
        int n = tls ? connection_read(c, crew.buffer, BUFFER) : (int)recv(c->fd, crew.buffer, BUFFER, 0);
        if (tls && n > 0 && !is_same(c, crew.buffer, (size_t)n)) return;
        if (n > 0) continue;
        if (tls ? n == WOULD_BLOCK : (n < 0 && errno == EAGAIN)) return;
        ended(c, tls ? n : n == 0 ? ENDED : BROKEN);
        return;
    }
}

static void go_if_done(struct connection *c)
{
    struct visit *v = visit_of(c);
    if (c->read < c->goal || c->stage != STAGE_OPEN || v->manner == DEAF) return;
    if (v->manner != SHORT && !v->done_sending) return;
    if (is_servers(v->way)) await_end(c);
    else part(c);
}

static void take(struct connection *c, size_t room)
{
    for (int i = 0; i < ROUNDS; i++) {
        int n = connection_read(c, crew.buffer, (int)room);
        if (n == WOULD_BLOCK) break;
        if (n < 0) {
            ended(c, n);
            return;
        }
        if (!is_same(c, crew.buffer, (size_t)n)) return;
        if (room < BUFFER) break;
    }
    go_if_done(c);
}

/* --- The beginning --------------------------------------------------------------------------------------------- */

/* Three clients that never get through their handshake. */
static void spoil(struct connection *c)
{
    const unsigned char *hello;
    int length = tls_hello(&hello);
    const char *http = "GET / HTTP/1.1\r\n\r\n";
    unsigned kind = dice(3);
    ssize_t sent = kind == 0 ? send(c->fd, http, strlen(http), MSG_NOSIGNAL)
                             : send(c->fd, hello, (size_t)length / 2, MSG_NOSIGNAL);
    if (sent <= 0) return fail(c, "no first byte is taken");
    if (kind == 1) {
        connection_reset_on_close(c);
        over(c);
        return;
    }
    shutdown(c->fd, SHUT_WR);
    await_end(c);
}

static void shake(struct connection *c)
{
    int result = SSL_do_handshake(c->ssl);
    if (result == 1) {
        c->stage = STAGE_OPEN;
        tally.resumed += (uint64_t)SSL_session_reused(c->ssl);
        if (visit_of(c)->manner == DEAF) c->goal = DEAF_ENOUGH;
        say(c);
        return;
    }
    switch (SSL_get_error(c->ssl, result)) {
    case SSL_ERROR_WANT_READ: connection_want(&crew, c, EPOLLIN); break;
    case SSL_ERROR_WANT_WRITE: connection_want(&crew, c, EPOLLOUT); break;
    default: fail(c, "the handshake failed");
    }
}

/* A ticket is used again and again, which the server allows; one visit in eight comes without one. */
static SSL *new_ssl(struct connection *c)
{
    SSL_SESSION *session = c->session;
    if (session == NULL) return tls_client(c);
    c->session = NULL;
    if (dice(8) == 0) {
        SSL_SESSION_free(session);
        return tls_client(c);
    }
    SSL *ssl = tls_client(c);
    SSL_set_session(ssl, session);
    c->session = session;
    return ssl;
}

static void connected(struct connection *c)
{
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return fail(c, strerror(error));
    if (visit_of(c)->way == BY_HANDSHAKE) return spoil(c);
    c->ssl = new_ssl(c);
    c->stage = STAGE_HANDSHAKE;
    shake(c);
}

void visit_advance(struct connection *c, uint32_t events)
{
    const struct visit *v = visit_of(c);
    ERR_clear_error();
    switch (c->stage) {
    case STAGE_CONNECTING: connected(c); return;
    case STAGE_HANDSHAKE: shake(c); return;
    case STAGE_DRAINING: drain(c); return;
    case STAGE_NONE: case STAGE_TICKET: return;
    case STAGE_OPEN: break;
    }
    if (v->manner == DEAF && (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0) return ended(c, BROKEN);
    if ((events & EPOLLOUT) != 0) say(c);
    if (v->manner != SHORT && v->manner != EAGER && (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) == 0) return;
    if (c->stage == STAGE_OPEN) take(c, BUFFER);
}

/* --- Those that stay ------------------------------------------------------------------------------------------- */

void visit_feed(struct connection *c, size_t len)
{
    struct visit *v = visit_of(c);
    if (c->stage != STAGE_OPEN || v->done_sending || c->goal - c->read > WIDE) return;
    c->goal += len;
    say(c);
}

void visit_listen(struct connection *c)
{
    struct visit *v = visit_of(c);
    uint64_t t = now();
    if (c->stage != STAGE_OPEN || v->manner == DEAF || v->manner == SHORT || v->manner == EAGER) return;
    ERR_clear_error();
    if (v->manner == SLOW) return take(c, SIP);
    if (t < v->wakes) return;
    take(c, BUFFER);
    if (c->stage == STAGE_OPEN && c->read == c->written && dice(100) == 0) v->wakes = t + (1 + dice(3)) * SECOND;
}

void visit_check(struct connection *c, uint64_t t)
{
    struct visit *v = visit_of(c);
    int stays = v->manner != SHORT && c->stage == STAGE_OPEN && !v->done_sending;
    if (c->stage == STAGE_NONE || (stays && t < v->until)) return;
    if (stays && v->manner != DEAF) {
        v->done_sending = 1;
        c->deadline = t + (uint64_t)(options.timeout * SECOND);
        ERR_clear_error();
        go_if_done(c);
    } else if (t > (v->manner == DEAF ? v->until + 60 * SECOND : c->deadline)) {
        fail(c, "no progress");
    }
}
