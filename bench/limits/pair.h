/* A client and a server in one process, joined by memory BIOs: what TLS itself costs, without any socket. */
#ifndef BENCH_PAIR_H
#define BENCH_PAIR_H

#include <openssl/ssl.h>

#define CHECK(condition)                                                                                              \
    do {                                                                                                              \
        if (!(condition)) check_failed(#condition, __FILE__, __LINE__);                                               \
    } while (0)

struct pair_settings {
    const char *certificate, *key;
    const char *groups, *suite; /* NULL: the library's default */
    int tls12, resume;
    int tickets;                /* -1: the library's default */
    int keeps_buffers;          /* no SSL_MODE_RELEASE_BUFFERS */
};

struct pair {
    SSL *client, *server;
    BIO *to_server, *to_client;
    double handshake; /* microseconds in the server's calls */
};

void check_failed(const char *condition, const char *file, int line) __attribute__((noreturn));
double microseconds(void);
double median(double *values, int count);    /* sorts them */
double low_decile(double *values, int count); /* the same; what the machine does when nobody disturbs it */

SSL_CTX *pair_server_context(const struct pair_settings *settings);
SSL_CTX *pair_client_context(const struct pair_settings *settings);
/* Shakes hands; a session given is resumed. */
struct pair pair_connect(SSL_CTX *client, SSL_CTX *server, SSL_SESSION *session);
/* The newest session that a client received, once; NULL if there is none. */
SSL_SESSION *pair_take_session(void);
void pair_free(struct pair *pair);

#endif
