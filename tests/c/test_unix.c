/* "unix:" sockets: who the peer is, every mode and end, and streams both ways. */
#define _GNU_SOURCE
#include "child.h"
#include "dial.h"
#include "fixture.h"
#include "keys.h"
#include "peer.h"
#include "stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[150], address[160];

static struct fixture *at_path(struct options options)
{
    snprintf(path, sizeof path, "%s/server.sock", keys_dir());
    snprintf(address, sizeof address, "unix:%s", path);
    options.config.address = address;
    return stage_start(options, NULL);
}

static tlsloop_info info_of(tlsloop_conn conn)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    CHECK_OK(tlsloop_conn_info(conn, &info));
    return info;
}

static char accepted[128];

static int note_accept(struct fixture *f, const char *peer)
{
    (void)f;
    snprintf(accepted, sizeof accepted, "%s", peer);
    return 0;
}

/* Another process, so that its pid is not ours, and if it can be, of another user. */
static void visit(int socket, void *arg)
{
    int user = *(int *)arg;
    CHECK_EQ(child_hear(socket), 1);
    if (user) CHECK(setuid((uid_t)user) == 0);
    int fd = dial_unix(path);
    CHECK(tcp_send(fd, "hello", 5) && dial_expect(fd, "hello"));
    child_tell(socket, getpid());
    child_hear(socket); /* until it has been looked at */
    close(fd);
}

/* "peer_pid, peer_uid: unix sockets"; "peer: "unix:/run/x.sock"" */
static void the_peers_process(void)
{
    int user = geteuid() == 0 ? 65534 : 0;
    snprintf(path, sizeof path, "%s/server.sock", keys_dir());
    struct child child = child_start(visit, &user);
    struct fixture *f = at_path((struct options){
        .on.accept = note_accept, .config.mode = TLSLOOP_MODE_PLAIN });
    CHECK_EQ(tlsloop_server_port(f->server), 0);
    CHECK(chmod(keys_dir(), 0711) == 0 && chmod(path, 0666) == 0);
    child_tell(child.socket, 1);
    long pid = child_hear(child.socket);
    tlsloop_info info = info_of(fixture_conn(f, 0));
    CHECK_EQ(info.peer_pid, pid);
    CHECK_EQ(info.peer_uid, user ? user : (int)geteuid());
    CHECK_STR(info.peer, address);
    CHECK_STR(info.local, address);
    CHECK_STR(accepted, address);
    child_tell(child.socket, 1);
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_PEER);
    fixture_stop(f);
    child_ended_well(&child);
}

/* A pair that the host made and gave away has the host itself behind it. */
static void the_hosts_own_pair(void)
{
    struct fixture *f = stage_start((struct options){
        .config = { .listen_fd = TLSLOOP_NO_LISTENER, .mode = TLSLOOP_MODE_PLAIN } }, NULL);
    int ends[2];
    tlsloop_conn conn;
    dial_pair(ends);
    CHECK_OK(tlsloop_server_adopt(f->server, ends[1], NULL, &conn));
    CHECK_EQ(info_of(conn).peer_pid, getpid());
    CHECK_EQ(info_of(conn).peer_uid, (int)geteuid());
    CHECK_STR(info_of(conn).peer, "unix:");
    close(ends[0]);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

static void start_tls(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_start_tls(conn));
}

static void in_mode(int mode, bool secure)
{
    struct fixture *f = at_path((struct options){
        .on.connect = mode == TLSLOOP_MODE_STARTTLS ? start_tls : NULL, .config.mode = mode });
    int fd = dial_unix(path);
    struct peer p = { .fd = fd };
    if (secure) p = dial_tls(fd);
    if (secure) CHECK(peer_echo(&p, "through TLS"));
    else CHECK(tcp_send(fd, "in the clear", 12) && dial_expect(fd, "in the clear"));
    CHECK_EQ(info_of(fixture_conn(f, 0)).is_tls, secure);
    CHECK_EQ(info_of(fixture_conn(f, 0)).peer_pid, getpid());
    if (secure) peer_leave(&p);
    else close(fd);
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_PEER);
    fixture_stop(f);
}

