/* What a server adds to its handshakes: "OCSP stapling from a DER file per certificate", and the key log. */
#define _GNU_SOURCE
#include "measure.h"
#include "outgoing.h"
#include "policy.h"
#include "visitor.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

struct cast {
    struct identity root, a, b;
};

static struct cast cast(void)
{
    struct cast c;
    c.root = keys_make((struct identity_spec){ .common_name = "root" });
    c.a = keys_make((struct identity_spec){ .names = "DNS:a.example,IP:127.0.0.1", .issuer = &c.root });
    c.b = keys_make((struct identity_spec){ .names = "DNS:b.example", .issuer = &c.root });
    return c;
}

/* The client is given exactly the content of this file with the certificate; NULL: nothing. */
static void is_stapled(struct fixture *f, const char *name, const char *path)
{
    for (size_t i = 0; i < 2; i++) {
        unsigned char expected[8192];
        const unsigned char *given;
        struct visitor v = { .server_name = name, .version = versions[i], .wants_staple = true };
        struct peer p = visitor_settle(f->port, v);
        long len = SSL_get_tlsext_status_ocsp_resp(p.ssl, &given);
        if (path) {
            unsigned long whole = keys_read(path, expected, sizeof expected);
            CHECK_EQ(len, whole);
            CHECK(memcmp(given, expected, whole) == 0);
        } else {
            CHECK_EQ(len, -1);
        }
        peer_leave(&p);
        v.wants_staple = false;
        p = visitor_settle(f->port, v); /* who does not ask gets none, and is served as well */
        CHECK_EQ(SSL_get_tlsext_status_ocsp_resp(p.ssl, &given), -1);
        peer_leave(&p);
    }
}

/* "for the last certificate added" */
static void each_certificate_has_its_own_response(void)
{
    struct cast c = cast();
    struct identity plain = keys_make((struct identity_spec){ .names = "DNS:plain.example" });
    const char *of_a = keys_ocsp(&c.root, &c.a, OCSP_GOOD), *of_b = keys_ocsp(&c.root, &c.b, OCSP_ENDLESS);
    tlsloop_tls *tls = policy_of(&c.a);
    CHECK_OK(tlsloop_tls_set_ocsp_file(tls, of_a));
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, c.b.chain, c.b.key));
    CHECK_OK(tlsloop_tls_set_ocsp_file(tls, keys_ocsp(&c.root, &c.b, OCSP_GOOD)));
    CHECK_OK(tlsloop_tls_set_ocsp_file(tls, of_b)); /* replaces */
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, plain.chain, plain.key));
    struct fixture *f = policy_serve(tls);
    is_stapled(f, "a.example", of_a);
    is_stapled(f, "b.example", of_b);
    is_stapled(f, "plain.example", NULL);
    is_stapled(f, NULL, of_a);
    CHECK_EQ(f->warnings, 0);
    /* A newer one comes with a new policy. */
    const char *newer = keys_ocsp(&c.root, &c.a, OCSP_ENDLESS);
    tls = policy_of(&c.a);
    CHECK_OK(tlsloop_tls_set_ocsp_file(tls, newer));
    policy_reload(f, tls);
    is_stapled(f, "a.example", newer);
    fixture_stop(f);
}

/* "Once it is out of date it is no longer sent, and using the policy logs a warning." */
static void a_response_that_is_out_of_date(void)
{
    struct cast c = cast();
    const char *old = keys_ocsp(&c.root, &c.a, OCSP_OLD);
    tlsloop_tls *tls = policy_of(&c.a);
    CHECK_OK(tlsloop_tls_set_ocsp_file(tls, old));
    struct fixture *f = policy_serve(tls);
    CHECK_EQ(f->warnings, 1);
    CHECK(policy_logged(old));
    is_stapled(f, "a.example", NULL);
    fixture_stop(f);
}

