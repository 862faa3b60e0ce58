/* The spool against its promise: what was appended is read back after any kind of end, damage is found and
 * confined, failed writes leave no trace. */
#include <dirent.h>
#include <endian.h>
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
#include <zlib.h>

#include <cmocka.h>

#include "spool_fixture.h"

/* ---- tests */

static void test_append_read(void **state) {
    struct spool *s = open_boot(*state, 0);
    assert_int_equal(spool_next_seq(s), 1);
    append_n(s, 500);
    assert_reads(s, 0, 1, 501);
    assert_reads(s, 0, 250, 501);
    assert_int_equal(spool_sync(s), 0);
    struct spool_stream st[2];
    assert_int_equal(spool_streams(s, st, 2), 1);
    assert_int_equal(st[0].first_seq, 1);
    assert_int_equal(st[0].next_seq, 501);
    spool_close(&s);
    assert_null(s);
    spool_close(&s);
}

static void test_reopen_keeps_streams_in_order(void **state) {
    for (int i = 2; i >= 0; i--) { /* boots descending: order must not come from their bytes */
        struct spool *s = open_boot(*state, i);
        append_n(s, 10);
        spool_close(&s);
    }
    struct spool *s = open_boot(*state, 3);
    struct spool_stream st[8];
    assert_int_equal(spool_streams(s, st, 8), 4);
    for (int i = 0; i < 3; i++) {
        assert_memory_equal(st[i].boot, boots[2 - i], SPOOL_BOOT_BYTES);
        assert_reads(s, 2 - i, 1, 11);
    }
    assert_memory_equal(st[3].boot, boots[3], SPOOL_BOOT_BYTES);
    assert_int_equal(st[3].first_seq, st[3].next_seq);
    assert_int_equal(spool_streams(s, st, 2), 2); /* the living one always comes last */
    assert_memory_equal(st[0].boot, boots[2], SPOOL_BOOT_BYTES);
    assert_memory_equal(st[1].boot, boots[3], SPOOL_BOOT_BYTES);
    spool_close(&s);
    struct err e;
    uint64_t torn;
    assert_int_equal(spool_open(*state, QUOTA, boots[1], &s, &torn, &e), -EEXIST); /* a boot is used once */
}

static void test_kill_keeps_what_was_appended(void **state) {
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct spool *s = open_boot(*state, 0);
        append_n(s, 300);
        (void)!write(pipes[1], "x", 1);
        for (;;)
            (void)pause();
    }
    char c;
    assert_int_equal(read(pipes[0], &c, 1), 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    uint64_t torn = 1;
    struct spool *s = open_quota(*state, QUOTA, 1, &torn);
    assert_int_equal(torn, 0);
    assert_reads(s, 0, 1, 301);
    spool_close(&s);
    (void)close(pipes[0]);
    (void)close(pipes[1]);
}

static void test_lock(void **state) {
    struct spool *s = open_boot(*state, 0);
    struct spool *t = NULL;
    struct err e;
    uint64_t torn;
    assert_int_equal(spool_open(*state, QUOTA, boots[1], &t, &torn, &e), -EBUSY);
    assert_non_null(strstr(e.text, "another agent"));
    assert_null(t);
    spool_close(&s);
    t = open_boot(*state, 1);
    spool_close(&t);
}

