/* How much is asked of the server: so much that it uses the wanted part of a processor. */
#include "visitors.h"

#include "basics.h"
#include "usage.h"

enum { SLOWEST = 50, FASTEST = 200000, AT_ONCE = 200 };

void pace_begin(struct pace *p, double target, uint64_t t)
{
    *p = (struct pace){.rate = 500, .target = target, .last = t, .measured = t, .cpu = usage_of_server(USAGE_CPU).cpu};
}

/* Each second: what was used against what was wanted. A step is bounded, so that one odd second is no jump. */
static void steer(struct pace *p, uint64_t t)
{
    if (t - p->measured < SECOND) return;
    uint64_t cpu = usage_of_server(USAGE_CPU).cpu;
    double used = (double)(cpu - p->cpu) / (double)(t - p->measured);
    double factor = used > 0 ? p->target / used : 1.25;
    p->average += used;
    p->samples++;
    /* On a machine with other work to do, more than the visitors themselves can do would only pile up. */
    if (factor > 1 && p->behind) factor = 0.9;
    p->rate *= factor > 1.25 ? 1.25 : factor < 0.8 ? 0.8 : factor;
    p->behind = 0;
    if (p->rate < SLOWEST) p->rate = SLOWEST;
    if (p->rate > FASTEST) p->rate = FASTEST;
    p->cpu = cpu;
    p->measured = t;
}

unsigned pace_due(struct pace *p, uint64_t t)
{
    steer(p, t);
    p->owed += p->rate * (double)(t - p->last) / (double)SECOND;
    p->last = t;
    if (p->owed > AT_ONCE) {
        p->owed = AT_ONCE; /* what could not be done is not made up for */
        p->behind = 1;
    }
    unsigned due = (unsigned)p->owed;
    p->owed -= due;
    return due;
}
