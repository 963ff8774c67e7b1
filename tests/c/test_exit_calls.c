/*
 * What the host itself still does while the process or one of its threads ends: exit handlers, threads that go on, and
 * destructors of thread-specific data, which run when the thread-local variables are gone.
 *
 * Each trial is a process of its own, which begins while this one runs no server.
 */
#define _GNU_SOURCE
#include "child.h"
#include "fixture.h"
#include "measure.h"
#include "peer.h"
#include "stage.h"

#include <openssl/crypto.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static struct fixture *running;
static struct peer client;

static void run_trial(void (*run)(int socket, void *arg), void *arg)
{
    struct child child = child_start(run, arg);
    child_ended_at_exit(&child);
}

static void start_with_a_client(void)
{
    running = fixture_start((struct options){ .config.workers = 2 });
    client = peer_connect(running->port);
    CHECK(peer_echo(&client, "before the end"));
    host_end(running); /* a poll of another thread's would be in the way of the stop */
}

/* --- Exit handlers --------------------------------------------------------------------------------------------- */

static void stop_in_good_order(void)
{
    CHECK_OK(tlsloop_conn_send(fixture_conn(running, 0), "goodbye", 7));
    peer_close(&client);
    CHECK_OK(tlsloop_server_stop(running->server, 0));
    CHECK_EQ(running->disconnects, 1);
}

static void exit_with_a_handler(int socket, void *unused)
{
    (void)unused;
    child_without_leak_check(socket);
    CHECK(OPENSSL_init_crypto(0, NULL) == 1);
    start_with_a_client();
    CHECK(atexit(stop_in_good_order) == 0);
    exit(0);
}

/* A handler that was registered behind the start runs before anything has been put away: it stops as at any other time. */
static void l33_an_exit_handler_stops_the_server(void)
{
    run_trial(exit_with_a_handler, NULL);
}

/* What would use OpenSSL, or wait for a worker that is held; the rest does no harm. */
static void everything_is_refused(void)
{
    tlsloop_server *server = NULL;
    tlsloop_client *other = NULL;
    tlsloop_info info = TLSLOOP_INFO_INIT;
    tlsloop_client_config to = TLSLOOP_CLIENT_CONFIG_INIT;
    tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
    tlsloop_conn conn = fixture_conn(running, 0);
    config.mode = to.mode = TLSLOOP_MODE_PLAIN;
    to.host = "127.0.0.1";
    to.port = 1;
    CHECK_FAILS(tlsloop_server_stop(running->server, 60000), TLSLOOP_ESTATE, "exiting");
    CHECK_FAILS(tlsloop_server_start(&config, &server), TLSLOOP_ESTATE, "exiting");
    CHECK_FAILS(tlsloop_server_connect(running->server, &to, NULL), TLSLOOP_ESTATE, "exiting");
    CHECK_FAILS(tlsloop_client_connect(&to, &other), TLSLOOP_ESTATE, "exiting");
    CHECK_FAILS(tlsloop_conn_info(conn, &info), TLSLOOP_ESTATE, "exiting");
    if (host_wanted()) {
        CHECK_FAILS(tlsloop_server_poll(running->server, -1), TLSLOOP_ESTATE, "exiting");
        CHECK_FAILS(tlsloop_server_wait(running->server), TLSLOOP_ESTATE, "exiting");
    }
    CHECK(tlsloop_tls_new() == NULL);
    CHECK_HAS(tlsloop_last_error(), "exiting");
    CHECK_OK(tlsloop_conn_send(conn, "to nobody", 9));
    CHECK_EQ(tlsloop_conn_queued(conn), 9);
    CHECK_EQ(running->disconnects, 0);
}

static void exit_with_an_early_handler(int socket, void *unused)
{
    (void)unused;
    child_without_leak_check(socket);
    CHECK(atexit(everything_is_refused) == 0);
    CHECK(OPENSSL_init_crypto(0, NULL) == 1);
    start_with_a_client();
    exit(0);
}

