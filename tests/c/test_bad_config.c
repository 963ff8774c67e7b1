/*
 * Bad configuration: the right code, and a sentence that names the culprit; nothing is leaked.
 *
 * Each case runs many times over and then looks at the descriptors and the heap.
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "keys.h"
#include "measure.h"
#include "peer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void leaks_nothing(void (*attempt)(void))
{
    /* What is made once, and what the allocator keeps at hand for such sizes. */
    for (unsigned i = 0; i < check_scaled(100); i++) attempt();
    unsigned descriptors = measure_descriptors(), threads = measure_threads();
    size_t heap = measure_heap();
    for (unsigned i = 0; i < check_scaled(200); i++) attempt();
    CHECK_EQ(measure_descriptors(), descriptors);
    CHECK_EQ(measure_threads(), threads);
    measure_heap_is_back(heap);
}

static tlsloop_tls *new_tls(void)
{
    tlsloop_tls *tls = tlsloop_tls_new();
    CHECK(tls != NULL);
    return tls;
}

/* One policy for all attempts: what is under test is the server's part. */
static tlsloop_tls *the_tls;

static void free_tls(void)
{
    tlsloop_tls_free(the_tls);
}

static tlsloop_tls *good_tls(void)
{
    if (the_tls) return the_tls;
    the_tls = new_tls();
    CHECK_OK(tlsloop_tls_add_self_signed(the_tls, "localhost"));
    CHECK(atexit(free_tls) == 0);
    return the_tls;
}

static const tlsloop_callbacks no_callbacks = TLSLOOP_CALLBACKS_INIT;

static tlsloop_server_config good_config(void)
{
    tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
    config.address = "127.0.0.1";
    config.tls = good_tls();
    config.callbacks = &no_callbacks;
    return config;
}

/* "Out parameters are written on success only." */
static void start_fails(const tlsloop_server_config *config, int code, const char *part)
{
    tlsloop_server *const untouched = (tlsloop_server *)&untouched;
    tlsloop_server *out = untouched;
    CHECK_FAILS(tlsloop_server_start(config, &out), code, part);
    CHECK(out == untouched);
}

static void start_works(const tlsloop_server_config *config)
{
    tlsloop_server *server = NULL;
    CHECK_OK(tlsloop_server_start(config, &server));
    CHECK(tlsloop_server_port(server) > 0);
    CHECK_OK(tlsloop_server_stop(server, 0));
}

static struct identity one, other, locked;

static void make_keys(void)
{
    if (one.chain[0]) return;
    one = keys_local();
    other = keys_local();
    locked = keys_make((struct identity_spec){ .names = "DNS:localhost", .password = "secret" });
    keys_file("empty.pem", "", 0);
    keys_file("rubbish.pem", "this is not PEM\n", 16);
}

static const char *in_dir(const char *name)
{
    static char path[160];
    snprintf(path, sizeof path, "%s/%s", keys_dir(), name);
    return path;
}

static void certificate_fails(const char *chain, const char *key, int code, const char *part)
{
    tlsloop_tls *tls = new_tls();
    CHECK_FAILS(tlsloop_tls_add_certificate_file(tls, chain, key), code, part);
    /* The policy is as it was: a good pair still fits. */
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, one.chain, one.key));
    tlsloop_tls_free(tls);
}

/* "missing file" */
static void try_missing_file(void)
{
    make_keys();
    certificate_fails("/nonexistent/server.crt", one.key, TLSLOOP_ESYS, "/nonexistent/server.crt");
    certificate_fails(one.chain, "/nonexistent/server.key", TLSLOOP_ESYS, "/nonexistent/server.key");
    tlsloop_tls *tls = new_tls();
    CHECK_EQ(tlsloop_tls_add_certificate_file(tls, "/nonexistent/server.crt", one.key), TLSLOOP_ESYS);
    CHECK_HAS(tlsloop_last_error(), "No such file or directory"); /* "errno's own words" */
    CHECK_FAILS(tlsloop_tls_set_trust_file(tls, "/nonexistent/ca.pem"), TLSLOOP_ESYS,
                "/nonexistent/ca.pem");
    tlsloop_tls_free(tls);
}

static void missing_file(void)
{
    leaks_nothing(try_missing_file);
}

/* "key of another certificate" */
static void try_key_of_another_certificate(void)
{
    make_keys();
    certificate_fails(one.chain, other.key, TLSLOOP_ETLS, one.chain);
    certificate_fails(one.chain, other.key, TLSLOOP_ETLS, other.key);
}

