/* cli: the frame: dispatch, help, errors. Options are in options.c, tables in table.c. */
#include "cli/cli_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/when.h"
#include "base/word.h"

#define NAMES_MAX 64

int cli_fail(const char *fmt, ...) {
    struct err e;
    char text[ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)err_set(&e, -EINVAL, "%s", text); /* one printable line, whatever was quoted */
    (void)fprintf(stderr, "pilotgate: %s\n", e.text);
    return CLI_ERROR;
}

const char *cli_nearest(const char *word, const char *const *names) {
    return word_nearest(word, names);
}

static const struct cli_command *find(const struct cli_command *const *commands, const char *name) {
    for (; *commands; commands++)
        if (strcmp((*commands)->name, name) == 0)
            return *commands;
    return NULL;
}

static int unknown(const struct cli_command *const *commands, const char *word) {
    const char *names[NAMES_MAX + 1] = {NULL};
    for (size_t i = 0; commands[i] && i < NAMES_MAX; i++)
        names[i] = commands[i]->name;
    const char *near = cli_nearest(word, names);
    if (near)
        return cli_fail("there is no subcommand '%s'; did you mean '%s'?", word, near);
    return cli_fail("there is no subcommand '%s'; `pilotgate help` lists them", word);
}

static void help(const struct cli_command *const *commands) {
    (void)printf("pilotgate: judges a pilot from what its agents witnessed\n\n"
                 "usage: pilotgate [OPTIONS] SUBCOMMAND [OPTIONS] [ARGUMENTS]\n\nsubcommands:\n");
    for (; *commands; commands++)
        (void)printf("  %-10s  %s\n", (*commands)->name, (*commands)->summary);
    (void)printf("\noptions of every subcommand:\n");
    cli_global_help();
    (void)printf(
        "\nexit status: 0 done, or all gates PASS; 1 a gate FAILs; 2 usage or system error; 3 a gate is\n"
        "INCONCLUSIVE or PENDING and none FAILs\n\n`pilotgate help SUBCOMMAND` shows one in full.\n");
}

/* Standard output may be a full disk or a closed pipe: what was not written was not said. */
static int finish(int status) {
    if (fflush(stdout) != 0 || ferror(stdout))
        return cli_fail("cannot write the output: %s", strerror(errno));
    return status;
}

static int run(struct cli *c, const struct cli_command *command, int argc, char **argv) {
    c->command = command;
    c->argc = argc;
    c->argv = argv;
    return finish(command->run(c));
}

static int run_help(const struct cli_command *const *commands, struct cli *c, const char *of) {
    static char flag[] = "--help";
    static char *argv[] = {flag, NULL};
    if (!of) {
        help(commands);
        return finish(CLI_OK);
    }
    const struct cli_command *command = find(commands, of);
    return command ? run(c, command, 1, argv) : unknown(commands, of);
}

int cli_main(const struct cli_command *const *commands, int argc, char **argv) {
    struct cli c = {.format = "table", .store_url = getenv("PILOTGATE_STORE")};
    const char *no_colour = getenv("NO_COLOR");
    c.colour = isatty(STDOUT_FILENO) && !(no_colour && *no_colour);
    int at = 1;
    while (at < argc && argv[at][0] == '-') {
        int used = cli_global_option(&c, argc - at, argv + at);
        if (used == 0)
            return cli_fail("there is no option '%s' before the subcommand; see `pilotgate help`", argv[at]);
        if (used < 0)
            return c.status;
        if (c.status == CLI_HELP) {
            help(commands);
            return finish(CLI_OK);
        }
        at += used;
    }
    if (at == argc) {
        help(commands);
        (void)finish(CLI_OK);
        return CLI_ERROR;
    }
    if (strcmp(argv[at], "help") == 0)
        return run_help(commands, &c, at + 1 < argc ? argv[at + 1] : NULL);
    const struct cli_command *command = find(commands, argv[at]);
    return command ? run(&c, command, argc - at - 1, argv + at + 1) : unknown(commands, argv[at]);
}

int cli_store(const struct cli *c, enum store_mode mode, struct store **ret, struct err *e) {
    return store_open(c->store_url, mode, ret, e);
}

int cli_put_document(struct store *s, const char *kind, const char *name, const json_t *body, struct err *e) {
    int r = store_begin(s, e);
    if (r < 0)
        return r;
    r = store_put_document(s, kind, name, body, e);
    if (r < 0) {
        store_rollback(s);
        return r;
    }
    uint64_t n;
    return store_commit(s, when_wall_ns(), &n, e);
}
