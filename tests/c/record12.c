#define _GNU_SOURCE
#include "record12.h"

#include "check.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <string.h>

enum { RANDOM = 32, NONCE = 8, TAG = 16, HEADER = 5, AAD = 13 };

/* The key block: two keys and two salts, the client's first (RFC 5246, 6.3). */
static void derive(SSL *ssl, unsigned char *block, size_t len)
{
    unsigned char master[48], randoms[2 * RANDOM];
    char label[] = "key expansion", digest[] = "SHA256";
    CHECK_EQ(SSL_SESSION_get_master_key(SSL_get_session(ssl), master, sizeof master), sizeof master);
    CHECK_EQ(SSL_get_server_random(ssl, randoms, RANDOM), RANDOM);
    CHECK_EQ(SSL_get_client_random(ssl, randoms + RANDOM, RANDOM), RANDOM);
    OSSL_PARAM settings[] = {
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SECRET, master, sizeof master),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SEED, label, sizeof label - 1),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SEED, randoms, sizeof randoms), OSSL_PARAM_END,
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS1-PRF", NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    CHECK_EQ(EVP_KDF_derive(ctx, block, len, settings), 1);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}

void record12_take_over(struct record12 *r, SSL *ssl)
{
    unsigned char block[40];
    CHECK_EQ(SSL_CIPHER_get_cipher_nid(SSL_get_current_cipher(ssl)), NID_aes_128_gcm);
    derive(ssl, block, sizeof block);
    memcpy(r->key, block, sizeof r->key);
    memcpy(r->salt, block + 32, sizeof r->salt);
    r->sequence = 1; /* the client's Finished was the first under these keys */
}

static void put(unsigned char *to, uint64_t number, int len)
{
    for (int i = len; i-- > 0; number >>= 8) to[i] = (unsigned char)number;
}

size_t record12_seal(struct record12 *r, int type, const void *content, size_t len, unsigned char *out)
{
    unsigned char aad[AAD], nonce[sizeof r->salt + NONCE];
    int n = 0;
    put(aad, r->sequence, 8);
    put(aad + 8, (uint64_t)type, 1);
    put(aad + 9, TLS1_2_VERSION, 2);
    put(aad + 11, len, 2);
    memcpy(nonce, r->salt, sizeof r->salt);
    put(nonce + sizeof r->salt, r->sequence, NONCE);
    r->sequence++;

    memcpy(out, aad + 8, 3);
    put(out + 3, NONCE + len + TAG, 2);
    memcpy(out + HEADER, nonce + sizeof r->salt, NONCE);
    unsigned char *body = out + HEADER + NONCE;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    CHECK(EVP_EncryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, r->key, nonce) == 1);
    CHECK(EVP_EncryptUpdate(ctx, NULL, &n, aad, sizeof aad) == 1);
    if (len > 0) CHECK(EVP_EncryptUpdate(ctx, body, &n, content, (int)len) == 1);
    CHECK(EVP_EncryptFinal_ex(ctx, body + len, &n) == 1);
    CHECK(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG, body + len) == 1);
    EVP_CIPHER_CTX_free(ctx);
    return HEADER + NONCE + len + TAG;
}
