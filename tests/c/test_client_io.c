/* The blocking client: sending, receiving, ends and deadlines. */
#define _GNU_SOURCE
#include "fixture.h"
#include "keys.h"
#include "peer_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MUCH = 4 << 20 };

static char much[MUCH];

static tlsloop_client *connect_with(int port, const struct identity *trust, unsigned io_timeout_ms)
{
    tlsloop_client *client = NULL;
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    config.host = "127.0.0.1";
    config.port = (uint16_t)port;
    config.io_timeout_ms = io_timeout_ms;
    config.connect_timeout_ms = 10000 * check_time_factor();
    config.tls = tlsloop_tls_new();
    CHECK(config.tls != NULL);
    if (trust)
        CHECK_OK(tlsloop_tls_set_trust_file(config.tls, trust->chain));
    else
        CHECK_OK(tlsloop_tls_set_verify(config.tls, TLSLOOP_VERIFY_NONE));
    CHECK_OK(tlsloop_client_connect(&config, &client));
    tlsloop_tls_free(config.tls);
    return client;
}

/* A server of OpenSSL alone that does one thing, and one client of it. */
static struct peer_server *begin(void (*serve)(struct peer *p, void *arg), tlsloop_client **client)
{
    struct identity mine = keys_local();
    struct peer_server *server =
        peer_server_start((struct peer_server_options){ .identity = &mine, .serve = serve });
    *client = connect_with(peer_server_port(server), &mine, 0);
    return server;
}

static void finish(struct peer_server *server, tlsloop_client *client)
{
    CHECK_OK(tlsloop_client_close(client));
    peer_server_stop(server);
}

static void says_five_and_ends(struct peer *p, void *arg)
{
    (void)arg;
    CHECK(peer_send(p, "five!", 5));
    CHECK(peer_close_notify(p));
    peer_until_end(p, NULL);
}

/* "> 0 bytes; 0 clean end" */
static void a_clean_end(void)
{
    tlsloop_client *client;
    char buf[16];
    struct peer_server *server = begin(says_five_and_ends, &client);
    CHECK_EQ(tlsloop_client_recv(client, buf, 2), 2);
    CHECK_EQ(tlsloop_client_recv(client, buf + 2, sizeof buf - 2), 3);
    CHECK(memcmp(buf, "five!", 5) == 0);
    CHECK_EQ(tlsloop_client_recv(client, buf, sizeof buf), 0);
    CHECK_EQ(tlsloop_client_recv(client, buf, sizeof buf), 0);
    finish(server, client);
}

static void says_five_and_is_cut_off(struct peer *p, void *arg)
{
    (void)arg;
    CHECK(peer_send(p, "five!", 5));
    tcp_fin(p->fd);
    peer_until_end(p, NULL);
}

/* L09: "a truncated stream is never reported as a clean end" */
static void l09_a_truncated_stream(void)
{
    tlsloop_client *client;
    char buf[16];
    struct peer_server *server = begin(says_five_and_is_cut_off, &client);
    CHECK_EQ(tlsloop_client_recv(client, buf, sizeof buf), 5);
    CHECK_EQ(tlsloop_client_recv(client, buf, sizeof buf), TLSLOOP_ETRUNCATED);
    CHECK_EQ(tlsloop_client_recv(client, buf, sizeof buf), TLSLOOP_ETRUNCATED);
    CHECK(strlen(tlsloop_last_error()) > 0);
    finish(server, client);
}

static void resets(struct peer *p, void *arg)
{
    char byte;
    (void)arg;
    CHECK_EQ(peer_recv(p, &byte, 1), 1);
    peer_reset(p);
}

/* L09: an RST is neither a clean end nor a truncation; and to write into it raises no SIGPIPE. */
static void l09_a_reset(void)
{
    tlsloop_client *client;
    char buf[16];
    struct peer_server *server = begin(resets, &client);
    CHECK_OK(tlsloop_client_send(client, "x", 1));
    CHECK_EQ(tlsloop_client_recv(client, buf, sizeof buf), TLSLOOP_ESYS);
    CHECK_HAS(tlsloop_last_error(), strerror(ECONNRESET));
    for (int i = 0; i < 10; i++) CHECK(tlsloop_client_send(client, "into the void", 13) < 0);
    finish(server, client);
}

static void leaves(struct peer *p, void *arg)
{
    (void)arg;
    peer_close(p);
}

