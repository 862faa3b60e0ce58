/* main: the subcommands of pilotgate. */
#include "cli/commands.h"

int main(int argc, char **argv) {
    static const struct cli_command *const commands[] = {
        &cli_cmd_serve,      &cli_cmd_keygen,
        &cli_cmd_pilot,      &cli_cmd_status,
        &cli_cmd_agents,     &cli_cmd_gates,
        &cli_cmd_explain,    &cli_cmd_timeline,
        &cli_cmd_changes,    &cli_cmd_compare,
        &cli_cmd_gitops,     &cli_cmd_calls,
        &cli_cmd_plan,       &cli_cmd_drill,
        &cli_cmd_mark,       &cli_cmd_attest,
        &cli_cmd_backup,     &cli_cmd_import,
        &cli_cmd_completion, &cli_cmd_retain,
        &cli_cmd_reference,  NULL,
    };
    return cli_main(commands, argc, argv);
}
