/*
 * Keys and certificates made for the run, by OpenSSL alone, in a directory of their own that is
 * removed when the program ends.
 */
#ifndef KEYS_H
#define KEYS_H

struct identity {
    char chain[160], key[160]; /* PEM files */
    char sha256[65];           /* of the certificate as DER, in lower-case hex */
};

enum keys_kind {
    KEYS_EC,       /* ECDSA on P-256 */
    KEYS_RSA,      /* 2048 bits; all identities of a program share one, for it takes its time */
    KEYS_ED25519,
    KEYS_RSA_WEAK, /* 1024 bits */
};

struct identity_spec {
    const char *names;              /* as X509V3 writes them: "DNS:localhost,IP:127.0.0.1" */
    const struct identity *issuer;  /* NULL: signs itself */
    const char *password;           /* NULL: the key file is not encrypted */
    int expired;                    /* it was valid once */
    enum keys_kind kind;
    const char *common_name;        /* NULL: one that nobody else has */
    const char *usage;              /* of the extended kind: "clientAuth"; NULL: any */
    int may_issue;                  /* though it is signed by another */
    int with_issuers;               /* the issuer's chain file stands behind the certificate */
    int not_yet;                    /* it will be valid one day */
    int old_format;                 /* of the key file: not PKCS #8 */
};

/* Ends the case if OpenSSL refuses. */
struct identity keys_make(struct identity_spec spec);

/* An identity for localhost and 127.0.0.1, signed by itself. */
struct identity keys_local(void);

/* A file in the directory, with this content; the path is kept for the next 64 calls. */
const char *keys_file(const char *name, const void *content, unsigned long len);

/* A key file of X25519, which cannot sign. */
const char *keys_x25519(void);

/* What a file holds, and how much; it must fit. */
unsigned long keys_read(const char *path, void *content, unsigned long room);

/* The first certificate of a file as DER. */
unsigned long keys_der(const struct identity *who, unsigned char *der, unsigned long room);

/* The directory itself. */
const char *keys_dir(void);

/* Of keys_lists.c: a PEM file with the issuer's revocation list; `revoked` NULL: nobody is on it.
 * An old one should have been renewed yesterday. Paths as those of keys_file. */
const char *keys_crl(const struct identity *issuer, const struct identity *revoked, int is_old);

enum keys_ocsp {
    OCSP_GOOD,    /* for another day */
    OCSP_ENDLESS, /* names no end */
    OCSP_OLD,     /* until yesterday */
    OCSP_LATER,   /* "try later": no answer at all */
};

/* A DER file with what the issuer's responder says about a certificate of its own. */
const char *keys_ocsp(const struct identity *issuer, const struct identity *about, enum keys_ocsp what);

/* Of keys.c, for keys_lists.c. */
struct x509_st;
struct evp_pkey_st;
struct x509_st *keys_load_certificate(const char *path);
struct evp_pkey_st *keys_load_key(const char *path);

#endif
