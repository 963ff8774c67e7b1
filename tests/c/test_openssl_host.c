/*
 * A host that uses OpenSSL itself, in the same process and on the same threads: what it leaves in OpenSSL's error queue
 * is never taken for tlsloop's own, what tlsloop does leaves nothing there, and neither needs to be the first.
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "keys.h"
#include "peer_server.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <unistd.h>

#define WORDS "the words of the host"

static void know_the_words(void)
{
    static ERR_STRING_DATA words[] = { { ERR_PACK(ERR_LIB_USER, 0, 1), WORDS }, { 0, NULL } };
    CHECK(ERR_load_strings(ERR_LIB_USER, words) == 1);
}

/* What would mislead somebody who asks OpenSSL, or errno, what has just happened. */
static void leave_errors(void)
{
    ERR_raise(ERR_LIB_USER, 1);
    ERR_raise(ERR_LIB_SSL, SSL_R_UNEXPECTED_EOF_WHILE_READING);
    ERR_raise(ERR_LIB_PEM, PEM_R_NO_START_LINE);
    errno = ECONNRESET;
}

static void has_none_of_ours(const char *text)
{
    if (strstr(text, WORDS)) check_failed(__FILE__, __LINE__, "tlsloop says: \"%s\"", text);
}

#define DESPITE_ERRORS(call) (leave_errors(), CHECK_OK(call))

/* The call fails for a reason of its own: it adds nothing to an empty queue, and reads nothing of a full one. */
#define FAILS_BY_ITSELF(call, code, part)       \
    do {                                        \
        ERR_clear_error();                      \
        CHECK_FAILS(call, code, part);          \
        CHECK_EQ(ERR_peek_error(), 0);          \
        leave_errors();                         \
        CHECK_FAILS(call, code, part);          \
        has_none_of_ours(tlsloop_last_error()); \
    } while (0)

static tlsloop_tls *policy_despite_errors(const struct identity *who)
{
    const char *garbage = keys_file("garbage.pem", "no certificate\n", 15);
    leave_errors();
    tlsloop_tls *tls = tlsloop_tls_new();
    CHECK(tls != NULL);
    FAILS_BY_ITSELF(tlsloop_tls_add_certificate_file(tls, "/nowhere/a.pem", who->key), TLSLOOP_ESYS, "/nowhere/a.pem");
    FAILS_BY_ITSELF(tlsloop_tls_add_certificate_file(tls, garbage, who->key), TLSLOOP_ETLS, "garbage.pem");
    FAILS_BY_ITSELF(tlsloop_tls_set_ciphers(tls, "NO-SUCH-CIPHER", NULL), TLSLOOP_EINVAL, "NO-SUCH-CIPHER");
    FAILS_BY_ITSELF(tlsloop_tls_set_groups(tls, "no-such-group"), TLSLOOP_EINVAL, "no-such-group");
    DESPITE_ERRORS(tlsloop_tls_add_certificate_file(tls, who->chain, who->key));
    DESPITE_ERRORS(tlsloop_tls_add_self_signed(tls, "second.example"));
    DESPITE_ERRORS(tlsloop_tls_set_trust_file(tls, who->chain));
    return tls;
}

static void talk_despite_errors(int port, tlsloop_tls *tls)
{
    char back[4];
    tlsloop_info info = TLSLOOP_INFO_INIT;
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    tlsloop_client *client = NULL;
    config.host = "127.0.0.1";
    config.port = (uint16_t)port;
    FAILS_BY_ITSELF(tlsloop_client_connect(&config, &client), TLSLOOP_EVERIFY, "127.0.0.1"); /* the system's trust */
    config.tls = tls;
    DESPITE_ERRORS(tlsloop_client_connect(&config, &client));
    DESPITE_ERRORS(tlsloop_client_info(client, &info));
    DESPITE_ERRORS(tlsloop_client_send(client, "echo", 4));
    leave_errors();
    CHECK_EQ(tlsloop_client_recv(client, back, sizeof back), 4);
    DESPITE_ERRORS(tlsloop_client_end(client));
    leave_errors();
    CHECK_EQ(tlsloop_client_recv(client, back, sizeof back), 0);
    DESPITE_ERRORS(tlsloop_client_close(client));
}

/* L21: "misreports no other error: OpenSSL's error queue is empty before each call and after each failure" */
static void l21_errors_left_before_calls(void)
{
    struct identity mine = keys_local();
    know_the_words();
    tlsloop_tls *tls = policy_despite_errors(&mine);
    leave_errors();
    struct fixture *f = fixture_start((struct options){ .config.tls = tls });
    talk_despite_errors(f->port, tls);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    EVENTUALLY_EQ(f->handshakes_failed + f->disconnects, 3);
    leave_errors();
    fixture_stop(f);
    tlsloop_tls_free(tls);
}

/* --- In callbacks ------------------------------------------------------------------------------------------------- */

/* What the host does in each callback, before and after the callback's own work. */
struct habit {
    void (*first)(void), (*last)(void);
};

