/* differences: see differences.h. One walk over both documents; what it meets first that is no object or
 * list on both sides is a difference. */
#include "correlate/differences.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/js.h"
#include "base/trail.h"
#include "correlate/correlate_priv.h"
#include "correlate/merge.h"

#define DEPTH_MAX 64
#define HASH_HEX 64
#define MASKED_MAX (4 * WIRE_NORMAL_MAX) /* a value with what masks its hashes */

struct walk {
    struct differences *to;
    const char *kind; /* of the object */
    struct trail at;  /* the place that is looked at */
    bool fields;      /* of a map that is there on one side only, each field */
};

/* ---- places that a release's normal form counts by itself: its status and times stand in the phases */

static bool is_bookkeeping(const struct walk *w) {
    static const char *const of_release[] = {
        "/revision", "/status", "/description", "/first_deployed", "/last_deployed", "/deleted", NULL};
    if (strcmp(w->kind, "HelmRelease") != 0)
        return false;
    for (const char *const *p = of_release; *p; p++)
        if (strcmp(*p, w->at.pointer) == 0)
            return true;
    return false;
}

/* ---- values as text */

static bool is_hex(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!isdigit((unsigned char)s[i]) && (s[i] < 'a' || s[i] > 'f'))
            return false;
    return true;
}

/* A digest that the agent made with the pilot's key: of a release's manifest, values and objects. */
static bool is_digest(const struct walk *w, const char *text) {
    const char *step = strrchr(w->at.pointer, '/');
    size_t n = step ? strlen(step) : 0;
    return strcmp(w->kind, "HelmRelease") == 0 && n >= 6 && strcmp(step + n - 6, "digest") == 0 &&
           strlen(text) == HASH_HEX && is_hex(text, HASH_HEX);
}

/* Bytes of a keyed hash with the word before it that tells it, 0: none is here; *ret_kept of them are shown.
 */
static size_t hash_at(const char *p, size_t *ret_kept) {
    static const struct {
        const char *word;
        bool kept;
    } words[] = {{"keyed:", false}, {"digest\":\"", true}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i].word);
        if (strncmp(p, words[i].word, n) != 0 || strnlen(p + n, HASH_HEX) < HASH_HEX ||
            !is_hex(p + n, HASH_HEX))
            continue;
        *ret_kept = words[i].kept ? n : 0;
        return n + HASH_HEX;
    }
    return 0;
}

/* Writes text with its keyed hashes reduced to "(secret)"; *ret_found when there were some. */
static int mask(const char *text, struct buf *out, bool *ret_found) {
    const char *plain = text;
    int r = 0;
    while (*text && r == 0) {
        size_t kept = 0;
        size_t n = hash_at(text, &kept);
        if (n) {
            r = buf_add(out, plain, (size_t)(text - plain) + kept);
            r = r == 0 ? buf_adds(out, DIFF_SECRET) : r;
            plain = text + n;
            *ret_found = true;
        }
        text += n ? n : 1;
    }
    return r == 0 ? buf_add(out, plain, (size_t)(text - plain)) : r;
}

