/*
 * L40: "a jump of the wall clock by a day in either direction (interposed, not the machine's own):
 * fires no timer early or late".
 */
#define _GNU_SOURCE
#include "fixture.h"
#include "peer.h"

#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* How far the wall clock of this program is off. */
static atomic_long jump;

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int answer = (int)syscall(SYS_clock_gettime, clock, now);
    if (answer == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += jump;
    return answer;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    *now = (struct timeval){ exact.tv_sec, exact.tv_nsec / 1000 };
    return 0;
}

time_t time(time_t *where)
{
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (where) *where = exact.tv_sec;
    return exact.tv_sec;
}

enum { DAY = 24 * 3600 };

/* Deadlines that are far away do not come with the jump; those that are near still come. */
static void jump_by(long seconds)
{
    jump = 0;
    struct fixture *far = fixture_start((struct options){
        .config = { .idle_timeout_ms = 3600 * 1000, .handshake_timeout_ms = 3600 * 1000 },
    });
    struct fixture *near = fixture_start((struct options){
        .config = { .idle_timeout_ms = 1000 * check_time_factor(),
                    .handshake_timeout_ms = 1000 * check_time_factor() },
    });
    far->loose_descriptors = far->loose_threads = near->loose_descriptors = near->loose_threads = true;
    struct peer lasting = peer_connect(far->port);
    int silent = tcp_connect(far->port), hasty = tcp_connect(near->port);
    CHECK(peer_echo(&lasting, "before"));
    struct peer idle = peer_connect(near->port);

    jump = seconds;
    EVENTUALLY_EQ(near->reasons[TLSLOOP_REASON_IDLE_TIMEOUT], 1);
    EVENTUALLY_EQ(near->handshakes_failed, 1);
    CHECK_EQ(near->last_code, TLSLOOP_ETIMEDOUT);
    for (int i = 0; i < 10; i++) CHECK(peer_echo(&lasting, "after"));
    CHECK_EQ(far->disconnects + far->handshakes_failed, 0);

    tlsloop_info info = TLSLOOP_INFO_INIT;
    CHECK_OK(tlsloop_conn_info(fixture_conn(far, 0), &info));
    CHECK(info.age_ms < 3600 * 1000); /* not a day, nor less than nothing */
    peer_leave(&lasting);
    peer_leave(&idle);
    close(silent);
    close(hasty);
    EVENTUALLY_EQ(far->disconnects + far->handshakes_failed, 2);
    fixture_stop(far);
    fixture_stop(near);
}

static void l40_the_clock_jumps_forward(void)
{
    jump_by(DAY);
}

static void l40_the_clock_jumps_back(void)
{
    jump_by(-DAY);
}

CHECK_MAIN(CASE(l40_the_clock_jumps_forward), CASE(l40_the_clock_jumps_back))
