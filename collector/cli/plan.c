/* plan: how many calls, at which load, a drill needs for a verdict. The rules are in gates/plan.c. */
#include "cli/commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "cli/show.h"
#include "cli/told.h"
#include "gates/gates.h"

/* "0.1%", "0.1 %" or "0.001", above 0 and below 1. */
static bool parse_share(const char *text, double *ret) {
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (errno || end == text ||
        !(*text >= '0' && *text <= '9')) /* no signs, no names, no hexadecimal below */
        return false;
    if (strpbrk(text, "xXpP"))
        return false;
    end += strspn(end, " ");
    if (*end == '%') {
        value /= 100;
        end++;
    }
    *ret = value;
    return !*end && value > 0 && value < 1;
}

static int settle_rules(const char *rate, const char *confidence, struct plan_rules *rules) {
    if (rate && !parse_share(rate, &rules->max_drop_rate))
        return cli_fail("--max-drop-rate %s: a rate is written 0.1%% or 0.001", rate);
    if (confidence && (!parse_share(confidence, &rules->confidence) || rules->confidence < 0.5))
        return cli_fail("--confidence %s: a confidence is written 95%% or 0.95, and is 50%% or more",
                        confidence);
    return CLI_OK;
}

/* ---- for people */

static void add_row(json_t *rows, const json_t *l) {
    char text[4][32];
    (void)snprintf(text[0], 32, "%lld", (long long)js_int(l, "in_flight", 0));
    (void)snprintf(text[1], 32, "%lld", (long long)js_int(l, "drill_in_flight", 0));
    (void)snprintf(text[2], 32, "%.3f s", json_real_value(json_object_get(l, "call_s")));
    (void)snprintf(text[3], 32, "%lld", (long long)js_int(l, "units", 0));
    const char *path = js_str(l, "path", "");
    (void)json_array_append_new(
        rows,
        json_pack("[s,s,s,s,s,s,s,s]", js_str(l, "node", ""), js_str(l, "probe", ""), *path ? path : "URL",
                  js_bool(l, "control", false) ? "control" : js_str(l, "connection", ""), text[0], text[1],
                  json_object_get(l, "call_s") ? text[2] : "?", text[3]));
}

static void show_lines(const json_t *list, const char *prefix) {
    size_t i;
    json_t *text;
    json_array_foreach((json_t *)list, i, text)(void) printf("  %s%s\n", prefix, json_string_value(text));
}

static void show_answer(const json_t *p) {
    char once[WHEN_TEXT_MAX], whole[WHEN_TEXT_MAX];
    long long drills = js_int(p, "drills", 0);
    int64_t once_ns = (int64_t)(json_real_value(json_object_get(p, "seconds_per_drill")) * 1e9);
    int64_t whole_ns = (int64_t)(json_real_value(json_object_get(p, "seconds")) * 1e9);
    if (drills)
        (void)printf(
            "  pilotgate drill config-change --stage %s --repeat %lld -- COMMAND: about %s each, %s in all\n",
            js_str(p, "stage", ""), drills, when_format_duration(once_ns, once),
            when_format_duration(whole_ns, whole));
    else if (json_array_size(json_object_get(p, "never")))
        (void)printf("  no number of drills is enough with this load:\n");
    else
        (void)printf("  no further drill is needed\n");
}

static void show_stage(const struct cli *c, const json_t *p) {
    size_t i;
    json_t *l;
    json_t *rows = json_pack("[[s,s,s,s,s,s,s,s]]", "NODE", "PROBE", "PATH", "CONNECTION", "IN FLIGHT",
                             "IN DRILL", "CALL", "UNITS");
    (void)printf(
        "%s: %lld units needed, %lld there; a drill gives %lld (%lld reused, %lld new, %lld at replicas)\n",
        js_str(p, "stage", ""), (long long)js_int(p, "units_needed", 0), (long long)js_int(p, "units", 0),
        (long long)js_int(p, "units_per_drill", 0), (long long)js_int(p, "reused", 0),
        (long long)js_int(p, "new", 0), (long long)js_int(p, "replicas", 0));
    if (json_object_get(p, "units_of_last_drill"))
        (void)printf("  the last drill that passed gave %lld\n",
                     (long long)js_int(p, "units_of_last_drill", 0));
    show_answer(p);
    show_lines(json_object_get(p, "never"), "- ");
    show_lines(json_object_get(p, "notes"), "note: ");
    json_array_foreach(json_object_get(p, "loads"), i, l) add_row(rows, l);
    cli_table(c, stdout, rows);
    json_decref(rows);
}

