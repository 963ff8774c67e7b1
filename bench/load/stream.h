/* Messages on an open connection: sent as the mode allows, and compared byte by byte when they come back. */
#ifndef BENCH_STREAM_H
#define BENCH_STREAM_H

#include "worker.h"

void stream_begin(struct worker *w, struct connection *c);
void stream_send(struct worker *w, struct connection *c);
/* Paced: one more message, whose latency counts from "due", when it should have left. */
void stream_add_due(struct worker *w, struct connection *c, uint64_t due);
void stream_receive(struct worker *w, struct connection *c);

#endif
