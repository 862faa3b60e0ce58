/* test_cli_calls: calls one by one, calls joined with logs of every format, and `attest supersede`, on a real
 * store through the built program. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "cli_fixture.h"
#include "stored_pilot.h"

#define CALLS (2 + 1 + 4 * STORED_EACH + 1) /* in the stored pilot */

static struct run r; /* large */

static void expect(int status) {
    if (r.status != status)
        fail_msg("status %d instead of %d: %s%s", r.status, status, r.out, r.err);
}

static void shell(const char *dir, const char *line) {
    char command[1024];
    (void)snprintf(command, sizeof command, "cd %s && %s", dir, line);
    assert_int_equal(system(command), 0);
}

static size_t count_lines(void) {
    size_t n = 0;
    for (const char *p = r.out; *p; p++)
        n += *p == '\n';
    return n;
}

/* The ids of the two changes: the first fails, the second passes. */
static void change_ids(const char *dir, char failed[64], char passed[64]) {
    run_cli(&r, dir, "changes -o json");
    json_t *list = said(&r, 0);
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(js_str(json_array_get(list, 0), "verdict", ""), "FAIL");
    assert_string_equal(js_str(json_array_get(list, 1), "verdict", ""), "PASS");
    (void)snprintf(failed, 64, "%s", js_str(json_array_get(list, 0), "id", ""));
    (void)snprintf(passed, 64, "%s", js_str(json_array_get(list, 1), "id", ""));
    json_decref(list);
}

static void test_calls_are_listed(void **state) {
    const char *dir = *state;
    run_cli(&r, dir, "calls -o json");
    json_t *list = said(&r, 0);
    assert_int_equal(json_array_size(list), CALLS);
    for (size_t i = 1; i < CALLS; i++) /* newest last */
        assert_true(strcmp(js_str(json_array_get(list, i - 1), "start", ""),
                           js_str(json_array_get(list, i), "start", "")) <= 0);
    const json_t *first = json_array_get(list, 0);
    assert_string_equal(js_str(first, "call", ""), STORED_BOOT "-1");
    assert_string_equal(js_str(first, "stage", ""), "c1/shop");
    assert_string_equal(js_str(first, "outcome", ""), "completed");
    assert_string_equal(js_str(first, "connection", ""), "reused");
    assert_true(js_bool(json_array_get(list, CALLS - 1), "control", false));
    json_decref(list);
    run_cli(&r, dir, "calls --lost -o csv"); /* told once, though a block and a row have it */
    expect(0);
    assert_int_equal(count_lines(), 2);
    assert_non_null(strstr(r.out, STORED_BOOT "-3,kept,hold,,reused,1.750,reset,gateway,,,"));
    assert_non_null(strstr(r.out, "\"sent, \"\"no byte\"\" of the answer\""));
    run_cli(&r, dir, "calls --probe fresh --limit 4");
    expect(0);
    assert_int_equal(count_lines(), 5);
    assert_non_null(strstr(r.err, "newest 4 of 10"));
    assert_non_null(strstr(r.out, STORED_BOOT "-209")); /* the newest stay */
    assert_null(strstr(r.out, STORED_BOOT "-105"));
    run_cli(&r, dir, "calls --outcome timeout");
    expect(0);
    assert_non_null(strstr(r.out, "no such call"));
}

static void test_calls_of_a_change(void **state) {
    const char *dir = *state;
    char failed[64], passed[64];
    change_ids(dir, failed, passed);
    run_cli(&r, dir, "calls --change %s -o json", failed);
    json_t *list = said(&r, 0);
    assert_int_equal(json_array_size(list), 2 * STORED_EACH + 1);
    json_decref(list);
    run_cli(&r, dir, "calls --change %s --lost", failed);
    expect(0);
    assert_non_null(strstr(r.out, "reset (dropped)"));
    assert_int_equal(count_lines(), 2);
    run_cli(&r, dir, "calls --change %s --lost", passed);
    expect(0);
    assert_non_null(strstr(r.out, "no such call"));
}

