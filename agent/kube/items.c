/* items: see items.h. What is inside an element is left to the JSON parser; here only strings and brackets
 * are followed.
 *
 *   START -{-> MEMBER -"key"-> COLON -:-> VALUE -----------------------> AFTER -,-> MEMBER
 *                                           | "items": [                   ^ |
 *                                           v                            ] | | }
 *                                        ELEMENT -----> AFTER_ELEMENT -----+ +--> END
 *                                           ^---- , ---------|
 */
#include "kube/items.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { START, MEMBER, KEY, COLON, VALUE, IN_VALUE, AFTER, ELEMENT, IN_ELEMENT, AFTER_ELEMENT, END };

#define ITEM_KEEP (64u << 10) /* memory that is kept from one element to the next */

void kube_items_init(struct kube_items *l, kube_item_fn *fn, void *ctx) {
    *l = (struct kube_items){.fn = fn, .ctx = ctx, .at = START};
    l->item = BUF_INIT(KUBE_OBJECT_MAX);
    l->meta = BUF_INIT(KUBE_META_MAX);
}

void kube_items_free(struct kube_items *l) {
    buf_free(&l->item);
    buf_free(&l->meta);
    kube_items_init(l, l->fn, l->ctx);
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* ---- the extent of one value */

enum extent { INSIDE, LAST, PAST };

/* Of a byte within a string. */
static enum extent step_text(struct kube_extent *in, char c) {
    if (in->escape)
        in->escape = false;
    else if (c == '\\')
        in->escape = true;
    else if (c == '"')
        in->text = false;
    return !in->text && in->depth == 0 ? LAST : INSIDE;
}

/* Whether the byte belongs to the value, and ends it; PAST: the value, a number or a word, ended before it.
 */
static enum extent step(struct kube_extent *in, char c) {
    if (in->text)
        return step_text(in, c);
    if (in->scalar)
        return is_blank(c) || c == ',' || c == ']' || c == '}' ? PAST : INSIDE;
    if (c == '"')
        in->text = true;
    else if (c == '{' || c == '[')
        in->depth++;
    else if (c == '}' || c == ']')
        return --in->depth == 0 ? LAST : INSIDE;
    else if (in->depth == 0)
        in->scalar = true;
    return INSIDE;
}

/* How many of the bytes are of a string's inside, or of a scalar-free stretch, up to the next that matters.
 */
static size_t plain_run(const struct kube_extent *in, const char *data, size_t len) {
    size_t n = 0;
    if (in->text && !in->escape)
        while (n < len && data[n] != '"' && data[n] != '\\')
            n++;
    return n;
}

/* ---- states */

static int refuse(const char *what, struct err *e) {
    return err_set(e, -EBADMSG, "not the JSON of a list: %s", what);
}

static bool is_key(const struct kube_items *l, const char *name) {
    return strcmp(l->key, name) == 0;
}

static int begin_value(struct kube_items *l, char c, int next, struct err *e) {
    if (c == '}' || c == ']' || c == ',' || c == ':')
        return refuse("a value is missing", e);
    l->in = (struct kube_extent){.depth = 0};
    l->at = next;
    return 1; /* the byte belongs to what begins here */
}

/* The first byte of a member's value. */
static int on_value(struct kube_items *l, char c, struct err *e) {
    if (is_key(l, "items")) {
        if (l->has_items || (c != '[' && c != 'n'))
            return refuse("its items are no array", e);
        l->has_items = true;
        l->first = true;
        l->at = ELEMENT;
        return c == '[' ? 0 : begin_value(l, c, IN_VALUE, e); /* null: a list of nothing */
    }
    if (is_key(l, "metadata")) {
        if (l->has_meta)
            return refuse("it has metadata twice", e);
        l->has_meta = true;
    }
    return begin_value(l, c, IN_VALUE, e);
}

static int on_member(struct kube_items *l, char c, struct err *e) {
    if (c == '}' && l->first) {
        l->at = END;
        return 0;
    }
    if (c != '"')
        return refuse("a key is missing", e);
    l->at = KEY;
    l->n_key = 0;
    l->in = (struct kube_extent){.text = true};
    return 0;
}

static int on_key(struct kube_items *l, char c) {
    if (step_text(&l->in, c) == LAST) {
        l->key[l->n_key < sizeof l->key ? l->n_key : 0] = 0;
        l->at = COLON;
    } else if (l->n_key < sizeof l->key) {
        l->key[l->n_key++] = c;
    }
    return 0;
}

static int on_element(struct kube_items *l, char c, struct err *e) {
    if (c == ']' && l->first) {
        l->at = AFTER;
        return 0;
    }
    l->first = false;
    l->whole = true;
    return begin_value(l, c, IN_ELEMENT, e);
}

/* Between values one byte decides. Returns 1 when the byte is not used up. */
static int on_mark(struct kube_items *l, char c, struct err *e) {
    if (l->at == KEY)
        return on_key(l, c);
    if (is_blank(c))
        return 0;
    switch (l->at) {
    case START:
        l->first = true;
        l->at = MEMBER;
        return c == '{' ? 0 : refuse("it does not begin as one", e);
    case MEMBER:
        return on_member(l, c, e);
    case COLON:
        l->at = VALUE;
        return c == ':' ? 0 : refuse("a colon is missing", e);
    case VALUE:
        return on_value(l, c, e);
    case AFTER:
        l->first = false;
        l->at = c == ',' ? MEMBER : END;
        return c == ',' || c == '}' ? 0 : refuse("a comma is missing", e);
    case ELEMENT:
        return on_element(l, c, e);
    case AFTER_ELEMENT:
        l->at = c == ',' ? ELEMENT : AFTER;
        return c == ',' || c == ']' ? 0 : refuse("a comma is missing", e);
    default:
        return refuse("something follows it", e);
    }
}

/* ---- bytes of values */

static int keep_element(struct kube_items *l, const char *data, size_t len, struct err *e) {
    size_t room = l->item.max - l->item.len;
    if (len > room)
        l->whole = false;
    return buf_add(&l->item, data, len < room ? len : room) < 0 ? err_oom(e) : 0;
}

static int keep(struct kube_items *l, const char *data, size_t len, struct err *e) {
    if (l->at == IN_ELEMENT)
        return keep_element(l, data, len, e);
    if (!is_key(l, "metadata"))
        return 0;
    int r = buf_add(&l->meta, data, len);
    return r == -EMSGSIZE ? refuse("its metadata is too long", e) : r < 0 ? err_oom(e) : 0;
}

/* The value is complete. */
static int end_value(struct kube_items *l, struct err *e) {
    bool element = l->at == IN_ELEMENT;
    l->at = element ? AFTER_ELEMENT : AFTER;
    if (!element)
        return 0;
    int r = l->fn(l->ctx, l->item.data, l->item.len, l->whole, e);
    if (l->item.cap > ITEM_KEEP)
        buf_free(&l->item);
    buf_clear(&l->item);
    return r;
}

/* Takes what belongs to the value under way; *ret_n: how many bytes that was. */
static int take_value(struct kube_items *l, const char *data, size_t len, size_t *ret_n, struct err *e) {
    enum extent x = INSIDE;
    size_t n = 0;
    while (n < len && x == INSIDE) {
        n += plain_run(&l->in, data + n, len - n);
        if (n < len)
            x = step(&l->in, data[n++]);
    }
    n -= x == PAST ? 1 : 0;
    *ret_n = n;
    int r = keep(l, data, n, e);
    return r == 0 && x != INSIDE ? end_value(l, e) : r;
}

int kube_items_feed(struct kube_items *l, const char *data, size_t len, struct err *e) {
    for (size_t at = 0; at < len;) {
        size_t n = 1;
        int r = l->at == IN_VALUE || l->at == IN_ELEMENT ? take_value(l, data + at, len - at, &n, e)
                                                         : on_mark(l, data[at], e);
        if (r < 0)
            return r;
        at += r > 0 ? 0 : n;
    }
    return 0;
}

bool kube_items_complete(const struct kube_items *l) {
    return l->at == END && l->has_items;
}

/* ---- without parsing */

size_t kube_items_nodes(const char *text, size_t len) {
    struct kube_extent in = {.depth = 1}; /* so that nothing is ever the last */
    size_t nodes = 1;
    for (size_t at = 0; at < len; at++) {
        at += plain_run(&in, text + at, len - at);
        if (at == len)
            break;
        if (in.text)
            (void)step_text(&in, text[at]);
        else if (text[at] == '"')
            in.text = true;
        else
            nodes += text[at] == '{' || text[at] == '[' || text[at] == ',' || text[at] == ':';
    }
    return nodes;
}

#define PEEK_DEPTH 4

struct peek {
    struct kube_peek *ret;
    bool event;
    unsigned depth;
    struct level {
        bool object;
        bool key_next;
        char key[32];
    } levels[PEEK_DEPTH];
};

static struct level *level_of(struct peek *p) {
    return p->depth > 0 && p->depth <= PEEK_DEPTH ? &p->levels[p->depth - 1] : NULL;
}

/* Copies a text that is plain: nothing escaped, nothing beyond ASCII, and that fits; else nothing. */
static void copy_plain(char *out, size_t size, const char *text, size_t len) {
    if (len >= size)
        return;
    for (size_t i = 0; i < len; i++)
        if (text[i] == '\\' || text[i] < ' ' || text[i] > '~')
            return;
    memcpy(out, text, len);
    out[len] = 0;
}

/* A string that is the value of the keys that are open. The first counts, as it is what every reader of a
 * hostile text should take. */
static void peek_value(struct peek *p, const char *text, size_t len) {
    unsigned base = p->event ? 1 : 0;
    const struct level *l = p->levels;
    if (p->event && p->depth == 1 && strcmp(l[0].key, "type") == 0 && !*p->ret->type)
        copy_plain(p->ret->type, sizeof p->ret->type, text, len);
    if (p->depth != base + 2 || strcmp(l[base].key, "metadata") != 0 ||
        (p->event && strcmp(l[0].key, "object") != 0))
        return;
    const char *key = l[base + 1].key;
    char *out = strcmp(key, "name") == 0              ? p->ret->name
                : strcmp(key, "uid") == 0             ? p->ret->uid
                : strcmp(key, "resourceVersion") == 0 ? p->ret->rv
                                                      : NULL;
    if (out && !*out)
        copy_plain(out, KUBE_PEEK_MAX, text, len);
}

static void peek_string(struct peek *p, const char *text, size_t len) {
    struct level *l = level_of(p);
    if (!l || !l->object)
        return;
    if (!l->key_next) {
        peek_value(p, text, len);
        return;
    }
    l->key[0] = 0;
    copy_plain(l->key, sizeof l->key, text, len);
    l->key_next = false;
}

static void peek_mark(struct peek *p, char c) {
    if (c == '{' || c == '[') {
        p->depth++;
        struct level *l = level_of(p);
        if (l)
            *l = (struct level){.object = c == '{', .key_next = c == '{'};
    } else if ((c == '}' || c == ']') && p->depth > 0) {
        p->depth--;
    } else if (c == ',' && level_of(p)) {
        level_of(p)->key_next = level_of(p)->object;
    }
}

void kube_items_peek(const char *text, size_t len, bool event, struct kube_peek *ret) {
    struct peek p = {.ret = ret, .event = event};
    *ret = (struct kube_peek){.name = ""};
    for (size_t at = 0; at < len; at++) {
        if (text[at] != '"') {
            peek_mark(&p, text[at]);
            continue;
        }
        struct kube_extent in = {.text = true};
        size_t begin = ++at;
        while (at < len && step_text(&in, text[at]) == INSIDE)
            at++;
        if (at < len)
            peek_string(&p, text + begin, at - begin);
    }
}
