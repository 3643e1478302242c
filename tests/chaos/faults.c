/* A layer between a process and its files: LD_PRELOAD it, and every write to a path that contains CHAOS_FILES
 *
 *   waits for CHAOS_DELAY_MS milliseconds,
 *   fails with EIO (CHAOS_ERRNO, a number, for another) from the CHAOS_FAIL_FROM-th on, CHAOS_FAIL_COUNT times,
 *
 * and time() and clock_gettime(CLOCK_REALTIME) are moved by CHAOS_CLOCK seconds. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static atomic_long writes;

static long number(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text ? atol(text) : otherwise;
}

/* 1 if the call is to fail. */
static int disturbed(int descriptor) {
    const char *wanted = getenv("CHAOS_FILES");
    char link[64], path[4096];
    if (!wanted) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (!strstr(path, wanted)) return 0;
    long delay = number("CHAOS_DELAY_MS", 0);
    if (delay) {
        struct timespec pause = {delay / 1000, delay % 1000 * 1000000};
        nanosleep(&pause, NULL);
    }
    long from = number("CHAOS_FAIL_FROM", 0), count = atomic_fetch_add(&writes, 1) + 1;
    if (!from || count < from || count >= from + number("CHAOS_FAIL_COUNT", 1)) return 0;
    errno = (int)number("CHAOS_ERRNO", EIO);
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int descriptor, const void *bytes, size_t count) {
    return disturbed(descriptor) ? -1 : REAL(write)(descriptor, bytes, count);
}

int fsync(int descriptor) {
    return disturbed(descriptor) ? -1 : REAL(fsync)(descriptor);
}

int clock_gettime(clockid_t clock, struct timespec *found) {
    int failed = REAL(clock_gettime)(clock, found);
    if (!failed && clock == CLOCK_REALTIME) found->tv_sec += number("CHAOS_CLOCK", 0);
    return failed;
}

time_t time(time_t *found) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (found) *found = now.tv_sec;
    return now.tv_sec;
}