static void test_wrong_words(void **state) {
    static const struct {
        const char *line, *part;
    } bad[] = {
        {"attest superseed x --by y", "supersede"},
        {"calls --change nothing", "pilotgate changes"},
        {"calls --outcome timout", "did you mean 'timeout'"},
        {"calls --since soon", "--since"},
        {"calls --since 2026-01-02T00:00:00Z --until 2026-01-01T00:00:00Z", "later time"},
        {"calls --stage c1/none", "c1/none"},
        {"calls --limit 0", "--limit"},
        {"calls --format csv", "--join"},
        {"calls -o xml", "table, json, yaml, csv"},
        {"calls --join absent.log", "absent.log"},
        {"calls --join p.yaml --format apache", "haproxy"},
        {"calls --join p.yaml --format csv --field call_id", "call_id"},
        {"calls --join p.yaml -o csv", "table, json, yaml"},
        {"calls --join p.yaml --probe nobody", "no call is asked for"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        run_cli(&r, *state, "%s", bad[i].line);
        said_error(&r, bad[i].part);
    }
}

/* ---- joined with a log */

/* '#' becomes the number. */
static void put_line(FILE *f, const char *line, uint64_t number) {
    for (; *line; line++)
        if (*line == '#')
            (void)fprintf(f, "%llu", (unsigned long long)number);
        else
            (void)fputc(*line, f);
}

/* A log with a line for each completed call through the gateway; skip and twice are left out and doubled. */
static void write_log(const char *dir, const char *name, const char *format, uint64_t skip, uint64_t twice,
                      const char *more) {
    static const uint64_t firsts[] = {100, 200};
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (uint64_t n = 1; n <= 2; n++)
        put_line(f, format, n);
    for (size_t k = 0; k < 2; k++)
        for (uint64_t n = firsts[k]; n < firsts[k] + 2 * STORED_EACH; n++)
            for (int times = n == skip ? 0 : n == twice ? 2 : 1; times > 0; times--)
                put_line(f, format, n);
    (void)fputs(more, f);
    assert_int_equal(fclose(f), 0);
}

static int64_t counted(const json_t *doc, const char *what) {
    return js_int(json_object_get(doc, "counts"), what, -1);
}

static const char ended[] = "{\"t\":\"x\",\"event\":\"start\",\"nonce\":\"" STORED_BOOT
                            "-#\"}\n{\"event\":\"end\",\"call\":\"" STORED_BOOT "-#\"}\n";

static void test_a_log_of_executions(void **state) {
    const char *dir = *state;
    write_log(dir, "x", ended, 0, 0,
              "{\"event\":\"start\",\"nonce\":\"" STORED_BOOT
              "-3\"}\n{\"event\":\"gone\",\"nonce\":\"" STORED_BOOT
              "-3\"}\nnot ours\n{\"event\":\"end\",\"nonce\":\"ffffffff-7\"}\n");
    run_cli(&r, dir, "calls --join x -o json");
    json_t *doc = said(&r, 0);
    assert_true(js_bool(doc, "agree", false));
    assert_int_equal(js_int(doc, "calls", 0), CALLS);
    assert_int_equal(js_int(doc, "lost", 0), 1);
    assert_int_equal(js_int(doc, "lines_without_call", 0), 1);
    assert_int_equal(js_int(doc, "lines_of_others", 0), 1);
    assert_int_equal(counted(doc, "agrees"), CALLS - 1);
    assert_int_equal(counted(doc, "unanswered"), 1); /* told, and no disagreement */
    assert_string_equal(js_str(json_array_get(js_at(doc, "differences"), 0), "call", ""), STORED_BOOT "-3");
    json_decref(doc);
    run_cli(&r, dir, "calls --join x");
    expect(0);
    assert_non_null(strstr(r.out, "they agree"));
    shell(dir, PILOTGATE_BIN " calls --join - -o json <x >joined"); /* its standard input is the log */
}

static void test_each_disagreement(void **state) {
    static const struct {
        uint64_t skip, twice;
        const char *more, *what;
    } cases[] = {
        {103, 0, "", "absent"},
        {0, 104, "", "repeated"},
        {103, 0, "{\"event\":\"start\",\"nonce\":\"" STORED_BOOT "-103\"}\n", "broken"},
        {0, 0, "{\"event\":\"end\",\"nonce\":\"" STORED_BOOT "-3\"}\n", "answer-lost"},
        {0, 0, "{\"event\":\"end\",\"nonce\":\"" STORED_BOOT "-77\"}\n", "unknown"},
    };
    const char *dir = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_log(dir, "x", ended, cases[i].skip, cases[i].twice, cases[i].more);
        run_cli(&r, dir, "calls --join x -o json");
        json_t *doc = said(&r, 1);
        assert_false(js_bool(doc, "agree", true));
        if (counted(doc, cases[i].what) != 1)
            fail_msg("no %s in %s", cases[i].what, r.out);
        json_decref(doc);
        run_cli(&r, dir, "calls --join x");
        expect(1);
        assert_non_null(strstr(r.out, "they disagree"));
    }
}

