/* show: see show.h. */
#include "cli/show.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct report show_report(const struct cli *c) {
    struct winsize w;
    struct report r = {.to = stdout, .colour = c->colour};
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0)
        r.width = w.ws_col;
    return r;
}

static int load(const struct cli *c, struct corr *ret, struct err *e) {
    struct store *s;
    int r = cli_store(c, STORE_READ, &s, e);
    if (r < 0)
        return r;
    r = show_facts(c, s, ret, e);
    store_close(&s);
    return r;
}

bool show_load(const struct cli *c, struct corr *ret) {
    struct err e;
    if (load(c, ret, &e) == 0)
        return true;
    (void)cli_fail("%s", e.text);
    return false;
}

bool show_stage_known(const struct cli *c, const struct corr *corr) {
    for (size_t i = 0; i < corr->n_stages; i++)
        if (!c->stage || strcmp(corr->stages[i].stage, c->stage) == 0)
            return true;
    if (!c->stage)
        (void)cli_fail("no stage is declared: `pilotgate pilot init --file pilot.yaml`");
    else
        (void)cli_fail("the pilot has no stage '%s'; `pilotgate status` lists them", c->stage);
    return false;
}
