/*
 * What a peer can make OpenSSL do without a byte of data: new keys (RFC 8446, 4.6.3), which are derived and answered
 * each time, though nobody reads the answers.
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "measure.h"
#include "peer.h"
#include "policy.h"
#include "stage.h"

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static atomic_int worker; /* its gettid */

static void note_worker(struct fixture *f, unsigned number)
{
    (void)f;
    (void)number;
    worker = gettid();
}

/* No time limits but this one: what does not end by itself stays. */
static struct fixture *start(struct hooks on, unsigned send_timeout_ms)
{
    int port;
    on.worker_start = note_worker;
    struct fixture *f = stage_start((struct options){
        .on = on, .config = { .listen_fd = tcp_listen_small(&port), .send_timeout_ms = send_timeout_ms,
                              .close_timeout_ms = TLSLOOP_NONE } }, NULL);
    f->loose_descriptors = true; /* the listening socket was there before, and goes with the server */
    return f;
}

/* One message that asks for new keys, kept. */
static void seal_key_update(struct peer *p)
{
    CHECK_EQ(SSL_key_update(p->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    CHECK_EQ(SSL_do_handshake(p->ssl), 1);
}

static struct peer connect_deaf(struct fixture *f)
{
    int little = 1;
    struct peer_options options = { .version = TLS1_3_VERSION, .receive_buffer = 2048 };
    struct peer p = peer_connect_with(f->port, options);
    CHECK(setsockopt(p.fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof little) == 0);
    return p;
}

static unsigned long long sealed; /* bytes of data among the key updates */
enum { UNSENT = 20 };             /* of those, what a peer keeps at most that is not taken from it */

/* Asks for new keys, with a byte of data now and then, as long as the kernel takes it; whether it took anything. */
static bool ask(struct peer *p)
{
    char *rest, used[4096];
    bool sent_any = false;
    for (;;) {
        for (int i = 0; BIO_ctrl_pending(p->out) < sizeof used; i++) {
            seal_key_update(p);
            if (i % 10 != 0) continue;
            peer_seal(p, "x", 1);
            sealed++;
        }
        (void)BIO_get_mem_data(p->out, &rest);
        ssize_t n = send(p->fd, rest, sizeof used, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0) return sent_any;
        CHECK_EQ(BIO_read(p->out, used, (int)n), n);
        sent_any = true;
    }
}

/* Asks, and never reads, until nothing more is taken. */
static void ask_until_nothing_is_taken(struct peer *p)
{
    for (unsigned idle = 0; idle < 200; idle++) {
        if (ask(p)) idle = 0;
        check_nap(1);
    }
}

/* AWS-LC answers once, with the next data of ours (RFC 8446, 4.6.3 allows it): nobody can leave its answers unread. */
static bool answers_at_once(void)
{
    return !policy_on_aws_lc();
}

/* L16: "neither stalls nor spins": nothing more is read until the answers leave, and the worker sleeps. */
static void l16_answers_that_nobody_reads(void)
{
    if (!answers_at_once()) return;
    struct fixture *f = start((struct hooks){ .data = stage_swallow }, TLSLOOP_NONE);
    struct peer p = connect_deaf(f), other = peer_connect(f->port);
    ask_until_nothing_is_taken(&p);
    for (int i = 0; i < 20; i++) EVENTUALLY(measure_sleeps(worker));
    CHECK(peer_send(&other, "served", 6));
    peer_leave(&other);
    EVENTUALLY_EQ(f->disconnects, 1);
    peer_reset(&p);
    EVENTUALLY_EQ(f->disconnects, 2);
    fixture_stop(f);
}

/* … and goes on where it stopped when the peer reads after all, though no event tells of what was read before. */
static void l16_answers_that_are_read_late(void)
{
    if (!answers_at_once()) return;
    struct fixture *f = start((struct hooks){ .data = stage_swallow }, TLSLOOP_NONE);
    struct peer p = connect_deaf(f);
    ask_until_nothing_is_taken(&p);
    for (int i = 0; i < 20; i++) EVENTUALLY(measure_sleeps(worker));
    char buf[4096];
    /* Nothing new is sent to it; all but the last few, which may be unsent, lie in its own hands or the kernel's. */
    EVENTUALLY((recv(p.fd, buf, sizeof buf, MSG_DONTWAIT), f->bytes + UNSENT >= sealed));
    peer_reset(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

/* "Every wait of tlsloop's own (handshake, send, close) has a deadline": also for what the host knows nothing of. */
static void l28_answers_that_nobody_reads_have_a_deadline(void)
{
    if (!answers_at_once()) return;
    struct fixture *f = start((struct hooks){ .data = stage_swallow }, 500 * check_time_factor());
    struct peer p = connect_deaf(f);
    EVENTUALLY((ask(&p), f->reasons[TLSLOOP_REASON_SEND_TIMEOUT] == 1));
    peer_close(&p);
    fixture_stop(f);
}

/* The blocking client to a server that asks, and does not read. Its socket has as little room as the server's. */
struct talk {
    tlsloop_client *client;
    pthread_t thread;
    unsigned io_timeout_ms;
    int port;
    atomic_int tid; /* once the client is connected */
    atomic_int sent; /* what tlsloop_client_send answered */
    atomic_ullong bytes;
};

static void connect_client(struct talk *t)
{
    int little = 1;
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    config.host = "127.0.0.1";
    config.port = (uint16_t)t->port;
    config.io_timeout_ms = t->io_timeout_ms;
    config.tls = policy_new();
    CHECK_OK(tlsloop_tls_set_verify(config.tls, TLSLOOP_VERIFY_NONE));
    CHECK_OK(tlsloop_client_connect(&config, &t->client));
    tlsloop_tls_free(config.tls);
    int fd = tlsloop_client_fd(t->client);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof little) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little) == 0);
    t->tid = gettid();
}

static void *receive(void *arg)
{
    struct talk *t = arg;
    char buf[4096];
    long n;
    if (!t->client) connect_client(t);
    while ((n = tlsloop_client_recv(t->client, buf, sizeof buf)) > 0) t->bytes += (unsigned long long)n;
    return NULL;
}

static void *send_much_and_receive(void *arg)
{
    static char much[1 << 20];
    struct talk *t = arg;
    connect_client(t);
    t->sent = tlsloop_client_send(t->client, much, sizeof much);
    return receive(t);
}

static struct peer talk_begin(struct talk *t, void *(*talk)(void *))
{
    struct identity mine = keys_local();
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    CHECK(context != NULL);
    CHECK(SSL_CTX_use_certificate_chain_file(context, mine.chain) == 1);
    CHECK(SSL_CTX_use_PrivateKey_file(context, mine.key, SSL_FILETYPE_PEM) == 1);
    int listener = tcp_listen_small(&t->port);
    CHECK(pthread_create(&t->thread, NULL, talk, t) == 0);
    struct peer p = peer_accepted(accept(listener, NULL, NULL), context);
    SSL_CTX_free(context);
    CHECK(peer_handshake(&p));
    close(listener);
    EVENTUALLY(t->tid);
    ask_until_nothing_is_taken(&p);
    return p;
}

/* "tlsloop_client_recv waits": also where it is not for bytes, but for room for the answers; and then it goes on. */
static void a_client_that_receives_waits_for_room(void)
{
    struct talk t = { .io_timeout_ms = TLSLOOP_NONE };
    char buf[4096];
    if (!answers_at_once()) return;
    struct peer p = talk_begin(&t, receive);
    for (int i = 0; i < 20; i++) EVENTUALLY(measure_sleeps(t.tid));
    EVENTUALLY((recv(p.fd, buf, sizeof buf, MSG_DONTWAIT), t.bytes + UNSENT >= sealed));
    peer_reset(&p);
    CHECK(pthread_join(t.thread, NULL) == 0);
    CHECK_OK(tlsloop_client_close(t.client));
}

/* "client_send: ETIMEDOUT"; "client_recv goes on": with all that has arrived, for no answer can follow what was cut off. */
static void a_client_that_sends_waits_for_room(void)
{
    struct talk t = { .io_timeout_ms = 3000 * check_time_factor() };
    if (!answers_at_once()) return;
    struct peer p = talk_begin(&t, send_much_and_receive);
    for (int i = 0; i < 20; i++) EVENTUALLY(measure_sleeps(t.tid));
    EVENTUALLY_EQ(t.sent, TLSLOOP_ETIMEDOUT);
    EVENTUALLY(t.bytes + UNSENT >= sealed);
    peer_reset(&p);
    CHECK(pthread_join(t.thread, NULL) == 0);
    CHECK_OK(tlsloop_client_close(t.client));
}

/* L26: "work per turn is bounded": who sends dozens of them at once, and no data among them, is left. There is room for all
 * of them, so that they come at once. */
static void l26_a_burst_of_key_updates_ends_the_connection(void)
{
    struct fixture *f = stage_start((struct options){ 0 }, NULL);
    struct peer p = peer_connect_with(f->port, (struct peer_options){ .version = TLS1_3_VERSION });
    struct peer other = peer_connect(f->port);
    for (int i = 0; i < 100; i++) seal_key_update(&p);
    CHECK(peer_flush(&p));
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PROTOCOL], 1);
    CHECK_HAS(stage_ended(f, 0).why, "too many messages");
    CHECK(peer_echo(&other, "still here"));
    peer_close(&p);
    peer_leave(&other);
    EVENTUALLY_EQ(f->disconnects, 2);
    fixture_stop(f);
}

