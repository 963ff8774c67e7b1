/* A server whose certificate is renewed while it runs: SIGHUP reads the files again.
 *
 *     reload_sighup PORT CERT KEY [TICKET_KEY [OLDER_TICKET_KEY ...]]
 *
 * New handshakes see the new certificate at once, and no connection ends. Files that are missing, half written or do
 * not belong together change nothing: the old certificate stays in use, and the next SIGHUP tries again.
 *
 * Ticket keys (openssl rand 80 >FILE) let clients resume their sessions after a reload or a restart, and at other
 * servers with the same files. Put a new one in front about once a day, and keep the one before behind it. */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include "tlsloop.h"

struct files { const char *cert, *key, *const *ticket_keys; size_t n_ticket_keys; };
static int fail(const char *why) { fprintf(stderr, "reload_sighup: %s\n", why); return EXIT_FAILURE; }

/* The service itself: here it sends everything back. */
static void on_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    (void)user;
    if (tlsloop_conn_send(conn, data, len) != TLSLOOP_OK)
        (void)tlsloop_conn_abort(conn); /* it does not read its answers; or it has ended already */
}

/* That a certificate has expired is a warning, not an error: it comes here at the start and at each reload. */
static void on_log(int level, const char *line, void *user)
{
    (void)user;
    if (level <= TLSLOOP_LOG_WARN)
        printf("tlsloop: %s\n", line);
}

/* Reads all of the files into a new policy. One that is in use never changes, so a reload always makes another, and
 * there is nothing to take back when a file is wrong; tlsloop_last_error() then names it. */
static int read_files(tlsloop_tls *tls, const struct files *files)
{
    int rc = tlsloop_tls_add_certificate_file(tls, files->cert, files->key);
    if (rc == TLSLOOP_OK && files->n_ticket_keys > 0)
        rc = tlsloop_tls_set_ticket_key_files(tls, files->ticket_keys, files->n_ticket_keys);
    return rc;
}

static void reload(tlsloop_server *server, const struct files *files)
{
    tlsloop_tls *tls = tlsloop_tls_new(); /* NULL if that fails, which the next call then says */
    if (read_files(tls, files) == TLSLOOP_OK && tlsloop_server_set_tls(server, tls) == TLSLOOP_OK)
        printf("reloaded %s\n", files->cert);
    else
        printf("not reloaded: %s\n", tlsloop_last_error());
    tlsloop_tls_free(tls); /* the server and its connections keep references of their own */
}

int main(int argc, char **argv)
{
    tlsloop_callbacks callbacks = {.size = sizeof callbacks, .on_data = on_data, .on_log = on_log};
    tlsloop_server_config config = {.size = sizeof config, .callbacks = &callbacks};
    tlsloop_server *server = NULL;
    struct files files;
    sigset_t signals;
    int number, rc;

    if (argc < 4 || setvbuf(stdout, NULL, _IOLBF, 0) != 0)
        return fail("use: PORT CERT KEY [TICKET_KEY [OLDER_TICKET_KEY ...]]");
    files = (struct files){argv[2], argv[3], (const char *const *)argv + 4, (size_t)argc - 4};
    /* This thread waits for signals in sigwait, so there is no handler; tlsloop's own thread blocks them by itself. */
    if (sigemptyset(&signals) || sigaddset(&signals, SIGHUP) || sigaddset(&signals, SIGINT)
        || sigaddset(&signals, SIGTERM) || pthread_sigmask(SIG_BLOCK, &signals, NULL))
        return fail("signals cannot be blocked");

    config.port = (uint16_t)atoi(argv[1]);
    config.tls = tlsloop_tls_new();
    rc = read_files(config.tls, &files);
    if (rc == TLSLOOP_OK) rc = tlsloop_server_start(&config, &server);
    if (rc != TLSLOOP_OK) (void)fail(tlsloop_last_error());
    tlsloop_tls_free(config.tls); /* the server keeps its own reference */
    if (rc != TLSLOOP_OK) return EXIT_FAILURE;
    printf("listening on %d\n", tlsloop_server_port(server));
    while ((rc = sigwait(&signals, &number)) == 0 && number == SIGHUP)
        reload(server, &files);
    if (tlsloop_server_stop(server, 1000) != TLSLOOP_OK)
        return fail(tlsloop_last_error());
    return rc == 0 ? EXIT_SUCCESS : fail("sigwait failed");
}
