/* A forked child: "may only exec or exit: its calls answer ESTATE and touch nothing". */
#define _GNU_SOURCE
#include "child.h"
#include "fixture.h"
#include "peer.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The way a child leaves that has found something: _exit, it owes nothing to anybody. */
#define CHILD_CHECK(number, condition) \
    do {                               \
        if (!(condition)) _exit(number); \
    } while (0)

static int ended(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status))
        check_failed(__FILE__, __LINE__, "the child was killed by %s", strsignal(WTERMSIG(status)));
    /* The server's memory is lost to a child without its threads, as valgrind will have it said. */
    if (check_under_valgrind() && WEXITSTATUS(status) == 99) return 0;
    return WEXITSTATUS(status);
}

static void every_call_answers_estate(struct fixture *f, tlsloop_conn conn)
{
    tlsloop_info info = TLSLOOP_INFO_INIT;
    tlsloop_stats stats = TLSLOOP_STATS_INIT;
    tlsloop_client_config client_config = TLSLOOP_CLIENT_CONFIG_INIT;
    tlsloop_client *client = NULL;
    client_config.host = "127.0.0.1";
    client_config.port = 1;
    CHILD_CHECK(10, tlsloop_conn_send(conn, "child", 5) == TLSLOOP_ESTATE);
    CHILD_CHECK(11, strlen(tlsloop_last_error()) > 0);
    CHILD_CHECK(12, tlsloop_conn_queued(conn) == 0);
    CHILD_CHECK(13, tlsloop_conn_close(conn) == TLSLOOP_ESTATE);
    CHILD_CHECK(14, tlsloop_conn_abort(conn) == TLSLOOP_ESTATE);
    CHILD_CHECK(15, tlsloop_conn_info(conn, &info) == TLSLOOP_ESTATE);
    CHILD_CHECK(16, tlsloop_conn_set_data(conn, &info) == TLSLOOP_ESTATE);
    CHILD_CHECK(17, tlsloop_conn_data(conn) == NULL);
    CHILD_CHECK(18, tlsloop_server_stats(f->server, &stats) == TLSLOOP_ESTATE);
    CHILD_CHECK(19, tlsloop_server_port(f->server) == TLSLOOP_ESTATE);
    CHILD_CHECK(20, tlsloop_server_request_stop(f->server) == TLSLOOP_ESTATE);
    CHILD_CHECK(21, tlsloop_server_wait(f->server) == TLSLOOP_ESTATE);
    CHILD_CHECK(22, tlsloop_server_stop(f->server, 1000) == TLSLOOP_ESTATE);
    CHILD_CHECK(23, tlsloop_client_connect(&client_config, &client) == TLSLOOP_ESTATE);
}

/* L23: "fork … during traffic: answers ESTATE in the child without blocking, and goes on in the
 * parent" */
static void l23_calls_in_a_forked_child(void)
{
    struct fixture *f = fixture_start((struct options){ .config.workers = 2 });
    struct peer p = peer_connect(f->port);
    tlsloop_conn conn = fixture_conn(f, 0);
    for (unsigned i = 0; i < check_scaled(20); i++) {
        fflush(stdout);
        CHECK(peer_send(&p, "under way", 9)); /* the echo may be anywhere when the process forks */
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(60);
            every_call_answers_estate(f, conn);
            _exit(0);
        }
        CHECK_EQ(ended(child), 0);
        char back[9];
        CHECK(peer_recv_all(&p, back, 9) && memcmp(back, "under way", 9) == 0);
    }
    peer_leave(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    fixture_stop(f);
}

/* exit, not _exit: the library's own clean-up in a child that is no server. */
static void a_child_may_exit(void)
{
    if (check_under_asan()) check_skip("its leak check does not bear a fork beside other threads");
    struct fixture *f = fixture_start((struct options){ .config.workers = 2 });
    struct peer p = peer_connect(f->port);
    for (unsigned i = 0; i < check_scaled(10); i++) {
        fflush(stdout);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(60);
            exit(0);
        }
        CHECK_EQ(ended(child), 0);
        CHECK(peer_echo(&p, "the parent goes on"));
    }
    peer_leave(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    fixture_stop(f);
}

