/*
 * The model test: random sequences of all calls against a small model that knows the promises.
 *
 * A sequence is one server and a few connections ("links"). Three parties act on it at once, each by dice of its own
 * that the seed decides: threads of the host (calls.c), the callbacks themselves (callbacks.c), and peers that
 * misbehave (peers.c, script.c). The book (book.c) notes what was done before it is done, and holds each callback and
 * each answer against what may follow. How the parties interleave is the machine's choice: the same seed asks for the
 * same again, and --repeat asks more often.
 */
#ifndef MODEL_H
#define MODEL_H

#include "peer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <tlsloop.h>

enum { LINKS = 5, POSTS = 24, STEPS = 10, TRACE = 1024 };

/* Who acts, and sends: a message is in order among those of its sender. From FROM_LINK on: callbacks of that link. */
enum actor { HOST_1, HOST_2, MAIN_THREAD, FROM_LINK, ACTORS = FROM_LINK + LINKS, THE_PEER, THE_LIBRARY };

struct dice {
    uint64_t state;
};

uint64_t dice_roll(struct dice *d);
unsigned dice_below(struct dice *d, unsigned n);       /* 0 to n - 1 */
bool dice_one_in(struct dice *d, unsigned n);
size_t dice_size(struct dice *d);                      /* of a message: mostly small, rarely large */
struct dice dice_for(uint64_t seed, uint64_t what);

/* --- Messages from the host (message.c) ------------------------------------------------------------------------ */

enum { MESSAGE_HEAD = 12, MESSAGE_MAX = 1 << 17 };

struct parser {
    unsigned char head[MESSAGE_HEAD];
    size_t have, len; /* of the message that is being read: bytes seen, bytes in all */
    unsigned numbers[ACTORS];
    bool go;          /* the host has said that TLS follows */
    unsigned long long bytes;
};

size_t message_make(unsigned char *to, int link, enum actor actor, unsigned number, size_t len, bool go);
/* NULL, or what is wrong; stops before a byte that begins a TLS record. */
const char *message_parse(struct parser *p, int link, const unsigned char *data, size_t len, size_t *used);
unsigned char pattern_byte(int link, unsigned long long position); /* from the peer; never that of a TLS record */

/* --- One connection -------------------------------------------------------------------------------------------- */

enum door { BY_LISTENER, BY_ADOPT, BY_CONNECT };
enum step_kind { SEND, DEAF, HEAR, NAP, GARBAGE, CUT, KEY_UPDATE, NOTIFY, FIN, RESET, CLOSE, STEP_KINDS };
enum sight { NOTHING_YET, SAW_CLEAN, SAW_FIN, SAW_RESET, SAW_FAILURE };

struct step {
    enum step_kind kind;
    unsigned n;
};

/* A peer, in the hands of the thread that drives all of them. */
struct actor_peer {
    struct peer wire; /* fd -1: none, or gone */
    bool tls, wants_tls, upgraded, deaf;
    bool plain_first; /* STARTTLS: plain text may still come before the server's first record */
    struct step steps[STEPS];
    int at, count;
    unsigned nap, piece, gulp; /* turns to wait; bytes per send and per receive */
    unsigned char *out;        /* waits for the socket */
    size_t out_len, out_at, out_room;
    struct parser parser;
    unsigned long long sent;   /* bytes of the pattern that were sealed whole */
    enum step_kind farewell;
    atomic_int sight;
    atomic_bool connected, scripted, done;
    bool finished_cut;         /* the direction has ended behind the half record */
};

struct post {
    struct link *link;
    atomic_int answer; /* 0: the call has not returned; 1: OK; 2: refused */
    atomic_int runs;
};

struct link {
    struct sequence *s;
    int index;
    enum door door;
    bool solo;    /* only its callbacks send, so what fills the queue is known exactly */
    bool refuse;  /* on_accept turns it away */
    bool upgrade; /* STARTTLS: the host goes over to TLS */
    char name[64]; /* of the peer, as the host is told */
    struct dice dice; /* of its callbacks */
    atomic_ullong conn;
    atomic_bool made; /* a last callback must come */

    /* What the host was told. */
    atomic_int inside, connects, failures, disconnects, ends, ups, reason;
    atomic_uint drains;
    atomic_ullong received;
    pthread_t thread;

