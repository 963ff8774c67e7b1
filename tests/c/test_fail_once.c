/*
 * "Fail everything once: each system call of a connect–echo–close run fails in turn, and L06 holds after
 * each": whoever was accepted is reported once, the next peer is served, nothing is left over.
 *
 * A run is a whole life: start, connect, handshake, echo, close, stop. Each use of each call in it fails with
 * each error of its man page, until a run passes untouched; and then all uses from one on, for a while.
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "interpose.h"
#include "measure.h"
#include "peer.h"
#include "stage.h"

#include <stdio.h>
#include <string.h>

/* More than a run makes by far; a loop that goes round and round makes more in no time. */
enum { MOST_CALLS = 1000, MOST_USES = 200 };

static tlsloop_tls *policy;

static void mark_worker(struct fixture *f, unsigned worker)
{
    (void)f;
    (void)worker;
    if (!host_wanted()) interpose_marked = true;
}

static void mark_call(bool inside)
{
    interpose_marked = inside;
}

static struct fixture *start(unsigned workers, bool stalls, int *code)
{
    unsigned limit = interpose_limit_ms(stalls);
    return fixture_try_start((struct options){
        .on.worker_start = mark_worker,
        .around = mark_call,
        .config = { .tls = policy, .workers = workers, .handshake_timeout_ms = limit,
                    .close_timeout_ms = limit, .idle_timeout_ms = limit },
    }, code);
}

/* One visitor; whether it was served to its end. */
static bool visit(struct fixture *f)
{
    struct peer p = peer_over_socket(tcp_connect(f->port));
    bool served = peer_handshake(&p) && peer_echo(&p, "hello") && peer_close_notify(&p) &&
                  peer_until_end(&p, NULL) == PEER_CLEAN;
    peer_close(&p);
    return served;
}

static void fails_the_case(enum call call, int n, int error, const char *what)
{
    check_failed(__FILE__, __LINE__, "%s, use %d: %s: %s", interposed[call].name, n, strerror(error), what);
}

/* A start that failed says so, in errno's own words. */
static void check_refusal(enum call call, int n, int error, int code)
{
    if (interpose_failed == 0) fails_the_case(call, n, error, "the start failed, and nothing had");
    CHECK_EQ(code, TLSLOOP_ESYS);
    CHECK_HAS(tlsloop_last_error(), strerror(error));
}

/* The n-th use of the call fails in a life. False: there are not so many. */
static bool fail_in_a_life(enum call call, int n, int error, bool harmless)
{
    int code;
    interpose_arm(call, n, error, false);
    struct fixture *f = start(0, interpose_stalls(call, error), &code);
    if (!f) {
        check_refusal(call, n, error, code);
        if (harmless) fails_the_case(call, n, error, tlsloop_last_error());
        return interpose_disarm();
    }
    bool served = visit(f);
    if (!served && interpose_failed == 0) fails_the_case(call, n, error, "not served, and nothing had failed");
    if (!served && harmless) fails_the_case(call, n, error, "the visit ended");
    EVENTUALLY_EQ(fixture_stats(f).open + fixture_stats(f).handshaking, 0);
    /* What fails later fails in the stop. */
    if (interpose_failed > 0 && !visit(f)) fails_the_case(call, n, error, "the next visitor is not served");
    EVENTUALLY_EQ(fixture_stats(f).open, 0);
    fixture_stop(f);
    if (interpose_seen > MOST_CALLS) fails_the_case(call, n, error, "the loop spins");
    return interpose_disarm();
}

/* Under valgrind, where a life takes half a second, each use fails with one error: another each time. */
static unsigned each_use_fails(enum call call, int error, int turn)
{
    unsigned failed = 0;
    int step = check_time_factor() > 1 ? 5 : 1;
    int n = 1 + turn % step;
    for (; n < MOST_USES && fail_in_a_life(call, n, error, error == EINTR); n += step) failed++;
    CHECK(n < MOST_USES);
    return failed;
}

static void begin(void)
{
    policy = stage_policy();
    CHECK(!fail_in_a_life(CALLS, 1, 0, false)); /* pays for what is made once */
}

static void each_error_of(const enum call *calls, size_t count)
{
    begin();
    size_t heap = measure_heap();
    for (size_t i = 0; i < count; i++) {
        const int *errors = interposed[calls[i]].errors;
        unsigned failed = 0;
        for (int e = 0; errors[e]; e++) failed += each_use_fails(calls[i], errors[e], e);
        measure_heap_is_back(heap);
        printf("# %s failed in %u lives\n", interposed[calls[i]].name, failed);
    }
    tlsloop_tls_free(policy);
}