static void responses_that_cannot_be_used(void)
{
    unsigned char text[8192] = { 0 };
    struct cast c = cast();
    const char *good = keys_ocsp(&c.root, &c.a, OCSP_GOOD), *other = keys_ocsp(&c.root, &c.b, OCSP_GOOD);
    const char *later = keys_ocsp(&c.root, &c.a, OCSP_LATER), *empty = keys_file("empty.ocsp", "", 0);
    unsigned long len = keys_read(good, text, sizeof text - 1);
    const char *half = keys_file("half.ocsp", text, len / 2), *longer = keys_file("longer.ocsp", text, len + 1);
    const char *const bad[] = { empty, half, longer, later, other, c.a.chain };
    tlsloop_tls *tls = policy_new();
    CHECK_FAILS(tlsloop_tls_set_ocsp_file(tls, good), TLSLOOP_ESTATE, "certificate");
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, c.a.chain, c.a.key));
    CHECK_OK(tlsloop_tls_set_ocsp_file(tls, good));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_FAILS(tlsloop_tls_set_ocsp_file(tls, bad[i]), TLSLOOP_ETLS, bad[i]);
    CHECK_FAILS(tlsloop_tls_set_ocsp_file(tls, "/nowhere/a.ocsp"), TLSLOOP_ESYS, "/nowhere/a.ocsp");
    CHECK_FAILS(tlsloop_tls_set_ocsp_file(tls, NULL), TLSLOOP_EINVAL, "der");
    struct fixture *f = policy_serve(tls);
    is_stapled(f, NULL, good); /* none of these has replaced it */
    fixture_stop(f);
}

static char own_lines[8192]; /* what a visitor's OpenSSL has to say about its secrets */

static void keep_line(const SSL *ssl, const char *line)
{
    size_t used = strlen(own_lines);
    (void)ssl;
    CHECK(used + strlen(line) + 2 < sizeof own_lines);
    sprintf(own_lines + used, "%s\n", line);
}

/* One visit, which leaves its secrets in `own_lines`. */
static void visit_and_keep(struct fixture *f, int version)
{
    struct visitor v = { .version = version };
    SSL_CTX *ctx = visitor_context(&v);
    own_lines[0] = 0;
    SSL_CTX_set_keylog_callback(ctx, keep_line);
    struct peer p = peer_connect_with(f->port, (struct peer_options){ .context = ctx });
    CHECK(peer_echo(&p, "secret"));
    peer_leave(&p);
    SSL_CTX_free(ctx);
}

/* Every secret of the visitor's stands in the file, in the lines that Wireshark knows. */
static void all_are_in(const char *path)
{
    char text[16384], *rest = own_lines, *line;
    text[keys_read(path, text, sizeof text - 1)] = 0;
    CHECK(own_lines[0] != 0);
    while ((line = strsep(&rest, "\n")) != NULL && *line) CHECK_HAS(text, line);
}

static void a_key_log(void)
{
    struct stat facts;
    char path[160];
    struct identity who = keys_local();
    snprintf(path, sizeof path, "%s/keys.log", keys_dir());
    for (int i = 0; i < 2; i++) {
        tlsloop_tls *tls = policy_of(&who);
        CHECK_OK(tlsloop_tls_set_keylog_file(tls, path));
        struct fixture *f = policy_serve(tls);
        visit_and_keep(f, TLS1_3_VERSION);
        CHECK_HAS(own_lines, "CLIENT_TRAFFIC_SECRET_0 ");
        all_are_in(path);
        visit_and_keep(f, TLS1_2_VERSION);
        CHECK_HAS(own_lines, "CLIENT_RANDOM ");
        all_are_in(path);
        policy_reload(f, policy_of(&who)); /* without */
        char before[16384], after[16384];
        unsigned long len = keys_read(path, before, sizeof before);
        visit_and_keep(f, TLS1_3_VERSION);
        CHECK_EQ(keys_read(path, after, sizeof after), len);
        f->loose_descriptors = true; /* the log's was there before the server, and goes with the policy */
        fixture_stop(f); /* the second time round it is the same file: "Appends" */
        CHECK(stat(path, &facts) == 0);
        CHECK_EQ(facts.st_mode & 0777, 0600); /* "made for its owner alone" */
    }
    char text[32768];
    text[keys_read(path, text, sizeof text - 1)] = 0;
    CHECK(strstr(strstr(text, "CLIENT_RANDOM") + 1, "CLIENT_RANDOM") != NULL);
}

