/*
 * The visitors of the server under the soak and the storm: connections by the thousand that echo, behave badly in
 * every way that a client can, and compare each byte. The socket, TLS and the pattern are the load generator's
 * (bench/load).
 */
#ifndef SOAK_VISITORS_H
#define SOAK_VISITORS_H

#include "connection.h"
#include "order.h"
#include "worker.h"

#include <stdint.h>

/* A visit is short and ends in one of the ways; the others stay for a while. */
enum manner { SHORT, EAGER, SLOW, STALLING, DEAF, MANNERS };

/* One slot: a connection of the load generator's, and what is to become of it. */
struct visit {
    enum manner manner;
    enum way way;
    int done_sending, counted;
    uint64_t until;   /* of one that stays: when it begins to go */
    uint64_t wakes;   /* of one that is stalling: when it reads again */
    struct order order;
};

struct tally {
    uint64_t ended[WAYS], deaf, visits, resumed, differences, bytes;
};

extern struct worker crew;      /* one thread does it all */
extern struct visit *visits;    /* as many as connections */
extern struct tally tally;

struct visit *visit_of(const struct connection *c);
unsigned dice(unsigned n);      /* 0 to n - 1 */

/* visit.c */
void visit_begin(struct connection *c, enum manner manner, enum way way, uint32_t total);
void visit_advance(struct connection *c, uint32_t events);
void visit_feed(struct connection *c, size_t len);  /* one that stays says more */
void visit_listen(struct connection *c);            /* one that reads little reads a little */
void visit_check(struct connection *c, uint64_t t); /* now and then: deadlines */

/* pace.c */
struct pace {
    double rate, target, average; /* units a second; of one processor: what the server is to use, and has used */
    double owed;
    int behind; /* within the last second, more was due than could be done */
    uint64_t last, measured, cpu, samples;
};
void pace_begin(struct pace *p, double target, uint64_t t);
unsigned pace_due(struct pace *p, uint64_t t); /* units of work that are due now */

#endif
