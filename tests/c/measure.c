#define _GNU_SOURCE
#include "measure.h"

#include "check.h"

#include <dirent.h>
#include <malloc.h>

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

unsigned measure_threads(void)
{
    return count_entries("/proc/self/task");
}

size_t measure_heap(void)
{
    if (check_under_asan() || check_under_valgrind()) return 0;
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

void measure_heap_is_back(size_t before)
{
    size_t now = measure_heap();
    if (now <= before + HEAP_SLACK) return;
    check_failed(__FILE__, __LINE__, "the heap grew from %zu to %zu bytes", before, now);
}