/* One that was registered before the start runs when the workers are held and OpenSSL may be gone. It hears so. */
static void l33_an_exit_handler_that_comes_too_late(void)
{
    run_trial(exit_with_an_early_handler, NULL);
}

/* --- Threads that go on ---------------------------------------------------------------------------------------- */

enum { TALKERS = 3, BUILDERS = 2, STARTERS = 2, THREADS = TALKERS + BUILDERS + STARTERS, ROUNDS = 5 };

static atomic_uint talks, policies, starts;
static atomic_int threads[THREADS], begun; /* by gettid */
static tlsloop_tls *trusting;
static int port;

static void enlist(void)
{
    threads[begun++] = gettid();
}

static void *talk(void *unused)
{
    static const char text[20000];
    char back[20000];
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    config.host = "127.0.0.1";
    config.port = (uint16_t)port;
    config.tls = trusting;
    enlist();
    for (;; talks++) {
        tlsloop_client *other;
        tlsloop_info info = TLSLOOP_INFO_INIT;
        long n;
        CHECK_OK(tlsloop_client_connect(&config, &other));
        CHECK_OK(tlsloop_client_info(other, &info));
        CHECK_OK(tlsloop_client_send(other, text, sizeof text));
        for (size_t got = 0; got < sizeof text; got += (size_t)n)
            CHECK((n = tlsloop_client_recv(other, back, sizeof back)) > 0);
        CHECK_OK(tlsloop_client_close(other));
    }
    return unused;
}

static void *build(void *unused)
{
    enlist();
    for (;; policies++) {
        tlsloop_tls *tls = stage_policy();
        CHECK_OK(tlsloop_server_set_tls(running->server, tls));
        tlsloop_tls_free(tls);
    }
    return unused;
}

static void *start_and_stop(void *unused)
{
    enlist();
    for (;; starts++) {
        tlsloop_server *server;
        tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
        config.listen_fd = TLSLOOP_NO_LISTENER;
        if (host_wanted()) config.workers = TLSLOOP_HOST_DRIVEN;
        config.tls = stage_policy();
        CHECK_OK(tlsloop_server_start(&config, &server));
        CHECK_OK(tlsloop_server_stop(server, 0));
        tlsloop_tls_free(config.tls);
    }
    return unused;
}

static void in_threads(void *(*run)(void *), int n)
{
    pthread_t thread;
    for (int i = 0; i < n; i++) CHECK(pthread_create(&thread, NULL, run, NULL) == 0);
}

static bool all_sleep(void)
{
    for (int i = 0; i < THREADS; i++)
        if (!measure_sleeps(threads[i])) return false;
    return true;
}

/* Runs last of all, after OpenSSL's clean-up: whoever used it now would meet what is freed. */
static void everybody_is_held(void)
{
    unsigned before = policies;
    EVENTUALLY(all_sleep());
    CHECK(policies <= before + BUILDERS);
}

static void exit_beside_busy_threads(int socket, void *server_port)
{
    child_without_leak_check(socket);
    CHECK(atexit(everybody_is_held) == 0);
    CHECK(OPENSSL_init_crypto(0, NULL) == 1);
    port = *(int *)server_port;
    trusting = tlsloop_tls_new();
    CHECK_OK(tlsloop_tls_set_verify(trusting, TLSLOOP_VERIFY_NONE));
    running = fixture_start((struct options){ .config.workers = 1 });
    in_threads(talk, TALKERS);
    in_threads(build, BUILDERS);
    in_threads(start_and_stop, STARTERS);
    EVENTUALLY(begun == THREADS && talks >= ROUNDS && policies >= ROUNDS && starts >= ROUNDS);
    exit(0);
}

static void serve(int socket, void *unused)
{
    (void)unused;
    struct fixture *f = fixture_start((struct options){ 0 });
    child_tell(socket, f->port);
    (void)child_hear(socket);
    f->loose_descriptors = true; /* clients that are held do not leave */
    fixture_stop(f);
}

