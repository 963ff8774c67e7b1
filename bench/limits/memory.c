#include "limits.h"

#include <fcntl.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdio.h>
#include <unistd.h>

enum { SERVERS = 2000 };

/* Only the GNU C library says; with others the figure is 0. */
static size_t heap(void)
{
#ifdef __GLIBC__
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
#else
    return 0;
#endif
}

/* One message each way, and a read that finds nothing: there SSL_MODE_RELEASE_BUFFERS frees them. */
static void exchange(struct pair *p)
{
    char message[64] = "";
    CHECK(SSL_write(p->client, message, sizeof message) == sizeof message);
    CHECK(SSL_read(p->server, message, sizeof message) == sizeof message);
    CHECK(SSL_write(p->server, message, sizeof message) == sizeof message);
    CHECK(SSL_read(p->client, message, sizeof message) == sizeof message);
    SSL_read(p->server, message, sizeof message);
    ERR_clear_error();
}

static void report(const char *name, const struct pair_settings *settings, int socket_bio)
{
    static SSL *servers[SERVERS];
    SSL_CTX *server = pair_server_context(settings), *client = pair_client_context(settings);
    int fd = open("/dev/null", O_RDWR);
    struct pair first = pair_connect(client, server, NULL); /* what is made once is not counted */
    pair_free(&first);

    size_t before = heap();
    for (int i = 0; i < SERVERS; i++) {
        struct pair p = pair_connect(client, server, NULL);
        exchange(&p);
        if (socket_bio) SSL_set_fd(p.server, fd);
        servers[i] = p.server;
        p.server = NULL;
        pair_free(&p);
    }
    printf("{\"limit\":\"memory\",\"library\":\"%s\",\"case\":\"%s\",\"heap_bytes\":%.0f}\n",
           OpenSSL_version(OPENSSL_VERSION), name, (double)(heap() - before) / SERVERS);
    fflush(stdout);
    for (int i = 0; i < SERVERS; i++) SSL_free(servers[i]);
    close(fd);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}

void limit_memory(const struct pair_settings *settings)
{
    struct pair_settings s = *settings;
    s.groups = "X25519";
    report("socket BIO, buffers released", &s, 1);
    report("memory BIOs, buffers released", &s, 0);
    s.tickets = 1;
    report("socket BIO, buffers released, one ticket", &s, 1);
    s.keeps_buffers = 1;
    report("socket BIO, buffers kept", &s, 1);
}
