/* options: the one place that reads the command line. */
#include "cli/cli_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/when.h"

#define NUMBER_MAX 1000000
#define COLOUR_DOC "auto, always or never; NO_COLOR is honoured"

static const struct {
    const char *name;
    char letter;
    const char *value, *doc;
} globals[] = {
    {"store", 0, "URL", "the store, sqlite:PATH [PILOTGATE_STORE]"},
    {"output", 'o', "FORMAT", "table, json, yaml; some subcommands know more"},
    {"stage", 0, "CLUSTER/NAMESPACE", "only this stage"},
    {"at", 0, "TIME", "as of this time, RFC 3339"},
    {"color", 0, "WHEN", COLOUR_DOC},
    {"help", 'h', NULL, "show help"},
    {"version", 0, NULL, "show the version"},
};

static void help_line(const char *name, char letter, const char *value, const char *doc, const char *env) {
    char left[96], shown[64];
    (void)snprintf(shown, sizeof shown, "%.*s", (int)strcspn(name, "|"), name);
    (void)snprintf(left, sizeof left, "%c%c%s--%s%s%s", letter ? '-' : ' ', letter ? letter : ' ',
                   letter ? ", " : "  ", shown, value ? " " : "", value ? value : "");
    (void)printf("  %-30s  %s%s%s%s\n", left, doc, env ? " [" : "", env ? env : "", env ? "]" : "");
}

void cli_global_help(void) {
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        help_line(globals[i].name, globals[i].letter, globals[i].value, globals[i].doc, NULL);
}

bool cli_split_stage(const char *stage, char cluster[WIRE_NAME_MAX + 1], char ns[WIRE_NAME_MAX + 1]) {
    const char *slash = strchr(stage, '/');
    if (!slash || slash - stage > WIRE_NAME_MAX || strlen(slash + 1) > WIRE_NAME_MAX)
        return false;
    (void)snprintf(cluster, WIRE_NAME_MAX + 1, "%.*s", (int)(slash - stage), stage);
    (void)snprintf(ns, WIRE_NAME_MAX + 1, "%s", slash + 1);
    return wire_name_ok(cluster) && wire_name_ok(ns);
}

static int set_colour(struct cli *c, const char *value) {
    if (strcmp(value, "always") == 0)
        c->colour = true;
    else if (strcmp(value, "never") == 0)
        c->colour = false;
    else if (strcmp(value, "auto") != 0)
        return cli_fail("--color %s: WHEN is auto, always or never", value);
    return 0;
}

static int set_global(struct cli *c, const char *name, const char *value) {
    if (strcmp(name, "store") == 0)
        c->store_url = value;
    else if (strcmp(name, "output") == 0) {
        c->format = value;
        c->format_named = true;
    } else if (strcmp(name, "color") == 0)
        return set_colour(c, value);
    else if (strcmp(name, "at") == 0)
        return when_parse(value, &c->at_ns) < 0
                   ? cli_fail("--at %s: a time is written like 2026-11-23T04:05:06Z", value)
                   : 0;
    else if (strcmp(name, "stage") == 0) {
        c->stage_before = c->stage;
        c->stage = value;
        c->n_stages++;
        if (!cli_split_stage(value, c->cluster, c->namespace_name))
            return cli_fail("--stage %s: a stage is written CLUSTER/NAMESPACE", value);
    } else if (strcmp(name, "help") == 0)
        c->status = CLI_HELP;
    return 0;
}

/* Does the word spell the option? *ret_value: the text after '=' (or after the letter), or NULL. */
static bool spells(const char *word, const char *name, char letter, const char **ret_value) {
    *ret_value = NULL;
    if (word[0] == '-' && letter && word[1] == letter) {
        *ret_value = word[2] ? word + 2 : NULL;
        return true;
    }
    if (strncmp(word, "--", 2) != 0)
        return false;
    size_t len = strcspn(word + 2, "=");
    for (const char *one = name; *one; one += strspn(one, "|")) { /* names split by '|' */
        size_t n = strcspn(one, "|");
        if (n == len && strncmp(word + 2, one, n) == 0) {
            *ret_value = word[2 + len] == '=' ? word + 3 + len : NULL;
            return true;
        }
        one += n;
    }
    return false;
}

/* Words used (1 or 2) with *value set, or negative when the value is missing or one too many. */
static int take_value(int argc, char **argv, bool wants, const char **value) {
    if (!wants && *value) {
        (void)cli_fail("%s takes no value", argv[0]);
        return -1;
    }
    if (!wants)
        *value = "";
    if (*value)
        return 1;
    if (argc < 2) {
        (void)cli_fail("%s needs a value", argv[0]);
        return -1;
    }
    *value = argv[1];
    return 2;
}

int cli_global_option(struct cli *c, int argc, char **argv) {
    const char *value;
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
        if (!spells(argv[0], globals[i].name, globals[i].letter, &value))
            continue;
        int used = take_value(argc, argv, globals[i].value != NULL, &value);
        if (used < 0 || set_global(c, globals[i].name, value) != 0) {
            c->status = CLI_ERROR;
            return -1;
        }
        if (strcmp(globals[i].name, "version") == 0) {
            (void)printf("pilotgate %s\n", PILOTGATE_VERSION);
            c->status = fflush(stdout) == 0 ? CLI_OK : CLI_ERROR;
            return -1;
        }
        return used;
    }
    return 0;
}

