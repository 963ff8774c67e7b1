/* Sends one line to an echo server over TLS and prints what comes back.
 *
 * The server's certificate must come from an authority in --ca FILE (without it: one that this system
 * trusts) and carry the name or address we connect to, or --name. With --pin it must instead be exactly
 * the one with that SHA-256. --insecure accepts any: whoever sits in between can then read along. */
#define _POSIX_C_SOURCE 200809L /* getline */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include "tlsloop.h"

#define USAGE "use: [--host H] [--port N] [--name NAME] [--ca FILE | --pin SHA256 | --insecure]"

static int fail(const char *why) { fprintf(stderr, "echo_client: %s\n", why); return EXIT_FAILURE; }

/* Sends the line and prints its echo. In pieces: an echo server stops reading while nobody reads its
 * answers, so to send all of a very long line first could leave both sides waiting for each other. */
static int echo(tlsloop_client *client, const char *line, size_t len)
{
    char answer[16384];
    for (size_t sent = 0, received = 0; received < len;) {
        if (sent == received) { /* the last piece is back */
            size_t piece = len - sent < sizeof answer ? len - sent : sizeof answer;
            if (tlsloop_client_send(client, line + sent, piece) != TLSLOOP_OK)
                return fail(tlsloop_last_error());
            sent += piece;
        }
        long n = tlsloop_client_recv(client, answer, sent - received); /* often less than asked for */
        if (n < 0) return fail(tlsloop_last_error());
        if (n == 0) return fail("the server closed before all had come back");
        if (fwrite(answer, 1, (size_t)n, stdout) != (size_t)n) return fail("standard output is closed");
        received += (size_t)n;
    }
    return EXIT_SUCCESS;
}

static int ask_and_echo(tlsloop_client *client)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    int result;

    fputs("Enter a message to send to the server: ", stdout);
    if (fflush(stdout) != 0 || (len = getline(&line, &room, stdin)) < 1) {
        free(line);
        return fail("no message on standard input");
    }
    fputs("Received from server: ", stdout);
    result = echo(client, line, (size_t)len);
    if (line[len - 1] != '\n') putchar('\n'); /* as in the last line of some files */
    free(line);
    return fflush(stdout) == 0 ? result : fail("standard output is closed");
}

static int run(const tlsloop_client_config *config)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    tlsloop_client *client;
    int result, rc = tlsloop_client_connect(config, &client); /* look-up, connection and handshake */

    if (rc == TLSLOOP_EVERIFY)
        fputs("echo_client: not trusted, nothing sent (--ca, --pin, --name say whom to trust)\n", stderr);
    if (rc != TLSLOOP_OK) return fail(tlsloop_last_error());
    if (tlsloop_client_info(client, &info) == TLSLOOP_OK)
        fprintf(stderr, "%s, %s, certificate %s\n", info.peer, info.version, info.sha256);
    result = ask_and_echo(client);
    rc = tlsloop_client_close(client); /* says goodbye to the server; frees the client in any case */
    return rc == TLSLOOP_OK ? result : fail(tlsloop_last_error());
}

int main(int argc, char **argv)
{
    tlsloop_client_config config = {.size = sizeof config, .host = "127.0.0.1", .tls = tlsloop_tls_new()};
    char *rest = "";
    long port = 12345;
    int i, rc = TLSLOOP_OK;

    for (i = 1; i < argc && rc == TLSLOOP_OK; i++) {
        if (strcmp(argv[i], "--insecure") == 0)
            rc = tlsloop_tls_set_verify(config.tls, TLSLOOP_VERIFY_NONE);
        else if (i + 1 == argc) break;
        else if (strcmp(argv[i], "--host") == 0) config.host = argv[++i];
        else if (strcmp(argv[i], "--port") == 0) port = strtol(argv[++i], &rest, 10);
        else if (strcmp(argv[i], "--name") == 0) config.server_name = argv[++i];
        else if (strcmp(argv[i], "--ca") == 0) rc = tlsloop_tls_set_trust_file(config.tls, argv[++i]);
        else if (strcmp(argv[i], "--pin") == 0) rc = tlsloop_tls_set_pin(config.tls, argv[++i]);
        else break;
    }
    config.port = (uint16_t)port;
    if (rc != TLSLOOP_OK) rc = fail(tlsloop_last_error());
    else if (i < argc || *rest != '\0' || port < 1 || port > 65535) rc = fail(USAGE);
    else rc = run(&config);
    tlsloop_tls_free(config.tls);
    return rc;
}
