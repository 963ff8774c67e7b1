/* What every part of the load generator needs: the clock, and a way out. */
#ifndef BENCH_BASICS_H
#define BENCH_BASICS_H

#include <stdint.h>

#define SECOND UINT64_C(1000000000) /* in nanoseconds, the unit of all times here */

uint64_t now(void);
void sleep_seconds(double seconds);
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
