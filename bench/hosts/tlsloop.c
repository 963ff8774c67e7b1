/* TLS echo with tlsloop: tlsloop PORT CERTIFICATE KEY [WORKERS]. It serves until SIGTERM.
 *
 * on_data sends what came straight back. When the queue is full the refused bytes are kept aside and the connection
 * is paused, so there is at most one such piece; on_drain sends it and goes on. That needs no call to ask for room
 * in the ordinary case. */
#include "tlsloop.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct aside {
    size_t length;
    char bytes[];
};

static tlsloop_server *server;

static void on_signal(int number)
{
    (void)number;
    (void)tlsloop_server_request_stop(server);
}

static int put_aside(tlsloop_conn conn, const void *data, size_t len)
{
    struct aside *aside = malloc(sizeof *aside + len);
    if (aside == NULL) return TLSLOOP_ENOMEM;
    aside->length = len;
    memcpy(aside->bytes, data, len);
    (void)tlsloop_conn_set_data(conn, aside);
    return tlsloop_conn_pause(conn);
}

static void on_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    (void)user;
    int rc = tlsloop_conn_send(conn, data, len);
    if (rc == TLSLOOP_EFULL) rc = put_aside(conn, data, len);
    if (rc != TLSLOOP_OK) (void)tlsloop_conn_abort(conn); /* better a reset than an echo with a hole in it */
}

static void on_drain(tlsloop_conn conn, void *user)
{
    struct aside *aside = tlsloop_conn_data(conn);
    (void)user;
    if (aside != NULL && tlsloop_conn_send(conn, aside->bytes, aside->length) == TLSLOOP_EFULL) return;
    (void)tlsloop_conn_set_data(conn, NULL);
    free(aside);
    (void)tlsloop_conn_resume(conn);
}

static void on_disconnect(tlsloop_conn conn, int reason, void *user)
{
    (void)reason, (void)user;
    free(tlsloop_conn_data(conn));
}

static int fail(void)
{
    fprintf(stderr, "tlsloop: %s\n", tlsloop_last_error());
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    tlsloop_callbacks callbacks = {.size = sizeof callbacks, .on_data = on_data, .on_drain = on_drain,
        .on_disconnect = on_disconnect};
    tlsloop_server_config config = {.size = sizeof config, .address = "0.0.0.0", .callbacks = &callbacks,
        .tls = tlsloop_tls_new(), .log_level = TLSLOOP_LOG_ERROR};

    if (argc < 4) return 2;
    config.port = (uint16_t)atoi(argv[1]);
    config.workers = argc > 4 ? (unsigned)atoi(argv[4]) : 1;
    if (tlsloop_tls_add_certificate_file(config.tls, argv[2], argv[3]) != TLSLOOP_OK) return fail();
    if (tlsloop_server_start(&config, &server) != TLSLOOP_OK) return fail();
    tlsloop_tls_free(config.tls);
    if (signal(SIGTERM, on_signal) == SIG_ERR || signal(SIGINT, on_signal) == SIG_ERR) return EXIT_FAILURE;
    if (tlsloop_server_wait(server) != TLSLOOP_OK) return fail();
    return tlsloop_server_stop(server, 0) == TLSLOOP_OK ? EXIT_SUCCESS : fail();
}