static void key_of_another_certificate(void)
{
    leaks_nothing(try_key_of_another_certificate);
}

/* Files that exist and are something else; "an unreadable file … : an error at once". */
static void try_files_of_something_else(void)
{
    make_keys();
    certificate_fails(in_dir("empty.pem"), one.key, TLSLOOP_ETLS, "empty.pem");
    certificate_fails(one.chain, in_dir("empty.pem"), TLSLOOP_ETLS, "empty.pem");
    certificate_fails(in_dir("rubbish.pem"), one.key, TLSLOOP_ETLS, "rubbish.pem");
    certificate_fails(one.chain, in_dir("rubbish.pem"), TLSLOOP_ETLS, "rubbish.pem");
    certificate_fails(one.key, one.key, TLSLOOP_ETLS, one.key); /* a key for a certificate */
    certificate_fails(one.chain, one.chain, TLSLOOP_ETLS, one.chain);
    certificate_fails("/tmp", one.key, TLSLOOP_ESYS, "/tmp"); /* a directory */
    tlsloop_tls *tls = new_tls();
    CHECK_FAILS(tlsloop_tls_set_trust_file(tls, in_dir("empty.pem")), TLSLOOP_ETLS, "empty.pem");
    CHECK_FAILS(tlsloop_tls_set_trust_file(tls, in_dir("rubbish.pem")), TLSLOOP_ETLS, "rubbish.pem");
    tlsloop_tls_free(tls);
}

static void files_of_something_else(void)
{
    leaks_nothing(try_files_of_something_else);
}

/* "an encrypted key without password (never a prompt on the terminal)": the terminal is not even
 * opened, so nothing that waits behind standard input is eaten. */
static void try_encrypted_key_without_password(void)
{
    make_keys();
    int typed[2];
    CHECK(pipe(typed) == 0 && write(typed[1], "secret\n", 7) == 7);
    int saved = dup(0);
    CHECK(dup2(typed[0], 0) == 0);
    certificate_fails(locked.chain, locked.key, TLSLOOP_ETLS, locked.key);
    char still[16];
    CHECK_EQ(read(0, still, sizeof still), 7);
    if (saved >= 0) CHECK(dup2(saved, 0) == 0 && close(saved) == 0);
    close(typed[0]);
    close(typed[1]);
}

static void encrypted_key_without_password(void)
{
    leaks_nothing(try_encrypted_key_without_password);
}

/* "port in use" */
static void try_port_in_use(void)
{
    int port;
    char text[16];
    int taken = tcp_listen(&port);
    tlsloop_server_config config = good_config();
    config.port = (uint16_t)port;
    config.tls = new_tls();
    CHECK_OK(tlsloop_tls_add_self_signed(config.tls, "localhost"));
    snprintf(text, sizeof text, "%d", port);
    start_fails(&config, TLSLOOP_ESYS, text);
    CHECK_HAS(tlsloop_last_error(), "Address already in use");
    CHECK_OK(tlsloop_tls_set_alpn(config.tls, "h2", 0)); /* no server uses the policy yet, so it is not frozen */
    close(taken);
    /* Nor by what fails later. */
    struct rlimit limit, low;
    tlsloop_server *server = NULL;
    unsigned failures = 0;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    config.port = 0;
    for (rlim_t most = 0; !server; most++) {
        low = (struct rlimit){ most, limit.rlim_max };
        CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
        int code = tlsloop_server_start(&config, &server);
        CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        if (code == TLSLOOP_OK) break;
        CHECK_EQ(code, TLSLOOP_ESYS);
        failures++;
        CHECK_OK(tlsloop_tls_set_alpn(config.tls, "h2", 0));
    }
    CHECK(failures > 4);
    CHECK_OK(tlsloop_server_stop(server, 0));
    config.port = (uint16_t)port;
    start_works(&config);
    tlsloop_tls_free(config.tls);
}

static void port_in_use(void)
{
    leaks_nothing(try_port_in_use);
}

/* "address that is not ours" (one of those that documentation may use), and what is no address */
static void try_address_that_is_not_ours(void)
{
    tlsloop_server_config config = good_config();
    config.address = "192.0.2.1";
    start_fails(&config, TLSLOOP_ESYS, "192.0.2.1");
    CHECK_HAS(tlsloop_last_error(), "Cannot assign requested address");
    config.address = "not an address";
    start_fails(&config, TLSLOOP_ESYS, "not an address");
}

