/* The PROXY header: whose word counts, what it counts for, and how long it is waited for. */
#define _GNU_SOURCE
#include "dial.h"
#include "fixture.h"
#include "header.h"
#include "peer.h"
#include "stage.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char accepted[128]; /* what on_accept saw last */

static int note_accept(struct fixture *f, const char *peer)
{
    (void)f;
    snprintf(accepted, sizeof accepted, "%s", peer);
    return strstr(peer, "192.0.2.66") != NULL; /* refused */
}

static struct fixture *behind(struct options options)
{
    options.config.proxy_protocol = TLSLOOP_PROXY_REQUIRED;
    if (!options.config.proxy_trusted) options.config.proxy_trusted = "127.0.0.2,127.0.1.0/24";
    options.config.mode = TLSLOOP_MODE_PLAIN;
    return stage_start(options, NULL);
}

/* As the balancer at that address: the header of a client, and a word of its own. */
static int say(struct fixture *f, const char *balancer, const char *client)
{
    char line[128];
    int fd = dial_from(balancer, f->port);
    int n = snprintf(line, sizeof line, "PROXY TCP4 %s 198.51.100.1 5123 443\r\nhello", client);
    tcp_send(fd, line, (size_t)n);
    return fd;
}

static bool served(int fd)
{
    return dial_expect(fd, "hello");
}

static void check_turned_away(int fd)
{
    CHECK(!served(fd));
    close(fd);
}

/* L32: "believes it only from the sources that were configured, requires it there" */
static void l32_only_from_trusted_sources(void)
{
    struct fixture *f = behind((struct options){ .on.accept = note_accept });
    static const char *const trusted[] = { "127.0.0.2", "127.0.1.1", "127.0.1.254" };
    for (size_t i = 0; i < 3; i++) {
        int fd = say(f, trusted[i], "192.0.2.7");
        CHECK(served(fd));
        close(fd);
    }
    static const char *const strangers[] = { "127.0.0.1", "127.0.0.3", "127.0.2.1" };
    for (size_t i = 0; i < 3; i++) {
        check_turned_away(say(f, strangers[i], "192.0.2.7"));
        EVENTUALLY_EQ(fixture_stats(f).refused_proxy, i + 1);
    }
    CHECK_EQ(f->connects, 3);
    CHECK_EQ(f->handshakes_failed, 0); /* "refusals … call nothing back and are counted" */
    CHECK_EQ(f->accepts, 3);
    CHECK_EQ(fixture_stats(f).accepted, 6);
    fixture_stop(f);
}

/* "NULL with REQUIRED: EINVAL", and what is no list. */
static void the_list(void)
{
    tlsloop_server_config config = { .mode = TLSLOOP_MODE_PLAIN, .address = "127.0.0.1",
                                     .proxy_protocol = TLSLOOP_PROXY_REQUIRED };
    CHECK_FAILS(stage_refused(config), TLSLOOP_EINVAL, "proxy_trusted");
    static const char *const wrong[] = { "", "10.0.0.0/33", "::1/129", "localhost", "10.0.0.0/8,",
                                         "10.0.0.0/x", "10.0.0" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        config.proxy_trusted = wrong[i];
        CHECK_FAILS(stage_refused(config), TLSLOOP_EINVAL, "proxy_trusted");
    }
    config.proxy_trusted = "10.0.0.0/8,::1";
    config.proxy_protocol = 2;
    CHECK_FAILS(stage_refused(config), TLSLOOP_EINVAL, "proxy_protocol");
}

/* "uses the conveyed address for limits, on_accept and conn_info" */
static void on_accept_sees_the_client(void)
{
    struct fixture *f = behind((struct options){ .on.accept = note_accept });
    int fd = say(f, "127.0.0.2", "192.0.2.7");
    CHECK(served(fd));
    EVENTUALLY_EQ(f->connects, 1);
    CHECK_STR(accepted, "192.0.2.7:5123");
    close(fd);
    EVENTUALLY_EQ(f->disconnects, 1);
    check_turned_away(say(f, "127.0.0.2", "192.0.2.66"));
    EVENTUALLY_EQ(fixture_stats(f).refused_callback, 1);
    CHECK_STR(accepted, "192.0.2.66:5123");
    CHECK_EQ(f->handshakes_failed, 0);
    CHECK_EQ(f->connects, 1);
    /* LOCAL: the balancer's own, "the real peer" */
    static struct header header;
    char own[64];
    fd = dial_from("127.0.0.2", f->port);
    dial_name(fd, own, sizeof own);
    header_v2(&header, HEADER_LOCAL, HEADER_UNSPEC);
    CHECK(tcp_send(fd, header.bytes, header.len));
    CHECK(tcp_send(fd, "hello", 5));
    CHECK(served(fd));
    EVENTUALLY_EQ(f->connects, 2);
    CHECK_STR(accepted, own);
    close(fd);
    fixture_stop(f);
}

