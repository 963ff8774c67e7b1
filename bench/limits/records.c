#include "limits.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

enum { BATCHES = 9, LARGEST = 16384 };

struct direction_times {
    double read[BATCHES], write[BATCHES];
};

/* One record to the server and back, "count" times; the server's calls alone are timed. */
static void echo(struct pair *p, int size, int count, double *read, double *write)
{
    static char out[LARGEST], in[LARGEST];
    double reading = 0, writing = 0;
    for (int i = 0; i < count; i++) {
        CHECK(SSL_write(p->client, out, size) == size);
        double start = microseconds();
        CHECK(SSL_read(p->server, in, sizeof in) == size);
        double middle = microseconds();
        CHECK(SSL_write(p->server, in, size) == size);
        double end = microseconds();
        CHECK(SSL_read(p->client, in, sizeof in) == size);
        reading += middle - start;
        writing += end - middle;
    }
    *read = reading / count;
    *write = writing / count;
}

static void report(struct pair_settings settings, const char *suite, int size)
{
    struct direction_times times;
    settings.suite = suite;
    SSL_CTX *server = pair_server_context(&settings), *client = pair_client_context(&settings);
    struct pair p = pair_connect(client, server, NULL);
    for (int i = 0; i < BATCHES; i++)
        echo(&p, size, size > 1024 ? 2000 : 20000, &times.read[i], &times.write[i]);
    printf("{\"limit\":\"record\",\"library\":\"%s\",\"suite\":\"%s\",\"size\":%d,\"read_us\":%.3f,\"write_us\":%.3f,",
           OpenSSL_version(OPENSSL_VERSION), suite, size, median(times.read, BATCHES), median(times.write, BATCHES));
    printf("\"read_low_us\":%.3f,\"write_low_us\":%.3f}\n", low_decile(times.read, BATCHES),
           low_decile(times.write, BATCHES));
    fflush(stdout);
    pair_free(&p);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}

void limit_records(const struct pair_settings *settings)
{
    static const char *const suites[] = {"TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256",
                                         "TLS_CHACHA20_POLY1305_SHA256"};
    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
        report(*settings, suites[i], 64);
        report(*settings, suites[i], 1024);
        report(*settings, suites[i], LARGEST);
    }
}
