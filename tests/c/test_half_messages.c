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

#include <pthread.h>
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
static void forget_the_rest(struct peer *p) { (void)BIO_reset(p->out); }

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

/* Also if it comes piece by piece. */
static void the_rest_comes_in_pieces_in_a_pause(void)
{
    struct peer p;
    unsigned char piece[300];
    struct fixture *f = begin((struct hooks){ .data = pause_and_end }, TLSLOOP_NONE, &p);
    for (size_t n; (n = peer_take(&p, piece, sizeof piece)) > 0;) {
        check_nap(5);
        CHECK(tcp_send(p.fd, piece, n));
    }
    CHECK_EQ(peer_until_end(&p, NULL), PEER_CLEAN);
    peer_leave(&p);
    fixture_stop(f);
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
    if (!waits_for_the_rest()) check_skip("AWS-LC ends meanwhile");
    struct peer p;
    struct fixture *f = begin((struct hooks){ .data = close_it }, TLSLOOP_NONE, &p);
    peer_close(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_HOST], 1);
    fixture_stop(f);
    f = begin((struct hooks){ .data = end_it }, TLSLOOP_NONE, &p);
    peer_close(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_TRUNCATED], 1);
    fixture_stop(f);
    f = begin((struct hooks){ .data = answer_and_end }, TLSLOOP_NONE, &p);
    peer_close(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_TRUNCATED], 1);
    fixture_stop(f);
    f = begin((struct hooks){ .data = answer_and_close }, TLSLOOP_NONE, &p);
    peer_close(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_HOST], !waits_for_the_rest()); /* "handed to the kernel, or the reason is not HOST" */
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

/* The blocking client, and the peer in a thread. */
struct talk {
    int listener;
    void (*serve)(struct talk *t, struct peer *p);
    tlsloop_client *client;
    pthread_t thread;
    atomic_bool begun; /* the client has been asked for something, and has yet to answer */
};

static void *run(void *arg)
{
    struct talk *t = arg;
    struct peer p = accept_peer(t->listener);
    send_two_bytes_and_half_a_ticket(&p);
    EVENTUALLY(t->begun);
    check_nap(20);
    t->serve(t, &p);
    peer_close(&p);
    return NULL;
}

static void talk_begin(struct talk *t, void (*serve)(struct talk *t, struct peer *p), unsigned io_timeout_ms)
{
    char data[2];
    int port;
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    *t = (struct talk){ .listener = tcp_listen(&port), .serve = serve };
    CHECK(pthread_create(&t->thread, NULL, run, t) == 0);
    config.host = "127.0.0.1";
    config.port = (uint16_t)port;
    config.io_timeout_ms = io_timeout_ms;
    config.tls = policy_new();
    CHECK_OK(tlsloop_tls_set_verify(config.tls, TLSLOOP_VERIFY_NONE));
    CHECK_OK(tlsloop_client_connect(&config, &t->client));
    tlsloop_tls_free(config.tls);
    CHECK_EQ(tlsloop_client_recv(t->client, data, sizeof data), 2);
    t->begun = true;
}

static void talk_finish(struct talk *t)
{
    CHECK_OK(tlsloop_client_close(t->client));
    CHECK(pthread_join(t->thread, NULL) == 0);
    close(t->listener);
}

static void send_the_rest_and_more(struct talk *t, struct peer *p)
{
    (void)t;
    CHECK(peer_flush(p));
    CHECK(peer_send(p, "more", 4));
    CHECK_EQ(peer_until_end(p, NULL), PEER_CLEAN);
    CHECK(peer_close_notify(p));
    tcp_until_end(p->fd);
}

/* "client_end: close_notify; go on receiving": OK is the answer only when it has left. */
static void the_clients_end_waits_for_the_rest(void)
{
    struct talk t;
    char data[5];
    talk_begin(&t, send_the_rest_and_more, 0);
    CHECK_OK(tlsloop_client_end(t.client));
    CHECK_EQ(tlsloop_client_recv(t.client, data, sizeof data), 4);
    CHECK_EQ(tlsloop_client_recv(t.client, data, sizeof data), 0);
    talk_finish(&t);
}

/* "client_close: close_notify, if nothing has failed before" */
static void the_clients_close_waits_for_the_rest(void)
{
    if (!waits_for_the_rest()) check_skip("AWS-LC ends meanwhile");
    struct talk t;
    talk_begin(&t, send_the_rest_and_more, 0);
    talk_finish(&t);
}

static void send_no_rest(struct talk *t, struct peer *p)
{
    (void)t;
    forget_the_rest(p);
    peer_until_end(p, NULL);
}

/* "otherwise as client_send: ETIMEDOUT after io_timeout_ms in all" */
static void the_clients_end_does_not_wait_for_ever(void)
{
    struct talk t;
    if (!waits_for_the_rest()) return;
    talk_begin(&t, send_no_rest, 200);
    CHECK_FAILS(tlsloop_client_end(t.client), TLSLOOP_ETIMEDOUT, "half a message");
    talk_finish(&t);
}

static void see_a_reset(struct talk *t, struct peer *p)
{
    (void)t;
    forget_the_rest(p);
    CHECK_EQ(peer_until_end(p, NULL), PEER_RESET);
}

/* "After a send that timed out the server gets a reset", though all that was handed to the kernel has left. */
static void the_clients_send_is_cut_off(void)
{
    struct talk t;
    if (!waits_for_the_rest()) return;
    talk_begin(&t, see_a_reset, 200);
    CHECK_FAILS(tlsloop_client_send(t.client, "x", 1), TLSLOOP_ETIMEDOUT, "half a message");
    talk_finish(&t);
}

static void end_instead(struct talk *t, struct peer *p)
{
    (void)t;
    tcp_fin(p->fd);
    tcp_until_end(p->fd);
}

/* A server that ends instead sends no rest: the call fails at once. */
static void the_clients_calls_do_not_wait_for_a_server_that_ends(void)
{
    struct talk t;
    char byte;
    if (!waits_for_the_rest()) return;
    for (int sends = 0; sends < 2; sends++) {
        talk_begin(&t, end_instead, TLSLOOP_NONE);
        int code = sends ? tlsloop_client_send(t.client, "x", 1) : tlsloop_client_end(t.client);
        CHECK_EQ(code, TLSLOOP_ETLS);
        CHECK_HAS(tlsloop_last_error(), "in the middle of a message");
        CHECK_EQ(tlsloop_client_recv(t.client, &byte, 1), TLSLOOP_ETRUNCATED);
        talk_finish(&t);
    }
}

CHECK_MAIN(CASE(a_close_waits_for_the_rest), CASE(an_end_waits_for_the_rest),
           CASE(an_answer_and_a_close_wait_for_the_rest), CASE(an_answer_and_an_end_wait_for_the_rest),
           CASE(an_end_waits_for_the_rest_in_a_pause), CASE(the_rest_comes_in_pieces_in_a_pause),
           CASE(the_close_timeout_bounds_the_wait), CASE(a_peer_that_leaves_is_not_waited_for),
           CASE(rubbish_instead_of_the_rest), CASE(the_clients_end_waits_for_the_rest),
           CASE(the_clients_close_waits_for_the_rest), CASE(the_clients_end_does_not_wait_for_ever),
           CASE(the_clients_send_is_cut_off), CASE(the_clients_calls_do_not_wait_for_a_server_that_ends))
