/* "size": what an older and a newer header than the library's own may ask for. */
#define _GNU_SOURCE
#include "fixture.h"
#include "measure.h"
#include "peer.h"

#include <stdlib.h>
#include <string.h>

static tlsloop_tls *tls;
static tlsloop_callbacks callbacks = TLSLOOP_CALLBACKS_INIT;

/* Structs as a later release would have them. */
struct newer_callbacks {
    tlsloop_callbacks known;
    void (*on_something)(void);
};
struct newer_config {
    tlsloop_server_config known;
    uint64_t something;
};
struct newer_client {
    tlsloop_client_config known;
    uint64_t something;
};
struct newer_info {
    tlsloop_info known;
    unsigned char beyond[64];
};
struct newer_stats {
    tlsloop_stats known;
    unsigned char beyond[64];
};

static void free_tls(void)
{
    tlsloop_tls_free(tls);
}

static tlsloop_server_config good_config(void)
{
    tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
    if (!tls) {
        tls = tlsloop_tls_new();
        CHECK(atexit(free_tls) == 0);
        CHECK(tls != NULL);
        CHECK_OK(tlsloop_tls_add_self_signed(tls, "localhost"));
    }
    config.address = "127.0.0.1";
    config.tls = tls;
    config.callbacks = &callbacks;
    return config;
}

static void refused(const tlsloop_server_config *config, const char *part)
{
    tlsloop_server *server = NULL;
    CHECK_FAILS(tlsloop_server_start(config, &server), TLSLOOP_EINVAL, part);
    CHECK(server == NULL);
}

static void accepted(const tlsloop_server_config *config)
{
    tlsloop_server *server = NULL;
    CHECK_OK(tlsloop_server_start(config, &server));
    CHECK_OK(tlsloop_server_stop(server, 0));
}

/* "Below that of release 0.1, or 0: EINVAL." */
static void too_small(void)
{
    tlsloop_server_config config = good_config();
    tlsloop_callbacks small = callbacks;
    tlsloop_client_config client_config = TLSLOOP_CLIENT_CONFIG_INIT;
    tlsloop_client *client = NULL;
    const size_t wrong[] = { 0, 1, sizeof(size_t) };
    for (size_t i = 0; i < 3; i++) {
        config.size = wrong[i];
        refused(&config, "size");
        client_config.host = "127.0.0.1";
        client_config.port = 1;
        client_config.size = wrong[i];
        CHECK_FAILS(tlsloop_client_connect(&client_config, &client), TLSLOOP_EINVAL, "size");
    }
    config.size = sizeof config - 1;
    refused(&config, "size");
    config = good_config();
    config.callbacks = &small;
    small.size = sizeof small - 1;
    refused(&config, "size");
    small.size = 0;
    refused(&config, "size");
    CHECK(client == NULL);
}

/* "Larger than known: accepted if the excess is all zero, else EINVAL ('newer header')." */
static void larger_config(void)
{
    struct newer_config newer = { .known = good_config() };
    newer.known.size = sizeof newer;
    accepted(&newer.known);
    newer.something = 1;
    refused(&newer.known, "newer header");
    newer.something = (uint64_t)1 << 63; /* its last byte */
    refused(&newer.known, "newer header");
}

static void larger_callbacks(void)
{
    struct newer_callbacks newer = { .known = callbacks };
    tlsloop_server_config config = good_config();
    newer.known.size = sizeof newer;
    config.callbacks = &newer.known;
    accepted(&config);
    newer.on_something = larger_config;
    refused(&config, "newer header");
}

static void larger_client_config(void)
{
    struct newer_client newer = { .known = TLSLOOP_CLIENT_CONFIG_INIT };
    tlsloop_client *client = NULL;
    newer.known.size = sizeof newer;
    newer.known.host = "127.0.0.1";
    newer.known.port = 1; /* nobody listens there */
    newer.known.connect_timeout_ms = 5000;
    CHECK_EQ(tlsloop_client_connect(&newer.known, &client), TLSLOOP_ESYS);
    newer.something = 1;
    CHECK_FAILS(tlsloop_client_connect(&newer.known, &client), TLSLOOP_EINVAL, "newer header");
    CHECK(client == NULL);
}

