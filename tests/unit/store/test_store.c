/* test_store: what is put and what is read back: numbers, duplicates, conflicts, gaps, as-of reads,
 * windows, documents, and the operations tables. test_store_life.c has opening, crashing and copying. */
#include "store_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct store *serve(void **state) {
    struct store *s = fixture_open(*state, STORE_SERVE);
    assert_int_equal(store_begin(s, NULL), 0);
    return s;
}

static void test_numbers_are_given_only_to_what_was_put(void **state) {
    struct store *s = serve(state);
    uint64_t n = 77;
    int64_t at = 0;
    assert_int_equal(store_commit(s, 10, &n, NULL), 0);
    assert_int_equal(n, 77); /* empty */
    assert_int_equal(store_begin(s, NULL), 0);
    assert_int_equal(store_begin(s, NULL), -EINVAL); /* one at a time */
    int64_t stream = fixture_stream(s, "a", 1, NULL);
    fixture_put(s, stream, 1, WIRE_FAMILY_CALL, 5, 6, "x");
    assert_int_equal(fixture_commit(s, 100), 1);
    assert_int_equal(store_begin(s, NULL), 0);
    fixture_put(s, stream, 2, WIRE_FAMILY_CALL, 5, 6, "y");
    assert_int_equal(fixture_commit(s, 50), 2); /* the clock stepped back */
    assert_int_equal(store_newest_commit(s, &n, &at, NULL), 0);
    assert_int_equal(n, 2);
    assert_int_equal(at, 101);
    assert_int_equal(store_commit_at(s, 100, &n, NULL), 0);
    assert_int_equal(n, 1); /* what named a commit goes on naming it */
    store_close(&s);
}

static void test_rollback_leaves_no_trace(void **state) {
    struct store *s = serve(state);
    int64_t stream = fixture_stream(s, "a", 1, NULL);
    fixture_put(s, stream, 1, WIRE_FAMILY_CALL, 5, 6, "x");
    store_rollback(s);
    uint64_t n = 9;
    assert_int_equal(store_newest_commit(s, &n, NULL, NULL), 0);
    assert_int_equal(n, 0);
    assert_string_equal(fixture_read(s, &(struct store_query){0}), "");
    store_close(&s);
}

static int one_stream(void *ctx, const struct store_stream_row *row) {
    *(struct store_stream_row *)ctx = *row;
    return 0;
}

static void test_duplicates_vanish_and_conflicts_are_dated(void **state) {
    struct store *s = serve(state);
    uint64_t hwm = 9;
    int64_t stream = fixture_stream(s, "a", 1, &hwm);
    assert_int_equal(hwm, 0);
    assert_int_equal(fixture_put(s, stream, 1, WIRE_FAMILY_CALL, 5, 6, "x"), STORE_PUT_NEW);
    assert_int_equal(fixture_put(s, stream, 2, WIRE_FAMILY_CALL, 5, 6, "y"), STORE_PUT_NEW);
    fixture_commit(s, 100);
    assert_int_equal(store_begin(s, NULL), 0);
    assert_int_equal(fixture_put(s, stream, 1, WIRE_FAMILY_CALL, 5, 6, "x"), STORE_PUT_DUPLICATE);
    assert_int_equal(fixture_commit(s, 200), 0); /* nothing new: no number */
    assert_int_equal(store_begin(s, NULL), 0);
    assert_int_equal(fixture_put(s, stream, 1, WIRE_FAMILY_CALL, 5, 6, "z"), STORE_PUT_CONFLICT);
    assert_int_equal(fixture_put(s, stream, 1, WIRE_FAMILY_CALL, 5, 6, "zz"), STORE_PUT_CONFLICT);
    assert_int_equal(fixture_commit(s, 300), 2);
    assert_int_equal(fixture_stream(s, "a", 1, &hwm), stream);
    assert_int_equal(hwm, 2);
    assert_string_equal(fixture_read(s, &(struct store_query){0}), "1.1:x 1.2:y ");
    struct store_stream_row row;
    assert_int_equal(store_streams_at(s, 1, one_stream, &row, NULL), 0);
    assert_int_equal(row.conflicts, 0);
    assert_int_equal(row.hwm, 2);
    assert_int_equal(store_streams(s, one_stream, &row, NULL), 0);
    assert_int_equal(row.conflicts, 1);
    assert_string_equal(row.node, "node-1");
    assert_int_equal(row.boot[15], 1);
    store_close(&s);
}

