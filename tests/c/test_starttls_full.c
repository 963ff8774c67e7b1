/* MODE_STARTTLS: plain text was sent before TLS was started, and the peer does not read it. */
#define _GNU_SOURCE
#include "fixture.h"
#include "measure.h"
#include "peer.h"
#include "stage.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MUCH = 50000 }; /* more than the kernel takes there, less than is handed to it at once */

static char plain[4 * MUCH];
static size_t amount = MUCH;
static atomic_int worker;        /* its gettid */
static atomic_int sends_to_fail; /* the last of so many sends finds that the peer is gone; those before are taken whole */

ssize_t send(int fd, const void *data, size_t len, int flags)
{
    int left = gettid() == worker && sends_to_fail > 0 ? sends_to_fail-- : 0;
    if (left > 1) return (ssize_t)len;
    if (left == 0) return syscall(SYS_sendto, fd, data, len, flags, NULL, 0);
    errno = ECONNRESET;
    return -1;
}

static void note_worker(struct fixture *f, unsigned number)
{
    (void)f;
    (void)number;
    worker = gettid();
}

static void send_and_start(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    (void)data;
    (void)len;
    CHECK_OK(tlsloop_conn_send(conn, plain, amount));
    CHECK_OK(tlsloop_conn_start_tls(conn));
}

static struct fixture *start(tlsloop_server_config config)
{
    int port;
    config.mode = TLSLOOP_MODE_STARTTLS;
    config.listen_fd = tcp_listen_small(&port);
    struct fixture *f = stage_start((struct options){
        .on = { .data = send_and_start, .worker_start = note_worker }, .config = config }, NULL);
    f->loose_descriptors = true; /* the listening socket was there before, and goes with the server */
    return f;
}

/* A peer whose connection is full of plain text, and on its way to TLS. */
static int full(struct fixture *f)
{
    int fd = tcp_connect_small(f->port, 2048);
    CHECK(tcp_send(fd, "go", 2));
    EVENTUALLY_EQ(f->data_calls, 1);
    EVENTUALLY(fixture_stats(f).bytes_out == 0 && tlsloop_conn_queued(fixture_conn(f, 0)) == MUCH);
    return fd;
}

static void check_sleeps(struct fixture *f)
{
    check_nap(50);
    for (int i = 0; i < 20; i++) EVENTUALLY(measure_sleeps(worker));
    unsigned long before = measure_sleeps_begun(worker);
    check_nap(100);
    CHECK(measure_sleeps(worker) && measure_sleeps_begun(worker) <= before + 1);
    CHECK_EQ(f->disconnects, 0);
}

/* "neither stalls nor spins": what the peer says meanwhile is for later. */
static void what_comes_meanwhile_waits(void)
{
    struct fixture *f = start((tlsloop_server_config){
        .send_timeout_ms = TLSLOOP_NONE, .handshake_timeout_ms = TLSLOOP_NONE });
    int fd = full(f);
    CHECK(tcp_send(fd, "x", 1));
    check_sleeps(f);
    tcp_fin(fd);
    check_sleeps(f);
    tcp_reset(fd);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

/* … and is read when there is room again. */
static void the_handshake_follows(void)
{
    static char got[MUCH];
    struct fixture *f = start((tlsloop_server_config){ 0 });
    struct peer p = peer_over_socket(full(f));
    peer_step(&p);
    CHECK(peer_flush(&p));
    check_nap(50);
    for (size_t n = 0; n < sizeof got;) {
        long more = tcp_recv(p.fd, got + n, sizeof got - n);
        CHECK(more > 0);
        n += (size_t)more;
    }
    CHECK(peer_handshake(&p));
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    fixture_stop(f);
}

/* "send_timeout_ms: milliseconds without the kernel taking a byte while some wait" */
static void the_send_timeout_counts(void)
{
    struct fixture *f = start((tlsloop_server_config){ .send_timeout_ms = 300, .handshake_timeout_ms = TLSLOOP_NONE });
    int fd = full(f);
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_SEND_TIMEOUT);
    tcp_reset(fd);
    fixture_stop(f);
}

/* "queued_bytes: bytes in all send queues", "bytes_out: handed to the kernel"; some had left when the peer was gone. */
static void a_reset_leaves_nothing_counted(void)
{
    struct fixture *f = start((tlsloop_server_config){ 0 });
    amount = sizeof plain;
    sends_to_fail = 2;
    int fd = tcp_connect(f->port);
    CHECK(tcp_send(fd, "go", 2));
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_RESET);
    EVENTUALLY_EQ(fixture_stats(f).queued_bytes, 0);
    CHECK(fixture_stats(f).bytes_out > 0);
    close(fd);
    fixture_stop(f);
}

enum { ROUNDS = 4 }; /* drains in one visit */

static atomic_bool asked; /* the peer has begun its handshake */

static void fill(tlsloop_conn conn)
{
    CHECK_OK(tlsloop_conn_send(conn, "plain text", 10));
    CHECK_EQ(tlsloop_conn_send(conn, "more", 4), TLSLOOP_EFULL);
}

static void fill_first(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f, (void)data, (void)len;
    fill(conn);
}

static void fill_again_and_start(struct fixture *f, tlsloop_conn conn)
{
    if (f->drains < ROUNDS) return fill(conn);
    if (f->drains > ROUNDS) return;
    CHECK_OK(tlsloop_conn_send(conn, "go", 2));
    CHECK_OK(tlsloop_conn_start_tls(conn));
    EVENTUALLY(asked);
}

/* A peer that does not wait for the word: its hello is there before the word has left, and nothing comes behind it. */
static void a_hello_that_comes_before_the_word(void)
{
    char text[10 * ROUNDS + 2];
    struct fixture *f = stage_start((struct options){
        .on = { .data = fill_first, .drain = fill_again_and_start },
        .config = { .mode = TLSLOOP_MODE_STARTTLS, .send_high_water = 10, .send_low_water = 1 } }, NULL);
    asked = false;
    int fd = tcp_connect(f->port);
    CHECK(tcp_send(fd, "STARTTLS", 8));
    EVENTUALLY_EQ(f->drains, ROUNDS);
    struct peer p = peer_over_socket(fd);
    peer_step(&p);
    CHECK(peer_flush(&p));
    asked = true;
    for (size_t n = 0; n < sizeof text;) {
        long got = tcp_recv(fd, text + n, sizeof text - n);
        CHECK(got > 0);
        n += (size_t)got;
    }
    CHECK(peer_handshake(&p));
    EVENTUALLY_EQ(stage_tls_ups(f), 1);
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

CHECK_MAIN(CASE(a_hello_that_comes_before_the_word),
           CASE(what_comes_meanwhile_waits), CASE(the_handshake_follows), CASE(the_send_timeout_counts),
           CASE(a_reset_leaves_nothing_counted))
