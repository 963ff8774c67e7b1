/* "Guests' manners": signals, masks, descriptors, the terminal. */
#define _GNU_SOURCE
#include "fixture.h"
#include "measure.h"
#include "peer.h"

#include <dirent.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One visit of each kind, so that every path of a connection has been walked. */
static void some_traffic(int port)
{
    char buf[64];
    struct peer p = peer_connect(port);
    CHECK(peer_echo(&p, "polite"));
    peer_leave(&p);
    p = peer_connect(port);
    CHECK(peer_echo(&p, "cut off"));
    peer_close(&p);
    p = peer_connect(port);
    CHECK(peer_send(&p, "and gone", 8));
    peer_reset(&p);
    int fd = tcp_connect(port);
    CHECK(tcp_send(fd, "GET / HTTP/1.1\r\n\r\n", 18));
    while (tcp_recv(fd, buf, sizeof buf) > 0) {}
    close(fd);
    fd = tcp_connect(port);
    tcp_reset(fd);
}

static void traffic_ends(struct fixture *f)
{
    EVENTUALLY_EQ(f->disconnects + f->handshakes_failed, 5);
}

struct signals {
    struct sigaction actions[65];
    sigset_t mask;
};

static void read_signals(struct signals *s)
{
    memset(s, 0, sizeof *s);
    for (int n = 1; n <= 64; n++) sigaction(n, NULL, &s->actions[n]);
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &s->mask) == 0);
}

static void same_signals(const struct signals *before)
{
    struct signals now;
    read_signals(&now);
    for (int n = 1; n <= 64; n++) {
        CHECK(now.actions[n].sa_handler == before->actions[n].sa_handler);
        CHECK_EQ(now.actions[n].sa_flags, before->actions[n].sa_flags);
        CHECK_EQ(sigismember(&now.mask, n), sigismember(&before->mask, n));
    }
}

/* "No signal handler; the mask of the host's threads is on return as before" (L22) */
static void l22_dispositions_and_masks_stay(void)
{
    struct signals before;
    sigset_t own;
    sigemptyset(&own);
    sigaddset(&own, SIGUSR2);
    CHECK(pthread_sigmask(SIG_BLOCK, &own, NULL) == 0);
    read_signals(&before);
    CHECK(before.actions[SIGPIPE].sa_handler == SIG_DFL);
    struct fixture *f = fixture_start((struct options){ .config.workers = 2 });
    same_signals(&before);
    some_traffic(f->port);
    traffic_ends(f);
    same_signals(&before);
    fixture_stop(f);
    same_signals(&before);
}

static void check_mask(struct fixture *f, unsigned worker)
{
    static const int open[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, SIGPROF };
    sigset_t mask;
    (void)f;
    (void)worker;
    if (host_wanted()) return;
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0);
    for (int n = 1; n <= 64; n++) {
        bool expected = n != SIGKILL && n != SIGSTOP && n != 32 && n != 33; /* the last: libc's own */
        for (size_t i = 0; i < sizeof open / sizeof *open; i++) expected &= n != open[i];
        if (n == 32 || n == 33) continue;
        if (sigismember(&mask, n) != expected)
            check_failed(__FILE__, __LINE__, "signal %d is %sblocked", n, expected ? "not " : "");
    }
}

static void no_sigpipe_pending(struct fixture *f, unsigned worker)
{
    sigset_t pending;
    check_mask(f, worker);
    CHECK(sigpending(&pending) == 0);
    CHECK(!sigismember(&pending, SIGPIPE)); /* "SIGPIPE is never raised": blocked, it would wait here */
}

static void only_note(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    (void)conn;
}

/*
 * "SIGPIPE is never raised". The peer says goodbye and is gone; what the host still sends is answered
 * by RST, and the next write would raise the signal: it kills a host that polls, and stays pending
 * on a worker, which blocks it.
 */
