/* The file of a "unix:" socket: made, replaced if nobody listens behind it, never stolen, removed with the server. */
#define _GNU_SOURCE
#include "child.h"
#include "dial.h"
#include "fixture.h"
#include "keys.h"
#include "peer.h"
#include "stage.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char path[150], address[160];

static void name_it(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", keys_dir(), name);
    snprintf(address, sizeof address, "unix:%s", path);
}

static struct fixture *listening(void)
{
    return stage_start((struct options){ .config = { .address = address, .mode = TLSLOOP_MODE_PLAIN } }, NULL);
}

static bool is_socket(void)
{
    struct stat file;
    return lstat(path, &file) == 0 && S_ISSOCK(file.st_mode);
}

static bool is_gone(void)
{
    return access(path, F_OK) != 0;
}

static void check_served(void)
{
    int fd = dial_unix(path);
    CHECK(tcp_send(fd, "served", 6) && dial_expect(fd, "served"));
    close(fd);
}

/* A listening socket at the path, as another program has it. */
static int listen_there(int type)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    CHECK(strlen(path) < sizeof at.sun_path);
    memcpy(at.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0);
    if (type == SOCK_STREAM) CHECK(listen(fd, 1) == 0);
    return fd;
}

static void check_refused(const char *words)
{
    tlsloop_server_config config = { .address = address, .mode = TLSLOOP_MODE_PLAIN };
    CHECK_FAILS(stage_refused(config), TLSLOOP_ESYS, words);
    CHECK_HAS(tlsloop_last_error(), path); /* "naming the … file" */
}

/* "It is removed with the server": with its own. A successor that begins while the other is on its way out, and may be given
 * the number of the file that has gone, keeps its file. */
static void what_a_successor_makes_stays(void)
{
    name_it("successor.sock");
    struct fixture *old = listening();
    CHECK_OK(tlsloop_server_drain(old->server));
    int fd;
    while ((fd = dial_unix_try(path)) >= 0) close(fd); /* until it has closed its door */
    old->loose_descriptors = old->loose_threads = true; /* the other has its own */
    struct fixture *f = listening();
    f->loose_descriptors = f->loose_threads = true;
    fixture_stop(old);
    check_served();
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
    CHECK(is_gone());
}

enum { RIVALS = 4 };
static tlsloop_server *rivals[RIVALS];
static pthread_barrier_t all_are_here;

static void *begin(void *place)
{
    tlsloop_server_config config = TLSLOOP_SERVER_CONFIG_INIT;
    config.address = address;
    config.mode = TLSLOOP_MODE_PLAIN;
    config.workers = host_wanted() ? TLSLOOP_HOST_DRIVEN : 1;
    pthread_barrier_wait(&all_are_here);
    if (tlsloop_server_start(&config, place) != TLSLOOP_OK) CHECK_HAS(tlsloop_last_error(), strerror(EADDRINUSE));
    return NULL;
}

