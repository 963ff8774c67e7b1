/*
 * "After the last stop, dlclose is harmless (the library stays mapped)": a program with plug-ins, of which one brings
 * tlsloop.
 *
 * This program is linked with the library, which is therefore there from the start. What is opened and closed here is a
 * copy of its file, and so a library of its own. TLSLOOP_LIBRARY names another file to copy.
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "keys.h"
#include "measure.h"
#include "peer.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* All that is used of it, by the names of the header and with its types. */
#define FUNCTIONS(use)                                                                         \
    use(strerror) use(last_error) use(tls_new) use(tls_add_self_signed) use(tls_free)          \
    use(server_start) use(server_port) use(server_stats) use(server_wait)                      \
    use(server_request_stop) use(server_stop) use(conn_send)

#define DECLARE(name) __typeof__(tlsloop_##name) *name;
struct library {
    void *handle;
    FUNCTIONS(DECLARE)
};

struct plug_in {
    struct library lib;
    tlsloop_server *server;
    pthread_t host; /* host-driven: the thread that waits, and so polls */
};

static const char *own_library(void)
{
    Dl_info info;
    void *symbol = dlsym(RTLD_DEFAULT, "tlsloop_version");
    const char *chosen = getenv("TLSLOOP_LIBRARY");
    if (chosen) return chosen;
    if (!symbol) check_skip("it is linked into this program, and there is no file to open");
    CHECK(dladdr(symbol, &info) != 0);
    return info.dli_fname;
}

/* The path of the copy, made once. */
static const char *copy(void)
{
    static const char *path;
    if (path) return path;
    FILE *file = fopen(own_library(), "rb");
    CHECK(file != NULL);
    CHECK(fseek(file, 0, SEEK_END) == 0);
    long len = ftell(file);
    CHECK(len > 0);
    rewind(file);
    void *content = malloc((size_t)len);
    CHECK(content != NULL && fread(content, (size_t)len, 1, file) == 1);
    CHECK(fclose(file) == 0);
    path = keys_file("plug-in.so", content, (unsigned long)len);
    free(content);
    return path;
}

static void *symbol_of(void *handle, const char *name)
{
    void *symbol = dlsym(handle, name);
    if (!symbol) check_failed(__FILE__, __LINE__, "%s: %s", name, dlerror());
    return symbol;
}

static struct library open_library(int flags)
{
    struct library lib = { .handle = dlopen(copy(), flags | RTLD_LOCAL) };
    if (!lib.handle) check_failed(__FILE__, __LINE__, "%s", dlerror());
    /* ISO C knows no way from void * to a function; POSIX says that the bytes are the same. */
#define RESOLVE(name) memcpy(&lib.name, &(void *){ symbol_of(lib.handle, "tlsloop_" #name) }, sizeof(void *));
    FUNCTIONS(RESOLVE)
    CHECK(getenv("TLSLOOP_LIBRARY") || lib.strerror != tlsloop_strerror);
    return lib;
}

static void is_still_mapped(const struct library *lib)
{
    void *again = dlopen(copy(), RTLD_NOLOAD | RTLD_LAZY);
    CHECK(again != NULL);
    CHECK(dlclose(again) == 0);
    CHECK(strlen(lib->strerror(TLSLOOP_EINVAL)) > 0);
}

static void close_library(const struct library *lib)
{
    CHECK(dlclose(lib->handle) == 0);
    is_still_mapped(lib);
}

static void echo(tlsloop_conn conn, const void *data, size_t len, void *user)
{
    const struct plug_in *p = user;
    CHECK_EQ(p->lib.conn_send(conn, data, len), TLSLOOP_OK);
}

static void *wait_for_stop(void *arg)
{
    const struct plug_in *p = arg;
    CHECK_EQ(p->lib.server_wait(p->server), TLSLOOP_OK);
    return NULL;
}

static void start(struct plug_in *p)
{
    tlsloop_callbacks callbacks = TLSLOOP_CALLBACKS_INIT;
    tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
    callbacks.on_data = echo;
    config.address = "127.0.0.1";
    config.callbacks = &callbacks;
    config.user = p;
    config.workers = host_wanted() ? TLSLOOP_HOST_DRIVEN : 2;
    config.tls = p->lib.tls_new();
    CHECK_EQ(p->lib.tls_add_self_signed(config.tls, "localhost"), TLSLOOP_OK);
    CHECK_EQ(p->lib.server_start(&config, &p->server), TLSLOOP_OK);
    p->lib.tls_free(config.tls);
    if (host_wanted()) CHECK(pthread_create(&p->host, NULL, wait_for_stop, p) == 0);
}

