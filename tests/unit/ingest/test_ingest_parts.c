/* test_ingest_parts: the allow-list's lines, and the time that a record speaks of. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/when.h"
#include "ingest/ingest_priv.h"

#define KEY_A "0000000000000000000000000000000000000000"
#define KEY_B "#111111111111111111111111111111111111111"

static char path[64];

static void write_file(const char *text, size_t len) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static int setup(void **state) {
    (void)state;
    (void)snprintf(path, sizeof path, "/tmp/test-allow.XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state) {
    (void)state;
    return unlink(path);
}

static int load(const char *text, struct allow **a, struct err *e) {
    write_file(text, strlen(text));
    return allow_open(path, a, e);
}

static void test_lines(void **state) {
    (void)state;
    struct allow *a = NULL;
    struct err e = {""};
    assert_int_equal(
        load("# agents\n\n" KEY_B " east shop,pay # the first\r\n" KEY_A " west *\n" KEY_B " west x", &a, &e),
        0);
    assert_true(allow_key(a, KEY_A));
    assert_true(allow_key(a, KEY_B)); /* '#' is a letter of Z85 */
    assert_false(allow_key(a, ""));
    assert_true(allow_stage(a, KEY_B, "east", "shop"));
    assert_true(allow_stage(a, KEY_B, "east", "pay"));
    assert_true(allow_stage(a, KEY_B, "west", "x"));
    assert_false(allow_stage(a, KEY_B, "west", "shop"));
    assert_false(allow_stage(a, KEY_B, "east", "sho"));
    assert_true(allow_stage(a, KEY_A, "west", "anything"));
    assert_false(allow_stage(a, KEY_A, "east", "anything"));
    allow_free(&a);
    assert_null(a);
}

static void test_bad_lines(void **state) {
    (void)state;
    static const char *const bad[] = {
        "short east shop\n",   KEY_A "\n",        KEY_A " east\n",           KEY_A " east shop, pay\n",
        KEY_A " ea/st shop\n", KEY_A " east ,\n", KEY_A " east shop,../x\n", "\n\n" KEY_A " * shop\n",
    };
    struct allow *a = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {""};
        assert_true(load(bad[i], &a, &e) < 0);
        assert_non_null(strstr(e.text, path)); /* names the file and the line */
        assert_null(a);
    }
    write_file(KEY_A " c \0", 44);
    assert_true(allow_open(path, &a, NULL) < 0);
    assert_true(allow_open("/nonexistent", &a, NULL) < 0);
}

static void test_refresh_keeps_the_old_list(void **state) {
    (void)state;
    struct allow *a = NULL;
    struct err e = {""};
    assert_int_equal(load(KEY_A " east shop\n", &a, &e), 0);
    assert_int_equal(allow_refresh(a, &e), 0);
    write_file("nonsense and more\n", 18);
    assert_true(allow_refresh(a, &e) < 0);
    assert_int_equal(allow_refresh(a, &e), 0); /* said once */
    assert_true(allow_key(a, KEY_A));
    write_file(KEY_B " east shop,other\n", strlen(KEY_B " east shop,other\n"));
    assert_int_equal(allow_refresh(a, &e), 1);
    assert_false(allow_key(a, KEY_A));
    assert_true(allow_key(a, KEY_B));
    allow_free(&a);
}

