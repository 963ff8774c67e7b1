/*
 * A tlsloop server for one case, and the witness of its promises.
 *
 * It listens on 127.0.0.1, port 0, with a certificate made for it, echoes what arrives, and writes
 * down every callback. Every callback is held against the promises while it happens (once, in
 * order, one at a time, none after the end, none after stop), and fixture_stop holds the whole
 * life against them: descriptors, threads, and one on_disconnect for each on_connect.
 *
 * A case adds its own behaviour by hooks, which run inside the callbacks after they were noted.
 *
 * The same cases run in a host's own loop when TEST_HOST_DRIVEN is set in the environment: then a
 * thread of the fixture is that host (see fixture_host.c).
 */
#ifndef FIXTURE_H
#define FIXTURE_H

#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <tlsloop.h>

struct fixture;

struct hooks {
    void (*connect)(struct fixture *f, tlsloop_conn conn);
    void (*data)(struct fixture *f, tlsloop_conn conn, const void *data, size_t len); /* NULL: echo */
    void (*drain)(struct fixture *f, tlsloop_conn conn);
    void (*end)(struct fixture *f, tlsloop_conn conn); /* NULL: on_end is NULL too */
    void (*disconnect)(struct fixture *f, tlsloop_conn conn, int reason);
    int (*accept)(struct fixture *f, const char *peer); /* NULL: on_accept is NULL too */
    void (*handshake_failed)(struct fixture *f, tlsloop_conn conn, int code, const char *peer,
                             const char *why);
    void (*log)(struct fixture *f, int level, const char *line);
    void (*worker_start)(struct fixture *f, unsigned worker);
    void (*worker_stop)(struct fixture *f, unsigned worker);
};

struct options {
    struct hooks on;
    void *context;                /* for the hooks */
    void (*around)(bool inside);  /* told before and after each call of tlsloop's that the fixture makes, on its thread */
    tlsloop_server_config config; /* size, callbacks and user are the fixture's; tls NULL: made */
};

/* What one id went through. */
struct record {
    tlsloop_conn conn; /* 0: an empty place of the table */
    unsigned connects, failures, disconnects, ends, drains;
    uint64_t bytes;    /* received */
    uint64_t hash;     /* of the bytes received, as fixture_hash makes it */
    int reason;        /* of on_disconnect */
    int code;          /* of on_handshake_failed */
    char why[256];     /* of on_handshake_failed, or tlsloop_last_error in on_disconnect */
    char peer[128];    /* of on_handshake_failed */
    char order[32];    /* c onnect, d ata, w (drain), e nd, x (disconnect), f ailed; "cddx" is "cdx" */
    unsigned sequence; /* the how manieth on_connect, from 0 */
    bool in_callback;
    pthread_t thread;
};

struct fixture {
    tlsloop_server *server;
    int port;
    struct options options;
    atomic_uint connects, data_calls, drains, ends, disconnects, accepts, handshakes_failed;
    atomic_uint worker_starts, worker_stops, log_lines, warnings; /* warnings: WARN and ERROR */
    atomic_uint reasons[16];
    atomic_ullong bytes;  /* received by all */
    atomic_int last_code; /* of on_handshake_failed */
    atomic_bool stopped;
    void *context;
    /* Set by a case whose peers or threads live on, or come and go: not to be counted. */
    bool loose_descriptors, loose_threads;

    /* Of fixture.c and record.c. */
    unsigned descriptors_before, threads_before;
    pthread_mutex_t mutex;    /* guards the table; tlsloop is never called with it held */
    struct record *table;     /* open addressing by id */
    size_t table_size, table_used;
    struct host *host;        /* host-driven: the thread that polls */
};

/* For a case that does not set the deadline of handshakes itself: they may take their time where all does. */
void fixture_patience(tlsloop_server_config *config);

/* Starts, or ends the case with the reason. Up to 8 at a time; a fixture is never freed, so that a
 * callback after its end is caught and not a wild pointer. */
struct fixture *fixture_start(struct options options);

/* The same, where a start may fail: NULL, and nothing is left. The code is tlsloop_server_start's. */
struct fixture *fixture_try_start(struct options options, int *code);

/* Stops without grace and checks the whole life. Peers must be closed before, their descriptors
 * count. */
void fixture_stop(struct fixture *f);
void fixture_stop_grace(struct fixture *f, unsigned grace_ms);

/* The checks of fixture_stop alone, for a case that has stopped the server itself. */
void fixture_stopped(struct fixture *f);

/* The record of the n-th connection, from 0; false: there is none yet. */
bool fixture_nth(struct fixture *f, unsigned n, struct record *out);
bool fixture_find(struct fixture *f, tlsloop_conn conn, struct record *out);
/* The same, once its on_handshake_failed has returned. */
bool fixture_failed(struct fixture *f, tlsloop_conn conn, struct record *out);
/* The n-th id that failed its handshake has no order; this gives any one failure. */
bool fixture_failure(struct fixture *f, struct record *out);
/* Waits for the n-th connection and gives its id. */
tlsloop_conn fixture_conn(struct fixture *f, unsigned n);

tlsloop_stats fixture_stats(struct fixture *f);

/* CHECKs one snapshot: open == connects - disconnects, disconnects is the sum of its reasons. */
void fixture_balanced(const tlsloop_stats *stats);

/* FNV-1a over a stream that comes in pieces; begin with FIXTURE_HASH. */
#define FIXTURE_HASH 14695981039346656037ull
uint64_t fixture_hash(uint64_t hash, const void *data, size_t len);

/* Prints what tlsloop says was wrong when a call does not answer TLSLOOP_OK. */
#define CHECK_OK(call) fixture_check_ok(__FILE__, __LINE__, #call, call)
void fixture_check_ok(const char *file, int line, const char *text, int code);

/* The call answers the code, and last_error names the part (a file, an argument). */
#define CHECK_FAILS(call, code, part)    \
    do {                                 \
        CHECK_EQ(call, code);            \
        CHECK_HAS(tlsloop_last_error(), part); \
    } while (0)

/* Of record.c: notes a callback and holds it against the promises. */
void record_begin(struct fixture *f, tlsloop_conn conn, char what);
void record_finish(struct fixture *f, tlsloop_conn conn);
void record_data(struct fixture *f, tlsloop_conn conn, const void *data, size_t len);
void record_end_of_life(struct fixture *f, tlsloop_conn conn, int number, const char *peer,
                        const char *why);
void record_check_all(struct fixture *f);

/*
 * Of fixture_host.c: the thread that polls, when host-driven; else these do nothing. It runs the hooks
 * worker_start and worker_stop itself, as there is no worker that would.
 */
bool host_wanted(void);
void host_begin(struct fixture *f);
void host_end(struct fixture *f);                    /* for a case that polls or waits itself */

#endif