static void l22_writes_to_a_peer_that_is_gone(void)
{
    struct fixture *f =
        fixture_start((struct options){ .on = { .end = only_note, .worker_stop = no_sigpipe_pending } });
    for (unsigned i = 0; i < 10; i++) {
        struct peer p = peer_connect(f->port);
        CHECK(peer_echo(&p, "goodbye"));
        peer_leave(&p);
        EVENTUALLY_EQ(f->ends, i + 1);
        tlsloop_conn conn = fixture_conn(f, i);
        EVENTUALLY(tlsloop_conn_send(conn, "anybody there?", 14) == TLSLOOP_ECLOSED);
    }
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_RESET], 10);
    fixture_stop(f);
}

static void check_mask_at_connect(struct fixture *f, tlsloop_conn conn)
{
    (void)conn;
    check_mask(f, 0);
}

/* "workers block all signals but SEGV, BUS, FPE, ILL, TRAP, SYS, ABRT, PROF" */
static void masks_of_the_workers(void)
{
    struct fixture *f = fixture_start((struct options){
        .on = { .worker_start = check_mask,
                .connect = check_mask_at_connect,
                .worker_stop = no_sigpipe_pending },
        .config.workers = 3,
    });
    some_traffic(f->port);
    traffic_ends(f);
    fixture_stop(f);
    CHECK_EQ(f->worker_starts, host_wanted() ? f->worker_starts : 3);
}

static pthread_t main_thread;
static atomic_uint signals_seen, signals_elsewhere;

static void count_signal(int number)
{
    (void)number;
    signals_seen++;
    if (!pthread_equal(pthread_self(), main_thread)) signals_elsewhere++;
}

/* L23: "a signal sent to the process is handled on a host thread, never on a worker" */
static void l23_signals_land_on_host_threads(void)
{
    struct sigaction action = { .sa_handler = count_signal, .sa_flags = SA_RESTART };
    main_thread = pthread_self();
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    struct fixture *f = fixture_start((struct options){ .config.workers = 4 });
    for (unsigned i = 0; i < 200; i++) {
        CHECK(kill(getpid(), SIGUSR1) == 0);
        if (i % 50 == 0) {
            struct peer p = peer_connect(f->port);
            CHECK(peer_echo(&p, "under signals"));
            peer_leave(&p);
        }
    }
    EVENTUALLY(signals_seen > 0);
    if (!host_wanted()) CHECK_EQ(signals_elsewhere, 0); /* else the thread that polls is the host's, too */
    EVENTUALLY_EQ(f->disconnects, 4);
    fixture_stop(f);
}

static bool open_before[1 << 16];

static void each_descriptor(void (*see)(int fd))
{
    DIR *dir = opendir("/proc/self/fd");
    CHECK(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] != '.' && fd != dirfd(dir)) see(fd);
    }
    closedir(dir);
}

static void note_open(int fd)
{
    CHECK(fd < 1 << 16);
    open_before[fd] = true;
}

static unsigned descriptors_of_tlsloop;

static void check_cloexec(int fd)
{
    if (open_before[fd]) return;
    descriptors_of_tlsloop++;
    if (!(fcntl(fd, F_GETFD) & FD_CLOEXEC))
        check_failed(__FILE__, __LINE__, "descriptor %d would pass to another program", fd);
}

/* "close-on-exec everywhere" */
static void every_descriptor_closes_on_exec(void)
{
    each_descriptor(note_open);
    struct fixture *f = fixture_start((struct options){ .config.workers = 2 });
    struct peer a = peer_connect(f->port), b = peer_connect(f->port);
    int silent = tcp_connect(f->port);
    EVENTUALLY_EQ(f->connects, 2);
    EVENTUALLY_EQ(fixture_stats(f).handshaking, 1);
    each_descriptor(check_cloexec);
    /* The three peers' are among them; three ends on the server's side, a listener, two workers. */
    CHECK(descriptors_of_tlsloop >= 3 + 3 + 1 + 2);
    peer_leave(&a);
    peer_leave(&b);
    close(silent);
    EVENTUALLY_EQ(f->disconnects + f->handshakes_failed, 3);
    fixture_stop(f);
}

static const char *silence_output(int saved[2])
{
    char path[] = "/tmp/tlsloop-output-XXXXXX";
    static char kept[sizeof path];
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    strcpy(kept, path);
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        saved[i] = fcntl(i + 1, F_DUPFD_CLOEXEC, 3);
        CHECK(saved[i] >= 0 && dup2(fd, i + 1) == i + 1);
    }
    close(fd);
    return kept;
}