/* ---- all stages */

static int plan_stages(const struct cli *c, struct store *s, const struct corr *corr,
                       const struct plan_rules *rules, json_t *list, struct err *e) {
    char cluster[WIRE_NAME_MAX + 1], ns[WIRE_NAME_MAX + 1];
    json_t *gates = NULL;
    int r = gates_evaluate(corr, &gates, e);
    for (size_t i = 0; r == 0 && i < corr->n_stages; i++) {
        const struct facts *f = &corr->stages[i];
        struct told told;
        if ((c->stage && strcmp(c->stage, f->stage) != 0) || !cli_split_stage(f->stage, cluster, ns))
            continue;
        r = told_read(s, cluster, ns, corr->at_ns, &told, e);
        if (r < 0)
            break;
        struct plan_stage stage = told_plan_stage(f, &told, gates);
        if (json_array_append_new(list, plan_make(rules, &stage)) < 0)
            r = err_oom(e);
        told_free(&told);
    }
    json_decref(gates);
    return r;
}

static int show(const struct cli *c, const struct plan_rules *rules, json_t *list) {
    int status = CLI_OK;
    size_t i;
    json_t *p;
    json_t *doc =
        json_pack("{s:f, s:f, s:I, s:O}", "max_drop_rate", rules->max_drop_rate, "confidence",
                  rules->confidence, "units_needed",
                  (json_int_t)gates_units_needed(rules->max_drop_rate, rules->confidence), "stages", list);
    if (cli_wants_document(c)) {
        status = doc ? cli_document(c, doc) : cli_fail("out of memory");
    } else {
        (void)printf(
            "a drop rate below %.4g %% at %.4g %% confidence takes %lld units: calls in flight across a "
            "switch, each on a connection of its own, none dropped\n",
            100 * rules->max_drop_rate, 100 * rules->confidence, (long long)js_int(doc, "units_needed", 0));
        json_array_foreach(list, i, p) {
            (void)printf("\n");
            show_stage(c, p);
        }
    }
    json_decref(doc);
    return status;
}

static int plan(const struct cli *c, const char *rate, const char *confidence) {
    struct corr corr;
    struct store *s = NULL;
    struct err e = {""};
    json_t *list = json_array();
    int r = cli_store(c, STORE_READ, &s, &e);
    if (r == 0)
        r = show_facts(c, s, &corr, &e);
    if (r < 0) {
        store_close(&s);
        json_decref(list);
        return cli_fail("%s", e.text);
    }
    struct plan_rules rules = told_plan_rules(&corr.rubric);
    int status = settle_rules(rate, confidence, &rules);
    if (status == CLI_OK && !show_stage_known(c, &corr))
        status = CLI_ERROR;
    if (status == CLI_OK && plan_stages(c, s, &corr, &rules, list, &e) < 0)
        status = cli_fail("%s", e.text);
    if (status == CLI_OK)
        status = show(c, &rules, list);
    json_decref(list);
    corr_free(&corr);
    store_close(&s);
    return status;
}

static int run(struct cli *c) {
    const char *rate = NULL, *confidence = NULL;
    const struct cli_option options[] = {
        {"max-drop-rate", 0, CLI_TEXT, &rate, "RATE", "to be ruled out, 0.1% or 0.001 (the rubric's)", NULL},
        {"confidence", 0, CLI_TEXT, &confidence, "SHARE", "how surely, 95% or 0.95 (the rubric's)", NULL},
    };
    if (!cli_parse(c, options, sizeof options / sizeof *options, 0, 0))
        return c->status;
    return cli_format_ok(c, cli_formats) ? plan(c, rate, confidence) : CLI_ERROR;
}

const struct cli_command cli_cmd_plan = {
    "plan", "how many calls, at which load, a drill needs for a verdict",
    "[--max-drop-rate 0.1%] [--confidence 95%] [--stage C/NS] [-o table|json|yaml]", run};
