/* Tests of how much memory huge and hostile answers take: a list of 50 MB in one page, objects of many
 * values. */
#include "memory.h"
#include "rig.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEASURED false /* a sanitizer's memory is its own */
#else
#define MEASURED true
#endif

static void grew_at_most(size_t before_kib, size_t mib) {
    size_t peak = memory_kib("VmHWM:");
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
    size_t before = memory_reset_peak();
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
    size_t before = memory_reset_peak();
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

#define TEST(f) cmocka_unit_test_teardown(f, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_a_list_of_50_mb_takes_few_mb),
        TEST(test_many_values_take_few_mb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