/* "TLSLOOP_ESYS where the system refused, for example a port in use": of several that begin at one path, one listens. */
static void one_of_those_that_begin_together(void)
{
    pthread_t threads[RIVALS];
    name_it("rivals.sock");
    CHECK(pthread_barrier_init(&all_are_here, NULL, RIVALS) == 0);
    for (unsigned round = 0; round < check_scaled(300); round++) {
        unsigned listen = 0;
        if (round % 2 == 0) close(listen_there(SOCK_STREAM));
        for (int i = 0; i < RIVALS; i++) CHECK(pthread_create(&threads[i], NULL, begin, &rivals[i]) == 0);
        for (int i = 0; i < RIVALS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
        for (int i = 0; i < RIVALS; i++) {
            listen += rivals[i] != NULL;
            if (rivals[i]) CHECK_OK(tlsloop_server_stop(rivals[i], 0));
            rivals[i] = NULL;
        }
        CHECK_EQ(listen, 1);
    }
    pthread_barrier_destroy(&all_are_here);
}

static void comes_and_goes(void)
{
    name_it("server.sock");
    for (int i = 0; i < 3; i++) {
        struct fixture *f = listening();
        CHECK(is_socket());
        check_served();
        EVENTUALLY_EQ(f->disconnects, 1);
        fixture_stop(f);
        CHECK(is_gone());
    }
}

/* A server that was killed leaves its file behind; the next one is not kept from its address by it. */
static void a_stale_file_is_replaced(void)
{
    name_it("stale.sock");
    close(listen_there(SOCK_STREAM));
    CHECK(is_socket() && dial_unix_try(path) < 0);
    struct fixture *f = listening();
    check_served();
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
    CHECK(is_gone());
}

static void serve_until_killed(int socket, void *arg)
{
    (void)arg;
    struct fixture *f = listening();
    check_served();
    child_tell(socket, 1);
    child_hear(socket);
    (void)f;
}

static void a_killed_server_is_replaced(void)
{
    name_it("killed.sock");
    struct child child = child_start(serve_until_killed, NULL);
    CHECK_EQ(child_hear(child.socket), 1);
    check_refused("in use"); /* as long as it lives */
    kill(child.pid, SIGKILL);
    child_wait(&child);
    CHECK(is_socket());
    struct fixture *f = listening();
    check_served();
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

/* What somebody listens behind, and what is no socket, is not touched. */
static void nothing_is_stolen(void)
{
    name_it("taken.sock");
    int other = listen_there(SOCK_STREAM);
    check_refused("in use");
    int waiting = dial_unix(path); /* its backlog is full, with the look that was taken at it: it lives all the same */
    check_refused("in use");
    close(waiting);
    close(other);
    CHECK(unlink(path) == 0);

    other = listen_there(SOCK_DGRAM);
    check_refused("in use");
    CHECK(is_socket());
    close(other);
    CHECK(unlink(path) == 0);

    const char *file = keys_file("taken.sock", "precious", 8);
    check_refused("in use");
    struct stat is;
    CHECK(stat(file, &is) == 0 && S_ISREG(is.st_mode) && is.st_size == 8);
    CHECK(unlink(path) == 0);

    CHECK(symlink("/nowhere/at/all", path) == 0);
    check_refused("in use");
    CHECK(lstat(path, &is) == 0 && S_ISLNK(is.st_mode));
    CHECK(unlink(path) == 0);

    CHECK(mkdir(path, 0700) == 0);
    check_refused("in use");
    CHECK(rmdir(path) == 0);
}

/* The file that another server has put there since is its own. */
static void a_successors_file_stays(void)
{
    name_it("shared.sock");
    struct fixture *old = listening();
    int client = dial_unix(path);
    CHECK(tcp_send(client, "old", 3) && dial_expect(client, "old"));
    CHECK_OK(tlsloop_server_drain(old->server));
    int fd;
    EVENTUALLY((fd = dial_unix_try(path)) < 0 || (close(fd), false));
    struct fixture *new = listening();
    new->loose_descriptors = new->loose_threads = true; /* the old one's go meanwhile */
    check_served();
    CHECK(tcp_send(client, "still", 5) && dial_expect(client, "still"));
    close(client);
    EVENTUALLY(old->disconnects >= 1);
    old->loose_descriptors = old->loose_threads = true;
    fixture_stop(old);
    CHECK(is_socket());
    check_served();
    EVENTUALLY_EQ(new->disconnects, 2);
    fixture_stop(new);
    CHECK(is_gone());
}

/* One that was handed to a successor by its descriptor is left to it, too. */
static void a_file_that_was_handed_over_stays(void)
{
    name_it("handed.sock");
    struct fixture *old = listening();
    int fd = tlsloop_server_listen_fd(old->server);
    CHECK(fd >= 0);
    old->loose_descriptors = true;
    fixture_stop(old);
    CHECK(is_socket());
    struct fixture *new = stage_start((struct options){
        .config = { .listen_fd = fd, .mode = TLSLOOP_MODE_PLAIN } }, NULL);
    new->loose_descriptors = true; /* the handed-over one goes with it */
    check_served();
    EVENTUALLY_EQ(new->disconnects, 1);
    fixture_stop(new);
    CHECK(is_socket()); /* it made none, so it removes none */
    CHECK(unlink(path) == 0);
}

/* A relative path means the directory of the start, also after the host's daemon(3) has gone to "/". */
static void a_relative_path(void)
{
    name_it("relative.sock");
    CHECK(chdir(keys_dir()) == 0);
    strcpy(address, "unix:relative.sock");
    struct fixture *f = listening();
    CHECK(is_socket());
    CHECK(chdir("/") == 0);
    check_served();
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
    CHECK(is_gone());
}

/* sockaddr_un holds 107 characters and the NUL. */
static void too_long(void)
{
    char name[150] = "";
    name_it("x");
    while (strlen(path) + strlen(name) < 1 + 107) strcat(name, "x");
    name_it(name);
    CHECK_EQ(strlen(path), 107);
    struct fixture *f = listening();
    check_served();
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
    CHECK(is_gone());
    strcat(name, "x");
    name_it(name);
    check_refused("too long");
    CHECK_EQ(stage_refused((tlsloop_server_config){ .address = "unix:", .mode = TLSLOOP_MODE_PLAIN }), TLSLOOP_EINVAL);
    CHECK_HAS(tlsloop_last_error(), "unix:");
}

/* A directory that is not there, or not for this user. */
static void not_permitted(void)
{
    name_it("nowhere");
    strcat(path, "/server.sock");
    strcat(address, "/server.sock");
    check_refused("No such file");
    name_it("locked");
    CHECK(mkdir(path, 0500) == 0 && chmod(keys_dir(), 0711) == 0);
    strcat(path, "/server.sock");
    strcat(address, "/server.sock");
    bool is_root = geteuid() == 0;
    if (is_root) CHECK(seteuid(65534) == 0);
    check_refused("Permission denied");
    if (is_root) CHECK(seteuid(0) == 0);
    name_it("locked");
    CHECK(rmdir(path) == 0);
}

/* Who may connect is for the host's umask and directory to say. */
static void the_umask_counts(void)
{
    static const mode_t masks[] = { 077, 027, 0 };
    name_it("masked.sock");
    for (size_t i = 0; i < 3; i++) {
        struct stat file;
        mode_t before = umask(masks[i]);
        struct fixture *f = listening();
        CHECK_EQ(umask(before), masks[i]); /* and is left as it was */
        CHECK(stat(path, &file) == 0);
        CHECK_EQ(file.st_mode & 0777, 0777 & ~masks[i]);
        fixture_stop(f);
    }
}

/* A socket without a file (abstract, unix(7)) that the host has opened serves as well. */
static void a_socket_without_a_file(void)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    snprintf(at.sun_path + 1, sizeof at.sun_path - 1, "tlsloop-test-%ld", (long)getpid());
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(at.sun_path + 1));
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&at, len) == 0 && listen(listener, 5) == 0);
    struct fixture *f = stage_start((struct options){
        .config = { .listen_fd = listener, .mode = TLSLOOP_MODE_PLAIN } }, NULL);
    f->loose_descriptors = true; /* the listener goes with it */
    CHECK(connect(fd, (struct sockaddr *)&at, len) == 0);
    dial_limits(fd);
    CHECK(tcp_send(fd, "served", 6) && dial_expect(fd, "served"));
    tlsloop_info info = TLSLOOP_INFO_INIT;
    CHECK_OK(tlsloop_conn_info(fixture_conn(f, 0), &info));
    CHECK_EQ(info.peer_pid, getpid());
    CHECK_HAS(info.peer, "unix:");
    close(fd);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

CHECK_MAIN(CASE(what_a_successor_makes_stays), CASE(one_of_those_that_begin_together),
           CASE(comes_and_goes), CASE(a_stale_file_is_replaced), CASE(a_killed_server_is_replaced),
           CASE(nothing_is_stolen), CASE(a_successors_file_stays), CASE(a_file_that_was_handed_over_stays),
           CASE(a_relative_path), CASE(too_long), CASE(not_permitted), CASE(the_umask_counts),
           CASE(a_socket_without_a_file))
