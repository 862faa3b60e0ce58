/* test_store_life: opening, closing, crashing, copying: which database may be believed. */
#include "store_fixture.h"

#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void copy_file(const char *from, const char *to) {
    char buf[65536];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_non_null(in);
    assert_non_null(out);
    size_t n;
    while ((n = fread(buf, 1, sizeof buf, in)) > 0)
        assert_int_equal(fwrite(buf, 1, n, out), n);
    assert_int_equal(fclose(in), 0);
    assert_int_equal(fclose(out), 0);
}

static void put_one(struct store *s, uint64_t seq, const char *text) {
    assert_int_equal(store_begin(s, NULL), 0);
    int64_t stream = fixture_stream(s, "a", 1, NULL);
    fixture_put(s, stream, seq, WIRE_FAMILY_CALL, 1, 2, text);
    fixture_commit(s, (int64_t)seq);
}

static int open_url(const char *path, enum store_mode mode, struct store **s, struct err *e) {
    char url[256];
    (void)snprintf(url, sizeof url, "sqlite:%s", path);
    return store_open(url, mode, s, e);
}

static void test_urls(void **state) {
    (void)state;
    struct store *s = NULL;
    struct err e = {""};
    (void)unsetenv("PILOTGATE_STORE");
    assert_int_equal(store_open(NULL, STORE_READ, &s, &e), -EINVAL);
    assert_non_null(strstr(e.text, "PILOTGATE_STORE"));
    assert_int_equal(store_open("postgresql://x", STORE_READ, &s, &e), -EINVAL);
    assert_int_equal(store_open("sqlite:", STORE_READ, &s, &e), -EINVAL);
    assert_int_equal(store_open("sqlite:/nonexistent/x.db", STORE_READ, &s, &e), -ENOENT);
    assert_true(store_open("sqlite:/nonexistent/x.db", STORE_SERVE, &s, &e) < 0);
    assert_null(s);
}

static void test_one_server_and_order(void **state) {
    struct fixture *f = *state;
    struct store *s = fixture_open(f, STORE_SERVE), *t = NULL;
    struct err e = {""};
    char id[40];
    (void)snprintf(id, sizeof id, "%s", store_id(s));
    assert_int_equal(strlen(id), 32);
    assert_true(store_fsync_ns(s) > 0);
    assert_int_equal(store_open(f->url, STORE_SERVE, &t, &e), -EBUSY);
    assert_non_null(strstr(e.text, "another"));
    put_one(s, 1, "x");
    t = fixture_open(f, STORE_READ);
    assert_true(store_live(t));
    assert_string_equal(fixture_read(t, &(struct store_query){0}), "1.1:x ");
    store_close(&t);
    store_close(&s);
    t = fixture_open(f, STORE_READ);
    assert_false(store_live(t));
    assert_string_equal(store_id(t), id);
    assert_string_equal(fixture_read(t, &(struct store_query){0}), "1.1:x ");
    store_close(&t);
    char wal[200];
    (void)snprintf(wal, sizeof wal, "%s-wal", f->path);
    assert_int_not_equal(access(wal, F_OK), 0); /* closed in order: one file */
}

static void test_bare_copies_are_refused(void **state) {
    struct fixture *f = *state;
    struct store *s = fixture_open(f, STORE_SERVE), *t = NULL;
    struct err e = {""};
    char copy[160], wal[180];
    put_one(s, 1, "x");
    (void)snprintf(copy, sizeof copy, "%s/copy.db", f->dir);
    (void)snprintf(wal, sizeof wal, "%s-wal", copy);
    copy_file(f->path, copy);
    for (int i = 0; i < 2; i++) { /* the first look must not make the second one succeed */
        assert_int_equal(open_url(copy, STORE_READ, &t, &e), -EBUSY);
        assert_non_null(strstr(e.text, "pilotgate backup"));
        assert_int_equal(open_url(copy, STORE_CREATE, &t, &e), -EBUSY);
        assert_int_equal(open_url(copy, STORE_SERVE, &t, &e), -EBUSY);
        assert_int_not_equal(access(wal, F_OK), 0);
    }
    store_close(&s);
    (void)unlink(copy);
    copy_file(f->path, copy); /* after an orderly end the one file is all there is */
    assert_int_equal(open_url(copy, STORE_READ, &t, &e), 0);
    assert_string_equal(fixture_read(t, &(struct store_query){0}), "1.1:x ");
    store_close(&t);
}

