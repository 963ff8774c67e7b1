/*
 * The habit: exit() on an accept error, so that descriptor exhaustion ends the service. Here: refuse,
 * report, go on.
 *
 * The server is a process of its own with few descriptors; its peers are here, where there are many.
 */
#define _GNU_SOURCE
#include "child.h"
#include "fixture.h"
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the server's process is told to do; each is answered by one number. */
enum order { TAKE_ALL, GIVE_BACK, REFUSED, WARNINGS, OPEN, PROCESSOR_MS, STOP };

/* accept4 of the whole program: fails as told so many times, then is the real one. */
static atomic_int failures_left, failure;

int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict len, int flags)
{
    if (failures_left > 0) {
        failures_left--;
        errno = failure;
        return -1;
    }
    return (int)syscall(SYS_accept4, fd, address, len, flags);
}

int accept(int fd, struct sockaddr *restrict address, socklen_t *restrict len)
{
    return accept4(fd, address, len, 0);
}

/* There accept(2) at the limit takes the connection, closes it and only then answers EMFILE; and the
 * processor time is valgrind's. */
static void not_under_valgrind(void)
{
    if (check_under_valgrind()) check_skip("valgrind has a limit of its own");
}

static void limit_descriptors(rlim_t limit)
{
    struct rlimit descriptors;
    CHECK(getrlimit(RLIMIT_NOFILE, &descriptors) == 0);
    descriptors.rlim_cur = limit;
    CHECK(setrlimit(RLIMIT_NOFILE, &descriptors) == 0);
}

static long processor_ms(void)
{
    struct rusage used;
    CHECK(getrusage(RUSAGE_SELF, &used) == 0);
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000L +
           (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
}

static int taken[4096];
static unsigned taken_count;

/* The host itself uses up what is left. */
static void take_all(void)
{
    for (int fd; (fd = fcntl(0, F_DUPFD_CLOEXEC, 0)) >= 0;) taken[taken_count++] = fd;
    CHECK(errno == EMFILE);
}

static void give_back(void)
{
    while (taken_count > 0) close(taken[--taken_count]);
}

static long obey(struct fixture *f, long order)
{
    switch (order) {
    case TAKE_ALL: take_all(); return 0;
    case GIVE_BACK: give_back(); return 0;
    case REFUSED: return (long)fixture_stats(f).refused_descriptors;
    case WARNINGS: return f->warnings;
    case OPEN: return (long)fixture_stats(f).open;
    case PROCESSOR_MS: return processor_ms();
    case STOP: f->loose_descriptors = true; fixture_stop(f); return 0;
    default: check_failed(__FILE__, __LINE__, "order %ld", order);
    }
}

/* `arg`: how many descriptors the process may have. */
static void serve(int socket, void *arg)
{
    int spare = open("/dev/null", O_RDWR | O_CLOEXEC);
    CHECK(spare >= 0 && dup2(spare, 0) == 0);
    limit_descriptors(*(rlim_t *)arg);
    struct fixture *f = fixture_start((struct options){ 0 });
    child_tell(socket, f->port);
    for (long order = -1; order != STOP;) {
        order = child_hear(socket);
        child_tell(socket, obey(f, order));
    }
}

static long ask(struct child *child, enum order order)
{
    child_tell(child->socket, order);
    return child_hear(child->socket);
}

/* Connects, and says whether the server took it. */
static bool taken_in(int port, struct peer *p)
{
    *p = peer_over_socket(tcp_connect(port));
    if (peer_handshake(p) && peer_echo(p, "taken in")) return true;
    peer_close(p);
    return false;
}

static void refuses_and_goes_on(struct child *child, int port, struct peer *old)
{
    struct peer p;
    long refused = ask(child, REFUSED);
    for (int i = 1; i <= 20; i++) {
        CHECK(!taken_in(port, &p));
        EVENTUALLY(ask(child, REFUSED) >= refused + i); /* "refused … counted" */
        CHECK(peer_echo(old, "keeps serving those it has"));
    }
    CHECK_EQ(ask(child, REFUSED), refused + 20);
}

/* L27: "the descriptor limit is reached with connections waiting: refuses, says so once, …, keeps
 * serving those it has, and accepts again when descriptors return" */
static void l27_the_host_has_used_up_the_descriptors(void)
{
    not_under_valgrind();
    rlim_t limit = 64;
    struct peer old, p;
    struct child child = child_start(serve, &limit);
    int port = (int)child_hear(child.socket);
    CHECK(taken_in(port, &old));
    CHECK_EQ(ask(&child, WARNINGS), 0);
    ask(&child, TAKE_ALL);
    refuses_and_goes_on(&child, port, &old);
    CHECK_EQ(ask(&child, WARNINGS), 1);
    ask(&child, GIVE_BACK);
    for (int i = 0; i < 10; i++) {
        CHECK(taken_in(port, &p));
        peer_leave(&p);
    }
    CHECK_EQ(ask(&child, REFUSED), 20);
    CHECK(peer_echo(&old, "and the oldest is still there"));
    peer_leave(&old);
    ask(&child, STOP);
    child_ended_well(&child);
}

/* "Refused because descriptors were out", and not before: a host that drives its server has the numbers below 1,024, which
 * select(2) needs, for itself only as long as there are others. */
static void l27_the_numbers_for_select_are_used_last(void)
{
    not_under_valgrind();
    rlim_t limit = 1024 + 30;
    enum { MORE = 60 };
    struct peer peers[MORE];
    struct child child = child_start(serve, &limit);
    int port = (int)child_hear(child.socket);
    for (int i = 0; i < MORE; i++) CHECK(taken_in(port, &peers[i]));
    CHECK_EQ(ask(&child, REFUSED), 0);
    for (int i = 0; i < MORE; i++) peer_leave(&peers[i]);
    ask(&child, STOP);
    child_ended_well(&child);
}

/* The same when the connections themselves are what uses them up. */
static void l27_connections_use_up_the_descriptors(void)
{
    not_under_valgrind();
    rlim_t limit = 40;
    enum { MORE = 60 };
    struct peer peers[MORE];
    struct child child = child_start(serve, &limit);
    int port = (int)child_hear(child.socket);
    unsigned in = 0;
    for (int i = 0; i < MORE; i++) in += taken_in(port, &peers[in]);
    CHECK(in >= 10 && in < 40);
    EVENTUALLY_EQ(ask(&child, REFUSED), MORE - in);
    CHECK_EQ(ask(&child, WARNINGS), 1); /* "says so once" */
    CHECK_EQ(ask(&child, OPEN), in);
    for (unsigned i = 0; i < in; i++) CHECK(peer_echo(&peers[i], "keeps serving those it has"));
    for (unsigned i = 0; i < in / 2; i++) peer_leave(&peers[i]);
    EVENTUALLY_EQ(ask(&child, OPEN), in - in / 2);
    for (unsigned i = 0; i < in / 2; i++) CHECK(taken_in(port, &peers[i]));
    for (unsigned i = 0; i < in; i++) peer_leave(&peers[i]);
    ask(&child, STOP);
    child_ended_well(&child);
}

/*
 * L27: "uses less than 5 % of a processor". It is the server's own time that is looked at, so a busy
 * machine cannot fail this; a loop that spins on accept cannot pass it.
 */
static void l27_does_not_spin_at_the_limit(void)
{
    not_under_valgrind();
    rlim_t limit = 64;
    struct peer old, p;
    struct child child = child_start(serve, &limit);
    int port = (int)child_hear(child.socket);
    CHECK(taken_in(port, &old));
    ask(&child, TAKE_ALL);
    CHECK(!taken_in(port, &p));
    /* These wait in the kernel's queue or are refused, as the server likes. */
    int waiting[20];
    for (int i = 0; i < 20; i++) waiting[i] = tcp_connect(port);
    check_nap(50);
    long before = ask(&child, PROCESSOR_MS);
    check_nap(1000);
    CHECK(ask(&child, PROCESSOR_MS) - before < 50);
    for (int i = 0; i < 20; i++) close(waiting[i]);
    CHECK(peer_echo(&old, "still there"));
    peer_leave(&old);
    ask(&child, GIVE_BACK);
    ask(&child, STOP);
    child_ended_well(&child);
}

/* "Accept survives": an error of accept(2), once or several times over. Without a descriptor the first connection may be
 * refused; nobody else pays, nor anybody for want of memory. */
static void accept_fails(int error, int times, bool may_refuse)
{
    struct fixture *f = fixture_start((struct options){ 0 });
    struct peer first = peer_connect(f->port);
    failure = error;
    failures_left = times;
    for (int i = 0; i < 3; i++) {
        struct peer p = peer_over_socket(tcp_connect(f->port));
        bool served = peer_handshake(&p) && peer_echo(&p, "goes on");
        CHECK(served || (may_refuse && i == 0));
        peer_leave(&p);
        CHECK(peer_echo(&first, "the first is untouched"));
    }
    CHECK_EQ(failures_left, 0);
    peer_leave(&first);
    EVENTUALLY_EQ(fixture_stats(f).open, 0);
    fixture_stop(f);
}

/* accept(2): these belong to the one connection that is no more, or mean "again". */
static void accept_survives_what_passes(void)
{
    static const int errors[] = { ECONNABORTED, EINTR, EPROTO, ENETDOWN, EHOSTUNREACH, EPERM };
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        accept_fails(errors[i], 1, false);
        accept_fails(errors[i], 5, false);
    }
}

