#define _GNU_SOURCE
#include "peer.h"

#include "check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static struct sockaddr_in loopback(int port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

void tcp_limits(int fd)
{
    struct timeval limit = { .tv_sec = 30 * check_time_factor() };
    int on = 1;
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0);
}

/* A connection is one from the moment at which the server has it; it may be reset before connect() returns. */
static int connect_socket(int port, int bytes, bool may_be_reset)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    /* Before connect: the window is agreed on in the handshake of TCP. */
    if (bytes) CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) == 0);
    struct sockaddr_in address = loopback(port);
    int answer;
    do {
        answer = connect(fd, (struct sockaddr *)&address, sizeof address);
    } while (answer != 0 && errno == EINTR);
    if (answer == 0 || (may_be_reset && errno == ECONNRESET)) {
        tcp_limits(fd);
        return fd;
    }
    int failure = errno;
    close(fd);
    errno = failure;
    return -1;
}

int tcp_try_connect(int port)
{
    return connect_socket(port, 0, false);
}

int tcp_connect_small(int port, int bytes)
{
    int fd = connect_socket(port, bytes, true);
    if (fd < 0) check_failed(__FILE__, __LINE__, "connect: %s", strerror(errno));
    return fd;
}

int tcp_connect(int port)
{
    return tcp_connect_small(port, 0);
}

int tcp_listen(int *port)
{
    return tcp_listen_on("127.0.0.1", port);
}

int tcp_listen_small(int *port)
{
    int fd = tcp_listen(port), bytes = 1;
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) == 0);
    return fd;
}

int tcp_listen_on(const char *host, int *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    CHECK(inet_pton(AF_INET, host, &address.sin_addr) == 1);
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(fd, 128) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    *port = ntohs(address.sin_port);
    return fd;
}

bool tcp_send(int fd, const void *data, size_t len)
{
    const char *from = data;
    while (len > 0) {
        ssize_t n = send(fd, from, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        from += n;
        len -= (size_t)n;
    }
    return true;
}

long tcp_recv(int fd, void *buf, size_t len)
{
    ssize_t n;
    do {
        n = recv(fd, buf, len, 0);
    } while (n < 0 && errno == EINTR);
    if (n > 0) return n;
    if (n == 0) return PEER_FIN;
    if (errno == EAGAIN) return PEER_SILENT;
    return PEER_RESET;
}

long tcp_until_end(int fd)
{
    char buf[4096];
    long n;
    while ((n = tcp_recv(fd, buf, sizeof buf)) > 0) {}
    return n;
}

void tcp_fin(int fd)
{
    shutdown(fd, SHUT_WR); /* fails if a reset was quicker, which is the case's to see */
}

void tcp_reset(int fd)
{
    struct linger now = { .l_onoff = 1, .l_linger = 0 };
    CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
    CHECK(close(fd) == 0);
}