static void test_holes_are_refused(void **state) {
    struct store *s = serve(state);
    int64_t stream = fixture_stream(s, "a", 1, NULL);
    enum store_put put = STORE_PUT_DUPLICATE;
    struct err e = {""};
    struct store_record r = {stream, 2, WIRE_FAMILY_CALL, 0, 0, (const uint8_t *)"x", 1};
    assert_int_equal(store_put_record(s, &r, &put, &e), -EINVAL);
    r.seq = 0;
    assert_int_equal(store_put_record(s, &r, &put, &e), -EINVAL);
    r.seq = UINT64_MAX;
    assert_int_equal(store_put_record(s, &r, &put, &e), -EINVAL);
    r.seq = 1;
    r.stream = 4711;
    assert_int_equal(store_put_record(s, &r, &put, &e), -ENOENT);
    r.stream = stream;
    r.t_to_ns = -1; /* ends before it begins */
    assert_int_equal(store_put_record(s, &r, &put, &e), -EINVAL);
    assert_int_equal(put, STORE_PUT_DUPLICATE); /* untouched */
    store_close(&s);
}

static int64_t stream_of(struct store *s, const char *ns, const char *node, uint8_t boot, bool *elsewhere) {
    uint8_t bytes[WIRE_BOOT_BYTES];
    memset(bytes, boot, sizeof bytes);
    struct store_stream_key k = {"c", ns, node, bytes};
    int64_t id = 0;
    uint64_t hwm = 0;
    assert_int_equal(store_stream(s, &k, &id, &hwm, elsewhere, NULL), 0);
    return id;
}

static void test_a_boot_is_one_stream_of_its_stage(void **state) {
    struct store *s = serve(state);
    bool elsewhere = true;
    int64_t a = stream_of(s, "a", "node-1", 1, &elsewhere);
    assert_false(elsewhere);
    assert_int_equal(stream_of(s, "a", "node-2", 1, &elsewhere), a); /* its volume came back elsewhere */
    assert_false(elsewhere);
    int64_t b = stream_of(s, "b", "node-1", 1, &elsewhere); /* a cloned spool */
    assert_int_not_equal(a, b);
    assert_true(elsewhere);
    assert_int_equal(stream_of(s, "a", "node-1", 1, &elsewhere), a);
    assert_true(elsewhere);
    fixture_commit(s, 100);
    struct store_stream_row row;
    assert_int_equal(store_streams_at(s, 0, one_stream, &row, NULL), 0);
    assert_string_equal(row.node, "node-1"); /* as it was made */
    store_close(&s);
}

static void test_doubts_are_dated_and_told_once(void **state) {
    struct store *s = serve(state);
    int64_t a = fixture_stream(s, "a", 1, NULL);
    fixture_commit(s, 100);
    assert_int_equal(store_begin(s, NULL), 0);
    assert_int_equal(store_put_doubt(s, 4711, STORE_DOUBT_TWO_AGENTS, NULL), -ENOENT);
    assert_int_equal(store_put_doubt(s, a, (enum store_doubt)9, NULL), -EINVAL);
    assert_int_equal(store_put_doubt(s, a, STORE_DOUBT_TWO_STAGES, NULL), 0);
    assert_int_equal(fixture_commit(s, 200), 2);
    assert_int_equal(store_begin(s, NULL), 0);
    assert_int_equal(store_put_doubt(s, a, STORE_DOUBT_TWO_STAGES, NULL), 0);
    assert_int_equal(fixture_commit(s, 300), 0); /* known: no number */
    assert_int_equal(store_begin(s, NULL), 0);
    assert_int_equal(store_put_doubt(s, a, STORE_DOUBT_TWO_AGENTS, NULL), 0);
    fixture_commit(s, 400);
    struct store_stream_row row;
    assert_int_equal(store_streams_at(s, 1, one_stream, &row, NULL), 0);
    assert_int_equal(row.doubts, 0);
    assert_int_equal(store_streams_at(s, 2, one_stream, &row, NULL), 0);
    assert_int_equal(row.doubts, 1u << STORE_DOUBT_TWO_STAGES);
    assert_int_equal(store_streams(s, one_stream, &row, NULL), 0);
    assert_int_equal(row.doubts, 1u << STORE_DOUBT_TWO_STAGES | 1u << STORE_DOUBT_TWO_AGENTS);
    store_close(&s);
}

static int collect_gap(void *ctx, const struct store_gap_row *row) {
    char *out = ctx;
    size_t used = strlen(out);
    (void)snprintf(out + used, 128 - used, "%d:%d-%d/%d ", (int)row->stream, (int)row->from_seq,
                   (int)row->to_seq, (int)row->cause);
    return 0;
}