static off_t restore_output(int saved[2], const char *path)
{
    fflush(NULL);
    off_t written = lseek(1, 0, SEEK_END);
    for (int i = 0; i < 2; i++) {
        CHECK(dup2(saved[i], i + 1) == i + 1);
        close(saved[i]);
    }
    unlink(path);
    return written;
}

static void echo(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    (void)user;
    tlsloop_conn_send(conn, data, len);
}

/* "nothing on the terminal unless TLSLOOP_LOG asks": on_log is NULL, and things go wrong. */
static void nothing_on_the_terminal(void)
{
    int saved[2], answers[5];
    tlsloop_callbacks callbacks = TLSLOOP_CALLBACKS_INIT;
    tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
    tlsloop_server *server = NULL, *second = NULL;
    CHECK(getenv("TLSLOOP_LOG") == NULL);
    config.address = "127.0.0.1";
    callbacks.on_data = echo;
    config.callbacks = &callbacks;
    config.log_level = TLSLOOP_LOG_DEBUG;
    const char *path = silence_output(saved);
    answers[0] = tlsloop_server_start(&config, &server); /* no policy */
    config.tls = tlsloop_tls_new();
    answers[1] = tlsloop_tls_add_self_signed(config.tls, "localhost");
    answers[2] = tlsloop_server_start(&config, &server);
    if (server) some_traffic(tlsloop_server_port(server));
    config.port = server ? (uint16_t)tlsloop_server_port(server) : 0;
    answers[3] = tlsloop_server_start(&config, &second); /* the port is taken */
    answers[4] = tlsloop_server_stop(server, 100);
    tlsloop_tls_free(config.tls);
    off_t written = restore_output(saved, path);
    CHECK_EQ(answers[0], TLSLOOP_EINVAL);
    CHECK_OK(answers[1]);
    CHECK_OK(answers[2]);
    CHECK_EQ(answers[3], TLSLOOP_ESYS);
    CHECK_OK(answers[4]);
    CHECK_EQ(written, 0);
}

/* "no locale, no environment" */
static void locale_and_environment_stay(void)
{
    extern char **environ;
    char locale[256];
    snprintf(locale, sizeof locale, "%s", setlocale(LC_ALL, NULL));
    char **environment = environ, *first = environ[0];
    struct fixture *f = fixture_start((struct options){ 0 });
    some_traffic(f->port);
    traffic_ends(f);
    fixture_stop(f);
    CHECK_STR(setlocale(LC_ALL, NULL), locale);
    CHECK(environ == environment && environ[0] == first);
}

/* "several servers in one process" */
static void several_servers(void)
{
    enum { SERVERS = 4 };
    struct fixture *f[SERVERS];
    for (int i = 0; i < SERVERS; i++) {
        f[i] = fixture_start((struct options){ .config.workers = 2 });
        f[i]->loose_descriptors = f[i]->loose_threads = true; /* those of the others come and go */
    }
    unsigned descriptors = f[0]->descriptors_before, threads = f[0]->threads_before;
    for (int i = 0; i < SERVERS; i++) some_traffic(f[i]->port);
    for (int i = 0; i < SERVERS; i++) traffic_ends(f[i]);
    for (int i = 0; i < SERVERS; i++) {
        fixture_stop(f[i]);
        if (i + 1 == SERVERS) break;
        struct peer p = peer_connect(f[i + 1]->port);
        CHECK(peer_echo(&p, "the others go on"));
        peer_leave(&p);
    }
    CHECK_EQ(measure_descriptors(), descriptors);
    EVENTUALLY_EQ(measure_threads(), threads);
}

CHECK_MAIN(CASE(l22_dispositions_and_masks_stay), CASE(l22_writes_to_a_peer_that_is_gone),
           CASE(masks_of_the_workers),
           CASE(l23_signals_land_on_host_threads), CASE(every_descriptor_closes_on_exec),
           CASE(nothing_on_the_terminal), CASE(locale_and_environment_stay), CASE(several_servers))
