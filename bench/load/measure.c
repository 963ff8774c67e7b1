#include "measure.h"

#include "basics.h"
#include "options.h"

#include <stdio.h>
#include <sys/resource.h>

struct totals {
    uint64_t operations, bytes, storm;
};

static struct totals add_up(struct worker *workers, int count)
{
    struct totals t = {0};
    for (int i = 0; i < count; i++) {
        if (workers[i].kind == KIND_STORM) {
            t.storm += workers[i].operations;
            continue;
        }
        t.operations += workers[i].operations;
        t.bytes += workers[i].bytes;
    }
    return t;
}

static double own_cpu(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static int open_connections(const struct worker *workers, int count)
{
    int open = 0;
    for (int i = 0; i < count; i++) open += workers[i].open;
    return open;
}

/* What lies between two of these is what is reported. */
struct mark {
    struct totals totals;
    struct usage usage;
    uint64_t time;
    double client_cpu;
};

static struct mark mark(struct worker *workers, int count)
{
    struct mark m = {.totals = add_up(workers, count), .client_cpu = own_cpu()};
    m.usage = usage_of_server(USAGE_CPU);
    m.time = now();
    return m;
}

static void note(struct measurement *m, const struct mark *from, const struct mark *to)
{
    m->before = from->usage;
    m->after = to->usage;
    m->elapsed = (double)(to->time - from->time) / (double)SECOND;
    m->client_cpu = to->client_cpu - from->client_cpu;
    m->operations = to->totals.operations - from->totals.operations;
    m->bytes = to->totals.bytes - from->totals.bytes;
    m->storm_operations = to->totals.storm - from->totals.storm;
}

/* Until every connection (or slot) has done its share; a standstill ends the run and is a failure. */
static void await_finish(struct worker *workers, int count)
{
    int goal = options.mode == MODE_HANDSHAKE ? count : options.connections;
    uint64_t seen = 0, since = now(), patience = (uint64_t)((options.timeout + 1) * SECOND);
    while (run.finished < goal) {
        sleep_seconds(0.001);
        struct totals t = add_up(workers, count);
        if (t.operations + t.bytes != seen) {
            seen = t.operations + t.bytes;
            since = now();
        } else if (now() - since > patience) {
            workers[0].timeouts++;
            worker_fail(&workers[0], "standstill: %d of %d have finished", (int)run.finished, goal);
            return;
        }
    }
}

static void measure_amount(struct measurement *m, struct worker *workers, int count)
{
    struct mark from = mark(workers, count);
    run.recording = RECORD_FIRST;
    run.phase = PHASE_RUN;
    await_finish(workers, count);
    struct mark to = mark(workers, count);
    note(m, &from, &to);
}

/* The time that was asked for; on a machine with much else to do as long as it takes until there is a result at all. */
static void measure_span(struct measurement *m, struct worker *workers, int count, enum recording recording)
{
    sleep_seconds(options.warmup);
    struct mark from = mark(workers, count);
    run.recording = recording;
    sleep_seconds(options.seconds);
    struct mark to = mark(workers, count);
    uint64_t patience = to.time + (uint64_t)(options.timeout * SECOND);
    while (to.totals.operations == from.totals.operations && to.time < patience) {
        sleep_seconds(0.05);
        to = mark(workers, count);
    }
    note(m, &from, &to);
}

static void measure_time(struct measurement *m, struct worker *workers, int count)
{
    run.phase = PHASE_RUN;
    measure_span(m, workers, count, RECORD_FIRST);
}

static void measure_mixed(struct measurement *m, struct worker *workers, int count)
{
    measure_time(m, workers, count);
    m->quiet_rate = (double)m->operations / m->elapsed;
    run.recording = RECORD_NOTHING;
    run.storm = 1;
    measure_span(m, workers, count, RECORD_SECOND);
}

static void measure_idle(struct measurement *m)
{
    sleep_seconds(1); /* what follows a handshake (tickets, released buffers) has happened by then */
    m->before = usage_of_server(USAGE_CPU_AND_MEMORY);
    uint64_t from = now();
    sleep_seconds(options.hold);
    m->after = usage_of_server(USAGE_CPU);
    m->elapsed = (double)(now() - from) / (double)SECOND;
}

struct measurement measure(struct worker *workers, int count)
{
    struct measurement m = {.base = usage_of_server(USAGE_CPU_AND_MEMORY)};
    uint64_t start = now();

    for (int i = 0; i < count; i++) worker_start(&workers[i]);
    while (run.ready < count) sleep_seconds(0.002);
    m.setup = (double)(now() - start) / (double)SECOND;
    sleep_seconds(0.15); /* tickets arrive after the handshake */
    if (options.mode == MODE_IDLE) measure_idle(&m);
    else if (options.mode == MODE_MIXED) measure_mixed(&m, workers, count);
    else if (options.mode == MODE_BULK || options.total != 0) measure_amount(&m, workers, count);
    else measure_time(&m, workers, count);
    run.recording = RECORD_NOTHING;
    if (options.mode != MODE_IDLE && m.operations + m.bytes == 0)
        worker_fail(&workers[0], "nothing was completed in the time");
    m.open = open_connections(workers, count);
    run.phase = PHASE_STOP;
    for (int i = 0; i < count; i++) pthread_join(workers[i].thread, NULL);
    return m;
}
