/*
 * "A client resumes by itself, per tlsloop_tls, host and port": nothing has to be asked for. For the blocking client
 * and for connections that a server begins; both keep their sessions in the tlsloop_tls.
 */
#define _GNU_SOURCE
#include "outgoing.h"
#include "policy.h"

#include <openssl/x509_vfy.h>
#include <stdlib.h>

static const enum outgoing_door doors[] = { BY_CLIENT, BY_SERVER };
static const int versions[] = { TLSLOOP_TLS1_2, TLSLOOP_TLS1_3 };

static struct identity root, server;

static void cast(void)
{
    root = keys_make((struct identity_spec){ .common_name = "root" });
    server = keys_make((struct identity_spec){
        .common_name = "server", .names = "DNS:a.example,DNS:b.example,IP:127.0.0.1", .issuer = &root });
}

static tlsloop_tls *trusting(int version)
{
    tlsloop_tls *tls = policy_trusting(&root);
    CHECK_OK(tlsloop_tls_set_versions(tls, version, version));
    return tls;
}

/* One conversation, and whether it continued an earlier one; both ends agree on that. */
static void talk(struct fixture *f, struct outgoing o, int resumed)
{
    uint64_t before = fixture_stats(f).handshakes_resumed;
    o.port = f->port;
    tlsloop_info info = outgoing_welcome(o);
    CHECK_EQ(info.is_resumed, resumed);
    CHECK_EQ(fixture_stats(f).handshakes_resumed - before, resumed);
    CHECK_STR(info.sha256, server.sha256); /* the server's identity is still shown */
    CHECK_STR(info.subject, "CN=server");
    CHECK_EQ(info.verify_result, X509_V_OK);
}

static void again_and_again(void)
{
    cast();
    struct fixture *f = policy_serve(policy_of(&server));
    for (size_t i = 0; i < 4; i++) {
        struct outgoing o = { .door = doors[i & 1], .tls = trusting(versions[i >> 1]) };
        for (int n = 0; n < 4; n++) talk(f, o, n > 0);
        tlsloop_tls_free(o.tls);
    }
    EVENTUALLY_EQ(f->disconnects, 16);
    fixture_stop(f);
}

/* One tlsloop_tls, both doors: what the one was given, the other uses. */
static void through_the_other_door(void)
{
    cast();
    struct fixture *f = policy_serve(policy_of(&server));
    for (size_t i = 0; i < 2; i++) {
        tlsloop_tls *tls = trusting(versions[i]);
        talk(f, (struct outgoing){ .door = BY_CLIENT, .tls = tls }, 0);
        talk(f, (struct outgoing){ .door = BY_SERVER, .tls = tls }, 1);
        talk(f, (struct outgoing){ .door = BY_CLIENT, .tls = tls }, 1);
        tlsloop_tls_free(tls);
    }
    EVENTUALLY_EQ(f->disconnects, 6);
    fixture_stop(f);
}

/* Two servers of one policy, so that either could resume the other's tickets: the client does not offer them. */
static void per_policy_host_and_port(void)
{
    cast();
    tlsloop_tls *of_server = policy_of(&server);
    struct fixture *f = fixture_start((struct options){ .config.tls = of_server });
    struct fixture *other = fixture_start((struct options){ .config.tls = of_server });
    tlsloop_tls_free(of_server);
    for (size_t i = 0; i < 4; i++) {
        tlsloop_tls *tls = trusting(versions[i >> 1]), *second = trusting(versions[i >> 1]);
        struct outgoing o = { .door = doors[i & 1], .tls = tls, .server_name = "a.example" };
        talk(f, o, 0);
        talk(other, o, 0); /* another port */
        o.server_name = "b.example";
        talk(f, o, 0); /* another name */
        o.server_name = "a.example";
        o.tls = second;
        talk(f, o, 0); /* another tlsloop_tls */
        o.tls = tls;
        talk(f, o, 1); /* and the first is not forgotten */
        talk(other, o, 1);
        tlsloop_tls_free(tls);
        tlsloop_tls_free(second);
    }
    EVENTUALLY_EQ(f->disconnects, 16);
    EVENTUALLY_EQ(other->disconnects, 8);
    other->loose_descriptors = other->loose_threads = true;
    fixture_stop(other);
    fixture_stop(f);
}

