/* Load for TLS echo servers: handshakes, messages, bulk, idle connections, or messages beside a storm of handshakes.
 * Every echoed byte is compared with the one that was sent. One line of JSON goes to standard output; the exit status
 * is 0 only if nothing failed. "load" without arguments lists the options. */
#include "basics.h"
#include "measure.h"
#include "options.h"
#include "pattern.h"
#include "report.h"
#include "tls.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static void allow_many_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* An even share of what is left, for the first of "among". */
static long share(long *left, int among)
{
    long part = (*left + among - 1) / among;
    *left -= part;
    return part;
}

static void assign(struct worker *workers, int count)
{
    long connections = options.connections, total = options.total, storm = options.storm_width;
    for (int i = 0; i < count; i++) {
        struct worker *w = &workers[i];
        w->index = i;
        w->budget = -1;
        if (options.mode == MODE_MIXED) {
            w->kind = i == 0 ? KIND_PACED : KIND_STORM;
            w->count = (int)(i == 0 ? connections : share(&storm, count - i));
            continue;
        }
        w->kind = options.mode == MODE_HANDSHAKE ? KIND_CYCLES : KIND_STREAMS;
        w->count = (int)share(&connections, count - i);
        if (options.mode == MODE_HANDSHAKE && total != 0) w->budget = share(&total, count - i);
    }
}

int main(int argc, char **argv)
{
    options_read(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    allow_many_descriptors();
    pattern_make();
    tls_prepare();

    int count = options.threads + (options.mode == MODE_MIXED);
    struct worker *workers = calloc((size_t)count, sizeof *workers);
    if (workers == NULL) die("out of memory");
    assign(workers, count);
    struct measurement m = measure(workers, count);
    int good = report(&m, workers, count);
    fflush(stdout);
    _exit(good ? EXIT_SUCCESS : EXIT_FAILURE); /* ten thousand connections need not be taken apart one by one */
}
