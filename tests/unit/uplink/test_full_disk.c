/* The keeper on a disk that is really full: a small tmpfs in a mount namespace of this process. Passes are
 * lost first, then coverage, failures and objects last; each loss is counted with its time span, and what is
 * kept makes room. Needs root; without it the test is skipped, and test_uplink_parts shows the same order for
 * the quota. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

#include "spool/spool_priv.h"
#include "uplink/uplink_priv.h"

static const uint8_t boot[WIRE_BOOT_BYTES] = {7};
static char dir[] = "/tmp/pilotgate-full-XXXXXX";

static int mount_small(void **state) {
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("small", dir, "tmpfs", 0, "size=2m") < 0)
        dir[0] = 0; /* not for us */
    return 0;
}

static int unmount(void **state) {
    (void)state;
    if (*dir && umount2(dir, MNT_DETACH) == 0)
        (void)rmdir(dir);
    return 0;
}

enum what { PASS, COVERED, FAILURE, PHASE, WHATS };

static const enum wire_family families[] = {WIRE_FAMILY_CALLS, WIRE_FAMILY_COVERAGE, WIRE_FAMILY_CALL,
                                            WIRE_FAMILY_PHASE};

static void put(struct keeper *k, enum what what, int64_t wall_ns) {
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    Pilotgate__CallBlock b = PILOTGATE__CALL_BLOCK__INIT;
    Pilotgate__Coverage c = PILOTGATE__COVERAGE__INIT;
    Pilotgate__Call call = PILOTGATE__CALL__INIT;
    Pilotgate__Phase p = PILOTGATE__PHASE__INIT;
    char text[900];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    if (what == PASS) {
        r.body_case = PILOTGATE__RECORD__BODY_CALLS;
        r.calls = &b;
    } else if (what == COVERED) {
        r.body_case = PILOTGATE__RECORD__BODY_COVERAGE;
        r.coverage = &c;
    } else if (what == FAILURE) {
        r.body_case = PILOTGATE__RECORD__BODY_CALL;
        r.call = &call;
        call.number = 1;
        call.detail = text;
    } else {
        r.body_case = PILOTGATE__RECORD__BODY_PHASE;
        r.phase = &p;
        p.subject = text;
    }
    r.wall_ns = wall_ns;
    assert_int_equal(wire_family(&r), families[what]);
    keeper_record(k, &r);
}

/* What could not be appended, by kind; the keeper's own count goes to 0 when it is declared. */
struct losing {
    uint64_t n[WHATS], all;
    int64_t first, last;
};

static void put_or_lose(struct keeper *k, struct losing *l, enum what what, int64_t wall_ns) {
    uint64_t before = k->appended[families[what]];
    put(k, what, wall_ns);
    if (k->appended[families[what]] > before)
        return;
    l->n[what]++;
    l->all++;
    l->first = l->first ? l->first : wall_ns;
    l->last = wall_ns;
}

struct told {
    uint64_t records, next;
    int64_t from, to;
};

static int take_loss(void *ctx, uint64_t seq, const uint8_t *data, size_t len) {
    struct told *t = ctx;
    Pilotgate__Record *r = NULL;
    t->next = seq + 1;
    assert_int_equal(wire_record_unpack(data, len, &r, NULL), 0);
    if (r->body_case == PILOTGATE__RECORD__BODY_LOSS) {
        assert_int_equal(r->loss->cause, PILOTGATE__LOSS__CAUSE__CAUSE_SPOOL_FULL);
        t->records += r->loss->records;
        t->from = t->from ? t->from : r->loss->from_wall_ns;
        t->to = r->loss->to_wall_ns;
    }
    wire_record_free(&r);
    return 0;
}

/* Fills the disk, each kind in turn, until the last kinds are lost, too. */
static void fill(struct keeper *k, struct losing *l) {
    for (int64_t t = 1000; l->n[FAILURE] == 0 || l->n[PHASE] == 0; t++) {
        assert_true(t < 100000); /* the disk has 2 MiB */
        put_or_lose(k, l, (enum what)(t % WHATS), t);
        assert_true(l->n[COVERED] == 0 || l->n[PASS] > 0);
        assert_true(l->n[FAILURE] + l->n[PHASE] == 0 || l->n[COVERED] > 0);
    }
}

static void test_order_on_a_full_disk(void **state) {
    (void)state;
    if (!*dir)
        skip();
    struct spool *s = NULL;
    struct err e;
    uint64_t torn;
    struct losing l = {0};
    assert_int_equal(spool_open(dir, 64 << 20, boot, &s, &torn, &e), 0);
    s->segment_limit = 256 << 10; /* several on so small a disk */
    struct keeper k = {.spool = s};
    fill(&k, &l);
    assert_true(spool_bytes(s) > 1 << 20);
    keeper_declare(&k, WHEN_S, true); /* the last percents are for this */
    assert_false(k.lost.any);
    struct told told = {.next = 1};
    while (told.next < spool_next_seq(s))
        assert_true(spool_read(s, boot, told.next, 100, 1 << 20, take_loss, &told) > 0);
    assert_int_equal(told.records, l.all);
    assert_int_equal(told.from, l.first);
    assert_int_equal(told.to, l.last);
    /* The collector takes it: what is kept now gives way, and nothing is lost any more. */
    assert_int_equal(spool_trim(s, boot, spool_next_seq(s) - 1), 0);
    assert_true(spool_kept_bytes(s) > 1 << 19);
    for (int i = 0; i < 2000; i++) {
        put(&k, (enum what)(i % WHATS), 500000 + i);
        assert_false(k.lost.any);
        if (i % 50 == 0)
            assert_int_equal(spool_trim(s, boot, spool_next_seq(s) - 1), 0);
    }
    spool_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order_on_a_full_disk, mount_small, unmount),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
