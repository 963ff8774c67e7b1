#include "loop.h"

#include "check.h"

#include <glib-unix.h>
#include <glib.h>
#include <stdlib.h>

struct watch {
    guint source;
    void (*ready)(void *arg);
    void *arg;
};

static GMainLoop *loop;

void loop_begin(void)
{
    loop = g_main_loop_new(NULL, FALSE);
}

static gboolean on_ready(gint fd, GIOCondition condition, gpointer user)
{
    struct watch *watch = user;
    (void)fd;
    CHECK(condition == G_IO_IN);
    watch->ready(watch->arg);
    return G_SOURCE_CONTINUE; /* also of one that was taken out meanwhile: then it is not looked at */
}

struct watch *loop_watch(int fd, void (*ready)(void *arg), void *arg)
{
    struct watch *watch = calloc(1, sizeof *watch);
    CHECK(watch != NULL);
    watch->ready = ready;
    watch->arg = arg;
    watch->source = g_unix_fd_add_full(G_PRIORITY_DEFAULT, fd, G_IO_IN, on_ready, watch, free);
    return watch;
}

void loop_unwatch(struct watch *watch)
{
    CHECK(g_source_remove(watch->source)); /* frees it, when it is not running */
}

void loop_run(void)
{
    g_main_loop_run(loop);
}

void loop_quit(void)
{
    g_main_loop_quit(loop);
}

void loop_end(void)
{
    g_main_loop_unref(loop);
}
