/* Tests of one collection over HTTP: declared gaps, objects that cannot be read, when it asks again. */
#include <time.h>

#include "rig.h"

/* ---- declared gaps */

static void test_expiry_declares_the_gap(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "", .status = 200, .body = LIST("1", "", POD("a", "u1", "1"))},
        {.expect = "", .body = EVENT("ADDED", POD("b", "u2", "2")) EVENT("ERROR", EXPIRED), HOLD},
        {.expect = "", .status = 200, .body = LIST("9", "", POD("b", "u2", "2"))},
        {.expect = "", .body = "", HOLD},
    };
    int64_t before = when_wall_ns();
    BEGIN(steps, "pods");
    turn_until(was_asked, &(size_t){2});
    turn_until(was_asked, &(size_t){4});
    int64_t after = when_wall_ns();
    assert_int_equal(caught_losses(&caught), 1);
    const Pilotgate__Loss *l = caught_loss(&caught, 0);
    assert_int_equal(l->cause, PILOTGATE__LOSS__CAUSE__CAUSE_UNWATCHED);
    assert_int_equal(l->records, 0);
    assert_string_equal(l->families, "pods");
    assert_true(before <= l->from_wall_ns && l->from_wall_ns < l->to_wall_ns && l->to_wall_ns <= after);
}

/* 410 as a status; then the new list's continue token expires as well: one gap, up to the list that came
 * through. */
static void test_expiry_within_the_new_list_is_one_gap(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "", .status = 200, .body = LIST("1", "", "")},
        {.expect = "", .status = 410, .body = EXPIRED},
        {.expect = "", .status = 200, .body = LIST("5", "more", POD("a", "u1", "5"))},
        {.expect = "continue=more", .status = 410, .body = EXPIRED},
        {.expect = "", .status = 200, .body = LIST("9", "", POD("a", "u1", "5"))},
        {.expect = "resourceVersion=9", .body = "", HOLD},
    };
    BEGIN(steps, "pods");
    turn_until(was_asked, &(size_t){5});
    int64_t last_list = when_wall_ns();
    turn_until(is_current, NULL);
    assert_int_equal(caught_losses(&caught), 1);
    const Pilotgate__Loss *l = caught_loss(&caught, 0);
    assert_true(l->to_wall_ns >= last_list - WHEN_S && l->to_wall_ns > l->from_wall_ns);
    asked(5, "resourceVersion=9");
    assert_false(source.gap);
}

/* Before the first picture nothing was watched that could be missed; and what is watched on is no gap. */
static void test_what_is_no_gap(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "", .status = 200, .body = LIST("1", "more", "")},
        {.expect = "continue", .status = 410, .body = EXPIRED},
        {.expect = "", .status = 200, .body = LIST("2", "", "")},
        {.expect = "resourceVersion=2", .status = 200, .body = BOOKMARK("3")},
        {.expect = "resourceVersion=3", .status = 200, .body = "{\"type\":\"ADD", .end = FAKE_CUT},
        {.expect = "resourceVersion=3", .status = 500, .body = ""},
        {.expect = "resourceVersion=3", .body = "", HOLD},
    };
    BEGIN(steps, "pods");
    turn_until(was_asked, &(size_t){7});
    turn_until(is_current, NULL);
    assert_int_equal(caught_losses(&caught), 0);
}

static bool is_idle(const void *arg) {
    (void)arg;
    return !source.easy;
}

static void test_a_polled_object_has_no_gap(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "", .status = 200, .body = "{\"kind\":\"Namespace\"," META("mcp", "n1", "1") "}"},
        {.expect = "", .status = 410, .body = EXPIRED},
        {.expect = "", .status = 200, .body = "{\"kind\":\"Namespace\"," META("mcp", "n1", "2") "}"},
    };
    BEGIN(steps, "namespace");
    for (size_t n = 1; n <= 3; n++) {
        source.watch.due_mono = 0; /* instead of ten seconds */
        turn_until(was_asked, &n);
        turn_until(is_idle, NULL);
    }
    assert_true(source.ok);
    assert_int_equal(caught_losses(&caught), 0);
}

