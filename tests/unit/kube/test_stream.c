/* Tests of one collection over HTTP: streaming lists, and servers that fall silent. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"

/* ---- streaming lists */

static void test_a_streaming_list_becomes_the_watch(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "sendInitialEvents=true",
         .body = EVENT("ADDED", POD("a", "u1", "1")) EVENT("ADDED", POD("b", "u2", "2")) LIST_END("5") EVENT(
             "ADDED", POD("c", "u3", "6")) EVENT("DELETED", POD("a", "u1", "7")) EVENT("ERROR", EXPIRED),
         HOLD},
        {.expect = "sendInitialEvents=true",
         .body = EVENT("ADDED", POD("c", "u3", "6")) LIST_END("20") EVENT("ADDED", POD("d", "u4", "21")),
         HOLD},
    };
    fake = fake_start(steps, 2, false);
    fake_streams(fake);
    open_source("pods", fake_url(fake));
    turn_until(has_created, "Pod/d");
    asked(0, "watch=1");
    asked(0, "resourceVersionMatch=NotOlderThan");
    asked(0, "allowWatchBookmarks=true");
    assert_int_equal(caught_phases(&caught, PHASE(POD_CREATED)), 4);
    assert_int_equal(caught_phases(&caught, PHASE(POD_GONE)), 2); /* a as told, b as missing in the second */
    assert_string_equal(caught_phase(&caught, PHASE(POD_GONE), 1)->subject, "Pod/b");
    assert_int_equal(caught_losses(&caught), 1);
    assert_true(is_current(NULL));
    assert_string_equal(source.rv, "21");
    assert_true(source.previous_wall == source.list_wall);
}

static bool stream_is_open(const void *arg) {
    (void)arg;
    return source.watch.state == KUBE_STREAM && has_created("Pod/a");
}

/* Nothing is complete before the end of the list: not current, and nothing is gone. */
static void test_an_unfinished_streaming_list_is_no_picture(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "sendInitialEvents", .body = EVENT("ADDED", POD("a", "u1", "1")), HOLD},
        {.expect = "limit=", .status = 200, .body = LIST("2", "", POD("b", "u2", "2"))},
        {.expect = "resourceVersion=2", .body = "", HOLD},
    };
    fake = fake_start(steps, 3, false);
    fake_streams(fake);
    open_source("pods", fake_url(fake));
    source.times.synced = 2 * WHEN_S;
    turn_until(stream_is_open, NULL);
    Pilotgate__Coverage__Source c = PILOTGATE__COVERAGE__SOURCE__INIT;
    kube_source_cover(&source, when_wall_ns(), &c);
    assert_false(c.ok);
    assert_int_equal(c.last_wall_ns, 0);
    turn_until(is_not_ok, "no end"); /* it is given up, and a plain list follows */
    turn_until(is_current, NULL);
    asked(1, "limit=");
    assert_true(has_created("Pod/b"));
    assert_int_equal(caught_phases(&caught, PHASE(POD_GONE)), 1);
    assert_false(http.unstreamed);
}

/* A server that takes the request for a plain watch: its bookmark does not say that the list is told. */
static void test_a_bookmark_without_the_mark_ends_no_list(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "sendInitialEvents", .body = EVENT("ADDED", POD("a", "u1", "1")) BOOKMARK("3"), HOLD},
        {.expect = "limit=", .status = 200, .body = LIST("4", "", POD("a", "u1", "1"))},
        {.expect = "resourceVersion=4", .status = 410, .body = EXPIRED},
        {.expect = "sendInitialEvents", .status = 200, .body = EVENT("ADDED", POD("a", "u1", "1"))},
        {.expect = "limit=", .status = 200, .body = LIST("6", "", POD("a", "u1", "1"))},
        {.expect = "resourceVersion=6", .body = "", HOLD},
    };
    fake = fake_start(steps, 6, false);
    fake_streams(fake);
    open_source("pods", fake_url(fake));
    for (size_t n = 1; n <= 6; n++)
        turn_until(was_asked, &n);
    turn_until(is_current, NULL);
    asked(1, "limit=");
    asked(3, "sendInitialEvents"); /* tried again at the next list, and ended before its end */
    asked(4, "limit=");
    assert_int_equal(caught_phases(&caught, PHASE(POD_GONE)), 0);
}

