/* One conversation begun by tlsloop itself, by the blocking client or by a server that connects: one story twice. */
#ifndef OUTGOING_H
#define OUTGOING_H

#include "fixture.h"

enum outgoing_door { BY_CLIENT, BY_SERVER };

struct outgoing {
    enum outgoing_door door;
    const char *host;        /* NULL: 127.0.0.1 */
    const char *server_name; /* NULL: as host */
    int port;
    tlsloop_tls *tls;        /* NULL: the system's trust; the caller keeps it */
};

struct outcome {
    int code;         /* TLSLOOP_OK: something was sent, and came back */
    tlsloop_info info;
    char why[512];    /* of what went wrong: the sentence */
};

/* Connects, says something, waits for the echo, leaves. By BY_SERVER it starts a server without a listener for it. */
struct outcome outgoing_talk(struct outgoing o);

/* The same, and the case ends unless it went well or was refused with these. */
tlsloop_info outgoing_welcome(struct outgoing o);
void outgoing_refused(struct outgoing o, int code, const char *why);

#endif
