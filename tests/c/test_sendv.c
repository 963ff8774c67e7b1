/* conn_sendv: several pieces, "as one send". */
#define _GNU_SOURCE
#include "fixture.h"
#include "measure.h"
#include "peer.h"
#include "stage.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PIECE(text) { text, sizeof text - 1 }

static char block[1 << 20];

static void send_pieces(struct fixture *f, tlsloop_conn conn)
{
    static const tlsloop_slice parts[] = {
        PIECE("HTTP/1.1 200 OK\r\n"), { NULL, 0 }, PIECE("\r\n"), { "", 0 }, PIECE("body"),
    };
    (void)f;
    CHECK_OK(tlsloop_conn_sendv(conn, parts, 5));
    CHECK_OK(tlsloop_conn_send(conn, "!", 1));
    CHECK_EQ(tlsloop_conn_queued(conn), 24);
}

/* "as one send": the pieces in their order, and all that a send is, from a callback and from elsewhere. */
static void pieces_arrive_in_order(void)
{
    char got[24];
    struct fixture *f = fixture_start((struct options){ .on.connect = send_pieces });
    struct peer p = peer_connect(f->port);
    for (int i = 0; i < 2; i++) {
        CHECK(peer_recv_all(&p, got, sizeof got));
        CHECK(memcmp(got, "HTTP/1.1 200 OK\r\n\r\nbody!", sizeof got) == 0);
        tlsloop_slice again[] = { PIECE("HTTP/1.1 200"), PIECE(" OK\r\n\r\nbody!") };
        CHECK_OK(tlsloop_conn_sendv(fixture_conn(f, 0), again, 2));
        memset(again, 0, sizeof again); /* copied */
    }
    peer_leave(&p);
    fixture_stop(f);
}

static void only_swallow(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    (void)conn;
}

/* What is wrong, and what is nothing. */
static void arguments(void)
{
    static const tlsloop_slice bad[] = { PIECE("good"), { NULL, 3 } };
    static const tlsloop_slice nothing[] = { { NULL, 0 }, { "", 0 } };
    struct fixture *f = fixture_start((struct options){ .on.connect = only_swallow });
    struct peer p = peer_connect(f->port);
    tlsloop_conn conn = fixture_conn(f, 0);
    CHECK_EQ(tlsloop_conn_sendv(conn, NULL, 1), TLSLOOP_EINVAL);
    CHECK_EQ(tlsloop_conn_sendv(conn, bad, 2), TLSLOOP_EINVAL);
    static const tlsloop_slice endless[] = { PIECE("a"), { "b", SIZE_MAX / 4 }, { "c", SIZE_MAX / 4 }, { "d", 1 } };
    CHECK_FAILS(tlsloop_conn_sendv(conn, endless, 4), TLSLOOP_EINVAL, "sum");
    CHECK_EQ(tlsloop_conn_queued(conn), 0); /* all or nothing */
    CHECK_OK(tlsloop_conn_sendv(conn, NULL, 0));
    CHECK_OK(tlsloop_conn_sendv(conn, nothing, 2));
    CHECK_OK(tlsloop_conn_sendv(conn, bad, 1));
    char got[4];
    CHECK(peer_recv_all(&p, got, 4));
    CHECK(memcmp(got, "good", 4) == 0);
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    CHECK_EQ(tlsloop_conn_sendv(conn, bad, 1), TLSLOOP_ECLOSED);
    CHECK_EQ(tlsloop_conn_sendv(conn, nothing, 2), TLSLOOP_ECLOSED);
    fixture_stop(f);
}

/* "refused with EFULL while the queue is at or above high water, else takes all of it, whatever its size" */
static void full_or_all_of_it(struct fixture *f, tlsloop_conn conn)
{
    const tlsloop_slice parts[] = { { block, sizeof block }, { block, 1 }, { block, sizeof block } };
    (void)f;
    CHECK_OK(tlsloop_conn_sendv(conn, parts + 1, 1));
    CHECK_OK(tlsloop_conn_sendv(conn, parts, 3)); /* far beyond high water, but it was not full before */
    size_t queued = tlsloop_conn_queued(conn);
    CHECK_EQ(queued, 2 * sizeof block + 2);
    CHECK_EQ(tlsloop_conn_sendv(conn, parts + 1, 1), TLSLOOP_EFULL);
    CHECK_EQ(tlsloop_conn_sendv(conn, parts, 3), TLSLOOP_EFULL);
    CHECK_EQ(tlsloop_conn_queued(conn), queued);
}

