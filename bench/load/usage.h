/* What the server's processes have used so far, seen from outside. */
#ifndef BENCH_USAGE_H
#define BENCH_USAGE_H

#include <stdint.h>

struct usage {
    uint64_t cpu;                                 /* nanoseconds: all threads, those that have ended too */
    uint64_t user_ticks, system_ticks;
    uint64_t switches;                            /* voluntary */
    uint64_t rss, pss, private_dirty, peak_rss;   /* KiB */
};

enum usage_part { USAGE_CPU, USAGE_CPU_AND_MEMORY };

/* The memory figures walk the server's page tables, so they are left out while something is being measured. */
struct usage usage_of_server(enum usage_part part);

#endif
