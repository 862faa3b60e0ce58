/* Tests of the list/watch state machine, over all its states and events, and of the line splitter: pure
 * functions. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/when.h"
#include "kube/kube_priv.h"

static void step(struct kube_watch *w, enum kube_event ev, int64_t now) {
    kube_watch_step(w, ev, now, 0, 0);
}

static void test_lists_pages_then_watches(void **state) {
    (void)state;
    struct kube_watch w = {0};
    assert_int_equal(w.state, KUBE_PAUSE_LIST);
    step(&w, KUBE_DUE, 4);
    assert_int_equal(w.state, KUBE_LIST);
    step(&w, KUBE_MORE, 5);
    assert_int_equal(w.state, KUBE_LIST);
    assert_int_equal(w.due_mono, 5);
    step(&w, KUBE_LISTED, 6);
    assert_int_equal(w.state, KUBE_WATCH);
    assert_int_equal(w.due_mono, 6);
}

static void test_ended_watch_goes_on_at_once(void **state) {
    (void)state;
    struct kube_watch w = {.state = KUBE_WATCH};
    step(&w, KUBE_ENDED, 100);
    assert_int_equal(w.state, KUBE_PAUSE_WATCH);
    assert_int_equal(w.due_mono, 100);
    step(&w, KUBE_DUE, 100);
    assert_int_equal(w.state, KUBE_WATCH);
}

/* A server that ends every watch at once must not be asked in a hot loop. */
static void test_watches_that_end_at_once_slow_down(void **state) {
    (void)state;
    struct kube_watch w = {.state = KUBE_WATCH};
    for (int i = 0; i < 10; i++) {
        step(&w, KUBE_ENDED, 0);
        step(&w, KUBE_DUE, 0);
    }
    step(&w, KUBE_ENDED, 0);
    assert_int_equal(w.due_mono, 30 * WHEN_S);
    step(&w, KUBE_DUE, 0);
    kube_watch_alive(&w);
    step(&w, KUBE_ENDED, 0);
    assert_int_equal(w.due_mono, 0);
}

static void test_expiry_lists_again(void **state) {
    (void)state;
    struct kube_watch w = {.state = KUBE_WATCH};
    step(&w, KUBE_EXPIRED, 7);
    assert_int_equal(w.state, KUBE_PAUSE_LIST);
    assert_int_equal(w.due_mono, 7);
    step(&w, KUBE_DUE, 7);
    assert_int_equal(w.state, KUBE_LIST);
    step(&w, KUBE_LISTED, 7);
    step(&w, KUBE_EXPIRED, 7); /* again, and nothing came in between */
    assert_true(w.due_mono >= 7 + 800 * WHEN_MS);
}

static void test_failures_keep_the_position_and_back_off(void **state) {
    (void)state;
    struct kube_watch w = {.state = KUBE_WATCH};
    int64_t last = 0;
    for (int i = 0; i < 10; i++) {
        step(&w, KUBE_FAILED, 0);
        assert_int_equal(w.state, KUBE_PAUSE_WATCH);
        assert_true(w.due_mono >= last);
        last = w.due_mono;
        step(&w, KUBE_DUE, 0);
        assert_int_equal(w.state, KUBE_WATCH);
    }
    assert_int_equal(last, 30 * WHEN_S);
    kube_watch_step(&w, KUBE_FAILED, 0, 0, UINT32_MAX);
    assert_int_equal(w.due_mono, 60 * WHEN_S);
}

static void test_retry_after_is_a_lower_bound(void **state) {
    (void)state;
    struct kube_watch w = {.state = KUBE_LIST};
    kube_watch_step(&w, KUBE_THROTTLED, 0, 17 * WHEN_S, 0);
    assert_int_equal(w.state, KUBE_PAUSE_LIST);
    assert_int_equal(w.due_mono, 17 * WHEN_S);
    w.state = KUBE_WATCH;
    kube_watch_step(&w, KUBE_THROTTLED, 0, 16 * WHEN_S, UINT32_MAX);
    assert_int_equal(w.state, KUBE_PAUSE_WATCH);
    assert_int_equal(w.due_mono, 20 * WHEN_S);
    w.state = KUBE_WATCH; /* a hostile one is bounded */
    kube_watch_step(&w, KUBE_THROTTLED, 0, 86400 * WHEN_S, 0);
    assert_int_equal(w.due_mono, 300 * WHEN_S);
}

