/*
 * L23: "fork and exec during traffic: none of its descriptors in the new program", whenever that begins: each descriptor
 * is made with the flag, for one that gets it afterwards is there for a moment without.
 *
 * The calls that make descriptors are interposed by this program.
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "keys.h"
#include "peer.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum call { SOCKET, ACCEPT, EPOLL, EVENTFD, TIMERFD, DUPLICATE, CALLS };

static const char *const names[CALLS] = { "socket", "accept4", "epoll_create1", "eventfd", "timerfd_create", "fcntl" };
static atomic_uint made[CALLS];

static void note(enum call call, bool has_flag)
{
    made[call]++;
    if (!has_flag) check_failed(__FILE__, __LINE__, "%s makes a descriptor that another program may get", names[call]);
}

int socket(int domain, int type, int protocol)
{
    note(SOCKET, type & SOCK_CLOEXEC);
    return (int)syscall(SYS_socket, domain, type, protocol);
}

int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict len, int flags)
{
    note(ACCEPT, flags & SOCK_CLOEXEC);
    return (int)syscall(SYS_accept4, fd, address, len, flags);
}

int accept(int fd, struct sockaddr *restrict address, socklen_t *restrict len)
{
    return accept4(fd, address, len, 0);
}

int epoll_create1(int flags)
{
    note(EPOLL, flags & EPOLL_CLOEXEC);
    return (int)syscall(SYS_epoll_create1, flags);
}

int eventfd(unsigned value, int flags)
{
    note(EVENTFD, flags & EFD_CLOEXEC);
    return (int)syscall(SYS_eventfd2, value, flags);
}

int timerfd_create(clockid_t clock, int flags)
{
    note(TIMERFD, flags & TFD_CLOEXEC);
    return (int)syscall(SYS_timerfd_create, clock, flags);
}

int dup(int fd)
{
    note(DUPLICATE, false);
    return (int)syscall(SYS_dup, fd);
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) note(DUPLICATE, command == F_DUPFD_CLOEXEC);
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

/* How many sockets, anonymous inodes (epoll, eventfd) and files of the test's a new program is given. */
static int passed_to_another_program(void)
{
    char command[512];
    snprintf(command, sizeof command, "n=0; for fd in /proc/$$/fd/*; do case $(readlink $fd) in "
                                      "socket:*|anon_inode:*|%s/*) n=$((n + 1));; esac; done; exit $n", keys_dir());
    fflush(stdout);
    int status = system(command);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

struct bustle {
    struct fixture *f;
    tlsloop_tls *trusting;
    atomic_bool over;
    atomic_uint rounds;
};

/* All that makes descriptors: connections come, are adopted, go out by name and by the blocking client. */
static void *keep_busy(void *arg)
{
    struct bustle *b = arg;
    tlsloop_client_config to = TLSLOOP_CLIENT_CONFIG_INIT;
    to.host = "localhost";
    to.port = (uint16_t)b->f->port;
    to.tls = b->trusting;
    while (!b->over) {
        int ends[2];
        tlsloop_client *client;
        CHECK_OK(tlsloop_server_connect(b->f->server, &to, NULL));
        CHECK_OK(tlsloop_client_connect(&to, &client));
        CHECK_OK(tlsloop_client_close(client));
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
        CHECK_OK(tlsloop_server_adopt(b->f->server, ends[0], NULL, NULL));
        close(ends[1]);
        b->rounds++;
    }
    return NULL;
}

static struct bustle begin(void)
{
    struct identity mine = keys_local();
    const char *log = keys_file("keys.log", "", 0);
    tlsloop_tls *tls = tlsloop_tls_new();
    struct bustle b = { .trusting = tlsloop_tls_new() };
    CHECK_OK(tlsloop_tls_set_verify(b.trusting, TLSLOOP_VERIFY_NONE));
    CHECK_OK(tlsloop_tls_add_certificate_file(tls, mine.chain, mine.key));
    CHECK_OK(tlsloop_tls_set_keylog_file(tls, log));
    b.f = fixture_start((struct options){ .config = { .workers = 2, .tls = tls } });
    tlsloop_tls_free(tls);
    b.f->loose_threads = b.f->loose_descriptors = true; /* the resolver's; ends that take their time */
    return b;
}

static void l23_exec_during_traffic(void)
{
    enum { THREADS = 2 };
    pthread_t threads[THREADS];
    keys_dir();
    int before = passed_to_another_program(); /* whatever this one was started with */
    struct bustle b = begin();
    int successors = tlsloop_server_listen_fd(b.f->server);
    CHECK(successors >= 0);
    for (int i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, keep_busy, &b) == 0);
    for (unsigned i = 0; i < check_scaled(30); i++) CHECK_EQ(passed_to_another_program(), before);
    EVENTUALLY(b.rounds >= 2);
    b.over = true;
    for (int i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    close(successors);
    fixture_stop_grace(b.f, 5000);
    tlsloop_tls_free(b.trusting);
    for (int call = 0; call < CALLS; call++)
        if (made[call] == 0 && (call != TIMERFD || host_wanted()))
            check_failed(__FILE__, __LINE__, "%s was not used", names[call]);
}

CHECK_MAIN(CASE(l23_exec_during_traffic))
