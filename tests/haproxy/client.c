/*
 * A client of an echo server that may stand behind a balancer. It says from where it connects, as tlsloop writes
 * addresses, then sends ever greater pieces and compares what comes back, byte for byte.
 *
 *   client plain|tls FROM TO PORT      FROM and TO are addresses of this machine
 *   client plain PATH                  a unix socket
 *
 * Ends with 0 if all came back, with 2 if the other side ended the connection instead, with 1 for anything else.
 * TLS is OpenSSL's own, and verifies nothing: who is at the other end is not the question here.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { LARGEST = 1 << 16, REFUSED = 2 };

static int fd;
static SSL *ssl; /* NULL: plain */

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

/* An address of IPv4 or IPv6, and how much of the storage it fills. */
static socklen_t inet_address(struct sockaddr_storage *storage, const char *text, const char *port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)storage;
    memset(storage, 0, sizeof *storage);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)atoi(port));
        return sizeof *v4;
    }
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1) die(text);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)atoi(port));
    return sizeof *v6;
}

/* The port is the system's choice. */
static void say_where_from(const char *from)
{
    struct sockaddr_storage own;
    socklen_t len = sizeof own;
    if (getsockname(fd, (struct sockaddr *)&own, &len) != 0) die("getsockname");
    if (own.ss_family == AF_INET6)
        printf("[%s]:%d\n", from, ntohs(((struct sockaddr_in6 *)&own)->sin6_port));
    else
        printf("%s:%d\n", from, ntohs(((struct sockaddr_in *)&own)->sin_port));
}

static void connect_inet(const char *from, const char *to, const char *port)
{
    struct sockaddr_storage storage;
    socklen_t len = inet_address(&storage, from, "0");
    fd = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&storage, len) != 0) die(from);
    len = inet_address(&storage, to, port);
    if (connect(fd, (struct sockaddr *)&storage, len) != 0) die(to);
    say_where_from(from);
}

static void connect_unix(const char *path)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof name.sun_path) die(path);
    strcpy(name.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof name) != 0) die(path);
    puts("unix");
}

static bool start_tls(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context == NULL) die("SSL_CTX_new");
    ssl = SSL_new(context);
    SSL_CTX_free(context);
    return ssl != NULL && SSL_set_fd(ssl, fd) == 1 && SSL_set_tlsext_host_name(ssl, "localhost") == 1
           && SSL_connect(ssl) == 1;
}

static long give(const unsigned char *from, size_t len)
{
    return ssl ? SSL_write(ssl, from, (int)len) : send(fd, from, len, MSG_NOSIGNAL);
}

static long take(unsigned char *to, size_t len)
{
    return ssl ? SSL_read(ssl, to, (int)len) : recv(fd, to, len, 0);
}

/* False: the other side has ended the connection. */
static bool echo(size_t len)
{
    static unsigned char sent[LARGEST], back[LARGEST];
    long n;
    for (size_t i = 0; i < len; i++)
        sent[i] = (unsigned char)(i * 31 + len);
    for (size_t at = 0; at < len; at += (size_t)n)
        if ((n = give(sent + at, len - at)) <= 0) return false;
    for (size_t at = 0; at < len; at += (size_t)n)
        if ((n = take(back + at, len - at)) <= 0) return false;
    if (memcmp(sent, back, len) != 0) {
        fputs("client: the echo differs\n", stderr);
        exit(EXIT_FAILURE);
    }
    return true;
}

int main(int argc, char **argv)
{
    struct timeval limit = { .tv_sec = 30 };
    bool is_tls = argc > 1 && strcmp(argv[1], "tls") == 0;
    bool well = true;

    if (argc == 5)
        connect_inet(argv[2], argv[3], argv[4]);
    else if (argc == 3)
        connect_unix(argv[2]);
    else
        return EXIT_FAILURE;
    if (fflush(stdout) != 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR
        || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0
        || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0)
        die("client");
    if (is_tls) well = start_tls();
    for (size_t len = 1; well && len <= LARGEST; len *= 4)
        well = echo(len);
    if (ssl) {
        if (well) SSL_shutdown(ssl);
        SSL_free(ssl);
    }
    close(fd);
    return well ? EXIT_SUCCESS : REFUSED;
}
