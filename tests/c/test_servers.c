/* "Several servers in one process": of every kind beside each other, joined by the host, begun and ended at once. */
#define _GNU_SOURCE
#include "dial.h"
#include "fixture.h"
#include "peer.h"
#include "stage.h"

#include <string.h>
#include <unistd.h>

/* --- Of every kind ------------------------------------------------------------------------------------------------ */

enum { TLS, PLAIN, DETECT, HOST_DRIVEN, KINDS };

static struct fixture *start_kind(int kind)
{
    static const int modes[] = { TLSLOOP_MODE_TLS, TLSLOOP_MODE_PLAIN, TLSLOOP_MODE_DETECT, TLSLOOP_MODE_TLS };
    tlsloop_server_config config = { .mode = modes[kind], .workers = kind == HOST_DRIVEN ? TLSLOOP_HOST_DRIVEN : 2 };
    struct fixture *f = stage_start((struct options){ .config = config }, NULL);
    f->loose_descriptors = f->loose_threads = true; /* those of the others come and go */
    return f;
}

/* The thread that polls, where the fixture has not begun one. */
static void *poll_until_stop(void *arg)
{
    tlsloop_server *server = arg;
    CHECK_OK(tlsloop_server_wait(server));
    return NULL;
}

static bool speaks_tls(int kind)
{
    return kind == TLS || kind == HOST_DRIVEN;
}

static struct peer visit(const struct fixture *f, int kind)
{
    if (speaks_tls(kind)) return peer_connect(f->port);
    return (struct peer){ .fd = tcp_connect(f->port) };
}

static void is_served(struct peer *p, int kind)
{
    if (speaks_tls(kind)) {
        CHECK(peer_echo(p, "one of several"));
    } else {
        CHECK(tcp_send(p->fd, "one of several", 14));
        CHECK(dial_expect(p->fd, "one of several"));
    }
}

/* `host`: the thread that polls it. */
static void stop_kind(struct fixture *f, struct peer *p, int kind, const pthread_t *host)
{
    if (host) { /* which runs all callbacks, so they come before it ends */
        peer_leave(p);
        EVENTUALLY_EQ(f->disconnects, 1);
        CHECK_OK(tlsloop_server_request_stop(f->server));
        CHECK(pthread_join(*host, NULL) == 0);
    }
    fixture_stop(f);
    if (host) return;
    if (speaks_tls(kind)) peer_close(p);
    else close(p->fd);
}

/* Each has its own connections, names and numbers; the end of one is nothing to the others. */
static void every_kind_beside_each_other(void)
{
    struct fixture *f[KINDS];
    struct peer peers[KINDS];
    tlsloop_conn conns[KINDS];
    pthread_t host;
    for (int k = 0; k < KINDS; k++) f[k] = start_kind(k);
    bool polls = !host_wanted();
    if (polls) CHECK(pthread_create(&host, NULL, poll_until_stop, f[HOST_DRIVEN]->server) == 0);
    for (int k = 0; k < KINDS; k++) {
        peers[k] = visit(f[k], k);
        is_served(&peers[k], k);
        conns[k] = fixture_conn(f[k], 0);
        for (int other = 0; other < k; other++) CHECK(conns[k] != conns[other]);
    }
    for (int k = 0; k < KINDS; k++) {
        for (int other = k; other < KINDS; other++) {
            is_served(&peers[other], other);
            CHECK_EQ(fixture_stats(f[other]).open, 1);
            CHECK_EQ(fixture_stats(f[other]).connects, 1);
        }
        stop_kind(f[k], &peers[k], k, polls && k == HOST_DRIVEN ? &host : NULL);
        CHECK_EQ(tlsloop_conn_send(conns[k], "late", 4), TLSLOOP_ECLOSED);
    }
}

/* --- Joined by the host ------------------------------------------------------------------------------------------- */

/* What arrives at one leaves by the other. */
struct bridge {
    struct fixture *_Atomic to;
    _Atomic tlsloop_conn conn;
};

static void pass_on(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    const struct bridge *bridge = f->context;
    (void)conn;
    CHECK_OK(tlsloop_conn_send(bridge->conn, data, len));
}

/* Callbacks of two servers call into each other's connections, and into each other's servers. */
static void ask_the_other(struct fixture *f, tlsloop_conn conn)
{
    const struct bridge *bridge = f->context;
    tlsloop_stats stats = TLSLOOP_STATS_INIT;
    (void)conn;
    struct fixture *other = bridge->to;
    if (other) CHECK_OK(tlsloop_server_stats(other->server, &stats));
}

