/*
 * How many packets it takes: send and recv are wrapped, and what the loop hands to the kernel is counted.
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "peer.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_t outside;        /* the thread of the case; all others are the library's or the host's */
static atomic_int sends;
static _Atomic(struct peer *) next; /* says what it has sealed as soon as the loop has received something */

ssize_t send(int fd, const void *data, size_t len, int flags)
{
    if (!pthread_equal(pthread_self(), outside)) sends++;
    return syscall(SYS_sendto, fd, data, len, flags, NULL, 0);
}

ssize_t recv(int fd, void *data, size_t room, int flags)
{
    ssize_t n = syscall(SYS_recvfrom, fd, data, room, flags, NULL, NULL);
    struct peer *p = n > 0 && !pthread_equal(pthread_self(), outside) ? atomic_exchange(&next, NULL) : NULL;
    if (p != NULL && peer_flush(p)) sends--; /* that one was not the loop's */
    return n;
}

static void greet(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_send(conn, "welcome", 7));
}

static struct fixture *start(struct options options)
{
    outside = pthread_self();
    return fixture_start(options);
}

/* A peer that is about to say the last of its handshake. */
static struct peer almost_there(struct fixture *f)
{
    struct peer p = peer_over_socket(tcp_connect(f->port));
    peer_last_flight(&p);
    CHECK_EQ(sends, 1);
    return p;
}

static void leave(struct fixture *f, struct peer *p)
{
    peer_leave(p);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

/* The ticket leaves with the answer. */
static void a_question_with_the_handshake(void)
{
    struct fixture *f = start((struct options){ 0 });
    struct peer p = almost_there(f);
    CHECK(peer_echo(&p, "question"));
    CHECK_EQ(sends, 2);
    leave(f, &p);
}

/* Also to a question that comes while the server is busy with the end of the handshake. */
static void a_question_behind_the_handshake(void)
{
    struct fixture *f = start((struct options){ 0 });
    struct peer p = almost_there(f);
    char end[4096], back[8];
    size_t len = peer_take(&p, end, sizeof end);
    peer_seal(&p, "question", 8);
    next = &p;
    CHECK(tcp_send(p.fd, end, len));
    EVENTUALLY(next == NULL);
    CHECK(peer_recv_all(&p, back, sizeof back) && memcmp(back, "question", sizeof back) == 0);
    CHECK_EQ(sends, 2);
    leave(f, &p);
}

/* The ticket, and close_notify. */
static void a_close_with_the_handshake(void)
{
    struct fixture *f = start((struct options){ 0 });
    struct peer p = almost_there(f);
    peer_seal_close_notify(&p);
    CHECK(peer_flush(&p));
    CHECK_EQ(peer_until_end(&p, NULL), PEER_CLEAN);
    CHECK_EQ(sends, 2);
    peer_close(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

static void a_greeting(void)
{
    struct fixture *f = start((struct options){ .on.connect = greet });
    struct peer p = almost_there(f);
    char back[7];
    CHECK(peer_flush(&p));
    CHECK(peer_recv_all(&p, back, sizeof back) && memcmp(back, "welcome", sizeof back) == 0);
    CHECK_EQ(sends, 2);
    leave(f, &p);
}

CHECK_MAIN(CASE(a_question_with_the_handshake), CASE(a_question_behind_the_handshake), CASE(a_close_with_the_handshake),
           CASE(a_greeting))
