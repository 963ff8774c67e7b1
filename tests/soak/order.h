/*
 * What visitors (visitors.c) ask of the server (server.c): the first bytes of each connection. The bytes behind them
 * are the connection's own pattern, from the same position on, and all is echoed.
 */
#ifndef SOAK_ORDER_H
#define SOAK_ORDER_H

#include <stdint.h>

/* How the connection ends; whoever is named does it. */
enum way { BY_PEER, BY_HOST, BY_FIN, BY_RESET, BY_PROTOCOL, BY_IDLENESS, BY_ABORT, BY_HANDSHAKE, WAYS };

struct order {
    char mark[2];   /* "SK" */
    uint8_t way;    /* what the server does when it has everything */
    uint8_t unused;
    uint32_t total; /* bytes, these included; 0: no end */
    uint64_t id;
};

_Static_assert(sizeof(struct order) == 16, "as it is on the wire");

#endif