static void a_bridge_between_two_servers(void)
{
    enum { BYTES = 4 << 20 };
    static struct bridge bridges[2];
    static char sent[1 << 16], got[1 << 16];
    struct fixture *f[2];
    for (int i = 0; i < 2; i++) {
        f[i] = fixture_start((struct options){
            .on = { .data = pass_on, .connect = ask_the_other },
            .context = &bridges[i],
            .config.send_high_water = 64 << 20,
        });
        f[i]->loose_descriptors = f[i]->loose_threads = true;
    }
    struct peer a = peer_connect(f[0]->port), b = peer_connect(f[1]->port);
    for (int i = 0; i < 2; i++) bridges[i].conn = fixture_conn(f[!i], 0);
    for (int i = 0; i < 2; i++) bridges[i].to = f[!i];
    struct peer late = peer_connect(f[0]->port);
    memset(sent, 'x', sizeof sent);
    for (unsigned n = 0; n < check_scaled(BYTES) / sizeof sent; n++) {
        CHECK(peer_send(n % 2 ? &a : &b, sent, sizeof sent));
        CHECK(peer_recv_all(n % 2 ? &b : &a, got, sizeof got));
        CHECK(memcmp(sent, got, sizeof got) == 0);
    }
    peer_leave(&late);
    EVENTUALLY_EQ(f[0]->disconnects, 1);
    /* The one that is left finds that the other side has gone. */
    fixture_stop(f[0]);
    CHECK_EQ(tlsloop_conn_send(bridges[1].conn, "nobody", 6), TLSLOOP_ECLOSED);
    peer_close(&a);
    peer_leave(&b);
    EVENTUALLY_EQ(f[1]->disconnects, 1);
    fixture_stop(f[1]);
}

/* --- Begun and ended at once -------------------------------------------------------------------------------------- */

struct life {
    pthread_t thread;
    tlsloop_tls *tls; /* one for all */
    unsigned rounds;
};

static void echo(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    (void)user;
    CHECK_OK(tlsloop_conn_send(conn, data, len));
}

static void one_life(tlsloop_tls *tls, bool is_quick)
{
    pthread_t host;
    tlsloop_callbacks callbacks = TLSLOOP_CALLBACKS_INIT;
    tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
    tlsloop_server *server;
    callbacks.on_data = echo;
    config.callbacks = &callbacks;
    config.address = "127.0.0.1";
    config.tls = tls;
    config.workers = host_wanted() ? TLSLOOP_HOST_DRIVEN : 2;
    CHECK_OK(tlsloop_server_start(&config, &server));
    if (host_wanted()) CHECK(pthread_create(&host, NULL, poll_until_stop, server) == 0);
    if (!is_quick) {
        struct peer p = peer_connect(tlsloop_server_port(server));
        CHECK(peer_echo(&p, "for a moment"));
        peer_leave(&p);
    }
    CHECK_OK(tlsloop_server_request_stop(server));
    if (host_wanted()) CHECK(pthread_join(host, NULL) == 0);
    CHECK_OK(tlsloop_server_stop(server, 1000));
}

static void *lives(void *arg)
{
    const struct life *life = arg;
    for (unsigned i = 0; i < life->rounds; i++) one_life(life->tls, i % 3 == 0);
    return NULL;
}

/* Beside one that serves all the time. */
static void begun_and_ended_by_several_threads(void)
{
    enum { THREADS = 4 };
    struct life threads[THREADS];
    struct fixture *steady = fixture_start((struct options){ 0 });
    struct peer p = peer_connect(steady->port);
    tlsloop_tls *tls = stage_policy();
    for (int i = 0; i < THREADS; i++) {
        threads[i] = (struct life){ .tls = tls, .rounds = check_scaled(30) };
        CHECK(pthread_create(&threads[i].thread, NULL, lives, &threads[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(peer_echo(&p, "steady"));
        CHECK(pthread_join(threads[i].thread, NULL) == 0);
    }
    tlsloop_tls_free(tls);
    CHECK(peer_echo(&p, "still steady"));
    peer_leave(&p);
    EVENTUALLY_EQ(steady->disconnects, 1);
    fixture_stop(steady); /* which finds nothing left of the others */
}

CHECK_MAIN(CASE(every_kind_beside_each_other), CASE(a_bridge_between_two_servers),
           CASE(begun_and_ended_by_several_threads))
