/* The spool on a disk and with a memory that fail: whatever failed, the stream is as it was, nothing that was
 * appended is lost, and the spool goes on when the fault is over. The disk's faults are put in at the spool's
 * own seam (struct spool_io), since no real disk fails at a chosen call; memory's by the linker (--wrap). */
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

/* ---- every call once, on the whole way of three lifetimes */

enum fault_kind { FAULT_EIO, FAULT_ENOSPC, FAULT_SHORT, FAULT_FOR_GOOD, FAULT_MEMORY, FAULT_KINDS };

static int calls, fail_call; /* the call that fails; 0: none does */
static enum fault_kind fault_kind;

static bool fault(bool memory) {
    if (fail_call == 0 || memory != (fault_kind == FAULT_MEMORY))
        return false;
    calls++;
    errno = memory ? ENOMEM : fault_kind == FAULT_ENOSPC ? ENOSPC : EIO;
    return fault_kind == FAULT_FOR_GOOD ? calls >= fail_call : calls == fail_call;
}

static int faulty_open(int dir, const char *name, int flags) {
    return fault(false) ? -1 : spool_io_real.open(dir, name, flags);
}

static ssize_t faulty_pwritev(int fd, const struct iovec *iov, int n, off_t offset) {
    if (!fault(false))
        return pwritev(fd, iov, n, offset);
    int error = errno;
    ssize_t done = pwrite(fd, iov->iov_base, iov->iov_len / 2, offset); /* half of it is there all the same */
    errno = error;
    return fault_kind == FAULT_SHORT ? done : -1;
}

/* No power cut is tried here: a real one would only take the test's time. */
static int faulty_fsync(int fd) {
    (void)fd;
    return fault(false) ? -1 : 0;
}

static int faulty_ftruncate(int fd, off_t size) {
    return fault(false) ? -1 : ftruncate(fd, size);
}

static int faulty_rename(int dir, const char *from, int to_dir, const char *to) {
    return fault(false) ? -1 : renameat(dir, from, to_dir, to);
}

static int faulty_unlink(int dir, const char *name, int flags) {
    return fault(false) ? -1 : unlinkat(dir, name, flags);
}

static const struct spool_io faulty = {.open = faulty_open,
                                       .pwritev = faulty_pwritev,
                                       .fsync = faulty_fsync,
                                       .ftruncate = faulty_ftruncate,
                                       .rename = faulty_rename,
                                       .unlink = faulty_unlink};

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n) {
    return fault(true) ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size) {
    return fault(true) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n) {
    return fault(true) ? NULL : __real_realloc(p, n);
}

/* What must be true of the folder, whatever failed. */
struct model {
    uint64_t appended[3]; /* last seq whose append returned 0 */
    uint64_t acked[3];    /* by the store that the spool was told last */
    uint64_t kept[3];     /* by any: the most that may be kept */
    uint64_t gone[3];     /* of these, when their grace was over */
};

static void append_some(struct spool *s, struct model *m, int life) {
    s->segment_limit = 700;
    for (int i = 0; i < 12; i++) {
        uint64_t want = spool_next_seq(s);
        uint64_t seq = 0;
        int r = append(s, &seq);
        assert_int_equal(spool_next_seq(s), r == 0 ? want + 1 : want);
        if (r == 0)
            m->appended[life] = seq;
    }
    (void)!spool_sync(s);
}

static void trim_to(struct spool *s, struct model *m, int life, uint64_t acked) {
    (void)!spool_trim(s, boots[life], acked);
    if (acked > m->acked[life])
        m->acked[life] = acked;
    if (acked > m->kept[life])
        m->kept[life] = acked;
}

static void forget_acks(struct model *m) {
    memset(m->acked, 0, sizeof m->acked);
}

/* As the uplink does: nothing is trimmed before the store is settled. */
static bool settle(struct spool *s, struct model *m, const char *store) {
    int r = spool_set_store(s, store, 1);
    if (r != 0)
        forget_acks(m);
    return r >= 0;
}

static void live(struct spool *s, struct model *m, int life) {
    uint64_t next = 1;
    bool settled = settle(s, m, life < 2 ? "one" : "two");
    append_some(s, m, life);
    for (int old = 0; old < life && settled; old++)
        trim_to(s, m, old, m->appended[old]);
    if (settled)
        trim_to(s, m, life, m->appended[life] / 2);
    if (life > 0) {
        (void)!spool_read(s, boots[life - 1], 1, 5, 1000, check_record, &next);
        (void)!spool_next_held(s, boots[life - 1], 1, &next);
    }
    if (life == 1) {
        memcpy(m->gone, m->kept, sizeof m->gone);
        (void)!spool_expire(s, INT64_MAX);
    } else if (life == 2) {
        if (spool_unsettle(s) == 0) /* else the next Welcome asks for it again */
            forget_acks(m);
    }
    append_some(s, m, life);
}

static void three_lives(const char *dir, struct model *m) {
    for (int life = 0; life < 3; life++) {
        struct spool *s = NULL;
        struct err e;
        uint64_t torn;
        int r = spool_open_io(dir, QUOTA, boots[life], &faulty, &s, &torn, &e);
        if (r < 0) /* it says why; the next try may do better */
            r = spool_open_io(dir, QUOTA, boots[life], &faulty, &s, &torn, &e);
        if (r < 0)
            continue;
        live(s, m, life);
        spool_close(&s);
    }
}

static bool announced(struct spool *s, int life, uint64_t *first) {
    struct spool_stream st[4];
    size_t n = spool_streams(s, st, 4);
    for (size_t i = 0; i < n; i++)
        if (memcmp(st[i].boot, boots[life], SPOOL_BOOT_BYTES) == 0) {
            *first = st[i].first_seq;
            return true;
        }
    return false;
}

static void verify(const char *dir, const struct model *m) {
    struct spool *s = open_boot(dir, 3);
    spool_set_io(s, &faulty);
    for (int again = 0; again < 2; again++) { /* now, and for a store that has nothing */
        for (int life = 0; life < 3; life++) {
            uint64_t have = again || m->gone[life] > m->acked[life] ? m->gone[life] : m->acked[life];
            uint64_t first = 0;
            if (m->appended[life] <= have)
                continue;
            assert_true(announced(s, life, &first));
            assert_true(first <= have + 1);
            assert_reads(s, life, have + 1, m->appended[life] + 1);
        }
        assert_true(spool_set_store(s, "final", 9) >= 0);
    }
    spool_close(&s);
}

static void each_call_fails(const char *dir, enum fault_kind kind) {
    fault_kind = kind;
    for (int k = 1;; k++) {
        struct model m = {0};
        calls = 0;
        fail_call = k;
        three_lives(dir, &m);
        fail_call = 0;
        verify(dir, &m);
        empty_folder(dir);
        if (calls < k) {
            assert_true(k > 10);
            assert_true(m.appended[2] == 24);
            return;
        }
    }
}

static void test_each_call_fails_once(void **state) {
    each_call_fails(*state, FAULT_EIO);
    each_call_fails(*state, FAULT_ENOSPC);
    each_call_fails(*state, FAULT_SHORT);
}

static void test_the_disk_fails_for_good(void **state) {
    each_call_fails(*state, FAULT_FOR_GOOD);
}

static void test_each_allocation_fails(void **state) {
    each_call_fails(*state, FAULT_MEMORY);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_failed_writes_leave_no_trace, make_failing, teardown),
        cmocka_unit_test_setup_teardown(test_failed_sync_is_not_forgotten, make_failing, teardown),
        cmocka_unit_test_setup_teardown(test_each_call_fails_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_disk_fails_for_good, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_allocation_fails, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
