/* cli: the frame that all subcommands share: options, errors, formats, tables.
 *
 * A subcommand is one file with one `const struct cli_command`, named in commands.h and in main.c's table.
 * Its run() describes its options in a table on the stack, lets cli_parse fill them, and works:
 *
 *     const char *file = NULL;
 *     const struct cli_option options[] = {{"file", 'f', CLI_TEXT, &file, "FILE", "what it is", NULL}};
 *     if (!cli_parse(c, options, 1, 0, 0))
 *         return c->status;
 *
 * Every option is also found in its environment variable, if it names one; flags win. The global options
 * (--store, -o, --stage, --at, --color, --help, --version) may stand before or after the subcommand.
 * Exit status: CLI_OK, CLI_FAIL, CLI_ERROR, CLI_OPEN as the contract says. Errors: one line on stderr.
 * One thread.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"
#include "store/store.h"

enum { CLI_OK = 0, CLI_FAIL = 1, CLI_ERROR = 2, CLI_OPEN = 3 };

#define CLI_ARGS_MAX 256

struct cli;

struct cli_command {
    const char *name;
    const char *summary; /* one line for the list of subcommands */
    const char *usage;   /* what follows "pilotgate NAME"; lines split by '\n' */
    int (*run)(struct cli *c);
};

struct cli {
    const struct cli_command *command;
    const char *store_url;    /* NULL: not named */
    const char *format;       /* "table" unless -o says otherwise */
    bool format_named;        /* -o said it */
    const char *stage;        /* "cluster/namespace", or NULL */
    const char *stage_before; /* the one that --stage named before it, or NULL */
    unsigned n_stages;        /* how often --stage was said */
    char cluster[WIRE_NAME_MAX + 1], namespace_name[WIRE_NAME_MAX + 1]; /* of stage */
    int64_t at_ns;                                                      /* --at; 0: now */
    bool colour;                                                        /* on standard output */
    int argc;
    char **argv;                        /* of the subcommand, without its name */
    const char *args[CLI_ARGS_MAX + 1]; /* after cli_parse: what is no option, ended by NULL */
    size_t n_args;
    char **rest; /* what follows "--", ended by NULL; NULL when there is no "--" */
    int status;  /* when cli_parse returned false */
};

enum cli_type {
    CLI_TEXT,     /* const char * */
    CLI_FLAG,     /* bool */
    CLI_NUMBER,   /* int64_t, 0 to 1,000,000 */
    CLI_DURATION, /* int64_t ns; a bare number is seconds */
    CLI_TIME,     /* int64_t ns, RFC 3339 */
};

struct cli_option {
    const char *name; /* "file" for --file; "key|key-file": either */
    char letter;      /* 0: none */
    enum cli_type type;
    void *into;
    const char *value; /* placeholder in help; NULL for a flag */
    const char *doc;
    const char *env; /* or NULL */
};

/* Splits argv into options and arguments. False: help was shown, or an error said; the status is set. */
bool cli_parse(struct cli *c, const struct cli_option *options, size_t n, size_t min_args, size_t max_args);

/* The whole program; commands is ended by NULL. */
int cli_main(const struct cli_command *const *commands, int argc, char **argv);

/* "pilotgate: text" on stderr; returns CLI_ERROR. */
int cli_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* "table", "json" and "yaml", ended by NULL: what nearly every subcommand writes. */
extern const char *const cli_formats[];
/* True when -o names one of the formats (ended by NULL); otherwise says which there are. */
bool cli_format_ok(const struct cli *c, const char *const *formats);
/* True when --stage was given; otherwise says so. */
bool cli_need_stage(const struct cli *c);

/* Opens the store that --store or the environment names. */
int cli_store(const struct cli *c, enum store_mode mode, struct store **ret, struct err *e) MUST_CHECK;
/* One document in a transaction of its own. */
int cli_put_document(struct store *s, const char *kind, const char *name, const json_t *body,
                     struct err *e) MUST_CHECK;

/* The pilot that was declared last; a new reference, NULL when there is none. */
int cli_pilot(struct store *s, json_t **ret, struct err *e) MUST_CHECK;

/* rows: arrays of strings, the first is the head. Columns are aligned; nothing for no rows but the head. */
void cli_table(const struct cli *c, FILE *to, const json_t *rows);
/* -o json or yaml: a document is asked for. */
bool cli_wants_document(const struct cli *c);
/* Writes it to standard output, as -o says. CLI_OK, or CLI_ERROR, said. */
int cli_document(const struct cli *c, const json_t *doc);
/* "3.42 s ago", or "never" for 0; out holds CLI_AGO_MAX. */
#define CLI_AGO_MAX 48
char *cli_ago(int64_t then_ns, int64_t now_ns, char *out);

/* "cluster/namespace" into its halves. */
bool cli_split_stage(const char *stage, char cluster[WIRE_NAME_MAX + 1], char ns[WIRE_NAME_MAX + 1]);

/* The nearest of names (ended by NULL) to a word that is none of them, or NULL when none is near. */
const char *cli_nearest(const char *word, const char *const *names);

/* ---- what several subcommands show */

/* Verdicts as of now (or of --at): the document of gates.h, a new reference. */
int cli_verdicts(const struct cli *c, struct store *s, json_t **ret, struct err *e) MUST_CHECK;
/* Per stage: expected, seen and connected agents, last record, unreadable sources. A new reference. */
int cli_agents(struct store *s, json_t **ret, struct err *e) MUST_CHECK;
/* Shows how the pilot stands and what keeps each gate from ever passing; the exit status of the verdicts. */
int cli_status(const struct cli *c);
