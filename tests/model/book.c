/*
 * The book: what has been asked, what the host was told, and which of both fit together.
 *
 * Facts that explain an end are noted before the deed, answers after it. So an effect without its cause is always a
 * broken promise, however the threads interleave.
 */
#define _GNU_SOURCE
#include "model.h"

#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static long long now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

void book_note(struct sequence *s, enum actor actor, const struct link *l, const char *what, long long value)
{
    unsigned at = s->traced++ % TRACE;
    s->trace[at] = (struct trace){ what, actor, l ? l->index : -1, value, now_us() - s->began_us };
}

/* How many messages of each sender were accepted, or have arrived. */
static void print_senders(const char *what, const atomic_uint *accepted, const unsigned *arrived)
{
    printf("%s", what);
    for (int a = 0; a < ACTORS; a++) printf(" %u", accepted ? accepted[a] : arrived[a]);
}

static void print_link(const struct link *l)
{
    const struct actor_peer *p = &l->peer;
    printf("#  link %d: door %d, conn %llx, solo %d, upgrade %d; told: connects %d, failures %d, disconnects %d (%s), "
           "ends %d, ups %d, drains %u, received %llu\n", l->index, l->door, (unsigned long long)l->conn, l->solo,
           l->upgrade, l->connects, l->failures, l->disconnects, tlsloop_reason_name(l->reason), l->ends, l->ups,
           l->drains, l->received);
    printf("#    asked: close %d, end %d, abort %d;", l->asked_close, l->asked_end, l->asked_abort);
    print_senders(" accepted", l->accepted, NULL);
    printf("; refused %u, owed %u\n#    peer: tls %d, up %d, step %d of %d, sent %llu;", l->refused, l->owed,
           p->wants_tls, p->tls, p->at, p->count, p->sent);
    print_senders(" got", NULL, p->parser.numbers);
    printf(" (%llu bytes), sight %d, done %d; did: notify %d, fin %d, reset %d, close %d, garbage %d, went %d\n",
           p->parser.bytes, p->sight, p->done, l->did_notify, l->did_fin, l->did_reset, l->did_close, l->did_garbage,
           l->went);
}

static void print_event(const struct trace *t)
{
    static const char *const others[] = { "host 1", "host 2", "main" };
    char who[24];
    if (t->actor == THE_PEER) snprintf(who, sizeof who, "peer");
    else if (t->actor == THE_LIBRARY) snprintf(who, sizeof who, "told");
    else if (t->actor < FROM_LINK) snprintf(who, sizeof who, "%s", others[t->actor]);
    else snprintf(who, sizeof who, "callback of %d", t->actor - FROM_LINK);
    printf("#  %8lld us  %-13s  link %2d  %s %lld\n", t->us, who, t->link, t->what ? t->what : "?", t->value);
}

static void print_story(struct sequence *s)
{
    unsigned end = s->traced, begin = end > 300 ? end - 300 : 0;
    for (unsigned i = begin; i < end; i++) print_event(&s->trace[i % TRACE]);
    printf("#  mode %d, host-driven %d, abrupt %d, on_end %d, high water %zu, short handshakes %d, sends %d, idle %d, "
           "limited %d, phase %d, connects %u, failures %u, disconnects %u\n", s->mode, s->host_driven, s->abrupt,
           s->has_end, s->high, s->short_handshakes, s->short_sends, s->short_idle, s->limited, s->phase, s->connects,
           s->failures, s->disconnects);
    for (int i = 0; i < s->links; i++) print_link(&s->link[i]);
}

void model_broken(struct sequence *s, const struct link *l, const char *format, ...)
{
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
    char text[512];
    va_list arguments;
    pthread_mutex_lock(&once); /* the first speaks, and ends the process */
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    print_story(s);
    printf("BROKEN in sequence %llu, link %d: %s\nreplay: model%s %llu --repeat 100\n", (unsigned long long)s->seed,
           l ? l->index : -1, text, s->host_driven ? " --host-driven" : "", (unsigned long long)s->seed);
    fflush(stdout);
    _exit(1);
}

/* --- Callbacks ------------------------------------------------------------------------------------------------- */

void book_enter(struct link *l, const char *what)
{
    struct sequence *s = l->s;
    PROMISE(s, l, !s->stopped, "%s after the stop had returned", what);
    PROMISE(s, l, l->inside++ == 0, "%s inside another callback of the connection", what);
    PROMISE(s, l, l->disconnects + l->failures == 0, "%s after the last callback", what);
    if (l->connects && !s->host_driven)
        PROMISE(s, l, pthread_equal(l->thread, pthread_self()), "%s on another thread than before", what);
    l->thread = pthread_self();
}

void book_leave(struct link *l)
{
    l->inside--;
}

