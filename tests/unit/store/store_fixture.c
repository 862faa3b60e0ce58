/* store_fixture: see store_fixture.h. */
#include "store_fixture.h"

#include <dirent.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
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

bool fixture_crash(const struct fixture *f, const char *at, void (*fn)(const struct fixture *f)) {
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)setenv("PILOTGATE_CRASH_AT", at, 1);
        fn(f);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return true;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the child that was to die at %s ended with status %d", at, status);
    return false;
}

void fixture_sql(const char *path, const char *sql) {
    sqlite3 *db = NULL;
    char *why = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s: %s", sql, why);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

const char *fixture_value(const char *path, const char *sql) {
    static char out[65536];
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    out[0] = 0;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    if (sqlite3_step(st) == SQLITE_ROW && sqlite3_column_text(st, 0))
        (void)snprintf(out, sizeof out, "%s", (const char *)sqlite3_column_text(st, 0));
    sqlite3_finalize(st);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return out;
}

void fixture_load(const struct fixture *f, const char *name) {
    static char text[65536];
    char path[512];
    (void)snprintf(path, sizeof path, "%s/data/%s", TEST_SOURCE_DIR, name);
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    size_t n = fread(text, 1, sizeof text - 1, in);
    assert_true(n > 0 && n < sizeof text - 1);
    text[n] = 0;
    assert_int_equal(fclose(in), 0);
    fixture_sql(f->path, text);
}