/* An older server refuses it: its other lists are asked for as before, by every source. */
static void test_a_refused_streaming_list_is_asked_for_once(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "sendInitialEvents", .status = 422, .body = "{\"kind\":\"Status\",\"code\":422}"},
        {.expect = "limit=", .status = 200, .body = LIST("1", "", "")},
        {.expect = "resourceVersion=1", .status = 410, .body = EXPIRED},
        {.expect = "limit=", .status = 200, .body = LIST("2", "", "")},
        {.expect = "resourceVersion=2", .body = "", HOLD},
    };
    fake = fake_start(steps, 5, false);
    fake_streams(fake);
    open_source("pods", fake_url(fake));
    turn_until(was_asked, &(size_t){5});
    turn_until(is_current, NULL);
    asked(3, "limit=");
    asked(4, "resourceVersion=2");
    assert_true(http.unstreamed);
    assert_int_equal(caught_objects(&caught, "Pod", 0), 0);
}

static void test_a_denied_or_throttled_streaming_list_stays_one(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "sendInitialEvents", .status = 403, .body = "{}"},
        {.expect = "sendInitialEvents", .status = 429, .body = "{}", .retry_after = "1"},
        {.expect = "sendInitialEvents", .body = LIST_END("3"), HOLD},
    };
    fake = fake_start(steps, 3, false);
    fake_streams(fake);
    open_source("pods", fake_url(fake));
    turn_until(is_current, NULL);
    asked(2, "sendInitialEvents");
    assert_int_equal(caught_objects(&caught, "Pod", PILOTGATE__OBJECT__OP__OP_UNREADABLE), 1);
}

/* ---- silence */

static bool has_pause(const void *arg) {
    (void)arg;
    return source.watch.state == KUBE_PAUSE_WATCH;
}

/* The watch is dropped and goes on from where it was; that a status comes is not enough then to be current.
 */
static void test_a_silent_server_is_not_current(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "", .status = 200, .body = LIST("1", "", "")},
        {.expect = "resourceVersion=1", .body = EVENT("ADDED", POD("a", "u1", "2")), HOLD},
        {.expect = "resourceVersion=2", .body = "", HOLD},
        {.expect = "resourceVersion=2", .body = EVENT("ADDED", POD("b", "u2", "3")), HOLD},
    };
    Pilotgate__Coverage__Source c = PILOTGATE__COVERAGE__SOURCE__INIT;
    BEGIN(steps, "pods");
    source.times.silent = WHEN_S;
    turn_until(has_created, "Pod/a");
    int64_t byte = source.byte_wall;
    turn_until(has_pause, NULL);
    assert_true(is_not_ok("silent"));
    kube_source_cover(&source, when_wall_ns(), &c);
    assert_int_equal(c.last_wall_ns, byte);
    turn_until(was_asked, &(size_t){3});
    while (!source.established)
        turn();
    assert_false(source.ok);
    kube_source_cover(&source, when_wall_ns(), &c);
    assert_int_equal(c.last_wall_ns, byte);
    turn_until(has_created, "Pod/b");
    asked(3, "resourceVersion=2");
    assert_true(is_current(NULL));
    assert_int_equal(caught_losses(&caught), 0);
}

/* As an event of an object that has no end; slowly, so that the test takes no processor from others. */
static size_t endless(uint64_t pos, char *out, size_t max) {
    static const char head[] = "{\"type\":\"ADDED\",\"object\":{\"data\":{\"x\":\"";
    size_t n = max < 65536 ? max : 65536;
    memset(out, 'x', n);
    if (pos == 0 && n >= sizeof head)
        memcpy(out, head, sizeof head - 1);
    (void)usleep(2000);
    return n;
}

/* It is dropped as one of a silent server is. */
static void test_a_line_without_end_is_no_sign_of_life(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "", .status = 200, .body = LIST("1", "", "")},
        {.expect = "resourceVersion=1", .status = 200, .make = endless, .piece = 65536},
        {.expect = "resourceVersion=1", .body = EVENT("ADDED", POD("a", "u1", "2")), HOLD},
    };
    BEGIN(steps, "pods");
    source.times.silent = WHEN_S;
    turn_until(has_created, "Pod/a");
    asked(2, "resourceVersion=1");
    assert_int_equal(caught_losses(&caught), 0);
}

/* A quiet watch that ends in order shows that the server lives, and is asked for again without a pause. */
static void test_an_end_in_order_ends_the_doubt(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "", .status = 200, .body = LIST("1", "", "")},
        {.expect = "", .body = "", HOLD},
        {.expect = "", .status = 200, .body = ""},
        {.expect = "", .body = "", HOLD},
    };
    BEGIN(steps, "pods");
    source.times.silent = WHEN_S;
    turn_until(has_pause, NULL);
    source.times.silent = 60 * WHEN_S;
    turn_until(was_asked, &(size_t){4});
    turn_until(is_current, NULL);
}

