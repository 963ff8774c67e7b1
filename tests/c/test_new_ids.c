/* Ids of connections that a callback has just made: all that can be done with a connection can be done at once. */
#define _GNU_SOURCE
#include "dial.h"
#include "fixture.h"
#include "peer.h"
#include "stage.h"

#include <sys/socket.h>
#include <unistd.h>

static int far_port, pair[2];
static atomic_uint ran;

static void run(tlsloop_conn conn, void *arg)
{
    (void)conn;
    (void)arg;
    ran++;
}

static void use(tlsloop_conn conn)
{
    CHECK_OK(tlsloop_conn_send(conn, "abc", 3));
    CHECK_OK(tlsloop_conn_pause(conn));
    CHECK_OK(tlsloop_conn_resume(conn));
    CHECK_OK(tlsloop_conn_set_idle_timeout(conn, TLSLOOP_NONE));
    CHECK_OK(tlsloop_conn_post(conn, run, NULL));
    CHECK_OK(tlsloop_conn_post_after(conn, 1, run, NULL));
    CHECK_EQ(tlsloop_conn_start_tls(conn), TLSLOOP_ESTATE);
    CHECK_OK(tlsloop_conn_send(conn, "def", 3));
}

static void make_and_use(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    tlsloop_conn made[3] = { 0 };
    (void)data;
    (void)len;
    if (f->data_calls > 1) return;
    config.host = "127.0.0.1";
    config.port = (uint16_t)far_port;
    config.mode = TLSLOOP_MODE_PLAIN;
    CHECK_OK(tlsloop_server_adopt(f->server, pair[1], NULL, &made[0]));
    CHECK_OK(tlsloop_server_connect(f->server, &config, &made[1]));
    CHECK_OK(tlsloop_server_connect(f->server, &config, &made[2]));
    use(made[0]);
    use(made[1]);
    CHECK_OK(tlsloop_conn_close(made[2]));
    CHECK_EQ(tlsloop_conn_send(made[2], "x", 1), TLSLOOP_ECLOSED);
    CHECK_OK(tlsloop_conn_close(conn));
}

/* "Sends before on_connect queue; close or abort before it gives this callback": from the moment that there is an id. */
static void in_the_callback_that_made_them(void)
{
    int listener = tcp_listen(&far_port);
    dial_pair(pair);
    struct fixture *f = stage_start((struct options){ .on.data = make_and_use, .config.mode = TLSLOOP_MODE_PLAIN }, NULL);
    f->loose_descriptors = true; /* what was adopted was there before */
    int fd = tcp_connect(f->port);
    CHECK(tcp_send(fd, "go", 2));
    CHECK(dial_expect(pair[0], "abcdef"));
    int far = accept(listener, NULL, NULL);
    CHECK(far >= 0 && dial_expect(far, "abcdef"));
    EVENTUALLY_EQ(f->handshakes_failed, 1);
    EVENTUALLY_EQ(ran, 4);
    close(pair[0]);
    close(far);
    close(fd);
    EVENTUALLY_EQ(f->disconnects, 3);
    fixture_stop(f);
    close(listener);
}

CHECK_MAIN(CASE(in_the_callback_that_made_them))
