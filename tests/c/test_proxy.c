/* The PROXY header: both versions, cut anywhere, of every length, in front of every mode. */
#define _GNU_SOURCE
#include "dial.h"
#include "fixture.h"
#include "header.h"
#include "peer.h"
#include "stage.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define V1 "PROXY TCP4 192.0.2.7 198.51.100.1 5123 443\r\n"

static struct header header;

static struct fixture *behind(struct options options)
{
    options.config.proxy_protocol = TLSLOOP_PROXY_REQUIRED;
    if (!options.config.proxy_trusted) options.config.proxy_trusted = "127.0.0.0/8";
    return stage_start(options, NULL);
}

static struct fixture *behind_plain(void)
{
    return behind((struct options){ .config.mode = TLSLOOP_MODE_PLAIN });
}

static void check_names(tlsloop_conn conn, const char *peer, const char *balancer)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    CHECK_OK(tlsloop_conn_info(conn, &info));
    CHECK_STR(info.peer, peer);
    CHECK_STR(info.balancer, balancer);
    CHECK_EQ(info.peer_pid, -1); /* of a unix socket's peer only, which no balancer's header makes of this one */
    CHECK_EQ(info.peer_uid, -1);
}

/* Sends the header in two pieces and checks that the rest is served as if it were not there. `client`
 * NULL: the real peer counts. */
static void introduce(struct fixture *f, size_t cut, const char *client, unsigned n)
{
    char own[64];
    int fd = tcp_connect(f->port);
    dial_name(fd, own, sizeof own);
    CHECK(tcp_send(fd, header.bytes, cut));
    if (cut % 4 == 1) check_nap(1);
    CHECK(tcp_send(fd, header.bytes + cut, header.len - cut));
    CHECK(tcp_send(fd, "behind it", 9));
    CHECK(dial_expect(fd, "behind it"));
    check_names(fixture_conn(f, n), client ? client : own, client ? own : "");
    close(fd);
}

static void every_cut(const char *client)
{
    struct fixture *f = behind_plain();
    unsigned n = 0;
    for (size_t cut = 0; cut <= header.len; cut += check_under_valgrind() && cut > 20 ? 9 : 1)
        introduce(f, cut, client, n++);
    CHECK_EQ(fixture_stats(f).refused_proxy, 0);
    fixture_stop(f);
}

/* "v1 or v2 before anything else"; "uses the conveyed address for … conn_info"; balancer: "behind PROXY: who
 * sent it" */
static void version_1_cut_anywhere(void)
{
    header_v1(&header, V1);
    every_cut("192.0.2.7:5123");
    header_v1(&header, "PROXY TCP6 2001:db8::7 2001:db8::1 65535 1\r\n");
    every_cut("[2001:db8::7]:65535");
    /* 107 bytes, the longest that there is. */
    header_v1(&header, "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n");
    CHECK_EQ(header.len, 107);
    every_cut(NULL);
}

static void version_2_cut_anywhere(void)
{
    header_v2(&header, HEADER_PROXY, HEADER_TCP4);
    every_cut("192.0.2.7:5123");
    header_v2(&header, HEADER_PROXY, HEADER_TCP6);
    header_tlv(&header, 0x02, "host.example", 12);
    header_tlv(&header, 0xee, "", 0);
    header_checksum(&header, true);
    every_cut("[2001:db8::7]:5123");
    header_v2(&header, HEADER_PROXY, HEADER_UNIX);
    every_cut("unix:/client");
}

/* "accepts LOCAL"; "LOCAL and UNKNOWN mean the real peer" */
static void local_and_unknown_mean_the_real_peer(void)
{
    header_v1(&header, "PROXY UNKNOWN\r\n");
    every_cut(NULL);
    header_v2(&header, HEADER_LOCAL, HEADER_UNSPEC);
    every_cut(NULL);
    header_v2(&header, HEADER_LOCAL, HEADER_TCP4);
    every_cut(NULL);
    header_v2(&header, HEADER_PROXY, HEADER_UNSPEC);
    header_tlv(&header, 0x04, "padding", 7);
    every_cut(NULL);
}

/* L32: "skips unknown TLVs, survives every length from 0 to 65,535" */
static void l32_every_length(void)
{
    static char value[65535];
    struct fixture *f = behind_plain();
    unsigned n = 0;
    for (size_t len = 0; len <= 65535 - 15; len = len < 64 ? len + 1 : len * 5 / 4 + n % 7) {
        header_v2(&header, HEADER_PROXY, HEADER_TCP4);
        header_tlv(&header, 0xe0, value, len);
        introduce(f, header.len / 2, "192.0.2.7:5123", n++);
    }
    header_v2(&header, HEADER_PROXY, HEADER_TCP4);
    header_tlv(&header, 0xe0, value, 65535 - 15);
    CHECK_EQ(header.len, 16 + 65535);
    introduce(f, 20000, "192.0.2.7:5123", n++);
    for (size_t len = 0; len < 12; len++) { /* LOCAL says nothing, whatever it brings */
        header_v2(&header, HEADER_LOCAL, HEADER_UNSPEC);
        memset(header.bytes + 16, 'x', len);
        header.bytes[15] = (unsigned char)len;
        header.len = 16 + len;
        introduce(f, 16, NULL, n++);
    }
    EVENTUALLY_EQ(f->disconnects, n);
    fixture_stop(f);
}

