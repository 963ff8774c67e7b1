/*
 * Short reads and writes: "one byte at a time both ways". The kernel gives one byte for each recv and takes one
 * for each send, or a few, and nobody notices: not in a handshake, a header, a record, nor an end.
 */
#define _GNU_SOURCE
#include "dial.h"
#include "header.h"
#include "interpose.h"
#include "keys.h"
#include "stage.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MUCH = 40000 };

static void mark_call(bool inside)
{
    interpose_marked = inside;
}

static void mark_worker(struct fixture *f, unsigned worker)
{
    (void)f;
    (void)worker;
    if (!host_wanted()) interpose_marked = true;
}

static struct fixture *start(int mode)
{
    interpose_seen = 0;
    return stage_start((struct options){ .on.worker_start = mark_worker, .around = mark_call,
                                         .config = { .mode = mode, .proxy_protocol = mode == TLSLOOP_MODE_TLS,
                                                     .proxy_trusted = "127.0.0.1" } }, NULL);
}

/* The last visitor was served to its end, and as many calls were made as so few bytes each need. */
static void finish(struct fixture *f, size_t bytes)
{
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    CHECK_EQ(f->bytes, bytes);
    CHECK(interpose_seen > 2 * bytes / interpose_most);
    fixture_stop(f);
}

static size_t much(void)
{
    return check_scaled(MUCH);
}

/* What goes there comes back. */
static void echo_much_in_plain(int fd)
{
    size_t len = much();
    char *out = malloc(len), *in = malloc(len);
    CHECK(out != NULL && in != NULL);
    for (size_t i = 0; i < len; i++) out[i] = (char)(i * 31 + i / 251);
    CHECK(tcp_send(fd, out, len));
    for (size_t have = 0; have < len;) {
        long n = tcp_recv(fd, in + have, len - have);
        CHECK(n > 0);
        have += (size_t)n;
    }
    CHECK(memcmp(in, out, len) == 0);
    free(out);
    free(in);
}

static void echo_much(struct peer *p)
{
    size_t len = much();
    char *out = malloc(len), *in = malloc(len);
    CHECK(out != NULL && in != NULL);
    for (size_t i = 0; i < len; i++) out[i] = (char)(i * 31 + i / 251);
    CHECK(peer_send(p, out, len) && peer_recv_all(p, in, len));
    CHECK(memcmp(in, out, len) == 0);
    free(out);
    free(in);
}

static void leave(struct peer *p)
{
    CHECK(peer_close_notify(p));
    CHECK_EQ(peer_until_end(p, NULL), PEER_CLEAN);
    peer_close(p);
}

static void tls_behind_a_proxy_header(int version)
{
    struct header h;
    struct fixture *f = start(TLSLOOP_MODE_TLS);
    struct peer p = peer_open(f->port, (struct peer_options){ .version = version });
    header_v2(&h, HEADER_PROXY, HEADER_TCP4);
    CHECK(tcp_send(p.fd, h.bytes, h.len));
    CHECK(peer_handshake(&p));
    echo_much(&p);
    leave(&p);
    finish(f, much());
}

static void plain_text(void)
{
    struct fixture *f = start(TLSLOOP_MODE_PLAIN);
    int fd = tcp_connect(f->port);
    echo_much_in_plain(fd);
    tcp_fin(fd);
    CHECK_EQ(tcp_until_end(fd), PEER_FIN);
    close(fd);
    finish(f, much());
}

static void detected(void)
{
    struct fixture *f = start(TLSLOOP_MODE_DETECT);
    struct peer p = peer_connect(f->port);
    echo_much(&p);
    leave(&p);
    finish(f, much());
}

static void start_tls_or_echo(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    struct record r;
    CHECK(fixture_find(f, conn, &r));
    CHECK_OK(tlsloop_conn_send(conn, data, len));
    if (r.bytes == 5) CHECK_OK(tlsloop_conn_start_tls(conn));
}

static void after_start_tls(void)
{
    interpose_seen = 0;
    struct fixture *f = stage_start((struct options){
        .on = { .worker_start = mark_worker, .data = start_tls_or_echo },
        .around = mark_call, .config.mode = TLSLOOP_MODE_STARTTLS }, NULL);
    int fd = tcp_connect(f->port);
    CHECK(tcp_send(fd, "begin", 5));
    CHECK(dial_expect(fd, "begin"));
    struct peer p = peer_over_socket(fd);
    CHECK(peer_handshake(&p));
    echo_much(&p);
    leave(&p);
    finish(f, much() + 5);
}

static void every_way(size_t bytes)
{
    interpose_most = bytes;
    tls_behind_a_proxy_header(TLS1_2_VERSION);
    tls_behind_a_proxy_header(TLS1_3_VERSION);
    plain_text();
    detected();
    after_start_tls();
}

static void one_byte_at_a_time(void)
{
    every_way(1);
}

/* Where the cuts fall differs. */
static void a_few_bytes_at_a_time(void)
{
    every_way(2);
    every_way(7);
    every_way(4099);
}

/* The blocking client, whose server gets its bytes as they come. */
static void the_client_too(void)
{
    char back[5000], out[sizeof back];
    struct identity mine = keys_local();
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    tlsloop_client *client = NULL;
    tlsloop_tls *tls = tlsloop_tls_new();
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, mine.chain, mine.key));
    struct fixture *far = stage_start((struct options){ .config.tls = tls }, NULL);
    memset(out, 'x', sizeof out);
    config.host = "localhost";
    config.port = (uint16_t)far->port;
    config.tls = tlsloop_tls_new();
    CHECK_OK(tlsloop_tls_set_trust_file(config.tls, mine.chain));
    interpose_most = 1;
    interpose_marked = true;
    CHECK_OK(tlsloop_client_connect(&config, &client));
    CHECK_OK(tlsloop_client_send(client, out, sizeof out));
    for (size_t have = 0; have < sizeof back;) {
        long n = tlsloop_client_recv(client, back + have, sizeof back - have);
        CHECK(n > 0);
        have += (size_t)n;
    }
    CHECK(memcmp(out, back, sizeof out) == 0);
    CHECK_OK(tlsloop_client_end(client));
    CHECK_EQ(tlsloop_client_recv(client, back, sizeof back), 0);
    CHECK_OK(tlsloop_client_close(client));
    interpose_marked = false;
    CHECK(interpose_seen > 2 * sizeof out);
    tlsloop_tls_free(config.tls);
    tlsloop_tls_free(tls);
    EVENTUALLY_EQ(far->reasons[TLSLOOP_REASON_PEER], 1);
    far->loose_threads = far->loose_descriptors = true;
    fixture_stop(far);
}

CHECK_MAIN(CASE(one_byte_at_a_time), CASE(a_few_bytes_at_a_time), CASE(the_client_too))
