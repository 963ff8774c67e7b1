/* What tlsloop_conn_send costs a thread that is not the connection's worker, in CPU time of that thread.
 *
 * send CERTIFICATE KEY WORKER-CPU CALLER-CPU. A child process connects and reads; the main thread sends messages of
 * 64 bytes, once in bursts and once one at a time, each to a worker that is asleep and has to be woken. */
#include "tlsloop.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 64, BURST = 100, BURSTS = 300, SINGLES = 3000, WARM = 50 };

static atomic_ullong connection; /* 0 until it is there */
static int worker_cpu;

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

/* CPU time of the caller for "count" sends that follow each other, in microseconds for each. */
static double send_some(int count)
{
    static const char message[SIZE];
    double start = microseconds_of(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < count; i++) must(tlsloop_conn_send(connection, message, SIZE));
    return (microseconds_of(CLOCK_THREAD_CPUTIME_ID) - start) / count;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of "rounds" measurements; between two of them the worker empties the queue and falls asleep. */
static double measure(int rounds, int count)
{
    double *times = calloc((size_t)rounds, sizeof *times);
    if (times == NULL) exit(1);
    for (int i = 0; i < rounds + WARM; i++) {
        double time = send_some(count);
        if (i >= WARM) times[i - WARM] = time;
        while (tlsloop_conn_queued(connection) > 0) pause_for(100000);
        pause_for(200000);
    }
    qsort(times, (size_t)rounds, sizeof *times, compare);
    double median = times[rounds / 2];
    free(times);
    return median;
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
    double cost = clock_cost(), burst = measure(BURSTS, BURST), alone = measure(SINGLES, 1);
    printf("{\"burst_us\":%.3f,\"waking_us\":%.3f}\n", burst - cost / BURST, alone - cost);
    tlsloop_tls_free(config.tls);
    must(tlsloop_server_stop(server, 1000));
    return 0;
}
