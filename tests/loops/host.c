/*
 * tlsloop in the main loop of another library: echo over TLS to clients that are verified and verify, deadlines without any
 * timer of the loop's, several servers, and their ends. One thread; the clients are other processes.
 */
#define _GNU_SOURCE
#include "child.h"
#include "fixture.h"
#include "keys.h"
#include "loop.h"
#include "measure.h"
#include "peer.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SERVERS = 3, LONG = 3 << 20 };

struct host {
    tlsloop_server *server;
    struct watch *watch;
    int port;
    unsigned connects, disconnects, failures, turns;
    int reason, code;
    bool asked_to_stop;
    void (*at_connect)(tlsloop_conn conn);
};

static struct host hosts[SERVERS];
static struct identity ca, server_identity, client_identity;
static struct child clients; /* another process, with all that is not the host's */
static struct watch *answers;

/* --- The host's callbacks -------------------------------------------------------------------------------------------- */

static void on_connect(tlsloop_conn conn, void *user)
{
    struct host *h = user;
    tlsloop_info info = TLSLOOP_INFO_INIT;
    CHECK_OK(tlsloop_conn_info(conn, &info));
    CHECK(info.has_certificate && info.verify_result == 0);
    CHECK_STR(info.sha256, client_identity.sha256);
    CHECK_OK(tlsloop_conn_set_data(conn, h));
    h->connects++;
    if (h->at_connect) h->at_connect(conn);
}

static void on_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    (void)user;
    CHECK_OK(tlsloop_conn_send(conn, data, len));
}

static void on_disconnect(tlsloop_conn conn, int reason, void *user)
{
    struct host *h = user;
    CHECK(tlsloop_conn_data(conn) == h);
    h->reason = reason;
    h->disconnects++;
}

static void on_handshake_failed(tlsloop_conn conn, int code, const char *peer, const char *why, void *user)
{
    struct host *h = user;
    (void)conn;
    CHECK(strlen(peer) > 0 && strlen(why) > 0);
    h->code = code;
    h->failures++;
}

/* --- Servers in the loop --------------------------------------------------------------------------------------------- */

static void (*after_turn)(struct host *h); /* what the case waits for */

static void turn(void *arg)
{
    struct host *h = arg;
    int answer = tlsloop_server_poll(h->server, 0);
    CHECK(answer == 0 || answer == 1);
    h->turns++;
    h->asked_to_stop = answer == 1;
    if (after_turn) after_turn(h);
}

static void start(struct host *h, tlsloop_server_config config)
{
    tlsloop_callbacks callbacks = TLSLOOP_CALLBACKS_INIT;
    tlsloop_tls *tls = tlsloop_tls_new();
    *h = (struct host){ 0 };
    callbacks.on_connect = on_connect;
    callbacks.on_data = on_data;
    callbacks.on_disconnect = on_disconnect;
    callbacks.on_handshake_failed = on_handshake_failed;
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, server_identity.chain, server_identity.key));
    CHECK_OK(tlsloop_tls_set_trust_file(tls, ca.chain));
    CHECK_OK(tlsloop_tls_set_verify(tls, TLSLOOP_VERIFY_REQUIRED));
    config.size = sizeof config;
    config.address = "127.0.0.1";
    config.tls = tls;
    config.callbacks = &callbacks;
    config.user = h;
    config.workers = TLSLOOP_HOST_DRIVEN;
    CHECK_OK(tlsloop_server_start(&config, &h->server));
    tlsloop_tls_free(tls);
    h->port = tlsloop_server_port(h->server);
    h->watch = loop_watch(tlsloop_server_fd(h->server), turn, h);
}

static void stop(struct host *h)
{
    loop_unwatch(h->watch);
    CHECK_OK(tlsloop_server_stop(h->server, 0));
    h->server = NULL;
    CHECK_EQ(h->connects, h->disconnects);
}

/* --- The clients ----------------------------------------------------------------------------------------------------- */

enum order { ECHO = 1, STAY, SILENT, STRANGER, LEAVE };

static tlsloop_client *client_to(int port, bool is_known)
{
    tlsloop_client *client;
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    config.tls = tlsloop_tls_new();
    CHECK_OK(tlsloop_tls_set_trust_file(config.tls, ca.chain));
    if (is_known)
        CHECK_OK(tlsloop_tls_add_certificate_file(config.tls, client_identity.chain, client_identity.key));
    config.host = "127.0.0.1";
    config.port = (uint16_t)port;
    config.connect_timeout_ms = 10000 * check_time_factor();
    CHECK_OK(tlsloop_client_connect(&config, &client));
    tlsloop_tls_free(config.tls);
    return client;
}

