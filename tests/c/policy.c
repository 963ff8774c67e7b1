#define _GNU_SOURCE
#include "policy.h"

#include <stdio.h>
#include <string.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char lines[16384]; /* guarded */

static void keep_line(struct fixture *f, int level, const char *line)
{
    (void)f;
    (void)level;
    pthread_mutex_lock(&mutex);
    size_t used = strlen(lines);
    if (used + strlen(line) + 2 < sizeof lines) sprintf(lines + used, "%s\n", line);
    pthread_mutex_unlock(&mutex);
}

static struct record last; /* guarded */

static void note_failure(struct fixture *f, tlsloop_conn conn, int code, const char *peer,
                         const char *why)
{
    (void)f;
    (void)peer;
    pthread_mutex_lock(&mutex);
    last = (struct record){ .conn = conn, .code = code, .failures = 1 };
    snprintf(last.why, sizeof last.why, "%s", why);
    pthread_mutex_unlock(&mutex);
}

bool policy_logged(const char *part)
{
    pthread_mutex_lock(&mutex);
    bool found = strstr(lines, part) != NULL;
    pthread_mutex_unlock(&mutex);
    return found;
}

void policy_forget_log(void)
{
    pthread_mutex_lock(&mutex);
    lines[0] = 0;
    pthread_mutex_unlock(&mutex);
}

tlsloop_tls *policy_new(void)
{
    tlsloop_tls *tls = tlsloop_tls_new();
    CHECK(tls != NULL);
    return tls;
}

tlsloop_tls *policy_of(const struct identity *who)
{
    tlsloop_tls *tls = policy_new();
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, who->chain, who->key));
    return tls;
}

tlsloop_tls *policy_trusting(const struct identity *ca)
{
    tlsloop_tls *tls = policy_new();
    CHECK_OK(tlsloop_tls_set_trust_file(tls, ca->chain));
    return tls;
}

struct fixture *policy_serve_with(tlsloop_tls *tls, struct options options)
{
    options.config.tls = tls;
    options.on.log = keep_line;
    options.on.handshake_failed = note_failure;
    struct fixture *f = fixture_start(options);
    tlsloop_tls_free(tls);
    return f;
}

struct fixture *policy_serve(tlsloop_tls *tls)
{
    return policy_serve_with(tls, (struct options){ 0 });
}

void policy_reload(struct fixture *f, tlsloop_tls *tls)
{
    CHECK_OK(tlsloop_server_set_tls(f->server, tls));
    tlsloop_tls_free(tls);
}

tlsloop_info policy_info(struct fixture *f, unsigned n)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    CHECK_OK(tlsloop_conn_info(fixture_conn(f, n), &info));
    return info;
}

struct record policy_failure(struct fixture *f, unsigned n)
{
    EVENTUALLY_EQ(f->handshakes_failed, n + 1);
    pthread_mutex_lock(&mutex);
    struct record failure = last;
    pthread_mutex_unlock(&mutex);
    return failure;
}

bool policy_on_aws_lc(void) { return strstr(tlsloop_version(), "(AWS-LC ") != NULL; }
