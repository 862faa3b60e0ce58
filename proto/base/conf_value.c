/* conf_value: one value of one type, from text. */
#include "base/conf_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/js.h"
#include "base/when.h"

static int set_string(const char *text, char **field, struct err *e) {
    char *copy = strdup(text);
    if (!copy)
        return err_oom(e);
    free(*field);
    *field = copy;
    return 0;
}

static int set_bool(const char *text, bool *field, struct err *e) {
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off", "1", "0"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(text, words[i]) == 0) {
            *field = i % 2 == 0;
            return 0;
        }
    return err_set(e, -EINVAL, "'%.60s' is not true or false", text);
}

static bool in_range(const struct conf_key *k, int64_t v) {
    return (k->min == 0 && k->max == 0) || (v >= k->min && v <= k->max);
}

static int set_int(const struct conf_key *k, const char *text, int64_t *field, struct err *e) {
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    size_t skip = *text == '-' ? 1 : 0;
    if (errno || *end || text[skip] < '0' || text[skip] > '9')
        return err_set(e, -EINVAL, "'%.60s' is not a whole number", text);
    if (!in_range(k, v))
        return err_set(e, -EINVAL, "%lld is out of range: %" PRId64 " to %" PRId64, v, k->min, k->max);
    *field = v;
    return 0;
}

static int set_duration(const struct conf_key *k, const char *text, int64_t *field, struct err *e) {
    int64_t v;
    if (when_parse_duration(text, &v) < 0)
        return err_set(e, -EINVAL, "'%.60s' is not a duration: write for example 250ms, 90s, 5m or 1h30m",
                       text);
    char low[WHEN_TEXT_MAX];
    char high[WHEN_TEXT_MAX];
    if (!in_range(k, v))
        return err_set(e, -EINVAL, "%.60s is out of range: %s to %s", text, when_format_duration(k->min, low),
                       when_format_duration(k->max, high));
    *field = v;
    return 0;
}

static int64_t byte_unit(const char *s) {
    static const struct {
        const char *name;
        int64_t bytes;
    } units[] = {{"", 1},
                 {"B", 1},
                 {"kB", 1000},
                 {"MB", 1000000},
                 {"GB", 1000000000},
                 {"TB", 1000000000000},
                 {"KiB", 1ll << 10},
                 {"MiB", 1ll << 20},
                 {"GiB", 1ll << 30},
                 {"TiB", 1ll << 40}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(s, units[i].name) == 0)
            return units[i].bytes;
    return 0;
}

int conf_parse_bytes(const char *text, int64_t *ret) {
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    int64_t unit = byte_unit(end);
    if (errno || *text < '0' || *text > '9' || unit == 0 || __builtin_mul_overflow((int64_t)v, unit, ret))
        return -EINVAL;
    return 0;
}

static int set_bytes(const struct conf_key *k, const char *text, int64_t *field, struct err *e) {
    int64_t total;
    if (conf_parse_bytes(text, &total) < 0)
        return err_set(e, -EINVAL, "'%.60s' is not a size: write for example 64MiB, 1GiB or 500kB", text);
    if (!in_range(k, total))
        return err_set(e, -EINVAL, "%.60s is out of range: %" PRId64 " to %" PRId64 " bytes", text, k->min,
                       k->max);
    *field = total;
    return 0;
}

static int set_enum(const struct conf_key *k, const char *text, int *field, struct err *e) {
    struct buf known = BUF_INIT(512);
    int r = 0;
    for (int i = 0; k->choices[i]; i++) {
        if (strcmp(text, k->choices[i]) == 0) {
            *field = i;
            buf_free(&known);
            return 0;
        }
        r = buf_addf(&known, "%s%s", i ? ", " : "", k->choices[i]);
    }
    (void)r; /* a cut list of choices still helps */
    (void)err_set(e, -EINVAL, "'%.60s' is none of: %s", text, buf_str(&known));
    buf_free(&known);
    return -EINVAL;
}

int conf_strings_add(const struct conf_key *k, const char *text, struct conf_strings *s, struct err *e) {
    if (k->max > 0 && s->n >= (size_t)k->max)
        return err_set(e, -EINVAL, "more than %" PRId64 " elements", k->max);
    char **items = realloc(s->items, (s->n + 1) * sizeof *items);
    if (!items)
        return err_oom(e);
    s->items = items;
    items[s->n] = strdup(text);
    if (!items[s->n])
        return err_oom(e);
    s->n++;
    return 0;
}

void conf_strings_free(struct conf_strings *s) {
    for (size_t i = 0; i < s->n; i++)
        free(s->items[i]);
    free(s->items);
    *s = (struct conf_strings){0};
}

/* Comma-separated; blanks around an element do not count. */
static int set_strings(const struct conf_key *k, const char *text, struct conf_strings *field,
                       struct err *e) {
    char *copy = strdup(text);
    if (!copy)
        return err_oom(e);
    struct conf_strings s = {0};
    int r = 0;
    char *rest = copy;
    for (char *word = strsep(&rest, ","); word && r == 0; word = strsep(&rest, ",")) {
        word += strspn(word, " ");
        size_t n = strlen(word);
        while (n > 0 && word[n - 1] == ' ')
            word[--n] = 0;
        if (n > 0)
            r = conf_strings_add(k, word, &s, e);
    }
    free(copy);
    if (r < 0) {
        conf_strings_free(&s);
        return r;
    }
    conf_strings_free(field);
    *field = s;
    return 0;
}

static int set_json(const char *text, char **field, struct err *e) {
    json_t *v = NULL;
    int r = conf_yaml_to_json("value", text, strlen(text), &v, e);
    if (r < 0)
        return r;
    char *canonical = js_canonical(v);
    json_decref(v);
    if (!canonical)
        return err_oom(e);
    free(*field);
    *field = canonical;
    return 0;
}

int conf_value_set(const struct conf_key *k, const char *text, void *field, struct err *e) {
    switch (k->type) {
    case CONF_STRING:
    case CONF_PATH:
        return set_string(text, field, e);
    case CONF_BOOL:
        return set_bool(text, field, e);
    case CONF_INT:
        return set_int(k, text, field, e);
    case CONF_DURATION:
        return set_duration(k, text, field, e);
    case CONF_BYTES:
        return set_bytes(k, text, field, e);
    case CONF_ENUM:
        return set_enum(k, text, field, e);
    case CONF_STRINGS:
        return set_strings(k, text, field, e);
    case CONF_JSON:
        return set_json(text, field, e);
    case CONF_LIST:
        break;
    }
    return err_set(e, -EINVAL, "a list of sections comes from the file only");
}

static void free_list(const struct conf_key *k, struct conf_list *l) {
    for (size_t i = 0; i < l->n; i++)
        conf_free_keys(k->items, (char *)l->items + i * k->item_size);
    free(l->items);
    *l = (struct conf_list){0};
}

void conf_free_keys(const struct conf_key *keys, void *base) {
    for (const struct conf_key *k = keys; k->name; k++) {
        void *field = conf_field(k, base);
        switch (k->type) {
        case CONF_STRING:
        case CONF_PATH:
        case CONF_JSON:
            free(*(char **)field);
            *(char **)field = NULL;
            break;
        case CONF_STRINGS:
            conf_strings_free(field);
            break;
        case CONF_LIST:
            free_list(k, field);
            break;
        case CONF_BOOL:
            *(bool *)field = false;
            break;
        case CONF_ENUM:
            *(int *)field = 0;
            break;
        case CONF_INT:
        case CONF_DURATION:
        case CONF_BYTES:
            *(int64_t *)field = 0;
            break;
        }
    }
}
