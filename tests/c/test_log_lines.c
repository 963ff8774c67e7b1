/* The form of the log: every line splits into key=value pairs as tlsloop-log(7) tells it, in the order that it tells, and
 * what concerns a connection names it and its peer. */
#define _GNU_SOURCE
#include "keys.h"
#include "peer.h"
#include "stage.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Each event and its keys. */
static const struct { const char *event, *keys; int level; } known[] = {
    { "start", "address mode workers version openssl", TLSLOOP_LOG_INFO },
    { "set_tls", "", TLSLOOP_LOG_INFO },
    { "drain", "open", TLSLOOP_LOG_INFO },
    { "stop", "grace_ms open", TLSLOOP_LOG_INFO },
    { "stopped", "connects handshakes_failed bytes_in bytes_out", TLSLOOP_LOG_INFO },
    { "tls_warning", "why", TLSLOOP_LOG_WARN },
    { "refused", "peer by", TLSLOOP_LOG_DEBUG },
    { "connect", "conn peer tls cipher resumed alpn sni", TLSLOOP_LOG_DEBUG },
    { "tls", "conn peer tls cipher resumed alpn sni", TLSLOOP_LOG_DEBUG },
    { "disconnect", "conn peer reason bytes_in bytes_out age_ms why", TLSLOOP_LOG_DEBUG },
    { "handshake_failed", "conn peer reason bytes_in bytes_out age_ms why", TLSLOOP_LOG_DEBUG },
};
enum { EVENTS = sizeof known / sizeof *known, PAIRS = 10, VALUE = 1024 };

/* All lines of a case, read. */
struct book {
    pthread_mutex_t mutex;
    unsigned seen[EVENTS];
    char sni[VALUE], warning[VALUE], address[VALUE], tls[VALUE];
};

struct pair {
    char key[32], value[VALUE];
};

/* One character of a value in quotes, as the manual says it is written. */
static char unescaped(const char **at)
{
    const char *p = *at + 1;
    char c = *p;
    if (c == 'n') c = '\n';
    else if (c == 'r') c = '\r';
    else if (c == 't') c = '\t';
    else if (c == 'u') {
        char *end;
        CHECK(p[1] == '{');
        c = (char)strtol(p + 2, &end, 16);
        CHECK(*end == '}');
        p = end;
    } else
        CHECK(c == '"' || c == '\\');
    *at = p + 1;
    return c;
}

static const char *read_value(const char *at, char *value)
{
    size_t len = 0;
    bool quoted = *at == '"';
    for (at += quoted; quoted ? *at != '"' : *at != ' ' && *at != '\0';) {
        CHECK(len < VALUE - 1 && (unsigned char)*at >= ' ' && *at != 127);
        CHECK(quoted || (*at != '"' && *at != '\\' && *at != '='));
        value[len++] = *at == '\\' ? unescaped(&at) : *at++;
    }
    value[len] = '\0';
    CHECK(quoted || len > 0);
    return at + quoted;
}

static size_t read_line(const char *line, struct pair *pairs)
{
    size_t n = 0;
    for (const char *at = line;; at++) {
        size_t len = strspn(at, "abcdefghijklmnopqrstuvwxyz_");
        CHECK(n < PAIRS && len > 0 && len < sizeof pairs->key && at[len] == '=');
        snprintf(pairs[n].key, sizeof pairs->key, "%.*s", (int)len, at);
        at = read_value(at + len + 1, pairs[n++].value);
        if (*at == '\0') return n;
        CHECK_EQ(*at, ' ');
    }
}

static void check_subject(struct fixture *f, const struct pair *pairs)
{
    struct record r;
    CHECK_STR(pairs[1].key, "conn");
    CHECK_STR(pairs[2].key, "peer");
    CHECK(strncmp(pairs[2].value, "127.0.0.1:", 10) == 0);
    tlsloop_conn conn = strtoull(pairs[1].value, NULL, 10);
    if (fixture_find(f, conn, &r) && r.peer[0] != '\0')
        CHECK_STR(pairs[2].value, r.peer);
}