static void test_denied_is_tried_every_30_s(void **state) {
    (void)state;
    static const enum kube_state from[] = {KUBE_LIST, KUBE_WATCH};
    for (int s = 0; s < 2; s++) {
        struct kube_watch w = {.state = from[s]};
        step(&w, KUBE_DENIED, 0);
        assert_int_equal(w.state, s == 0 ? KUBE_PAUSE_LIST : KUBE_PAUSE_WATCH);
        assert_int_equal(w.due_mono, 800 * WHEN_MS);
        for (int i = 0; i < 10; i++) {
            step(&w, KUBE_DUE, 0);
            kube_watch_step(&w, KUBE_DENIED, 0, 0, UINT32_MAX);
        }
        assert_int_equal(w.due_mono, 30 * WHEN_S);
    }
}

/* After an outage the first answer is often 410: that must not wait as long as the outage's backoff. */
static void test_expiry_after_an_outage_lists_at_once(void **state) {
    (void)state;
    struct kube_watch w = {.state = KUBE_WATCH};
    for (int i = 0; i < 6; i++) {
        step(&w, KUBE_FAILED, 0);
        step(&w, KUBE_DUE, 0);
    }
    kube_watch_answered(&w);
    step(&w, KUBE_EXPIRED, 9);
    assert_int_equal(w.due_mono, 9);
    step(&w, KUBE_DUE, 9);
    step(&w, KUBE_FAILED, 9);
    assert_int_equal(w.due_mono, 9 + 800 * WHEN_MS);
}

/* What follows what, written a second time: every pair that is not here changes nothing. */
static const struct {
    enum kube_state from;
    enum kube_event ev;
    enum kube_state to;
    int64_t least, most; /* of the pause, ms: with chance 0, and with all of it */
} wanted[] = {
    {KUBE_PAUSE_LIST, KUBE_DUE, KUBE_LIST, 0, 0},
    {KUBE_PAUSE_LIST, KUBE_DUE_STREAM, KUBE_STREAM, 0, 0},
    {KUBE_PAUSE_WATCH, KUBE_DUE, KUBE_WATCH, 0, 0},
    {KUBE_PAUSE_WATCH, KUBE_DUE_STREAM, KUBE_WATCH, 0, 0},
    {KUBE_LIST, KUBE_MORE, KUBE_LIST, 0, 0},
    {KUBE_LIST, KUBE_LISTED, KUBE_WATCH, 0, 0},
    {KUBE_LIST, KUBE_POLLED, KUBE_PAUSE_LIST, 10000, 10000},
    {KUBE_LIST, KUBE_EXPIRED, KUBE_PAUSE_LIST, 0, 0},
    {KUBE_LIST, KUBE_DENIED, KUBE_PAUSE_LIST, 800, 1600},
    {KUBE_LIST, KUBE_THROTTLED, KUBE_PAUSE_LIST, 4000, 5000},
    {KUBE_LIST, KUBE_FAILED, KUBE_PAUSE_LIST, 800, 1600},
    {KUBE_STREAM, KUBE_SYNCED, KUBE_WATCH, 0, 0},
    {KUBE_STREAM, KUBE_UNSERVED, KUBE_LIST, 0, 0},
    {KUBE_STREAM, KUBE_ENDED, KUBE_LIST, 0, 0},
    {KUBE_STREAM, KUBE_EXPIRED, KUBE_PAUSE_LIST, 0, 0},
    {KUBE_STREAM, KUBE_DENIED, KUBE_PAUSE_LIST, 800, 1600},
    {KUBE_STREAM, KUBE_THROTTLED, KUBE_PAUSE_LIST, 4000, 5000},
    {KUBE_STREAM, KUBE_FAILED, KUBE_PAUSE_LIST, 800, 1600},
    {KUBE_WATCH, KUBE_ENDED, KUBE_PAUSE_WATCH, 0, 0},
    {KUBE_WATCH, KUBE_SILENT, KUBE_PAUSE_WATCH, 0, 0},
    {KUBE_WATCH, KUBE_EXPIRED, KUBE_PAUSE_LIST, 0, 0},
    {KUBE_WATCH, KUBE_DENIED, KUBE_PAUSE_WATCH, 800, 1600},
    {KUBE_WATCH, KUBE_THROTTLED, KUBE_PAUSE_WATCH, 4000, 5000},
    {KUBE_WATCH, KUBE_FAILED, KUBE_PAUSE_WATCH, 800, 1600},
};

static void check_pair(enum kube_state from, enum kube_event ev, uint32_t chance) {
    struct kube_watch w = {.state = from, .due_mono = 9};
    kube_watch_step(&w, ev, 100, 4 * WHEN_S, chance);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if (wanted[i].from != from || wanted[i].ev != ev)
            continue;
        assert_int_equal(w.state, wanted[i].to);
        assert_int_equal(w.due_mono, 100 + (chance ? wanted[i].most : wanted[i].least) * WHEN_MS);
        return;
    }
    assert_int_equal(w.state, from);
    assert_int_equal(w.due_mono, 9);
    assert_int_equal(w.tries + w.again, 0);
}