/* Cut at each byte of the last two records, and of the header. */
static void test_torn_at_each_byte(void **state) {
    struct spool *s = open_boot(*state, 0);
    append_n(s, 4);
    spool_close(&s);
    const char *path = segment_path(*state, 0, 1);
    off_t size = file_size(path);
    char *whole = malloc((size_t)size);
    int fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, whole, (size_t)size), size);
    (void)close(fd);
    off_t ends[5] = {SEGMENT_HEADER_BYTES};
    uint8_t data[256];
    for (uint64_t i = 1; i <= 4; i++)
        ends[i] = ends[i - 1] + SEGMENT_RECORD_BYTES + (off_t)content(i, data);
    assert_int_equal(ends[4], size);
    for (off_t cut = 0; cut <= size; cut++) {
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(write(fd, whole, (size_t)cut), cut);
        (void)close(fd);
        uint64_t held = 0;
        while (held < 4 && ends[held + 1] <= cut)
            held++;
        uint64_t torn;
        s = open_quota(*state, QUOTA, 1, &torn);
        assert_int_equal(torn, cut < ends[0] ? cut : cut - ends[held]);
        struct spool_stream st[2];
        assert_int_equal(spool_streams(s, st, 2), held ? 2 : 1);
        if (held)
            assert_reads(s, 0, 1, held + 1);
        assert_int_equal(spool_bytes(s), held ? ends[held] : 0);
        spool_close(&s);
    }
    free(whole);
}

static void test_tail_of_zeros_or_noise(void **state) {
    for (int noise = 0; noise < 2; noise++) {
        struct spool *s = open_boot(*state, 0);
        append_n(s, 20);
        spool_close(&s);
        int fd = open(segment_path(*state, 0, 1), O_WRONLY | O_APPEND);
        uint8_t junk[40000];
        for (size_t i = 0; i < sizeof junk; i++)
            junk[i] = noise ? (uint8_t)(i * 2654435761u >> 13) : 0;
        assert_int_equal(write(fd, junk, sizeof junk), sizeof junk);
        (void)close(fd);
        uint64_t torn;
        s = open_quota(*state, QUOTA, 1, &torn);
        assert_int_equal(torn, sizeof junk);
        assert_reads(s, 0, 1, 21);
        spool_close(&s);
        empty_folder(*state);
    }
}

/* Each byte of the third record of six, once: exactly that record is gone, and said to be. */
static void test_damage_in_the_middle(void **state) {
    struct spool *s = open_boot(*state, 0);
    append_n(s, 6);
    spool_close(&s);
    const char *path = segment_path(*state, 0, 1);
    uint8_t data[256];
    off_t from = SEGMENT_HEADER_BYTES;
    for (uint64_t i = 1; i < 3; i++)
        from += SEGMENT_RECORD_BYTES + (off_t)content(i, data);
    off_t to = from + SEGMENT_RECORD_BYTES + (off_t)content(3, data);
    for (off_t at = from; at < to; at++) {
        flip(path, at);
        uint64_t torn;
        s = open_quota(*state, QUOTA, 1, &torn);
        assert_int_equal(torn, 0);
        uint64_t next = 1;
        assert_int_equal(spool_read(s, boots[0], 1, 100, 100000, check_record, &next), 2);
        assert_int_equal(spool_read(s, boots[0], 3, 100, 100000, check_record, &next), -EBADMSG);
        assert_int_equal(spool_next_held(s, boots[0], 3, &next), 0);
        assert_int_equal(next, 4);
        assert_reads(s, 0, 4, 7);
        spool_close(&s);
        flip(path, at);
    }
}

static void test_damaged_header(void **state) {
    struct spool *s = open_boot(*state, 0);
    append_n(s, 6);
    spool_close(&s);
    flip(segment_path(*state, 0, 1), 30);
    s = open_boot(*state, 1);
    assert_reads(s, 0, 1, 7);
    spool_close(&s);
}

static void test_foreign_files_and_versions(void **state) {
    char path[256];
    (void)snprintf(path, sizeof path, "%s/not-a-segment.seg", (char *)*state);
    (void)close(open(path, O_CREAT | O_WRONLY, 0600));
    struct spool *s = open_boot(*state, 0);
    append_n(s, 1);
    spool_close(&s);
    assert_int_equal(access(path, F_OK), 0);
    struct segment_header h = {.first_seq = 1};
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    segment_header_encode(&h, bytes);
    bytes[8] = SEGMENT_VERSION + 1;
    uint32_t crc = htole32((uint32_t)crc32(0, bytes, 44));
    memcpy(bytes + 44, &crc, sizeof crc);
    int fd = open(segment_path(*state, 0, 1), O_WRONLY);
    assert_int_equal(pwrite(fd, bytes, sizeof bytes, 0), sizeof bytes);
    (void)close(fd);
    struct err e;
    uint64_t torn;
    assert_int_equal(spool_open(*state, QUOTA, boots[1], &s, &torn, &e), -EPROTO);
    assert_non_null(strstr(e.text, "another version"));
    assert_int_equal(count_segments(*state), 2); /* nothing was thrown away */
}

