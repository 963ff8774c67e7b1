/* The idle timeout: "idle only if set", for all connections and for one. */
#define _GNU_SOURCE
#include "fixture.h"
#include "peer.h"
#include "stage.h"

#include <string.h>

enum { SHORT_MS = 200, LONG_MS = 3600000 };

static void set_short(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_set_idle_timeout(conn, SHORT_MS));
}

static void check_timed_out(struct fixture *f, struct peer *p)
{
    CHECK_EQ(peer_until_end(p, NULL), PEER_CLEAN); /* good manners: close_notify */
    struct record r = stage_ended(f, 0);
    CHECK_EQ(r.reason, TLSLOOP_REASON_IDLE_TIMEOUT);
    CHECK_EQ(f->disconnects, 1);
    peer_close(p);
    fixture_stop(f);
}

/* "idle_timeout_ms" of the configuration, after traffic and without any. */
static void of_the_configuration(void)
{
    for (int speaks = 0; speaks < 2; speaks++) {
        struct fixture *f = fixture_start((struct options){ .config.idle_timeout_ms = SHORT_MS });
        long long before = check_now_ms();
        struct peer p = peer_connect(f->port);
        if (speaks) CHECK(peer_echo(&p, "hello"));
        check_timed_out(f, &p);
        CHECK(check_now_ms() - before >= SHORT_MS - 10); /* never early */
    }
}

/* "conn_set_idle_timeout": in a callback, and from another thread on a connection that is idle already. */
static void of_one_connection(void)
{
    struct fixture *f = fixture_start((struct options){ .on.connect = set_short });
    struct peer p = peer_connect(f->port);
    check_timed_out(f, &p);

    f = fixture_start((struct options){ 0 });
    p = peer_connect(f->port);
    tlsloop_conn conn = fixture_conn(f, 0);
    check_nap(50);
    CHECK_OK(tlsloop_conn_set_idle_timeout(conn, SHORT_MS));
    CHECK_EQ(peer_until_end(&p, NULL), PEER_CLEAN);
    EVENTUALLY_EQ(f->disconnects, 1);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_IDLE_TIMEOUT], 1);
    CHECK_EQ(tlsloop_conn_set_idle_timeout(conn, SHORT_MS), TLSLOOP_ECLOSED);
    peer_close(&p);
    fixture_stop(f);
}

/* A longer one than the configuration's, and a shorter one after it. */
static void the_last_one_counts(void)
{
    struct fixture *f = fixture_start((struct options){ .config.idle_timeout_ms = LONG_MS });
    struct peer p = peer_connect(f->port);
    CHECK_OK(tlsloop_conn_set_idle_timeout(fixture_conn(f, 0), LONG_MS / 2));
    CHECK_OK(tlsloop_conn_set_idle_timeout(fixture_conn(f, 0), SHORT_MS));
    check_timed_out(f, &p);
}

static void set_never(struct fixture *f, tlsloop_conn conn)
{
    CHECK_OK(tlsloop_conn_set_idle_timeout(conn, *(unsigned *)f->context));
}

/* "of a timeout: never": TLSLOOP_NONE, and 0, take the configuration's away. */
static void none_is_never(void)
{
    unsigned values[] = { TLSLOOP_NONE, 0 };
    for (int i = 0; i < 2; i++) {
        struct fixture *f = fixture_start((struct options){
            .on.connect = set_never,
            .context = &values[i],
            .config.idle_timeout_ms = SHORT_MS,
        });
        struct peer p = peer_connect(f->port);
        check_nap(4 * SHORT_MS);
        CHECK_EQ(f->disconnects, 0);
        CHECK(peer_echo(&p, "still there"));
        CHECK_OK(tlsloop_conn_set_idle_timeout(fixture_conn(f, 0), SHORT_MS));
        check_timed_out(f, &p);
    }
    struct fixture *f = fixture_start((struct options){ .config.idle_timeout_ms = TLSLOOP_NONE });
    struct peer p = peer_connect(f->port);
    check_nap(300);
    CHECK(peer_echo(&p, "never"));
    peer_leave(&p);
    fixture_stop(f);
}

/* Whoever speaks, in either direction, is not idle. The steps are far shorter than the timeout, so that
 * only a machine that sleeps through 20 of them could fail this. */
static void speaking_renews_it(void)
{
    char got[1];
    struct fixture *f = fixture_start((struct options){
        .on.data = stage_swallow,
        .config.idle_timeout_ms = 2000,
    });
    struct peer p = peer_connect(f->port);
    tlsloop_conn conn = fixture_conn(f, 0);
    for (int i = 0; i < 60; i++) {
        check_nap(50);
        if (i < 30) {
            CHECK(peer_send(&p, "x", 1));
        } else {
            CHECK_OK(tlsloop_conn_send(conn, "y", 1));
            CHECK(peer_recv_all(&p, got, 1));
        }
    }
    CHECK_EQ(f->bytes, 30);
    CHECK_EQ(f->disconnects, 0);
    CHECK_OK(tlsloop_conn_set_idle_timeout(conn, SHORT_MS));
    check_timed_out(f, &p);
}

/* "Milliseconds without a byte in either direction": be it less than a record. */
static void a_record_that_comes_slowly(void)
{
    enum { PIECES = 40 };
    static char data[PIECES * 100], record[2 * sizeof data];
    struct fixture *f = fixture_start((struct options){ .config.idle_timeout_ms = 1000 * check_time_factor() });
    struct peer p = peer_connect(f->port);
    peer_seal(&p, data, sizeof data);
    size_t n = peer_take(&p, record, sizeof record), piece = n / PIECES + 1;
    for (size_t at = 0; at < n; at += piece) {
        CHECK(tcp_send(p.fd, record + at, n - at < piece ? n - at : piece));
        check_nap(50 * check_time_factor());
    }
    EVENTUALLY_EQ(f->bytes, sizeof data);
    CHECK_EQ(f->disconnects, 0);
    peer_leave(&p);
    fixture_stop(f);
}

/* The handshake's deadline is not the idle timeout, nor the reverse: "the deadline ends with the handshake". */
static void the_handshakes_deadline_ends_with_it(void)
{
    unsigned deadline = 500 * check_time_factor();
    struct fixture *f = fixture_start((struct options){ .config.handshake_timeout_ms = deadline });
    struct peer p = peer_connect(f->port);
    check_nap(2 * deadline);
    CHECK(peer_echo(&p, "idle is allowed"));
    peer_leave(&p);
    fixture_stop(f);
}

static void send_nothing(tlsloop_conn conn, void *arg)
{
    /* The last one runs at the end. */
    if (tlsloop_conn_send(conn, "", 0) != TLSLOOP_OK) return;
    CHECK_OK(tlsloop_conn_post_after(conn, SHORT_MS / 4, send_nothing, arg));
}

static void send_nothing_again_and_again(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_post_after(conn, SHORT_MS / 4, send_nothing, NULL));
}

/* "without a byte in either direction": an empty send is none. */
static void an_empty_send_renews_nothing(void)
{
    struct fixture *f = fixture_start((struct options){
        .on.connect = send_nothing_again_and_again, .config.idle_timeout_ms = SHORT_MS });
    struct peer p = peer_connect(f->port);
    check_timed_out(f, &p);
}

CHECK_MAIN(CASE(of_the_configuration), CASE(of_one_connection), CASE(the_last_one_counts),
           CASE(none_is_never), CASE(speaking_renews_it), CASE(a_record_that_comes_slowly),
           CASE(the_handshakes_deadline_ends_with_it), CASE(an_empty_send_renews_nothing))
