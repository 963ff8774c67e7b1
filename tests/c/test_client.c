/* The blocking client: what it trusts, and whom it talks to. */
#define _GNU_SOURCE
#include "fixture.h"
#include "keys.h"
#include "measure.h"
#include "peer_server.h"

#include <ctype.h>
#include <string.h>

/* What one attempt is made of; a policy of the attempt's own is freed by it. */
struct attempt {
    const char *host, *name; /* NULL: 127.0.0.1; NULL: as host */
    tlsloop_tls *tls;
    int port;
};

static int attempt(struct attempt a, tlsloop_client **out)
{
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    config.host = a.host ? a.host : "127.0.0.1";
    config.server_name = a.name;
    config.port = (uint16_t)a.port;
    config.tls = a.tls;
    int answer = tlsloop_client_connect(&config, out);
    tlsloop_tls_free(a.tls); /* "clients that use it keep a reference" */
    return answer;
}

static tlsloop_client *connected(struct attempt a)
{
    tlsloop_client *client = NULL;
    CHECK_OK(attempt(a, &client));
    CHECK(client != NULL);
    return client;
}

static void refused(struct attempt a, int code, const char *part)
{
    tlsloop_client *const untouched = (tlsloop_client *)&untouched;
    tlsloop_client *client = untouched;
    CHECK_FAILS(attempt(a, &client), code, part);
    CHECK(client == untouched);
}

static tlsloop_tls *policy(void)
{
    tlsloop_tls *tls = tlsloop_tls_new();
    CHECK(tls != NULL);
    return tls;
}

static tlsloop_tls *trusting(const struct identity *who)
{
    tlsloop_tls *tls = policy();
    CHECK_OK(tlsloop_tls_set_trust_file(tls, who->chain));
    return tls;
}

static tlsloop_tls *pinned(const char *sha256)
{
    tlsloop_tls *tls = policy();
    CHECK_OK(tlsloop_tls_set_pin(tls, sha256));
    return tls;
}

static tlsloop_tls *careless(void)
{
    tlsloop_tls *tls = policy();
    CHECK_OK(tlsloop_tls_set_verify(tls, TLSLOOP_VERIFY_NONE));
    return tls;
}

static struct fixture *serve(const struct identity *who)
{
    tlsloop_tls *tls = policy();
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, who->chain, who->key));
    struct fixture *f = fixture_start((struct options){ .config.tls = tls });
    tlsloop_tls_free(tls);
    return f;
}

static void echo_and_close(tlsloop_client *client)
{
    static const char text[] = "Hello over the client API";
    char back[sizeof text];
    CHECK_OK(tlsloop_client_send(client, text, sizeof text));
    for (size_t n = 0; n < sizeof text;) {
        long got = tlsloop_client_recv(client, back + n, sizeof back - n);
        CHECK(got > 0);
        n += (size_t)got;
    }
    CHECK_STR(back, text);
    CHECK_OK(tlsloop_client_close(client));
}

/* "It verifies chain and name": a certificate of a trusted issuer, by address and by name. */
static void a_trusted_server(void)
{
    struct identity ca = keys_make((struct identity_spec){ 0 });
    struct identity leaf = keys_make(
        (struct identity_spec){ .names = "DNS:localhost,DNS:good.example,IP:127.0.0.1", .issuer = &ca });
    struct fixture *f = serve(&leaf);
    echo_and_close(connected((struct attempt){ .tls = trusting(&ca), .port = f->port }));
    echo_and_close(connected(
        (struct attempt){ .host = "localhost", .tls = trusting(&ca), .port = f->port }));
    echo_and_close(connected(
        (struct attempt){ .name = "good.example", .tls = trusting(&ca), .port = f->port }));
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 3);
    fixture_stop(f);
}

/* L38: "a client without any policy refuses an unknown issuer … with EVERIFY" */
static void l38_an_unknown_issuer(void)
{
    struct identity ca = keys_make((struct identity_spec){ 0 });
    struct identity mine = keys_local();
    struct fixture *f = serve(&mine);
    refused((struct attempt){ .port = f->port }, TLSLOOP_EVERIFY, "127.0.0.1");
    refused((struct attempt){ .tls = trusting(&ca), .port = f->port }, TLSLOOP_EVERIFY, "127.0.0.1");
    EVENTUALLY_EQ(f->handshakes_failed + f->disconnects, 2);
    fixture_stop(f);
}

/* L38: "and a wrong name with EVERIFY" */
static void l38_a_wrong_name(void)
{
    struct identity mine = keys_local();
    struct fixture *f = serve(&mine);
    refused((struct attempt){ .name = "wrong.example", .tls = trusting(&mine), .port = f->port },
            TLSLOOP_EVERIFY, "wrong.example");
    struct identity named = keys_make((struct identity_spec){ .names = "DNS:localhost" });
    EVENTUALLY_EQ(f->handshakes_failed + f->disconnects, 1);
    fixture_stop(f);
    f = serve(&named); /* an address is not the name that stands for it */
    refused((struct attempt){ .tls = trusting(&named), .port = f->port }, TLSLOOP_EVERIFY,
            "127.0.0.1");
    EVENTUALLY_EQ(f->handshakes_failed + f->disconnects, 1);
    fixture_stop(f);
}

static void an_expired_certificate(void)
{
    struct identity old =
        keys_make((struct identity_spec){ .names = "IP:127.0.0.1", .expired = 1 });
    struct fixture *f = serve(&old); /* "An expired certificate loads" */
    refused((struct attempt){ .tls = trusting(&old), .port = f->port }, TLSLOOP_EVERIFY, "expired");
    EVENTUALLY_EQ(f->handshakes_failed + f->disconnects, 1);
    CHECK(f->warnings >= 1); /* "each server_start … that uses it logs a warning" */
    fixture_stop(f);
}

