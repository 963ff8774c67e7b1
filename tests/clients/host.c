/*
 * A server for other people's clients. It answers the first line that it gets, or an HTTP request, with what it knows
 * of the client, and ends the connection:
 *
 *   seen TLSv1.3 sni=localhost alpn=h2 resumed=0 client=CN=alice
 *
 *   host WHAT VALUE... [WHAT VALUE...]...
 *
 *   cert CHAIN KEY | ocsp FILE | trust FILE | verify NUMBER | alpn LIST | need-alpn LIST | tickets FILE
 *
 * On standard output it says where it listens, and who failed and why. It ends on SIGTERM. With TEST_HOST_DRIVEN in its
 * environment it starts no thread.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tlsloop.h"

static tlsloop_server *server; /* set before the handler is, and constant from then on */

static void on_signal(int number)
{
    (void)number;
    (void)tlsloop_server_request_stop(server);
}

static int seen(tlsloop_conn conn, char *text, size_t room)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    if (tlsloop_conn_info(conn, &info) != TLSLOOP_OK) return 0;
    return snprintf(text, room, "seen %s sni=%s alpn=%s resumed=%d client=%s\n", info.version, info.sni, info.alpn,
                    info.is_resumed, info.has_certificate ? info.subject : "nobody");
}

static void on_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    char text[1024], head[256] = "";
    int n = seen(conn, text, sizeof text);
    (void)user;
    if (len > 4 && memcmp(data, "GET ", 4) == 0)
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", n);
    /* What comes in several pieces is answered once: the later ones find the connection ending. */
    if (tlsloop_conn_send(conn, head, strlen(head)) != TLSLOOP_OK) return;
    (void)tlsloop_conn_send(conn, text, (size_t)n);
    (void)tlsloop_conn_close(conn);
}

static void on_handshake_failed(tlsloop_conn conn, int code, const char *peer, const char *why, void *user)
{
    (void)conn;
    (void)peer;
    (void)user;
    printf("failed: %s (%s)\n", tlsloop_strerror(code), why);
}

static void on_log(int level, const char *line, void *user)
{
    (void)user;
    printf("log %d: %s\n", level, line);
}

/* Takes one setting; how many words it had, 0 if it was none. */
static int set(tlsloop_tls *tls, char **word, int left)
{
    int rc = TLSLOOP_EINVAL, words = 2;
    const char *const *paths = (const char *const *)word + 1;
    if (left >= 3 && strcmp(word[0], "cert") == 0)
        rc = tlsloop_tls_add_certificate_file(tls, word[1], word[2]), words = 3;
    else if (left < 2)
        return 0;
    else if (strcmp(word[0], "ocsp") == 0)
        rc = tlsloop_tls_set_ocsp_file(tls, word[1]);
    else if (strcmp(word[0], "trust") == 0)
        rc = tlsloop_tls_set_trust_file(tls, word[1]);
    else if (strcmp(word[0], "verify") == 0)
        rc = tlsloop_tls_set_verify(tls, atoi(word[1]));
    else if (strcmp(word[0], "alpn") == 0)
        rc = tlsloop_tls_set_alpn(tls, word[1], 0);
    else if (strcmp(word[0], "need-alpn") == 0)
        rc = tlsloop_tls_set_alpn(tls, word[1], 1);
    else if (strcmp(word[0], "tickets") == 0)
        rc = tlsloop_tls_set_ticket_key_files(tls, paths, 1);
    return rc == TLSLOOP_OK ? words : 0;
}

static int fail(const char *why)
{
    fprintf(stderr, "host: %s\n", why);
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    tlsloop_callbacks callbacks = TLSLOOP_CALLBACKS_INIT;
    tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
    tlsloop_tls *tls = tlsloop_tls_new();

    if (setvbuf(stdout, NULL, _IOLBF, 0) != 0) return EXIT_FAILURE;
    for (int i = 1, words; i < argc; i += words) {
        words = set(tls, argv + i, argc - i);
        if (words == 0) return fail(tlsloop_last_error());
    }
    callbacks.on_data = on_data;
    callbacks.on_handshake_failed = on_handshake_failed;
    callbacks.on_log = on_log;
    config.callbacks = &callbacks;
    config.address = "127.0.0.1";
    config.tls = tls;
    if (getenv("TEST_HOST_DRIVEN") != NULL) config.workers = TLSLOOP_HOST_DRIVEN;
    if (tlsloop_server_start(&config, &server) != TLSLOOP_OK) return fail(tlsloop_last_error());
    tlsloop_tls_free(tls);
    if (signal(SIGTERM, on_signal) == SIG_ERR) return EXIT_FAILURE;
    printf("listening on %d\n", tlsloop_server_port(server));
    if (tlsloop_server_wait(server) != TLSLOOP_OK || signal(SIGTERM, SIG_DFL) == SIG_ERR)
        return fail(tlsloop_last_error());
    return tlsloop_server_stop(server, 1000) == TLSLOOP_OK ? EXIT_SUCCESS : fail(tlsloop_last_error());
}
