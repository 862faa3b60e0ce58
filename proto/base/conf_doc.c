/* conf_doc: --help and the Markdown reference, from the table alone. */
#include <inttypes.h>
#include <string.h>

#include "base/conf_priv.h"
#include "base/when.h"

static const char *type_name(enum conf_type t) {
    static const char *const names[] = {
        [CONF_STRING] = "text",        [CONF_PATH] = "path",
        [CONF_BOOL] = "true or false", [CONF_INT] = "number",
        [CONF_DURATION] = "duration",  [CONF_BYTES] = "size",
        [CONF_ENUM] = "one of",        [CONF_STRINGS] = "list of texts",
        [CONF_JSON] = "any value",     [CONF_LIST] = "list of sections",
    };
    return names[t];
}

static void print_choices(const struct conf_key *k, const char *between, FILE *to) {
    for (int i = 0; k->choices[i]; i++)
        (void)fprintf(to, "%s%s", i ? between : "", k->choices[i]);
}

static const char *placeholder(const struct conf_key *k) {
    switch (k->type) {
    case CONF_BOOL:
        return "[=true|false]";
    case CONF_INT:
        return " N";
    case CONF_DURATION:
        return " DURATION";
    case CONF_BYTES:
        return " SIZE";
    case CONF_STRINGS:
        return " A,B";
    case CONF_PATH:
        return k->secret ? " KEYFILE" : " PATH";
    default:
        return " TEXT";
    }
}

static void help_key(const struct conf_program *p, const struct conf_key *k, FILE *to) {
    char name[CONF_VARIABLE_MAX];
    (void)fprintf(to, "  --%s", conf_flag_name(k, name));
    if (k->type == CONF_ENUM) {
        (void)fprintf(to, " ");
        print_choices(k, "|", to);
    } else {
        (void)fprintf(to, "%s", placeholder(k));
    }
    (void)fprintf(to, "\n      %s\n      ", k->doc);
    if (k->required)
        (void)fprintf(to, "required; ");
    else if (k->fallback && *k->fallback)
        (void)fprintf(to, "default %s; ", k->fallback);
    (void)fprintf(to, "environment %s\n", conf_env_name(p, k, name));
}

void conf_help(const struct conf_program *p, FILE *to) {
    (void)fprintf(to, "%s: %s\n\n%s\n", p->name, p->summary, p->usage);
    (void)fprintf(to, "  --config FILE\n      The configuration, YAML.\n      environment %s\n", p->file_env);
    for (const struct conf_key *k = p->keys; k->name; k++)
        if (k->type != CONF_LIST)
            help_key(p, k, to);
    (void)fprintf(to, "\nIn the file only:\n");
    for (const struct conf_key *k = p->keys; k->name; k++)
        if (k->type == CONF_LIST)
            (void)fprintf(to, "  %s\n      %s\n", k->name, k->doc);
    (void)fprintf(to, "\nA flag goes before the environment, the environment before the file.\n");
}

/* Text inside a table cell. */
static void cell(const char *s, FILE *to) {
    for (; *s; s++)
        (void)fprintf(to, *s == '|' ? "\\|" : "%c", *s);
}

static void range(const struct conf_key *k, FILE *to) {
    char low[WHEN_TEXT_MAX];
    char high[WHEN_TEXT_MAX];
    if (k->min == 0 && k->max == 0)
        return;
    if (k->type == CONF_DURATION)
        (void)fprintf(to, ", %s to %s", when_format_duration(k->min, low),
                      when_format_duration(k->max, high));
    else if (k->type == CONF_INT)
        (void)fprintf(to, ", %" PRId64 " to %" PRId64, k->min, k->max);
    else if (k->type == CONF_BYTES)
        (void)fprintf(to, ", %" PRId64 " to %" PRId64 " bytes", k->min, k->max);
    else
        (void)fprintf(to, ", at most %" PRId64, k->max);
}

static void row(const struct conf_key *k, const char *list, FILE *to) {
    (void)fprintf(to, "| `%s%s%s` | %s", list ? list : "", list ? "[]." : "", k->name, type_name(k->type));
    if (k->type == CONF_ENUM) {
        (void)fprintf(to, " ");
        print_choices(k, ", ", to);
    }
    range(k, to);
    if (k->required)
        (void)fprintf(to, " | *required* | ");
    else if (k->fallback && *k->fallback)
        (void)fprintf(to, " | `%s` | ", k->fallback);
    else
        (void)fprintf(to, " |  | ");
    cell(k->doc, to);
    (void)fprintf(to, " |\n");
}

static void head(const char *title, FILE *to) {
    (void)fprintf(to, "\n## %s\n\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n", title);
}

/* One table a section: the keys that share the part before the first dot. */
static void sections(const struct conf_program *p, FILE *to) {
    char open[CONF_NAME_MAX] = "";
    for (const struct conf_key *k = p->keys; k->name; k++) {
        char section[CONF_NAME_MAX];
        size_t n = strchr(k->name, '.') ? strcspn(k->name, ".") : 0;
        (void)snprintf(section, sizeof section, "%.*s", (int)n, k->name);
        if (k == p->keys || strcmp(section, open) != 0)
            head(*section ? section : "Top level", to);
        (void)snprintf(open, sizeof open, "%s", section);
        row(k, NULL, to);
    }
}

void conf_markdown(const struct conf_program *p, FILE *to) {
    (void)fprintf(
        to, "# Configuration of %s\n\n<!-- written by `%s docs`; change the table in the source -->\n\n",
        p->name, p->name);
    (void)fprintf(
        to,
        "The file is YAML, named by `--config` or `%s`. Every key outside a list has a variable and a\n"
        "flag as well: `collector.endpoint` is `%s_COLLECTOR_ENDPOINT` and `--collector-endpoint`. A\n"
        "flag goes before the environment, the environment before the file, the file before the\n"
        "default. An unknown key is an error. A relative path in the file is relative to the file.\n\n"
        "Durations are written `250ms`, `90s`, `5m`, `1h30m`, `2d`; sizes `64MiB`, `500kB` or plain\n"
        "bytes.\n",
        p->file_env, p->env_prefix);
    sections(p, to);
    for (const struct conf_key *k = p->keys; k->name; k++) {
        if (k->type != CONF_LIST)
            continue;
        head(k->name, to);
        for (const struct conf_key *i = k->items; i->name; i++)
            row(i, k->name, to);
    }
}