/* A server in a child commits one record, writes a second and is killed before it commits that. */
static void crash(const struct fixture *f) {
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        struct store *s = NULL;
        if (store_open(f->url, STORE_SERVE, &s, NULL) < 0)
            _exit(1);
        put_one(s, 1, "kept");
        if (store_begin(s, NULL) < 0)
            _exit(1);
        fixture_put(s, 1, 2, WIRE_FAMILY_CALL, 1, 2, "never committed");
        if (write(pipes[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char ready;
    close(pipes[1]);
    assert_int_equal(read(pipes[0], &ready, 1), 1);
    close(pipes[0]);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void test_kill_9_in_a_transaction(void **state) {
    struct fixture *f = *state;
    struct err e = {""};
    struct store *s = NULL;
    crash(f);
    /* readers refuse until a server healed it, and do not spoil it by looking */
    for (int i = 0; i < 2; i++)
        assert_int_equal(store_open(f->url, STORE_READ, &s, &e), -EBUSY);
    s = fixture_open(f, STORE_CREATE); /* `pilot init` before the daemon comes back */
    store_close(&s);
    s = fixture_open(f, STORE_SERVE);
    assert_string_equal(fixture_read(s, &(struct store_query){0}), "1.1:kept ");
    put_one(s, 2, "again");
    uint64_t n = 0;
    assert_int_equal(store_newest_commit(s, &n, NULL, NULL), 0);
    assert_int_equal(n, 2); /* no hole in the numbers */
    store_close(&s);
}

static void test_backup(void **state) {
    struct fixture *f = *state;
    struct store *s = fixture_open(f, STORE_SERVE), *cli = fixture_open(f, STORE_READ), *t = NULL;
    struct err e = {""};
    char copy[160], wal[180];
    (void)snprintf(copy, sizeof copy, "%s/backup.db", f->dir);
    (void)snprintf(wal, sizeof wal, "%s-wal", copy);
    put_one(s, 1, "x");
    assert_int_equal(store_backup(cli, copy, &e), 0);
    assert_int_equal(store_backup(cli, copy, &e), -EEXIST);
    assert_int_not_equal(access(wal, F_OK), 0);
    put_one(s, 2, "y");
    assert_int_equal(open_url(copy, STORE_READ, &t, &e), 0);
    assert_string_equal(fixture_read(t, &(struct store_query){0}), "1.1:x ");
    assert_string_equal(store_id(t), store_id(s));
    store_close(&t);
    assert_int_equal(open_url(copy, STORE_SERVE, &t, &e), 0);
    assert_int_equal(store_restore_epoch(t), store_restore_epoch(s) + 1); /* agents must be told */
    store_close(&t);
    assert_int_equal(open_url(copy, STORE_SERVE, &t, &e), 0);
    assert_int_equal(store_restore_epoch(t), store_restore_epoch(s) + 1); /* once a restore */
    store_close(&t);
    store_close(&cli);
    store_close(&s);
}

static void test_newer_and_foreign_files_are_refused(void **state) {
    struct fixture *f = *state;
    struct err e = {""};
    struct store *s = fixture_open(f, STORE_SERVE);
    store_close(&s);
    fixture_sql(f->path, "PRAGMA user_version = 3");
    assert_int_equal(store_open(f->url, STORE_READ, &s, &e), -ENOTSUP);
    assert_int_equal(store_open(f->url, STORE_SERVE, &s, &e), -ENOTSUP);
    char other[160];
    (void)snprintf(other, sizeof other, "%s/other.db", f->dir);
    fixture_sql(other, "CREATE TABLE t(x)");
    assert_int_equal(open_url(other, STORE_SERVE, &s, &e), -EINVAL);
    FILE *junk = fopen(other, "wb");
    assert_non_null(junk);
    for (int i = 0; i < 5000; i++)
        (void)fputs("junk", junk);
    assert_int_equal(fclose(junk), 0);
    assert_true(open_url(other, STORE_READ, &s, &e) < 0);
    assert_null(s);
}

static void test_documents_before_the_daemon(void **state) {
    struct fixture *f = *state;
    struct store *s = fixture_open(f, STORE_CREATE);
    assert_false(store_live(s));
    json_t *body = json_pack("{s:i}", "v", 1);
    assert_int_equal(store_begin(s, NULL), 0);
    assert_int_equal(store_put_document(s, "pilot", "p", body, NULL), 0);
    assert_int_equal(fixture_commit(s, 5), 1);
    struct store *d = fixture_open(f, STORE_SERVE); /* starts while the CLI is still there */
    store_close(&s);
    put_one(d, 1, "x");
    s = fixture_open(f, STORE_READ); /* a CLI process writes beside it */
    assert_int_equal(store_begin(s, NULL), 0);
    assert_int_equal(store_put_document(s, "mark", "m", body, NULL), 0);
    assert_int_equal(fixture_commit(s, 6), 3);
    put_one(d, 2, "y");
    json_decref(body);
    store_close(&d);
    store_close(&s);
    s = fixture_open(f, STORE_READ);
    uint64_t n = 0;
    assert_int_equal(store_newest_commit(s, &n, NULL, NULL), 0);
    assert_int_equal(n, 4);
    store_close(&s);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        CASE(test_one_server_and_order),
        CASE(test_bare_copies_are_refused),
        CASE(test_kill_9_in_a_transaction),
        CASE(test_backup),
        CASE(test_newer_and_foreign_files_are_refused),
        CASE(test_documents_before_the_daemon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