static void every_mode(void)
{
    in_mode(TLSLOOP_MODE_TLS, true);
    in_mode(TLSLOOP_MODE_PLAIN, false);
    in_mode(TLSLOOP_MODE_DETECT, true);
    in_mode(TLSLOOP_MODE_DETECT, false);
    in_mode(TLSLOOP_MODE_STARTTLS, true);
}

static char *much;
enum { MUCH = 6 << 20 };

/* A unix socket says "writable" by other rules than TCP; a slow reader is served to the last byte all the same. */
static void send_much(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_send(conn, much, MUCH));
    CHECK_OK(tlsloop_conn_close(conn));
}

static void read_all(struct peer *p, int fd, bool secure)
{
    static char buf[1 << 16];
    uint64_t hash = FIXTURE_HASH;
    unsigned long long bytes = 0, steps = 0;
    long n;
    while ((n = secure ? peer_recv(p, buf, sizeof buf) : tcp_recv(fd, buf, sizeof buf)) > 0) {
        hash = fixture_hash(hash, buf, (size_t)n);
        bytes += (unsigned long long)n;
        if (steps++ % 16 == 0) check_nap(1);
    }
    CHECK_EQ(n, secure ? PEER_CLEAN : PEER_FIN);
    CHECK_EQ(bytes, MUCH);
    CHECK(hash == fixture_hash(FIXTURE_HASH, much, MUCH));
}

static void l08_every_byte_to_a_slow_reader(void)
{
    much = malloc(MUCH);
    CHECK(much != NULL);
    for (int i = 0; i < MUCH; i++) much[i] = (char)(i * 31 + i / 1000);
    for (int secure = 0; secure < 2; secure++) {
        struct fixture *f = at_path((struct options){
            .on.connect = send_much, .config.mode = secure ? TLSLOOP_MODE_TLS : TLSLOOP_MODE_PLAIN });
        int fd = dial_unix(path);
        struct peer p = { .fd = fd };
        if (secure) p = dial_tls(fd);
        read_all(&p, fd, secure);
        if (secure) peer_close(&p);
        else close(fd);
        CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_HOST);
        fixture_stop(f);
    }
    free(much);
}

enum { A_LOT = 64 << 10 };

static void send_a_lot(tlsloop_conn conn, void *arg)
{
    (void)arg;
    CHECK_OK(tlsloop_conn_send(conn, much, A_LOT));
    CHECK_OK(tlsloop_conn_close(conn));
}

static atomic_size_t first;

static void fill_the_kernel(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_send(conn, much, first));
    CHECK_OK(tlsloop_conn_post_after(conn, 2, send_a_lot, NULL));
}

/* The kernel has no room when much is encrypted and the end is due, so that the end finds none behind it: it leaves when
 * there is some, behind the last byte. */
static void the_end_waits_for_room(void)
{
    static char buf[1 << 16];
    much = calloc(1, A_LOT);
    CHECK(much != NULL);
    struct fixture *f = stage_start((struct options){
        .on.connect = fill_the_kernel, .config.listen_fd = TLSLOOP_NO_LISTENER }, NULL);
    for (size_t size = 256; size <= 4608; size += 256) {
        int ends[2], least = 1;
        long n;
        size_t have = 0;
        first = size;
        dial_pair(ends);
        CHECK(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &least, sizeof least) == 0);
        CHECK_OK(tlsloop_server_adopt(f->server, ends[1], NULL, NULL));
        struct peer p = dial_tls(ends[0]);
        check_nap(10);
        while ((n = peer_recv(&p, buf, sizeof buf)) > 0) have += (size_t)n;
        CHECK_EQ(n, PEER_CLEAN);
        CHECK_EQ(have, size + A_LOT);
        peer_close(&p);
    }
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_HOST], f->connects);
    fixture_stop(f);
    free(much);
}

