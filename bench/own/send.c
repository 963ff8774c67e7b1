/* What tlsloop_conn_send costs a thread that is not the connection's worker, in CPU time of that thread.
 *
 * send CERTIFICATE KEY WORKER-CPU CALLER-CPU. A child process connects and reads; the main thread sends messages of
 * 64 bytes, once in bursts and once one at a time, each to a worker that is asleep and has to be woken. Beside it, what
 * the kernel takes for that: one write to an eventfd for which a thread sleeps that does nothing else. */
#include "tlsloop.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 64, BURST = 100, BURSTS = 300, SINGLES = 3000, WARM = 50 };

static atomic_ullong connection; /* 0 until it is there */
static int worker_cpu;
static int bell; /* the eventfd for which the bare thread sleeps */

static void must(int rc)
{
    if (rc == TLSLOOP_OK) return;
    fprintf(stderr, "send: %s\n", tlsloop_last_error());
    _exit(1);
}

static void pin(int cpu)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    (void)sched_setaffinity(0, sizeof one, &one);
}

static void on_worker_start(unsigned worker, void *user)
{
    (void)worker, (void)user;
    pin(worker_cpu);
}

static void on_connect(tlsloop_conn conn, void *user)
{
    (void)user;
    connection = conn;
}

static double microseconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void pause_for(long nanoseconds)
{
    struct timespec t = {0, nanoseconds};
    nanosleep(&t, NULL);
}

/* The child: reads until the server ends the connection. */
static int drink(int port)
{
    tlsloop_client_config config = {.size = sizeof config, .host = "127.0.0.1", .port = (uint16_t)port,
        .tls = tlsloop_tls_new()};
    tlsloop_client *client;
    char buffer[16384];

    must(tlsloop_tls_set_verify(config.tls, TLSLOOP_VERIFY_NONE));
    must(tlsloop_client_connect(&config, &client));
    while (tlsloop_client_recv(client, buffer, sizeof buffer) > 0) {
    }
    (void)tlsloop_client_close(client);
    return 0;
}

static void send_one(void)
{
    static const char message[SIZE];
    must(tlsloop_conn_send(connection, message, SIZE));
}

static void ring(void)
{
    static const uint64_t one = 1;
    if (write(bell, &one, sizeof one) != sizeof one) exit(1);
}

static void *sleep_for_bell(void *arg)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    int poller = epoll_create1(EPOLL_CLOEXEC);
    pin(worker_cpu);
    if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, bell, &event) != 0) exit(1);
    while (epoll_wait(poller, &event, 1, -1) >= 0) continue;
    return arg;
}

/* CPU time of the caller for "count" acts that follow each other, in microseconds for each. */
static double time_of(void (*act)(void), int count)
{
    double start = microseconds_of(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < count; i++) act();
    return (microseconds_of(CLOCK_THREAD_CPUTIME_ID) - start) / count;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of "rounds" measurements; between two of them the other thread does its work and falls asleep. */
static double measure(void (*act)(void), int rounds, int count)
{
    double *times = calloc((size_t)rounds, sizeof *times);
    if (times == NULL) exit(1);
    for (int i = 0; i < rounds + WARM; i++) {
        double time = time_of(act, count);
        if (i >= WARM) times[i - WARM] = time;
        while (tlsloop_conn_queued(connection) > 0) pause_for(100000);
        pause_for(200000);
    }
    qsort(times, (size_t)rounds, sizeof *times, compare);
    double median = times[rounds / 2];
    free(times);
    return median;
}

static double wake_bare(void)
{
    pthread_t sleeper;
    bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (bell < 0 || pthread_create(&sleeper, NULL, sleep_for_bell, NULL) != 0) exit(1);
    return measure(ring, SINGLES, 1);
}

/* What reading the clock adds to a measurement. */
static double clock_cost(void)
{
    double start = microseconds_of(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < 1000; i++) (void)microseconds_of(CLOCK_THREAD_CPUTIME_ID);
    return (microseconds_of(CLOCK_THREAD_CPUTIME_ID) - start) / 1000;
}

int main(int argc, char **argv)
{
    tlsloop_callbacks callbacks = {.size = sizeof callbacks, .on_connect = on_connect,
        .on_worker_start = on_worker_start};
    tlsloop_server_config config = {.size = sizeof config, .address = "127.0.0.1", .callbacks = &callbacks};
    tlsloop_server *server;
    int ports[2], port;

    if (argc != 5 || pipe(ports) != 0) return 2;
    worker_cpu = atoi(argv[3]);
    pid_t child = fork(); /* before the server, which a fork would not survive */
    if (child == 0) {
        pin(worker_cpu);
        return read(ports[0], &port, sizeof port) == sizeof port ? drink(port) : 1;
    }
    pin(atoi(argv[4]));
    config.tls = tlsloop_tls_new();
    must(tlsloop_tls_add_certificate_file(config.tls, argv[1], argv[2]));
    must(tlsloop_server_start(&config, &server));
    port = tlsloop_server_port(server);
    if (child < 0 || write(ports[1], &port, sizeof port) != sizeof port) return 1;
    while (connection == 0) pause_for(1000000);
    double cost = clock_cost(), burst = measure(send_one, BURSTS, BURST), alone = measure(send_one, SINGLES, 1);
    printf("{\"burst_us\":%.3f,\"waking_us\":%.3f,\"eventfd_us\":%.3f}\n", burst - cost / BURST, alone - cost,
           wake_bare() - cost);
    tlsloop_tls_free(config.tls);
    must(tlsloop_server_stop(server, 1000));
    return 0;
}
