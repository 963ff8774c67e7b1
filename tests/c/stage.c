#define _GNU_SOURCE
#include "stage.h"

#include "measure.h"

#include <string.h>

/* The fixture comes first, so that `user` is both. */
struct stage {
    struct fixture fixture;
    stage_hook on_tls;
    atomic_uint tls_ups;
};

static struct stage pool[16];

const char stage_everywhere[] = "";

static void on_connect(tlsloop_conn conn, void *user)
{
    struct fixture *f = user;
    record_begin(f, conn, 'c');
    if (f->options.on.connect) f->options.on.connect(f, conn);
    record_finish(f, conn);
}

static void on_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    struct fixture *f = user;
    record_begin(f, conn, 'd');
    record_data(f, conn, data, len);
    if (f->options.on.data) {
        f->options.on.data(f, conn, data, len);
    } else {
        int answer = tlsloop_conn_send(conn, data, len);
        CHECK(answer == TLSLOOP_OK || answer == TLSLOOP_ECLOSED);
    }
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

static void on_tls(tlsloop_conn conn, void *user)
{
    struct stage *stage = user;
    record_begin(&stage->fixture, conn, 't');
    if (stage->on_tls) stage->on_tls(&stage->fixture, conn);
    record_finish(&stage->fixture, conn);
    stage->tls_ups++;
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
    f->log_lines++;
    f->warnings += level <= TLSLOOP_LOG_WARN;
    if (f->options.on.log) f->options.on.log(f, level, line);
}

static void on_worker_start(unsigned worker, void *user)
{
    struct fixture *f = user;
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
    all.on_tls = on_tls;
    all.on_disconnect = on_disconnect;
    all.on_accept = on->accept ? on_accept : NULL;
    all.on_handshake_failed = on_handshake_failed;
    all.on_log = on_log;
    all.on_worker_start = on_worker_start;
    all.on_worker_stop = on_worker_stop;
    return all;
}

tlsloop_tls *stage_policy(void)
{
    tlsloop_tls *tls = tlsloop_tls_new();
    CHECK(tls != NULL);
    CHECK_OK(tlsloop_tls_add_self_signed(tls, "localhost,127.0.0.1"));
    return tls;
}

static struct stage *take_from_pool(struct options options, stage_hook hook)
{
    static size_t next;
    struct stage *stage = &pool[next++ % (sizeof pool / sizeof *pool)];
    CHECK(stage->fixture.server == NULL);
    stage->fixture = (struct fixture){ .mutex = PTHREAD_MUTEX_INITIALIZER };
    stage->fixture.options = options;
    stage->fixture.context = options.context;
    stage->fixture.descriptors_before = measure_descriptors();
    stage->fixture.threads_before = measure_threads();
    stage->on_tls = hook;
    return stage;
}

struct fixture *stage_try_start(struct options options, stage_hook hook, int *code)
{
    struct fixture *f = &take_from_pool(options, hook)->fixture;
    tlsloop_callbacks callbacks = all_callbacks(&options.on);
    tlsloop_server_config config = options.config;
    tlsloop_tls *made = config.tls || config.mode == TLSLOOP_MODE_PLAIN ? NULL : stage_policy();
    config.size = sizeof config;
    config.callbacks = &callbacks;
    config.user = f;
    if (made) config.tls = made;
    if (!config.address && config.listen_fd == 0) config.address = "127.0.0.1";
    if (config.address == stage_everywhere) config.address = NULL;
    if (host_wanted()) config.workers = TLSLOOP_HOST_DRIVEN;
    if (options.around) options.around(true);
    *code = tlsloop_server_start(&config, &f->server);
    if (options.around) options.around(false);
    if (made) tlsloop_tls_free(made);
    if (*code != TLSLOOP_OK) {
        CHECK(f->server == NULL); /* out parameters are written on success only */
        fixture_stopped(f);
        return NULL;
    }
    f->port = tlsloop_server_port(f->server);
    host_begin(f);
    return f;
}

struct fixture *stage_start(struct options options, stage_hook hook)
{
    int code;
    struct fixture *f = stage_try_start(options, hook, &code);
    CHECK_OK(code);
    return f;
}

unsigned stage_tls_ups(struct fixture *f)
{
    return ((struct stage *)f)->tls_ups;
}

int stage_refused(tlsloop_server_config config)
{
    tlsloop_server *server = NULL;
    config.size = sizeof config;
    if (host_wanted()) config.workers = TLSLOOP_HOST_DRIVEN;
    int code = tlsloop_server_start(&config, &server);
    CHECK(code != TLSLOOP_OK);
    CHECK(server == NULL); /* out parameters are written on success only */
    return code;
}

void stage_only_note(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    (void)conn;
}

void stage_swallow(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    (void)conn;
    (void)data;
    (void)len;
}

struct record stage_ended(struct fixture *f, unsigned n)
{
    struct record r = { 0 };
    EVENTUALLY(fixture_nth(f, n, &r) && r.disconnects && !r.in_callback);
    return r;
}
