/*
 * The server under the soak and the storm: it echoes, compares what comes with the pattern of the connection, and ends
 * connections as their visitors ask.
 *
 *   server [WORKERS]      0: host-driven
 *
 * It prints "port N". SIGHUP loads a new certificate, SIGUSR1 prints one line of counts, SIGTERM stops and prints the
 * last one; the exit status is 0 if everything balances.
 */
#include "order.h"
#include "pattern.h"
#include "tlsloop.h"

#include <dirent.h>
#include <inttypes.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { IDLE_MS = 150, SEND_TIMEOUT_MS = 10000, HANDSHAKE_MS = 60000 };

/* What the host keeps for a connection. */
struct guest {
    struct order order;
    uint64_t got;          /* bytes, those of the order included */
    size_t aside_len;      /* echo that the queue did not take */
    unsigned char *aside;
};

static atomic_ullong crossed, guests, connects, disconnects, failures, reloads;

/* Whether these bytes are the ones that come next: first the order, then the pattern of the connection it names. */
static int compare(struct guest *g, const unsigned char *bytes, size_t len)
{
    size_t head = 0;
    while (g->got < sizeof g->order && head < len) ((unsigned char *)&g->order)[g->got++] = bytes[head++];
    int same = g->got < 2 || memcmp(g->order.mark, "SK", 2) == 0;
    same = same && (head == len || memcmp(bytes + head, pattern_at(g->order.id, g->got), len - head) == 0);
    g->got += len - head;
    if (!same) crossed++;
    return same;
}

static int put_aside(tlsloop_conn conn, struct guest *g, const void *data, size_t len)
{
    g->aside = malloc(len);
    if (g->aside == NULL) return TLSLOOP_ENOMEM;
    memcpy(g->aside, data, len);
    g->aside_len = len;
    return tlsloop_conn_pause(conn);
}

static void do_as_asked(tlsloop_conn conn, const struct guest *g)
{
    if (g->order.total == 0 || g->got < sizeof g->order || g->got != g->order.total) return;
    switch (g->order.way) {
    case BY_HOST: (void)tlsloop_conn_close(conn); break;
    case BY_ABORT: (void)tlsloop_conn_abort(conn); break;
    case BY_IDLENESS: (void)tlsloop_conn_set_idle_timeout(conn, IDLE_MS); break;
    default: break; /* the visitor does it */
    }
}

static void on_connect(tlsloop_conn conn, void *user)
{
    (void)user;
    connects++;
    struct guest *g = calloc(1, sizeof *g);
    if (g == NULL) abort();
    guests++;
    (void)tlsloop_conn_set_data(conn, g);
}

static void on_data(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    struct guest *g = tlsloop_conn_data(conn);
    (void)user;
    int code = compare(g, data, len) ? tlsloop_conn_send(conn, data, len) : TLSLOOP_EINVAL;
    if (code == TLSLOOP_EFULL) code = put_aside(conn, g, data, len);
    if (code == TLSLOOP_OK) do_as_asked(conn, g);
    else if (code != TLSLOOP_ECLOSED) (void)tlsloop_conn_abort(conn);
}

static void on_drain(tlsloop_conn conn, void *user)
{
    struct guest *g = tlsloop_conn_data(conn);
    (void)user;
    if (g->aside != NULL && tlsloop_conn_send(conn, g->aside, g->aside_len) == TLSLOOP_EFULL) return;
    free(g->aside);
    g->aside = NULL;
    (void)tlsloop_conn_resume(conn);
}

static void on_disconnect(tlsloop_conn conn, int reason, void *user)
{
    struct guest *g = tlsloop_conn_data(conn);
    (void)user;
    (void)reason;
    free(g->aside);
    free(g);
    guests--;
    disconnects++;
}

static void on_handshake_failed(tlsloop_conn conn, int code, const char *peer, const char *why, void *user)
{
    (void)conn, (void)code, (void)peer, (void)why, (void)user;
    failures++;
}

/* --- Counts ---------------------------------------------------------------------------------------------------- */

static long resident_kib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1) pages = 0;
    if (file != NULL) fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* What malloc has handed out. The resident size holds beside it what malloc keeps in pieces, and depends on the busiest
 * moment that there was. */
static long heap_kib(void)
{
#ifdef __GLIBC__
    struct mallinfo2 all = mallinfo2();
    return (long)((all.uordblks + all.hblkhd) / 1024);
#else
    return 0;
#endif
}

static int descriptors(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir != NULL && readdir(dir) != NULL) n++;
    if (dir != NULL) closedir(dir);
    return n - 3; /* itself, "." and ".." */
}

static int is_balanced(const tlsloop_stats *s)
{
    uint64_t sum = 0;
    for (int i = 0; i < 16; i++) sum += s->disconnects_by_reason[i];
    return s->disconnects == sum && s->open == s->connects - s->disconnects;
}

