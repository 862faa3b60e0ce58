/* timeline: a stage's deployment phases, pods, changes and marks over time. */
#include <stdlib.h>
#include <string.h>

#include "cli/show.h"

/* The locale's variables, in the order in which they count (POSIX, Environment Variables). */
static bool is_utf8(void) {
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    const char *value = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && !value; i++) {
        value = getenv(names[i]);
        value = value && *value ? value : NULL;
    }
    return value && (strcasestr(value, "utf-8") || strcasestr(value, "utf8"));
}

static int show_document(const struct cli *c, const struct corr *corr, const struct report_timeline *how) {
    struct err e;
    json_t *list = json_array();
    int rc = list ? 0 : err_oom(&e);
    for (size_t i = 0; i < corr->n_stages && rc == 0; i++) {
        json_t *doc;
        if (c->stage && strcmp(corr->stages[i].stage, c->stage) != 0)
            continue;
        rc = report_timeline_json(&corr->stages[i], how, &doc, &e);
        if (rc == 0 && json_array_append_new(list, doc) < 0)
            rc = err_oom(&e);
    }
    json_t *all = rc == 0 ? json_pack("{s:O}", "stages", list) : NULL;
    if (rc == 0 && !all)
        rc = err_oom(&e);
    int status = rc < 0 ? cli_fail("%s", e.text) : cli_document(c, all);
    json_decref(all);
    json_decref(list);
    return status;
}

static int show(const struct cli *c, const struct corr *corr, struct report_timeline *how) {
    struct err e;
    struct report r = show_report(c);
    r.width = show_width(&r);
    how->ascii = !is_utf8();
    if (cli_wants_document(c))
        return show_document(c, corr, how);
    how->as =
        c->format_named && strcmp(c->format, "table") == 0 ? REPORT_TIMELINE_LIST : REPORT_TIMELINE_GANTT;
    const char *between = "";
    for (size_t i = 0; i < corr->n_stages; i++) {
        if (c->stage && strcmp(corr->stages[i].stage, c->stage) != 0)
            continue;
        (void)fputs(between, r.to);
        between = "\n";
        if (report_timeline(&r, &corr->stages[i], how, &e) < 0)
            return cli_fail("%s", e.text);
    }
    return CLI_OK;
}

static int run(struct cli *c) {
    static const char *const formats[] = {"gantt", "table", "json", "yaml", NULL};
    struct report_timeline how = {.from = 0};
    const struct cli_option options[] = {
        {"from", 0, CLI_TIME, &how.from, "TIME", "the window begins here", NULL},
        {"to", 0, CLI_TIME, &how.to, "TIME", "and ends here", NULL},
        {"revision", 0, CLI_NUMBER, &how.revision, "N", "only this revision of the release, until the next",
         NULL},
        {"change", 0, CLI_TEXT, &how.change, "ID", "only the window of this change", NULL},
        {"all", 0, CLI_FLAG, &how.all, NULL, "every pod, also the many of old revisions", NULL},
    };
    struct corr corr;
    if (!cli_parse(c, options, sizeof options / sizeof *options, 0, 1))
        return c->status;
    if (c->n_args == 1)
        c->stage = c->args[0];
    if (how.from && how.to && how.from >= how.to)
        return cli_fail("--from must be before --to");
    if (!cli_format_ok(c, formats) || !show_load(c, &corr))
        return CLI_ERROR;
    int status = show_stage_known(c, &corr) ? show(c, &corr, &how) : CLI_ERROR;
    corr_free(&corr);
    return status;
}

const struct cli_command cli_cmd_timeline = {
    .name = "timeline",
    .summary = "a stage's deployment phases, pods and changes over time",
    .usage = "[CLUSTER/NAMESPACE] [--from TIME] [--to TIME] [--revision N | --change ID] [--all]\n"
             "[CLUSTER/NAMESPACE] -o table|json|yaml",
    .run = run,
};
