/*
 * A client that comes back: it connects again and again, each time with the session that it was given last.
 *
 *   client tls1_2|tls1_3 PORT TIMES SESSION
 *
 * SESSION is a file with the session to begin with, if it is there, and gets the last one. On each connection one
 * message must come back. It says "TIMES handshakes N resumed", and ends with 0 if every connection served it.
 * TLS is OpenSSL's own, and verifies nothing: who is at the other end is not the question here.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static SSL_SESSION *session; /* of the last connection; NULL: there was none */

static void die(const char *what)
{
    perror(what);
    ERR_print_errors_fp(stderr);
    exit(EXIT_FAILURE);
}

static SSL_CTX *context(const char *version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    int number = strcmp(version, "tls1_2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, number) != 1
        || SSL_CTX_set_max_proto_version(ctx, number) != 1)
        die("SSL_CTX_new");
    return ctx;
}

static int connect_to(const char *port)
{
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
    struct timeval limit = { .tv_sec = 30 };
    int yes = 1; /* or the message waits until the end of the handshake is acknowledged */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) != 0
        || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0
        || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0
        || connect(fd, (struct sockaddr *)&name, sizeof name) != 0)
        die("connect");
    return fd;
}

/* One connection from its beginning to its end; whether it was a resumed one. */
static int visit(SSL_CTX *ctx, const char *port)
{
    static const char message[] = "here I am again";
    char back[sizeof message];
    int fd = connect_to(port), resumed;
    SSL *ssl = SSL_new(ctx);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || SSL_set_tlsext_host_name(ssl, "localhost") != 1
        || (session != NULL && SSL_set_session(ssl, session) != 1) || SSL_connect(ssl) != 1)
        die("handshake");
    resumed = SSL_session_reused(ssl);
    if (SSL_write(ssl, message, sizeof message) != sizeof message) die("write");
    for (size_t at = 0; at < sizeof back;) {
        int n = SSL_read(ssl, back + at, (int)(sizeof back - at));
        if (n <= 0) die("read");
        at += (size_t)n;
    }
    if (memcmp(message, back, sizeof back) != 0) die("the echo differs");
    if (SSL_shutdown(ssl) < 0) die("close_notify");
    SSL_SESSION_free(session);
    session = SSL_get1_session(ssl); /* with the ticket that has come meanwhile, if one has */
    SSL_free(ssl);
    close(fd);
    return resumed;
}

int main(int argc, char **argv)
{
    SSL_CTX *ctx;
    FILE *file;
    int resumed = 0, times;

    if (argc != 5 || signal(SIGPIPE, SIG_IGN) == SIG_ERR) return EXIT_FAILURE;
    ctx = context(argv[1]);
    times = atoi(argv[3]);
    if ((file = fopen(argv[4], "r")) != NULL) {
        session = PEM_read_SSL_SESSION(file, NULL, NULL, NULL);
        if (session == NULL || fclose(file) != 0) die(argv[4]);
    }
    for (int i = 0; i < times; i++)
        resumed += visit(ctx, argv[2]);
    file = fopen(argv[4], "w");
    if (session == NULL || file == NULL || PEM_write_SSL_SESSION(file, session) != 1 || fclose(file) != 0) die(argv[4]);
    printf("%d handshakes %d resumed\n", times, resumed);
    SSL_SESSION_free(session);
    SSL_CTX_free(ctx);
    return EXIT_SUCCESS;
}