/* The same when the server has ended by a FIN, to which the kernel answers writes by EPIPE. */
static void writing_to_a_server_that_is_gone(void)
{
    tlsloop_client *client;
    struct peer_server *server = begin(leaves, &client);
    struct pollfd gone = { .fd = tlsloop_client_fd(client), .events = POLLRDHUP };
    CHECK(poll(&gone, 1, 10000 * (int)check_time_factor()) == 1);
    EVENTUALLY(tlsloop_client_send(client, "into the void", 13) < 0);
    for (int i = 0; i < 10; i++) CHECK(tlsloop_client_send(client, "into the void", 13) < 0);
    finish(server, client);
}

static void forges(struct peer *p, void *arg)
{
    static const char record[] = "\x17\x03\x03\x00\x20this is not encrypted, not at all.";
    (void)arg;
    tcp_send(p->fd, record, 5 + 32);
    peer_until_end(p, NULL);
}

/* L09: a TLS error is one. */
static void l09_a_forged_record(void)
{
    tlsloop_client *client;
    char buf[16];
    struct peer_server *server = begin(forges, &client);
    CHECK_EQ(tlsloop_client_recv(client, buf, sizeof buf), TLSLOOP_ETLS);
    CHECK(tlsloop_client_recv(client, buf, sizeof buf) < 0);
    CHECK(tlsloop_client_send(client, "x", 1) < 0);
    finish(server, client);
}

static void ignore(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    (void)conn;
    (void)data;
    (void)len;
}

static void answer_with_much(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_send(conn, much, sizeof much));
    CHECK_OK(tlsloop_conn_close(conn));
}

/* "all of it, or an error"; "close_notify; go on receiving" */
static void all_of_it_then_end_then_the_answer(void)
{
    struct fixture *f =
        fixture_start((struct options){ .on.data = ignore, .on.end = answer_with_much });
    tlsloop_client *client = connect_with(f->port, NULL, 0);
    for (size_t i = 0; i < sizeof much; i++) much[i] = (char)(i * 31);
    CHECK_OK(tlsloop_client_send(client, much, sizeof much));
    CHECK_OK(tlsloop_client_send(client, NULL, 0));
    CHECK_OK(tlsloop_client_end(client));
    CHECK_EQ(tlsloop_client_send(client, "late", 4), TLSLOOP_ECLOSED);
    static char buf[30000];
    uint64_t hash = FIXTURE_HASH;
    unsigned long long bytes = 0;
    long n;
    while ((n = tlsloop_client_recv(client, buf, sizeof buf)) > 0) {
        hash = fixture_hash(hash, buf, (size_t)n);
        bytes += (unsigned long long)n;
    }
    CHECK_EQ(n, 0);
    CHECK_EQ(bytes, sizeof much);
    CHECK(hash == fixture_hash(FIXTURE_HASH, much, sizeof much));
    CHECK_OK(tlsloop_client_close(client));
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    struct record r;
    CHECK(fixture_nth(f, 0, &r));
    CHECK(r.hash == hash && r.bytes == sizeof much);
    fixture_stop(f);
}

/* The edges of the calls. */
static void wrong_arguments(void)
{
    char byte;
    struct fixture *f = fixture_start((struct options){ 0 });
    tlsloop_client *client = connect_with(f->port, NULL, 0);
    CHECK_FAILS(tlsloop_client_send(client, NULL, 1), TLSLOOP_EINVAL, "data");
    CHECK_EQ(tlsloop_client_recv(client, NULL, 1), TLSLOOP_EINVAL);
    CHECK_HAS(tlsloop_last_error(), "buf");
    CHECK_OK(tlsloop_client_send(client, "1", 1));
    CHECK_EQ(tlsloop_client_recv(client, &byte, 1), 1);
    CHECK_EQ(byte, '1');
    CHECK_OK(tlsloop_client_close(client));
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    fixture_stop(f);
}

