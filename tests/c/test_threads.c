/* "Connections (from any thread; from inside callbacks too)" */
#define _GNU_SOURCE
#include "fixture.h"
#include "peer.h"
#include "stage.h"

#include <sched.h>
#include <string.h>

enum { THREADS = 8, CONNECTIONS = 4 };

/* One message: who sent it, and its number among those that this thread sent to this connection. */
struct message {
    uint32_t thread, number;
    char filling[24];
};

struct senders {
    struct fixture *f;
    tlsloop_conn conns[CONNECTIONS];
    unsigned each; /* messages per thread and connection */
    atomic_uint next_thread;
    pthread_mutex_t *host_mutex; /* L19 */
};

static int send_locked(struct senders *s, tlsloop_conn conn, const void *data, size_t len)
{
    if (!s->host_mutex) return tlsloop_conn_send(conn, data, len);
    pthread_mutex_lock(s->host_mutex);
    int answer = tlsloop_conn_send(conn, data, len);
    tlsloop_conn_queued(conn);
    pthread_mutex_unlock(s->host_mutex);
    return answer;
}

static void *send_all(void *arg)
{
    struct senders *s = arg;
    struct message m = { .thread = s->next_thread++, .filling = "some twenty bytes" };
    for (; m.number < s->each; m.number++) {
        for (int c = 0; c < CONNECTIONS; c++) {
            int answer;
            while ((answer = send_locked(s, s->conns[c], &m, sizeof m)) == TLSLOOP_EFULL)
                sched_yield();
            CHECK_OK(answer);
        }
    }
    return NULL;
}

static void *receive_all(void *arg)
{
    struct peer *p = arg;
    uint32_t next[THREADS] = { 0 };
    struct message m;
    for (;;) {
        long n = peer_recv(p, &m, sizeof m);
        if (n <= 0) {
            CHECK_EQ(n, PEER_CLEAN);
            break;
        }
        if ((size_t)n < sizeof m) CHECK(peer_recv_all(p, (char *)&m + n, sizeof m - (size_t)n));
        CHECK(m.thread < THREADS);
        CHECK_EQ(m.number, next[m.thread]); /* in order, none lost, none twice */
        next[m.thread]++;
    }
    for (int t = 1; t < THREADS; t++) CHECK_EQ(next[t], next[0]);
    return (void *)(uintptr_t)next[0];
}

static void all_to_all(struct options options, pthread_mutex_t *host_mutex)
{
    pthread_t threads[THREADS], readers[CONNECTIONS];
    struct peer peers[CONNECTIONS];
    struct senders s = { .each = check_scaled(2000), .host_mutex = host_mutex };
    options.config.workers = 2;
    s.f = fixture_start(options);
    for (int c = 0; c < CONNECTIONS; c++) {
        peers[c] = peer_connect(s.f->port);
        s.conns[c] = fixture_conn(s.f, (unsigned)c);
        CHECK(pthread_create(&readers[c], NULL, receive_all, &peers[c]) == 0);
    }
    for (int t = 0; t < THREADS; t++) CHECK(pthread_create(&threads[t], NULL, send_all, &s) == 0);
    for (int t = 0; t < THREADS; t++) CHECK(pthread_join(threads[t], NULL) == 0);
    for (int c = 0; c < CONNECTIONS; c++) CHECK_OK(tlsloop_conn_close(s.conns[c]));
    for (int c = 0; c < CONNECTIONS; c++) {
        void *each;
        CHECK(pthread_join(readers[c], &each) == 0);
        CHECK_EQ((uintptr_t)each, s.each);
        peer_leave(&peers[c]);
    }
    EVENTUALLY_EQ(s.f->reasons[TLSLOOP_REASON_HOST], CONNECTIONS);
    fixture_stop(s.f);
}

/* L18: "sends from eight threads to idle connections: all, in order per thread and connection" */
static void l18_sends_from_eight_threads(void)
{
    all_to_all((struct options){ 0 }, NULL);
}

static pthread_mutex_t host_mutex = PTHREAD_MUTEX_INITIALIZER;

static void lock_once(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    pthread_mutex_lock(&host_mutex);
    tlsloop_conn_queued(conn);
    pthread_mutex_unlock(&host_mutex);
}

static void lock_at_data(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)data;
    (void)len;
    lock_once(f, conn);
}

static void lock_at_disconnect(struct fixture *f, tlsloop_conn conn, int reason)
{
    (void)reason;
    lock_once(f, conn);
}

/* L19: "a host mutex that is held around conn_send, conn_close and conn_queued and is also taken in
 * every callback: never deadlocks" */
