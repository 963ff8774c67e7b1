/*
 * L34: "given new certificates of which any part is missing, half-written or belongs to another key, tlsloop keeps the
 * old set whole and names the file; given good ones, new handshakes use them at once and no connection ends."
 */
#define _GNU_SOURCE
#include "dial.h"
#include "measure.h"
#include "policy.h"
#include "stage.h"
#include "visitor.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct identity local(enum keys_kind kind)
{
    return keys_make((struct identity_spec){ .names = "DNS:localhost", .kind = kind });
}

static void shows(struct fixture *f, const struct identity *who)
{
    struct peer p = visitor_settle(f->port, (struct visitor){ 0 });
    CHECK_SHOWN(&p, who);
    peer_leave(&p);
}

/* What goes on while the server is reloaded. */
struct load {
    struct fixture *f;
    atomic_bool over;
    atomic_uint echoes, visits;
};

/* One connection for the whole time. */
static void *talker(void *arg)
{
    struct load *load = arg;
    struct peer p = visitor_settle(load->f->port, (struct visitor){ 0 });
    while (!load->over) {
        CHECK(peer_echo(&p, "on and on"));
        load->echoes++;
    }
    peer_leave(&p);
    return NULL;
}

/* A new connection all the time. */
static void *comer(void *arg)
{
    struct load *load = arg;
    while (!load->over) {
        struct peer p = visitor_settle(load->f->port, (struct visitor){ 0 });
        peer_leave(&p);
        load->visits++;
    }
    return NULL;
}

enum { TALKERS = 3, THREADS = 6 };

static void reload_many_times(struct load *load, const struct identity *old, const struct identity *new)
{
    for (unsigned i = 0; i < check_scaled(100); i++) {
        const struct identity *who = i & 1 ? old : new;
        unsigned echoes = load->echoes, visits = load->visits;
        policy_reload(load->f, policy_of(who));
        shows(load->f, who); /* "at once" */
        if (i % 10 == 0) EVENTUALLY(load->echoes > echoes && load->visits > visits);
    }
}

static void l34_under_load(void)
{
    pthread_t threads[THREADS];
    struct identity old = local(KEYS_EC), new = local(KEYS_EC);
    struct load load = { .f = policy_serve_with(policy_of(&old), (struct options){ .config.workers = 2 }) };
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, i < TALKERS ? talker : comer, &load) == 0);
    EVENTUALLY(load.echoes > 0 && load.visits > 0);
    reload_many_times(&load, &old, &new);
    load.over = true;
    for (size_t i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    EVENTUALLY_EQ(load.f->disconnects, load.f->connects);
    CHECK_EQ(load.f->reasons[TLSLOOP_REASON_PEER], load.f->connects); /* none but those that left by themselves */
    CHECK_EQ(load.f->handshakes_failed, 0);
    CHECK_EQ(load.f->connects, load.visits + TALKERS + check_scaled(100));
    fixture_stop(load.f);
}

/* "one whose ClientHello was read keeps the old", and one that has only connected gets the new. */
static void in_the_middle_of_a_handshake(void)
{
    struct identity old = local(KEYS_EC), new = local(KEYS_EC);
    struct fixture *f = policy_serve(policy_of(&old));
    struct peer read = visitor_open(f->port, (struct visitor){ 0 });
    struct peer silent = visitor_open(f->port, (struct visitor){ 0 });
    peer_step(&read);
    CHECK(peer_flush(&read) && peer_fill(&read) > 0);
    EVENTUALLY_EQ(fixture_stats(f).accepted, 2);
    policy_reload(f, policy_of(&new));
    CHECK(peer_handshake(&read) && peer_echo(&read, "old"));
    CHECK_SHOWN(&read, &old);
    CHECK(peer_handshake(&silent) && peer_echo(&silent, "new"));
    CHECK_SHOWN(&silent, &new);
    peer_leave(&read);
    peer_leave(&silent);
    fixture_stop(f);
}

static void start_tls(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    struct record r;
    CHECK(fixture_find(f, conn, &r));
    CHECK_OK(tlsloop_conn_send(conn, data, len));
    if (r.bytes == 1) CHECK_OK(tlsloop_conn_start_tls(conn));
}

/* Behind STARTTLS the handshake begins later than the connection, and so does the policy. */
static void before_starttls(void)
{
    struct identity old = local(KEYS_EC), new = local(KEYS_EC);
    tlsloop_tls *tls = policy_of(&old);
    struct fixture *f = stage_start((struct options){
        .on.data = start_tls, .config = { .mode = TLSLOOP_MODE_STARTTLS, .tls = tls } }, NULL);
    tlsloop_tls_free(tls);
    struct peer first = visitor_open(f->port, (struct visitor){ 0 });
    struct peer second = visitor_open(f->port, (struct visitor){ 0 });
    EVENTUALLY_EQ(f->connects, 2);
    CHECK(tcp_send(first.fd, "1", 1) && dial_expect(first.fd, "1"));
    CHECK(peer_handshake(&first) && peer_echo(&first, "old"));
    CHECK_SHOWN(&first, &old);
    policy_reload(f, policy_of(&new));
    CHECK(tcp_send(second.fd, "2", 1) && dial_expect(second.fd, "2"));
    CHECK(peer_handshake(&second) && peer_echo(&second, "new"));
    CHECK_SHOWN(&second, &new);
    CHECK(peer_echo(&first, "still here"));
    peer_leave(&first);
    peer_leave(&second);
    fixture_stop(f);
}