    /* What the host has asked for; noted before the call, so that what follows from it can never be early. */
    atomic_bool asked_close, asked_end, asked_abort, asked_idle, started_tls;
    atomic_bool sealed;   /* one of them has returned OK */
    atomic_bool held;     /* paused by its own callback, and nobody resumes it */
    atomic_int resuming;  /* calls under way */
    atomic_uint accepted[ACTORS], refused, sending;
    atomic_ullong accepted_bytes;
    atomic_uint owed;     /* drains that must have come: one more than there were before the last refusal */
    bool full, wants_go, gone_over;
    struct post posts[POSTS];
    atomic_int posted;

    /* What the peer has done, noted before. */
    atomic_bool did_notify, did_fin, did_reset, did_close, did_garbage;
    atomic_bool went; /* after it had seen an end that is none */
    struct actor_peer peer;
};

/* --- One sequence ---------------------------------------------------------------------------------------------- */

enum phase { ACTING, SETTLING, PARTING };

struct trace {
    const char *what;
    enum actor actor;
    int link;
    long long value;
    long long us;
};

struct sequence {
    uint64_t seed;
    int mode, links;
    bool host_driven, abrupt, has_end, short_handshakes, short_sends, short_idle, limited;
    size_t high;
    tlsloop_server *server;
    int port;
    atomic_bool stopping, stopped;
    atomic_bool drained; /* asked to: who comes at that moment may be dropped by the kernel without a word */
    pthread_rwlock_t lock; /* the server may be used: read-locked; nobody may any more: written */
    atomic_bool unusable;
    atomic_int phase;
    atomic_uint connects, failures, disconnects, reasons[16], refused, handshakes;
    atomic_ullong bytes_in;
    struct link link[LINKS];
    int wake;              /* an eventfd for the thread of the peers */
    int outgoing, outgoing_port, descriptors; /* a listener of the peers' */
    atomic_uint traced;
    struct trace trace[TRACE];
    long long began_us;
};

/* Runs one; ends the process with the seed and the last events if a promise is broken. */
void sequence_run(uint64_t seed, bool host_driven);

/* --- The book -------------------------------------------------------------------------------------------------- */

__attribute__((noreturn, format(printf, 3, 4)))
void model_broken(struct sequence *s, const struct link *l, const char *format, ...);

#define PROMISE(s, l, condition, ...) ((condition) ? (void)0 : model_broken(s, l, __VA_ARGS__))

void book_note(struct sequence *s, enum actor actor, const struct link *l, const char *what, long long value);
void book_enter(struct link *l, const char *what); /* a callback or a posted function begins */
void book_leave(struct link *l);
void book_new_id(struct link *l, tlsloop_conn conn);
void book_stale_id(tlsloop_conn conn);             /* its connection is over for good */
tlsloop_conn book_any_stale(struct dice *d);       /* 0: there is none yet */
void book_disconnect(struct link *l, int reason, const tlsloop_info *info);
void book_failure(struct link *l, int code);
bool book_is_over(const struct link *l);
bool book_is_dropped(const struct link *l);         /* perhaps: nobody was told of it, and nobody may be */
bool book_is_settled(const struct link *l);        /* all has arrived, all drains came */
void book_check_life(struct link *l);              /* after the end of all */
void book_check_bytes(struct link *l);
void book_check_counts(struct sequence *s);
void book_gauges(struct sequence *s, const tlsloop_stats *stats);

/* --- The parties ----------------------------------------------------------------------------------------------- */

tlsloop_callbacks callbacks_of(const struct sequence *s);

enum actor inside(const struct link *l); /* who its callbacks are */
void host_act(struct sequence *s, enum actor actor, struct dice *d, struct link *self); /* one random call */
void host_send(struct link *l, enum actor actor, struct dice *d);
void host_go_over(struct link *l);
void host_close(struct link *l, enum actor actor);
void host_resume(struct link *l, enum actor actor);
void host_check_stale(struct sequence *s, tlsloop_conn conn);

void peers_prepare(void); /* once */
const char *peers_address(void); /* where the server listens, and they */
void peer_plan(struct link *l, struct dice *d);
bool peer_dial(struct link *l);
void peer_attach(struct link *l, int fd, bool as_server);
void *peers_run(void *sequence); /* the thread */
bool script_advance(struct link *l); /* true: something was done */
void peer_push(struct actor_peer *p, const void *data, size_t len);
void peer_collect(struct actor_peer *p); /* what OpenSSL wants to send joins what waits */
void peer_gone(struct link *l);
bool peer_is_up(const struct actor_peer *p);

extern tlsloop_tls *server_tls, *client_tls;

#endif
