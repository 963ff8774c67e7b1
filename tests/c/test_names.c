/*
 * Names: the look-up, for servers that connect and for the blocking client.
 *
 * getaddrinfo(3) is this program's own here. It answers as the C library does, except for three names:
 * "silent.example" waits until the case lets it go, as behind a name server that does not answer, and
 * the others have two addresses, of which only the second is any good.
 */
#define _GNU_SOURCE
#include "measure.h"
#include "peer.h"
#include "stage.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool released;      /* the name server answers; guarded */
static unsigned looking;   /* look-ups of "silent.example" under way; guarded */
static atomic_uint look_ups;

static const char text[] = "Hello by name";

static int real_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                            struct addrinfo **found)
{
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(name, service, hints, found);
}

static int be_silent(void)
{
    pthread_mutex_lock(&mutex);
    looking++;
    while (!released) pthread_cond_wait(&changed, &mutex);
    looking--;
    pthread_mutex_unlock(&mutex);
    return EAI_AGAIN;
}

static int two_addresses(const char *first, const char *service, const struct addrinfo *hints,
                         struct addrinfo **found)
{
    struct addrinfo *second = NULL;
    int answer = real_getaddrinfo(first, service, hints, found);
    if (answer == 0) answer = real_getaddrinfo("127.0.0.1", service, hints, &second);
    if (answer == 0) (*found)->ai_next = second; /* one address is one entry: the kind is SOCK_STREAM */
    return answer;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    look_ups++;
    if (name && strcmp(name, "silent.example") == 0) return be_silent();
    if (name && strcmp(name, "refusing.example") == 0)
        return two_addresses("127.0.0.2", service, hints, found);
    if (name && strcmp(name, "deaf.example") == 0)
        return two_addresses("127.0.0.3", service, hints, found);
    return real_getaddrinfo(name, service, hints, found);
}

static unsigned look_ups_under_way(void)
{
    pthread_mutex_lock(&mutex);
    unsigned n = looking;
    pthread_mutex_unlock(&mutex);
    return n;
}

