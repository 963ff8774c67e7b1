/*
 * The book that the fixture keeps: one record for each id, checked at every callback.
 *
 * The rules are those of "Promises" 1 and 2 in the contract: for each on_connect one on_disconnect,
 * the connection's last callback, none after stop; on_handshake_failed once, instead; never two
 * callbacks of one connection at once, always on the same worker.
 */
#define _GNU_SOURCE
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

static struct record *place(struct record *table, size_t size, tlsloop_conn conn)
{
    size_t i = (size_t)(conn * 0x9e3779b97f4a7c15ull >> 20) & (size - 1);
    while (table[i].conn != 0 && table[i].conn != conn) i = (i + 1) & (size - 1);
    return &table[i];
}

static void grow(struct fixture *f)
{
    size_t size = f->table_size ? f->table_size * 2 : 64;
    struct record *table = calloc(size, sizeof *table);
    CHECK(table != NULL);
    for (size_t i = 0; i < f->table_size; i++)
        if (f->table[i].conn) *place(table, size, f->table[i].conn) = f->table[i];
    free(f->table);
    f->table = table;
    f->table_size = size;
}

/* With the mutex held. */
static struct record *find_or_add(struct fixture *f, tlsloop_conn conn)
{
    if (f->table_used * 2 >= f->table_size) grow(f);
    struct record *r = place(f->table, f->table_size, conn);
    if (r->conn == 0) {
        *r = (struct record){ .conn = conn, .hash = FIXTURE_HASH };
        f->table_used++;
    }
    return r;
}

static void note_order(struct record *r, char what)
{
    size_t n = strlen(r->order);
    if (n > 0 && r->order[n - 1] == what) return;
    if (n + 1 < sizeof r->order) r->order[n] = what;
}

static void check_rules(struct fixture *f, const struct record *r, char what)
{
    CHECK(!f->stopped); /* no callback after stop has returned */
    CHECK(r->conn != 0 && r->conn >> 63 == 0);
    CHECK(!r->in_callback); /* never two at once */
    CHECK_EQ(r->disconnects, 0); /* on_disconnect is the last */
    CHECK_EQ(r->failures, 0);
    CHECK_EQ(r->connects, what == 'c' || what == 'f' ? 0 : 1);
    if (r->connects && !host_wanted()) CHECK(pthread_equal(r->thread, pthread_self()));
}

void record_begin(struct fixture *f, tlsloop_conn conn, char what)
{
    pthread_mutex_lock(&f->mutex);
    struct record *r = find_or_add(f, conn);
    check_rules(f, r, what);
    r->thread = pthread_self();
    r->in_callback = true;
    if (what == 'c') r->sequence = f->connects;
    r->connects += what == 'c';
    r->drains += what == 'w';
    r->ends += what == 'e';
    r->disconnects += what == 'x';
    r->failures += what == 'f';
    CHECK(r->ends <= 1);
    note_order(r, what);
    /* Counted with the mutex held, so that who sees the count finds the record. */
    f->connects += what == 'c';
    f->data_calls += what == 'd';
    f->drains += what == 'w';
    f->ends += what == 'e';
    pthread_mutex_unlock(&f->mutex);
}

void record_finish(struct fixture *f, tlsloop_conn conn)
{
    pthread_mutex_lock(&f->mutex);
    struct record *r = find_or_add(f, conn);
    r->in_callback = false;
    f->disconnects += r->disconnects;
    f->handshakes_failed += r->failures;
    pthread_mutex_unlock(&f->mutex);
}

void record_data(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    CHECK(data != NULL && len > 0);
    pthread_mutex_lock(&f->mutex);
    struct record *r = find_or_add(f, conn);
    r->bytes += len;
    r->hash = fixture_hash(r->hash, data, len);
    f->bytes += len;
    pthread_mutex_unlock(&f->mutex);
}

static void copy_text(char *to, size_t room, const char *from)
{
    strncpy(to, from, room - 1);
    to[room - 1] = 0;
}

void record_end_of_life(struct fixture *f, tlsloop_conn conn, int number, const char *peer,
                        const char *why)
{
    CHECK(why != NULL);
    pthread_mutex_lock(&f->mutex);
    struct record *r = find_or_add(f, conn);
    copy_text(r->why, sizeof r->why, why);
    if (peer) copy_text(r->peer, sizeof r->peer, peer);
    if (r->failures) {
        CHECK(number < 0);
        r->code = number;
        f->last_code = number;
    } else {
        CHECK(number >= 0 && number <= TLSLOOP_REASON_SYSTEM);
        r->reason = number;
        f->reasons[number]++;
    }
    pthread_mutex_unlock(&f->mutex);
}

static bool copy_first(struct fixture *f, bool (*wanted)(const struct record *, uint64_t),
                       uint64_t argument, struct record *out)
{
    bool found = false;
    pthread_mutex_lock(&f->mutex);
    for (size_t i = 0; i < f->table_size && !found; i++) {
        if (f->table[i].conn == 0 || !wanted(&f->table[i], argument)) continue;
        *out = f->table[i];
        found = true;
    }
    pthread_mutex_unlock(&f->mutex);
    return found;
}

static bool is_nth(const struct record *r, uint64_t n)
{
    return r->connects && r->sequence == n;
}

static bool is_conn(const struct record *r, uint64_t conn)
{
    return r->conn == conn;
}

static bool is_failure(const struct record *r, uint64_t unused)
{
    (void)unused;
    return r->failures && !r->in_callback;
}

bool fixture_nth(struct fixture *f, unsigned n, struct record *out)
{
    return copy_first(f, is_nth, n, out);
}

bool fixture_find(struct fixture *f, tlsloop_conn conn, struct record *out)
{
    return copy_first(f, is_conn, conn, out);
}

bool fixture_failed(struct fixture *f, tlsloop_conn conn, struct record *out)
{
    return copy_first(f, is_conn, conn, out) && is_failure(out, 0);
}

bool fixture_failure(struct fixture *f, struct record *out)
{
    return copy_first(f, is_failure, 0, out);
}

tlsloop_conn fixture_conn(struct fixture *f, unsigned n)
{
    struct record r;
    EVENTUALLY(fixture_nth(f, n, &r));
    return r.conn;
}

void record_check_all(struct fixture *f)
{
    pthread_mutex_lock(&f->mutex);
    for (size_t i = 0; i < f->table_size; i++) {
        const struct record *r = &f->table[i];
        if (r->conn == 0) continue;
        CHECK(!r->in_callback);
        CHECK_EQ(r->connects, r->disconnects);
        CHECK_EQ(r->connects + r->failures, 1);
        size_t n = strlen(r->order);
        CHECK(n > 0 && n < sizeof r->order);
        if (n + 1 < sizeof r->order) CHECK_EQ(r->order[n - 1], r->connects ? 'x' : 'f');
    }
    free(f->table);
    f->table = NULL;
    f->table_size = f->table_used = 0;
    pthread_mutex_unlock(&f->mutex);
    CHECK_EQ(f->connects, f->disconnects);
}

uint64_t fixture_hash(uint64_t hash, const void *data, size_t len)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i++) hash = (hash ^ bytes[i]) * 1099511628211ull;
    return hash;
}
