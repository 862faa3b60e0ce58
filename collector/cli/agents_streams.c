/* agents_streams: what is wrong with streams, for `pilotgate agents`: records that will never come and why,
 * records that came twice with different bytes, streams that cannot be believed. */
#include "cli/agents_streams.h"

#include <errno.h>
#include <string.h>

#include "base/js.h"

struct gathering {
    json_t *all; /* id: entry */
};

static const char *const causes[] = {
    [STORE_GAP_AGENT] = "agent", [STORE_GAP_RESTORED] = "restored", [STORE_GAP_REPLACED] = "replaced"};

static json_t *doubts_of(unsigned bits) {
    json_t *list = json_array();
    if (bits & 1u << STORE_DOUBT_TWO_AGENTS)
        (void)json_array_append_new(list, json_string("two-agents"));
    if (bits & 1u << STORE_DOUBT_TWO_STAGES)
        (void)json_array_append_new(list, json_string("two-stages"));
    return list;
}

static void key_of(int64_t id, char out[24]) {
    (void)snprintf(out, 24, "%lld", (long long)id);
}

static int take_stream(void *ctx, const struct store_stream_row *row) {
    struct gathering *g = ctx;
    char stage[2 * WIRE_NAME_MAX + 2], boot[2 * WIRE_BOOT_BYTES + 1], key[24];
    (void)snprintf(stage, sizeof stage, "%s/%s", row->cluster, row->namespace_name);
    for (size_t i = 0; i < WIRE_BOOT_BYTES; i++)
        (void)snprintf(boot + 2 * i, 3, "%02x", row->boot[i]);
    key_of(row->id, key);
    json_t *o = json_pack("{s:s, s:s, s:s, s:I, s:I, s:o, s:{}}", "stage", stage, "node", row->node, "boot",
                          boot, "records", (json_int_t)row->hwm, "conflicts", (json_int_t)row->conflicts,
                          "doubts", doubts_of(row->doubts), "gaps");
    return json_object_set_new(g->all, key, o) < 0 ? -ENOMEM : 0;
}

static int take_gap(void *ctx, const struct store_gap_row *row) {
    struct gathering *g = ctx;
    char key[24];
    key_of(row->stream, key);
    json_t *gaps = json_object_get(json_object_get(g->all, key), "gaps");
    size_t n = sizeof causes / sizeof *causes, cause = (size_t)row->cause;
    const char *name = cause < n && causes[cause] ? causes[cause] : "unknown";
    json_int_t missing = js_int(gaps, name, 0) + (json_int_t)(row->to_seq - row->from_seq + 1);
    return gaps && json_object_set_new(gaps, name, json_integer(missing)) < 0 ? -ENOMEM : 0;
}

json_t *agents_stream(const json_t *streams, const char *stage, const char *boot) {
    size_t i;
    json_t *o;
    json_array_foreach(streams, i, o) if (strcmp(js_str(o, "boot", ""), boot) == 0 &&
                                          strcmp(js_str(o, "stage", ""), stage) == 0) return o;
    return NULL;
}

static bool is_troubled(const json_t *o) {
    return js_int(o, "conflicts", 0) > 0 || json_array_size(json_object_get(o, "doubts")) > 0 ||
           json_object_size(json_object_get(o, "gaps")) > 0;
}

int agents_streams(struct store *s, json_t *list, struct err *e) {
    struct gathering g = {json_object()};
    const char *key;
    json_t *o;
    int r = g.all ? store_streams(s, take_stream, &g, e) : -ENOMEM;
    if (r == 0)
        r = store_gaps(s, 0, take_gap, &g, e);
    json_object_foreach(g.all, key, o) if (r == 0 && is_troubled(o)) r =
        json_array_append(list, o) < 0 ? -ENOMEM : 0;
    json_decref(g.all);
    return r == -ENOMEM ? err_oom(e) : r;
}

/* ---- in words */

static void say(json_t *rows, const json_t *o, const char *what) {
    char boot[9];
    (void)snprintf(boot, sizeof boot, "%s", js_str(o, "boot", ""));
    (void)json_array_append_new(
        rows, json_pack("[s,s,s,s]", js_str(o, "stage", ""), js_str(o, "node", ""), boot, what));
}

static void say_gaps(json_t *rows, const json_t *o) {
    static const struct {
        const char *cause, *words;
    } all[] = {
        {"agent", "the agent no longer had them"},
        {"restored", "this store had them before it was restored from an older copy"},
        {"replaced", "another store had acknowledged them"},
        {"unknown", "nobody knows why"},
    };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        char text[128];
        json_int_t n = js_int(json_object_get(o, "gaps"), all[k].cause, 0);
        (void)snprintf(text, sizeof text, "%lld records will never come: %s", (long long)n, all[k].words);
        if (n)
            say(rows, o, text);
    }
}

void agents_show_streams(const struct cli *c, const json_t *list) {
    json_t *rows = json_pack("[[s,s,s,s]]", "STAGE", "NODE", "BOOT", "WHAT IS WRONG");
    size_t i, k;
    json_t *o, *d;
    json_array_foreach(list, i, o) {
        char text[128];
        json_int_t conflicts = js_int(o, "conflicts", 0);
        (void)snprintf(text, sizeof text,
                       "%lld records came again with other bytes: do two agents share a spool?",
                       (long long)conflicts);
        if (conflicts)
            say(rows, o, text);
        json_array_foreach(json_object_get(o, "doubts"), k, d)
            say(rows, o,
                strcmp(json_string_value(d), "two-agents") == 0
                    ? "another agent says that it is this node, and both go on: give each its own --node"
                    : "the same stream came under another stage: was a spool copied?");
        say_gaps(rows, o);
    }
    if (json_array_size(rows) > 1)
        (void)printf("\n");
    cli_table(c, stdout, rows);
    json_decref(rows);
}
