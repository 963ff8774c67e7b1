/*
 * L19: "a host mutex that is held around conn_send, conn_close and conn_queued and is also taken in every callback: tlsloop
 * never deadlocks: it holds no lock of its own while a callback runs." Here it is held around every call that does not
 * wait for the callbacks themselves, by several threads, while clients come and go.
 */
#define _GNU_SOURCE
#include "dial.h"
#include "fixture.h"
#include "peer.h"
#include "stage.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CALLERS = 4, CLIENTS = 3, MANY = 256 };

static pthread_mutex_t host_mutex = PTHREAD_MUTEX_INITIALIZER;
static tlsloop_conn live[MANY]; /* guarded by it, as a host's own table of connections is */
static unsigned live_count;
static char called[16]; /* which callbacks took it */

static _Thread_local bool holding;

static void lock(void)
{
    CHECK(pthread_mutex_lock(&host_mutex) == 0);
    holding = true;
}

static void unlock(void)
{
    holding = false;
    CHECK(pthread_mutex_unlock(&host_mutex) == 0);
}

static bool all_were_called(void)
{
    lock();
    bool all = strlen(called) == strlen("cdwexaflp");
    unlock();
    return all;
}

static void note(char callback)
{
    size_t n = strlen(called);
    if (strchr(called, callback) == NULL && n + 1 < sizeof called) called[n] = callback;
}

static void in_connect(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    lock();
    note('c');
    /* One that has no place in the table would be known to nobody, and its client would wait for ever. */
    if (live_count < MANY)
        live[live_count++] = conn;
    else
        tlsloop_conn_close(conn);
    unlock();
}

static void in_data(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    lock();
    note('d');
    tlsloop_conn_send(conn, data, len);
    tlsloop_conn_queued(conn);
    unlock();
}

static void in_drain(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    lock();
    note('w');
    tlsloop_conn_queued(conn);
    unlock();
}

static void in_end(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    lock();
    note('e');
    tlsloop_conn_close(conn);
    unlock();
}

static void in_disconnect(struct fixture *f, tlsloop_conn conn, int reason)
{
    (void)f;
    (void)reason;
    lock();
    note('x');
    for (unsigned i = 0; i < live_count; i++)
        if (live[i] == conn) live[i] = live[--live_count];
    unlock();
}

static int in_accept(struct fixture *f, const char *peer)
{
    (void)f;
    (void)peer;
    lock();
    note('a');
    unlock();
    return 0;
}

static void in_failure(struct fixture *f, tlsloop_conn conn, int code, const char *peer, const char *why)
{
    (void)code;
    (void)peer;
    (void)why;
    lock();
    note('f');
    CHECK_EQ(tlsloop_conn_close(conn), TLSLOOP_ECLOSED);
    unlock();
    (void)f;
}

static void in_log(struct fixture *f, int level, const char *line)
{
    (void)f;
    (void)level;
    (void)line;
    /* "on_log also on the calling thread", which may have it already. */
    bool is_ours = holding;
    if (!is_ours) lock();
    note('l');
    if (!is_ours) unlock();
}

static void in_post(tlsloop_conn conn, void *arg)
{
    (void)arg;
    lock();
    note('p');
    tlsloop_conn_queued(conn);
    unlock();
}

static const struct hooks everywhere = {
    .connect = in_connect, .data = in_data, .drain = in_drain, .end = in_end, .disconnect = in_disconnect,
    .accept = in_accept, .handshake_failed = in_failure, .log = in_log,
};

static atomic_bool enough;
static atomic_uint rounds, at_work;
static tlsloop_tls *policy;

/* One of the calls, with the mutex held; which answer is right is the business of other tests. */
static void call(struct fixture *f, tlsloop_conn conn, unsigned which)
{
    static const char block[3000];
    tlsloop_slice part = { block, sizeof block };
    tlsloop_info info = TLSLOOP_INFO_INIT;
    size_t len = 0;
    switch (which % 16) {
    case 0: case 1: case 2: tlsloop_conn_send(conn, block, sizeof block); break;
    case 3: tlsloop_conn_sendv(conn, &part, 1); break;
    case 4: tlsloop_conn_queued(conn); break;
    case 5: tlsloop_conn_pause(conn); tlsloop_conn_resume(conn); break;
    case 6: tlsloop_conn_info(conn, &info); break;
    case 7: tlsloop_conn_set_idle_timeout(conn, 60000); break;
    case 8: tlsloop_conn_set_data(conn, f); tlsloop_conn_data(conn); break;
    case 9: tlsloop_conn_post(conn, in_post, NULL); break;
    case 10: tlsloop_conn_post_after(conn, which % 3, in_post, NULL); break;
    case 11: tlsloop_conn_peer_certificate(conn, NULL, &len); break;
    case 12: if (which % 5 == 0) tlsloop_conn_close(conn); break;
    case 13: if (which % 7 == 0) tlsloop_conn_abort(conn); break;
    case 14: if (which % 9 == 0) tlsloop_conn_end(conn); break;
    default: tlsloop_conn_start_tls(conn); break;
    }
}

