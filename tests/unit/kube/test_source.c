/* Tests of one collection over HTTP, driven by hand: declared gaps, objects that cannot be read, streaming
 * lists, silent servers, and how much memory hostile and huge answers take. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/when.h"
#include "caught.h"
#include "fake.h"
#include "kube/kube_priv.h"

#define PHASE(x) PILOTGATE__PHASE__KIND__KIND_##x
#define META(name, uid, rv) \
    "\"metadata\":{\"name\":\"" name "\",\"uid\":\"" uid "\",\"resourceVersion\":\"" rv "\"}"
#define POD(name, uid, rv) "{" META(name, uid, rv) "}"
#define LIST(rv, more, items) \
    "{\"metadata\":{\"resourceVersion\":\"" rv "\",\"continue\":\"" more "\"},\"items\":[" items "]}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define BOOKMARK(rv) EVENT("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"" rv "\"}}")
#define LIST_END(rv)                                             \
    EVENT("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"" rv \
                      "\",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}")
#define EXPIRED "{\"kind\":\"Status\",\"code\":410,\"message\":\"too old resource version\"}"
#define HOLD .status = 200, .end = FAKE_HOLD

static struct caught caught;
static struct norm_key key;
static struct fake *fake;
static struct config config;
static struct kube_http http;
static struct kube_scope scope;
static struct kube_source source;
static CURLM *multi;

static void open_source(const char *name, const char *url) {
    const struct kube_kind *k = kube_kinds;
    struct err e;
    while (k->source && strcmp(k->source, name) != 0)
        k++;
    assert_non_null(k->source);
    caught_init(&caught);
    config = (struct config){.kube = {.api = (char *)url}};
    assert_int_equal(kube_http_open(&config, &http, &e), 0);
    scope =
        (struct kube_scope){.own_release = "", .namespace_name = "mcp", .key = &key, .emit = &caught.emit};
    multi = curl_multi_init();
    kube_source_init(&source, k, &scope, &http, multi, "n1");
}

static void begin(const struct fake_step *steps, size_t n, const char *name) {
    fake = fake_start(steps, n, false);
    open_source(name, fake_url(fake));
}
#define BEGIN(steps, name) begin(steps, sizeof(steps) / sizeof *(steps), name)

static int tear_down(void **state) {
    (void)state;
    kube_source_free(&source);
    (void)curl_multi_cleanup(multi);
    kube_http_close(&http);
    if (fake)
        fake_stop(&fake);
    caught_free(&caught);
    return 0;
}

static void turn(void) {
    int running, left;
    CURLMsg *m;
    (void)curl_multi_perform(multi, &running);
    while ((m = curl_multi_info_read(multi, &left)))
        if (m->msg == CURLMSG_DONE)
            kube_source_done(&source, m->data.result);
    (void)kube_source_run(&source, when_mono_ns());
    (void)curl_multi_poll(multi, NULL, 0, 5, NULL);
}

typedef bool condition(const void *arg);

static bool turn_until_for(condition *holds, const void *arg, int64_t limit) {
    int64_t end = when_mono_ns() + limit;
    while (!holds(arg))
        if (when_mono_ns() >= end)
            return false;
        else
            turn();
    return true;
}

static void turn_until(condition *holds, const void *arg) {
    if (!turn_until_for(holds, arg, 30 * WHEN_S))
        fail_msg("it did not come to be; the source says: %s", source.reason);
}

static bool was_asked(const void *n) {
    return fake_requests(fake) >= *(const size_t *)n;
}

static bool is_current(const void *arg) {
    (void)arg;
    return source.ok && source.established && source.watch.state == KUBE_WATCH;
}

static bool is_not_ok(const void *words) {
    return !source.ok && strstr(source.reason, words);
}

static bool has_created(const void *subject) {
    const Pilotgate__Phase *p;
    for (size_t i = 0; (p = caught_phase(&caught, PHASE(POD_CREATED), i)); i++)
        if (strcmp(p->subject, subject) == 0)
            return true;
    return false;
}

/* The nth request contains the words. */
static void asked(size_t nth, const char *words) {
    struct fake_request r;
    assert_true(fake_request(fake, nth, &r));
    if (!strstr(r.url, words))
        fail_msg("request %zu was %s", nth, r.url);
}