/* The log of a whole day, and the calls of one change: what was not asked for is no disagreement. */
static void test_a_log_has_more_than_was_asked_for(void **state) {
    const char *dir = *state;
    char failed[64], passed[64];
    change_ids(dir, failed, passed);
    write_log(dir, "x", ended, 0, 0,
              "{\"event\":\"end\",\"nonce\":\"" STORED_BOOT "-999\"}\n"); /* newer than all */
    run_cli(&r, dir, "calls --change %s --join x -o json", passed);
    json_t *doc = said(&r, 0);
    assert_int_equal(js_int(doc, "calls", 0), 2 * STORED_EACH);
    assert_int_equal(js_int(doc, "calls_not_asked_for", 0), 2 + 2 * STORED_EACH + 1);
    json_decref(doc);
}

static void test_formats(void **state) {
    static const struct {
        const char *name, *format, *options, *bad;
    } logs[] = {
        {"haproxy",
         "Nov 23 04:05:06 lb haproxy[14389]: 10.0.1.2:33317 [23/Nov/2026:04:05:06.655] mcp canary/srv1 "
         "10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {" STORED_BOOT "-#} \"POST /mcp HTTP/1.1\"\n",
         "",
         "10.0.1.2:33317 [x] mcp canary/srv1 10/0/30/69/109 200 2750 - - SD-- 1/1 {" STORED_BOOT
         "-103} \"P\"\n"},
        {"nginx",
         "10.0.0.1 - - [23/Nov/2026:04:05:06 +0000] \"POST /mcp HTTP/1.1\" 200 512 \"-\" \"" STORED_BOOT
         "-#\"\n",
         "", "10.0.0.1 - - [x] \"POST /mcp HTTP/1.1\" 499 0 \"-\" \"" STORED_BOOT "-103\"\n"},
        {"jsonl",
         "{\"id\":{\"call\":\"" STORED_BOOT "-#\"},\"status\":\"success\",\"noise\":\"" STORED_BOOT
         "-5000000\"}\n",
         "--field id.call", "{\"id\":{\"call\":\"" STORED_BOOT "-103\"},\"status\":\"failed\"}\n"},
        {"csv", "7,\"a, \"\"quoted\"\" \",200," STORED_BOOT "-#\n", "", "7,x,503," STORED_BOOT "-103\n"},
        {"text", "handled " STORED_BOOT "-# at last\n", "", NULL},
    };
    const char *dir = *state;
    for (size_t i = 0; i < sizeof logs / sizeof *logs; i++) {
        bool csv = strcmp(logs[i].name, "csv") == 0;
        for (int bad = 0; bad <= (logs[i].bad != NULL); bad++) {
            write_log(dir, "body", logs[i].format, bad ? 103 : 0, 0, bad ? logs[i].bad : "");
            write_text(dir, "x", csv ? "id,text,status,call\n" : "");
            shell(dir, "cat body >>x");
            for (int named = 0; named <= 1; named++) {
                run_cli(&r, dir, "calls --join x --format %s %s -o json", named ? logs[i].name : "auto",
                        logs[i].options);
                if (r.status != bad)
                    fail_msg("%s, bad %d: %s%s", logs[i].name, bad, r.out, r.err);
                json_t *doc = said(&r, bad);
                assert_int_equal(counted(doc, "broken"), bad);
                assert_int_equal(counted(doc, "absent"), 0);
                assert_int_equal(counted(doc, "never-reached"), 1);
                json_decref(doc);
            }
        }
    }
}

