/* The habit: SSL_write once, result ignored. Here: all or nothing, in order, or a reason. */
#define _GNU_SOURCE
#include "fixture.h"
#include "peer.h"

#include <stdlib.h>
#include <string.h>

enum { HIGH = 1 << 16, CHUNK = 10000, EPISODES = 3 };

static char chunk[CHUNK];

/* What the host saw of its own sends; the callbacks of one connection never overlap. */
struct sender {
    atomic_uint episodes, refusals;
    unsigned before; /* episodes that are not to be had */
    atomic_ullong accepted;   /* bytes */
    unsigned long long total; /* how much to send in all */
    uint64_t hash;            /* of what was accepted */
    unsigned state;           /* of the generator of the stream */
};

static void next_bytes(struct sender *s, unsigned char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        s->state = s->state * 1103515245u + 12345u;
        bytes[i] = (unsigned char)(s->state >> 16);
    }
}

/* Sends until the queue refuses, a few times more, and says what must be true at that moment. */
static void send_until_full(struct fixture *f, tlsloop_conn conn)
{
    struct sender *s = f->context;
    size_t high = f->options.config.send_high_water;
    int answer;
    while ((answer = tlsloop_conn_send(conn, chunk, CHUNK)) == TLSLOOP_OK) {
        s->accepted += CHUNK;
        CHECK(tlsloop_conn_queued(conn) < high + CHUNK); /* "high water plus one send" */
    }
    CHECK_EQ(answer, TLSLOOP_EFULL);
    size_t queued = tlsloop_conn_queued(conn);
    CHECK(queued >= high);
    for (int i = 0; i < 3; i++) CHECK_EQ(tlsloop_conn_send(conn, chunk, 1), TLSLOOP_EFULL);
    CHECK_EQ(tlsloop_conn_queued(conn), queued); /* "nothing was queued" */
    s->refusals += 4;
    s->episodes++;
}

static void first_episode(struct fixture *f, tlsloop_conn conn, const void *data, size_t len)
{
    (void)data;
    (void)len;
    send_until_full(f, conn);
}

static void next_episode(struct fixture *f, tlsloop_conn conn)
{
    struct sender *s = f->context;
    CHECK_EQ(f->drains, s->episodes - s->before);
    CHECK(tlsloop_conn_queued(conn) <= f->options.config.send_low_water); /* "fell to low water" */
    if (s->episodes < EPISODES)
        send_until_full(f, conn);
    else
        CHECK_OK(tlsloop_conn_close(conn));
}

/* Reads to the clean end, slower than the server could write. */
static unsigned long long read_slowly(struct peer *p)
{
    static char buf[16384];
    unsigned long long bytes = 0;
    long n;
    for (unsigned i = 0; (n = peer_recv(p, buf, sizeof buf)) > 0; i++) {
        bytes += (unsigned long long)n;
        if (i % 2 == 0) check_nap(1);
    }
    CHECK_EQ(n, PEER_CLEAN);
    return bytes;
}

/* "One on_drain per full episode, however many refusals" */
static void l28_full_then_one_drain(void)
{
    struct sender s = { 0 };
    struct fixture *f = fixture_start((struct options){
        .on.data = first_episode,
        .on.drain = next_episode,
        .context = &s,
        /* More than the kernel takes at once, so that the queue falls to low water step by step. */
        .config = { .send_high_water = 12 << 20, .send_low_water = 6 << 20 },
    });
    struct peer p = peer_connect_with(f->port, (struct peer_options){ .receive_buffer = 4096 });
    CHECK(peer_send(&p, "go", 2));
    unsigned long long bytes = read_slowly(&p);
    CHECK_EQ(bytes, s.accepted);
    peer_leave(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_HOST], 1);
    CHECK_EQ(f->drains, EPISODES);
    tlsloop_stats stats = fixture_stats(f);
    CHECK_EQ(stats.sends_refused, s.refusals);
    CHECK_EQ(stats.bytes_out, s.accepted);
    CHECK_EQ(stats.queued_bytes, 0);
    fixture_stop(f);
}

/*
 * "on_drain: the queue was full and fell to low water": at low water and not only when all is gone. The
 * peer reads half of it and stops; what it has read cannot be in the queue any more, so the queue
 * is below low water, and the drain comes without another byte being read.
 */
static void the_drain_comes_at_low_water(void)
{
    static char buf[16384];
    struct sender s = { .episodes = EPISODES - 1, .before = EPISODES - 1 };
    struct fixture *f = fixture_start((struct options){
        .on = { .data = first_episode, .drain = next_episode },
        .context = &s,
        .config = { .send_high_water = 12 << 20, .send_low_water = 6 << 20 },
    });
    struct peer p = peer_connect_with(f->port, (struct peer_options){ .receive_buffer = 4096 });
    CHECK(peer_send(&p, "go", 2));
    EVENTUALLY_EQ(fixture_stats(f).sends_refused, 4);
    size_t queued = tlsloop_conn_queued(fixture_conn(f, 0)), total = s.accepted;
    unsigned long long bytes = 0;
    while (bytes < total - (5 << 20)) {
        CHECK(peer_recv_all(&p, buf, sizeof buf));
        bytes += sizeof buf;
    }
    EVENTUALLY(tlsloop_conn_queued(fixture_conn(f, 0)) < queued / 2);
    EVENTUALLY_EQ(f->drains, 1);
    CHECK_EQ(peer_until_end(&p, &bytes), PEER_CLEAN);
    CHECK_EQ(bytes, total);
    peer_leave(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_HOST], 1);
    fixture_stop(f);
}

