/* A thread of the load generator, its connections, and what all threads share.
 *
 * A worker keeps connections that stay open and echo (STREAMS), the same with messages at due times (PACED), or slots
 * in which one connection after the other shakes hands and ends (CYCLES; STORM is that beside PACED ones). */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include "histogram.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum { BUFFER = 65536, PACED_DEPTH = 1024 };

enum kind { KIND_STREAMS, KIND_PACED, KIND_CYCLES, KIND_STORM };
enum stage { STAGE_NONE, STAGE_CONNECTING, STAGE_HANDSHAKE, STAGE_TICKET, STAGE_OPEN, STAGE_DRAINING };

struct connection {
    int fd;
    enum stage stage;
    SSL *ssl;
    SSL_SESSION *session; /* cycles with --resume: for the next connection in this slot */
    uint32_t interest;
    int finished, has_ticket, cycles;
    uint64_t id, started, deadline;
    uint64_t written, read, goal; /* positions in the stream; goal: how far it may be written */
    uint64_t *sent_at;            /* a ring: when the messages left that have not come back */
    unsigned oldest, newest;
};

struct worker {
    pthread_t thread;
    int index, epoll, count;
    enum kind kind;
    struct connection *connections;
    uint64_t next_id;
    long budget;                   /* cycles left to begin; -1: no end */
    int opened, opening, open, alive;
    int announced, begun;
    unsigned turn;                 /* paced: whose message is next */
    uint64_t due;
    atomic_ullong operations, bytes;
    uint64_t failures, differences, resumed, timeouts, dropped;
    char first_failure[256];
    struct histogram latency[2];   /* mixed: without and with the storm */
    unsigned char *buffer;
};

enum phase { PHASE_SETUP, PHASE_RUN, PHASE_STOP };
enum recording { RECORD_NOTHING, RECORD_FIRST, RECORD_SECOND };

struct run {
    atomic_int phase, recording, storm;
    atomic_int ready;    /* workers whose connections are open */
    atomic_int finished; /* connections (cycles: workers) that have done what they were to do */
};

extern struct run run;

static inline int is_cycle(const struct worker *w) { return w->kind >= KIND_CYCLES; }

void worker_start(struct worker *w);
void worker_record(struct worker *w, uint64_t nanoseconds);
void worker_fail(struct worker *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