/* A policy is built whole or not at all: what a program does on SIGHUP. */
static int reload_from(struct fixture *f, const char *chain, const char *key)
{
    tlsloop_tls *tls = policy_new();
    int code = tlsloop_tls_add_certificate_file(tls, chain, key);
    if (code == TLSLOOP_OK) code = tlsloop_server_set_tls(f->server, tls);
    tlsloop_tls_free(tls);
    return code;
}

static void l34_bad_sets_change_nothing(void)
{
    struct identity old = local(KEYS_EC), new = local(KEYS_EC), other = local(KEYS_RSA);
    const char *empty = keys_file("empty.pem", "", 0);
    const struct {
        const char *chain, *key;
        int code;
        const char *named;
    } bad[] = {
        { "/nowhere/new.crt", new.key, TLSLOOP_ESYS, "/nowhere/new.crt" },
        { new.chain, "/nowhere/new.key", TLSLOOP_ESYS, "/nowhere/new.key" },
        { empty, new.key, TLSLOOP_ETLS, empty },
        { new.chain, empty, TLSLOOP_ETLS, empty },
        { new.chain, old.key, TLSLOOP_ETLS, old.key },
        { new.chain, other.key, TLSLOOP_ETLS, other.key },
        { other.chain, new.key, TLSLOOP_ETLS, other.chain },
    };
    struct fixture *f = policy_serve(policy_of(&old));
    struct peer staying = visitor_settle(f->port, (struct visitor){ 0 });
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_FAILS(reload_from(f, bad[i].chain, bad[i].key), bad[i].code, bad[i].named);
        shows(f, &old);
    }
    CHECK_OK(reload_from(f, new.chain, new.key));
    shows(f, &new);
    CHECK(peer_echo(&staying, "still here"));
    peer_leave(&staying);
    fixture_stop(f);
}

/* "half-written": whoever copies a file over the old one may be met at any byte. */
static void l34_half_written(void)
{
    char chain[16384], key[4096];
    struct identity root = keys_make((struct identity_spec){ 0 });
    struct identity middle = keys_make((struct identity_spec){ .issuer = &root, .may_issue = 1 });
    struct identity new =
        keys_make((struct identity_spec){ .names = "DNS:localhost", .issuer = &middle, .with_issuers = 1 });
    unsigned long chain_len = keys_read(new.chain, chain, sizeof chain), key_len = keys_read(new.key, key, sizeof key);
    const char *second = strstr(chain + 1, "-----BEGIN");
    unsigned long boundary = (unsigned long)(second - chain), step = check_time_factor();
    tlsloop_tls *tls = policy_new();
    for (unsigned long cut = 0; cut < chain_len - 1; cut += step) {
        /* Between two certificates nobody can know that a third was to come. */
        if (cut == boundary || cut == boundary - 1) continue;
        const char *path = keys_file("cut.crt", chain, cut);
        int code = tlsloop_tls_add_certificate_file(tls, path, new.key);
        if (code != TLSLOOP_ETLS) check_failed(__FILE__, __LINE__, "%lu bytes of a chain were taken: %d", cut, code);
        CHECK_HAS(tlsloop_last_error(), path);
    }
    for (unsigned long cut = 0; cut < key_len - 1; cut += step) {
        const char *path = keys_file("cut.key", key, cut);
        CHECK_FAILS(tlsloop_tls_add_certificate_file(tls, new.chain, path), TLSLOOP_ETLS, path);
    }
    tlsloop_tls_free(tls);
}

static void what_no_server_can_use(void)
{
    struct identity old = local(KEYS_EC);
    struct fixture *f = policy_serve(policy_of(&old));
    tlsloop_tls *empty = policy_new();
    CHECK_FAILS(tlsloop_server_set_tls(f->server, empty), TLSLOOP_EINVAL, "certificate");
    CHECK_FAILS(tlsloop_server_set_tls(f->server, NULL), TLSLOOP_EINVAL, "tls");
    CHECK_FAILS(tlsloop_server_set_tls(NULL, empty), TLSLOOP_EINVAL, "server");
    tlsloop_tls_free(empty);
    shows(f, &old);
    fixture_stop(f);
    f = stage_start((struct options){ .config.mode = TLSLOOP_MODE_PLAIN }, NULL);
    tlsloop_tls *tls = policy_of(&old);
    CHECK_FAILS(tlsloop_server_set_tls(f->server, tls), TLSLOOP_ESTATE, "plain");
    CHECK_OK(tlsloop_tls_set_verify(tls, TLSLOOP_VERIFY_NONE)); /* "otherwise nothing has changed" */
    tlsloop_tls_free(tls);
    fixture_stop(f);
}

