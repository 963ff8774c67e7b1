/* What the kernel takes for the calls that an echo needs, 64 bytes over the loopback. */
#include "limits.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BATCHES = 9, CALLS = 20000, SIZE = 64 };
enum call { NOTHING, SEND, WAIT_READY, RECV, RECV_EMPTY, MODIFY, WAIT_OTHER, KINDS };

static const char *const names[KINDS] = {"none", "send_with_delivery", "epoll_wait_ready", "recv", "recv_empty",
                                         "epoll_ctl_mod", "epoll_wait_other"};

struct ends {
    int client, server, poller;
};

static struct ends connected_ends(void)
{
    struct ends e = {.client = socket(AF_INET, SOCK_STREAM, 0), .poller = epoll_create1(0)};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN};
    socklen_t length = sizeof address;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);

    CHECK(bind(listener, (const struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 1) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    CHECK(connect(e.client, (const struct sockaddr *)&address, sizeof address) == 0);
    e.server = accept(listener, NULL, NULL);
    setsockopt(e.client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    CHECK(fcntl(e.server, F_SETFL, O_NONBLOCK) == 0 && epoll_ctl(e.poller, EPOLL_CTL_ADD, e.server, &event) == 0);
    close(listener);
    return e;
}

static double since(double *start)
{
    double t = microseconds(), passed = t - *start;
    *start = t;
    return passed;
}

static void one_message(const struct ends *e, int odd, double *sums)
{
    char message[SIZE] = "";
    struct epoll_event ready, event = {.events = EPOLLIN | (odd ? EPOLLOUT : 0u)};
    double t = microseconds();

    syscall(SYS_getppid);
    sums[NOTHING] += since(&t);
    CHECK(send(e->client, message, SIZE, 0) == SIZE);
    sums[SEND] += since(&t);
    CHECK(epoll_wait(e->poller, &ready, 1, 0) == 1);
    sums[WAIT_READY] += since(&t);
    CHECK(recv(e->server, message, SIZE, 0) == SIZE);
    sums[RECV] += since(&t);
    CHECK(recv(e->server, message, SIZE, 0) < 0);
    sums[RECV_EMPTY] += since(&t);
    epoll_ctl(e->poller, EPOLL_CTL_MOD, e->server, &event);
    sums[MODIFY] += since(&t);
    epoll_wait(e->poller, &ready, 1, 0);
    sums[WAIT_OTHER] += since(&t);
}

void limit_kernel(void)
{
    struct ends e = connected_ends();
    double batches[KINDS][BATCHES];
    for (int b = 0; b < BATCHES; b++) {
        double sums[KINDS] = {0};
        for (int i = 0; i < CALLS; i++) one_message(&e, i & 1, sums);
        for (int kind = 0; kind < KINDS; kind++) batches[kind][b] = sums[kind] / CALLS;
    }
    printf("{\"limit\":\"kernel\"");
    for (int kind = 0; kind < KINDS; kind++) printf(",\"%s_us\":%.3f", names[kind], median(batches[kind], BATCHES));
    printf("}\n");
    close(e.client);
    close(e.server);
    close(e.poller);
}
