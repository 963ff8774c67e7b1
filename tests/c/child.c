#define _GNU_SOURCE
#include "child.h"

#include "check.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct child child_start(void (*run)(int socket, void *arg), void *arg)
{
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    fflush(stdout);
    struct child child = { fork(), ends[0] };
    CHECK(child.pid >= 0);
    if (child.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        run(ends[1], arg);
        exit(0);
    }
    close(ends[1]);
    return child;
}

void child_tell(int socket, long value)
{
    CHECK(send(socket, &value, sizeof value, MSG_NOSIGNAL) == sizeof value);
}

long child_hear(int socket)
{
    long value;
    ssize_t n;
    do {
        n = recv(socket, &value, sizeof value, MSG_WAITALL);
    } while (n < 0 && errno == EINTR);
    CHECK(n == sizeof value);
    return value;
}

int child_wait(struct child *child)
{
    int status;
    while (waitpid(child->pid, &status, 0) < 0) CHECK(errno == EINTR);
    close(child->socket);
    return status;
}

void child_ended_well(struct child *child)
{
    int status = child_wait(child);
    if (WIFSIGNALED(status))
        check_failed(__FILE__, __LINE__, "killed by %s", strsignal(WTERMSIG(status)));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

static int to_parent;

static void end_before_the_leak_check(void)
{
    child_tell(to_parent, 1);
    raise(SIGKILL);
}

void child_without_leak_check(int socket)
{
    to_parent = socket;
    if (check_under_valgrind()) CHECK(atexit(end_before_the_leak_check) == 0);
}

void child_ended_at_exit(struct child *child)
{
    if (!check_under_valgrind()) {
        child_ended_well(child);
        return;
    }
    CHECK_EQ(child_hear(child->socket), 1);
    child_wait(child);
}

pid_t child_that_holds(void)
{
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(120);
        for (;;) pause();
    }
    return child;
}

void child_let_go(pid_t child)
{
    CHECK(kill(child, SIGKILL) == 0);
    CHECK(waitpid(child, NULL, 0) == child);
}
