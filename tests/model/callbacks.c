/* What the host is told: each callback is noted in the book, and then does something of its own. */
#define _GNU_SOURCE
#include "model.h"

#include "check.h"

#include <stdio.h>
#include <string.h>

static struct link *named(struct sequence *s, const char *peer)
{
    for (int i = 0; i < s->links; i++)
        if (s->link[i].door == BY_LISTENER && strcmp(s->link[i].name, peer) == 0) return &s->link[i];
    return NULL;
}

/* A connection that was adopted or made brings its link along; one that came is known by its address. */
static struct link *link_of(struct sequence *s, tlsloop_conn conn)
{
    struct link *l = tlsloop_conn_data(conn);
    if (l) return l;
    tlsloop_info info = TLSLOOP_INFO_INIT;
    PROMISE(s, NULL, tlsloop_conn_info(conn, &info) == TLSLOOP_OK, "no info in a callback: %s", tlsloop_last_error());
    l = named(s, info.peer);
    PROMISE(s, NULL, l != NULL, "a connection from nobody: %s", info.peer);
    PROMISE(s, l, tlsloop_conn_set_data(conn, l) == TLSLOOP_OK, "no data in a callback");
    return l;
}

static struct link *enter(tlsloop_conn conn, void *user, const char *what, long long value)
{
    struct link *l = link_of(user, conn);
    PROMISE(user, l, l->s == user, "%s of another server's connection", what);
    book_note(l->s, THE_LIBRARY, l, what, value);
    book_enter(l, what);
    book_new_id(l, conn);
    l->made = true;
    return l;
}

static void leave(struct link *l)
{
    unsigned acts = dice_below(&l->dice, 3);
    bool over = l->disconnects || l->failures;
    for (unsigned i = 0; i < acts && !over; i++) host_act(l->s, inside(l), &l->dice, l);
    book_leave(l);
}

static void on_connect(tlsloop_conn conn, void *user)
{
    struct link *l = enter(conn, user, "on_connect", 0);
    l->connects++;
    l->s->connects++;
    PROMISE(l->s, l, l->connects == 1, "on_connect twice");
    leave(l);
}

static void on_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    struct link *l = enter(conn, user, "on_data", (long long)len);
    const unsigned char *bytes = data;
    unsigned long long from = l->received;
    PROMISE(l->s, l, l->connects == 1 && l->ends == 0 && len > 0, "on_data at no time for it");
    PROMISE(l->s, l, !l->held || l->resuming, "on_data though the connection is paused");
    for (size_t i = 0; i < len && !l->did_garbage; i++)
        PROMISE(l->s, l, bytes[i] == pattern_byte(l->index, from + i), "byte %llu is another", from + i);
    l->received += len;
    l->s->bytes_in += len;
    if (l->upgrade && l->received >= 16) host_go_over(l);
    leave(l);
}

static void on_drain(tlsloop_conn conn, void *user)
{
    struct link *l = enter(conn, user, "on_drain", 0);
    unsigned before = l->drains++;
    /* A send of another thread's may have been refused and not have come back yet. */
    PROMISE(l->s, l, before < l->refused + l->sending, "on_drain without a refusal");
    PROMISE(l->s, l, !l->solo || l->full, "on_drain, and the queue was not full");
    l->full = false;
    if (l->wants_go) host_go_over(l);
    leave(l);
}

static void on_end(tlsloop_conn conn, void *user)
{
    struct link *l = enter(conn, user, "on_end", 0);
    PROMISE(l->s, l, l->connects == 1 && l->ends++ == 0, "on_end at no time for it");
    PROMISE(l->s, l, l->did_notify || l->did_fin || l->did_close || l->did_reset || l->went, "on_end without one");
    if (!dice_one_in(&l->dice, 3)) host_send(l, inside(l), &l->dice);
    if (!dice_one_in(&l->dice, 3)) host_close(l, inside(l));
    leave(l);
}

static void on_tls(tlsloop_conn conn, void *user)
{
    struct link *l = enter(conn, user, "on_tls", 0);
    PROMISE(l->s, l, l->started_tls && l->ups++ == 0, "on_tls at no time for it");
    leave(l);
}

static void on_disconnect(tlsloop_conn conn, int reason, void *user)
{
    struct link *l = enter(conn, user, "on_disconnect", reason);
    tlsloop_info info = TLSLOOP_INFO_INIT;
    PROMISE(l->s, l, tlsloop_conn_info(conn, &info) == TLSLOOP_OK, "no info in on_disconnect");
    book_disconnect(l, reason, &info);
    PROMISE(l->s, l, tlsloop_conn_data(conn) == l, "no data in on_disconnect");
    PROMISE(l->s, l, tlsloop_conn_send(conn, "x", 1) == TLSLOOP_ECLOSED, "a send in on_disconnect");
    PROMISE(l->s, l, tlsloop_conn_close(conn) == TLSLOOP_ECLOSED, "a close in on_disconnect");
    l->disconnects++;
    l->s->disconnects++;
    leave(l);
}

static void on_handshake_failed(tlsloop_conn conn, int code, const char *peer, const char *why, void *user)
{
    struct sequence *s = user;
    struct link *l = tlsloop_conn_data(conn);
    if (!l) l = named(s, peer);
    PROMISE(s, l, l != NULL && why != NULL, "a failure of nobody: %s", peer);
    book_note(s, THE_LIBRARY, l, "on_handshake_failed", code);
    book_enter(l, "on_handshake_failed");
    book_new_id(l, conn);
    book_failure(l, code);
    l->made = true;
    l->failures++;
    s->failures++;
    book_leave(l);
}

static int on_accept(const char *peer, void *user)
{
    struct sequence *s = user;
    struct link *l = named(s, peer);
    PROMISE(s, l, !s->stopped, "on_accept after the stop had returned");
    PROMISE(s, NULL, l != NULL, "nobody has come from %s", peer);
    if (l->refuse) l->did_reset = true; /* so it looks to the peer */
    return l->refuse;
}

tlsloop_callbacks callbacks_of(const struct sequence *s)
{
    tlsloop_callbacks all = TLSLOOP_CALLBACKS_INIT;
    all.on_connect = on_connect;
    all.on_data = on_data;
    all.on_drain = on_drain;
    all.on_end = s->has_end ? on_end : NULL;
    all.on_disconnect = on_disconnect;
    all.on_accept = on_accept;
    all.on_tls = on_tls;
    all.on_handshake_failed = on_handshake_failed;
    return all;
}