/* L28: "100 peers that never read while the host sends all it can": bounded, and no drain. */
static void l28_a_hundred_peers_that_never_read(void)
{
    unsigned peers = check_scaled(100);
    struct peer crowd[100];
    struct sender s = { 0 };
    struct fixture *f = fixture_start((struct options){
        .on.data = first_episode,
        .context = &s,
        .config.send_high_water = HIGH,
    });
    for (unsigned i = 0; i < peers; i++) {
        crowd[i] = peer_connect_with(f->port, (struct peer_options){ .receive_buffer = 4096 });
        CHECK(peer_send(&crowd[i], "go", 2));
    }
    EVENTUALLY_EQ(s.episodes, peers);
    CHECK(fixture_stats(f).queued_bytes <= (uint64_t)peers * (HIGH + CHUNK));
    CHECK_EQ(fixture_stats(f).sends_refused, s.refusals);
    for (unsigned i = 0; i < peers; i++) peer_reset(&crowd[i]);
    EVENTUALLY_EQ(f->disconnects, peers);
    EVENTUALLY_EQ(fixture_stats(f).queued_bytes, 0);
    fixture_stop(f);
}

/* "send is refused while the queue is at or above high water, else takes all of it, whatever its
 * size" */
static void one_send_larger_than_high_water(struct fixture *f, tlsloop_conn conn, const void *data,
                                            size_t len)
{
    (void)data;
    (void)len;
    size_t large = 3 << 20;
    char *block = calloc(1, large);
    CHECK(block != NULL);
    CHECK_OK(tlsloop_conn_send(conn, "small", 5));
    CHECK_OK(tlsloop_conn_send(conn, block, large));
    memset(block, 0xff, large); /* "copied": this must not reach the peer */
    free(block);
    CHECK_EQ(tlsloop_conn_queued(conn), large + 5);
    CHECK_EQ(tlsloop_conn_send(conn, "more", 4), TLSLOOP_EFULL);
    CHECK_OK(tlsloop_conn_close(conn));
    CHECK_EQ(tlsloop_conn_send(conn, "more", 4), TLSLOOP_ECLOSED);
    (void)f;
}

static void a_send_larger_than_high_water_is_taken_whole(void)
{
    struct fixture *f = fixture_start((struct options){
        .on.data = one_send_larger_than_high_water,
        .config.send_high_water = HIGH,
    });
    struct peer p = peer_connect(f->port);
    CHECK(peer_send(&p, "go", 2));
    char text[5];
    CHECK(peer_recv_all(&p, text, 5) && memcmp(text, "small", 5) == 0);
    static char buf[16384];
    unsigned long long bytes = 0;
    for (long n; (n = peer_recv(&p, buf, sizeof buf)) > 0; bytes += (unsigned long long)n)
        for (long i = 0; i < n; i++) CHECK_EQ(buf[i], 0);
    CHECK_EQ(bytes, 3 << 20);
    peer_leave(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_HOST], 1);
    CHECK_EQ(f->drains, 0); /* "none once the connection has begun to close" */
    fixture_stop(f);
}

/* Feeds the stream: pieces of every size, as much as the queue takes. */
static void feed(struct fixture *f, tlsloop_conn conn)
{
    static unsigned char piece[40000];
    struct sender *s = f->context;
    while (s->accepted < s->total) {
        unsigned before = s->state;
        size_t len = 1 + s->state % sizeof piece;
        if (len > s->total - s->accepted) len = s->total - s->accepted;
        next_bytes(s, piece, len);
        int answer = tlsloop_conn_send(conn, piece, len);
        if (answer != TLSLOOP_OK) {
            CHECK_EQ(answer, TLSLOOP_EFULL);
            s->state = before; /* refused: the same piece again at the drain */
            return;
        }
        s->hash = fixture_hash(s->hash, piece, len);
        s->accepted += len;
    }
    CHECK_OK(tlsloop_conn_close(conn));
}

/*
 * L17: "a send queue that grows, shrinks and moves in memory between the retries of one write: a
 * stream whose hash equals the sender's". The reader is slow and reads in small, uneven steps.
 */
static void l17_hash_of_a_long_stream_to_a_slow_reader(void)
{
    struct sender s = { .total = check_scaled(16) << 20, .hash = FIXTURE_HASH, .state = 7 };
    struct fixture *f = fixture_start((struct options){
        .on.connect = feed,
        .on.drain = feed,
        .context = &s,
        .config.send_high_water = 1 << 18,
    });
    struct peer p = peer_connect_with(f->port, (struct peer_options){ .receive_buffer = 3000 });
    static char buf[20000];
    unsigned long long bytes = 0;
    uint64_t hash = FIXTURE_HASH;
    for (long n, step = 1; (n = peer_recv(&p, buf, (size_t)step)) > 0;) {
        hash = fixture_hash(hash, buf, (size_t)n);
        bytes += (unsigned long long)n;
        step = 1 + (step * 7919) % (long)sizeof buf;
        if (bytes < 100000 && step % 16 == 0) check_nap(1);
    }
    peer_leave(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_HOST], 1);
    CHECK_EQ(bytes, s.total);
    CHECK(hash == s.hash);
    fixture_stop(f);
}