static unsigned seconds_asked(size_t nth) {
    struct fake_request r;
    assert_true(fake_request(fake, nth, &r));
    const char *at = strstr(r.url, "timeoutSeconds=");
    assert_non_null(at);
    return (unsigned)atoi(at + strlen("timeoutSeconds="));
}

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

/* heads, that many bytes of fill over and over, tail */
static size_t make_parts(uint64_t pos, char *out, size_t max, const char *const heads[2], size_t bytes,
                         const char *fill, const char *tail) {
    size_t n = 0;
    for (; n < max; n++, pos++) {
        size_t a = strlen(heads[0]);
        size_t b = a + strlen(heads[1]);
        if (pos < a)
            out[n] = heads[0][pos];
        else if (pos < b)
            out[n] = heads[1][pos - a];
        else if (pos < b + bytes)
            out[n] = fill[(pos - b) % strlen(fill)];
        else if (pos < b + bytes + strlen(tail))
            out[n] = tail[pos - b - bytes];
        else
            break;
    }
    return n;
}

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

/* ---- memory */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEASURED false /* a sanitizer's memory is its own */
#else
#define MEASURED true
#endif

static size_t status_kib(const char *what) {
    char line[256];
    size_t kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (strncmp(line, what, strlen(what)) == 0)
            kib = (size_t)strtoul(line + strlen(what), NULL, 10);
    (void)fclose(f);
    return kib;
}

/* From here on the peak is counted anew (proc(5), clear_refs). */
static size_t reset_peak(void) {
    FILE *f = fopen("/proc/self/clear_refs", "we");
    assert_non_null(f);
    assert_true(fputs("5", f) >= 0);
    assert_int_equal(fclose(f), 0);
    return status_kib("VmRSS:");
}

static void grew_at_most(size_t before_kib, size_t mib) {
    size_t peak = status_kib("VmHWM:");
    print_message("peak: %zu KiB more\n", peak - before_kib);
    if (MEASURED)
        assert_true(peak - before_kib <= mib << 10);
}

#define ITEM_BYTES 25000u
#define ITEMS 2000u
static const char huge_head[] = "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[";

/* A list of 50 MB in one page: a server may ignore `limit`. Items of a length, so that any place is found. */
static size_t make_huge_list(uint64_t pos, char *out, size_t max) {
    static const char tail[] = "{" META("last", "last", "1") "}]}";
    size_t head = sizeof huge_head - 1;
    size_t n = 0;
    while (n < max) {
        char item[ITEM_BYTES + 1];
        uint64_t at = pos + n;
        const char *from = huge_head + at;
        size_t left = at < head ? head - (size_t)at : 0;
        uint64_t i = at < head ? 0 : (at - head) / ITEM_BYTES;
        if (at >= head && i < ITEMS) {
            int k = snprintf(
                item, sizeof item,
                "{\"metadata\":{\"name\":\"p%llu\",\"uid\":\"u%llu\",\"resourceVersion\":\"1\"},\"x\":\"",
                (unsigned long long)i, (unsigned long long)i);
            memset(item + k, 'x', ITEM_BYTES - (size_t)k);
            memcpy(item + ITEM_BYTES - 3, "\"},", 3);
            from = item + (at - head) % ITEM_BYTES;
            left = ITEM_BYTES - (size_t)((at - head) % ITEM_BYTES);
        } else if (at >= head) {
            uint64_t done = at - head - (uint64_t)ITEMS * ITEM_BYTES;
            from = tail + done;
            left = done < sizeof tail - 1 ? sizeof tail - 1 - (size_t)done : 0;
        }
        if (left == 0)
            break;
        left = left < max - n ? left : max - n;
        memcpy(out + n, from, left);
        n += left;
    }
    return n;
}