/* Nothing, and the end after a while. */
static size_t make_quiet(uint64_t pos, char *out, size_t max) {
    (void)pos;
    (void)out;
    (void)max;
    (void)usleep(300000);
    return 0;
}

static bool watch_is_open(const void *arg) {
    (void)arg;
    return source.established;
}

/* Where nothing happens and no bookmarks come, it is the end of a watch that says until when nothing did. */
static void test_an_end_in_order_says_until_when_nothing_was_missed(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "", .status = 200, .body = LIST("1", "", "")},
        {.expect = "", .status = 200, .make = make_quiet},
        {.expect = "", .body = "", HOLD},
    };
    BEGIN(steps, "pods");
    turn_until(watch_is_open, NULL);
    source.answered_mono -= 60 * WHEN_S; /* as if it had been open for a minute, */
    source.previous_wall -= 60 * WHEN_S; /* and the list older than that */
    int64_t before = source.previous_wall;
    turn_until(was_asked, &(size_t){3});
    assert_true(source.previous_wall >= before + 59 * WHEN_S);
    assert_true(source.previous_wall <= when_wall_ns() - WHEN_S);
}

static void test_a_list_ends_the_doubt(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "", .status = 200, .body = LIST("1", "", "")},
        {.expect = "", .body = "", HOLD},
        {.expect = "", .status = 410, .body = EXPIRED},
        {.expect = "", .status = 200, .body = LIST("5", "", "")},
        {.expect = "resourceVersion=5", .body = "", HOLD},
    };
    BEGIN(steps, "pods");
    source.times.silent = WHEN_S;
    turn_until(has_pause, NULL);
    assert_false(source.ok);
    source.times.silent = 60 * WHEN_S;
    turn_until(was_asked, &(size_t){5});
    turn_until(is_current, NULL);
}

/* Where no bookmarks were seen a watch asks to be ended after a minute at most, where they were after five to
 * ten; after a silence in spite of them after a minute again. */
static void test_how_long_watches_live(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "", .status = 200, .body = LIST("1", "", "")},
        {.expect = "resourceVersion=1", .status = 200, .body = BOOKMARK("2")},
        {.expect = "resourceVersion=2", .body = "", HOLD},
        {.expect = "resourceVersion=2", .body = "", HOLD},
    };
    BEGIN(steps, "pods");
    source.times.silent = WHEN_S;
    turn_until(was_asked, &(size_t){3});
    source.times.silent = WHEN_S / 5;
    turn_until(was_asked, &(size_t){4});
    assert_in_range(seconds_asked(1), 50, 70);
    assert_in_range(seconds_asked(2), 300, 600);
    assert_in_range(seconds_asked(3), 50, 70);
}

/* After a watch that broke the next one may be another server's, which sends no bookmarks. */
static void test_a_broken_watch_is_followed_by_a_short_one(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "", .status = 200, .body = LIST("1", "", "")},
        {.expect = "resourceVersion=1", .status = 200, .body = BOOKMARK("2"), .end = FAKE_CUT},
        {.expect = "resourceVersion=2", .body = "", HOLD},
    };
    BEGIN(steps, "pods");
    turn_until(was_asked, &(size_t){3});
    assert_in_range(seconds_asked(2), 50, 70);
}

/* A server that takes the connection and says nothing at all. */
static void test_an_unanswered_watch_is_given_up(void **state) {
    (void)state;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    char url[64];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)ntohs(at.sin_port));
    open_source("pods", url);
    source.times.answer = WHEN_S / 2;
    source.watch.state = KUBE_PAUSE_WATCH;
    source.ok = true;
    (void)snprintf(source.rv, sizeof source.rv, "5");
    turn_until(is_not_ok, "answers no watch");
    assert_int_equal(source.watch.state, KUBE_PAUSE_WATCH);
    assert_true(source.watch.due_mono >= when_mono_ns());
    (void)close(fd);
}

#define TEST(f) cmocka_unit_test_teardown(f, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_a_streaming_list_becomes_the_watch),
        TEST(test_an_unfinished_streaming_list_is_no_picture),
        TEST(test_a_bookmark_without_the_mark_ends_no_list),
        TEST(test_a_refused_streaming_list_is_asked_for_once),
        TEST(test_a_denied_or_throttled_streaming_list_stays_one),
        TEST(test_a_silent_server_is_not_current),
        TEST(test_a_line_without_end_is_no_sign_of_life),
        TEST(test_an_end_in_order_ends_the_doubt),
        TEST(test_an_end_in_order_says_until_when_nothing_was_missed),
        TEST(test_a_list_ends_the_doubt),
        TEST(test_how_long_watches_live),
        TEST(test_a_broken_watch_is_followed_by_a_short_one),
        TEST(test_an_unanswered_watch_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
