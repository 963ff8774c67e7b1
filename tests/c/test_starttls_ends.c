/* MODE_STARTTLS: what may start TLS, what comes of a start that fails, and ends in the middle of it. */
#define _GNU_SOURCE
#include "dial.h"
#include "fixture.h"
#include "peer.h"
#include "stage.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GO "go\r\n"

enum { ROUNDS = 400 };

/* What the host does besides, right after it has started TLS. */
enum also { NOTHING, CLOSE, SEND_CLOSE, SEND_END, SEND_ABORT };

static void start_and(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    const enum also *also = f->context;
    if (f->data_calls > 1) return;
    (void)data;
    (void)len;
    CHECK_OK(tlsloop_conn_send(conn, GO, strlen(GO)));
    CHECK_OK(tlsloop_conn_start_tls(conn));
    if (*also >= SEND_CLOSE) CHECK_OK(tlsloop_conn_send(conn, "secret", 6));
    if (*also == CLOSE || *also == SEND_CLOSE) CHECK_OK(tlsloop_conn_close(conn));
    if (*also == SEND_END) CHECK_OK(tlsloop_conn_end(conn));
    if (*also == SEND_ABORT) CHECK_OK(tlsloop_conn_abort(conn));
}

static struct fixture *starting(const enum also *also, tlsloop_server_config config)
{
    config.mode = TLSLOOP_MODE_STARTTLS;
    return stage_start((struct options){
        .on = { .data = start_and, .end = stage_only_note },
        .config = config,
        .context = (void *)also,
    }, NULL);
}

static int told_to_go(struct fixture *f)
{
    int fd = tcp_connect(f->port);
    CHECK(tcp_send(fd, "STARTTLS", 8));
    CHECK(dial_expect(fd, GO));
    return fd;
}

typedef void (*failing)(int fd);

static void garbage(int fd)
{
    CHECK(tcp_send(fd, "GET / HTTP/1.1\r\n\r\n", 18));
    tcp_until_end(fd);
}

static void alert(int fd)
{
    static const unsigned char bad_certificate[] = { 21, 3, 3, 0, 2, 2, 42 };
    char hello[2048];
    size_t n = peer_client_hello(hello, sizeof hello);
    CHECK(tcp_send(fd, hello, n));
    CHECK(tcp_recv(fd, hello, sizeof hello) > 0);
    CHECK(tcp_send(fd, bad_certificate, sizeof bad_certificate));
    tcp_until_end(fd);
}

static void half_a_hello_and_reset(int fd)
{
    char hello[2048];
    size_t n = peer_client_hello(hello, sizeof hello);
    CHECK(tcp_send(fd, hello, n / 2));
    struct linger now = { .l_onoff = 1 };
    CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
}

static void half_a_hello_and_fin(int fd)
{
    char hello[2048];
    size_t n = peer_client_hello(hello, sizeof hello);
    CHECK(tcp_send(fd, hello, n / 2));
}

static void leaves(int fd)
{
    (void)fd;
}

static void silence(int fd)
{
    tcp_until_end(fd);
}

/* "Failure: on_disconnect(PROTOCOL) or the timeout, never on_handshake_failed" */
static void check_failure(failing fail, int reason)
{
    static const enum also nothing = NOTHING;
    struct fixture *f = starting(&nothing, (tlsloop_server_config){ .handshake_timeout_ms = 700 * check_time_factor() });
    int fd = told_to_go(f);
    fail(fd);
    close(fd);
    struct record r = stage_ended(f, 0);
    CHECK_STR(tlsloop_reason_name(r.reason), tlsloop_reason_name(reason));
    CHECK_STR(r.order, "cdx");
    CHECK_EQ(f->handshakes_failed, 0);
    CHECK_EQ(stage_tls_ups(f), 0);
    CHECK(strlen(r.why) > 0);
    fixture_stop(f);
}

static void failures(void)
{
    check_failure(garbage, TLSLOOP_REASON_PROTOCOL);
    check_failure(alert, TLSLOOP_REASON_PROTOCOL);
    check_failure(half_a_hello_and_reset, TLSLOOP_REASON_RESET);
    check_failure(half_a_hello_and_fin, TLSLOOP_REASON_TRUNCATED);
    check_failure(leaves, TLSLOOP_REASON_TRUNCATED);
    check_failure(silence, TLSLOOP_REASON_IDLE_TIMEOUT);
}

