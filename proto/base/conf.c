/* conf: see conf.h. Applies defaults, file, environment and flags in this order; each step sets fields
 * over what the step before left. */
#include "base/conf.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf_priv.h"
#include "base/js.h"
#include "base/word.h"

#define KEYS_MAX 64 /* of one table */

/* Which keys of one table were met, and which got a value. */
struct met {
    bool seen[KEYS_MAX];
    bool given[KEYS_MAX];
};

struct reader {
    struct yaml_doc *doc;
    const char *folder; /* of the file, for relative paths; NULL: leave them */
};

/* ---------------------------------------------------------------- names */

char *conf_env_name(const struct conf_program *p, const struct conf_key *k, char *out) {
    (void)snprintf(out, CONF_VARIABLE_MAX, "%s_%s", p->env_prefix, k->name);
    for (char *c = out; *c; c++)
        *c = *c == '.' || *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    return out;
}

char *conf_flag_name(const struct conf_key *k, char *out) {
    (void)snprintf(out, CONF_VARIABLE_MAX, "%s", k->name);
    for (char *c = out; *c; c++)
        *c = *c == '.' || *c == '_' ? '-' : *c;
    return out;
}

/* Keeps the candidate in *best when it is nearer to name than what was there. */
static void suggest(const char *name, const char *candidate, size_t *best, char *text) {
    size_t d = word_distance(name, candidate);
    if (d < *best) {
        *best = d;
        (void)snprintf(text, CONF_NAME_MAX, "%s", candidate);
    }
}

/* "did you mean 'x'?" or where all are listed. */
static void advise(const struct conf_key *keys, const char *name, bool flags, char *text, size_t size) {
    size_t best = strlen(name) / 3; /* edits that still count as a slip */
    best = best < 2 ? 3 : best + 1;
    char near[CONF_VARIABLE_MAX] = "";
    char flag[CONF_VARIABLE_MAX];
    for (const struct conf_key *k = keys; k->name; k++)
        suggest(name, flags ? conf_flag_name(k, flag) : k->name, &best, near);
    if (*near)
        (void)snprintf(text, size, "did you mean '%s%s'?", flags ? "--" : "", near);
    else
        (void)snprintf(text, size, "--help lists what there is");
}

/* ---------------------------------------------------------------- file */

static const struct conf_key *find_key(const struct conf_key *keys, const char *name) {
    for (const struct conf_key *k = keys; k->name; k++)
        if (strcmp(k->name, name) == 0)
            return k;
    return NULL;
}

static bool is_section(const struct conf_key *keys, const char *name) {
    size_t n = strlen(name);
    for (const struct conf_key *k = keys; k->name; k++)
        if (strncmp(k->name, name, n) == 0 && k->name[n] == '.')
            return true;
    return false;
}

static int read_section(const struct reader *rd, const struct conf_key *keys, const char *prefix,
                        const yaml_node_t *node, struct met *met, void *base, struct err *e);

static int set_defaults(const struct conf_key *keys, void *base, struct err *e) {
    for (const struct conf_key *k = keys; k->name; k++) {
        if (k - keys >= KEYS_MAX)
            return err_set(e, -EINVAL, "more than %d keys in one table", KEYS_MAX);
        if (!k->fallback)
            continue;
        int r = conf_value_set(k, k->fallback, conf_field(k, base), e);
        if (r < 0)
            return err_prefix(e, r, "default of %s", k->name);
    }
    return 0;
}

/* A list item: a mapping of its own table. */
static int read_item(const struct reader *rd, const struct conf_key *list, size_t index,
                     const yaml_node_t *node, void *item, struct err *e) {
    struct met met = {0};
    if (node->type != YAML_MAPPING_NODE)
        return yaml_error_at(rd->doc, node, e, "%s[%zu]: must be a section of keys and values", list->name,
                             index);
    int r = set_defaults(list->items, item, e);
    if (r == 0)
        r = read_section(rd, list->items, "", node, &met, item, e);
    for (const struct conf_key *k = list->items; r == 0 && k->name; k++)
        if (k->required && !met.given[k - list->items])
            r = yaml_error_at(rd->doc, node, e, "%s[%zu]: '%s' is missing", list->name, index, k->name);
    return r;
}

