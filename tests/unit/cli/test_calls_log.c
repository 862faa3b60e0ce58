/* test_calls_log: what one line of a log says of a call, and whether two records of a call agree: tables of
 * cases for the two pure parts of `calls --join`. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <string.h>

#include "cli/calls_judge.h"
#include "cli/calls_log.h"
#include "pilotgate.pb-c.h"

#define N "0a0b0c0d-17"

static const struct {
    enum calls_log_format format;
    const char *line;
    int fate; /* -1: names no call */
} lines[] = {
    {CALLS_LOG_TEXT, N, CALLS_LOG_NAMED},
    {CALLS_LOG_TEXT, "call=" N ", fine", CALLS_LOG_NAMED},
    {CALLS_LOG_TEXT, "0a0b0c0d-", -1},
    {CALLS_LOG_TEXT, "0a0b0c0d-x7", -1},
    {CALLS_LOG_TEXT, "x0a0b0c0d-17", -1},
    {CALLS_LOG_TEXT, "0a0b0c0d-17x", -1},
    {CALLS_LOG_TEXT, "0A0B0C0D-17", -1},
    {CALLS_LOG_TEXT, "0a0b0c0d-1234567890123456789", -1}, /* no number of ours has so many digits */
    {CALLS_LOG_TEXT, "0a0b0c0d-1234-4321-8765-0123456789ab " N, CALLS_LOG_NAMED}, /* a UUID before it */
    {CALLS_LOG_JSONL, "{\"event\":\"start\",\"nonce\":\"" N "\"}", CALLS_LOG_START},
    {CALLS_LOG_JSONL, "pod/canary-1 {\"event\":\"gone\",\"nonce\":\"" N "\"}", CALLS_LOG_GONE},
    {CALLS_LOG_JSONL, "{\"call\":\"" N "\",\"status\":200,\"end\":\"----\"}", CALLS_LOG_ANSWERED},
    {CALLS_LOG_JSONL, "{\"call\":\"" N "\",\"status\":200,\"end\":\"SD--\"}", CALLS_LOG_FAILED},
    {CALLS_LOG_JSONL, "{\"call\":\"" N "\",\"status\":200,\"end\":1795421028}", CALLS_LOG_ANSWERED},
    {CALLS_LOG_JSONL, "{\"call\":\"" N "\",\"status\":\"Succeeded\"}", CALLS_LOG_ANSWERED},
    {CALLS_LOG_JSONL, "{\"call\":\"" N "\",\"success\":false,\"status\":200}", CALLS_LOG_FAILED},
    {CALLS_LOG_JSONL, "{\"call\":\"" N "\",\"error\":{\"message\":\"x\"}}", CALLS_LOG_FAILED},
    {CALLS_LOG_JSONL, "{\"call\":\"" N "\",\"error\":null}", CALLS_LOG_NAMED},
    {CALLS_LOG_JSONL, "{\"call\":\"" N "\"", CALLS_LOG_NAMED}, /* cut off */
    {CALLS_LOG_JSONL, "{\"call\":7}", -1},
    {CALLS_LOG_HAPROXY, "x 10/0/30/69/109 502 2750 - - SH-- 1/1/1/1/0 0/0 {" N "} \"P /\"", CALLS_LOG_FAILED},
    {CALLS_LOG_HAPROXY, "x 10/0/-1/-1/+109 200 2750 - - ---- 1/1/1/1/0 0/0 {" N "} \"P /\"",
     CALLS_LOG_ANSWERED},
    {CALLS_LOG_HAPROXY, N " 10/0/30/69/109", CALLS_LOG_FAILED}, /* what is missing is no answer */
    {CALLS_LOG_HAPROXY, N, CALLS_LOG_NAMED},
    {CALLS_LOG_NGINX, "x \"P / HTTP/1.1\" 200 5 \"" N "\"", CALLS_LOG_ANSWERED},
    {CALLS_LOG_NGINX, "x \"P / HTTP/2.0\" 504 5 \"" N "\"", CALLS_LOG_FAILED},
    {CALLS_LOG_NGINX, "x \"P / HTTP/2.0 " N, CALLS_LOG_NAMED},
    {CALLS_LOG_AUTO, "{\"event\":\"end\",\"call\":\"" N "\"}", CALLS_LOG_END},
    {CALLS_LOG_AUTO, "", -1},
};

static void lines_are_read(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct calls_log log = {.format = lines[i].format};
        struct calls_log_entry x = {0};
        char line[256];
        (void)snprintf(line, sizeof line, "%s", lines[i].line);
        int r = calls_log_line(&log, line, strlen(line), &x, NULL);
        if (r != (lines[i].fate >= 0) || (r && (int)x.fate != lines[i].fate))
            fail_msg("%s: %d, fate %d", lines[i].line, r, (int)x.fate);
        if (r && (x.boot != 0x0a0b0c0d || x.number != 17))
            fail_msg("%s: %08x-%llu", lines[i].line, (unsigned)x.boot, (unsigned long long)x.number);
    }
}

static int read_csv(struct calls_log *log, const char *text, struct calls_log_entry *x) {
    char line[256];
    (void)snprintf(line, sizeof line, "%s", text);
    return calls_log_line(log, line, strlen(line), x, NULL);
}

