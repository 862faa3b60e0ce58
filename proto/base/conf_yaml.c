/* conf_yaml: YAML text to a document tree with marks, to scalars and to JSON, over libyaml.
 *
 * Two passes. The first walks the events and refuses what we do not take, before anything is built:
 * aliases and anchors (a few lines of them unfold to gigabytes), explicit tags, a second document,
 * too deep or too many nodes. The second lets libyaml build the document. */
#include "base/conf_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define YAML_NODES_MAX 200000

static int read_all(int fd, char *p, size_t max, size_t *ret_len) {
    size_t len = 0;
    while (len <= max) {
        ssize_t n = read(fd, p + len, max + 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    *ret_len = len;
    return len > max ? -EFBIG : 0;
}

int conf_read_file(const char *path, size_t max, char **ret, size_t *ret_len, struct err *e) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */
    if (fd < 0)
        return err_set(e, -errno, "%s: cannot open: %s", path, strerror(errno));
    struct stat st;
    int r = fstat(fd, &st) == 0 ? 0 : -errno;
    if (r == 0 && !S_ISREG(st.st_mode))
        r = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    size_t room = r == 0 && (uintmax_t)st.st_size < max ? (size_t)st.st_size + 4096 : max;
    room = room < max ? room : max;
    char *p = r == 0 ? malloc(room + 2) : NULL;
    size_t len = 0;
    if (p)
        r = read_all(fd, p, room, &len);
    else if (r == 0)
        r = -ENOMEM;
    (void)close(fd);
    if (r < 0 || !p) {
        free(p);
        if (r == -EFBIG)
            return err_set(e, r, "%s: longer than %zu bytes", path, room);
        return err_set(e, r, "%s: cannot read: %s", path, r == -EINVAL ? "not a regular file" : strerror(-r));
    }
    p[len] = 0;
    *ret = p;
    *ret_len = len;
    return 0;
}

/* ---------------------------------------------------------------- errors with positions */

int yaml_error_at(const struct yaml_doc *d, const yaml_node_t *n, struct err *e, const char *fmt, ...) {
    char text[ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(e, -EINVAL, "%s:%zu:%zu: %s", d->name, n->start_mark.line + 1, n->start_mark.column + 1,
                   text);
}

static int mark_error(const char *name, yaml_mark_t mark, const char *text, struct err *e) {
    return err_set(e, -EINVAL, "%s:%zu:%zu: %s", name, mark.line + 1, mark.column + 1, text);
}

static int parser_error(const char *name, const yaml_parser_t *p, struct err *e) {
    if (p->error == YAML_MEMORY_ERROR)
        return err_oom(e);
    const char *what = p->problem ? p->problem : "not YAML";
    if (p->error == YAML_READER_ERROR)
        return err_set(e, -EINVAL, "%s: %s at byte %zu: save the file as UTF-8", name, what,
                       p->problem_offset);
    return err_set(e, -EINVAL, "%s:%zu:%zu: %s%s%s", name, p->problem_mark.line + 1,
                   p->problem_mark.column + 1, what, p->context ? ", " : "", p->context ? p->context : "");
}

/* ---------------------------------------------------------------- first pass */

struct vet {
    const char *name;
    int depth;
    int max_depth;
    int nodes;
    int documents;
};

static int vet_node(struct vet *v, const yaml_event_t *ev, const yaml_char_t *anchor, const yaml_char_t *tag,
                    struct err *e) {
    if (anchor)
        return mark_error(v->name, ev->start_mark, "anchors are not supported: write the value out", e);
    if (tag && strcmp((const char *)tag, YAML_STR_TAG) != 0 && strcmp((const char *)tag, "!") != 0)
        return mark_error(v->name, ev->start_mark, "tags other than !!str are not supported: remove it", e);
    if (++v->nodes > YAML_NODES_MAX)
        return mark_error(v->name, ev->start_mark, "too many values in one document", e);
    return 0;
}

static int vet_deeper(struct vet *v, const yaml_event_t *ev, struct err *e) {
    if (++v->depth <= v->max_depth)
        return 0;
    return err_set(e, -EINVAL, "%s:%zu:%zu: nested deeper than %d levels", v->name, ev->start_mark.line + 1,
                   ev->start_mark.column + 1, v->max_depth);
}

static int vet_event(struct vet *v, const yaml_event_t *ev, struct err *e) {
    int r = 0;
    switch (ev->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++v->documents > 1)
            return mark_error(v->name, ev->start_mark, "a second document: put everything into one", e);
        return 0;
    case YAML_ALIAS_EVENT:
        return mark_error(v->name, ev->start_mark, "aliases are not supported: write the value out", e);
    case YAML_SCALAR_EVENT:
        return vet_node(v, ev, ev->data.scalar.anchor, ev->data.scalar.tag, e);
    case YAML_SEQUENCE_START_EVENT:
        r = vet_node(v, ev, ev->data.sequence_start.anchor, ev->data.sequence_start.tag, e);
        return r < 0 ? r : vet_deeper(v, ev, e);
    case YAML_MAPPING_START_EVENT:
        r = vet_node(v, ev, ev->data.mapping_start.anchor, ev->data.mapping_start.tag, e);
        return r < 0 ? r : vet_deeper(v, ev, e);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        v->depth--;
        return 0;
    default:
        return 0;
    }
}

static int vet_text(const char *name, const char *text, size_t len, int max_depth, struct err *e) {
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return err_oom(e);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    struct vet v = {.name = name, .max_depth = max_depth};
    int r = 0;
    for (bool end = false; r == 0 && !end;) {
        yaml_event_t ev;
        if (!yaml_parser_parse(&parser, &ev)) {
            r = parser_error(name, &parser, e);
            break;
        }
        r = vet_event(&v, &ev, e);
        end = ev.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&ev);
    }
    yaml_parser_delete(&parser);
    return r;
}

