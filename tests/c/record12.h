/*
 * Records of TLS 1.2 that OpenSSL would not write: after a handshake over AES-128-GCM, this seals records of any kind
 * in the client's name (RFC 5246, 6.3; RFC 5288).
 */
#ifndef RECORD12_H
#define RECORD12_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>

enum { RECORD12_HANDSHAKE = 22, RECORD12_DATA = 23 };

struct record12 {
    unsigned char key[16], salt[4];
    uint64_t sequence;
};

/* From now on records are sealed here, and not by OpenSSL. */
void record12_take_over(struct record12 *r, SSL *ssl);

/* Writes one record; how long it is, 29 bytes more than its content. */
size_t record12_seal(struct record12 *r, int type, const void *content, size_t len, unsigned char *out);

#endif
