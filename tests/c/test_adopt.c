/* tlsloop_server_adopt: "the host accepts", in every mode, also without a listener and on descriptor 0. */
#define _GNU_SOURCE
#include "child.h"
#include "dial.h"
#include "fixture.h"
#include "peer.h"
#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int mine; /* its address is the data of each connection */

static void check_data(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK(tlsloop_conn_data(conn) == &mine); /* "from the start" */
}

static void start_tls(struct fixture *f, tlsloop_conn conn)
{
    check_data(f, conn);
    CHECK_OK(tlsloop_conn_start_tls(conn));
}

static int refuse(struct fixture *f, const char *peer)
{
    (void)f;
    check_failed(__FILE__, __LINE__, "the host is asked about %s, which it accepted itself", peer);
}

static struct fixture *without_listener(struct options options)
{
    options.config.listen_fd = TLSLOOP_NO_LISTENER;
    if (!options.on.accept) options.on.accept = refuse;
    return stage_start(options, NULL);
}

static tlsloop_conn adopt(struct fixture *f, int fd)
{
    tlsloop_conn conn = 0;
    CHECK_OK(tlsloop_server_adopt(f->server, fd, &mine, &conn));
    CHECK(conn != 0);
    return conn;
}

static bool is_closed(int fd)
{
    return fcntl(fd, F_GETFD) == -1 && errno == EBADF;
}

static tlsloop_info info_of(tlsloop_conn conn)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    CHECK_OK(tlsloop_conn_info(conn, &info));
    return info;
}

static void check_counted_once(struct fixture *f)
{
    tlsloop_stats stats = fixture_stats(f);
    CHECK_EQ(stats.accepted, 1);
    CHECK_EQ(stats.connects, 1);
    CHECK_EQ(stats.disconnects_by_reason[TLSLOOP_REASON_PEER], 1);
    CHECK_EQ(stats.handshaking, 0);
    CHECK_EQ(stats.queued_bytes, 0);
}

/* One adopted connection, from its coming to its going; `secure`: its peer speaks TLS. */
static void comes_and_goes(struct options options, bool secure)
{
    struct fixture *f = without_listener(options);
    int ends[2];
    char own[64];
    dial_accepted(ends);
    dial_name(ends[0], own, sizeof own);
    tlsloop_conn conn = adopt(f, ends[1]);
    struct peer p = { .fd = ends[0] };
    if (secure) p = dial_tls(ends[0]);
    if (secure) CHECK(peer_echo(&p, "through TLS"));
    if (!secure) CHECK(tcp_send(ends[0], "in the clear", 12) && dial_expect(ends[0], "in the clear"));
    CHECK(fixture_conn(f, 0) == conn); /* "its id matches adopt's … out" */
    CHECK_STR(info_of(conn).peer, own);
    CHECK_EQ(info_of(conn).is_tls, secure);
    if (secure) peer_leave(&p);
    else close(ends[0]);
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_PEER);
    EVENTUALLY(is_closed(ends[1])); /* it "passes to the server" */
    EVENTUALLY_EQ(fixture_stats(f).open, 0);
    check_counted_once(f);
    fixture_stop(f);
}

static void in_every_mode(void)
{
    comes_and_goes((struct options){ .on.connect = check_data }, true);
    comes_and_goes((struct options){ .on.connect = check_data, .config.mode = TLSLOOP_MODE_PLAIN }, false);
    comes_and_goes((struct options){ .on.connect = check_data, .config.mode = TLSLOOP_MODE_DETECT }, true);
    comes_and_goes((struct options){ .on.connect = check_data, .config.mode = TLSLOOP_MODE_DETECT }, false);
    comes_and_goes((struct options){ .on.connect = check_data, .config.mode = TLSLOOP_MODE_STARTTLS }, false);
    comes_and_goes((struct options){ .on.connect = start_tls, .config.mode = TLSLOOP_MODE_STARTTLS }, true);
}

