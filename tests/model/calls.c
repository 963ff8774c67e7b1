/* What the host does: one call of its choice, and what that call may answer. */
#define _GNU_SOURCE
#include "model.h"

#include "check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void answered(struct link *l, enum actor actor, const char *what, int code, int one, int other)
{
    if (actor != MAIN_THREAD || l->s->phase == ACTING) book_note(l->s, actor, l, what, code);
    PROMISE(l->s, l, code == TLSLOOP_OK || code == one || code == other, "%s answers %d: %s", what, code,
            tlsloop_last_error());
}

enum actor inside(const struct link *l)
{
    return (enum actor)(FROM_LINK + l->index);
}

/* The id, or while the link has none one that can be nobody's. */
static tlsloop_conn conn_of(struct link *l)
{
    tlsloop_conn conn = l->conn;
    return conn ? conn : UINT64_C(1) << 63 | 4711;
}

/* --- Sending --------------------------------------------------------------------------------------------------- */

static int send_in_pieces(tlsloop_conn conn, const unsigned char *bytes, size_t len, size_t cut)
{
    if (cut == 0) return tlsloop_conn_send(conn, bytes, len);
    tlsloop_slice parts[3] = { { bytes, cut }, { NULL, 0 }, { bytes + cut, len - cut } };
    return tlsloop_conn_sendv(conn, parts, 3);
}

static void check_send(struct link *l, enum actor actor, int code, bool was_sealed, size_t queued, unsigned drains,
                       size_t size)
{
    struct sequence *s = l->s;
    answered(l, actor, "send", code, TLSLOOP_EFULL, TLSLOOP_ECLOSED);
    PROMISE(s, l, !was_sealed || code == TLSLOOP_ECLOSED, "a send after the host has ended the connection: %d", code);
    if (code == TLSLOOP_OK) l->accepted[actor]++;
    if (code == TLSLOOP_OK) l->accepted_bytes += size;
    if (code == TLSLOOP_EFULL) {
        l->refused++;
        s->refused++;
        l->full = true;
        unsigned owed = l->owed;
        while (owed < drains + 1 && !atomic_compare_exchange_weak(&l->owed, &owed, drains + 1)) {}
    }
    if (l->solo && code != TLSLOOP_ECLOSED) /* nothing else changes the queue meanwhile */
        PROMISE(s, l, (code == TLSLOOP_EFULL) == (queued >= s->high), "with %zu bytes queued a send answers %d", queued,
                code);
}

static int send_message(struct link *l, enum actor actor, size_t len, size_t cut, bool go)
{
    tlsloop_conn conn = conn_of(l);
    unsigned char *bytes = malloc(MESSAGE_HEAD + len);
    CHECK(bytes != NULL);
    size_t size = message_make(bytes, l->index, actor, l->accepted[actor], len, go);
    l->sending++;
    bool was_sealed = l->sealed;
    unsigned drains = l->drains;
    size_t queued = tlsloop_conn_queued(conn);
    int code = send_in_pieces(conn, bytes, size, cut < size ? cut : 0);
    check_send(l, actor, code, was_sealed, queued, drains, size);
    l->sending--;
    free(bytes);
    return code;
}

void host_send(struct link *l, enum actor actor, struct dice *d)
{
    if (l->solo && actor != inside(l)) return;
    send_message(l, actor, dice_size(d), dice_one_in(d, 4) ? dice_below(d, 40) : 0, false);
}

/* STARTTLS: the word for it leaves in plain text, and is the last that does of this callback's. */
void host_go_over(struct link *l)
{
    if (l->gone_over) return;
    int code = send_message(l, inside(l), 4, 0, true);
    l->wants_go = code == TLSLOOP_EFULL;
    if (code != TLSLOOP_OK) return;
    l->gone_over = l->started_tls = true;
    code = tlsloop_conn_start_tls(l->conn);
    answered(l, inside(l), "start_tls", code, TLSLOOP_ECLOSED, 0);
    /* The peer has been told to; what it says from now on is for nobody. */
    if (code != TLSLOOP_OK) l->did_garbage = true;
}

/* --- Ending, pausing ------------------------------------------------------------------------------------------- */

void host_close(struct link *l, enum actor actor)
{
    l->asked_close = true;
    int code = tlsloop_conn_close(conn_of(l));
    answered(l, actor, "close", code, TLSLOOP_ECLOSED, 0);
    if (code == TLSLOOP_OK) l->sealed = true;
}

