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
#define H2 .sent = true, .http2 = true

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
    {"no kept connection", {.curl = CURLE_COULDNT_CONNECT, .withheld = true}, OUT(ABORTED)},
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
    /* what a failed call to a session, an interim answer, a cut head come to */
    {"isError, late", {GOOD, .is_error = true, .late = true}, OUT(TOOL_ERROR)},
    {"RPC error, late",
     {SENT, .head = true, .status = 200, .answer = MCP_ANSWER_ERROR, .late = true},
     OUT(RPC_ERROR)},
    {"RPC error, then the connection broke",
     {SENT, .head = true, .status = 200, .answer = MCP_ANSWER_ERROR, .curl = CURLE_RECV_ERROR},
     OUT(RPC_ERROR)},
    {"RPC error in a 400 to a session",
     {SENT, .head = true, .status = 400, .answer = MCP_ANSWER_ERROR, .had_session = true},
     OUT(SESSION_LOST)},
    {"RPC error in a 400", {SENT, .head = true, .status = 400, .answer = MCP_ANSWER_ERROR}, OUT(HTTP_ERROR)},
    {"RPC error in a 202", {SENT, .head = true, .status = 202, .answer = MCP_ANSWER_ERROR}, OUT(RPC_ERROR)},
    {"garbage in a stream, then RST",
     {SENT, .head = true, .status = 200, .sse = true, .answer = MCP_ANSWER_MALFORMED,
      .curl = CURLE_RECV_ERROR},
     OUT(MALFORMED)},
    {"garbage while we end",
     {SENT, .head = true, .status = 200, .answer = MCP_ANSWER_MALFORMED, .aborted = true},
     OUT(MALFORMED)},
    {"another content type", {SENT, .head = true, .status = 200, .foreign = true}, OUT(MALFORMED)},
    {"another content type, cut",
     {SENT, .head = true, .status = 200, .foreign = true, .curl = CURLE_PARTIAL_FILE},
     OUT(TRUNCATED)},
    {"compressed garbage",
     {SENT, .head = true, .status = 200, .curl = CURLE_BAD_CONTENT_ENCODING},
     OUT(MALFORMED)},
    {"compressed garbage in a 503",
     {SENT, .head = true, .status = 503, .curl = CURLE_BAD_CONTENT_ENCODING},
     OUT(HTTP_ERROR)},
    {"a bomb",
     {SENT, .head = true, .status = 200, .overflow = true, .curl = CURLE_WRITE_ERROR},
     OUT(MALFORMED)},
    {"an endless stream",
     {SENT, .head = true, .status = 200, .sse = true, .overflow = true, .curl = CURLE_WRITE_ERROR},
     OUT(MALFORMED)},
    {"an empty 200", {SENT, .head = true, .status = 200, .received = 60}, OUT(MALFORMED)},
    {"only 103, closed", {SENT, .status = 103, .received = 40, .curl = CURLE_GOT_NOTHING}, OUT(CLOSED)},
    {"only 103, no error at all", {SENT, .status = 103, .received = 40}, OUT(CLOSED)},
    {"only 103, reused", {SENT, .reused = true, .status = 103, .curl = CURLE_GOT_NOTHING}, OUT(RESET)},
    {"only 100, RST", {SENT, .status = 100, .received = 25, .curl = CURLE_RECV_ERROR}, OUT(RESET)},
    {"only 100, in time", {SENT, .status = 100, .curl = CURLE_OPERATION_TIMEDOUT}, OUT(TIMEOUT)},
    {"a head without its end", {SENT, .status = 200, .received = 17}, OUT(TRUNCATED)},
    {"the same of a stream", {SENT, .status = 200, .sse = true, .received = 50}, OUT(STREAM_ENDED)},
    {"the same of a 502", {SENT, .status = 502, .received = 17}, OUT(HTTP_ERROR)},
    {"502, then RST", {SENT, .head = true, .status = 502, .curl = CURLE_RECV_ERROR}, OUT(HTTP_ERROR)},
    {"504, no end in time",
     {SENT, .head = true, .status = 504, .curl = CURLE_OPERATION_TIMEDOUT},
     OUT(HTTP_ERROR)},
    {"503 to a session", {SENT, .head = true, .status = 503, .had_session = true}, OUT(HTTP_ERROR)},
    {"301", {SENT, .head = true, .status = 301}, OUT(HTTP_ERROR)},
    {"308 to a session", {SENT, .head = true, .status = 308, .had_session = true}, OUT(HTTP_ERROR)},
    /* never twice */
    {"resend prevented, while we end", {SENT, .resend = true, .aborted = true}, OUT(RESET)},
    {"resend prevented, time over", {SENT, .resend = true, .curl = CURLE_OPERATION_TIMEDOUT}, OUT(RESET)},
    {"resend prevented at its socket",
     {SENT, .reused = true, .resend = true, .curl = CURLE_COULDNT_CONNECT},
     OUT(RESET)},
    {"sent, and then no listener", {SENT, .reused = true, .curl = CURLE_COULDNT_CONNECT}, OUT(RESET)},
    {"sent, and then no name", {SENT, .reused = true, .curl = CURLE_COULDNT_RESOLVE_HOST}, OUT(RESET)},
    {"sent, and then no TLS", {SENT, .reused = true, .curl = CURLE_SSL_CONNECT_ERROR}, OUT(RESET)},
    {"reused, broke before it was sent", {.reused = true, .resend = true}, OUT(RESET)},
    /* TLS */
    {"our certificate refused in TLS 1.3", {.tls_alert = true, .curl = CURLE_RECV_ERROR}, OUT(TLS)},
    {"the same, the request was out", {SENT, .tls_alert = true, .curl = CURLE_RECV_ERROR}, OUT(TLS)},
    {"an alert inside a body",
     {SENT, .head = true, .status = 200, .tls_alert = true, .received = 9, .curl = CURLE_RECV_ERROR},
     OUT(RESET)},
    {"our certificate cannot be read", {.curl = CURLE_SSL_CERTPROBLEM}, OUT(ABORTED)},
    {"our CA cannot be read", {.curl = CURLE_SSL_CACERT_BADFILE}, OUT(ABORTED)},
    {"a certificate is wanted", {.curl = CURLE_SSL_CLIENTCERT}, OUT(TLS)},
    /* HTTP/2 */
    {"REFUSED_STREAM", {H2, .refused = true, .resend = true, .curl = CURLE_ABORTED_BY_CALLBACK}, OUT(RESET)},
    {"REFUSED_STREAM, not tried again", {H2, .refused = true, .curl = CURLE_RECV_ERROR}, OUT(RESET)},
    {"behind a GOAWAY", {H2, .refused = true, .goaway = true, .resend = true}, OUT(RESET)},
    {"a GOAWAY, and the answer", {GOOD, .http2 = true, .goaway = true, .expected = true}, OUT(COMPLETED)},
    {"a GOAWAY, the connection closed, new", {H2, .goaway = true, .curl = CURLE_PARTIAL_FILE}, OUT(CLOSED)},
    {"the same, shared", {H2, .reused = true, .goaway = true, .curl = CURLE_PARTIAL_FILE}, OUT(RESET)},
    {"a GOAWAY inside the answer",
     {H2, .head = true, .status = 200, .received = 9, .goaway = true, .curl = CURLE_PARTIAL_FILE},
     OUT(TRUNCATED)},
    {"RST_STREAM", {H2, .stream_reset = true, .stream_error = 2, .curl = CURLE_HTTP2_STREAM}, OUT(RESET)},
    {"RST_STREAM inside a body",
     {H2, .head = true, .status = 200, .received = 9, .stream_reset = true, .curl = CURLE_HTTP2_STREAM},
     OUT(RESET)},
    {"RST_STREAM inside events",
     {H2, .head = true, .status = 200, .received = 9, .sse = true, .stream_reset = true,
      .curl = CURLE_HTTP2_STREAM},
     OUT(STREAM_ENDED)},
    {"RST_STREAM after a 503",
     {H2, .head = true, .status = 503, .stream_reset = true, .curl = CURLE_HTTP2_STREAM},
     OUT(HTTP_ERROR)},
    {"a stream closed without an answer", {H2, .orderly = true, .curl = CURLE_HTTP2_STREAM}, OUT(CLOSED)},
    {"the framing broke", {H2, .curl = CURLE_HTTP2}, OUT(RESET)},
    {"a stream that was never sent, in time",
     {.http2 = true, .curl = CURLE_OPERATION_TIMEDOUT},
     OUT(TIMEOUT)},
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

