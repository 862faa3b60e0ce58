/* show: what the subcommands that show verdicts share (gates, explain, timeline, changes). */
#pragma once

#include "cli/cli.h"
#include "correlate/corr.h"
#include "report/report.h"

/* Standard output with the terminal's width, or no wrapping when it is none. */
struct report show_report(const struct cli *c);

/* What the gates judge, as of --at or now, from an open store. */
int show_facts(const struct cli *c, struct store *s, struct corr *ret, struct err *e) MUST_CHECK;

/* Opens the store and loads what the gates judge, as of --at or now. Free with corr_free. False: said. */
bool show_load(const struct cli *c, struct corr *ret);

/* False, said, when --stage names none of the pilot's stages. */
bool show_stage_known(const struct cli *c, const struct corr *corr);
