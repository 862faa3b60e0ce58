/* The spool on a disk and with a memory that fail: whatever failed, the stream is as it was, nothing that was
 * appended is lost, and the spool goes on when the fault is over. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "spool_fixture.h"

/* ---- failing disk */

static int fail_after; /* bytes that the disk still takes, of a write that fails */
static int fail_errno;
static bool fail_truncate;

static ssize_t failing_pwritev(int fd, const struct iovec *iov, int n, off_t offset) {
    if (fail_errno == 0)
        return pwritev(fd, iov, n, offset);
    uint8_t all[512];
    size_t len = 0;
    for (int i = 0; i < n; i++) {
        memcpy(all + len, iov[i].iov_base, iov[i].iov_len);
        len += iov[i].iov_len;
    }
    ssize_t done = pwrite(fd, all, (size_t)fail_after < len ? (size_t)fail_after : len, offset);
    if (fail_errno == ENOSPC && done > 0)
        return (size_t)done < len ? done : done - 1;
    errno = fail_errno;
    return -1;
}

static int fail_fsync_left;

static int failing_fsync(int fd) {
    if (fail_fsync_left > 0) {
        fail_fsync_left--;
        errno = EIO;
        return -1;
    }
    return fsync(fd);
}

static int failing_ftruncate(int fd, off_t size) {
    if (fail_truncate) {
        errno = EIO;
        return -1;
    }
    return ftruncate(fd, size);
}

static struct spool_io failing;

static int make_failing(void **state) {
    failing = spool_io_real;
    failing.pwritev = failing_pwritev;
    failing.fsync = failing_fsync;
    failing.ftruncate = failing_ftruncate;
    return setup(state);
}

/* A write that fails after k bytes leaves the stream as it was, also over a reopening, with a disk that
 * cannot even truncate. */
static void test_failed_writes_leave_no_trace(void **state) {
    for (int k = 0; k < 60; k += 3)
        for (int kind = 0; kind < 4; kind++) {
            struct spool *s = open_boot(*state, 0);
            spool_set_io(s, &failing);
            append_n(s, kind < 2 ? 5 : 0); /* 0: the failure meets the header of the first segment */
            uint64_t before = spool_next_seq(s);
            fail_after = k;
            fail_errno = kind & 1 ? EIO : ENOSPC;
            fail_truncate = k % 2;
            uint64_t seq = 77;
            assert_int_equal(append(s, &seq), -fail_errno);
            assert_int_equal(seq, 77);
            assert_int_equal(spool_next_seq(s), before);
            fail_errno = 0;
            fail_truncate = false;
            append_n(s, 5);
            assert_reads(s, 0, 1, before + 5);
            spool_close(&s);
            s = open_boot(*state, 1);
            assert_reads(s, 0, 1, before + 5);
            spool_close(&s);
            empty_folder(*state);
        }
}

static void test_failed_sync_is_not_forgotten(void **state) {
    struct spool *s = open_boot(*state, 0);
    spool_set_io(s, &failing);
    append_n(s, 3);
    fail_fsync_left = 1;
    assert_int_equal(spool_sync(s), -EIO);
    append_n(s, 3);
    assert_int_equal(spool_sync(s), -EIO); /* fsync works again, but says nothing of the first three */
    while (count_segments(*state) < 2)
        append_n(s, 100);
    assert_int_equal(spool_trim(s, boots[0], spool_next_seq(s) - 1), 0);
    assert_int_equal(spool_sync(s), 0);
    spool_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_failed_writes_leave_no_trace, make_failing, teardown),
        cmocka_unit_test_setup_teardown(test_failed_sync_is_not_forgotten, make_failing, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
