/* L30: "a ClientHello of 1.5 KB and more, cut at each byte in turn: completes the handshake". */
#define _GNU_SOURCE
#include "fixture.h"
#include "peer.h"

#include <string.h>

/* Protocol names fill the ClientHello up: 1.5 KB is what post-quantum key shares bring it to. */
static void make_it_long(struct peer *p)
{
    unsigned char protocols[1400];
    for (size_t i = 0; i < sizeof protocols; i += 100) {
        protocols[i] = 99;
        memset(protocols + i + 1, 'a' + (int)(i / 100), 99);
    }
    CHECK(SSL_set_alpn_protos(p->ssl, protocols, sizeof protocols) == 0);
}

/* Sends the first flight in two pieces, and completes the handshake. False: it is not that long. */
static bool cut_at(int port, int version, size_t cut)
{
    unsigned char bytes[4096];
    struct peer p = peer_open(port, (struct peer_options){ .version = version });
    make_it_long(&p);
    peer_step(&p);
    size_t len = peer_take(&p, bytes, sizeof bytes);
    CHECK(len > 1500);
    size_t first = cut < len ? cut : len;
    CHECK(tcp_send(p.fd, bytes, first));
    check_nap(1);
    CHECK(tcp_send(p.fd, bytes + first, len - first));
    CHECK(peer_handshake(&p));
    CHECK(peer_echo(&p, "after the cut"));
    peer_leave(&p);
    return cut < len;
}

static void cut_at_each_byte(int version)
{
    struct fixture *f = fixture_start((struct options){ 0 });
    size_t step = check_time_factor() > 1 ? 97 : 1;
    unsigned visits = 1;
    for (size_t cut = 1; cut_at(f->port, version, cut); cut += step) visits++;
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], visits);
    CHECK_EQ(f->handshakes_failed, 0);
    fixture_stop(f);
}

static void l30_a_long_client_hello_tls13(void)
{
    cut_at_each_byte(TLS1_3_VERSION);
}

static void l30_a_long_client_hello_tls12(void)
{
    cut_at_each_byte(TLS1_2_VERSION);
}

/* Byte by byte, the whole conversation. */
static void every_byte_alone(void)
{
    unsigned char bytes[4096];
    struct fixture *f = fixture_start((struct options){ 0 });
    struct peer p = peer_open(f->port, (struct peer_options){ 0 });
    make_it_long(&p);
    while (!SSL_is_init_finished(p.ssl)) {
        peer_step(&p);
        size_t len = peer_take(&p, bytes, sizeof bytes);
        for (size_t i = 0; i < len; i++) CHECK(tcp_send(p.fd, bytes + i, 1));
        if (!SSL_is_init_finished(p.ssl)) CHECK(peer_fill(&p) > 0);
    }
    CHECK(peer_echo(&p, "in the end"));
    peer_leave(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    fixture_stop(f);
}

CHECK_MAIN(CASE(l30_a_long_client_hello_tls13), CASE(l30_a_long_client_hello_tls12),
           CASE(every_byte_alone))
