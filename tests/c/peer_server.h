/* A TLS server of OpenSSL alone, for the clients of tlsloop to meet. One connection at a time. */
#ifndef PEER_SERVER_H
#define PEER_SERVER_H

#include "keys.h"
#include "peer.h"

struct peer_server;

struct peer_server_options {
    const struct identity *identity;
    /* What happens after a handshake that went well; then the peer is closed, if it still is open. */
    void (*serve)(struct peer *p, void *arg);
    void *arg;
    int version;         /* 0: any */
    bool asks_for_certificate; /* and refuses a client without one */
};

struct peer_server *peer_server_start(struct peer_server_options options);
int peer_server_port(const struct peer_server *server);
void peer_server_stop(struct peer_server *server);

#endif