static void check_posts(struct link *l, bool at_end)
{
    for (int i = 0; i < l->posted && i < POSTS; i++) {
        int answer = l->posts[i].answer, runs = l->posts[i].runs;
        PROMISE(l->s, l, runs <= 1, "a posted function ran %d times", runs);
        PROMISE(l->s, l, answer != 1 || runs == 1, "a post was accepted and has not run");
        if (at_end) PROMISE(l->s, l, answer != 2 || runs == 0, "a post was refused and ran");
    }
}

/* Whether something that was done explains this end. */
static bool is_explained(const struct link *l, int reason)
{
    const struct sequence *s = l->s;
    bool left = l->did_fin || l->did_close || l->did_reset || l->went;
    switch (reason) {
    case TLSLOOP_REASON_PEER: return l->did_notify || (!l->peer.wants_tls && left) || (l->upgrade && left);
    case TLSLOOP_REASON_HOST: return l->asked_close || l->asked_end;
    case TLSLOOP_REASON_TRUNCATED: return left && (l->peer.wants_tls || l->upgrade);
    case TLSLOOP_REASON_RESET: return l->did_reset || l->did_close || l->went;
    case TLSLOOP_REASON_PROTOCOL: return l->did_garbage || (l->started_tls && (left || l->did_notify));
    case TLSLOOP_REASON_IDLE_TIMEOUT: return s->short_idle || l->asked_idle || (s->short_handshakes && l->started_tls);
    case TLSLOOP_REASON_SEND_TIMEOUT: return s->short_sends;
    case TLSLOOP_REASON_STOPPED: return s->stopping;
    case TLSLOOP_REASON_ABORTED: return l->asked_abort;
    default: return false;
    }
}

/* "Bytes accepted by send are handed to this machine's kernel, or the reason is not HOST or PEER." */
static void check_handed_over(struct link *l, int reason, const tlsloop_info *info)
{
    unsigned long long accepted = l->accepted_bytes;
    if (reason != TLSLOOP_REASON_HOST && reason != TLSLOOP_REASON_PEER) return;
    /* A send that was accepted may not have come back yet, so there may be more than is noted, but never less. */
    PROMISE(l->s, l, info->bytes_out >= accepted, "%llu bytes accepted, %llu handed over, and the reason is \"%s\"",
            accepted, (unsigned long long)info->bytes_out, tlsloop_reason_name(reason));
}

void book_disconnect(struct link *l, int reason, const tlsloop_info *info)
{
    struct sequence *s = l->s;
    unsigned long long received = l->received;
    PROMISE(s, l, l->connects == 1, "on_disconnect without on_connect");
    PROMISE(s, l, reason >= 0 && reason <= TLSLOOP_REASON_SYSTEM, "no reason: %d", reason);
    PROMISE(s, l, is_explained(l, reason), "nothing explains the end by \"%s\": %s", tlsloop_reason_name(reason),
            tlsloop_last_error());
    /* "Bytes received before an end are delivered first." The peer ends nothing before it has sent its last. */
    bool is_peers = reason == TLSLOOP_REASON_PEER || reason == TLSLOOP_REASON_TRUNCATED;
    if (is_peers && !l->did_garbage && !l->did_close && !l->did_reset)
        PROMISE(s, l, received == l->peer.sent, "the peer sent %llu bytes before its end, %llu were delivered",
                l->peer.sent, received);
    check_handed_over(l, reason, info);
    PROMISE(s, l, info->bytes_in == received, "%llu bytes by info, %llu delivered", (unsigned long long)info->bytes_in,
            received);
    check_posts(l, false);
    l->reason = reason;
    s->reasons[reason]++;
}

void book_failure(struct link *l, int code)
{
    struct sequence *s = l->s;
    bool by_host = l->asked_close || l->asked_end || l->asked_abort || s->stopping;
    bool by_peer = l->went || l->did_notify || l->did_fin || l->did_reset || l->did_close || l->did_garbage;
    PROMISE(s, l, l->connects == 0, "on_handshake_failed after on_connect");
    PROMISE(s, l, code < 0, "no code: %d", code);
    PROMISE(s, l, by_host || by_peer || (s->short_handshakes && code == TLSLOOP_ETIMEDOUT),
            "nothing explains the failure by %d: %s", code, tlsloop_last_error());
    check_posts(l, false);
}

/* --- After the end --------------------------------------------------------------------------------------------- */

bool book_is_over(const struct link *l)
{
    return l->disconnects + l->failures > 0 || !l->made;
}

bool book_is_dropped(const struct link *l)
{
    return !l->made && l->door == BY_LISTENER && l->s->drained;
}

bool book_is_settled(const struct link *l)
{
    if (l->sending) return false;
    for (int a = 0; a < ACTORS; a++)
        if (l->peer.parser.numbers[a] != l->accepted[a]) return false;
    return l->drains >= l->owed;
}

