/* Watches and lists of a hostile API server, through to the records: lines are the same however the bytes are
 * cut; whatever they say, every record keeps to the wire's rules, memory is given back, and what is called
 * complete was. The first byte chooses the kind, the second how the rest is cut and whether it is a watch, a
 * streaming list or a page. */
#include <string.h>

#include "fuzz.h"
#include "kube/kube_priv.h"

struct told {
    struct buf records; /* without what the clock says */
    size_t n, losses;
};

static void on_record(void *ctx, Pilotgate__Record *r) {
    struct told *t = ctx;
    size_t len = pilotgate__record__get_packed_size(r);
    uint8_t *bytes = malloc(len + 1);
    Pilotgate__Record *copy = NULL;
    MUST(bytes);
    MUST(pilotgate__record__pack(r, bytes) == len);
    MUST(wire_record_unpack(bytes, len, &copy, NULL) == 0);
    if (r->body_case == PILOTGATE__RECORD__BODY_PHASE)
        MUST(buf_addf(&t->records, "%d %s %s;", (int)r->phase->kind, r->phase->subject, r->phase->uid) == 0);
    if (r->body_case == PILOTGATE__RECORD__BODY_OBJECT)
        MUST(buf_addf(&t->records, "%d %s %s %s;", (int)r->object->op, r->object->name, r->object->digest,
                      r->object->reason) == 0);
    t->n++;
    t->losses += r->body_case == PILOTGATE__RECORD__BODY_LOSS;
    wire_record_free(&copy);
    free(bytes);
}

enum { PAGE, WATCH, STREAM };

struct world {
    struct told told;
    struct emit emit;
    struct norm_key key;
    struct kube_scope scope;
    struct kube_http http;
    struct kube_source source;
};

static void begin(struct world *w, const struct kube_kind *kind, int how) {
    *w = (struct world){.told.records = BUF_INIT(1u << 26)};
    w->emit = (struct emit){on_record, &w->told};
    w->scope = (struct kube_scope){
        .own_release = "pilotgate", .namespace_name = "mcp", .key = &w->key, .emit = &w->emit};
    kube_source_init(&w->source, kind, &w->scope, &w->http, NULL, "n1");
    w->source.watch.state = how == PAGE ? KUBE_LIST : how == WATCH ? KUBE_WATCH : KUBE_STREAM;
    w->source.view.listed_once = how != PAGE;
    w->source.gap = how == STREAM;
    w->source.established = how != PAGE;
    w->source.byte_wall = 1795000000000000000;
    kube_view_begin(&w->source.view);
}

static int feed(struct world *w, int how, const char *data, size_t size, size_t piece) {
    int r = 0;
    for (size_t at = 0; at < size && r == 0; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        r = how == PAGE ? kube_take_list(&w->source, data + at, n)
                        : kube_take_watch(&w->source, data + at, n);
    }
    if (r == 0 && how == PAGE)
        r = (int)kube_take_page_end(&w->source);
    return r;
}

static void check(const struct world *w, int how, int r) {
    MUST(how == PAGE || w->source.frames.rest.len <= w->source.frames.rest.max);
    MUST(how != STREAM || w->told.losses == (w->source.watch.state == KUBE_WATCH));
    MUST(how == STREAM || w->told.losses == 0);
    MUST(r >= 0 || w->source.lost != KUBE_EVENTS);
    MUST(strlen(w->source.rv) < KUBE_RV_MAX);
}

static void end(struct world *w) {
    kube_source_free(&w->source);
    buf_free(&w->told.records);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct world whole, cut;
    size_t kinds = 0;
    if (size < 3)
        return 0;
    while (kube_kinds[kinds].source)
        kinds++;
    const struct kube_kind *kind = &kube_kinds[data[0] % kinds];
    int how = (data[1] >> 5) % 3;
    begin(&whole, kind, how);
    begin(&cut, kind, how);
    int a = feed(&whole, how, (const char *)data + 2, size - 2, size);
    int b = feed(&cut, how, (const char *)data + 2, size - 2, 1 + (data[1] & 31u));
    MUST(a == b);
    MUST(whole.told.n == cut.told.n && whole.told.records.len == cut.told.records.len);
    MUST(whole.told.records.len == 0 ||
         memcmp(whole.told.records.data, cut.told.records.data, whole.told.records.len) == 0);
    MUST(strcmp(whole.source.rv, cut.source.rv) == 0);
    check(&whole, how, a);
    check(&cut, how, b);
    end(&whole);
    end(&cut);
    return 0;
}
