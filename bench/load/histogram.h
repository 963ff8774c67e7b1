/* Latencies in logarithmic buckets, 64 to each power of two: a quantile is off by less than 1 %. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BITS = 6, HISTOGRAM_BUCKETS = (64 - HISTOGRAM_BITS) << HISTOGRAM_BITS };

struct histogram {
    uint64_t count, max, buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t nanoseconds);
void histogram_merge(struct histogram *into, const struct histogram *from);
void histogram_clear(struct histogram *h);
/* In microseconds; 0 without any value. */
double histogram_quantile(const struct histogram *h, double q);

#endif
