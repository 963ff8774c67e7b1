/*
 * L12: "a TLS 1.3 client that sends its data and leaves without reading: every byte is delivered
 * although the session tickets meet a closed socket".
 *
 * The server makes its tickets when it has the client's last flight. So the worker is held at a
 * gate, inside a callback of another connection, until that flight, the data and the client's end
 * are all in the kernel and the client's socket is gone: then every ticket meets a closed socket.
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "peer.h"

#include <string.h>
#include <unistd.h>

struct gate {
    pthread_mutex_t mutex;
    tlsloop_conn conn; /* the connection that holds the worker */
};

static void hold_at_gate(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    struct gate *gate = f->context;
    (void)data;
    (void)len;
    if (conn != gate->conn) return;
    pthread_mutex_lock(&gate->mutex);
    pthread_mutex_unlock(&gate->mutex);
}

enum leaving { POLITE, BARE_FIN };

/* The last flight, `len` bytes of data and the end, all at once; then the socket is closed. */
static void say_and_leave(struct peer *p, const void *data, size_t len, enum leaving how)
{
    while (SSL_do_handshake(p->ssl) != 1) CHECK(peer_fill(p) > 0);
    peer_seal(p, data, len);
    if (how == POLITE) peer_seal_close_notify(p);
    CHECK(peer_flush(p));
    peer_close(p);
}

/* One visit while the worker is held. */
static void visit_behind_the_gate(struct fixture *f, struct peer *guard, size_t len,
                                  enum leaving how)
{
    static const char data[40000];
    struct gate *gate = f->context;
    unsigned calls = f->data_calls;
    struct peer p = peer_open(f->port, (struct peer_options){ .version = TLS1_3_VERSION });
    peer_step(&p);
    CHECK(peer_flush(&p));
    CHECK(peer_fill(&p) > 0); /* the server's flight: it now waits for the client's last */

    pthread_mutex_lock(&gate->mutex);
    CHECK(peer_send(guard, "hold", 4));
    EVENTUALLY_EQ(f->data_calls, calls + 1);
    say_and_leave(&p, data, len, how);
    pthread_mutex_unlock(&gate->mutex);
}

static void leave_without_reading(size_t len, enum leaving how, int reason)
{
    struct gate gate = { .mutex = PTHREAD_MUTEX_INITIALIZER };
    struct fixture *f = fixture_start((struct options){ .on.data = hold_at_gate, .context = &gate });
    struct peer guard = peer_connect(f->port);
    gate.conn = fixture_conn(f, 0);
    for (unsigned i = 0; i < check_scaled(50); i++) {
        struct record r;
        visit_behind_the_gate(f, &guard, len, how);
        EVENTUALLY_EQ(f->disconnects + f->handshakes_failed, i + 1);
        CHECK_EQ(f->handshakes_failed, 0); /* "a ticket that cannot be sent fails nothing" */
        CHECK(fixture_nth(f, i + 1, &r));
        CHECK_EQ(r.bytes, len);
        CHECK_STR(r.order, "cdx");
        /* The tickets were no data of the host's: a client that ends cleanly has ended cleanly. */
        if (r.reason != TLSLOOP_REASON_RESET) CHECK_EQ(r.reason, reason);
    }
    peer_leave(&guard);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER] + f->reasons[TLSLOOP_REASON_RESET] +
                      f->reasons[TLSLOOP_REASON_TRUNCATED],
                  check_scaled(50) + 1);
    fixture_stop(f);
}

static void l12_short_data_and_close_notify(void)
{
    leave_without_reading(40, POLITE, TLSLOOP_REASON_PEER);
}

/* Several records: more than one read after the tickets have failed. */
static void l12_long_data_and_close_notify(void)
{
    leave_without_reading(40000, POLITE, TLSLOOP_REASON_PEER);
}

static void l12_data_and_no_close_notify(void)
{
    leave_without_reading(20000, BARE_FIN, TLSLOOP_REASON_TRUNCATED);
}

/* The same without a gate, many times, as it comes: the syslog client of the field. */
static void l12_many_short_lived_senders(void)
{
    static const char line[] = "<13>a line for the log\n";
    unsigned visits = check_scaled(300);
    struct gate gate = { .mutex = PTHREAD_MUTEX_INITIALIZER };
    struct fixture *f = fixture_start((struct options){
        .on.data = hold_at_gate,
        .context = &gate,
        .config.workers = 2,
    });
    for (unsigned i = 0; i < visits; i++) {
        struct peer p = peer_open(f->port, (struct peer_options){ .version = TLS1_3_VERSION });
        peer_step(&p);
        CHECK(peer_flush(&p));
        say_and_leave(&p, line, sizeof line, POLITE);
    }
    EVENTUALLY_EQ(f->disconnects + f->handshakes_failed, visits);
    CHECK_EQ(f->handshakes_failed, 0);
    CHECK_EQ(f->bytes, visits * sizeof line);
    fixture_stop(f);
}

static void host_speaks_first(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_send(conn, "a greeting that nobody reads", 28));
}

/* A greeting meets the closed socket too: what the client had said still arrives first. */
static void a_greeting_that_meets_a_closed_socket(void)
{
    struct gate gate = { .mutex = PTHREAD_MUTEX_INITIALIZER };
    struct fixture *f = fixture_start((struct options){
        .on.connect = host_speaks_first,
        .on.data = hold_at_gate,
        .context = &gate,
    });
    struct peer guard = peer_connect(f->port);
    gate.conn = fixture_conn(f, 0);
    for (unsigned i = 0; i < check_scaled(50); i++) {
        struct record r;
        visit_behind_the_gate(f, &guard, 40, POLITE);
        EVENTUALLY_EQ(f->disconnects, i + 1);
        CHECK(fixture_nth(f, i + 1, &r));
        CHECK_EQ(r.bytes, 40);
    }
    CHECK_EQ(f->handshakes_failed, 0);
    peer_leave(&guard);
    fixture_stop(f);
}

static unsigned tickets;

static int count_ticket(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    (void)session;
    tickets++;
    return 0;
}

/* A client that is silent itself, of a server that is silent too, has its ticket for the next time. */
static void a_ticket_though_nobody_speaks(void)
{
    struct fixture *f = fixture_start((struct options){ 0 });
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    CHECK(ctx != NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(ctx, count_ticket);
    struct peer p = peer_connect_with(f->port, (struct peer_options){ .context = ctx, .version = TLS1_3_VERSION });
    char buf[16];
    while (tickets == 0) {
        CHECK(peer_fill(&p) > 0);
        SSL_read(p.ssl, buf, sizeof buf);
    }
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
    SSL_CTX_free(ctx);
}

CHECK_MAIN(CASE(a_ticket_though_nobody_speaks), CASE(l12_short_data_and_close_notify), CASE(l12_long_data_and_close_notify),
           CASE(l12_data_and_no_close_notify), CASE(l12_many_short_lived_senders),
           CASE(a_greeting_that_meets_a_closed_socket))
