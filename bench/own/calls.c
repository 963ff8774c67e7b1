/* Where the time of a handshake goes: preloaded into the echo host, it takes the time of each call of OpenSSL's and of the
 * kernel's that a connection needs, and writes the sums to the file that CALLS names when the host ends. Reading the clock
 * costs about as much as the quickest of these calls, so the figures are a little too high. */
#include <dlfcn.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct sum {
    const char *name;
    unsigned long calls;
    double us;
};

enum { NEW, HANDSHAKE, READ, SHUTDOWN, FREE, ACCEPT, RECV, SEND, CTL, CLOSE, KINDS };
static struct sum sums[KINDS]; /* one thread works */

static double microseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void *next(void **kept, const char *name)
{
    if (*kept == NULL) *kept = dlsym(RTLD_NEXT, name);
    return *kept;
}

#define TIMED(kind, type, function, parameters, arguments)                                                            \
    type function parameters                                                                                          \
    {                                                                                                                 \
        static void *kept;                                                                                            \
        type(*real) parameters = (type(*) parameters)next(&kept, #function);                                          \
        double start = microseconds();                                                                                \
        type result = real arguments;                                                                                 \
        sums[kind].us += microseconds() - start;                                                                      \
        sums[kind].calls++;                                                                                           \
        sums[kind].name = #function;                                                                                  \
        return result;                                                                                                \
    }

TIMED(NEW, SSL *, SSL_new, (SSL_CTX *ctx), (ctx))
TIMED(HANDSHAKE, int, SSL_do_handshake, (SSL *ssl), (ssl))
TIMED(READ, int, SSL_read, (SSL *ssl, void *buffer, int size), (ssl, buffer, size))
TIMED(SHUTDOWN, int, SSL_shutdown, (SSL *ssl), (ssl))
TIMED(ACCEPT, int, accept4, (int fd, struct sockaddr *name, socklen_t *size, int flags), (fd, name, size, flags))
TIMED(RECV, ssize_t, recv, (int fd, void *buffer, size_t size, int flags), (fd, buffer, size, flags))
TIMED(SEND, ssize_t, send, (int fd, const void *buffer, size_t size, int flags), (fd, buffer, size, flags))
TIMED(CTL, int, epoll_ctl, (int poller, int op, int fd, struct epoll_event *event), (poller, op, fd, event))
TIMED(CLOSE, int, close, (int fd), (fd))

void SSL_free(SSL *ssl)
{
    static void *kept;
    void (*real)(SSL *) = (void (*)(SSL *))next(&kept, "SSL_free");
    double start = microseconds();
    real(ssl);
    sums[FREE].us += microseconds() - start;
    sums[FREE].calls++;
    sums[FREE].name = "SSL_free";
}

__attribute__((destructor)) static void tell(void)
{
    const char *path = getenv("CALLS");
    FILE *file = path != NULL ? fopen(path, "w") : NULL;
    if (file == NULL) return;
    for (int kind = 0; kind < KINDS; kind++) {
        if (sums[kind].calls == 0) continue;
        fprintf(file, "{\"name\":\"%s\",\"calls\":%lu,\"us\":%.1f}\n", sums[kind].name, sums[kind].calls, sums[kind].us);
    }
    fclose(file);
}