/* "TLSLOOP_NO_LISTENER": there is no port and nothing to hand over; after a drain the host may still bring its own. */
static void without_a_listener(void)
{
    struct fixture *f = without_listener((struct options){ .config = { .mode = TLSLOOP_MODE_PLAIN, .port = 1 } });
    CHECK_FAILS(tlsloop_server_port(f->server), TLSLOOP_ESTATE, "listening");
    CHECK_FAILS(tlsloop_server_listen_fd(f->server), TLSLOOP_ESTATE, "listening");
    CHECK_OK(tlsloop_server_drain(f->server));
    int ends[2];
    dial_accepted(ends);
    adopt(f, ends[1]);
    CHECK(tcp_send(ends[0], "all the same", 12) && dial_expect(ends[0], "all the same"));
    close(ends[0]);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

/* Beside a listener of its own, on several workers; a unix socketpair does as well as TCP. */
static void beside_a_listener(void)
{
    enum { EACH = 4 };
    struct fixture *f = stage_start((struct options){ .config.workers = 2 }, NULL);
    struct peer adopted[EACH], accepted[EACH];
    for (int i = 0; i < EACH; i++) {
        int ends[2];
        if (i % 2 == 0) dial_accepted(ends);
        else dial_pair(ends);
        adopt(f, ends[1]);
        adopted[i] = dial_tls(ends[0]);
        accepted[i] = peer_connect(f->port);
    }
    for (int i = 0; i < EACH; i++) {
        CHECK(peer_echo(&adopted[i], "the host accepted it"));
        CHECK(peer_echo(&accepted[i], "the server accepted it"));
        peer_leave(&adopted[i]);
        peer_leave(&accepted[i]);
    }
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 2 * EACH);
    CHECK_EQ(fixture_stats(f).accepted, 2 * EACH);
    fixture_stop(f);
}

/* What the peer sent before the host gave the socket away is delivered; also when it is gone again. */
static void what_is_there_already(void)
{
    struct fixture *f = without_listener((struct options){ .config.mode = TLSLOOP_MODE_PLAIN });
    int ends[2];
    dial_accepted(ends);
    CHECK(tcp_send(ends[0], "early", 5));
    tcp_fin(ends[0]);
    adopt(f, ends[1]);
    CHECK(dial_expect(ends[0], "early"));
    CHECK_EQ(tcp_until_end(ends[0]), PEER_FIN);
    close(ends[0]);
    struct record r = stage_ended(f, 0);
    CHECK_STR(r.order, "cdx");
    CHECK_EQ(r.reason, TLSLOOP_REASON_PEER);
    fixture_stop(f);
}

/* Its id is good for sends at once; they wait until it is up. */
static void what_is_sent_at_once(void)
{
    struct fixture *f = without_listener((struct options){ .on.connect = check_data });
    int ends[2];
    char text[8];
    dial_accepted(ends);
    tlsloop_conn conn = adopt(f, ends[1]);
    CHECK_OK(tlsloop_conn_send(conn, "greeting", 8));
    CHECK(tlsloop_conn_queued(conn) == 8);
    struct peer p = dial_tls(ends[0]);
    CHECK(peer_recv_all(&p, text, 8) && memcmp(text, "greeting", 8) == 0);
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

static int spare[2]; /* the next to be adopted, by whichever callback comes */
static tlsloop_conn adopted_in;

static void adopt_spare(struct fixture *f, tlsloop_conn conn)
{
    int fd = spare[1];
    spare[1] = -1;
    if (fd < 0) return;
    CHECK_OK(tlsloop_server_adopt(f->server, fd, &mine, &adopted_in));
    CHECK(adopted_in != conn);
}

static void adopt_at_data(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    adopt_spare(f, conn);
    CHECK_OK(tlsloop_conn_send(conn, data, len));
}

static void adopt_at_disconnect(struct fixture *f, tlsloop_conn conn, int reason)
{
    (void)reason;
    adopt_spare(f, conn);
}

static void in_a_callback(struct hooks on)
{
    struct fixture *f = without_listener((struct options){ .on = on, .config.mode = TLSLOOP_MODE_PLAIN });
    int first[2];
    dial_accepted(spare);
    int second = spare[0];
    dial_accepted(first);
    adopt(f, first[1]);
    CHECK(tcp_send(first[0], "first", 5) && dial_expect(first[0], "first"));
    close(first[0]);
    CHECK(tcp_send(second, "second", 6) && dial_expect(second, "second"));
    EVENTUALLY_EQ(f->connects, 2);
    CHECK(fixture_conn(f, 1) == adopted_in);
    close(second);
    EVENTUALLY_EQ(f->disconnects, 2);
    fixture_stop(f);
}

/* "Any thread and any callback may call it" */
static void from_callbacks(void)
{
    in_a_callback((struct hooks){ .connect = adopt_spare });
    in_a_callback((struct hooks){ .data = adopt_at_data });
    in_a_callback((struct hooks){ .disconnect = adopt_at_disconnect });
}

enum { THREADS = 4 };

static void *adopt_many(void *arg)
{
    for (unsigned i = 0; i < check_scaled(100); i++) {
        int ends[2];
        dial_pair(ends);
        adopt(arg, ends[1]);
        CHECK(tcp_send(ends[0], "one of many", 11) && dial_expect(ends[0], "one of many"));
        close(ends[0]);
    }
    return NULL;
}

static void from_several_threads(void)
{
    pthread_t threads[THREADS];
    struct fixture *f = without_listener((struct options){
        .config = { .mode = TLSLOOP_MODE_PLAIN, .workers = 3 } });
    for (int t = 0; t < THREADS; t++) CHECK(pthread_create(&threads[t], NULL, adopt_many, f) == 0);
    for (int t = 0; t < THREADS; t++) CHECK(pthread_join(threads[t], NULL) == 0);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], THREADS * check_scaled(100));
    CHECK_EQ(fixture_stats(f).accepted, THREADS * check_scaled(100));
    fixture_stop(f);
}

