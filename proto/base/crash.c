/* crash: see crash.h. Not async-signal-safe; callable from any thread. */
#include "base/crash.h"

#ifdef PILOTGATE_CRASH_POINTS
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POINTS_MAX 128

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *seen[POINTS_MAX];
static size_t n_seen;

static void list(const char *name) {
    for (size_t i = 0; i < n_seen; i++)
        if (strcmp(seen[i], name) == 0)
            return;
    if (n_seen == POINTS_MAX)
        return;
    seen[n_seen++] = name;
    const char *path = getenv("PILOTGATE_CRASH_LIST");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    char line[128]; /* in one piece: several processes may append to the file */
    int len = snprintf(line, sizeof line, "%s\n", name);
    ssize_t n = write(fd, line, (size_t)len < sizeof line ? (size_t)len : sizeof line - 1);
    (void)n;
    (void)close(fd);
}

/* How often this place was passed, this time included. */
static long passed(const char *name) {
    static const char *counted;
    static long n;
    if (!counted)
        counted = name;
    return strcmp(counted, name) == 0 ? ++n : 0;
}

void crash_point(const char *name) {
    const char *at = getenv("PILOTGATE_CRASH_AT");
    if (!at)
        return;
    (void)pthread_mutex_lock(&lock);
    size_t len = strlen(name);
    if (strcmp(at, "list") == 0)
        list(name);
    else if (strncmp(at, name, len) == 0 && (at[len] == ':' || at[len] == 0) &&
             passed(name) == (at[len] ? strtol(at + len + 1, NULL, 10) : 1))
        (void)kill(getpid(), SIGKILL);
    (void)pthread_mutex_unlock(&lock);
}
#else
typedef int crash_nothing; /* a file must hold something */
#endif
