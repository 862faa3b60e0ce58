/* changes: the configuration changes that were seen, or one of them in full. */
#include <string.h>

#include "cli/show.h"
#include "gates/gates.h"

static int show(const struct cli *c, const struct corr *corr, const char *id) {
    struct err e;
    json_t *list;
    if (gates_changes(corr, c->stage, &list, &e) < 0)
        return cli_fail("%s", e.text);
    struct report r = show_report(c);
    int status = CLI_OK;
    if (strcmp(c->format, "json") == 0)
        report_json(&r, list);
    else if (!report_changes(&r, list, id) && id)
        status = cli_fail("no change is called '%s'; `pilotgate changes` lists them", id);
    else if (json_array_size(list) == 0)
        (void)printf("no change was witnessed yet\n");
    json_decref(list);
    return status;
}

static int run(struct cli *c) {
    static const char *const formats[] = {"table", "json", NULL};
    struct corr corr;
    if (!cli_parse(c, NULL, 0, 0, 1))
        return c->status;
    if (!cli_format_ok(c, formats) || !show_load(c, &corr))
        return CLI_ERROR;
    int status = CLI_ERROR;
    if (!c->stage || show_stage_known(c, &corr))
        status = show(c, &corr, c->n_args ? c->args[0] : NULL);
    corr_free(&corr);
    return status;
}

const struct cli_command cli_cmd_changes = {
    .name = "changes",
    .summary = "configuration changes, or one in full: signs, window, calls",
    .usage = "[ID] [--stage C/NS] [--at TIME] [-o table|json]",
    .run = run,
};
