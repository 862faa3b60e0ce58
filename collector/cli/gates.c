/* gates: the verdict of every gate, or with --stage of one stage. */
#include <string.h>
#include <unistd.h>

#include "base/js.h"
#include "cli/show.h"
#include "gates/gates.h"

#define WATCH_SECONDS 2

/* Leaves only the chosen stage in each gate. */
static void keep_stage(json_t *result, const char *stage) {
    size_t i;
    json_t *g;
    json_array_foreach(json_object_get(result, "gates"), i, g) {
        json_t *stages = json_object_get(g, "stages");
        for (size_t j = json_array_size(stages); j-- > 0;)
            if (strcmp(js_str(json_array_get(stages, j), "stage", ""), stage) != 0)
                (void)json_array_remove(stages, j);
    }
}

static int show_once(const struct cli *c, enum report_format format) {
    struct corr corr;
    struct err e;
    json_t *result;
    if (!show_load(c, &corr))
        return CLI_ERROR;
    int status = CLI_ERROR;
    if (c->stage && !show_stage_known(c, &corr)) {
        corr_free(&corr);
        return status;
    }
    if (gates_evaluate(&corr, &result, &e) < 0) {
        corr_free(&corr);
        return cli_fail("%s", e.text);
    }
    status = gates_exit_status(result, NULL, c->stage);
    if (c->stage)
        keep_stage(result, c->stage);
    struct report r = show_report(c);
    int rc = report_gates(&r, result, format);
    if (rc < 0)
        status = cli_fail("cannot write the output: %s", strerror(-rc));
    json_decref(result);
    corr_free(&corr);
    return status;
}

static int run(struct cli *c) {
    bool watch = false;
    const struct cli_option options[] = {
        {"watch", 'w', CLI_FLAG, &watch, NULL, "show again every 2 seconds, until interrupted", NULL}};
    struct err e;
    enum report_format format;
    if (!cli_parse(c, options, 1, 0, 0))
        return c->status;
    if (report_format_parse(c->format, &format, &e) < 0)
        return cli_fail("%s", e.text);
    int status = show_once(c, format);
    while (watch && status != CLI_ERROR) {
        (void)fflush(stdout);
        (void)sleep(WATCH_SECONDS);
        if (c->colour)
            (void)fputs("\033[H\033[J", stdout);
        status = show_once(c, format);
    }
    return status;
}

const struct cli_command cli_cmd_gates = {
    .name = "gates",
    .summary = "the verdict of every gate",
    .usage = "[--stage C/NS] [--at TIME] [-w] [-o table|json|yaml|junit|markdown]",
    .run = run,
};
