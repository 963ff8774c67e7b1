/* The blocking client beyond TLS over TCP: plain text, STARTTLS, unix sockets; signals; full pipes. */
#define _GNU_SOURCE
#include "keys.h"
#include "measure.h"
#include "peer.h"
#include "stage.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static const char text[] = "Hello in any mode";

static tlsloop_client *connected(tlsloop_client_config config)
{
    tlsloop_client *client = NULL;
    if (!config.host) config.host = "127.0.0.1";
    config.size = sizeof config;
    CHECK_OK(tlsloop_client_connect(&config, &client));
    return client;
}

static void echo(tlsloop_client *client)
{
    char back[sizeof text];
    CHECK_OK(tlsloop_client_send(client, text, sizeof text));
    for (long n = 0, got; n < (long)sizeof text; n += got)
        CHECK((got = tlsloop_client_recv(client, back + n, sizeof back - (size_t)n)) > 0);
    CHECK_STR(back, text);
}

/* No TLS at all, and none to be begun. */
static void plain(void)
{
    struct fixture *f = stage_start((struct options){ .config.mode = TLSLOOP_MODE_PLAIN }, NULL);
    tlsloop_client *client = connected(
        (tlsloop_client_config){ .mode = TLSLOOP_MODE_PLAIN, .port = (uint16_t)f->port });
    tlsloop_info info = TLSLOOP_INFO_INIT;
    echo(client);
    CHECK_OK(tlsloop_client_info(client, &info));
    CHECK_EQ(info.is_tls, 0);
    CHECK_STR(info.version, "");
    CHECK_EQ(info.bytes_in, sizeof text);
    CHECK_EQ(info.bytes_out, sizeof text);
    CHECK_EQ(tlsloop_client_start_tls(client), TLSLOOP_ESTATE);
    echo(client);
    CHECK_OK(tlsloop_client_close(client));
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    fixture_stop(f);
}

static void begin_tls_when_asked(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    if (len == 8 && memcmp(data, "STARTTLS", 8) == 0) {
        CHECK_OK(tlsloop_conn_send(conn, "go", 2));
        CHECK_OK(tlsloop_conn_start_tls(conn));
    } else {
        CHECK_OK(tlsloop_conn_send(conn, data, len));
    }
}

static tlsloop_client *until_go(struct fixture *f, tlsloop_tls *tls)
{
    char go[3] = "";
    tlsloop_client *client = connected((tlsloop_client_config){
        .mode = TLSLOOP_MODE_STARTTLS, .port = (uint16_t)f->port, .tls = tls });
    tlsloop_tls_free(tls);
    echo(client);
    CHECK_OK(tlsloop_client_send(client, "STARTTLS", 8));
    CHECK_EQ(tlsloop_client_recv(client, go, 2), 2);
    CHECK_STR(go, "go");
    return client;
}

static void starttls(void)
{
    struct identity mine = keys_local();
    tlsloop_tls *tls = tlsloop_tls_new();
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, mine.chain, mine.key));
    struct fixture *f = stage_start((struct options){
        .on.data = begin_tls_when_asked, .config = { .mode = TLSLOOP_MODE_STARTTLS, .tls = tls } }, NULL);
    tlsloop_tls_free(tls);
    tlsloop_info info = TLSLOOP_INFO_INIT;

    tls = tlsloop_tls_new();
    CHECK_OK(tlsloop_tls_set_trust_file(tls, mine.chain));
    tlsloop_client *client = until_go(f, tls);
    CHECK_OK(tlsloop_client_start_tls(client));
    CHECK_EQ(tlsloop_client_start_tls(client), TLSLOOP_ESTATE);
    CHECK_OK(tlsloop_client_info(client, &info));
    CHECK_EQ(info.is_tls, 1);
    CHECK_STR(info.sha256, mine.sha256);
    echo(client);
    CHECK_OK(tlsloop_client_close(client));
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);

    client = until_go(f, tlsloop_tls_new()); /* the system's trust */
    CHECK_FAILS(tlsloop_client_start_tls(client), TLSLOOP_EVERIFY, "127.0.0.1");
    CHECK_EQ(tlsloop_client_send(client, text, sizeof text), TLSLOOP_EVERIFY);
    CHECK_OK(tlsloop_client_close(client));
    EVENTUALLY_EQ(f->disconnects, 2);
    fixture_stop(f);
}