static void a_csv_has_a_head(void **state) {
    (void)state;
    struct calls_log log = {.format = CALLS_LOG_AUTO, .field = "request, id"};
    struct calls_log_entry x;
    assert_int_equal(read_csv(&log, "time,\"request, id\",Outcome,noise", &x), 0);
    assert_int_equal(log.format, CALLS_LOG_CSV);
    assert_int_equal(read_csv(&log, "1,\"" N "\",timeout,0a0b0c0d-99", &x), 1);
    assert_int_equal(x.number, 17);
    assert_int_equal(x.fate, CALLS_LOG_FAILED);
    assert_int_equal(read_csv(&log, "1,,ok,0a0b0c0d-99", &x), 0); /* not in the column that was named */
    assert_int_equal(read_csv(&log, "1,\"" N, &x), 1);            /* an open quote, a short record */
    assert_int_equal(x.fate, CALLS_LOG_NAMED);
    log = (struct calls_log){.format = CALLS_LOG_CSV, .field = "id"};
    assert_true(read_csv(&log, "time,call", &x) < 0);
}

#define OUT(name) PILOTGATE__OUTCOME__OUTCOME_##name
#define CONTROL PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL
#define RESUMED PILOTGATE__CALL_FLAG__CALL_FLAG_RESUMED

static const struct {
    uint32_t outcome, flags;
    struct calls_there there;
    enum calls_match match;
} pairs[] = {
    {OUT(COMPLETED), 0, {.answered = 1}, CALLS_MATCH_AGREES},
    {OUT(COMPLETED), 0, {.starts = 1, .ends = 1}, CALLS_MATCH_AGREES},
    {OUT(COMPLETED), 0, {.named = 3}, CALLS_MATCH_AGREES},
    {OUT(COMPLETED), 0, {0}, CALLS_MATCH_ABSENT},
    {OUT(COMPLETED), CONTROL, {0}, CALLS_MATCH_AGREES},
    {OUT(COMPLETED_LATE), 0, {0}, CALLS_MATCH_ABSENT},
    {OUT(COMPLETED), 0, {.starts = 1}, CALLS_MATCH_BROKEN},
    {OUT(COMPLETED), 0, {.starts = 1, .gone = 1}, CALLS_MATCH_BROKEN},
    {OUT(COMPLETED), 0, {.failed = 1}, CALLS_MATCH_BROKEN},
    {OUT(COMPLETED), 0, {.starts = 2, .ends = 1, .gone = 1}, CALLS_MATCH_REPEATED},
    {OUT(COMPLETED), 0, {.answered = 1, .failed = 1}, CALLS_MATCH_REPEATED},
    {OUT(COMPLETED), RESUMED, {.answered = 2}, CALLS_MATCH_AGREES},
    {OUT(RESET), 0, {0}, CALLS_MATCH_NEVER_REACHED},
    {OUT(REFUSED), 0, {0}, CALLS_MATCH_NEVER_REACHED},
    {OUT(RESET), 0, {.starts = 1, .gone = 1}, CALLS_MATCH_UNANSWERED},
    {OUT(TIMEOUT), 0, {.starts = 1}, CALLS_MATCH_UNANSWERED},
    {OUT(CLOSED), 0, {.failed = 1}, CALLS_MATCH_AGREES},
    {OUT(TRUNCATED), 0, {.starts = 1, .ends = 1}, CALLS_MATCH_ANSWER_LOST},
    {OUT(RESET), 0, {.starts = 2}, CALLS_MATCH_REPEATED},
    {OUT(HTTP_ERROR), 0, {.failed = 1}, CALLS_MATCH_AGREES},
    {OUT(HTTP_ERROR), 0, {0}, CALLS_MATCH_AGREES}, /* the gateway's own answer */
    {OUT(HTTP_ERROR), 0, {.starts = 1, .gone = 1}, CALLS_MATCH_UNANSWERED},
    {OUT(HTTP_ERROR), 0, {.starts = 1, .ends = 1}, CALLS_MATCH_ANSWER_LOST},
    {OUT(TOOL_ERROR), 0, {.starts = 1, .ends = 1}, CALLS_MATCH_AGREES},
    {OUT(ABORTED), 0, {.starts = 1}, CALLS_MATCH_AGREES},
    {OUT(ABORTED), 0, {0}, CALLS_MATCH_AGREES},
    {99, 0, {.answered = 1}, CALLS_MATCH_AGREES},
};

static void records_are_compared(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        enum calls_match m = calls_judge(pairs[i].outcome, pairs[i].flags, &pairs[i].there, true);
        if (m != pairs[i].match)
            fail_msg("pair %zu: %s instead of %s", i, calls_match_name(m), calls_match_name(pairs[i].match));
    }
    const struct calls_there begun = {.starts = 1}; /* a record that tells beginnings only */
    assert_int_equal(calls_judge(OUT(COMPLETED), 0, &begun, false), CALLS_MATCH_AGREES);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines_are_read), cmocka_unit_test(a_csv_has_a_head),
                                       cmocka_unit_test(records_are_compared)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