static void write_down(struct fixture *f, int level, const char *line)
{
    struct book *book = f->context;
    struct pair pairs[PAIRS];
    char keys[256] = "";
    size_t n = read_line(line, pairs), i = 0;
    CHECK_STR(pairs[0].key, "event");
    while (i < EVENTS && strcmp(known[i].event, pairs[0].value) != 0) i++;
    if (i == EVENTS) CHECK_STR(line, "a line with an event that the manual knows");
    for (size_t k = 1; k < n; k++) {
        strcat(keys, k > 1 ? " " : "");
        strcat(keys, pairs[k].key);
    }
    CHECK_STR(keys, known[i].keys);
    CHECK_EQ(level, known[i].level);
    if (strstr(known[i].keys, "conn ")) check_subject(f, pairs);
    pthread_mutex_lock(&book->mutex);
    book->seen[i]++;
    if (strcmp(pairs[0].value, "start") == 0) strcpy(book->address, pairs[1].value);
    if (strcmp(pairs[0].value, "tls_warning") == 0) strcpy(book->warning, pairs[1].value);
    if (strcmp(pairs[0].value, "connect") == 0) {
        strcpy(book->tls, pairs[3].value);
        if (pairs[7].value[0] != '\0') strcpy(book->sni, pairs[7].value);
    }
    pthread_mutex_unlock(&book->mutex);
}

static unsigned seen(struct book *book, const char *event)
{
    size_t i = 0;
    while (strcmp(known[i].event, event) != 0) i++;
    pthread_mutex_lock(&book->mutex);
    unsigned times = book->seen[i];
    pthread_mutex_unlock(&book->mutex);
    return times;
}

static struct options debug(struct book *book, int mode)
{
    *book = (struct book){ .mutex = PTHREAD_MUTEX_INITIALIZER };
    return (struct options){ .on.log = write_down, .context = book,
                             .config = { .log_level = TLSLOOP_LOG_DEBUG, .mode = mode } };
}

/* A certificate that has expired, in a file whose name would break a careless line. */
static tlsloop_tls *expired_policy(void)
{
    struct identity old = keys_make((struct identity_spec){ .names = "DNS:localhost", .expired = 1 });
    static char chain[300];
    tlsloop_tls *tls = tlsloop_tls_new();
    snprintf(chain, sizeof chain, "%s/a \"b\\ c=1\nevent=forged.crt", keys_dir());
    CHECK_EQ(rename(old.chain, chain), 0);
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, chain, old.key));
    CHECK_EQ(unlink(chain), 0);
    return tls;
}

static void rubbish(int port)
{
    int fd = tcp_connect(port);
    CHECK(tcp_send(fd, "SSH-2.0-nonsense\r\n", 18));
    tcp_until_end(fd);
    close(fd);
}

/* Whoever comes as the fifth. */
static int refuse_the_fifth(struct fixture *f, const char *peer)
{
    (void)peer;
    return f->connects == 4 && f->handshakes_failed == 4;
}

/* Guests who come, go, vanish, talk rubbish and call themselves names; a reload, a drain, a stop. */
static void a_lively_run(void)
{
    static struct book book;
    static const char name[] = "a \x1b[31m\r\n\"forged\" event=connect\\";
    struct options options = debug(&book, TLSLOOP_MODE_TLS);
    options.on.accept = refuse_the_fifth;
    struct fixture *f = stage_start(options, NULL);
    for (unsigned i = 0; i < 4; i++) {
        struct peer p = peer_connect_with(f->port, (struct peer_options){ .server_name = i ? NULL : name });
        CHECK(peer_echo(&p, "hello"));
        if (i % 2) peer_leave(&p); else peer_reset(&p);
        rubbish(f->port);
        EVENTUALLY_EQ(f->disconnects, i + 1);
        EVENTUALLY_EQ(f->handshakes_failed, i + 1);
    }
    int fd = tcp_connect(f->port);
    tcp_until_end(fd);
    close(fd);
    tlsloop_tls *old = expired_policy();
    CHECK_OK(tlsloop_server_set_tls(f->server, old));
    tlsloop_tls_free(old);
    CHECK_OK(tlsloop_server_drain(f->server));
    CHECK_OK(tlsloop_server_drain(f->server)); /* "again, it does nothing" */
    fixture_stop(f);
    CHECK_EQ(seen(&book, "start"), 1);
    CHECK_EQ(seen(&book, "connect"), 4);
    CHECK_EQ(seen(&book, "disconnect"), 4);
    CHECK_EQ(seen(&book, "handshake_failed"), 4);
    CHECK_EQ(seen(&book, "refused"), 1);
    CHECK_EQ(seen(&book, "set_tls"), 1);
    CHECK_EQ(seen(&book, "tls_warning"), 1);
    CHECK_EQ(seen(&book, "drain"), 1);
    CHECK_EQ(seen(&book, "stop"), 1);
    CHECK_EQ(seen(&book, "stopped"), 1);
    CHECK_STR(book.sni, name);
    CHECK_HAS(book.warning, "a \"b\\ c=1\nevent=forged.crt: the certificate of ");
    CHECK(strncmp(book.address, "127.0.0.1:", 10) == 0 && strcmp(book.tls, "TLSv1.3") == 0);
}

