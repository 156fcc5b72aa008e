/* process.c - the process' own figures, out of /proc. SPDX-License-Identifier: Apache-2.0 */
#include "base/process.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static void print_one(struct buf *out, const char *name, const char *type, const char *help,
                      double value)
{
    buf_format(out, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", name, help, name, type, name, value);
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* How many entries a directory has; -1 when it cannot be read. */
static long directory_count(const char *path)
{
    DIR *directory = opendir(path);
    long count = 0;
    if (!directory)
        return -1;
    for (const struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static void memory_print(struct buf *out)
{
    long total_pages, resident_pages;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return;
    if (fscanf(file, "%ld %ld", &total_pages, &resident_pages) == 2)
        print_one(out, "process_resident_memory_bytes", "gauge", "Memory that is in use.",
                  (double)resident_pages * (double)sysconf(_SC_PAGESIZE));
    fclose(file);
}

static void descriptors_print(struct buf *out)
{
    struct rlimit limit;
    long descriptors = directory_count("/proc/self/fd") - 1; /* one is the look itself */
    if (descriptors >= 0)
        print_one(out, "process_open_fds", "gauge", "Open file descriptors.", (double)descriptors);
    if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur != RLIM_INFINITY)
        print_one(out, "process_max_fds", "gauge", "How many there may be.",
                  (double)limit.rlim_cur);
}

/* OpenMetrics names a counter's family without the _total of its sample. */
static void processor_print(struct buf *out, bool is_open)
{
    struct rusage usage;
    const char *total = is_open ? "" : "_total";
    if (!getrusage(RUSAGE_SELF, &usage))
        buf_format(out,
                   "# HELP process_cpu_seconds%s User and system time.\n"
                   "# TYPE process_cpu_seconds%s counter\nprocess_cpu_seconds_total %.15g\n",
                   total, total, seconds(usage.ru_utime) + seconds(usage.ru_stime));
}

void process_print(struct buf *out, int64_t started_ms, bool is_open)
{
    long threads = directory_count("/proc/self/task");
    processor_print(out, is_open);
    memory_print(out);
    descriptors_print(out);
    if (threads > 0)
        print_one(out, "process_threads", "gauge", "Threads.", (double)threads);
    print_one(out, "process_start_time_seconds", "gauge", "When it started, in Unix time.",
              (double)started_ms / 1000);
}
