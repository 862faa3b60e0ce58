/* watch_read: what the store says now of stages and nodes. Coverage ages are told by the collector's clock:
 * how long ago this process last saw a node's coverage move on, so that no agent's clock can make it look
 * fresh or stale. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "cli/cover.h"
#include "cli/watch_priv.h"
#include "correlate/load.h"
#include "gates/gates.h"

#define HOLDING_NS (10 * WHEN_S)        /* coverage comes each second */
#define HOLDING_APART_NS (600 * WHEN_S) /* no clocks of agents that can be worked with are further apart */
#define FAR_FUTURE_NS (INT64_MAX / 2)   /* after every record: its neighbour before is the newest one */

struct reading {
    struct watch_memory *memory;
    json_t *stages; /* stage: object, of the declared ones */
    struct stream {
        int64_t id;
        char key[3 * WIRE_NAME_MAX + 4]; /* stage, newline, node */
    } * streams;                         /* by id */
    size_t n, cap;
    json_t *progress; /* key: sum of the newest seqs of coverage over the node's streams */
    int64_t now_mono_ns, stale_ns;
    json_t *newest; /* key: newest coverage of the node, by its own clock */
};

static json_t *stage_of(struct reading *r, const char *cluster, const char *namespace_name) {
    char name[2 * WIRE_NAME_MAX + 2];
    (void)snprintf(name, sizeof name, "%s/%s", cluster, namespace_name);
    return json_object_get(r->stages, name);
}

static void add(json_t *object, const char *key, int64_t n) {
    int64_t was = json_integer_value(json_object_get(object, key)); /* 0 where there is none */
    (void)json_object_set_new(object, key, json_integer(was + n));
}

/* ---- nodes, from the sessions */

static json_t *node_of(json_t *stage, const char *name) {
    json_t *nodes = json_object_get(stage, "by_node");
    json_t *node = json_object_get(nodes, name);
    if (!node) {
        node = json_pack("{s:s, s:b, s:I, s:I}", "node", name, "connected", 0, "last_seen_ns", (json_int_t)0,
                         "age_ns", (json_int_t)-1);
        (void)json_object_set_new(nodes, name, node);
    }
    return node;
}

static int take_session(void *ctx, const struct store_session *row) {
    struct reading *r = ctx;
    json_t *stage = stage_of(r, row->cluster, row->namespace_name);
    json_t *node = stage ? node_of(stage, row->node) : NULL;
    if (!node)
        return 0;
    if (row->connected) {
        add(stage, "sessions", 1);
        (void)json_object_set_new(node, "connected", json_true());
    }
    if (row->last_seen_ns > js_int(node, "last_seen_ns", 0))
        (void)json_object_set_new(node, "last_seen_ns", json_integer(row->last_seen_ns));
    return 0;
}

/* ---- streams: conflicts, gaps, coverage */

static int take_stream(void *ctx, const struct store_stream_row *row) {
    struct reading *r = ctx;
    json_t *stage = stage_of(r, row->cluster, row->namespace_name);
    if (!stage)
        return 0;
    if (r->n == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 64;
        struct stream *more = realloc(r->streams, cap * sizeof *more);
        if (!more)
            return -ENOMEM;
        r->streams = more;
        r->cap = cap;
    }
    struct stream *st = &r->streams[r->n++];
    st->id = row->id;
    (void)snprintf(st->key, sizeof st->key, "%s/%s\n%s", row->cluster, row->namespace_name, row->node);
    add(stage, "conflicts", (int64_t)row->conflicts + (row->doubts != 0));
    return 0;
}

static int by_id(const void *a, const void *b) {
    const struct stream *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

static const struct stream *stream_of(const struct reading *r, int64_t id) {
    const struct stream key = {.id = id};
    return r->n ? bsearch(&key, r->streams, r->n, sizeof key, by_id) : NULL;
}

static json_t *stage_of_key(struct reading *r, const char *key) {
    char name[2 * WIRE_NAME_MAX + 2];
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(key, "\n"), key);
    return json_object_get(r->stages, name);
}

static int take_gap(void *ctx, const struct store_gap_row *row) {
    struct reading *r = ctx;
    const struct stream *st = stream_of(r, row->stream);
    if (st)
        add(stage_of_key(r, st->key), "gaps", (int64_t)(row->to_seq - row->from_seq + 1));
    return 0;
}

/* The newest coverage of each stream. kube's says what its DaemonSet wants, mcp's does not. */
static int take_coverage(void *ctx, const struct store_record *row, uint64_t commit) {
    struct reading *r = ctx;
    const struct stream *st = stream_of(r, row->stream);
    Pilotgate__Record *rec = NULL;
    (void)commit;
    if (!st || wire_record_unpack(row->payload, row->len, &rec, NULL) < 0)
        return 0;
    if (rec->body_case == PILOTGATE__RECORD__BODY_COVERAGE) {
        char stage[2 * WIRE_NAME_MAX + 2];
        (void)snprintf(stage, sizeof stage, "%.*s", (int)strcspn(st->key, "\n"), st->key);
        add(r->progress, st->key, (int64_t)row->seq);
        if (rec->wall_ns > json_integer_value(json_object_get(r->newest, st->key)))
            (void)json_object_set_new(r->newest, st->key, json_integer(rec->wall_ns));
        if (rec->coverage->expected_agents && !rec->coverage->bye)
            (void)json_object_set_new(r->memory->expected, stage,
                                      json_integer((json_int_t)rec->coverage->expected_agents));
    }
    wire_record_free(&rec);
    return 0;
}

