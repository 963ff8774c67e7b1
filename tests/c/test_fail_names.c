/*
 * "Fail everything once": the C library's own work for tlsloop, which is to look up names. getaddrinfo(3) is this
 * program's own here and answers each error of its man page in turn, memory that is out among them.
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "measure.h"
#include "stage.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>

static atomic_int failure; /* what it answers */

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    (void)name;
    (void)service;
    (void)hints;
    (void)found;
    errno = ENOMEM;
    return failure;
}

static const int failures[] = { EAI_MEMORY, EAI_SYSTEM, EAI_AGAIN,  EAI_FAIL,    EAI_NONAME,  EAI_NODATA,
                                EAI_FAMILY, EAI_SERVICE, EAI_SOCKTYPE, EAI_BADFLAGS, EAI_ADDRFAMILY };

/* In its own words, or errno's where it says so. */
static const char *words(void)
{
    return failure == EAI_SYSTEM ? strerror(ENOMEM) : gai_strerror(failure);
}

static void start_a_server(void)
{
    int code = stage_refused((tlsloop_server_config){ .address = "some.example", .mode = TLSLOOP_MODE_PLAIN });
    CHECK_EQ(code, TLSLOOP_ESYS);
    CHECK_HAS(tlsloop_last_error(), "some.example");
    CHECK_HAS(tlsloop_last_error(), words());
}

static tlsloop_client_config to_a_name(void)
{
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    config.host = "some.example";
    config.port = 1;
    config.mode = TLSLOOP_MODE_PLAIN;
    return config;
}

static void connect_a_client(void)
{
    tlsloop_client *client = NULL;
    tlsloop_client_config config = to_a_name();
    CHECK_EQ(tlsloop_client_connect(&config, &client), TLSLOOP_ESYS);
    CHECK(client == NULL);
    CHECK_HAS(tlsloop_last_error(), "some.example");
    CHECK_HAS(tlsloop_last_error(), words());
}

static void each_failure(void (*run)(void))
{
    run(); /* pays for what is made once */
    unsigned descriptors = measure_descriptors();
    size_t heap = measure_heap();
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        failure = failures[i];
        run();
        CHECK_EQ(measure_descriptors(), descriptors);
    }
    measure_heap_is_back(heap);
}

static void a_server_that_starts(void)
{
    failure = EAI_MEMORY;
    each_failure(start_a_server);
}

static void a_client(void)
{
    failure = EAI_MEMORY;
    each_failure(connect_a_client);
}

/* "What fails before on_connect gets one on_handshake_failed", and the server goes on. */
static void a_connection_of_a_server(void)
{
    struct fixture *f = stage_start((struct options){
        .config = { .mode = TLSLOOP_MODE_PLAIN, .listen_fd = TLSLOOP_NO_LISTENER } }, NULL);
    f->loose_threads = true; /* the one that looks up names stays */
    for (unsigned i = 0; i < sizeof failures / sizeof *failures; i++) {
        struct record r;
        tlsloop_conn conn = 0;
        tlsloop_client_config config = to_a_name();
        failure = failures[i];
        CHECK_OK(tlsloop_server_connect(f->server, &config, &conn));
        EVENTUALLY_EQ(f->handshakes_failed, i + 1);
        CHECK(fixture_find(f, conn, &r) && r.failures == 1);
        CHECK_EQ(r.code, TLSLOOP_ESYS);
        CHECK_HAS(r.why, words());
    }
    CHECK_EQ(f->connects, 0);
    fixture_stop(f);
}

CHECK_MAIN(CASE(a_server_that_starts), CASE(a_client), CASE(a_connection_of_a_server))
