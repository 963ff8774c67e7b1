#include "worker.h"

#include "basics.h"
#include "connection.h"
#include "handshake.h"
#include "options.h"
#include "stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { OPENING_AT_ONCE = 64, EVENTS = 256, TICKET_TRIES = 3 };

#define TICK (SECOND / 50)

struct run run;

void worker_record(struct worker *w, uint64_t nanoseconds)
{
    int recording = run.recording;
    if (recording != RECORD_NOTHING) histogram_add(&w->latency[recording - RECORD_FIRST], nanoseconds);
}

void worker_fail(struct worker *w, const char *format, ...)
{
    unsigned long error = ERR_peek_error();
    const char *reason = error != 0 ? ERR_reason_error_string(error) : NULL;

    w->failures++;
    if (w->first_failure[0] == '\0') {
        va_list arguments;
        va_start(arguments, format);
        int n = vsnprintf(w->first_failure, sizeof w->first_failure, format, arguments);
        va_end(arguments);
        if (reason != NULL && n > 0 && (size_t)n < sizeof w->first_failure)
            snprintf(w->first_failure + n, sizeof w->first_failure - (size_t)n, " (%s)", reason);
    }
    ERR_clear_error();
}

static void announce(struct worker *w)
{
    if (w->announced) return;
    w->announced = 1;
    run.ready++;
}

static void check_deadlines(struct worker *w)
{
    uint64_t t = now();
    for (int i = 0; i < w->count; i++) {
        struct connection *c = &w->connections[i];
        if (c->stage == STAGE_NONE || c->stage == STAGE_OPEN || t < c->deadline) continue;
        w->timeouts++;
        worker_fail(w, "no progress in stage %d", (int)c->stage);
        connection_end(w, c, 0);
    }
}

/* --- Connections that stay ------------------------------------------------------------------------------------ */

static void open_more(struct worker *w)
{
    while (w->opened < w->count && w->opening < OPENING_AT_ONCE) connection_open(w, &w->connections[w->opened++]);
    if (w->announced || w->opened < w->count || w->opening > 0) return;
    for (int i = 0; i < w->count; i++) {
        struct connection *c = &w->connections[i];
        if (c->stage == STAGE_OPEN && c->read < c->goal) return; /* the first message is not back */
    }
    announce(w);
}

static void begin_streams(struct worker *w)
{
    w->begun = 1;
    for (int i = 0; i < w->count; i++) {
        struct connection *c = &w->connections[i];
        if (c->stage != STAGE_OPEN) {
            connection_finished(c);
            continue;
        }
        c->goal = UINT64_MAX;
        if (options.mode == MODE_BULK) c->goal = options.bytes;
        else if (options.total != 0) c->goal = (uint64_t)(options.total / options.connections) * options.size;
        stream_send(w, c);
    }
}

/* Sends what has become due; returns when the next message is. A message that leaves late keeps its due time, so
 * that a server (or a client) that falls behind cannot hide it. */
static uint64_t send_due(struct worker *w)
{
    uint64_t gap = (uint64_t)((double)SECOND / options.rate), t = now();
    if (w->due == 0) w->due = t;
    for (; w->due <= t; w->due += gap, t = now()) {
        struct connection *c = NULL;
        for (int tries = 0; tries < w->count; tries++) {
            c = &w->connections[w->turn++ % (unsigned)w->count];
            if (c->stage == STAGE_OPEN) break;
        }
        if (c != NULL && c->stage == STAGE_OPEN) stream_add_due(w, c, w->due);
    }
    return w->due - t;
}

/* The measuring thread must not wait for the storm's, which shares its processor. */
static void become_urgent(void)
{
    struct sched_param urgent = {.sched_priority = 10};
    if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &urgent) != 0)
        fputs("load: not allowed to run urgently; the storm's own thread adds to the latencies\n", stderr);
}

/* --- Slots for one connection after the other ----------------------------------------------------------------- */