/* What each class needs at least, over every combination of what may be seen: none is decided by the order in
 * which things happened to come. */
static void check_class(const struct mcp_seen *s, Pilotgate__Outcome got) {
    bool success = s->status >= 200 && s->status < 300;
    bool answered = success && (s->answer == MCP_ANSWER_RESULT || s->answer == MCP_ANSWER_ERROR);
    assert_int_equal(got == OUT(COMPLETED) || got == OUT(COMPLETED_LATE) || got == OUT(TOOL_ERROR) ||
                         got == OUT(RPC_ERROR),
                     answered);
    if (got == OUT(COMPLETED))
        assert_true(s->answer == MCP_ANSWER_RESULT && s->expected && !s->late && !s->is_error);
    if (got == OUT(HTTP_ERROR) || got == OUT(RATE_LIMITED) || got == OUT(SESSION_LOST))
        assert_true(s->status >= 300 && !s->resend);
    if (got == OUT(SESSION_LOST))
        assert_true(s->had_session);
    if (s->resend && !success)
        assert_int_equal(got, OUT(RESET));
    if (got == OUT(REFUSED) || got == OUT(DNS))
        assert_false(s->sent);
    if (s->aborted && !s->resend && !s->refused && s->status == 0)
        assert_int_equal(got, OUT(ABORTED));
}

