/* The client's side of TLS, the same for every connection. */
#ifndef BENCH_TLS_H
#define BENCH_TLS_H

#include "worker.h"

struct negotiated {
    char version[16], suite[64], group[32];
};

extern struct negotiated negotiated; /* by the first connection */

void tls_prepare(void);
SSL *tls_client(struct connection *c);
void tls_note_negotiated(SSL *ssl);
/* A ClientHello that can be sent again and again: the peer computes, this side does not. Returns its length. */
int tls_hello(const unsigned char **hello);

#endif
