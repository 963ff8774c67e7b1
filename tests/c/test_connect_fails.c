/*
 * "Fail everything once", on the side that connects: each system call of a connect–echo–close run fails
 * in turn, for the blocking client and for a connection that a server begins. Each run ends once, with
 * a code, and leaves nothing behind.
 *
 * The server that is connected to is tlsloop's too; its threads are not marked, so it is never hit.
 */
#define _GNU_SOURCE
#include "interpose.h"
#include "keys.h"
#include "measure.h"
#include "stage.h"

#include <stdio.h>
#include <string.h>

static const char text[] = "hello";

/* Who connects, and to whom. */
struct scene {
    struct fixture *far, *near; /* near: NULL for a client */
    struct identity identity;
    tlsloop_client_config config;
};

static struct fixture *start_far(const struct identity *who)
{
    tlsloop_tls *tls = tlsloop_tls_new();
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, who->chain, who->key));
    struct fixture *far = stage_start((struct options){ .config.tls = tls }, NULL);
    tlsloop_tls_free(tls);
    far->loose_descriptors = far->loose_threads = true;
    return far;
}

static void fails_the_case(enum call call, int n, int error, const char *what)
{
    check_failed(__FILE__, __LINE__, "%s, use %d: %s: %s", interposed[call].name, n, strerror(error), what);
}

/* What the client answers in the end: TLSLOOP_OK, or the first code. */
static long client_run(const tlsloop_client_config *config)
{
    char back[sizeof text];
    tlsloop_client *client = NULL;
    long answer = tlsloop_client_connect(config, &client);
    if (answer != TLSLOOP_OK) {
        CHECK(client == NULL);
        return answer;
    }
    answer = tlsloop_client_send(client, text, sizeof text);
    for (long n = 0; answer >= 0 && n < (long)sizeof text; n += answer)
        answer = tlsloop_client_recv(client, back + n, sizeof back - (size_t)n);
    if (answer > 0) {
        CHECK(memcmp(back, text, sizeof text) == 0);
        answer = tlsloop_client_end(client);
    }
    if (answer == 0) answer = tlsloop_client_recv(client, back, sizeof back);
    CHECK(answer <= 0);
    CHECK_OK(tlsloop_client_close(client));
    return answer;
}

/* Which of them a run makes; getpeername and epoll_ctl only that of a server. */
static const enum call calls[] = { SOCKET, CONNECT, POLL, EPOLL_CTL, RECV, SEND, GETSOCKOPT, SETSOCKOPT,
                                   GETPEERNAME, SHUTDOWN, CLOSE };

struct kind {
    const char *host;
    void (*begin)(struct scene *scene);
    /* The n-th use of the call fails in a run. False: there are not so many. */
    bool (*fail)(struct scene *scene, enum call call, int n, int error);
};

/* Servers and a policy of its own for each call, because what is kept of connections and sessions grows. */
static void each_error_of(const struct kind *kind, struct scene *scene, enum call call)
{
    int step = check_time_factor() > 1 ? 4 : 1;
    unsigned runs = 0;
    scene->far = start_far(&scene->identity);
    scene->config.port = (uint16_t)scene->far->port;
    scene->config.tls = tlsloop_tls_new();
    CHECK_OK(tlsloop_tls_set_trust_file(scene->config.tls, scene->identity.chain));
    if (kind->begin) kind->begin(scene);
    CHECK(!kind->fail(scene, CALLS, 1, 0)); /* pays for what is made once */
    EVENTUALLY_EQ(fixture_stats(scene->far).open, 0);
    unsigned descriptors = measure_descriptors();
    for (int e = 0; call < CALLS && interposed[call].errors[e]; e++) {
        int error = interposed[call].errors[e];
        for (int n = 1 + e % step; kind->fail(scene, call, n, error); n += step) runs++;
        EVENTUALLY_EQ(fixture_stats(scene->far).open + fixture_stats(scene->far).handshaking, 0);
        EVENTUALLY_EQ(measure_descriptors(), descriptors);
    }
    if (call < CALLS) printf("# %s failed in %u runs\n", interposed[call].name, runs);
    if (scene->near) fixture_stop(scene->near);
    fixture_stop(scene->far);
    tlsloop_tls_free(scene->config.tls);
}

