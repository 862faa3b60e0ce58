/* conf_json: YAML nodes to JSON, by the schema that the reader asks for; see conf.h. */
#include "base/conf_priv.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"

#define NODES_MAX 2000000 /* of all documents of one text */

static bool is_plain(const yaml_node_t *n) {
    return n->type == YAML_SCALAR_NODE && n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static bool one_of(const char *s, const char *const *words) {
    for (; *words; words++)
        if (strcmp(s, *words) == 0)
            return true;
    return false;
}

static bool is_decimal(const char *s) {
    s += *s == '-' || *s == '+';
    return *s && s[strspn(s, "0123456789")] == 0;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_real(const char *s) {
    static const char digits[] = "0123456789";
    s += *s == '-' || *s == '+';
    size_t whole = strspn(s, digits);
    s += whole;
    size_t part = 0;
    if (*s == '.') {
        part = strspn(++s, digits);
        s += part;
    }
    if (whole + part == 0)
        return false;
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '-' || *s == '+';
        size_t n = strspn(s, digits);
        if (n == 0)
            return false;
        s += n;
    }
    return *s == 0;
}

/* 0o17, 0x1f: base of the digits after the prefix, or 0. */
static int radix_of(const char *s) {
    if (s[0] != '0' || !s[1] || !s[2])
        return 0;
    if (s[1] == 'o' && s[2 + strspn(s + 2, "01234567")] == 0)
        return 8;
    if (s[1] == 'x' && s[2 + strspn(s + 2, "0123456789abcdefABCDEF")] == 0)
        return 16;
    return 0;
}

/* What YAML 1.1 reads as another value than YAML 1.2 does (goyaml.v2/resolve.go). */
static const char *const yes_1_1[] = {"y", "Y", "yes", "Yes", "YES", "on", "On", "ON", NULL};
static const char *const no_1_1[] = {"n", "N", "no", "No", "NO", "off", "Off", "OFF", NULL};

/* A number as Go's strconv.ParseInt(s, 0, 64) takes it once '_' are out: -0x1f, 0b11, 0777 is octal. */
static bool helm_integer(const char *text, json_t **ret) {
    char s[80];
    size_t n = 0;
    for (; *text; text++)
        if (*text != '_') {
            if (n + 1 >= sizeof s)
                return false;
            s[n++] = *text;
        }
    s[n] = 0;
    bool minus = *s == '-';
    const char *p = s + (*s == '-' || *s == '+');
    int base = *p != '0' || !p[1] ? 10 : strchr("xX", p[1]) ? 16 : strchr("bB", p[1]) ? 2 : 8;
    p += base == 16 || base == 2 || (base == 8 && strchr("oO", p[1])) ? 2 : 0;
    static const char digits[] = "0123456789abcdefABCDEF";
    size_t all = strlen(p);
    size_t good = base == 16 ? strspn(p, digits)
                             : strspn(p, base == 10  ? "0123456789"
                                         : base == 8 ? "01234567"
                                                     : "01");
    if (all == 0 || good != all)
        return false;
    errno = 0;
    unsigned long long v = strtoull(p, NULL, base);
    if (errno)
        *ret = json_real(strtod(s, NULL)); /* beyond 64 bits: Go keeps a big number */
    else if (v > (unsigned long long)INT64_MAX)
        *ret = json_real(minus ? -(double)v : (double)v);
    else
        *ret = json_integer(minus ? -(json_int_t)v : (json_int_t)v);
    return true;
}

/* A plain scalar as Helm reads it where that is not the core schema's way; *ret NULL: it is, or is a text. */
static int helm_scalar(const char *s, json_t **ret, struct err *e) {
    bool number = (*s >= '0' && *s <= '9') || *s == '-' || *s == '+';
    if (one_of(s, yes_1_1))
        *ret = json_true();
    else if (one_of(s, no_1_1))
        *ret = json_false();
    else if (number && helm_integer(s, ret))
        return *ret ? 0 : err_oom(e);
    return 0;
}

/* A plain scalar that a person and Helm may read otherwise than we do. */
static bool is_trap(const char *s) {
    const char *p = s + (*s == '-' || *s == '+');
    bool digits = *p >= '0' && *p <= '9' && p[strspn(p, "0123456789_")] == 0;
    return one_of(s, yes_1_1) || one_of(s, no_1_1) || (digits && strchr(p, '_')) ||
           (digits && *p == '0' && p[1]) || (*p == '0' && strchr("bB", p[1]) && p[1] && strspn(p + 2, "01"));
}

static int json_from_number(const struct yaml_doc *d, const yaml_node_t *n, const char *s, json_t **ret,
                            struct err *e) {
    int radix = radix_of(s);
    errno = 0;
    if (radix || is_decimal(s)) {
        long long v = strtoll(radix ? s + 2 : s, NULL, radix ? radix : 10);
        if (errno)
            return yaml_error_at(d, n, e, "'%.40s' is too large for a number: quote it", s);
        *ret = json_integer(v);
    } else {
        double v = strtod(s, NULL);
        if (!isfinite(v))
            return yaml_error_at(d, n, e, "'%.40s' is too large for a number: quote it", s);
        *ret = json_real(v);
    }
    return *ret ? 0 : err_oom(e);
}

static int core_scalar(const struct yaml_doc *d, const yaml_node_t *n, json_t **ret, struct err *e) {
    static const char *const yes[] = {"true", "True", "TRUE", NULL};
    static const char *const no[] = {"false", "False", "FALSE", NULL};
    static const char *const odd[] = {".inf",  ".Inf",  ".INF", "+.inf", "+.Inf", "+.INF", "-.inf",
                                      "-.Inf", "-.INF", ".nan", ".NaN",  ".NAN",  NULL};
    const char *s = yaml_text(n);
    if (is_plain(n) && (radix_of(s) || is_decimal(s) || is_real(s)))
        return json_from_number(d, n, s, ret, e);
    if (is_plain(n) && one_of(s, odd))
        return yaml_error_at(d, n, e, "'%s' has no counterpart in JSON: quote it", s);
    if (yaml_is_null(n))
        *ret = json_null();
    else if (is_plain(n) && one_of(s, yes))
        *ret = json_true();
    else if (is_plain(n) && one_of(s, no))
        *ret = json_false();
    else if (strlen(s) != n->data.scalar.length)
        return yaml_error_at(d, n, e, "a NUL character in a text: remove it");
    else
        *ret = json_stringn(s, n->data.scalar.length);
    return *ret ? 0 : err_oom(e);
}

static int json_from_scalar(const struct yaml_doc *d, const yaml_node_t *n, enum conf_yaml how, json_t **ret,
                            struct err *e) {
    if (how == CONF_YAML_CLEAR && is_plain(n) && is_trap(yaml_text(n)))
        return yaml_error_at(d, n, e, /* not what it is: it may be a Secret's value */
                             "this means one thing to Helm and another to others: quote it, or write "
                             "true, false or a plain number");
    json_t *v = NULL;
    int r = how == CONF_YAML_HELM && is_plain(n) ? helm_scalar(yaml_text(n), &v, e) : 0;
    if (r == 0 && v)
        *ret = v;
    return r < 0 || v ? r : core_scalar(d, n, ret, e);
}

static int json_from_sequence(struct yaml_doc *d, const yaml_node_t *n, enum conf_yaml how, json_t *array,
                              struct err *e) {
    for (yaml_node_item_t *i = n->data.sequence.items.start; i < n->data.sequence.items.top; i++) {
        json_t *v = NULL;
        int r = yaml_to_json(d, yaml_node(d, *i), how, &v, e);
        if (r < 0)
            return r;
        if (json_array_append_new(array, v) != 0)
            return err_oom(e);
    }
    return 0;
}

/* A key that is a number or a boolean to Helm, as the text that it makes of it (sigs.k8s.io/yaml,
 * convertToJSONableObject). out holds size bytes; returns the key's text. */
static const char *helm_key(const struct yaml_doc *d, const yaml_node_t *key, char *out, size_t size) {
    json_t *v = NULL;
    const char *text = yaml_text(key);
    if (!is_plain(key) || json_from_scalar(d, key, CONF_YAML_HELM, &v, NULL) < 0)
        return text;
    if (json_is_boolean(v))
        text = json_is_true(v) ? "true" : "false";
    if (json_is_number(v))
        text = out;
    if (json_is_integer(v))
        (void)snprintf(out, size, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        (void)snprintf(out, size, "%.9g", json_real_value(v));
    json_decref(v);
    return text;
}

static int json_from_mapping(struct yaml_doc *d, const yaml_node_t *n, enum conf_yaml how, json_t *object,
                             struct err *e) {
    for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_node(d, p->key);
        const char *name = yaml_text(key);
        char number[40];
        if (!name || strlen(name) != key->data.scalar.length)
            return yaml_error_at(d, key, e, "a key must be a text");
        if (how == CONF_YAML_HELM)
            name = helm_key(d, key, number, sizeof number);
        else if (json_object_get(object, name))
            return yaml_error_at(d, key, e, "'%.100s' is there twice: keep one", name);
        json_t *v = NULL;
        int r = yaml_to_json(d, yaml_node(d, p->value), how, &v, e);
        if (r < 0)
            return r;
        if (json_object_set_new(object, name, v) != 0)
            return err_oom(e);
    }
    return 0;
}

int yaml_to_json(struct yaml_doc *d, const yaml_node_t *n, enum conf_yaml how, json_t **ret, struct err *e) {
    if (n->type == YAML_SCALAR_NODE)
        return json_from_scalar(d, n, how, ret, e);
    bool list = n->type == YAML_SEQUENCE_NODE;
    json_t *v = list ? json_array() : json_object();
    if (!v)
        return err_oom(e);
    int r = list ? json_from_sequence(d, n, how, v, e) : json_from_mapping(d, n, how, v, e);
    if (r < 0)
        json_decref(v);
    else
        *ret = v;
    return r;
}

int conf_yaml_to_json(const char *name, const char *text, size_t len, json_t **ret, struct err *e) {
    struct yaml_doc d;
    int r = yaml_doc_load(name, text, len, CONF_YAML_DEPTH, &d, e);
    if (r < 0)
        return r;
    const yaml_node_t *root = yaml_root(&d);
    if (root)
        r = yaml_to_json(&d, root, CONF_YAML_CORE, ret, e);
    else
        *ret = json_null(); /* nothing but comments */
    yaml_doc_free(&d);
    return r;
}

/* ---------------------------------------------------------------- several documents */

struct taker {
    enum conf_yaml how;
    conf_yaml_fn *fn;
    void *ctx;
};

static int take_document(void *ctx, struct yaml_doc *d, struct err *e) {
    struct taker *t = ctx;
    const yaml_node_t *root = yaml_root(d);
    json_t *v = NULL;
    if (yaml_is_null(root))
        return 0;
    int r = yaml_to_json(d, root, t->how, &v, e);
    return r < 0 ? r : t->fn(t->ctx, v, root->start_mark.line + 1, e);
}

static bool looks_like_json(const char *text, size_t len) {
    size_t i = 0;
    while (i < len && strchr(" \t\r\n", text[i]) && text[i])
        i++;
    return i < len && (text[i] == '{' || text[i] == '[');
}

static bool is_deeper(const json_t *v, int depth) {
    const char *key;
    json_t *member;
    bool container = json_is_object(v) || json_is_array(v);
    if (container && depth == 0)
        return true;
    json_object_foreach((json_t *)v, key, member) {
        if (is_deeper(member, depth - 1))
            return true;
    }
    for (size_t i = 0; i < json_array_size(v); i++)
        if (is_deeper(json_array_get(v, i), depth - 1))
            return true;
    return false;
}

/* Text that is JSON, which need not be YAML: surrogates, tabs. 0: it is none. */
static int take_json(const char *name, const char *text, size_t len, size_t max, struct taker *t,
                     struct err *e) {
    json_t *v = NULL;
    if (!looks_like_json(text, len) || js_parse(text, len, max, &v, NULL) < 0)
        return 0;
    if (is_deeper(v, CONF_YAML_DEPTH)) {
        json_decref(v);
        return err_set(e, -EINVAL, "%s: nested deeper than %d levels", name, CONF_YAML_DEPTH);
    }
    int r = t->fn(t->ctx, v, 1, e);
    return r < 0 ? r : 1;
}

int conf_yaml_documents(const char *name, const char *text, size_t len, size_t max, enum conf_yaml how,
                        conf_yaml_fn *fn, void *ctx, struct err *e) {
    struct taker t = {how, fn, ctx};
    if (max > CONF_YAML_TEXT_MAX)
        max = CONF_YAML_TEXT_MAX;
    struct yaml_limits limits = {max, NODES_MAX, CONF_YAML_DEPTH, how == CONF_YAML_HELM};
    int r = how == CONF_YAML_CORE ? 0 : take_json(name, text, len, max, &t, e);
    return r ? (r < 0 ? r : 0) : yaml_docs(name, text, len, &limits, take_document, &t, e);
}

/* ---------------------------------------------------------------- places */

struct place {
    const char *pointer;
    yaml_mark_t mark;
    bool found;
};

/* The child that the pointer's first step names, and the node where it stands; NULL: there is none. */
static const yaml_node_t *child_of(struct yaml_doc *d, const yaml_node_t *n, const char *step,
                                   const yaml_node_t **ret_at) {
    if (n->type == YAML_SEQUENCE_NODE) {
        char *end;
        unsigned long i = strtoul(step, &end, 10);
        if (*end || !*step || i >= (size_t)(n->data.sequence.items.top - n->data.sequence.items.start))
            return NULL;
        return *ret_at = yaml_node(d, n->data.sequence.items.start[i]);
    }
    if (n->type == YAML_MAPPING_NODE)
        for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
            *ret_at = yaml_node(d, p->key);
            if (yaml_text(*ret_at) && strcmp(yaml_text(*ret_at), step) == 0)
                return yaml_node(d, p->value);
        }
    return NULL;
}

