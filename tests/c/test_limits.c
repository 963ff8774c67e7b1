/* "Limits: connections, handshakes in flight, connections per source address; refusals are counted by cause." */
#define _GNU_SOURCE
#include "dial.h"
#include "fixture.h"
#include "keys.h"
#include "peer.h"
#include "stage.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char log_text[1 << 15];

static void write_down(struct fixture *f, int level, const char *line)
{
    (void)f;
    if (!strstr(line, "event=refused")) return;
    CHECK_EQ(level, TLSLOOP_LOG_DEBUG); /* whoever is refused by design is no reason for a warning */
    pthread_mutex_lock(&mutex);
    size_t used = strlen(log_text);
    snprintf(log_text + used, sizeof log_text - used, "%s\n", line);
    pthread_mutex_unlock(&mutex);
}

/* How often the log says that this limit refused this peer. */
static unsigned logged(const char *peer, const char *limit)
{
    char line[256];
    unsigned n = 0;
    snprintf(line, sizeof line, "event=refused peer=%s by=%s\n", peer, limit);
    pthread_mutex_lock(&mutex);
    for (const char *at = log_text; (at = strstr(at, line)) != NULL; at++) n++;
    pthread_mutex_unlock(&mutex);
    return n;
}

static struct fixture *limited(tlsloop_server_config config)
{
    log_text[0] = 0;
    config.log_level = TLSLOOP_LOG_DEBUG;
    return stage_start((struct options){ .on.log = write_down, .config = config }, NULL);
}

static struct fixture *plain(tlsloop_server_config config)
{
    config.mode = TLSLOOP_MODE_PLAIN;
    return limited(config);
}

static bool served(int fd)
{
    return tcp_send(fd, "served", 6) && dial_expect(fd, "served");
}

static void check_turned_away(int fd, const char *limit)
{
    char own[64];
    dial_name(fd, own, sizeof own);
    long end = tcp_until_end(fd);
    CHECK(end == PEER_FIN || end == PEER_RESET);
    EVENTUALLY_EQ(logged(own, limit), 1);
    close(fd);
}

/* Each that came was counted for one thing that became of it. */
static void check_all_accounted_for(struct fixture *f, uint64_t accepted)
{
    EVENTUALLY_EQ(fixture_stats(f).accepted, accepted);
    tlsloop_stats s = fixture_stats(f);
    uint64_t refused = s.refused_callback + s.refused_limit + s.refused_per_ip + s.refused_descriptors + s.refused_proxy;
    CHECK_EQ(s.accepted, s.connects + s.handshakes_failed + s.handshaking + refused);
}

/* max_connections: those on their way up count; nobody else is harmed; who leaves makes room. */
static void connections(void)
{
    enum { MOST = 3 };
    struct fixture *f = limited((tlsloop_server_config){ .max_connections = MOST });
    struct peer in[MOST];
    for (int i = 0; i < MOST - 1; i++) in[i] = peer_connect(f->port);
    int silent = tcp_connect(f->port);
    EVENTUALLY_EQ(fixture_stats(f).handshaking, 1);
    for (unsigned i = 1; i <= 5; i++) {
        check_turned_away(tcp_connect(f->port), "max_connections");
        CHECK_EQ(fixture_stats(f).refused_limit, i);
        CHECK(peer_echo(&in[0], "those who are in stay in"));
    }
    CHECK_EQ(f->handshakes_failed, 0); /* "Refusals … call nothing back" */
    close(silent);
    EVENTUALLY_EQ(f->handshakes_failed, 1);
    EVENTUALLY_EQ(fixture_stats(f).handshaking, 0);
    in[MOST - 1] = peer_connect(f->port);
    for (int i = 0; i < MOST; i++) CHECK(peer_echo(&in[i], "as many as there may be"));
    check_turned_away(tcp_connect(f->port), "max_connections");
    for (int i = 0; i < MOST; i++) peer_leave(&in[i]);
    EVENTUALLY_EQ(f->disconnects, MOST);
    EVENTUALLY_EQ(fixture_stats(f).open, 0);
    check_all_accounted_for(f, MOST + 1 + 6);
    fixture_stop(f);
}

