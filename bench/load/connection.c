#include "connection.h"

#include "basics.h"
#include "options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

void connection_want(struct worker *w, struct connection *c, uint32_t events)
{
    if (events == c->interest) return;
    struct epoll_event event = {.events = events, .data.ptr = c};
    epoll_ctl(w->epoll, c->interest != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event);
    c->interest = events;
}

/* One address has 28,000 ports to connect from, and those of ended connections wait for a minute. */
static int spread(int fd, uint64_t id, const struct sockaddr_in *to)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    int one = 1;
    if (options.sources < 2 || ntohl(to->sin_addr.s_addr) >> 24 != 127) return 0;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(id % (uint64_t)options.sources));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    return bind(fd, (const struct sockaddr *)&from, sizeof from);
}

static int open_socket(struct connection *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(options.port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    inet_pton(AF_INET, options.host, &to.sin_addr);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (spread(fd, c->id, &to) != 0 ||
        (connect(fd, (const struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)) {
        close(fd);
        return -1;
    }
    return fd;
}

void connection_open(struct worker *w, struct connection *c)
{
    c->id = ((uint64_t)(w->index + 1) << 40) + w->next_id++;
    c->interest = 0;
    c->written = c->read = c->goal = 0;
    c->oldest = c->newest = 0;
    c->finished = c->has_ticket = 0;
    c->started = now();
    c->deadline = c->started + (uint64_t)(options.timeout * SECOND);
    c->stage = STAGE_CONNECTING;
    w->alive++;
    w->opening++;
    c->fd = open_socket(c);
    if (c->fd < 0) {
        worker_fail(w, "connect: %s", strerror(errno));
        connection_end(w, c, 0);
        return;
    }
    connection_want(w, c, EPOLLOUT);
}

void connection_drop(struct worker *w, struct connection *c)
{
    if (c->stage == STAGE_NONE) return;
    SSL_free(c->ssl);
    c->ssl = NULL;
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->stage = STAGE_NONE;
    w->alive--;
}

void connection_finished(struct connection *c)
{
    if (c->finished) return;
    c->finished = 1;
    run.finished++;
}

void connection_end(struct worker *w, struct connection *c, int good)
{
    w->opening--;
    if (good) atomic_fetch_add_explicit(&w->operations, 1, memory_order_relaxed);
    else if (!is_cycle(w)) connection_finished(c);
    connection_drop(w, c);
    c->cycles++;
}

void connection_reset_on_close(struct connection *c)
{
    struct linger at_once = {1, 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

static int plain_result(ssize_t n)
{
    if (n > 0) return (int)n;
    if (n == 0) return ENDED;
    return errno == EAGAIN ? WOULD_BLOCK : BROKEN;
}

static int tls_result(struct connection *c, int n)
{
    if (n > 0) return n;
    switch (SSL_get_error(c->ssl, n)) {
    case SSL_ERROR_WANT_READ: case SSL_ERROR_WANT_WRITE: return WOULD_BLOCK;
    case SSL_ERROR_ZERO_RETURN: return ENDED;
    default: return BROKEN;
    }
}

int connection_read(struct connection *c, void *into, int room)
{
    if (options.plain) return plain_result(recv(c->fd, into, (size_t)room, 0));
    return tls_result(c, SSL_read(c->ssl, into, room));
}

int connection_write(struct connection *c, const void *bytes, int count)
{
    if (options.plain) return plain_result(send(c->fd, bytes, (size_t)count, MSG_NOSIGNAL));
    return tls_result(c, SSL_write(c->ssl, bytes, count));
}
