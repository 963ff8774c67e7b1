/*
 * "exit() under a running server: workers are kept out of OpenSSL before its clean-up; no
 * on_disconnect comes."
 *
 * Each trial is a process of its own, which begins before this one has used tlsloop.
 */
#define _GNU_SOURCE
#include "child.h"
#include "fixture.h"
#include "peer.h"

#include <openssl/crypto.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { CLIENTS = 4 };

struct trial {
    bool openssl_first; /* the host initialises OpenSSL before tlsloop does */
    bool from_thread;   /* exit on another thread than the first */
};

static atomic_bool exiting;

static void no_disconnect(struct fixture *f, tlsloop_conn conn, int reason)
{
    (void)f;
    (void)conn;
    (void)reason;
    CHECK(!exiting);
}

static void *exit_now(void *arg)
{
    (void)arg;
    exiting = true;
    exit(0);
}

static void exit_at_rest(int socket, void *arg)
{
    const struct trial *trial = arg;
    pthread_t thread;
    child_without_leak_check(socket);
    if (trial->openssl_first) CHECK(OPENSSL_init_crypto(0, NULL) == 1 && peer_context() != NULL);
    struct fixture *f =
        fixture_start((struct options){ .on.disconnect = no_disconnect, .config.workers = 2 });
    for (int i = 0; i < CLIENTS; i++) {
        static struct peer peers[CLIENTS]; /* open until the process ends */
        peers[i] = peer_connect(f->port);
        CHECK(peer_echo(&peers[i], "at rest"));
    }
    if (!trial->from_thread) exit_now(NULL);
    CHECK(pthread_create(&thread, NULL, exit_now, NULL) == 0);
    for (;;) pause();
}

static void exits_well(void (*run)(int socket, void *arg), struct trial trial)
{
    for (unsigned i = 0; i < check_scaled(20); i++) {
        struct child child = child_start(run, &trial);
        child_ended_at_exit(&child);
    }
}

/* L33: "a host that calls exit … without stop, and whichever of the two initialised OpenSSL first, the
 * process still ends without a crash" */
static void l33_exit_with_connections_at_rest(void)
{
    exits_well(exit_at_rest, (struct trial){ 0 });
    exits_well(exit_at_rest, (struct trial){ .openssl_first = true });
}

static void l33_exit_from_another_thread(void)
{
    exits_well(exit_at_rest, (struct trial){ .from_thread = true });
}

/* Peers of another process: these threads would be inside OpenSSL too while it cleans up. */
static void *echo_while_it_lives(void *arg)
{
    char back[5];
    int fd = tcp_try_connect(*(int *)arg);
    if (fd < 0) return NULL;
    struct peer p = peer_over_socket(fd);
    if (peer_handshake(&p))
        while (peer_send(&p, "again", 5) && peer_recv_all(&p, back, sizeof back)) {}
    peer_close(&p);
    return NULL;
}

static void *handshakes_while_it_lives(void *arg)
{
    for (;;) {
        int fd = tcp_try_connect(*(int *)arg);
        if (fd < 0) return NULL;
        struct peer p = peer_over_socket(fd);
        peer_handshake(&p);
        peer_reset(&p);
    }
}

static void exit_under_traffic(int socket, void *unused)
{
    (void)unused;
    child_without_leak_check(socket);
    struct fixture *f = fixture_start((struct options){ .config.workers = 2 });
    child_tell(socket, f->port);
    EVENTUALLY(f->data_calls >= 20 && f->connects >= 10);
    exit(0);
}

static void l33_exit_under_traffic(void)
{
    for (unsigned i = 0; i < check_scaled(20); i++) {
        pthread_t threads[CLIENTS];
        struct child child = child_start(exit_under_traffic, NULL);
        int port = (int)child_hear(child.socket);
        for (int t = 0; t < CLIENTS; t++)
            CHECK(pthread_create(&threads[t], NULL,
                                 t % 2 ? echo_while_it_lives : handshakes_while_it_lives,
                                 &port) == 0);
        for (int t = 0; t < CLIENTS; t++) CHECK(pthread_join(threads[t], NULL) == 0);
        child_ended_at_exit(&child);
    }
}

static void exit_in_data(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    (void)conn;
    (void)data;
    (void)len;
    exit(0);
}

static void exit_in_a_callback(int socket, void *unused)
{
    (void)unused;
    child_without_leak_check(socket);
    struct fixture *f = fixture_start((struct options){ .on.data = exit_in_data });
    struct peer p = peer_connect(f->port);
    CHECK(peer_send(&p, "go", 2));
    for (;;) pause();
}

