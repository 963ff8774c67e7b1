/* A daemon with one thread and a select loop of its own: standard input and tlsloop side by side.
 *
 *     host_select [PORT [CERT KEY]]         without files: a self-signed certificate
 *
 * What is typed here goes to everybody who is connected, what they send is shown here. tlsloop starts no
 * thread: the callbacks run inside tlsloop_server_poll, so nothing here needs a lock. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/select.h>
#include <unistd.h>
#include "tlsloop.h"

#define ROOM 100
struct guests { size_t count; tlsloop_conn conn[ROOM]; };
static tlsloop_server *server; /* set before on_signal can run, and constant from then on */
static void on_signal(int number) { (void)number; (void)tlsloop_server_request_stop(server); }
static int set_handler(void (*f)(int)) { return signal(SIGINT, f) != SIG_ERR && signal(SIGTERM, f) != SIG_ERR; }
static int fail(const char *why) { fprintf(stderr, "host_select: %s\n", why); return EXIT_FAILURE; }

static void on_connect(tlsloop_conn conn, void *user)
{
    struct guests *guests = user;
    if (guests->count < ROOM)
        guests->conn[guests->count++] = conn;
    else
        (void)tlsloop_conn_close(conn); /* no room; fails only if it is ending already */
    printf("%zu connected\n", guests->count);
}

static void on_disconnect(tlsloop_conn conn, int reason, void *user)
{
    struct guests *guests = user;
    size_t i = 0;
    while (i < guests->count && guests->conn[i] != conn) i++;
    if (i < guests->count) guests->conn[i] = guests->conn[--guests->count];
    printf("%zu connected, one left: %s\n", guests->count, tlsloop_reason_name(reason));
}

static void on_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    (void)conn, (void)user;
    if (fwrite(data, 1, len, stdout) != len) perror("host_select: standard output");
}

/* read(2) and not fgets, because select does not see what stdio has read ahead. 0: the input has ended. */
static int forward_input(const struct guests *guests)
{
    char typed[4096];
    ssize_t n = read(STDIN_FILENO, typed, sizeof typed);
    for (size_t i = 0; n > 0 && i < guests->count; i++) {
        if (tlsloop_conn_send(guests->conn[i], typed, (size_t)n) == TLSLOOP_EFULL)
            fputs("somebody does not read and misses this\n", stdout);
    }
    return n > 0 || (n < 0 && errno == EINTR);
}

static int loop(const struct guests *guests)
{
    int fd = tlsloop_server_fd(server), has_input = 1, rc = 0;
    if (fd < 0 || fd >= FD_SETSIZE) return fail("no descriptor that select can watch");
    while (rc == 0) { /* tlsloop_server_poll: 0 go on, 1 a stop was requested, below 0 an error */
        fd_set ready;
        FD_ZERO(&ready);
        FD_SET(fd, &ready);
        if (has_input) FD_SET(STDIN_FILENO, &ready);
        /* No timeout: tlsloop's timers and a requested stop make its descriptor readable. */
        if (select(fd + 1, &ready, NULL, NULL, NULL) < 0) {
            if (errno != EINTR) return fail("select failed");
            continue;
        }
        if (has_input && FD_ISSET(STDIN_FILENO, &ready)) has_input = forward_input(guests);
        if (FD_ISSET(fd, &ready)) rc = tlsloop_server_poll(server, 0);
    }
    return rc == 1 ? EXIT_SUCCESS : fail(tlsloop_last_error());
}

int main(int argc, char **argv)
{
    struct guests guests = {0};
    tlsloop_callbacks callbacks = {.size = sizeof callbacks, .on_connect = on_connect,
        .on_data = on_data, .on_disconnect = on_disconnect};
    tlsloop_server_config config = {.size = sizeof config, .workers = TLSLOOP_HOST_DRIVEN,
        .callbacks = &callbacks, .user = &guests, .tls = tlsloop_tls_new()};
    int rc, result;
    config.port = (uint16_t)(argc > 1 ? atoi(argv[1]) : 12345);
    rc = argc > 3 ? tlsloop_tls_add_certificate_file(config.tls, argv[2], argv[3])
                  : tlsloop_tls_add_self_signed(config.tls, "localhost,127.0.0.1");
    if (rc == TLSLOOP_OK) rc = tlsloop_server_start(&config, &server);
    if (rc != TLSLOOP_OK) (void)fail(tlsloop_last_error());
    tlsloop_tls_free(config.tls); /* the server keeps its own reference */
    if (rc != TLSLOOP_OK || setvbuf(stdout, NULL, _IOLBF, 0) != 0 || !set_handler(on_signal)) return EXIT_FAILURE;
    printf("listening on %d\n", tlsloop_server_port(server)); /* no callback has run so far: we did not poll */
    result = loop(&guests);
    if (!set_handler(SIG_DFL)) return fail("signal");
    /* The last callbacks run inside this call. */
    return tlsloop_server_stop(server, 1000) == TLSLOOP_OK ? result : fail(tlsloop_last_error());
}
