#define _GNU_SOURCE
#include "loop.h"

#include "check.h"

#include <stdlib.h>
#include <uv.h>

struct watch {
    uv_poll_t poll; /* the first, so that it is its own handle */
    void (*ready)(void *arg);
    void *arg;
};

static uv_loop_t loop;

void loop_begin(void)
{
    CHECK(uv_loop_init(&loop) == 0);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = (struct watch *)poll;
    CHECK(status == 0 && events == UV_READABLE);
    watch->ready(watch->arg);
}

struct watch *loop_watch(int fd, void (*ready)(void *arg), void *arg)
{
    struct watch *watch = calloc(1, sizeof *watch);
    CHECK(watch != NULL);
    watch->ready = ready;
    watch->arg = arg;
    CHECK(uv_poll_init(&loop, &watch->poll, fd) == 0);
    CHECK(uv_poll_start(&watch->poll, UV_READABLE, on_ready) == 0);
    return watch;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

void loop_unwatch(struct watch *watch)
{
    uv_close((uv_handle_t *)&watch->poll, on_closed);
}

void loop_run(void)
{
    uv_run(&loop, UV_RUN_DEFAULT);
}

void loop_quit(void)
{
    uv_stop(&loop);
}

void loop_end(void)
{
    uv_run(&loop, UV_RUN_DEFAULT); /* what was closed is freed by the loop */
    CHECK(uv_loop_close(&loop) == 0);
}