#define FIRST(f) ((const struct habit *)(f)->context)->first()
#define LAST(f) ((const struct habit *)(f)->context)->last()

static void both(struct fixture *f)
{
    FIRST(f);
    LAST(f);
}

static void each_connect(struct fixture *f, tlsloop_conn conn)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    FIRST(f);
    CHECK_OK(tlsloop_conn_info(conn, &info));
    LAST(f);
}

/* "close" is a command; everything else comes back. */
static void each_data(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    FIRST(f);
    CHECK_OK(tlsloop_conn_send(conn, data, len));
    if (len == 5 && memcmp(data, "close", 5) == 0) CHECK_OK(tlsloop_conn_close(conn));
    LAST(f);
}

static void each_end(struct fixture *f, tlsloop_conn conn)
{
    FIRST(f);
    CHECK_OK(tlsloop_conn_close(conn));
    LAST(f);
}

static void each_disconnect(struct fixture *f, tlsloop_conn conn, int reason)
{
    (void)conn, (void)reason;
    has_none_of_ours(tlsloop_last_error());
    both(f);
}

static int each_accept(struct fixture *f, const char *peer)
{
    (void)peer;
    both(f);
    return 0;
}

static void each_failure(struct fixture *f, tlsloop_conn conn, int code, const char *peer, const char *why)
{
    (void)conn, (void)peer;
    CHECK_EQ(code, TLSLOOP_ETLS);
    has_none_of_ours(why);
    both(f);
}

static void each_log(struct fixture *f, int level, const char *line)
{
    (void)level;
    has_none_of_ours(line);
    both(f);
}

static void each_worker(struct fixture *f, unsigned worker)
{
    (void)worker;
    both(f);
}

/* One worker, so that all connections share one error queue. */
static struct fixture *start_with(const struct habit *habit)
{
    return fixture_start((struct options){
        .on = { .connect = each_connect, .data = each_data, .end = each_end, .disconnect = each_disconnect,
                .accept = each_accept, .handshake_failed = each_failure, .log = each_log,
                .worker_start = each_worker, .worker_stop = each_worker },
        .context = (void *)habit,
        .config = { .workers = 1, .log_level = TLSLOOP_LOG_DEBUG },
    });
}

static void talk_no_tls(int port)
{
    int fd = tcp_connect(port);
    CHECK(tcp_send(fd, "GET / HTTP/1.1\r\n\r\n", 18));
    tcp_until_end(fd);
    close(fd);
}

/* A connection that breaks off in the middle of its TLS. */
static void damage(int port)
{
    struct peer p = peer_connect(port);
    CHECK(peer_echo(&p, "sound"));
    CHECK(tcp_send(p.fd, "\x17\x03\x03\x00\x20 these are no encrypted bytes....", 5 + 32));
    tcp_until_end(p.fd);
    peer_close(&p);
}

/* One peer for each way to end, `rounds` times, beside one who stays. */
static void every_end_is_told_right(const struct habit *habit, unsigned rounds)
{
    struct fixture *f = start_with(habit);
    struct peer steady = peer_connect(f->port);
    for (unsigned i = 0; i < rounds; i++) {
        struct peer polite = peer_connect(f->port), rude = peer_connect(f->port), closed = peer_connect(f->port);
        talk_no_tls(f->port);
        CHECK(peer_echo(&steady, "steady") && peer_echo(&polite, "polite") && peer_echo(&rude, "rude"));
        CHECK(peer_echo(&closed, "close"));
        CHECK_EQ(peer_until_end(&closed, NULL), PEER_CLEAN);
        peer_leave(&closed);
        damage(f->port);
        peer_leave(&polite);
        tcp_fin(rude.fd);
        peer_until_end(&rude, NULL);
        peer_close(&rude);
        EVENTUALLY_EQ(f->disconnects + f->handshakes_failed, 5 * (i + 1));
    }
    CHECK_EQ(f->reasons[TLSLOOP_REASON_PEER], rounds);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_TRUNCATED], rounds);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_HOST], rounds);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_PROTOCOL], rounds);
    CHECK_EQ(f->handshakes_failed, rounds);
    CHECK(peer_echo(&steady, "still steady"));
    peer_leave(&steady);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], rounds + 1);
    fixture_stop(f);
}

static void nothing(void) {}

static void l21_errors_left_in_callbacks(void)
{
    static const struct habit careless = { nothing, leave_errors };
    know_the_words();
    every_end_is_told_right(&careless, check_scaled(10));
}

static void is_empty(void)
{
    unsigned long error = ERR_peek_error();
    if (error) check_failed(__FILE__, __LINE__, "a callback finds \"%s\"", ERR_error_string(error, NULL));
}

/* The other way round: a host that asks SSL_get_error in a callback is not answered with tlsloop's errors. */
static void callbacks_find_an_empty_queue(void)
{
    static const struct habit watchful = { is_empty, is_empty };
    every_end_is_told_right(&watchful, check_scaled(10));
}

/* --- The host's own TLS ------------------------------------------------------------------------------------------- */

static struct {
    SSL_CTX *server, *client, *careful; /* the last one trusts nobody */
} own;

