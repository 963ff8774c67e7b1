/*
 * tlsloop_server_connect: connections that the server itself begins. "same callbacks".
 *
 * Two servers: `far` is what is connected to, an echo; `near` has no listener and connects to it.
 */
#define _GNU_SOURCE
#include "keys.h"
#include "measure.h"
#include "peer.h"
#include "stage.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char text[] = "Hello from a server to a server";

static struct fixture *start_near(struct hooks on)
{
    return stage_start((struct options){
        .on = on, .config = { .listen_fd = TLSLOOP_NO_LISTENER, .mode = TLSLOOP_MODE_PLAIN } }, NULL);
}

/* An echo under this certificate. */
static struct fixture *start_far(const struct identity *who)
{
    tlsloop_tls *tls = tlsloop_tls_new();
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, who->chain, who->key));
    struct fixture *f = stage_start((struct options){ .config.tls = tls }, NULL);
    tlsloop_tls_free(tls);
    return f;
}

static tlsloop_tls *trusting(const struct identity *who)
{
    tlsloop_tls *tls = tlsloop_tls_new();
    CHECK_OK(tlsloop_tls_set_trust_file(tls, who->chain));
    return tls;
}

static tlsloop_client_config to(int port)
{
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    config.host = "127.0.0.1";
    config.port = (uint16_t)port;
    return config;
}

static tlsloop_conn begin(struct fixture *near, tlsloop_client_config config)
{
    tlsloop_conn conn = 0;
    CHECK_OK(tlsloop_server_connect(near->server, &config, &conn));
    CHECK(conn != 0);
    return conn;
}

static void stop_both(struct fixture *near, struct fixture *far)
{
    near->loose_descriptors = near->loose_threads = true; /* far's are still there */
    fixture_stop(near);
    fixture_stop(far);
}

static void say_hello(struct fixture *f, tlsloop_conn conn)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    CHECK(tlsloop_conn_data(conn) == &text);
    CHECK_OK(tlsloop_conn_info(conn, &info));
    CHECK_STR(info.peer, f->context);
    CHECK_HAS(info.local, "127.0.0.1:");
    CHECK_STR(info.version, "TLSv1.3");
    CHECK_STR(info.subject, info.issuer);
    CHECK_EQ(info.has_certificate, 1);
    CHECK_OK(tlsloop_conn_send(conn, text, sizeof text));
}

static void close_when_it_is_back(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    struct record r;
    (void)data;
    (void)len;
    CHECK(fixture_find(f, conn, &r));
    if (r.bytes == sizeof text) CHECK_OK(tlsloop_conn_close(conn));
}

/* "config.data: the connection's data from the start"; "numeric addresses need no thread" */
static void to_an_address(void)
{
    struct identity mine = keys_local();
    struct fixture *far = start_far(&mine);
    struct fixture *near =
        start_near((struct hooks){ .connect = say_hello, .data = close_when_it_is_back });
    char name[32];
    snprintf(name, sizeof name, "127.0.0.1:%d", far->port);
    near->context = name;
    unsigned threads = measure_threads();
    tlsloop_client_config config = to(far->port);
    config.tls = trusting(&mine);
    config.data = (void *)&text;
    tlsloop_conn conn = begin(near, config);
    tlsloop_tls_free(config.tls); /* "A reference is kept" */
    struct record r = stage_ended(near, 0);
    CHECK(r.conn == conn);
    CHECK_STR(r.order, "cdx");
    CHECK_EQ(r.reason, TLSLOOP_REASON_HOST);
    CHECK(r.hash == fixture_hash(FIXTURE_HASH, text, sizeof text));
    CHECK_EQ(measure_threads(), threads);
    CHECK_EQ(stage_ended(far, 0).reason, TLSLOOP_REASON_PEER);
    tlsloop_stats stats = fixture_stats(near);
    CHECK_EQ(stats.accepted, 1);
    CHECK_EQ(stats.handshakes, 1);
    CHECK_EQ(stats.bytes_out, sizeof text);
    CHECK_EQ(stats.handshaking, 0);
    stop_both(near, far);
}