static int read_list(const struct reader *rd, const struct conf_key *k, const yaml_node_t *node,
                     struct conf_list *l, struct err *e) {
    if (node->type != YAML_SEQUENCE_NODE)
        return yaml_error_at(rd->doc, node, e, "%s: must be a list, each element behind '- '", k->name);
    size_t n = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    if (k->max > 0 && n > (size_t)k->max)
        return yaml_error_at(rd->doc, node, e, "%s: %zu elements, over the limit of %lld", k->name, n,
                             (long long)k->max);
    if (n == 0)
        return 0;
    l->items = calloc(n, k->item_size);
    if (!l->items)
        return err_oom(e);
    l->n = n;
    for (size_t i = 0; i < n; i++) {
        const yaml_node_t *item = yaml_node(rd->doc, node->data.sequence.items.start[i]);
        int r = read_item(rd, k, i, item, (char *)l->items + i * k->item_size, e);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_strings(const struct reader *rd, const struct conf_key *k, const yaml_node_t *node,
                        struct conf_strings *s, struct err *e) {
    conf_strings_free(s); /* the default */
    for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++) {
        const yaml_node_t *item = yaml_node(rd->doc, *i);
        struct err why;
        if (!yaml_text(item) || yaml_is_null(item))
            return yaml_error_at(rd->doc, item, e, "%s: every element must be a text", k->name);
        if (conf_strings_add(k, yaml_text(item), s, &why) < 0)
            return yaml_error_at(rd->doc, item, e, "%s: %s", k->name, why.text);
    }
    return 0;
}

static int read_json(const struct reader *rd, const yaml_node_t *node, char **field, struct err *e) {
    json_t *v = NULL;
    int r = yaml_to_json(rd->doc, node, CONF_YAML_CORE, &v, e);
    if (r < 0)
        return r;
    char *text = js_canonical(v);
    json_decref(v);
    if (!text)
        return err_oom(e);
    free(*field);
    *field = text;
    return 0;
}

static int read_scalar(const struct reader *rd, const struct conf_key *k, const yaml_node_t *node,
                       void *field, struct err *e) {
    const char *text = yaml_text(node);
    struct err why;
    if (!text)
        return yaml_error_at(rd->doc, node, e, "%s: must be a single value, not a list or section", k->name);
    if (strlen(text) != node->data.scalar.length)
        return yaml_error_at(rd->doc, node, e, "%s: a NUL character in it: remove it", k->name);
    char *joined = NULL;
    if (k->type == CONF_PATH && rd->folder && *text && *text != '/') {
        if (asprintf(&joined, "%s%s", rd->folder, text) < 0)
            return err_oom(e);
        text = joined;
    }
    int r = conf_value_set(k, text, field, &why);
    free(joined);
    return r < 0 ? yaml_error_at(rd->doc, node, e, "%s: %s", k->name, why.text) : 0;
}

static int read_value(const struct reader *rd, const struct conf_key *k, const yaml_node_t *node, void *field,
                      struct err *e) {
    if (k->type == CONF_LIST)
        return read_list(rd, k, node, field, e);
    if (k->type == CONF_STRINGS && node->type == YAML_SEQUENCE_NODE)
        return read_strings(rd, k, node, field, e);
    if (k->type == CONF_JSON)
        return read_json(rd, node, field, e);
    return read_scalar(rd, k, node, field, e);
}

/* One "key: value" of a section. */
static int read_pair(const struct reader *rd, const struct conf_key *keys, const char *name,
                     const yaml_node_t *key, const yaml_node_t *value, struct met *met, void *base,
                     struct err *e) {
    const struct conf_key *k = find_key(keys, name);
    if (k) {
        bool again = met->seen[k - keys];
        met->seen[k - keys] = true;
        if (again)
            return yaml_error_at(rd->doc, key, e, "'%s' is there twice: keep one", name);
        if (yaml_is_null(value))
            return 0;
        met->given[k - keys] = true;
        return read_value(rd, k, value, conf_field(k, base), e);
    }
    if (is_section(keys, name)) {
        if (yaml_is_null(value))
            return 0;
        if (value->type != YAML_MAPPING_NODE)
            return yaml_error_at(rd->doc, value, e, "%s: must be a section of keys and values", name);
        return read_section(rd, keys, name, value, met, base, e);
    }
    char advice[3 * CONF_NAME_MAX];
    advise(keys, name, false, advice, sizeof advice);
    return yaml_error_at(rd->doc, key, e, "unknown key '%.100s'; %s", name, advice);
}

/* True when an earlier key of the mapping has the same text. All earlier ones are known and differ, so
 * that this ends early whatever the file holds. */
static bool came_before(const struct reader *rd, const yaml_node_t *map, const yaml_node_pair_t *at) {
    const char *name = yaml_text(yaml_node(rd->doc, at->key));
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < at; p++)
        if (strcmp(yaml_text(yaml_node(rd->doc, p->key)), name) == 0)
            return true;
    return false;
}

