/* From the socket to an open connection, and in cycles on to its end. */
#ifndef BENCH_HANDSHAKE_H
#define BENCH_HANDSHAKE_H

#include "worker.h"

/* Something happened on a connection that is not open yet, or not any more. */
void handshake_advance(struct worker *w, struct connection *c);

#endif
