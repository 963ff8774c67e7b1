/*
 * An echo server among several behind a balancer, with the keys of its tickets from files that all of them share.
 *
 *   host FD CERTIFICATE KEY TICKET_KEYS...
 *
 * FD is a listening socket. A ticket-key file that is missing is left out, the first of those that are there encrypts.
 * SIGHUP reads all files anew, for new handshakes on the running server; SIGTERM ends it. It says on standard output,
 * one line each: that it listens, with which keys, and at its end what was counted.
 *
 * With TEST_HOST_DRIVEN in its environment it starts no thread and polls the server in its own loop.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "tlsloop.h"

enum { MOST_KEYS = 8 };

struct files {
    const char *certificate, *key;
    char **tickets;
    int count;
};

static void on_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    (void)user;
    if (tlsloop_conn_send(conn, data, len) != TLSLOOP_OK) (void)tlsloop_conn_abort(conn);
}

static void on_handshake_failed(tlsloop_conn conn, int code, const char *peer, const char *why, void *user)
{
    (void)conn;
    (void)user;
    printf("failed %s: %s (%s)\n", peer, tlsloop_strerror(code), why);
}

static int fail(const char *what)
{
    fprintf(stderr, "host: %s\n", what);
    return EXIT_FAILURE;
}

static tlsloop_tls *policy(const struct files *files, size_t *keys)
{
    const char *present[MOST_KEYS];
    tlsloop_tls *tls = tlsloop_tls_new();
    *keys = 0;
    for (int i = 0; i < files->count && *keys < MOST_KEYS; i++)
        if (access(files->tickets[i], F_OK) == 0) present[(*keys)++] = files->tickets[i];
    if (tlsloop_tls_add_certificate_file(tls, files->certificate, files->key) == TLSLOOP_OK
        && tlsloop_tls_set_ticket_key_files(tls, present, *keys) == TLSLOOP_OK)
        return tls;
    tlsloop_tls_free(tls);
    return NULL;
}

static int reload(tlsloop_server *server, const struct files *files)
{
    size_t keys;
    tlsloop_tls *tls = policy(files, &keys);
    int rc = tls == NULL ? TLSLOOP_ETLS : tlsloop_server_set_tls(server, tls);
    tlsloop_tls_free(tls);
    if (rc == TLSLOOP_OK) printf("reloaded with %zu\n", keys);
    return rc;
}

/* A descriptor with the signals that mean something here; blocked, so that they come nowhere else. */
static int signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    return sigprocmask(SIG_BLOCK, &set, NULL) == 0 ? signalfd(-1, &set, SFD_CLOEXEC) : -1;
}

/* Until SIGTERM. A server with threads has no descriptor to watch, and poll(2) leaves out one that is negative. */
static int serve(tlsloop_server *server, const struct files *files, int signal_fd, int is_driven)
{
    struct pollfd watched[2] = { { .fd = signal_fd, .events = POLLIN },
                                 { .fd = is_driven ? tlsloop_server_fd(server) : -1, .events = POLLIN } };
    struct signalfd_siginfo info;
    for (;;) {
        if (poll(watched, 2, -1) < 0 && errno != EINTR) return TLSLOOP_ESYS;
        if (watched[1].revents != 0 && tlsloop_server_poll(server, 0) != 0) return TLSLOOP_ESTATE;
        if (watched[0].revents == 0) continue;
        if (read(signal_fd, &info, sizeof info) != sizeof info) return TLSLOOP_ESYS;
        if (info.ssi_signo == SIGTERM) return TLSLOOP_OK;
        if (reload(server, files) != TLSLOOP_OK) fail(tlsloop_last_error());
    }
}

int main(int argc, char **argv)
{
    tlsloop_callbacks callbacks = TLSLOOP_CALLBACKS_INIT;
    tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
    tlsloop_stats stats = TLSLOOP_STATS_INIT;
    tlsloop_server *server;
    struct files files;
    size_t keys;
    int is_driven = getenv("TEST_HOST_DRIVEN") != NULL, signal_fd = signals();

    if (argc < 5 || signal_fd < 0 || setvbuf(stdout, NULL, _IOLBF, 0) != 0) return fail("cannot begin");
    files = (struct files){ argv[2], argv[3], argv + 4, argc - 4 };
    callbacks.on_data = on_data;
    callbacks.on_handshake_failed = on_handshake_failed;
    config.callbacks = &callbacks;
    config.listen_fd = atoi(argv[1]);
    if (is_driven) config.workers = TLSLOOP_HOST_DRIVEN;
    config.tls = policy(&files, &keys);
    if (config.tls == NULL || tlsloop_server_start(&config, &server) != TLSLOOP_OK) return fail(tlsloop_last_error());
    tlsloop_tls_free(config.tls);
    printf("listening with %zu\n", keys);
    if (serve(server, &files, signal_fd, is_driven) != TLSLOOP_OK) return fail(tlsloop_last_error());
    if (tlsloop_server_stats(server, &stats) != TLSLOOP_OK) return fail(tlsloop_last_error());
    printf("counted %" PRIu64 " handshakes %" PRIu64 " resumed %" PRIu64 " failed\n", stats.handshakes,
           stats.handshakes_resumed, stats.handshakes_failed);
    return tlsloop_server_stop(server, 5000) == TLSLOOP_OK ? EXIT_SUCCESS : fail(tlsloop_last_error());
}