static void l19_a_host_mutex_around_calls_and_in_callbacks(void)
{
    all_to_all((struct options){ .on.connect = lock_once,
                                 .on.data = lock_at_data,
                                 .on.drain = lock_once,
                                 .on.disconnect = lock_at_disconnect,
                                 .config.send_high_water = 4096 },
               &host_mutex);
}

static void *close_locked(void *arg)
{
    struct senders *s = arg;
    for (int c = 0; c < CONNECTIONS; c++) {
        pthread_mutex_lock(&host_mutex);
        int answer = tlsloop_conn_close(s->conns[c]);
        pthread_mutex_unlock(&host_mutex);
        CHECK(answer == TLSLOOP_OK || answer == TLSLOOP_ECLOSED);
    }
    return NULL;
}

/* The same for close, from several threads at once: one of them is the first, the others hear
 * ECLOSED, and the connection ends once. */
static void l19_close_from_several_threads(void)
{
    struct senders s = { 0 };
    struct peer peers[CONNECTIONS];
    pthread_t threads[THREADS];
    s.f = fixture_start((struct options){
        .on.connect = lock_once,
        .on.disconnect = lock_at_disconnect,
        .config.workers = 2,
    });
    for (unsigned round = 0; round < check_scaled(20); round++) {
        for (unsigned c = 0; c < CONNECTIONS; c++) {
            peers[c] = peer_connect(s.f->port);
            s.conns[c] = fixture_conn(s.f, round * CONNECTIONS + c);
        }
        for (int t = 0; t < THREADS; t++)
            CHECK(pthread_create(&threads[t], NULL, close_locked, &s) == 0);
        for (int c = 0; c < CONNECTIONS; c++) {
            CHECK_EQ(peer_until_end(&peers[c], NULL), PEER_CLEAN);
            peer_leave(&peers[c]);
        }
        for (int t = 0; t < THREADS; t++) CHECK(pthread_join(threads[t], NULL) == 0);
    }
    EVENTUALLY_EQ(s.f->reasons[TLSLOOP_REASON_HOST], check_scaled(20) * CONNECTIONS);
    fixture_stop(s.f);
}

struct waiters {
    tlsloop_conn conn;
    unsigned each;
    unsigned drains; /* guarded by host_mutex */
    pthread_cond_t drained;
};

static void wake_the_waiters(struct fixture *f, tlsloop_conn conn)
{
    struct waiters *w = f->context;
    (void)conn;
    pthread_mutex_lock(&host_mutex);
    w->drains++;
    pthread_cond_broadcast(&w->drained);
    pthread_mutex_unlock(&host_mutex);
}

/* Sends; when refused, sleeps until on_drain has come. */
static void *send_or_wait(void *arg)
{
    static const char block[1000];
    struct waiters *w = arg;
    for (unsigned i = 0; i < w->each; i++) {
        for (;;) {
            pthread_mutex_lock(&host_mutex);
            unsigned seen = w->drains;
            pthread_mutex_unlock(&host_mutex);
            int answer = tlsloop_conn_send(w->conn, block, sizeof block);
            if (answer == TLSLOOP_OK) break;
            CHECK_EQ(answer, TLSLOOP_EFULL);
            pthread_mutex_lock(&host_mutex);
            while (w->drains == seen) pthread_cond_wait(&w->drained, &host_mutex);
            pthread_mutex_unlock(&host_mutex);
        }
    }
    return NULL;
}

/* "decided under the queue's lock, so a refusal never misses it": a thread that sleeps until on_drain
 * after each refusal never sleeps for ever. */