/* "Sends before on_connect queue": also those from the very thread that has just begun. */
static void what_is_sent_before_it_is_up_leaves_then(void)
{
    struct identity mine = keys_local();
    struct fixture *far = start_far(&mine);
    struct fixture *near = start_near((struct hooks){ .data = close_when_it_is_back });
    tlsloop_client_config config = to(far->port);
    config.tls = trusting(&mine);
    for (unsigned i = 0; i < 10; i++) {
        tlsloop_conn conn = begin(near, config);
        CHECK_OK(tlsloop_conn_send(conn, text, sizeof text));
        CHECK_EQ(stage_ended(near, i).reason, TLSLOOP_REASON_HOST);
    }
    tlsloop_tls_free(config.tls);
    /* "A client resumes by itself, per tlsloop_tls, host and port." */
    CHECK_EQ(fixture_stats(near).handshakes_resumed, 9);
    stop_both(near, far);
}

static struct record failed(struct fixture *near, tlsloop_client_config config)
{
    struct record r = { 0 };
    unsigned before = near->handshakes_failed;
    tlsloop_conn conn = begin(near, config);
    EVENTUALLY_EQ(near->handshakes_failed, before + 1);
    EVENTUALLY(fixture_failed(near, conn, &r));
    EVENTUALLY_EQ(tlsloop_conn_abort(conn), TLSLOOP_ECLOSED);
    return r;
}

/* "failure before on_connect: on_handshake_failed, once, instead; its id matches connect's out" */
static void what_fails_is_told_once(void)
{
    struct identity mine = keys_local(), other = keys_local();
    struct fixture *far = start_far(&mine);
    struct fixture *near = start_near((struct hooks){ 0 });
    int silent, port = far->port;
    int fd = tcp_listen(&silent);
    char name[32];

    tlsloop_client_config config = to(port);
    struct record r = failed(near, config); /* the system's trust */
    CHECK_EQ(r.code, TLSLOOP_EVERIFY);
    snprintf(name, sizeof name, "127.0.0.1:%d", port);
    CHECK_STR(r.peer, name);
    config.tls = trusting(&other);
    CHECK_EQ(failed(near, config).code, TLSLOOP_EVERIFY);
    tlsloop_tls_free(config.tls);
    config.tls = trusting(&mine);
    config.server_name = "wrong.example";
    r = failed(near, config);
    CHECK_EQ(r.code, TLSLOOP_EVERIFY);
    CHECK_HAS(r.why, "wrong.example");
    tlsloop_tls_free(config.tls);

    config = to(silent); /* takes the connection and says nothing */
    config.connect_timeout_ms = 200;
    r = failed(near, config);
    CHECK_EQ(r.code, TLSLOOP_ETIMEDOUT);
    CHECK_HAS(r.why, "handshake");
    close(fd);
    r = failed(near, config);
    CHECK_EQ(r.code, TLSLOOP_ESYS);
    CHECK_HAS(r.why, strerror(ECONNREFUSED));
    snprintf(name, sizeof name, "127.0.0.1:%d", silent);
    CHECK_STR(r.peer, name);
    CHECK_EQ(near->connects, 0);
    EVENTUALLY_EQ(fixture_stats(near).handshaking, 0); /* it is counted out behind its callback */
    CHECK_EQ(fixture_stats(near).handshakes_failed, 5);
    stop_both(near, far);
}

/* max_handshakes: "when reached, accepting pauses"; what goes out is no reason to, neither while it waits
 * nor when it has ended. */
static void what_goes_out_does_not_hold_up_who_comes(void)
{
    int silent, fd = tcp_listen(&silent);
    struct fixture *f = stage_start((struct options){ .config.max_handshakes = 2 }, NULL);
    tlsloop_client_config config = to(silent);
    tlsloop_conn conns[4];
    for (int i = 0; i < 4; i++) conns[i] = begin(f, config);
    EVENTUALLY_EQ(fixture_stats(f).handshaking, 4);
    for (unsigned i = 0; i < 3; i++) {
        struct peer p = peer_connect(f->port);
        CHECK(peer_echo(&p, text));
        peer_leave(&p);
        if (i == 1) for (int c = 0; c < 4; c++) CHECK_OK(tlsloop_conn_abort(conns[c]));
        EVENTUALLY_EQ(f->handshakes_failed, i == 0 ? 0 : 4);
    }
    EVENTUALLY_EQ(f->disconnects, 3);
    fixture_stop(f);
    close(fd);
}

