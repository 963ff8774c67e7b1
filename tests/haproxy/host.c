/*
 * An echo server behind a balancer. It says on standard output, one line each, where it listens, whom it is asked to
 * accept, who has connected through whom, who failed, and at its end what was counted.
 *
 *   host plain|tls ADDRESS TRUSTED [LIMIT]      ends on SIGTERM; LIMIT: of connections for each address
 *
 * With TEST_HOST_DRIVEN in its environment it starts no thread and waits in tlsloop_server_wait alone.
 * It refuses clients at 127.0.0.66, wherever the balancer itself is.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tlsloop.h"

#define UNWANTED "127.0.0.66:"

static tlsloop_server *server; /* set before the handler is, and constant from then on */

static void on_signal(int number)
{
    (void)number;
    (void)tlsloop_server_request_stop(server);
}

static int on_accept(const char *peer, void *user)
{
    (void)user;
    printf("asked %s\n", peer);
    return strncmp(peer, UNWANTED, strlen(UNWANTED)) == 0;
}

static void on_connect(tlsloop_conn conn, void *user)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    (void)user;
    if (tlsloop_conn_info(conn, &info) == TLSLOOP_OK)
        printf("connected %s through %s\n", info.peer, info.balancer[0] ? info.balancer : "nobody");
}

static void on_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    (void)user;
    if (tlsloop_conn_send(conn, data, len) != TLSLOOP_OK) (void)tlsloop_conn_abort(conn);
}

static void on_disconnect(tlsloop_conn conn, int reason, void *user)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    (void)user;
    if (tlsloop_conn_info(conn, &info) == TLSLOOP_OK)
        printf("disconnected %s: %s\n", info.peer, tlsloop_reason_name(reason));
}

static void on_handshake_failed(tlsloop_conn conn, int code, const char *peer, const char *why, void *user)
{
    (void)conn;
    (void)user;
    printf("failed %s: %s (%s)\n", peer, tlsloop_strerror(code), why);
}

static int fail(void)
{
    fprintf(stderr, "host: %s\n", tlsloop_last_error());
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    tlsloop_callbacks callbacks = TLSLOOP_CALLBACKS_INIT;
    tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
    tlsloop_stats stats = TLSLOOP_STATS_INIT;
    int rc = TLSLOOP_OK;

    if (argc < 4 || argc > 5 || setvbuf(stdout, NULL, _IOLBF, 0) != 0) return EXIT_FAILURE;
    callbacks.on_accept = on_accept;
    callbacks.on_connect = on_connect;
    callbacks.on_data = on_data;
    callbacks.on_disconnect = on_disconnect;
    callbacks.on_handshake_failed = on_handshake_failed;
    config.callbacks = &callbacks;
    config.address = argv[2];
    config.proxy_protocol = TLSLOOP_PROXY_REQUIRED;
    config.proxy_trusted = argv[3];
    if (argc == 5) config.max_connections_per_ip = (unsigned)atoi(argv[4]);
    if (getenv("TEST_HOST_DRIVEN") != NULL) config.workers = TLSLOOP_HOST_DRIVEN;
    if (strcmp(argv[1], "plain") == 0) {
        config.mode = TLSLOOP_MODE_PLAIN;
    } else {
        config.tls = tlsloop_tls_new();
        rc = tlsloop_tls_add_self_signed(config.tls, "localhost");
    }
    if (rc == TLSLOOP_OK) rc = tlsloop_server_start(&config, &server);
    if (rc != TLSLOOP_OK) return fail();
    tlsloop_tls_free(config.tls);
    if (signal(SIGTERM, on_signal) == SIG_ERR) return EXIT_FAILURE;
    printf("listening on %d\n", tlsloop_server_port(server));
    if (tlsloop_server_wait(server) != TLSLOOP_OK || signal(SIGTERM, SIG_DFL) == SIG_ERR) return fail();
    if (tlsloop_server_stats(server, &stats) != TLSLOOP_OK) return fail();
    printf("counted connects %" PRIu64 " refused_callback %" PRIu64 " refused_proxy %" PRIu64 " refused_per_ip %" PRIu64
           "\n", stats.connects, stats.refused_callback, stats.refused_proxy, stats.refused_per_ip);
    return tlsloop_server_stop(server, 5000) == TLSLOOP_OK ? EXIT_SUCCESS : fail();
}
