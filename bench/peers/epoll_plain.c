/* Plain TCP echo on level-triggered epoll: the floor without TLS, and what stands behind stunnel and HAProxy. */
#include "common.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 512, ACCEPTS = 64 };

struct connection {
    int fd;
    char *rest; /* what the socket did not take; while there is some, nothing is read */
    size_t length, offset;
};

static int poller;
static char buffer[65536];

static void watch(struct connection *c, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = c};
    epoll_ctl(poller, operation, c->fd, &event);
}

/* All of these return whether the connection lives on. */
static int keep(struct connection *c, const char *bytes, size_t count)
{
    c->rest = malloc(count);
    if (c->rest == NULL) return 0;
    memcpy(c->rest, bytes, count);
    c->length = count;
    c->offset = 0;
    watch(c, EPOLL_CTL_MOD, EPOLLOUT);
    return 1;
}

static int send_rest(struct connection *c)
{
    ssize_t n = send(c->fd, c->rest + c->offset, c->length - c->offset, MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN;
    c->offset += (size_t)n;
    if (c->offset < c->length) return 1;
    free(c->rest);
    c->rest = NULL;
    watch(c, EPOLL_CTL_MOD, EPOLLIN);
    return 1;
}

static int echo(struct connection *c)
{
    ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
    if (n < 0) return errno == EAGAIN;
    if (n == 0) return 0;
    ssize_t sent = send(c->fd, buffer, (size_t)n, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return 0;
    if (sent < 0) sent = 0;
    return sent == n || keep(c, buffer + sent, (size_t)(n - sent));
}

static void accept_some(int listener)
{
    for (int i = 0; i < ACCEPTS; i++) {
        int fd = peer_accept(listener);
        if (fd < 0) return;
        struct connection *c = calloc(1, sizeof *c);
        if (c == NULL) abort();
        c->fd = fd;
        watch(c, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void serve(struct connection *c)
{
    if (c->rest != NULL ? send_rest(c) : echo(c)) return;
    close(c->fd);
    free(c->rest);
    free(c);
}

int main(int argc, char **argv)
{
    int listener = peer_listen(peer_port(argc, argv, 1));
    struct epoll_event events[EVENTS], accepting = {.events = EPOLLIN, .data.ptr = NULL};
    poller = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &accepting);
    for (;;) {
        int n = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL) accept_some(listener);
            else serve(events[i].data.ptr);
        }
    }
}