static void echo(tlsloop_client *client, size_t len)
{
    static char out[LONG], back[LONG];
    for (size_t i = 0; i < len; i++) out[i] = (char)(i * 7 + i / 1000);
    /* Pieces, because host and client would wait for each other if neither read. */
    for (size_t at = 0, piece = 65536; at < len; at += piece) {
        if (piece > len - at) piece = len - at;
        CHECK_OK(tlsloop_client_send(client, out + at, piece));
        for (size_t have = 0; have < piece;) {
            long n = tlsloop_client_recv(client, back + at + have, piece - have);
            CHECK(n > 0);
            have += (size_t)n;
        }
    }
    CHECK(memcmp(out, back, len) == 0);
}

/* It obeys: an order, a port, and then, when it is done, an answer. */
static void be_the_clients(int socket, void *arg)
{
    (void)arg;
    char byte;
    for (;;) {
        long order = child_hear(socket);
        if (order == LEAVE) return;
        int port = (int)child_hear(socket);
        if (order == SILENT) {
            int fd = tcp_connect(port);
            tcp_until_end(fd);
            close(fd);
        } else {
            tlsloop_client *client = client_to(port, order != STRANGER);
            if (order == ECHO) echo(client, LONG);
            if (order == STAY) echo(client, 5);
            if (order == STAY) child_tell(socket, STAY); /* then until the server ends it */
            long n = order == ECHO ? 0 : tlsloop_client_recv(client, &byte, 1);
            CHECK(order == STRANGER ? n < 0 : n <= 0);
            CHECK_OK(tlsloop_client_close(client));
        }
        child_tell(socket, order);
    }
}

static unsigned answered;

static void on_answer(void *arg)
{
    (void)arg;
    child_hear(clients.socket);
    answered++;
    if (after_turn) after_turn(NULL);
}

static void tell_clients(enum order order, const struct host *h)
{
    child_tell(clients.socket, order);
    child_tell(clients.socket, h->port);
}

/* --- The cases ------------------------------------------------------------------------------------------------------- */

static unsigned threads_before;

static void begin(void)
{
    ca = keys_make((struct identity_spec){ .names = "DNS:ca.example" });
    server_identity = keys_make((struct identity_spec){ .names = "IP:127.0.0.1", .issuer = &ca });
    client_identity = keys_make((struct identity_spec){ .names = "DNS:client.example", .issuer = &ca });
    clients = child_start(be_the_clients, NULL);
    loop_begin();
    alarm(60 * check_time_factor()); /* a loop that nobody wakes would run for ever */
    answered = 0;
    after_turn = NULL;
    threads_before = measure_threads();
    answers = loop_watch(clients.socket, on_answer, NULL);
}

static void finish(void)
{
    CHECK_EQ(measure_threads(), threads_before); /* "no thread is started at all" */
    child_tell(clients.socket, LEAVE);
    loop_unwatch(answers);
    loop_end();
    child_ended_well(&clients);
}

static void quit_when_echoed(struct host *h)
{
    (void)h;
    if (answered == 1 && hosts[0].disconnects == 1) loop_quit();
}

/* Megabytes there and back: work that a turn leaves keeps the descriptor readable. */
static void echo_to_a_verified_client(void)
{
    begin();
    start(&hosts[0], (tlsloop_server_config){ 0 });
    after_turn = quit_when_echoed;
    tell_clients(ECHO, &hosts[0]);
    loop_run();
    CHECK_EQ(hosts[0].reason, TLSLOOP_REASON_PEER);
    stop(&hosts[0]);
    finish();
}

static void quit_when_refused(struct host *h)
{
    (void)h;
    if (answered == 1 && hosts[0].failures == 1) loop_quit();
}

static void a_client_without_a_certificate(void)
{
    begin();
    start(&hosts[0], (tlsloop_server_config){ 0 });
    after_turn = quit_when_refused;
    tell_clients(STRANGER, &hosts[0]);
    loop_run();
    CHECK_EQ(hosts[0].code, TLSLOOP_ETLS);
    CHECK_EQ(hosts[0].connects, 0);
    stop(&hosts[0]);
    finish();
}