/* What is no header is refused, counted, and told by on_handshake_failed; the words name it. */
static void check_refused(struct fixture *f, const void *bytes, size_t len)
{
    uint64_t refused = fixture_stats(f).refused_proxy;
    unsigned failed = f->handshakes_failed;
    int fd = tcp_connect(f->port);
    tcp_send(fd, bytes, len);
    tcp_send(fd, "behind it", 9);
    long end = tcp_until_end(fd);
    CHECK(end == PEER_FIN || end == PEER_RESET);
    EVENTUALLY_EQ(f->handshakes_failed, failed + 1);
    CHECK_EQ(f->last_code, TLSLOOP_ETLS);
    EVENTUALLY_EQ(fixture_stats(f).refused_proxy, refused + 1);
    close(fd);
}

static const char *const no_headers[] = {
    "GET / HTTP/1.1\r\n\r\n",
    "proxy TCP4 192.0.2.7 198.51.100.1 5123 443\r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 5123\r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 5123 443 1\r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 5123 65536\r\n",
    "PROXY TCP4 192.0.2.256 198.51.100.1 5123 443\r\n",
    "PROXY TCP4 2001:db8::7 2001:db8::1 5123 443\r\n",
    "PROXY TCP6 192.0.2.7 198.51.100.1 5123 443\r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 +5123 443\r\n",
    "PROXY UDP4 192.0.2.7 198.51.100.1 5123 443\r\n",
    "PROXY  TCP4 192.0.2.7 198.51.100.1 5123 443\r\n",
    "PROXY TCP4 192.0.2.7 198.51.100.1 5123 443\n",
    ("PROXY UNKNOWN aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaaaaaaaa\r\n"),
};

/* L32: "never guesses, bounds it in bytes" */
static void l32_no_header(void)
{
    struct fixture *f = behind_plain();
    for (size_t i = 0; i < sizeof no_headers / sizeof *no_headers; i++)
        check_refused(f, no_headers[i], strlen(no_headers[i]));
    static const struct { size_t at; int value; } wrong[] = {
        { 3, 'x' },   /* the signature */
        { 12, 0x11 }, /* the version */
        { 12, 0x22 }, /* the command */
        { 13, 0x12 }, /* datagrams */
        { 13, 0x41 }, /* the family */
        { 15, 11 },   /* too short for its addresses */
        { 15, 14 },   /* half a TLV */
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        header_v2(&header, HEADER_PROXY, HEADER_TCP4);
        header.bytes[wrong[i].at] = (unsigned char)wrong[i].value;
        check_refused(f, header.bytes, header.len);
    }
    header_v2(&header, HEADER_PROXY, HEADER_TCP4);
    header_checksum(&header, false); /* "CRC32C checked when present" */
    check_refused(f, header.bytes, header.len);
    CHECK_EQ(f->connects, 0);
    fixture_stop(f);
}

/* Two headers: the second is the client's own bytes. */
static void surplus_bytes_are_the_clients(void)
{
    struct fixture *f = behind_plain();
    int fd = tcp_connect(f->port);
    CHECK(tcp_send(fd, V1 V1, 2 * strlen(V1)));
    CHECK(dial_expect(fd, V1));
    close(fd);
    CHECK_EQ(stage_ended(f, 0).bytes, strlen(V1));
    fixture_stop(f);
}

static void start_at_once(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_start_tls(conn));
}

/* "PROXY protocol v1 and v2 in front of all modes"; "surplus bytes handed on": header and ClientHello come
 * in one segment, or the header alone first. */
static void in_front_of_tls(int mode, bool together)
{
    char bytes[8192];
    struct fixture *f = behind((struct options){
        .on.connect = mode == TLSLOOP_MODE_STARTTLS ? start_at_once : NULL,
        .config.mode = mode,
    });
    struct peer p = peer_over_socket(tcp_connect(f->port));
    memcpy(bytes, V1, strlen(V1));
    peer_step(&p);
    size_t hello = peer_take(&p, bytes + strlen(V1), sizeof bytes - strlen(V1));
    if (together) {
        CHECK(tcp_send(p.fd, bytes, strlen(V1) + hello));
    } else {
        CHECK(tcp_send(p.fd, bytes, strlen(V1)));
        /* What comes behind the command that starts TLS must come behind it. */
        if (mode == TLSLOOP_MODE_STARTTLS) EVENTUALLY_EQ(f->connects, 1); else check_nap(20);
        CHECK(tcp_send(p.fd, bytes + strlen(V1), hello));
    }
    CHECK(peer_handshake(&p));
    CHECK(peer_echo(&p, "through TLS"));
    char own[64];
    dial_name(p.fd, own, sizeof own);
    check_names(fixture_conn(f, 0), "192.0.2.7:5123", own);
    peer_leave(&p);
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_PEER);
    fixture_stop(f);
}

static void in_front_of_every_mode(void)
{
    for (int together = 0; together < 2; together++) {
        in_front_of_tls(TLSLOOP_MODE_TLS, together);
        in_front_of_tls(TLSLOOP_MODE_DETECT, together);
    }
    in_front_of_tls(TLSLOOP_MODE_STARTTLS, false);
    for (int mode = TLSLOOP_MODE_PLAIN; mode <= TLSLOOP_MODE_DETECT; mode++) {
        struct fixture *f = behind((struct options){ .config.mode = mode });
        header_v2(&header, HEADER_PROXY, HEADER_TCP6);
        introduce(f, header.len, "[2001:db8::7]:5123", 0);
        CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_PEER);
        fixture_stop(f);
    }
}

CHECK_MAIN(CASE(version_1_cut_anywhere), CASE(version_2_cut_anywhere),
           CASE(local_and_unknown_mean_the_real_peer), CASE(l32_every_length), CASE(l32_no_header),
           CASE(surplus_bytes_are_the_clients), CASE(in_front_of_every_mode))
