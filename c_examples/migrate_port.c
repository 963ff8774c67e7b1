/* One port for old clients in plain text and new ones with TLS, while the old ones are being replaced.
 *
 *     migrate_port [--tls-only] [PORT [CERT KEY]]        without files: a self-signed certificate
 *
 * The client's first bytes decide which it is, so the client has to speak first. The callbacks are the same for
 * both. The counts tell when no plain client comes any more; then --tls-only ends the migration. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tlsloop.h"

struct counts { unsigned long plain, tls, refused; }; /* touched by the one worker; by main after the stop */
static tlsloop_server *server; /* set before on_signal can run, and constant from then on */
static void on_signal(int number) { (void)number; (void)tlsloop_server_request_stop(server); }
static int set_handler(void (*f)(int)) { return signal(SIGINT, f) != SIG_ERR && signal(SIGTERM, f) != SIG_ERR; }
static int fail(const char *why) { fprintf(stderr, "migrate_port: %s\n", why); return EXIT_FAILURE; }

static void on_connect(tlsloop_conn conn, void *user)
{
    struct counts *counts = user;
    tlsloop_info info = TLSLOOP_INFO_INIT;
    if (tlsloop_conn_info(conn, &info) != TLSLOOP_OK)
        return;
    counts->tls += info.is_tls != 0;
    counts->plain += info.is_tls == 0;
    printf("%s: %s (plain %lu, TLS %lu so far)\n", info.peer, info.is_tls ? info.version : "plain text",
           counts->plain, counts->tls);
}

/* The service itself, the old protocol unchanged: here it sends everything back. */
static void on_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    (void)user;
    if (tlsloop_conn_send(conn, data, len) != TLSLOOP_OK)
        (void)tlsloop_conn_abort(conn); /* it does not read its answers; or it has ended already */
}

/* With --tls-only this is also how a plain client that was forgotten shows itself. */
static void on_handshake_failed(tlsloop_conn conn, int code, const char *peer, const char *why, void *user)
{
    struct counts *counts = user;
    (void)conn;
    counts->refused++;
    printf("%s: %s (%s)\n", peer, tlsloop_strerror(code), why);
}

int main(int argc, char **argv)
{
    int tls_only = argc > 1 && strcmp(argv[1], "--tls-only") == 0, rc;
    char **arg = argv + 1 + tls_only; /* what follows; argv ends in NULL */
    struct counts counts = {0, 0, 0};
    tlsloop_callbacks callbacks = {.size = sizeof callbacks, .on_connect = on_connect,
        .on_data = on_data, .on_handshake_failed = on_handshake_failed};
    tlsloop_server_config config = {.size = sizeof config, .callbacks = &callbacks, .user = &counts,
        .mode = tls_only ? TLSLOOP_MODE_TLS : TLSLOOP_MODE_DETECT,
        .port = (uint16_t)(arg[0] ? atoi(arg[0]) : 12345)};

    if (setvbuf(stdout, NULL, _IOLBF, 0) != 0) return fail("standard output");
    config.tls = tlsloop_tls_new(); /* NULL if that fails, which the next call then says */
    if (arg[0] && arg[1] && arg[2])
        rc = tlsloop_tls_add_certificate_file(config.tls, arg[1], arg[2]);
    else
        rc = tlsloop_tls_add_self_signed(config.tls, "localhost,127.0.0.1");
    if (rc == TLSLOOP_OK) rc = tlsloop_server_start(&config, &server);
    if (rc != TLSLOOP_OK) (void)fail(tlsloop_last_error());
    tlsloop_tls_free(config.tls); /* the server keeps its own reference */
    if (rc != TLSLOOP_OK || !set_handler(on_signal)) return EXIT_FAILURE;
    printf("listening on %d\n", tlsloop_server_port(server));
    rc = tlsloop_server_wait(server);
    if (rc != TLSLOOP_OK || !set_handler(SIG_DFL) || tlsloop_server_stop(server, 1000) != TLSLOOP_OK)
        return fail(tlsloop_last_error());
    printf("%lu plain, %lu TLS, %lu failed\n", counts.plain, counts.tls, counts.refused);
    return EXIT_SUCCESS;
}
