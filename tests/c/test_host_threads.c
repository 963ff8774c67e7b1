/* Hosts with ways of their own: signals that they take themselves, standard descriptors that they close, threads that they
 * cancel, callbacks that need room. */
#define _GNU_SOURCE
#include "fixture.h"
#include "peer.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

/* A host that takes its signals by sigwait(3) blocks them in every thread that it has. */
static void stays_blocked(struct fixture *f, unsigned worker)
{
    sigset_t mask;
    (void)f, (void)worker;
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0);
    CHECK_EQ(sigismember(&mask, SIGPROF), 1);
    CHECK_EQ(sigismember(&mask, SIGABRT), 1);
}

static void what_the_host_blocks_stays_blocked(void)
{
    sigset_t own;
    sigemptyset(&own);
    sigaddset(&own, SIGPROF);
    sigaddset(&own, SIGABRT);
    CHECK(pthread_sigmask(SIG_BLOCK, &own, NULL) == 0);
    struct fixture *f = fixture_start((struct options){ .on.worker_start = stays_blocked, .config.workers = 2 });
    if (!host_wanted()) EVENTUALLY_EQ(f->worker_starts, 2);
    fixture_stop(f);
}

static bool is_free(int fd)
{
    return fcntl(fd, F_GETFD) < 0;
}

/* What writes to standard output, and that is closed, must not write to a peer. */
static void standard_descriptors_are_left_alone(void)
{
    tlsloop_server *server = NULL;
    tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
    tlsloop_stats stats = TLSLOOP_STATS_INIT;
    config.address = "127.0.0.1";
    config.mode = TLSLOOP_MODE_PLAIN;
    config.workers = host_wanted() ? TLSLOOP_HOST_DRIVEN : 1;
    int kept = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
    close(STDIN_FILENO), close(STDOUT_FILENO);
    int code = tlsloop_server_start(&config, &server);
    bool were_free = is_free(STDIN_FILENO) && is_free(STDOUT_FILENO);
    int fd = code == TLSLOOP_OK ? tcp_connect(tlsloop_server_port(server)) : -1; /* it has 0, so the server's end would have 1 */
    for (int i = 0; stats.open == 0 && i < 10000 && fd >= 0; i++) {
        if (host_wanted()) tlsloop_server_poll(server, 1);
        else check_nap(1);
        tlsloop_server_stats(server, &stats);
    }
    bool is_still_free = is_free(STDOUT_FILENO);
    dup2(kept, STDOUT_FILENO);
    CHECK_OK(code);
    CHECK_EQ(stats.open, 1);
    CHECK(fd == STDIN_FILENO && were_free && is_still_free);
    close(fd);
    CHECK_OK(tlsloop_server_stop(server, 0));
}

static void *receive(void *client)
{
    char buf[16];
    CHECK(tlsloop_client_recv(client, buf, sizeof buf) < 0);
    pthread_testcancel();
    return NULL;
}

/* pthread_cancel(3) would unwind through what cannot be left in the middle; it comes when the call has returned. */
static void a_cancelled_thread_leaves_when_the_call_returns(void)
{
    pthread_t thread;
    void *result = NULL;
    tlsloop_client *client;
    struct fixture *f = fixture_start((struct options){ 0 });
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    config.host = "127.0.0.1";
    config.port = (uint16_t)f->port;
    config.io_timeout_ms = 300 * check_time_factor();
    config.tls = tlsloop_tls_new();
    CHECK_OK(tlsloop_tls_set_verify(config.tls, TLSLOOP_VERIFY_NONE));
    CHECK_OK(tlsloop_client_connect(&config, &client));
    CHECK(pthread_create(&thread, NULL, receive, client) == 0);
    check_nap(50);
    CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
    CHECK(result == PTHREAD_CANCELED);
    CHECK_OK(tlsloop_client_close(client));
    tlsloop_tls_free(config.tls);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

static void use_much_stack(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    volatile char much[4 << 20];
    for (size_t i = 0; i < sizeof much; i += 4096) much[i] = 1;
    CHECK(much[4096] == 1);
    (void)f;
    CHECK_OK(tlsloop_conn_send(conn, data, len));
}

/* A callback has the stack that a thread of the host's has. */
static void workers_have_the_usual_stack(void)
{
    struct rlimit stack;
    if (check_under_asan() || check_under_valgrind()) check_skip("stacks are another tool's here");
    CHECK(getrlimit(RLIMIT_STACK, &stack) == 0);
    if (stack.rlim_cur == RLIM_INFINITY || stack.rlim_cur < 8 << 20) check_skip("the usual stack is small here");
    struct fixture *f = fixture_start((struct options){ .on.data = use_much_stack });
    struct peer p = peer_connect(f->port);
    CHECK(peer_echo(&p, "deep down"));
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

CHECK_MAIN(CASE(what_the_host_blocks_stays_blocked), CASE(standard_descriptors_are_left_alone),
           CASE(a_cancelled_thread_leaves_when_the_call_returns), CASE(workers_have_the_usual_stack))
