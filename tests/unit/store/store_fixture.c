/* store_fixture: see store_fixture.h. */
#include "store_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int fixture_setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    if (!f)
        return -1;
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/test-store.XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    (void)snprintf(f->path, sizeof f->path, "%s/p.db", f->dir);
    (void)snprintf(f->url, sizeof f->url, "sqlite:%s", f->path);
    *state = f;
    return 0;
}

int fixture_teardown(void **state) {
    struct fixture *f = *state;
    DIR *d = opendir(f->dir);
    struct dirent *entry;
    while (d && (entry = readdir(d))) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s", f->dir, entry->d_name);
        (void)unlink(path);
    }
    if (d)
        closedir(d);
    (void)rmdir(f->dir);
    free(f);
    return 0;
}

struct store *fixture_open(const struct fixture *f, enum store_mode mode) {
    struct err e = {""};
    struct store *s = NULL;
    if (store_open(f->url, mode, &s, &e) < 0)
        fail_msg("%s", e.text);
    return s;
}

int64_t fixture_stream(struct store *s, const char *ns, uint8_t boot, uint64_t *hwm) {
    uint8_t bytes[WIRE_BOOT_BYTES];
    memset(bytes, boot, sizeof bytes);
    struct store_stream_key k = {"c", ns, "node-1", bytes};
    struct err e = {""};
    int64_t id = 0;
    uint64_t mark = 0;
    if (store_stream(s, &k, &id, &mark, &(bool){false}, &e) < 0)
        fail_msg("%s", e.text);
    if (hwm)
        *hwm = mark;
    return id;
}

enum store_put fixture_put(struct store *s, int64_t stream, uint64_t seq, enum wire_family f, int64_t from,
                           int64_t to, const char *text) {
    struct store_record r = {stream, seq, f, from, to, (const uint8_t *)text, strlen(text)};
    struct err e = {""};
    enum store_put put = STORE_PUT_NEW;
    if (store_put_record(s, &r, &put, &e) < 0)
        fail_msg("%s", e.text);
    return put;
}

uint64_t fixture_commit(struct store *s, int64_t at) {
    struct err e = {""};
    uint64_t n = 0;
    if (store_commit(s, at, &n, &e) < 0)
        fail_msg("%s", e.text);
    return n;
}

static int collect(void *ctx, const struct store_record *r, uint64_t commit) {
    char *out = ctx;
    size_t used = strlen(out);
    (void)commit;
    (void)snprintf(out + used, 4096 - used, "%d.%d:%.*s ", (int)r->stream, (int)r->seq, (int)r->len,
                   (const char *)r->payload);
    return 0;
}

const char *fixture_read(struct store *s, const struct store_query *q) {
    static char out[4096];
    struct err e = {""};
    out[0] = 0;
    if (store_records(s, q, collect, out, &e) < 0)
        fail_msg("%s", e.text);
    return out;
}
