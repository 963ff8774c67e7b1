/* What an issuer says about its certificates later: revocation lists, and the answers of its OCSP responder. */
#define _GNU_SOURCE
#include "keys.h"

#include "check.h"

#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

enum { DAY = 24 * 3600 };

static unsigned lists; /* for the names of the files */

static void revoke(X509_CRL *crl, const struct identity *who)
{
    X509 *cert = keys_load_certificate(who->chain);
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_TIME *when = X509_gmtime_adj(NULL, -2 * DAY);
    CHECK(entry != NULL && when != NULL);
    CHECK(X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(cert)) == 1);
    CHECK(X509_REVOKED_set_revocationDate(entry, when) == 1);
    CHECK(X509_CRL_add0_revoked(crl, entry) == 1);
    ASN1_TIME_free(when);
    X509_free(cert);
}

static void set_dates(X509_CRL *crl, int is_old)
{
    ASN1_TIME *since = X509_gmtime_adj(NULL, -3 * DAY), *until = X509_gmtime_adj(NULL, is_old ? -DAY : DAY);
    CHECK(X509_CRL_set1_lastUpdate(crl, since) == 1 && X509_CRL_set1_nextUpdate(crl, until) == 1);
    ASN1_TIME_free(since);
    ASN1_TIME_free(until);
}

const char *keys_crl(const struct identity *issuer, const struct identity *revoked, int is_old)
{
    char name[32], *text;
    X509 *cert = keys_load_certificate(issuer->chain);
    EVP_PKEY *key = keys_load_key(issuer->key);
    X509_CRL *crl = X509_CRL_new();
    CHECK(crl != NULL && X509_CRL_set_version(crl, 1) == 1);
    CHECK(X509_CRL_set_issuer_name(crl, X509_get_subject_name(cert)) == 1);
    set_dates(crl, is_old);
    if (revoked) revoke(crl, revoked);
    CHECK(X509_CRL_sort(crl) == 1 && X509_CRL_sign(crl, key, EVP_sha256()) > 0);
    BIO *out = BIO_new(BIO_s_mem());
    CHECK(out != NULL && PEM_write_bio_X509_CRL(out, crl) == 1);
    snprintf(name, sizeof name, "%u.crl", ++lists);
    long len = BIO_get_mem_data(out, &text);
    const char *path = keys_file(name, text, (unsigned long)len);
    BIO_free(out);
    X509_CRL_free(crl);
    EVP_PKEY_free(key);
    X509_free(cert);
    return path;
}

static OCSP_BASICRESP *statement(X509 *issuer, EVP_PKEY *key, X509 *about, enum keys_ocsp what)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), about, issuer);
    ASN1_TIME *since = X509_gmtime_adj(NULL, -3 * DAY);
    ASN1_TIME *until = what == OCSP_ENDLESS ? NULL : X509_gmtime_adj(NULL, what == OCSP_OLD ? -DAY : DAY);
    CHECK(basic != NULL && id != NULL && since != NULL);
    CHECK(OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL, since, until) != NULL);
    CHECK(OCSP_basic_sign(basic, issuer, key, EVP_sha256(), NULL, 0) == 1);
    ASN1_TIME_free(since);
    ASN1_TIME_free(until);
    OCSP_CERTID_free(id);
    return basic;
}

const char *keys_ocsp(const struct identity *issuer, const struct identity *about, enum keys_ocsp what)
{
    char name[32];
    unsigned char *der = NULL;
    X509 *cert = keys_load_certificate(issuer->chain), *leaf = keys_load_certificate(about->chain);
    EVP_PKEY *key = keys_load_key(issuer->key);
    OCSP_BASICRESP *basic = what == OCSP_LATER ? NULL : statement(cert, key, leaf, what);
    int status = basic ? OCSP_RESPONSE_STATUS_SUCCESSFUL : OCSP_RESPONSE_STATUS_TRYLATER;
    OCSP_RESPONSE *response = OCSP_response_create(status, basic);
    CHECK(response != NULL);
    int len = i2d_OCSP_RESPONSE(response, &der);
    CHECK(len > 0);
    snprintf(name, sizeof name, "%u.ocsp", ++lists);
    const char *path = keys_file(name, der, (unsigned long)len);
    OPENSSL_free(der);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    EVP_PKEY_free(key);
    X509_free(leaf);
    X509_free(cert);
    return path;
}
