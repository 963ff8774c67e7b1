/*
 * The peers: one thread drives them all. A peer is OpenSSL over memory, or nothing at all, and a socket that takes and
 * gives as few bytes at once as the dice say.
 */
#define _GNU_SOURCE
#include "model.h"

#include "check.h"
#include "keys.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static SSL_CTX *server_context;

void peers_prepare(void)
{
    struct identity who = keys_local();
    server_context = SSL_CTX_new(TLS_server_method());
    CHECK(server_context != NULL);
    CHECK(SSL_CTX_use_certificate_chain_file(server_context, who.chain) == 1);
    CHECK(SSL_CTX_use_PrivateKey_file(server_context, who.key, SSL_FILETYPE_PEM) == 1);
    SSL_CTX_set_session_cache_mode(server_context, SSL_SESS_CACHE_OFF);
    CHECK(peer_context() != NULL);
}

bool peer_is_up(const struct actor_peer *p)
{
    return !p->wants_tls || (p->tls && SSL_is_init_finished(p->wire.ssl));
}

void peer_push(struct actor_peer *p, const void *data, size_t len)
{
    if (p->out_at == p->out_len) p->out_at = p->out_len = 0;
    if (p->out_len + len > p->out_room) {
        p->out_room = 2 * (p->out_len + len);
        p->out = realloc(p->out, p->out_room);
        CHECK(p->out != NULL);
    }
    memcpy(p->out + p->out_len, data, len);
    p->out_len += len;
}

void peer_collect(struct actor_peer *p)
{
    char buf[16384];
    size_t n;
    while (p->wire.ssl && (n = peer_take(&p->wire, buf, sizeof buf)) > 0) peer_push(p, buf, n);
}

void peer_gone(struct link *l)
{
    struct actor_peer *p = &l->peer;
    if (p->wire.ssl) SSL_free(p->wire.ssl);
    if (p->wire.fd >= 0) close(p->wire.fd);
    free(p->out);
    p->out = NULL;
    p->wire = (struct peer){ .fd = -1 };
    p->done = true;
}

static void begin_tls(struct link *l, bool as_server)
{
    struct actor_peer *p = &l->peer;
    int fd = p->wire.fd;
    p->wire = as_server ? peer_accepted(fd, server_context) : peer_over_socket(fd);
    p->tls = true;
    peer_step(&p->wire);
    peer_collect(p);
}

void peer_attach(struct link *l, int fd, bool as_server)
{
    struct actor_peer *p = &l->peer;
    p->wire = (struct peer){ .fd = fd };
    if (p->wants_tls) begin_tls(l, as_server);
    p->connected = true; /* from here on it is the other thread's */
}

/*
 * An address of this process's own, 127.a.b.last: a port that it has given back may be another's at once, and who is late
 * must not end up there.
 */
static struct sockaddr_in own_address(unsigned last, int port)
{
    unsigned pid = (unsigned)getpid() & 0xffff;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    address.sin_addr.s_addr = htonl(127u << 24 | pid << 8 | last);
    return address;
}

const char *peers_address(void)
{
    static char text[INET_ADDRSTRLEN];
    struct sockaddr_in address = own_address(1, 0);
    return inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
}

/* Its address is known before the server can see it. */
bool peer_dial(struct link *l)
{
    static atomic_uint turn;
    struct sockaddr_in from = own_address(1 + turn++ % 32, 0), to = own_address(1, l->s->port);
    socklen_t len = sizeof from;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    /* Not less: once full it may open only by the kernel's probes, five a second, for half of it each. */
    if (l->peer.gulp < 64) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){ 8192 }, sizeof(int));
    CHECK(bind(fd, (struct sockaddr *)&from, sizeof from) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&from, &len) == 0);
    char address[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &from.sin_addr, address, sizeof address);
    snprintf(l->name, sizeof l->name, "%s:%u", address, ntohs(from.sin_port));
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        return false;
    }
    peer_attach(l, fd, false);
    return true;
}

/* --- What arrives ---------------------------------------------------------------------------------------------- */

static void see(struct link *l, enum sight sight)
{
    book_note(l->s, THE_PEER, l, "sees the end", sight);
    if (l->peer.sight == NOTHING_YET) l->peer.sight = sight;
}

static void go_over(struct link *l, bool as_server)
{
    l->peer.wants_tls = l->peer.upgraded = true;
    begin_tls(l, as_server);
}

static void parse(struct link *l, const unsigned char *data, size_t len)
{
    struct actor_peer *p = &l->peer;
    size_t used = 0;
    const char *wrong = message_parse(&p->parser, l->index, data, len, &used);
    PROMISE(l->s, l, wrong == NULL, "%s", wrong);
    if (used == len) return;
    PROMISE(l->s, l, p->plain_first || (l->upgrade && p->parser.go && !p->tls), "TLS came in the middle of plain text");
    if (!p->plain_first) go_over(l, true);
    p->plain_first = false;
    peer_feed(&p->wire, data + used, len - used);
}

