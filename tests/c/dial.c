#define _GNU_SOURCE
#include "dial.h"

#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

void dial_limits(int fd)
{
    struct timeval limit = { .tv_sec = 30 * check_time_factor() };
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0);
}

static struct sockaddr_in ipv4(const char *address, int port)
{
    struct sockaddr_in result = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    CHECK(inet_pton(AF_INET, address, &result.sin_addr) == 1);
    return result;
}

int dial_from(const char *address, int port)
{
    struct sockaddr_in from = ipv4(address, 0), to = ipv4("127.0.0.1", port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK(bind(fd, (struct sockaddr *)&from, sizeof from) == 0);
    CHECK(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    tcp_limits(fd);
    return fd;
}

int dial_six(int port)
{
    struct sockaddr_in6 to = {
        .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        return -1;
    }
    tcp_limits(fd);
    return fd;
}

int dial_unix_try(const char *path)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    CHECK(strlen(path) < sizeof to.sun_path);
    memcpy(to.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        return -1;
    }
    dial_limits(fd);
    return fd;
}

int dial_unix(const char *path)
{
    int fd = dial_unix_try(path);
    CHECK(fd >= 0);
    return fd;
}

void dial_pair(int ends[2])
{
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    dial_limits(ends[0]);
}

void dial_accepted(int ends[2])
{
    int port, listener = tcp_listen(&port);
    ends[0] = tcp_connect(port);
    ends[1] = accept(listener, NULL, NULL);
    CHECK(ends[1] >= 0);
    close(listener);
}

struct peer dial_tls(int fd)
{
    struct peer p = peer_over_socket(fd);
    CHECK(peer_handshake(&p));
    return p;
}

bool dial_expect(int fd, const char *text)
{
    char got[4096];
    size_t have = 0, want = strlen(text);
    CHECK(want <= sizeof got);
    while (have < want) {
        long n = tcp_recv(fd, got + have, want - have);
        if (n <= 0) return false;
        have += (size_t)n;
    }
    return memcmp(got, text, want) == 0;
}

void dial_name(int fd, char *text, size_t room)
{
    struct sockaddr_in own;
    socklen_t len = sizeof own;
    char address[INET_ADDRSTRLEN];
    CHECK(getsockname(fd, (struct sockaddr *)&own, &len) == 0 && own.sin_family == AF_INET);
    CHECK(inet_ntop(AF_INET, &own.sin_addr, address, sizeof address) != NULL);
    snprintf(text, room, "%s:%u", address, ntohs(own.sin_port));
}