static void test_quota_and_trim(void **state) {
    struct spool *s = open_quota(*state, SPOOL_QUOTA_MIN, 0, NULL);
    uint64_t seq = 0;
    int r = 0;
    while ((r = append(s, &seq)) == 0)
        assert_true(spool_bytes(s) <= SPOOL_QUOTA_MIN);
    assert_int_equal(r, -ENOSPC);
    assert_int_equal(spool_next_seq(s), seq + 1);
    assert_true(spool_bytes(s) > SPOOL_QUOTA_MIN - 300);
    size_t segments = count_segments(*state);
    assert_true(segments >= 8);
    assert_reads(s, 0, 1, seq + 1);
    assert_int_equal(spool_trim(s, boots[0], seq / 2), 0);
    assert_true(count_segments(*state) < segments);
    struct spool_stream st[1];
    assert_int_equal(spool_streams(s, st, 1), 1);
    assert_int_equal(st[0].first_seq, 1); /* kept */
    assert_int_equal(st[0].acked_seq, seq / 2);
    assert_reads(s, 0, 1, seq + 1);
    append_n(s, 50); /* there is room again: what is kept gives way, the oldest first */
    assert_int_equal(spool_streams(s, st, 1), 1);
    uint64_t held = 0;
    assert_int_equal(spool_read(s, boots[0], 1, 1, 1, check_record, &held), -EBADMSG);
    assert_int_equal(spool_next_held(s, boots[0], 1, &held), 0);
    assert_int_equal(held, st[0].first_seq);
    assert_int_equal(spool_trim(s, boots[0], seq + 50), 0);
    assert_int_equal(count_segments(*state), 1); /* the growing one stays */
    append_n(s, 10);
    spool_close(&s);
    s = open_boot(*state, 1);
    assert_int_equal(spool_trim(s, boots[0], seq + 59), 0);
    assert_reads(s, 0, seq + 60, seq + 61);
    assert_int_equal(spool_trim(s, boots[0], seq + 60), 0); /* dead and acknowledged: settled */
    assert_int_equal(spool_streams(s, st, 1), 1);
    assert_memory_equal(st[0].boot, boots[1], SPOOL_BOOT_BYTES);
    assert_int_equal(count_segments(*state), 0);
    assert_int_equal(spool_bytes(s), spool_kept_bytes(s));
    assert_int_equal(spool_expire(s, INT64_MAX), 0);
    assert_int_equal(count_files(*state, ".kept"), 0);
    assert_int_equal(spool_bytes(s), 0);
    spool_close(&s);
}

