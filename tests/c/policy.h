/* What the tests of TLS policy share: policies, servers with them, and what these servers say. */
#ifndef POLICY_H
#define POLICY_H

#include "fixture.h"
#include "keys.h"

tlsloop_tls *policy_new(void);
tlsloop_tls *policy_of(const struct identity *who);      /* with its certificate */
tlsloop_tls *policy_trusting(const struct identity *ca); /* and nothing else */

/* A server with the policy, which it takes over; what it logs is kept. */
struct fixture *policy_serve(tlsloop_tls *tls);
struct fixture *policy_serve_with(tlsloop_tls *tls, struct options options);

/* Gives a server this policy for new handshakes, and takes it over. */
void policy_reload(struct fixture *f, tlsloop_tls *tls);

/* What the server knows of its n-th connection, which must be open. */
tlsloop_info policy_info(struct fixture *f, unsigned n);

/* Waits until n + 1 handshakes have failed, and gives the last: its code, and the reason that the host was told. */
struct record policy_failure(struct fixture *f, unsigned n);

/* Whether the library has AWS-LC inside (feature aws-lc). What differs then, the README names. */
bool policy_on_aws_lc(void);

/* Whether a line of the logs of this program's servers has the part. */
bool policy_logged(const char *part);
void policy_forget_log(void);

#endif
