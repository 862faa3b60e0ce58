/* The parts of the prober without I/O: event streams, envelopes, call blocks, polled states. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "base/js.h"
#include "mcp/blocks.h"
#include "mcp/mcp.h"
#include "mcp/rpc.h"
#include "mcp/sse.h"
#include "mcp/watch.h"

/* ------------------------------------------------------------------ event streams */

static int collect(void *ctx, const char *data, size_t len) {
    struct buf *b = ctx;
    return buf_addf(b, "[%.*s]", (int)len, data);
}

/* Feeds the text in pieces of n bytes; returns what events came, in brackets. */
static char *events_of(const char *text, size_t n) {
    struct mcp_sse s;
    struct buf out = BUF_INIT(4096);
    mcp_sse_init(&s);
    assert_int_equal(buf_adds(&out, ""), 0);
    for (size_t at = 0, len = strlen(text); at < len; at += n) {
        size_t piece = len - at < n ? len - at : n;
        assert_int_equal(mcp_sse_feed(&s, text + at, piece, collect, &out), 0);
    }
    mcp_sse_free(&s);
    return out.data;
}

static void test_sse_split_anywhere(void **state) {
    (void)state;
    static const struct {
        const char *text, *events;
    } cases[] = {
        {"data: a\n\n", "[a]"},
        {"data: a\r\n\r\n", "[a]"},
        {"data: a\r\rdata:b\r\r", "[a][b]"},
        {"data: a\ndata: b\n\n", "[a\nb]"},
        {"data:  a\n\n", "[ a]"},
        {": comment\nevent: message\nid: 7\nretry: 10\ndata: x\n\n", "[x]"},
        {"\xEF\xBB\xBF"
         "data: x\n\n",
         "[x]"},
        {"id: 1\ndata:\n\ndata: x\n\n", "[x]"},
        {"id: 1\ndata\n\ndata: x\n\n", "[x]"},
        {"data: never ended\n", ""},
        {"database: x\n\n", ""},
        {"\n\n\n\ndata: x\n\n", "[x]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t n = 1; n < 40; n++) {
            char *got = events_of(cases[i].text, n);
            assert_string_equal(got, cases[i].events);
            free(got);
        }
}

/* Ids and retry times: those of whole events, also of events without data; only what the standard allows. */
static void test_sse_ids(void **state) {
    (void)state;
    static const struct {
        const char *text, *id;
        int64_t retry_ms;
    } cases[] = {
        {"data: a\n\n", "", -1},
        {"id: 7\ndata: a\n\n", "7", -1},
        {"id: 7\n\n", "7", -1},
        {"id: 7\ndata: a\n\nid: 8\ndata: b\n", "7", -1},
        {"id: 7\n\ndata: a\n\n", "7", -1},
        {"id: 7\n\nid\ndata: a\n\n", "", -1},
        {"id:7 \r\rid: \xC3\xA4\r\n\r\n", "\xC3\xA4", -1},
        {"retry: 1500\n", "", 1500},
        {"retry: 15x\nretry: \nretry\nretry: -1\n", "", -1},
        {"retry: 99999999999999999999\n", "", MCP_SSE_RETRY_MAX},
        {"idx: 7\nretry2: 5\n\n", "", -1},
    };
    struct buf out = BUF_INIT(4096);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t n = 1; n < 30; n += 4) {
            struct mcp_sse s;
            mcp_sse_init(&s);
            for (size_t at = 0, len = strlen(cases[i].text); at < len; at += n)
                assert_int_equal(
                    mcp_sse_feed(&s, cases[i].text + at, len - at < n ? len - at : n, collect, &out), 0);
            assert_string_equal(s.id, cases[i].id);
            assert_int_equal(s.retry_ms, cases[i].retry_ms);
            mcp_sse_free(&s);
            buf_clear(&out);
        }
    buf_free(&out);
}

/* A NUL in an id is no id, and an id over the limit is none. */
static void test_sse_odd_ids(void **state) {
    (void)state;
    struct mcp_sse s;
    struct buf out = BUF_INIT(4096);
    char line[MCP_EVENT_ID_MAX + 16] = "id: ";
    memset(line + 4, 'x', sizeof line - 4);
    mcp_sse_init(&s);
    assert_int_equal(mcp_sse_feed(&s, "id: 7\n\nid: 8\0009\n\n", 16, collect, &out), 0);
    assert_string_equal(s.id, "7");
    assert_int_equal(mcp_sse_feed(&s, line, sizeof line, collect, &out), 0);
    assert_int_equal(mcp_sse_feed(&s, "\n\n", 2, collect, &out), 0);
    assert_string_equal(s.id, "");
    mcp_sse_free(&s);
    buf_free(&out);
}