/* Both sides send more than the kernel holds before either reads on. */
static void a_stream_both_ways(void)
{
    static char block[1 << 16], back[1 << 16];
    struct fixture *f = at_path((struct options){ .config.mode = TLSLOOP_MODE_PLAIN });
    int fd = dial_unix(path);
    uint64_t out = FIXTURE_HASH, in = FIXTURE_HASH;
    for (unsigned i = 0; i < 30; i++) {
        memset(block, (int)i, sizeof block);
        CHECK(tcp_send(fd, block, sizeof block));
        out = fixture_hash(out, block, sizeof block);
        if (i >= 20) continue; /* the echo of the later half waits in the server's queue */
        for (size_t have = 0; have < sizeof back;) {
            long n = tcp_recv(fd, back + have, sizeof back - have);
            CHECK(n > 0);
            have += (size_t)n;
        }
        in = fixture_hash(in, back, sizeof back);
    }
    tcp_fin(fd);
    long n;
    while ((n = tcp_recv(fd, back, sizeof back)) > 0) in = fixture_hash(in, back, (size_t)n);
    CHECK_EQ(n, PEER_FIN);
    CHECK(in == out);
    close(fd);
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_PEER);
    fixture_stop(f);
}

static void answer_and_close(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    (void)data;
    (void)len;
    CHECK_OK(tlsloop_conn_send(conn, "the answer", 10));
    CHECK_OK(tlsloop_conn_close(conn));
}

/* "Unread input never destroys the answer", and the end is the host's. */
static void l10_the_answer_survives(void)
{
    static const char input[100000];
    struct fixture *f = at_path((struct options){
        .on.data = answer_and_close, .config.mode = TLSLOOP_MODE_PLAIN });
    int fd = dial_unix(path);
    for (int i = 0; i < 10; i++) CHECK(tcp_send(fd, input, sizeof input));
    CHECK(dial_expect(fd, "the answer"));
    CHECK_EQ(tcp_until_end(fd), PEER_FIN);
    close(fd);
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_HOST);
    fixture_stop(f);
}

static void ends_by(int (*end)(tlsloop_conn), int reason)
{
    struct fixture *f = at_path((struct options){ .config.mode = TLSLOOP_MODE_PLAIN });
    int fd = dial_unix(path);
    CHECK_OK(end(fixture_conn(f, 0)));
    long seen = tcp_until_end(fd);
    CHECK(seen == PEER_FIN || (reason == TLSLOOP_REASON_ABORTED && seen == PEER_RESET));
    tcp_fin(fd);
    CHECK_EQ(stage_ended(f, 0).reason, reason);
    close(fd);
    fixture_stop(f);
}

static void host_ends(void)
{
    ends_by(tlsloop_conn_close, TLSLOOP_REASON_HOST);
    ends_by(tlsloop_conn_end, TLSLOOP_REASON_HOST);
    ends_by(tlsloop_conn_abort, TLSLOOP_REASON_ABORTED);
}

/* Writes meet a peer that is gone: an end with a reason, and no signal. */
static void l22_the_peer_is_gone(void)
{
    struct fixture *f = at_path((struct options){ .config.mode = TLSLOOP_MODE_PLAIN });
    for (unsigned i = 0; i < 20; i++) {
        int fd = dial_unix(path);
        tlsloop_conn conn = fixture_conn(f, i);
        close(fd);
        int answer = tlsloop_conn_send(conn, "to nobody", 9);
        CHECK(answer == TLSLOOP_OK || answer == TLSLOOP_ECLOSED);
        struct record r = stage_ended(f, i);
        CHECK(r.reason == TLSLOOP_REASON_PEER || r.reason == TLSLOOP_REASON_RESET);
    }
    fixture_stop(f);
}

/* L04: there is no reset; but the peer hears of the abort, although a forked child holds a copy of the socket. */
static void l04_abort_although_a_child_holds_a_copy(void)
{
    struct fixture *f = at_path((struct options){ .config.mode = TLSLOOP_MODE_PLAIN });
    int fd = dial_unix(path);
    tlsloop_conn conn = fixture_conn(f, 0);
    pid_t child = child_that_holds();
    CHECK_OK(tlsloop_conn_abort(conn));
    CHECK_EQ(tcp_until_end(fd), PEER_FIN);
    child_let_go(child);
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_ABORTED);
    close(fd);
    fixture_stop(f);
}

CHECK_MAIN(CASE(the_peers_process), CASE(the_hosts_own_pair), CASE(every_mode), CASE(l08_every_byte_to_a_slow_reader),
           CASE(the_end_waits_for_room), CASE(a_stream_both_ways), CASE(l10_the_answer_survives), CASE(host_ends), CASE(l22_the_peer_is_gone),
           CASE(l04_abort_although_a_child_holds_a_copy))