/* How many sockets and anonymous inodes (epoll, eventfd) a new program is given. */
static int passed_to_another_program(void)
{
    fflush(stdout);
    int status = system("n=0; for fd in /proc/$$/fd/*; do case $(readlink $fd) in "
                        "socket:*|anon_inode:*) n=$((n + 1));; esac; done; exit $n");
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* L23: "fork and exec during traffic: none of its descriptors in the new program" */
static void l23_nothing_passes_to_another_program(void)
{
    int before = passed_to_another_program(); /* whatever this one was started with */
    struct fixture *f = fixture_start((struct options){ .config.workers = 2 });
    struct peer p = peer_connect(f->port);
    CHECK(peer_echo(&p, "traffic"));
    int silent = tcp_connect(f->port);
    EVENTUALLY_EQ(fixture_stats(f).handshaking, 1);
    CHECK_EQ(passed_to_another_program(), before);
    close(silent);
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects + f->handshakes_failed, 2);
    fixture_stop(f);
}

/* L04: "a forked child still holds a copy of a closed descriptor …: an abort resets although the copy
 * lives on" */
static void l04_abort_although_a_child_holds_a_copy(void)
{
    struct fixture *f = fixture_start((struct options){ 0 });
    struct peer p = peer_connect(f->port);
    CHECK(peer_echo(&p, "before"));
    pid_t child = child_that_holds();
    CHECK_OK(tlsloop_conn_abort(fixture_conn(f, 0)));
    CHECK_EQ(peer_until_end(&p, NULL), PEER_RESET);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_ABORTED], 1);
    child_let_go(child);
    peer_close(&p);
    fixture_stop(f);
}

/* L04: the closed connection's copy still has events to give; they are nobody's. */
static void l04_close_although_a_child_holds_a_copy(void)
{
    struct fixture *f = fixture_start((struct options){ 0 });
    struct peer p = peer_connect(f->port), other = peer_connect(f->port);
    CHECK(peer_echo(&p, "before") && peer_echo(&other, "before"));
    pid_t child = child_that_holds();
    CHECK_OK(tlsloop_conn_close(fixture_conn(f, 0)));
    CHECK_EQ(peer_until_end(&p, NULL), PEER_CLEAN);
    CHECK(peer_close_notify(&p));
    EVENTUALLY_EQ(f->disconnects, 1);
    CHECK_EQ(f->reasons[TLSLOOP_REASON_HOST], 1);
    for (unsigned i = 0; i < 20; i++) {
        tcp_send(p.fd, "to nobody", 9); /* the socket lives on in the child */
        struct peer next = peer_connect(f->port); /* and its number here is somebody else's */
        CHECK(peer_echo(&next, "next"));
        CHECK(peer_echo(&other, "other"));
        peer_leave(&next);
    }
    EVENTUALLY_EQ(f->disconnects, 21);
    child_let_go(child);
    peer_close(&p);
    peer_leave(&other);
    EVENTUALLY_EQ(f->disconnects, 22);
    fixture_stop(f);
}

/* L04: nor does the copy keep our end from a peer that has ended first. */
static void l04_the_end_although_a_child_holds_a_copy(void)
{
    struct fixture *f = fixture_start((struct options){ 0 });
    struct peer polite = peer_connect(f->port), rude = peer_connect(f->port);
    int silent = tcp_connect(f->port);
    char byte;
    CHECK(peer_echo(&polite, "before") && peer_echo(&rude, "before"));
    EVENTUALLY_EQ(fixture_stats(f).accepted, 3);
    pid_t child = child_that_holds();
    CHECK(peer_close_notify(&polite));
    tcp_fin(polite.fd);
    tcp_fin(rude.fd);
    tcp_fin(silent);
    CHECK_EQ(tcp_until_end(polite.fd), PEER_FIN);
    CHECK_EQ(tcp_until_end(rude.fd), PEER_FIN);
    CHECK_EQ(tcp_recv(silent, &byte, 1), PEER_FIN);
    EVENTUALLY_EQ(f->disconnects, 2);
    child_let_go(child);
    peer_close(&polite);
    peer_close(&rude);
    close(silent);
    fixture_stop(f);
}

CHECK_MAIN(CASE(l23_calls_in_a_forked_child), CASE(a_child_may_exit),
           CASE(l23_nothing_passes_to_another_program),
           CASE(l04_abort_although_a_child_holds_a_copy),
           CASE(l04_close_although_a_child_holds_a_copy),
           CASE(l04_the_end_although_a_child_holds_a_copy))
