#include "pair.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static SSL_SESSION *newest;

void check_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "limits: %s:%d: not so: %s\n", file, line, condition);
    ERR_print_errors_fp(stderr);
    exit(1);
}

double microseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    return values[count / 2];
}

double low_decile(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    return values[count / 10];
}

SSL_CTX *pair_server_context(const struct pair_settings *settings)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    CHECK(SSL_CTX_use_certificate_chain_file(context, settings->certificate) == 1);
    CHECK(SSL_CTX_use_PrivateKey_file(context, settings->key, SSL_FILETYPE_PEM) == 1);
    CHECK(SSL_CTX_set_session_id_context(context, (const unsigned char *)"limits", 6) == 1);
    if (settings->groups != NULL) CHECK(SSL_CTX_set1_groups_list(context, settings->groups) == 1);
    if (settings->tickets >= 0) CHECK(SSL_CTX_set_num_tickets(context, (size_t)settings->tickets) == 1);
    if (!settings->keeps_buffers) SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    return context;
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(newest);
    newest = session;
    return 1;
}

SSL_CTX *pair_client_context(const struct pair_settings *settings)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    if (settings->groups != NULL) CHECK(SSL_CTX_set1_groups_list(context, settings->groups) == 1);
    if (settings->suite != NULL) CHECK(SSL_CTX_set_ciphersuites(context, settings->suite) == 1);
    if (settings->tls12) CHECK(SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION) == 1);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    if (settings->resume) {
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(context, on_session);
    }
    return context;
}

SSL_SESSION *pair_take_session(void)
{
    SSL_SESSION *session = newest;
    newest = NULL;
    return session;
}

static void join(struct pair *p)
{
    p->to_server = BIO_new(BIO_s_mem());
    p->to_client = BIO_new(BIO_s_mem());
    BIO_up_ref(p->to_server);
    BIO_up_ref(p->to_client);
    SSL_set_bio(p->server, p->to_server, p->to_client);
    SSL_set_bio(p->client, p->to_client, p->to_server);
    SSL_set_accept_state(p->server);
    SSL_set_connect_state(p->client);
}

struct pair pair_connect(SSL_CTX *client, SSL_CTX *server, SSL_SESSION *session)
{
    struct pair p = {.client = SSL_new(client), .server = SSL_new(server)};
    int client_done = 0, server_done = 0;
    char none;

    join(&p);
    if (session != NULL) SSL_set_session(p.client, session);
    for (int i = 0; i < 20 && (!client_done || !server_done); i++) {
        if (!client_done) client_done = SSL_do_handshake(p.client) == 1;
        if (server_done) continue;
        double start = microseconds();
        server_done = SSL_do_handshake(p.server) == 1;
        p.handshake += microseconds() - start;
    }
    CHECK(client_done && server_done);
    SSL_read(p.client, &none, 1); /* takes in the tickets */
    ERR_clear_error();
    return p;
}

void pair_free(struct pair *pair)
{
    /* Without a shutdown SSL_free would mark the session as one that must not be resumed. */
    if (pair->server != NULL) SSL_set_shutdown(pair->server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    if (pair->client != NULL) SSL_set_shutdown(pair->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(pair->server);
    SSL_free(pair->client);
    memset(pair, 0, sizeof *pair);
}
