/* offered: which tools are offered now: a fixed list, or a file that is read again when it changes;
 * see tools.h. */
#include "canary/tools.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/when.h"

struct tools {
    unsigned mask;
    char *file;       /* owned; NULL: the list is fixed */
    struct stat seen; /* of the file as last read */
    int64_t checked_ns;
    bool missing; /* warned that the file cannot be read */
    void (*warn)(const char *text);
};

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

/* One name of n bytes, spaces cut; *bit is 0 for an empty one. -EINVAL: no such tool. */
static int parse_name(const char *s, size_t n, unsigned *bit) {
    while (n && is_space(*s))
        s++, n--;
    while (n && is_space(s[n - 1]))
        n--;
    *bit = 0;
    for (int t = 0; n && t < TOOL_COUNT; t++)
        if (strlen(tool_name(t)) == n && !memcmp(tool_name(t), s, n))
            *bit = 1u << t;
    return n && !*bit ? -EINVAL : 0;
}

int tools_parse(const char *text, char sep, bool strict, unsigned *ret, struct err *e) {
    unsigned mask = 0;
    for (const char *p = text; p;) {
        const char *end = strchr(p, sep);
        size_t n = end ? (size_t)(end - p) : strlen(p);
        unsigned bit = 0;
        bool comment = sep == '\n' && *p == '#';
        if (!comment && parse_name(p, n, &bit) && strict)
            return err_set(e, -EINVAL, "unknown tool \"%.*s\": use echo, hold, whoami, sum",
                           n < 64 ? (int)n : 64, p);
        mask |= bit;
        p = end ? end + 1 : NULL;
    }
    *ret = mask;
    return 0;
}

static int read_file(const char *path, char *text, struct stat *st, struct err *e) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, st)) {
        int rc = err_set(e, -errno, "tools file %s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return rc;
    }
    ssize_t n = read(fd, text, TOOLS_FILE_MAX + 1);
    close(fd);
    if (n < 0)
        return err_set(e, -EIO, "tools file %s: cannot be read", path);
    if (n > TOOLS_FILE_MAX || memchr(text, 0, (size_t)n))
        return err_set(e, -EINVAL, "tools file %s: give one tool's name a line, at most %d bytes", path,
                       TOOLS_FILE_MAX);
    text[n] = 0;
    return 0;
}

static int load(struct tools *t, struct err *e) {
    char text[TOOLS_FILE_MAX + 2];
    int rc = read_file(t->file, text, &t->seen, e);
    unsigned mask;
    if (!rc && (rc = tools_parse(text, '\n', true, &mask, e)))
        return err_prefix(e, rc, "tools file %s", t->file);
    if (!rc)
        t->mask = mask;
    return rc;
}

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void reload(struct tools *t) {
    struct err e;
    struct stat now;
    bool gone = stat(t->file, &now) != 0;
    if (gone ? t->missing : same_file(&now, &t->seen))
        return;
    t->missing = gone;
    if (load(t, &e) && t->warn)
        t->warn(e.text);
}

unsigned tools_offered(struct tools *t, int64_t mono_ns) {
    if (t->file && mono_ns - t->checked_ns >= TOOLS_FILE_CHECK_MS * WHEN_MS) {
        t->checked_ns = mono_ns;
        reload(t);
    }
    return t->mask;
}

int tools_open(const char *list, const char *file, void (*warn)(const char *text), struct tools **ret,
               struct err *e) {
    struct tools *t = calloc(1, sizeof *t);
    if (!t)
        return err_oom(e);
    t->mask = TOOL_DEFAULT;
    t->warn = warn;
    int rc = list ? tools_parse(list, ',', true, &t->mask, e) : 0;
    if (!rc && file && !(t->file = strdup(file)))
        rc = err_oom(e);
    if (!rc && t->file)
        rc = load(t, e);
    if (rc)
        tools_close(&t);
    else
        *ret = t;
    return rc;
}

void tools_close(struct tools **t) {
    if (!*t)
        return;
    free((*t)->file);
    free(*t);
    *t = NULL;
}
