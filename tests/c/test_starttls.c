/* MODE_STARTTLS: plain text until the host starts TLS, and neither ever passes for the other. */
#define _GNU_SOURCE
#include "dial.h"
#include "fixture.h"
#include "peer.h"
#include "stage.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char block[1 << 20];

#define COMMAND "STARTTLS\r\n"
#define GO "220 go\r\n"

static bool is_command(const void *data, size_t len)
{
    return len == strlen(COMMAND) && memcmp(data, COMMAND, len) == 0;
}

static int is_tls(tlsloop_conn conn)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    CHECK_OK(tlsloop_conn_info(conn, &info));
    CHECK(info.is_tls == (info.version[0] != 0));
    return info.is_tls;
}

/* Echoes, until the command comes. */
static void obey(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    if (!is_command(data, len)) {
        CHECK_OK(tlsloop_conn_send(conn, data, len));
        return;
    }
    CHECK_OK(tlsloop_conn_send(conn, GO, strlen(GO)));
    CHECK_OK(tlsloop_conn_start_tls(conn));
}

static struct fixture *starttls(struct options options, stage_hook on_tls)
{
    options.config.mode = TLSLOOP_MODE_STARTTLS;
    if (!options.on.data) options.on.data = obey;
    return stage_start(options, on_tls);
}

/* A client that has been told to go. */
static int told_to_go(struct fixture *f)
{
    int fd = tcp_connect(f->port);
    CHECK(tcp_send(fd, "plain", 5));
    CHECK(dial_expect(fd, "plain"));
    CHECK(tcp_send(fd, COMMAND, strlen(COMMAND)));
    CHECK(dial_expect(fd, GO));
    return fd;
}

static void check_tls_is_up(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK(is_tls(conn));
    CHECK_OK(tlsloop_conn_send(conn, "tls is up", 9));
}

static void check_tls_is_not_up(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK(!is_tls(conn));
}

/* "on_tls: STARTTLS: TLS is up"; "plain until conn_start_tls" */
static void from_plain_to_tls(void)
{
    struct fixture *f = starttls((struct options){ .on.connect = check_tls_is_not_up }, check_tls_is_up);
    for (unsigned i = 0; i < 5; i++) {
        char got[9];
        struct peer p = dial_tls(told_to_go(f));
        CHECK(peer_recv_all(&p, got, 9));
        CHECK(memcmp(got, "tls is up", 9) == 0);
        CHECK(peer_echo(&p, "through TLS"));
        CHECK(peer_echo(&p, "STARTTLS")); /* not the command: it lacks its end */
        peer_leave(&p);
        struct record r = stage_ended(f, i);
        CHECK_EQ(r.reason, TLSLOOP_REASON_PEER);
        CHECK_STR(r.order, "cdtdx");
    }
    CHECK_EQ(stage_tls_ups(f), 5);
    CHECK_EQ(fixture_stats(f).handshakes, 5);
    CHECK_EQ(fixture_stats(f).connects, 5);
    fixture_stop(f);
}

/* A bare FIN is a clean end before TLS, and a truncation after it. */
static void a_fin_before_and_after(void)
{
    struct fixture *f = starttls((struct options){ 0 }, NULL);
    int fd = tcp_connect(f->port);
    CHECK(tcp_send(fd, "plain", 5));
    CHECK(dial_expect(fd, "plain"));
    close(fd);
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_PEER);
    struct peer p = dial_tls(told_to_go(f));
    CHECK(peer_echo(&p, "through TLS"));
    peer_close(&p);
    CHECK_EQ(stage_ended(f, 1).reason, TLSLOOP_REASON_TRUNCATED);
    fixture_stop(f);
}

/*
 * L31: "plaintext that arrives behind the command that starts TLS …: never hands it to on_data as if it
 * had come through TLS". "Bytes received but not yet handed over at that moment end the connection with
 * PROTOCOL": on_data waits until they are there.
 */
static atomic_bool injected;

static void only_the_command(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    if (f->data_calls > 1)
        check_failed(__FILE__, __LINE__, "%zu bytes were delivered behind the command", len);
    CHECK(is_command(data, len));
    EVENTUALLY(injected);
    CHECK_OK(tlsloop_conn_send(conn, GO, strlen(GO)));
    CHECK_OK(tlsloop_conn_start_tls(conn));
}

