/* The bytes that are sent: which one comes next depends on the connection and the position in its stream, so that
 * loss, repetition, wrong order and bytes of another connection all show as a difference. */
#ifndef BENCH_PATTERN_H
#define BENCH_PATTERN_H

#include <stdint.h>

void pattern_make(void);
/* At least MAX_MESSAGE bytes. */
const unsigned char *pattern_at(uint64_t connection, uint64_t position);

#endif