/* "Structs that tlsloop fills: min(size, known) bytes are written, the rest zeroed." */
static void larger_than_what_is_filled(void)
{
    struct newer_info info;
    struct newer_stats stats;
    const unsigned char zeros[64] = { 0 };
    struct fixture *f = fixture_start((struct options){ 0 });
    struct peer p = peer_connect(f->port);
    tlsloop_conn conn = fixture_conn(f, 0);

    memset(&info, 0xee, sizeof info);
    info.known.size = sizeof info;
    CHECK_OK(tlsloop_conn_info(conn, &info.known));
    CHECK_EQ(info.known.size, sizeof info);
    CHECK_HAS(info.known.peer, "127.0.0.1:");
    CHECK(memcmp(info.beyond, zeros, sizeof zeros) == 0);

    memset(&stats, 0xee, sizeof stats);
    stats.known.size = sizeof stats;
    CHECK_OK(tlsloop_server_stats(f->server, &stats.known));
    CHECK_EQ(stats.known.connects, 1);
    CHECK(memcmp(stats.beyond, zeros, sizeof zeros) == 0);
    peer_leave(&p);
    fixture_stop(f);
}

static void smaller_than_what_is_filled(void)
{
    tlsloop_info info;
    tlsloop_stats stats;
    struct fixture *f = fixture_start((struct options){ 0 });
    struct peer p = peer_connect(f->port);
    tlsloop_conn conn = fixture_conn(f, 0);

    memset(&info, 0xee, sizeof info);
    info.size = offsetof(tlsloop_info, local);
    CHECK_OK(tlsloop_conn_info(conn, &info));
    CHECK_HAS(info.peer, "127.0.0.1:");
    CHECK_EQ((unsigned char)info.local[0], 0xee);

    memset(&stats, 0xee, sizeof stats);
    stats.size = offsetof(tlsloop_stats, refused_callback);
    CHECK_OK(tlsloop_server_stats(f->server, &stats));
    CHECK_EQ(stats.accepted, 1);
    CHECK_EQ(stats.refused_callback, 0xeeeeeeeeeeeeeeee);
    peer_leave(&p);
    fixture_stop(f);
}

/* A struct without room for its own size, or none at all. */
static void nothing_to_fill(void)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    tlsloop_stats stats = TLSLOOP_STATS_INIT;
    struct fixture *f = fixture_start((struct options){ 0 });
    struct peer p = peer_connect(f->port);
    tlsloop_conn conn = fixture_conn(f, 0);
    info.size = stats.size = 0;
    CHECK_FAILS(tlsloop_conn_info(conn, &info), TLSLOOP_EINVAL, "size");
    CHECK_FAILS(tlsloop_conn_info(conn, NULL), TLSLOOP_EINVAL, "out");
    CHECK_FAILS(tlsloop_server_stats(f->server, &stats), TLSLOOP_EINVAL, "size");
    CHECK_FAILS(tlsloop_server_stats(f->server, NULL), TLSLOOP_EINVAL, "out");
    peer_leave(&p);
    fixture_stop(f);
}

/* The init macros give every member its default: a server with them alone runs. */
static void init_macros_are_defaults(void)
{
    tlsloop_server_config config = good_config();
    CHECK_EQ(config.size, sizeof config);
    CHECK_EQ(callbacks.size, sizeof callbacks);
    CHECK_EQ(((tlsloop_client_config)TLSLOOP_CLIENT_CONFIG_INIT).size, sizeof(tlsloop_client_config));
    CHECK_EQ(((tlsloop_info)TLSLOOP_INFO_INIT).size, sizeof(tlsloop_info));
    CHECK_EQ(((tlsloop_stats)TLSLOOP_STATS_INIT).size, sizeof(tlsloop_stats));
    accepted(&config);
    config.address = NULL; /* "::" dual-stack, or 0.0.0.0 */
    accepted(&config);
}

/* "any member may be NULL": a server without a single callback serves and drops. */
static void no_callback_at_all(void)
{
    tlsloop_server *server = NULL;
    tlsloop_server_config config = good_config();
    CHECK_OK(tlsloop_server_start(&config, &server));
    struct peer p = peer_connect(tlsloop_server_port(server));
    CHECK(peer_send(&p, "to nobody", 9));
    CHECK(peer_close_notify(&p));
    CHECK_EQ(peer_until_end(&p, NULL), PEER_CLEAN);
    peer_close(&p);
    CHECK_OK(tlsloop_server_stop(server, 0));
}

CHECK_MAIN(CASE(too_small), CASE(larger_config), CASE(larger_callbacks), CASE(larger_client_config),
           CASE(larger_than_what_is_filled), CASE(smaller_than_what_is_filled),
           CASE(nothing_to_fill), CASE(init_macros_are_defaults), CASE(no_callback_at_all))
