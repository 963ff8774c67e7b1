/*
 * Listens where it is told, on ports that the system picks, and becomes another program that inherits the sockets: so
 * that a program which cannot pick ports itself never meets one that is taken.
 *
 *   with_sockets NAME=ADDRESS... -- PROGRAM ARGUMENT...
 *
 * For each it says "NAME PORT" on standard output, and the program finds the descriptor in the environment as NAME, the
 * port as NAME_PORT.
 */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

/* A listening socket; its port is written to `port`. */
static int listen_on(const char *text, int *port)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
    int is_v4 = inet_pton(AF_INET, text, &v4.sin_addr) == 1;
    struct sockaddr *name = is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
    socklen_t len = is_v4 ? sizeof v4 : sizeof v6;
    if (!is_v4 && inet_pton(AF_INET6, text, &v6.sin6_addr) != 1) die(text);
    int fd = socket(name->sa_family, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, name, len) != 0 || listen(fd, 128) != 0 || getsockname(fd, name, &len) != 0) die(text);
    *port = ntohs(is_v4 ? v4.sin_port : v6.sin6_port);
    return fd;
}

static void set(const char *name, const char *suffix, int value)
{
    char variable[256], number[16];
    snprintf(variable, sizeof variable, "%s%s", name, suffix);
    snprintf(number, sizeof number, "%d", value);
    if (setenv(variable, number, 1) != 0) die(variable);
}

int main(int argc, char **argv)
{
    int i, port;
    for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        char *address = strchr(argv[i], '=');
        if (address == NULL) die(argv[i]);
        *address++ = '\0';
        set(argv[i], "", listen_on(address, &port));
        set(argv[i], "_PORT", port);
        printf("%s %d\n", argv[i], port);
    }
    if (i + 1 >= argc || fflush(stdout) != 0) return EXIT_FAILURE;
    execvp(argv[i + 1], argv + i + 1);
    die(argv[i + 1]);
}
