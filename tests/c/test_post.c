/* conn_post and conn_post_after: a function of the host's among a connection's callbacks. */
#define _GNU_SOURCE
#include "dial.h"
#include "fixture.h"
#include "peer.h"
#include "stage.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_uint runs;
static atomic_bool ended; /* the connection's on_disconnect has begun */

static void reset_counts(void)
{
    runs = 0;
    ended = false;
}

static void note_end(struct fixture *f, tlsloop_conn conn, int reason)
{
    (void)f;
    (void)reason;
    (void)conn;
    ended = true;
}

/* "runs on the connection's worker, before its on_disconnect" */
static void count(tlsloop_conn conn, void *arg)
{
    struct fixture *f = arg;
    struct record r;
    CHECK(!ended && !f->stopped);
    CHECK(fixture_find(f, conn, &r));
    CHECK(!r.in_callback); /* "between its other callbacks" */
    CHECK(host_wanted() || pthread_equal(r.thread, pthread_self()));
    runs++;
}

/* "A post that returned OK runs exactly once, on the connection's worker": to an idle connection, from
 * another thread, each waited for by itself. */
static void runs_once_on_an_idle_connection(void)
{
    reset_counts();
    struct fixture *f = fixture_start((struct options){ .on.disconnect = note_end });
    struct peer p = peer_connect(f->port);
    tlsloop_conn conn = fixture_conn(f, 0);
    for (unsigned i = 1; i <= check_scaled(200); i++) {
        CHECK_OK(tlsloop_conn_post(conn, count, f));
        EVENTUALLY_EQ(runs, i);
    }
    CHECK_EQ(tlsloop_conn_post(conn, NULL, f), TLSLOOP_EINVAL);
    CHECK_EQ(tlsloop_conn_post_after(conn, 1, NULL, f), TLSLOOP_EINVAL);
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    CHECK_EQ(tlsloop_conn_post(conn, count, f), TLSLOOP_ECLOSED);
    CHECK_EQ(tlsloop_conn_post_after(conn, 1, count, f), TLSLOOP_ECLOSED);
    CHECK_EQ(tlsloop_conn_post(1ull << 40, count, f), TLSLOOP_ECLOSED);
    CHECK_EQ(runs, check_scaled(200));
    fixture_stop(f);
}

/* L18: "sends and posts from eight threads to idle connections: delivers all, in order per thread and
 * connection" */
enum { THREADS = 8, CONNECTIONS = 4 };

struct poster {
    struct fixture *f;
    unsigned number, last[CONNECTIONS];
    pthread_t thread;
};

struct turn {
    struct poster *poster;
    unsigned connection, sequence;
};

static void run_turn(tlsloop_conn conn, void *arg)
{
    struct turn *turn = arg;
    unsigned *last = &turn->poster->last[turn->connection];
    CHECK_EQ(turn->sequence, *last + 1);
    *last = turn->sequence;
    int answer = tlsloop_conn_send(conn, "x", 1);
    CHECK(answer == TLSLOOP_OK);
    runs++;
    free(turn);
}

static void *post_many(void *arg)
{
    struct poster *poster = arg;
    unsigned n = check_scaled(20000);
    for (unsigned i = 0; i < n; i++) {
        struct turn *turn = malloc(sizeof *turn);
        CHECK(turn != NULL);
        *turn = (struct turn){ poster, i % CONNECTIONS, i / CONNECTIONS + 1 };
        CHECK_OK(tlsloop_conn_post(fixture_conn(poster->f, i % CONNECTIONS), run_turn, turn));
        if (i % 64 == 0) CHECK_OK(tlsloop_conn_send(fixture_conn(poster->f, i % CONNECTIONS), "y", 1));
    }
    return NULL;
}

