/* What the process holds: descriptors, threads, memory. */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdbool.h>
#include <stddef.h>

unsigned measure_descriptors(void);
unsigned measure_threads(void);

/* Whether the thread (its gettid) is asleep in the kernel. */
bool measure_sleeps(int thread);

/* How many times it has gone to sleep until now. */
unsigned long measure_sleeps_begun(int thread);

/*
 * Bytes that malloc has handed out. Only a difference means something, and only above HEAP_SLACK,
 * which is what libc and OpenSSL may come to keep for a thread or a name. It is 0 under ASan and
 * valgrind, which replace the allocator and look for leaks themselves, and where libc cannot tell.
 */
size_t measure_heap(void);
#define HEAP_SLACK ((size_t)8 << 10)

/* CHECKs that the heap has not grown since it was `before`. */
void measure_heap_is_back(size_t before);

#endif
