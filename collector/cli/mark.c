/* mark: what a person says about a moment of a stage. "t0" sets the beginning of a deployment. */
#include "cli/commands.h"

#include <errno.h>
#include <string.h>

#include "base/when.h"

#define TEXT_MAX_HERE 2000

static int put(const struct cli *c, const char *what, const char *by, const char *note, int64_t t,
               struct err *e) {
    char at[WHEN_TEXT_MAX], name[2 * WIRE_NAME_MAX + WHEN_TEXT_MAX + 300];
    when_format(t, 3, at);
    (void)snprintf(name, sizeof name, "%s/%s@%s", c->stage, what, at);
    json_t *body = json_pack("{s:s, s:s, s:s, s:s, s:I, s:s}", "stage", c->stage, "what", what, "by", by,
                             "at", at, "t_ns", (json_int_t)t, "note", note ? note : "");
    if (!body)
        return err_set(e, -EINVAL, "a mark is UTF-8 text");
    struct store *s = NULL;
    int r = cli_store(c, STORE_READ, &s, e);
    if (r == 0)
        r = cli_put_document(s, "mark", name, body, e);
    store_close(&s);
    json_decref(body);
    if (r == 0)
        (void)printf("marked %s in %s at %s\n", what, c->stage, at);
    return r;
}

static int run(struct cli *c) {
    const char *what = NULL, *by = NULL, *note = NULL;
    const struct cli_option options[] = {
        {"name", 0, CLI_TEXT, &what, "WHAT",
         "what happened; t0 begins the deployment, change is a sign of a change", NULL},
        {"by", 0, CLI_TEXT, &by, "WHO", "who says so", NULL},
        {"note", 0, CLI_TEXT, &note, "TEXT", "why", NULL},
    };
    if (!cli_parse(c, options, sizeof options / sizeof *options, 0, 0))
        return c->status;
    if (!cli_need_stage(c))
        return CLI_ERROR;
    if (!what || !wire_name_ok(what))
        return cli_fail("name what happened with --name, in letters, digits, '.', '-' and '_'");
    if (!by || !*by)
        return cli_fail("a mark needs a name: --by WHO");
    if (strnlen(by, TEXT_MAX_HERE) == TEXT_MAX_HERE ||
        (note && strnlen(note, TEXT_MAX_HERE) == TEXT_MAX_HERE))
        return cli_fail("--by and --note take at most %d bytes", TEXT_MAX_HERE - 1);
    struct err e = {""};
    return put(c, what, by, note, c->at_ns ? c->at_ns : when_wall_ns(), &e) < 0 ? cli_fail("%s", e.text)
                                                                                : CLI_OK;
}

const struct cli_command cli_cmd_mark = {"mark", "records what a person says of a moment",
                                         "--stage C/NS --name WHAT --by WHO [--at TIME] [--note TEXT]", run};
