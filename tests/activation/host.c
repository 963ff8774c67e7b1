/*
 * An echo server that is started with its socket in hand.
 *
 *   host service LOG       the listening socket is descriptor 3, as systemd hands it over (sd_listen_fds(3))
 *   host connection LOG    the connection itself is descriptor 0, as inetd hands it over; ends with it
 *
 * SIGTERM ends it. LOG gets, one line each: what it serves, who ended and how, and what went wrong. With
 * TEST_HOST_DRIVEN in its environment it starts no thread and waits in tlsloop_server_wait alone.
 */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tlsloop.h"

enum { FIRST_DESCRIPTOR = 3 }; /* SD_LISTEN_FDS_START */

static tlsloop_server *server; /* set before the handler is, and constant from then on */

static void on_signal(int number)
{
    (void)number;
    (void)tlsloop_server_request_stop(server);
}

static void on_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    (void)user;
    if (tlsloop_conn_send(conn, data, len) != TLSLOOP_OK) (void)tlsloop_conn_abort(conn);
}

static void on_disconnect(tlsloop_conn conn, int reason, void *user)
{
    const int *ends_with_it = user;
    (void)conn;
    printf("ended %s\n", tlsloop_reason_name(reason));
    if (*ends_with_it) (void)tlsloop_server_request_stop(server);
}

static void on_handshake_failed(tlsloop_conn conn, int code, const char *peer, const char *why, void *user)
{
    const int *ends_with_it = user;
    (void)conn;
    printf("failed %s: %s (%s)\n", peer, tlsloop_strerror(code), why);
    if (*ends_with_it) (void)tlsloop_server_request_stop(server);
}

static int fail(const char *why)
{
    printf("host: %s\n", why);
    return EXIT_FAILURE;
}

/* The variables are for this process if they name it, and for none that it starts. */
static int handed_over(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    int is_ours = pid != NULL && count != NULL && atol(pid) == (long)getpid() && atoi(count) == 1;
    if (unsetenv("LISTEN_PID") != 0 || unsetenv("LISTEN_FDS") != 0) return -1;
    return is_ours && fcntl(FIRST_DESCRIPTOR, F_SETFD, FD_CLOEXEC) == 0 ? FIRST_DESCRIPTOR : -1;
}

static int start(tlsloop_server_config *config, int is_connection)
{
    int rc = tlsloop_tls_add_self_signed(config->tls, "localhost");
    if (rc == TLSLOOP_OK) rc = tlsloop_server_start(config, &server);
    if (rc == TLSLOOP_OK && is_connection) rc = tlsloop_server_adopt(server, STDIN_FILENO, NULL, NULL);
    return rc;
}

int main(int argc, char **argv)
{
    tlsloop_callbacks callbacks = TLSLOOP_CALLBACKS_INIT;
    tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
    int is_connection = argc == 3 && strcmp(argv[1], "connection") == 0;
    int log = argc == 3 ? open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;

    /* inetd gives the connection as standard output and error, too. A copy of it that stayed open would keep the
     * connection from ending when tlsloop closes its own. */
    if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0) return EXIT_FAILURE;
    if (setvbuf(stdout, NULL, _IOLBF, 0) != 0) return EXIT_FAILURE;

    callbacks.on_data = on_data;
    callbacks.on_disconnect = on_disconnect;
    callbacks.on_handshake_failed = on_handshake_failed;
    config.callbacks = &callbacks;
    config.user = &is_connection;
    config.listen_fd = is_connection ? TLSLOOP_NO_LISTENER : handed_over();
    if (!is_connection && config.listen_fd < 0) return fail("no socket was handed over");
    if (getenv("TEST_HOST_DRIVEN") != NULL) config.workers = TLSLOOP_HOST_DRIVEN;
    config.tls = tlsloop_tls_new();
    if (start(&config, is_connection) != TLSLOOP_OK) return fail(tlsloop_last_error());
    tlsloop_tls_free(config.tls);
    if (signal(SIGTERM, on_signal) == SIG_ERR) return fail("signal");
    if (is_connection)
        printf("process %ld serves its connection\n", (long)getpid());
    else
        printf("process %ld serves port %d\n", (long)getpid(), tlsloop_server_port(server));

    if (tlsloop_server_wait(server) != TLSLOOP_OK || signal(SIGTERM, SIG_DFL) == SIG_ERR) return fail("wait");
    if (tlsloop_server_stop(server, 5000) != TLSLOOP_OK) return fail(tlsloop_last_error());
    /* It passed to the server, which has ended. */
    if (fcntl(is_connection ? STDIN_FILENO : config.listen_fd, F_GETFD) != -1) return fail("the descriptor is still open");
    return EXIT_SUCCESS;
}
