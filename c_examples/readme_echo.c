#include <stdio.h>
#include "tlsloop.h"

static void on_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    if (tlsloop_conn_send(conn, data, len) != TLSLOOP_OK) /* copied, sent in order; never waits */
        tlsloop_conn_abort(conn);                         /* a peer that left 1 MiB of echo unread */
    (void)user;
}

int main(void)
{
    tlsloop_callbacks callbacks = {.size = sizeof callbacks, .on_data = on_data};
    tlsloop_server_config config = {.size = sizeof config, .port = 12345, .callbacks = &callbacks,
                                    .tls = tlsloop_tls_new()};
    tlsloop_server *server;
    if (tlsloop_tls_add_self_signed(config.tls, "localhost") || tlsloop_server_start(&config, &server))
        return fprintf(stderr, "%s\n", tlsloop_last_error()), 1;
    return tlsloop_server_wait(server) != TLSLOOP_OK; /* Ctrl-C ends it */
}