enum { BATCH = 500, BATCHES = 20 };

static atomic_ullong out; /* where adopt puts the id */
static atomic_bool enough;

static void *abort_at_once(void *arg)
{
    (void)arg;
    while (!enough) {
        tlsloop_conn conn = out;
        if (conn == 0) {
            sched_yield();
            continue;
        }
        CHECK_OK(tlsloop_conn_abort(conn));
        out = 0;
    }
    return NULL;
}

/* "out is written before the first callback can run", and good for calls of other threads from then on: what they ask for
 * before the worker has met the connection is not forgotten. The peers say nothing, so only the call ends them. That a
 * thread looks at it so early is a race of the host's, which ThreadSanitizer would rightly tell of. */
static void asked_for_something_at_once(void)
{
    static int peers[BATCH];
    pthread_t other;
    unsigned n = 0, batch = check_scaled(BATCH);
    if (check_under_tsan()) return;
    struct fixture *f = without_listener((struct options){ .config.handshake_timeout_ms = TLSLOOP_NONE });
    enough = false;
    CHECK(pthread_create(&other, NULL, abort_at_once, NULL) == 0);
    for (int i = 0; i < BATCHES; i++) {
        for (unsigned k = 0; k < batch; k++) {
            int ends[2];
            dial_pair(ends);
            CHECK_OK(tlsloop_server_adopt(f->server, ends[1], &mine, (tlsloop_conn *)&out));
            peers[k] = ends[0];
            while (out != 0) sched_yield();
        }
        n += batch;
        EVENTUALLY_EQ(f->handshakes_failed, n);
        for (unsigned k = 0; k < batch; k++) close(peers[k]);
    }
    enough = true;
    CHECK(pthread_join(other, NULL) == 0);
    fixture_stop(f);
}

/* A socket that was given away is ended with the server, whether a worker has seen it or not. */
static void stopped_at_once(void)
{
    for (unsigned i = 0; i < check_scaled(50); i++) {
        struct fixture *f = without_listener((struct options){ .config.mode = TLSLOOP_MODE_PLAIN });
        f->loose_descriptors = true;
        int ends[2];
        dial_accepted(ends);
        tlsloop_conn conn = adopt(f, ends[1]);
        fixture_stop(f); /* checks that the id had its callbacks, and none behind */
        CHECK(f->disconnects + f->handshakes_failed == 1);
        CHECK_EQ(tlsloop_conn_send(conn, "x", 1), TLSLOOP_ECLOSED);
        CHECK(is_closed(ends[1]));
        long end = tcp_until_end(ends[0]);
        CHECK(end == PEER_FIN || end == PEER_RESET);
        close(ends[0]);
    }
}

/* A program under inetd: its connection is descriptor 0, and it ends with it. */
static void serve_descriptor_0(int socket, void *arg)
{
    (void)arg;
    int ends[2];
    dial_accepted(ends);
    CHECK(dup2(ends[1], 0) == 0);
    close(ends[1]);
    struct fixture *f = without_listener((struct options){ .on.connect = check_data });
    f->loose_descriptors = true;
    adopt(f, 0);
    struct peer p = dial_tls(ends[0]);
    CHECK(peer_echo(&p, "adopt, which takes 0 too"));
    peer_leave(&p);
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_PEER);
    EVENTUALLY(is_closed(0));
    fixture_stop(f);
    child_tell(socket, 1);
}

static void on_descriptor_0(void)
{
    struct child child = child_start(serve_descriptor_0, NULL);
    CHECK_EQ(child_hear(child.socket), 1);
    child_ended_well(&child);
}

CHECK_MAIN(CASE(in_every_mode), CASE(without_a_listener), CASE(beside_a_listener), CASE(what_is_there_already),
           CASE(what_is_sent_at_once), CASE(from_callbacks), CASE(from_several_threads),
           CASE(asked_for_something_at_once), CASE(stopped_at_once), CASE(on_descriptor_0))
