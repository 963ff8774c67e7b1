/* One connection from the socket up, whatever it is used for. */
#ifndef BENCH_CONNECTION_H
#define BENCH_CONNECTION_H

#include "worker.h"

/* What connection_read and connection_write answer instead of a number of bytes. */
enum { WOULD_BLOCK = -1, ENDED = -2, BROKEN = -3 };

void connection_open(struct worker *w, struct connection *c);
void connection_want(struct worker *w, struct connection *c, uint32_t events);
int connection_read(struct connection *c, void *into, int room);
int connection_write(struct connection *c, const void *bytes, int count);
/* The descriptor and the SSL object go; the slot and its session stay. */
void connection_drop(struct worker *w, struct connection *c);
/* The same, and it counts: "good" as an operation, else as one that will never come. */
void connection_end(struct worker *w, struct connection *c, int good);
/* The peer is to get an RST. */
void connection_reset_on_close(struct connection *c);
void connection_finished(struct connection *c);

#endif
