/* show: see show.h. */
#include "cli/show.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "correlate/load.h"

struct report show_report(const struct cli *c) {
    struct winsize w;
    struct report r = {.to = stdout, .colour = c->colour};
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0)
        r.width = w.ws_col;
    return r;
}

unsigned show_width(const struct report *r) {
    const char *text = getenv("COLUMNS");
    long n = text && isdigit((unsigned char)*text) ? strtol(text, NULL, 10) : 0;
    return n > 0 && n < 10000 ? (unsigned)n : r->width;
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

int show_sources(const struct cli *c, struct corr *corr, const char *stage, const int64_t *t, size_t n,
                 struct err *e) {
    struct store *s;
    int r = cli_store(c, STORE_READ, &s, e);
    if (r < 0)
        return r;
    r = corr_load_sources(s, corr, stage, t, n, e);
    store_close(&s);
    return r;
}

bool show_is_stage(const struct corr *corr, const char *stage) {
    for (size_t i = 0; i < corr->n_stages; i++)
        if (!stage || strcmp(corr->stages[i].stage, stage) == 0)
            return true;
    if (corr->n_stages == 0)
        (void)cli_fail("no stage is declared: `pilotgate pilot init --file pilot.yaml`");
    else
        (void)cli_fail("the pilot has no stage '%s'; `pilotgate status` lists them", stage);
    return false;
}

bool show_stage_known(const struct cli *c, const struct corr *corr) {
    return show_is_stage(corr, c->stage);
}