static int read_section(const struct reader *rd, const struct conf_key *keys, const char *prefix,
                        const yaml_node_t *node, struct met *met, void *base, struct err *e) {
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_node(rd->doc, p->key);
        if (!yaml_text(key))
            return yaml_error_at(rd->doc, key, e, "a key must be a text");
        char name[CONF_VARIABLE_MAX];
        (void)snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", yaml_text(key));
        if (came_before(rd, node, p))
            return yaml_error_at(rd->doc, key, e, "'%.100s' is there twice: keep one", name);
        int r = read_pair(rd, keys, name, key, yaml_node(rd->doc, p->value), met, base, e);
        if (r < 0)
            return r;
    }
    return 0;
}

static int read_text(const struct conf_program *p, const char *name, const char *folder, const char *text,
                     size_t len, struct met *met, void *out, struct err *e) {
    struct yaml_doc doc;
    int r = yaml_doc_load(name, text, len, CONF_DEPTH, &doc, e);
    if (r < 0)
        return r;
    struct reader rd = {.doc = &doc, .folder = folder};
    const yaml_node_t *root = yaml_root(&doc);
    if (root && root->type == YAML_MAPPING_NODE)
        r = read_section(&rd, p->keys, "", root, met, out, e);
    else if (root && !yaml_is_null(root))
        r = yaml_error_at(&doc, root, e, "must hold keys and values, as in 'stage: {cluster: west}'");
    yaml_doc_free(&doc);
    return r;
}

static int read_config_file(const struct conf_program *p, const char *path, struct met *met, void *out,
                            struct err *e) {
    char *text = NULL;
    size_t len = 0;
    int r = conf_read_file(path, CONF_FILE_MAX, &text, &len, e);
    if (r < 0)
        return r;
    char *folder = strdup(path);
    if (folder) {
        char *slash = strrchr(folder, '/');
        *(slash ? slash + 1 : folder) = 0;
        r = read_text(p, path, folder, text, len, met, out, e);
    } else {
        r = err_oom(e);
    }
    free(folder);
    free(text);
    return r;
}

/* ---------------------------------------------------------------- environment and flags */

static int read_environment(const struct conf_program *p, struct met *met, void *out, struct err *e) {
    for (const struct conf_key *k = p->keys; k->name; k++) {
        char name[CONF_VARIABLE_MAX];
        const char *text = k->type == CONF_LIST ? NULL : getenv(conf_env_name(p, k, name));
        if (!text || !*text)
            continue;
        int r = conf_value_set(k, text, conf_field(k, out), e);
        if (r < 0)
            return err_prefix(e, r, "environment %s", name);
        met->given[k - p->keys] = true;
    }
    return 0;
}

/* What one argument says. */
struct flag {
    const struct conf_key *key; /* NULL: --config */
    const char *value;
    int used; /* arguments */
};

static const struct conf_key *find_flag(const struct conf_program *p, const char *name, size_t len) {
    for (const struct conf_key *k = p->keys; k->name; k++) {
        char flag[CONF_VARIABLE_MAX];
        if (k->type != CONF_LIST && strlen(conf_flag_name(k, flag)) == len && strncmp(flag, name, len) == 0)
            return k;
    }
    return NULL;
}

