/* conf_priv: what the parts of conf share. conf_yaml.c knows YAML, conf_json.c makes JSON of it, conf_value.c
 * one value of one type, conf_doc.c help and reference, conf.c the order in which file, environment and flags
 * apply. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <yaml.h>

#include "base/conf.h"

#define CONF_DEPTH 8          /* nesting of a configuration file */
#define CONF_NAME_MAX 96      /* a key's full name */
#define CONF_VARIABLE_MAX 192 /* a variable, or a key that a file claims */

#define CONF_YAML_NODES 200000 /* of one document */

struct yaml_doc {
    const char *name; /* borrowed; for messages */
    yaml_document_t doc;
};

struct yaml_limits {
    size_t bytes;
    int nodes, depth; /* of all documents together; of each */
    bool many;        /* more than one document is taken */
};
/* Borrowed for the call. */
typedef int yaml_doc_fn(void *ctx, struct yaml_doc *d, struct err *e);
/* Calls fn for each document of the text, in their order, until one says no; refuses as yaml_doc_load. */
int yaml_docs(const char *name, const char *text, size_t len, const struct yaml_limits *limits,
              yaml_doc_fn *fn, void *ctx, struct err *e) MUST_CHECK;

/* Refuses aliases, anchors, tags, further documents and deep nesting; ret is then untouched. */
int yaml_doc_load(const char *name, const char *text, size_t len, int max_depth, struct yaml_doc *ret,
                  struct err *e) MUST_CHECK;
void yaml_doc_free(struct yaml_doc *d);

/* Borrowed nodes. The root of an empty document is NULL. */
yaml_node_t *yaml_root(struct yaml_doc *d);
yaml_node_t *yaml_node(struct yaml_doc *d, int index);

const char *yaml_text(const yaml_node_t *n); /* NULL when not a scalar */
bool yaml_is_null(const yaml_node_t *n);
/* How plain scalars and keys are read: of what conf.h says. */
int yaml_to_json(struct yaml_doc *d, const yaml_node_t *n, enum conf_yaml how, json_t **ret,
                 struct err *e) MUST_CHECK;

/* "FILE:LINE:COLUMN: text"; returns -EINVAL. */
int yaml_error_at(const struct yaml_doc *d, const yaml_node_t *n, struct err *e, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* One value from text (default, environment, flag, YAML scalar) into its field, freeing what was there.
 * The error names neither key nor place: the caller prefixes them. Not for CONF_LIST. */
int conf_value_set(const struct conf_key *k, const char *text, void *field, struct err *e) MUST_CHECK;
/* CONF_STRINGS: one more element. */
int conf_strings_add(const struct conf_key *k, const char *text, struct conf_strings *s,
                     struct err *e) MUST_CHECK;
void conf_strings_free(struct conf_strings *s);

/* Frees every value of a table inside `base` and zeroes the fields. */
void conf_free_keys(const struct conf_key *keys, void *base);

/* "PREFIX_COLLECTOR_ENDPOINT", "--collector-endpoint" (without the dashes); out holds CONF_VARIABLE_MAX. */
char *conf_env_name(const struct conf_program *p, const struct conf_key *k, char *out);
char *conf_flag_name(const struct conf_key *k, char *out);

static inline void *conf_field(const struct conf_key *k, void *base) {
    return (char *)base + k->offset;
}