/* "close or abort before it gives this callback" */
static void closed_before_it_is_up(void)
{
    int port;
    int fd = tcp_listen(&port);
    struct fixture *near = start_near((struct hooks){ 0 });
    struct record r = { 0 };
    for (int i = 0; i < 3; i++) {
        tlsloop_conn conn = begin(near, to(port));
        if (i == 2) CHECK_OK(tlsloop_conn_pause(conn)); /* which holds nothing of this back */
        CHECK_OK(i == 0 ? tlsloop_conn_abort(conn) : tlsloop_conn_close(conn));
        EVENTUALLY(fixture_failed(near, conn, &r));
        CHECK_EQ(r.code, TLSLOOP_ECLOSED);
    }
    begin(near, to(port)); /* left to the stop */
    fixture_stop(near);
    close(fd);
    CHECK_EQ(near->handshakes_failed, 4);
}

static void connect_again(struct fixture *f, tlsloop_conn conn)
{
    tlsloop_conn next = 0;
    tlsloop_client_config config = *(tlsloop_client_config *)f->context;
    if (f->connects < 5) CHECK_OK(tlsloop_server_connect(f->server, &config, &next));
    CHECK(next != conn);
    CHECK_OK(tlsloop_conn_close(conn));
}

/* "Any thread and any callback may call it"; PLAIN; more than one worker. */
static void from_a_callback_in_plain(void)
{
    struct fixture *far = stage_start((struct options){ .config.mode = TLSLOOP_MODE_PLAIN }, NULL);
    struct fixture *near = stage_start((struct options){
        .on.connect = connect_again,
        .config = { .listen_fd = TLSLOOP_NO_LISTENER, .mode = TLSLOOP_MODE_PLAIN, .workers = 2 } }, NULL);
    tlsloop_client_config config = to(far->port);
    config.mode = TLSLOOP_MODE_PLAIN;
    near->context = &config;
    begin(near, config);
    EVENTUALLY_EQ(near->disconnects, 5);
    EVENTUALLY_EQ(far->disconnects, 5);
    CHECK_EQ(near->reasons[TLSLOOP_REASON_HOST], 5);
    CHECK_EQ(far->reasons[TLSLOOP_REASON_PEER], 5);
    stop_both(near, far);
}

static void answer_go(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    if (len != 8 || memcmp(data, "STARTTLS", 8) != 0) {
        CHECK_OK(tlsloop_conn_send(conn, data, len));
        return;
    }
    CHECK_OK(tlsloop_conn_send(conn, "go", 2));
    CHECK_OK(tlsloop_conn_start_tls(conn));
}

static void say_starttls(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_send(conn, "STARTTLS", 8));
}

static void begin_tls_then_close(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    if (len == 2 && memcmp(data, "go", 2) == 0) {
        CHECK_OK(tlsloop_conn_start_tls(conn));
        CHECK_OK(tlsloop_conn_send(conn, text, sizeof text)); /* "later ones wait for TLS" */
    } else {
        tlsloop_info info = TLSLOOP_INFO_INIT;
        CHECK_OK(tlsloop_conn_info(conn, &info));
        CHECK_EQ(info.is_tls, 1);
        CHECK_EQ(len, sizeof text);
        CHECK(memcmp(data, text, sizeof text) == 0);
        CHECK_OK(tlsloop_conn_close(conn));
    }
}

/* "plain until conn_start_tls", from the client's side: it speaks first. */
static void starttls_as_a_client(void)
{
    struct identity mine = keys_local();
    tlsloop_tls *tls = tlsloop_tls_new();
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, mine.chain, mine.key));
    struct fixture *far = stage_start((struct options){
        .on.data = answer_go, .config = { .tls = tls, .mode = TLSLOOP_MODE_STARTTLS } }, NULL);
    tlsloop_tls_free(tls);
    struct fixture *near =
        start_near((struct hooks){ .connect = say_starttls, .data = begin_tls_then_close });
    tlsloop_client_config config = to(far->port);
    config.mode = TLSLOOP_MODE_STARTTLS;
    config.tls = trusting(&mine);
    begin(near, config);
    struct record r = stage_ended(near, 0);
    CHECK_STR(r.order, "cdtdx");
    CHECK_EQ(r.reason, TLSLOOP_REASON_HOST);
    CHECK_EQ(stage_tls_ups(near), 1);
    CHECK_EQ(stage_ended(far, 0).reason, TLSLOOP_REASON_PEER);
    tlsloop_tls_free(config.tls);

    /* A failure after on_connect is an on_disconnect. */
    struct identity other = keys_local();
    config.tls = trusting(&other);
    begin(near, config);
    r = stage_ended(near, 1);
    CHECK_EQ(r.reason, TLSLOOP_REASON_PROTOCOL);
    CHECK_HAS(r.why, "not trusted");
    CHECK_EQ(near->handshakes_failed, 0);
    tlsloop_tls_free(config.tls);
    EVENTUALLY_EQ(far->disconnects, 2);
    stop_both(near, far);
}

