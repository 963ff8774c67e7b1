/* The limits that are measured; each prints one line of JSON per result. */
#ifndef BENCH_LIMITS_H
#define BENCH_LIMITS_H

#include "pair.h"

/* A few tenths of a second of handshakes: how fast this processor is at the moment. */
void limit_calibrate(const struct pair_settings *settings);
void limit_handshakes(const struct pair_settings *ecdsa, const struct pair_settings *rsa);
void limit_records(const struct pair_settings *settings);
void limit_memory(const struct pair_settings *settings);
void limit_kernel(void);

#endif