#define EACH_ERROR_OF(...)                                   \
    do {                                                     \
        static const enum call calls[] = { __VA_ARGS__ };    \
        each_error_of(calls, sizeof calls / sizeof *calls);  \
    } while (0)

static void l06_accepting_fails(void)
{
    EACH_ERROR_OF(ACCEPT4);
}

static void l06_receiving_fails(void)
{
    EACH_ERROR_OF(RECV);
}

static void l06_sending_fails(void)
{
    EACH_ERROR_OF(SEND);
}

/* "RESET: RST, or a failed write", also if the peer knows of nothing and stays. */
static void l09_a_failed_write_is_a_reset(void)
{
    begin();
    for (int e = 0; interposed[SEND].errors[e]; e++) {
        int error = interposed[SEND].errors[e];
        if (error == EAGAIN || error == EINTR) continue;
        struct fixture *f = fixture_start((struct options){
            .on.worker_start = mark_worker, .around = mark_call, .config.tls = policy });
        struct peer p = peer_connect(f->port);
        CHECK(peer_echo(&p, "before"));
        interpose_arm(SEND, 1, error, false);
        CHECK(peer_send(&p, "after", 5));
        EVENTUALLY_EQ(f->disconnects, 1);
        CHECK_EQ(f->reasons[TLSLOOP_REASON_RESET], 1);
        CHECK_EQ(f->bytes, 11);
        if (interpose_seen > 50) fails_the_case(SEND, 1, error, "the loop spins");
        CHECK(interpose_disarm());
        peer_close(&p);
        fixture_stop(f);
    }
    tlsloop_tls_free(policy);
}

static void l06_waiting_fails(void)
{
    EACH_ERROR_OF(EPOLL_CREATE1, EPOLL_CTL, EPOLL_WAIT);
}

static void l06_waking_fails(void)
{
    EACH_ERROR_OF(EVENTFD, TIMERFD_CREATE, TIMERFD_SETTIME, READ, WRITE);
}

static void l06_sockets_fail(void)
{
    EACH_ERROR_OF(SOCKET, BIND, LISTEN, SETSOCKOPT, GETSOCKNAME, GETSOCKOPT, GETPEERNAME, SHUTDOWN, FCNTL, IOCTL);
}

static void l06_closing_fails(void)
{
    EACH_ERROR_OF(CLOSE);
}

static void l06_threads_fail(void)
{
    EACH_ERROR_OF(PTHREAD_CREATE, PTHREAD_SIGMASK);
}

/* A start that fails at any of its steps leaves nothing behind: neither descriptor nor thread. */
static void starting_three_workers_fails(void)
{
    int code;
    begin();
    fixture_stop(start(3, false, &code)); /* so many names are made once, too */
    size_t heap = measure_heap();
    for (enum call call = 0; call < CALLS; call++) {
        int error = interposed[call].errors[0];
        for (int n = 1;; n++) {
            interpose_arm(call, n, error, false);
            struct fixture *f = start(3, false, &code);
            if (f)
                fixture_stop(f);
            else
                check_refusal(call, n, error, code);
            if (!interpose_disarm()) break;
        }
    }
    measure_heap_is_back(heap);
    tlsloop_tls_free(policy);
}

/* For a while every use fails: no spin. Then the next visitor is served, and a stop under failures returns. */
static void fail_for_a_while(enum call call, int error)
{
    int code;
    struct fixture *f = start(0, false, &code);
    CHECK_OK(code);
    CHECK(visit(f));
    EVENTUALLY_EQ(fixture_stats(f).open, 0);
    interpose_arm(call, 1, error, true);
    int fd = tcp_connect(f->port);
    check_nap(25 * check_time_factor());
    if (interpose_seen > 200) fails_the_case(call, 1, error, "the loop spins");
    interpose_disarm();
    close(fd);
    if (!visit(f)) fails_the_case(call, 1, error, "the next visitor is not served");
    EVENTUALLY_EQ(fixture_stats(f).open + fixture_stats(f).handshaking, 0);
    if (call != WRITE) interpose_arm(call, 1, error, true);
    fixture_stop(f);
    interpose_disarm();
}

/*
 * What the kernel never says for long. A connection whose accept fails by one of these is gone, and the next one
 * is another; nobody is interrupted for ever; who is told EAGAIN is told so by mistake at most once.
 */
static bool lasts(enum call call, int error)
{
    static const int gone[] = { ECONNABORTED, EPROTO, EOPNOTSUPP, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET,
                                EHOSTUNREACH, ENETUNREACH };
    for (size_t i = 0; call == ACCEPT4 && i < sizeof gone / sizeof *gone; i++)
        if (gone[i] == error) return false;
    /* A host that polls by itself, without a wait, waits by itself. */
    return error != EINTR && error != EAGAIN && !(call == EPOLL_WAIT && host_wanted());
}

