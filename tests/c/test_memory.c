/* L29: "10,000 idle TLS connections: below the figure per connection that its manual states, and busy connections pay for
 * no allocation per record." */
#define _GNU_SOURCE
#include "child.h"
#include "dial.h"
#include "fixture.h"
#include "measure.h"
#include "peer.h"
#include "stage.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define COUNTS_ALLOCATIONS 1
#else
#define COUNTS_ALLOCATIONS 0
#endif

static _Thread_local bool counting;
static atomic_uint ours, records; /* on the worker's thread: of Rust and libc, and of OpenSSL for whole records */
static atomic_uint seen;          /* there, of OpenSSL: none where the library has one of its own, which libc then counts */

#if COUNTS_ALLOCATIONS
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);

void *malloc(size_t len)
{
    ours += counting;
    return __libc_malloc(len);
}

void *calloc(size_t n, size_t len)
{
    ours += counting;
    return __libc_calloc(n, len);
}

void *realloc(void *old, size_t len)
{
    ours += counting;
    return __libc_realloc(old, len);
}

/* OpenSSL's own. It makes a few bytes for each record, whoever uses it; buffers it need not make. */
static void *take(size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    seen += counting;
    records += counting && len >= 4096;
    return __libc_malloc(len);
}

static void *take_again(void *old, size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    records += counting && len >= 4096;
    return __libc_realloc(old, len);
}

static void give(void *old, const char *file, int line)
{
    (void)file;
    (void)line;
    free(old);
}
#endif

/* Before OpenSSL's first allocation. */
static void count_or_skip(void)
{
#if COUNTS_ALLOCATIONS
    /* AWS-LC allocates for each record and gives it back, inside the library and not by OpenSSL's functions. */
    if (!check_under_valgrind() && strstr(tlsloop_version(), "(AWS-LC ") == NULL) {
        CHECK(CRYPTO_set_mem_functions(take, take_again, give) == 1);
        return;
    }
#endif
    check_skip("allocations cannot be counted here");
}

/* What the server's process is told: each is answered by one number. */
enum order { OPEN, HEAP, LEAVE };

static long obey(struct fixture *f, long order)
{
    switch (order) {
    case OPEN: return (long)fixture_stats(f).open;
    case HEAP: return (long)measure_heap();
    case LEAVE: fixture_stop(f); return 0;
    default: check_failed(__FILE__, __LINE__, "order %ld", order);
    }
}

static void all_descriptors(void)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/* `arg`: the mode. */
static void serve(int socket, void *arg)
{
    all_descriptors();
    struct fixture *f = stage_start((struct options){ .config.mode = *(int *)arg }, NULL);
    f->loose_descriptors = true;
    child_tell(socket, f->port);
    for (long order = -1; order != LEAVE;) {
        order = child_hear(socket);
        child_tell(socket, obey(f, order));
    }
}

static long ask(struct child *child, enum order order)
{
    child_tell(child->socket, order);
    return child_hear(child->socket);
}

static struct peer visit(int port, int mode)
{
    struct peer p = { .fd = tcp_connect(port) };
    if (mode == TLSLOOP_MODE_TLS) {
        p = dial_tls(p.fd);
        CHECK(peer_echo(&p, "and silence"));
        CHECK(peer_echo(&p, "for a long time"));
    } else {
        CHECK(tcp_send(p.fd, "and silence", 11) && dial_expect(p.fd, "and silence"));
    }
    return p;
}

/* Bytes of the heap for each connection at rest, the fixture's own record of it included. */
static long bytes_each(int mode)
{
    enum { FIRST = 100, MORE = 900 };
    static struct peer peers[FIRST + MORE];
    struct child child = child_start(serve, &mode);
    int port = (int)child_hear(child.socket);
    all_descriptors();
    for (int i = 0; i < FIRST; i++) peers[i] = visit(port, mode);
    EVENTUALLY_EQ(ask(&child, OPEN), FIRST);
    long before = ask(&child, HEAP);
    if (before == 0) check_skip("the heap cannot be measured here");
    for (int i = FIRST; i < FIRST + MORE; i++) peers[i] = visit(port, mode);
    EVENTUALLY_EQ(ask(&child, OPEN), FIRST + MORE);
    long each = (ask(&child, HEAP) - before) / MORE;
    for (int i = 0; i < FIRST + MORE; i++) close(peers[i].fd);
    EVENTUALLY_EQ(ask(&child, OPEN), 0);
    CHECK_EQ(ask(&child, LEAVE), 0);
    child_ended_well(&child);
    return each;
}

