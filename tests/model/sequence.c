/* One sequence from the start of its server to its stop, and what must be true afterwards. */
#define _GNU_SOURCE
#include "model.h"

#include "check.h"
#include "dial.h"
#include "measure.h"

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

tlsloop_tls *server_tls, *client_tls;

struct host_thread {
    struct sequence *s;
    enum actor actor;
    unsigned acts;
    pthread_t thread;
};

struct poller {
    struct sequence *s;
    int leave; /* an eventfd */
    bool by_itself; /* waits in the library, not in a loop of the host's */
    pthread_t thread;
};

/* --- Planning -------------------------------------------------------------------------------------------------- */

static void plan_link(struct sequence *s, int index, struct dice *d)
{
    static const enum door doors[] = { BY_LISTENER, BY_LISTENER, BY_ADOPT, BY_ADOPT };
    struct link *l = &s->link[index];
    l->s = s;
    l->index = index;
    l->dice = dice_for(s->seed, 100 + (uint64_t)index);
    l->door = index == 0 && dice_one_in(d, 3) ? BY_CONNECT : doors[dice_below(d, 4)];
    l->solo = dice_one_in(d, 2);
    l->refuse = l->door == BY_LISTENER && dice_one_in(d, 20);
    bool may_start = s->mode == TLSLOOP_MODE_STARTTLS;
    l->upgrade = may_start && !dice_one_in(d, 4);
    l->peer.wants_tls = s->mode == TLSLOOP_MODE_TLS || (s->mode == TLSLOOP_MODE_DETECT && dice_one_in(d, 2));
    peer_plan(l, d);
}

static struct sequence *plan(uint64_t seed, bool host_driven, struct dice *d)
{
    static const size_t marks[] = { 1, 1000, 5000, 100000 };
    static struct sequence pool[8]; /* a callback after the end of one is caught, and not a wild pointer */
    static unsigned next;
    struct sequence *s = &pool[next++ % 8];
    memset(s, 0, sizeof *s);
    s->seed = seed;
    s->host_driven = host_driven;
    s->mode = (int)dice_below(d, 4);
    s->links = 1 + (int)dice_below(d, LINKS);
    s->abrupt = dice_one_in(d, 5);
    s->has_end = dice_one_in(d, 2);
    s->high = marks[dice_below(d, 4)];
    s->short_handshakes = dice_one_in(d, 16);
    s->short_sends = dice_one_in(d, 10);
    s->short_idle = dice_one_in(d, 16);
    s->limited = dice_one_in(d, 12);
    pthread_rwlock_init(&s->lock, NULL);
    for (int i = 0; i < s->links; i++) plan_link(s, i, d);
    return s;
}

/* --- The server ------------------------------------------------------------------------------------------------ */

static void start(struct sequence *s, struct dice *d)
{
    tlsloop_callbacks callbacks = callbacks_of(s);
    tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
    config.address = peers_address();
    config.mode = s->mode;
    config.tls = server_tls;
    config.callbacks = &callbacks;
    config.user = s;
    config.workers = s->host_driven ? TLSLOOP_HOST_DRIVEN : 1 + dice_below(d, 2);
    config.send_high_water = s->high;
    config.send_low_water = dice_one_in(d, 2) ? 1 + dice_below(d, (unsigned)s->high) : 0;
    config.handshake_timeout_ms = s->short_handshakes ? 1 + dice_below(d, 10) : 30000;
    config.idle_timeout_ms = s->short_idle ? 1 + dice_below(d, 10) : 0;
    config.send_timeout_ms = config.close_timeout_ms = s->short_sends ? 1 + dice_below(d, 10) : 60000;
    config.max_connections = s->limited ? 2 : 0;
    int code = tlsloop_server_start(&config, &s->server);
    PROMISE(s, NULL, code == TLSLOOP_OK, "no start: %s", tlsloop_last_error());
    s->port = tlsloop_server_port(s->server);
}

static void *poll_on(void *arg)
{
    struct poller *p = arg;
    struct pollfd watched[2] = {
        { .fd = tlsloop_server_fd(p->s->server), .events = POLLIN }, { .fd = p->leave, .events = POLLIN } };
    do {
        if (!p->by_itself) poll(watched, 2, -1);
        else poll(&watched[1], 1, 0);
        int code = p->by_itself || watched[0].revents ? tlsloop_server_poll(p->s->server, p->by_itself ? 2 : 0) : 0;
        PROMISE(p->s, NULL, code == 0, "poll answers %d", code);
    } while (!watched[1].revents);
    return NULL;
}

