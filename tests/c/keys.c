#define _GNU_SOURCE
#include "keys.h"

#include "check.h"

#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64];
static pid_t owner; /* forked children share the directory and must not remove it */

static void remove_directory(void)
{
    if (getpid() != owner) return;
    DIR *dir = opendir(directory);
    if (!dir) return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.') unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    rmdir(directory);
}

const char *keys_dir(void)
{
    if (directory[0] == 0) {
        strcpy(directory, "/tmp/tlsloop-test-XXXXXX");
        CHECK(mkdtemp(directory) != NULL);
        owner = getpid();
        atexit(remove_directory);
    }
    return directory;
}

const char *keys_file(const char *name, const void *content, unsigned long len)
{
    static char paths[64][160];
    static unsigned n;
    char *path = paths[n++ % 64];
    CHECK(snprintf(path, sizeof *paths, "%s/%s", keys_dir(), name) < (int)sizeof *paths);
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL);
    CHECK(len == 0 || fwrite(content, len, 1, file) == 1);
    CHECK(fclose(file) == 0);
    return path;
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    CHECK(extension != NULL);
    CHECK(X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

X509 *keys_load_certificate(const char *path)
{
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    X509 *cert = PEM_read_X509(file, NULL, NULL, NULL);
    CHECK(cert != NULL);
    fclose(file);
    return cert;
}

EVP_PKEY *keys_load_key(const char *path)
{
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    CHECK(key != NULL);
    fclose(file);
    return key;
}

static EVP_PKEY *shared_rsa;

static void free_shared_rsa(void)
{
    EVP_PKEY_free(shared_rsa);
}

static EVP_PKEY *rsa_key(void)
{
    if (!shared_rsa) {
        shared_rsa = EVP_RSA_gen(2048);
        CHECK(shared_rsa != NULL && atexit(free_shared_rsa) == 0);
    }
    CHECK(EVP_PKEY_up_ref(shared_rsa) == 1);
    return shared_rsa;
}

static EVP_PKEY *key_of(enum keys_kind kind)
{
    switch (kind) {
    case KEYS_RSA: return rsa_key();
    case KEYS_RSA_WEAK: return EVP_RSA_gen(1024);
    case KEYS_ED25519: return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    case KEYS_EC: break;
    }
    return EVP_EC_gen("P-256");
}

static X509 *certificate_for(const struct identity_spec *spec, EVP_PKEY *key, unsigned serial)
{
    const long day = 24 * 3600;
    char own[32];
    snprintf(own, sizeof own, "tlsloop test %u", serial);
    const char *name = spec->common_name ? spec->common_name : own;
    X509 *cert = X509_new();
    CHECK(cert != NULL && X509_set_version(cert, 2) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), (long)serial);
    X509_gmtime_adj(X509_getm_notBefore(cert), spec->not_yet ? day : -30 * day);
    X509_gmtime_adj(X509_getm_notAfter(cert), spec->expired ? -day : 30 * day);
    CHECK(X509_set_pubkey(cert, key) == 1);
    X509_NAME *subject = X509_get_subject_name(cert);
    CHECK(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (unsigned char *)name, -1, -1, 0));
    return cert;
}

static void sign(X509 *cert, const struct identity_spec *spec, EVP_PKEY *key)
{
    X509 *issuer = spec->issuer ? keys_load_certificate(spec->issuer->chain) : cert;
    EVP_PKEY *issuer_key = spec->issuer ? keys_load_key(spec->issuer->key) : key;
    CHECK(X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1);
    if (!spec->issuer || spec->may_issue)
        add_extension(cert, issuer, NID_basic_constraints, "critical,CA:TRUE");
    if (spec->usage) add_extension(cert, issuer, NID_ext_key_usage, spec->usage);
    if (spec->names) add_extension(cert, issuer, NID_subject_alt_name, spec->names);
    CHECK(X509_sign(cert, issuer_key, EVP_PKEY_is_a(issuer_key, "ED25519") ? NULL : EVP_sha256()) > 0);
    if (!spec->issuer) return;
    X509_free(issuer);
    EVP_PKEY_free(issuer_key);
}

static void write_key(const struct identity *made, EVP_PKEY *key, const struct identity_spec *spec)
{
    const EVP_CIPHER *cipher = spec->password ? EVP_aes_256_cbc() : NULL;
    const unsigned char *password = (const unsigned char *)spec->password;
    int len = password ? (int)strlen(spec->password) : 0;
    BIO *file = BIO_new_file(made->key, "w");
    CHECK(file != NULL);
    if (spec->old_format)
        CHECK(PEM_write_bio_PrivateKey_traditional(file, key, cipher, password, len, NULL, NULL) == 1);
    else
        CHECK(PEM_write_bio_PrivateKey(file, key, cipher, password, len, NULL, NULL) == 1);
    CHECK(BIO_free(file) == 1);
}

static void write_chain(const struct identity *made, X509 *cert, const struct identity_spec *spec)
{
    char issuers[16384];
    FILE *file = fopen(made->chain, "w");
    CHECK(file != NULL && PEM_write_X509(file, cert) == 1);
    if (spec->with_issuers) {
        unsigned long len = keys_read(spec->issuer->chain, issuers, sizeof issuers);
        CHECK(fwrite(issuers, len, 1, file) == 1);
    }
    CHECK(fclose(file) == 0);
}

struct identity keys_make(struct identity_spec spec)
{
    static unsigned serial;
    struct identity made;
    serial++;
    snprintf(made.chain, sizeof made.chain, "%s/%u.crt", keys_dir(), serial);
    snprintf(made.key, sizeof made.key, "%s/%u.key", keys_dir(), serial);
    EVP_PKEY *key = key_of(spec.kind);
    CHECK(key != NULL);
    X509 *cert = certificate_for(&spec, key, serial);
    sign(cert, &spec, key);
    write_chain(&made, cert, &spec);
    write_key(&made, key, &spec);

    unsigned char digest[32];
    CHECK(X509_digest(cert, EVP_sha256(), digest, NULL) == 1);
    for (int i = 0; i < 32; i++) snprintf(made.sha256 + 2 * i, 3, "%02x", digest[i]);
    X509_free(cert);
    EVP_PKEY_free(key);
    return made;
}

struct identity keys_local(void)
{
    return keys_make((struct identity_spec){ .names = "DNS:localhost,IP:127.0.0.1" });
}

unsigned long keys_read(const char *path, void *content, unsigned long room)
{
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL);
    unsigned long len = fread(content, 1, room, file);
    CHECK(len < room && fclose(file) == 0);
    return len;
}

unsigned long keys_der(const struct identity *who, unsigned char *der, unsigned long room)
{
    X509 *cert = keys_load_certificate(who->chain);
    int len = i2d_X509(cert, NULL);
    CHECK(len > 0 && (unsigned long)len <= room);
    i2d_X509(cert, &der);
    X509_free(cert);
    return (unsigned long)len;
}

const char *keys_x25519(void)
{
    const char *path = keys_file("x25519.key", NULL, 0);
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    FILE *file = fopen(path, "w");
    CHECK(key != NULL && file != NULL);
    CHECK(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1);
    CHECK(fclose(file) == 0);
    EVP_PKEY_free(key);
    return path;
}