/* "close: flush, close_notify": what was sent behind the start waits for TLS, and so does the end. */
static void ends_wait_for_what_was_sent(void)
{
    static const enum also how[] = { SEND_CLOSE, SEND_END };
    for (int i = 0; i < 2; i++) {
        char got[6];
        struct fixture *f = starting(&how[i], (tlsloop_server_config){ 0 });
        struct peer p = dial_tls(told_to_go(f));
        CHECK(peer_recv_all(&p, got, 6) && memcmp(got, "secret", 6) == 0);
        CHECK_EQ(peer_until_end(&p, NULL), PEER_CLEAN);
        CHECK(peer_send(&p, "late", 4));
        if (how[i] == SEND_END) EVENTUALLY_EQ(f->bytes, 8 + 4); /* "goes on receiving" */
        peer_leave(&p);
        struct record r = stage_ended(f, 0);
        CHECK_EQ(r.reason, TLSLOOP_REASON_HOST);
        CHECK_EQ(r.bytes, how[i] == SEND_END ? 12 : 8);
        fixture_stop(f);
    }
}

static atomic_ullong the_conn;
static atomic_int answer;

static void *send_from_elsewhere(void *arg)
{
    (void)arg;
    while (the_conn == 0) sched_yield();
    answer = tlsloop_conn_send(the_conn, "secret", 6);
    return NULL;
}

static void start_and_close_beside_a_send(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)data, (void)len;
    CHECK_OK(tlsloop_conn_start_tls(conn));
    the_conn = conn;
    for (volatile int i = *(const int *)f->context; i > 0; i--) {}
    CHECK_OK(tlsloop_conn_close(conn));
}

/* The same of another thread's that comes just before the close, or just too late. */
static void ends_wait_for_what_another_thread_has_sent(void)
{
    int delay;
    char got[6];
    struct fixture *f = stage_start((struct options){ .on.data = start_and_close_beside_a_send, .context = &delay,
                                                      .config.mode = TLSLOOP_MODE_STARTTLS }, NULL);
    for (unsigned i = 0; i < check_scaled(ROUNDS); i++) {
        pthread_t other;
        delay = (int)(i * 37 % 2000);
        the_conn = 0;
        CHECK(pthread_create(&other, NULL, send_from_elsewhere, NULL) == 0);
        struct peer p = { .fd = tcp_connect(f->port) };
        CHECK(tcp_send(p.fd, "STARTTLS", 8));
        CHECK(pthread_join(other, NULL) == 0);
        CHECK(answer == TLSLOOP_OK || answer == TLSLOOP_ECLOSED);
        if (answer == TLSLOOP_OK) {
            p = dial_tls(p.fd);
            CHECK(peer_recv_all(&p, got, 6) && memcmp(got, "secret", 6) == 0);
            CHECK_EQ(peer_until_end(&p, NULL), PEER_CLEAN);
        } else {
            CHECK_EQ(tcp_until_end(p.fd), PEER_FIN); /* nothing was sent, so nothing is waited for */
        }
        peer_close(&p);
        CHECK_EQ(stage_ended(f, i).reason, TLSLOOP_REASON_HOST);
    }
    fixture_stop(f);
}

/* "Handed to this machine's kernel, or the reason is not HOST": what waits for TLS has not left when the client goes. */
static void a_client_that_leaves_before_what_was_sent(void)
{
    static const enum also how[] = { SEND_CLOSE, SEND_END };
    static const failing ways[] = { leaves, half_a_hello_and_fin, half_a_hello_and_reset, garbage };
    static const int reasons[] = { TLSLOOP_REASON_TRUNCATED, TLSLOOP_REASON_TRUNCATED, TLSLOOP_REASON_RESET,
                                   TLSLOOP_REASON_PROTOCOL };
    for (int i = 0; i < 8; i++) {
        struct fixture *f = starting(&how[i % 2], (tlsloop_server_config){ .close_timeout_ms = 3600000 });
        int fd = told_to_go(f);
        ways[i / 2](fd);
        close(fd);
        CHECK_STR(tlsloop_reason_name(stage_ended(f, 0).reason), tlsloop_reason_name(reasons[i / 2]));
        fixture_stop(f);
    }
}

