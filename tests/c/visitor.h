/*
 * OpenSSL's client with wishes of its own: what it takes, what it shows, what it resumes. It is a peer in
 * every other respect.
 */
#ifndef VISITOR_H
#define VISITOR_H

#include "keys.h"
#include "peer.h"

struct visitor {
    const char *server_name;      /* NULL: none */
    int version;                  /* 0: any */
    const char *signatures;       /* the ones it takes, as SSL_set1_sigalgs_list has them; NULL: all */
    const char *ciphers;          /* of TLS 1.2; NULL: OpenSSL's */
    const char *suites;           /* of TLS 1.3; NULL: OpenSSL's */
    const char *groups;           /* NULL: OpenSSL's */
    const char *protocols;        /* of ALPN, "h2,http/1.1"; NULL: none are offered */
    const struct identity *own;   /* its certificate; NULL: none */
    const struct identity *trust; /* NULL: it verifies nothing */
    SSL_SESSION *session;         /* to be resumed; NULL: none */
    bool wants_staple;            /* an OCSP response */
};

/* The caller frees it. */
SSL_CTX *visitor_context(const struct visitor *v);

/* Connected over TCP, nothing said. */
struct peer visitor_open(int port, struct visitor v);

/* Up, or the case ends. What the server sends without being asked (a ticket) may not have been read. */
struct peer visitor_enter(int port, struct visitor v);

/* Up, and something was echoed, so that all of the handshake has been read. */
struct peer visitor_settle(int port, struct visitor v);

/* Comes and is not let in, or the case ends: the alert it hears, 0 if it hears none. */
int visitor_refused(int port, struct visitor v);

/* The alert that stands in this thread's error queue, after a call of a peer has failed; 0: none. */
int visitor_alert(void);

/* A visit to its good end: the session that could be resumed next. The caller frees it. */
SSL_SESSION *visitor_session(int port, struct visitor v);

/* Whether a visit with this session resumes it; a whole visit. */
bool visitor_resumes(int port, struct visitor v, SSL_SESSION *session);

/* CHECKs whose certificate the server has shown. */
#define CHECK_SHOWN(peer, identity) visitor_check_shown(__FILE__, __LINE__, peer, identity)
void visitor_check_shown(const char *file, int line, const struct peer *p, const struct identity *who);

#endif
