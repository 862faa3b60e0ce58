/* Lists of the API server: the scanner gives the same elements however the bytes are cut; of every text that
 * is JSON, the elements and metadata that a parser finds; and never counts fewer values than there are. The
 * first byte says how the rest is cut. */
#include <string.h>

#include "base/js.h"
#include "fuzz.h"
#include "kube/items.h"

struct seen {
    struct buf text;
    const json_t *items; /* what must come, NULL: unknown */
    size_t n;
};

static size_t values_of(const json_t *v) {
    const char *key;
    json_t *each;
    size_t i;
    size_t n = 1;
    if (json_is_object(v)) {
        json_object_foreach((json_t *)v, key, each) n += values_of(each);
    }
    json_array_foreach(v, i, each) {
        n += values_of(each);
    }
    return n;
}

static int on_item(void *ctx, char *text, size_t len, bool whole, struct err *e) {
    struct seen *s = ctx;
    struct kube_peek peek;
    json_t *doc = NULL;
    MUST(len > 0 && text[len] == 0 && whole);
    if (buf_addf(&s->text, "%zu ", len) < 0 || buf_add(&s->text, text, len) < 0)
        return err_oom(e);
    kube_items_peek(text, len, false, &peek);
    kube_items_peek(text, len, true, &peek);
    if (js_parse(text, len, JS_TEXT_MAX, &doc, NULL) == 0)
        MUST(kube_items_nodes(text, len) >= values_of(doc));
    if (s->items)
        MUST(doc && json_equal(doc, json_array_get(s->items, s->n)));
    s->n++;
    json_decref(doc);
    return 0;
}

static int feed(struct seen *s, struct kube_items *l, const char *data, size_t size, size_t piece) {
    int r = 0;
    s->text = BUF_INIT(1u << 24);
    kube_items_init(l, on_item, s);
    for (size_t at = 0; at < size && r == 0; at += piece)
        r = kube_items_feed(l, data + at, size - at < piece ? size - at : piece, NULL);
    return r;
}

/* A text without escapes that is JSON and holds an array of items. */
static const json_t *known_items(const json_t *doc, const char *data, size_t size) {
    const json_t *items = json_object_get(doc, "items");
    return json_is_array(items) && !memchr(data, '\\', size) ? items : NULL;
}

static void check_meta(const struct kube_items *l, const json_t *doc) {
    json_t *meta = NULL;
    if (!json_object_get(doc, "metadata")) {
        MUST(l->meta.len == 0);
        return;
    }
    MUST(js_parse(buf_str(&l->meta), l->meta.len, KUBE_META_MAX, &meta, NULL) == 0);
    MUST(json_equal(meta, json_object_get(doc, "metadata")));
    json_decref(meta);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    if (size < 2 || size > KUBE_META_MAX)
        return 0;
    const char *data = (const char *)bytes + 1;
    struct kube_items a, b;
    json_t *doc = NULL;
    if (js_parse(data, size - 1, JS_TEXT_MAX, &doc, NULL) < 0)
        doc = NULL;
    const json_t *items = known_items(doc, data, size - 1);
    struct seen whole = {.items = items};
    struct seen cut = {.items = items};
    int r = feed(&whole, &a, data, size - 1, size);
    MUST(feed(&cut, &b, data, size - 1, 1 + (bytes[0] & 31u)) == r);
    MUST(whole.n == cut.n && whole.text.len == cut.text.len);
    MUST(whole.n == 0 || memcmp(whole.text.data, cut.text.data, whole.text.len) == 0);
    MUST(kube_items_complete(&a) == kube_items_complete(&b));
    if (items) {
        MUST(r == 0 && kube_items_complete(&a) && whole.n == json_array_size(items));
        check_meta(&a, doc);
    }
    json_decref(doc);
    kube_items_free(&a);
    kube_items_free(&b);
    buf_free(&whole.text);
    buf_free(&cut.text);
    return 0;
}
