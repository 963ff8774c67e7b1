#define _GNU_SOURCE
#include "measure.h"

#include "check.h"

#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned count_entries(const char *path)
{
    unsigned n = 0;
    DIR *dir = opendir(path);
    CHECK(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

unsigned measure_descriptors(void)
{
    return count_entries("/proc/self/fd") - 1; /* that of the directory itself */
}

#ifdef TEST_TSAN
static void *return_at_once(void *arg)
{
    return arg;
}
#endif

unsigned measure_threads(void)
{
#ifdef TEST_TSAN
    /* ThreadSanitizer starts one of its own with the first that a process starts. */
    static bool begun;
    pthread_t thread;
    if (!begun) CHECK(pthread_create(&thread, NULL, return_at_once, NULL) == 0 && pthread_join(thread, NULL) == 0);
    begun = true;
#endif
    return count_entries("/proc/self/task");
}

/* The text behind the key in the thread's status. */
static void read_status(int thread, const char *key, char *value, size_t room)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/status", thread);
    FILE *file = fopen(path, "re");
    CHECK(file != NULL);
    value[0] = 0;
    while (fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0) snprintf(value, room, "%s", line + strlen(key));
    fclose(file);
    CHECK(value[0] != 0);
}

bool measure_sleeps(int thread)
{
    char state[32];
    read_status(thread, "State:", state, sizeof state);
    return strchr(state, 'S') != NULL;
}

unsigned long measure_sleeps_begun(int thread)
{
    char number[32];
    read_status(thread, "voluntary_ctxt_switches:", number, sizeof number);
    return strtoul(number, NULL, 10);
}

size_t measure_heap(void)
{
    if (check_under_asan() || check_under_valgrind()) return 0;
#ifdef __GLIBC__
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
#else
    return 0;
#endif
}

void measure_heap_is_back(size_t before)
{
    size_t now = measure_heap();
    if (now <= before + HEAP_SLACK) return;
    check_failed(__FILE__, __LINE__, "the heap grew from %zu to %zu bytes", before, now);
}