/* ---- objects that cannot be read */

static const char large_head[] = "{" META("large", "ul", "3") ",\"data\":\"";
static const char large_list_head[] =
    "{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[" POD("a", "ua", "1") ",";
static const char large_list_tail[] = "\"}," POD("b", "ub", "2") "]}";

static size_t make_large_list(uint64_t pos, char *out, size_t max) {
    return make_parts(pos, out, max, (const char *const[]){large_list_head, large_head}, 4u << 20, "x",
                      large_list_tail);
}

static size_t make_large_event(uint64_t pos, char *out, size_t max) {
    return make_parts(pos, out, max, (const char *const[]){"{\"type\":\"MODIFIED\",\"object\":", large_head},
                      4u << 20, "x", "\"}}\n" EVENT("ADDED", POD("c", "uc", "4")));
}

/* Said once, with its name; the others are taken; it is not gone; once it can be read again it is. */
static void test_a_large_object_is_said_and_the_others_go_on(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "", .status = 200, .make = make_large_list, .piece = 65536},
        {.expect = "resourceVersion=7", .status = 200, .make = make_large_event, .piece = 65536},
        {.expect = "resourceVersion=4", .status = 410, .body = EXPIRED},
        {.expect = "", .status = 200, .make = make_large_list, .piece = 65536},
        {.expect = "resourceVersion=7", .body = EVENT("MODIFIED", POD("large", "ul", "8")), HOLD},
    };
    BEGIN(steps, "pods");
    turn_until(has_created, "Pod/large");
    assert_true(has_created("Pod/a") && has_created("Pod/b") && has_created("Pod/c"));
    assert_int_equal(caught_objects(&caught, "Pod", PILOTGATE__OBJECT__OP__OP_UNREADABLE), 1);
    const Pilotgate__Object *o = caught_object(&caught, "Pod", 0, 0);
    assert_string_equal(o->name, "large");
    assert_non_null(strstr(o->reason, "longer than"));
    assert_int_equal(caught_phases(&caught, PHASE(POD_GONE)), 1); /* c: the second list does not have it */
    asked(4, "resourceVersion=7");
}

static void test_other_unreadable_objects(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "",
         .status = 200,
         .body = LIST("1", "", "{" META("twice", "u1", "1") ",\"a\":1,\"a\":2}," POD("b", "u2", "1"))},
        {.expect = "resourceVersion=1",
         .status = 200,
         .body = EVENT("MODIFIED", "{" META("bad", "u3", "2") ",\"a\":nonsense}")
             EVENT("DELETED", "{" META("b", "u2", "3") ",\"a\":nonsense}")
                 EVENT("MODIFIED", "{\"metadata\":{\"name\":\"nameless-uid\"},\"a\":nonsense}")},
        {.expect = "resourceVersion=3", .body = EVENT("ADDED", POD("c", "u4", "4")), HOLD},
    };
    BEGIN(steps, "pods");
    turn_until(has_created, "Pod/c");
    assert_int_equal(caught_objects(&caught, "Pod", PILOTGATE__OBJECT__OP__OP_UNREADABLE), 3);
    assert_string_equal(caught_object(&caught, "Pod", 0, 0)->name, "twice");
    assert_string_equal(caught_object(&caught, "Pod", 0, 1)->name, "bad");
    assert_string_equal(caught_object(&caught, "Pod", 0, 2)->name, "nameless-uid");
    assert_int_equal(caught_phases(&caught, PHASE(POD_GONE)), 1);
    assert_string_equal(caught_phase(&caught, PHASE(POD_GONE), 0)->subject, "Pod/b");
}

