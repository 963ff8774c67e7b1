/*
 * One attacker. It stops by itself.
 *
 *   attack KIND PORT CONNECTIONS SECONDS
 *
 * Kinds that hold come with so many connections, and stay. Kinds that flood use that many at once, or one after the
 * other, as fast as they can. At its end it prints what it spent.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "peer.h"
#include "record12.h"

enum { MOST = 20000, BURST = 20 /* fewer than those that end a connection */ };

static int port;
static unsigned wanted;
static long long until;
static unsigned long long connections, bytes, messages;
static struct peer peers[MOST];
static int fds[MOST];

static bool time_is_up(void)
{
    return check_now_ms() >= until;
}

/* Sends what the kernel takes at once; false: the server is gone, or takes no more. */
static bool push(int fd, const void *data, size_t len)
{
    ssize_t n = send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) bytes += (unsigned long long)n;
    return n == (ssize_t)len;
}

static bool shove(int fd, const void *data, size_t len)
{
    bool sent = tcp_send(fd, data, len);
    if (sent) bytes += len;
    return sent;
}

/* Reads and drops what is there. */
static void drop_answers(int fd)
{
    static char buf[1 << 16];
    while (recv(fd, buf, sizeof buf, MSG_DONTWAIT) > 0) {}
}

static int come(void)
{
    int fd = tcp_try_connect(port);
    connections += fd >= 0;
    return fd;
}

static struct peer come_with_tls(int version, int receive_buffer)
{
    connections++;
    return peer_connect_with(port, (struct peer_options){ .version = version, .receive_buffer = receive_buffer });
}

static void stay(void)
{
    while (!time_is_up()) check_nap(20);
}

/* --- Those who hold ------------------------------------------------------------------------------------------- */

static void slow_handshake(void)
{
    unsigned char hello[4096];
    size_t len = peer_client_hello(hello, sizeof hello);
    for (unsigned i = 0; i < wanted; i++) fds[i] = come();
    for (size_t at = 0; at + 1 < len && !time_is_up(); at++) {
        for (unsigned i = 0; i < wanted; i++) messages += push(fds[i], hello + at, 1);
        for (int nap = 0; nap < 50 && !time_is_up(); nap++) check_nap(20);
    }
}

static void silent_after_hello(void)
{
    unsigned char hello[4096];
    size_t len = peer_client_hello(hello, sizeof hello);
    for (unsigned i = 0; i < wanted; i++) {
        fds[i] = come();
        messages += push(fds[i], hello, len);
    }
    stay();
}

static void silent_connections(void)
{
    for (unsigned i = 0; i < wanted; i++) fds[i] = come();
    stay();
}

static void half_open(void)
{
    for (unsigned i = 0; i < wanted; i++) {
        peers[i] = come_with_tls(0, 0);
        CHECK(peer_echo(&peers[i], "I was there"));
    }
    stay();
}