/* "io_timeout_ms: one blocking send or recv" */
static void a_silent_server(void)
{
    char byte;
    struct fixture *f = fixture_start((struct options){ .on.data = ignore });
    tlsloop_client *client = connect_with(f->port, NULL, 200);
    CHECK_EQ(tlsloop_client_recv(client, &byte, 1), TLSLOOP_ETIMEDOUT);
    CHECK(strlen(tlsloop_last_error()) > 0);
    CHECK_OK(tlsloop_client_close(client));
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

static void does_not_read(struct peer *p, void *arg)
{
    (void)arg;
    struct pollfd gone = { .fd = p->fd, .events = POLLRDHUP };
    poll(&gone, 1, 30000);
}

static void a_server_that_does_not_read(void)
{
    struct identity mine = keys_local();
    struct peer_server *server =
        peer_server_start((struct peer_server_options){ .identity = &mine, .serve = does_not_read });
    tlsloop_client *client = connect_with(peer_server_port(server), &mine, 200);
    int answer = TLSLOOP_OK;
    for (int i = 0; i < 100 && answer == TLSLOOP_OK; i++)
        answer = tlsloop_client_send(client, much, sizeof much);
    CHECK_EQ(answer, TLSLOOP_ETIMEDOUT);
    finish(server, client);
}

static int connect_only(int port, unsigned timeout_ms)
{
    tlsloop_client *client = NULL;
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    config.host = "127.0.0.1";
    config.port = (uint16_t)port;
    config.connect_timeout_ms = timeout_ms;
    return tlsloop_client_connect(&config, &client);
}

/* "connect_timeout_ms: look-up to handshake": a server that accepts and says nothing. */
static void a_server_without_a_handshake(void)
{
    int port;
    char name[32];
    int fd = tcp_listen(&port);
    snprintf(name, sizeof name, "127.0.0.1:%d", port);
    CHECK_EQ(connect_only(port, 200), TLSLOOP_ETIMEDOUT);
    CHECK_HAS(tlsloop_last_error(), name);
    close(fd);
    CHECK_EQ(connect_only(port, 0), TLSLOOP_ESYS); /* nobody listens any more */
    CHECK_HAS(tlsloop_last_error(), name);
    CHECK_HAS(tlsloop_last_error(), strerror(ECONNREFUSED));
}

static void *accept_and_hang_up(void *arg)
{
    int fd = accept(*(int *)arg, NULL, NULL);
    CHECK(fd >= 0);
    tcp_fin(fd);
    tcp_until_end(fd);
    close(fd);
    return NULL;
}

/* The end comes before the handshake has. */
static void a_server_that_hangs_up(void)
{
    int port;
    int fd = tcp_listen(&port);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, accept_and_hang_up, &fd) == 0);
    CHECK_EQ(connect_only(port, 0), TLSLOOP_ETRUNCATED);
    CHECK(pthread_join(thread, NULL) == 0);
    close(fd);
}

/* tlsloop_client_fd: a descriptor to watch; "close-on-exec everywhere". */
static void the_descriptor(void)
{
    struct fixture *f = fixture_start((struct options){ 0 });
    tlsloop_client *client = connect_with(f->port, NULL, 0);
    int fd = tlsloop_client_fd(client);
    CHECK(fd >= 0);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK_OK(tlsloop_client_close(client));
    CHECK(fcntl(fd, F_GETFD) == -1);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    fixture_stop(f);
}

static void *many_echoes(void *arg)
{
    char back[4];
    tlsloop_client *client = connect_with(*(int *)arg, NULL, 0);
    for (unsigned i = 0; i < check_scaled(100); i++) {
        CHECK_OK(tlsloop_client_send(client, &i, sizeof i));
        for (long n = 0, got; n < 4; n += got)
            CHECK((got = tlsloop_client_recv(client, back + n, sizeof back - (size_t)n)) > 0);
        CHECK(memcmp(back, &i, sizeof i) == 0);
    }
    CHECK_OK(tlsloop_client_close(client));
    return NULL;
}

/* "One thread at a time per client": several clients, a thread each. */
static void clients_in_several_threads(void)
{
    pthread_t threads[8];
    struct fixture *f = fixture_start((struct options){ .config.workers = 2 });
    for (int i = 0; i < 8; i++)
        CHECK(pthread_create(&threads[i], NULL, many_echoes, &f->port) == 0);
    for (int i = 0; i < 8; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 8);
    fixture_stop(f);
}

CHECK_MAIN(CASE(a_clean_end), CASE(l09_a_truncated_stream), CASE(l09_a_reset),
           CASE(writing_to_a_server_that_is_gone),
           CASE(l09_a_forged_record), CASE(all_of_it_then_end_then_the_answer),
           CASE(wrong_arguments), CASE(a_silent_server), CASE(a_server_that_does_not_read),
           CASE(a_server_without_a_handshake), CASE(a_server_that_hangs_up), CASE(the_descriptor),
           CASE(clients_in_several_threads))