static struct mcp_seen combination(unsigned bits, long status, CURLcode code) {
    return (struct mcp_seen){.curl = code,
                             .status = status,
                             .head = status >= 200 && bits & 1,
                             .sent = bits & 2 || status,
                             .reused = bits & 4,
                             .resend = bits & 8,
                             .aborted = bits & 16,
                             .late = bits & 32,
                             .had_session = bits & 64,
                             .sse = bits & 128,
                             .is_error = bits & 256,
                             .expected = bits & 512,
                             .http2 = bits & 1024,
                             .goaway = bits & 2048,
                             .refused = (bits & 4096) && (bits & 1024),
                             .answer = (enum mcp_answer)(bits >> 13 & 3)};
}

static void test_combinations(void **state) {
    (void)state;
    static const long statuses[] = {0, 103, 200, 202, 307, 400, 404, 429, 503};
    static const CURLcode codes[] = {CURLE_OK,
                                     CURLE_GOT_NOTHING,
                                     CURLE_PARTIAL_FILE,
                                     CURLE_RECV_ERROR,
                                     CURLE_OPERATION_TIMEDOUT,
                                     CURLE_COULDNT_CONNECT,
                                     CURLE_COULDNT_RESOLVE_HOST,
                                     CURLE_HTTP2_STREAM,
                                     CURLE_WRITE_ERROR,
                                     CURLE_ABORTED_BY_CALLBACK};
    char detail[MCP_DETAIL_MAX];
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        for (size_t k = 0; k < sizeof codes / sizeof *codes; k++)
            for (unsigned bits = 0; bits < 1u << 15; bits++) {
                struct mcp_seen s = combination(bits, statuses[i], codes[k]);
                detail[0] = 1;
                Pilotgate__Outcome got = mcp_outcome(&s, detail);
                check_class(&s, got);
                assert_int_not_equal(got, OUT(UNSPECIFIED));
                assert_null(strchr(detail, '\n'));
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_no_success_without_answer),
        cmocka_unit_test(test_combinations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