/* The edges of one call. */
static void empty_sends(void)
{
    struct fixture *f = fixture_start((struct options){ 0 });
    struct peer p = peer_connect(f->port);
    tlsloop_conn conn = fixture_conn(f, 0);
    CHECK_OK(tlsloop_conn_send(conn, NULL, 0));
    CHECK_OK(tlsloop_conn_send(conn, "", 0));
    CHECK_FAILS(tlsloop_conn_send(conn, NULL, 1), TLSLOOP_EINVAL, "data");
    CHECK_EQ(tlsloop_conn_queued(conn), 0);
    CHECK(peer_echo(&p, "an empty send is no end"));
    peer_leave(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    CHECK_EQ(fixture_stats(f).bytes_out, strlen("an empty send is no end"));
    fixture_stop(f);
}

/* The default: "1 MiB per connection", low "a quarter of high". */
static void default_water_marks(struct fixture *f, tlsloop_conn conn)
{
    size_t sent = 0;
    while (tlsloop_conn_send(conn, chunk, CHUNK) == TLSLOOP_OK) sent += CHUNK;
    CHECK(sent >= 1 << 20 && sent < (1 << 20) + CHUNK);
    (void)f;
}

static void default_low_water(struct fixture *f, tlsloop_conn conn)
{
    CHECK(tlsloop_conn_queued(conn) <= 1 << 18);
    CHECK_OK(tlsloop_conn_close(conn));
    (void)f;
}

static void water_marks_by_default(void)
{
    struct fixture *f = fixture_start((struct options){
        .on.connect = default_water_marks,
        .on.drain = default_low_water,
    });
    struct peer p = peer_connect_with(f->port, (struct peer_options){ .receive_buffer = 4096 });
    CHECK_EQ(peer_until_end(&p, NULL), PEER_CLEAN);
    peer_leave(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_HOST], 1);
    CHECK_EQ(f->drains, 1);
    fixture_stop(f);
}

/* A queue that is not drained by the host's own sends in on_drain does not call again: the episode
 * is over, and the next needs a refusal of its own. */
static void fill_exactly(struct fixture *f, tlsloop_conn conn)
{
    static char all[HIGH];
    CHECK_OK(tlsloop_conn_send(conn, all, HIGH)); /* full, and nobody was refused */
    (void)f;
}

static void a_full_queue_without_a_refusal(void)
{
    struct fixture *f = fixture_start((struct options){
        .on.connect = fill_exactly,
        .config.send_high_water = HIGH,
    });
    static char all[HIGH];
    struct peer p = peer_connect(f->port);
    CHECK(peer_recv_all(&p, all, HIGH));
    CHECK(peer_echo(&p, "then nothing"));
    CHECK_EQ(f->drains, 0); /* "The queue was full (a send answered EFULL)": none did */
    peer_leave(&p);
    EVENTUALLY_EQ(f->reasons[TLSLOOP_REASON_PEER], 1);
    fixture_stop(f);
}

static void fill_again(struct fixture *f, tlsloop_conn conn)
{
    (void)f;
    while (tlsloop_conn_send(conn, chunk, HIGH / 64) == TLSLOOP_OK) {} /* to high water exactly */
}

/* "to which a full queue must fall before on_drain": one that is as long as at high water has not fallen. */
static void low_water_at_high_water(void)
{
    struct fixture *f = fixture_start((struct options){
        .on.drain = fill_again, .config = { .send_high_water = HIGH, .send_low_water = HIGH } });
    struct peer p = peer_connect_with(f->port, (struct peer_options){ .receive_buffer = 4096 });
    tlsloop_conn conn = fixture_conn(f, 0);
    uint64_t left;
    fill_again(f, conn);
    do { /* until the kernel takes no more */
        left = fixture_stats(f).bytes_out;
        check_nap(100 * check_time_factor());
    } while (fixture_stats(f).bytes_out != left);
    unsigned before = f->drains;
    check_nap(100);
    if (fixture_stats(f).bytes_out == left) CHECK_EQ(f->drains, before);
    peer_reset(&p);
    EVENTUALLY_EQ(f->disconnects, 1);
    fixture_stop(f);
}

CHECK_MAIN(CASE(low_water_at_high_water), CASE(l28_full_then_one_drain), CASE(the_drain_comes_at_low_water),
           CASE(l28_a_hundred_peers_that_never_read),
           CASE(a_send_larger_than_high_water_is_taken_whole),
           CASE(l17_hash_of_a_long_stream_to_a_slow_reader), CASE(empty_sends),
           CASE(water_marks_by_default), CASE(a_full_queue_without_a_refusal))