static void release(void)
{
    pthread_mutex_lock(&mutex);
    released = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static tlsloop_client_config to(const char *host, int port)
{
    tlsloop_client_config config = TLSLOOP_CLIENT_CONFIG_INIT;
    config.host = host;
    config.port = (uint16_t)port;
    config.mode = TLSLOOP_MODE_PLAIN;
    return config;
}

static struct fixture *start_far(void)
{
    return stage_start((struct options){ .config.mode = TLSLOOP_MODE_PLAIN }, NULL);
}

static void say_hello(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    CHECK_OK(tlsloop_conn_send(conn, text, sizeof text));
}

static void close_when_it_is_back(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    struct record r;
    (void)data;
    (void)len;
    CHECK(fixture_find(f, conn, &r));
    if (r.bytes == sizeof text) CHECK_OK(tlsloop_conn_close(conn));
}

static struct fixture *start_near(void)
{
    return stage_start((struct options){
        .on = { .connect = say_hello, .data = close_when_it_is_back },
        .config = { .listen_fd = TLSLOOP_NO_LISTENER, .mode = TLSLOOP_MODE_PLAIN } }, NULL);
}

static tlsloop_conn begin(struct fixture *near, tlsloop_client_config config)
{
    tlsloop_conn conn = 0;
    CHECK_OK(tlsloop_server_connect(near->server, &config, &conn));
    return conn;
}

static void stop_both(struct fixture *near, struct fixture *far)
{
    near->loose_descriptors = near->loose_threads = true;
    fixture_stop(near);
    fixture_stop(far);
}

/* "The first look-up of a name starts one resolver thread, also host-driven, and nowhere else" */
static void one_thread_from_the_first_name_on(void)
{
    struct fixture *far = start_far(), *near = start_near();
    unsigned threads = measure_threads();
    begin(near, to("127.0.0.1", far->port));
    CHECK_EQ(stage_ended(near, 0).reason, TLSLOOP_REASON_HOST);
    CHECK_EQ(measure_threads(), threads);
    CHECK_EQ(look_ups, 0);
    for (unsigned i = 1; i <= 5; i++) {
        begin(near, to("localhost", far->port));
        CHECK_EQ(stage_ended(near, i).reason, TLSLOOP_REASON_HOST);
        CHECK_EQ(measure_threads(), threads + 1);
        CHECK_EQ(look_ups, i);
    }
    stop_both(near, far); /* which waits for the threads to be as before */
}

/* L40: "given a name server that does not answer, server_connect delays no other connection and ends by
 * its own deadline" */
static void l40_a_silent_name_server(void)
{
    struct fixture *far = start_far(), *near = start_near();
    struct record r = { 0 };
    tlsloop_client_config config = to("silent.example", 443);
    config.connect_timeout_ms = 300 * check_time_factor();
    tlsloop_conn conn = begin(near, config), another = begin(near, config);
    EVENTUALLY_EQ(look_ups_under_way(), 2);
    tlsloop_info info = TLSLOOP_INFO_INIT;
    CHECK_OK(tlsloop_conn_info(conn, &info));
    CHECK_STR(info.peer, "silent.example:443");
    begin(near, to("127.0.0.1", far->port));
    CHECK_EQ(stage_ended(near, 0).reason, TLSLOOP_REASON_HOST);
    for (unsigned i = 1; i <= 20; i++) { /* nor by name */
        begin(near, to("localhost", far->port));
        CHECK_EQ(stage_ended(near, i).reason, TLSLOOP_REASON_HOST);
    }
    EVENTUALLY(fixture_failed(near, conn, &r));
    CHECK_EQ(r.code, TLSLOOP_ETIMEDOUT);
    CHECK_HAS(r.why, "silent.example");
    CHECK_STR(r.peer, "silent.example:443");
    EVENTUALLY(fixture_failed(near, another, &r));
    CHECK_EQ(r.code, TLSLOOP_ETIMEDOUT);
    CHECK_EQ(near->handshakes_failed, 2);
    release();
    stop_both(near, far);
}

/* "a look-up under way at stop is abandoned and touches nothing of the server" */
static void a_look_up_under_way_at_stop(void)
{
    unsigned threads = measure_threads();
    struct fixture *near = start_near();
    tlsloop_client_config config = to("silent.example", 443);
    config.connect_timeout_ms = TLSLOOP_NONE;
    tlsloop_conn conn = begin(near, config);
    EVENTUALLY_EQ(look_ups_under_way(), 1);
    near->loose_threads = true;
    fixture_stop(near); /* does not wait for the answer; its descriptors are closed all the same */
    CHECK_EQ(near->handshakes_failed, 1);
    CHECK_EQ(near->last_code, TLSLOOP_ECLOSED);
    CHECK_EQ(tlsloop_conn_abort(conn), TLSLOOP_ECLOSED);
    CHECK_EQ(look_ups_under_way(), 1);
    release();
    EVENTUALLY_EQ(measure_threads(), threads);
}

/* Closed while it is being looked up; what the look-up gives later concerns nobody. */
static void closed_during_the_look_up(void)
{
    struct fixture *far = start_far(), *near = start_near();
    struct record r = { 0 };
    tlsloop_conn conn = begin(near, to("silent.example", 443));
    EVENTUALLY_EQ(look_ups_under_way(), 1);
    CHECK_OK(tlsloop_conn_send(conn, text, sizeof text));
    CHECK_OK(tlsloop_conn_close(conn));
    EVENTUALLY(fixture_failed(near, conn, &r));
    CHECK_EQ(r.code, TLSLOOP_ECLOSED);
    release();
    begin(near, to("localhost", far->port)); /* the resolver goes on */
    CHECK_EQ(stage_ended(near, 0).reason, TLSLOOP_REASON_HOST);
    CHECK_EQ(fixture_stats(near).queued_bytes, 0);
    stop_both(near, far);
}

static void a_name_without_an_address(void)
{
    struct fixture *near = start_near();
    struct record r = { 0 };
    release();
    tlsloop_conn conn = begin(near, to("silent.example", 443));
    EVENTUALLY(fixture_failed(near, conn, &r));
    CHECK_EQ(r.code, TLSLOOP_ESYS);
    CHECK_HAS(r.why, "silent.example");
    fixture_stop(near);
}

static void talk(tlsloop_client_config config, const char *peer)
{
    tlsloop_client *client = NULL;
    tlsloop_info info = TLSLOOP_INFO_INIT;
    char back[sizeof text];
    CHECK_OK(tlsloop_client_connect(&config, &client));
    CHECK_OK(tlsloop_client_info(client, &info));
    CHECK_STR(info.peer, peer);
    CHECK_OK(tlsloop_client_send(client, text, sizeof text));
    for (long n = 0, got; n < (long)sizeof text; n += got)
        CHECK((got = tlsloop_client_recv(client, back + n, sizeof back - (size_t)n)) > 0);
    CHECK_STR(back, text);
    CHECK_OK(tlsloop_client_close(client));
}

/* Every address of a name is tried, by servers and by the client. */
static void the_second_address_answers(void)
{
    struct fixture *far = start_far(), *near = start_near();
    char peer[32];
    snprintf(peer, sizeof peer, "127.0.0.1:%d", far->port);
    begin(near, to("refusing.example", far->port));
    CHECK_EQ(stage_ended(near, 0).reason, TLSLOOP_REASON_HOST);
    talk(to("refusing.example", far->port), peer);
    CHECK_EQ(near->handshakes_failed, 0);
    EVENTUALLY_EQ(far->disconnects, 2);
    stop_both(near, far);
}

/* A socket at 127.0.0.3 whose queue is full: whoever comes gets no answer at all. */
static int listen_deaf(int port, int filling[8])
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    CHECK(inet_pton(AF_INET, "127.0.0.3", &address.sin_addr) == 1);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(fd, 0) == 0);
    for (int i = 0; i < 8; i++) {
        filling[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(filling[i], (struct sockaddr *)&address, sizeof address);
    }
    return fd;
}