static int set_number(const char *name, const char *value, int64_t *into) {
    char *end = NULL;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    if (errno || end == value || *end || n < 0 || n > NUMBER_MAX)
        return cli_fail("%s: '%s' is no number from 0 to %d", name, value, NUMBER_MAX);
    *into = n;
    return 0;
}

static int set_duration(const char *name, const char *value, int64_t *into) {
    int64_t seconds = 0;
    if (strspn(value, "0123456789") == strlen(value)) { /* a bare number is seconds */
        if (set_number(name, value, &seconds) != 0)
            return CLI_ERROR;
        *into = seconds * WHEN_S;
        return 0;
    }
    return when_parse_duration(value, into) < 0
               ? cli_fail("%s: '%s' is no duration like 90s or 5m", name, value)
               : 0;
}

static int set_own(const struct cli_option *o, const char *said, const char *value) {
    switch (o->type) {
    case CLI_FLAG:
        *(bool *)o->into = true;
        return 0;
    case CLI_NUMBER:
        return set_number(said, value, o->into);
    case CLI_DURATION:
        return set_duration(said, value, o->into);
    case CLI_TIME:
        return when_parse(value, o->into) < 0
                   ? cli_fail("%s: '%s' is no time like 2026-11-23T04:05:06Z", said, value)
                   : 0;
    default:
        *(const char **)o->into = value;
        return 0;
    }
}

/* As cli_global_option, for the subcommand's own table. */
static int own_option(const struct cli_option *options, size_t n, int argc, char **argv) {
    const char *value;
    for (size_t i = 0; i < n; i++) {
        if (!spells(argv[0], options[i].name, options[i].letter, &value))
            continue;
        int used = take_value(argc, argv, options[i].type != CLI_FLAG, &value);
        return used < 0 || set_own(&options[i], argv[0], value) != 0 ? -1 : used;
    }
    return 0;
}

static bool from_environment(const struct cli_option *options, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const char *value = options[i].env ? getenv(options[i].env) : NULL;
        if (value && *value && set_own(&options[i], options[i].env, value) != 0)
            return false;
    }
    return true;
}

static void command_help(const struct cli *c, const struct cli_option *options, size_t n) {
    (void)printf("pilotgate %s: %s\n\n", c->command->name, c->command->summary);
    const char *prefix = "usage:", *line = c->command->usage;
    while (line) {
        const char *end = strchr(line, '\n');
        (void)printf("%s pilotgate %s %.*s\n", prefix, c->command->name,
                     end ? (int)(end - line) : (int)strlen(line), line);
        prefix = "      ";
        line = end ? end + 1 : NULL;
    }
    if (n)
        (void)printf("\noptions:\n");
    for (size_t i = 0; i < n; i++)
        help_line(options[i].name, options[i].letter, options[i].value, options[i].doc, options[i].env);
    (void)printf("\noptions of every subcommand:\n");
    cli_global_help();
}

static int one_word(struct cli *c, const struct cli_option *options, size_t n, int argc, char **argv) {
    if (argv[0][0] != '-' || !argv[0][1]) {
        if (c->n_args == CLI_ARGS_MAX) {
            (void)cli_fail("too many arguments");
            return -1;
        }
        c->args[c->n_args++] = argv[0];
        return 1;
    }
    int used = own_option(options, n, argc, argv);
    if (used == 0)
        used = cli_global_option(c, argc, argv);
    if (used != 0)
        return used;
    (void)cli_fail("there is no option '%s'; see `pilotgate help %s`", argv[0], c->command->name);
    return -1;
}

bool cli_parse(struct cli *c, const struct cli_option *options, size_t n, size_t min_args, size_t max_args) {
    c->status = CLI_ERROR;
    if (!from_environment(options, n))
        return false;
    for (int at = 0; at < c->argc;) {
        if (strcmp(c->argv[at], "--") == 0) {
            c->rest = c->argv + at + 1;
            break;
        }
        int used = one_word(c, options, n, c->argc - at, c->argv + at);
        if (used < 0)
            return false;
        if (c->status == CLI_HELP) {
            command_help(c, options, n);
            c->status = CLI_OK;
            return false;
        }
        at += used;
    }
    c->status = CLI_OK;
    if (c->n_args >= min_args && c->n_args <= max_args)
        return true;
    c->status =
        cli_fail("%s arguments; usage: pilotgate %s %.*s", c->n_args < min_args ? "missing" : "too many",
                 c->command->name, (int)strcspn(c->command->usage, "\n"), c->command->usage);
    return false;
}

const char *const cli_formats[] = {"table", "json", "yaml", NULL};

bool cli_format_ok(const struct cli *c, const char *const *formats) {
    char list[128] = "";
    for (size_t i = 0; formats[i]; i++) {
        if (strcmp(formats[i], c->format) == 0)
            return true;
        size_t used = strlen(list);
        (void)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", formats[i]);
    }
    (void)cli_fail("-o %s: `%s` writes %s", c->format, c->command->name, list);
    return false;
}

bool cli_need_stage(const struct cli *c) {
    if (!c->stage)
        (void)cli_fail("name the stage with --stage CLUSTER/NAMESPACE");
    return c->stage != NULL;
}
