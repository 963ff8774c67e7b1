#include "limits.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

enum { HANDSHAKES = 1500, CALIBRATION = 400 };

/* The server's time of "count" handshakes, each in microseconds; returns how many were resumed. */
static int shake_hands(const struct pair_settings *settings, double *times, int count)
{
    SSL_CTX *server = pair_server_context(settings), *client = pair_client_context(settings);
    SSL_SESSION *session = NULL;
    int resumed = 0;

    if (settings->resume) {
        struct pair first = pair_connect(client, server, NULL);
        pair_free(&first);
        session = pair_take_session();
        CHECK(session != NULL);
    }
    for (int i = 0; i < count; i++) {
        struct pair p = pair_connect(client, server, session);
        SSL_SESSION *next = pair_take_session();
        times[i] = p.handshake;
        resumed += SSL_session_reused(p.server);
        pair_free(&p);
        if (next == NULL) continue; /* without a new ticket the old one serves again */
        SSL_SESSION_free(session);
        session = next;
    }
    SSL_SESSION_free(session);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    return resumed;
}

void limit_calibrate(const struct pair_settings *settings)
{
    double times[CALIBRATION];
    struct pair_settings calibration = *settings;
    calibration.groups = "X25519";
    shake_hands(&calibration, times, CALIBRATION);
    /* The first half only wakes the processor up. */
    printf("{\"limit\":\"calibration\",\"us\":%.2f}\n", low_decile(times + CALIBRATION / 2, CALIBRATION / 2));
}

static void report(const char *name, struct pair_settings settings)
{
    static double times[HANDSHAKES];
    int resumed = shake_hands(&settings, times, HANDSHAKES);
    printf("{\"limit\":\"handshake\",\"library\":\"%s\",\"case\":\"%s\",\"us\":%.1f,\"low_us\":%.1f,\"resumed\":%d}\n",
           OpenSSL_version(OPENSSL_VERSION), name, median(times, HANDSHAKES), low_decile(times, HANDSHAKES), resumed);
    fflush(stdout);
}

void limit_handshakes(const struct pair_settings *ecdsa, const struct pair_settings *rsa)
{
    struct pair_settings s = *ecdsa;
    s.groups = "X25519";
    report("full, two tickets", s);
    s.tickets = 1;
    report("full, one ticket", s);
    s.tickets = 0;
    report("full, no ticket", s);
    s.tickets = 1;
    s.suite = "TLS_AES_128_GCM_SHA256";
    report("full, one ticket, AES-128", s);
    s.resume = 1;
    report("resumed, one ticket, AES-128", s);
    s.suite = NULL;
    report("resumed, one ticket", s);
    s.groups = "P-256";
    s.resume = 0;
    report("full, one ticket, P-256 exchange", s);
    s.groups = "X25519:P-256"; /* in TLS 1.2 the curve of the certificate has to be among them */
    s.tls12 = 1;
    report("TLS 1.2, full", s);
    s = *rsa;
    s.groups = "X25519";
    s.tickets = 1;
    report("full, one ticket, RSA-2048", s);
}