/* Takes one step off a pointer, unescaped (RFC 6901); steps that do not fit are cut and match nothing. */
static const char *take_step(const char *p, char *step, size_t size) {
    size_t n = 0;
    for (p++; *p && *p != '/'; p++) {
        char c = *p;
        if (c == '~' && (p[1] == '0' || p[1] == '1'))
            c = *++p == '0' ? '~' : '/';
        if (n + 1 < size)
            step[n++] = c;
    }
    step[n] = 0;
    return p;
}

static int find_place(void *ctx, struct yaml_doc *d, struct err *e) {
    struct place *at = ctx;
    const yaml_node_t *n = yaml_root(d);
    (void)e;
    if (at->found)
        return 0;
    at->found = true;
    at->mark = n->start_mark;
    for (const char *p = at->pointer; n && *p == '/';) {
        char step[256];
        const yaml_node_t *where = NULL;
        p = take_step(p, step, sizeof step);
        n = child_of(d, n, step, &where);
        if (n)
            at->mark = where->start_mark;
    }
    return 0;
}

bool conf_yaml_place(const char *text, size_t len, const char *pointer, size_t *ret_line,
                     size_t *ret_column) {
    struct yaml_limits limits = {CONF_YAML_TEXT_MAX, NODES_MAX, CONF_YAML_DEPTH, true};
    struct place at = {.pointer = pointer};
    if (yaml_docs("", text, len, &limits, find_place, &at, NULL) < 0 || !at.found)
        return false;
    *ret_line = at.mark.line + 1;
    *ret_column = at.mark.column + 1;
    return true;
}