/* "unix:/path"; whoever listens there is this machine, so its certificate is one for localhost. */
static void unix_socket(void)
{
    struct identity mine = keys_local();
    char address[160];
    snprintf(address, sizeof address, "unix:%s/server.sock", keys_dir());
    tlsloop_tls *tls = tlsloop_tls_new(), *trust = tlsloop_tls_new();
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, mine.chain, mine.key));
    CHECK_OK(tlsloop_tls_set_trust_file(trust, mine.chain));
    struct fixture *f =
        stage_start((struct options){ .config = { .address = address, .tls = tls } }, NULL);
    tlsloop_client *client = connected((tlsloop_client_config){ .host = address, .tls = trust });
    tlsloop_info info = TLSLOOP_INFO_INIT;
    echo(client);
    CHECK_OK(tlsloop_client_info(client, &info));
    CHECK_STR(info.peer, address);
    CHECK_EQ(info.peer_pid, getpid());
    CHECK_EQ(info.peer_uid, (int)getuid());
    CHECK_OK(tlsloop_client_close(client));
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    fixture_stop(f);
    tlsloop_tls_free(tls);
    tlsloop_tls_free(trust);
}

static atomic_uint signals;

static void count(int number)
{
    (void)number;
    signals++;
}

static void answer_late(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    for (unsigned before = signals; signals < before + 5;) check_nap(1);
    CHECK_OK(tlsloop_conn_send(conn, data, len));
}

/* A signal does not end a wait, nor does it make one longer. */
static void signals_in_the_middle(void)
{
    struct fixture *f = stage_start((struct options){
        .on.data = answer_late, .config.mode = TLSLOOP_MODE_PLAIN }, NULL);
    struct sigaction action = { .sa_handler = count }; /* and no SA_RESTART */
    struct itimerval often = { .it_interval.tv_usec = 2000, .it_value.tv_usec = 2000 }, never = { 0 };
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    tlsloop_client *client = connected((tlsloop_client_config){
        .mode = TLSLOOP_MODE_PLAIN, .port = (uint16_t)f->port, .io_timeout_ms = 5000 * check_time_factor() });
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
    echo(client);
    CHECK_OK(tlsloop_client_close(client));
    client = connected((tlsloop_client_config){
        .mode = TLSLOOP_MODE_PLAIN, .port = (uint16_t)f->port, .io_timeout_ms = 50 });
    char byte;
    CHECK_EQ(tlsloop_client_recv(client, &byte, 1), TLSLOOP_ETIMEDOUT);
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
    CHECK_OK(tlsloop_client_close(client));
    CHECK(signals >= 5);
    EVENTUALLY_EQ(f->disconnects, 2);
    fixture_stop(f);
}

enum { PIECE = 64 << 10, PIECES = 256 };

static void *echo_in_small_steps(void *arg)
{
    char buf[4096];
    int fd = *(int *)arg;
    long n;
    while ((n = tcp_recv(fd, buf, sizeof buf)) > 0)
        if (!tcp_send(fd, buf, (size_t)n)) break;
    CHECK(close(fd) == 0);
    return NULL;
}

/* One send of 16 MB to a peer that stops to read until its answer is read: neither waits for ever. */
static void both_directions_are_full(void)
{
    int port, listener = tcp_listen(&port);
    tlsloop_client *client = connected(
        (tlsloop_client_config){ .mode = TLSLOOP_MODE_PLAIN, .port = (uint16_t)port });
    int fd = accept(listener, NULL, NULL);
    CHECK(fd >= 0);
    tcp_limits(fd);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, echo_in_small_steps, &fd) == 0);
    char *much = malloc(PIECE * PIECES), *back = malloc(PIECE);
    CHECK(much != NULL && back != NULL);
    for (size_t i = 0; i < (size_t)PIECE * PIECES; i++) much[i] = (char)(i % 253);
    CHECK_OK(tlsloop_client_send(client, much, (size_t)PIECE * PIECES));
    CHECK_OK(tlsloop_client_end(client));
    size_t all = 0;
    long n;
    while ((n = tlsloop_client_recv(client, back, PIECE)) > 0) {
        CHECK(all + (size_t)n <= (size_t)PIECE * PIECES && memcmp(back, much + all, (size_t)n) == 0);
        all += (size_t)n;
    }
    CHECK_EQ(n, 0);
    CHECK_EQ(all, (size_t)PIECE * PIECES);
    CHECK_OK(tlsloop_client_close(client));
    CHECK(pthread_join(thread, NULL) == 0);
    free(much);
    free(back);
    close(listener);
}

