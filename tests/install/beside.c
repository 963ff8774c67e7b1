/*
 * A program that speaks TLS by the system's OpenSSL, of whatever release since 1.1.1, and by tlsloop: it asks its own
 * server. Prints both versions. If tlsloop holds an OpenSSL of its own, the two meet in one process.
 */
#include <tlsloop.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    (void)user;
    if (tlsloop_conn_send(conn, data, len) != TLSLOOP_OK) tlsloop_conn_abort(conn);
}

static int complain(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, tlsloop_last_error());
    return 1;
}

static int complain_of_openssl(const char *what)
{
    fprintf(stderr, "%s: ", what);
    ERR_print_errors_fp(stderr);
    return 1;
}

static int ask(int port, SSL *ssl)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char answer[16] = "";
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) return perror("connect"), 1;
    if (SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1) return complain_of_openssl("connect");
    if (SSL_write(ssl, "hello", 5) != 5) return complain_of_openssl("write");
    if (SSL_read(ssl, answer, sizeof answer - 1) != 5) return complain_of_openssl("read");
    if (strcmp(answer, "hello") != 0) return fprintf(stderr, "the answer is \"%s\"\n", answer), 1;
    if (SSL_shutdown(ssl) < 0) return complain_of_openssl("shutdown");
    return close(fd);
}

int main(void)
{
    tlsloop_callbacks callbacks = {.size = sizeof callbacks, .on_data = on_data};
    tlsloop_server_config config = {.size = sizeof config, .address = "127.0.0.1", .callbacks = &callbacks};
    tlsloop_server *server = NULL;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    int failed = 0, i;
    config.tls = tlsloop_tls_new();
    if (!ctx) return complain_of_openssl("context");
    if (tlsloop_tls_add_self_signed(config.tls, "localhost") != TLSLOOP_OK) return complain("certificate");
    if (tlsloop_server_start(&config, &server) != TLSLOOP_OK) return complain("start");
    for (i = 0; i < 20 && !failed; i++) {
        SSL *ssl = SSL_new(ctx);
        failed = !ssl || ask(tlsloop_server_port(server), ssl);
        SSL_free(ssl);
    }
    if (tlsloop_server_stop(server, 1000) != TLSLOOP_OK) return complain("stop");
    tlsloop_tls_free(config.tls);
    SSL_CTX_free(ctx);
    if (!failed) printf("tlsloop %s beside %s\n", tlsloop_version(), OpenSSL_version(OPENSSL_VERSION));
    return failed;
}
