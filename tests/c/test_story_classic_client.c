/*
 * The story that the library exists for: the classic client comes, says one thing, reads the answer
 * and leaves, and the server is as it was before.
 *
 * The client is the one of the tutorials, habits and all: SSL_set_fd, blocking calls, one write,
 * one read. It knows nothing of tlsloop.
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "measure.h"
#include "peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char message[] = "Hello from the classic client";

struct crowd {
    int port;
    unsigned times;
    bool polite; /* SSL_shutdown before it closes */
};

static void classic_client(int port, bool polite)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    address.sin_addr.s_addr = inet_addr("127.0.0.1");
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);

    SSL *ssl = SSL_new(peer_context());
    SSL_set_fd(ssl, fd);
    CHECK_EQ(SSL_connect(ssl), 1);
    CHECK_EQ(SSL_write(ssl, message, (int)sizeof message), sizeof message);
    char answer[1024] = { 0 };
    CHECK_EQ(SSL_read(ssl, answer, sizeof answer), sizeof message);
    CHECK_STR(answer, message);
    if (polite) SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
}

static void *crowd_member(void *arg)
{
    const struct crowd *crowd = arg;
    for (unsigned i = 0; i < crowd->times; i++) classic_client(crowd->port, crowd->polite);
    return NULL;
}

static void run_crowd(struct crowd crowd, unsigned members)
{
    pthread_t threads[64];
    CHECK(members <= 64);
    for (unsigned i = 0; i < members; i++)
        CHECK(pthread_create(&threads[i], NULL, crowd_member, &crowd) == 0);
    for (unsigned i = 0; i < members; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

/* One life of a server; each of its connections ends for the same reason. */
static void serve(unsigned members, unsigned times, bool polite)
{
    struct fixture *f = fixture_start((struct options){ .config.workers = 2 });
    run_crowd((struct crowd){ f->port, times, polite }, members);
    unsigned all = members * times;
    EVENTUALLY_EQ(f->disconnects, all);
    CHECK_EQ(f->connects, all);
    CHECK_EQ(f->reasons[polite ? TLSLOOP_REASON_PEER : TLSLOOP_REASON_TRUNCATED], all);
    CHECK_EQ(f->handshakes_failed, 0);
    CHECK_EQ(f->bytes, all * sizeof message);
    EVENTUALLY_EQ(fixture_stats(f).open, 0);
    fixture_stop(f);
}

/* The first life pays for what is made once; the second must leave nothing behind. */
static void serve_twice(unsigned members, unsigned times, bool polite)
{
    serve(members, times < 4 ? times : times / 4, polite);
    unsigned descriptors = measure_descriptors();
    size_t heap = measure_heap();
    serve(members, times, polite);
    CHECK_EQ(measure_descriptors(), descriptors);
    measure_heap_is_back(heap);
}

/* "For each on_connect there is one on_disconnect; it is that connection's last callback" */
static void classic_client_a_thousand_times_in_sequence(void)
{
    serve_twice(1, check_scaled(1000), true);
}

/* "For each on_connect there is one on_disconnect; it is that connection's last callback" */
static void classic_client_fifty_at_a_time(void)
{
    serve_twice(50, check_scaled(20), true);
}

/* "every EOF is 'closed by client': a truncation attack goes unnoticed" is the habit; here it is a
 * reason of its own: TRUNCATED. */
static void classic_client_that_forgets_its_shutdown(void)
{
    serve_twice(4, check_scaled(100), false);
}

/* "segfault after the first client": the second client of the same server is served too, and while
 * connections live, none costs more than its descriptor. */
static void descriptors_are_back_while_the_server_runs(void)
{
    struct fixture *f = fixture_start((struct options){ 0 });
    unsigned idle = measure_descriptors();
    for (unsigned i = 0; i < check_scaled(100); i++) {
        classic_client(f->port, true);
        EVENTUALLY_EQ(measure_descriptors(), idle);
    }
    CHECK_EQ(f->connects, check_scaled(100));
    fixture_stop(f);
}

CHECK_MAIN(CASE(classic_client_a_thousand_times_in_sequence),
           CASE(classic_client_fifty_at_a_time),
           CASE(classic_client_that_forgets_its_shutdown),
           CASE(descriptors_are_back_while_the_server_runs))