/* accept(2): these belong to the machine. */
static void accept_survives_what_is_short(void)
{
    static const int errors[] = { EMFILE, ENFILE, ENOMEM, ENOBUFS };
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) accept_fails(errors[i], 1, i < 2);
}

/* The same for a server that drains, and takes those who wait when it can again. */
static void l27_does_not_spin_while_draining(void)
{
    not_under_valgrind();
    struct fixture *f = fixture_start((struct options){ 0 });
    struct peer old = peer_connect(f->port);
    failure = EMFILE;
    failures_left = 1 << 30;
    struct peer waiting = peer_over_socket(tcp_connect(f->port));
    EVENTUALLY_EQ(f->warnings, 1);
    CHECK_OK(tlsloop_server_drain(f->server));
    CHECK(peer_echo(&old, "keeps serving"));
    long before = processor_ms();
    check_nap(1000);
    CHECK(processor_ms() - before < 50);
    failures_left = 0;
    CHECK(peer_handshake(&waiting) && peer_echo(&waiting, "who waited is served"));
    int fd;
    EVENTUALLY((fd = tcp_try_connect(f->port)) < 0 || (close(fd), false));
    peer_leave(&waiting);
    peer_leave(&old);
    EVENTUALLY_EQ(f->disconnects, f->connects);
    EVENTUALLY_EQ(fixture_stats(f).handshaking, 0);
    fixture_stop(f);
}

CHECK_MAIN(CASE(l27_the_host_has_used_up_the_descriptors),
           CASE(l27_connections_use_up_the_descriptors), CASE(l27_the_numbers_for_select_are_used_last), CASE(l27_does_not_spin_at_the_limit),
           CASE(l27_does_not_spin_while_draining), CASE(accept_survives_what_passes), CASE(accept_survives_what_is_short))
