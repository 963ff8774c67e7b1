/* Peers that come from elsewhere than 127.0.0.1 over TCP: other addresses, unix sockets, no network. */
#ifndef DIAL_H
#define DIAL_H

#include "peer.h"

int dial_from(const char *address, int port); /* 127.0.0.x, to 127.0.0.1 */
int dial_six(int port);                       /* to ::1; -1: nobody listens there, or no IPv6 */
int dial_unix(const char *path);
int dial_unix_try(const char *path); /* -1: nobody listens there */
void dial_pair(int ends[2]);         /* a stream socketpair, waits limited on the first end */

/* A TCP connection that was accepted: ends[0] is the peer's, ends[1] the host's, as accept(2) gives it. */
void dial_accepted(int ends[2]);

/* Waits on the socket end after a generous limit; unlike tcp_limits also where it is not TCP. */
void dial_limits(int fd);

/* A TLS client over the connected socket, with the handshake done, or the case ends. */
struct peer dial_tls(int fd);

/* Exactly `text` arrives, as it is. */
bool dial_expect(int fd, const char *text);

/* "127.0.0.1:4711" of this end, as a server names its peer. */
void dial_name(int fd, char *text, size_t room);

#endif
