/*
 * What systemd and inetd do for a service, and nothing else. Listens on 127.0.0.1, says "listening on PORT", and starts
 * a program whose standard input, output and error are its own but for the socket:
 *
 *   launch service TIMES PROGRAM ARGUMENT...       whenever somebody connects while it does not run, with the listening
 *                                                  socket as descriptor 3, LISTEN_FDS and LISTEN_PID
 *   launch connection TIMES PROGRAM ARGUMENT...    for each connection, as descriptors 0, 1 and 2
 *
 * Ends after so many times, with 0 if each program did. The socket of a service must listen all the while.
 */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static int listen_somewhere(void)
{
    struct sockaddr_in name = { .sin_family = AF_INET };
    socklen_t len = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, len) != 0 || listen(fd, 128) != 0) die("listen");
    if (getsockname(fd, (struct sockaddr *)&name, &len) != 0) die("getsockname");
    printf("listening on %d\n", ntohs(name.sin_port));
    if (fflush(stdout) != 0) die("standard output");
    return fd;
}

static void wait_for_somebody(int fd)
{
    struct pollfd watched = { .fd = fd, .events = POLLIN };
    while (poll(&watched, 1, -1) < 0)
        if (errno != EINTR) die("poll");
    if (watched.revents == POLLIN) return;
    fputs("launch: the socket does not listen any more\n", stderr);
    exit(EXIT_FAILURE);
}

/* Puts the descriptor into its places; it is gone from where it was. */
static void place(int fd, int first, int last)
{
    for (int to = first; to <= last; to++)
        if (fd != to && dup2(fd, to) != to) die("dup2");
    if (fd > last && close(fd) != 0) die("close");
}

static void become_service(int fd, char **program)
{
    char pid[32];
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    place(fd, 3, 3);
    if (setenv("LISTEN_FDS", "1", 1) != 0 || setenv("LISTEN_PID", pid, 1) != 0) die("setenv");
    execvp(program[0], program);
    _exit(EXIT_FAILURE);
}

static void become_connection(int listener, int fd, char **program)
{
    if (close(listener) != 0) die("close");
    place(fd, 0, 2);
    execvp(program[0], program);
    _exit(EXIT_FAILURE);
}

static int ended_well(void)
{
    int status;
    while (wait(&status) < 0)
        if (errno != EINTR) die("wait");
    if (WIFSIGNALED(status)) fprintf(stderr, "launch: killed by %s\n", strsignal(WTERMSIG(status)));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int run_service(int listener, char **program)
{
    wait_for_somebody(listener);
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) become_service(listener, program);
    return ended_well();
}

static void start_connection(int listener, char **program)
{
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) die("accept");
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) become_connection(listener, fd, program);
    if (close(fd) != 0) die("close");
}

int main(int argc, char **argv)
{
    int times = argc > 3 ? atoi(argv[2]) : 0, well = 0;
    int is_service = times > 0 && strcmp(argv[1], "service") == 0;
    if (times == 0) return EXIT_FAILURE;
    int listener = listen_somewhere();
    for (int i = 0; i < times; i++) {
        if (is_service)
            well += run_service(listener, argv + 3);
        else
            start_connection(listener, argv + 3);
    }
    for (int i = 0; i < times && !is_service; i++) well += ended_well();
    if (well == times) return EXIT_SUCCESS;
    fprintf(stderr, "launch: %d of %d ended well\n", well, times);
    return EXIT_FAILURE;
}