static void a_key_log_of_outgoing_connections(void)
{
    char path[160], text[16384];
    struct identity who = keys_local();
    struct fixture *f = policy_serve(policy_of(&who));
    for (int door = BY_CLIENT; door <= BY_SERVER; door++) {
        snprintf(path, sizeof path, "%s/%d.log", keys_dir(), door);
        tlsloop_tls *tls = policy_trusting(&who);
        CHECK_OK(tlsloop_tls_set_keylog_file(tls, path));
        outgoing_welcome((struct outgoing){ .door = (enum outgoing_door)door, .port = f->port, .tls = tls });
        tlsloop_tls_free(tls);
        text[keys_read(path, text, sizeof text - 1)] = 0;
        CHECK_HAS(text, "CLIENT_TRAFFIC_SECRET_0 ");
    }
    EVENTUALLY_EQ(f->disconnects, 2);
    fixture_stop(f);
}

static void a_key_log_that_cannot_be_written(void)
{
    unsigned descriptors = measure_descriptors();
    tlsloop_tls *tls = policy_new();
    CHECK_FAILS(tlsloop_tls_set_keylog_file(tls, "/nowhere/keys.log"), TLSLOOP_ESYS, "/nowhere/keys.log");
    CHECK_FAILS(tlsloop_tls_set_keylog_file(tls, keys_dir()), TLSLOOP_ESYS, keys_dir());
    CHECK_FAILS(tlsloop_tls_set_keylog_file(tls, NULL), TLSLOOP_EINVAL, "path");
    /* A disk that is full must not end connections. */
    struct identity who = keys_local();
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, who.chain, who.key));
    CHECK_OK(tlsloop_tls_set_keylog_file(tls, "/dev/full"));
    struct fixture *f = policy_serve(tls);
    visit_and_keep(f, TLS1_3_VERSION);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    f->loose_descriptors = true;
    fixture_stop(f);
    CHECK_EQ(measure_descriptors(), descriptors);
}

/* Nor may a pipe that is full hold anybody up. */
static void a_key_log_that_nobody_reads(void)
{
    char path[160];
    struct identity who = keys_local();
    snprintf(path, sizeof path, "%s/keys.pipe", keys_dir());
    CHECK(mkfifo(path, 0600) == 0);
    tlsloop_tls *unread = policy_new();
    CHECK_FAILS(tlsloop_tls_set_keylog_file(unread, path), TLSLOOP_ESYS, "keys.pipe");
    tlsloop_tls_free(unread);
    int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    CHECK(reader >= 0 && fcntl(reader, F_SETPIPE_SZ, 4096) >= 0);
    tlsloop_tls *tls = policy_of(&who);
    CHECK_OK(tlsloop_tls_set_keylog_file(tls, path));
    struct fixture *f = policy_serve(tls);
    f->loose_descriptors = true;
    for (int i = 0; i < 20; i++) visit_and_keep(f, TLS1_3_VERSION);
    fixture_stop(f);
    close(reader);
}

CHECK_MAIN(CASE(each_certificate_has_its_own_response), CASE(a_response_that_is_out_of_date),
           CASE(responses_that_cannot_be_used), CASE(a_key_log), CASE(a_key_log_of_outgoing_connections),
           CASE(a_key_log_that_cannot_be_written), CASE(a_key_log_that_nobody_reads))
