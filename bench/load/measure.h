/* The course of a run: connections are set up, something is measured, and all is added up. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include "usage.h"
#include "worker.h"

struct measurement {
    struct usage base, before, after;  /* base: before the first connection; idle: "before" is with all of them open */
    double setup, elapsed, client_cpu; /* seconds */
    double quiet_rate;                 /* mixed: messages a second before the storm */
    uint64_t operations, bytes, storm_operations;
    int open;
};

struct measurement measure(struct worker *workers, int count);

#endif
