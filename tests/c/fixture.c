#define _GNU_SOURCE
#include "fixture.h"

#include "measure.h"

#include <string.h>

static struct fixture pool[8];

static void on_connect(tlsloop_conn conn, void *user)
{
    struct fixture *f = user;
    record_begin(f, conn, 'c');
    if (f->options.on.connect) f->options.on.connect(f, conn);
    record_finish(f, conn);
}

static void echo(tlsloop_conn conn, const void *data, size_t len)
{
    int answer = tlsloop_conn_send(conn, data, len);
    CHECK(answer == TLSLOOP_OK || answer == TLSLOOP_ECLOSED);
}

static void on_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    struct fixture *f = user;
    record_begin(f, conn, 'd');
    record_data(f, conn, data, len);
    if (f->options.on.data)
        f->options.on.data(f, conn, data, len);
    else
        echo(conn, data, len);
    record_finish(f, conn);
}

static void on_drain(tlsloop_conn conn, void *user)
{
    struct fixture *f = user;
    record_begin(f, conn, 'w');
    if (f->options.on.drain) f->options.on.drain(f, conn);
    record_finish(f, conn);
}

static void on_end(tlsloop_conn conn, void *user)
{
    struct fixture *f = user;
    record_begin(f, conn, 'e');
    f->options.on.end(f, conn);
    record_finish(f, conn);
}

static void on_disconnect(tlsloop_conn conn, int reason, void *user)
{
    struct fixture *f = user;
    record_begin(f, conn, 'x');
    record_end_of_life(f, conn, reason, NULL, tlsloop_last_error());
    if (f->options.on.disconnect) f->options.on.disconnect(f, conn, reason);
    record_finish(f, conn);
}

static int on_accept(const char *peer, void *user)
{
    struct fixture *f = user;
    CHECK(!f->stopped && peer != NULL);
    f->accepts++;
    return f->options.on.accept(f, peer);
}

static void on_handshake_failed(tlsloop_conn conn, int code, const char *peer, const char *why,
                                void *user)
{
    struct fixture *f = user;
    CHECK(peer != NULL && why != NULL);
    record_begin(f, conn, 'f');
    record_end_of_life(f, conn, code, peer, why);
    if (f->options.on.handshake_failed) f->options.on.handshake_failed(f, conn, code, peer, why);
    record_finish(f, conn);
}

static void on_log(int level, const char *line, void *user)
{
    struct fixture *f = user;
    CHECK(!f->stopped && line != NULL);
    CHECK(level >= TLSLOOP_LOG_ERROR && level <= TLSLOOP_LOG_DEBUG);
    f->log_lines++;
    f->warnings += level <= TLSLOOP_LOG_WARN;
    if (f->options.on.log) f->options.on.log(f, level, line);
}

static void on_worker_start(unsigned worker, void *user)
{
    struct fixture *f = user;
    CHECK(!f->stopped);
    f->worker_starts++;
    if (f->options.on.worker_start) f->options.on.worker_start(f, worker);
}

static void on_worker_stop(unsigned worker, void *user)
{
    struct fixture *f = user;
    CHECK(!f->stopped);
    f->worker_stops++;
    if (f->options.on.worker_stop) f->options.on.worker_stop(f, worker);
}

static tlsloop_callbacks all_callbacks(const struct hooks *on)
{
    tlsloop_callbacks all = TLSLOOP_CALLBACKS_INIT;
    all.on_connect = on_connect;
    all.on_data = on_data;
    all.on_drain = on_drain;
    all.on_end = on->end ? on_end : NULL;
    all.on_disconnect = on_disconnect;
    all.on_accept = on->accept ? on_accept : NULL;
    all.on_handshake_failed = on_handshake_failed;
    all.on_log = on_log;
    all.on_worker_start = on_worker_start;
    all.on_worker_stop = on_worker_stop;
    return all;
}