static char *in_folder(const char *dir, const char *name) {
    static char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static int claim(const char *dir, int boot, const char *stage, char *other) {
    struct spool *s = open_boot(dir, boot);
    int r = spool_claim(s, stage, other);
    spool_close(&s);
    return r;
}

static int claim_readonly(const char *dir, const char *stage, char *other) {
    struct spool *s = NULL;
    assert_int_equal(spool_open_readonly(dir, &s, NULL), 0);
    int r = spool_claim(s, stage, other);
    spool_close(&s);
    return r;
}

static void test_stage(void **state) {
    char other[SPOOL_STAGE_MAX] = "";
    char longest[SPOOL_STAGE_MAX + 1];
    struct spool *s = NULL;
    memset(longest, 'x', sizeof longest);
    longest[SPOOL_STAGE_MAX] = 0;
    assert_int_equal(claim(*state, 0, longest, other), -EMSGSIZE);
    assert_int_equal(claim(*state, 0, "east/one", other), 0);
    assert_int_equal(claim(*state, 0, "east/two", other), 0); /* nothing is in it */
    s = open_boot(*state, 0);
    append_n(s, 3);
    spool_close(&s);
    assert_int_equal(claim(*state, 1, "east/one", other), -EXDEV);
    assert_string_equal(other, "east/two");
    assert_int_equal(claim_readonly(*state, "east/one", other), -EXDEV);
    assert_int_equal(claim_readonly(*state, "east/two", other), 0);
    s = open_boot(*state, 1);
    assert_int_equal(spool_claim(s, "east/two", other), 0);
    append_n(s, 1);
    assert_int_equal(spool_trim(s, boots[0], 3), 0);
    spool_close(&s);
    s = open_boot(*state, 2);
    assert_int_equal(spool_trim(s, boots[1], 1), 0);
    spool_close(&s);
    assert_int_equal(count_segments(*state), 0);
    assert_int_equal(claim(*state, 2, "east/one", other), -EXDEV); /* kept ones are records, too */
    flip(in_folder(*state, "stage"), 20);
    assert_int_equal(claim_readonly(*state, "east/one", other), 0);
    assert_int_equal(claim_readonly(*state, "east/two", other), 0); /* and nothing was noted */
    assert_int_equal(claim(*state, 2, "east/two", other), 0);
    assert_int_equal(claim(*state, 2, "east/one", other), -EXDEV);
    assert_int_equal(truncate(in_folder(*state, "stage"), 100), 0);
    assert_int_equal(claim(*state, 2, "east/one", other), 0);
}

/* The note waits for room: what is appended meanwhile has it as soon as a sync can write it. */
static void test_stage_when_there_is_room(void **state) {
    char other[SPOOL_STAGE_MAX] = "";
    struct spool *s = open_boot(*state, 0);
    assert_int_equal(mkdir(in_folder(*state, "stage.new"), 0700), 0); /* nothing can be written there */
    assert_int_equal(spool_claim(s, "east/one", other), 0);
    append_n(s, 1);
    assert_int_equal(spool_sync(s), 0);
    assert_int_equal(access(in_folder(*state, "stage"), F_OK), -1);
    assert_int_equal(rmdir(in_folder(*state, "stage.new")), 0);
    assert_int_equal(spool_sync(s), 0);
    spool_close(&s);
    assert_int_equal(claim(*state, 1, "east/two", other), -EXDEV);
    assert_string_equal(other, "east/one");
}

static void test_limits(void **state) {
    struct err e;
    uint64_t torn;
    struct spool *s = NULL;
    assert_int_equal(spool_open(*state, 1000, boots[0], &s, &torn, &e), -EINVAL);
    assert_int_equal(spool_open("/proc/nothing/here", QUOTA, boots[0], &s, &torn, &e), -ENOENT);
    s = open_quota(*state, 4 << 20, 0, NULL);
    char *big = calloc(1, SPOOL_RECORD_MAX + 1);
    uint64_t seq;
    assert_int_equal(spool_append(s, big, SPOOL_RECORD_MAX + 1, &seq), -EMSGSIZE);
    assert_int_equal(spool_append(s, big, 0, &seq), -EMSGSIZE);
    assert_int_equal(spool_append(s, big, SPOOL_RECORD_MAX, &seq), 0);
    assert_int_equal(seq, 1);
    free(big);
    assert_int_equal(spool_read(s, boots[2], 1, 1, 1, check_record, &seq), -ENOENT);
    spool_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_append_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reopen_keeps_streams_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kill_keeps_what_was_appended, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
        cmocka_unit_test_setup_teardown(test_torn_at_each_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tail_of_zeros_or_noise, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_in_the_middle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_header, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign_files_and_versions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quota_and_trim, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stage_when_there_is_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