/* "this leaf, instead of chain, name and dates" */
static void a_pin(void)
{
    struct identity old =
        keys_make((struct identity_spec){ .names = "DNS:elsewhere.example", .expired = 1 });
    struct identity other = keys_local();
    struct fixture *f = serve(&old);
    char upper[65];
    for (int i = 0; i < 65; i++) upper[i] = (char)toupper((unsigned char)old.sha256[i]);
    echo_and_close(connected((struct attempt){ .tls = pinned(old.sha256), .port = f->port }));
    echo_and_close(connected((struct attempt){ .tls = pinned(upper), .port = f->port }));
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 2);
    refused((struct attempt){ .tls = pinned(other.sha256), .port = f->port }, TLSLOOP_EVERIFY, "pin");
    EVENTUALLY_EQ(f->handshakes_failed + f->disconnects, 3);
    fixture_stop(f);
}

/* "unless the tlsloop_tls says TLSLOOP_VERIFY_NONE" */
static void verify_none(void)
{
    struct identity old =
        keys_make((struct identity_spec){ .names = "DNS:elsewhere.example", .expired = 1 });
    struct fixture *f = serve(&old);
    echo_and_close(connected((struct attempt){ .tls = careless(), .port = f->port }));
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    fixture_stop(f);
}

static void optional_is_for_servers(void)
{
    struct identity mine = keys_local();
    struct fixture *f = serve(&mine);
    tlsloop_tls *tls = trusting(&mine);
    CHECK_OK(tlsloop_tls_set_verify(tls, TLSLOOP_VERIFY_OPTIONAL));
    refused((struct attempt){ .tls = tls, .port = f->port }, TLSLOOP_EINVAL, "OPTIONAL");
    fixture_stop(f);
}

/* tlsloop_client_info: the facts, as OpenSSL of the other side knows them. */
static void info(void)
{
    struct identity mine = keys_local();
    struct fixture *f = serve(&mine);
    tlsloop_client *client = connected(
        (struct attempt){ .host = "localhost", .tls = trusting(&mine), .port = f->port });
    tlsloop_info facts = TLSLOOP_INFO_INIT;
    char peer[64];
    snprintf(peer, sizeof peer, "127.0.0.1:%d", f->port);
    CHECK_OK(tlsloop_client_info(client, &facts));
    CHECK_STR(facts.peer, peer);
    CHECK_HAS(facts.local, "127.0.0.1:");
    CHECK_STR(facts.version, "TLSv1.3");
    CHECK_HAS(facts.cipher, "TLS_");
    CHECK_STR(facts.sni, "localhost");
    CHECK_STR(facts.sha256, mine.sha256);
    CHECK_HAS(facts.subject, "tlsloop test");
    CHECK_STR(facts.issuer, facts.subject);
    CHECK_STR(facts.san, "DNS:localhost,IP:127.0.0.1");
    CHECK_EQ(facts.is_tls, 1);
    CHECK_EQ(facts.has_certificate, 1);
    CHECK_EQ(facts.verify_result, X509_V_OK);
    CHECK_EQ(facts.peer_pid, -1);
    CHECK_EQ(facts.peer_uid, -1);
    CHECK_FAILS(tlsloop_client_info(client, NULL), TLSLOOP_EINVAL, "out");
    CHECK(tlsloop_client_fd(client) >= 0);
    echo_and_close(client);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    fixture_stop(f);
}

static void says_nothing(struct peer *p, void *arg)
{
    (void)arg;
    peer_until_end(p, NULL);
}

/* L38: "a server that refuses the client's certificate after the TLS 1.3 handshake has ended: reports
 * the alert's words and not a bare reset" */
static void l38_the_alerts_words(void)
{
    struct identity mine = keys_local();
    struct peer_server *server = peer_server_start((struct peer_server_options){
        .identity = &mine,
        .serve = says_nothing,
        .version = TLS1_3_VERSION,
        .asks_for_certificate = true,
    });
    tlsloop_client *client =
        connected((struct attempt){ .tls = trusting(&mine), .port = peer_server_port(server) });
    char byte;
    CHECK_EQ(tlsloop_client_recv(client, &byte, 1), TLSLOOP_ETLS);
    CHECK_HAS(tlsloop_last_error(), "certificate required");
    CHECK_OK(tlsloop_client_close(client));
    peer_server_stop(server);
}

static void good_and_bad_attempts(const struct identity *mine, unsigned times)
{
    struct fixture *f = serve(mine);
    for (unsigned i = 0; i < times; i++) {
        echo_and_close(connected((struct attempt){ .tls = trusting(mine), .port = f->port }));
        refused((struct attempt){ .name = "wrong.example", .tls = trusting(mine), .port = f->port },
                TLSLOOP_EVERIFY, "wrong.example");
    }
    EVENTUALLY_EQ(f->handshakes_failed + f->disconnects, 2 * times);
    fixture_stop(f);
}

/* Accepted and refused attempts leave nothing behind. */
static void nothing_is_left(void)
{
    struct identity mine = keys_local();
    good_and_bad_attempts(&mine, check_scaled(50));
    unsigned descriptors = measure_descriptors();
    size_t heap = measure_heap();
    good_and_bad_attempts(&mine, check_scaled(100));
    CHECK_EQ(measure_descriptors(), descriptors);
    measure_heap_is_back(heap);
}

CHECK_MAIN(CASE(a_trusted_server), CASE(l38_an_unknown_issuer), CASE(l38_a_wrong_name),
           CASE(an_expired_certificate), CASE(a_pin), CASE(verify_none),
           CASE(optional_is_for_servers), CASE(info), CASE(l38_the_alerts_words),
           CASE(nothing_is_left))
