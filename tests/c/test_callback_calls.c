/*
 * "from any thread; from inside callbacks too": every call, made inside every callback, on the callback's own connection, on
 * another and on one that is gone; and L19, a host mutex around all that can be called and in all that is called back.
 */
#define _GNU_SOURCE
#include "dial.h"
#include "fixture.h"
#include "keys.h"
#include "peer.h"
#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What a callback may expect of its own connection. */
enum own { NONE, UP, OVER };

static tlsloop_conn other, gone; /* a connection that stays, and one that has ended */
static int mark;                 /* its address is the data of each connection */
static atomic_uint posted, ran;
static atomic_bool tried[128];   /* by the letter of the callback */

static void run(tlsloop_conn conn, void *arg)
{
    (void)conn;
    CHECK(arg == &mark);
    ran++;
}

/* All that can be done with a connection and does not end it; each answers `code`. */
static void use(tlsloop_conn conn, int code)
{
    tlsloop_slice parts[2] = { { "a", 1 }, { "bc", 2 } };
    CHECK_EQ(tlsloop_conn_send(conn, "abc", 3), code);
    CHECK_EQ(tlsloop_conn_sendv(conn, parts, 2), code);
    CHECK_EQ(tlsloop_conn_pause(conn), code);
    CHECK_EQ(tlsloop_conn_resume(conn), code);
    CHECK_EQ(tlsloop_conn_set_idle_timeout(conn, TLSLOOP_NONE), code);
    posted += code == TLSLOOP_OK ? 2 : 0;
    CHECK_EQ(tlsloop_conn_post(conn, run, &mark), code);
    CHECK_EQ(tlsloop_conn_post_after(conn, 1, run, &mark), code);
    CHECK_EQ(tlsloop_conn_start_tls(conn), code == TLSLOOP_OK ? TLSLOOP_ESTATE : code);
}

/* What only asks works as long as the connection has callbacks to come, and in the last of them. */
static void ask(tlsloop_conn conn, bool is_known)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    size_t len = 0;
    CHECK_EQ(tlsloop_conn_info(conn, &info), is_known ? TLSLOOP_OK : TLSLOOP_ECLOSED);
    CHECK_EQ(strlen(info.peer) > 0, is_known);
    CHECK_EQ(tlsloop_conn_set_data(conn, &mark), is_known ? TLSLOOP_OK : TLSLOOP_ECLOSED);
    CHECK(tlsloop_conn_data(conn) == (is_known ? &mark : NULL));
    CHECK_EQ(tlsloop_conn_peer_certificate(conn, NULL, &len), is_known ? TLSLOOP_ESTATE : TLSLOOP_ECLOSED);
    if (!is_known) CHECK(tlsloop_conn_queued(conn) == 0);
}

static void end(tlsloop_conn conn, int code)
{
    CHECK_EQ(tlsloop_conn_end(conn), code);
    CHECK_EQ(tlsloop_conn_close(conn), code);
    CHECK_EQ(tlsloop_conn_abort(conn), code);
}

/* "stop in a callback: EDEADLK", and what else would wait for itself. */
static void wait_for_itself(tlsloop_server *server)
{
    CHECK_EQ(tlsloop_server_stop(server, 0), TLSLOOP_EDEADLK);
    CHECK_EQ(tlsloop_server_wait(server), TLSLOOP_EDEADLK);
    CHECK_EQ(tlsloop_server_poll(server, 0), TLSLOOP_EDEADLK);
    CHECK_OK(tlsloop_server_stop(NULL, 0));
}

static tlsloop_tls *another_policy;

static void use_server(tlsloop_server *server)
{
    tlsloop_stats stats = TLSLOOP_STATS_INIT;
    wait_for_itself(server);
    CHECK_OK(tlsloop_server_stats(server, &stats));
    fixture_balanced(&stats);
    CHECK(tlsloop_server_port(server) > 0);
    CHECK_EQ(tlsloop_server_fd(server) >= 0, host_wanted());
    int fd = tlsloop_server_listen_fd(server);
    CHECK(fd >= 0 && close(fd) == 0);
    CHECK_OK(tlsloop_server_set_tls(server, another_policy));
    CHECK_EQ(tlsloop_server_adopt(server, 1 << 30, NULL, NULL), TLSLOOP_EINVAL);
}

/* A server begun in a callback lives like any other; one that would be polled on this very thread cannot. */
static void start_another(void)
{
    static atomic_int n;
    tlsloop_server *server = NULL;
    tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
    config.listen_fd = TLSLOOP_NO_LISTENER;
    config.mode = TLSLOOP_MODE_PLAIN;
    config.workers = TLSLOOP_HOST_DRIVEN;
    CHECK_EQ(tlsloop_server_start(&config, &server), TLSLOOP_EDEADLK);
    CHECK(server == NULL && n++ < 100);
}

static bool others_are_there;