/* The flight of a handshake finds no room, and then the kernel none for it at all: nobody waits for the deadline. */
static void l06_a_flight_that_had_to_wait_fails(void)
{
    int code;
    begin();
    struct fixture *f = start(0, false, &code);
    interpose_arm_two(SEND, EAGAIN, ENOBUFS);
    struct peer p = peer_over_socket(tcp_connect(f->port));
    CHECK(!peer_handshake(&p));
    CHECK_EQ(interpose_failed, 2);
    interpose_disarm();
    peer_close(&p);
    EVENTUALLY_EQ(f->handshakes_failed, 1);
    CHECK_EQ(f->last_code, TLSLOOP_ESYS);
    CHECK(visit(f));
    fixture_stop(f);
    tlsloop_tls_free(policy);
}

static void count(tlsloop_conn conn, void *user)
{
    (void)conn;
    atomic_fetch_add((atomic_uint *)user, 1);
}

/* Nobody can be woken for a while: the next who asks, or a stop, tries again, and what was asked before is done as well. */
static void l06_waking_fails_for_a_while(void)
{
    begin();
    for (int stops = 0; stops <= 1; stops++) {
        int code;
        atomic_uint posts = 0;
        struct fixture *f = start(1, false, &code);
        struct peer p = peer_over_socket(tcp_connect(f->port)), other = peer_over_socket(tcp_connect(f->port));
        CHECK(peer_handshake(&p) && peer_echo(&p, "hello"));
        CHECK(peer_handshake(&other) && peer_echo(&other, "hello"));
        check_nap(20); /* the loop is at rest */
        interpose_marked = true;
        interpose_arm(WRITE, 1, EIO, true);
        CHECK_OK(tlsloop_conn_post(fixture_conn(f, 0), count, &posts));
        CHECK(interpose_disarm());
        interpose_marked = false;
        if (!stops) {
            CHECK_OK(tlsloop_conn_post(fixture_conn(f, 1), count, &posts));
            EVENTUALLY_EQ(posts, 2);
        }
        f->loose_descriptors = true; /* the peers' are open, so that nothing but the stop wakes the loop */
        fixture_stop(f);
        peer_close(&p);
        peer_close(&other);
    }
    tlsloop_tls_free(policy);
}

/* The loop cannot let go of the listening socket at a drain, and the host keeps it for a successor: that is tried again. */
static void l06_letting_go_of_the_listener_fails(void)
{
    int code;
    begin();
    struct fixture *f = start(1, false, &code);
    CHECK(visit(f));
    EVENTUALLY_EQ(fixture_stats(f).open, 0);
    int kept = tlsloop_server_listen_fd(f->server);
    interpose_arm(EPOLL_CTL, 1, ENOMEM, false);
    CHECK_OK(tlsloop_server_drain(f->server));
    EVENTUALLY_EQ(interpose_failed, 1);
    int waiting = tcp_connect(f->port);
    check_nap(150 * check_time_factor());
    interpose_seen = 0;
    check_nap(25 * check_time_factor());
    if (interpose_seen > 200) fails_the_case(EPOLL_CTL, 1, ENOMEM, "the loop spins");
    interpose_disarm();
    CHECK_EQ(fixture_stats(f).accepted, 1);
    close(waiting);
    close(kept);
    fixture_stop(f);
    tlsloop_tls_free(policy);
}

static void no_spin_while_a_call_fails(void)
{
    begin();
    for (enum call call = 0; call < CALLS; call++) {
        const int *errors = interposed[call].errors;
        int step = check_time_factor() > 1 ? 4 : 1;
        for (int e = 0; errors[e]; e++)
            if (e % step == 0 && lasts(call, errors[e])) fail_for_a_while(call, errors[e]);
    }
    tlsloop_tls_free(policy);
}

CHECK_MAIN(CASE(l06_accepting_fails), CASE(l06_receiving_fails), CASE(l06_sending_fails),
           CASE(l09_a_failed_write_is_a_reset), CASE(l06_waiting_fails), CASE(l06_waking_fails),
           CASE(l06_waking_fails_for_a_while), CASE(l06_letting_go_of_the_listener_fails),
           CASE(l06_sockets_fail), CASE(l06_closing_fails), CASE(l06_threads_fail),
           CASE(l06_a_flight_that_had_to_wait_fails), CASE(starting_three_workers_fails), CASE(no_spin_while_a_call_fails))
