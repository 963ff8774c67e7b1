/* How much memory of an idle connection is tlsloop's own. idle PORT CERTIFICATE KEY CONNECTIONS serves an echo; when
 * one connection has come and gone it prints "ready"; when CONNECTIONS have then each echoed a message and stayed, it
 * prints, for each:
 *
 *   heap     by how much all that malloc has handed out has grown, block headers included
 *   openssl  the part of it that OpenSSL asked for: its allocator is replaced by one that counts
 *
 * The rest is tlsloop's. Only with an OpenSSL that both share, so not with one that is built in. */
#include "tlsloop.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MESSAGE = 64 };

static atomic_long openssl_bytes;

static long block(void *memory) { return memory != NULL ? (long)malloc_usable_size(memory) + (long)sizeof(size_t) : 0; }

static void *counting_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    void *memory = malloc(size);
    openssl_bytes += block(memory);
    return memory;
}

static void *counting_realloc(void *old, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    long before = block(old);
    void *memory = realloc(old, size);
    if (memory != NULL || size == 0) openssl_bytes += block(memory) - before;
    return memory;
}

static void counting_free(void *memory, const char *file, int line)
{
    (void)file, (void)line;
    openssl_bytes -= block(memory);
    free(memory);
}

static void must(int good, const char *what)
{
    if (good) return;
    fprintf(stderr, "idle: %s (%s)\n", what, tlsloop_last_error());
    exit(1);
}

static void on_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    (void)user;
    must(tlsloop_conn_send(conn, data, len) == TLSLOOP_OK, "send");
}

static void pause_for(long milliseconds)
{
    struct timespec t = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&t, NULL);
}

struct heap {
    long all, openssl;
};

static struct heap heap(void)
{
    struct mallinfo2 m = mallinfo2(); /* of all threads' arenas */
    return (struct heap){(long)(m.uordblks + m.hblkhd), openssl_bytes};
}

/* Until that many have ever connected, that many are open and every one has echoed its message. */
static struct heap heap_with(tlsloop_server *server, unsigned connects, unsigned open)
{
    tlsloop_stats stats = TLSLOOP_STATS_INIT;
    do {
        pause_for(10);
        must(tlsloop_server_stats(server, &stats) == TLSLOOP_OK, "stats");
    } while (stats.connects != connects || stats.open != open || stats.bytes_out < (uint64_t)connects * MESSAGE);
    pause_for(300); /* the turn that sent the last message is over, and buffers that are idle have gone */
    return heap();
}

int main(int argc, char **argv)
{
    tlsloop_callbacks callbacks = {.size = sizeof callbacks, .on_data = on_data};
    tlsloop_server_config config = {.size = sizeof config, .address = "0.0.0.0", .callbacks = &callbacks};
    tlsloop_server *server;

    must(CRYPTO_set_mem_functions(counting_malloc, counting_realloc, counting_free) == 1, "OpenSSL's allocator");
    if (argc != 5) return 2;
    long count = atol(argv[4]);
    config.port = (uint16_t)atoi(argv[1]);
    config.tls = tlsloop_tls_new();
    must(tlsloop_tls_add_certificate_file(config.tls, argv[2], argv[3]) == TLSLOOP_OK, "certificate");
    must(tlsloop_server_start(&config, &server) == TLSLOOP_OK, "start");
    struct heap before = heap_with(server, 1, 0);
    puts("ready");
    fflush(stdout);
    struct heap after = heap_with(server, (unsigned)count + 1, (unsigned)count);
    double all = (double)(after.all - before.all) / (double)count;
    double openssl = (double)(after.openssl - before.openssl) / (double)count;
    printf("{\"connections\":%ld,\"heap_bytes\":%.1f,\"openssl_bytes\":%.1f,\"own_bytes\":%.1f}\n", count, all, openssl,
           all - openssl);
    fflush(stdout);
    return tlsloop_server_stop(server, 0) == TLSLOOP_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
