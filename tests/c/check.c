#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    EXIT_SKIPPED = 77,
    WAIT_SECONDS = 10,  /* of one EVENTUALLY */
    CASE_SECONDS = 150, /* of one case: only a hang lasts so long */
};

static const char *running = "";

void check_failed(const char *file, int line, const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    printf("# %s:%d: %s: %s\n", file, line, running, text);
    fflush(stdout);
    /* Not exit: the other threads are in the middle of something, and its clean-up is not the
     * subject of this failure. */
    _exit(1);
}

void check_equal(const char *file, int line, const char *actual_text, long long actual,
                 const char *expected_text, long long expected)
{
    if (actual == expected) return;
    check_failed(file, line, "%s is %lld, expected %s = %lld", actual_text, actual, expected_text,
                 expected);
}

void check_string(const char *file, int line, const char *text, const char *actual,
                  const char *expected)
{
    if (actual && strcmp(actual, expected) == 0) return;
    check_failed(file, line, "%s is \"%s\", expected \"%s\"", text, actual ? actual : "(null)",
                 expected);
}

void check_contains(const char *file, int line, const char *text, const char *actual,
                    const char *part)
{
    if (actual && strstr(actual, part)) return;
    check_failed(file, line, "%s is \"%s\", which lacks \"%s\"", text, actual ? actual : "(null)",
                 part);
}

void check_skip(const char *why)
{
    printf("# %s: skipped: %s\n", running, why);
    fflush(stdout);
    _exit(EXIT_SKIPPED);
}

long long check_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

void check_nap(unsigned ms)
{
    struct timespec left = { ms / 1000, (long)(ms % 1000) * 1000000 };
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {}
}

struct check_wait check_wait_start(void)
{
    return (struct check_wait){ check_now_ms() + WAIT_SECONDS * 1000LL * check_time_factor() };
}

bool check_wait_more(struct check_wait *wait)
{
    check_nap(1);
    return check_now_ms() < wait->until_ms;
}

bool check_under_valgrind(void)
{
    /* valgrind injects its library this way, so the program needs no header of valgrind's. */
    const char *preload = getenv("LD_PRELOAD");
    return getenv("RUNNING_ON_VALGRIND") || (preload && strstr(preload, "vgpreload"));
}

/* gcc says it by a macro, clang by a feature. */
#ifndef __has_feature
#define __has_feature(feature) 0
#endif

bool check_under_asan(void)
{
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
    return true;
#else
    return false;
#endif
}

bool check_under_tsan(void)
{
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
    return true;
#else
    return false;
#endif
}

unsigned check_time_factor(void)
{
    const char *factor = getenv("TEST_TIME_FACTOR");
    if (factor && atoi(factor) > 0) return (unsigned)atoi(factor);
    return check_under_valgrind() ? 10 : 1;
}

unsigned check_scaled(unsigned repetitions)
{
    unsigned scaled = repetitions / check_time_factor();
    return scaled ? scaled : 1;
}

/* Runs the function in a forked child, which then returns from main; the child's wait status. */
static int in_child(void (*run)(void *arg), void *arg)
{
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run(arg);
        exit(0);
    }
    int status;
    while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
    return status;
}

static void run_here(void *arg)
{
    const struct check_case *one = arg;
    running = one->name;
    alarm(CASE_SECONDS * check_time_factor());
    one->run();
}

static bool run_forked(const struct check_case *one)
{
    int status = in_child(run_here, (void *)one);
    bool skipped = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED;
    bool ok = skipped || (WIFEXITED(status) && WEXITSTATUS(status) == 0);
    printf("%s %s", ok ? "ok" : "not ok", one->name);
    if (skipped) printf(" # SKIP");
    if (!ok && WIFEXITED(status)) printf(" # exit status %d", WEXITSTATUS(status));
    if (WIFSIGNALED(status)) printf(" # killed by %s", strsignal(WTERMSIG(status)));
    printf("\n");
    fflush(stdout);
    return ok;
}

static int run_named(const struct check_case *cases, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(cases[i].name, name) != 0) continue;
        run_here((void *)&cases[i]);
        printf("ok %s\n", name);
        return 0;
    }
    fprintf(stderr, "no case is called %s\n", name);
    return 2;
}

/*
 * Starts the program again without the allocator's per-thread caches (glibc reads this before main
 * only): they count as used memory, so that no leak below their size could be seen.
 */
static void without_allocator_caches(char **argv)
{
    if (check_under_asan() || check_under_valgrind() || getenv("GLIBC_TUNABLES")) return;
    setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 1);
    execv("/proc/self/exe", argv);
    /* Without it, measure_heap is blunter; nothing else. */
}

int check_main(const struct check_case *cases, size_t n, int argc, char **argv)
{
    without_allocator_caches(argv);
    if (argc > 1) return run_named(cases, n, argv[1]);
    size_t failed = 0;
    for (size_t i = 0; i < n; i++) failed += !run_forked(&cases[i]);
    printf("%zu of %zu cases passed\n", n - failed, n);
    return failed != 0;
}