static void try_all(struct fixture *f, char callback, tlsloop_conn conn, enum own own)
{
    if (tried[(int)callback] || !others_are_there) return;
    use_server(f->server);
    start_another();
    use(gone, TLSLOOP_ECLOSED);
    end(gone, TLSLOOP_ECLOSED);
    ask(gone, false);
    use(other, TLSLOOP_OK);
    ask(other, true);
    if (own != NONE) ask(conn, true);
    if (own == UP) use(conn, TLSLOOP_OK);
    if (own == OVER) use(conn, TLSLOOP_ECLOSED);
    if (own == OVER) end(conn, TLSLOOP_ECLOSED);
    tried[(int)callback] = true;
}

static void in_post(tlsloop_conn conn, void *arg)
{
    try_all(arg, 'p', conn, UP);
}

static void in_connect(struct fixture *f, tlsloop_conn conn)
{
    CHECK_OK(tlsloop_conn_set_data(conn, &mark));
    try_all(f, 'c', conn, UP);
}

/* "fill" fills the queue, so that on_drain comes. */
static void in_data(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    static const char block[10000];
    if (len != 4 || memcmp(data, "fill", 4) != 0) return;
    if (!tried['p']) CHECK_OK(tlsloop_conn_post(conn, in_post, f));
    try_all(f, 'd', conn, UP);
    while (tlsloop_conn_send(conn, block, sizeof block) == TLSLOOP_OK) {}
}

static void in_drain(struct fixture *f, tlsloop_conn conn)
{
    try_all(f, 'w', conn, UP);
}

static void in_end(struct fixture *f, tlsloop_conn conn)
{
    try_all(f, 'e', conn, UP);
    CHECK_OK(tlsloop_conn_close(conn));
}

static void in_disconnect(struct fixture *f, tlsloop_conn conn, int reason)
{
    (void)reason;
    if (conn != other) try_all(f, 'x', conn, OVER);
}

static int in_accept(struct fixture *f, const char *peer)
{
    (void)peer;
    try_all(f, 'a', 0, NONE);
    return 0;
}

static void in_failure(struct fixture *f, tlsloop_conn conn, int code, const char *peer, const char *why)
{
    (void)code;
    (void)peer;
    (void)why;
    try_all(f, 'f', conn, OVER);
}

static void in_log(struct fixture *f, int level, const char *line)
{
    (void)level;
    (void)line;
    try_all(f, 'l', 0, NONE);
}

static void in_worker(struct fixture *f, unsigned worker)
{
    (void)worker;
    if (!host_wanted()) wait_for_itself(f->server); /* else it is the fixture's, and no callback */
}

static const struct hooks everywhere = {
    .connect = in_connect, .data = in_data, .drain = in_drain, .end = in_end, .disconnect = in_disconnect,
    .accept = in_accept, .handshake_failed = in_failure, .log = in_log,
    .worker_start = in_worker, .worker_stop = in_worker,
};

static struct peer stays;

/* The two that the callbacks use; from now on they try. */
static void bring_the_others(struct fixture *f)
{
    struct peer leaves = peer_connect(f->port);
    gone = fixture_conn(f, 0);
    peer_leave(&leaves);
    EVENTUALLY_EQ(f->disconnects, 1);
    EVENTUALLY_EQ(tlsloop_conn_set_data(gone, NULL), TLSLOOP_ECLOSED);
    stays = peer_connect(f->port);
    other = fixture_conn(f, 1);
    others_are_there = true;
}

static void check_tried(const char *callbacks)
{
    for (; *callbacks; callbacks++)
        if (!tried[(int)*callbacks]) check_failed(__FILE__, __LINE__, "not tried in '%c'", *callbacks);
}

static void every_call_in_every_callback(void)
{
    char buf[4096];
    another_policy = stage_policy();
    struct fixture *f = fixture_start((struct options){
        .on = everywhere,
        .config = { .workers = 2, .send_high_water = 65536, .log_level = TLSLOOP_LOG_DEBUG } });
    bring_the_others(f);
    for (int i = 0; i < 2; i++) { /* one on each worker */
        struct peer p = peer_connect(f->port);
        CHECK(peer_send(&p, "fill", 4));
        while (!tried['w'] || !tried['p']) CHECK(peer_recv(&p, buf, sizeof buf) > 0);
        CHECK(peer_close_notify(&p));
        CHECK_EQ(peer_until_end(&p, NULL), PEER_CLEAN);
        peer_close(&p);
        int fd = tcp_connect(f->port);
        CHECK(tcp_send(fd, "nonsense", 8));
        tcp_until_end(fd);
        close(fd);
    }
    EVENTUALLY_EQ(f->handshakes_failed, 2);
    EVENTUALLY_EQ(f->disconnects, 3);
    CHECK(peer_send(&stays, "still there", 11));
    EVENTUALLY_EQ(ran, posted);
    peer_leave(&stays);
    EVENTUALLY_EQ(f->disconnects, 4);
    fixture_stop(f);
    tlsloop_tls_free(another_policy);
    check_tried("cdwexaflp");
}

