/*
 * Peers that know nothing of tlsloop: sockets, and OpenSSL over memory.
 *
 * OpenSSL never touches the socket here. A peer reads and writes it itself, so a case can cut a
 * flight at any byte, send several records as one packet, or leave between any two bytes. Nothing
 * here raises SIGPIPE, so a SIGPIPE in a test is tlsloop's. A wait ends after a generous limit.
 */
#ifndef PEER_H
#define PEER_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

/* What a receiving call answers when there are no bytes. */
enum {
    PEER_CLEAN = 0,    /* close_notify */
    PEER_FIN = -1,     /* the end without close_notify; of a plain socket: the end */
    PEER_RESET = -2,
    PEER_FAILED = -3,  /* a TLS error, or an alert */
    PEER_SILENT = -4,  /* nothing within the limit */
};

/* Plain sockets. */
int tcp_connect(int port);
int tcp_try_connect(int port);              /* -1: nobody listens */
int tcp_connect_small(int port, int bytes); /* with a receive buffer of about so many bytes */
int tcp_listen(int *port);                  /* on 127.0.0.1, any port */
int tcp_listen_on(const char *host, int *port); /* on one of IPv4 */
int tcp_listen_small(int *port); /* what is accepted there has as little room both ways as the kernel gives */
void tcp_limits(int fd);                    /* no delay; waits end */
bool tcp_send(int fd, const void *data, size_t len); /* all of it; false: the peer is gone */
long tcp_recv(int fd, void *buf, size_t len);        /* bytes, or PEER_… */
void tcp_fin(int fd);                       /* ends this direction */
void tcp_reset(int fd);                     /* RST, and closes */
long tcp_until_end(int fd);                 /* reads and drops; the PEER_… it ended with */

/* TLS. */
struct peer_options {
    SSL_CTX *context;        /* NULL: peer_context(); the peer takes no reference */
    int version;             /* 0: any; TLS1_2_VERSION, TLS1_3_VERSION */
    const char *server_name; /* NULL: none */
    int receive_buffer;      /* 0: the kernel's choice */
};

struct peer {
    int fd;
    SSL *ssl;
    BIO *in, *out;
};

SSL_CTX *peer_context(void); /* a client's that verifies nothing; made once */

struct peer peer_open(int port, struct peer_options options);    /* TCP only */
struct peer peer_over_socket(int fd);                            /* a client's side, connected */
struct peer peer_connect(int port);                              /* and the handshake, or the case ends */
struct peer peer_connect_with(int port, struct peer_options options);
struct peer peer_accepted(int fd, SSL_CTX *context);             /* the server's side */

bool peer_handshake(struct peer *p);  /* to its end; false: refused, reset or silent */
void peer_last_flight(struct peer *p); /* so far that what it keeps is the last of the handshake, or the case ends */
void peer_step(struct peer *p);       /* goes as far as it can with what has arrived */
size_t peer_take(struct peer *p, void *buf, size_t room); /* bytes that are to be sent, not sent */
long peer_fill(struct peer *p);       /* waits for bytes from the socket: their number, or PEER_… */
void peer_feed(struct peer *p, const void *data, size_t len); /* as if they had come from it */

void peer_seal(struct peer *p, const void *data, size_t len); /* encrypts, keeps */
void peer_seal_close_notify(struct peer *p);
bool peer_flush(struct peer *p);      /* sends what is kept, in one call; false: the peer is gone */

bool peer_send(struct peer *p, const void *data, size_t len);
long peer_recv(struct peer *p, void *buf, size_t len);       /* > 0, or PEER_… */
bool peer_recv_all(struct peer *p, void *buf, size_t len);   /* exactly so many */
bool peer_echo(struct peer *p, const char *text);            /* sends, receives, compares */
long peer_until_end(struct peer *p, unsigned long long *bytes); /* counts; the PEER_… it ended with */

bool peer_close_notify(struct peer *p);
void peer_leave(struct peer *p);      /* close_notify, close: a polite end */
void peer_close(struct peer *p);      /* close alone: a bare FIN if all was read */
void peer_reset(struct peer *p);

/* A whole ClientHello, and nothing sent. */
size_t peer_client_hello(void *buf, size_t room);

#endif