static void l18_posts_and_sends_from_many_threads(void)
{
    static struct poster posters[THREADS];
    struct peer peers[CONNECTIONS];
    unsigned n = check_scaled(20000), sends = (n + 63) / 64;
    unsigned long long bytes = 0;
    reset_counts();
    struct fixture *f = fixture_start((struct options){
        .config = { .workers = 2, .send_high_water = 64 << 20 },
    });
    for (int i = 0; i < CONNECTIONS; i++) peers[i] = peer_connect(f->port);
    EVENTUALLY_EQ(f->connects, CONNECTIONS);
    for (unsigned i = 0; i < THREADS; i++) {
        posters[i] = (struct poster){ .f = f, .number = i };
        CHECK(pthread_create(&posters[i].thread, NULL, post_many, &posters[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) CHECK(pthread_join(posters[i].thread, NULL) == 0);
    EVENTUALLY_EQ(runs, THREADS * n);
    for (unsigned i = 0; i < CONNECTIONS; i++) CHECK_OK(tlsloop_conn_close(fixture_conn(f, i)));
    for (int i = 0; i < CONNECTIONS; i++) {
        CHECK_EQ(peer_until_end(&peers[i], &bytes), PEER_CLEAN);
        peer_close(&peers[i]);
    }
    CHECK_EQ(bytes, (unsigned long long)THREADS * (n + sends));
    fixture_stop(f);
}

/* "exactly once, …, before its on_disconnect": posts race with the end of the connection. Each that was
 * accepted has run when on_disconnect comes, no other ever does. */
static void *post_until_closed(void *arg)
{
    struct fixture *f = arg;
    tlsloop_conn conn = fixture_conn(f, 0);
    unsigned accepted = 0;
    int answer;
    while ((answer = accepted % 2 ? tlsloop_conn_post(conn, count, f)
                                  : tlsloop_conn_post_after(conn, 3600000, count, f)) == TLSLOOP_OK)
        if (++accepted % 16 == 0) check_nap(0);
    CHECK_EQ(answer, TLSLOOP_ECLOSED);
    return (void *)(uintptr_t)accepted;
}

static void posts_race_with_the_end(void)
{
    for (unsigned i = 0; i < check_scaled(40); i++) {
        reset_counts();
        pthread_t threads[3];
        uintptr_t accepted = 0;
        struct fixture *f = fixture_start((struct options){ .on.disconnect = note_end });
        struct peer p = peer_connect(f->port);
        fixture_conn(f, 0);
        for (int t = 0; t < 3; t++)
            CHECK(pthread_create(&threads[t], NULL, post_until_closed, f) == 0);
        check_nap(i % 4);
        peer_reset(&p);
        for (int t = 0; t < 3; t++) {
            void *result;
            CHECK(pthread_join(threads[t], &result) == 0);
            accepted += (uintptr_t)result;
        }
        EVENTUALLY_EQ(f->disconnects, 1);
        CHECK_EQ(runs, accepted);
        fixture_stop(f);
    }
}

static char order[16];

static void note_order(tlsloop_conn conn, void *arg)
{
    (void)conn;
    size_t n = strlen(order);
    CHECK(n + 1 < sizeof order);
    order[n] = *(const char *)arg;
    runs++;
}

/* "post_after: in ms milliseconds": the later one comes later, whichever was asked for first. */
static void later_is_later(void)
{
    reset_counts();
    memset(order, 0, sizeof order);
    struct fixture *f = fixture_start((struct options){ 0 });
    struct peer p = peer_connect(f->port);
    tlsloop_conn conn = fixture_conn(f, 0);
    long long before = check_now_ms();
    CHECK_OK(tlsloop_conn_post_after(conn, 600, note_order, "c"));
    CHECK_OK(tlsloop_conn_post_after(conn, 200, note_order, "b"));
    CHECK_OK(tlsloop_conn_post(conn, note_order, "a"));
    EVENTUALLY_EQ(runs, 1);
    CHECK(peer_echo(&p, "meanwhile"));
    EVENTUALLY_EQ(runs, 3);
    CHECK(check_now_ms() - before >= 590); /* never early */
    CHECK_STR(order, "abc");
    peer_leave(&p);
    fixture_stop(f);
}

static _Atomic long long asked_ms, ran_ms;

static void note_time(tlsloop_conn conn, void *arg)
{
    (void)conn;
    (void)arg;
    ran_ms = check_now_ms();
}

static void take_time_and_ask(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    (void)data;
    (void)len;
    check_nap(300);
    asked_ms = check_now_ms();
    CHECK_OK(tlsloop_conn_post_after(conn, 200, note_time, NULL));
    CHECK_OK(tlsloop_conn_set_idle_timeout(conn, 250));
}

/* Time counts from the call, however long the callback has taken that makes it. */
static void asked_late_in_a_callback(void)
{
    struct fixture *f = fixture_start((struct options){ .on.data = take_time_and_ask });
    struct peer p = peer_connect(f->port);
    CHECK(peer_send(&p, "x", 1));
    CHECK_EQ(peer_until_end(&p, NULL), PEER_CLEAN);
    CHECK(check_now_ms() - asked_ms >= 250 - 10); /* never early */
    CHECK(ran_ms - asked_ms >= 200 - 10);
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_IDLE_TIMEOUT);
    peer_close(&p);
    fixture_stop(f);
}

/* "post_after: early, if the connection ends first": by whomever it is ended, server_stop included. */
static void early_if_the_connection_ends(void)
{
    for (int how = 0; how < 4; how++) {
        reset_counts();
        struct fixture *f = fixture_start((struct options){ .on.disconnect = note_end });
        struct peer p = peer_connect(f->port);
        tlsloop_conn conn = fixture_conn(f, 0);
        for (int i = 0; i < 3; i++) CHECK_OK(tlsloop_conn_post_after(conn, 3600000, count, f));
        CHECK_OK(tlsloop_conn_post_after(conn, TLSLOOP_NONE, count, f));
        if (how == 0) peer_reset(&p);
        if (how == 1) peer_leave(&p);
        if (how == 2) CHECK_OK(tlsloop_conn_abort(conn));
        if (how < 3) EVENTUALLY_EQ(f->disconnects, 1);
        if (how >= 2) f->loose_descriptors = true;
        fixture_stop(f);
        CHECK_EQ(runs, 4);
        if (how >= 2) peer_close(&p);
    }
}

/* A post before on_connect is one before the connection's first callback or after it, but runs. */
static void post_another(tlsloop_conn conn, void *arg)
{
    struct fixture *f = arg;
    count(conn, arg);
    int answer = tlsloop_conn_post_after(conn, 3600000, count, f);
    CHECK(answer == TLSLOOP_OK || answer == TLSLOOP_ECLOSED);
    if (answer == TLSLOOP_OK) f->context = (char *)f->context + 1;
}

/* "A post that returned OK runs exactly once": also one that a function posts which runs because the
 * connection ends. */
static void posts_from_last_posts(void)
{
    reset_counts();
    struct fixture *f = fixture_start((struct options){ .on.disconnect = note_end });
    struct peer p = peer_connect(f->port);
    CHECK_OK(tlsloop_conn_post_after(fixture_conn(f, 0), 3600000, post_another, f));
    peer_reset(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    CHECK_EQ(runs, 1 + (uintptr_t)f->context);
    fixture_stop(f);
}

static atomic_bool enough;

/* Yields: does a little, and asks for another turn. */
static void go_on(tlsloop_conn conn, void *arg)
{
    runs++;
    if (!enough) CHECK_OK(tlsloop_conn_post(conn, go_on, arg));
}

static void that_is_enough(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    if (len == 6 && memcmp(data, "enough", 6) == 0) enough = true;
    CHECK_OK(tlsloop_conn_send(conn, data, len));
}

/* "Fair … work per turn is bounded": a function that posts itself again does not keep the others waiting. */
static void a_post_that_posts_itself_again(void)
{
    reset_counts();
    enough = false;
    struct fixture *f = fixture_start((struct options){ .on.data = that_is_enough });
    struct peer busy = peer_connect(f->port);
    struct peer other = peer_connect(f->port);
    EVENTUALLY_EQ(f->connects, 2);
    CHECK_OK(tlsloop_conn_post(fixture_conn(f, 0), go_on, NULL));
    EVENTUALLY(runs > 10);
    CHECK(peer_echo(&other, "still served"));
    CHECK(peer_echo(&busy, "itself too"));
    CHECK(peer_echo(&other, "enough"));
    peer_leave(&busy);
    peer_leave(&other);
    fixture_stop(f);
}

static void note_run(tlsloop_conn conn, void *arg)
{
    (void)conn;
    *(bool *)arg = true;
}

static bool ran;

static void post_for_later(tlsloop_conn conn, void *user)
{
    *(bool *)user = true;
    CHECK_OK(tlsloop_conn_post(conn, note_run, &ran));
}

/* Host-driven: the descriptor "stays readable while work is left", from the end of one poll to the next. */
static void a_post_in_a_callback_leaves_work(void)
{
    bool is_up = false;
    int ends[2];
    tlsloop_server *server;
    tlsloop_callbacks callbacks = TLSLOOP_CALLBACKS_INIT;
    tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
    callbacks.on_connect = post_for_later;
    config.callbacks = &callbacks;
    config.user = &is_up;
    config.mode = TLSLOOP_MODE_PLAIN;
    config.listen_fd = TLSLOOP_NO_LISTENER;
    config.workers = TLSLOOP_HOST_DRIVEN;
    CHECK_OK(tlsloop_server_start(&config, &server));
    dial_pair(ends);
    CHECK_OK(tlsloop_server_adopt(server, ends[1], NULL, NULL));
    struct pollfd watched = { .fd = tlsloop_server_fd(server), .events = POLLIN };
    for (int polls = 0; !ran && polls < 100; polls++) {
        CHECK_EQ(poll(&watched, 1, 0), 1);
        CHECK_OK(tlsloop_server_poll(server, 0));
    }
    CHECK(is_up && ran);
    CHECK_OK(tlsloop_server_stop(server, 0));
    close(ends[0]);
}

CHECK_MAIN(CASE(a_post_in_a_callback_leaves_work),
           CASE(runs_once_on_an_idle_connection), CASE(l18_posts_and_sends_from_many_threads),
           CASE(posts_race_with_the_end), CASE(later_is_later), CASE(asked_late_in_a_callback),
           CASE(early_if_the_connection_ends), CASE(posts_from_last_posts), CASE(a_post_that_posts_itself_again))
