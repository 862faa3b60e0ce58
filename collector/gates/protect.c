/* protect: see protect.h. */
#include "gates/protect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"

#define MARGIN_NS (600 * WHEN_S)            /* beside what the clocks allow */
#define CLOCK_MAX_NS (86400 * WHEN_S)       /* whose clock is worse is not looked for by the judge either */
#define DRILL_SILENT_NS (2 * 3600 * WHEN_S) /* a drill that was killed and never said its end */

struct collecting {
    const struct facts *f;
    struct protect_span *spans; /* owned */
    size_t n, cap;
    int64_t margin;
};

static int add(struct collecting *c, int64_t from, int64_t to) {
    if (c->n == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 16;
        struct protect_span *more = realloc(c->spans, cap * sizeof *more);
        if (!more)
            return -ENOMEM;
        c->spans = more;
        c->cap = cap;
    }
    from = from > c->margin ? from - c->margin : 0;
    to = to < WIRE_NS_MAX - c->margin ? to + c->margin : WIRE_NS_MAX;
    c->spans[c->n++] = (struct protect_span){from, to};
    return 0;
}

/* By how much an agent of the stage may differ from the collector. */
static int64_t clock_margin(const struct facts *f) {
    int64_t most = 0;
    for (size_t i = 0; i < f->ev->n_streams; i++) {
        const struct ev_stream *s = &f->ev->streams[i];
        for (size_t k = 0; facts_has_stream(f, i) && k < s->n_clock; k++) {
            int64_t half = llabs(s->clock[k].offset_ns) / 2 + s->clock[k].error_ns / 2;
            most = half > most ? half : most;
        }
    }
    return most < CLOCK_MAX_NS / 2 ? 2 * most : CLOCK_MAX_NS;
}

static int add_changes(struct collecting *c) {
    for (size_t i = 0; i < c->f->n_changes; i++)
        if (add(c, c->f->changes[i].begin_lo, c->f->changes[i].window_to) < 0)
            return -ENOMEM;
    return 0;
}

static int add_drills(struct collecting *c) {
    size_t i;
    json_t *d;
    json_array_foreach(c->f->ev->drills, i, d) {
        int64_t begin = js_int(d, "begin_ns", 0), said = js_int(d, "said_ns", begin);
        int64_t end = js_int(d, "end_ns", said + DRILL_SILENT_NS);
        if (strcmp(js_str(d, "stage", ""), c->f->stage) == 0 && begin > 0 && add(c, begin, end) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int add_marks(struct collecting *c) {
    size_t i;
    json_t *m;
    json_array_foreach(c->f->ev->marks, i, m) {
        int64_t t = js_int(m, "t_ns", 0);
        if (strcmp(js_str(m, "stage", ""), c->f->stage) == 0 && t > 0 && add(c, t, t) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int add_first_calls(struct collecting *c) {
    for (size_t i = 0; i < c->f->n_phases; i++)
        if (c->f->phases[i].kind == PILOTGATE__PHASE__KIND__KIND_FIRST_CALL &&
            add(c, c->f->phases[i].lo, c->f->phases[i].hi) < 0)
            return -ENOMEM;
    return 0;
}

static int by_from(const void *a, const void *b) {
    const struct protect_span *x = a;
    const struct protect_span *y = b;
    return x->from_ns < y->from_ns ? -1 : x->from_ns > y->from_ns;
}

static void join(struct collecting *c) {
    size_t kept = 0;
    if (c->n)
        qsort(c->spans, c->n, sizeof *c->spans, by_from);
    for (size_t i = 0; i < c->n; i++) {
        struct protect_span *last = kept ? &c->spans[kept - 1] : NULL;
        if (last && c->spans[i].from_ns <= last->to_ns)
            last->to_ns = c->spans[i].to_ns > last->to_ns ? c->spans[i].to_ns : last->to_ns;
        else
            c->spans[kept++] = c->spans[i];
    }
    c->n = kept;
}

int protect_spans(const struct facts *f, struct protect_span **ret, size_t *ret_n) {
    struct collecting c = {.f = f,
                           .margin = MARGIN_NS + f->longest_call_ns + f->keep_alive_ns + clock_margin(f)};
    if (add_changes(&c) < 0 || add_drills(&c) < 0 || add_marks(&c) < 0 || add_first_calls(&c) < 0) {
        free(c.spans);
        return -ENOMEM;
    }
    join(&c);
    *ret = c.spans;
    *ret_n = c.n;
    return 0;
}