/* One message that asks for new keys, kept. */
static void seal_key_update(struct peer *p)
{
    CHECK(SSL_key_update(p->ssl, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(p->ssl) == 1);
    messages++;
}

static void seal_key_updates(struct peer *p)
{
    for (int i = 0; i < BURST; i++) seal_key_update(p);
    peer_seal(p, "x", 1);
}

/* Sends to each in turn, and reads nothing, until none takes any more. */
static void stuff(void (*seal)(struct peer *p), int version)
{
    static char used[1 << 20];
    for (unsigned i = 0; i < wanted; i++) peers[i] = come_with_tls(version, 4096);
    for (unsigned idle = 0; idle < 20 && !time_is_up(); idle++) {
        for (unsigned i = 0; i < wanted; i++) {
            char *rest;
            if (BIO_ctrl_pending(peers[i].out) == 0) seal(&peers[i]);
            long n = BIO_get_mem_data(peers[i].out, &rest);
            ssize_t sent = send(peers[i].fd, rest, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent <= 0) continue;
            CHECK_EQ(BIO_read(peers[i].out, used, (int)sent), sent);
            bytes += (unsigned long long)sent;
            idle = 0;
        }
        if (idle > 0) check_nap(20);
    }
    stay();
}

static void seal_block(struct peer *p)
{
    static const char block[16384];
    peer_seal(p, block, sizeof block);
    messages++;
}

static void never_reading(void) { stuff(seal_block, 0); }
static void unread_key_updates(void) { stuff(seal_key_updates, TLS1_3_VERSION); }

static void slow_proxy_header(void)
{
    static unsigned char header[1024] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff";
    for (unsigned i = 0; i < wanted; i++) {
        fds[i] = come();
        messages += push(fds[i], header, sizeof header);
    }
    stay();
}

/* --- Those who flood ------------------------------------------------------------------------------------------ */

static void handshake_flood(void)
{
    unsigned char hello[4096], answer[1];
    size_t len = peer_client_hello(hello, sizeof hello);
    while (!time_is_up()) {
        int fd = come();
        if (fd < 0) continue;
        messages += shove(fd, hello, len);
        tcp_recv(fd, answer, 1); /* so that the server has signed */
        tcp_reset(fd);
    }
}

static void forged_proxy_headers(void)
{
    static const char forged[] = "PROXY TCP4 192.0.2.7 198.51.100.1 5123 443\r\n";
    while (!time_is_up()) {
        int fd = come();
        if (fd < 0) continue;
        messages += shove(fd, forged, sizeof forged - 1);
        tcp_until_end(fd);
        close(fd);
    }
}

/* All connections in turn, a flight of each; one that was ended is left. */
static void flood(void (*seal)(struct peer *p), int version)
{
    unsigned left = wanted;
    for (unsigned i = 0; i < wanted; i++) peers[i] = come_with_tls(version, 0);
    while (left > 0 && !time_is_up()) {
        for (unsigned i = 0; i < wanted; i++) {
            char *sealed;
            if (peers[i].fd < 0) continue;
            seal(&peers[i]);
            long n = BIO_get_mem_data(peers[i].out, &sealed);
            bool sent = shove(peers[i].fd, sealed, (size_t)n);
            (void)BIO_reset(peers[i].out);
            drop_answers(peers[i].fd);
            if (!sent) peer_close(&peers[i]), left--;
        }
    }
}

static void seal_tiny_records(struct peer *p)
{
    for (int i = 0; i < 500; i++, messages++) peer_seal(p, "x", 1);
}

static void seal_too_many_key_updates(struct peer *p)
{
    for (int i = 0; i < 100; i++) seal_key_update(p);
}

static void tiny_records(void) { flood(seal_tiny_records, 0); }
static void key_updates(void) { flood(seal_key_updates, TLS1_3_VERSION); }
static void too_many_key_updates(void) { flood(seal_too_many_key_updates, TLS1_3_VERSION); }

/* Records that OpenSSL does not write: `count` of a kind, and then a byte of data, if it is wanted. */
static void flood_by_hand(int type, const void *content, size_t len, int count, bool with_data)
{
    static struct record12 keys[MOST];
    unsigned char flight[65536];
    unsigned left = wanted;
    for (unsigned i = 0; i < wanted; i++) {
        peers[i] = come_with_tls(TLS1_2_VERSION, 0);
        record12_take_over(&keys[i], peers[i].ssl);
    }
    while (left > 0 && !time_is_up()) {
        for (unsigned i = 0; i < wanted; i++) {
            size_t used = 0;
            if (peers[i].fd < 0) continue;
            for (int k = 0; k < count; k++, messages++)
                used += record12_seal(&keys[i], type, content, len, flight + used);
            if (with_data) used += record12_seal(&keys[i], RECORD12_DATA, "x", 1, flight + used);
            bool sent = shove(peers[i].fd, flight, used);
            drop_answers(peers[i].fd);
            if (!sent) peer_close(&peers[i]), left--;
        }
    }
}

static const unsigned char hello_again[] = { 1, 0, 0, 0 }; /* the beginning of a ClientHello is enough to be refused */

static void renegotiate(int count, bool with_data)
{
    flood_by_hand(RECORD12_HANDSHAKE, hello_again, sizeof hello_again, count, with_data);
}

static void renegotiation(void) { renegotiate(BURST, true); }
static void too_much_renegotiation(void) { renegotiate(100, false); }

/* As many as a record has room for: each is answered, unless somebody counts. */
static void packed_renegotiation(void)
{
    static unsigned char hellos[16384];
    for (size_t i = 0; i < sizeof hellos; i += sizeof hello_again) memcpy(hellos + i, hello_again, sizeof hello_again);
    flood_by_hand(RECORD12_HANDSHAKE, hellos, sizeof hellos, 3, true);
}

static void empty_records(void) { flood_by_hand(RECORD12_DATA, "", 0, 100, false); }

static const struct { const char *name; void (*run)(void); } kinds[] = {
    { "slow-handshake", slow_handshake }, { "silent-after-hello", silent_after_hello },
    { "silent-connections", silent_connections }, { "half-open", half_open }, { "never-reading", never_reading },
    { "unread-key-updates", unread_key_updates }, { "slow-proxy-header", slow_proxy_header },
    { "handshake-flood", handshake_flood }, { "forged-proxy-headers", forged_proxy_headers },
    { "tiny-records", tiny_records }, { "empty-records", empty_records }, { "key-updates", key_updates },
    { "too-many-key-updates", too_many_key_updates }, { "renegotiation", renegotiation },
    { "too-much-renegotiation", too_much_renegotiation }, { "packed-renegotiation", packed_renegotiation },
};

int main(int argc, char **argv)
{
    struct rlimit files;
    CHECK(argc == 5);
    port = atoi(argv[2]);
    wanted = (unsigned)atoi(argv[3]);
    CHECK(wanted > 0 && wanted <= MOST);
    until = check_now_ms() + atoi(argv[4]) * 1000LL;
    CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
    files.rlim_cur = files.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
    alarm((unsigned)atoi(argv[4]) + 30); /* whatever happens */
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(argv[1], kinds[i].name) != 0) continue;
        kinds[i].run();
        printf("{\"connections\":%llu,\"bytes\":%llu,\"messages\":%llu}\n", connections, bytes, messages);
        return EXIT_SUCCESS;
    }
    check_failed(__FILE__, __LINE__, "no attack is called %s", argv[1]);
}
