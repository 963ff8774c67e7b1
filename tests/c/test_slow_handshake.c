/* L25: peers that connect and send nothing, or one byte now and then. */
#define _GNU_SOURCE
#include "fixture.h"
#include "peer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Both ends are in this process. */
static unsigned peers_that_fit(unsigned wanted)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    unsigned room = limit.rlim_cur > 200 ? (unsigned)(limit.rlim_cur - 200) / 2 : 1;
    return wanted < room ? wanted : room;
}

static void is_timeout(struct fixture *f, tlsloop_conn conn, int code, const char *peer,
                       const char *why)
{
    (void)f;
    CHECK(conn != 0);
    CHECK_EQ(code, TLSLOOP_ETIMEDOUT);
    CHECK_HAS(peer, "127.0.0.1:");
    CHECK(strlen(why) > 0);
}

/* L25: "1,000 peers that connect and send nothing: accepts others at once and ends each slow one by
 * the total handshake deadline" */
static void l25_a_thousand_silent_peers(void)
{
    unsigned n = peers_that_fit(check_scaled(1000));
    int *silent = calloc(n, sizeof *silent);
    CHECK(silent != NULL);
    struct fixture *f = fixture_start((struct options){
        .on.handshake_failed = is_timeout,
        .config.handshake_timeout_ms = 3000 * check_time_factor(),
        .config.max_handshakes = TLSLOOP_NONE,
    });
    for (unsigned i = 0; i < n; i++) silent[i] = tcp_connect(f->port);
    for (unsigned i = 0; i < 20; i++) {
        struct peer p = peer_connect(f->port);
        CHECK(peer_echo(&p, "at once"));
        peer_leave(&p);
    }
    EVENTUALLY_EQ(f->handshakes_failed, n);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 20);
    for (unsigned i = 0; i < n; i++) {
        CHECK(tcp_until_end(silent[i]) != PEER_SILENT);
        close(silent[i]);
    }
    EVENTUALLY_EQ(fixture_stats(f).handshaking, 0);
    fixture_stop(f);
    free(silent);
}

/*
 * L25: "counted from accept and not renewed by bytes". At this pace the ClientHello alone would take
 * twenty times the deadline; a peer that could send all of it has had its deadline renewed.
 */
static void l25_the_deadline_is_not_renewed_by_bytes(void)
{
    enum { PEERS = 10, DEADLINE = 300 };
    unsigned char hello[2048];
    size_t len = peer_client_hello(hello, sizeof hello), sent = 0;
    int fd[PEERS];
    struct fixture *f = fixture_start((struct options){
        .on.handshake_failed = is_timeout,
        .config.handshake_timeout_ms = DEADLINE,
    });
    for (int i = 0; i < PEERS; i++) fd[i] = tcp_connect(f->port);
    for (; sent < len - 1 && f->handshakes_failed < PEERS; sent++) {
        for (int i = 0; i < PEERS; i++) tcp_send(fd[i], hello + sent, 1);
        check_nap(20 * DEADLINE / (unsigned)len + 1);
    }
    CHECK(sent < len - 1);
    CHECK_EQ(f->handshakes_failed, PEERS);
    for (int i = 0; i < PEERS; i++) close(fd[i]);
    fixture_stop(f);
}

/* L25: "the deadline ends with the handshake" */
static void l25_the_deadline_ends_with_the_handshake(void)
{
    struct fixture *f = fixture_start(
        (struct options){ .config.handshake_timeout_ms = 400 * check_time_factor() });
    struct peer p = peer_connect(f->port);
    CHECK(peer_echo(&p, "in time"));
    check_nap(1000 * check_time_factor());
    CHECK(peer_echo(&p, "and later"));
    peer_leave(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    fixture_stop(f);
}

/* L25: "its default leaves room for clients that open fifty sockets before the first ClientHello" */
static void l25_fifty_sockets_before_the_first_client_hello(void)
{
    enum { SOCKETS = 50 };
    struct peer peers[SOCKETS];
    struct fixture *f = fixture_start((struct options){ 0 });
    for (int i = 0; i < SOCKETS; i++) peers[i] = peer_open(f->port, (struct peer_options){ 0 });
    EVENTUALLY_EQ(fixture_stats(f).handshaking, SOCKETS);
    for (int i = 0; i < SOCKETS; i++) {
        CHECK(peer_handshake(&peers[i]));
        CHECK(peer_echo(&peers[i], "of fifty"));
    }
    for (int i = 0; i < SOCKETS; i++) peer_leave(&peers[i]);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], SOCKETS);
    fixture_stop(f);
}

/* A peer that has said everything but the last byte of its last flight. */
static void one_byte_is_missing(void)
{
    unsigned char bytes[4096];
    struct fixture *f = fixture_start((struct options){
        .on.handshake_failed = is_timeout,
        .config.handshake_timeout_ms = 1000 * check_time_factor(),
    });
    struct peer p = peer_open(f->port, (struct peer_options){ .version = TLS1_3_VERSION });
    peer_step(&p);
    CHECK(peer_flush(&p));
    while (SSL_do_handshake(p.ssl) != 1) CHECK(peer_fill(&p) > 0);
    size_t n = peer_take(&p, bytes, sizeof bytes);
    CHECK(n > 1);
    CHECK(tcp_send(p.fd, bytes, n - 1));
    EVENTUALLY_EQ(f->handshakes_failed, 1);
    CHECK_EQ(f->connects, 0);
    peer_close(&p);
    fixture_stop(f);
}

CHECK_MAIN(CASE(l25_a_thousand_silent_peers), CASE(l25_the_deadline_is_not_renewed_by_bytes),
           CASE(l25_the_deadline_ends_with_the_handshake),
           CASE(l25_fifty_sockets_before_the_first_client_hello), CASE(one_byte_is_missing))