/* An address that does not answer has no more than its part of the time. */
static void the_first_address_says_nothing(void)
{
    int filling[8];
    struct fixture *far = start_far();
    int fd = listen_deaf(far->port, filling);
    struct fixture *near = start_near();
    char peer[32];
    snprintf(peer, sizeof peer, "127.0.0.1:%d", far->port);
    tlsloop_client_config config = to("deaf.example", far->port);
    config.connect_timeout_ms = 2000 * check_time_factor();
    begin(near, config);
    CHECK_EQ(stage_ended(near, 0).reason, TLSLOOP_REASON_HOST);
    talk(config, peer);
    config.host = "127.0.0.3";
    config.connect_timeout_ms = 200;
    tlsloop_client *client;
    CHECK_FAILS(tlsloop_client_connect(&config, &client), TLSLOOP_ETIMEDOUT, "127.0.0.3");
    tlsloop_conn conn = begin(near, config);
    struct record r = { 0 };
    EVENTUALLY(fixture_failed(near, conn, &r));
    CHECK_EQ(r.code, TLSLOOP_ETIMEDOUT);
    CHECK_HAS(r.why, "127.0.0.3");
    EVENTUALLY_EQ(far->disconnects, 2);
    far->loose_descriptors = true;
    stop_both(near, far);
    close(fd);
    for (int i = 0; i < 8; i++) close(filling[i]);
}

/* "connect_timeout_ms: look-up to handshake": the client's look-up has its time too, and is abandoned. */
static void the_clients_look_up_has_its_time(void)
{
    unsigned threads = measure_threads(), descriptors = measure_descriptors();
    tlsloop_client *client = NULL;
    tlsloop_client_config config = to("silent.example", 443);
    config.connect_timeout_ms = 100 * check_time_factor();
    for (unsigned i = 1; i <= 3; i++) {
        CHECK_FAILS(tlsloop_client_connect(&config, &client), TLSLOOP_ETIMEDOUT, "silent.example");
        EVENTUALLY_EQ(look_ups_under_way(), i);
    }
    CHECK_EQ(measure_descriptors(), descriptors);
    release();
    EVENTUALLY_EQ(measure_threads(), threads);
    config.connect_timeout_ms = 0;
    CHECK_FAILS(tlsloop_client_connect(&config, &client), TLSLOOP_ESYS, "silent.example");
    EVENTUALLY_EQ(measure_threads(), threads);
}

CHECK_MAIN(CASE(one_thread_from_the_first_name_on), CASE(l40_a_silent_name_server),
           CASE(a_look_up_under_way_at_stop), CASE(closed_during_the_look_up),
           CASE(a_name_without_an_address), CASE(the_second_address_answers),
           CASE(the_first_address_says_nothing), CASE(the_clients_look_up_has_its_time))