/* Again and again, by several workers: the count does not drift. */
static void the_count_does_not_drift(void)
{
    enum { MOST = 4, ROUNDS = 30 };
    struct fixture *f = plain((tlsloop_server_config){ .max_connections = MOST, .workers = 3 });
    unsigned rounds = check_scaled(ROUNDS);
    for (unsigned i = 0; i < rounds; i++) {
        int in[MOST];
        for (int c = 0; c < MOST; c++) CHECK(served(in[c] = tcp_connect(f->port)));
        check_turned_away(tcp_connect(f->port), "max_connections");
        for (int c = 0; c < MOST; c++) {
            if (c % 2) tcp_reset(in[c]);
            else close(in[c]);
        }
        EVENTUALLY_EQ(fixture_stats(f).open, 0);
    }
    check_all_accounted_for(f, rounds * (MOST + 1));
    fixture_stop(f);
}

/* max_handshakes: "when reached, accepting pauses": nobody is refused, they wait, and those who are up go on. */
static void handshakes(unsigned workers)
{
    enum { MOST = 3 };
    struct fixture *f = limited((tlsloop_server_config){
        .max_handshakes = MOST, .workers = workers, .handshake_timeout_ms = TLSLOOP_NONE });
    struct peer old = peer_connect(f->port), late;
    int silent[MOST];
    for (int i = 0; i < MOST; i++) silent[i] = tcp_connect(f->port);
    EVENTUALLY_EQ(fixture_stats(f).handshaking, MOST);
    late = peer_over_socket(tcp_connect(f->port));
    peer_step(&late);
    CHECK(peer_flush(&late));
    for (int i = 0; i < 20; i++) CHECK(peer_echo(&old, "established before new"));
    check_nap(50);
    CHECK_EQ(fixture_stats(f).accepted, MOST + 1); /* the late one waits with the kernel */
    CHECK_EQ(fixture_stats(f).handshaking, MOST);
    close(silent[0]);
    CHECK(peer_handshake(&late));
    CHECK(peer_echo(&late, "one place was enough"));
    peer_leave(&late);
    for (int i = 1; i < MOST; i++) close(silent[i]);
    for (int i = 0; i < 2 * MOST; i++) {
        struct peer p = peer_connect(f->port);
        CHECK(peer_echo(&p, "and on"));
        peer_leave(&p);
    }
    peer_leave(&old);
    EVENTUALLY_EQ(f->disconnects, 2 + 2 * MOST);
    EVENTUALLY_EQ(f->handshakes_failed, MOST);
    check_all_accounted_for(f, 2 + 3 * MOST);
    CHECK_EQ(fixture_stats(f).accepted, fixture_stats(f).connects + MOST);
    fixture_stop(f);
}

static void handshakes_in_flight(void)
{
    handshakes(1);
    handshakes(2);
}

/* Several workers at one door do not take one more each. */
static void no_more_than_there_may_be(void)
{
    enum { MOST = 3, MANY = 24 };
    for (unsigned round = 0; round < check_scaled(20); round++) {
        struct fixture *f = limited((tlsloop_server_config){
            .max_handshakes = MOST, .workers = 4, .handshake_timeout_ms = TLSLOOP_NONE });
        int silent[MANY];
        for (int i = 0; i < MANY; i++) silent[i] = tcp_connect(f->port);
        for (int i = 0; i < MANY; i++) {
            EVENTUALLY_EQ(fixture_stats(f).accepted, i + MOST < MANY ? i + MOST : MANY);
            CHECK(fixture_stats(f).handshaking <= MOST);
            close(silent[i]);
            EVENTUALLY_EQ(f->handshakes_failed, i + 1);
        }
        fixture_stop(f);
    }
}

