#define _GNU_SOURCE
#include "peer_server.h"

#include "check.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct peer_server {
    struct peer_server_options options;
    int fd, port;
    SSL_CTX *context;
    pthread_t thread;
};

static SSL_CTX *make_context(const struct peer_server_options *options)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    CHECK(ctx != NULL);
    CHECK(SSL_CTX_use_certificate_chain_file(ctx, options->identity->chain) == 1);
    CHECK(SSL_CTX_use_PrivateKey_file(ctx, options->identity->key, SSL_FILETYPE_PEM) == 1);
    if (options->version) {
        CHECK(SSL_CTX_set_min_proto_version(ctx, options->version) == 1);
        CHECK(SSL_CTX_set_max_proto_version(ctx, options->version) == 1);
    }
    if (options->asks_for_certificate)
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return ctx;
}

static void *run(void *arg)
{
    struct peer_server *server = arg;
    for (;;) {
        int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) return NULL;
        struct peer p = peer_accepted(fd, server->context);
        if (peer_handshake(&p)) server->options.serve(&p, server->options.arg);
        if (p.fd >= 0) peer_close(&p);
    }
}

struct peer_server *peer_server_start(struct peer_server_options options)
{
    struct peer_server *server = calloc(1, sizeof *server);
    CHECK(server != NULL);
    server->options = options;
    server->context = make_context(&options);
    server->fd = tcp_listen(&server->port);
    CHECK(pthread_create(&server->thread, NULL, run, server) == 0);
    return server;
}

int peer_server_port(const struct peer_server *server)
{
    return server->port;
}

void peer_server_stop(struct peer_server *server)
{
    shutdown(server->fd, SHUT_RDWR); /* wakes accept, which close alone does not */
    CHECK(pthread_join(server->thread, NULL) == 0);
    close(server->fd);
    SSL_CTX_free(server->context);
    free(server);
}
