/* Kept segments: what was acknowledged stays readable, gives way when it must, waits again when the store
 * turns out to be another one, and no crash between two steps hides a record that no store has. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/when.h"
#include "spool_fixture.h"

#define SMALL ((int64_t)SPOOL_QUOTA_MIN) /* segments of 8 KiB */

static struct spool *open_small(const char *dir, int boot) {
    return open_quota(dir, SMALL, boot, NULL);
}

/* Three lifetimes of some segments each, all acknowledged by store "one", then a living stream. */
static struct spool *three_settled(const char *dir) {
    struct spool *s = NULL;
    for (int boot = 0; boot < 3; boot++) {
        s = open_small(dir, boot);
        if (boot == 0)
            assert_int_equal(spool_set_store(s, "one", 1), 1);
        append_n(s, 100);
        spool_close(&s);
    }
    s = open_small(dir, 3);
    for (int boot = 0; boot < 3; boot++)
        assert_int_equal(spool_trim(s, boots[boot], 100), 0);
    assert_int_equal(count_segments(dir), 0);
    assert_true(count_files(dir, ".kept") >= 6);
    return s;
}

/* Those that wait, and the living one. */
static size_t streams(struct spool *s) {
    struct spool_stream st[8];
    size_t n = spool_streams(s, st, 8);
    size_t waiting = 1;
    for (size_t i = 0; i + 1 < n; i++)
        waiting += st[i].acked_seq + 1 < st[i].next_seq;
    return waiting;
}

static void test_kept_is_read_and_not_announced(void **state) {
    struct spool *s = three_settled(*state);
    assert_int_equal(streams(s), 1);
    struct spool_stream st[4];
    assert_int_equal(spool_streams(s, st, 4), 2); /* the youngest settled one, to be asked for */
    assert_memory_equal(st[0].boot, boots[2], SPOOL_BOOT_BYTES);
    assert_int_equal(st[0].acked_seq, 100);
    assert_int_equal(st[0].next_seq, 101);
    assert_int_equal(spool_kept_bytes(s), spool_bytes(s));
    for (int boot = 0; boot < 3; boot++)
        assert_reads(s, boot, 1, 101);
    spool_close(&s);
    assert_int_equal(unlink(segment_path(*state, 3, 1)), -1); /* it never appended: no file */
    s = open_small(*state, 3);
    assert_int_equal(streams(s), 1);
    for (int boot = 0; boot < 3; boot++)
        assert_reads(s, boot, 1, 101);
    spool_close(&s);
}

static void test_kept_gives_way_oldest_first(void **state) {
    struct spool *s = three_settled(*state);
    int64_t before = spool_kept_bytes(s);
    uint64_t seq = 0;
    int r = 0;
    bool first_went = false;
    while ((r = append(s, &seq)) == 0) {
        assert_true(spool_bytes(s) <= SMALL);
        uint64_t from = 1;
        bool second = spool_read(s, boots[1], 1, 1, 1, check_record, &from) == 1;
        from = 1;
        bool first = spool_read(s, boots[0], 1, 1, 1, check_record, &from) == 1;
        assert_false(first && !second);
        first_went |= !first && second;
    }
    assert_true(first_went);
    assert_int_equal(r, -ENOSPC);
    assert_true(before > 0 && spool_kept_bytes(s) == 0); /* none of it made an append fail */
    assert_reads(s, 3, 1, seq + 1);
    spool_close(&s);
}

static void test_what_cannot_fit_costs_nothing(void **state) {
    struct spool *s = three_settled(*state);
    int64_t kept = spool_kept_bytes(s);
    static char big[SPOOL_QUOTA_MIN];
    uint64_t seq;
    assert_int_equal(spool_append(s, big, sizeof big, &seq), -ENOSPC);
    assert_int_equal(spool_kept_bytes(s), kept);
    spool_close(&s);
}

