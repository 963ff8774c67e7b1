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
    struct fixture *fixture;
    int leave; /* an eventfd */
    pthread_t thread;
};

bool host_wanted(void)
{
    return getenv("TEST_HOST_DRIVEN") != NULL;
}

static int turn(struct host *host)
{
    void (*around)(bool inside) = host->fixture->options.around;
    if (around) around(true);
    int answer = tlsloop_server_poll(host->fixture->server, 0);
    if (around) around(false);
    return answer;
}

static void *run(void *argument)
{
    struct host *host = argument;
    const struct hooks *on = &host->fixture->options.on;
    struct pollfd watched[2] = {
        { .fd = tlsloop_server_fd(host->fixture->server), .events = POLLIN },
        { .fd = host->leave, .events = POLLIN },
    };
    CHECK(watched[0].fd >= 0);
    if (on->worker_start) on->worker_start(host->fixture, 0);
    while (watched[1].revents == 0) {
        CHECK(poll(watched, 2, -1) > 0);
        if (watched[0].revents) CHECK(turn(host) >= 0);
    }
    if (on->worker_stop) on->worker_stop(host->fixture, 0);
    return NULL;
}

void host_begin(struct fixture *f)
{
    if (!host_wanted()) return;
    struct host *host = calloc(1, sizeof *host);
    CHECK(host != NULL);
    host->fixture = f;
    host->leave = eventfd(0, EFD_CLOEXEC);
    CHECK(host->leave >= 0);
    CHECK(pthread_create(&host->thread, NULL, run, host) == 0);
    f->host = host;
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