static void l29_idle_connections(void)
{
    long each = bytes_each(TLSLOOP_MODE_TLS);
    printf("# %ld bytes for each\n", each);
    /* OpenSSL's own part has grown since 3.0. */
    CHECK(each < (strstr(tlsloop_version(), "OpenSSL 3.0.") ? 17000 : 25000));
}

static void l29_idle_connections_in_plain_text(void)
{
    long each = bytes_each(TLSLOOP_MODE_PLAIN);
    printf("# %ld bytes for each\n", each);
    CHECK(each < 2000);
}

static void count_here(struct fixture *f, unsigned worker)
{
    (void)f;
    (void)worker;
    counting = true;
}

static void echo_back(struct peer *p, size_t len)
{
    static char out[1 << 16], back[1 << 16];
    memset(out, (int)len, len);
    if (p->ssl) {
        CHECK(peer_send(p, out, len) && peer_recv_all(p, back, len));
    } else {
        CHECK(tcp_send(p->fd, out, len));
        for (size_t have = 0; have < len;) {
            long n = tcp_recv(p->fd, back + have, len - have);
            CHECK(n > 0);
            have += (size_t)n;
        }
    }
    CHECK(memcmp(out, back, len) == 0);
}

/* A few connections that are busy in turn; after the first rounds, which make the buffers. */
static void busy(int mode, int version)
{
    enum { PEERS = 8, FIRST = 10, ROUNDS = 100 };
    static const size_t sizes[] = { 1, 100, 1400, 4096, 16000, 50000 };
    struct fixture *f = fixture_start((struct options){ .on.worker_start = count_here, .config.mode = mode });
    struct peer peers[PEERS];
    for (int i = 0; i < PEERS; i++) {
        if (mode == TLSLOOP_MODE_PLAIN) peers[i] = (struct peer){ .fd = tcp_connect(f->port) };
        else peers[i] = peer_connect_with(f->port, (struct peer_options){ .version = version });
    }
    if (mode == TLSLOOP_MODE_TLS && seen == 0) check_skip("tlsloop has an OpenSSL of its own");
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        unsigned ours_before = 0, records_before = 0;
        for (unsigned round = 0; round < FIRST + ROUNDS; round++) {
            if (round == FIRST) ours_before = ours, records_before = records;
            for (int i = 0; i < PEERS; i++) echo_back(&peers[i], sizes[s]);
        }
        /* A few for those whose bytes came in pieces, and not one for each of so many. */
        CHECK(ours - ours_before < ROUNDS * PEERS / 10);
        CHECK(records - records_before < ROUNDS * PEERS / 10);
    }
    for (int i = 0; i < PEERS; i++) {
        if (peers[i].ssl) peer_leave(&peers[i]);
        else close(peers[i].fd);
    }
    EVENTUALLY_EQ(f->disconnects, PEERS);
    fixture_stop(f);
}

static void l29_no_allocation_per_record(void)
{
    count_or_skip();
    busy(TLSLOOP_MODE_TLS, TLS1_3_VERSION);
    busy(TLSLOOP_MODE_TLS, TLS1_2_VERSION);
    busy(TLSLOOP_MODE_PLAIN, 0);
    CHECK(ours > 0 && records > 0); /* they do count: there were handshakes */
}

static void send_long(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    static const char stream[4 << 20];
    (void)f;
    (void)data;
    (void)len;
    CHECK_OK(tlsloop_conn_send(conn, stream, sizeof stream));
}

/* The same in one direction: hundreds of records, one after the other. */
static void l29_no_allocation_in_a_stream(void)
{
    static char back[4 << 20];
    count_or_skip();
    struct fixture *f = fixture_start((struct options){ .on = { .worker_start = count_here, .data = send_long } });
    struct peer p = peer_connect(f->port);
    unsigned before = 0;
    for (int i = 0; i < 4; i++) {
        if (i == 1) before = records;
        CHECK(peer_send(&p, "go", 2) && peer_recv_all(&p, back, sizeof back));
        if (seen == 0) check_skip("tlsloop has an OpenSSL of its own");
    }
    CHECK(records - before < 16);
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

CHECK_MAIN(CASE(l29_idle_connections), CASE(l29_idle_connections_in_plain_text), CASE(l29_no_allocation_per_record),
           CASE(l29_no_allocation_in_a_stream))
