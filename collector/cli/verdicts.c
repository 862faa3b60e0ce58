/* verdicts: from the store to what the gates judge, for every subcommand that shows or returns a verdict. */
#include <errno.h>

#include "base/when.h"
#include "cli/show.h"
#include "correlate/load.h"
#include "gates/gates.h"

/* Now is a time, too: `--at` it gives the same commit. All that is committed counts, also what bears a later
 * time, because the collector's clock was ahead then: what came since would not be seen for as long. */
static int newest(struct store *s, uint64_t *ret_commit, int64_t *ret_at, struct err *e) {
    int64_t now = when_wall_ns(), stamp = 0;
    int r = store_newest_commit(s, ret_commit, &stamp, e);
    *ret_at = stamp > now ? stamp : now;
    return r;
}

int show_facts(const struct cli *c, struct store *s, struct corr *ret, struct err *e) {
    uint64_t commit = 0;
    int64_t at = c->at_ns;
    int r = at ? store_commit_at(s, at, &commit, e) : newest(s, &commit, &at, e);
    if (r < 0)
        return r;
    if (commit == 0 && c->at_ns)
        return err_set(e, -ENOENT, "the store has nothing from before --at; name a later time");
    return corr_load(s, commit, at, ret, e);
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
