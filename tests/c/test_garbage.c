/* What is not TLS on the TLS port: an alert goes out, on_handshake_failed once, nobody else hurt. */
#define _GNU_SOURCE
#include "fixture.h"
#include "peer.h"

#include <openssl/err.h>
#include <string.h>
#include <unistd.h>

#define TEXT(literal) literal, sizeof literal - 1

static const struct rubbish {
    const char *name, *bytes;
    size_t len;
} rubbish[] = {
    { "HTTP GET", TEXT("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") },
    { "HTTP POST", TEXT("POST /form HTTP/1.0\r\nContent-Length: 3\r\n\r\na=b") },
    { "HTTP CONNECT", TEXT("CONNECT localhost:443 HTTP/1.1\r\n\r\n") },
    { "SSH", TEXT("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n") },
    { "SMTP", TEXT("EHLO localhost\r\n") },
    { "zeros", TEXT("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0") },
    { "ones", TEXT("\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377") },
    { "a record too long", TEXT("\x16\x03\x01\xff\xff\x01\x00\x00\x00\x00") },
    { "an unknown record type", TEXT("\x63\x03\x01\x00\x05\x01\x02\x03\x04\x05") },
    { "application data first", TEXT("\x17\x03\x03\x00\x05\x01\x02\x03\x04\x05") },
    { "an unknown handshake message", TEXT("\x16\x03\x01\x00\x08\x63\x00\x00\x04\x01\x02\x03\x04") },
    { "an empty ClientHello", TEXT("\x16\x03\x01\x00\x04\x01\x00\x00\x00") },
    { "a ClientHello of nonsense",
      TEXT("\x16\x03\x01\x00\x0e\x01\x00\x00\x0a\x03\x03\x01\x02\x03\x04\x05\x06\x07\x08") },
    { "an SSLv2 hello", TEXT("\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x07\x00\xc0\x03\x00\x80\x01"
                             "\x00\x80\x06\x00\x40\x04\x00\x80\x02\x00\x80\x00\x00\x00\x00\x00\x00"
                             "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00") },
};
enum { KINDS = sizeof rubbish / sizeof *rubbish };

static void is_tls_failure(struct fixture *f, tlsloop_conn conn, int code, const char *peer,
                           const char *why)
{
    (void)f;
    CHECK(conn != 0);
    CHECK_EQ(code, TLSLOOP_ETLS);
    CHECK_HAS(peer, "127.0.0.1:");
    CHECK(strlen(why) > 0);
}

static struct fixture *start(void)
{
    return fixture_start((struct options){ .on.handshake_failed = is_tls_failure });
}

/* The whole answer is one fatal alert, then the end. */
static void check_alert(const char *name, const unsigned char *answer, size_t n)
{
    if (n == 7 && answer[0] == 21 && answer[1] == 3 && answer[3] == 0 && answer[4] == 2 &&
        answer[5] == 2)
        return;
    check_failed(__FILE__, __LINE__, "%s: %zu bytes instead of a fatal alert, first %d", name, n,
                 n ? answer[0] : -1);
}

static void send_rubbish(int port, const struct rubbish *kind)
{
    unsigned char answer[64];
    size_t n = 0;
    int fd = tcp_connect(port);
    CHECK(tcp_send(fd, kind->bytes, kind->len));
    for (long got; n < sizeof answer; n += (size_t)got)
        if ((got = tcp_recv(fd, answer + n, sizeof answer - n)) <= 0) break;
    check_alert(kind->name, answer, n);
    close(fd);
}

/* "garbage and plain HTTP on the TLS port: an alert goes out, on_handshake_failed once" */
static void each_kind_gets_an_alert(void)
{
    struct fixture *f = start();
    for (unsigned i = 0; i < KINDS; i++) {
        send_rubbish(f->port, &rubbish[i]);
        EVENTUALLY_EQ(f->handshakes_failed, i + 1);
    }
    CHECK_EQ(f->connects, 0);
    CHECK_EQ(fixture_stats(f).handshakes_failed, KINDS);
    EVENTUALLY_EQ(fixture_stats(f).handshaking, 0);
    fixture_stop(f);
}

/* A record that is TLS, but of a version that is not spoken here any more. */
static void an_old_version_gets_an_alert(void)
{
    unsigned char hello[2048];
    struct fixture *f = start();
    size_t n = peer_client_hello(hello, sizeof hello);
    CHECK(n > 80);
    /* 3.1 in the ClientHello, and its extensions cut off: TLS 1.0. */
    size_t session = 5 + 4 + 2 + 32, ciphers = session + 1 + hello[session];
    size_t end = ciphers + 2 + ((size_t)hello[ciphers] << 8 | hello[ciphers + 1]) + 2;
    CHECK(end < n);
    hello[3] = (unsigned char)((end - 5) >> 8);
    hello[4] = (unsigned char)(end - 5);
    hello[7] = (unsigned char)((end - 9) >> 8);
    hello[8] = (unsigned char)(end - 9);
    hello[10] = 1;
    send_rubbish(f->port, &(struct rubbish){ "TLS 1.0", (char *)hello, end });
    EVENTUALLY_EQ(f->handshakes_failed, 1);
    fixture_stop(f);
}

