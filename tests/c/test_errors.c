/* Codes, names and sentences. */
#define _GNU_SOURCE
#include "fixture.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

_Static_assert(TLSLOOP_OK == 0 && TLSLOOP_EINVAL == -1 && TLSLOOP_ENOMEM == -2, "numbers");
_Static_assert(TLSLOOP_ESYS == -3 && TLSLOOP_ETLS == -4 && TLSLOOP_EVERIFY == -5, "numbers");
_Static_assert(TLSLOOP_ECLOSED == -6 && TLSLOOP_EFULL == -7 && TLSLOOP_ETIMEDOUT == -8, "numbers");
_Static_assert(TLSLOOP_ETRUNCATED == -9 && TLSLOOP_EDEADLK == -10, "numbers");
_Static_assert(TLSLOOP_ESTATE == -11 && TLSLOOP_EINTERNAL == -12, "numbers");
_Static_assert(TLSLOOP_NONE == ~0u && TLSLOOP_HOST_DRIVEN == ~0u, "numbers");
_Static_assert(TLSLOOP_PER_CPU == ~0u - 1u && TLSLOOP_NO_LISTENER == -1, "numbers");

/* Every code has words of its own; a number that is no code has some too. */
static void strerror_has_words(void)
{
    const char *words[13];
    for (int i = 0; i <= 12; i++) {
        words[i] = tlsloop_strerror(-i);
        CHECK(words[i] != NULL && strlen(words[i]) > 3);
        for (int j = 0; j < i; j++) CHECK(strcmp(words[i], words[j]) != 0);
    }
    static const int none[] = { 1, -13, -1000, 2147483647, -2147483647 - 1 };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        CHECK(tlsloop_strerror(none[i]) != NULL);
        for (int j = 0; j <= 12; j++) CHECK(strcmp(tlsloop_strerror(none[i]), words[j]) != 0);
    }
}

/* '"peer", "truncated", …': the constants in lower case. */
static void reasons_have_names(void)
{
    static const struct {
        int reason;
        const char *name;
    } reasons[] = {
        { TLSLOOP_REASON_PEER, "peer" },
        { TLSLOOP_REASON_HOST, "host" },
        { TLSLOOP_REASON_TRUNCATED, "truncated" },
        { TLSLOOP_REASON_RESET, "reset" },
        { TLSLOOP_REASON_PROTOCOL, "protocol" },
        { TLSLOOP_REASON_IDLE_TIMEOUT, "idle_timeout" },
        { TLSLOOP_REASON_SEND_TIMEOUT, "send_timeout" },
        { TLSLOOP_REASON_STOPPED, "stopped" },
        { TLSLOOP_REASON_ABORTED, "aborted" },
        { TLSLOOP_REASON_SYSTEM, "system" },
    };
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(reasons[i].reason, i);
        CHECK_STR(tlsloop_reason_name(i), reasons[i].name);
    }
    CHECK(tlsloop_reason_name(-1) != NULL && tlsloop_reason_name(10) != NULL);
    CHECK(tlsloop_reason_name(2147483647) != NULL);
}

/* "'0.1.0 (OpenSSL 3.0.19 …)': the one really loaded"; "TLSLOOP_VERSION_NUMBER (0x00MMmmpp) and
 * tlsloop_version() agree" */
static void the_version(void)
{
    char expected[64];
    snprintf(expected, sizeof expected, "%d.%d.%d (OpenSSL ", TLSLOOP_VERSION_NUMBER >> 16 & 0xff,
             TLSLOOP_VERSION_NUMBER >> 8 & 0xff, TLSLOOP_VERSION_NUMBER & 0xff);
    CHECK(tlsloop_version() == tlsloop_version());
    if (strstr(tlsloop_version(), "(AWS-LC ") != NULL) { /* inside, and with versions of its own */
        memcpy(strstr(expected, "OpenSSL "), "AWS-LC ", sizeof "AWS-LC ");
        CHECK(strncmp(tlsloop_version(), expected, strlen(expected)) == 0);
        return;
    }
    CHECK(strncmp(tlsloop_version(), expected, strlen(expected)) == 0);
    /* The library may have an OpenSSL of its own (vendored); the major version is ours all the same. */
    CHECK_EQ(tlsloop_version()[strlen(expected)], OpenSSL_version(OPENSSL_VERSION_STRING)[0]);
}

static void *other_thread(void *arg)
{
    (void)arg;
    CHECK(strstr(tlsloop_last_error(), "config") == NULL); /* that went wrong elsewhere */
    CHECK_EQ(tlsloop_server_request_stop(NULL), TLSLOOP_EINVAL);
    CHECK_EQ(tlsloop_conn_send(0, "x", 1), TLSLOOP_ECLOSED);
    CHECK(strlen(tlsloop_last_error()) > 0);
    return NULL;
}

/* "per thread, never NULL, valid until the next call on that thread" */
static void last_error_is_per_thread(void)
{
    pthread_t thread;
    char mine[256];
    CHECK(tlsloop_last_error() != NULL);
    tlsloop_server *server;
    CHECK_FAILS(tlsloop_server_start(NULL, &server), TLSLOOP_EINVAL, "config");
    snprintf(mine, sizeof mine, "%s", tlsloop_last_error());
    CHECK(pthread_create(&thread, NULL, other_thread, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK_STR(tlsloop_last_error(), mine);
    CHECK_STR(tlsloop_last_error(), mine); /* asking is no call that changes it */
}

/* "says in one sentence what was wrong, naming the argument, file or peer, with OpenSSL's or errno's
 * own words" */
static void sentences_name_the_culprit(void)
{
    tlsloop_tls *tls = tlsloop_tls_new();
    CHECK(tls != NULL);
    CHECK_FAILS(tlsloop_tls_set_trust_file(tls, "/nonexistent/with \"quotes\" and %s.pem"),
                TLSLOOP_ESYS, "/nonexistent/with \"quotes\" and %s.pem");
    CHECK_HAS(tlsloop_last_error(), "No such file or directory");
    CHECK(strchr(tlsloop_last_error(), '\n') == NULL);
    static char longest[5000];
    memset(longest, 'n', sizeof longest - 1);
    CHECK(tlsloop_tls_set_trust_file(tls, longest) < 0);
    CHECK(strlen(tlsloop_last_error()) > 0);
    CHECK_EQ(tlsloop_tls_set_trust_file(tls, "\xff\xfe not UTF-8"), TLSLOOP_ESYS);
    CHECK(strlen(tlsloop_last_error()) > 0);
    tlsloop_tls_free(tls);
}

CHECK_MAIN(CASE(strerror_has_words), CASE(reasons_have_names), CASE(the_version),
           CASE(last_error_is_per_thread), CASE(sentences_name_the_culprit))
