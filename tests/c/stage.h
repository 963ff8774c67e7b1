/*
 * Servers beyond the fixture's: any mode, on_tls, a unix socket, a listening socket of the host's, or
 * none at all.
 *
 * What stage_start gives is a fixture in every other respect: the same hooks, the same witness, ended
 * by fixture_stop. In MODE_PLAIN it gets no tlsloop_tls, unless the case brings one.
 */
#ifndef STAGE_H
#define STAGE_H

#include "fixture.h"

typedef void (*stage_hook)(struct fixture *f, tlsloop_conn conn);

/* The address is 127.0.0.1 where the configuration names neither one nor a socket. `on_tls` may be
 * NULL; the callback is noted as 't' in record.order. Up to 16 at a time, never freed. */
struct fixture *stage_start(struct options options, stage_hook on_tls);
extern const char stage_everywhere[]; /* as the address: NULL, and not 127.0.0.1 instead */

/* The same, where a start may fail: NULL, and nothing is left. The code is tlsloop_server_start's. */
struct fixture *stage_try_start(struct options options, stage_hook on_tls, int *code);

unsigned stage_tls_ups(struct fixture *f); /* how many on_tls there were */

/* Starts what cannot start: the code that tlsloop_server_start answers. */
int stage_refused(tlsloop_server_config config);

/* A policy with a certificate for localhost, made for it. The caller frees it. */
tlsloop_tls *stage_policy(void);

/* Hooks that many cases share. */
void stage_only_note(struct fixture *f, tlsloop_conn conn);
void stage_swallow(struct fixture *f, tlsloop_conn conn, const void *data, size_t len);

/* Waits for the end of the n-th connection, and gives its record. */
struct record stage_ended(struct fixture *f, unsigned n);

#endif