static void test_sse_bounded(void **state) {
    (void)state;
    struct mcp_sse s;
    struct buf out = BUF_INIT(64);
    static char block[65536];
    memset(block, 'x', sizeof block);
    mcp_sse_init(&s);
    int r = 0;
    for (size_t sent = 0; r == 0 && sent < 2 * MCP_SSE_LINE_MAX; sent += sizeof block)
        r = mcp_sse_feed(&s, block, sizeof block, collect, &out);
    assert_int_equal(r, -EMSGSIZE);
    mcp_sse_free(&s);
    mcp_sse_init(&s);
    memcpy(block, "data:", 5);
    block[sizeof block - 1] = '\n';
    r = 0;
    for (size_t sent = 0; r == 0 && sent < 2 * MCP_ANSWER_MAX; sent += sizeof block)
        r = mcp_sse_feed(&s, block, sizeof block, collect, &out);
    assert_int_equal(r, -EMSGSIZE);
    mcp_sse_free(&s);
    buf_free(&out);
}

static int stop_at_first(void *ctx, const char *data, size_t len) {
    (void)data;
    (void)len;
    (*(int *)ctx)++;
    return 1;
}

static void test_sse_callback_stops(void **state) {
    (void)state;
    struct mcp_sse s;
    int events = 0;
    mcp_sse_init(&s);
    assert_int_equal(mcp_sse_feed(&s, "data: a\n\ndata: b\n\n", 18, stop_at_first, &events), 1);
    assert_int_equal(events, 1);
    mcp_sse_free(&s);
}

/* ------------------------------------------------------------------ envelopes */

static enum mcp_answer classify(const char *text, int64_t *code) {
    json_t *m = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(m);
    enum mcp_answer a = mcp_rpc_classify(m, "id-7", code);
    json_decref(m);
    return a;
}

static void test_classify(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum mcp_answer answer;
    } cases[] = {
        {"{\"jsonrpc\":\"2.0\",\"id\":\"id-7\",\"result\":{}}", MCP_ANSWER_RESULT},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"id-8\",\"result\":{}}", MCP_ANSWER_NONE},
        {"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}", MCP_ANSWER_NONE},
        {"{\"jsonrpc\":\"2.0\",\"result\":{}}", MCP_ANSWER_MALFORMED},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"id-7\",\"result\":[]}", MCP_ANSWER_MALFORMED},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"id-7\"}", MCP_ANSWER_MALFORMED},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"id-7\",\"result\":{},\"error\":{\"code\":1}}", MCP_ANSWER_MALFORMED},
        {"{\"jsonrpc\":\"1.0\",\"id\":\"id-7\",\"result\":{}}", MCP_ANSWER_MALFORMED},
        {"{\"id\":\"id-7\",\"result\":{}}", MCP_ANSWER_MALFORMED},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"id-7\",\"error\":{\"code\":-32602,\"message\":\"x\"}}",
         MCP_ANSWER_ERROR},
        {"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700}}", MCP_ANSWER_ERROR},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"id-8\",\"error\":{\"code\":-32602}}", MCP_ANSWER_NONE},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"id-7\",\"error\":{\"code\":\"x\"}}", MCP_ANSWER_MALFORMED},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"id-7\",\"error\":[]}", MCP_ANSWER_MALFORMED},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}", MCP_ANSWER_NONE},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"id-7\",\"method\":\"ping\"}", MCP_ANSWER_NONE},
        {"{\"jsonrpc\":\"2.0\",\"id\":\"id-7\",\"method\":\"ping\",\"result\":{}}", MCP_ANSWER_MALFORMED},
        {"{\"jsonrpc\":\"2.0\",\"method\":7}", MCP_ANSWER_MALFORMED},
        {"[{\"jsonrpc\":\"2.0\",\"id\":\"id-7\",\"result\":{}}]", MCP_ANSWER_MALFORMED},
        {"null", MCP_ANSWER_MALFORMED},
        {"\"x\"", MCP_ANSWER_MALFORMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t code = 0;
        enum mcp_answer got = classify(cases[i].text, &code);
        if (got != cases[i].answer)
            fail_msg("%s: got %d", cases[i].text, (int)got);
    }
    int64_t code = 0;
    assert_int_equal(classify(cases[9].text, &code), MCP_ANSWER_ERROR);
    assert_int_equal(code, -32602);
}

