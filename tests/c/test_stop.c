/* "Stopping": in the middle of everything, from everywhere, and waited for. */
#define _GNU_SOURCE
#include "dial.h"
#include "fixture.h"
#include "measure.h"
#include "peer.h"
#include "stage.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STORMERS = 4 };

static tlsloop_tls *make_tls(void)
{
    tlsloop_tls *tls = tlsloop_tls_new();
    CHECK(tls != NULL);
    CHECK_OK(tlsloop_tls_add_self_signed(tls, "localhost"));
    return tls;
}

struct storm {
    atomic_int port;
    atomic_bool enough;
    atomic_uint handshakes;
};

/* Connects to wherever the server is just now; that it is gone is no failure here. */
static void *storm(void *arg)
{
    struct storm *s = arg;
    while (!s->enough) {
        int fd = tcp_try_connect(s->port);
        if (fd < 0) continue;
        struct peer p = peer_over_socket(fd);
        s->handshakes += peer_handshake(&p);
        peer_close(&p);
    }
    return NULL;
}

/* L33: "server_stop in the middle of a handshake storm, a thousand times over: joins its threads,
 * leaks nothing and calls nothing back afterwards" */
static void l33_stop_in_a_handshake_storm(void)
{
    struct storm s = { 0 };
    pthread_t threads[STORMERS];
    tlsloop_tls *tls = make_tls();
    struct options options = { .config = { .tls = tls, .workers = 2 } };
    size_t heap = 0;
    unsigned times = check_scaled(1000);
    for (int i = 0; i < STORMERS; i++) CHECK(pthread_create(&threads[i], NULL, storm, &s) == 0);
    for (unsigned i = 0; i < times; i++) {
        if (i == times / 10) heap = measure_heap();
        struct fixture *f = fixture_start(options);
        /* The storm's own descriptors come and go: they are looked at in the end. */
        f->loose_descriptors = true;
        s.port = f->port;
        if (i % 4) EVENTUALLY(f->connects + f->handshakes_failed >= i % 4);
        fixture_stop_grace(f, i % 3);
    }
    s.enough = true;
    for (int i = 0; i < STORMERS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(s.handshakes > 0);
    measure_heap_is_back(heap + (256 << 10)); /* the storm itself holds some, more or less */
    tlsloop_tls_free(tls);
}

/* The same without a storm: exactly nothing is left. */
static void start_and_stop_leave_nothing(void)
{
    tlsloop_tls *tls = make_tls();
    size_t heap = 0;
    unsigned descriptors = measure_descriptors();
    for (unsigned i = 0; i < check_scaled(300); i++) {
        if (i == check_scaled(300) / 10) heap = measure_heap();
        struct fixture *f = fixture_start((struct options){ .config = { .tls = tls, .workers = 3 } });
        fixture_stop(f);
    }
    CHECK_EQ(measure_descriptors(), descriptors);
    measure_heap_is_back(heap);
    tlsloop_tls_free(tls);
}

/* Which callback the stop is tried in. */
static _Atomic char tried_in[16];

static void try_stop(struct fixture *f, char in)
{
    tlsloop_server *server = f->server;
    if (!server) return; /* start has not returned yet */
    CHECK_EQ(tlsloop_server_stop(server, 0), TLSLOOP_EDEADLK);
    CHECK(strlen(tlsloop_last_error()) > 0);
    for (size_t i = 0; i < sizeof tried_in; i++) {
        if (tried_in[i] == in) return;
        if (tried_in[i] != 0) continue;
        tried_in[i] = in;
        return;
    }
}

static void stop_in_connect(struct fixture *f, tlsloop_conn conn)
{
    (void)conn;
    try_stop(f, 'c');
}

static void stop_in_data(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    try_stop(f, 'd');
    CHECK_OK(tlsloop_conn_send(conn, data, len));
}

static void stop_in_end(struct fixture *f, tlsloop_conn conn)
{
    try_stop(f, 'e');
    CHECK_OK(tlsloop_conn_close(conn));
}

static void stop_in_disconnect(struct fixture *f, tlsloop_conn conn, int reason)
{
    (void)conn;
    if (reason != TLSLOOP_REASON_STOPPED) try_stop(f, 'x');
}

static int stop_in_accept(struct fixture *f, const char *peer)
{
    (void)peer;
    try_stop(f, 'a');
    return 0;
}

static void stop_in_failure(struct fixture *f, tlsloop_conn conn, int code, const char *peer,
                            const char *why)
{
    (void)conn;
    (void)code;
    (void)peer;
    (void)why;
    try_stop(f, 'f');
}

/* "stop in a callback: EDEADLK"; the server goes on, and a stop from outside still works. */
static void stop_in_a_callback(void)
{
    struct fixture *f = fixture_start((struct options){
        .on = { .connect = stop_in_connect,
                .data = stop_in_data,
                .end = stop_in_end,
                .disconnect = stop_in_disconnect,
                .accept = stop_in_accept,
                .handshake_failed = stop_in_failure },
    });
    for (unsigned i = 0; i < 3; i++) {
        struct peer p = peer_connect(f->port);
        CHECK(peer_echo(&p, "goes on"));
        peer_leave(&p);
        close(tcp_connect(f->port));
        EVENTUALLY_EQ(f->disconnects, i + 1);
        EVENTUALLY_EQ(f->handshakes_failed, i + 1);
    }
    for (const char *in = "cdexaf"; *in; in++) {
        size_t i = 0;
        while (i < sizeof tried_in && tried_in[i] != *in) i++;
        if (i == sizeof tried_in) check_failed(__FILE__, __LINE__, "not tried in '%c'", *in);
    }
    fixture_stop(f);
}

static atomic_int waiting_thread; /* its gettid */

static void *wait_for_stop(void *arg)
{
    waiting_thread = gettid();
    CHECK_OK(tlsloop_server_wait(((struct fixture *)arg)->server));
    return NULL;
}

/* "with another thread in wait: ESTATE"; "request_stop makes wait return and changes nothing else" */
static void request_stop_makes_wait_return(void)
{
    pthread_t waiter;
    struct fixture *f = fixture_start((struct options){ 0 });
    host_end(f); /* "host-driven: polls until then" */
    CHECK(pthread_create(&waiter, NULL, wait_for_stop, f) == 0);
    /* The thread does one thing only, so asleep again and again means inside wait. */
    for (int seen = 0; seen < 20; seen++) EVENTUALLY(waiting_thread && measure_sleeps(waiting_thread));
    CHECK_EQ(tlsloop_server_stop(f->server, 0), TLSLOOP_ESTATE);
    struct peer p = peer_connect(f->port);
    CHECK_OK(tlsloop_server_request_stop(f->server));
    CHECK_OK(tlsloop_server_request_stop(f->server));
    CHECK(pthread_join(waiter, NULL) == 0);
    CHECK_OK(tlsloop_server_wait(f->server)); /* once requested, it stays so */
    host_begin(f);
    CHECK(peer_echo(&p, "connections live on"));
    struct peer late = peer_connect(f->port);
    CHECK(peer_echo(&late, "and new ones come"));
    peer_leave(&late);
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects, 2);
    fixture_stop(f);
}

