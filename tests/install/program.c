/*
 * What a stranger's first program does with an installed tlsloop: serves an echo, asks it, checks the answer and
 * which library it got. Prints that library's version.
 */
#include <tlsloop.h>

#include <stdio.h>
#include <string.h>

static void on_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    (void)user;
    if (tlsloop_conn_send(conn, data, len) != TLSLOOP_OK) tlsloop_conn_abort(conn);
}

static int complain(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, tlsloop_last_error());
    return 1;
}

static int ask(int port, tlsloop_tls *tls)
{
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    tlsloop_client *client = NULL;
    char answer[16] = "";
    config.host = "127.0.0.1";
    config.port = (uint16_t)port;
    config.tls = tls;
    if (tlsloop_client_connect(&config, &client) != TLSLOOP_OK) return complain("connect");
    if (tlsloop_client_send(client, "hello", 5) != TLSLOOP_OK) return complain("send");
    if (tlsloop_client_recv(client, answer, sizeof answer - 1) != 5) return complain("recv");
    if (tlsloop_client_close(client) != TLSLOOP_OK) return complain("close");
    if (strcmp(answer, "hello") != 0) return fprintf(stderr, "the answer is \"%s\"\n", answer), 1;
    return 0;
}

int main(void)
{
    tlsloop_callbacks callbacks = TLSLOOP_CALLBACKS_INIT;
    tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
    tlsloop_server *server = NULL;
    tlsloop_tls *anyone = tlsloop_tls_new();
    int failed;
    callbacks.on_data = on_data;
    config.address = "127.0.0.1";
    config.callbacks = &callbacks;
    config.tls = tlsloop_tls_new();
    if (tlsloop_tls_add_self_signed(config.tls, "localhost") != TLSLOOP_OK) return complain("certificate");
    if (tlsloop_tls_set_verify(anyone, TLSLOOP_VERIFY_NONE) != TLSLOOP_OK) return complain("verify");
    if (tlsloop_server_start(&config, &server) != TLSLOOP_OK) return complain("start");
    failed = ask(tlsloop_server_port(server), anyone);
    if (tlsloop_server_stop(server, 1000) != TLSLOOP_OK) return complain("stop");
    tlsloop_tls_free(config.tls);
    tlsloop_tls_free(anyone);
    if (!failed) printf("tlsloop %s\n", tlsloop_version());
    return failed;
}