/* unix sockets, with the peer's process. */
static void to_a_path(void)
{
    char path[128], address[140];
    snprintf(path, sizeof path, "%s/far.sock", keys_dir());
    snprintf(address, sizeof address, "unix:%s", path);
    struct fixture *far = stage_start((struct options){
        .config = { .address = address, .mode = TLSLOOP_MODE_PLAIN } }, NULL);
    struct fixture *near = start_near((struct hooks){ .data = close_when_it_is_back });
    tlsloop_client_config config = to(0);
    config.host = address;
    config.mode = TLSLOOP_MODE_PLAIN;
    tlsloop_conn conn = begin(near, config);
    CHECK_OK(tlsloop_conn_send(conn, text, sizeof text));
    CHECK_EQ(stage_ended(near, 0).reason, TLSLOOP_REASON_HOST);
    EVENTUALLY_EQ(far->disconnects, 1);
    CHECK_EQ(far->bytes, sizeof text);
    config.host = "unix:/nowhere/at.all";
    struct record r = failed(near, config);
    CHECK_EQ(r.code, TLSLOOP_ESYS);
    CHECK_STR(r.peer, config.host);
    stop_both(near, far);
}

/* The edges of the call; what it refuses calls nothing back. */
static void what_is_refused_at_once(void)
{
    struct fixture *near = stage_start((struct options){
        .config = { .listen_fd = TLSLOOP_NO_LISTENER, .mode = TLSLOOP_MODE_PLAIN, .max_connections = 1 } },
        NULL);
    tlsloop_conn conn = 77;
    tlsloop_client_config config = to(1);
    int port, fd = tcp_listen(&port);
    CHECK_FAILS(tlsloop_server_connect(NULL, &config, &conn), TLSLOOP_EINVAL, "server");
    CHECK_FAILS(tlsloop_server_connect(near->server, NULL, &conn), TLSLOOP_EINVAL, "config");
    config.host = NULL;
    CHECK_FAILS(tlsloop_server_connect(near->server, &config, &conn), TLSLOOP_EINVAL, "host");
    config.host = "";
    CHECK_FAILS(tlsloop_server_connect(near->server, &config, &conn), TLSLOOP_EINVAL, "host");
    config = to(0);
    CHECK_FAILS(tlsloop_server_connect(near->server, &config, &conn), TLSLOOP_EINVAL, "port");
    config = to(1);
    config.mode = TLSLOOP_MODE_DETECT;
    CHECK_FAILS(tlsloop_server_connect(near->server, &config, &conn), TLSLOOP_EINVAL, "mode");
    config.mode = 9;
    CHECK_FAILS(tlsloop_server_connect(near->server, &config, &conn), TLSLOOP_EINVAL, "mode");
    CHECK_EQ(conn, 77);
    config = to(port);
    CHECK_OK(tlsloop_server_connect(near->server, &config, NULL)); /* out may be NULL */
    CHECK_FAILS(tlsloop_server_connect(near->server, &config, &conn), TLSLOOP_ESTATE, "limit");
    CHECK_EQ(conn, 77);
    close(fd);
    EVENTUALLY_EQ(near->handshakes_failed, 1);
    fixture_stop(near);
    CHECK_EQ(near->handshakes_failed, 1);
}

CHECK_MAIN(CASE(to_an_address), CASE(what_is_sent_before_it_is_up_leaves_then),
           CASE(what_fails_is_told_once),
           CASE(what_goes_out_does_not_hold_up_who_comes), CASE(closed_before_it_is_up),
           CASE(from_a_callback_in_plain), CASE(starttls_as_a_client), CASE(to_a_path),
           CASE(what_is_refused_at_once))
