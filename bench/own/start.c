/* How long a server takes to start: from nothing to a worker that waits for connections, the certificate read and the
 * TLS library set up. start CERTIFICATE KEY prints the first time, and the median of the next ones. */
#include "tlsloop.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { REPETITIONS = 20 };

static void must(int rc)
{
    if (rc == TLSLOOP_OK) return;
    fprintf(stderr, "start: %s\n", tlsloop_last_error());
    exit(1);
}

static double milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double start_once(const char *certificate, const char *key)
{
    tlsloop_callbacks callbacks = {.size = sizeof callbacks};
    tlsloop_server_config config = {.size = sizeof config, .address = "127.0.0.1", .callbacks = &callbacks};
    tlsloop_server *server;
    double start = milliseconds();

    config.tls = tlsloop_tls_new();
    must(tlsloop_tls_add_certificate_file(config.tls, certificate, key));
    must(tlsloop_server_start(&config, &server));
    double took = milliseconds() - start;
    tlsloop_tls_free(config.tls);
    must(tlsloop_server_stop(server, 0));
    return took;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    double next[REPETITIONS];
    if (argc != 3) return 2;
    double first = start_once(argv[1], argv[2]);
    for (int i = 0; i < REPETITIONS; i++) next[i] = start_once(argv[1], argv[2]);
    qsort(next, REPETITIONS, sizeof *next, compare);
    printf("{\"first_ms\":%.3f,\"next_ms\":%.3f}\n", first, next[REPETITIONS / 2]);
    return 0;
}
