/* retain_once: one round of retention; see retain.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crash.h"
#include "base/js.h"
#include "cli/retain.h"
#include "correlate/load.h"
#include "gates/protect.h"

#define FAR_FUTURE_NS (INT64_MAX / 2) /* after every record: its neighbour before is the newest one */
#define STEP_RECORDS 2000
#define SIZE_SLICE_NS (86400 * WHEN_S) /* by size a day goes at a time */
#define SIZE_SLICES_MAX 1000

struct stage { /* of the pilot */
    char name[2 * WIRE_NAME_MAX + 2], cluster[WIRE_NAME_MAX + 1], ns[WIRE_NAME_MAX + 1];
    struct protect_span *spans; /* owned */
    size_t n_spans;
    int64_t watermark;
    json_t *nodes; /* node: [time of its newest coverage, whether that says that it ends]; owned */
    uint64_t deleted;
};

struct round {
    struct store *store;
    const struct retain_options *o;
    int64_t now;
    const atomic_bool *stop;
    struct corr corr;
    struct stage *stages; /* owned */
    size_t n;
    int64_t before;
    const char *why; /* what sets `before` */
    struct err *e;
};

/* ---- how far each stage has told */

static int take_newest(void *ctx, const struct store_record *row, uint64_t commit) {
    struct round *r = ctx;
    Pilotgate__Record *rec;
    (void)commit;
    int code = wire_record_unpack(row->payload, row->len, &rec, r->e);
    if (code < 0)
        return code;
    bool bye = rec->body_case == PILOTGATE__RECORD__BODY_COVERAGE && rec->coverage->bye;
    wire_record_free(&rec);
    for (size_t i = 0; i < r->corr.ev.n_streams; i++) {
        const struct ev_stream *s = &r->corr.ev.streams[i];
        if (s->id != row->stream)
            continue;
        for (size_t k = 0; k < r->n; k++) {
            if (strcmp(r->stages[k].cluster, s->cluster) != 0 ||
                strcmp(r->stages[k].ns, s->namespace_name) != 0)
                continue;
            int64_t error, t = facts_clock(&r->corr.ev, i, row->t_to_ns, &error);
            json_t *was = json_object_get(r->stages[k].nodes, s->node);
            if (!was || json_integer_value(json_array_get(was, 0)) < t)
                (void)json_object_set_new(r->stages[k].nodes, s->node,
                                          json_pack("[I, b]", (json_int_t)t, bye));
        }
    }
    return 0;
}

/* The least of those that still have to tell. A node whose newest agent ended in order holds nothing back;
 * one that ended before another came does not speak for that one. */
static int64_t watermark_of(const struct round *r, const struct stage *s) {
    const char *node;
    json_t *newest;
    int64_t least = FAR_FUTURE_NS;
    json_object_foreach(s->nodes, node, newest) {
        int64_t at = json_integer_value(json_array_get(newest, 0));
        if (!json_is_true(json_array_get(newest, 1)) && at >= r->now - RETAIN_ABSENT_NS && at < least)
            least = at;
    }
    return json_object_size(s->nodes) == 0 ? 0 : least;
}

static int find_watermarks(struct round *r) {
    struct store_query q = {.families = 1u << WIRE_FAMILY_COVERAGE,
                            .from_ns = FAR_FUTURE_NS,
                            .to_ns = FAR_FUTURE_NS,
                            .neighbours = true};
    int code = store_records(r->store, &q, take_newest, r, r->e);
    for (size_t k = 0; code == 0 && k < r->n; k++)
        r->stages[k].watermark = watermark_of(r, &r->stages[k]);
    return code;
}

/* ---- the plan */

static int load_stages(struct round *r) {
    r->stages = calloc(r->corr.n_stages + 1, sizeof *r->stages);
    if (!r->stages)
        return err_oom(r->e);
    for (size_t i = 0; i < r->corr.n_stages; i++) {
        struct stage *s = &r->stages[r->n++];
        (void)snprintf(s->name, sizeof s->name, "%s", r->corr.stages[i].stage);
        s->nodes = json_object();
        if (!cli_split_stage(s->name, s->cluster, s->ns))
            return err_set(r->e, -EBADMSG, "the stored pilot has a malformed stage: declare it again");
        if (!s->nodes || protect_spans(&r->corr.stages[i], &s->spans, &s->n_spans) < 0)
            return err_oom(r->e);
    }
    return find_watermarks(r);
}

/* Never past what the slowest stage has told. */
static void hold_back(struct round *r) {
    for (size_t k = 0; k < r->n; k++) {
        int64_t limit = r->stages[k].watermark - RETAIN_GRACE_NS;
        if (limit < r->before) {
            r->before = limit > 0 ? limit : 0;
            r->why = r->stages[k].name;
        }
    }
}

static int plan(struct round *r) {
    uint64_t commit;
    int code = store_newest_commit(r->store, &commit, NULL, r->e);
    if (code == 0)
        code = corr_load(r->store, commit, r->now, &r->corr, r->e);
    if (code < 0)
        return code;
    if (r->corr.n_stages == 0)
        return err_set(
            r->e, -ENOENT,
            "no pilot is declared, so nothing says what may go: `pilotgate pilot init --file pilot.yaml`");
    return load_stages(r);
}

/* ---- deleting */

