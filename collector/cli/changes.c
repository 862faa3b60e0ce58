/* changes: the configuration changes that were seen, or one of them in full. */
#include <string.h>

#include "base/js.h"
#include "cli/show.h"
#include "gates/gates.h"

static int print(const struct cli *c, const struct report *r, const struct corr *corr, const json_t *list,
                 const char *id, bool *ret_found) {
    *ret_found = true;
    if (cli_wants_document(c)) {
        *ret_found = json_array_size(list) > 0;
        return cli_document(c, list);
    }
    if (strcmp(c->format, "markdown") == 0) {
        *ret_found = report_changes_markdown(r, list, id);
    } else {
        *ret_found = report_changes(r, list, id);
        for (size_t s = 0; s < corr->n_stages && !id; s++)
            if (!c->stage || strcmp(corr->stages[s].stage, c->stage) == 0)
                report_noise(r, &corr->stages[s]);
    }
    return CLI_OK;
}

/* With an id that change alone is left. */
static void choose(json_t *list, const char *id) {
    for (size_t i = json_array_size(list); id && i-- > 0;)
        if (strcmp(js_str(json_array_get(list, i), "id", ""), id) != 0)
            (void)json_array_remove(list, i);
}

static int show(const struct cli *c, const struct corr *corr, const char *id) {
    struct err e;
    json_t *list;
    if (gates_changes(corr, c->stage, &list, &e) < 0)
        return cli_fail("%s", e.text);
    choose(list, id);
    struct report r = show_report(c);
    int status = CLI_OK;
    bool found = true;
    if ((id || cli_wants_document(c)) && gates_details(corr, list, id, &e) < 0)
        status = cli_fail("%s", e.text);
    else
        status = print(c, &r, corr, list, id, &found);
    if (!found && id)
        status = cli_fail("no change is called '%s'; `pilotgate changes` lists them", id);
    else if (status == CLI_OK && json_array_size(list) == 0 && strcmp(c->format, "table") == 0)
        (void)printf("no change was witnessed yet\n");
    json_decref(list);
    return status;
}

static int run(struct cli *c) {
    static const char *const formats[] = {"table", "json", "yaml", "markdown", NULL};
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
    .summary = "configuration changes, or one in full: signs, window, what it changed, calls",
    .usage = "[ID] [--stage C/NS] [--at TIME] [-o table|json|yaml|markdown]",
    .run = run,
};