/* ---------------------------------------------------------------- second pass */

int yaml_doc_load(const char *name, const char *text, size_t len, int max_depth, struct yaml_doc *ret,
                  struct err *e) {
    if (len > CONF_FILE_MAX)
        return err_set(e, -EINVAL, "%s: longer than %u bytes", name, CONF_FILE_MAX);
    int r = vet_text(name, text, len, max_depth, e);
    if (r < 0)
        return r;
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return err_oom(e);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    struct yaml_doc d = {.name = name};
    if (!yaml_parser_load(&parser, &d.doc))
        r = parser_error(name, &parser, e);
    yaml_parser_delete(&parser);
    if (r == 0)
        *ret = d;
    return r;
}

void yaml_doc_free(struct yaml_doc *d) {
    yaml_document_delete(&d->doc);
}

yaml_node_t *yaml_root(struct yaml_doc *d) {
    return yaml_document_get_root_node(&d->doc);
}

yaml_node_t *yaml_node(struct yaml_doc *d, int index) {
    return yaml_document_get_node(&d->doc, index);
}

/* ---------------------------------------------------------------- the core schema */

const char *yaml_text(const yaml_node_t *n) {
    return n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;
}

static bool is_plain(const yaml_node_t *n) {
    return n->type == YAML_SCALAR_NODE && n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static bool one_of(const char *s, const char *const *words) {
    for (; *words; words++)
        if (strcmp(s, *words) == 0)
            return true;
    return false;
}

bool yaml_is_null(const yaml_node_t *n) {
    static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};
    return is_plain(n) && one_of(yaml_text(n), words);
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

static int json_from_scalar(const struct yaml_doc *d, const yaml_node_t *n, json_t **ret, struct err *e) {
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

static int json_from_sequence(struct yaml_doc *d, const yaml_node_t *n, json_t *array, struct err *e) {
    for (yaml_node_item_t *i = n->data.sequence.items.start; i < n->data.sequence.items.top; i++) {
        json_t *v = NULL;
        int r = yaml_to_json(d, yaml_node(d, *i), &v, e);
        if (r < 0)
            return r;
        if (json_array_append_new(array, v) != 0)
            return err_oom(e);
    }
    return 0;
}

static int json_from_mapping(struct yaml_doc *d, const yaml_node_t *n, json_t *object, struct err *e) {
    for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_node(d, p->key);
        const char *name = yaml_text(key);
        if (!name || strlen(name) != key->data.scalar.length)
            return yaml_error_at(d, key, e, "a key must be a text");
        if (json_object_get(object, name))
            return yaml_error_at(d, key, e, "'%.100s' is there twice: keep one", name);
        json_t *v = NULL;
        int r = yaml_to_json(d, yaml_node(d, p->value), &v, e);
        if (r < 0)
            return r;
        if (json_object_set_new(object, name, v) != 0)
            return err_oom(e);
    }
    return 0;
}

int yaml_to_json(struct yaml_doc *d, const yaml_node_t *n, json_t **ret, struct err *e) {
    if (n->type == YAML_SCALAR_NODE)
        return json_from_scalar(d, n, ret, e);
    bool list = n->type == YAML_SEQUENCE_NODE;
    json_t *v = list ? json_array() : json_object();
    if (!v)
        return err_oom(e);
    int r = list ? json_from_sequence(d, n, v, e) : json_from_mapping(d, n, v, e);
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
        r = yaml_to_json(&d, root, ret, e);
    else
        *ret = json_null(); /* nothing but comments */
    yaml_doc_free(&d);
    return r;
}
