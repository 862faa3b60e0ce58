/* allow: the allow-list, "<key> <cluster> <namespace>[,<namespace>...]" a line; ingest.h has the rules. */
#include "ingest/ingest_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/conf.h"

#define ALLOW_FILE_MAX (8u << 20)
#define ALLOW_ENTRIES_MAX 100000

struct entry {
    char key[CURVE_Z85_MAX];
    char *cluster, *ns; /* into text; ns "*": all of the cluster */
};

struct allow {
    char path[4096];
    struct stat seen;
    char *text; /* owned; entries point into it */
    struct entry *entries;
    size_t n;
};

static int compare_entries(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    int c = strcmp(x->key, y->key);
    if (c == 0)
        c = strcmp(x->cluster, y->cluster);
    return c ? c : strcmp(x->ns, y->ns);
}

struct parse {
    const char *path;
    struct entry *entries;
    size_t n, cap;
};

static int add_entry(struct parse *p, const char *key, char *cluster, char *ns, struct err *e) {
    if (p->n == ALLOW_ENTRIES_MAX)
        return err_set(e, -E2BIG, "%s: more than %d entries", p->path, ALLOW_ENTRIES_MAX);
    if (p->n == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 64;
        struct entry *more = realloc(p->entries, cap * sizeof *more);
        if (!more)
            return err_oom(e);
        p->entries = more;
        p->cap = cap;
    }
    struct entry *entry = &p->entries[p->n++];
    memcpy(entry->key, key, CURVE_Z85_MAX);
    entry->cluster = cluster;
    entry->ns = ns;
    return 0;
}

static int bad_line(const struct parse *p, int line, const char *what, struct err *e) {
    return err_set(e, -EINVAL, "%s:%d: %s; a line is: KEY CLUSTER NAMESPACE[,NAMESPACE...]", p->path, line,
                   what);
}

/* Z85 has '#' in its alphabet: a comment is a line, or a word, that begins with it after the key. */
static int parse_line(struct parse *p, char *line, int number, struct err *e) {
    char *save = NULL;
    char *key = strtok_r(line, " \t\r", &save);
    if (!key || (*key == '#' && !curve_z85_ok(key)))
        return 0;
    char *cluster = strtok_r(NULL, " \t\r", &save), *list = strtok_r(NULL, " \t\r", &save);
    char *rest = strtok_r(NULL, " \t\r", &save);
    if (!curve_z85_ok(key))
        return bad_line(p, number, "the first word is no public key (40 characters of Z85)", e);
    if (!cluster || !wire_name_ok(cluster))
        return bad_line(p, number, "the cluster's name is missing or malformed", e);
    if (!list || (rest && *rest != '#'))
        return bad_line(p, number, "the namespaces are missing, or hold spaces", e);
    save = NULL;
    int before = (int)p->n;
    for (char *ns = strtok_r(list, ",", &save); ns; ns = strtok_r(NULL, ",", &save)) {
        if (strcmp(ns, "*") != 0 && !wire_name_ok(ns))
            return bad_line(p, number, "a namespace's name is malformed", e);
        int r = add_entry(p, key, cluster, ns, e);
        if (r < 0)
            return r;
    }
    return (int)p->n > before ? 0 : bad_line(p, number, "no namespace is named", e);
}

static int parse_text(struct parse *p, char *text, struct err *e) {
    int number = 1;
    for (char *line = text, *end; line; line = end, number++) {
        end = strchr(line, '\n');
        if (end)
            *end++ = 0;
        int r = parse_line(p, line, number, e);
        if (r < 0)
            return r;
    }
    if (p->n)
        qsort(p->entries, p->n, sizeof *p->entries, compare_entries);
    return 0;
}

static int take_file(struct allow *a, struct err *e) {
    char *text = NULL;
    size_t len = 0;
    int r = conf_read_file(a->path, ALLOW_FILE_MAX, &text, &len, e);
    if (r < 0)
        return r;
    struct parse p = {.path = a->path};
    r = strlen(text) == len ? parse_text(&p, text, e) : err_set(e, -EINVAL, "%s: not a text file", a->path);
    if (r < 0) {
        free(p.entries);
        free(text);
        return r;
    }
    free(a->text);
    free(a->entries);
    a->text = text;
    a->entries = p.entries;
    a->n = p.n;
    return 0;
}

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* The change is noted before the content is read: a write in between is seen as another change. */
int allow_refresh(struct allow *a, struct err *e) {
    struct stat now;
    if (stat(a->path, &now) < 0)
        memset(&now, 0, sizeof now);
    if (same_file(&now, &a->seen))
        return 0;
    a->seen = now;
    int r = take_file(a, e);
    return r < 0 ? r : 1;
}

int allow_open(const char *path, struct allow **ret, struct err *e) {
    struct allow *a = calloc(1, sizeof *a);
    if (!a)
        return err_oom(e);
    (void)snprintf(a->path, sizeof a->path, "%s", path);
    if (stat(path, &a->seen) < 0)
        memset(&a->seen, 0, sizeof a->seen);
    int r = take_file(a, e);
    if (r < 0)
        allow_free(&a);
    else
        *ret = a;
    return r;
}

/* The first entry of the key, or one past the last. */
static size_t first_of(const struct allow *a, const char *key) {
    size_t low = 0, high = a->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(a->entries[mid].key, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

bool allow_key(const struct allow *a, const char *key) {
    size_t at = first_of(a, key);
    return at < a->n && strcmp(a->entries[at].key, key) == 0;
}

bool allow_stage(const struct allow *a, const char *key, const char *cluster, const char *ns) {
    for (size_t at = first_of(a, key); at < a->n && strcmp(a->entries[at].key, key) == 0; at++) {
        const struct entry *x = &a->entries[at];
        if (strcmp(x->cluster, cluster) == 0 && (strcmp(x->ns, "*") == 0 || strcmp(x->ns, ns) == 0))
            return true;
    }
    return false;
}

void allow_free(struct allow **ap) {
    struct allow *a = ap ? *ap : NULL;
    if (!a)
        return;
    free(a->entries);
    free(a->text);
    free(a);
    *ap = NULL;
}
