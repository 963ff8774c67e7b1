/* A TLS echo server that a Prometheus can watch: what tlsloop_server_stats counts, on a port of its own.
 *
 *     prometheus [PORT [METRICS_PORT]]      with a self-signed certificate; the metrics on 127.0.0.1 only
 *
 * A second tlsloop server serves the metrics, in plain text. Whatever is asked for, that is the answer. */
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tlsloop.h"

#define COUNTER(name, labels, member) {name, labels, "counter", offsetof(tlsloop_stats, member)}
#define GAUGE(name, member) {name, "", "gauge", offsetof(tlsloop_stats, member)}
static const struct metric { const char *name, *labels, *type; size_t at; } metrics[] = {
    COUNTER("tlsloop_accepted_total", "", accepted),
    COUNTER("tlsloop_refused_total", "{by=\"callback\"}", refused_callback),
    COUNTER("tlsloop_refused_total", "{by=\"limit\"}", refused_limit),
    COUNTER("tlsloop_refused_total", "{by=\"per_ip\"}", refused_per_ip),
    COUNTER("tlsloop_refused_total", "{by=\"descriptors\"}", refused_descriptors),
    COUNTER("tlsloop_refused_total", "{by=\"proxy\"}", refused_proxy),
    COUNTER("tlsloop_handshakes_total", "", handshakes),
    COUNTER("tlsloop_handshakes_failed_total", "", handshakes_failed),
    COUNTER("tlsloop_handshakes_resumed_total", "", handshakes_resumed),
    COUNTER("tlsloop_connects_total", "", connects),
    COUNTER("tlsloop_received_bytes_total", "", bytes_in),
    COUNTER("tlsloop_sent_bytes_total", "", bytes_out),
    COUNTER("tlsloop_sends_refused_total", "", sends_refused),
    GAUGE("tlsloop_open_connections", open),
    GAUGE("tlsloop_handshaking_connections", handshaking),
    GAUGE("tlsloop_queued_bytes", queued_bytes),
};
static tlsloop_server *server; /* set before on_signal can run, and constant from then on */
static void on_signal(int number) { (void)number; (void)tlsloop_server_request_stop(server); }
static int set_handler(void (*f)(int)) { return signal(SIGINT, f) != SIG_ERR && signal(SIGTERM, f) != SIG_ERR; }
static int fail(const char *why) { fprintf(stderr, "prometheus: %s\n", why); return EXIT_FAILURE; }

/* Prometheus' text format: a type for each name, then a line for each value. It is far shorter than the room. */
static size_t write_metrics(const tlsloop_stats *stats, char *text, size_t room)
{
    const char *head = "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n\r\n";
    const char *last = "";
    int len = snprintf(text, room, "%s", head);
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++) {
        const struct metric *m = &metrics[i];
        uint64_t value;
        memcpy(&value, (const char *)stats + m->at, sizeof value);
        if (strcmp(last, m->name) != 0)
            len += snprintf(text + len, room - (size_t)len, "# TYPE %s %s\n", m->name, m->type);
        len += snprintf(text + len, room - (size_t)len, "%s%s %" PRIu64 "\n", m->name, m->labels, value);
        last = m->name;
    }
    len += snprintf(text + len, room - (size_t)len, "# TYPE tlsloop_disconnects_total counter\n");
    for (int reason = TLSLOOP_REASON_PEER; reason <= TLSLOOP_REASON_SYSTEM; reason++)
        len += snprintf(text + len, room - (size_t)len, "tlsloop_disconnects_total{reason=\"%s\"} %" PRIu64 "\n",
                        tlsloop_reason_name(reason), stats->disconnects_by_reason[reason]);
    return (size_t)len;
}

static void on_request(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    tlsloop_stats stats = TLSLOOP_STATS_INIT;
    char text[8192];
    (void)data, (void)len, (void)user;
    if (tlsloop_server_stats(server, &stats) != TLSLOOP_OK
        || tlsloop_conn_send(conn, text, write_metrics(&stats, text, sizeof text)) != TLSLOOP_OK)
        (void)tlsloop_conn_abort(conn);
    (void)tlsloop_conn_close(conn); /* behind the answer */
}

static void on_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    (void)user;
    if (tlsloop_conn_send(conn, data, len) != TLSLOOP_OK)
        (void)tlsloop_conn_abort(conn); /* it does not read its answers; or it has ended already */
}

int main(int argc, char **argv)
{
    tlsloop_callbacks echo = {.size = sizeof echo, .on_data = on_data};
    tlsloop_callbacks http = {.size = sizeof http, .on_data = on_request};
    tlsloop_server_config config = {.size = sizeof config, .callbacks = &echo, .tls = tlsloop_tls_new(),
        .port = (uint16_t)(argc > 1 ? atoi(argv[1]) : 12345)};
    tlsloop_server_config watched = {.size = sizeof watched, .callbacks = &http, .mode = TLSLOOP_MODE_PLAIN,
        .address = "127.0.0.1", .port = (uint16_t)(argc > 2 ? atoi(argv[2]) : 9464), .idle_timeout_ms = 10000,
        .max_connections = 10};
    tlsloop_server *metrics_server;
    int rc = tlsloop_tls_add_self_signed(config.tls, "localhost,127.0.0.1");
    if (rc == TLSLOOP_OK) rc = tlsloop_server_start(&config, &server);
    if (rc == TLSLOOP_OK) rc = tlsloop_server_start(&watched, &metrics_server);
    if (rc != TLSLOOP_OK) (void)fail(tlsloop_last_error());
    tlsloop_tls_free(config.tls); /* the server keeps its own reference */
    if (rc != TLSLOOP_OK || !set_handler(on_signal)) return EXIT_FAILURE;
    printf("listening on %d\nmetrics on %d\n", tlsloop_server_port(server), tlsloop_server_port(metrics_server));
    if (fflush(stdout) != 0 || tlsloop_server_wait(server) != TLSLOOP_OK || !set_handler(SIG_DFL)) return EXIT_FAILURE;
    /* First the one that looks at the other. */
    rc = tlsloop_server_stop(metrics_server, 1000) || tlsloop_server_stop(server, 1000);
    return rc ? fail(tlsloop_last_error()) : EXIT_SUCCESS;
}