static void date(const char *dir, int boot, uint64_t first, int64_t wall_ns) {
    char path[300];
    char name[SEGMENT_NAME_MAX];
    segment_name(boots[boot], first, true, name);
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    struct timespec t[2] = {{.tv_sec = wall_ns / WHEN_S}, {.tv_sec = wall_ns / WHEN_S}};
    assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

static void test_grace(void **state) {
    struct spool *s = three_settled(*state);
    int64_t now = when_wall_ns();
    assert_int_equal(spool_expire(s, now - 3600 * WHEN_S), 0);
    assert_reads(s, 0, 1, 101); /* younger than the grace */
    spool_close(&s);
    date(*state, 0, 1, now - 7200 * WHEN_S);
    date(*state, 1, 1, now + 7200 * WHEN_S); /* from the future: stays, and what follows it */
    s = open_small(*state, 3);
    assert_int_equal(spool_expire(s, now - 3600 * WHEN_S), 0);
    uint64_t held = 0;
    assert_int_equal(spool_next_held(s, boots[0], 1, &held), 0);
    assert_true(held > 1 && held < 101);
    assert_int_equal(spool_expire(s, now + 3600 * WHEN_S), 0);
    assert_int_equal(spool_next_held(s, boots[0], 1, &held), -ENOENT); /* all of it went, the stream too */
    assert_reads(s, 1, 1, 101);
    spool_close(&s);
}

static void assert_store(struct spool *s, const char *id, uint64_t epoch) {
    char is[SPOOL_STORE_MAX];
    uint64_t e = 77;
    spool_store(s, is, &e);
    assert_string_equal(is, id);
    assert_int_equal(e, epoch);
}

static void test_another_store_unsettles(void **state) {
    struct spool *s = three_settled(*state);
    assert_int_equal(spool_set_store(s, "one", 1), 0);
    assert_int_equal(streams(s), 1);
    assert_int_equal(spool_set_store(s, "one", 2), 1); /* restored from a backup */
    assert_int_equal(streams(s), 4);
    assert_int_equal(spool_kept_bytes(s), 0);
    struct spool_stream st[4];
    assert_int_equal(spool_streams(s, st, 4), 4);
    assert_int_equal(st[0].acked_seq, 0);
    assert_int_equal(st[0].first_seq, 1);
    assert_int_equal(spool_trim(s, boots[0], 100), 0);
    assert_int_equal(streams(s), 3);
    spool_close(&s);
    s = open_small(*state, 3);
    assert_store(s, "one", 2);
    assert_int_equal(streams(s), 3); /* what "one" 2 acknowledged stays so */
    assert_int_equal(spool_set_store(s, "two", 2), 1);
    assert_int_equal(streams(s), 4);
    assert_int_equal(spool_set_store(s, "one", 2), 1); /* it flips back: nothing is taken for granted */
    assert_int_equal(streams(s), 4);
    spool_close(&s);
}

static void test_unsettle_keeps_the_name(void **state) {
    struct spool *s = three_settled(*state);
    assert_int_equal(spool_unsettle(s), 0);
    assert_int_equal(streams(s), 4);
    assert_store(s, "one", 1);
    spool_close(&s);
    s = open_small(*state, 3);
    assert_store(s, "one", 1);
    assert_int_equal(streams(s), 4);
    spool_close(&s);
}

static void test_unknown_store_is_none(void **state) {
    char path[300];
    for (int kind = 0; kind < 4; kind++) {
        struct spool *s = three_settled(*state);
        spool_close(&s);
        (void)snprintf(path, sizeof path, "%s/store", (char *)*state);
        if (kind == 0)
            assert_int_equal(unlink(path), 0);
        else if (kind == 1)
            assert_int_equal(truncate(path, 40), 0);
        else
            flip(path, kind == 2 ? 30 : 95);
        s = open_small(*state, 3);
        assert_store(s, "", 0);
        assert_int_equal(spool_set_store(s, "one", 1), 1);
        assert_int_equal(streams(s), 4);
        spool_close(&s);
        empty_folder(*state);
    }
}

static void test_doubles_and_holes(void **state) {
    struct spool *s = three_settled(*state);
    spool_close(&s);
    char kept[300];
    char name[SEGMENT_NAME_MAX];
    segment_name(boots[1], 1, true, name);
    (void)snprintf(kept, sizeof kept, "%s/%s", (char *)*state, name);
    assert_int_equal(link(kept, segment_path(*state, 1, 1)), 0); /* waits and is kept: it waits */
    s = open_small(*state, 3);
    struct spool_stream st[4];
    assert_int_equal(spool_streams(s, st, 4), 3);
    assert_memory_equal(st[0].boot, boots[1], SPOOL_BOOT_BYTES);
    assert_int_equal(st[0].acked_seq, 0); /* what follows is kept, but nobody vouches for what is before it */
    assert_reads(s, 1, 1, 101);
    assert_int_equal(spool_expire(s, INT64_MAX), 0); /* takes nothing from behind what waits */
    assert_reads(s, 1, 1, 101);
    assert_int_equal(spool_trim(s, boots[1], 100), 0);
    assert_int_equal(streams(s), 1);
    spool_close(&s);
}

static void test_files_that_vanish(void **state) {
    struct spool *s = three_settled(*state);
    char path[300];
    char name[SEGMENT_NAME_MAX];
    segment_name(boots[1], 1, true, name);
    (void)snprintf(path, sizeof path, "%s/%s", (char *)*state, name);
    assert_int_equal(unlink(path), 0); /* by a foreign hand */
    assert_int_equal(spool_set_store(s, "two", 1), 1);
    struct spool_stream st[4];
    assert_int_equal(spool_streams(s, st, 4), 4);
    assert_true(st[1].first_seq > 1);
    assert_reads(s, 1, st[1].first_seq, 101);
    assert_int_equal(spool_bytes(s) > 0, 1);
    for (int boot = 0; boot < 3; boot++)
        assert_int_equal(spool_trim(s, boots[boot], 100), 0);
    assert_int_equal(spool_expire(s, INT64_MAX), 0);
    assert_int_equal(spool_bytes(s), 0);
    spool_close(&s);
}

static int no_fsync(int fd) {
    (void)fd;
    return 0;
}

/* Short lifetimes make many small files: their number is bounded as well. */
static void test_number_of_kept_is_bounded(void **state) {
    struct spool *s = open_quota(*state, 64 << 20, 0, NULL);
    struct spool_io io = spool_io_real;
    io.fsync = no_fsync; /* thousands of them are the disk's time, not ours */
    spool_set_io(s, &io);
    s->segment_limit = 1; /* a segment for each record */
    for (int i = 0; i < KEPT_MAX + 50; i++) {
        append_n(s, 1);
        assert_int_equal(spool_trim(s, boots[0], spool_next_seq(s) - 1), 0);
    }
    assert_int_equal(count_files(*state, ".kept"), KEPT_MAX);
    spool_close(&s);
}

/* ---- crashes between two steps */

/* Runs act on the folder in a process that ends itself at the n-th passing of the crash point; true when it
 * did. */
static bool crashes(const char *dir, const char *point, int n, void (*act)(struct spool *s)) {
    pid_t pid = fork();
    if (pid == 0) {
        char at[64];
        (void)snprintf(at, sizeof at, "%s:%d", point, n);
        struct spool *s = open_small(dir, 3);
        (void)setenv("PILOTGATE_CRASH_AT", at, 1);
        act(s);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void to_store_two(struct spool *s) {
    (void)!spool_set_store(s, "two", 7);
}

static void same_store_again(struct spool *s) {
    (void)!spool_unsettle(s);
}

/* Whatever was done until then: with the next Welcome of the store all records are announced. */
static void assert_all_announced(const char *dir, const char *id, uint64_t epoch) {
    struct spool *s = open_small(dir, 3);
    int r = spool_set_store(s, id, epoch);
    assert_true(r >= 0);
    assert_int_equal(streams(s), 4);
    for (int boot = 0; boot < 3; boot++)
        assert_reads(s, boot, 1, 101);
    spool_close(&s);
}

static void test_crash_at_each_step(void **state) {
#ifndef PILOTGATE_CRASH_POINTS
    (void)state;
    skip();
#else
    static const char *const points[] = {"spool-store-forgotten", "spool-unsettled-one", "spool-unsettled",
                                         "spool-note-aside", "spool-store-named"};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        for (int again = 0; again < 2; again++)
            for (int n = 1; n <= 3; n++) {
                struct spool *s = three_settled(*state);
                spool_close(&s);
                bool crashed = crashes(*state, points[i], n, again ? same_store_again : to_store_two);
                assert_true(crashed || (n > 1 && i != 1));
                assert_all_announced(*state, again ? "one" : "two", again ? 1 : 7);
                empty_folder(*state);
            }
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kept_is_read_and_not_announced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kept_gives_way_oldest_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_cannot_fit_costs_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_grace, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_store_unsettles, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unsettle_keeps_the_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_store_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_doubles_and_holes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files_that_vanish, setup, teardown),
        cmocka_unit_test_setup_teardown(test_number_of_kept_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crash_at_each_step, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