static void test_gaps(void **state) {
    struct store *s = serve(state);
    int64_t stream = fixture_stream(s, "a", 1, NULL);
    fixture_put(s, stream, 1, WIRE_FAMILY_CALL, 5, 6, "x");
    fixture_commit(s, 100);
    assert_int_equal(store_begin(s, NULL), 0);
    assert_int_equal(store_put_gap(s, stream, 3, 4, STORE_GAP_AGENT, NULL),
                     -EINVAL); /* does not begin at the end */
    assert_int_equal(store_put_gap(s, stream, 2, 3, (enum store_gap_cause)0, NULL), -EINVAL);
    assert_int_equal(store_put_gap(s, stream, 2, 1, STORE_GAP_AGENT, NULL), -EINVAL);
    assert_int_equal(store_put_gap(s, stream, 2, 9, STORE_GAP_RESTORED, NULL), 0);
    fixture_put(s, stream, 10, WIRE_FAMILY_CALL, 5, 6, "y");
    /* what was declared lost and comes all the same contradicts the agent's own word */
    assert_int_equal(fixture_put(s, stream, 5, WIRE_FAMILY_CALL, 5, 6, "q"), STORE_PUT_CONFLICT);
    fixture_commit(s, 200);
    char out[128] = "";
    assert_int_equal(store_gaps(s, 1, collect_gap, out, NULL), 0);
    assert_string_equal(out, "");
    assert_int_equal(store_gaps(s, 0, collect_gap, out, NULL), 0);
    assert_string_equal(out, "1:2-9/2 ");
    struct store_stream_row row;
    assert_int_equal(store_streams_at(s, 1, one_stream, &row, NULL), 0);
    assert_int_equal(row.hwm, 1);
    assert_int_equal(store_streams_at(s, 0, one_stream, &row, NULL), 0);
    assert_int_equal(row.hwm, 10);
    store_close(&s);
}