/* More than the server reads of it: the end comes by FIN or by RST, and once. */
static void a_flood_of_garbage(void)
{
    static unsigned char flood[1 << 20];
    struct fixture *f = start();
    unsigned state = 1;
    for (size_t i = 0; i < sizeof flood; i++) {
        state = state * 1103515245u + 12345u;
        flood[i] = (unsigned char)(state >> 16);
    }
    for (unsigned i = 0; i < 10; i++) {
        int fd = tcp_connect(f->port);
        tcp_send(fd, flood, sizeof flood);
        tcp_until_end(fd);
        close(fd);
        EVENTUALLY_EQ(f->handshakes_failed, i + 1);
    }
    fixture_stop(f);
}

struct stream_of_rubbish {
    int port;
    atomic_bool enough;
    atomic_uint sent;
};

static void *rubbish_without_end(void *arg)
{
    struct stream_of_rubbish *stream = arg;
    while (!stream->enough) {
        send_rubbish(stream->port, &rubbish[stream->sent % KINDS]);
        stream->sent++;
    }
    return NULL;
}

/*
 * L21: "a client that sends rubbish …: ends no other connection and misreports no other error". One
 * worker, so that all share one error queue of OpenSSL; every end of the others is still told as
 * what it is.
 */
static void l21_rubbish_harms_no_other_connection(void)
{
    unsigned rounds = check_scaled(100);
    struct stream_of_rubbish stream = { 0 };
    pthread_t thread;
    struct fixture *f = start();
    stream.port = f->port;
    struct peer steady = peer_connect(f->port);
    CHECK(pthread_create(&thread, NULL, rubbish_without_end, &stream) == 0);
    for (unsigned i = 0; i < rounds; i++) {
        struct peer polite = peer_connect(f->port), rude = peer_connect(f->port);
        CHECK(peer_echo(&steady, "steady"));
        CHECK(peer_echo(&polite, "polite"));
        CHECK(peer_echo(&rude, "rude"));
        peer_leave(&polite);
        tcp_fin(rude.fd);
        peer_until_end(&rude, NULL);
        peer_close(&rude);
    }
    EVENTUALLY(stream.sent >= KINDS);
    stream.enough = true;
    CHECK(pthread_join(thread, NULL) == 0);
    EVENTUALLY_EQ(f->disconnects, 2 * rounds);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_PEER], rounds);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_TRUNCATED], rounds);
    EVENTUALLY_EQ(f->handshakes_failed, stream.sent);
    CHECK(peer_echo(&steady, "still steady"));
    peer_leave(&steady);
    fixture_stop(f);
}

/* A host that leaves its own troubles with OpenSSL behind, on the worker's thread. */
static void leave_an_error(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    (void)conn;
    ERR_raise(ERR_LIB_USER, 100);
}

static void leave_an_error_and_echo(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    leave_an_error(f, conn);
    CHECK_OK(tlsloop_conn_send(conn, data, len));
}

/* L21: "OpenSSL's error queue is empty before each call": what was left there is nobody's failure. */
static void l21_errors_that_the_host_left(void)
{
    struct fixture *f = fixture_start((struct options){
        .on = { .connect = leave_an_error, .data = leave_an_error_and_echo },
    });
    struct peer other = peer_connect(f->port);
    for (unsigned i = 0; i < 10; i++) {
        struct peer p = peer_connect(f->port);
        for (unsigned n = 0; n < 10; n++) {
            CHECK(peer_echo(&p, "not my error"));
            CHECK(peer_echo(&other, "nor mine"));
        }
        peer_leave(&p);
        EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], i + 1);
    }
    tcp_fin(other.fd);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_TRUNCATED], 1);
    peer_close(&other);
    fixture_stop(f);
}

/* The answer to a stranger is the same when its bytes come one at a time. */
static void byte_by_byte(void)
{
    struct fixture *f = start();
    for (unsigned i = 0; i < 3; i++) {
        const struct rubbish *kind = &rubbish[i];
        int fd = tcp_connect(f->port);
        for (size_t n = 0; n < kind->len; n++)
            if (!tcp_send(fd, kind->bytes + n, 1)) break;
        unsigned char answer[64];
        CHECK(tcp_recv(fd, answer, sizeof answer) == 7);
        CHECK_EQ(answer[0], 21);
        close(fd);
        EVENTUALLY_EQ(f->handshakes_failed, i + 1);
    }
    fixture_stop(f);
}

CHECK_MAIN(CASE(each_kind_gets_an_alert), CASE(an_old_version_gets_an_alert),
           CASE(a_flood_of_garbage), CASE(l21_rubbish_harms_no_other_connection),
           CASE(l21_errors_that_the_host_left), CASE(byte_by_byte))