/* A client that says nothing of policy has one all the same, for the whole process. */
static void clients_without_a_policy(void)
{
    cast();
    CHECK(setenv("SSL_CERT_FILE", root.chain, 1) == 0);
    struct fixture *f = policy_serve(policy_of(&server));
    talk(f, (struct outgoing){ .door = BY_CLIENT }, 0);
    talk(f, (struct outgoing){ .door = BY_CLIENT }, 1);
    talk(f, (struct outgoing){ .door = BY_SERVER }, 1);
    EVENTUALLY_EQ(f->disconnects, 3);
    fixture_stop(f);
}

/* A server that has forgotten its keys costs a whole handshake, and no more; then it goes on. */
static void a_server_that_was_restarted(void)
{
    cast();
    struct fixture *f = policy_serve(policy_of(&server));
    for (size_t i = 0; i < 4; i++) {
        struct outgoing o = { .door = doors[i & 1], .tls = trusting(versions[i >> 1]) };
        talk(f, o, 0);
        policy_reload(f, policy_of(&server));
        talk(f, o, 0);
        talk(f, o, 1);
        tlsloop_tls_free(o.tls);
    }
    EVENTUALLY_EQ(f->disconnects, 12);
    fixture_stop(f);
}

/* With a certificate of the client's: the server still knows who it is. */
static void with_a_certificate_of_the_clients(void)
{
    cast();
    struct identity alice = keys_make((struct identity_spec){ .common_name = "alice", .issuer = &root });
    tlsloop_tls *tls = policy_of(&server);
    CHECK_OK(tlsloop_tls_set_trust_file(tls, root.chain));
    CHECK_OK(tlsloop_tls_set_verify(tls, TLSLOOP_VERIFY_REQUIRED));
    struct fixture *f = policy_serve(tls);
    for (size_t i = 0; i < 4; i++) {
        struct outgoing o = { .door = doors[i & 1], .tls = trusting(versions[i >> 1]) };
        CHECK_OK(tlsloop_tls_add_certificate_file(o.tls, alice.chain, alice.key));
        for (int n = 0; n < 3; n++) talk(f, o, n > 0);
        tlsloop_tls_free(o.tls);
    }
    EVENTUALLY_EQ(f->disconnects, 12);
    CHECK_EQ(f->handshakes_failed, 0);
    fixture_stop(f);
}

/* OpenSSL spoils its own copy of a session when a connection ends badly; ours is another. */
static void after_a_bad_end(void)
{
    cast();
    struct fixture *f = policy_serve(policy_of(&server));
    for (size_t i = 0; i < 2; i++) {
        char byte;
        tlsloop_client *client;
        tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
        config.host = "127.0.0.1";
        config.port = (uint16_t)f->port;
        config.tls = trusting(versions[i]);
        CHECK_OK(tlsloop_client_connect(&config, &client));
        CHECK_OK(tlsloop_client_send(client, "x", 1));
        CHECK_EQ(tlsloop_client_recv(client, &byte, 1), 1);
        CHECK_OK(tlsloop_conn_abort(fixture_conn(f, (unsigned)i * 2)));
        CHECK(tlsloop_client_recv(client, &byte, 1) < 0);
        CHECK_OK(tlsloop_client_close(client));
        talk(f, (struct outgoing){ .tls = config.tls }, 1);
        tlsloop_tls_free(config.tls);
    }
    EVENTUALLY_EQ(f->disconnects, 4);
    fixture_stop(f);
}

CHECK_MAIN(CASE(again_and_again), CASE(through_the_other_door), CASE(per_policy_host_and_port),
           CASE(clients_without_a_policy), CASE(a_server_that_was_restarted),
           CASE(with_a_certificate_of_the_clients), CASE(after_a_bad_end))
