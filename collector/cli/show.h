/* show: what the subcommands that show verdicts share (gates, explain, timeline, changes). */
#pragma once

#include "cli/cli.h"
#include "correlate/corr.h"
#include "report/report.h"

/* Standard output with the terminal's width, or no wrapping when it is none. */
struct report show_report(const struct cli *c);

/* COLUMNS, when somebody exported it; else r's. */
unsigned show_width(const struct report *r);

/* What the gates judge, as of --at or now, from an open store. */
int show_facts(const struct cli *c, struct store *s, struct corr *ret, struct err *e) MUST_CHECK;

/* Opens the store and loads what the gates judge, as of --at or now. Free with corr_free. False: said. */
bool show_load(const struct cli *c, struct corr *ret);
/* Adds which kinds of objects were read at these moments, of one stage or (NULL) of all. */
int show_sources(const struct cli *c, struct corr *corr, const char *stage, const int64_t *t, size_t n,
                 struct err *e) MUST_CHECK;

/* False, said, when the pilot has no such stage; NULL: when it has none at all. */
bool show_is_stage(const struct corr *corr, const char *stage);
/* The same for --stage. */
bool show_stage_known(const struct cli *c, const struct corr *corr);
