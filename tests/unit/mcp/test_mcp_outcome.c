/* The table of what a call can come to: one row for each way that an exchange ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mcp/outcome.h"

#define OUT(name) PILOTGATE__OUTCOME__OUTCOME_##name
#define GOOD .sent = true, .head = true, .status = 200, .received = 300, .answer = MCP_ANSWER_RESULT
#define SENT .sent = true

static const struct {
    const char *what;
    struct mcp_seen seen;
    Pilotgate__Outcome outcome;
} table[] = {
    {"the expected answer", {GOOD, .expected = true}, OUT(COMPLETED)},
    {"the same in a stream that we cut",
     {GOOD, .expected = true, .sse = true, .curl = CURLE_RECV_ERROR},
     OUT(COMPLETED)},
    {"the same while we end", {GOOD, .expected = true, .sse = true, .aborted = true}, OUT(COMPLETED)},
    {"after the limit", {GOOD, .expected = true, .late = true}, OUT(COMPLETED_LATE)},
    {"another answer, late", {GOOD, .late = true}, OUT(TOOL_ERROR)},
    {"isError with the expected text", {GOOD, .is_error = true, .expected = true}, OUT(TOOL_ERROR)},
    {"JSON-RPC error",
     {SENT, .head = true, .status = 200, .answer = MCP_ANSWER_ERROR, .rpc_code = -32602},
     OUT(RPC_ERROR)},
    {"500", {SENT, .head = true, .status = 500, .received = 10}, OUT(HTTP_ERROR)},
    {"500 with an answer in it",
     {SENT, .head = true, .status = 500, .answer = MCP_ANSWER_RESULT, .expected = true},
     OUT(HTTP_ERROR)},
    {"502 cut short",
     {SENT, .head = true, .status = 502, .curl = CURLE_PARTIAL_FILE, .received = 9},
     OUT(HTTP_ERROR)},
    {"redirect", {SENT, .head = true, .status = 307}, OUT(HTTP_ERROR)},
    {"404 to a session", {SENT, .head = true, .status = 404, .had_session = true}, OUT(SESSION_LOST)},
    {"400 to a session", {SENT, .head = true, .status = 400, .had_session = true}, OUT(SESSION_LOST)},
    {"404 without a session", {SENT, .head = true, .status = 404}, OUT(HTTP_ERROR)},
    {"401 to a session", {SENT, .head = true, .status = 401, .had_session = true}, OUT(HTTP_ERROR)},
    {"429", {SENT, .head = true, .status = 429, .had_session = true}, OUT(RATE_LIMITED)},
    {"no listener", {.curl = CURLE_COULDNT_CONNECT}, OUT(REFUSED)},
    {"no such name", {.curl = CURLE_COULDNT_RESOLVE_HOST}, OUT(DNS)},
    {"untrusted", {.curl = CURLE_PEER_FAILED_VERIFICATION}, OUT(TLS)},
    {"no TLS there", {.curl = CURLE_SSL_CONNECT_ERROR}, OUT(TLS)},
    {"zero bytes, reused", {SENT, .reused = true, .curl = CURLE_GOT_NOTHING}, OUT(RESET)},
    {"zero bytes, reused, resend prevented",
     {SENT, .reused = true, .resend = true, .curl = CURLE_ABORTED_BY_CALLBACK},
     OUT(RESET)},
    {"zero bytes, new", {SENT, .curl = CURLE_GOT_NOTHING}, OUT(CLOSED)},
    {"RST before an answer", {SENT, .curl = CURLE_RECV_ERROR}, OUT(RESET)},
    {"TLS end without notice, new", {SENT, .orderly = true, .curl = CURLE_RECV_ERROR}, OUT(CLOSED)},
    {"RST inside the request", {.curl = CURLE_SEND_ERROR}, OUT(RESET)},
    {"RST inside a body",
     {SENT, .head = true, .status = 200, .received = 9, .curl = CURLE_RECV_ERROR},
     OUT(RESET)},
    {"RST inside a stream",
     {SENT, .head = true, .status = 200, .received = 9, .sse = true, .curl = CURLE_RECV_ERROR},
     OUT(STREAM_ENDED)},
    {"body cut",
     {SENT, .head = true, .status = 200, .received = 9, .curl = CURLE_PARTIAL_FILE},
     OUT(TRUNCATED)},
    {"TLS body cut",
     {SENT, .head = true, .status = 200, .received = 9, .orderly = true, .curl = CURLE_RECV_ERROR},
     OUT(TRUNCATED)},
    {"stream cut",
     {SENT, .head = true, .status = 200, .received = 9, .sse = true, .curl = CURLE_PARTIAL_FILE},
     OUT(STREAM_ENDED)},
    {"stream over, no answer",
     {SENT, .head = true, .status = 200, .received = 9, .sse = true},
     OUT(STREAM_ENDED)},
    {"garbage in a stream",
     {SENT, .head = true, .status = 200, .sse = true, .answer = MCP_ANSWER_MALFORMED},
     OUT(MALFORMED)},
    {"garbage", {SENT, .head = true, .status = 200, .answer = MCP_ANSWER_MALFORMED}, OUT(MALFORMED)},
    {"202 to a call", {SENT, .head = true, .status = 202}, OUT(MALFORMED)},
    {"an endless answer",
     {SENT, .head = true, .status = 200, .overflow = true, .curl = CURLE_WRITE_ERROR},
     OUT(MALFORMED)},
    {"no HTTP", {SENT, .curl = CURLE_UNSUPPORTED_PROTOCOL, .received = 4}, OUT(MALFORMED)},
    {"no answer in time", {SENT, .curl = CURLE_OPERATION_TIMEDOUT}, OUT(TIMEOUT)},
    {"half an answer in time",
     {SENT, .head = true, .status = 200, .received = 9, .sse = true, .curl = CURLE_OPERATION_TIMEDOUT},
     OUT(TIMEOUT)},
    {"no connection in time", {.curl = CURLE_OPERATION_TIMEDOUT}, OUT(TIMEOUT)},
    {"agent ending", {SENT, .aborted = true}, OUT(ABORTED)},
    {"our own trouble", {.curl = CURLE_OUT_OF_MEMORY}, OUT(ABORTED)},
    {"nothing known at all", {0}, OUT(CLOSED)},
};

static void test_table(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char detail[MCP_DETAIL_MAX] = "?";
        Pilotgate__Outcome got = mcp_outcome(&table[i].seen, detail);
        if (got != table[i].outcome)
            fail_msg("%s: got %s, want %s", table[i].what, wire_outcome_name((int)got),
                     wire_outcome_name((int)table[i].outcome));
        assert_string_not_equal(detail, "?");
        assert_true(strlen(detail) < MCP_DETAIL_MAX);
    }
}

/* No end of the connection and no code of libcurl makes a success without the expected answer. */
static void test_no_success_without_answer(void **state) {
    (void)state;
    char detail[MCP_DETAIL_MAX];
    for (int code = 0; code < CURL_LAST; code++)
        for (unsigned bits = 0; bits < 64; bits++) {
            struct mcp_seen s = {.curl = (CURLcode)code,
                                 .sent = bits & 1,
                                 .reused = bits & 2,
                                 .sse = bits & 4,
                                 .expected = bits & 8,
                                 .had_session = bits & 16,
                                 .orderly = bits & 32,
                                 .status = 200};
            Pilotgate__Outcome got = mcp_outcome(&s, detail);
            assert_int_not_equal(got, OUT(COMPLETED));
            assert_int_not_equal(got, OUT(COMPLETED_LATE));
            assert_int_not_equal(got, OUT(UNSPECIFIED));
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_no_success_without_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