static void host_end(struct link *l, enum actor actor)
{
    l->asked_end = true;
    int code = tlsloop_conn_end(conn_of(l));
    answered(l, actor, "end", code, TLSLOOP_ECLOSED, 0);
    if (code == TLSLOOP_OK) l->sealed = true;
}

static void host_abort(struct link *l, enum actor actor)
{
    l->asked_abort = true;
    int code = tlsloop_conn_abort(conn_of(l));
    answered(l, actor, "abort", code, TLSLOOP_ECLOSED, 0);
    if (code == TLSLOOP_OK) l->sealed = true;
}

static void host_pause(struct link *l, enum actor actor, bool by_itself)
{
    /* Noted before the call: a resume that another thread makes from here on takes the note away, and one that is under way
     * may come before the pause or after it. */
    if (by_itself && !l->resuming) l->held = true;
    int code = tlsloop_conn_pause(conn_of(l));
    answered(l, actor, "pause", code, TLSLOOP_ECLOSED, 0);
    if (code != TLSLOOP_OK) l->held = false;
}

void host_resume(struct link *l, enum actor actor)
{
    l->resuming++;
    l->held = false;
    answered(l, actor, "resume", tlsloop_conn_resume(conn_of(l)), TLSLOOP_ECLOSED, 0);
    l->held = false;
    l->resuming--;
}

/* --- Posting --------------------------------------------------------------------------------------------------- */

static void posted(tlsloop_conn conn, void *arg)
{
    struct post *post = arg;
    struct link *l = post->link;
    book_note(l->s, THE_LIBRARY, l, "posted", (long long)(post - l->posts));
    book_enter(l, "a posted function");
    PROMISE(l->s, l, l->conn == conn || l->conn == 0, "a posted function for another connection");
    PROMISE(l->s, l, post->runs++ == 0 && post->answer != 2, "a posted function runs again, or was refused");
    if (dice_one_in(&l->dice, 3)) host_act(l->s, inside(l), &l->dice, l);
    book_leave(l);
}

static void host_post(struct link *l, enum actor actor, struct dice *d)
{
    int at = l->posted < POSTS ? l->posted++ : POSTS;
    if (at >= POSTS) return;
    struct post *post = &l->posts[at];
    post->link = l;
    unsigned ms = dice_below(d, 4);
    int code = ms == 3 ? tlsloop_conn_post(conn_of(l), posted, post)
                       : tlsloop_conn_post_after(conn_of(l), ms, posted, post);
    post->answer = code == TLSLOOP_OK ? 1 : 2;
    answered(l, actor, "post", code, TLSLOOP_ECLOSED, 0);
}

/* --- Asking ---------------------------------------------------------------------------------------------------- */

static void host_ask(struct link *l, enum actor actor)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    char der[4096];
    size_t len = sizeof der;
    tlsloop_conn conn = l->conn;
    if (conn == 0) return;
    int code = tlsloop_conn_info(conn, &info);
    answered(l, actor, "info", code, TLSLOOP_ECLOSED, 0);
    bool over = l->disconnects || l->failures;
    PROMISE(l->s, l, code == TLSLOOP_OK || over || l->inside, "info answers ECLOSED before the last callback");
    void *data = tlsloop_conn_data(conn);
    PROMISE(l->s, l, data == l || data == NULL, "the data of another connection");
    answered(l, actor, "set_data", tlsloop_conn_set_data(conn, l), TLSLOOP_ECLOSED, 0);
    code = tlsloop_conn_peer_certificate(conn, der, &len);
    answered(l, actor, "peer_certificate", code, TLSLOOP_ESTATE, TLSLOOP_ECLOSED);
}

static void host_start_tls(struct link *l, enum actor actor, struct link *self)
{
    if (self == l) return; /* host_go_over's */
    int code = tlsloop_conn_start_tls(conn_of(l));
    answered(l, actor, "start_tls elsewhere", code, TLSLOOP_ESTATE, TLSLOOP_ECLOSED);
    PROMISE(l->s, l, code != TLSLOOP_OK, "start_tls elsewhere");
}

static void host_idle(struct link *l, enum actor actor, struct dice *d)
{
    unsigned ms = dice_one_in(d, 6) ? 1 + dice_below(d, 5) : dice_one_in(d, 2) ? 0 : 60000;
    if (ms > 0 && ms < 1000) l->asked_idle = true;
    answered(l, actor, "set_idle_timeout", tlsloop_conn_set_idle_timeout(conn_of(l), ms), TLSLOOP_ECLOSED, 0);
}

