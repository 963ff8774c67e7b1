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

struct identity_spec {
    const char *names;              /* as X509V3 writes them: "DNS:localhost,IP:127.0.0.1" */
    const struct identity *issuer;  /* NULL: signs itself */
    const char *password;           /* NULL: the key file is not encrypted */
    int expired;                    /* it was valid once */
};

/* ECDSA on P-256. Ends the case if OpenSSL refuses. */
struct identity keys_make(struct identity_spec spec);

/* An identity for localhost and 127.0.0.1, signed by itself. */
struct identity keys_local(void);

/* A file in the directory, with this content; the path is kept for the next 64 calls. */
const char *keys_file(const char *name, const void *content, unsigned long len);

/* The directory itself. */
const char *keys_dir(void);

#endif
