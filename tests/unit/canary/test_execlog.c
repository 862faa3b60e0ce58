/* The log of executions: lines, counts, and a log that cannot be written. */
#include "check.h"

#include "canary/execlog.h"

static struct execution run = {.call = {.tool = TOOL_HOLD, .nonce = "n1", .seconds = 2},
                               .call_id = "c1",
                               .session = "01234567",
                               .peer = "[::1]:99",
                               .started_ns = 1800000000 * WHEN_S + 1};

static void lines_and_counts(void **state) {
    char path[64], text[2048] = "";
    struct execlog *log;
    struct err e;
    write_temp(path, "");
    assert_int_equal(execlog_open(path, &log, &e), 0);
    execlog_start(log, &run);
    execlog_end(log, &run, run.started_ns + 2005 * WHEN_MS);
    execlog_start(log, &run);
    execlog_gone(log, &run, run.started_ns + 5 * WHEN_MS);
    assert_int_equal(execlog_executions(log, "n1"), 2);
    assert_int_equal(execlog_executions(log, "n2"), 0);
    struct execlog_counts c = execlog_counts(log);
    assert_true(c.started == 2 && c.ended == 1 && c.gone == 1 && !c.forgotten && !c.lost);
    execlog_close(&log);
    assert_null(log);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_true(fread(text, 1, sizeof text - 1, f) > 0);
    fclose(f);
    unlink(path);
    static const char first[] = "{\"t\":\"2027-01-15T08:00:00.000000001Z\",\"event\":\"start\",\"tool\":"
                                "\"hold\",\"nonce\":\"n1\",\"call\":\"c1\","
                                "\"session\":\"01234567\",\"peer\":\"[::1]:99\",\"seconds\":2.000}\n{\"t\":"
                                "\"2027-01-15T08:00:02.005000001Z\","
                                "\"event\":\"end\",";
    assert_memory_equal(text, first, sizeof first - 1);
    assert_non_null(strstr(text, "\"event\":\"gone\""));
    assert_non_null(strstr(text, "\"seconds\":0.005}"));
    (void)state;
}

static void a_full_disk_is_counted(void **state) {
    struct execlog *log;
    struct err e;
    assert_int_equal(execlog_open("/dev/full", &log, &e), 0);
    execlog_start(log, &run);
    WAIT_FOR(execlog_counts(log).lost == 1);
    execlog_close(&log);
    assert_true(execlog_open("/nonexistent/log", &log, &e) < 0);
    (void)state;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines_and_counts),
                                       cmocka_unit_test(a_full_disk_is_counted)};
    return cmocka_run_group_tests(tests, sodium_ready, NULL);
}
