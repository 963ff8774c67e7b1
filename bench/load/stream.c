#include "stream.h"

#include "basics.h"
#include "connection.h"
#include "options.h"
#include "pattern.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>

/* A connection that always has something to do must not keep the others of its thread waiting. */
enum { ROUNDS = 8 };

static unsigned ring_size(const struct worker *w)
{
    return w->kind == KIND_PACED ? PACED_DEPTH : (unsigned)options.depth;
}

static void lose(struct worker *w, struct connection *c, const char *what)
{
    if (run.phase != PHASE_STOP)
        worker_fail(w, "connection lost (%s) after %" PRIu64 " of %" PRIu64 " bytes: %s", what, c->read, c->written,
                    strerror(errno));
    connection_finished(c);
    w->open--;
    connection_drop(w, c);
}

void stream_begin(struct worker *w, struct connection *c)
{
    if (options.mode != MODE_IDLE || !options.touch) return;
    c->goal = options.size;
    stream_send(w, c);
}

/* As much as the socket takes, a few pieces at a time. */
static void send_bulk(struct worker *w, struct connection *c)
{
    for (int i = 0; i < ROUNDS && c->written < c->goal; i++) {
        uint64_t left = c->goal - c->written;
        int count = (int)(left < options.size ? left : options.size);
        int n = connection_write(c, pattern_at(c->id, c->written), count);
        if (n == WOULD_BLOCK) break;
        if (n < 0) {
            lose(w, c, "write");
            return;
        }
        c->written += (uint64_t)n;
    }
    connection_want(w, c, EPOLLIN | (c->written < c->goal ? EPOLLOUT : 0u));
}

/* The first byte of a message: is there room for one more under way? Paced messages have noted their time before. */
static int may_begin_message(struct worker *w, struct connection *c)
{
    if (w->kind == KIND_PACED) return 1;
    if (c->newest - c->oldest >= options.depth) return 0;
    c->sent_at[c->newest % ring_size(w)] = now();
    return 1;
}

static void send_messages(struct worker *w, struct connection *c)
{
    int blocked = 0;
    while (c->written < c->goal && !blocked) {
        uint64_t part = c->written % options.size;
        if (part == 0 && !may_begin_message(w, c)) break;
        int n = connection_write(c, pattern_at(c->id, c->written), (int)(options.size - part));
        if (n == WOULD_BLOCK) {
            blocked = 1;
        } else if (n < 0) {
            lose(w, c, "write");
            return;
        } else {
            if (part == 0 && w->kind != KIND_PACED) c->newest++;
            c->written += (uint64_t)n;
        }
    }
    connection_want(w, c, EPOLLIN | (blocked ? EPOLLOUT : 0u));
}

void stream_send(struct worker *w, struct connection *c)
{
    if (options.mode == MODE_BULK) send_bulk(w, c);
    else send_messages(w, c);
}

void stream_add_due(struct worker *w, struct connection *c, uint64_t due)
{
    if (c->newest - c->oldest >= PACED_DEPTH) {
        w->dropped++;
        return;
    }
    c->sent_at[c->newest++ % PACED_DEPTH] = due;
    c->goal += options.size;
    stream_send(w, c);
}

static void note_messages(struct worker *w, struct connection *c, uint64_t count)
{
    uint64_t t = now();
    for (uint64_t i = 0; i < count; i++) worker_record(w, t - c->sent_at[c->oldest++ % ring_size(w)]);
    atomic_fetch_add_explicit(&w->operations, count, memory_order_relaxed);
}

/* Returns 0 if these bytes are not the ones that come next. */
static int take(struct worker *w, struct connection *c, uint64_t n)
{
    uint64_t messages = c->read / options.size;
    if (c->read + n > c->written || memcmp(w->buffer, pattern_at(c->id, c->read), n) != 0) {
        w->differences++;
        return 0;
    }
    c->read += n;
    atomic_fetch_add_explicit(&w->bytes, n, memory_order_relaxed);
    if (options.mode != MODE_BULK) note_messages(w, c, c->read / options.size - messages);
    if (c->read >= c->goal) connection_finished(c);
    return 1;
}

static int has_pending(const struct connection *c) { return c->ssl != NULL && SSL_has_pending(c->ssl); }

void stream_receive(struct worker *w, struct connection *c)
{
    for (int i = 0; i < ROUNDS || has_pending(c); i++) {
        int n = connection_read(c, w->buffer, BUFFER);
        if (n == WOULD_BLOCK) break;
        if (n < 0) {
            lose(w, c, n == ENDED ? "end" : "read");
            return;
        }
        if (!take(w, c, (uint64_t)n)) {
            lose(w, c, "other bytes than those sent");
            return;
        }
        if (c->read == c->written && !has_pending(c)) break;
    }
    if (run.phase != PHASE_STOP) stream_send(w, c);
}