static void each_call_of(const struct kind *kind)
{
    unsigned limit = 300 * check_time_factor();
    struct scene scene = { .identity = keys_local(), .config = TLSLOOP_CLIENT_CONFIG_INIT };
    scene.config.host = kind->host;
    scene.config.connect_timeout_ms = scene.config.io_timeout_ms = limit;
    each_error_of(kind, &scene, CALLS);
    size_t heap = measure_heap();
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        each_error_of(kind, &scene, calls[i]);
        measure_heap_is_back(heap);
    }
}

static bool fail_the_client(struct scene *scene, enum call call, int n, int error)
{
    interpose_arm(call, n, error, false);
    interpose_marked = true;
    long answer = client_run(&scene->config);
    interpose_marked = false;
    bool reached = interpose_disarm();
    if (!reached && answer != TLSLOOP_OK) fails_the_case(call, n, error, tlsloop_last_error());
    if (answer < 0 && error == EINTR) fails_the_case(call, n, error, tlsloop_last_error());
    if (answer < 0) CHECK(strlen(tlsloop_last_error()) > 0);
    if (interpose_seen > 200) fails_the_case(call, n, error, "the client spins");
    return reached;
}

static void the_client(void)
{
    each_call_of(&(struct kind){ .host = "127.0.0.1", .fail = fail_the_client });
}

static void mark_call(bool inside)
{
    interpose_marked = inside;
}

static atomic_uint marks;

static void mark_worker(struct fixture *f, unsigned worker)
{
    (void)f;
    (void)worker;
    if (!host_wanted()) interpose_marked = true;
    marks++;
}

static void say_hello(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK(tlsloop_conn_send(conn, text, sizeof text) <= TLSLOOP_OK);
}

static void close_when_it_is_back(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    struct record r;
    (void)data;
    (void)len;
    CHECK(fixture_find(f, conn, &r));
    if (r.bytes == sizeof text) CHECK(tlsloop_conn_close(conn) <= TLSLOOP_OK);
}

static void start_near(struct scene *scene)
{
    unsigned limit = 300 * check_time_factor(), before = marks;
    scene->near = stage_start((struct options){
        .on = { .worker_start = mark_worker, .connect = say_hello, .data = close_when_it_is_back },
        .around = mark_call,
        .config = { .listen_fd = TLSLOOP_NO_LISTENER, .mode = TLSLOOP_MODE_PLAIN, .close_timeout_ms = limit,
                    .idle_timeout_ms = limit } },
        NULL);
    EVENTUALLY_EQ(marks, before + 1);
    scene->near->loose_descriptors = scene->near->loose_threads = true;
}

static bool fail_on_the_way(struct scene *scene, enum call call, int n, int error)
{
    tlsloop_conn conn = 0;
    struct record r = { 0 };
    interpose_arm(call, n, error, false);
    interpose_marked = true;
    int answer = tlsloop_server_connect(scene->near->server, &scene->config, &conn);
    interpose_marked = false;
    if (answer != TLSLOOP_OK) {
        CHECK_EQ(answer, TLSLOOP_ESYS);
        CHECK_HAS(tlsloop_last_error(), strerror(error));
        CHECK_EQ(conn, 0);
        return interpose_disarm();
    }
    EVENTUALLY(fixture_find(scene->near, conn, &r) && r.failures + r.disconnects == 1 && !r.in_callback);
    EVENTUALLY_EQ(fixture_stats(scene->near).open + fixture_stats(scene->near).handshaking, 0);
    if (interpose_seen > 200) fails_the_case(call, n, error, "the loop spins");
    bool reached = interpose_disarm();
    if (r.failures) CHECK(r.code < 0 && strlen(r.why) > 0);
    if (!reached || error == EINTR) CHECK(r.disconnects == 1 && r.reason == TLSLOOP_REASON_HOST);
    return reached;
}

static void a_connection_of_a_server(void)
{
    each_call_of(&(struct kind){ .host = "127.0.0.1", .begin = start_near, .fail = fail_on_the_way });
}

/* By name the look-up comes first, on a thread that is not marked. */
static void a_connection_of_a_server_by_name(void)
{
    each_call_of(&(struct kind){ .host = "localhost", .begin = start_near, .fail = fail_on_the_way });
}

CHECK_MAIN(CASE(the_client), CASE(a_connection_of_a_server), CASE(a_connection_of_a_server_by_name))
