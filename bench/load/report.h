/* One line of JSON about a run. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "measure.h"

/* Returns whether nothing failed. */
int report(const struct measurement *m, const struct worker *workers, int count);

#endif