/* A host whose callback finds that all is over. */
static void exit_inside_a_callback(void)
{
    exits_well(exit_in_a_callback, (struct trial){ 0 });
}

static void *receive_for_ever(void *client)
{
    char buf[16];
    tlsloop_client_recv(client, buf, sizeof buf);
    return NULL;
}

static void *wait_for_ever(void *server)
{
    tlsloop_server_wait(server);
    return NULL;
}

static void *stop_slowly(void *server)
{
    tlsloop_server_stop(server, 60000);
    return NULL;
}

static void in_a_thread(void *(*run)(void *), void *arg)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, run, arg) == 0);
}

static tlsloop_client *connected_client(struct fixture *f, tlsloop_tls *trusting)
{
    tlsloop_client *client;
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    config.host = "127.0.0.1";
    config.port = (uint16_t)f->port;
    config.tls = trusting;
    CHECK_OK(tlsloop_client_connect(&config, &client));
    return client;
}

/* Other threads of the host's wait inside the library: for a client's bytes, for a server's end, for the end of a stop. */
static void exit_beside_calls(int socket, void *unused)
{
    (void)unused;
    child_without_leak_check(socket);
    /* Static, so that nobody takes for lost what threads still have at the end. */
    static tlsloop_tls *trusting;
    static tlsloop_client *clients[2];
    trusting = tlsloop_tls_new();
    CHECK_OK(tlsloop_tls_set_verify(trusting, TLSLOOP_VERIFY_NONE));
    struct fixture *waiting = fixture_start((struct options){ .config.workers = 2 });
    struct fixture *stopping = fixture_start((struct options){ .on.disconnect = no_disconnect, .config.workers = 2 });
    clients[0] = connected_client(waiting, trusting);
    clients[1] = connected_client(stopping, trusting);
    tlsloop_conn ending = fixture_conn(stopping, 0);
    host_end(stopping);
    in_a_thread(receive_for_ever, clients[0]);
    if (!host_wanted()) in_a_thread(wait_for_ever, waiting->server);
    in_a_thread(stop_slowly, stopping->server); /* for the client does not answer */
    struct peer p = peer_connect(waiting->port);
    CHECK(peer_echo(&p, "meanwhile"));
    EVENTUALLY(tlsloop_conn_send(ending, "x", 1) == TLSLOOP_ECLOSED);
    exit_now(NULL);
}

static void l33_exit_beside_calls_that_wait(void)
{
    exits_well(exit_beside_calls, (struct trial){ 0 });
}

static void start_and_return(int socket, void *unused)
{
    (void)unused;
    child_without_leak_check(socket);
    fixture_start((struct options){ .config.workers = 2 });
}

/* "returns from main without it" */
static void l33_return_from_main(void)
{
    exits_well(start_and_return, (struct trial){ 0 });
}

enum { BEYOND_PATIENCE_MS = 2600 }; /* exit waits for two seconds */

static atomic_uint calls;

static void take_too_long(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f, (void)conn, (void)data, (void)len;
    if (calls++ == 0) check_nap(BEYOND_PATIENCE_MS);
}

/* Registered before tlsloop's, so it runs behind it, as OpenSSL's own clean-up does. */
static void look_behind(void)
{
    check_nap(BEYOND_PATIENCE_MS);
    if (calls != 1) _exit(1);
}

static void exit_beside_a_slow_callback(int socket, void *arg)
{
    static struct peer peers[2];
    (void)arg;
    child_without_leak_check(socket);
    CHECK(atexit(look_behind) == 0);
    struct fixture *f = fixture_start((struct options){ .on.data = take_too_long });
    for (int i = 0; i < 2; i++) peers[i] = peer_connect(f->port);
    CHECK(peer_send(&peers[0], "slow", 4));
    EVENTUALLY_EQ(calls, 1);
    for (int i = 0; i < 2; i++) CHECK(peer_send(&peers[i], "next", 4));
    exit(0);
}

/* A callback that takes longer than exit waits: its worker ends there, and does not go on beside the clean-up. */
static void a_callback_outlasts_the_exit(void)
{
    struct child child = child_start(exit_beside_a_slow_callback, NULL);
    child_ended_at_exit(&child);
}

CHECK_MAIN(CASE(a_callback_outlasts_the_exit), CASE(l33_exit_with_connections_at_rest),
           CASE(l33_exit_from_another_thread), CASE(l33_exit_under_traffic),
           CASE(exit_inside_a_callback), CASE(l33_exit_beside_calls_that_wait),
           CASE(l33_return_from_main))
