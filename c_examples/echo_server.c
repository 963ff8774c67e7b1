/* A TLS echo server: whatever arrives goes back to the peer that sent it. The callbacks run on the
 * one worker thread that tlsloop starts, one at a time; main only waits for SIGINT or SIGTERM. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tlsloop.h"

static tlsloop_server *server; /* set before on_signal can run, and constant from then on */
static void on_signal(int number) { (void)number; (void)tlsloop_server_request_stop(server); }
static int set_handler(void (*f)(int)) { return signal(SIGINT, f) != SIG_ERR && signal(SIGTERM, f) != SIG_ERR; }

static void on_connect(tlsloop_conn conn, void *out) /* out is config.user, here stdout */
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    if (tlsloop_conn_info(conn, &info) == TLSLOOP_OK)
        fprintf(out, "%s connected: %s %s\n", info.peer, info.version, info.cipher);
}

static void on_data(tlsloop_conn conn, const void *data, size_t len, void *out)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    const char *from = data;
    char text[61] = "";                          /* how the data begins, made safe for a terminal */
    int rc = tlsloop_conn_send(conn, data, len); /* takes a copy of all of it, or nothing */
    for (size_t i = 0; i < len && i < sizeof text - 1; i++)
        text[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '.';
    if (tlsloop_conn_info(conn, &info) == TLSLOOP_OK)
        fprintf(out, "%s sent %zu bytes: %s\n", info.peer, len, text);
    /* An empty send asks whether there is room for more. If not, the peer sends without reading its
     * echo, so we stop reading as well; on_drain follows every EFULL. */
    if (rc == TLSLOOP_OK && tlsloop_conn_send(conn, NULL, 0) == TLSLOOP_EFULL)
        rc = tlsloop_conn_pause(conn);
    if (rc != TLSLOOP_OK)
        (void)tlsloop_conn_abort(conn); /* better a reset than an echo with a hole in it */
}

static void on_drain(tlsloop_conn conn, void *out)
{
    (void)out;
    (void)tlsloop_conn_resume(conn); /* fails only if the connection is ending, and then rightly */
}

static void on_disconnect(tlsloop_conn conn, int reason, void *out) /* the last callback for conn */
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    char why[256]; /* a copy, because tlsloop_last_error is good until the next call only */
    snprintf(why, sizeof why, "%s", tlsloop_last_error());
    if (tlsloop_conn_info(conn, &info) == TLSLOOP_OK)
        fprintf(out, "%s ended: %s (%s)\n", info.peer, tlsloop_reason_name(reason), why);
}

static void on_failure(tlsloop_conn conn, int code, const char *peer, const char *why, void *out)
{
    (void)conn; /* it never came to on_connect, so no on_disconnect follows */
    fprintf(out, "%s failed to connect: %s (%s)\n", peer, tlsloop_strerror(code), why);
}
static int fail(const char *why) { fprintf(stderr, "echo_server: %s\n", why); return EXIT_FAILURE; }

int main(int argc, char **argv)
{
    tlsloop_callbacks callbacks = {.size = sizeof callbacks, .on_connect = on_connect,
        .on_data = on_data, .on_drain = on_drain, .on_disconnect = on_disconnect,
        .on_handshake_failed = on_failure};
    tlsloop_server_config config = {.size = sizeof config, .address = "0.0.0.0", .callbacks = &callbacks,
        .user = stdout};
    tlsloop_stats end = TLSLOOP_STATS_INIT;
    const char *cert = "server.crt", *key = "server.key"; /* cert NULL: self-signed */
    char *rest = "";
    long port = 12345;
    int i, rc;

    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--self-signed") == 0) cert = NULL;
        else if (i + 1 == argc) break;
        else if (strcmp(argv[i], "--address") == 0) config.address = argv[++i];
        else if (strcmp(argv[i], "--port") == 0) port = strtol(argv[++i], &rest, 10);
        else if (strcmp(argv[i], "--cert") == 0) cert = argv[++i];
        else if (strcmp(argv[i], "--key") == 0) key = argv[++i];
        else break;
    }
    if (i < argc || *rest != '\0' || port < 0 || port > 65535 || setvbuf(stdout, NULL, _IOLBF, 0) != 0)
        return fail("use: [--address A] [--port N] [--cert FILE --key FILE | --self-signed]");
    config.port = (uint16_t)port;   /* 0: the system picks one */
    config.tls = tlsloop_tls_new(); /* NULL if that fails, which the next call then says */
    rc = cert ? tlsloop_tls_add_certificate_file(config.tls, cert, key)
              : tlsloop_tls_add_self_signed(config.tls, "localhost,127.0.0.1");
    if (rc == TLSLOOP_OK) rc = tlsloop_server_start(&config, &server);
    if (rc != TLSLOOP_OK) (void)fail(tlsloop_last_error()); /* one sentence, with the file or address */
    tlsloop_tls_free(config.tls);                           /* the server keeps its own reference */
    if (rc != TLSLOOP_OK || !set_handler(on_signal)) return EXIT_FAILURE;
    printf("listening on %d\n", tlsloop_server_port(server));
    if (tlsloop_server_wait(server) || tlsloop_server_stats(server, &end) || !set_handler(SIG_DFL))
        return fail(tlsloop_last_error());
    printf("%" PRIu64 " connected, %" PRIu64 " ended, %" PRIu64 " failed to connect, %" PRIu64
           " bytes in, %" PRIu64 " out\n", end.connects, end.disconnects, end.handshakes_failed,
           end.bytes_in, end.bytes_out);
    return tlsloop_server_stop(server, 2000) ? fail(tlsloop_last_error()) : EXIT_SUCCESS;
}
