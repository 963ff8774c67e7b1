/*
 * Much in little: peers that make OpenSSL work, wait or remember by bytes that cost them nothing. Each meets a bound, and
 * nobody else feels it.
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "keys.h"
#include "peer.h"
#include "policy.h"
#include "record12.h"
#include "stage.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECORD = 16384, HANDSHAKE = 22 };

/* --- The cases ----------------------------------------------------------------------------------------------------- */

/* L26: "work per turn is bounded", also within one record: each of 4,096 ClientHellos would be answered by an alert. */
static void l26_a_record_full_of_hellos_ends_the_connection(void)
{
    static unsigned char hellos[RECORD], record[RECORD + 64];
    struct fixture *f = stage_start((struct options){ 0 }, NULL);
    struct peer other = peer_connect(f->port);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    CHECK_EQ(SSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES128-GCM-SHA256"), 1);
    struct peer p = peer_connect_with(f->port, (struct peer_options){ context, .version = TLS1_2_VERSION });
    struct record12 sealer;
    record12_take_over(&sealer, p.ssl);
    for (size_t i = 0; i < RECORD; i += 4) hellos[i] = 1;
    CHECK(tcp_send(p.fd, record, record12_seal(&sealer, RECORD12_HANDSHAKE, hellos, RECORD, record)));
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PROTOCOL], 1);
    CHECK(peer_echo(&other, "still here"));
    unsigned long long answers = 0;
    long n;
    while ((n = tcp_recv(p.fd, record, sizeof record)) > 0) answers += (unsigned long long)n;
    if (answers > 8192) check_failed(__FILE__, __LINE__, "%llu bytes of answers to one record", answers);
    peer_close(&p);
    peer_leave(&other);
    SSL_CTX_free(context);
    EVENTUALLY_EQ(f->disconnects, 2);
    fixture_stop(f);
}

static atomic_bool enough;

/* Says hello requests, which a client skips while it waits for the server's hello (RFC 5246 7.4.1.1). */
static void *never_answer(void *arg)
{
    static unsigned char records[16][5 + RECORD];
    int fd = accept(*(int *)arg, NULL, NULL);
    CHECK(fd >= 0);
    tcp_limits(fd);
    for (int i = 0; i < 16; i++) memcpy(records[i], (unsigned char[]){ HANDSHAKE, 3, 3, RECORD >> 8, 0 }, 5);
    while (!enough && tcp_send(fd, records, sizeof records)) {}
    close(fd);
    return NULL;
}

/* "connect_timeout_ms: everything from the look-up to the end of the handshake", though the socket is never empty. */
static void a_server_that_says_no_hello_has_its_time(void)
{
    int port, listener = tcp_listen(&port);
    pthread_t server;
    tlsloop_client *client = NULL;
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    enough = false;
    config.host = "127.0.0.1";
    config.port = (uint16_t)port;
    config.connect_timeout_ms = 300 * check_time_factor();
    CHECK(pthread_create(&server, NULL, never_answer, &listener) == 0);
    int code = tlsloop_client_connect(&config, &client);
    /* To AWS-LC it is no message that can come here. */
    CHECK(code == TLSLOOP_ETIMEDOUT || (code == TLSLOOP_ETLS && policy_on_aws_lc()));
    CHECK(client == NULL);
    enough = true;
    CHECK(pthread_join(server, NULL) == 0);
    close(listener);
}

static size_t put16(unsigned char *to, size_t value)
{
    to[0] = (unsigned char)(value >> 8);
    to[1] = (unsigned char)value;
    return 2;
}

/* A ClientHello with so many key shares, all for a group that nobody has, behind as many groups. */
static size_t hello_with_shares(unsigned char *to, size_t groups, size_t shares)
{
    static const unsigned char before[] = {
        3, 3, [34] = 0, 0, 2, 0x13, 1, 1, 0, /* no session, TLS_AES_128_GCM_SHA256, no compression */
    };
    static const unsigned char others[] = {
        0, 43, 0, 3, 2, 3, 4,             /* supported_versions: 1.3 */
        0, 13, 0, 6, 0, 4, 4, 3, 8, 4,    /* signature_algorithms */
    };
    size_t at = 9;
    memcpy(to + at, before, sizeof before), at += sizeof before;
    size_t extensions = at;
    at += 2;
    memcpy(to + at, others, sizeof others), at += sizeof others;
    at += put16(to + at, 10), at += put16(to + at, 2 + 2 * groups), at += put16(to + at, 2 * groups);
    for (size_t i = 0; i < groups; i++) at += put16(to + at, 0x7000 + i);
    at += put16(to + at, 51), at += put16(to + at, 2 + 5 * shares), at += put16(to + at, 5 * shares);
    for (size_t i = 0; i < shares; i++) {
        at += put16(to + at, 0x7000 + groups - 1), at += put16(to + at, 1);
        to[at++] = 0;
    }
    put16(to + extensions, at - extensions - 2);
    memcpy(to, (unsigned char[]){ HANDSHAKE, 3, 1 }, 3), put16(to + 3, at - 5);
    memcpy(to + 5, (unsigned char[]){ 1, 0 }, 2), put16(to + 7, at - 9);
    return at;
}