static void inject(const void *text, size_t len)
{
    injected = false;
    struct fixture *f = starttls((struct options){ .on.data = only_the_command }, NULL);
    int fd = tcp_connect(f->port);
    CHECK(tcp_send(fd, COMMAND, strlen(COMMAND)));
    EVENTUALLY_EQ(f->data_calls, 1);
    CHECK(tcp_send(fd, text, len));
    injected = true;
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_PROTOCOL);
    CHECK_EQ(stage_tls_ups(f), 0);
    CHECK_EQ(f->handshakes_failed, 0);
    close(fd);
    fixture_stop(f);
}

static void l31_injected_plain_text(void)
{
    static char text[200000];
    memset(text, 'i', sizeof text);
    inject("injected\r\n", 10);
    inject(text, 100);
    inject(text, sizeof text);
}

/* The last line of a command that is delivered in one piece with what came behind it is the host's to
 * refuse; what it then has not been given is not given later. */
static void the_hosts_to_refuse(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    CHECK_EQ(f->data_calls, 1);
    CHECK(len >= strlen(COMMAND) && memcmp(data, COMMAND, strlen(COMMAND)) == 0);
    if (len > strlen(COMMAND))
        CHECK_OK(tlsloop_conn_abort(conn));
    else
        CHECK_OK(tlsloop_conn_start_tls(conn));
}

static void l31_in_the_same_segment(void)
{
    static char text[200000];
    static const size_t lengths[] = { 1, 100, 16384, 65536, 65537, 100000, sizeof text - sizeof COMMAND };
    memset(text, 'i', sizeof text);
    memcpy(text, COMMAND, strlen(COMMAND));
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct fixture *f = starttls((struct options){ .on.data = the_hosts_to_refuse }, NULL);
        int fd = tcp_connect(f->port);
        tcp_send(fd, text, strlen(COMMAND) + lengths[i]);
        int reason = stage_ended(f, 0).reason;
        CHECK(reason == TLSLOOP_REASON_ABORTED || reason == TLSLOOP_REASON_PROTOCOL);
        close(fd);
        fixture_stop(f);
    }
}

/* The same with what the kernel holds while the host has paused: it was received before TLS. */
static void start_in_post(tlsloop_conn conn, void *arg)
{
    (void)arg;
    CHECK_OK(tlsloop_conn_send(conn, GO, strlen(GO)));
    CHECK_OK(tlsloop_conn_start_tls(conn));
    CHECK_OK(tlsloop_conn_resume(conn));
}

static void pause_first(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_pause(conn));
}

static void l31_injected_while_paused(void)
{
    struct fixture *f = starttls((struct options){
        .on = { .connect = pause_first, .data = stage_swallow },
    }, NULL);
    int fd = tcp_connect(f->port);
    tlsloop_conn conn = fixture_conn(f, 0);
    CHECK(tcp_send(fd, "injected", 8));
    check_nap(100);
    CHECK_OK(tlsloop_conn_post(conn, start_in_post, NULL));
    CHECK_EQ(stage_ended(f, 0).reason, TLSLOOP_REASON_PROTOCOL);
    CHECK_EQ(f->data_calls, 0);
    close(fd);
    fixture_stop(f);
}

/*
 * "pause holds back on_data and what stands behind the data": the handshake is neither, so on_tls comes to
 * a host that paused in order to start TLS at its leisure; what comes through TLS waits for the resume.
 */
static atomic_uint starts;

static void start_while_paused(tlsloop_conn conn, void *arg)
{
    (void)arg;
    CHECK_OK(tlsloop_conn_send(conn, GO, strlen(GO)));
    CHECK_OK(tlsloop_conn_start_tls(conn));
    starts++;
}

static void pause_and_post(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    if (f->data_calls > 1) {
        CHECK_OK(tlsloop_conn_send(conn, data, len));
        return;
    }
    CHECK(is_command(data, len));
    CHECK_OK(tlsloop_conn_pause(conn));
    CHECK_OK(tlsloop_conn_post_after(conn, 50, start_while_paused, NULL));
}