static void a_refusal_never_misses_its_drain(void)
{
    struct waiters w = { .each = check_scaled(2000), .drained = PTHREAD_COND_INITIALIZER };
    pthread_t threads[THREADS];
    unsigned long long bytes = 0;
    char buf[1000];
    struct fixture *f = fixture_start((struct options){
        .on.drain = wake_the_waiters,
        .context = &w,
        .config.send_high_water = 5000,
        .config.send_low_water = 4999,
    });
    struct peer p = peer_connect(f->port);
    w.conn = fixture_conn(f, 0);
    for (int t = 0; t < THREADS; t++)
        CHECK(pthread_create(&threads[t], NULL, send_or_wait, &w) == 0);
    for (unsigned i = 0; i < THREADS * w.each; i++, bytes += sizeof buf)
        CHECK(peer_recv_all(&p, buf, sizeof buf));
    for (int t = 0; t < THREADS; t++) CHECK(pthread_join(threads[t], NULL) == 0);
    CHECK_EQ(bytes, (unsigned long long)THREADS * w.each * sizeof buf);
    peer_leave(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    fixture_stop(f);
}

/* A send from a thread to an idle connection needs no packet from the peer to leave. */
static void a_send_to_an_idle_connection_leaves_at_once(void)
{
    char text[5];
    struct fixture *f = fixture_start((struct options){ .config.workers = 2 });
    struct peer peers[CONNECTIONS];
    for (unsigned c = 0; c < CONNECTIONS; c++) {
        peers[c] = peer_connect(f->port);
        (void)fixture_conn(f, c); /* with two workers, the next could be announced first */
    }
    for (unsigned c = 0; c < CONNECTIONS; c++) {
        for (unsigned i = 0; i < check_scaled(100); i++) {
            CHECK_OK(tlsloop_conn_send(fixture_conn(f, c), "alone", 5));
            CHECK(peer_recv_all(&peers[c], text, 5));
        }
    }
    for (unsigned c = 0; c < CONNECTIONS; c++) peer_leave(&peers[c]);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], CONNECTIONS);
    fixture_stop(f);
}

/* --- What is asked while it changes ------------------------------------------------------------------------------ */

struct asked {
    atomic_ullong conn;
    atomic_uint in_plain, in_tls;
    atomic_bool enough;
};

static void set_own_data(struct fixture *f, tlsloop_conn conn)
{
    CHECK_OK(tlsloop_conn_set_data(conn, f));
    ((struct asked *)f->context)->conn = conn;
}

static void start_tls(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    (void)data;
    CHECK_EQ(len, 3);
    CHECK_OK(tlsloop_conn_start_tls(conn));
}

/* Whatever moment it is, the answers fit together. */
static void *ask_on(void *arg)
{
    struct fixture *f = arg;
    struct asked *asked = f->context;
    while (!asked->enough) {
        tlsloop_info info = TLSLOOP_INFO_INIT;
        tlsloop_conn conn = asked->conn;
        void *data = tlsloop_conn_data(conn);
        CHECK(data == NULL || data == f);
        CHECK_EQ(tlsloop_conn_queued(conn), 0);
        int answer = tlsloop_conn_info(conn, &info);
        CHECK(answer == TLSLOOP_OK || answer == TLSLOOP_ECLOSED);
        if (answer != TLSLOOP_OK) continue;
        CHECK_HAS(info.peer, "127.0.0.1:");
        CHECK_STR(info.version, info.is_tls ? "TLSv1.3" : "");
        CHECK_EQ(info.cipher[0] != 0, info.is_tls);
        CHECK_STR(info.sni, info.is_tls ? "localhost" : "");
        if (info.is_tls) asked->in_tls++; else asked->in_plain++;
    }
    return NULL;
}

/* conn_info, conn_data and conn_queued from other threads while a connection comes, goes over to TLS and ends. */
static void facts_are_whole_at_any_moment(void)
{
    struct asked asked = { 0 };
    pthread_t threads[CONNECTIONS];
    struct fixture *f = stage_start((struct options){
        .on = { .connect = set_own_data, .data = start_tls }, .context = &asked,
        .config = { .mode = TLSLOOP_MODE_STARTTLS, .workers = 2 } }, NULL);
    for (int t = 0; t < CONNECTIONS; t++) CHECK(pthread_create(&threads[t], NULL, ask_on, f) == 0);
    for (unsigned n = 0; n < check_scaled(200) || !asked.in_plain || !asked.in_tls; n++) {
        struct peer p = peer_open(f->port, (struct peer_options){ .server_name = "localhost" });
        unsigned plain = asked.in_plain;
        (void)fixture_conn(f, n);
        EVENTUALLY(n % 10 || asked.in_plain > plain);
        CHECK(tcp_send(p.fd, "TLS", 3));
        EVENTUALLY_EQ(f->data_calls, n + 1);
        CHECK(peer_handshake(&p));
        peer_leave(&p);
    }
    EVENTUALLY_EQ(f->disconnects, f->connects);
    asked.enough = true;
    for (int t = 0; t < CONNECTIONS; t++) CHECK(pthread_join(threads[t], NULL) == 0);
    fixture_stop(f);
}

CHECK_MAIN(CASE(l18_sends_from_eight_threads), CASE(l19_a_host_mutex_around_calls_and_in_callbacks),
           CASE(l19_close_from_several_threads), CASE(a_refusal_never_misses_its_drain),
           CASE(a_send_to_an_idle_connection_leaves_at_once), CASE(facts_are_whole_at_any_moment))