/* "close_timeout_ms runs from close (or end) …. If it ends with bytes unsent: SEND_TIMEOUT": a client that
 * does not begin its handshake does not hold the host's close for longer than any other. */
static void the_close_timeout_bounds_the_wait_for_tls(void)
{
    static const enum also how[] = { SEND_CLOSE, SEND_END };
    for (int i = 0; i < 2; i++) {
        struct fixture *f = starting(&how[i], (tlsloop_server_config){
            .close_timeout_ms = 300,
            .handshake_timeout_ms = 3600000,
        });
        int fd = told_to_go(f);
        CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_SEND_TIMEOUT);
        close(fd);
        fixture_stop(f);
    }
}

/* Nothing is left to be sent: the close need not wait. An abort never does. */
static void ends_at_once(void)
{
    static const enum also how[] = { CLOSE, SEND_ABORT };
    for (int i = 0; i < 2; i++) {
        struct fixture *f = starting(&how[i], (tlsloop_server_config){ .close_timeout_ms = 300 });
        int fd = tcp_connect(f->port);
        CHECK(tcp_send(fd, "STARTTLS", 8));
        CHECK_EQ(stage_ended(f, 0).reason, i ? TLSLOOP_REASON_ABORTED : TLSLOOP_REASON_HOST);
        if (i == 0) CHECK(dial_expect(fd, GO)); /* "flush" */
        CHECK_EQ(tcp_until_end(fd), i ? PEER_RESET : PEER_FIN);
        close(fd);
        fixture_stop(f);
    }
}

/* The same by another thread, and by the stop of the server, while the client is awaited. */
static void ended_from_elsewhere(void)
{
    static const enum also nothing = NOTHING;
    for (int i = 0; i < 3; i++) {
        static const int reasons[] = { TLSLOOP_REASON_HOST, TLSLOOP_REASON_ABORTED,
                                       TLSLOOP_REASON_STOPPED };
        struct fixture *f = starting(&nothing, (tlsloop_server_config){ .close_timeout_ms = 300 });
        int fd = told_to_go(f);
        tlsloop_conn conn = fixture_conn(f, 0);
        if (i == 0) CHECK_OK(tlsloop_conn_close(conn));
        if (i == 1) CHECK_OK(tlsloop_conn_abort(conn));
        if (i < 2) EVENTUALLY_EQ(f->disconnects, 1);
        f->loose_descriptors = true;
        fixture_stop(f);
        CHECK_EQ(f->reasons[reasons[i]], 1);
        close(fd);
    }
}

static atomic_uint refusals;

static void start_in_post(tlsloop_conn conn, void *arg)
{
    CHECK_EQ(tlsloop_conn_start_tls(conn), (int)(intptr_t)arg);
    refusals++;
}

static void start_in_callback(struct fixture *f, tlsloop_conn conn)
{
    CHECK_EQ(tlsloop_conn_start_tls(conn), (int)(intptr_t)f->context);
    refusals++;
}


/* "start_tls: only from a callback of that connection or a posted function, else ESTATE"; in another
 * mode: "ESTATE: not in this state or mode" */
static void not_in_other_modes(void)
{
    static const int modes[] = { TLSLOOP_MODE_TLS, TLSLOOP_MODE_PLAIN, TLSLOOP_MODE_DETECT };
    for (int i = 0; i < 3; i++) {
        refusals = 0;
        struct fixture *f = stage_start((struct options){
            .on.connect = start_in_callback,
            .context = (void *)(intptr_t)TLSLOOP_ESTATE,
            .config.mode = modes[i],
        }, NULL);
        int fd = tcp_connect(f->port);
        struct peer p = { .fd = fd };
        if (modes[i] == TLSLOOP_MODE_TLS) p = dial_tls(fd);
        if (modes[i] == TLSLOOP_MODE_DETECT) CHECK(tcp_send(fd, "plain", 5));
        tlsloop_conn conn = fixture_conn(f, 0);
        CHECK_EQ(tlsloop_conn_start_tls(conn), TLSLOOP_ESTATE);
        CHECK_OK(tlsloop_conn_post(conn, start_in_post, (void *)(intptr_t)TLSLOOP_ESTATE));
        EVENTUALLY_EQ(refusals, 2);
        if (p.ssl)
            peer_leave(&p);
        else
            close(fd);
        EVENTUALLY_EQ(fixture_stats(f).disconnects, 1); /* its on_disconnect has returned */
        EVENTUALLY_EQ(tlsloop_conn_start_tls(conn), TLSLOOP_ECLOSED);
        fixture_stop(f);
    }
}