/* With --resume each slot needs a ticket first. A server that gives none is found out, not waited for. */
static void collect_tickets(struct worker *w)
{
    int prepared = 0;
    for (int i = 0; i < w->count; i++) {
        struct connection *c = &w->connections[i];
        int enough = c->session != NULL || c->cycles >= TICKET_TRIES;
        if (c->stage != STAGE_NONE) continue;
        if (enough) prepared++;
        else connection_open(w, c);
    }
    if (prepared == w->count) announce(w);
}

static void fill_slots(struct worker *w)
{
    for (int i = 0; i < w->count && w->budget != 0; i++) {
        if (w->connections[i].stage != STAGE_NONE) continue;
        if (w->budget > 0) w->budget--;
        connection_open(w, &w->connections[i]);
    }
}

/* Returns whether nothing is left to do. */
static int step_cycles(struct worker *w)
{
    int phase = run.phase;
    if (phase == PHASE_SETUP && options.resume && w->kind == KIND_CYCLES) collect_tickets(w);
    else announce(w);
    if (phase == PHASE_RUN && (w->kind == KIND_CYCLES || run.storm)) fill_slots(w);
    if (w->budget != 0 || w->alive > 0) return 0;
    run.finished++;
    return 1;
}

/* --- The thread ----------------------------------------------------------------------------------------------- */

/* Returns how long to wait for events at most. */
static uint64_t step_streams(struct worker *w)
{
    uint64_t wait = TICK;
    open_more(w);
    if (run.phase != PHASE_RUN) return wait;
    if (w->kind == KIND_PACED) wait = send_due(w);
    else if (!w->begun) begin_streams(w);
    return wait < TICK ? wait : TICK;
}

/* Messages are due more exactly than to a millisecond. The system call is younger than some C libraries and kernels;
 * where it is missing the paced messages leave a little late, which counts as latency. */
static int wait_exactly(int epoll, struct epoll_event *events, uint64_t wait)
{
#ifdef SYS_epoll_pwait2
    struct timespec limit = {0, (long)wait};
    int n = (int)syscall(SYS_epoll_pwait2, epoll, events, EVENTS, &limit, NULL, 0);
    if (n >= 0 || errno != ENOSYS) return n;
#endif
    return epoll_wait(epoll, events, EVENTS, (int)((wait + 999999) / 1000000));
}

static void await_events(struct worker *w, uint64_t wait)
{
    struct epoll_event events[EVENTS];
    int n = wait_exactly(w->epoll, events, wait);
    for (int i = 0; i < n; i++) {
        struct connection *c = events[i].data.ptr;
        if (c->stage == STAGE_OPEN) stream_receive(w, c);
        else handshake_advance(w, c);
    }
}

static void *work(void *argument)
{
    struct worker *w = argument;
    uint64_t check = now() + SECOND / 5;

    if (w->kind == KIND_PACED) become_urgent();
    while (run.phase != PHASE_STOP) {
        uint64_t wait = TICK;
        if (!is_cycle(w)) wait = step_streams(w);
        else if (step_cycles(w)) break;
        await_events(w, wait);
        if (now() < check) continue;
        check_deadlines(w);
        check = now() + SECOND / 5;
    }
    return NULL;
}

void worker_start(struct worker *w)
{
    size_t ring = w->kind == KIND_PACED ? PACED_DEPTH : options.depth;
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->buffer = malloc(BUFFER);
    w->connections = calloc((size_t)w->count, sizeof *w->connections);
    if (w->epoll < 0 || w->buffer == NULL || w->connections == NULL) die("no resources for a worker");
    for (int i = 0; i < w->count; i++) {
        w->connections[i].fd = -1;
        if (is_cycle(w)) continue;
        w->connections[i].sent_at = calloc(ring, sizeof(uint64_t));
        if (w->connections[i].sent_at == NULL) die("out of memory");
    }
    if (pthread_create(&w->thread, NULL, work, w) != 0) die("no thread");
}