static void test_call_text(void **state) {
    (void)state;
    json_t *arguments =
        json_loads("{\"a\":\"x{nonce}y{nonce}\",\"b\":[1,{\"c\":\"{nonce}\"}],\"{nonce}\":2}", 0, NULL);
    assert_true(mcp_rpc_has_nonce(arguments));
    json_t *filled = mcp_rpc_filled(arguments, "n-1");
    json_t *params = mcp_rpc_tools_call("hold", filled);
    char *text = mcp_rpc_request("n-1", "tools/call", params);
    json_t *m = json_loads(text, 0, NULL);
    assert_string_equal(js_str(m, "params.arguments.a", ""), "xn-1yn-1");
    assert_string_equal(js_str(m, "params.arguments.b.1.c", ""), "n-1");
    assert_int_equal(js_int(m, "/params/arguments/{nonce}", 0), 2);
    assert_string_equal(js_str(m, "params.name", ""), "hold");
    assert_string_equal(js_str(m, "method", ""), "tools/call");
    assert_string_equal(js_str(arguments, "a", ""), "x{nonce}y{nonce}");
    json_decref(m);
    json_decref(params);
    json_decref(filled);
    json_decref(arguments);
    free(text);
    arguments = json_loads("{\"nonce\":\"nonce\"}", 0, NULL);
    assert_false(mcp_rpc_has_nonce(arguments));
    json_decref(arguments);
    json_t *list = mcp_rpc_tools_list(NULL);
    assert_int_equal(json_object_size(list), 0);
    json_decref(list);
}

static void test_contains(void **state) {
    (void)state;
    json_t *r =
        json_loads("{\"content\":[{\"type\":\"text\",\"text\":\"held n-1 long\"}],"
                   "\"structuredContent\":{\"seconds\":3,\"deep\":[{\"x\":\"n-2\"}]},\"_meta\":\"n-3\"}",
                   0, NULL);
    assert_true(mcp_rpc_contains(r, "n-1"));
    assert_true(mcp_rpc_contains(r, "n-2"));
    assert_true(mcp_rpc_contains(r, "\"seconds\":3"));
    assert_false(mcp_rpc_contains(r, "n-3"));
    json_decref(r);
    r = json_object();
    assert_false(mcp_rpc_contains(r, "x"));
    json_decref(r);
}

/* An answer to another call is none to this one, though its nonce begins like ours. */
static void test_names(void **state) {
    (void)state;
    static const struct {
        const char *result;
        bool names;
    } cases[] = {
        {"{'content':[{'text':'held ab-1'}]}", true},     {"{'content':[{'text':'held ab-1 long'}]}", true},
        {"{'content':[{'text':'held ab-12'}]}", false},   {"{'content':[{'text':'ab-12, ab-1'}]}", true},
        {"{'structuredContent':{'nonce':'ab-1'}}", true}, {"{'structuredContent':{'nonce':'ab-10'}}", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "%s", cases[i].result);
        for (char *p = text; *p; p++)
            *p = *p == '\'' ? '"' : *p;
        json_t *r = json_loads(text, 0, NULL);
        if (mcp_rpc_names(r, "ab-1") != cases[i].names)
            fail_msg("%s", cases[i].result);
        json_decref(r);
    }
}

static void test_session_ids(void **state) {
    (void)state;
    char longest[MCP_SESSION_MAX + 2];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = 0;
    assert_true(mcp_rpc_session_ok("1868a90c!~"));
    assert_false(mcp_rpc_session_ok(""));
    assert_false(mcp_rpc_session_ok("a b"));
    assert_false(mcp_rpc_session_ok("a\x7f"));
    assert_false(mcp_rpc_session_ok("a\xc3\xa4"));
    assert_false(mcp_rpc_session_ok(longest));
    longest[MCP_SESSION_MAX] = 0;
    assert_true(mcp_rpc_session_ok(longest));
    assert_true(mcp_rpc_revision_ok("2025-06-18"));
    assert_false(mcp_rpc_revision_ok("2026-07-28"));
}

/* ------------------------------------------------------------------ blocks */

struct kept {
    Pilotgate__Record *last;
    int n;
};

/* Over the wire and back, with its checks. */
static void keep(void *ctx, Pilotgate__Record *record) {
    struct kept *k = ctx;
    struct err e;
    uint8_t *packed = malloc(pilotgate__record__get_packed_size(record));
    size_t n = pilotgate__record__pack(record, packed);
    wire_record_free(&k->last);
    if (wire_record_unpack(packed, n, &k->last, &e) < 0)
        fail_msg("%s", e.text);
    free(packed);
    k->n++;
}

