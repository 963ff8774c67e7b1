/*
 *   model [--host-driven] [--count N] [--repeat N] [SEED]
 *
 * Runs N sequences from SEED on (by default a fixed one), each --repeat times; TEST_HOST_DRIVEN means --host-driven.
 * With --time it also takes seeds from the clock, and prints them. The first broken promise ends it, with the story of
 * the sequence, its seed, and the command that runs it again.
 */
#define _GNU_SOURCE
#include "model.h"

#include "check.h"
#include "measure.h"
#include "fixture.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WARM_UP = 200, FIRST_SEED = 1, SLACK = 256 << 10 };

static unsigned long long current;

/* A crash, or a hang that alarm(2) ends, is a finding like any other: it says which seed it was. */
static void on_crash(int number)
{
    char text[128];
    int n = snprintf(text, sizeof text, "BROKEN in sequence %llu: signal %d\n", current, number);
    if (write(STDOUT_FILENO, text, (size_t)n) < 0) _exit(2);
    signal(number, SIG_DFL);
    raise(number);
}

/* A policy keeps a session for each server that was ever met. */
static void new_policies(void)
{
    tlsloop_tls_free(server_tls);
    tlsloop_tls_free(client_tls);
    server_tls = tlsloop_tls_new();
    client_tls = tlsloop_tls_new();
    CHECK(server_tls && client_tls);
    CHECK_OK(tlsloop_tls_add_self_signed(server_tls, "localhost,127.0.0.1"));
    CHECK_OK(tlsloop_tls_set_verify(client_tls, TLSLOOP_VERIFY_NONE));
}

static void prepare(void)
{
    static const int crashes[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGALRM };
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++) signal(crashes[i], on_crash);
    peers_prepare();
    new_policies();
}

/* What the process holds is what it held when it had seen everything once. */
static void watch_heap(unsigned long done)
{
    static size_t before;
    if (done == WARM_UP) before = measure_heap();
    if (done <= WARM_UP) return;
    size_t now = measure_heap();
    if (now <= before + SLACK) return;
    printf("BROKEN: the heap has grown from %zu to %zu bytes in %lu sequences, the last with the seed %llu\n", before,
           now, done, current);
    exit(1);
}

static void run(unsigned long long first, unsigned long count, unsigned long repeat, bool host_driven)
{
    static unsigned long done;
    for (unsigned long i = 0; i < count; i++) {
        current = first + i;
        for (unsigned long again = 0; again < repeat; again++) {
            alarm(120 * check_time_factor());
            sequence_run(current, host_driven);
            if (++done % 50 != 0) continue;
            new_policies();
            watch_heap(done);
        }
    }
}

static int usage(void)
{
    fputs("usage: model [--host-driven] [--count N] [--repeat N] [--time N] [SEED]\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "host-driven", 0, NULL, 'd' }, { "count", 1, NULL, 'c' },
        { "repeat", 1, NULL, 'r' }, { "time", 1, NULL, 't' }, { NULL, 0, NULL, 0 } };
    bool host_driven = getenv("TEST_HOST_DRIVEN") != NULL;
    unsigned long count = 1, repeat = 1, by_time = 0;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'd') host_driven = true;
        else if (option == 'c') count = strtoul(optarg, NULL, 10);
        else if (option == 'r') repeat = strtoul(optarg, NULL, 10);
        else if (option == 't') by_time = strtoul(optarg, NULL, 10);
        else return usage();
    }
    unsigned long long seed = optind < argc ? strtoull(argv[optind], NULL, 10) : FIRST_SEED;
    long long began = check_now_ms();
    prepare();
    count = count > check_time_factor() ? count / check_time_factor() : 1;
    run(seed, count, repeat, host_driven);
    by_time /= check_time_factor();
    unsigned long long clock = (unsigned long long)time(NULL) * 1000 + (unsigned)getpid() % 1000;
    if (by_time) {
        printf("seeds from the clock: %llu to %llu\n", clock, clock + by_time - 1);
        fflush(stdout);
        run(clock, by_time, 1, host_driven);
    }
    unsigned long all = count * repeat + by_time;
    long long took = check_now_ms() - began;
    printf("%lu sequences%s from seed %llu: no promise broken; %.0f a second\n", all,
           host_driven ? ", host-driven," : "", seed, 1000.0 * (double)all / (double)(took > 0 ? took : 1));
    tlsloop_tls_free(server_tls);
    tlsloop_tls_free(client_tls);
    return 0;
}
