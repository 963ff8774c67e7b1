/*
 * Half a message of TLS has come, the rest is on its way (RFC 8446, 5.1: records may cut a message anywhere). OpenSSL then
 * neither writes nor ends; what the host asked for waits for the rest, and is not forgotten.
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "keys.h"
#include "peer.h"
#include "policy.h"
#include "stage.h"

#include <sys/socket.h>
#include <unistd.h>

/* AWS-LC collects such a message aside, and writes and ends meanwhile. */
static bool waits_for_the_rest(void)
{
    return !policy_on_aws_lc();
}

/* The peer: a server of OpenSSL alone, whose tickets are far longer than its records. */
static int make_a_long_ticket(SSL *ssl, void *arg)
{
    static const char filling[2000];
    (void)arg;
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), filling, sizeof filling);
}

static SSL_TICKET_RETURN take_no_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t len,
                                        SSL_TICKET_STATUS status, void *arg)
{
    (void)ssl, (void)session, (void)name, (void)len, (void)status, (void)arg;
    return SSL_TICKET_RETURN_IGNORE;
}

static SSL_CTX *make_context(void)
{
    struct identity mine = keys_local();
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    CHECK(context != NULL);
    CHECK(SSL_CTX_use_certificate_chain_file(context, mine.chain) == 1);
    CHECK(SSL_CTX_use_PrivateKey_file(context, mine.key, SSL_FILETYPE_PEM) == 1);
    CHECK(SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1);
    CHECK(SSL_CTX_set_session_ticket_cb(context, make_a_long_ticket, take_no_ticket, NULL) == 1);
    CHECK(SSL_CTX_set_max_send_fragment(context, 512) == 1);
    CHECK(SSL_CTX_set_num_tickets(context, 0) == 1);
    return context;
}

static struct peer accept_peer(int listener)
{
    SSL_CTX *context = make_context();
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    CHECK(fd >= 0);
    struct peer p = peer_accepted(fd, context);
    SSL_CTX_free(context);
    CHECK(peer_handshake(&p));
    return p;
}

static size_t take_record(struct peer *p, unsigned char *to)
{
    CHECK_EQ(peer_take(p, to, 5), 5);
    size_t len = (size_t)to[3] << 8 | to[4];
    CHECK_EQ(peer_take(p, to + 5, len), len);
    return 5 + len;
}

/* Two bytes of data and the first record of a ticket, which come at once. The rest of the ticket is kept. */
static void send_two_bytes_and_half_a_ticket(struct peer *p)
{
    static unsigned char bytes[2 * (5 + 512 + 256)];
    peer_seal(p, "go", 2);
    CHECK_EQ(SSL_new_session_ticket(p->ssl), 1);
    CHECK_EQ(SSL_do_handshake(p->ssl), 1);
    size_t n = take_record(p, bytes);
    n += take_record(p, bytes + n);
    CHECK(BIO_ctrl_pending(p->out) > 512);
    CHECK(tcp_send(p->fd, bytes, n));
}

/* The rest is never sent. What the peer would say after it is of no use, then. */
static void forget_the_rest(struct peer *p)
{
    (void)BIO_reset(p->out);
}

/* A server that has connected to the peer, and heard so much. */
static struct fixture *begin(struct hooks on, unsigned close_timeout_ms, struct peer *p)
{
    int port;
    tlsloop_conn conn;
    struct fixture *f = stage_start((struct options){
        .on = on, .config = { .listen_fd = TLSLOOP_NO_LISTENER, .mode = TLSLOOP_MODE_PLAIN,
                              .close_timeout_ms = close_timeout_ms } }, NULL);
    int listener = tcp_listen(&port);
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    config.host = "127.0.0.1";
    config.port = (uint16_t)port;
    config.tls = policy_new();
    CHECK_OK(tlsloop_tls_set_verify(config.tls, TLSLOOP_VERIFY_NONE));
    CHECK_OK(tlsloop_server_connect(f->server, &config, &conn));
    tlsloop_tls_free(config.tls);
    *p = accept_peer(listener);
    close(listener);
    send_two_bytes_and_half_a_ticket(p);
    EVENTUALLY_EQ(f->bytes, 2);
    return f;
}

static void close_it(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f, (void)data, (void)len;
    CHECK_OK(tlsloop_conn_close(conn));
}

static void end_it(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f, (void)data, (void)len;
    CHECK_OK(tlsloop_conn_end(conn));
}

static void answer_and_close(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    CHECK_OK(tlsloop_conn_send(conn, "answer", 6));
    close_it(f, conn, data, len);
}

