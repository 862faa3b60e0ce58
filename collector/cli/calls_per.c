/* calls_per: calls by minute, hour or day, from the counts that the collector keeps as calls come in, so that
 * no length of a pilot makes it slow.
 *
 * As of --at: counts have no history, but each row says which commits added to it. One to which commits
 * before and after that time added is counted again from the records as they were then. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"
#include "cli/calls.h"
#include "cli/show.h"

#define ROWS_MAX 200000
#define TEXT_MAX_HERE 320
/* A bucket of latencies ends at most a quarter above its begin. */
#define RESOLUTION "25 %"

struct row {
    char *texts; /* cluster, namespace, probe, target, path, each ended by NUL; owned */
    const char *cluster, *ns, *probe, *target, *path;
    bool control;
    int64_t from_ns;
    uint64_t calls, unsent, outcomes[STORE_OUTCOMES], latency[STORE_LATENCY_BUCKETS];
    bool recounted;
    bool lacking; /* retention deleted some of what would have been counted again */
};

struct per {
    const struct per_options *o;
    struct store *store;
    uint64_t commit;
    struct row *rows; /* owned */
    size_t n, cap;
    struct row *counting; /* that the records are counted into */
    struct err *e;
};

static const struct {
    const char *name;
    enum store_level level;
    int64_t ns;
} levels[] = {{"minute", STORE_MINUTE, 60 * WHEN_S},
              {"hour", STORE_HOUR, 3600 * WHEN_S},
              {"day", STORE_DAY, 86400 * WHEN_S}};

static int64_t length_of(enum store_level level) {
    return levels[level].ns;
}

bool calls_per_level(const char *name, enum store_level *ret) {
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (strcmp(levels[i].name, name) == 0) {
            *ret = levels[i].level;
            return true;
        }
    }
    return false;
}

/* ---- gathering */

static int keep_texts(struct row *x, const struct store_rollup *r) {
    const char *const from[] = {r->cluster, r->namespace_name, r->probe, r->target, r->path};
    const char **const to[] = {&x->cluster, &x->ns, &x->probe, &x->target, &x->path};
    size_t len = 0;
    for (size_t i = 0; i < 5; i++)
        len += strlen(from[i]) + 1;
    char *at = x->texts = malloc(len);
    for (size_t i = 0; at && i < 5; i++) {
        *to[i] = at;
        at = stpcpy(at, from[i]) + 1;
    }
    return x->texts ? 0 : -ENOMEM;
}

static int take(void *ctx, const struct store_rollup *r) {
    struct per *p = ctx;
    if (r->n_first > p->commit)
        return 0;
    if (p->n == ROWS_MAX)
        return err_set(p->e, -E2BIG,
                       "more than %d rows: narrow with --stage, --probe, --from and --to, or --per day",
                       ROWS_MAX);
    if (p->n == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 64;
        struct row *more = realloc(p->rows, cap * sizeof *more);
        if (!more)
            return err_oom(p->e);
        p->rows = more;
        p->cap = cap;
    }
    struct row *x = &p->rows[p->n];
    *x = (struct row){.control = r->control, .from_ns = r->from_ns, .recounted = r->n_last > p->commit};
    if (keep_texts(x, r) < 0)
        return err_oom(p->e);
    p->n++;
    if (x->recounted)
        return 0;
    x->calls = r->calls;
    x->unsent = r->unsent;
    memcpy(x->outcomes, r->outcomes, sizeof x->outcomes);
    memcpy(x->latency, r->latency, sizeof x->latency);
    return 0;
}

/* ---- counting again */

static bool is_counted(const struct per *p, const Pilotgate__CallBlock *b, size_t i) {
    const struct row *x = p->counting;
    int64_t start = b->base_wall_ns + b->start_us[i] * 1000;
    uint32_t k = b->probe[i];
    bool control = b->flags[i] & PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL;
    return start >= x->from_ns && start < x->from_ns + length_of(p->o->level) && control == x->control &&
           strcmp(b->probes[k], x->probe) == 0 && strcmp(b->targets[k], x->target) == 0 &&
           strcmp(k < b->n_paths ? b->paths[k] : "", x->path) == 0;
}

static void count(struct row *x, const Pilotgate__CallBlock *b, size_t i) {
    uint32_t outcome = b->outcome[i] < STORE_OUTCOMES ? b->outcome[i] : STORE_OUTCOMES - 1;
    if (b->flags[i] & PILOTGATE__CALL_FLAG__CALL_FLAG_UNSENT) {
        x->unsent++;
        return;
    }
    x->calls++;
    x->outcomes[outcome]++;
    if (calls_completed(b->outcome[i]))
        x->latency[store_latency_bucket(b->duration_us[i])]++;
}