static atomic_bool enough;
static atomic_uint turns;

static void count_turn(tlsloop_conn conn, void *arg)
{
    (void)conn;
    (void)arg;
    turns++;
}

static void *post_on_and_on(void *arg)
{
    while (!enough) CHECK_OK(tlsloop_conn_post(*(tlsloop_conn *)arg, count_turn, NULL));
    return NULL;
}

/* "with another thread in wait: ESTATE", at every moment, however many turns there are in it. */
static void stop_beside_a_wait_with_work(void)
{
    pthread_t waiter, poster;
    struct fixture *f = fixture_start((struct options){ 0 });
    struct peer p = peer_connect(f->port);
    tlsloop_conn conn = fixture_conn(f, 0);
    host_end(f);
    waiting_thread = 0;
    enough = false;
    CHECK(pthread_create(&waiter, NULL, wait_for_stop, f) == 0);
    for (int seen = 0; seen < 20; seen++) EVENTUALLY(waiting_thread && measure_sleeps(waiting_thread));
    CHECK(pthread_create(&poster, NULL, post_on_and_on, &conn) == 0);
    while (turns < check_scaled(300000)) {
        CHECK_EQ(tlsloop_server_stop(f->server, 0), TLSLOOP_ESTATE);
        CHECK_EQ(tlsloop_server_poll(f->server, 0), TLSLOOP_ESTATE); /* and the wait goes on */
    }
    enough = true;
    CHECK(pthread_join(poster, NULL) == 0);
    CHECK_OK(tlsloop_server_request_stop(f->server));
    CHECK(pthread_join(waiter, NULL) == 0);
    host_begin(f);
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

static atomic_uint begun; /* connections that go out */
static int silent_port;

static void connect_until_refused(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    tlsloop_conn out;
    (void)conn;
    (void)data;
    (void)len;
    config.host = "127.0.0.1";
    config.port = (uint16_t)silent_port;
    config.mode = TLSLOOP_MODE_PLAIN;
    for (int i = 0; i < 100; i++) {
        int answer = tlsloop_server_connect(f->server, &config, &out);
        CHECK(answer == TLSLOOP_OK || answer == TLSLOOP_ECLOSED);
        if (answer != TLSLOOP_OK) return;
        begun++;
    }
}

/* "Failed before on_connect: on_handshake_failed, once": whoever got an id beside the stop has one of the two. */
static void connections_that_begin_beside_the_stop(void)
{
    int silent = tcp_listen(&silent_port);
    for (unsigned i = check_scaled(300); i > 0; i--) {
        int ends[2];
        begun = 0;
        struct fixture *f = stage_start((struct options){ .on.data = connect_until_refused, .config = {
            .mode = TLSLOOP_MODE_PLAIN, .workers = 2, .listen_fd = TLSLOOP_NO_LISTENER } }, NULL);
        f->loose_descriptors = true; /* those that were accepted are ended behind it */
        dial_pair(ends); /* without a port, no stranger comes who is after another program's server */
        CHECK_OK(tlsloop_server_adopt(f->server, ends[1], NULL, NULL));
        CHECK(tcp_send(ends[0], "x", 1));
        EVENTUALLY(begun > 0);
        fixture_stop(f);
        CHECK_EQ(f->connects + f->handshakes_failed, begun + 1);
        close(ends[0]);
    }
    close(silent);
}

static struct fixture *to_stop;
static volatile sig_atomic_t handler_ok;

static void on_signal(int number)
{
    (void)number;
    errno = ENOTTY;
    handler_ok = tlsloop_server_request_stop(to_stop->server) == TLSLOOP_OK && errno == ENOTTY;
}

/* "request_stop: async-signal-safe"; "it leaves errno and last_error alone" */
static void request_stop_from_a_signal_handler(void)
{
    struct sigaction action = { .sa_handler = on_signal };
    char before[256];
    to_stop = fixture_start((struct options){ 0 });
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK_EQ(tlsloop_conn_send(0, "x", 1), TLSLOOP_ECLOSED);
    strncpy(before, tlsloop_last_error(), sizeof before - 1);
    before[sizeof before - 1] = 0;
    pthread_t waiter;
    host_end(to_stop);
    CHECK(pthread_create(&waiter, NULL, wait_for_stop, to_stop) == 0);
    CHECK(raise(SIGUSR1) == 0);
    CHECK(handler_ok);
    CHECK_STR(tlsloop_last_error(), before);
    CHECK(pthread_join(waiter, NULL) == 0);
    fixture_stop(to_stop);
}

static void send_much(struct fixture *f, tlsloop_conn conn)
{
    static const char much[3 << 20];
    (void)f;
    CHECK_OK(tlsloop_conn_send(conn, much, sizeof much));
}

static void *read_slowly(void *arg)
{
    static char buf[16384];
    struct peer *p = arg;
    unsigned long long bytes = 0;
    long n;
    while ((n = peer_recv(p, buf, sizeof buf)) > 0) {
        bytes += (unsigned long long)n;
        if (bytes % 7 == 0) check_nap(1);
    }
    CHECK_EQ(n, PEER_CLEAN);
    CHECK_EQ(bytes, 3 << 20);
    peer_leave(p);
    return NULL;
}

/* "flush, close_notify, join, free", within the grace: a slow reader has it all. */
static void stop_with_grace_flushes(void)
{
    pthread_t reader;
    struct fixture *f = fixture_start((struct options){ .on.connect = send_much });
    f->loose_descriptors = true; /* the reader closes its own when it has seen the end */
    struct peer p = peer_connect_with(f->port, (struct peer_options){ .receive_buffer = 4096 });
    EVENTUALLY_EQ(f->connects, 1);
    CHECK(pthread_create(&reader, NULL, read_slowly, &p) == 0);
    f->loose_threads = true;
    fixture_stop_grace(f, 60000);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_STOPPED], 1);
    CHECK(pthread_join(reader, NULL) == 0);
}