static void answer_and_end(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    CHECK_OK(tlsloop_conn_send(conn, "answer", 6));
    end_it(f, conn, data, len);
}

static void pause_and_end(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    CHECK_OK(tlsloop_conn_pause(conn));
    end_it(f, conn, data, len);
}

/* "conn_close: flush, close_notify", "conn_end: flush, close_notify": once the rest has come. */
static void the_end_comes_behind_the_rest(void (*data)(struct fixture *, tlsloop_conn, const void *, size_t),
                                          unsigned long long answered)
{
    struct peer p;
    unsigned long long bytes = 0;
    struct fixture *f = begin((struct hooks){ .data = data }, TLSLOOP_NONE, &p);
    check_nap(20);
    CHECK_EQ(f->disconnects, 0);
    CHECK(peer_flush(&p));
    CHECK_EQ(peer_until_end(&p, &bytes), PEER_CLEAN);
    CHECK_EQ(bytes, answered);
    peer_leave(&p);
    if (data != pause_and_end) EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_HOST], 1);
    fixture_stop(f);
}

static void a_close_waits_for_the_rest(void)
{
    the_end_comes_behind_the_rest(close_it, 0);
}

static void an_end_waits_for_the_rest(void)
{
    the_end_comes_behind_the_rest(end_it, 0);
}

static void an_answer_and_a_close_wait_for_the_rest(void)
{
    the_end_comes_behind_the_rest(answer_and_close, 6);
}

static void an_answer_and_an_end_wait_for_the_rest(void)
{
    the_end_comes_behind_the_rest(answer_and_end, 6);
}

/* A pause holds back on_data, and not our own end. */
static void an_end_waits_for_the_rest_in_a_pause(void)
{
    the_end_comes_behind_the_rest(pause_and_end, 0);
}

/* "Every wait of tlsloop's own has a deadline": "if it ends with bytes unsent: SEND_TIMEOUT; else HOST". */
static void the_close_timeout_bounds_the_wait(void)
{
    struct peer p;
    unsigned ms = 200 * check_time_factor();
    if (!waits_for_the_rest()) return;
    struct fixture *f = begin((struct hooks){ .data = close_it }, ms, &p);
    forget_the_rest(&p);
    CHECK_EQ(peer_until_end(&p, NULL), PEER_FIN);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_HOST], 1);
    peer_close(&p);
    fixture_stop(f);
    f = begin((struct hooks){ .data = answer_and_close }, ms, &p);
    forget_the_rest(&p);
    CHECK_EQ(peer_until_end(&p, NULL), PEER_RESET);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_SEND_TIMEOUT], 1);
    peer_close(&p);
    fixture_stop(f);
}

/* A peer that ends instead sends no rest: there is nothing left to wait for. */
static void a_peer_that_leaves_is_not_waited_for(void)
{
    struct peer p;
    struct fixture *f = begin((struct hooks){ .data = close_it }, TLSLOOP_NONE, &p);
    peer_close(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_HOST], 1);
    fixture_stop(f);
    f = begin((struct hooks){ .data = end_it }, TLSLOOP_NONE, &p);
    peer_close(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_TRUNCATED], 1);
    fixture_stop(f);
}

/* What comes instead may be no TLS: a host that still receives is told; one that closes is not. */
static void rubbish_instead_of_the_rest(void)
{
    static const char rubbish[] = "\x17\x03\x03\x00\x20this is not encrypted, not at all.";
    struct peer p;
    struct fixture *f = begin((struct hooks){ .data = end_it }, TLSLOOP_NONE, &p);
    CHECK(tcp_send(p.fd, rubbish, 5 + 32));
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PROTOCOL], 1);
    peer_close(&p);
    fixture_stop(f);
    f = begin((struct hooks){ .data = close_it }, TLSLOOP_NONE, &p);
    CHECK(tcp_send(p.fd, rubbish, 5 + 32));
    check_nap(20);
    CHECK_EQ(f->disconnects, 0);
    peer_close(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_HOST], 1);
    fixture_stop(f);
}

CHECK_MAIN(CASE(a_close_waits_for_the_rest), CASE(an_end_waits_for_the_rest),
           CASE(an_answer_and_a_close_wait_for_the_rest), CASE(an_answer_and_an_end_wait_for_the_rest),
           CASE(an_end_waits_for_the_rest_in_a_pause), CASE(the_close_timeout_bounds_the_wait),
           CASE(a_peer_that_leaves_is_not_waited_for), CASE(rubbish_instead_of_the_rest))