void book_check_life(struct link *l)
{
    struct sequence *s = l->s;
    int lives = l->connects + l->failures;
    PROMISE(s, l, l->inside == 0, "a callback has not come back");
    PROMISE(s, l, l->connects == l->disconnects, "%d on_connect and %d on_disconnect", l->connects, l->disconnects);
    PROMISE(s, l, lives <= 1 && (lives == 1 || !l->made), "%d ends in all", lives);
    PROMISE(s, l, !l->refuse || lives == 0, "a refused connection was told of");
    PROMISE(s, l, l->drains <= l->refused, "%u drains for %u refusals", l->drains, l->refused);
    check_posts(l, true);
}

/* "Bytes accepted are handed to this machine's kernel, in order, or the reason is not HOST or PEER." */
void book_check_bytes(struct link *l)
{
    struct sequence *s = l->s;
    const struct actor_peer *p = &l->peer;
    bool good = l->reason == TLSLOOP_REASON_HOST || l->reason == TLSLOOP_REASON_PEER;
    if (!l->disconnects || l->did_garbage || l->did_reset || l->did_close) return;
    bool half_way = l->started_tls && !l->ups;
    if (!good && (l->reason != TLSLOOP_REASON_TRUNCATED || s->short_sends || half_way)) return;
    /* With a short close timeout a deaf peer is left behind with the kernel's promise only. */
    if (s->short_sends && p->sight != SAW_CLEAN) return;
    if (s->short_sends && p->parser.have) return;
    /* In the middle of a handshake there is no way to say goodbye. */
    PROMISE(s, l, p->sight == SAW_CLEAN || l->reason == TLSLOOP_REASON_TRUNCATED || half_way,
            "reason \"%s\", and the peer saw no clean end but %d", tlsloop_reason_name(l->reason), p->sight);
    for (int a = 0; a < ACTORS; a++)
        PROMISE(s, l, p->parser.numbers[a] == l->accepted[a],
                "sender %d: %u messages accepted, %u arrived, reason \"%s\"", a, l->accepted[a], p->parser.numbers[a], tlsloop_reason_name(l->reason));
    PROMISE(s, l, p->parser.have == 0, "the last message is cut");
}

void book_gauges(struct sequence *s, const tlsloop_stats *stats)
{
    uint64_t sum = 0;
    for (int i = 0; i < 16; i++) sum += stats->disconnects_by_reason[i];
    PROMISE(s, NULL, stats->disconnects == sum, "disconnects are not the sum of their reasons");
    PROMISE(s, NULL, stats->open == stats->connects - stats->disconnects, "open is not connects - disconnects");
}

void book_check_counts(struct sequence *s)
{
    tlsloop_stats stats = TLSLOOP_STATS_INIT;
    struct check_wait wait = check_wait_start();
    unsigned told;
    do { /* the last end is counted when its callback has returned, and the kernel may still hand out one who was given up */
        for (int i = 0; i < s->links; i++)
            if (s->link[i].conn && !book_is_over(&s->link[i])) host_close(&s->link[i], MAIN_THREAD);
        told = s->disconnects + s->failures;
        PROMISE(s, NULL, tlsloop_server_stats(s->server, &stats) == TLSLOOP_OK, "no stats");
        book_gauges(s, &stats);
    } while ((stats.open || stats.handshaking || told != stats.disconnects + stats.handshakes_failed
              || stats.disconnects + stats.handshakes_failed + stats.refused_callback + stats.refused_limit
                     < stats.accepted) && check_wait_more(&wait));
    PROMISE(s, NULL, stats.open == 0 && stats.handshaking == 0, "%llu open and %llu on their way after the last end",
            (unsigned long long)stats.open, (unsigned long long)stats.handshaking);
    PROMISE(s, NULL, stats.connects == s->connects && stats.disconnects == s->disconnects
            && stats.handshakes_failed == s->failures, "counted: %llu connects, %llu disconnects, %llu failures",
            (unsigned long long)stats.connects, (unsigned long long)stats.disconnects,
            (unsigned long long)stats.handshakes_failed);
    for (int i = 0; i < 16; i++)
        PROMISE(s, NULL, stats.disconnects_by_reason[i] == s->reasons[i], "reason %d: %u told, %llu counted", i,
                s->reasons[i], (unsigned long long)stats.disconnects_by_reason[i]);
    PROMISE(s, NULL, stats.bytes_in == s->bytes_in, "%llu bytes delivered, %llu counted", s->bytes_in,
            (unsigned long long)stats.bytes_in);
    PROMISE(s, NULL, stats.sends_refused == s->refused, "%u sends refused, %llu counted", s->refused,
            (unsigned long long)stats.sends_refused);
    PROMISE(s, NULL, stats.queued_bytes == 0, "%llu bytes queued for nobody", (unsigned long long)stats.queued_bytes);
}