/* Those who hold the places lose them at their deadline, without anybody doing anything. */
static void silent_peers_lose_their_places(void)
{
    struct fixture *f = limited((tlsloop_server_config){ .max_handshakes = 2, .handshake_timeout_ms = 300 * check_time_factor() });
    int silent[2] = { tcp_connect(f->port), tcp_connect(f->port) };
    EVENTUALLY_EQ(fixture_stats(f).handshaking, 2);
    struct peer late = peer_connect(f->port);
    CHECK(peer_echo(&late, "in the end"));
    EVENTUALLY_EQ(f->handshakes_failed, 2);
    CHECK_EQ(f->last_code, TLSLOOP_ETIMEDOUT);
    peer_leave(&late);
    close(silent[0]);
    close(silent[1]);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

/* max_connections_per_ip, of IPv4 and IPv6 behind one dual-stack listener; other addresses are not concerned. */
static void connections_per_address(void)
{
    struct fixture *f = plain((tlsloop_server_config){ .max_connections_per_ip = 2, .workers = 2, .address = "::" });
    int one[2], another, six[2];
    for (int i = 0; i < 2; i++) CHECK(served(one[i] = tcp_connect(f->port)));
    check_turned_away(tcp_connect(f->port), "max_connections_per_ip");
    CHECK(served(another = dial_from("127.0.0.2", f->port)));
    unsigned sixes = (six[0] = dial_six(f->port)) >= 0 ? 2 : 0;
    if (sixes) {
        CHECK(served(six[0]) && served(six[1] = dial_six(f->port)));
        int third = dial_six(f->port);
        CHECK(tcp_until_end(third) != PEER_SILENT);
        close(third);
    }
    unsigned refused = sixes ? 2 : 1;
    CHECK_EQ(fixture_stats(f).refused_per_ip, refused);
    CHECK_EQ(f->handshakes_failed, 0);
    close(one[0]);
    EVENTUALLY_EQ(fixture_stats(f).open, 2 + sixes);
    CHECK(served(one[0] = tcp_connect(f->port)));
    check_turned_away(tcp_connect(f->port), "max_connections_per_ip");
    for (int i = 0; i < 2; i++) close(one[i]);
    for (unsigned i = 0; i < sixes; i++) close(six[i]);
    close(another);
    EVENTUALLY_EQ(fixture_stats(f).open, 0);
    check_all_accounted_for(f, 4 + sixes + refused + 1);
    fixture_stop(f);
}

static int refuse_five(struct fixture *f, const char *peer)
{
    (void)peer;
    return f->accepts <= 5;
}

/* Whatever ends a connection makes room for its address: also a handshake that fails, and a host that refuses. */
static void every_end_makes_room(void)
{
    log_text[0] = 0;
    struct fixture *f = stage_start((struct options){
        .on = { .accept = refuse_five, .log = write_down },
        .config = { .max_connections_per_ip = 1, .log_level = TLSLOOP_LOG_DEBUG } }, NULL);
    for (unsigned i = 1; i <= 5; i++) {
        check_turned_away(tcp_connect(f->port), "on_accept");
        CHECK_EQ(fixture_stats(f).refused_callback, i);
    }
    for (unsigned i = 1; i <= 5; i++) {
        int fd = tcp_connect(f->port);
        CHECK(tcp_send(fd, "no handshake", 12));
        EVENTUALLY_EQ(fixture_stats(f).handshakes_failed, i);
        EVENTUALLY_EQ(fixture_stats(f).handshaking, 0);
        close(fd);
    }
    CHECK_EQ(fixture_stats(f).refused_per_ip, 0);
    struct peer p = peer_connect(f->port);
    CHECK(peer_echo(&p, "room"));
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    check_all_accounted_for(f, 11);
    fixture_stop(f);
}

/* Peers of unix sockets have no address, so no limit counts for it. */
static void no_address_no_limit_for_it(void)
{
    char path[160], address[170];
    snprintf(path, sizeof path, "%s/limits.sock", keys_dir());
    snprintf(address, sizeof address, "unix:%s", path);
    struct fixture *f = plain((tlsloop_server_config){ .address = address, .max_connections_per_ip = 1, .max_connections = 4 });
    int in[4];
    for (int i = 0; i < 4; i++) CHECK(served(in[i] = dial_unix(path)));
    int fifth = dial_unix(path);
    CHECK(tcp_until_end(fifth) != PEER_SILENT);
    close(fifth);
    CHECK_EQ(fixture_stats(f).refused_limit, 1);
    CHECK_EQ(logged(address, "max_connections"), 1);
    for (int i = 0; i < 4; i++) close(in[i]);
    EVENTUALLY_EQ(f->disconnects, 4);
    fixture_stop(f);
}

/* "TLSLOOP_NONE … of a limit: none" */
static void none_is_none(void)
{
    enum { MANY = 20 };
    struct fixture *f = limited((tlsloop_server_config){ .max_connections = TLSLOOP_NONE,
        .max_connections_per_ip = TLSLOOP_NONE, .max_handshakes = TLSLOOP_NONE });
    int silent[MANY];
    for (int i = 0; i < MANY; i++) silent[i] = tcp_connect(f->port);
    EVENTUALLY_EQ(fixture_stats(f).handshaking, MANY);
    struct peer p = peer_connect(f->port);
    CHECK(peer_echo(&p, "and still"));
    peer_leave(&p);
    for (int i = 0; i < MANY; i++) close(silent[i]);
    EVENTUALLY_EQ(f->handshakes_failed, MANY);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

CHECK_MAIN(CASE(connections), CASE(the_count_does_not_drift), CASE(handshakes_in_flight),
           CASE(no_more_than_there_may_be), CASE(silent_peers_lose_their_places),
           CASE(connections_per_address), CASE(every_end_makes_room),
           CASE(no_address_no_limit_for_it), CASE(none_is_none))
