/* TLS echo with libevent's bufferevent_openssl. */
#include "common.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>

#define HIGH_WATER (1u << 20)

static SSL_CTX *context;

static void on_read(struct bufferevent *connection, void *unused)
{
    struct evbuffer *out = bufferevent_get_output(connection);
    (void)unused;
    evbuffer_add_buffer(out, bufferevent_get_input(connection)); /* moves the chunks, copies nothing */
    if (evbuffer_get_length(out) > HIGH_WATER) bufferevent_disable(connection, EV_READ);
}

static void on_written(struct bufferevent *connection, void *unused)
{
    (void)unused;
    if (!(bufferevent_get_enabled(connection) & EV_READ)) bufferevent_enable(connection, EV_READ);
}

static void on_event(struct bufferevent *connection, short what, void *unused)
{
    (void)unused;
    if (what & BEV_EVENT_CONNECTED) return;
    if (what & BEV_EVENT_EOF) {
        SSL *ssl = bufferevent_openssl_get_ssl(connection);
        SSL_set_shutdown(ssl, SSL_RECEIVED_SHUTDOWN);
        SSL_shutdown(ssl);
    }
    bufferevent_free(connection);
    ERR_clear_error();
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int length,
                      void *base)
{
    int one = 1;
    (void)listener, (void)from, (void)length;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct bufferevent *connection = bufferevent_openssl_socket_new(base, fd, SSL_new(context),
                                                                    BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_openssl_set_allow_dirty_shutdown(connection, 1);
    bufferevent_setcb(connection, on_read, on_written, on_event, NULL);
    bufferevent_enable(connection, EV_READ | EV_WRITE);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(peer_port(argc, argv, 3))};
    context = peer_context(argv[2], argv[3]);
    struct event_base *base = event_base_new();
    if (evconnlistener_new_bind(base, on_accept, base, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, BACKLOG,
                                (const struct sockaddr *)&address, sizeof address) == NULL) {
        perror("listen");
        return 1;
    }
    return event_base_dispatch(base);
}
