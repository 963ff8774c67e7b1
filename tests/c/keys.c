#define _GNU_SOURCE
#include "keys.h"

#include "check.h"

#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
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

static X509 *load_certificate(const char *path)
{
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    X509 *cert = PEM_read_X509(file, NULL, NULL, NULL);
    CHECK(cert != NULL);
    fclose(file);
    return cert;
}

static EVP_PKEY *load_key(const char *path)
{
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    CHECK(key != NULL);
    fclose(file);
    return key;
}

static X509 *certificate_for(const struct identity_spec *spec, EVP_PKEY *key, unsigned serial)
{
    const long day = 24 * 3600;
    char name[32];
    snprintf(name, sizeof name, "tlsloop test %u", serial);
    X509 *cert = X509_new();
    CHECK(cert != NULL && X509_set_version(cert, 2) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), (long)serial);
    X509_gmtime_adj(X509_getm_notBefore(cert), -30 * day);
    X509_gmtime_adj(X509_getm_notAfter(cert), spec->expired ? -day : 30 * day);
    CHECK(X509_set_pubkey(cert, key) == 1);
    X509_NAME *subject = X509_get_subject_name(cert);
    CHECK(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (unsigned char *)name, -1, -1, 0));
    return cert;
}

static void sign(X509 *cert, const struct identity_spec *spec, EVP_PKEY *key)
{
    X509 *issuer = spec->issuer ? load_certificate(spec->issuer->chain) : cert;
    EVP_PKEY *issuer_key = spec->issuer ? load_key(spec->issuer->key) : key;
    CHECK(X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1);
    if (!spec->issuer) add_extension(cert, issuer, NID_basic_constraints, "critical,CA:TRUE");
    if (spec->names) add_extension(cert, issuer, NID_subject_alt_name, spec->names);
    CHECK(X509_sign(cert, issuer_key, EVP_sha256()) > 0);
    if (!spec->issuer) return;
    X509_free(issuer);
    EVP_PKEY_free(issuer_key);
}

static void write_files(struct identity *made, X509 *cert, EVP_PKEY *key, const char *password)
{
    FILE *file = fopen(made->chain, "w");
    CHECK(file != NULL && PEM_write_X509(file, cert) == 1);
    CHECK(fclose(file) == 0);
    file = fopen(made->key, "w");
    CHECK(file != NULL);
    CHECK(PEM_write_PrivateKey(file, key, password ? EVP_aes_256_cbc() : NULL,
                               (const unsigned char *)password,
                               password ? (int)strlen(password) : 0, NULL, NULL) == 1);
    CHECK(fclose(file) == 0);
}

struct identity keys_make(struct identity_spec spec)
{
    static unsigned serial;
    struct identity made;
    serial++;
    snprintf(made.chain, sizeof made.chain, "%s/%u.crt", keys_dir(), serial);
    snprintf(made.key, sizeof made.key, "%s/%u.key", keys_dir(), serial);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    CHECK(key != NULL);
    X509 *cert = certificate_for(&spec, key, serial);
    sign(cert, &spec, key);
    write_files(&made, cert, key, spec.password);

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