/* "After a send that timed out the server gets a reset": also when there was room for what was left of it later. */
static void a_send_that_timed_out(void)
{
    int port, listener = tcp_listen(&port);
    size_t len = (size_t)PIECE * PIECES;
    char *much = calloc(1, len), ok[2];
    tlsloop_client *client = connected((tlsloop_client_config){
        .mode = TLSLOOP_MODE_PLAIN, .port = (uint16_t)port, .io_timeout_ms = 200 * check_time_factor() });
    int fd = accept(listener, NULL, NULL);
    CHECK(much != NULL && fd >= 0);
    CHECK_EQ(tlsloop_client_send(client, much, len), TLSLOOP_ETIMEDOUT);
    for (size_t took = 0; recv(fd, much, len, MSG_DONTWAIT) > 0 && took++ < 10000;) {}
    CHECK(tcp_send(fd, "ok", 2));
    CHECK_EQ(tlsloop_client_recv(client, ok, sizeof ok), 2);
    CHECK_OK(tlsloop_client_close(client));
    CHECK_EQ(tcp_until_end(fd), PEER_RESET);
    close(fd);
    close(listener);
    free(much);
}

/* A unix socket whose queue is full is no refusal: somebody may take from it, within the time. */
static void a_queue_that_stays_full(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    char host[sizeof address.sun_path + 5];
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), others[16], n = 0, code;
    tlsloop_client *client = NULL;
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    snprintf(address.sun_path, sizeof address.sun_path, "full.%d", (int)getpid());
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 0) == 0);
    do {
        CHECK(n < 16);
        others[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        code = connect(others[n++], (struct sockaddr *)&address, sizeof address);
    } while (code == 0);
    CHECK_EQ(errno, EAGAIN);
    snprintf(host, sizeof host, "unix:%s", address.sun_path);
    config.host = host;
    config.mode = TLSLOOP_MODE_PLAIN;
    config.connect_timeout_ms = 100;
    CHECK_FAILS(tlsloop_client_connect(&config, &client), TLSLOOP_ETIMEDOUT, host);
    while (n > 0) close(others[--n]);
    close(listener);
    unlink(address.sun_path);
}

/* The edges of connect. */
static void what_is_refused_at_once(void)
{
    tlsloop_client *client = NULL;
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    config.port = 1;
    CHECK_FAILS(tlsloop_client_connect(&config, &client), TLSLOOP_EINVAL, "host");
    config.host = "[127.0.0.1]";
    CHECK_FAILS(tlsloop_client_connect(&config, &client), TLSLOOP_EINVAL, "[127.0.0.1]");
    config.host = "unix:";
    CHECK_FAILS(tlsloop_client_connect(&config, &client), TLSLOOP_EINVAL, "path");
    config.host = "127.0.0.1";
    config.mode = TLSLOOP_MODE_DETECT;
    CHECK_FAILS(tlsloop_client_connect(&config, &client), TLSLOOP_EINVAL, "mode");
    config.mode = TLSLOOP_MODE_PLAIN;
    config.port = 0;
    CHECK_FAILS(tlsloop_client_connect(&config, &client), TLSLOOP_EINVAL, "port");
    CHECK_FAILS(tlsloop_client_connect(NULL, &client), TLSLOOP_EINVAL, "config");
    CHECK_FAILS(tlsloop_client_connect(&config, NULL), TLSLOOP_EINVAL, "out");
    CHECK(client == NULL);
    CHECK_OK(tlsloop_client_close(NULL)); /* "NULL: OK" */
    CHECK_EQ(tlsloop_client_send(NULL, "x", 1), TLSLOOP_EINVAL);
    CHECK_EQ(tlsloop_client_recv(NULL, &config, 1), TLSLOOP_EINVAL);
    CHECK_EQ(tlsloop_client_end(NULL), TLSLOOP_EINVAL);
    CHECK_EQ(tlsloop_client_start_tls(NULL), TLSLOOP_EINVAL);
    CHECK_EQ(tlsloop_client_fd(NULL), TLSLOOP_EINVAL);
}

CHECK_MAIN(CASE(plain), CASE(starttls), CASE(unix_socket), CASE(signals_in_the_middle),
           CASE(both_directions_are_full), CASE(a_send_that_timed_out),
           CASE(a_queue_that_stays_full), CASE(what_is_refused_at_once))