static void stop(struct plug_in *p)
{
    CHECK_EQ(p->lib.server_request_stop(p->server), TLSLOOP_OK);
    if (host_wanted()) CHECK(pthread_join(p->host, NULL) == 0);
    CHECK_EQ(p->lib.server_stop(p->server, 1000), TLSLOOP_OK);
}

static uint64_t disconnects(const struct plug_in *p)
{
    tlsloop_stats stats = TLSLOOP_STATS_INIT;
    CHECK_EQ(p->lib.server_stats(p->server, &stats), TLSLOOP_OK);
    return stats.disconnects;
}

static void serve_one(struct plug_in *p)
{
    struct peer peer = peer_connect(p->lib.server_port(p->server));
    CHECK(peer_echo(&peer, "over a plug-in"));
    peer_leave(&peer);
    EVENTUALLY_EQ(disconnects(p), 1);
}

static void whole_life(int flags)
{
    struct plug_in p = { .lib = open_library(flags) };
    start(&p);
    serve_one(&p);
    stop(&p);
    close_library(&p.lib);
}

/* "After the last stop, dlclose is harmless": again and again, and nothing is left behind. */
static void fifty_times(void)
{
    unsigned rounds = check_scaled(50);
    copy();
    size_t heap = 0;
    unsigned descriptors = measure_descriptors(), threads = measure_threads();
    for (unsigned i = 0; i < rounds; i++) {
        /* By then each worker has had its first connection, whose cells stay. */
        if (i == rounds / 2) heap = measure_heap();
        whole_life(i % 2 ? RTLD_NOW : RTLD_LAZY);
        CHECK_EQ(measure_descriptors(), descriptors);
        /* A joined thread can still be listed for the instant in which the kernel buries it. */
        EVENTUALLY_EQ(measure_threads(), threads);
    }
    measure_heap_is_back(heap);
}

struct thread_of_its_own {
    struct library lib;
    atomic_bool has_used_it, may_end;
};

static void *use_and_linger(void *arg)
{
    struct thread_of_its_own *t = arg;
    CHECK_EQ(t->lib.tls_add_self_signed(NULL, "localhost"), TLSLOOP_EINVAL);
    CHECK(strlen(t->lib.last_error()) > 0);
    t->has_used_it = true;
    EVENTUALLY(t->may_end);
    return NULL;
}

/* What the library keeps for a thread is given back by the library's code, when the thread ends. */
static void a_thread_ends_after_dlclose(void)
{
    pthread_t thread;
    struct thread_of_its_own t = { .lib = open_library(RTLD_NOW) };
    CHECK(pthread_create(&thread, NULL, use_and_linger, &t) == 0);
    EVENTUALLY(t.has_used_it);
    close_library(&t.lib);
    t.may_end = true;
    CHECK(pthread_join(thread, NULL) == 0);
}

/* Handlers of pthread_atfork(3) and atexit(3) are code of the library, too. */
static void fork_and_exit_after_dlclose(void)
{
    whole_life(RTLD_NOW);
    for (int i = 0; i < 3; i++) {
        int status;
        fflush(stdout);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(60);
            exit(0);
        }
        CHECK(waitpid(child, &status, 0) == child);
        CHECK_EQ(status, 0);
    }
    whole_life(RTLD_NOW);
}

static void *open_and_start(void *arg)
{
    struct plug_in *p = arg;
    p->lib = open_library(RTLD_NOW);
    start(p);
    return NULL;
}

static void *stop_and_close(void *arg)
{
    struct plug_in *p = arg;
    stop(p);
    close_library(&p->lib);
    return NULL;
}

static void in_a_thread(void *(*run)(void *arg), void *arg)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, run, arg) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

/* The threads that open and close are not the same, and are gone themselves. */
static void opened_by_one_thread_and_closed_by_another(void)
{
    static struct plug_in p;
    in_a_thread(open_and_start, &p);
    serve_one(&p);
    in_a_thread(stop_and_close, &p);
    is_still_mapped(&p.lib);
}

CHECK_MAIN(CASE(fifty_times), CASE(a_thread_ends_after_dlclose), CASE(fork_and_exit_after_dlclose),
           CASE(opened_by_one_thread_and_closed_by_another))
