/* test_store_migrate: a store that the code of schema 1 made (data/schema-1.sql) becomes one of today; it is
 * backed up first, and is whole whenever the process dies. */
#include "store_fixture.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *beside(const struct fixture *f, const char *suffix) {
    static char path[256];
    (void)snprintf(path, sizeof path, "%s%s", f->path, suffix);
    return path;
}

static void test_readers_refuse_an_older_schema(void **state) {
    struct fixture *f = *state;
    struct store *s = NULL;
    struct err e = {""};
    fixture_load(f, "schema-1.sql");
    assert_int_equal(store_open(f->url, STORE_READ, &s, &e), -ENOTSUP);
    assert_non_null(strstr(e.text, "pilotgate serve"));
    assert_string_equal(fixture_value(f->path, "PRAGMA user_version"), "1");
    assert_int_not_equal(access(beside(f, ".schema-1"), F_OK), 0);
}

/* Everything that a migrated store must say, read from the file. */
static void check_migrated(const struct fixture *f) {
    assert_string_equal(fixture_value(f->path, "PRAGMA user_version"), "2");
    assert_string_equal(fixture_value(f->path, "PRAGMA integrity_check"), "ok");
    assert_string_equal(fixture_value(f->path, "PRAGMA foreign_key_check"), "");
    assert_string_equal(fixture_value(f->path,
                                      "SELECT group_concat(x, ', ') FROM (SELECT stream || '.' || seq || "
                                      "' ' || family || ' ' || (t_from / 1000000000) AS x FROM record "
                                      "ORDER BY stream, seq)"),
                        "1.1 5 1001, 1.2 8 1002, 1.3 3 1020, 1.4 7 1030, 1.5 3 1140, 2.6 6 1170, 3.1 6 1171");
    assert_string_equal(fixture_value(f->path,
                                      "SELECT group_concat(x, ', ') FROM (SELECT id || ' ' || node || ' ' "
                                      "|| twin || ' ' || hwm || ' ' || hwm_n AS x FROM stream ORDER BY id)"),
                        "1 node-1 1 5 3, 2 node-2 0 6 4, 3 node-1 0 1 4");
    assert_string_equal(fixture_value(f->path, "SELECT cause FROM gap"), "1");
    assert_string_equal(fixture_value(f->path, "SELECT records || ' ' || calls FROM tally"), "7 8");
    assert_string_equal(
        fixture_value(f->path,
                      "SELECT group_concat(x, ', ') FROM (SELECT path || '+' || (from_ns / 60000000000) "
                      "|| ' n' || n_first || ' ' || calls || '-' || unsent AS x FROM rollup JOIN series ON "
                      "series.id = series WHERE level = 0 ORDER BY path, from_ns)"),
        "+17 n2 3-0, +18 n2 0-1, +19 n3 3-0, Pod/gateway-1+17 n2 1-0, Pod/gateway-1+18 n2 1-0");
}

/* The tables are those of a new store, whichever way they came to be. */
static void check_same_tables(struct fixture *f) {
    static const char sorted[] =
        "SELECT group_concat(x, '; ') FROM (SELECT m.type || ' ' || m.name || ' ' || c.cid || ' ' || "
        "coalesce(c.name, '') || ' ' || c.type || c.\"notnull\" || c.pk || coalesce(c.dflt_value, '') AS x "
        "FROM sqlite_master m, pragma_table_xinfo(m.name) c UNION ALL SELECT type || ' ' || name FROM "
        "sqlite_master WHERE name NOT LIKE 'sqlite_stat%' ORDER BY 1)";
    char migrated[32768], made[160];
    (void)snprintf(migrated, sizeof migrated, "%s", fixture_value(f->path, sorted));
    (void)snprintf(made, sizeof made, "%s/new.db", f->dir);
    char url[200];
    (void)snprintf(url, sizeof url, "sqlite:%s", made);
    struct store *s = NULL;
    assert_int_equal(store_open(url, STORE_CREATE, &s, NULL), 0);
    store_close(&s);
    assert_string_equal(migrated, fixture_value(made, sorted));
}

static void test_migration_and_backup(void **state) {
    struct fixture *f = *state;
    fixture_load(f, "schema-1.sql");
    struct store *s = fixture_open(f, STORE_SERVE);
    assert_string_equal(store_id(s), "d3742296bf6e3c16729caedcb7ea167a");
    store_close(&s);
    check_migrated(f);
    check_same_tables(f);
    char backup[200];
    (void)snprintf(backup, sizeof backup, "%s", beside(f, ".schema-1"));
    assert_string_equal(fixture_value(backup, "PRAGMA user_version"), "1");
    assert_string_equal(fixture_value(backup, "SELECT value FROM meta WHERE key = 'state'"), "backup");
    assert_string_equal(fixture_value(backup, "SELECT count(*) FROM record"), "7");
    assert_int_not_equal(access(beside(f, ".schema-1.2"), F_OK), 0);
    s = fixture_open(f, STORE_SERVE); /* once is enough */
    store_close(&s);
    assert_int_not_equal(access(beside(f, ".schema-1.2"), F_OK), 0);
}