static void test_every_state_and_event(void **state) {
    (void)state;
    for (int from = 0; from < KUBE_STATES; from++)
        for (int ev = 0; ev < KUBE_EVENTS; ev++) {
            check_pair((enum kube_state)from, (enum kube_event)ev, 0);
            check_pair((enum kube_state)from, (enum kube_event)ev, UINT32_MAX);
        }
}

/* A streaming list that cannot be had is no failure: LIST follows at once, and counts failures from none. */
static void test_stream_falls_back_at_once(void **state) {
    (void)state;
    struct kube_watch w = {0};
    step(&w, KUBE_DUE_STREAM, 1);
    step(&w, KUBE_UNSERVED, 2);
    assert_int_equal(w.state, KUBE_LIST);
    assert_int_equal(w.due_mono, 2);
    assert_int_equal(w.tries, 0);
    step(&w, KUBE_LISTED, 3);
    assert_int_equal(w.state, KUBE_WATCH);
}

/* A server that is silent on every watch is asked less and less often. */
static void test_silence_again_and_again_slows_down(void **state) {
    (void)state;
    struct kube_watch w = {.state = KUBE_WATCH};
    for (int i = 0; i < 10; i++) {
        step(&w, KUBE_SILENT, 0);
        step(&w, KUBE_DUE, 0);
        assert_int_equal(w.state, KUBE_WATCH);
    }
    step(&w, KUBE_SILENT, 0);
    assert_int_equal(w.due_mono, 30 * WHEN_S);
}

/* ---- lines */

struct lines {
    char text[256];
    int n;
    int stop_at;
};

static int add_line(void *ctx, char *line, size_t len, bool whole, struct err *e) {
    struct lines *l = ctx;
    assert_int_equal(strlen(line), len);
    strcat(l->text, line);
    strcat(l->text, whole ? "|" : "...|");
    return ++l->n == l->stop_at ? err_set(e, -EBADMSG, "stop") : 0;
}

static void test_lines_in_pieces(void **state) {
    (void)state;
    static const char text[] = "{\"a\":1}\n\n{\"b\":22}\r\n{\"rest\"";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        struct kube_frames f = {.rest = BUF_INIT(64)};
        struct lines l = {.n = 0};
        for (size_t at = 0; at < sizeof text - 1; at += piece) {
            size_t n = sizeof text - 1 - at < piece ? sizeof text - 1 - at : piece;
            assert_int_equal(kube_frames_feed(&f, text + at, n, add_line, &l, NULL), 0);
        }
        assert_string_equal(l.text, "{\"a\":1}|{\"b\":22}\r|");
        assert_string_equal(buf_str(&f.rest), "{\"rest\"");
        buf_free(&f.rest);
    }
}

/* Of a line that is too long its beginning is handed over, and what follows it is whole again. */
static void test_line_too_long_is_cut_and_the_next_is_whole(void **state) {
    (void)state;
    static const char text[] = "12345678\n1234567890123\nabc\n";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        struct kube_frames f = {.rest = BUF_INIT(8)};
        struct lines l = {.n = 0};
        for (size_t at = 0; at < sizeof text - 1; at += piece) {
            size_t n = sizeof text - 1 - at < piece ? sizeof text - 1 - at : piece;
            assert_int_equal(kube_frames_feed(&f, text + at, n, add_line, &l, NULL), 0);
        }
        assert_string_equal(l.text, "12345678|12345678...|abc|");
        buf_free(&f.rest);
    }
}

static void test_callback_ends_the_feeding(void **state) {
    (void)state;
    struct kube_frames f = {.rest = BUF_INIT(64)};
    struct lines l = {.stop_at = 2};
    assert_int_equal(kube_frames_feed(&f, "1\n2\n3\n", 6, add_line, &l, NULL), -EBADMSG);
    assert_string_equal(l.text, "1|2|");
    buf_free(&f.rest);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_pages_then_watches),
        cmocka_unit_test(test_ended_watch_goes_on_at_once),
        cmocka_unit_test(test_watches_that_end_at_once_slow_down),
        cmocka_unit_test(test_expiry_lists_again),
        cmocka_unit_test(test_failures_keep_the_position_and_back_off),
        cmocka_unit_test(test_retry_after_is_a_lower_bound),
        cmocka_unit_test(test_denied_is_tried_every_30_s),
        cmocka_unit_test(test_expiry_after_an_outage_lists_at_once),
        cmocka_unit_test(test_every_state_and_event),
        cmocka_unit_test(test_stream_falls_back_at_once),
        cmocka_unit_test(test_silence_again_and_again_slows_down),
        cmocka_unit_test(test_lines_in_pieces),
        cmocka_unit_test(test_line_too_long_is_cut_and_the_next_is_whole),
        cmocka_unit_test(test_callback_ends_the_feeding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