static void start_tls_at_command(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f;
    (void)data;
    if (len == 3) CHECK_OK(tlsloop_conn_start_tls(conn));
}

static void in_tls(struct fixture *f, tlsloop_conn conn)
{
    try_all(f, 't', conn, UP);
}

/* The one callback that only MODE_STARTTLS has. */
static void every_call_in_on_tls(void)
{
    another_policy = stage_policy();
    struct fixture *f = stage_start((struct options){
        .on.data = start_tls_at_command, .config.mode = TLSLOOP_MODE_STARTTLS }, in_tls);
    int leaves = tcp_connect(f->port);
    gone = fixture_conn(f, 0);
    close(leaves);
    EVENTUALLY_EQ(f->disconnects, 1);
    EVENTUALLY_EQ(tlsloop_conn_set_data(gone, NULL), TLSLOOP_ECLOSED);
    int fds[2] = { tcp_connect(f->port), -1 };
    other = fixture_conn(f, 1);
    /* It has TLS by now, so that it answers ESTATE to a second start, as the callback's own does. */
    CHECK(tcp_send(fds[0], "TLS", 3));
    EVENTUALLY_EQ(f->data_calls, 1);
    struct peer first = dial_tls(fds[0]);
    EVENTUALLY_EQ(stage_tls_ups(f), 1);
    others_are_there = true;
    fds[1] = tcp_connect(f->port);
    CHECK(tcp_send(fds[1], "TLS", 3));
    EVENTUALLY_EQ(f->data_calls, 2);
    struct peer second = dial_tls(fds[1]);
    EVENTUALLY_EQ(stage_tls_ups(f), 2);
    check_tried("t");
    EVENTUALLY_EQ(ran, posted);
    peer_leave(&first);
    peer_leave(&second);
    EVENTUALLY_EQ(f->disconnects, 3);
    fixture_stop(f);
    tlsloop_tls_free(another_policy);
}

static tlsloop_tls *expired_policy(void)
{
    struct identity old = keys_make((struct identity_spec){ .names = "DNS:localhost", .expired = 1 });
    tlsloop_tls *tls = tlsloop_tls_new();
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, old.chain, old.key));
    return tls;
}

static void warned(struct fixture *f, int level, const char *line)
{
    (void)level;
    CHECK_HAS(line, "expired");
    CHECK(f->server != NULL); /* "out … is written before the first callback runs" */
    wait_for_itself(f->server);
    CHECK(tlsloop_server_port(f->server) > 0);
    tried['l'] = true;
}

/* "on_log also on the calling thread": it is a callback there, too. */
static void in_on_log_on_the_calling_thread(void)
{
    tlsloop_tls *old = expired_policy();
    struct fixture *f = fixture_start((struct options){ .on.log = warned, .config.tls = old });
    CHECK(tried['l']);
    tried['l'] = false;
    /* A call that may be made under a lock which on_log takes as well leaves its lines to a worker. */
    CHECK_OK(tlsloop_server_set_tls(f->server, old));
    EVENTUALLY(tried['l']);
    CHECK_EQ(f->warnings, 2);
    struct peer p = peer_connect(f->port);
    CHECK(peer_echo(&p, "goes on"));
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
    tlsloop_tls_free(old);
}

static void ask_another_server(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    tlsloop_client *client;
    char answer[16];
    config.host = "127.0.0.1";
    config.port = (uint16_t)((struct fixture *)f->context)->port;
    config.tls = tlsloop_tls_new();
    CHECK_OK(tlsloop_tls_set_verify(config.tls, TLSLOOP_VERIFY_NONE));
    CHECK_OK(tlsloop_client_connect(&config, &client));
    CHECK_OK(tlsloop_client_send(client, data, len));
    CHECK_EQ(tlsloop_client_recv(client, answer, sizeof answer), len);
    CHECK_OK(tlsloop_client_close(client));
    tlsloop_tls_free(config.tls);
    CHECK_OK(tlsloop_conn_send(conn, answer, len));
}

/* A blocking client inside a callback waits for the other server, and for nobody else. */
static void a_client_in_a_callback(void)
{
    struct fixture *far = fixture_start((struct options){ 0 });
    struct fixture *near = fixture_start((struct options){ .on.data = ask_another_server, .context = far });
    struct peer p = peer_connect(near->port);
    CHECK(peer_echo(&p, "over there"));
    peer_leave(&p);
    EVENTUALLY_EQ(near->disconnects, 1);
    EVENTUALLY_EQ(far->disconnects, 1);
    fixture_stop(near);
    fixture_stop(far);
}

CHECK_MAIN(CASE(every_call_in_every_callback), CASE(every_call_in_on_tls), CASE(in_on_log_on_the_calling_thread),
           CASE(a_client_in_a_callback))
