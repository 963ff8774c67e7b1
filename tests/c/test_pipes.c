/* What is written elsewhere than to sockets: to standard error if TLSLOOP_LOG asks, and to a key log. Either can be a pipe
 * that nobody reads. */
#define _GNU_SOURCE
#include "fixture.h"
#include "keys.h"
#include "peer.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Standard error is a pipe from now on; answers the end to read it from. */
static int pipe_for_stderr(void)
{
    int ends[2];
    CHECK(setenv("TLSLOOP_LOG", "debug", 1) == 0);
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    CHECK(dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
    CHECK(close(ends[1]) == 0);
    return ends[0];
}

static void one_visit(int port)
{
    struct peer p = peer_connect(port);
    CHECK(peer_echo(&p, "watched"));
    peer_leave(&p);
}

/* Lines that the host itself did not want: its log_level is WARN. */
static void lines_that_the_variable_asks_for(void)
{
    char said[8192] = "";
    size_t len = 0;
    int fd = pipe_for_stderr();
    struct fixture *f = fixture_start((struct options){ 0 });
    one_visit(f->port);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
    CHECK_EQ(f->log_lines, 0);
    CHECK(close(STDERR_FILENO) == 0); /* so that the reader finds an end */
    for (ssize_t n; (n = read(fd, said + len, sizeof said - 1 - len)) > 0;) len += (size_t)n;
    CHECK_HAS(said, "tlsloop: level=debug event=connect conn=");
    CHECK_HAS(said, "event=disconnect");
    CHECK(said[len - 1] == '\n');
    close(fd);
}

static bool is_pending(int number)
{
    sigset_t pending;
    CHECK(sigpending(&pending) == 0);
    return sigismember(&pending, number);
}

static void none_is_pending(struct fixture *f, unsigned worker)
{
    (void)f, (void)worker;
    CHECK(!is_pending(SIGPIPE)); /* blocked, it would wait here */
}

/* Nobody reads any more, and lines are written by workers, or by the thread that polls, and by the caller's. */
static void write_to_a_closed_pipe(void)
{
    sigset_t before, after;
    struct identity old = keys_make((struct identity_spec){ .expired = 1 }); /* the start itself warns */
    tlsloop_tls *tls = tlsloop_tls_new();
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, old.chain, old.key));
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &before) == 0);
    struct fixture *f = fixture_start((struct options){
        .on.worker_stop = none_is_pending, .config = { .workers = 2, .tls = tls } });
    tlsloop_tls_free(tls);
    for (int i = 0; i < 3; i++) one_visit(f->port);
    EVENTUALLY_EQ(f->disconnects, 3);
    fixture_stop(f);
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &after) == 0);
    for (int n = 1; n <= 64; n++) CHECK_EQ(sigismember(&after, n), sigismember(&before, n));
}

/* L22: "with the default SIGPIPE action …: never raises the signal and leaves the host's disposition and mask" */
static void l22_standard_error_that_nobody_reads(void)
{
    CHECK(close(pipe_for_stderr()) == 0);
    write_to_a_closed_pipe();
    CHECK(!is_pending(SIGPIPE));
}

static atomic_uint signals_seen;

static void count_signal(int number)
{
    (void)number;
    signals_seen++;
}

/* A signal of the host's own, which it blocks for a while, is not taken away. */
static void l22_a_signal_of_the_hosts_own_stays(void)
{
    sigset_t own;
    struct sigaction action = { .sa_handler = count_signal };
    CHECK(sigaction(SIGPIPE, &action, NULL) == 0);
    sigemptyset(&own);
    sigaddset(&own, SIGPIPE);
    CHECK(pthread_sigmask(SIG_BLOCK, &own, NULL) == 0);
    CHECK(raise(SIGPIPE) == 0);
    CHECK(close(pipe_for_stderr()) == 0);
    write_to_a_closed_pipe();
    CHECK(is_pending(SIGPIPE));
    CHECK_EQ(signals_seen, 0);
    CHECK(pthread_sigmask(SIG_UNBLOCK, &own, NULL) == 0);
    CHECK_EQ(signals_seen, 1);
}

/* The same for the key log, with a reader that goes away. */
static void l22_a_key_log_that_nobody_reads(void)
{
    char path[256];
    struct identity mine = keys_local();
    tlsloop_tls *tls = tlsloop_tls_new();
    snprintf(path, sizeof path, "%s/keys.fifo", keys_dir());
    CHECK(mkfifo(path, 0600) == 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    CHECK(reader >= 0);
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, mine.chain, mine.key));
    CHECK_OK(tlsloop_tls_set_keylog_file(tls, path));
    struct fixture *f =
        fixture_start((struct options){ .on.worker_stop = none_is_pending, .config.tls = tls });
    tlsloop_tls_free(tls);
    f->loose_descriptors = true; /* the reader's */
    one_visit(f->port);
    CHECK(close(reader) == 0);
    one_visit(f->port);
    EVENTUALLY_EQ(f->disconnects, 2);
    fixture_stop(f);
    CHECK(unlink(path) == 0);
}

/* A file with a limit is a full disk, too (RLIMIT_FSIZE, setrlimit(2)): SIGXFSZ ends programs. */
static void a_key_log_at_its_limit(void)
{
    struct identity mine = keys_local();
    const char *path = keys_file("limited.log", "", 0);
    tlsloop_tls *tls = tlsloop_tls_new();
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, mine.chain, mine.key));
    CHECK_OK(tlsloop_tls_set_keylog_file(tls, path));
    CHECK(pipe_for_stderr() >= 0); /* what may be said goes there, and not into the file of a test run */
    CHECK(setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 1, 1 }) == 0);
    struct fixture *f = fixture_start((struct options){ .on.worker_stop = none_is_pending, .config.tls = tls });
    tlsloop_tls_free(tls);
    f->loose_descriptors = true;
    one_visit(f->port);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
    CHECK(!is_pending(SIGXFSZ));
}

CHECK_MAIN(CASE(lines_that_the_variable_asks_for), CASE(l22_standard_error_that_nobody_reads),
           CASE(l22_a_signal_of_the_hosts_own_stays), CASE(l22_a_key_log_that_nobody_reads), CASE(a_key_log_at_its_limit))
