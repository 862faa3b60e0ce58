/* explain: one gate in full: what was measured, which calls were lost, which records it cites. */
#include <string.h>

#include "base/js.h"
#include "cli/show.h"
#include "gates/gates.h"

static const json_t *find_gate(const json_t *result, const char *id) {
    size_t i;
    json_t *g;
    json_array_foreach(json_object_get(result, "gates"), i, g) {
        if (strcmp(js_str(g, "id", ""), id) == 0)
            return g;
    }
    return NULL;
}

static int unknown_gate(const struct corr *corr, const char *id) {
    const char *names[RUBRIC_GATES_MAX + 1] = {NULL};
    for (size_t i = 0; i < corr->rubric.n_gates; i++)
        names[i] = corr->rubric.gates[i].id;
    const char *near = cli_nearest(id, names);
    return near ? cli_fail("there is no gate '%s'; did you mean '%s'?", id, near)
                : cli_fail("there is no gate '%s'; `pilotgate gates` lists them", id);
}

static int show(const struct cli *c, const struct corr *corr, const char *id) {
    struct err e;
    json_t *result;
    if (gates_evaluate(corr, &result, &e) < 0)
        return cli_fail("%s", e.text);
    const json_t *gate = find_gate(result, id);
    struct report r = show_report(c);
    int status;
    if (!gate)
        status = unknown_gate(corr, id);
    else
        status = gates_exit_status(result, id, NULL);
    if (gate && cli_wants_document(c))
        status = cli_document(c, gate) == CLI_OK ? status : CLI_ERROR;
    else if (gate)
        report_explain(&r, result, id);
    json_decref(result);
    return status;
}

static int run(struct cli *c) {
    struct corr corr;
    if (!cli_parse(c, NULL, 0, 1, 1))
        return c->status;
    if (!cli_format_ok(c, cli_formats) || !show_load(c, &corr))
        return CLI_ERROR;
    int status = show(c, &corr, c->args[0]);
    corr_free(&corr);
    return status;
}

const struct cli_command cli_cmd_explain = {
    .name = "explain",
    .summary = "one gate in full, with the records it cites",
    .usage = "GATE [--at TIME] [-o table|json|yaml]",
    .run = run,
};
