/* compare: each stage against the recommended architecture in one table; two stages with each other; how
 * stages moved during the pilot. */
#include <errno.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "cli/show.h"
#include "gates/gates.h"

struct asked {
    const char *a, *b; /* the stage, or two of them; NULL: all */
    bool all, over;
    int64_t from, to; /* --over; 0: the pilot's begin, --at */
    enum report_format format;
};

static struct report_head head_of(const struct corr *corr, char at[WHEN_TEXT_MAX]) {
    return (struct report_head){.pilot = js_str(corr->ev.pilot, "name", ""),
                                .at = when_format(corr->at_ns, 9, at),
                                .evaluator = GATES_EVALUATOR,
                                .commit = corr->commit};
}

/* What every document begins with, before what a pure function made. Takes doc; NULL without memory. */
static json_t *with_head(const struct corr *corr, json_t *doc) {
    char at[WHEN_TEXT_MAX];
    struct report_head h = head_of(corr, at);
    json_t *whole = json_pack("{s:s, s:s, s:I, s:s}", "pilot", h.pilot, "at", h.at, "commit",
                              (json_int_t)h.commit, "evaluator", h.evaluator);
    if (whole && json_object_update(whole, doc) < 0) {
        json_decref(whole);
        whole = NULL;
    }
    json_decref(doc);
    return whole;
}

/* ---- stages against the reference */

static int judge_stages(const struct corr *corr, const struct asked *q, json_t *list, struct err *e) {
    int r = 0;
    for (size_t i = 0; i < corr->n_stages && r == 0; i++) {
        json_t *stage;
        if (q->a && strcmp(q->a, corr->stages[i].stage) != 0)
            continue;
        r = gates_architecture_at(corr, &corr->stages[i], corr->at_ns, &stage, e);
        if (r == 0 && json_array_append_new(list, stage) < 0)
            r = err_oom(e);
    }
    return r;
}

static int make_stages(const struct corr *corr, const struct asked *q, json_t **ret, struct err *e) {
    char at[WHEN_TEXT_MAX];
    struct report_head h = head_of(corr, at);
    json_t *list = json_array();
    int r = list ? judge_stages(corr, q, list, e) : err_oom(e);
    if (r == 0 && report_compare_make(&h, list, ret) < 0)
        r = err_oom(e);
    json_decref(list);
    return r;
}

/* ---- two stages */

static int make_between(const struct corr *corr, const struct asked *q, json_t **ret, struct err *e) {
    json_t *doc;
    int r = gates_compare(corr, q->a, q->b, corr->at_ns, &doc, e);
    if (r < 0)
        return r;
    *ret = with_head(corr, doc);
    return *ret ? 0 : err_oom(e);
}

/* ---- over time */

/* A stage with its moments; of one that has none, why. */
static int over_stage(const struct corr *corr, const struct facts *f, const struct asked *q, json_t *list,
                      struct err *e) {
    json_t *moments = NULL, *now = NULL;
    int64_t times[GATES_MOMENTS_MAX];
    bool cut;
    (void)gates_architecture_moments(corr, f, q->from, q->to, times, &cut);
    int r = gates_architecture_over(corr, f, q->from, q->to, &moments, e);
    if (r == 0 && json_array_size(moments) == 0)
        r = gates_architecture_at(corr, f, q->to, &now, e);
    if (r == 0 &&
        json_array_append_new(list, json_pack("{s:s, s:O, s:b, s:s*}", "stage", f->stage, "moments", moments,
                                              "cut", cut, "reason", js_str(now, "reason", NULL))) < 0)
        r = err_oom(e);
    json_decref(now);
    json_decref(moments);
    return r;
}

static int make_over(const struct corr *corr, const struct asked *q, json_t **ret, struct err *e) {
    char from[WHEN_TEXT_MAX], to[WHEN_TEXT_MAX];
    json_t *list = json_array();
    int r = list ? 0 : err_oom(e);
    for (size_t i = 0; i < corr->n_stages && r == 0; i++)
        if (!q->a || strcmp(q->a, corr->stages[i].stage) == 0)
            r = over_stage(corr, &corr->stages[i], q, list, e);
    if (r == 0) {
        *ret = with_head(corr, json_pack("{s:s, s:s, s:O}", "from", when_format(q->from, 9, from), "to",
                                         when_format(q->to, 9, to), "stages", list));
        r = *ret ? 0 : err_oom(e);
    }
    json_decref(list);
    return r;
}

/* ---- what is asked, and the answer */

/* Exit status of the contract; a way has no verdict. */
static int status_of(const struct asked *q, const json_t *doc) {
    const char *verdict = js_str(doc, "verdict", "");
    if (q->over || strcmp(verdict, "PASS") == 0)
        return CLI_OK;
    return strcmp(verdict, "FAIL") == 0 ? CLI_FAIL : CLI_OPEN;
}

static int write_answer(const struct cli *c, const struct asked *q, const json_t *doc) {
    struct report r = show_report(c);
    r.width = show_width(&r);
    if (q->over)
        return report_over(&r, doc, q->format);
    return q->b ? report_between(&r, doc, q->format) : report_compare(&r, doc, q->format, q->all);
}

/* Which kinds were read at each moment of the way; loading for the gates knows that of now alone, and only
 * where a reference is declared. */