static void begin_polling(struct poller *p, struct sequence *s, struct dice *d)
{
    *p = (struct poller){ .s = s, .by_itself = dice_one_in(d, 3) };
    if (!s->host_driven) return;
    p->leave = eventfd(0, EFD_CLOEXEC);
    CHECK(p->leave >= 0 && pthread_create(&p->thread, NULL, poll_on, p) == 0);
}

static void stop(struct sequence *s, struct poller *p, struct dice *d)
{
    pthread_rwlock_wrlock(&s->lock);
    s->unusable = true;
    pthread_rwlock_unlock(&s->lock);
    s->stopping = true;
    if (s->host_driven) {
        CHECK(eventfd_write(p->leave, 1) == 0 && pthread_join(p->thread, NULL) == 0);
        close(p->leave);
    }
    book_note(s, MAIN_THREAD, NULL, "stop", 0);
    int code = tlsloop_server_stop(s->server, dice_one_in(d, 2) ? 0 : dice_below(d, 20));
    PROMISE(s, NULL, code == TLSLOOP_OK, "stop answers %d: %s", code, tlsloop_last_error());
    s->stopped = true;
}

/* --- Connections ----------------------------------------------------------------------------------------------- */

static void adopt(struct link *l, struct dice *d)
{
    struct sequence *s = l->s;
    int ends[2];
    tlsloop_conn conn = 0;
    if (dice_one_in(d, 3)) dial_accepted(ends);
    else CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    l->made = true;
    int code = tlsloop_server_adopt(s->server, ends[1], l, &conn);
    book_note(s, MAIN_THREAD, l, "adopt", code);
    PROMISE(s, l, code == TLSLOOP_OK || (code == TLSLOOP_ESTATE && s->limited), "adopt answers %d: %s", code,
            tlsloop_last_error());
    if (code == TLSLOOP_OK) {
        book_new_id(l, conn);
        peer_attach(l, ends[0], false);
        return;
    }
    l->made = false;
    close(ends[0]);
    close(ends[1]);
    l->peer.done = true;
}

static void connect_out(struct link *l)
{
    struct sequence *s = l->s;
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    tlsloop_conn conn = 0;
    config.host = peers_address();
    config.port = (uint16_t)s->outgoing_port;
    config.tls = client_tls;
    config.data = l;
    config.mode = l->upgrade ? TLSLOOP_MODE_STARTTLS : l->peer.wants_tls ? TLSLOOP_MODE_TLS : TLSLOOP_MODE_PLAIN;
    l->made = true;
    int code = tlsloop_server_connect(s->server, &config, &conn);
    book_note(s, MAIN_THREAD, l, "connect", code);
    PROMISE(s, l, code == TLSLOOP_OK || (code == TLSLOOP_ESTATE && s->limited), "connect answers %d: %s", code,
            tlsloop_last_error());
    if (code == TLSLOOP_OK) {
        book_new_id(l, conn);
        return; /* its peer may have come and gone by now */
    }
    l->made = false;
    l->peer.done = true;
}

static void open_link(struct link *l, struct dice *d)
{
    if (l->door == BY_ADOPT) adopt(l, d);
    else if (l->door == BY_CONNECT) connect_out(l);
    else if (!peer_dial(l)) l->peer.done = true;
    eventfd_write(l->s->wake, 1);
}

/* --- Acting ---------------------------------------------------------------------------------------------------- */

static void *host_run(void *arg)
{
    struct host_thread *h = arg;
    struct dice d = dice_for(h->s->seed, h->actor);
    for (unsigned i = 0; i < h->acts && h->s->phase == ACTING; i++) {
        host_act(h->s, h->actor, &d, NULL);
        if (dice_one_in(&d, 4)) sched_yield();
        if (dice_one_in(&d, 16)) nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
    }
    return NULL;
}

static void begin_acting(struct host_thread hosts[2], struct sequence *s, struct dice *d)
{
    for (int i = 0; i < 2; i++) {
        hosts[i] = (struct host_thread){ .s = s, .actor = i ? HOST_2 : HOST_1, .acts = dice_below(d, 60) };
        CHECK(pthread_create(&hosts[i].thread, NULL, host_run, &hosts[i]) == 0);
    }
}