static int print_counts(const tlsloop_server *server)
{
    tlsloop_stats s = TLSLOOP_STATS_INIT;
    if (tlsloop_server_stats(server, &s) != TLSLOOP_OK) return 0;
    printf("open=%" PRIu64 " handshaking=%" PRIu64 " accepted=%" PRIu64 " connects=%" PRIu64 " disconnects=%" PRIu64
           " failed=%" PRIu64 " resumed=%" PRIu64 " queued=%" PRIu64, s.open, s.handshaking, s.accepted, s.connects,
           s.disconnects, s.handshakes_failed, s.handshakes_resumed, s.queued_bytes);
    for (int i = 0; i <= TLSLOOP_REASON_SYSTEM; i++)
        printf(" %s=%" PRIu64, tlsloop_reason_name(i), s.disconnects_by_reason[i]);
    printf(" bytes_in=%" PRIu64 " bytes_out=%" PRIu64 " refused_sends=%" PRIu64 " crossed=%llu guests=%llu reloads=%llu"
           " heap_kib=%ld rss_kib=%ld descriptors=%d balanced=%d\n", s.bytes_in, s.bytes_out, s.sends_refused, crossed, guests,
           reloads, heap_kib(), resident_kib(), descriptors(), is_balanced(&s));
    fflush(stdout);
    return is_balanced(&s);
}

/* --- Life ------------------------------------------------------------------------------------------------------ */

static int fail(const char *what)
{
    fprintf(stderr, "server: %s: %s\n", what, tlsloop_last_error());
    return 1;
}

static tlsloop_tls *new_policy(void)
{
    tlsloop_tls *tls = tlsloop_tls_new();
    if (tls == NULL || tlsloop_tls_add_self_signed(tls, "localhost,127.0.0.1") != TLSLOOP_OK) exit(fail("policy"));
    return tls;
}

static void reload(tlsloop_server *server)
{
    tlsloop_tls *tls = new_policy();
    if (tlsloop_server_set_tls(server, tls) != TLSLOOP_OK) exit(fail("set_tls"));
    tlsloop_tls_free(tls);
    reloads++;
}

/* Until SIGTERM. The signals come as bytes, and so does the server's own work if it has no thread. */
static void serve(tlsloop_server *server, int signals, int host_driven)
{
    struct pollfd watched[2] = {
        {.fd = signals, .events = POLLIN}, {.fd = host_driven ? tlsloop_server_fd(server) : -1, .events = POLLIN}};
    for (;;) {
        struct signalfd_siginfo info;
        if (poll(watched, 2, -1) < 0) continue;
        if (watched[1].revents != 0 && tlsloop_server_poll(server, 0) < 0) exit(fail("poll"));
        if (watched[0].revents == 0 || read(signals, &info, sizeof info) != sizeof info) continue;
        if (info.ssi_signo == SIGTERM) return;
        if (info.ssi_signo == SIGHUP) reload(server);
        else (void)print_counts(server);
    }
}

static int start(unsigned workers, tlsloop_server **server)
{
    tlsloop_callbacks callbacks = {.size = sizeof callbacks, .on_connect = on_connect, .on_data = on_data,
        .on_drain = on_drain, .on_disconnect = on_disconnect, .on_handshake_failed = on_handshake_failed};
    tlsloop_server_config config = {.size = sizeof config, .address = "0.0.0.0", .callbacks = &callbacks,
        .tls = new_policy(), .log_level = TLSLOOP_LOG_ERROR, .send_timeout_ms = SEND_TIMEOUT_MS,
        .handshake_timeout_ms = HANDSHAKE_MS, .close_timeout_ms = HANDSHAKE_MS,
        .workers = workers == 0 ? TLSLOOP_HOST_DRIVEN : workers};
    int code = tlsloop_server_start(&config, server);
    tlsloop_tls_free(config.tls);
    return code;
}

int main(int argc, char **argv)
{
    tlsloop_server *server = NULL;
    unsigned workers = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    int signals = signalfd(-1, &set, SFD_CLOEXEC);
    pattern_make();
    if (start(workers, &server) != TLSLOOP_OK) return fail("start");
    printf("port %d\n", tlsloop_server_port(server));
    fflush(stdout);
    serve(server, signals, workers == 0);
    int good = print_counts(server);
    if (tlsloop_server_stop(server, 0) != TLSLOOP_OK) return fail("stop");
    /* After the stop the host's own books have to be closed, too. */
    good = good && connects == disconnects && guests == 0 && crossed == 0;
    printf("stopped connects=%llu disconnects=%llu failed=%llu guests=%llu crossed=%llu\n", connects, disconnects,
           failures, guests, crossed);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