/* The callers are quicker than the callbacks, which wait for the same mutex. */
static bool may_begin_another(struct fixture *f)
{
    tlsloop_stats stats = fixture_stats(f);
    return stats.handshaking < 16 && stats.open < 64;
}

static void call_server(struct fixture *f, unsigned which)
{
    int ends[2];
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    switch (which % 16) {
    case 0: fixture_stats(f); break;
    case 1: CHECK_EQ(tlsloop_server_port(f->server), f->port); break;
    case 2: close(tlsloop_server_listen_fd(f->server)); break;
    case 3: CHECK_OK(tlsloop_server_set_tls(f->server, policy)); break;
    case 4:
        if (!may_begin_another(f)) break;
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        CHECK_OK(tlsloop_server_adopt(f->server, ends[1], NULL, NULL));
        close(ends[0]); /* fails its handshake */
        break;
    case 5:
        if (!may_begin_another(f)) break;
        config.host = "127.0.0.1";
        config.mode = TLSLOOP_MODE_PLAIN;
        config.port = (uint16_t)f->port; /* and says nothing, so it is one that leaves or is timed out */
        config.data = f;
        CHECK_OK(tlsloop_server_connect(f->server, &config, NULL));
        break;
    default: break;
    }
}

static void *call_all(void *arg)
{
    struct fixture *f = arg;
    unsigned which = 12345 * ++at_work;
    while (!enough) {
        which = which * 1103515245 + 12345;
        lock();
        if (live_count) call(f, live[which / 65536 % live_count], which / 1024);
        rounds += live_count > 0;
        if (which % 64 == 0) call_server(f, which / 4096);
        unlock();
        /* A mutex is not fair: without a pause, the callbacks that wait for it would find it taken again each time. */
        usleep(50);
    }
    at_work--;
    return NULL;
}

static void *come_and_go(void *arg)
{
    struct fixture *f = arg;
    char buf[8192];
    at_work++;
    for (unsigned i = 0; !enough; i++) {
        struct peer p = peer_over_socket(tcp_connect(f->port));
        if (i % 8 == 7) tcp_send(p.fd, "nonsense", 8);
        if (peer_handshake(&p) && peer_send(&p, "something", 9))
            for (unsigned n = 0; n < 10 && peer_recv(&p, buf, sizeof buf) > 0; n++) {}
        if (i % 4) {
            peer_close_notify(&p);
            peer_until_end(&p, NULL);
        }
        peer_close(&p);
    }
    at_work--;
    return NULL;
}

/* A client may wait for what nobody sends any more. */
static bool all_have_gone_home(void)
{
    lock();
    for (unsigned i = 0; i < live_count; i++) tlsloop_conn_close(live[i]);
    unlock();
    return at_work == 0;
}

static void l19_around_every_call(void)
{
    pthread_t threads[CALLERS + CLIENTS];
    policy = stage_policy();
    struct fixture *f = fixture_start((struct options){
        .on = everywhere,
        .config = { .workers = 2, .send_high_water = 8192, .log_level = TLSLOOP_LOG_DEBUG,
                    .handshake_timeout_ms = 200 * check_time_factor(), .close_timeout_ms = 200 } });
    for (int t = 0; t < CALLERS + CLIENTS; t++)
        CHECK(pthread_create(&threads[t], NULL, t < CALLERS ? call_all : come_and_go, f) == 0);
    EVENTUALLY_EQ(at_work, CALLERS + CLIENTS);
    /* Every callback has taken it, and everything goes on. */
    EVENTUALLY(all_were_called());
    for (int i = 0; i < 5; i++) {
        unsigned calls = rounds + check_scaled(2000), ends = f->disconnects + check_scaled(40);
        EVENTUALLY(rounds >= calls && f->disconnects >= ends);
    }
    enough = true;
    EVENTUALLY(all_have_gone_home());
    for (int t = 0; t < CALLERS + CLIENTS; t++) CHECK(pthread_join(threads[t], NULL) == 0);
    fixture_stop(f);
    CHECK_EQ(live_count, 0);
    tlsloop_tls_free(policy);
}

CHECK_MAIN(CASE(l19_around_every_call))