static void act_along(struct sequence *s, struct dice *d)
{
    for (int i = 0; i < s->links; i++) {
        open_link(&s->link[i], d);
        for (unsigned acts = dice_below(d, 10); acts > 0; acts--) host_act(s, MAIN_THREAD, d, NULL);
    }
}

/* --- Settling and parting -------------------------------------------------------------------------------------- */

static void enter_phase(struct sequence *s, enum phase phase)
{
    s->phase = phase;
    book_note(s, MAIN_THREAD, NULL, "phase", phase);
    eventfd_write(s->wake, 1);
}

/* What was accepted has arrived, unless something that was done forbids it. */
static bool has_settled(struct link *l)
{
    const struct actor_peer *p = &l->peer;
    if (p->done) return true;
    if (!l->made) return l->refuse || l->s->limited || book_is_dropped(l);
    host_resume(l, MAIN_THREAD);
    bool ends = l->sealed || l->did_notify || l->did_fin || l->did_garbage;
    if (!p->scripted && !ends) return false;
    return ends || book_is_over(l) || book_is_settled(l);
}

static bool has_parted(struct link *l)
{
    if (l->peer.done && book_is_over(l)) return true;
    host_resume(l, MAIN_THREAD);
    bool is_hosts = l->peer.farewell == NAP || l->ends || l->did_notify || l->did_fin;
    if (is_hosts && !l->sealed && l->conn && !book_is_over(l)) host_close(l, MAIN_THREAD);
    return false;
}

static void await_all(struct sequence *s, bool (*is_done)(struct link *l), const char *what)
{
    struct check_wait wait = check_wait_start();
    for (;;) {
        struct link *missing = NULL;
        for (int i = 0; i < s->links; i++)
            if (!is_done(&s->link[i])) missing = &s->link[i];
        if (!missing) return;
        PROMISE(s, missing, check_wait_more(&wait), "%s", what);
    }
}

static void end_in_peace(struct sequence *s)
{
    enter_phase(s, SETTLING);
    await_all(s, has_settled, "what was sent does not arrive, or a drain does not come");
    enter_phase(s, PARTING);
    await_all(s, has_parted, "an end does not come");
    book_check_counts(s);
    for (int i = 0; i < s->links; i++)
        if (s->link[i].conn) host_check_stale(s, s->link[i].conn);
}

static void check_all(struct sequence *s)
{
    struct check_wait wait = check_wait_start();
    for (int i = 0; i < s->links; i++) {
        struct link *l = &s->link[i];
        book_check_life(l);
        if (!s->abrupt) book_check_bytes(l);
        if (l->conn) book_stale_id(l->conn);
    }
    while ((int)measure_descriptors() != s->descriptors)
        PROMISE(s, NULL, check_wait_more(&wait), "%u descriptors, and %d before", measure_descriptors(),
                s->descriptors);
}

void sequence_run(uint64_t seed, bool host_driven)
{
    struct dice d = dice_for(seed, 0);
    struct sequence *s = plan(seed, host_driven, &d);
    struct host_thread hosts[2];
    struct poller poller;
    pthread_t peers;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    s->began_us = now.tv_sec * 1000000LL + now.tv_nsec / 1000;
    s->descriptors = (int)measure_descriptors();
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->outgoing = s->link[0].door == BY_CONNECT ? tcp_listen_on(peers_address(), &s->outgoing_port) : -1;
    start(s, &d);
    begin_polling(&poller, s, &d);
    CHECK(s->wake >= 0 && pthread_create(&peers, NULL, peers_run, s) == 0);
    begin_acting(hosts, s, &d);
    act_along(s, &d);
    /* With an abrupt end the host's threads go on while the server stops. */
    if (s->abrupt) stop(s, &poller, &d);
    for (int i = 0; i < 2; i++) CHECK(pthread_join(hosts[i].thread, NULL) == 0);
    if (!s->abrupt) end_in_peace(s);
    enter_phase(s, PARTING);
    CHECK(pthread_join(peers, NULL) == 0);
    if (!s->abrupt) stop(s, &poller, &d);
    close(s->wake);
    if (s->outgoing >= 0) close(s->outgoing);
    pthread_rwlock_destroy(&s->lock);
    check_all(s);
}