static void read_tls(struct link *l)
{
    struct actor_peer *p = &l->peer;
    unsigned char buf[16384];
    int n;
    do {
        ERR_clear_error();
        n = SSL_read(p->wire.ssl, buf, sizeof buf);
        int error = SSL_get_error(p->wire.ssl, n);
        peer_collect(p);
        if (n > 0) parse(l, buf, (size_t)n);
        else if (error == SSL_ERROR_ZERO_RETURN) see(l, SAW_CLEAN);
        else if (error != SSL_ERROR_WANT_READ) see(l, SAW_FAILURE);
    } while (n > 0 && p->sight == NOTHING_YET);
}

static bool receive(struct link *l)
{
    struct actor_peer *p = &l->peer;
    unsigned char buf[16384];
    size_t room = p->gulp < sizeof buf && l->s->phase == ACTING ? p->gulp : sizeof buf;
    ssize_t n = recv(p->wire.fd, buf, room, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (n < 0) see(l, SAW_RESET);
    else if (n == 0) see(l, p->tls && p->sight != SAW_CLEAN ? SAW_FIN : SAW_CLEAN);
    else if (p->tls && !p->plain_first) peer_feed(&p->wire, buf, (size_t)n);
    else parse(l, buf, (size_t)n);
    if (n > 0 && p->tls && !p->plain_first) read_tls(l);
    /* The word for TLS was the last in plain text: a client begins. */
    bool begins = l->upgrade && p->parser.go && !p->tls && l->door != BY_CONNECT;
    if (begins && p->parser.have == 0 && p->sight == NOTHING_YET) {
        p->plain_first = true;
        go_over(l, false);
    }
    return true;
}

static bool transmit(struct link *l)
{
    struct actor_peer *p = &l->peer;
    size_t left = p->out_len - p->out_at;
    size_t room = l->s->phase == ACTING ? p->piece : 1 << 20;
    if (left == 0) return false;
    ssize_t n = send(p->wire.fd, p->out + p->out_at, left < room ? left : room, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) p->out_at += (size_t)n;
    else if (errno != EAGAIN) p->out_at = p->out_len; /* the end is to be read */
    return n > 0;
}

/* --- The thread ------------------------------------------------------------------------------------------------ */

/* The end was seen: a polite peer answers it, and goes when its answer has left. */
static void take_leave(struct link *l)
{
    struct actor_peer *p = &l->peer;
    if (p->sight == SAW_CLEAN && !l->did_notify && !l->did_fin) {
        l->did_notify = true;
        if (p->tls) peer_seal_close_notify(&p->wire);
        peer_collect(p);
    }
    if (p->out_at < p->out_len) return;
    if (p->sight != SAW_CLEAN) l->went = true;
    peer_gone(l);
}

/* What came before an end is all that comes. */
static bool hears(const struct link *l)
{
    const struct actor_peer *p = &l->peer;
    return p->wire.fd >= 0 && p->sight == NOTHING_YET && (!p->deaf || l->s->phase != ACTING);
}

static bool advance(struct link *l)
{
    struct actor_peer *p = &l->peer;
    bool moved = transmit(l);
    if (hears(l)) moved |= receive(l);
    if (p->sight != NOTHING_YET && p->out_at == p->out_len) {
        take_leave(l);
        return true;
    }
    return script_advance(l) || moved;
}

static void admit(struct sequence *s)
{
    int fd = accept4(s->outgoing, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    for (int i = 0; i < s->links && fd >= 0; i++) {
        struct link *l = &s->link[i];
        if (l->door != BY_CONNECT || !l->made || l->peer.connected || l->peer.done) continue;
        peer_attach(l, fd, true);
        return;
    }
    if (fd >= 0) close(fd);
}

static void await(struct sequence *s)
{
    struct pollfd watched[LINKS + 2] = { { .fd = s->wake, .events = POLLIN }, { .fd = s->outgoing, .events = POLLIN } };
    eventfd_t rung;
    for (int i = 0; i < s->links; i++) {
        const struct actor_peer *p = &s->link[i].peer;
        short events = (short)((hears(&s->link[i]) ? POLLIN : 0) | (p->out_at < p->out_len ? POLLOUT : 0));
        watched[i + 2] = (struct pollfd){ .fd = events && p->connected ? p->wire.fd : -1, .events = events };
    }
    poll(watched, (nfds_t)s->links + 2, s->phase == ACTING ? 1 : 5);
    if (watched[0].revents) eventfd_read(s->wake, &rung);
    if (watched[1].revents) admit(s);
}

void *peers_run(void *sequence)
{
    struct sequence *s = sequence;
    bool moved, alive;
    do {
        moved = alive = false;
        for (int i = 0; i < s->links; i++) {
            struct link *l = &s->link[i];
            if (l->peer.done) continue;
            if (l->peer.connected) moved |= advance(l);
            else if (book_is_over(l) && s->phase == PARTING) l->peer.done = true;
            alive |= !l->peer.done;
        }
        if (!moved && alive) await(s);
    } while (alive || s->phase != PARTING);
    return NULL;
}
