/*
 * The one place that knows of host-driven mode.
 *
 * The host is a thread of the fixture with a loop of its own around the server's descriptor, so
 * that a case may use blocking peers on the main thread in either mode.
 */
#define _GNU_SOURCE
#include "fixture.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct host {
    tlsloop_server *server;
    struct fixture *fixture; /* NULL: no hooks to run */
    int leave; /* an eventfd */
    pthread_t thread;
};

bool host_wanted(void)
{
    return getenv("TEST_HOST_DRIVEN") != NULL;
}

static void *run(void *argument)
{
    struct host *host = argument;
    const struct hooks none = { 0 }, *on = host->fixture ? &host->fixture->options.on : &none;
    struct pollfd watched[2] = {
        { .fd = tlsloop_server_fd(host->server), .events = POLLIN },
        { .fd = host->leave, .events = POLLIN },
    };
    CHECK(watched[0].fd >= 0);
    if (on->worker_start) on->worker_start(host->fixture, 0);
    while (watched[1].revents == 0) {
        CHECK(poll(watched, 2, -1) > 0);
        if (watched[0].revents) CHECK(tlsloop_server_poll(host->server, 0) >= 0);
    }
    if (on->worker_stop) on->worker_stop(host->fixture, 0);
    return NULL;
}

static struct host *start(tlsloop_server *server, struct fixture *f)
{
    struct host *host = calloc(1, sizeof *host);
    CHECK(host != NULL);
    host->server = server;
    host->fixture = f;
    host->leave = eventfd(0, EFD_CLOEXEC);
    CHECK(host->leave >= 0);
    CHECK(pthread_create(&host->thread, NULL, run, host) == 0);
    return host;
}

struct host *host_start(tlsloop_server *server)
{
    return start(server, NULL);
}

void host_begin(struct fixture *f)
{
    if (host_wanted()) f->host = start(f->server, f);
}

void host_end(struct fixture *f)
{
    struct host *host = f->host;
    if (!host) return;
    CHECK(eventfd_write(host->leave, 1) == 0);
    CHECK(pthread_join(host->thread, NULL) == 0);
    close(host->leave);
    free(host);
    f->host = NULL;
}
