/* The heap of deadlines and the watch for hang-ups, with real sockets. */
#include "check.h"

#include <stdatomic.h>
#include <sys/socket.h>

#include "canary/hold.h"

struct waiter {
    struct hold_entry entry;
    atomic_int ended; /* 1 + enum hold_end */
    int order;
    int64_t at_ns;
};

static atomic_int endings;

static void note(struct hold_entry *entry, enum hold_end why) {
    struct waiter *w = (struct waiter *)entry;
    w->at_ns = when_mono_ns();
    w->order = atomic_fetch_add(&endings, 1);
    atomic_store(&w->ended, 1 + (int)why);
}

static void add(struct hold *h, struct waiter *w, int64_t after_ns, int fd) {
    *w = (struct waiter){.entry = {.due_ns = when_mono_ns() + after_ns, .fd = fd, .done = note}};
    assert_int_equal(hold_add(h, &w->entry), 0);
}

static void in_order_of_deadlines(void **state) {
    enum { N = 200 };
    static struct waiter w[N];
    struct hold *h;
    struct err e;
    atomic_store(&endings, 0);
    assert_int_equal(hold_start(&h, &e), 0);
    for (int i = 0; i < N; i++)
        add(h, &w[i], 50 * WHEN_MS + ((i * 37) % N) * WHEN_MS, -1);
    WAIT_FOR(atomic_load(&endings) == N);
    for (int i = 0; i < N; i++) {
        assert_int_equal(w[i].ended, 1 + HOLD_DUE);
        assert_int_equal(w[i].order, (i * 37) % N);
        assert_true(w[i].at_ns >= w[i].entry.due_ns);
    }
    hold_stop(&h);
    assert_null(h);
    (void)state;
}

static void a_hang_up_ends_the_wait(void **state) {
    struct hold *h;
    struct err e;
    struct waiter gone, half, stays;
    int a[2], b[2], c[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, c), 0);
    assert_int_equal(hold_start(&h, &e), 0);
    add(h, &gone, 60 * WHEN_S, a[0]);
    add(h, &half, 60 * WHEN_S, b[0]);
    add(h, &stays, 60 * WHEN_S, c[0]);
    assert_int_equal(write(c[1], "more", 4), 4); /* bytes are no hang-up */
    assert_int_equal(write(a[1], "more", 4), 4);
    close(a[1]);
    shutdown(b[1], SHUT_WR);
    WAIT_FOR(gone.ended && half.ended);
    assert_int_equal(gone.ended, 1 + HOLD_GONE);
    assert_int_equal(half.ended, 1 + HOLD_GONE);
    assert_int_equal(stays.ended, 0);
    hold_stop(&h);
    assert_int_equal(stays.ended, 1 + HOLD_ENDED);
    close(a[0]), close(b[0]), close(b[1]), close(c[0]), close(c[1]);
    (void)state;
}

static void gone_before_it_waits(void **state) {
    struct hold *h;
    struct err e;
    struct waiter w;
    int a[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
    close(a[1]);
    assert_int_equal(hold_start(&h, &e), 0);
    add(h, &w, -WHEN_S, a[0]); /* due and hung up: hung up counts */
    WAIT_FOR(w.ended);
    assert_int_equal(w.ended, 1 + HOLD_GONE);
    close(a[0]);
    assert_true(hold_add(h, &(struct hold_entry){.due_ns = 1, .fd = a[0], .done = note}) < 0);
    hold_stop(&h);
    (void)state;
}

static atomic_bool may_go_on;

static void note_late(struct hold_entry *entry, enum hold_end why) {
    int64_t end = when_mono_ns() + 10 * WHEN_S;
    while (!atomic_load(&may_go_on) && when_mono_ns() < end)
        usleep(1000);
    note(entry, why);
}

/* The thread is kept busy while two become due, one of them hung up: it must not be called due. */
static void hung_up_while_the_thread_was_busy(void **state) {
    struct hold *h;
    struct err e;
    struct waiter busy = {.entry = {.due_ns = 1, .fd = -1, .done = note_late}}, left, here;
    int a[2], b[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
    assert_int_equal(hold_start(&h, &e), 0);
    assert_int_equal(hold_add(h, &busy.entry), 0);
    add(h, &left, 10 * WHEN_MS, a[0]);
    add(h, &here, 10 * WHEN_MS, b[0]);
    WAIT_FOR(when_mono_ns() > here.entry.due_ns);
    close(a[1]);
    atomic_store(&may_go_on, true);
    WAIT_FOR(busy.ended && left.ended && here.ended);
    assert_int_equal(left.ended, 1 + HOLD_GONE);
    assert_int_equal(here.ended, 1 + HOLD_DUE);
    hold_stop(&h);
    close(a[0]), close(b[0]), close(b[1]);
    (void)state;
}

static void ends_all(void **state) {
    struct hold *h;
    struct err e;
    struct waiter before, after;
    assert_int_equal(hold_start(&h, &e), 0);
    add(h, &before, 60 * WHEN_S, -1);
    hold_end_all(h);
    WAIT_FOR(before.ended);
    assert_int_equal(before.ended, 1 + HOLD_ENDED);
    add(h, &after, 60 * WHEN_S, -1);
    WAIT_FOR(after.ended);
    assert_int_equal(after.ended, 1 + HOLD_ENDED);
    hold_stop(&h);
    (void)state;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order_of_deadlines), cmocka_unit_test(a_hang_up_ends_the_wait),
        cmocka_unit_test(gone_before_it_waits), cmocka_unit_test(hung_up_while_the_thread_was_busy),
        cmocka_unit_test(ends_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
