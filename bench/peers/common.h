/* What the peers written in C have in common: they are called NAME PORT CERTIFICATE KEY and serve until killed. */
#ifndef BENCH_PEER_COMMON_H
#define BENCH_PEER_COMMON_H

#include <openssl/ssl.h>
#include <stdint.h>

enum { BACKLOG = 4096 };

/* Ends the program with a message if there are fewer arguments than that. */
uint16_t peer_port(int argc, char **argv, int arguments);
/* TLS 1.2 and newer, buffers released while idle, tickets: the settings that one would choose with any of them. */
SSL_CTX *peer_context(const char *certificate, const char *key);
/* Non-blocking, on every address. */
int peer_listen(uint16_t port);
/* The next connection, non-blocking and without Nagle's delay; -1 if there is none. */
int peer_accept(int listener);

#endif
