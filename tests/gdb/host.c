/* What the debugger looks at: a process with a TLS connection and one in plain text over a unix socket, at the moment
 * when the latter has bytes queued and has ended its own direction.
 *
 *     host ADDRESS PATH      listens on ADDRESS and on the unix socket PATH, and connects to itself */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tlsloop.h>

static tlsloop_server *tcp, *local;
static tlsloop_conn over_tcp;
static char unix_address[200];

/* The breakpoint. */
void look_here(tlsloop_conn by_tls, tlsloop_conn by_path, tlsloop_conn none);
void look_here(tlsloop_conn by_tls, tlsloop_conn by_path, tlsloop_conn none)
{
    printf("%d\n", by_tls != none && by_path != none);
}

static void check(int rc)
{
    if (rc == TLSLOOP_OK) return;
    fprintf(stderr, "host: %s\n", tlsloop_last_error());
    exit(EXIT_FAILURE);
}

static void on_tls_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    tlsloop_client_config config = {.size = sizeof config, .host = unix_address, .mode = TLSLOOP_MODE_PLAIN};
    tlsloop_conn out;
    (void)data, (void)len, (void)user;
    over_tcp = conn;
    check(tlsloop_conn_set_data(conn, &over_tcp));
    check(tlsloop_server_connect(local, &config, &out));
    check(tlsloop_conn_send(out, "hello", 5));
}

static void on_plain_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    static const char answer[100];
    (void)data, (void)user;
    if (len == sizeof answer) return; /* this is the side that connected */
    check(tlsloop_conn_send(conn, answer, sizeof answer));
    check(tlsloop_conn_end(conn));
    look_here(over_tcp, conn, 0);
    check(tlsloop_server_request_stop(tcp));
}

int main(int argc, char **argv)
{
    tlsloop_callbacks by_tls = {.size = sizeof by_tls, .on_data = on_tls_data};
    tlsloop_callbacks by_path = {.size = sizeof by_path, .on_data = on_plain_data};
    tlsloop_server_config config = {.size = sizeof config, .callbacks = &by_tls, .tls = tlsloop_tls_new()};
    tlsloop_client_config client = {.size = sizeof client, .tls = tlsloop_tls_new()};
    tlsloop_conn out;

    if (argc != 3) return EXIT_FAILURE;
    config.address = client.host = argv[1];
    check(tlsloop_tls_add_self_signed(config.tls, "localhost,127.0.0.1,::1"));
    check(tlsloop_tls_set_verify(client.tls, TLSLOOP_VERIFY_NONE));
    check(tlsloop_server_start(&config, &tcp));
    snprintf(unix_address, sizeof unix_address, "unix:%s", argv[2]);
    config.address = unix_address;
    config.mode = TLSLOOP_MODE_PLAIN;
    config.callbacks = &by_path;
    check(tlsloop_server_start(&config, &local));
    client.port = (uint16_t)tlsloop_server_port(tcp);
    check(tlsloop_server_connect(tcp, &client, &out));
    check(tlsloop_conn_send(out, "hello", 5));
    check(tlsloop_server_wait(tcp));
    check(tlsloop_server_stop(local, 0));
    check(tlsloop_server_stop(tcp, 0));
    tlsloop_tls_free(client.tls);
    tlsloop_tls_free(config.tls);
    return EXIT_SUCCESS;
}
