/* load_watch: what the collector takes, each second, from /proc (proc(5)). */
#include "load.h"

#include <string.h>
#include <unistd.h>

/* CPU seconds of the process, and its resident bytes; false when it is gone. */
static bool used(unsigned pid, double *ret_cpu, uint64_t *ret_rss) {
    char path[64], text[1024];
    unsigned long user = 0, sys = 0;
    long pages = 0;
    (void)snprintf(path, sizeof path, "/proc/%u/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    size_t n = fread(text, 1, sizeof text - 1, f);
    (void)fclose(f);
    text[n] = 0;
    const char *after = strrchr(text, ')'); /* the name may hold anything */
    if (!after || sscanf(after + 1,
                         " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d "
                         "%*d %*u %*u %ld",
                         &user, &sys, &pages) != 3)
        return false;
    *ret_cpu = (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
    *ret_rss = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}

void load_watch(struct load *l) {
    static double cpu_before;
    static int64_t before;
    int64_t now = when_mono_ns();
    struct load_second s = {0};
    double cpu = 0;
    if (!l->o.watch || now - before < WHEN_S || !used(l->o.watch, &cpu, &s.rss_bytes))
        return;
    s.cpu = before ? (cpu - cpu_before) / ((double)(now - before) / 1e9) : 0;
    if (before && l->n_watched < LOAD_WATCH_MAX)
        l->watched[l->n_watched++] = s;
    cpu_before = cpu;
    before = now;
}