/* A long life with many keys is nobody's offence: here as many with data between. */
static void key_updates_with_data_between(void)
{
    static const char text[] = "0123456789";
    char back[400];
    struct fixture *f = start((struct hooks){ 0 }, TLSLOOP_NONE);
    struct peer p = peer_connect_with(f->port, (struct peer_options){ .version = TLS1_3_VERSION });
    for (unsigned i = 0; i < 40; i++) {
        for (int k = 0; k < 20; k++) seal_key_update(&p);
        peer_seal(&p, text, 10);
    }
    CHECK(peer_flush(&p));
    CHECK(peer_recv_all(&p, back, sizeof back));
    for (unsigned i = 0; i < sizeof back; i++) CHECK_EQ(back[i], text[i % 10]);
    peer_leave(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    fixture_stop(f);
}

static void close_it(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    (void)data;
    (void)len;
    CHECK_OK(tlsloop_conn_close(conn));
}

/* L10: "reads and drops until the peer's end or close_timeout_ms", without spinning, also what is no TLS any more. */
static void l10_what_is_no_tls_is_dropped_while_closing(void)
{
    static const char rubbish[] = "this is no record of TLS, and the server does not wait for one any more";
    struct fixture *f = start((struct hooks){ .data = close_it }, TLSLOOP_NONE);
    struct peer p = peer_connect(f->port);
    CHECK(peer_send(&p, "close", 5));
    CHECK_EQ(peer_until_end(&p, NULL), PEER_CLEAN);
    CHECK(tcp_send(p.fd, rubbish, sizeof rubbish));
    for (int i = 0; i < 20; i++) EVENTUALLY(measure_sleeps(worker));
    CHECK(tcp_send(p.fd, rubbish, sizeof rubbish));
    for (int i = 0; i < 20; i++) EVENTUALLY(measure_sleeps(worker));
    CHECK_EQ(f->disconnects, 0);
    peer_close(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_HOST], 1);
    fixture_stop(f);
}

CHECK_MAIN(CASE(l16_answers_that_nobody_reads), CASE(l16_answers_that_are_read_late),
           CASE(a_client_that_receives_waits_for_room), CASE(a_client_that_sends_waits_for_room),
           CASE(l28_answers_that_nobody_reads_have_a_deadline),
           CASE(l26_a_burst_of_key_updates_ends_the_connection), CASE(key_updates_with_data_between),
           CASE(l10_what_is_no_tls_is_dropped_while_closing))