static void test_block_columns(void **state) {
    (void)state;
    struct kept k = {0};
    struct emit to = {.fn = keep, .ctx = &k};
    struct mcp_block b = {0};
    mcp_block_emit(&b, &to);
    assert_int_equal(k.n, 0);
    static const struct mcp_block_call calls[] = {
        {"p", "hold", "gateway", "", 10, 5000000000, 1000000000, 7, 1, 3, 0},
        {"q", "hold", "gateway", "", 9, 4999000000, 999000000, 12, 7, 0, 4},
        {"p", "hold", "gateway", "Pod/gw-1", 12, 5001000000, 1001000000, 1, 1, 3, 1},
        {"p", "hold", "gateway", "", 13, 5001000000, 1001000000, 1, 1, 3, 1},
    };
    for (int i = 0; i < 4; i++)
        assert_int_equal(mcp_block_add(&b, &calls[i]), 0);
    mcp_block_emit(&b, &to);
    const Pilotgate__CallBlock *got = k.last->calls;
    assert_int_equal(got->base_wall_ns, 5000000000);
    assert_int_equal(got->base_mono_ns, 1000000000);
    uint64_t number = got->first_number;
    assert_int_equal(got->n_probes, 3);
    assert_int_equal(got->n_paths, 3);
    for (size_t j = 0; j < 4; j++) {
        size_t i = (const size_t[]){0, 3, 1, 2}[j]; /* by probe and path, then number */
        assert_string_equal(got->paths[got->probe[j]], calls[i].path);
        number += (uint64_t)got->number_delta[j];
        assert_int_equal(number, calls[i].number);
        assert_string_equal(got->probes[got->probe[j]], calls[i].probe);
        assert_string_equal(got->tools[got->probe[j]], "hold");
        assert_string_equal(got->targets[got->probe[j]], "gateway");
        assert_int_equal(got->start_us[j], (calls[i].start_mono - 1000000000) / 1000);
        assert_int_equal(got->outcome[j], calls[i].outcome);
        assert_int_equal(got->connection[j], calls[i].connection);
        assert_int_equal(got->flags[j], calls[i].flags);
        assert_int_equal(got->duration_us[j], calls[i].duration_us);
    }
    mcp_block_emit(&b, &to);
    assert_int_equal(k.n, 1);
    wire_record_free(&k.last);
    mcp_block_free(&b);
}

static void test_block_full(void **state) {
    (void)state;
    struct kept k = {0};
    struct emit to = {.fn = keep, .ctx = &k};
    struct mcp_block b = {0};
    struct mcp_block_call c = {.probe = "p", .tool = "hold", .target = "gateway", .path = "", .outcome = 1};
    for (uint64_t i = 0; i < WIRE_BLOCK_CALLS_MAX; i++) {
        c.number = i + 1;
        assert_int_equal(mcp_block_add(&b, &c), 0);
    }
    assert_int_equal(mcp_block_add(&b, &c), -ENOSPC);
    mcp_block_emit(&b, &to);
    assert_int_equal(k.last->calls->n_outcome, WIRE_BLOCK_CALLS_MAX);
    assert_int_equal(k.last->calls->n_paths, 0); /* all took the URL */
    static char names[WIRE_BLOCK_PROBES_MAX + 1][8];
    int r = 0;
    for (int i = 0; i <= WIRE_BLOCK_PROBES_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], "p%d", i);
        c.probe = names[i];
        r = mcp_block_add(&b, &c);
        assert_int_equal(r, i < WIRE_BLOCK_PROBES_MAX ? 0 : -ENOSPC);
    }
    wire_record_free(&k.last);
    mcp_block_free(&b);
}

/* ------------------------------------------------------------------ polled states */

static int op_after_read(struct mcp_watch *w, struct kept *k, const char *digest, int64_t start,
                         int64_t mono) {
    struct emit to = {.fn = keep, .ctx = k};
    int before = k->n;
    struct mcp_watch_read r = {
        .normal = "{}", .digest = digest, .start_wall = start, .now_wall = start + 5, .now_mono = mono};
    mcp_watch_read(w, &r, &to);
    return k->n == before ? -1 : (int)k->last->object->op;
}

static int op_after_failure(struct mcp_watch *w, struct kept *k, const char *reason) {
    struct emit to = {.fn = keep, .ctx = k};
    int before = k->n;
    mcp_watch_failed(w, reason, 1, &to);
    return k->n == before ? -1 : (int)k->last->object->op;
}