static int count_block(void *ctx, const struct store_record *row, uint64_t commit) {
    struct per *p = ctx;
    Pilotgate__Record *rec;
    (void)commit;
    int r = wire_record_unpack(row->payload, row->len, &rec, p->e);
    if (r < 0)
        return r;
    const Pilotgate__CallBlock *b = rec->body_case == PILOTGATE__RECORD__BODY_CALLS ? rec->calls : NULL;
    for (size_t i = 0; b && i < b->n_start_us; i++)
        if (is_counted(p, b, i))
            count(p->counting, b, i);
    wire_record_free(&rec);
    return 0;
}

static int count_again(struct per *p, struct row *x) {
    struct store_query q = {.commit = p->commit,
                            .cluster = x->cluster,
                            .namespace_name = x->ns,
                            .families = 1u << WIRE_FAMILY_CALLS,
                            .from_ns = x->from_ns,
                            .to_ns = x->from_ns + length_of(p->o->level) - 1};
    p->counting = x;
    return store_records(p->store, &q, count_block, p, p->e);
}

static int take_deletion(void *ctx, const struct store_deletion_row *d) {
    struct per *p = ctx;
    for (size_t i = 0; i < p->n; i++) {
        struct row *x = &p->rows[i];
        x->lacking |=
            x->recounted && d->t_to_ns >= x->from_ns && d->t_from_ns < x->from_ns + length_of(p->o->level);
    }
    return 0;
}

static int by_time(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    if (x->from_ns != y->from_ns)
        return x->from_ns < y->from_ns ? -1 : 1;
    int c = strcmp(x->cluster, y->cluster);
    if (c == 0)
        c = strcmp(x->ns, y->ns);
    if (c == 0)
        c = strcmp(x->probe, y->probe);
    if (c == 0)
        c = strcmp(x->path, y->path);
    if (c == 0)
        c = strcmp(x->target, y->target);
    return c ? c : (int)x->control - (int)y->control;
}

static int gather(struct cli *c, struct per *p) {
    struct store_rollup_query q = {.cluster = c->stage ? c->cluster : NULL,
                                   .namespace_name = c->stage ? c->namespace_name : NULL,
                                   .probe = p->o->probe,
                                   .level = p->o->level,
                                   .from_ns = p->o->from_ns,
                                   .to_ns = p->o->to_ns ? p->o->to_ns : INT64_MAX};
    int r = c->at_ns ? store_commit_at(p->store, c->at_ns, &p->commit, p->e)
                     : store_newest_commit(p->store, &p->commit, NULL, p->e);
    if (r == 0 && p->commit)
        r = store_rollups(p->store, &q, take, p, p->e);
    for (size_t i = 0; r == 0 && i < p->n; i++)
        if (p->rows[i].recounted)
            r = count_again(p, &p->rows[i]);
    if (r == 0 && p->commit)
        r = store_deletions(p->store, p->commit, take_deletion, p, p->e);
    if (p->n)
        qsort(p->rows, p->n, sizeof *p->rows, by_time);
    return r;
}

/* ---- showing */

/* The upper end of the bucket in which the quantile lies, in us; 0: no call completed. */
static uint64_t quantile(const struct row *x, unsigned percent) {
    uint64_t n = 0, seen = 0;
    for (unsigned i = 0; i < STORE_LATENCY_BUCKETS; i++)
        n += x->latency[i];
    for (unsigned i = 0; n && i < STORE_LATENCY_BUCKETS; i++) {
        seen += x->latency[i];
        if (seen * 100 >= n * percent)
            return store_latency_from_us(i + 1 < STORE_LATENCY_BUCKETS ? i + 1 : i);
    }
    return 0;
}

static const char *outcome_name(unsigned outcome) {
    return outcome == STORE_OUTCOMES - 1 ? "unknown" : wire_outcome_name((int)outcome);
}

static json_t *outcomes_json(const struct row *x) {
    json_t *o = json_object();
    for (unsigned i = 0; i < STORE_OUTCOMES; i++) {
        const char *name = outcome_name(i);
        json_int_t n = json_integer_value(json_object_get(o, name)) + (json_int_t)x->outcomes[i];
        if (n)
            (void)json_object_set_new(o, name, json_integer(n));
    }
    return o;
}

