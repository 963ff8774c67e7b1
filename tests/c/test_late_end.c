/* Ends that cross: what the one side says of its own, and what it does not know yet of the other. */
#define _GNU_SOURCE
#include "fixture.h"
#include "peer.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static _Atomic tlsloop_conn ended;

/* The worker waits here while the case goes on; for the one that ended, nothing more is read. */
static void pause_and_wait(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_pause(conn));
    ended = conn;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

/* "Bytes accepted by send are handed to this machine's kernel, or the reason is not HOST or PEER." */
static void check_late_end(int mode, bool with_tls)
{
    char bytes[4000] = { 0 };
    struct fixture *f = fixture_start((struct options){ .on.end = pause_and_wait, .config = { .mode = mode } });
    struct peer p = { .fd = tcp_connect(f->port) };
    ended = 0;
    CHECK_EQ(pthread_mutex_lock(&gate), 0);
    if (with_tls) {
        p = peer_over_socket(p.fd);
        CHECK(peer_handshake(&p));
        CHECK(peer_close_notify(&p));
    } else {
        tcp_fin(p.fd);
    }
    EVENTUALLY(ended != 0);
    if (with_tls) peer_reset(&p);
    else tcp_reset(p.fd);
    CHECK_OK(tlsloop_conn_send(ended, bytes, sizeof bytes));
    CHECK_OK(tlsloop_conn_end(ended));
    CHECK_EQ(pthread_mutex_unlock(&gate), 0);
    EVENTUALLY_EQ(f->disconnects, 1);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_RESET], 1);
    fixture_stop(f);
}

static void wait_at_gate(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f, (void)data, (void)len;
    ended = conn;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

/*
 * The peer has said goodbye before it tore the connection down, and nothing of the host's was on its way: it is the peer's
 * end, though the ticket found nobody any more.
 */
static void a_goodbye_before_the_reset(void)
{
    struct fixture *f = fixture_start((struct options){ .on.data = wait_at_gate });
    struct peer p = peer_over_socket(tcp_connect(f->port));
    ended = 0;
    CHECK_EQ(pthread_mutex_lock(&gate), 0);
    peer_last_flight(&p);
    CHECK(peer_send(&p, "x", 1)); /* together with the last of the handshake */
    EVENTUALLY(ended != 0);
    CHECK(peer_close_notify(&p));
    peer_reset(&p);
    CHECK_EQ(pthread_mutex_unlock(&gate), 0);
    EVENTUALLY_EQ(f->disconnects, 1);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    fixture_stop(f);
}

static void *send_second(void *conn)
{
    CHECK_OK(tlsloop_conn_send(*(tlsloop_conn *)conn, "second", 6));
    return NULL;
}

static void hold_or_answer_twice(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    pthread_t thread;
    if (len == 4) return wait_at_gate(f, conn, data, len);
    CHECK_OK(tlsloop_conn_send(conn, "first", 5));
    CHECK(pthread_create(&thread, NULL, send_second, &conn) == 0 && pthread_join(thread, NULL) == 0);
}

/* The peer is gone when it is answered, and the first part of the answer tells so before the second, which another thread
 * has sent, is taken over. */
static void what_another_thread_sent_is_lost_with_a_reason(void)
{
    struct fixture *f = fixture_start((struct options){
        .on.data = hold_or_answer_twice, .config.mode = TLSLOOP_MODE_PLAIN });
    int guard = tcp_connect(f->port), fd = tcp_connect(f->port);
    EVENTUALLY_EQ(f->connects, 2);
    tlsloop_conn conn = fixture_conn(f, 1);
    CHECK_OK(tlsloop_conn_pause(conn)); /* so that question and end are found together */
    CHECK(tcp_send(fd, "question", 8));
    close(fd);
    check_nap(50);
    ended = 0;
    CHECK_EQ(pthread_mutex_lock(&gate), 0);
    CHECK(tcp_send(guard, "hold", 4));
    EVENTUALLY(ended != 0);
    CHECK_OK(tlsloop_conn_resume(conn));
    CHECK_EQ(pthread_mutex_unlock(&gate), 0);
    EVENTUALLY_EQ(f->disconnects, 1);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_RESET], 1);
    close(guard);
    EVENTUALLY_EQ(f->disconnects, 2);
    fixture_stop(f);
}

static void in_plain_text(void) { check_late_end(TLSLOOP_MODE_PLAIN, false); }
static void with_tls(void) { check_late_end(TLSLOOP_MODE_TLS, true); }

CHECK_MAIN(CASE(in_plain_text), CASE(with_tls), CASE(a_goodbye_before_the_reset),
           CASE(what_another_thread_sent_is_lost_with_a_reason))