/* "timers make that descriptor readable, so the host needs no other wake-up": the loop has none; and it is not woken
 * again and again meanwhile. */
static void a_deadline_without_a_timer(void)
{
    begin();
    start(&hosts[0], (tlsloop_server_config){ .handshake_timeout_ms = 400 });
    after_turn = quit_when_refused;
    long long before = check_now_ms();
    tell_clients(SILENT, &hosts[0]);
    loop_run();
    CHECK(check_now_ms() - before >= 400);
    CHECK_EQ(hosts[0].code, TLSLOOP_ETIMEDOUT);
    CHECK(hosts[0].turns < 20);
    stop(&hosts[0]);
    finish();
}

static unsigned posted;

static void note_post(tlsloop_conn conn, void *arg)
{
    CHECK(arg == &posted);
    posted++;
    CHECK_OK(tlsloop_conn_set_idle_timeout(conn, 300));
}

static void post_later(tlsloop_conn conn)
{
    CHECK_OK(tlsloop_conn_post_after(conn, 300, note_post, &posted));
}

static void quit_when_gone(struct host *h)
{
    (void)h;
    if (answered == 2 && hosts[0].disconnects == 1) loop_quit();
}

/* A posted function and then an idle timeout. */
static void later_without_a_timer(void)
{
    begin();
    start(&hosts[0], (tlsloop_server_config){ 0 });
    hosts[0].at_connect = post_later;
    after_turn = quit_when_gone;
    tell_clients(STAY, &hosts[0]);
    loop_run();
    CHECK_EQ(posted, 1);
    CHECK_EQ(hosts[0].reason, TLSLOOP_REASON_IDLE_TIMEOUT);
    CHECK(hosts[0].turns < 40);
    stop(&hosts[0]);
    finish();
}

static unsigned visited;

static void visit_the_next(struct host *h)
{
    (void)h;
    if (answered != visited) return;
    if (visited == 2 * SERVERS) loop_quit();
    else tell_clients(ECHO, &hosts[visited++ % SERVERS]);
}

static void several_servers(void)
{
    begin();
    for (int i = 0; i < SERVERS; i++) start(&hosts[i], (tlsloop_server_config){ 0 });
    after_turn = visit_the_next;
    visit_the_next(NULL);
    loop_run();
    for (int i = 0; i < SERVERS; i++) CHECK_EQ(hosts[i].connects, 2);
    for (int i = 0; i < SERVERS; i++) stop(&hosts[i]);
    finish();
}

static void on_signal(int number)
{
    (void)number;
    tlsloop_server_request_stop(hosts[0].server);
}

/* The client is there: a signal comes. The server is stopped, which ends it; then the other server's turn comes. */
static void stop_the_first(struct host *h)
{
    if (h == &hosts[0] && h->asked_to_stop && h->server) {
        CHECK_EQ(h->disconnects, 0); /* "changes nothing else" */
        stop(h);
        CHECK_EQ(h->reason, TLSLOOP_REASON_STOPPED);
    } else if (answered == 1 && hosts[0].server) {
        CHECK(raise(SIGTERM) == 0);
    } else if (answered == 2 && hosts[1].connects == 0) {
        tell_clients(ECHO, &hosts[1]);
        answered++;
    } else if (answered == 4) {
        loop_quit();
    }
}

/* "request_stop: … host-driven: the fd readable, poll returns 1", from a signal handler; the loop goes on. */
static void one_of_two_stops(void)
{
    begin();
    CHECK(signal(SIGTERM, on_signal) != SIG_ERR);
    for (int i = 0; i < 2; i++) start(&hosts[i], (tlsloop_server_config){ 0 });
    after_turn = stop_the_first;
    tell_clients(STAY, &hosts[0]);
    loop_run();
    CHECK(hosts[0].server == NULL);
    CHECK_EQ(hosts[1].connects, 1);
    stop(&hosts[1]);
    CHECK(signal(SIGTERM, SIG_DFL) != SIG_ERR);
    finish();
}

CHECK_MAIN(CASE(echo_to_a_verified_client), CASE(a_client_without_a_certificate), CASE(a_deadline_without_a_timer),
           CASE(later_without_a_timer), CASE(several_servers), CASE(one_of_two_stops))
