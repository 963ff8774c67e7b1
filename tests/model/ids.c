/* Every id that this process has seen: none comes twice, and those whose connections are over stay dead. */
#define _GNU_SOURCE
#include "model.h"

#include "check.h"

#include <string.h>

enum { SEEN = 1 << 20, STALE = 4096 }; /* powers of two */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static tlsloop_conn seen[SEEN], stale[STALE]; /* guarded */
static unsigned seen_count, stale_count;

void book_new_id(struct link *l, tlsloop_conn conn)
{
    tlsloop_conn before = l->conn;
    PROMISE(l->s, l, conn != 0 && conn >> 63 == 0, "no id: %llx", (unsigned long long)conn);
    PROMISE(l->s, l, before == 0 || before == conn, "two ids for one connection");
    if (before) return;
    l->conn = conn;
    pthread_mutex_lock(&mutex);
    unsigned i = (unsigned)(conn * 0x9e3779b97f4a7c15ull >> 40) & (SEEN - 1);
    while (seen[i] && seen[i] != conn) i = (i + 1) & (SEEN - 1);
    bool is_new = seen[i] != conn;
    seen[i] = conn;
    if (is_new && ++seen_count > SEEN / 2) { /* a long run forgets, and begins anew */
        memset(seen, 0, sizeof seen);
        seen_count = 0;
    }
    pthread_mutex_unlock(&mutex);
    PROMISE(l->s, l, is_new, "the id %llx was given before", (unsigned long long)conn);
}

void book_stale_id(tlsloop_conn conn)
{
    pthread_mutex_lock(&mutex);
    stale[stale_count++ % STALE] = conn;
    pthread_mutex_unlock(&mutex);
}

tlsloop_conn book_any_stale(struct dice *d)
{
    pthread_mutex_lock(&mutex);
    unsigned n = stale_count < STALE ? stale_count : STALE;
    tlsloop_conn conn = n ? stale[dice_below(d, n)] : 0;
    pthread_mutex_unlock(&mutex);
    return conn;
}
