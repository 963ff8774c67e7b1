/* What conn_info and server_stats tell, held against what the peer knows. */
#define _GNU_SOURCE
#include "fixture.h"
#include "peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void own_address(int fd, char *text, size_t room)
{
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    CHECK(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    snprintf(text, room, "127.0.0.1:%d", ntohs(address.sin_port));
}

static tlsloop_info info_of(tlsloop_conn conn)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    CHECK_OK(tlsloop_conn_info(conn, &info));
    return info;
}

static void check_facts(const tlsloop_info *info, struct peer *p, int port)
{
    char text[64];
    own_address(p->fd, text, sizeof text);
    CHECK_STR(info->peer, text);
    snprintf(text, sizeof text, "127.0.0.1:%d", port);
    CHECK_STR(info->local, text);
    CHECK_STR(info->balancer, "");
    CHECK_STR(info->version, SSL_get_version(p->ssl));
    CHECK_STR(info->cipher, SSL_get_cipher_name(p->ssl));
    CHECK(strlen(info->group) > 0);
    CHECK_STR(info->alpn, "");
    CHECK_STR(info->subject, "");
    CHECK_STR(info->issuer, "");
    CHECK_STR(info->san, "");
    CHECK_STR(info->sha256, "");
    CHECK_EQ(info->is_tls, 1);
    CHECK_EQ(info->is_resumed, 0);
    CHECK_EQ(info->has_certificate, 0);
    CHECK_EQ(info->san_truncated, 0);
    CHECK_EQ(info->peer_pid, -1);
    CHECK_EQ(info->peer_uid, -1);
}