/* max_connections_per_ip counts clients, not balancers. */
static void limits_count_clients(void)
{
    struct fixture *f = behind((struct options){ .config.max_connections_per_ip = 2 });
    int first[2], others[5];
    for (int i = 0; i < 2; i++) CHECK(served(first[i] = say(f, "127.0.0.2", "192.0.2.7")));
    for (int i = 0; i < 5; i++) {
        char client[32];
        snprintf(client, sizeof client, "192.0.2.%d", 100 + i);
        CHECK(served(others[i] = say(f, "127.0.0.2", client)));
    }
    check_turned_away(say(f, "127.0.0.2", "192.0.2.7"));
    check_turned_away(say(f, "127.0.1.1", "192.0.2.7")); /* by another balancer all the same */
    EVENTUALLY_EQ(fixture_stats(f).refused_per_ip, 2);
    CHECK_EQ(f->handshakes_failed, 0);
    close(first[0]);
    EVENTUALLY_EQ(fixture_stats(f).open, 6);
    CHECK(served(first[0] = say(f, "127.0.1.1", "192.0.2.7")));
    for (int i = 0; i < 2; i++) close(first[i]);
    for (int i = 0; i < 5; i++) close(others[i]);
    EVENTUALLY_EQ(fixture_stats(f).open, 0);
    fixture_stop(f);
}

static char failed_peer[128];

static void note_failure(struct fixture *f, tlsloop_conn conn, int code, const char *peer, const char *why)
{
    (void)f;
    (void)conn;
    (void)code;
    CHECK(strlen(why) > 0);
    snprintf(failed_peer, sizeof failed_peer, "%s", peer);
}

/* L32: "bounds it … by the handshake deadline"; handshake_timeout_ms: "in all; the wait for a PROXY header …
 * included" — however slowly it drips. */
static void the_deadline_bounds_the_wait(void)
{
    struct fixture *f = behind((struct options){
        .on.handshake_failed = note_failure,
        .config.handshake_timeout_ms = 600,
    });
    char own[64];
    int silent = dial_from("127.0.0.2", f->port);
    tcp_until_end(silent);
    dial_name(silent, own, sizeof own);
    close(silent);
    EVENTUALLY_EQ(f->handshakes_failed, 1);
    CHECK_EQ(f->last_code, TLSLOOP_ETIMEDOUT);
    CHECK_STR(failed_peer, own);

    int slow = dial_from("127.0.0.2", f->port);
    const char *line = "PROXY TCP4 192.0.2.7 198.51.100.1 5123 443\r\n";
    for (size_t i = 0; f->handshakes_failed == 1; i++) {
        CHECK(i < strlen(line));
        tcp_send(slow, line + i, 1);
        check_nap(100);
    }
    CHECK_EQ(f->last_code, TLSLOOP_ETIMEDOUT);
    close(slow);
    CHECK_EQ(f->connects, 0);
    CHECK_EQ(fixture_stats(f).handshakes_failed, 2);
    fixture_stop(f);
}

/* A balancer's health check connects and leaves: nobody came up, nobody is warned. */
static void l39_leaves_in_its_header(void)
{
    struct fixture *f = behind((struct options){ .on.handshake_failed = note_failure });
    for (unsigned sent = 0; sent < 44; sent++) {
        int fd = dial_from("127.0.0.2", f->port);
        CHECK(tcp_send(fd, "PROXY TCP4 192.0.2.7 198.51.100.1 5123 443\r\n", sent));
        tcp_fin(fd);
        EVENTUALLY_EQ(f->handshakes_failed, sent + 1);
        CHECK_EQ(tcp_until_end(fd), PEER_FIN);
        close(fd);
    }
    CHECK_EQ(f->connects, 0);
    CHECK_EQ(f->warnings, 0);
    fixture_stop(f);
}

CHECK_MAIN(CASE(l32_only_from_trusted_sources), CASE(the_list), CASE(on_accept_sees_the_client),
           CASE(limits_count_clients), CASE(the_deadline_bounds_the_wait),
           CASE(l39_leaves_in_its_header))