static int show_document(const struct cli *c, const struct per *p) {
    json_t *list = json_array();
    for (size_t i = 0; i < p->n; i++) {
        const struct row *x = &p->rows[i];
        char at[WHEN_TEXT_MAX], stage[2 * WIRE_NAME_MAX + 2];
        (void)snprintf(stage, sizeof stage, "%s/%s", x->cluster, x->ns);
        json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:o, s:b, s:b}", "from",
                              when_format(x->from_ns, 0, at), "stage", stage, "probe", x->probe, "target",
                              x->target, "path", x->path, "control", x->control, "calls",
                              (json_int_t)x->calls, "unsent", (json_int_t)x->unsent, "outcomes",
                              outcomes_json(x), "recounted", x->recounted, "lacking", x->lacking);
        if (quantile(x, 50)) {
            (void)json_object_set_new(o, "p50_us", json_integer((json_int_t)quantile(x, 50)));
            (void)json_object_set_new(o, "p99_us", json_integer((json_int_t)quantile(x, 99)));
        }
        (void)json_array_append_new(list, o);
    }
    json_t *doc = json_pack("{s:s, s:I, s:s, s:o}", "per", levels[p->o->level].name, "commit",
                            (json_int_t)p->commit, "latency_resolution", RESOLUTION, "rows", list);
    int status = doc ? cli_document(c, doc) : cli_fail("out of memory");
    json_decref(doc);
    return status;
}

static void ms_text(uint64_t us, char out[24]) {
    if (us)
        (void)snprintf(out, 24, us < 10000 ? "%.2f" : "%.0f", (double)us / 1000);
    else
        (void)snprintf(out, 24, "-");
}

/* "reset 3, timeout 1": all but those that completed. */
static void others_text(const struct row *x, char out[TEXT_MAX_HERE]) {
    size_t n = 0;
    out[0] = 0;
    for (unsigned i = 0; i < STORE_OUTCOMES; i++)
        if (x->outcomes[i] && i != PILOTGATE__OUTCOME__OUTCOME_COMPLETED && n < TEXT_MAX_HERE)
            n += (size_t)snprintf(out + n, TEXT_MAX_HERE - n, "%s%s %llu", n ? ", " : "", outcome_name(i),
                                  (unsigned long long)x->outcomes[i]);
}

static void show_table(const struct cli *c, const struct per *p) {
    json_t *rows = json_pack("[[s,s,s,s,s,s,s,s,s,s]]", "FROM", "STAGE", "PROBE", "PATH", "CALLS",
                             "COMPLETED", "UNSENT", "P50 MS", "P99 MS", "OTHERS");
    bool recounted = false;
    for (size_t i = 0; i < p->n; i++) {
        const struct row *x = &p->rows[i];
        char at[WHEN_TEXT_MAX], stage[2 * WIRE_NAME_MAX + 2], n[3][24], ms[2][24], others[TEXT_MAX_HERE];
        char probe[WIRE_NAME_MAX + 32];
        (void)snprintf(stage, sizeof stage, "%s/%s", x->cluster, x->ns);
        (void)snprintf(probe, sizeof probe, "%s%s", x->probe, x->control ? " (control)" : "");
        (void)snprintf(n[0], 24, "%llu", (unsigned long long)x->calls);
        (void)snprintf(n[1], 24, "%llu",
                       (unsigned long long)x->outcomes[PILOTGATE__OUTCOME__OUTCOME_COMPLETED]);
        (void)snprintf(n[2], 24, "%llu", (unsigned long long)x->unsent);
        ms_text(quantile(x, 50), ms[0]);
        ms_text(quantile(x, 99), ms[1]);
        others_text(x, others);
        recounted |= x->recounted;
        (void)json_array_append_new(rows, json_pack("[s,s,s,s,s,s,s,s,s,s]", when_format(x->from_ns, 0, at),
                                                    stage, probe, *x->path ? x->path : "-", n[0], n[1], n[2],
                                                    ms[0], ms[1], others));
    }
    cli_table(c, stdout, rows);
    json_decref(rows);
    if (!p->n)
        (void)printf("no calls were counted\n");
    else
        (void)printf(
            "\nby the agents' clocks; P50 and P99 of completed calls are at most %s too high\n%s", RESOLUTION,
            recounted
                ? "rows that later calls were added to were counted again as of --at, without what retention "
                  "deleted since\n"
                : "");
}

int calls_per(struct cli *c, const struct per_options *o, struct err *e) {
    struct per p = {.o = o, .e = e};
    int r = cli_store(c, STORE_READ, &p.store, e);
    if (r == 0)
        r = gather(c, &p);
    if (r == 0 && cli_wants_document(c))
        r = show_document(c, &p);
    else if (r == 0)
        show_table(c, &p);
    store_close(&p.store);
    for (size_t i = 0; i < p.n; i++)
        free(p.rows[i].texts);
    free(p.rows);
    return r;
}
