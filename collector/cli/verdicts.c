/* verdicts: from the store to what the gates judge, for every subcommand that shows or returns a verdict. */
#include <errno.h>

#include "base/when.h"
#include "cli/show.h"
#include "correlate/load.h"
#include "gates/gates.h"

int show_facts(const struct cli *c, struct store *s, struct corr *ret, struct err *e) {
    uint64_t commit = 0;
    int64_t at = c->at_ns ? c->at_ns : when_wall_ns();
    int r = store_commit_at(s, at, &commit, e);
    if (r < 0)
        return r;
    if (commit == 0 && c->at_ns)
        return err_set(e, -ENOENT, "the store has nothing from before --at; name a later time");
    return corr_load(s, commit, at, ret, e); /* now, too, is a time: `--at` it gives the same commit */
}

int cli_verdicts(const struct cli *c, struct store *s, json_t **ret, struct err *e) {
    struct corr corr;
    int r = show_facts(c, s, &corr, e);
    if (r < 0)
        return r;
    r = gates_evaluate(&corr, ret, e);
    corr_free(&corr);
    return r;
}
