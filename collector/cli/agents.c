/* agents: who speaks, who was turned away, and who never came. */
#include "cli/commands.h"

#include <errno.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "cli/agents_streams.h"
#include "cli/cover.h"

#define RECENT_NS (600 * WHEN_S) /* how far back coverage is looked for */

struct listing {
    json_t *sessions, *streams;
};

static int take_session(void *ctx, const struct store_session *row) {
    struct listing *l = ctx;
    char stage[2 * WIRE_NAME_MAX + 2], boot[2 * WIRE_BOOT_BYTES + 1];
    (void)snprintf(stage, sizeof stage, "%s/%s", row->cluster, row->namespace_name);
    for (size_t i = 0; i < WIRE_BOOT_BYTES; i++)
        (void)snprintf(boot + 2 * i, 3, "%02x", row->boot[i]);
    json_int_t conflicts = js_int(agents_stream(l->streams, stage, boot), "conflicts", 0);
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:s}", "stage", stage, "node", row->node,
                  "boot", boot, "version", row->version, "connected", row->connected, "since_ns",
                  (json_int_t)row->since_ns, "last_seen_ns", (json_int_t)row->last_seen_ns, "records",
                  (json_int_t)row->records, "conflicts", conflicts, "key", row->key);
    return json_array_append_new(l->sessions, o) < 0 ? -ENOMEM : 0;
}

static int take_refusal(void *ctx, const struct store_refusal *row) {
    json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:I}", "key", row->key, "reason", row->reason, "count",
                          (json_int_t)row->count, "first_ns", (json_int_t)row->first_ns, "last_ns",
                          (json_int_t)row->last_ns);
    return json_array_append_new(ctx, o) < 0 ? -ENOMEM : 0;
}

/* Seen: nodes that ever spoke for the stage; connected: those that do now. */
static void count_nodes(const json_t *sessions, const char *stage, json_int_t *seen, json_int_t *connected) {
    json_t *nodes = json_object();
    size_t i;
    json_t *s, *on;
    const char *node;
    json_array_foreach(sessions, i, s) {
        if (strcmp(js_str(s, "stage", ""), stage) != 0)
            continue;
        node = js_str(s, "node", "");
        bool is = js_bool(s, "connected", false) || json_is_true(json_object_get(nodes, node));
        (void)json_object_set_new(nodes, node, json_boolean(is));
    }
    *seen = (json_int_t)json_object_size(nodes);
    *connected = 0;
    json_object_foreach(nodes, node, on) *connected += json_is_true(on);
    json_decref(nodes);
}

static int add_stage(struct store *s, const json_t *declared, json_t *doc, struct err *e) {
    const char *stage = js_str(declared, "stage", "");
    char cluster[WIRE_NAME_MAX + 1], ns[WIRE_NAME_MAX + 1];
    json_int_t seen = 0, connected = 0, expected = js_int(declared, "agents", 1);
    struct cover cover = {0};
    if (!cli_split_stage(stage, cluster, ns))
        return err_set(e, -EBADMSG, "the stored pilot has a malformed stage: declare it again");
    int r = cover_read(s, cluster, ns, when_wall_ns() - RECENT_NS, &cover, e);
    if (r < 0)
        return r;
    count_nodes(json_object_get(doc, "agents"), stage, &seen, &connected);
    json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:I, s:O}", "stage", stage, "expected", expected, "seen",
                          seen, "connected", connected, "last_record_ns", (json_int_t)cover.newest_ns,
                          "unreadable", cover.unreadable);
    cover_free(&cover);
    r = o ? json_array_append_new(json_object_get(doc, "stages"), o) : -1;
    if (r == 0 && seen < expected)
        r = json_array_append_new(json_object_get(doc, "missing"),
                                  json_pack("{s:s, s:I}", "stage", stage, "agents", expected - seen));
    return r < 0 ? err_oom(e) : 0;
}

static int add_stages(struct store *s, json_t *doc, struct err *e) {
    json_t *pilot = NULL, *st;
    size_t i;
    int r = cli_pilot(s, &pilot, e);
    if (r < 0)
        return r;
    json_array_foreach(json_object_get(pilot, "stages"), i, st) if (r == 0) r = add_stage(s, st, doc, e);
    json_decref(pilot);
    return r;
}

