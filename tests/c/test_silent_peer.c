/* The habit: a blocking SSL_accept in the loop, so that one silent peer stops every other client. */
#define _GNU_SOURCE
#include "fixture.h"
#include "peer.h"

#include <unistd.h>

enum { SILENT = 10, OTHERS = 50 };

static void others_are_served(struct fixture *f)
{
    unsigned before = f->disconnects;
    for (int i = 0; i < OTHERS; i++) {
        struct peer p = peer_connect(f->port);
        CHECK(peer_echo(&p, "nobody waits"));
        peer_leave(&p);
    }
    EVENTUALLY_EQ(f->disconnects - before, OTHERS);
}

/* One worker and no handshake deadline: who waits for a silent peer waits for ever. */
static struct fixture *start(void)
{
    return fixture_start((struct options){ .config.handshake_timeout_ms = TLSLOOP_NONE });
}

static void silent_peers(size_t bytes_first)
{
    unsigned char hello[2048];
    size_t len = peer_client_hello(hello, sizeof hello);
    CHECK(bytes_first < len);
    struct fixture *f = start();
    int silent[SILENT];
    for (int i = 0; i < SILENT; i++) {
        silent[i] = tcp_connect(f->port);
        CHECK(tcp_send(silent[i], hello, bytes_first));
    }
    EVENTUALLY_EQ(fixture_stats(f).handshaking, SILENT);
    others_are_served(f);
    CHECK_EQ(fixture_stats(f).handshaking, SILENT);
    for (int i = 0; i < SILENT; i++) close(silent[i]);
    EVENTUALLY_EQ(f->handshakes_failed, SILENT);
    EVENTUALLY_EQ(fixture_stats(f).handshaking, 0);
    fixture_stop(f);
}

/* "non-blocking handshake": a peer that says nothing holds up nobody. */
static void peers_that_send_nothing(void)
{
    silent_peers(0);
}

/* The same for a peer that falls silent inside its ClientHello. */
static void peers_that_stop_in_the_client_hello(void)
{
    silent_peers(100);
}

/* The same for a peer that has the server's answer and says no more. */
static void peers_that_stop_after_the_client_hello(void)
{
    struct fixture *f = start();
    struct peer silent[SILENT];
    for (int i = 0; i < SILENT; i++) {
        silent[i] = peer_open(f->port, (struct peer_options){ 0 });
        peer_step(&silent[i]);
        CHECK(peer_flush(&silent[i]));
        CHECK(peer_fill(&silent[i]) > 0);
    }
    others_are_served(f);
    CHECK_EQ(f->handshakes_failed, 0);
    for (int i = 0; i < SILENT; i++) peer_close(&silent[i]);
    EVENTUALLY_EQ(f->handshakes_failed, SILENT);
    fixture_stop(f);
}

/* And for one that is silent once it is connected. */
static void peers_that_are_silent_when_connected(void)
{
    struct fixture *f = start();
    struct peer silent[SILENT];
    for (int i = 0; i < SILENT; i++) silent[i] = peer_connect(f->port);
    others_are_served(f);
    for (int i = 0; i < SILENT; i++) {
        CHECK(peer_echo(&silent[i], "still here"));
        peer_leave(&silent[i]);
    }
    EVENTUALLY_EQ(f->disconnects, SILENT + OTHERS);
    fixture_stop(f);
}

static void flood(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    static char block[1 << 16];
    if (((const char *)data)[0] != 'F') {
        CHECK_OK(tlsloop_conn_send(conn, data, len));
        return;
    }
    while (tlsloop_conn_send(conn, block, sizeof block) == TLSLOOP_OK) {}
    (void)f;
}

/* "a send queue, all-or-nothing sends": a peer that does not read holds up nobody either. */
static void peers_that_do_not_read(void)
{
    struct fixture *f = fixture_start((struct options){
        .on.data = flood,
        .config.send_timeout_ms = TLSLOOP_NONE,
    });
    struct peer deaf[SILENT];
    for (int i = 0; i < SILENT; i++) {
        deaf[i] = peer_connect_with(f->port, (struct peer_options){ .receive_buffer = 4096 });
        CHECK(peer_send(&deaf[i], "F", 1));
    }
    EVENTUALLY_EQ(fixture_stats(f).sends_refused, SILENT);
    others_are_served(f);
    EVENTUALLY_EQ(fixture_stats(f).open, SILENT); /* a disconnect counts after its callback */
    for (int i = 0; i < SILENT; i++) peer_reset(&deaf[i]);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_RESET], SILENT);
    fixture_stop(f);
}

CHECK_MAIN(CASE(peers_that_send_nothing), CASE(peers_that_stop_in_the_client_hello),
           CASE(peers_that_stop_after_the_client_hello), CASE(peers_that_are_silent_when_connected),
           CASE(peers_that_do_not_read))