static void all_or_nothing_at_high_water(void)
{
    static char got[2 * sizeof block + 2];
    struct fixture *f = fixture_start((struct options){
        .on.connect = full_or_all_of_it,
        .config.send_high_water = 1000,
    });
    struct peer p = peer_connect(f->port);
    CHECK(peer_recv_all(&p, got, sizeof got));
    EVENTUALLY_EQ(f->drains, 1);
    CHECK_EQ(fixture_stats(f).sends_refused, 2);
    CHECK_EQ(fixture_stats(f).bytes_out, sizeof got);
    peer_leave(&p);
    fixture_stop(f);
}

/* "as one send": none gets between, whoever sends at the same time. */
enum { THREADS = 4, PIECES = 6, PIECE_LEN = 700 };

struct sender {
    tlsloop_conn conn;
    char mark;
    pthread_t thread;
};

static void *send_marked(void *arg)
{
    const struct sender *sender = arg;
    char piece[PIECE_LEN];
    tlsloop_slice parts[PIECES];
    memset(piece, sender->mark, sizeof piece);
    for (int i = 0; i < PIECES; i++) parts[i] = (tlsloop_slice){ piece, sizeof piece };
    for (unsigned i = 0; i < check_scaled(2000); i++) {
        int answer;
        while ((answer = tlsloop_conn_sendv(sender->conn, parts, PIECES)) == TLSLOOP_EFULL) check_nap(1);
        CHECK_OK(answer);
    }
    return NULL;
}

static void nothing_gets_between(void)
{
    static char got[PIECES * PIECE_LEN];
    struct sender senders[THREADS];
    struct fixture *f = fixture_start((struct options){ .on.data = stage_swallow });
    struct peer p = peer_connect(f->port);
    for (int i = 0; i < THREADS; i++) {
        senders[i] = (struct sender){ .conn = fixture_conn(f, 0), .mark = (char)('a' + i) };
        CHECK(pthread_create(&senders[i].thread, NULL, send_marked, &senders[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS * check_scaled(2000); i++) {
        CHECK(peer_recv_all(&p, got, sizeof got));
        for (size_t at = 1; at < sizeof got; at++) CHECK_EQ(got[at], got[0]);
    }
    for (int i = 0; i < THREADS; i++) CHECK(pthread_join(senders[i].thread, NULL) == 0);
    peer_leave(&p);
    fixture_stop(f);
}

/* "TLSLOOP_ENOMEM: send queue": what cannot be queued at all is refused, and the connection goes on. */
static void more_than_there_is_memory(void)
{
    if (check_under_asan() || check_under_valgrind()) check_skip("its allocator ends the program");
    enum { MANY = 8192 };
    size_t gigabyte = (size_t)1 << 30;
    static tlsloop_slice parts[MANY];
    void *zeroes = mmap(NULL, gigabyte, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (zeroes == MAP_FAILED) check_skip("the machine does not lend a gigabyte of zeroes");
    for (int i = 0; i < MANY; i++) parts[i] = (tlsloop_slice){ zeroes, gigabyte };
    struct fixture *f = fixture_start((struct options){ 0 });
    struct peer p = peer_connect(f->port);
    CHECK_FAILS(tlsloop_conn_sendv(fixture_conn(f, 0), parts, MANY), TLSLOOP_ENOMEM, "queue");
    CHECK_EQ(tlsloop_conn_queued(fixture_conn(f, 0)), 0);
    CHECK(peer_echo(&p, "goes on"));
    peer_leave(&p);
    fixture_stop(f);
    munmap(zeroes, gigabyte);
}

CHECK_MAIN(CASE(pieces_arrive_in_order), CASE(arguments), CASE(all_or_nothing_at_high_water),
           CASE(nothing_gets_between), CASE(more_than_there_is_memory))
