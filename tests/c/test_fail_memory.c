/*
 * "Fail everything once: … each allocation": OpenSSL's own, on the threads of tlsloop. Rust's end the
 * process, as the contract says; OpenSSL's cost at most the connection that needed them.
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "measure.h"
#include "peer.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local bool marked;
static atomic_int countdown; /* the how manieth allocation from now fails; 0: none */
static atomic_uint seen;     /* on marked threads */

static bool fails(void)
{
    if (!marked) return false;
    seen++;
    return countdown > 0 && --countdown == 0;
}

static void *take(size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    return fails() ? NULL : malloc(len);
}

static void *take_again(void *old, size_t len, const char *file, int line)
{
    (void)file;
    (void)line;
    return fails() ? NULL : realloc(old, len);
}

static void give(void *old, const char *file, int line)
{
    (void)file;
    (void)line;
    free(old);
}

/* Before OpenSSL's first allocation, hence in each case's process before all else. */
static void interpose(void)
{
    CHECK(CRYPTO_set_mem_functions(take, take_again, give) == 1);
}

/* What OpenSSL makes once and for all: what fails there is not made later either. */
static void warm_up(void)
{
    struct fixture *f = fixture_start((struct options){ 0 });
    struct peer p = peer_connect(f->port);
    CHECK(peer_echo(&p, "warm"));
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

static void mark(struct fixture *f, unsigned worker)
{
    (void)f;
    (void)worker;
    marked = true;
}

static bool visit(struct fixture *f)
{
    struct peer p = peer_over_socket(tcp_connect(f->port));
    bool served = peer_handshake(&p) && peer_echo(&p, "hello") && peer_close_notify(&p) &&
                  peer_until_end(&p, NULL) == PEER_CLEAN;
    peer_close(&p);
    return served;
}

/* "one on_disconnect … or one on_handshake_failed", and the next visitor is served. */
static void each_allocation_of_a_visit(void)
{
    interpose();
    struct fixture *f = fixture_start((struct options){
        .on.worker_start = mark,
        .config = { .handshake_timeout_ms = 5000, .close_timeout_ms = 1000, .idle_timeout_ms = 5000 },
    });
    CHECK(visit(f));
    if (seen == 0) check_skip("tlsloop has an OpenSSL of its own");
    int step = check_time_factor() > 1 ? 29 : 1, n = 1;
    unsigned refused = 0;
    for (;; n += step) {
        countdown = n;
        bool served = visit(f);
        bool reached = countdown == 0;
        countdown = 0;
        refused += !served;
        if (!served && !reached) check_failed(__FILE__, __LINE__, "not served, nothing had failed");
        EVENTUALLY_EQ(fixture_stats(f).open + fixture_stats(f).handshaking, 0);
        if (!visit(f))
            check_failed(__FILE__, __LINE__, "allocation %d: the next visitor is not served", n);
        if (!reached) break;
    }
    CHECK(n > step && refused > 0);
    EVENTUALLY_EQ(fixture_stats(f).open, 0);
    fixture_stop(f);
}

/* Making a policy: ENOMEM or ETLS, and nothing is left over. */
static void each_allocation_of_a_policy(void)
{
    interpose();
    warm_up();
    bool reached = true;
    unsigned failures = 0;
    int step = check_time_factor() > 1 ? 29 : 1;
    for (int n = 1; reached; n += step) {
        marked = true;
        seen = 0;
        countdown = n;
        tlsloop_tls *tls = tlsloop_tls_new();
        int answer = tls ? tlsloop_tls_add_self_signed(tls, "localhost") : TLSLOOP_ENOMEM;
        reached = countdown == 0;
        countdown = 0;
        marked = false;
        if (seen == 0) check_skip("tlsloop has an OpenSSL of its own");
        if (answer != TLSLOOP_OK) {
            if (!reached)
                check_failed(__FILE__, __LINE__, "after %d: %s", n, tlsloop_last_error());
            CHECK(answer == TLSLOOP_ENOMEM || answer == TLSLOOP_ETLS);
            CHECK(strlen(tlsloop_last_error()) > 0);
            failures++;
        }
        tlsloop_tls_free(tls);
    }
    CHECK(failures > 0);
}

/* Starting a server with a policy that is whole. */
static void each_allocation_of_a_start(void)
{
    interpose();
    warm_up();
    bool reached = true;
    unsigned descriptors = measure_descriptors();
    int step = check_time_factor() > 1 ? 29 : 1;
    for (int n = 1; reached; n += step) {
        tlsloop_server *server = NULL;
        tlsloop_callbacks none = TLSLOOP_CALLBACKS_INIT;
        tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
        tlsloop_tls *tls = tlsloop_tls_new();
        CHECK(tls != NULL);
        CHECK_OK(tlsloop_tls_add_self_signed(tls, "localhost"));
        config.address = "127.0.0.1";
        config.callbacks = &none;
        config.tls = tls;
        marked = true;
        countdown = n;
        int answer = tlsloop_server_start(&config, &server);
        reached = countdown == 0;
        countdown = 0;
        marked = false;
        CHECK(answer == TLSLOOP_OK || reached);
        CHECK(answer == TLSLOOP_OK || answer == TLSLOOP_ENOMEM || answer == TLSLOOP_ETLS);
        CHECK_OK(tlsloop_server_stop(server, 0));
        tlsloop_tls_free(tls);
        CHECK_EQ(measure_descriptors(), descriptors);
    }
}

CHECK_MAIN(CASE(each_allocation_of_a_visit), CASE(each_allocation_of_a_policy),
           CASE(each_allocation_of_a_start))
