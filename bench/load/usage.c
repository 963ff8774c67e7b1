/* CPU time is read from the server's own process clock: nanoseconds, where /proc counts in ticks. What the kernel
 * does on the loopback on behalf of a sender is charged to the sender, as it is on a real network card's driver. */
#include "usage.h"

#include "basics.h"
#include "options.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The number behind "key" in a file of "key: number" lines; 0 if the process has gone meanwhile. */
static uint64_t number_in(const char *path, const char *key)
{
    FILE *file = fopen(path, "r");
    char line[256];
    uint64_t value = 0;
    size_t length = strlen(key);

    if (file == NULL) return 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, length) != 0) continue;
        value = strtoull(line + length, NULL, 10);
        break;
    }
    fclose(file);
    return value;
}

static uint64_t cpu_of(pid_t pid)
{
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0) die("process %d is gone", (int)pid);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void add_ticks(struct usage *u, pid_t pid)
{
    char path[64], line[1024];
    uint64_t user, system;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) return;
    /* The second field is the program's name and may hold anything; the last parenthesis ends it. */
    char *rest = fgets(line, sizeof line, file) != NULL ? strrchr(line, ')') : NULL;
    if (rest != NULL && sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64, &user,
                               &system) == 2) {
        u->user_ticks += user;
        u->system_ticks += system;
    }
    fclose(file);
}

static void add_switches(struct usage *u, pid_t pid)
{
    char path[400];
    struct dirent *entry;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *threads = opendir(path);
    while (threads != NULL && (entry = readdir(threads)) != NULL) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/status", (int)pid, entry->d_name);
        u->switches += number_in(path, "voluntary_ctxt_switches:");
    }
    if (threads != NULL) closedir(threads);
}

static void add_memory(struct usage *u, pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    u->rss += number_in(path, "Rss:");
    u->pss += number_in(path, "Pss:");
    u->private_dirty += number_in(path, "Private_Dirty:");
}

struct usage usage_of_server(enum usage_part part)
{
    struct usage u = {0};
    char path[64];

    for (int i = 0; i < options.servers; i++) {
        u.cpu += cpu_of(options.server[i]);
        add_ticks(&u, options.server[i]);
        add_switches(&u, options.server[i]);
        snprintf(path, sizeof path, "/proc/%d/status", (int)options.server[i]);
        u.peak_rss += number_in(path, "VmHWM:");
        if (part == USAGE_CPU_AND_MEMORY) add_memory(&u, options.server[i]);
    }
    return u;
}