static int parse_flag(const struct conf_program *p, const char *arg, const char *next, struct flag *ret,
                      struct err *e) {
    const char *name = arg + 2;
    size_t len = strcspn(name, "=");
    const char *value = name[len] ? name + len + 1 : NULL;
    bool config = len == 6 && strncmp(name, "config", 6) == 0;
    const struct conf_key *k = config ? NULL : find_flag(p, name, len);
    if (!k && !config && strncmp(name, "no-", 3) == 0 && !value) {
        k = find_flag(p, name + 3, len - 3);
        if (k && k->type == CONF_BOOL) {
            *ret = (struct flag){.key = k, .value = "false", .used = 1};
            return 0;
        }
        k = NULL;
    }
    if (!k && !config) {
        char given[CONF_NAME_MAX];
        char advice[3 * CONF_NAME_MAX];
        (void)snprintf(given, sizeof given, "%.*s", (int)(len < 90 ? len : 90), name);
        advise(p->keys, given, true, advice, sizeof advice);
        return err_set(e, -EINVAL, "unknown flag '--%s'; %s", given, advice);
    }
    bool is_bool = k && k->type == CONF_BOOL;
    bool take = !value && next && (!is_bool || strcmp(next, "true") == 0 || strcmp(next, "false") == 0);
    if (!value && !take && !is_bool)
        return err_set(e, -EINVAL, "--%s needs a value", name);
    *ret = (struct flag){.key = k, .value = value ? value : take ? next : "true", .used = take ? 2 : 1};
    return 0;
}

/* Goes over the flags. out NULL: only looks for --config. */
static int read_flags(const struct conf_program *p, int argc, char *const *argv, const char **config,
                      struct met *met, void *out, int *ret_rest, struct err *e) {
    int i = 0;
    while (i < argc && argv[i][0] == '-' && argv[i][1] == '-') {
        if (!argv[i][2]) {
            i++;
            break;
        }
        struct flag f = {0};
        int r = parse_flag(p, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &f, e);
        if (r < 0)
            return r;
        if (!f.key)
            *config = f.value;
        else if (out && conf_value_set(f.key, f.value, conf_field(f.key, out), e) < 0)
            return err_prefix(e, -EINVAL, "%.100s", argv[i]);
        else if (out)
            met->given[f.key - p->keys] = true;
        i += f.used;
    }
    *ret_rest = i;
    return 0;
}

/* ---------------------------------------------------------------- the contract */

static int check_required(const struct conf_program *p, const struct met *met, const char *file,
                          struct err *e) {
    for (const struct conf_key *k = p->keys; k->name; k++) {
        char env[CONF_VARIABLE_MAX];
        char flag[CONF_VARIABLE_MAX];
        if (k->required && !met->given[k - p->keys])
            return err_set(e, -EINVAL, "%s: '%s' is missing: set it there, in %s or by --%s", file, k->name,
                           conf_env_name(p, k, env), conf_flag_name(k, flag));
    }
    return 0;
}

int conf_load(const struct conf_program *p, int argc, char *const *argv, void *out, int *ret_rest,
              struct err *e) {
    const char *file = getenv(p->file_env);
    file = file && *file ? file : NULL;
    struct met met = {0};
    int rest = 0;
    int r = read_flags(p, argc, argv, &file, &met, NULL, &rest, e);
    if (r == 0)
        r = set_defaults(p->keys, out, e);
    if (r == 0 && file)
        r = read_config_file(p, file, &met, out, e);
    if (r == 0)
        r = read_environment(p, &met, out, e);
    if (r == 0)
        r = read_flags(p, argc, argv, &file, &met, out, &rest, e);
    if (r == 0)
        r = check_required(p, &met, file ? file : "no configuration file", e);
    if (r < 0)
        conf_free(p, out);
    else
        *ret_rest = rest;
    return r;
}

int conf_load_text(const struct conf_program *p, const char *name, const char *text, size_t len, void *out,
                   struct err *e) {
    struct met met = {0};
    int r = set_defaults(p->keys, out, e);
    if (r == 0)
        r = read_text(p, name, NULL, text, len, &met, out, e);
    if (r == 0)
        r = check_required(p, &met, name, e);
    if (r < 0)
        conf_free(p, out);
    return r;
}

void conf_free(const struct conf_program *p, void *out) {
    conf_free_keys(p->keys, out);
}