static void facts_of(int version, const char *name)
{
    struct fixture *f = fixture_start((struct options){ 0 });
    struct peer p = peer_connect_with(
        f->port, (struct peer_options){ .version = version, .server_name = name });
    CHECK(peer_echo(&p, "eleven byte"));
    /* The peer may have the echo before the worker has counted it. */
    EVENTUALLY_EQ(info_of(fixture_conn(f, 0)).bytes_out, 11);
    tlsloop_info info = info_of(fixture_conn(f, 0));
    check_facts(&info, &p, f->port);
    CHECK_STR(info.sni, name ? name : "");
    CHECK_EQ(info.bytes_in, 11);
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

/* tlsloop_info, member by member. */
static void facts_of_a_connection(void)
{
    facts_of(TLS1_3_VERSION, "some.name.example");
    facts_of(TLS1_2_VERSION, "localhost");
    facts_of(TLS1_3_VERSION, NULL);
}

/* "group": the name that OpenSSL has for it. */
static void the_group(void)
{
    static const char *const groups[] = { "P-256", "X25519" };
    static const char *const names[] = { "secp256r1", "x25519" };
    for (int i = 0; i < 2; i++) {
        struct fixture *f = fixture_start((struct options){ 0 });
        struct peer p = peer_open(f->port, (struct peer_options){ 0 });
        CHECK(SSL_set1_groups_list(p.ssl, groups[i]) == 1);
        CHECK(peer_handshake(&p));
        tlsloop_info info = info_of(fixture_conn(f, 0));
        CHECK_STR(info.group, names[i]);
        peer_leave(&p);
        EVENTUALLY_EQ(f->disconnects, 1);
        fixture_stop(f);
    }
}

/* "[2001:db8::7]:5123": IPv6 in brackets. */
static void an_ipv6_peer(void)
{
    struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0)
        check_skip("no IPv6 here");
    close(fd);
    struct fixture *f = fixture_start((struct options){ .config.address = "::1" });
    fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin6_port = htons((uint16_t)f->port);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    tcp_limits(fd);
    struct peer p = peer_over_socket(fd);
    CHECK(peer_handshake(&p));
    tlsloop_info info = info_of(fixture_conn(f, 0));
    char text[64];
    socklen_t len = sizeof address;
    CHECK(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    snprintf(text, sizeof text, "[::1]:%d", ntohs(address.sin6_port));
    CHECK_STR(info.peer, text);
    snprintf(text, sizeof text, "[::1]:%d", f->port);
    CHECK_STR(info.local, text);
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

static int see_peer(struct fixture *f, const char *peer)
{
    snprintf(f->context, 64, "%s", peer);
    return 0;
}

/* "on_accept(peer)": the same text as in conn_info, before TLS. */
static void on_accept_sees_the_peer(void)
{
    char seen[64] = "";
    struct fixture *f = fixture_start((struct options){ .on.accept = see_peer, .context = seen });
    struct peer p = peer_connect(f->port);
    CHECK_STR(info_of(fixture_conn(f, 0)).peer, seen);
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

static int refuse_every_second(struct fixture *f, const char *peer)
{
    (void)peer;
    return f->accepts % 2 == 0;
}

/* "Refusals (limit, per address, on_accept) call nothing back and are counted." */
static void refused_by_the_callback(void)
{
    struct fixture *f = fixture_start((struct options){ .on.accept = refuse_every_second });
    for (int i = 0; i < 10; i++) {
        struct peer p = peer_over_socket(tcp_connect(f->port));
        CHECK_EQ(peer_handshake(&p), i % 2 == 0);
        peer_leave(&p);
    }
    EVENTUALLY_EQ(f->disconnects, 5);
    CHECK_EQ(f->handshakes_failed, 0);
    tlsloop_stats stats = fixture_stats(f);
    CHECK_EQ(stats.accepted, 10);
    CHECK_EQ(stats.refused_callback, 5);
    fixture_stop(f);
}

static int any_object;

static void data_starts_empty(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK(tlsloop_conn_data(conn) == NULL);
    CHECK_OK(tlsloop_conn_set_data(conn, &any_object));
}

static void data_stays(struct fixture *f, tlsloop_conn conn, int reason)
{
    (void)reason;
    CHECK(tlsloop_conn_data(conn) == f);
}

/* tlsloop_conn_set_data and tlsloop_conn_data: one pointer, from any thread. */
static void data_of_a_connection(void)
{
    struct fixture *f = fixture_start(
        (struct options){ .on.connect = data_starts_empty, .on.disconnect = data_stays });
    struct peer a = peer_connect(f->port), b = peer_connect(f->port);
    CHECK(peer_echo(&a, "1") && peer_echo(&b, "2"));
    for (unsigned i = 0; i < 2; i++) {
        tlsloop_conn conn = fixture_conn(f, i);
        CHECK(tlsloop_conn_data(conn) == &any_object);
        CHECK_OK(tlsloop_conn_set_data(conn, NULL));
        CHECK(tlsloop_conn_data(conn) == NULL);
        CHECK(tlsloop_conn_data(fixture_conn(f, 1)) == (i == 0 ? &any_object : NULL));
    }
    for (unsigned i = 0; i < 2; i++) CHECK_OK(tlsloop_conn_set_data(fixture_conn(f, i), f));
    peer_leave(&a);
    peer_leave(&b);
    EVENTUALLY_EQ(f->disconnects, 2);
    fixture_stop(f);
}

struct sampler {
    struct fixture *f;
    atomic_bool enough;
    atomic_uint samples;
};

static void never_falls(const tlsloop_stats *old, const tlsloop_stats *now)
{
    CHECK(now->accepted >= old->accepted);
    CHECK(now->handshakes >= old->handshakes);
    CHECK(now->handshakes_failed >= old->handshakes_failed);
    CHECK(now->connects >= old->connects);
    CHECK(now->disconnects >= old->disconnects);
    CHECK(now->bytes_in >= old->bytes_in);
    CHECK(now->bytes_out >= old->bytes_out);
    CHECK(now->sends_refused >= old->sends_refused);
}

static void *sample(void *arg)
{
    struct sampler *s = arg;
    tlsloop_stats old = TLSLOOP_STATS_INIT;
    while (!s->enough) {
        tlsloop_stats now = fixture_stats(s->f);
        fixture_balanced(&now);
        never_falls(&old, &now);
        old = now;
        s->samples++;
    }
    return NULL;
}

static void *visit(void *arg)
{
    struct fixture *f = arg;
    for (unsigned i = 0; i < check_scaled(100); i++) {
        struct peer p = peer_connect(f->port);
        CHECK(peer_echo(&p, "five!"));
        if (i % 3 == 0) peer_leave(&p); else if (i % 3 == 1) peer_close(&p); else peer_reset(&p);
        close(tcp_connect(f->port));
    }
    return NULL;
}

/* "in every snapshot open == connects - disconnects, disconnects is the sum of its reasons" */
static void snapshots_balance_while_traffic_runs(void)
{
    enum { VISITORS = 4 };
    unsigned all = VISITORS * check_scaled(100);
    pthread_t visitors[VISITORS], sampling;
    struct sampler s = { .f = fixture_start((struct options){ .config.workers = 3 }) };
    CHECK(pthread_create(&sampling, NULL, sample, &s) == 0);
    for (int i = 0; i < VISITORS; i++)
        CHECK(pthread_create(&visitors[i], NULL, visit, s.f) == 0);
    for (int i = 0; i < VISITORS; i++) CHECK(pthread_join(visitors[i], NULL) == 0);
    EVENTUALLY_EQ(fixture_stats(s.f).disconnects, all);
    EVENTUALLY_EQ(fixture_stats(s.f).handshakes_failed, all);
    EVENTUALLY(s.samples > 10);
    s.enough = true;
    CHECK(pthread_join(sampling, NULL) == 0);

    tlsloop_stats stats = fixture_stats(s.f);
    CHECK_EQ(stats.accepted, 2 * all);
    CHECK_EQ(stats.handshakes, all);
    CHECK_EQ(stats.connects, all);
    CHECK_EQ(stats.bytes_in, all * 5);
    CHECK_EQ(stats.bytes_out, all * 5);
    CHECK_EQ(stats.open + stats.handshaking + stats.queued_bytes, 0);
    fixture_stop(s.f);
}

static void counted_before(struct fixture *f, tlsloop_conn conn)
{
    (void)conn;
    if (f->server) CHECK(fixture_stats(f).connects >= f->connects);
}

static void counted_after(struct fixture *f, tlsloop_conn conn, int reason)
{
    (void)conn;
    (void)reason;
    CHECK(fixture_stats(f).disconnects < f->connects);
    CHECK_EQ(fixture_stats(f).open, 1);
}

/* "a connect counts before its on_connect, a disconnect after its on_disconnect has returned" */
static void when_a_connection_counts(void)
{
    struct fixture *f =
        fixture_start((struct options){ .on.connect = counted_before, .on.disconnect = counted_after });
    for (unsigned i = 0; i < 10; i++) {
        struct peer p = peer_connect(f->port);
        CHECK(peer_echo(&p, "counted"));
        peer_leave(&p);
        EVENTUALLY_EQ(fixture_stats(f).disconnects, i + 1);
        CHECK_EQ(fixture_stats(f).open, 0);
    }
    fixture_stop(f);
}

CHECK_MAIN(CASE(facts_of_a_connection), CASE(the_group), CASE(an_ipv6_peer),
           CASE(on_accept_sees_the_peer), CASE(refused_by_the_callback), CASE(data_of_a_connection),
           CASE(snapshots_balance_while_traffic_runs), CASE(when_a_connection_counts))
