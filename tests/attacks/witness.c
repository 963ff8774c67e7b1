/*
 * An established client, and what the attack does to it: it connects once, echoes a message every few milliseconds, and
 * prints for each line on its standard input how many round trips there were since the last, and how long they took.
 *
 *   witness PORT SOURCE [proxy]      SOURCE: its own address; proxy: it comes with a PROXY header
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "peer.h"

enum { MOST = 1 << 16, EVERY_MS = 4 };

static unsigned took_us[MOST], count;

static int by_size(const void *a, const void *b)
{
    unsigned left = *(const unsigned *)a, right = *(const unsigned *)b;
    return left < right ? -1 : left > right;
}

static unsigned now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned)(now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

static int connect_from(const char *source, int port)
{
    struct sockaddr_in own = { .sin_family = AF_INET };
    struct sockaddr_in far = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(inet_pton(AF_INET, source, &own.sin_addr) == 1);
    far.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&own, sizeof own) == 0);
    CHECK(connect(fd, (struct sockaddr *)&far, sizeof far) == 0);
    tcp_limits(fd);
    return fd;
}

static void say(void)
{
    qsort(took_us, count, sizeof *took_us, by_size);
    printf("{\"echoes\":%u,\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u}\n", count, count ? took_us[count / 2] : 0,
           count ? took_us[count - 1 - count / 100] : 0, count ? took_us[count - 1] : 0);
    fflush(stdout);
    count = 0;
}

int main(int argc, char **argv)
{
    char line[16];
    struct pollfd asked = { .fd = 0, .events = POLLIN };
    CHECK(argc >= 3 && setvbuf(stdin, NULL, _IONBF, 0) == 0);
    int fd = connect_from(argv[2], atoi(argv[1]));
    if (argc > 3) CHECK(tcp_send(fd, "PROXY UNKNOWN\r\n", 15));
    struct peer p = peer_over_socket(fd);
    CHECK(peer_handshake(&p) && peer_echo(&p, "here"));
    say();
    for (;;) {
        unsigned begin = now_us();
        CHECK(peer_echo(&p, "a message of an established client, which is to be echoed soon"));
        if (count < MOST) took_us[count++] = now_us() - begin;
        if (poll(&asked, 1, EVERY_MS) <= 0) continue;
        if (!fgets(line, sizeof line, stdin)) break;
        say();
    }
    peer_leave(&p);
    return EXIT_SUCCESS;
}
