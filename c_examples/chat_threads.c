/* A chat room in which several threads of the program speak to all connections at once.
 *     chat_threads [PORT [MILLISECONDS]]        every thread speaks once in so many milliseconds
 * A line arrives whole, and the lines of a thread in their order, whoever else is sending. tlsloop holds no lock
 * of its own while a callback runs, so the room's lock may be taken in callbacks and held around its calls. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "tlsloop.h"

static char *const speakers[] = {"Ann", "Bob", "Eve", "Dan"};
enum { SPEAKERS = sizeof speakers / sizeof speakers[0], ROOM = 1000 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the room */
static struct { int closing; unsigned long missed; size_t count; tlsloop_conn guest[ROOM]; } room;
static struct timespec period;
static tlsloop_server *server; /* set before on_signal can run, and constant from then on */
static void on_signal(int number) { (void)number; (void)tlsloop_server_request_stop(server); }
static int set_handler(void (*f)(int)) { return signal(SIGINT, f) != SIG_ERR && signal(SIGTERM, f) != SIG_ERR; }
static int fail(const char *why) { fprintf(stderr, "chat_threads: %s\n", why); return EXIT_FAILURE; }
static void take(void) { if (pthread_mutex_lock(&lock) != 0) abort(); }
static void give(void) { if (pthread_mutex_unlock(&lock) != 0) abort(); }

/* Sends the parts as one message to everybody. Returns whether the room is still open. */
static int say(const tlsloop_slice *parts, size_t n)
{
    take();
    for (size_t i = 0; i < room.count; i++) /* ECLOSED: its on_disconnect is on the way */
        if (tlsloop_conn_sendv(room.guest[i], parts, n) == TLSLOOP_EFULL) room.missed++;
    int open = !room.closing;
    give();
    return open;
}

static void on_connect(tlsloop_conn conn, void *user)
{
    (void)user;
    take();
    if (room.count < ROOM) room.guest[room.count++] = conn;
    else (void)tlsloop_conn_close(conn); /* no room; fails only if it is ending already */
    give();
}

static void on_disconnect(tlsloop_conn conn, int reason, void *user)
{
    (void)reason, (void)user;
    take();
    for (size_t i = 0; i < room.count; i++)
        if (room.guest[i] == conn) room.guest[i] = room.guest[--room.count];
    give();
}

static void on_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    (void)user;
    if (tlsloop_conn_info(conn, &info) == TLSLOOP_OK)
        (void)say((tlsloop_slice[]){{info.peer, strlen(info.peer)}, {" says: ", 7}, {data, len}}, 3);
}

static void *speak(void *name)
{
    int open = 1;
    for (unsigned long i = 1; open; i++) {
        char line[64];
        int len = snprintf(line, sizeof line, "%s: line %lu\n", (const char *)name, i);
        open = say(&(tlsloop_slice){line, (size_t)len}, 1);
        (void)nanosleep(&period, NULL); /* cut short by a signal, it speaks a little early */
    }
    return NULL;
}

int main(int argc, char **argv)
{
    tlsloop_callbacks callbacks = {.size = sizeof callbacks, .on_connect = on_connect, .on_data = on_data,
        .on_disconnect = on_disconnect};
    tlsloop_server_config config = {.size = sizeof config, .workers = 2, .callbacks = &callbacks,
        .port = (uint16_t)(argc > 1 ? atoi(argv[1]) : 12345), .tls = tlsloop_tls_new()};
    long ms = argc > 2 ? atol(argv[2]) : 1000;
    pthread_t thread[SPEAKERS];
    int i, rc;
    period = (struct timespec){ms / 1000, ms % 1000 * 1000000};
    rc = tlsloop_tls_add_self_signed(config.tls, "localhost,127.0.0.1");
    if (rc == TLSLOOP_OK) rc = tlsloop_server_start(&config, &server);
    if (rc != TLSLOOP_OK) (void)fail(tlsloop_last_error());
    tlsloop_tls_free(config.tls); /* the server keeps its own reference */
    if (rc != TLSLOOP_OK || !set_handler(on_signal)) return EXIT_FAILURE;
    for (i = 0; i < SPEAKERS; i++)
        if (pthread_create(&thread[i], NULL, speak, speakers[i]) != 0) return fail("no thread");
    if (printf("listening on %d\n", tlsloop_server_port(server)) < 0 || fflush(stdout)) return fail("no output");
    rc = tlsloop_server_wait(server);
    take(), room.closing = 1, give();
    for (i = 0; i < SPEAKERS; i++)
        if (pthread_join(thread[i], NULL) != 0) return fail("a thread was not joined");
    printf("%lu lines were missed by guests who did not read\n", room.missed);
    return rc || !set_handler(SIG_DFL) || tlsloop_server_stop(server, 1000) ? fail(tlsloop_last_error()) : EXIT_SUCCESS;
}