static int load_sources(const struct cli *c, struct corr *corr, const struct asked *q, struct err *e) {
    int64_t moments[GATES_MOMENTS_MAX];
    bool cut;
    int r = 0;
    for (size_t i = 0; i < corr->n_stages && r == 0; i++) {
        const struct facts *f = &corr->stages[i];
        if (q->over && q->a && strcmp(q->a, f->stage) != 0)
            continue;
        size_t n = q->over ? gates_architecture_moments(corr, f, q->from, q->to, moments, &cut) : 1;
        if (!q->over)
            moments[0] = corr_state_time(corr, corr->at_ns);
        r = show_sources(c, corr, f->stage, moments, n, e);
    }
    return r;
}

static int answer(const struct cli *c, struct corr *corr, const struct asked *q) {
    struct err e = {""};
    json_t *doc = NULL;
    int r = q->over || q->b ? load_sources(c, corr, q, &e) : 0;
    if (r == 0)
        r = q->over ? make_over(corr, q, &doc, &e)
            : q->b  ? make_between(corr, q, &doc, &e)
                    : make_stages(corr, q, &doc, &e);
    if (r < 0)
        return cli_fail("%s", e.text);
    r = write_answer(c, q, doc);
    int status = r < 0 ? cli_fail("cannot write the output: %s", strerror(-r)) : status_of(q, doc);
    json_decref(doc);
    return status;
}

/* Stages are named by --stage or as arguments. */
static int settle_stages(const struct cli *c, struct asked *q) {
    char cluster[WIRE_NAME_MAX + 1], ns[WIRE_NAME_MAX + 1];
    if (c->n_stages + c->n_args > 2)
        return cli_fail("two stages are compared, not %u: name two, or none for all",
                        (unsigned)(c->n_stages + c->n_args));
    const char *named[4] = {NULL};
    size_t n = 0;
    if (c->stage_before)
        named[n++] = c->stage_before;
    if (c->stage)
        named[n++] = c->stage;
    for (size_t i = 0; i < c->n_args; i++) {
        if (!cli_split_stage(c->args[i], cluster, ns))
            return cli_fail("'%s' is no stage: it is written CLUSTER/NAMESPACE", c->args[i]);
        named[n++] = c->args[i];
    }
    q->a = named[0];
    q->b = named[1];
    if (q->b && strcmp(q->a, q->b) == 0)
        return cli_fail("%s cannot differ from itself: name another stage", q->a);
    return CLI_OK;
}

static int settle(const struct cli *c, struct asked *q) {
    struct err e;
    if (report_format_parse(c->format, &q->format, &e) < 0)
        return cli_fail("%s", e.text);
    if (settle_stages(c, q) != CLI_OK)
        return CLI_ERROR;
    if (!q->over && (q->from || q->to))
        return cli_fail("--from and --to say which time --over shows: add --over");
    if (q->over && q->b)
        return cli_fail("--over shows how each stage moved: name one stage, or none for all");
    if (q->over && q->format == REPORT_JUNIT)
        return cli_fail("-o junit: `compare --over` writes table, json, yaml, markdown");
    if (q->all && (q->over || q->b))
        return cli_fail("--all is for the table of expectations: leave it out");
    return CLI_OK;
}

/* The time that --over shows, once the pilot is known. */
static int settle_time(const struct corr *corr, struct asked *q) {
    if (q->from == 0 && when_parse(js_str(corr->ev.pilot, "begin", ""), &q->from) < 0)
        q->from = 0;
    if (q->to == 0 || q->to > corr->at_ns)
        q->to = corr->at_ns;
    return q->from < q->to ? CLI_OK : cli_fail("--from must be before --to, and before --at or now");
}

static int run(struct cli *c) {
    struct asked q = {0};
    const struct cli_option options[] = {
        {"all", 0, CLI_FLAG, &q.all, NULL, "also rows that are ok on every stage", NULL},
        {"over", 0, CLI_FLAG, &q.over, NULL, "how each stage moved during the pilot", NULL},
        {"from", 0, CLI_TIME, &q.from, "TIME", "--over: from then on (the pilot's begin)", NULL},
        {"to", 0, CLI_TIME, &q.to, "TIME", "--over: until then (--at, or now)", NULL},
    };
    struct corr corr;
    if (!cli_parse(c, options, sizeof options / sizeof *options, 0, 2))
        return c->status;
    if (settle(c, &q) != CLI_OK || !show_load(c, &corr))
        return CLI_ERROR;
    int status = CLI_ERROR;
    if (show_is_stage(&corr, q.a) && (!q.b || show_is_stage(&corr, q.b)) &&
        (!q.over || settle_time(&corr, &q) == CLI_OK))
        status = answer(c, &corr, &q);
    corr_free(&corr);
    return status;
}

const struct cli_command cli_cmd_compare = {
    .name = "compare",
    .summary = "each stage against the recommended architecture, two stages with each other, or over time",
    .usage = "[C/NS] [--all] [--at TIME] [-o table|json|yaml|junit|markdown]\n"
             "C/NS C/NS [--at TIME] [-o table|json|yaml|junit|markdown]\n"
             "--over [C/NS] [--from TIME] [--to TIME] [-o table|json|yaml|markdown]",
    .run = run,
};