static void test_pilot_init_migrates_too(void **state) {
    struct fixture *f = *state;
    fixture_load(f, "schema-1.sql");
    struct store *s = fixture_open(f, STORE_CREATE);
    store_close(&s);
    check_migrated(f);
    s = fixture_open(f, STORE_READ);
    store_close(&s);
}

static void test_a_backup_never_overwrites(void **state) {
    struct fixture *f = *state;
    fixture_load(f, "schema-1.sql");
    FILE *other = fopen(beside(f, ".schema-1"), "w");
    assert_non_null(other);
    (void)fputs("somebody's", other);
    assert_int_equal(fclose(other), 0);
    struct store *s = fixture_open(f, STORE_SERVE);
    store_close(&s);
    check_migrated(f);
    char text[32] = "";
    FILE *in = fopen(beside(f, ".schema-1"), "r");
    assert_non_null(in);
    assert_non_null(fgets(text, sizeof text, in));
    assert_int_equal(fclose(in), 0);
    assert_string_equal(text, "somebody's");
    assert_string_equal(fixture_value(beside(f, ".schema-1.2"), "SELECT count(*) FROM record"), "7");
}

static void serve_once(const struct fixture *f) {
    struct store *s = NULL;
    if (store_open(f->url, STORE_SERVE, &s, NULL) < 0)
        _exit(1);
    store_close(&s);
}

/* Killed at every moment, at which some several times: afterwards the file is of one version and whole, and
 * the next start ends in the same store with one backup. */
static void test_kill_9_anywhere(void **state) {
    static const char *const points[] = {
        "store-migrate-begin",     "store-backup-copied",    "store-backup-linked",
        "store-migrate-backed-up", "store-migrate-tables",   "store-migrate-record",
        "store-migrate-record:2",  "store-migrate-rollup:2", "store-migrate-before-commit",
        "store-migrate-committed",
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        fixture_load(f, "schema-1.sql");
        assert_true(fixture_crash(f, points[i], serve_once));
        const char *version = fixture_value(f->path, "PRAGMA user_version");
        assert_true(strcmp(version, "1") == 0 || strcmp(version, "2") == 0);
        assert_string_equal(fixture_value(f->path, "SELECT count(*) FROM record"), "7");
        assert_false(fixture_crash(f, "nowhere", serve_once));
        check_migrated(f);
        assert_int_equal(access(beside(f, ".schema-1"), F_OK), 0);
        assert_int_not_equal(access(beside(f, ".schema-1.2"), F_OK), 0);
        assert_int_not_equal(access(beside(f, ".schema-1.partial"), F_OK), 0);
        (void)unlink(beside(f, ".schema-1"));
        (void)unlink(f->path);
    }
}

static int keep_stream(void *ctx, const struct store_stream_row *row) {
    struct store_stream_row *rows = ctx;
    rows[row->id] = *row;
    return 0;
}

/* One boot under two nodes: both rows are read as they were; the one that got furthest goes on. */
static void test_twins_go_on_as_one(void **state) {
    struct fixture *f = *state;
    fixture_load(f, "schema-1.sql");
    struct store *s = fixture_open(f, STORE_SERVE);
    uint64_t hwm = 0;
    assert_int_equal(store_begin(s, NULL), 0);
    assert_int_equal(fixture_stream(s, "a", 1, &hwm), 2); /* whatever node it comes from */
    assert_int_equal(hwm, 6);
    assert_int_equal(fixture_put(s, 2, 7, WIRE_FAMILY_CALL, 5, 6, "x"), STORE_PUT_NEW);
    assert_int_equal(fixture_commit(s, 2000), 5);
    struct store_stream_row rows[4];
    assert_int_equal(store_streams(s, keep_stream, rows, NULL), 0);
    assert_string_equal(rows[1].node, "node-1");
    assert_int_equal(rows[1].hwm, 5);
    assert_int_equal(rows[1].conflicts, 1);
    assert_string_equal(rows[2].node, "node-2");
    assert_int_equal(rows[2].hwm, 7);
    assert_int_equal(store_streams_at(s, 4, keep_stream, rows, NULL), 0);
    assert_int_equal(rows[2].hwm, 6);
    store_close(&s);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_readers_refuse_an_older_schema),
        CASE(test_migration_and_backup),
        CASE(test_pilot_init_migrates_too),
        CASE(test_a_backup_never_overwrites),
        CASE(test_kill_9_anywhere),
        CASE(test_twins_go_on_as_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