int cli_agents(struct store *s, json_t **ret, struct err *e) {
    json_t *doc =
        json_pack("{s:[], s:[], s:[], s:[], s:[]}", "agents", "streams", "refusals", "stages", "missing");
    if (!doc)
        return err_oom(e);
    struct listing l = {json_object_get(doc, "agents"), json_object_get(doc, "streams")};
    int r = agents_streams(s, l.streams, e);
    if (r == 0)
        r = store_sessions(s, take_session, &l, e);
    if (r == 0)
        r = store_refusals(s, take_refusal, json_object_get(doc, "refusals"), e);
    if (r == -ENOMEM)
        (void)err_oom(e);
    if (r == 0)
        r = add_stages(s, doc, e);
    if (r < 0)
        json_decref(doc);
    else
        *ret = doc;
    return r;
}

/* ---- tables */

static void number(const json_t *o, const char *key, char out[24]) {
    (void)snprintf(out, 24, "%lld", (long long)js_int(o, key, 0));
}

static void show_agents(const struct cli *c, const json_t *list) {
    json_t *rows = json_pack("[[s,s,s,s,s,s,s,s]]", "STAGE", "NODE", "BOOT", "STATE", "LAST SEEN", "RECORDS",
                             "CONFLICTS", "VERSION");
    size_t i;
    json_t *a;
    json_array_foreach(list, i, a) {
        char ago[CLI_AGO_MAX], boot[9], records[24], conflicts[24];
        (void)snprintf(boot, sizeof boot, "%s", js_str(a, "boot", ""));
        number(a, "records", records);
        number(a, "conflicts", conflicts);
        (void)json_array_append_new(
            rows, json_pack("[s,s,s,s,s,s,s,s]", js_str(a, "stage", ""), js_str(a, "node", ""), boot,
                            js_bool(a, "connected", false) ? "connected" : "gone",
                            cli_ago(js_int(a, "last_seen_ns", 0), when_wall_ns(), ago), records, conflicts,
                            js_str(a, "version", "")));
    }
    if (json_array_size(rows) == 1)
        (void)printf("no agent has spoken yet\n");
    cli_table(c, stdout, rows);
    json_decref(rows);
}

static void show_refusals(const struct cli *c, const json_t *list) {
    json_t *rows = json_pack("[[s,s,s,s]]", "REFUSED KEY", "COUNT", "LAST", "REASON");
    size_t i;
    json_t *x;
    json_array_foreach(list, i, x) {
        char ago[CLI_AGO_MAX], count[24];
        number(x, "count", count);
        (void)json_array_append_new(rows, json_pack("[s,s,s,s]", js_str(x, "key", ""), count,
                                                    cli_ago(js_int(x, "last_ns", 0), when_wall_ns(), ago),
                                                    js_str(x, "reason", "")));
    }
    if (json_array_size(rows) > 1)
        (void)printf("\n");
    cli_table(c, stdout, rows);
    json_decref(rows);
}

static void show_missing(const json_t *list) {
    size_t i;
    json_t *m;
    json_array_foreach(list, i, m)(void) printf("%s%s: %lld expected agents never came\n", i ? "" : "\n",
                                                js_str(m, "stage", ""), (long long)js_int(m, "agents", 0));
}

/* Leaves what is of the stage; refusals have none, and stay. */
static void keep_stage(json_t *doc, const char *stage) {
    static const char *const lists[] = {"agents", "streams", "stages", "missing"};
    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++) {
        json_t *list = json_object_get(doc, lists[k]);
        for (size_t i = json_array_size(list); i-- > 0;)
            if (strcmp(js_str(json_array_get(list, i), "stage", ""), stage) != 0)
                (void)json_array_remove(list, i);
    }
}

static int run(struct cli *c) {
    struct err e = {""};
    struct store *s = NULL;
    json_t *doc = NULL;
    if (!cli_parse(c, NULL, 0, 0, 0))
        return c->status;
    if (!cli_format_ok(c, cli_formats))
        return CLI_ERROR;
    int r = cli_store(c, STORE_READ, &s, &e);
    if (r == 0)
        r = cli_agents(s, &doc, &e);
    if (r == 0 && c->stage)
        keep_stage(doc, c->stage);
    int status = r < 0 ? cli_fail("%s", e.text) : CLI_OK;
    if (r == 0 && cli_wants_document(c)) {
        status = cli_document(c, doc);
    } else if (r == 0) {
        show_agents(c, json_object_get(doc, "agents"));
        agents_show_streams(c, json_object_get(doc, "streams"));
        show_refusals(c, json_object_get(doc, "refusals"));
        show_missing(json_object_get(doc, "missing"));
    }
    json_decref(doc);
    store_close(&s);
    return status;
}

const struct cli_command cli_cmd_agents = {"agents", "who witnesses, who was refused, who is missing",
                                           "[-o table|json|yaml] [--stage C/NS]", run};