/* "kept out of OpenSSL before its clean-up": not only the workers, also the host's own threads that are in a call. */
static void l33_exit_beside_threads_inside_openssl(void)
{
    struct child server = child_start(serve, NULL);
    int server_port = (int)child_hear(server.socket);
    for (unsigned i = 0; i < check_scaled(10); i++) run_trial(exit_beside_busy_threads, &server_port);
    child_tell(server.socket, 0);
    child_ended_well(&server);
}

/* --- The end of a thread --------------------------------------------------------------------------------------- */

static pthread_key_t key;
static atomic_uint destructors;

/* What a host keeps for a thread: a client of its own, and its business with a connection. */
static void put_away(void *own)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    tlsloop_stats stats = TLSLOOP_STATS_INIT;
    tlsloop_conn conn = fixture_conn(running, 0);
    CHECK_OK(tlsloop_conn_send(conn, "x", 1));
    CHECK_OK(tlsloop_conn_info(conn, &info));
    CHECK_OK(tlsloop_conn_set_data(conn, own));
    CHECK(tlsloop_conn_data(conn) == own);
    CHECK_EQ(tlsloop_conn_start_tls(conn), TLSLOOP_ESTATE);
    CHECK_OK(tlsloop_server_stats(running->server, &stats));
    CHECK_FAILS(tlsloop_conn_send(0, "x", 1), TLSLOOP_ECLOSED, "connection");
    CHECK_OK(tlsloop_client_send(own, "y", 1));
    CHECK_OK(tlsloop_client_close(own));
    destructors++;
}

static void *own_client(void *unused)
{
    tlsloop_client *own;
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    config.host = "127.0.0.1";
    config.port = (uint16_t)running->port;
    config.tls = trusting;
    CHECK_OK(tlsloop_client_connect(&config, &own));
    CHECK(pthread_setspecific(key, own) == 0);
    return unused;
}

/* Also where the thread was one that polled: it has been a worker. */
static void *own_server(void *unused)
{
    tlsloop_server *server;
    tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
    config.listen_fd = TLSLOOP_NO_LISTENER;
    config.mode = TLSLOOP_MODE_PLAIN;
    config.workers = TLSLOOP_HOST_DRIVEN;
    CHECK_OK(tlsloop_server_start(&config, &server));
    CHECK_EQ(tlsloop_server_poll(server, 0), 0);
    CHECK(pthread_setspecific(key, server) == 0);
    return unused;
}

static void stop_own_server(void *server)
{
    CHECK_EQ(tlsloop_server_poll(server, 0), 0);
    CHECK_OK(tlsloop_server_stop(server, 0));
    destructors++;
}

static void in_a_thread_that_ends(void *(*run)(void *), void (*destructor)(void *))
{
    pthread_t thread;
    unsigned before = destructors;
    CHECK(pthread_key_create(&key, destructor) == 0);
    CHECK(pthread_create(&thread, NULL, run, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(pthread_key_delete(key) == 0);
    CHECK_EQ(destructors, before + 1);
}

static void calls_at_the_end_of_a_thread(void)
{
    char byte;
    trusting = tlsloop_tls_new();
    CHECK_OK(tlsloop_tls_set_verify(trusting, TLSLOOP_VERIFY_NONE));
    running = fixture_start((struct options){ .config.workers = 1 });
    client = peer_connect(running->port);
    (void)fixture_conn(running, 0);
    in_a_thread_that_ends(own_client, put_away);
    CHECK(peer_recv_all(&client, &byte, 1) && byte == 'x');
    in_a_thread_that_ends(own_server, stop_own_server);
    EVENTUALLY_EQ(running->disconnects, 1);
    peer_leave(&client);
    EVENTUALLY_EQ(running->disconnects, 2);
    fixture_stop(running);
    tlsloop_tls_free(trusting);
}

CHECK_MAIN(CASE(l33_an_exit_handler_stops_the_server), CASE(l33_an_exit_handler_that_comes_too_late),
           CASE(l33_exit_beside_threads_inside_openssl), CASE(calls_at_the_end_of_a_thread))