static void make_own(void)
{
    struct identity mine = keys_local();
    own.server = SSL_CTX_new(TLS_server_method());
    own.client = SSL_CTX_new(TLS_client_method());
    own.careful = SSL_CTX_new(TLS_client_method());
    CHECK(own.server && own.client && own.careful);
    CHECK(SSL_CTX_use_certificate_chain_file(own.server, mine.chain) == 1);
    CHECK(SSL_CTX_use_PrivateKey_file(own.server, mine.key, SSL_FILETYPE_PEM) == 1);
    SSL_CTX_set_verify(own.careful, SSL_VERIFY_PEER, NULL);
}

static void free_own(void)
{
    SSL_CTX_free(own.server), SSL_CTX_free(own.client), SSL_CTX_free(own.careful);
}

/* Whether a client and a server of the host's, with memory between them, come to terms. */
static bool own_handshake(SSL_CTX *client_context)
{
    BIO *a, *b;
    SSL *client = SSL_new(client_context), *server = SSL_new(own.server);
    int done = 0;
    CHECK(client && server && BIO_new_bio_pair(&a, 0, &b, 0) == 1);
    SSL_set_bio(client, a, a);
    SSL_set_bio(server, b, b);
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
    ERR_clear_error();
    for (int step = 0; step < 20 && done != 2; step++)
        done = (SSL_do_handshake(client) == 1) + (SSL_do_handshake(server) == 1);
    SSL_free(client);
    SSL_free(server);
    return done == 2;
}

/* Leaves behind what the failure has put into the queue, and what the thread holds. */
static void use_own_tls(void)
{
    CHECK(own_handshake(own.client));
    CHECK(!own_handshake(own.careful));
    CHECK(ERR_peek_error() != 0);
}

static void own_tls_inside_callbacks(void)
{
    static const struct habit busy = { use_own_tls, use_own_tls };
    make_own();
    every_end_is_told_right(&busy, check_scaled(3));
    free_own();
}

/* What a host may do at the end of a piece of work, to give back what OpenSSL keeps for the thread. */
static void clean_ups_inside_callbacks(void)
{
    static const struct habit tidy = { nothing, OPENSSL_thread_stop };
    every_end_is_told_right(&tidy, check_scaled(5));
}

struct visits {
    int port;
    unsigned times;
};

static void *visit(void *arg)
{
    const struct visits *v = arg;
    for (unsigned i = 0; i < v->times; i++) {
        struct peer p = peer_connect(v->port);
        CHECK(peer_echo(&p, "one of many"));
        peer_leave(&p);
    }
    return NULL;
}

static void serve_own(struct peer *p, void *arg)
{
    char buf[256];
    long n;
    (void)arg;
    while ((n = peer_recv(p, buf, sizeof buf)) > 0) CHECK(peer_send(p, buf, (size_t)n));
    CHECK_EQ(n, PEER_CLEAN);
}

/* A server and clients of OpenSSL alone, on threads beside those of tlsloop. */
static void own_server_and_clients_beside(void)
{
    enum { THREADS = 2 }; /* of each kind */
    pthread_t threads[2 * THREADS];
    struct identity mine = keys_local();
    struct peer_server *own_server =
        peer_server_start((struct peer_server_options){ .identity = &mine, .serve = serve_own });
    struct fixture *f = fixture_start((struct options){ .config.workers = 2 });
    f->loose_threads = f->loose_descriptors = true; /* the own server's thread has some, now and then */
    struct visits visits[2] = { { f->port, check_scaled(50) }, { peer_server_port(own_server), check_scaled(50) } };
    for (int i = 0; i < 2 * THREADS; i++) CHECK(pthread_create(&threads[i], NULL, visit, &visits[i % 2]) == 0);
    for (int i = 0; i < 2 * THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], THREADS * visits[0].times);
    fixture_stop(f);
    peer_server_stop(own_server);
}

static void one_visit(void)
{
    struct fixture *f = fixture_start((struct options){ 0 });
    visit(&(struct visits){ f->port, 1 });
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

/* The host initialises OpenSSL in its own way, and uses it before and after tlsloop. */
static void the_host_is_first(void)
{
    CHECK(OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CONFIG, NULL) == 1);
    make_own();
    CHECK(own_handshake(own.client));
    one_visit();
    CHECK(own_handshake(own.client));
    free_own();
}

/* And what has gone with its server has taken nothing of OpenSSL with it. */
static void tlsloop_is_first(void)
{
    tlsloop_tls *tls = tlsloop_tls_new();
    CHECK_OK(tlsloop_tls_add_self_signed(tls, "localhost"));
    tlsloop_tls_free(tls);
    one_visit();
    the_host_is_first();
}

CHECK_MAIN(CASE(l21_errors_left_before_calls), CASE(l21_errors_left_in_callbacks),
           CASE(callbacks_find_an_empty_queue), CASE(own_tls_inside_callbacks), CASE(clean_ups_inside_callbacks),
           CASE(own_server_and_clients_beside), CASE(the_host_is_first), CASE(tlsloop_is_first))
