/* conf_yaml: YAML text to document trees with marks, over libyaml; conf_json.c makes JSON of them.
 *
 * Two passes. The first walks the events and refuses what we do not take, before anything is built:
 * aliases and anchors (a few lines of them unfold to gigabytes), explicit tags, a second document where one
 * is awaited, too deep or too many nodes. The second lets libyaml build the documents. */
#include "base/conf_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
    const struct yaml_limits *limits;
    int depth;
    int nodes;
    int documents;
};

static int vet_node(struct vet *v, const yaml_event_t *ev, const yaml_char_t *anchor, const yaml_char_t *tag,
                    struct err *e) {
    if (anchor)
        return mark_error(v->name, ev->start_mark, "anchors are not supported: write the value out", e);
    if (tag && strcmp((const char *)tag, YAML_STR_TAG) != 0 && strcmp((const char *)tag, "!") != 0)
        return mark_error(v->name, ev->start_mark, "tags other than !!str are not supported: remove it", e);
    if (++v->nodes > v->limits->nodes)
        return mark_error(v->name, ev->start_mark, "too many values in one document", e);
    return 0;
}

static int vet_deeper(struct vet *v, const yaml_event_t *ev, struct err *e) {
    if (++v->depth <= v->limits->depth)
        return 0;
    return err_set(e, -EINVAL, "%s:%zu:%zu: nested deeper than %d levels", v->name, ev->start_mark.line + 1,
                   ev->start_mark.column + 1, v->limits->depth);
}

static int vet_event(struct vet *v, const yaml_event_t *ev, struct err *e) {
    int r = 0;
    switch (ev->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++v->documents > 1 && !v->limits->many)
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

static int vet_text(const char *name, const char *text, size_t len, const struct yaml_limits *limits,
                    struct err *e) {
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return err_oom(e);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    struct vet v = {.name = name, .limits = limits};
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

static int each_document(yaml_parser_t *parser, const char *name, yaml_doc_fn *fn, void *ctx, struct err *e) {
    for (;;) {
        struct yaml_doc d = {.name = name};
        if (!yaml_parser_load(parser, &d.doc))
            return parser_error(name, parser, e);
        bool end = !yaml_root(&d);
        int r = end ? 0 : fn(ctx, &d, e);
        yaml_doc_free(&d);
        if (r < 0 || end)
            return r;
    }
}

int yaml_docs(const char *name, const char *text, size_t len, const struct yaml_limits *limits,
              yaml_doc_fn *fn, void *ctx, struct err *e) {
    if (len > limits->bytes)
        return err_set(e, -EINVAL, "%s: longer than %zu bytes", name, limits->bytes);
    int r = vet_text(name, text, len, limits, e);
    yaml_parser_t parser;
    if (r < 0)
        return r;
    if (!yaml_parser_initialize(&parser))
        return err_oom(e);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    r = each_document(&parser, name, fn, ctx, e);
    yaml_parser_delete(&parser);
    return r;
}

int yaml_doc_load(const char *name, const char *text, size_t len, int max_depth, struct yaml_doc *ret,
                  struct err *e) {
    struct yaml_limits limits = {CONF_FILE_MAX, CONF_YAML_NODES, max_depth, false};
    if (len > CONF_FILE_MAX)
        return err_set(e, -EINVAL, "%s: longer than %u bytes", name, CONF_FILE_MAX);
    int r = vet_text(name, text, len, &limits, e);
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

const char *yaml_text(const yaml_node_t *n) {
    return n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;
}

bool yaml_is_null(const yaml_node_t *n) {
    static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};
    const char *text = yaml_text(n);
    if (!text || n->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (const char *const *w = words; *w; w++)
        if (strcmp(text, *w) == 0)
            return true;
    return false;
}