static void a_pause_does_not_hold_back_the_handshake(void)
{
    char back[4];
    struct fixture *f = starttls((struct options){ .on.data = pause_and_post }, NULL);
    int fd = tcp_connect(f->port);
    CHECK(tcp_send(fd, COMMAND, strlen(COMMAND)));
    CHECK(dial_expect(fd, GO));
    EVENTUALLY_EQ(starts, 1);
    struct peer p = dial_tls(fd);
    CHECK(peer_send(&p, "held", 4));
    EVENTUALLY_EQ(stage_tls_ups(f), 1);
    check_nap(100);
    CHECK_EQ(f->data_calls, 1);
    CHECK_OK(tlsloop_conn_resume(fixture_conn(f, 0)));
    CHECK(peer_recv_all(&p, back, 4) && memcmp(back, "held", 4) == 0);
    peer_leave(&p);
    CHECK_STR(stage_ended(f, 0).order, "cdtdx");
    fixture_stop(f);
}

/* L31: "sends made between conn_start_tls and the end of the handshake: never on the wire in plain" */
static void send_behind(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    obey(f, conn, data, len);
    if (is_command(data, len)) CHECK_OK(tlsloop_conn_send(conn, "secret", 6));
}

static void *keep_sending(void *arg)
{
    struct fixture *f = arg;
    tlsloop_conn conn = fixture_conn(f, 0);
    for (unsigned i = 0; i < 200; i++) {
        CHECK_OK(tlsloop_conn_send(conn, "secret", 6));
        if (i % 16 == 0) check_nap(1);
    }
    return NULL;
}

static void l31_sends_wait_for_tls(void)
{
    for (unsigned i = 0; i < check_scaled(20); i++) {
        char plain[64], got[6 * 201];
        pthread_t thread;
        struct fixture *f = starttls((struct options){ .on.data = send_behind }, NULL);
        int fd = told_to_go(f);
        CHECK(pthread_create(&thread, NULL, keep_sending, f) == 0);
        check_nap(i % 5);
        CHECK_EQ(recv(fd, plain, sizeof plain, MSG_DONTWAIT), -1); /* nothing behind the go */
        struct peer p = dial_tls(fd); /* plain text in the handshake would be its end */
        CHECK(peer_recv_all(&p, got, sizeof got));
        for (size_t at = 0; at < sizeof got; at++) CHECK_EQ(got[at], "secret"[at % 6]);
        CHECK(pthread_join(thread, NULL) == 0);
        peer_leave(&p);
        fixture_stop(f);
    }
}

/* "Sends accepted before it leave first, in plain": also when they are many and the peer is slow. */
static void much_then_start(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    if (!is_command(data, len)) {
        CHECK_OK(tlsloop_conn_send(conn, data, len));
        return;
    }
    for (int i = 0; i < 8; i++) CHECK_OK(tlsloop_conn_send(conn, block, sizeof block));
    CHECK_OK(tlsloop_conn_send(conn, GO, strlen(GO)));
    CHECK_OK(tlsloop_conn_start_tls(conn));
    CHECK_OK(tlsloop_conn_send(conn, "secret", 6));
}

static void sends_before_leave_in_plain(void)
{
    static char plain[8 * sizeof block];
    char got[6];
    memset(block, 'p', sizeof block);
    struct fixture *f = starttls((struct options){
        .on.data = much_then_start,
        .config.send_high_water = 64 << 20,
    }, NULL);
    int fd = tcp_connect_small(f->port, 4096);
    CHECK(tcp_send(fd, COMMAND, strlen(COMMAND)));
    check_nap(100);
    for (size_t have = 0; have < sizeof plain;) {
        long n = tcp_recv(fd, plain + have, sizeof plain - have);
        CHECK(n > 0);
        have += (size_t)n;
    }
    for (size_t at = 0; at < sizeof plain; at++) CHECK_EQ(plain[at], 'p');
    CHECK(dial_expect(fd, GO));
    struct peer p = dial_tls(fd);
    CHECK(peer_recv_all(&p, got, 6) && memcmp(got, "secret", 6) == 0);
    CHECK(peer_echo(&p, "and on"));
    peer_leave(&p);
    fixture_stop(f);
}

CHECK_MAIN(CASE(from_plain_to_tls), CASE(a_fin_before_and_after), CASE(l31_injected_plain_text),
           CASE(l31_in_the_same_segment), CASE(l31_injected_while_paused), CASE(l31_sends_wait_for_tls),
           CASE(sends_before_leave_in_plain), CASE(a_pause_does_not_hold_back_the_handshake))