static bool is_inside(char c) { /* of a character of several bytes */
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* From byte `from` on, at most DIFF_VALUE_MAX; what is left out shows as "...". */
static char *bounded(const char *text, size_t from) {
    char *out = malloc(DIFF_VALUE_MAX + 8);
    size_t n = strnlen(text + from, DIFF_VALUE_MAX + 1);
    bool cut = n > DIFF_VALUE_MAX;
    if (!out)
        return NULL;
    if (cut)
        for (n = DIFF_VALUE_MAX; n > 0 && is_inside(text[from + n]);)
            n--;
    (void)snprintf(out, DIFF_VALUE_MAX + 8, "%s%.*s%s", from ? "..." : "", (int)n, text + from,
                   cut ? "..." : "");
    return out;
}

/* Where to begin, so that the first byte in which two long texts differ is seen. */
static size_t shown_from(const char *a, const char *b) {
    size_t n = 0;
    while (a[n] && a[n] == b[n])
        n++;
    if (n <= DIFF_VALUE_MAX / 2 || (!a[n] && !b[n]))
        return 0;
    for (n -= DIFF_VALUE_MAX / 6; n > 0 && is_inside(a[n]);)
        n--;
    return n;
}

/* A value as a person reads it, whole: a text as it is, anything else as JSON. */
static char *text_of(const struct walk *w, const json_t *v, bool *ret_secret) {
    char *json = json_is_string(v) ? NULL : json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    const char *text = json_is_string(v) ? json_string_value(v) : json;
    struct buf masked = BUF_INIT(MASKED_MAX);
    char *out = NULL;
    if (text && json_is_string(v) && is_digest(w, text)) {
        *ret_secret = true;
        out = strdup(DIFF_SECRET);
    } else if (text && mask(text, &masked, ret_secret) == 0) {
        out = strdup(buf_str(&masked));
    }
    buf_free(&masked);
    free(json);
    return out;
}

static int set_values(struct difference *d, const struct walk *w, const json_t *before, const json_t *after) {
    char *a = before ? text_of(w, before, &d->secret) : NULL;
    char *b = after ? text_of(w, after, &d->secret) : NULL;
    size_t from = a && b ? shown_from(a, b) : 0;
    bool hidden = a && b && d->secret && strcmp(a, b) == 0;
    d->before = a ? bounded(a, from) : NULL;
    d->after = hidden ? strdup(DIFF_SECRET_CHANGED) : b ? bounded(b, from) : NULL;
    free(a);
    free(b);
    return (before && !d->before) || (after && !d->after) ? -ENOMEM : 0;
}

int diff_values(const json_t *before, const json_t *after, char **ret_before, char **ret_after) {
    static const struct walk plain = {.kind = ""};
    struct difference d = {0};
    if (set_values(&d, &plain, before, after) < 0) {
        free(d.before);
        free(d.after);
        return -ENOMEM;
    }
    *ret_before = d.before;
    *ret_after = d.after;
    return 0;
}

/* ---- lists of lines */

struct lines {
    const char *text;
    size_t from, to; /* bytes of those that differ */
    unsigned first, last;
};

static bool has_lines(const json_t *v) {
    return json_is_string(v) && strchr(json_string_value(v), '\n');
}

/* Lines that both texts begin with, or end with, are no difference. */
static void find_lines(const char *a, const char *b, struct lines *x, struct lines *y) {
    size_t same = 0;
    size_t line = 0; /* where the line begins in which they part */
    unsigned number = 1;
    for (; a[same] && a[same] == b[same]; same++)
        if (a[same] == '\n') {
            line = same + 1;
            number++;
        }
    size_t na = strlen(a);
    size_t nb = strlen(b);
    size_t end = 0; /* bytes of whole lines that both end with */
    for (size_t i = 1; na - i >= line && nb - i >= line && i <= na - line && i <= nb - line; i++) {
        if (a[na - i] != b[nb - i])
            break;
        if ((na - i == line || a[na - i - 1] == '\n') && (nb - i == line || b[nb - i - 1] == '\n'))
            end = i;
    }
    *x = (struct lines){a, line, na - end, number, number - 1};
    *y = (struct lines){b, line, nb - end, number, number - 1};
}

static void count_lines(struct lines *x) {
    for (size_t i = x->from; i < x->to; i++)
        if (x->text[i] == '\n' || i + 1 == x->to)
            x->last++;
}

/* NULL where there are none. */
static int set_line_text(const struct lines *x, bool *ret_secret, char **ret) {
    if (x->last < x->first)
        return 0;
    size_t n = x->to - x->from;
    while (n && x->text[x->from + n - 1] == '\n')
        n--;
    char *plain = strndup(x->text + x->from, n);
    struct buf masked = BUF_INIT(MASKED_MAX);
    if (plain && mask(plain, &masked, ret_secret) == 0)
        *ret = bounded(buf_str(&masked), 0);
    buf_free(&masked);
    free(plain);
    return *ret ? 0 : -ENOMEM;
}

static int set_lines(struct difference *d, const json_t *before, const json_t *after) {
    struct lines x;
    struct lines y;
    find_lines(json_string_value(before), json_string_value(after), &x, &y);
    count_lines(&x);
    count_lines(&y);
    if (set_line_text(&x, &d->secret, &d->before) < 0 || set_line_text(&y, &d->secret, &d->after) < 0)
        return -ENOMEM;
    if (d->before) {
        d->line_from = x.first;
        d->line_to = x.last;
    }
    if (d->after) {
        d->after_from = y.first;
        d->after_to = y.last;
    }
    return 0;
}

/* ---- one difference */

static int add(struct walk *w, const json_t *before, const json_t *after) {
    struct differences *to = w->to;
    if (is_bookkeeping(w))
        return 0;
    if (to->n == DIFF_ITEMS_MAX) {
        to->more++;
        return 0;
    }
    struct difference *d = CORR_PUSH(to->items, to->n, to->cap);
    if (!d)
        return -ENOMEM;
    to->n++;
    d->pointer = strdup(w->at.pointer);
    d->where = strdup(w->at.where);
    if (!d->pointer || !d->where)
        return -ENOMEM;
    if (json_is_string(before) && json_is_string(after) && (has_lines(before) || has_lines(after)))
        return set_lines(d, before, after);
    return set_values(d, w, before, after);
}

/* ---- the walk */

static int compare(struct walk *w, const json_t *before, const json_t *after);

static int step_into(struct walk *w, const char *step, const char *name, const json_t *before,
                     const json_t *after) {
    struct trail_back back = trail_enter(&w->at, step, name);
    int r = compare(w, before, after);
    trail_leave(&w->at, back);
    return r;
}

static int compare_maps(struct walk *w, const json_t *before, const json_t *after) {
    const char *key;
    json_t *v;
    int r = 0;
    json_object_foreach((json_t *)before, key, v) {
        if (r == 0)
            r = step_into(w, key, NULL, v, json_object_get(after, key));
    }
    json_object_foreach((json_t *)after, key, v) {
        if (r == 0 && !json_object_get(before, key))
            r = step_into(w, key, NULL, NULL, v);
    }
    return r;
}

static int compare_at(struct walk *w, size_t index, const char *name, const json_t *before,
                      const json_t *after) {
    char step[24];
    (void)snprintf(step, sizeof step, "%zu", index);
    return step_into(w, step, name, before, after);
}

/* By place, without what both lists begin and end with. */
static int compare_in_order(struct walk *w, const json_t *before, const json_t *after) {
    size_t n = json_array_size(before);
    size_t m = json_array_size(after);
    size_t head = 0;
    size_t tail = 0;
    while (head < n && head < m && json_equal(json_array_get(before, head), json_array_get(after, head)))
        head++;
    while (tail < n - head && tail < m - head &&
           json_equal(json_array_get(before, n - 1 - tail), json_array_get(after, m - 1 - tail)))
        tail++;
    int r = 0;
    for (size_t i = head; r == 0 && (i < n - tail || i < m - tail); i++)
        r = compare_at(w, i, NULL, i < n - tail ? json_array_get(before, i) : NULL,
                       i < m - tail ? json_array_get(after, i) : NULL);
    return r;
}

/* Do the elements that both lists have stand in another order? 1, 0, or -ENOMEM. */
static int is_reordered(const json_t *old, const json_t *new, size_t n) {
    size_t *to = calloc(n + 1, sizeof *to); /* of each element of the old list its place in the new one, +1 */
    const char *name;
    json_t *at;
    size_t last = 0;
    int reordered = 0;
    if (!to)
        return -ENOMEM;
    json_object_foreach((json_t *)old, name, at) {
        const json_t *there = json_object_get(new, name);
        to[json_integer_value(at)] = there ? (size_t)json_integer_value(there) + 1 : 0;
    }
    for (size_t i = 0; i < n; i++) {
        reordered |= to[i] && to[i] < last;
        last = to[i] ? to[i] : last;
    }
    free(to);
    return reordered;
}

static int compare_lists(struct walk *w, const json_t *before, const json_t *after) {
    const char *field = strrchr(w->at.pointer, '/');
    json_t *old;
    json_t *new;
    if (!merge_by_key(field ? field + 1 : "", before, after, &old, &new))
        return compare_in_order(w, before, after);
    if (!old || !new) {
        json_decref(old);
        json_decref(new);
        return -ENOMEM;
    }
    const char *name;
    json_t *at;
    int r = 0;
    json_object_foreach(old, name, at) {
        json_t *there = json_object_get(new, name);
        size_t i = (size_t)json_integer_value(at);
        size_t j = (size_t)json_integer_value(there);
        if (r == 0)
            r = compare_at(w, there ? j : i, name, json_array_get(before, i),
                           there ? json_array_get(after, j) : NULL);
    }
    json_object_foreach(new, name, at) {
        size_t j = (size_t)json_integer_value(at);
        if (r == 0 && !json_object_get(old, name))
            r = compare_at(w, j, name, NULL, json_array_get(after, j));
    }
    if (r == 0 && json_is_object(json_array_get(before, 0)))
        r = is_reordered(old, new, json_array_size(before));
    if (r > 0) {
        w->to->reordered = true;
        r = 0;
    }
    json_decref(old);
    json_decref(new);
    return r;
}

static int compare(struct walk *w, const json_t *before, const json_t *after) {
    if (before && after && json_equal(before, after))
        return 0;
    if (w->at.depth < DEPTH_MAX && json_is_object(before) && json_is_object(after))
        return compare_maps(w, before, after);
    if (w->fields && w->at.depth < DEPTH_MAX && (!before || !after) &&
        json_object_size(before ? before : after))
        return compare_maps(w, before, after);
    if (w->at.depth < DEPTH_MAX && json_is_array(before) && json_is_array(after))
        return compare_lists(w, before, after);
    return add(w, before, after);
}

/* ---- objects */

static int parse(const Pilotgate__Object *o, json_t **ret) {
    return js_parse(o->normal, strlen(o->normal), WIRE_NORMAL_MAX, ret, NULL);
}

static const char *why_unknown(const Pilotgate__Object *before, const Pilotgate__Object *after) {
    if (before->truncated || after->truncated)
        return "the object was too large to be kept whole";
    return *before->normal && *after->normal ? NULL : "the text of the object was not told";
}

static int diff(const char *kind, bool fields, const json_t *before, const json_t *after,
                struct differences *ret, struct err *e) {
    struct walk *w = calloc(1, sizeof *w);
    *ret = (struct differences){0};
    if (!w)
        return err_oom(e);
    w->to = ret;
    w->kind = kind;
    w->fields = fields;
    int r = compare(w, before, after);
    free(w);
    if (r < 0) {
        diff_free(ret);
        return err_oom(e);
    }
    return 0;
}

int diff_normals(const char *kind, const json_t *before, const json_t *after, struct differences *ret,
                 struct err *e) {
    return diff(kind, false, before, after, ret, e);
}

int diff_fields(const char *kind, const json_t *before, const json_t *after, struct differences *ret,
                struct err *e) {
    return diff(kind, true, before, after, ret, e);
}

int diff_objects(const Pilotgate__Object *before, const Pilotgate__Object *after, struct differences *ret,
                 struct err *e) {
    json_t *a = NULL;
    json_t *b = NULL;
    const char *unknown = why_unknown(before, after);
    int r = 0;
    *ret = (struct differences){.unknown = unknown};
    if (unknown)
        return 0;
    if (parse(before, &a) < 0 || parse(after, &b) < 0)
        ret->unknown = "the text of the object cannot be read";
    else
        r = diff_normals(after->kind, a, b, ret, e);
    json_decref(a);
    json_decref(b);
    return r;
}

void diff_free(struct differences *d) {
    for (size_t i = 0; i < d->n; i++) {
        free(d->items[i].pointer);
        free(d->items[i].where);
        free(d->items[i].before);
        free(d->items[i].after);
    }
    free(d->items);
    *d = (struct differences){0};
}