static void test_reads_as_of_a_commit(void **state) {
    struct store *s = serve(state);
    int64_t a = fixture_stream(s, "a", 1, NULL), b = fixture_stream(s, "b", 2, NULL);
    fixture_put(s, a, 1, WIRE_FAMILY_CALL, 5, 6, "x");
    fixture_commit(s, 100);
    assert_int_equal(store_begin(s, NULL), 0);
    fixture_put(s, b, 1, WIRE_FAMILY_OBJECT, 7, 7, "y");
    fixture_put(s, a, 2, WIRE_FAMILY_COVERAGE, 8, 8, "z");
    fixture_commit(s, 200);
    assert_string_equal(fixture_read(s, &(struct store_query){.commit = 1}), "1.1:x ");
    assert_string_equal(fixture_read(s, &(struct store_query){0}), "1.1:x 1.2:z 2.1:y ");
    assert_string_equal(fixture_read(s, &(struct store_query){.cluster = "c", .namespace_name = "b"}),
                        "2.1:y ");
    assert_string_equal(fixture_read(s, &(struct store_query){.cluster = "other"}), "");
    assert_string_equal(fixture_read(s, &(struct store_query){.families = 1u << WIRE_FAMILY_OBJECT}),
                        "2.1:y ");
    assert_string_equal(
        fixture_read(s, &(struct store_query){.commit = 1, .families = 1u << WIRE_FAMILY_OBJECT}), "");
    uint64_t n = 9;
    assert_int_equal(store_commit_at(s, 99, &n, NULL), 0);
    assert_int_equal(n, 0);
    assert_int_equal(store_commit_at(s, 100, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_int_equal(store_commit_at(s, INT64_MAX, &n, NULL), 0);
    assert_int_equal(n, 2);
    store_close(&s);
}

static void test_windows_find_what_meets_them(void **state) {
    struct store *s = serve(state);
    int64_t a = fixture_stream(s, "a", 1, NULL);
    fixture_put(s, a, 1, WIRE_FAMILY_CALLS, 0, 1000, "long");
    fixture_put(s, a, 2, WIRE_FAMILY_OBJECT, 500, 500, "late"); /* out of time order */
    fixture_put(s, a, 3, WIRE_FAMILY_CALL, 100, 200, "mid");
    fixture_put(s, a, 4, WIRE_FAMILY_CALL, 300, 400, "after");
    fixture_put(s, a, 5, WIRE_FAMILY_NONE, INT64_MIN, INT64_MAX, "hostile");
    fixture_commit(s, 100);
    assert_string_equal(fixture_read(s, &(struct store_query){.from_ns = 200, .to_ns = 300}),
                        "1.1:long 1.3:mid 1.4:after 1.5:hostile ");
    assert_string_equal(
        fixture_read(
            s, &(struct store_query){.from_ns = 450, .to_ns = 500, .families = 1u << WIRE_FAMILY_OBJECT}),
        "1.2:late ");
    assert_string_equal(fixture_read(s, &(struct store_query){.from_ns = 201, .to_ns = 299}),
                        "1.1:long 1.5:hostile ");
    assert_string_equal(fixture_read(s, &(struct store_query){.families = 1u << WIRE_FAMILY_NONE}),
                        "1.5:hostile ");
    store_close(&s);
}

static void test_neighbours_of_a_window(void **state) {
    struct store *s = serve(state);
    int64_t a = fixture_stream(s, "a", 1, NULL), b = fixture_stream(s, "b", 2, NULL);
    fixture_put(s, a, 1, WIRE_FAMILY_COVERAGE, 100, 100, "before it");
    fixture_put(s, a, 2, WIRE_FAMILY_COVERAGE, 200, 200, "last before");
    fixture_put(s, a, 3, WIRE_FAMILY_COVERAGE, 150, 150, "late");
    fixture_put(s, a, 4, WIRE_FAMILY_CALLS, 210, 290, "ended");
    fixture_put(s, a, 5, WIRE_FAMILY_CALLS, 220, 310, "meets");
    fixture_put(s, a, 6, WIRE_FAMILY_COVERAGE, 350, 350, "inside");
    fixture_put(s, a, 7, WIRE_FAMILY_COVERAGE, 500, 500, "after it");
    fixture_put(s, a, 8, WIRE_FAMILY_COVERAGE, 401, 450, "first after");
    fixture_put(s, b, 1, WIRE_FAMILY_COVERAGE, 1, 1, "other stream");
    fixture_commit(s, 100);
    assert_int_equal(store_begin(s, NULL), 0);
    fixture_put(s, a, 9, WIRE_FAMILY_COVERAGE, 400, 400, "edge");
    fixture_put(s, a, 10, WIRE_FAMILY_COVERAGE, 299, 299, "newer");
    fixture_commit(s, 200);
    struct store_query q = {.commit = 1, .from_ns = 300, .to_ns = 400, .neighbours = true};
    assert_string_equal(fixture_read(s, &q),
                        "1.2:last before 1.4:ended 1.5:meets 1.6:inside 1.8:first after 2.1:other stream ");
    q.commit = 0;
    q.families = 1u << WIRE_FAMILY_COVERAGE;
    q.namespace_name = "a";
    assert_string_equal(fixture_read(s, &q), "1.6:inside 1.8:first after 1.9:edge 1.10:newer ");
    q.neighbours = false;
    assert_string_equal(fixture_read(s, &q), "1.6:inside 1.9:edge ");
    store_close(&s);
}

static int stop_at_once(void *ctx, const struct store_record *r, uint64_t commit) {
    (void)r;
    ++*(int *)ctx;
    return (int)commit + 41;
}

static void test_a_callback_stops_the_walk(void **state) {
    struct store *s = serve(state);
    int64_t a = fixture_stream(s, "a", 1, NULL);
    fixture_put(s, a, 1, WIRE_FAMILY_CALLS, 0, 1, "x");
    fixture_put(s, a, 2, WIRE_FAMILY_CALLS, 0, 1, "y");
    fixture_commit(s, 100);
    int calls = 0;
    assert_int_equal(store_records(s, &(struct store_query){0}, stop_at_once, &calls, NULL), 42);
    assert_int_equal(calls, 1);
    store_close(&s);
}

static int collect_document(void *ctx, const char *name, const json_t *body, uint64_t commit, int64_t at_ns) {
    char *out = ctx;
    size_t used = strlen(out);
    (void)snprintf(out + used, 256 - used, "%s=%d@%d/%d ", name,
                   (int)json_integer_value(json_object_get(body, "v")), (int)commit, (int)at_ns);
    return 0;
}

static void put_document(struct store *s, const char *kind, const char *name, int v, int64_t at) {
    json_t *body = json_pack("{s:i}", "v", v);
    assert_int_equal(store_begin(s, NULL), 0);
    assert_int_equal(store_put_document(s, kind, name, body, NULL), 0);
    json_decref(body);
    fixture_commit(s, at);
}

static void test_documents_newest_of_a_name(void **state) {
    struct store *s = fixture_open(*state, STORE_CREATE);
    put_document(s, "mark", "b", 1, 10);
    put_document(s, "mark", "a", 2, 20);
    put_document(s, "mark", "b", 3, 30);
    put_document(s, "drill", "b", 4, 40);
    char out[256] = "";
    assert_int_equal(store_documents(s, 0, "mark", collect_document, out, NULL), 0);
    assert_string_equal(out, "a=2@2/20 b=3@3/30 ");
    out[0] = 0;
    assert_int_equal(store_documents(s, 2, "mark", collect_document, out, NULL), 0);
    assert_string_equal(out, "a=2@2/20 b=1@1/10 ");
    store_close(&s);
}

static int last_refusal(void *ctx, const struct store_refusal *row) {
    struct store_refusal *r = ctx;
    if (r->first_ns == 0 || row->first_ns < r->first_ns)
        *r = *row;
    return 0;
}
static int count_refusal(void *ctx, const struct store_refusal *row) {
    (void)row;
    ++*(int *)ctx;
    return 0;
}

static void test_refusals_are_counted_and_bounded(void **state) {
    struct store *s = fixture_open(*state, STORE_SERVE);
    assert_int_equal(store_begin(s, NULL), 0);
    for (int i = 0; i < 1100; i++) {
        char key[41];
        (void)snprintf(key, sizeof key, "key-%d", i);
        assert_int_equal(store_put_refusal(s, key, "why", 1000 + i, NULL), 0);
    }
    assert_int_equal(store_put_refusal(s, "key-1099", "why", 5000, NULL), 0);
    assert_int_equal(fixture_commit(s, 1), 0); /* no evidence, no number */
    int count = 0;
    struct store_refusal r = {0};
    assert_int_equal(store_refusals(s, count_refusal, &count, NULL), 0);
    assert_in_range(count, 750, 1000);
    assert_int_equal(store_refusals(s, last_refusal, &r, NULL), 0);
    assert_int_equal(atoi(r.key + 4), 1100 - count); /* the oldest went */
    store_close(&s);
}

static int one_command(void *ctx, const struct store_command *row) {
    *(struct store_command *)ctx = *row;
    return 0;
}

static int one_session(void *ctx, const struct store_session *row) {
    *(struct store_session *)ctx = *row;
    return 0;
}

static void test_commands_and_sessions(void **state) {
    struct store *s = fixture_open(*state, STORE_SERVE), *cli = fixture_open(*state, STORE_READ);
    assert_true(store_live(cli));
    struct store_command c = {.cluster = "c",
                              .namespace_name = "a",
                              .kind = 1,
                              .ttl_seconds = 60,
                              .asked_ns = 5,
                              .expires_ns = 100};
    assert_int_equal(store_put_command(cli, &c, NULL), 0);
    assert_int_equal(c.id, 1);
    struct store_command got = {0};
    assert_int_equal(store_commands(s, 0, 100, one_command, &got, NULL), 0);
    assert_int_equal(got.id, 0); /* expired */
    assert_int_equal(store_commands(s, 0, 99, one_command, &got, NULL), 0);
    assert_int_equal(got.id, 1);
    got.sent = 3;
    got.answered_ok = 2;
    assert_int_equal(store_update_command(s, &got, NULL), 0);
    assert_int_equal(store_command(cli, 1, &c, NULL), 0);
    assert_int_equal(c.sent, 3);
    assert_int_equal(c.answered_ok, 2);
    assert_int_equal(store_command(cli, 2, &c, NULL), -ENOENT);
    struct store_session row = {.cluster = "c",
                                .namespace_name = "a",
                                .node = "n",
                                .boot = {1},
                                .connected = true,
                                .records = 4,
                                .since_ns = 1,
                                .last_seen_ns = INT64_MAX};
    assert_int_equal(store_put_session(s, &row, NULL), 0);
    row.records = 5;
    assert_int_equal(store_put_session(s, &row, NULL), 0);
    store_close(&s);
    s = fixture_open(*state, STORE_SERVE); /* nobody is connected to a daemon that just began */
    memset(&row, 0, sizeof row);
    assert_int_equal(store_sessions(s, one_session, &row, NULL), 0);
    assert_int_equal(row.records, 5);
    assert_false(row.connected);
    store_close(&cli);
    store_close(&s);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_numbers_are_given_only_to_what_was_put),
        CASE(test_rollback_leaves_no_trace),
        CASE(test_duplicates_vanish_and_conflicts_are_dated),
        CASE(test_holes_are_refused),
        CASE(test_a_boot_is_one_stream_of_its_stage),
        CASE(test_doubts_are_dated_and_told_once),
        CASE(test_gaps),
        CASE(test_reads_as_of_a_commit),
        CASE(test_windows_find_what_meets_them),
        CASE(test_neighbours_of_a_window),
        CASE(test_a_callback_stops_the_walk),
        CASE(test_documents_newest_of_a_name),
        CASE(test_refusals_are_counted_and_bounded),
        CASE(test_commands_and_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
