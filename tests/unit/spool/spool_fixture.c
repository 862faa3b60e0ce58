/* spool_fixture: see spool_fixture.h. */
#include "spool_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

const uint8_t boots[4][SPOOL_BOOT_BYTES] = {{1}, {2}, {3}, {4}};

int setup(void **state) {
    char *dir = strdup("/tmp/pilotgate-spool-XXXXXX");
    *state = dir;
    return dir && mkdtemp(dir) ? 0 : -1;
}

void empty_folder(const char *dir) {
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            assert_int_equal(unlinkat(dirfd(d), e->d_name, 0), 0);
    (void)closedir(d);
}

int teardown(void **state) {
    empty_folder(*state);
    (void)rmdir(*state);
    free(*state);
    return 0;
}

struct spool *open_quota(const char *dir, int64_t quota, int boot, uint64_t *torn) {
    struct spool *s = NULL;
    struct err e = {0};
    uint64_t t = 0;
    int r = spool_open(dir, quota, boots[boot], &s, &t, &e);
    if (r < 0)
        fail_msg("%s", e.text);
    if (torn)
        *torn = t;
    return s;
}

struct spool *open_boot(const char *dir, int boot) {
    return open_quota(dir, QUOTA, boot, NULL);
}

/* The content of record seq: its number, then a pattern of a length that follows from it. */
size_t content(uint64_t seq, uint8_t *out) {
    size_t len = 9 + seq * 37 % 200;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(seq * 31 + i * 7);
    memcpy(out, &seq, sizeof seq);
    return len;
}

int append(struct spool *s, uint64_t *seq) {
    uint8_t data[256];
    return spool_append(s, data, content(spool_next_seq(s), data), seq);
}

void append_n(struct spool *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint64_t want = spool_next_seq(s);
        uint64_t seq = 0;
        assert_int_equal(append(s, &seq), 0);
        assert_int_equal(seq, want);
    }
}

int check_record(void *ctx, uint64_t seq, const uint8_t *data, size_t len) {
    uint64_t *next = ctx;
    uint8_t want[256];
    assert_int_equal(seq, *next);
    assert_int_equal(len, content(seq, want));
    assert_memory_equal(data, want, len);
    (*next)++;
    return 0;
}

/* Reads from..end in batches and asserts that nothing is missing or different. */
void assert_reads(struct spool *s, int boot, uint64_t from, uint64_t end) {
    uint64_t next = from;
    while (next < end) {
        int n = spool_read(s, boots[boot], next, 7, 1000, check_record, &next);
        assert_true(n > 0 && n <= 7);
    }
    assert_int_equal(next, end);
    assert_int_equal(spool_read(s, boots[boot], next, 7, 1000, check_record, &next), 0);
}

char *segment_path(const char *dir, int boot, uint64_t first) {
    static char path[256];
    char name[SEGMENT_NAME_MAX];
    segment_name(boots[boot], first, false, name);
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

off_t file_size(const char *path) {
    struct stat sb;
    assert_int_equal(stat(path, &sb), 0);
    return sb.st_size;
}

size_t count_files(const char *dir, const char *suffix) {
    size_t n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));)
        n += strstr(e->d_name, suffix) != NULL;
    (void)closedir(d);
    return n;
}

void flip(const char *path, off_t at) {
    int fd = open(path, O_RDWR);
    uint8_t b;
    assert_int_equal(pread(fd, &b, 1, at), 1);
    b ^= 0x40;
    assert_int_equal(pwrite(fd, &b, 1, at), 1);
    (void)close(fd);
}

size_t count_segments(const char *dir) {
    return count_files(dir, ".seg");
}
