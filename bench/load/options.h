/* What the load generator was asked to do. Written once, before any thread starts; read by all. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum mode { MODE_HANDSHAKE, MODE_ECHO, MODE_BULK, MODE_IDLE, MODE_MIXED };
enum closing { CLOSE_CLEAN, CLOSE_FAST, CLOSE_RESET };

enum { MAX_MESSAGE = 1 << 20, MAX_SERVER_PIDS = 16 };

struct options {
    enum mode mode;
    const char *host, *label, *suites;
    uint16_t port;
    int threads, connections, sources, tls12, resume, plain;
    long total;            /* operations; 0: as many as fit into "seconds" */
    size_t size, depth;    /* of a message; messages under way on one connection */
    uint64_t bytes;        /* bulk: to echo on each connection */
    double seconds, warmup, hold, timeout, rate;
    int touch;             /* idle: echo one message first */
    int storm_of_hellos, storm_width;
    enum closing closing;
    pid_t server[MAX_SERVER_PIDS];
    int servers;
};

extern struct options options;

extern const char *const mode_names[];

void options_read(int argc, char **argv);

#endif
