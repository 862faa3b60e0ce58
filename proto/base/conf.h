/* conf: configuration from one YAML file, overridden by environment and flags, all from one table.
 *
 * A program describes its keys once, in a table of `struct conf_key`; from it come the defaults, the
 * YAML reader, the environment variables, the flags, --help and the Markdown reference. The values land
 * in a plain struct of the program.
 *
 *   key "collector.endpoint"  ->  YAML  collector: {endpoint: ...}
 *                                 env   PREFIX_COLLECTOR_ENDPOINT
 *                                 flag  --collector-endpoint VALUE
 *
 * Lists of sections ("targets", "probes") come from YAML only.
 * Precedence: flag > environment > file > default. Unknown keys are errors, with a suggestion. A YAML null
 * and an empty variable count as not given.
 * Limits: file CONF_FILE_MAX bytes, nesting 8, aliases refused, list length as the table says.
 * Not thread-safe; used before threads start. Errors are one line: "FILE:LINE:COLUMN: what, what to do".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

#define CONF_FILE_MAX (1u << 20)
#define CONF_YAML_DEPTH 64

enum conf_type {
    CONF_STRING,   /* char *, owned; NULL when never set and the default is NULL */
    CONF_PATH,     /* as CONF_STRING; relative paths are relative to the file's folder */
    CONF_BOOL,     /* bool */
    CONF_INT,      /* int64_t, min..max */
    CONF_DURATION, /* int64_t ns, min..max; text as in when.h */
    CONF_BYTES,    /* int64_t; text "64MiB", "1GiB", "500kB" or plain bytes */
    CONF_ENUM,     /* int; index into choices */
    CONF_STRINGS,  /* struct conf_strings: a YAML list of strings; env and flag: comma-separated */
    CONF_JSON,     /* char *, owned: any YAML value as canonical JSON text (YAML core schema) */
    CONF_LIST,     /* struct conf_list: a YAML list of sections described by `items` */
};

struct conf_strings {
    char **items; /* owned */
    size_t n;
};

struct conf_list {
    void *items; /* n elements of the size the table names; owned */
    size_t n;
};

struct conf_key {
    const char *name; /* "collector.endpoint"; inside a list item: relative, may be dotted */
    enum conf_type type;
    bool required;                /* must come from file, environment or flag */
    bool secret;                  /* names a file that holds a secret; --help says so */
    size_t offset;                /* of the field in the program's struct (or in the list item) */
    const char *fallback;         /* default as text, NULL: none */
    const char *doc;              /* one or two sentences for --help and the reference */
    int64_t min, max;             /* CONF_INT, CONF_DURATION, CONF_BYTES; both 0: no limit.
                                     CONF_LIST, CONF_STRINGS: max = most elements */
    const char *const *choices;   /* CONF_ENUM, NULL-terminated */
    const struct conf_key *items; /* CONF_LIST: the keys of one element, ended by name == NULL */
    size_t item_size;             /* CONF_LIST */
};

/* How a program is called; tables end with name == NULL. */
struct conf_program {
    const char *name;       /* "pilotgate-agent" */
    const char *env_prefix; /* "PILOTGATE_AGENT" */
    const char *file_env;   /* variable with the file's name, "PILOTGATE_AGENT_CONFIG" */
    const char *summary;    /* first line of --help */
    const char *usage;      /* lines of usage */
    const struct conf_key *keys;
};

/* Fills *out (zeroed by the caller, or by conf_free): defaults, file, environment, flags.
 * argv: without the program name; flags are --name VALUE, --name=VALUE, booleans also --name and
 * --no-name, and --config FILE. ret_rest: index of the first argument that is no flag (argc if none).
 * -EINVAL with the text for the user; *out is then freed. */
int conf_load(const struct conf_program *p, int argc, char *const *argv, void *out, int *ret_rest,
              struct err *e) MUST_CHECK;

/* Same, from YAML text and nothing else (tests, fuzzing); name is used in messages. */
int conf_load_text(const struct conf_program *p, const char *name, const char *text, size_t len, void *out,
                   struct err *e) MUST_CHECK;

void conf_free(const struct conf_program *p, void *out);

void conf_help(const struct conf_program *p, FILE *to);     /* for a terminal */
void conf_markdown(const struct conf_program *p, FILE *to); /* docs/…-configuration.md */

/* YAML text of any kind (rubric, reference) to JSON, by the YAML core schema; limits as above, but nesting up
 * to CONF_YAML_DEPTH (a pod template alone is 10 deep); positions in errors as above. Text without any value
 * gives null. Caller owns *ret (json_decref). */
struct json_t;
int conf_yaml_to_json(const char *name, const char *text, size_t len, struct json_t **ret,
                      struct err *e) MUST_CHECK;

/* How plain scalars are read. */
enum conf_yaml {
    CONF_YAML_CORE,  /* YAML 1.2's core schema */
    CONF_YAML_CLEAR, /* the same; a value that Helm and kubectl would read otherwise ("yes", 0777) is refused
                      */
    /* As Helm and kubectl read manifests (sigs.k8s.io/yaml, goyaml.v2/resolve.go): YAML 1.1's booleans and
     * octal numbers, keys made texts; of a key that is there twice the last one counts. */
    CONF_YAML_HELM,
};
/* Takes doc over; line: where it begins. */
typedef int conf_yaml_fn(void *ctx, struct json_t *doc, size_t line, struct err *e);
/* Calls fn for each document that is not empty, at most max bytes (up to CONF_YAML_TEXT_MAX) of them
 * together; of CORE and CLEAR only one is taken. */
#define CONF_YAML_TEXT_MAX (16u << 20)
int conf_yaml_documents(const char *name, const char *text, size_t len, size_t max, enum conf_yaml how,
                        conf_yaml_fn *fn, void *ctx, struct err *e) MUST_CHECK;
/* Where the member or element that a JSON Pointer names stands in a text's first document, counted from 1; of
 * what is not there its nearest ancestor. False: nowhere. */
bool conf_yaml_place(const char *text, size_t len, const char *pointer, size_t *ret_line, size_t *ret_column);

/* "64MiB", "1GiB", "500kB" or plain bytes. -EINVAL. */
int conf_parse_bytes(const char *text, int64_t *ret) MUST_CHECK;

/* Reads a file of at most max bytes; caller frees *ret, which has a NUL after its len bytes. */
int conf_read_file(const char *path, size_t max, char **ret, size_t *ret_len, struct err *e) MUST_CHECK;