static char last_why[256];

static void note_why(struct fixture *f, tlsloop_conn conn, int code, const char *peer, const char *why)
{
    (void)f;
    (void)conn;
    (void)code;
    (void)peer;
    snprintf(last_why, sizeof last_why, "%s", why);
}

static void check_refused(struct fixture *f, const void *bytes, size_t len, const char *why)
{
    unsigned failed = f->handshakes_failed;
    int fd = tcp_connect(f->port);
    CHECK(tcp_send(fd, bytes, len));
    tcp_until_end(fd);
    EVENTUALLY_EQ(f->handshakes_failed, failed + 1);
    CHECK_EQ(f->last_code, TLSLOOP_ETLS);
    CHECK_HAS(last_why, why);
    close(fd);
}

/* L26: OpenSSL looks for each share among all groups. */
static void l26_a_hello_of_many_key_shares_is_refused(void)
{
    static unsigned char hello[RECORD];
    struct fixture *f = stage_start((struct options){ .on.handshake_failed = note_why }, NULL);
    const char *why = policy_on_aws_lc() ? "extension" : "bad extension";
    check_refused(f, hello, hello_with_shares(hello, 100, 100), why);
    check_refused(f, hello, hello_with_shares(hello, 1000, 1), why);
    fixture_stop(f);
}

/* "Memory is bounded": OpenSSL makes room for as much as nine bytes claim. */
static void l26_a_hello_that_claims_too_much_is_refused(void)
{
    static const unsigned char head[] = { HANDSHAKE, 3, 1, 0, 4, 1, 2, 1, 0x40 };
    static const unsigned char in_pieces[] = {
        HANDSHAKE, 3, 1, 0, 1, 1, HANDSHAKE, 3, 1, 0, 1, 2, HANDSHAKE, 3, 1, 0, 2, 1, 0x40 };
    struct fixture *f = stage_start((struct options){ .on.handshake_failed = note_why }, NULL);
    check_refused(f, head, sizeof head, "131392 bytes");
    check_refused(f, in_pieces, sizeof in_pieces, "131392 bytes");
    fixture_stop(f);
}

/* A client's certificates are unpacked before anybody knows whether to trust them, and kept. */
static void certificates_without_end_are_refused(void)
{
    struct identity mine = keys_local();
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    CHECK_EQ(SSL_CTX_use_certificate_chain_file(context, mine.chain), 1);
    CHECK_EQ(SSL_CTX_use_PrivateKey_file(context, mine.key, SSL_FILETYPE_PEM), 1);
    X509 *leaf = SSL_CTX_get0_certificate(context);
    int len = i2d_X509(leaf, NULL);
    for (int bytes = 0; bytes < 33 * 1024; bytes += len) CHECK_EQ(SSL_CTX_add1_chain_cert(context, leaf), 1);
    tlsloop_tls *tls = stage_policy();
    CHECK_OK(tlsloop_tls_set_trust_file(tls, mine.chain));
    CHECK_OK(tlsloop_tls_set_verify(tls, TLSLOOP_VERIFY_OPTIONAL));
    struct fixture *f = stage_start((struct options){ .on.handshake_failed = note_why, .config.tls = tls }, NULL);
    struct peer p = peer_open(f->port, (struct peer_options){ context, .version = TLS1_3_VERSION });
    peer_handshake(&p);
    EVENTUALLY_EQ(f->handshakes_failed, 1);
    CHECK_HAS(last_why, "excessive message size");
    peer_close(&p);
    fixture_stop(f);
    tlsloop_tls_free(tls);
    SSL_CTX_free(context);
}

CHECK_MAIN(CASE(l26_a_record_full_of_hellos_ends_the_connection), CASE(a_server_that_says_no_hello_has_its_time),
           CASE(l26_a_hello_of_many_key_shares_is_refused), CASE(l26_a_hello_that_claims_too_much_is_refused),
           CASE(certificates_without_end_are_refused))
