/* What is said in the log, and what is not worth a line. */
#define _GNU_SOURCE
#include "fixture.h"
#include "peer.h"

#include <string.h>
#include <unistd.h>

struct book {
    pthread_mutex_t mutex;
    unsigned lines[5];
    char all[1 << 16];
};

static void write_down(struct fixture *f, int level, const char *line)
{
    struct book *book = f->context;
    pthread_mutex_lock(&book->mutex);
    book->lines[level]++;
    CHECK(strlen(line) > 0 && strchr(line, '\n') == NULL); /* one line */
    size_t used = strlen(book->all);
    snprintf(book->all + used, sizeof book->all - used, "%s\n", line);
    pthread_mutex_unlock(&book->mutex);
}

static struct fixture *start(struct book *book, int level)
{
    *book = (struct book){ .mutex = PTHREAD_MUTEX_INITIALIZER };
    return fixture_start((struct options){
        .on.log = write_down,
        .context = book,
        .config.log_level = level,
    });
}

/* L39: "a load balancer that connects and leaves every second: counts it and writes no warning" */
static void l39_a_load_balancer_that_knocks(void)
{
    static struct book book;
    struct fixture *f = start(&book, 0); /* "0 in the config: WARN" */
    for (unsigned i = 0; i < 20; i++) {
        int fd = tcp_connect(f->port);
        if (i % 2) close(fd); else tcp_reset(fd);
        EVENTUALLY_EQ(f->handshakes_failed, i + 1);
    }
    CHECK_EQ(fixture_stats(f).handshakes_failed, 20);
    fixture_stop(f);
    CHECK_EQ(f->log_lines, 0);
}

/* The ordinary life of a server at level WARN: not a word. */
static void an_ordinary_day(void)
{
    static struct book book;
    struct fixture *f = start(&book, TLSLOOP_LOG_WARN);
    for (unsigned i = 0; i < 10; i++) {
        struct peer p = peer_connect(f->port);
        CHECK(peer_echo(&p, "nothing to report"));
        if (i % 2) peer_leave(&p); else peer_reset(&p);
    }
    EVENTUALLY_EQ(f->disconnects, 10);
    fixture_stop(f);
    CHECK_EQ(f->log_lines, 0);
}

/* "log_level": each line is of that level or a graver one; the finer level says more. */
static void levels(void)
{
    static struct book book;
    unsigned lines[TLSLOOP_LOG_DEBUG + 1] = { 0 };
    for (int level = TLSLOOP_LOG_ERROR; level <= TLSLOOP_LOG_DEBUG; level++) {
        struct fixture *f = start(&book, level);
        struct peer p = peer_connect(f->port);
        CHECK(peer_echo(&p, "watched"));
        peer_leave(&p);
        EVENTUALLY_EQ(f->disconnects, 1);
        fixture_stop(f);
        for (int finer = level + 1; finer <= TLSLOOP_LOG_DEBUG; finer++)
            CHECK_EQ(book.lines[finer], 0);
        lines[level] = f->log_lines;
    }
    CHECK_EQ(lines[TLSLOOP_LOG_ERROR] + lines[TLSLOOP_LOG_WARN], 0);
    CHECK(lines[TLSLOOP_LOG_DEBUG] > 0); /* "Life of each connection" */
}

/* L39: "given an unusual failure, the line names the connection and the peer" */
static void l39_a_failure_names_the_peer(void)
{
    static struct book book;
    struct fixture *f = start(&book, TLSLOOP_LOG_DEBUG);
    int fd = tcp_connect(f->port);
    CHECK(tcp_send(fd, "SSH-2.0-nonsense\r\n", 18));
    tcp_until_end(fd);
    close(fd);
    EVENTUALLY_EQ(f->handshakes_failed, 1);
    struct record r;
    char id[32];
    CHECK(fixture_failure(f, &r));
    fixture_stop(f);
    snprintf(id, sizeof id, "%llu", (unsigned long long)r.conn);
    CHECK_HAS(book.all, r.peer);
    CHECK_HAS(book.all, id);
}

/* What a peer sends never breaks a line, nor colours a terminal. */
static void nothing_of_the_peers_text(void)
{
    static struct book book;
    static const char nasty[] = "\x1b[31mred\r\nlevel=error forged line\n";
    struct fixture *f = start(&book, TLSLOOP_LOG_DEBUG);
    struct peer p = peer_connect_with(
        f->port, (struct peer_options){ .server_name = "name\x1b[31m\r\nforged" });
    CHECK(peer_echo(&p, nasty));
    peer_leave(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
    CHECK(strchr(book.all, '\x1b') == NULL && strchr(book.all, '\r') == NULL);
}

CHECK_MAIN(CASE(l39_a_load_balancer_that_knocks), CASE(an_ordinary_day), CASE(levels),
           CASE(l39_a_failure_names_the_peer), CASE(nothing_of_the_peers_text))