static void test_spans(void **state) {
    (void)state;
    int64_t starts[] = {-5, 10, 3}, from, to;
    uint64_t durations[] = {1, 2, 100};
    Pilotgate__CallBlock block = PILOTGATE__CALL_BLOCK__INIT;
    block.base_wall_ns = 1000000;
    block.n_start_us = block.n_duration_us = 3;
    block.start_us = starts;
    block.duration_us = durations;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    r.wall_ns = 77;
    r.body_case = PILOTGATE__RECORD__BODY_CALLS;
    r.calls = &block;
    wire_record_span(&r, &from, &to);
    assert_int_equal(from, 1000000 - 5000);
    assert_int_equal(to, 1000000 + 103000);
    block.n_start_us = block.n_duration_us = 0;
    wire_record_span(&r, &from, &to);
    assert_int_equal(from, 1000000);
    assert_int_equal(to, 1000000);
    Pilotgate__Call call = PILOTGATE__CALL__INIT;
    call.start_wall_ns = 500;
    call.duration_us = 2;
    r.body_case = PILOTGATE__RECORD__BODY_CALL;
    r.call = &call;
    wire_record_span(&r, &from, &to);
    assert_int_equal(from, 500);
    assert_int_equal(to, 2500);
    Pilotgate__Phase phase = PILOTGATE__PHASE__INIT;
    phase.t_wall_ns = 5;
    r.body_case = PILOTGATE__RECORD__BODY_PHASE;
    r.phase = &phase;
    wire_record_span(&r, &from, &to);
    assert_int_equal(from, 5);
    r.body_case = PILOTGATE__RECORD__BODY__NOT_SET; /* a family of a newer version */
    wire_record_span(&r, &from, &to);
    assert_int_equal(from, 77);
    assert_int_equal(to, 77);
}

static void test_sessions(void **state) {
    (void)state;
    struct sessions *t = calloc(1, sizeof *t);
    assert_non_null(t);
    for (uint32_t i = 0; i < INGEST_SESSIONS_MAX; i++)
        assert_non_null(session_add(t, &i, sizeof i));
    uint32_t one_more = INGEST_SESSIONS_MAX;
    assert_null(session_add(t, &one_more, sizeof one_more)); /* bounded */
    struct session *s = NULL;
    for (uint32_t i = 0; i < 3; i++) {
        s = session_find(t, &i, sizeof i);
        assert_non_null(s);
        session_mark_dirty(t, s);
        session_mark_dirty(t, s);
    }
    uint32_t second = 1;
    session_drop(t, session_find(t, &second, sizeof second)); /* out of the middle of the dirty list */
    assert_null(session_find(t, &second, sizeof second));
    int n = 0;
    for (s = t->dirty; s; s = s->dirty_next)
        n++;
    assert_int_equal(n, 2);
    session_drop_all(t);
    assert_int_equal(t->n, 0);
    assert_null(t->dirty);
    free(t);
}

static struct session *sending(struct sessions *t, unsigned id, const char *node, int from_s, int to_s) {
    struct session *s = session_add(t, &id, sizeof id);
    assert_non_null(s);
    (void)snprintf(s->cluster, sizeof s->cluster, "c1");
    (void)snprintf(s->namespace_name, sizeof s->namespace_name, "shop");
    (void)snprintf(s->node, sizeof s->node, "%s", node);
    s->first_batch_ns = from_s * WHEN_S;
    s->last_batch_ns = to_s * WHEN_S;
    return s;
}

static int note_twin(void *ctx, struct session *s) {
    s->twin_told = true;
    ++*(int *)ctx;
    return 0;
}

static void test_twins(void **state) {
    (void)state;
    struct sessions *t = calloc(1, sizeof *t);
    int told = 0;
    assert_non_null(t);
    assert_int_equal(twins_find(t, note_twin, &told), 0);
    struct session *pod = sending(t, 1, "n1", 100, 200);
    struct session *successor =
        sending(t, 2, "n1", 200 - INGEST_TWINS_S + 1, 900); /* overlap a second too short */
    struct session *other = sending(t, 3, "n2", 100, 900);
    struct session *silent = sending(t, 4, "n2", 0, 0); /* has sent nothing */
    assert_int_equal(twins_find(t, note_twin, &told), 0);
    assert_int_equal(told, 0);
    pod->last_batch_ns += WHEN_S;
    assert_int_equal(twins_find(t, note_twin, &told), 0);
    assert_int_equal(told, 2);
    assert_true(pod->twin_told && successor->twin_told && !other->twin_told && !silent->twin_told);
    assert_int_equal(twins_find(t, note_twin, &told), 0);
    assert_int_equal(told, 2); /* once */
    pod->twin_told = successor->twin_told = false;
    pod->gone = true;
    assert_int_equal(twins_find(t, note_twin, &told), 0);
    assert_int_equal(told, 2);
    session_drop_all(t);
    free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refresh_keeps_the_old_list, setup, teardown),
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_twins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