static void address_that_is_not_ours(void)
{
    leaks_nothing(try_address_that_is_not_ours);
}

/* "NULL where a value is needed" */
static void try_null_for_the_server(void)
{
    tlsloop_server *server;
    tlsloop_server_config config = good_config();
    tlsloop_stats stats = TLSLOOP_STATS_INIT;
    CHECK_FAILS(tlsloop_server_start(NULL, &server), TLSLOOP_EINVAL, "config");
    CHECK_FAILS(tlsloop_server_start(&config, NULL), TLSLOOP_EINVAL, "out");
    config.tls = NULL; /* "NULL only in MODE_PLAIN" */
    start_fails(&config, TLSLOOP_EINVAL, "tls");
    CHECK_FAILS(tlsloop_server_wait(NULL), TLSLOOP_EINVAL, "server");
    CHECK_EQ(tlsloop_server_request_stop(NULL), TLSLOOP_EINVAL);
    CHECK_FAILS(tlsloop_server_port(NULL), TLSLOOP_EINVAL, "server");
    CHECK_FAILS(tlsloop_server_stats(NULL, &stats), TLSLOOP_EINVAL, "server");
    CHECK_OK(tlsloop_server_stop(NULL, 0)); /* "NULL: OK" */
}

static void null_for_the_server(void)
{
    leaks_nothing(try_null_for_the_server);
}

static void try_null_for_the_policy(void)
{
    make_keys();
    tlsloop_tls *tls = new_tls();
    CHECK_FAILS(tlsloop_tls_add_certificate_file(NULL, one.chain, one.key), TLSLOOP_EINVAL, "tls");
    CHECK_FAILS(tlsloop_tls_add_certificate_file(tls, NULL, one.key), TLSLOOP_EINVAL, "chain_pem");
    CHECK_FAILS(tlsloop_tls_add_certificate_file(tls, one.chain, NULL), TLSLOOP_EINVAL, "key_pem");
    CHECK_FAILS(tlsloop_tls_add_self_signed(NULL, "localhost"), TLSLOOP_EINVAL, "tls");
    CHECK_FAILS(tlsloop_tls_add_self_signed(tls, NULL), TLSLOOP_EINVAL, "names");
    CHECK_FAILS(tlsloop_tls_add_self_signed(tls, ""), TLSLOOP_EINVAL, "names");
    CHECK_FAILS(tlsloop_tls_set_trust_file(NULL, one.chain), TLSLOOP_EINVAL, "tls");
    CHECK_FAILS(tlsloop_tls_set_verify(NULL, TLSLOOP_VERIFY_NONE), TLSLOOP_EINVAL, "tls");
    CHECK_FAILS(tlsloop_tls_set_verify(tls, 99), TLSLOOP_EINVAL, "verify");
    CHECK_FAILS(tlsloop_tls_set_verify(tls, -1), TLSLOOP_EINVAL, "verify");
    CHECK_FAILS(tlsloop_tls_set_pin(NULL, one.sha256), TLSLOOP_EINVAL, "tls");
    CHECK_FAILS(tlsloop_tls_set_pin(tls, "abc"), TLSLOOP_EINVAL, "sha256");
    CHECK_FAILS(tlsloop_tls_set_pin(tls, "zz"), TLSLOOP_EINVAL, "sha256");
    tlsloop_tls_free(tls);
    tlsloop_tls_free(NULL); /* "NULL: nothing" */
}

static void null_for_the_policy(void)
{
    leaks_nothing(try_null_for_the_policy);
}