/* "ECLOSED: the connection is ended or ending": in on_disconnect, and in what runs right before it. */
static void start_at_end(struct fixture *f, tlsloop_conn conn, int reason)
{
    (void)f;
    (void)reason;
    CHECK_EQ(tlsloop_conn_start_tls(conn), TLSLOOP_ECLOSED);
}

static void not_at_the_end(void)
{
    refusals = 0;
    struct fixture *f = stage_start((struct options){
        .on.disconnect = start_at_end,
        .config.mode = TLSLOOP_MODE_STARTTLS,
    }, NULL);
    int fd = tcp_connect(f->port);
    tlsloop_conn conn = fixture_conn(f, 0);
    CHECK_OK(tlsloop_conn_post_after(conn, 3600000, start_in_post, (void *)(intptr_t)TLSLOOP_ECLOSED));
    tcp_reset(fd);
    stage_ended(f, 0);
    CHECK_EQ(refusals, 1);
    EVENTUALLY_EQ(tlsloop_conn_start_tls(conn), TLSLOOP_ECLOSED);
    fixture_stop(f);
}

/* In on_connect it is a server that speaks TLS from the start; a second start, and one after our own end,
 * has nothing to start. */
static void start_twice(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_start_tls(conn));
    CHECK_EQ(tlsloop_conn_start_tls(conn), TLSLOOP_ESTATE);
}

static void once_only(void)
{
    refusals = 0;
    struct fixture *f = stage_start((struct options){
        .on.connect = start_twice,
        .context = (void *)(intptr_t)TLSLOOP_ESTATE,
        .config.mode = TLSLOOP_MODE_STARTTLS,
    }, start_in_callback);
    struct peer p = dial_tls(tcp_connect(f->port));
    CHECK(peer_echo(&p, "from the start"));
    CHECK_EQ(refusals, 1);
    peer_leave(&p);
    CHECK_STR(stage_ended(f, 0).order, "ctdx");
    fixture_stop(f);
}

static void start_the_other(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)data;
    tlsloop_conn other = fixture_conn(f, 0);
    if (conn == other) {
        CHECK_OK(tlsloop_conn_send(conn, data, len));
        return;
    }
    CHECK_EQ(tlsloop_conn_start_tls(other), TLSLOOP_ESTATE);
    CHECK_OK(tlsloop_conn_end(conn));
    CHECK_EQ(tlsloop_conn_start_tls(conn), TLSLOOP_ECLOSED);
}

/* "only from a callback of that connection": another's will not do, nor another thread. */
static void not_from_elsewhere(void)
{
    struct fixture *f = stage_start((struct options){
        .on.data = start_the_other,
        .config.mode = TLSLOOP_MODE_STARTTLS,
    }, NULL);
    int first = tcp_connect(f->port);
    tlsloop_conn conn = fixture_conn(f, 0);
    int second = tcp_connect(f->port);
    EVENTUALLY_EQ(f->connects, 2);
    CHECK(tcp_send(second, "start the other", 15));
    CHECK_EQ(tcp_until_end(second), PEER_FIN);
    CHECK_EQ(tlsloop_conn_start_tls(conn), TLSLOOP_ESTATE);
    CHECK(tcp_send(first, "still plain", 11));
    CHECK(dial_expect(first, "still plain"));
    close(first);
    close(second);
    fixture_stop(f);
}

CHECK_MAIN(CASE(failures), CASE(ends_wait_for_what_was_sent),
           CASE(ends_wait_for_what_another_thread_has_sent), CASE(a_client_that_leaves_before_what_was_sent),
           CASE(the_close_timeout_bounds_the_wait_for_tls), CASE(ends_at_once),
           CASE(ended_from_elsewhere), CASE(not_in_other_modes), CASE(not_at_the_end),
           CASE(once_only), CASE(not_from_elsewhere))
