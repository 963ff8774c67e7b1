/* ALPN: "application protocols, the preferred first; required: a connection without a common one is refused, by a
 * server with the alert no_application_protocol". */
#define _GNU_SOURCE
#include "policy.h"
#include "visitor.h"

#include <stdio.h>
#include <string.h>

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

static tlsloop_tls *speaking(const char *protocols, int required)
{
    struct identity who = keys_make((struct identity_spec){ .names = "DNS:localhost,IP:127.0.0.1" });
    tlsloop_tls *tls = policy_of(&who);
    if (protocols) CHECK_OK(tlsloop_tls_set_alpn(tls, protocols, required));
    return tls;
}

/* Both ends agree on `agreed`, or on nothing. */
static void agree(struct fixture *f, const char *offered, const char *agreed)
{
    for (size_t i = 0; i < 2; i++) {
        const unsigned char *chosen;
        unsigned len, n = f->connects;
        char text[64] = "";
        struct peer p = visitor_settle(f->port, (struct visitor){ .version = versions[i], .protocols = offered });
        SSL_get0_alpn_selected(p.ssl, &chosen, &len);
        CHECK(len < sizeof text);
        if (len) memcpy(text, chosen, len);
        CHECK_STR(text, agreed);
        CHECK_STR(policy_info(f, n).alpn, agreed);
        peer_leave(&p);
    }
}

static void refused(struct fixture *f, const char *offered)
{
    for (size_t i = 0; i < 2; i++) {
        unsigned n = f->handshakes_failed;
        struct visitor v = { .version = versions[i], .protocols = offered };
        CHECK_EQ(visitor_refused(f->port, v), SSL_AD_NO_APPLICATION_PROTOCOL);
        struct record failure = policy_failure(f, n);
        CHECK_EQ(failure.code, TLSLOOP_ETLS);
        CHECK_HAS(failure.why, "no application protocol");
    }
}

static void a_server_that_has_no_list(void)
{
    struct fixture *f = policy_serve(speaking(NULL, 0));
    agree(f, NULL, "");
    agree(f, "h2,http/1.1", "");
    fixture_stop(f);
}

static void not_required(void)
{
    struct fixture *f = policy_serve(speaking("h2, http/1.1", 0));
    agree(f, NULL, "");
    agree(f, "http/1.1,h2", "h2"); /* the server's order */
    agree(f, "spdy/3,http/1.1", "http/1.1");
    agree(f, "spdy/3,imap", "");
    agree(f, "h", "");
    agree(f, "h2c", "");
    fixture_stop(f);
}

static void required(void)
{
    struct fixture *f = policy_serve(speaking("h2,http/1.1", 1));
    agree(f, "http/1.1,h2", "h2");
    agree(f, "http/1.1", "http/1.1");
    refused(f, "imap,pop3");
    refused(f, NULL); /* also who offers no list at all */
    agree(f, "h2", "h2");
    fixture_stop(f);
}

/* The rules are those of the policy in use, also for a session that is resumed. */
static void a_reload_changes_the_list(void)
{
    struct fixture *f = policy_serve(speaking("h2", 0));
    agree(f, "h2,imap", "h2");
    policy_reload(f, speaking("imap", 1));
    agree(f, "h2,imap", "imap");
    refused(f, "h2");
    fixture_stop(f);
}

static void a_resumed_session_agrees_anew(void)
{
    struct fixture *f = policy_serve(speaking("h2,http/1.1", 1));
    for (size_t i = 0; i < 2; i++) {
        struct visitor v = { .version = versions[i], .protocols = "http/1.1" };
        SSL_SESSION *session = visitor_session(f->port, v);
        unsigned n = f->connects;
        v.session = session;
        v.protocols = "h2";
        struct peer p = visitor_settle(f->port, v);
        CHECK_EQ(SSL_session_reused(p.ssl), 1);
        CHECK_STR(policy_info(f, n).alpn, "h2");
        peer_leave(&p);
        v.protocols = "imap";
        n = f->handshakes_failed;
        CHECK_EQ(visitor_refused(f->port, v), SSL_AD_NO_APPLICATION_PROTOCOL);
        policy_failure(f, n);
        SSL_SESSION_free(session);
    }
    fixture_stop(f);
}

static int talk(struct fixture *f, const char *offered, int needed, tlsloop_info *info)
{
    tlsloop_client *client;
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    config.host = "127.0.0.1";
    config.port = (uint16_t)f->port;
    config.tls = policy_new();
    CHECK_OK(tlsloop_tls_set_verify(config.tls, TLSLOOP_VERIFY_NONE));
    CHECK_OK(tlsloop_tls_set_alpn(config.tls, offered, needed));
    int answer = tlsloop_client_connect(&config, &client);
    tlsloop_tls_free(config.tls);
    if (answer != TLSLOOP_OK) return answer;
    CHECK_OK(tlsloop_client_info(client, info));
    CHECK_OK(tlsloop_client_close(client));
    return TLSLOOP_OK;
}

/* A client offers its list, and may require an answer, too. */
static void from_the_clients_side(void)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    struct fixture *f = policy_serve(speaking("h2,http/1.1", 0));
    CHECK_OK(talk(f, "http/1.1,h2", 1, &info));
    CHECK_STR(info.alpn, "h2");
    CHECK_OK(talk(f, "imap", 0, &info));
    CHECK_STR(info.alpn, "");
    CHECK_EQ(talk(f, "imap", 1, &info), TLSLOOP_ETLS);
    CHECK_HAS(tlsloop_last_error(), "none of the protocols");
    policy_reload(f, speaking("h2", 1));
    CHECK_EQ(talk(f, "imap", 0, &info), TLSLOOP_ETLS);
    CHECK_HAS(tlsloop_last_error(), "no application protocol");
    EVENTUALLY_EQ(f->disconnects + f->handshakes_failed, 4);
    fixture_stop(f);
}

static void lists_that_cannot_be(void)
{
    static char name[257], list[600];
    static const char *const bad[] = { "", ",", "h2,", ",h2", "h2,,imap", " " };
    tlsloop_tls *tls = policy_new();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_FAILS(tlsloop_tls_set_alpn(tls, bad[i], 0), TLSLOOP_EINVAL, "alpn");
    memset(name, 'x', 256);
    CHECK_FAILS(tlsloop_tls_set_alpn(tls, name, 0), TLSLOOP_EINVAL, "alpn");
    CHECK_FAILS(tlsloop_tls_set_alpn(tls, NULL, 0), TLSLOOP_EINVAL, "comma_separated");
    name[255] = 0;
    CHECK_OK(tlsloop_tls_set_alpn(tls, name, 0));
    snprintf(list, sizeof list, "%s,h2", name);
    CHECK_OK(tlsloop_tls_set_alpn(tls, list, 0));
    tlsloop_tls_free(tls);
}

CHECK_MAIN(CASE(a_server_that_has_no_list), CASE(not_required), CASE(required), CASE(a_reload_changes_the_list),
           CASE(a_resumed_session_agrees_anew), CASE(from_the_clients_side), CASE(lists_that_cannot_be))