static void test_a_list_of_50_mb_takes_few_mb(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "", .status = 200, .make = make_huge_list, .piece = 65536},
        {.expect = "resourceVersion=7", .body = EVENT("ADDED", POD("end", "ue", "9")), HOLD},
    };
    BEGIN(steps, "pods");
    size_t before = reset_peak();
    turn_until(has_created, "Pod/end");
    assert_int_equal(source.view.known.n, ITEMS + 2);
    grew_at_most(before, 16); /* 2,000 known pods and their records, kept by this test, are most of it */
}

static size_t make_many_values(uint64_t pos, char *out, size_t max) {
    return make_parts(pos, out, max,
                      (const char *const[]){"{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[",
                                            "{" META("many", "um", "3") ",\"x\":["},
                      3ul * KUBE_NODES_MAX, "{},", "{}]}," POD("b", "ub", "2") "]}");
}

/* Text that is short enough, at the limit of values: the tree that is really built. */
static size_t make_most_values(uint64_t pos, char *out, size_t max) {
    static const char head[] =
        "{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[{" META("most", "um", "3") ",\"x\":[";
    static const char tail[] = "{}]}," POD("b", "ub", "2") "]}";
    uint64_t fill = 3ull * (KUBE_NODES_MAX / 2 - 50); /* "{}," counts two */
    size_t n = 0;
    for (; n < max; n++, pos++) {
        uint64_t past = pos - (sizeof head - 1) - fill;
        if (pos < sizeof head - 1)
            out[n] = head[pos];
        else if (pos - (sizeof head - 1) < fill)
            out[n] = "{},"[(pos - (sizeof head - 1)) % 3];
        else if (past < sizeof tail - 1)
            out[n] = tail[past];
        else
            break;
    }
    return n;
}

static void test_many_values_take_few_mb(void **state) {
    (void)state;
    static const struct fake_step steps[] = {
        {.expect = "", .status = 200, .make = make_many_values, .piece = 65536},
        {.expect = "resourceVersion=7", .status = 410, .body = EXPIRED},
        {.expect = "", .status = 200, .make = make_most_values, .piece = 65536},
        {.expect = "resourceVersion=7", .body = EVENT("ADDED", POD("end", "ue", "9")), HOLD},
    };
    BEGIN(steps, "configmaps");
    size_t before = reset_peak();
    turn_until(was_asked, &(size_t){4});
    turn_until(is_current, NULL);
    const Pilotgate__Object *o = caught_object(&caught, "ConfigMap", PILOTGATE__OBJECT__OP__OP_UNREADABLE, 0);
    assert_non_null(o);
    assert_string_equal(o->name, "many");
    assert_non_null(strstr(o->reason, "values"));
    assert_int_equal(fake_requests(fake), 4);
    asked(1, "watch=1");
    assert_non_null(caught_object(&caught, "ConfigMap", PILOTGATE__OBJECT__OP__OP_ADDED, 0)); /* most */
    grew_at_most(before, 40);
}

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
        TEST(test_a_list_of_50_mb_takes_few_mb), /* before others have grown the heap */
        TEST(test_many_values_take_few_mb),
        TEST(test_expiry_declares_the_gap),
        TEST(test_expiry_within_the_new_list_is_one_gap),
        TEST(test_what_is_no_gap),
        TEST(test_a_polled_object_has_no_gap),
        TEST(test_a_large_object_is_said_and_the_others_go_on),
        TEST(test_other_unreadable_objects),
        TEST(test_an_unreadable_object_that_goes_was_never_there),
        TEST(test_a_streaming_list_becomes_the_watch),
        TEST(test_an_unfinished_streaming_list_is_no_picture),
        TEST(test_a_bookmark_without_the_mark_ends_no_list),
        TEST(test_a_refused_streaming_list_is_asked_for_once),
        TEST(test_a_denied_or_throttled_streaming_list_stays_one),
        TEST(test_a_silent_server_is_not_current),
        TEST(test_an_end_in_order_ends_the_doubt),
        TEST(test_how_long_watches_live),
        TEST(test_a_broken_watch_is_followed_by_a_short_one),
        TEST(test_an_unanswered_watch_is_given_up),
        TEST(test_retry_after_of_5xx_and_as_a_date),
        TEST(test_bodies_are_bounded),
        TEST(test_token_is_read_again_each_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
