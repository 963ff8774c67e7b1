#define _GNU_SOURCE
#include "outgoing.h"

#include "stage.h"

#include <stdio.h>
#include <string.h>

static const char text[] = "Hello from this side";

static tlsloop_client_config config_of(const struct outgoing *o)
{
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    config.host = o->host ? o->host : "127.0.0.1";
    config.server_name = o->server_name;
    config.port = (uint16_t)o->port;
    config.tls = o->tls;
    return config;
}

static void note(struct outcome *out, int code, const char *why)
{
    out->code = code;
    snprintf(out->why, sizeof out->why, "%s", why);
}

static int exchange(tlsloop_client *client)
{
    char back[sizeof text];
    int code = tlsloop_client_send(client, text, sizeof text);
    if (code != TLSLOOP_OK) return code;
    for (size_t n = 0; n < sizeof text;) {
        long got = tlsloop_client_recv(client, back + n, sizeof back - n);
        if (got <= 0) return got < 0 ? (int)got : TLSLOOP_ECLOSED;
        n += (size_t)got;
    }
    CHECK_STR(back, text);
    return TLSLOOP_OK;
}

static void by_client(const struct outgoing *o, struct outcome *out)
{
    tlsloop_client_config config = config_of(o);
    tlsloop_client *client = NULL;
    int code = tlsloop_client_connect(&config, &client);
    if (code == TLSLOOP_OK) code = exchange(client);
    if (code != TLSLOOP_OK) note(out, code, tlsloop_last_error());
    if (!client) return;
    CHECK_OK(tlsloop_client_info(client, &out->info));
    CHECK_OK(tlsloop_client_close(client));
}

static void say_hello(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_send(conn, text, sizeof text));
}

static void close_when_it_is_back(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    struct record r;
    struct outcome *out = f->context;
    (void)data;
    (void)len;
    CHECK(fixture_find(f, conn, &r));
    if (r.bytes < sizeof text) return;
    CHECK_OK(tlsloop_conn_info(conn, &out->info));
    out->code = TLSLOOP_OK;
    CHECK_OK(tlsloop_conn_close(conn));
}

static void note_failure(struct fixture *f, tlsloop_conn conn, int code, const char *peer, const char *why)
{
    (void)conn;
    (void)peer;
    note(f->context, code, why);
}

/* A refusal that comes after the handshake ends a connection that was up. */
static void note_end(struct fixture *f, tlsloop_conn conn, int reason)
{
    struct outcome *out = f->context;
    if (out->code == TLSLOOP_OK) return;
    note(out, reason == TLSLOOP_REASON_PROTOCOL ? TLSLOOP_ETLS : TLSLOOP_ECLOSED, tlsloop_last_error());
    CHECK_OK(tlsloop_conn_info(conn, &out->info));
}

static void by_server(const struct outgoing *o, struct outcome *out)
{
    tlsloop_conn conn;
    tlsloop_client_config config = config_of(o);
    struct fixture *near = stage_start((struct options){
        .on = { .connect = say_hello, .data = close_when_it_is_back, .handshake_failed = note_failure,
                .disconnect = note_end },
        .context = out,
        .config = { .listen_fd = TLSLOOP_NO_LISTENER, .mode = TLSLOOP_MODE_PLAIN } }, NULL);
    near->loose_descriptors = near->loose_threads = true; /* the other end's come and go */
    out->code = TLSLOOP_EINTERNAL;
    int code = tlsloop_server_connect(near->server, &config, &conn);
    if (code == TLSLOOP_OK)
        EVENTUALLY_EQ(near->disconnects + near->handshakes_failed, 1);
    else
        note(out, code, tlsloop_last_error());
    fixture_stop(near);
}

struct outcome outgoing_talk(struct outgoing o)
{
    struct outcome out = { .info = TLSLOOP_INFO_INIT };
    if (o.door == BY_CLIENT)
        by_client(&o, &out);
    else
        by_server(&o, &out);
    return out;
}

tlsloop_info outgoing_welcome(struct outgoing o)
{
    struct outcome out = outgoing_talk(o);
    if (out.code != TLSLOOP_OK) check_failed(__FILE__, __LINE__, "refused: %d %s", out.code, out.why);
    return out.info;
}

void outgoing_refused(struct outgoing o, int code, const char *why)
{
    struct outcome out = outgoing_talk(o);
    CHECK_EQ(out.code, code);
    CHECK_HAS(out.why, why);
}
