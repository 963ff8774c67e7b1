/*
 *   visitors --port N [--host A] [--sources N] --total N [--slots N]           so many short visits, as fast as they go
 *   visitors --port N ... --seconds N [--slots N] [--stay N] --server-pid P     paced to --load (0.7) of a processor
 *
 *   visitors --port N ... --together N                                        so many at once
 *
 * In the second form --stay connections stay for a while, some of them slow, stalling or deaf, and SIGHUP goes to the
 * server each --reload seconds (60). In the third each echoes when it is up and again when all are, then "all open" is
 * printed, and all go when standard input ends. The last line counts everything; the exit status is 0 if nothing went
 * wrong.
 */
#include "visitors.h"

#include "basics.h"
#include "options.h"
#include "pattern.h"
#include "tls.h"

#include <getopt.h>
#include <inttypes.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS = 256, TICK_MS = 10, LONGEST = 6000, ON_THEIR_WAY = 128 };

/* What the load generator's parts expect to find. */
struct options options = {.mode = MODE_ECHO, .host = "127.0.0.1", .label = "", .sources = 32, .resume = 1,
    .timeout = 60};
struct run run;

struct worker crew;
struct visit *visits;
struct tally tally;

static uint64_t total, begun;
static int slots = 256, stay, together;
static double load = 0.7, reload_seconds = 60;

void worker_fail(struct worker *w, const char *format, ...)
{
    va_list arguments;
    if (w->failures++ != 0) return;
    va_start(arguments, format);
    vsnprintf(w->first_failure, sizeof w->first_failure, format, arguments);
    va_end(arguments);
}

struct visit *visit_of(const struct connection *c) { return &visits[c - crew.connections]; }

unsigned dice(unsigned n)
{
    static uint64_t x = 88172645463325252u;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (unsigned)(x >> 33) % n;
}

/* --- What begins ----------------------------------------------------------------------------------------------- */

static enum way any_way_of_a_visitor(void)
{
    static const enum way ways[] = {BY_PEER, BY_FIN, BY_RESET, BY_PROTOCOL};
    return ways[dice(4)];
}

static enum manner any_manner(void)
{
    unsigned roll = dice(100);
    return roll < 70 ? EAGER : roll < 82 ? SLOW : roll < 96 ? STALLING : DEAF;
}

/* The ways take turns, so there are as many of each. */
static void begin_short(struct connection *c)
{
    visit_begin(c, SHORT, (enum way)(begun++ % WAYS), (uint32_t)sizeof(struct order) + 1 + dice(LONGEST));
}

static void fill_slots(void)
{
    for (int i = 0; i < crew.count && begun < total; i++)
        if (crew.connections[i].stage == STAGE_NONE) begin_short(&crew.connections[i]);
}

/* One unit of work: a message on a connection that stays, or now and then a short visit. */
static void work(void)
{
    static unsigned turn, slot;
    if (dice(8) == 0 || stay == 0) {
        struct connection *c = &crew.connections[stay + (int)(slot++ % (unsigned)(crew.count - stay))];
        if (c->stage == STAGE_NONE) begin_short(c);
        return;
    }
    struct connection *c = &crew.connections[turn++ % (unsigned)stay];
    if (c->stage == STAGE_NONE) visit_begin(c, any_manner(), any_way_of_a_visitor(), 0);
    else visit_feed(c, 1 + dice(4096));
}

/* --- The course of it ------------------------------------------------------------------------------------------ */

static void turn(int wait_ms)
{
    static uint64_t looked;
    struct epoll_event events[EVENTS];
    int n = epoll_wait(crew.epoll, events, EVENTS, wait_ms);
    for (int i = 0; i < n; i++) visit_advance(events[i].data.ptr, events[i].events);
    uint64_t t = now();
    if (t - looked < SECOND / 4) return;
    looked = t;
    for (int i = 0; i < crew.count; i++) visit_check(&crew.connections[i], t);
}

static void storm(void)
{
    while (begun < total || crew.alive > 0) {
        fill_slots();
        turn(20);
        if (crew.failures > 1000) die("too many failures: %s", crew.first_failure);
    }
}

/* How many have had all their echo. */
static int satisfied(void)
{
    int n = 0;
    for (int i = 0; i < crew.count; i++) {
        const struct connection *c = &crew.connections[i];
        n += c->stage == STAGE_OPEN && c->read == c->goal;
    }
    return n;
}

static void all_together(void)
{
    int opened = 0, up = 0;
    char byte;
    for (; up < together && crew.failures == 0; up = satisfied()) {
        for (; opened < together && opened - up < ON_THEIR_WAY; opened++) {
            visit_begin(&crew.connections[opened], EAGER, BY_PEER, 0);
            visits[opened].until = UINT64_MAX; /* it stays until all go */
        }
        turn(20);
    }
    for (int i = 0; i < together; i++) visit_feed(&crew.connections[i], 1 + dice(LONGEST));
    while (satisfied() < together && crew.failures == 0) turn(20);
    if (crew.failures == 0) puts("all open");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0) {}
    for (int i = 0; i < together; i++) visits[i].until = 0;
    while (crew.alive > 0) turn(20);
}

