/* timeline: a stage's deployment phases and changes, oldest first. */
#include <string.h>

#include "cli/show.h"

static int run(struct cli *c) {
    static const char *const formats[] = {"table", NULL};
    struct corr corr;
    if (!cli_parse(c, NULL, 0, 0, 1))
        return c->status;
    if (c->n_args == 1)
        c->stage = c->args[0];
    if (!cli_format_ok(c, formats) || !show_load(c, &corr))
        return CLI_ERROR;
    int status = show_stage_known(c, &corr) ? CLI_OK : CLI_ERROR;
    struct report r = show_report(c);
    for (size_t i = 0; i < corr.n_stages; i++)
        if (!c->stage || strcmp(corr.stages[i].stage, c->stage) == 0)
            report_timeline(&r, &corr.stages[i]);
    corr_free(&corr);
    return status;
}

const struct cli_command cli_cmd_timeline = {
    .name = "timeline",
    .summary = "a stage's deployment phases and changes",
    .usage = "[CLUSTER/NAMESPACE] [--at TIME]",
    .run = run,
};
