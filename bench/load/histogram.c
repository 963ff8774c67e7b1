#include "histogram.h"

#include <string.h>

#define PER_POWER (1u << HISTOGRAM_BITS)

static unsigned bucket_of(uint64_t value)
{
    if (value < PER_POWER) return (unsigned)value;
    unsigned shift = (unsigned)(63 - __builtin_clzll(value)) - HISTOGRAM_BITS;
    return ((shift + 1) << HISTOGRAM_BITS) + (unsigned)((value >> shift) & (PER_POWER - 1));
}

static uint64_t middle_of(unsigned bucket)
{
    if (bucket < PER_POWER) return bucket;
    unsigned shift = (bucket >> HISTOGRAM_BITS) - 1;
    uint64_t low = (uint64_t)((bucket & (PER_POWER - 1)) | PER_POWER) << shift;
    return low + ((UINT64_C(1) << shift) >> 1);
}

void histogram_add(struct histogram *h, uint64_t nanoseconds)
{
    h->buckets[bucket_of(nanoseconds)]++;
    h->count++;
    if (nanoseconds > h->max) h->max = nanoseconds;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) into->buckets[i] += from->buckets[i];
    into->count += from->count;
    if (from->max > into->max) into->max = from->max;
}

void histogram_clear(struct histogram *h) { memset(h, 0, sizeof *h); }

double histogram_quantile(const struct histogram *h, double q)
{
    if (h->count == 0) return 0;
    uint64_t wanted = (uint64_t)(q * (double)(h->count - 1)) + 1, seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen < wanted) continue;
        uint64_t value = middle_of(i);
        return (double)(value > h->max ? h->max : value) / 1e3;
    }
    return (double)h->max / 1e3;
}