static struct fixture *take_from_pool(void)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static size_t next;
    pthread_mutex_lock(&mutex);
    struct fixture *f = &pool[next++ % (sizeof pool / sizeof *pool)];
    pthread_mutex_unlock(&mutex);
    CHECK(f->server == NULL);
    *f = (struct fixture){ .mutex = PTHREAD_MUTEX_INITIALIZER };
    return f;
}

static tlsloop_tls *self_signed(void)
{
    tlsloop_tls *tls = tlsloop_tls_new();
    CHECK(tls != NULL);
    CHECK_OK(tlsloop_tls_add_self_signed(tls, "localhost,127.0.0.1"));
    return tls;
}

static void around(const struct fixture *f, bool inside)
{
    if (f->options.around) f->options.around(inside);
}

struct fixture *fixture_try_start(struct options options, int *code)
{
    struct fixture *f = take_from_pool();
    tlsloop_callbacks callbacks = all_callbacks(&options.on);
    f->descriptors_before = measure_descriptors();
    f->threads_before = measure_threads();
    f->options = options;
    f->context = options.context;

    tlsloop_server_config config = options.config;
    tlsloop_tls *made = config.tls ? NULL : self_signed();
    config.size = sizeof config;
    config.callbacks = &callbacks;
    config.user = f;
    if (made) config.tls = made;
    if (!config.address) config.address = "127.0.0.1";
    if (host_wanted()) config.workers = TLSLOOP_HOST_DRIVEN;
    around(f, true);
    *code = tlsloop_server_start(&config, &f->server);
    around(f, false);
    if (made) tlsloop_tls_free(made); /* the server keeps its own reference */
    /* The struct is copied too: a later look at the caller's would find this. */
    memset(&callbacks, 0, sizeof callbacks);
    if (*code != TLSLOOP_OK) {
        CHECK(f->server == NULL); /* out parameters are written on success only */
        fixture_stopped(f);
        return NULL;
    }

    f->port = tlsloop_server_port(f->server);
    CHECK(f->port > 0 && f->port < 65536);
    host_begin(f);
    return f;
}

struct fixture *fixture_start(struct options options)
{
    int code;
    struct fixture *f = fixture_try_start(options, &code);
    CHECK_OK(code);
    return f;
}

void fixture_stopped(struct fixture *f)
{
    f->stopped = true;
    f->server = NULL;
    record_check_all(f);
    CHECK_EQ(f->worker_starts, f->worker_stops);
    if (!f->loose_descriptors) CHECK_EQ(measure_descriptors(), f->descriptors_before);
    /* A joined thread can still be listed for the instant in which the kernel buries it. */
    if (!f->loose_threads) EVENTUALLY_EQ(measure_threads(), f->threads_before);
}

void fixture_stop_grace(struct fixture *f, unsigned grace_ms)
{
    tlsloop_stats stats = fixture_stats(f);
    fixture_balanced(&stats);
    host_end(f);
    around(f, true);
    int code = tlsloop_server_stop(f->server, grace_ms);
    around(f, false);
    CHECK_OK(code);
    fixture_stopped(f);
}

void fixture_stop(struct fixture *f)
{
    fixture_stop_grace(f, 0);
}

tlsloop_stats fixture_stats(struct fixture *f)
{
    tlsloop_stats stats = TLSLOOP_STATS_INIT;
    CHECK_OK(tlsloop_server_stats(f->server, &stats));
    return stats;
}

void fixture_balanced(const tlsloop_stats *stats)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < 16; i++) sum += stats->disconnects_by_reason[i];
    CHECK_EQ(stats->disconnects, sum);
    CHECK_EQ(stats->open, stats->connects - stats->disconnects);
}

void fixture_check_ok(const char *file, int line, const char *text, int code)
{
    if (code == TLSLOOP_OK) return;
    check_failed(file, line, "%s: %s: %s", text, tlsloop_strerror(code), tlsloop_last_error());
}