static void test_watch(void **state) {
    (void)state;
    struct kept k = {0};
    struct mcp_watch w = {.kind = "ToolCatalogue", .name = "gateway", .path = "Pod/gw-1"};
    assert_int_equal(op_after_read(&w, &k, "aa", 100, 1), PILOTGATE__OBJECT__OP__OP_LISTED);
    assert_string_equal(k.last->object->path, "Pod/gw-1");
    assert_int_equal(op_after_read(&w, &k, "aa", 200, 2), -1);
    assert_int_equal(op_after_read(&w, &k, "bb", 300, 3), PILOTGATE__OBJECT__OP__OP_MODIFIED);
    assert_int_equal(k.last->object->previous_wall_ns, 200);
    assert_int_equal(k.last->object->t_wall_ns, 305);
    assert_int_equal(op_after_read(&w, &k, "bb", 400, 3 + MCP_CONFIRM_NS),
                     PILOTGATE__OBJECT__OP__OP_CONFIRMED);
    assert_string_equal(k.last->object->digest, "bb");
    assert_string_equal(k.last->object->normal, "");
    assert_int_equal(op_after_failure(&w, &k, "refused"), -1);
    assert_int_equal(op_after_failure(&w, &k, "refused"), -1);
    assert_int_equal(op_after_failure(&w, &k, "refused"), PILOTGATE__OBJECT__OP__OP_UNREADABLE);
    assert_int_equal(op_after_failure(&w, &k, "refused"), -1);
    assert_int_equal(op_after_failure(&w, &k, "http-error"), PILOTGATE__OBJECT__OP__OP_UNREADABLE);
    assert_string_equal(k.last->object->reason, "http-error");
    assert_int_equal(op_after_read(&w, &k, "bb", 500, 4), PILOTGATE__OBJECT__OP__OP_CONFIRMED);
    assert_int_equal(op_after_failure(&w, &k, "refused"), -1);
    assert_int_equal(op_after_read(&w, &k, "bb", 600, 5), -1);
    wire_record_free(&k.last);
}

static void test_watch_tells_the_revision(void **state) {
    (void)state;
    struct kept k = {0};
    struct emit to = {.fn = keep, .ctx = &k};
    struct mcp_watch w = {.kind = "ToolCatalogue", .name = "gateway"};
    struct mcp_watch_read r = {.normal = "{}",
                               .digest = "aa",
                               .speaks = "2025-11-25",
                               .start_wall = 1,
                               .now_wall = 2,
                               .now_mono = 3};
    mcp_watch_read(&w, &r, &to);
    assert_string_equal(k.last->object->reason, "speaks MCP 2025-11-25");
    mcp_watch_read(&w, &r, &to);
    assert_int_equal(k.n, 1);
    r.speaks = "2026-07-28"; /* an upgrade that changes no tool is no change, and yet told */
    mcp_watch_read(&w, &r, &to);
    assert_int_equal(k.n, 2);
    assert_int_equal(k.last->object->op, PILOTGATE__OBJECT__OP__OP_CONFIRMED);
    assert_string_equal(k.last->object->reason, "speaks MCP 2026-07-28, before that 2025-11-25");
    r.speaks = "";
    mcp_watch_read(&w, &r, &to);
    assert_int_equal(k.n, 2);
    wire_record_free(&k.last);
}

static void test_watch_cuts(void **state) {
    (void)state;
    struct kept k = {0};
    struct emit to = {.fn = keep, .ctx = &k};
    struct mcp_watch w = {.kind = "ProductConfiguration", .name = "d"};
    char *large = malloc(WIRE_NORMAL_MAX + 3);
    for (size_t i = 0; i < WIRE_NORMAL_MAX + 2; i++)
        large[i] = (char)(i % 2 ? 0xa9 : 0xc3); /* a two-byte character each */
    large[0] = '"';                             /* now the limit is inside a character */
    large[1] = ' ';
    memmove(large + 1, large + 2, WIRE_NORMAL_MAX);
    large[WIRE_NORMAL_MAX + 1] = 0;
    struct mcp_watch_read r = {
        .normal = large, .digest = "cc", .start_wall = 1, .now_wall = 2, .now_mono = 3};
    mcp_watch_read(&w, &r, &to);
    assert_true(k.last->object->truncated);
    assert_int_equal(strlen(k.last->object->normal), WIRE_NORMAL_MAX - 1);
    wire_record_free(&k.last);
    free(large);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sse_split_anywhere),
        cmocka_unit_test(test_sse_bounded),
        cmocka_unit_test(test_sse_ids),
        cmocka_unit_test(test_sse_odd_ids),
        cmocka_unit_test(test_sse_callback_stops),
        cmocka_unit_test(test_classify),
        cmocka_unit_test(test_call_text),
        cmocka_unit_test(test_contains),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_session_ids),
        cmocka_unit_test(test_block_columns),
        cmocka_unit_test(test_block_full),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_watch_tells_the_revision),
        cmocka_unit_test(test_watch_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