/* "Used by a server or client, a tlsloop_tls is frozen: ESTATE" */
static void a_policy_in_use_is_frozen(void)
{
    const char *path;
    struct identity who = local(KEYS_EC);
    tlsloop_tls *tls = policy_of(&who);
    struct fixture *f = fixture_start((struct options){ .config.tls = tls });
    path = who.chain;
    CHECK_EQ(tlsloop_tls_set_key_password(tls, "x"), TLSLOOP_ESTATE);
    CHECK_EQ(tlsloop_tls_add_certificate_file(tls, who.chain, who.key), TLSLOOP_ESTATE);
    CHECK_EQ(tlsloop_tls_add_self_signed(tls, "localhost"), TLSLOOP_ESTATE);
    CHECK_EQ(tlsloop_tls_set_ocsp_file(tls, path), TLSLOOP_ESTATE);
    CHECK_EQ(tlsloop_tls_set_trust_file(tls, path), TLSLOOP_ESTATE);
    CHECK_EQ(tlsloop_tls_set_trust(tls, "x", 1), TLSLOOP_ESTATE);
    CHECK_EQ(tlsloop_tls_set_crl_file(tls, path), TLSLOOP_ESTATE);
    CHECK_EQ(tlsloop_tls_set_verify(tls, TLSLOOP_VERIFY_NONE), TLSLOOP_ESTATE);
    CHECK_EQ(tlsloop_tls_set_pin(tls, who.sha256), TLSLOOP_ESTATE);
    CHECK_EQ(tlsloop_tls_set_versions(tls, TLSLOOP_TLS1_2, TLSLOOP_TLS1_3), TLSLOOP_ESTATE);
    CHECK_EQ(tlsloop_tls_set_ciphers(tls, "ECDHE+AESGCM", NULL), TLSLOOP_ESTATE);
    CHECK_EQ(tlsloop_tls_set_groups(tls, "X25519"), TLSLOOP_ESTATE);
    CHECK_EQ(tlsloop_tls_set_alpn(tls, "h2", 0), TLSLOOP_ESTATE);
    CHECK_EQ(tlsloop_tls_set_ticket_key_files(tls, &path, 1), TLSLOOP_ESTATE);
    CHECK_EQ(tlsloop_tls_set_keylog_file(tls, path), TLSLOOP_ESTATE);
    CHECK_HAS(tlsloop_last_error(), "in use");
    CHECK_OK(tlsloop_server_set_tls(f->server, tls)); /* but it may be used again */
    tlsloop_tls_free(tls);
    shows(f, &who);
    fixture_stop(f);
}

static void reload_in_the_callback(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    tlsloop_tls *tls = policy_of(f->context);
    policy_reload(f, tls);
    CHECK_OK(tlsloop_conn_send(conn, data, len));
}

/* From inside a callback, too; the connection that it runs for goes on under the old policy. */
static void from_inside_a_callback(void)
{
    struct identity old = local(KEYS_EC), new = local(KEYS_EC);
    struct fixture *f = policy_serve_with(
        policy_of(&old), (struct options){ .on.data = reload_in_the_callback, .context = &new });
    shows(f, &old);
    shows(f, &new);
    fixture_stop(f);
}

static void *reloads(void *arg)
{
    struct load *load = arg;
    while (!load->over) {
        struct identity *who = load->f->context;
        policy_reload(load->f, policy_of(who));
        load->echoes++;
    }
    return NULL;
}

/* Several threads at once; what is not used any more is given back. */
static void many_threads_many_times(void)
{
    pthread_t threads[3];
    struct identity who = local(KEYS_EC);
    struct load load = { .f = policy_serve_with(policy_of(&who), (struct options){ .context = &who }) };
    for (unsigned round = 0; round < 2; round++) {
        size_t heap = measure_heap();
        load.over = false;
        load.echoes = 0;
        for (size_t i = 0; i < 3; i++) CHECK(pthread_create(&threads[i], NULL, reloads, &load) == 0);
        EVENTUALLY(load.echoes > check_scaled(200));
        shows(load.f, &who);
        load.over = true;
        for (size_t i = 0; i < 3; i++) CHECK(pthread_join(threads[i], NULL) == 0);
        EVENTUALLY_EQ(load.f->disconnects, load.f->connects);
        if (round == 1) measure_heap_is_back(heap);
    }
    fixture_stop(load.f);
}

CHECK_MAIN(CASE(l34_under_load), CASE(in_the_middle_of_a_handshake), CASE(before_starttls),
           CASE(l34_bad_sets_change_nothing), CASE(l34_half_written), CASE(what_no_server_can_use),
           CASE(a_policy_in_use_is_frozen), CASE(from_inside_a_callback), CASE(many_threads_many_times))