/* Lines without end, bytes of every value, and a gigantic record: bounded, counted, never trusted. */
static void test_a_hostile_file(void **state) {
    const char *dir = *state;
    write_log(dir, "x", ended, 0, 0, "");
    shell(dir, "head -c 3000000 /dev/zero | tr '\\0' '{' >>x; echo >>x; head -c 200000 /dev/urandom >>x");
    run_cli(&r, dir, "calls --join x -o json");
    json_t *doc = said(&r, 0);
    assert_true(js_int(doc, "lines_cut", 0) >= 1);
    assert_int_equal(counted(doc, "agrees"), CALLS - 1);
    json_decref(doc);
    shell(dir, "printf %s " STORED_BOOT "-18446744073709551616 >y");
    run_cli(&r, dir, "calls --join y -o json");
    doc = said(&r, 1); /* nothing of ours is in it */
    ;
    assert_int_equal(counted(doc, "unknown"), 0);
    json_decref(doc);
}

/* ---- attest supersede */

static void test_supersede(void **state) {
    const char *dir = *state;
    char failed[64], passed[64];
    change_ids(dir, failed, passed);
    (void)setenv("F", failed, 1);
    (void)setenv("P", passed, 1);
    static const struct {
        const char *words, *part;
    } bad[] = {
        {"", "name the change"},
        {"$F --who Ann", "--by"},
        {"$F --by $P", "--who"},
        {"$F --by $P --who Ann --name x", "--name"},
        {"nothing --by $P --who Ann", "pilotgate changes"},
        {"$F --by nothing --who Ann", "pilotgate changes"},
        {"$F --by $P --who Ann --stage c1/pay", "c1/pay"},
        {"$P --by $F --who Ann", "did not fail"},
        {"$F --by $F --who Ann", "itself"},
        {"$F --by $P --who Ann --file absent.pdf", "absent.pdf"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        run_cli(&r, dir, "attest supersede %s", bad[i].words); /* the shell fills in $F and $P */
        said_error(&r, bad[i].part);
    }
    run_cli(&r, dir, "attest supersede %s --by %s --who Ann --file p.yaml --note fixed", failed, passed);
    expect(0);
    assert_non_null(strstr(r.out, "superseded by"));
    run_cli(&r, dir, "changes -o json"); /* both stay displayed */
    assert_non_null(strstr(r.out, failed));
    assert_non_null(strstr(r.out, passed));
}

static int take_document(void *ctx, const char *name, const json_t *body, uint64_t commit, int64_t at_ns) {
    (void)commit;
    (void)at_ns;
    assert_int_equal(strncmp(name, "supersede/c1/shop/t", 19), 0);
    *(json_t **)ctx = json_deep_copy(body);
    return 0;
}

static void test_what_supersede_stores(void **state) {
    const char *dir = *state;
    char failed[64], passed[64];
    json_t *body = NULL;
    struct store *s = NULL;
    change_ids(dir, failed, passed);
    run_cli(&r, dir, "attest supersede %s --by %s --who Ann --link https://x/1 --stage c1/shop", failed,
            passed);
    expect(0);
    assert_int_equal(store_open(getenv("PILOTGATE_STORE"), STORE_READ, &s, NULL), 0);
    assert_int_equal(store_documents(s, 0, "attestation", take_document, &body, NULL), 0);
    store_close(&s);
    assert_string_equal(js_str(body, "what", ""), "supersede");
    assert_string_equal(js_str(body, "stage", ""), "c1/shop");
    assert_string_equal(js_str(body, "change", ""), failed);
    assert_string_equal(js_str(body, "by", ""), passed);
    assert_string_equal(js_str(body, "who", ""), "Ann");
    assert_string_equal(js_str(body, "link", ""), "https://x/1");
    assert_true(js_int(body, "t_ns", 0) > 0);
    json_decref(body);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, stored_setup, dir_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_calls_are_listed),  CASE(test_calls_of_a_change),
        CASE(test_wrong_words),       CASE(test_a_log_of_executions),
        CASE(test_each_disagreement), CASE(test_a_log_has_more_than_was_asked_for),
        CASE(test_formats),           CASE(test_a_hostile_file),
        CASE(test_supersede),         CASE(test_what_supersede_stores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
