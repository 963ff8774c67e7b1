/*
 * What the programs here need of a main loop that is not tlsloop's: GLib's (glib.c) or libuv's (uv.c). The loop waits in
 * its own way and knows nothing of TLS; tlsloop is one descriptor in it.
 */
#ifndef LOOP_H
#define LOOP_H

struct watch; /* a descriptor in the loop */

void loop_begin(void);

/* Calls `ready` whenever the descriptor is readable, until it is taken out. */
struct watch *loop_watch(int fd, void (*ready)(void *arg), void *arg);
void loop_unwatch(struct watch *watch);

/* Runs until somebody quits, from inside the loop. May be run again. */
void loop_run(void);
void loop_quit(void);
void loop_end(void); /* nothing is watched any more */

#endif