/* ---- who watches the whole stage */

struct holding {
    bool kube, held; /* some agent's kube thread tells; one of them has the stage's work */
};

static int take_holding(void *ctx, const struct store_record *row, uint64_t commit) {
    struct holding *h = ctx;
    Pilotgate__Record *rec = NULL;
    (void)commit;
    if (wire_record_unpack(row->payload, row->len, &rec, NULL) < 0)
        return 0;
    if (rec->body_case == PILOTGATE__RECORD__BODY_COVERAGE && cover_is_kube(rec->coverage)) {
        h->kube = true;
        h->held = h->held || rec->coverage->stage_scoped;
    }
    wire_record_free(&rec);
    return h->held; /* one is enough */
}

/* From when on every connected node's last seconds are, by its own clock; 0: none is connected. */
static int64_t holding_from(const struct reading *r, const char *name, const json_t *stage) {
    char key[3 * WIRE_NAME_MAX + 4];
    const char *node_name;
    json_t *node;
    int64_t low = INT64_MAX, high = 0;
    json_object_foreach(json_object_get(stage, "by_node"), node_name, node) {
        (void)snprintf(key, sizeof key, "%s\n%s", name, node_name);
        int64_t t = json_integer_value(json_object_get(r->newest, key));
        if (!js_bool(node, "connected", false) || t == 0)
            continue;
        low = t < low ? t : low;
        high = t > high ? t : high;
    }
    if (low < high - HOLDING_APART_NS) /* one that tells nothing any more */
        low = high - HOLDING_APART_NS;
    return high == 0 ? 0 : low - HOLDING_NS;
}

/* Of the stage's last seconds: sets unheld_ns, -1 where no kube thread tells. */
static int read_holding(struct reading *r, struct store *s, struct store_query q, const char *name,
                        json_t *stage, struct err *e) {
    struct holding h = {false, false};
    q.neighbours = false;
    q.from_ns = holding_from(r, name, stage);
    q.to_ns = INT64_MAX;
    int ret = q.from_ns > 0 ? store_records(s, &q, take_holding, &h, e) : 0;
    int64_t unheld = -1;
    if (h.held || (h.kube && !json_object_get(r->memory->held, name)))
        (void)json_object_set_new(r->memory->held, name, json_integer((json_int_t)r->now_mono_ns));
    if (h.kube)
        unheld = r->now_mono_ns - json_integer_value(json_object_get(r->memory->held, name));
    (void)json_object_set_new(stage, "unheld_ns", json_integer((json_int_t)unheld));
    return ret < 0 ? ret : 0;
}

/* -1 until it is known: something new came since this process looks, or nothing for longer than stale_ns. */
static int64_t age_of(struct reading *r, const char *key) {
    int64_t progress = json_integer_value(json_object_get(r->progress, key)); /* 0 where there is none */
    json_t *known = json_object_get(r->memory->nodes, key);
    if (!known || json_integer_value(json_object_get(known, "progress")) != progress) {
        (void)json_object_set_new(r->memory->nodes, key,
                                  json_pack("{s:I, s:I, s:b}", "progress", (json_int_t)progress,
                                            "since_mono_ns", (json_int_t)r->now_mono_ns, "moved",
                                            known != NULL));
        return known ? 0 : -1;
    }
    int64_t age = r->now_mono_ns - json_integer_value(json_object_get(known, "since_mono_ns"));
    return json_is_true(json_object_get(known, "moved")) || age > r->stale_ns ? age : -1;
}

/* ---- a whole look */

