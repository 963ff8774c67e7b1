/*
 * Checks and the runner of one test program.
 *
 * A program is a table of cases. Run without arguments it forks for each case, so that one that
 * crashes, hangs or leaks says so under its own name and the others still run; with the name of a
 * case it runs that one in its own process, as a debugger wants it. A failed check prints where,
 * what and with which values, and ends the process at once, from any thread.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stddef.h>

struct check_case {
    const char *name;
    void (*run)(void);
};

#define CASE(function) { #function, function }

/* The main function of a test program: CHECK_MAIN(CASE(a), CASE(b)) */
#define CHECK_MAIN(...)                                                     \
    int main(int argc, char **argv)                                         \
    {                                                                       \
        static const struct check_case cases[] = { __VA_ARGS__ };           \
        return check_main(cases, sizeof cases / sizeof *cases, argc, argv); \
    }

#define CHECK(condition) \
    ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, "CHECK(%s)", #condition))

/* Whole numbers of any type; both are printed when they differ. */
#define CHECK_EQ(actual, expected) \
    check_equal(__FILE__, __LINE__, #actual, (long long)(actual), #expected, (long long)(expected))

#define CHECK_STR(actual, expected) check_string(__FILE__, __LINE__, #actual, actual, expected)

/* The text contains the part. */
#define CHECK_HAS(text, part) check_contains(__FILE__, __LINE__, #text, text, part)

/*
 * Waits until the condition holds. The limit is there to end a hang, not to measure: a case that
 * passes at all passes on a slow machine too.
 */
#define EVENTUALLY(condition)                                                            \
    do {                                                                                 \
        struct check_wait check_wait_ = check_wait_start();                              \
        while (!(condition))                                                             \
            if (!check_wait_more(&check_wait_))                                          \
                check_failed(__FILE__, __LINE__, "EVENTUALLY(%s)", #condition);          \
    } while (0)

/* The same for a number, which is printed when the time is up. */
#define EVENTUALLY_EQ(actual, expected)                                                   \
    do {                                                                                  \
        struct check_wait check_wait_ = check_wait_start();                               \
        while ((long long)(actual) != (long long)(expected))                              \
            if (!check_wait_more(&check_wait_)) CHECK_EQ(actual, expected);               \
    } while (0)

struct check_wait {
    long long until_ms;
};

int check_main(const struct check_case *cases, size_t n, int argc, char **argv);

__attribute__((noreturn, format(printf, 3, 4)))
void check_failed(const char *file, int line, const char *format, ...);
void check_equal(const char *file, int line, const char *actual_text, long long actual,
                 const char *expected_text, long long expected);
void check_string(const char *file, int line, const char *text, const char *actual,
                  const char *expected);
void check_contains(const char *file, int line, const char *text, const char *actual,
                    const char *part);

/* Ends the case without a verdict, for something this machine or build does not have. */
__attribute__((noreturn)) void check_skip(const char *why);

struct check_wait check_wait_start(void);
bool check_wait_more(struct check_wait *wait); /* naps for a millisecond; false: the time is up */

void check_nap(unsigned ms);
long long check_now_ms(void); /* the monotonic clock */

/*
 * How much slower than usual this run is: TEST_TIME_FACTOR, or what valgrind needs, or 1. Limits
 * of time are multiplied by it, and check_scaled divides the number of repetitions.
 */
unsigned check_time_factor(void);
unsigned check_scaled(unsigned repetitions);

bool check_under_valgrind(void);
bool check_under_asan(void);
bool check_under_tsan(void);

#endif