static void nobody(tlsloop_conn conn, void *arg)
{
    (void)conn;
    model_broken(arg, NULL, "a function that was posted to nobody runs");
}

void host_check_stale(struct sequence *s, tlsloop_conn conn)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    char der[16];
    size_t len = sizeof der;
    const int answers[] = {
        tlsloop_conn_send(conn, "stale", 5), tlsloop_conn_close(conn), tlsloop_conn_end(conn), tlsloop_conn_abort(conn),
        tlsloop_conn_pause(conn), tlsloop_conn_resume(conn), tlsloop_conn_set_idle_timeout(conn, 1),
        tlsloop_conn_start_tls(conn), tlsloop_conn_info(conn, &info), tlsloop_conn_peer_certificate(conn, der, &len),
        tlsloop_conn_set_data(conn, s), tlsloop_conn_post(conn, nobody, s), tlsloop_conn_post_after(conn, 1, nobody, s),
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        PROMISE(s, NULL, answers[i] == TLSLOOP_ECLOSED, "call %zu with the id %llx, which is over: %d", i,
                (unsigned long long)conn, answers[i]);
    PROMISE(s, NULL, tlsloop_conn_queued(conn) == 0 && tlsloop_conn_data(conn) == NULL, "an id that is over has data");
}

/* --- The server ------------------------------------------------------------------------------------------------ */

static void ask_server(struct sequence *s, struct dice *d, bool inside)
{
    tlsloop_stats stats = TLSLOOP_STATS_INIT;
    PROMISE(s, NULL, tlsloop_server_stats(s->server, &stats) == TLSLOOP_OK, "no stats");
    book_gauges(s, &stats);
    PROMISE(s, NULL, tlsloop_server_port(s->server) == s->port, "another port");
    int code = tlsloop_server_set_tls(s->server, server_tls);
    PROMISE(s, NULL, code == (s->mode == TLSLOOP_MODE_PLAIN ? TLSLOOP_ESTATE : TLSLOOP_OK), "set_tls answers %d", code);
    if (inside) {
        PROMISE(s, NULL, tlsloop_server_stop(s->server, 0) == TLSLOOP_EDEADLK, "a stop in a callback");
        PROMISE(s, NULL, tlsloop_server_wait(s->server) == TLSLOOP_EDEADLK, "a wait in a callback");
        code = tlsloop_server_poll(s->server, 0);
        PROMISE(s, NULL, code == (s->host_driven ? TLSLOOP_EDEADLK : TLSLOOP_ESTATE) || code == TLSLOOP_EDEADLK,
                "a poll in a callback answers %d", code);
    } else if (dice_one_in(d, 20)) {
        book_note(s, THE_LIBRARY, NULL, "is told to drain", 0);
        s->drained = true;
        PROMISE(s, NULL, tlsloop_server_drain(s->server) == TLSLOOP_OK, "no drain");
    }
    code = tlsloop_server_listen_fd(s->server);
    PROMISE(s, NULL, code >= 0 || code == TLSLOOP_ESTATE, "listen_fd answers %d", code);
    if (code >= 0) close(code);
}

static void host_server(struct sequence *s, enum actor actor, struct dice *d)
{
    /* Never waits: a callback that did would hold up a stop that holds the lock. */
    if (pthread_rwlock_tryrdlock(&s->lock) != 0) return;
    if (!s->unusable) ask_server(s, d, actor >= FROM_LINK);
    pthread_rwlock_unlock(&s->lock);
}

void host_act(struct sequence *s, enum actor actor, struct dice *d, struct link *self)
{
    struct link *l = self && !dice_one_in(d, 4) ? self : &s->link[dice_below(d, (unsigned)s->links)];
    unsigned roll = dice_below(d, 100);
    tlsloop_conn stale;
    if (roll < 42) host_send(l, actor, d);
    else if (roll < 52) host_post(l, actor, d);
    else if (roll < 60) host_pause(l, actor, l == self);
    else if (roll < 74) host_resume(l, actor);
    else if (roll < 80) host_ask(l, actor);
    else if (roll < 83) host_idle(l, actor, d);
    else if (roll < 85) host_start_tls(l, actor, self);
    else if (roll < 90) host_server(s, actor, d);
    else if (roll < 92) host_close(l, actor);
    else if (roll < 94) host_end(l, actor);
    else if (roll < 95) host_abort(l, actor);
    else if ((stale = book_any_stale(d)) != 0) host_check_stale(s, stale);
}