static void try_null_for_the_client(void)
{
    tlsloop_client *client;
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    tlsloop_info info = TLSLOOP_INFO_INIT;
    char byte;
    config.port = 1;
    CHECK_FAILS(tlsloop_client_connect(NULL, &client), TLSLOOP_EINVAL, "config");
    CHECK_FAILS(tlsloop_client_connect(&config, &client), TLSLOOP_EINVAL, "host");
    config.host = "127.0.0.1";
    CHECK_FAILS(tlsloop_client_connect(&config, NULL), TLSLOOP_EINVAL, "out");
    config.port = 0;
    CHECK_FAILS(tlsloop_client_connect(&config, &client), TLSLOOP_EINVAL, "port");
    config.port = 1;
    config.mode = TLSLOOP_MODE_DETECT; /* "TLS, PLAIN or STARTTLS" */
    CHECK_FAILS(tlsloop_client_connect(&config, &client), TLSLOOP_EINVAL, "mode");
    CHECK_FAILS(tlsloop_client_send(NULL, "a", 1), TLSLOOP_EINVAL, "client");
    CHECK_EQ(tlsloop_client_recv(NULL, &byte, 1), TLSLOOP_EINVAL);
    CHECK_FAILS(tlsloop_client_end(NULL), TLSLOOP_EINVAL, "client");
    CHECK_FAILS(tlsloop_client_fd(NULL), TLSLOOP_EINVAL, "client");
    CHECK_FAILS(tlsloop_client_info(NULL, &info), TLSLOOP_EINVAL, "client");
    CHECK_OK(tlsloop_client_close(NULL)); /* "NULL: OK" */
}

static void null_for_the_client(void)
{
    leaks_nothing(try_null_for_the_client);
}

/* A policy that cannot serve. */
static void try_policy_that_does_not_fit(void)
{
    make_keys();
    tlsloop_server_config config = good_config();
    tlsloop_tls *bare = new_tls(), *trustless = new_tls();
    config.tls = bare; /* a server has to show a certificate */
    start_fails(&config, TLSLOOP_EINVAL, "certificate");
    /* "A server with verify OPTIONAL or REQUIRED and no trust: EINVAL at start." */
    CHECK_OK(tlsloop_tls_add_certificate_file(trustless, one.chain, one.key));
    CHECK_OK(tlsloop_tls_set_verify(trustless, TLSLOOP_VERIFY_REQUIRED));
    config.tls = trustless;
    start_fails(&config, TLSLOOP_EINVAL, "trust");
    tlsloop_tls_free(bare);
    tlsloop_tls_free(trustless);
}

static void policy_that_does_not_fit(void)
{
    leaks_nothing(try_policy_that_does_not_fit);
}

/* "Used by a server or client, a tlsloop_tls is frozen: ESTATE." */
static void a_policy_in_use_is_frozen(void)
{
    make_keys();
    struct fixture *f = fixture_start((struct options){ .config.tls = good_tls() });
    CHECK_EQ(tlsloop_tls_add_certificate_file(good_tls(), one.chain, one.key), TLSLOOP_ESTATE);
    CHECK_EQ(tlsloop_tls_add_self_signed(good_tls(), "other"), TLSLOOP_ESTATE);
    CHECK_EQ(tlsloop_tls_set_trust_file(good_tls(), one.chain), TLSLOOP_ESTATE);
    CHECK_EQ(tlsloop_tls_set_verify(good_tls(), TLSLOOP_VERIFY_NONE), TLSLOOP_ESTATE);
    CHECK_EQ(tlsloop_tls_set_pin(good_tls(), one.sha256), TLSLOOP_ESTATE);
    fixture_stop(f);
}

/* Whoever is refused says which value it was. */
static void try_values_out_of_range(void)
{
    tlsloop_server_config config = good_config();
    config.mode = 99;
    start_fails(&config, TLSLOOP_EINVAL, "mode");
    config = good_config();
    config.send_high_water = 1000;
    config.send_low_water = 1001; /* "above high: EINVAL" */
    start_fails(&config, TLSLOOP_EINVAL, "send_low_water");
    config = good_config();
    config.workers = 1000000;
    start_fails(&config, TLSLOOP_EINVAL, "workers");
    config = good_config();
    config.log_level = 99;
    start_fails(&config, TLSLOOP_EINVAL, "log_level");
    config = good_config();
    config.backlog = -1;
    start_fails(&config, TLSLOOP_EINVAL, "backlog");
    config = good_config();
    config.proxy_protocol = TLSLOOP_PROXY_REQUIRED; /* "NULL with REQUIRED: EINVAL" */
    start_fails(&config, TLSLOOP_EINVAL, "proxy");
}

static void values_out_of_range(void)
{
    leaks_nothing(try_values_out_of_range);
}

CHECK_MAIN(CASE(missing_file), CASE(key_of_another_certificate), CASE(files_of_something_else),
           CASE(encrypted_key_without_password), CASE(port_in_use), CASE(address_that_is_not_ours),
           CASE(null_for_the_server), CASE(null_for_the_policy), CASE(null_for_the_client),
           CASE(policy_that_does_not_fit), CASE(a_policy_in_use_is_frozen),
           CASE(values_out_of_range))
