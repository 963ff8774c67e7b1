/*
 * Ticket keys that a policy has made itself: "one encrypts for twelve hours and decrypts for a day". Those from files
 * stay until they are replaced. The clock of this program can be put forward.
 */
#define _GNU_SOURCE
#include "policy.h"
#include "visitor.h"

#include <openssl/rand.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* How far the clock that no wall shows is ahead, in hours. */
static atomic_long hours;

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int answer = (int)syscall(SYS_clock_gettime, clock, now);
    if (answer == 0 && clock == CLOCK_MONOTONIC) now->tv_sec += hours * 3600;
    return answer;
}

/* A session that was just made, and the name of the key that its ticket is sealed with. */
struct ticket {
    SSL_SESSION *session;
    unsigned char name[16];
};

static struct ticket ticket_of(SSL_SESSION *session)
{
    const unsigned char *bytes;
    size_t len;
    struct ticket ticket = { .session = session };
    SSL_SESSION_get0_ticket(session, &bytes, &len);
    CHECK(len > sizeof ticket.name);
    memcpy(ticket.name, bytes, sizeof ticket.name);
    return ticket;
}

static bool same_key(const struct ticket *a, const struct ticket *b)
{
    return memcmp(a->name, b->name, sizeof a->name) == 0;
}

static struct ticket renew(struct fixture *f, struct visitor v, const struct ticket *old)
{
    v.session = old->session;
    struct peer p = visitor_settle(f->port, v);
    CHECK_EQ(SSL_session_reused(p.ssl), 1);
    struct ticket renewed = ticket_of(SSL_get1_session(p.ssl));
    peer_leave(&p);
    return renewed;
}

static void nobody_is_there(struct fixture *f)
{
    EVENTUALLY_EQ(fixture_stats(f).open, 0);
}

static void a_day_in_the_life(int version)
{
    struct identity who = keys_local();
    struct fixture *f = policy_serve(policy_of(&who));
    struct visitor v = { .version = version };
    struct ticket first = ticket_of(visitor_session(f->port, v)), again = ticket_of(visitor_session(f->port, v));
    CHECK(same_key(&first, &again));
    nobody_is_there(f); /* whose deadlines the clock would bring */
    hours += 13;
    struct ticket second = renew(f, v, &first);
    CHECK(!same_key(&second, &first));
    nobody_is_there(f);
    hours += 13;
    CHECK(!visitor_resumes(f->port, v, first.session)); /* its key is gone */
    struct ticket third = renew(f, v, &second);
    CHECK(!same_key(&third, &second) && !same_key(&third, &first));
    nobody_is_there(f);
    hours += 25; /* nobody came for a day: what was left then is gone, too */
    CHECK(!visitor_resumes(f->port, v, third.session));
    SSL_SESSION_free(first.session);
    SSL_SESSION_free(again.session);
    SSL_SESSION_free(second.session);
    SSL_SESSION_free(third.session);
    fixture_stop(f);
}

static void random_keys_are_replaced(void)
{
    a_day_in_the_life(TLS1_2_VERSION);
    a_day_in_the_life(TLS1_3_VERSION);
}

/* What comes from files is for other processes, too. */
static void keys_from_files_stay(void)
{
    unsigned char key[80];
    struct identity who = keys_local();
    CHECK(RAND_bytes(key, sizeof key) == 1);
    const char *path = keys_file("ticket.key", key, sizeof key);
    tlsloop_tls *tls = policy_of(&who);
    CHECK_OK(tlsloop_tls_set_ticket_key_files(tls, &path, 1));
    struct fixture *f = policy_serve(tls);
    struct ticket first = ticket_of(visitor_session(f->port, (struct visitor){ 0 }));
    nobody_is_there(f);
    hours += 100;
    struct ticket second = renew(f, (struct visitor){ 0 }, &first);
    CHECK(same_key(&first, &second));
    SSL_SESSION_free(first.session);
    SSL_SESSION_free(second.session);
    fixture_stop(f);
}

CHECK_MAIN(CASE(random_keys_are_replaced), CASE(keys_from_files_stay))
