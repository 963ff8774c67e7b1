/*
 * The server that is attacked: an echo with the limits that its arguments name, and a witness of what it holds.
 *
 *   host [MEMBER=NUMBER...] [proxy_trusted=LIST] [room=BYTES]      members of tlsloop_server_config; the kernel's
 *                                                                  buffers, which are full the sooner
 *
 * It says where it listens. For each line on standard input it then prints one of counts: the heap of the process,
 * its processor time, and what tlsloop counts. It ends with its input. With TEST_HOST_DRIVEN in its environment it
 * starts no thread, and polls.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <inttypes.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "tlsloop.h"

static tlsloop_server *server;

static void on_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    (void)user;
    /* What is not taken is lost, and nothing more is read until there is room: nobody holds more than high water. */
    if (tlsloop_conn_send(conn, data, len) == TLSLOOP_EFULL) (void)tlsloop_conn_pause(conn);
}

static void on_drain(tlsloop_conn conn, void *user)
{
    (void)user;
    (void)tlsloop_conn_resume(conn);
}

static int fail(const char *what)
{
    fprintf(stderr, "host: %s: %s\n", what, tlsloop_last_error());
    return EXIT_FAILURE;
}

/* A listening socket whose connections have this much room in the kernel, each way. */
static int listen_with_room(int bytes)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, SOMAXCONN) != 0)
        return perror("host"), 0;
    return fd;
}

/* Takes one setting; 0: there is none of this name. */
static int set(tlsloop_server_config *config, char *setting)
{
    const struct { const char *name; unsigned *member; } numbers[] = {
        { "max_connections", &config->max_connections },
        { "max_handshakes", &config->max_handshakes },
        { "max_connections_per_ip", &config->max_connections_per_ip },
        { "handshake_timeout_ms", &config->handshake_timeout_ms },
        { "idle_timeout_ms", &config->idle_timeout_ms },
        { "send_timeout_ms", &config->send_timeout_ms },
    };
    char *value = strchr(setting, '=');
    if (!value) return 0;
    *value++ = 0;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(setting, numbers[i].name) == 0) return *numbers[i].member = (unsigned)strtoul(value, NULL, 10), 1;
    if (strcmp(setting, "send_high_water") == 0) return config->send_high_water = strtoul(value, NULL, 10), 1;
    if (strcmp(setting, "room") == 0) return (config->listen_fd = listen_with_room(atoi(value))) > 0;
    if (strcmp(setting, "proxy_trusted") != 0) return 0;
    config->proxy_protocol = TLSLOOP_PROXY_REQUIRED;
    config->proxy_trusted = value;
    return 1;
}

static uint64_t processor_us(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

static int say_counts(void)
{
    tlsloop_stats s = TLSLOOP_STATS_INIT;
    struct mallinfo2 heap = mallinfo2();
    if (tlsloop_server_stats(server, &s) != TLSLOOP_OK) return 0;
    printf("{\"heap\":%zu,\"cpu_us\":%" PRIu64 ",\"accepted\":%" PRIu64 ",\"refused_limit\":%" PRIu64
           ",\"refused_per_ip\":%" PRIu64 ",\"refused_proxy\":%" PRIu64 ",\"handshakes\":%" PRIu64
           ",\"handshakes_failed\":%" PRIu64 ",\"open\":%" PRIu64 ",\"handshaking\":%" PRIu64 ",\"bytes_in\":%" PRIu64,
           heap.uordblks + heap.hblkhd, processor_us(), s.accepted, s.refused_limit, s.refused_per_ip, s.refused_proxy,
           s.handshakes, s.handshakes_failed, s.open, s.handshaking, s.bytes_in);
    for (int reason = 0; reason <= TLSLOOP_REASON_SYSTEM; reason++)
        printf(",\"%s\":%" PRIu64, tlsloop_reason_name(reason), s.disconnects_by_reason[reason]);
    puts("}");
    return 1;
}

int main(int argc, char **argv)
{
    char line[16];
    tlsloop_callbacks callbacks = TLSLOOP_CALLBACKS_INIT;
    tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
    int driven = getenv("TEST_HOST_DRIVEN") != NULL;

    for (int i = 1; i < argc; i++)
        if (!set(&config, argv[i])) return fail(argv[i]);
    callbacks.on_data = on_data;
    callbacks.on_drain = on_drain;
    config.callbacks = &callbacks;
    if (config.listen_fd == 0) config.address = "127.0.0.1";
    config.workers = driven ? TLSLOOP_HOST_DRIVEN : 0;
    config.tls = tlsloop_tls_new();
    if (tlsloop_tls_add_self_signed(config.tls, "localhost") != TLSLOOP_OK) return fail("certificate");
    if (setvbuf(stdin, NULL, _IONBF, 0) != 0 || setvbuf(stdout, NULL, _IOLBF, 0) != 0) return fail("streams");
    if (tlsloop_server_start(&config, &server) != TLSLOOP_OK) return fail("start");
    tlsloop_tls_free(config.tls);
    printf("listening on %d\n", tlsloop_server_port(server));
    struct pollfd watched[2] = { { .fd = 0, .events = POLLIN },
                                 { .fd = driven ? tlsloop_server_fd(server) : -1, .events = POLLIN } };
    while (poll(watched, 2, -1) >= 0) {
        if (watched[1].revents && tlsloop_server_poll(server, 0) < 0) return fail("poll");
        if (watched[0].revents && (!fgets(line, sizeof line, stdin) || !say_counts())) break;
    }
    return tlsloop_server_stop(server, 0) == TLSLOOP_OK ? EXIT_SUCCESS : fail("stop");
}
