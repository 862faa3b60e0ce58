/* cli_priv: what the files of the frame share. */
#pragma once

#include "cli/cli.h"

#define CLI_HELP 100 /* cli->status while --help was seen and nothing was shown yet */

/* Takes one global option at argv[0]: the number of words used, 0 when it is none, negative when it is
 * wrong (said; status set). --help sets status to CLI_HELP; --version prints and ends with -1. */
int cli_global_option(struct cli *c, int argc, char **argv);
void cli_global_help(void);