static int delete_stage(struct round *r, struct stage *s, int64_t before, bool *ret_stopped) {
    struct store_keep *keep = calloc(s->n_spans + 1, sizeof *keep);
    size_t n = 1;
    int code = keep ? 0 : err_oom(r->e);
    for (size_t i = 0; code == 0 && i < s->n_spans; i++)
        keep[i] = (struct store_keep){s->spans[i].from_ns, s->spans[i].to_ns};
    struct store_retention what = {s->cluster, s->ns, before, keep, s->n_spans, STEP_RECORDS};
    while (code == 0 && n > 0 && !*ret_stopped) {
        code = store_delete_passes(r->store, &what, r->now, &n, r->e);
        *ret_stopped = r->stop && atomic_load(r->stop);
        if (code >= 0)
            s->deleted += n;
        CRASH_POINT("retain-between-steps");
    }
    free(keep);
    return code < 0 ? code : 0;
}

static int delete_before(struct round *r, int64_t before, bool *ret_stopped) {
    int code = 0;
    for (size_t k = 0; k < r->n && code == 0 && !*ret_stopped; k++)
        code = delete_stage(r, &r->stages[k], before, ret_stopped);
    return code;
}

static int oldest_of(void *ctx, const struct store_rollup *row) {
    int64_t *oldest = ctx;
    if (row->from_ns < *oldest)
        *oldest = row->from_ns;
    return 0;
}

static int used_bytes(struct round *r, int64_t *ret) {
    struct store_size size;
    int code = store_size(r->store, &size, r->e);
    if (code == 0)
        *ret = (int64_t)(size.file_bytes - (size.unused_bytes < size.file_bytes ? size.unused_bytes : 0));
    return code;
}

/* A day at a time, from the oldest on, while the store is too large. What an agent whose clock was wrong by
 * years told goes with the first. */
static int delete_by_size(struct round *r, int64_t limit, bool *ret_stopped) {
    struct store_rollup_query q = {.level = STORE_DAY, .to_ns = INT64_MAX};
    int64_t oldest = INT64_MAX, used = 0;
    int code = store_rollups(r->store, &q, oldest_of, &oldest, r->e);
    if (oldest < limit - SIZE_SLICES_MAX * SIZE_SLICE_NS)
        oldest = limit - SIZE_SLICES_MAX * SIZE_SLICE_NS;
    for (int64_t t = oldest; code == 0 && t < limit && !*ret_stopped; t += SIZE_SLICE_NS) {
        code = used_bytes(r, &used);
        if (code < 0 || used <= r->o->keep_bytes)
            return code;
        r->before = t + SIZE_SLICE_NS < limit ? t + SIZE_SLICE_NS : limit;
        code = delete_before(r, r->before, ret_stopped);
    }
    return code;
}

static int work(struct round *r, bool dry) {
    bool stopped = false;
    r->before = FAR_FUTURE_NS;
    hold_back(r);
    int64_t limit = r->before;
    const char *limited = r->why;
    r->before = r->o->keep_ns ? r->now - r->o->keep_ns : 0;
    r->why = "age";
    if (r->before > limit) {
        r->before = limit;
        r->why = limited;
    }
    int code = !dry && r->before > 0 ? delete_before(r, r->before, &stopped) : 0;
    if (code == 0 && !dry && r->o->keep_bytes && !stopped)
        code = delete_by_size(r, limit, &stopped);
    return code;
}

/* ---- what is told */

static void set_time(json_t *o, const char *key, int64_t ns) {
    char text[WHEN_TEXT_MAX];
    if (ns > 0 && ns < FAR_FUTURE_NS)
        (void)json_object_set_new(o, key, json_string(when_format(ns, 0, text)));
}

static json_t *stage_json(const struct stage *s) {
    json_t *o =
        json_pack("{s:s, s:I, s:[]}", "stage", s->name, "deleted", (json_int_t)s->deleted, "protected");
    set_time(o, "watermark", s->watermark);
    if (s->watermark >= FAR_FUTURE_NS)
        (void)json_object_set_new(o, "waits_for_nobody", json_true());
    for (size_t i = 0; i < s->n_spans; i++) {
        json_t *span = json_object();
        set_time(span, "from", s->spans[i].from_ns);
        set_time(span, "to", s->spans[i].to_ns);
        (void)json_array_append_new(json_object_get(o, "protected"), span);
    }
    return o;
}

static int tell(struct round *r, json_t **ret) {
    json_t *stages = json_array();
    uint64_t deleted = 0;
    struct store_size size;
    int code = store_size(r->store, &size, r->e);
    for (size_t k = 0; k < r->n; k++) {
        deleted += r->stages[k].deleted;
        (void)json_array_append_new(stages, stage_json(&r->stages[k]));
    }
    if (code == 0)
        *ret =
            json_pack("{s:s, s:I, s:o, s:I, s:I}", "why", r->why, "deleted", (json_int_t)deleted, "stages",
                      stages, "bytes", (json_int_t)size.file_bytes, "unused", (json_int_t)size.unused_bytes);
    else
        json_decref(stages);
    if (code == 0 && *ret)
        set_time(*ret, "before", r->before);
    return code;
}

int retain_once(struct store *s, const struct retain_options *o, int64_t now_ns, bool dry,
                const atomic_bool *stop, json_t **ret, struct err *e) {
    struct round r = {.store = s, .o = o, .now = now_ns, .stop = stop, .e = e};
    int code = plan(&r);
    if (code == 0)
        code = work(&r, dry);
    if (code == 0)
        code = tell(&r, ret);
    for (size_t k = 0; k < r.n; k++) {
        free(r.stages[k].spans);
        json_decref(r.stages[k].nodes);
    }
    free(r.stages);
    corr_free(&r.corr);
    return code;
}
