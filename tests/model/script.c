/* What a peer does, step by step: decided by the dice before it begins. */
#define _GNU_SOURCE
#include "model.h"

#include "check.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>

static enum step_kind any_step(struct dice *d)
{
    unsigned roll = dice_below(d, 100);
    if (roll < 50) return SEND;
    if (roll < 60) return NAP;
    if (roll < 72) return dice_one_in(d, 2) ? DEAF : HEAR;
    if (roll < 76) return KEY_UPDATE;
    if (roll < 84) return NOTIFY;
    if (roll < 88) return FIN;
    if (roll < 91) return RESET;
    if (roll < 94) return CLOSE;
    return roll < 97 ? GARBAGE : CUT;
}

static enum step_kind any_farewell(struct dice *d)
{
    static const enum step_kind ways[] = { NOTIFY, NOTIFY, FIN, RESET, CLOSE, NAP, NAP };
    return ways[dice_below(d, sizeof ways / sizeof *ways)];
}

void peer_plan(struct link *l, struct dice *d)
{
    static const unsigned pieces[] = { 1, 7, 100, 100000, 100000, 100000 };
    struct actor_peer *p = &l->peer;
    p->wire.fd = -1;
    p->piece = pieces[dice_below(d, 6)];
    p->gulp = pieces[dice_below(d, 6)];
    p->count = (int)dice_below(d, STEPS);
    for (int i = 0; i < p->count; i++) p->steps[i] = (struct step){ any_step(d), (unsigned)dice_size(d) };
    p->farewell = any_farewell(d);
    /* The choice between TLS and plain text, and the command that starts TLS, come with the first bytes. */
    if (l->s->mode != TLSLOOP_MODE_DETECT && !l->upgrade) return;
    p->steps[0] = (struct step){ SEND, 16 };
    if (p->count == 0) p->count = 1;
}

static void send_pattern(struct link *l, size_t len)
{
    struct actor_peer *p = &l->peer;
    unsigned char *bytes = malloc(len + 1);
    CHECK(bytes != NULL);
    for (size_t i = 0; i < len; i++) bytes[i] = pattern_byte(l->index, p->sent + i);
    p->sent += len;
    for (size_t at = 0; at < len; at += 16000) {
        size_t n = len - at < 16000 ? len - at : 16000;
        if (p->tls) peer_seal(&p->wire, bytes + at, n);
        else peer_push(p, bytes + at, n);
        peer_collect(p);
    }
    free(bytes);
}

/* Half a record, and then nothing: what stands in it never arrives. */
static void cut(struct link *l)
{
    struct actor_peer *p = &l->peer;
    if (!p->tls) return;
    l->did_fin = true;
    peer_seal(&p->wire, "a record that is cut", 20);
    peer_collect(p);
    p->out_len -= 10;
}

static void send_garbage(struct link *l, size_t len)
{
    unsigned char bytes[64];
    l->did_garbage = true;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(len * 7 + i * 101);
    peer_push(&l->peer, bytes, 1 + len % sizeof bytes);
}

static void say_goodbye(struct link *l)
{
    struct actor_peer *p = &l->peer;
    l->did_notify = true;
    if (p->tls) peer_seal_close_notify(&p->wire);
    peer_collect(p);
    if (!p->tls) shutdown(p->wire.fd, SHUT_WR);
}

static void leave_at_once(struct link *l, bool with_reset)
{
    if (with_reset) l->did_reset = true;
    else l->did_close = true;
    if (with_reset) {
        struct linger now = { .l_onoff = 1, .l_linger = 0 };
        setsockopt(l->peer.wire.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    peer_gone(l);
}

static bool has_said_goodbye(const struct link *l)
{
    return l->did_notify || l->did_fin;
}

/* Steps that need what is not there yet wait for it, and those that come too late are no more than a turn. */
static bool must_wait(const struct link *l, enum step_kind kind)
{
    const struct actor_peer *p = &l->peer;
    bool rude = kind == RESET || kind == CLOSE || kind == DEAF || kind == HEAR || kind == NAP;
    if (rude) return false;
    if (p->out_at < p->out_len) return true;
    if (kind == FIN || kind == GARBAGE) return false;
    if (l->upgrade && p->at > 0 && !p->upgraded) return true;
    return !peer_is_up(p);
}

static bool is_possible(const struct link *l, enum step_kind kind)
{
    bool takes_the_way_out = kind != RESET && kind != CLOSE && kind != DEAF && kind != HEAR && kind != NAP;
    if (takes_the_way_out && has_said_goodbye(l)) return false;
    return !(l->did_garbage && !peer_is_up(&l->peer) && (kind == SEND || kind == CUT || kind == KEY_UPDATE));
}

static void act(struct link *l, struct step step)
{
    struct actor_peer *p = &l->peer;
    book_note(l->s, THE_PEER, l, "step", step.kind);
    switch (step.kind) {
    case SEND: send_pattern(l, step.n); break;
    case DEAF: p->deaf = true; break;
    case HEAR: p->deaf = false; break;
    case NAP: p->nap = step.n % 4; break;
    case GARBAGE: send_garbage(l, step.n); break;
    case CUT: cut(l); break;
    case KEY_UPDATE:
        if (p->tls) SSL_key_update(p->wire.ssl, SSL_KEY_UPDATE_REQUESTED);
        if (p->tls) SSL_do_handshake(p->wire.ssl);
        peer_collect(p);
        break;
    case NOTIFY: say_goodbye(l); break;
    case FIN:
        l->did_fin = true;
        shutdown(p->wire.fd, SHUT_WR);
        break;
    case RESET: leave_at_once(l, true); break;
    case CLOSE: leave_at_once(l, false); break;
    case STEP_KINDS: break;
    }
}

/* The half record has left: so has the peer's direction. */
static bool finish_cut(struct link *l)
{
    struct actor_peer *p = &l->peer;
    if (p->at == 0 || p->steps[p->at - 1].kind != CUT || !l->did_fin || p->out_at < p->out_len) return false;
    if (p->finished_cut) return false; /* again and again it would keep all others waiting */
    p->finished_cut = shutdown(p->wire.fd, SHUT_WR) == 0;
    return p->finished_cut;
}

static bool part(struct link *l)
{
    struct actor_peer *p = &l->peer;
    enum step_kind kind = p->farewell;
    if (kind == NAP && book_is_dropped(l)) kind = CLOSE; /* no end will come */
    if (l->s->phase != PARTING || kind == NAP || (has_said_goodbye(l) && kind != RESET && kind != CLOSE)) return false;
    if (l->did_garbage && !peer_is_up(p)) kind = RESET;
    if (l->upgrade && !p->upgraded && kind == NOTIFY) kind = FIN;
    if (must_wait(l, kind)) return false;
    p->farewell = NAP;
    act(l, (struct step){ kind, 0 });
    return true;
}

bool script_advance(struct link *l)
{
    struct actor_peer *p = &l->peer;
    if (finish_cut(l)) {
        p->at = p->count; /* what would follow can not */
        return true;
    }
    if (p->at >= p->count) {
        p->scripted = true;
        return part(l);
    }
    if (p->nap && l->s->phase == ACTING) {
        p->nap--;
        return false;
    }
    struct step step = p->steps[p->at];
    bool possible = is_possible(l, step.kind);
    if (possible && must_wait(l, step.kind)) return false;
    p->at++;
    if (possible) act(l, step);
    return true;
}