/* "grace_ms 0: no waiting", neither for one that does not read nor for one that says nothing. */
static void stop_without_grace_waits_for_nobody(void)
{
    struct fixture *f = fixture_start((struct options){
        .on.connect = send_much,
        .config = { .handshake_timeout_ms = TLSLOOP_NONE,
                    .send_timeout_ms = TLSLOOP_NONE,
                    .close_timeout_ms = TLSLOOP_NONE },
    });
    f->loose_descriptors = true;
    struct peer deaf = peer_connect_with(f->port, (struct peer_options){ .receive_buffer = 4096 });
    int silent = tcp_connect(f->port);
    EVENTUALLY_EQ(f->connects, 1);
    EVENTUALLY_EQ(fixture_stats(f).handshaking, 1);
    fixture_stop(f);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_STOPPED], 1);
    CHECK_EQ(f->handshakes_failed, 1); /* "Failed before on_connect: on_handshake_failed, once" */
    peer_close(&deaf);
    close(silent);
}

CHECK_MAIN(CASE(l33_stop_in_a_handshake_storm), CASE(start_and_stop_leave_nothing),
           CASE(stop_in_a_callback), CASE(request_stop_makes_wait_return), CASE(stop_beside_a_wait_with_work),
           CASE(connections_that_begin_beside_the_stop),
           CASE(request_stop_from_a_signal_handler), CASE(stop_with_grace_flushes),
           CASE(stop_without_grace_waits_for_nobody))