/* What was never seen is not said to be gone. */
static void test_an_unreadable_object_that_goes_was_never_there(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "",
         .status = 200,
         .body = LIST("1", "", "{" META("twice", "u1", "1") ",\"a\":1,\"a\":2}," POD("b", "u2", "1"))},
        {.expect = "resourceVersion=1", .status = 410, .body = EXPIRED},
        {.expect = "", .status = 200, .body = LIST("5", "", "")},
        {.expect = "resourceVersion=5", .body = "", HOLD},
    };
    BEGIN(steps, "pods");
    turn_until(was_asked, &(size_t){4});
    assert_int_equal(source.view.known.n, 0);
    assert_int_equal(caught_phases(&caught, PHASE(POD_GONE)), 1);
    assert_string_equal(caught_phase(&caught, PHASE(POD_GONE), 0)->subject, "Pod/b");
}

/* ---- asking */

static void test_retry_after_of_5xx_and_as_a_date(void **state) {
    (void)state;
    char date[64];
    time_t then = time(NULL) + 4;
    struct tm tm;
    (void)strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&then, &tm));
    struct fake_step steps[] = {
        {.expect = "", .status = 500, .body = "", .retry_after = "2"},
        {.expect = "", .status = 503, .body = "", .retry_after = date},
        {.expect = "", .status = 200, .body = LIST("1", "", "")},
        {.expect = "", .body = "", HOLD},
    };
    struct fake_request r[3];
    BEGIN(steps, "pods");
    turn_until(was_asked, &(size_t){3});
    for (size_t i = 0; i < 3; i++)
        assert_true(fake_request(fake, i, &r[i]));
    assert_true(r[1].mono_ns - r[0].mono_ns >= 2 * WHEN_S);
    assert_true(time(NULL) + 1 >= then);
}

static bool has_length(const void *n) {
    return source.body.len == *(const size_t *)n || !source.easy;
}

/* An endless error is not read to its end; a polled object that is too large is refused. */
static size_t make_endless(uint64_t pos, char *out, size_t max) {
    memset(out, 'x', max);
    return pos < 8u << 20 ? max : 0;
}

static void test_bodies_are_bounded(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "", .status = 500, .make = make_endless, .piece = 4096},
        {.expect = "", .status = 200, .make = make_endless, .piece = 65536},
    };
    BEGIN(steps, "namespace");
    turn_until(has_length, &(size_t){KUBE_ERROR_BODY_MAX});
    assert_true(source.body.cap <= 2 * KUBE_ERROR_BODY_MAX);
    turn_until(is_not_ok, "HTTP 500");
    turn_until(is_not_ok, "larger than any object");
}

static void test_token_is_read_again_each_minute(void **state) {
    (void)state;
    static const struct fake_step steps[] = {{.expect = "", .status = 500, .body = ""}};
    struct err e;
    fake = fake_start(steps, 1, true);
    open_source("pods", fake_url(fake));
    http.token_file = fake_token_file(fake);
    CURL *easy = curl_easy_init();
    assert_int_equal(kube_http_prepare(&http, easy, "/", &e), 0);
    fake_write_token(fake, "token-2");
    assert_int_equal(kube_http_prepare(&http, easy, "/", &e), 0);
    assert_string_equal(http.token, "token-1");
    http.token_mono -= 60 * WHEN_S;
    assert_int_equal(kube_http_prepare(&http, easy, "/", &e), 0);
    assert_string_equal(http.token, "token-2");
    curl_easy_cleanup(easy);
}

#define TEST(f) cmocka_unit_test_teardown(f, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_expiry_declares_the_gap),
        TEST(test_expiry_within_the_new_list_is_one_gap),
        TEST(test_what_is_no_gap),
        TEST(test_a_polled_object_has_no_gap),
        TEST(test_a_large_object_is_said_and_the_others_go_on),
        TEST(test_other_unreadable_objects),
        TEST(test_an_unreadable_object_that_goes_was_never_there),
        TEST(test_retry_after_of_5xx_and_as_a_date),
        TEST(test_bodies_are_bounded),
        TEST(test_token_is_read_again_each_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