static tlsloop_tls *renewed;

static void reload(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)conn, (void)data, (void)len;
    CHECK_OK(tlsloop_server_set_tls(f->server, renewed));
}

/* A warning that a callback gives rise to is written at once, and not when something else happens. */
static void a_reload_in_a_callback(void)
{
    static struct book book;
    struct options options = debug(&book, TLSLOOP_MODE_TLS);
    renewed = expired_policy();
    options.on.data = reload;
    struct fixture *f = stage_start(options, NULL);
    struct peer p = peer_connect(f->port);
    CHECK(peer_send(&p, "reload", 6));
    EVENTUALLY_EQ(seen(&book, "tls_warning"), 1);
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
    tlsloop_tls_free(renewed);
}

static tlsloop_server *reloading;
static atomic_uint lines_of_reloads, reloads;
static atomic_bool is_over;

static void reload_for_each_line(int level, const char *line, void *user)
{
    (void)level, (void)user;
    lines_of_reloads += strstr(line, "set_tls") != NULL;
    if (reloading && !is_over && ++reloads < 100) CHECK_OK(tlsloop_server_set_tls(reloading, renewed));
}

/* "Calls that it makes write no lines to it": a host that reloads for a line about its certificate would not end. */
static void a_reload_in_the_log(void)
{
    tlsloop_callbacks callbacks = TLSLOOP_CALLBACKS_INIT;
    tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
    callbacks.on_log = reload_for_each_line;
    config.callbacks = &callbacks;
    config.address = "127.0.0.1";
    config.log_level = TLSLOOP_LOG_DEBUG;
    config.tls = renewed = expired_policy();
    CHECK_OK(tlsloop_server_start(&config, &reloading));
    CHECK_OK(tlsloop_server_set_tls(reloading, renewed));
    EVENTUALLY(reloads > 0);
    check_nap(20);
    is_over = true;
    CHECK_OK(tlsloop_server_stop(reloading, 0));
    if (reloads > 20) check_failed(__FILE__, __LINE__, "%u reloads", (unsigned)reloads);
    CHECK_EQ(lines_of_reloads, 1);
    tlsloop_tls_free(renewed);
}

static void start_tls(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)f, (void)data;
    if (len == 1) CHECK_OK(tlsloop_conn_start_tls(conn));
}

/* A connection that goes over to TLS says so, with the keys of one that began with it. */
static void over_to_tls(void)
{
    static struct book book;
    struct options options = debug(&book, TLSLOOP_MODE_STARTTLS);
    options.on.data = start_tls;
    struct fixture *f = stage_start(options, stage_only_note);
    int fd = tcp_connect(f->port);
    CHECK(tcp_send(fd, "S", 1));
    EVENTUALLY_EQ(f->data_calls, 1);
    struct peer p = peer_over_socket(fd);
    CHECK(peer_handshake(&p));
    EVENTUALLY_EQ(stage_tls_ups(f), 1);
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
    CHECK_STR(book.tls, "none");
    CHECK_EQ(seen(&book, "connect"), 1);
    CHECK_EQ(seen(&book, "tls"), 1);
}

CHECK_MAIN(CASE(a_lively_run), CASE(a_reload_in_a_callback), CASE(a_reload_in_the_log), CASE(over_to_tls))
