/*
 * A client that names no policy believes the issuers that the machine believes:
 *
 *   trusting CHAIN KEY      a certificate for "localhost" that one of them has signed
 */
#include <tlsloop.h>

#include <stdio.h>

static int complain(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, tlsloop_last_error());
    return 1;
}

int main(int argc, char **argv)
{
    tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
    tlsloop_client_config client_config = TLSLOOP_CLIENT_CONFIG_INIT;
    tlsloop_server *server = NULL;
    tlsloop_client *client = NULL;
    int failed = 0;
    if (argc != 3) return fprintf(stderr, "usage: trusting CHAIN KEY\n"), 2;
    config.address = "127.0.0.1";
    config.tls = tlsloop_tls_new();
    if (tlsloop_tls_add_certificate_file(config.tls, argv[1], argv[2]) != TLSLOOP_OK) return complain("certificate");
    if (tlsloop_server_start(&config, &server) != TLSLOOP_OK) return complain("start");
    client_config.host = "127.0.0.1";
    client_config.server_name = "localhost";
    client_config.port = (uint16_t)tlsloop_server_port(server);
    if (tlsloop_client_connect(&client_config, &client) != TLSLOOP_OK) failed = complain("connect");
    tlsloop_client_close(client);
    if (tlsloop_server_stop(server, 1000) != TLSLOOP_OK) return complain("stop");
    tlsloop_tls_free(config.tls);
    return failed;
}