static double soak(void)
{
    struct pace pace;
    uint64_t start = now(), end = start + (uint64_t)(options.seconds * SECOND);
    uint64_t next_reload = start + (uint64_t)(reload_seconds * SECOND), ticked = 0;
    pace_begin(&pace, load, start);
    for (uint64_t t = start; t < end || crew.alive > 0; t = now()) {
        for (unsigned due = t < end ? pace_due(&pace, t) : 0; due > 0; due--) work();
        if (t > next_reload) {
            kill(options.server[0], SIGHUP);
            next_reload += (uint64_t)(reload_seconds * SECOND);
        }
        turn(TICK_MS / 2);
        if (t - ticked < TICK_MS * (SECOND / 1000)) continue;
        ticked = t;
        for (int i = 0; i < stay; i++) {
            visit_listen(&crew.connections[i]);
            /* When the time is up, nobody stays. */
            if (t >= end && visits[i].until > t) visits[i].until = t;
        }
    }
    return pace.samples != 0 ? pace.average / (double)pace.samples : 0;
}

/* --- Options and report ---------------------------------------------------------------------------------------- */

static const char usage[] = "usage: visitors --port N (--total N | --seconds N --server-pid P | --together N) ...";

static void set(int option)
{
    switch (option) {
    case 'p': options.port = (uint16_t)atoi(optarg); break;
    case 'h': options.host = optarg; break;
    case 's': options.sources = atoi(optarg); break;
    case 't': total = strtoull(optarg, NULL, 10); break;
    case 'w': slots = atoi(optarg); break;
    case 'S': options.seconds = atof(optarg); break;
    case 'y': stay = atoi(optarg); break;
    case 'T':
        together = slots = atoi(optarg);
        options.mode = MODE_IDLE; /* OpenSSL gives its buffers back meanwhile */
        break;
    case 'l': load = atof(optarg); break;
    case 'r': reload_seconds = atof(optarg); break;
    case 'P':
        options.server[0] = (pid_t)atoi(optarg);
        options.servers = 1;
        break;
    default: die("%s", usage);
    }
}

static void read_options(int argc, char **argv)
{
    static const struct option known[] = {{"port", 1, NULL, 'p'}, {"host", 1, NULL, 'h'}, {"sources", 1, NULL, 's'},
        {"total", 1, NULL, 't'}, {"slots", 1, NULL, 'w'}, {"seconds", 1, NULL, 'S'}, {"stay", 1, NULL, 'y'},
        {"together", 1, NULL, 'T'},
        {"load", 1, NULL, 'l'}, {"reload", 1, NULL, 'r'}, {"server-pid", 1, NULL, 'P'}, {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) set(option);
    if (options.port == 0 || (total != 0) + (options.seconds > 0) + (together > 0) != 1
        || (options.seconds > 0 && options.servers == 0))
        die("%s", usage);
    if (slots < 1 || stay < 0) die("at least one slot");
}

static void report(double seconds, double used)
{
    static const char *const names[WAYS] = {"by_peer", "by_host", "by_fin", "by_reset", "by_protocol", "by_idleness",
        "by_abort", "by_handshake"};
    printf("visits=%" PRIu64, tally.visits);
    for (int i = 0; i < WAYS; i++) printf(" %s=%" PRIu64, names[i], tally.ended[i]);
    printf(" deaf=%" PRIu64 " resumed=%" PRIu64 " bytes=%" PRIu64 " differences=%" PRIu64 " failures=%" PRIu64
           " seconds=%.1f per_second=%.0f load_percent=%.0f\n", tally.deaf, tally.resumed, tally.bytes,
           tally.differences, crew.failures, seconds, (double)tally.visits / seconds, 100 * used);
    if (crew.failures != 0) fprintf(stderr, "visitors: the first failure: %s\n", crew.first_failure);
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    pattern_make();
    tls_prepare();
    crew.kind = KIND_CYCLES;
    crew.count = slots + stay;
    crew.epoll = epoll_create1(EPOLL_CLOEXEC);
    crew.connections = calloc((size_t)crew.count, sizeof *crew.connections);
    visits = calloc((size_t)crew.count, sizeof *visits);
    crew.buffer = malloc(BUFFER);
    if (crew.connections == NULL || visits == NULL || crew.buffer == NULL) die("out of memory");
    for (int i = 0; i < crew.count; i++) crew.connections[i].fd = -1;
    uint64_t start = now();
    double used = 0;
    if (total != 0) storm();
    else if (together != 0) all_together();
    else used = soak();
    report((double)(now() - start) / (double)SECOND, used);
    return crew.failures == 0 && tally.differences == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