static int begin_stages(struct reading *r, const json_t *pilot) {
    size_t i;
    json_t *declared;
    json_array_foreach(json_object_get(pilot, "stages"), i, declared) {
        const char *name = js_str(declared, "stage", "");
        json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:I, s:{}}", "stage", name, "expected",
                              (json_int_t)js_int(declared, "agents", 1), "sessions", (json_int_t)0,
                              "conflicts", (json_int_t)0, "gaps", (json_int_t)0, "by_node");
        if (json_object_set_new(r->stages, name, o) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int read_coverage(struct reading *r, struct store *s, struct err *e) {
    const char *name;
    json_t *stage;
    int ret = 0;
    json_object_foreach(r->stages, name, stage) {
        char cluster[WIRE_NAME_MAX + 1], ns[WIRE_NAME_MAX + 1];
        if (ret < 0 || !cli_split_stage(name, cluster, ns))
            continue;
        struct store_query q = {.cluster = cluster,
                                .namespace_name = ns,
                                .families = 1u << WIRE_FAMILY_COVERAGE,
                                .from_ns = FAR_FUTURE_NS,
                                .to_ns = FAR_FUTURE_NS,
                                .neighbours = true};
        ret = store_records(s, &q, take_coverage, r, e);
        if (ret == 0)
            ret = read_holding(r, s, q, name, stage, e);
    }
    return ret;
}

static json_t *finish_stage(struct reading *r, const char *name, json_t *stage, bool *complete) {
    char key[3 * WIRE_NAME_MAX + 4];
    json_t *nodes = json_array(), *node;
    const char *node_name;
    int64_t oldest = -1, connected = 0;
    int64_t wanted = json_integer_value(json_object_get(r->memory->expected, name)); /* 0: not known */
    if (wanted > js_int(stage, "expected", 0))
        (void)json_object_set_new(stage, "expected", json_integer(wanted));
    json_object_foreach(json_object_get(stage, "by_node"), node_name, node) {
        (void)snprintf(key, sizeof key, "%s\n%s", name, node_name);
        int64_t age = age_of(r, key);
        (void)json_object_set_new(node, "age_ns", json_integer(age));
        (void)json_array_append(nodes, node);
        if (!js_bool(node, "connected", false))
            continue;
        connected++;
        oldest = age > oldest ? age : oldest;
    }
    *complete = *complete && connected >= js_int(stage, "expected", 0);
    (void)json_object_set_new(stage, "oldest_age_ns", json_integer(oldest));
    (void)json_object_set_new(stage, "nodes", nodes);
    (void)json_object_del(stage, "by_node");
    return stage;
}

static int read_stages(struct reading *r, struct store *s, struct watch_look *out, struct err *e) {
    const char *name;
    json_t *stage;
    int ret = store_sessions(s, take_session, r, e);
    if (ret == 0)
        ret = store_streams(s, take_stream, r, e);
    if (ret == 0 && r->n > 1)
        qsort(r->streams, r->n, sizeof *r->streams, by_id);
    if (ret == 0)
        ret = store_gaps(s, 0, take_gap, r, e);
    if (ret == 0)
        ret = read_coverage(r, s, e);
    out->stages = json_array();
    out->complete = true;
    json_object_foreach(
        r->stages, name,
        stage) if (ret == 0 && json_array_append(out->stages, finish_stage(r, name, stage, &out->complete)) <
                                   0) ret = err_oom(e);
    return ret;
}

/* The verdicts are a look's dearest part, and the only one that may fail because of what the store holds. */
static int judge(const struct cli *c, struct store *s, struct watch_look *out, struct err *e) {
    struct corr corr;
    (void)c;
    int r = corr_load(s, 0, out->at_ns, &corr, e);
    if (r < 0)
        return r;
    out->coverage_gap_ns = corr.rubric.rules.coverage_gap_ns;
    r = gates_evaluate(&corr, &out->verdicts, e);
    corr_free(&corr);
    return r;
}

int watch_read(const struct cli *c, struct store *s, int64_t stale_ns, struct watch_memory *m,
               struct watch_look *ret, struct err *e) {
    struct reading r = {.memory = m,
                        .stages = json_object(),
                        .progress = json_object(),
                        .newest = json_object(),
                        .now_mono_ns = when_mono_ns(),
                        .stale_ns = stale_ns};
    struct watch_look out = {.at_ns = when_wall_ns()};
    json_t *pilot = NULL;
    m->nodes = m->nodes ? m->nodes : json_object();
    m->expected = m->expected ? m->expected : json_object();
    m->held = m->held ? m->held : json_object();
    int code = cli_pilot(s, &pilot, e);
    if (code == 0 && pilot) {
        (void)snprintf(out.pilot, sizeof out.pilot, "%s", js_str(pilot, "name", ""));
        out.running =
            out.at_ns >= js_int(pilot, "begin_ns", 0) && out.at_ns <= js_int(pilot, "end_ns", INT64_MAX);
        code = begin_stages(&r, pilot) < 0 ? err_oom(e) : 0;
    }
    if (code == 0)
        code = read_stages(&r, s, &out, e);
    if (code == 0)
        code = store_size(s, &out.size, e);
    if (code == 0 && pilot)
        code = judge(c, s, &out, e);
    json_decref(pilot);
    json_decref(r.stages);
    json_decref(r.progress);
    json_decref(r.newest);
    free(r.streams);
    out.took_ns = when_mono_ns() - r.now_mono_ns;
    if (code < 0)
        watch_look_free(&out);
    else
        *ret = out;
    return code;
}

void watch_look_free(struct watch_look *l) {
    json_decref(l->verdicts);
    json_decref(l->stages);
    l->verdicts = l->stages = NULL;
}

void watch_memory_free(struct watch_memory *m) {
    json_decref(m->nodes);
    json_decref(m->expected);
    json_decref(m->held);
}
