/* architecture_told: who told last of each object, and who listed its kind from nothing since.
 *
 * An agent that goes on where another one ended tells what changes, and nothing else. One that cannot, lists:
 * it tells each object that there is (OP_LISTED), and knows nothing of those that went meanwhile, so that
 * nobody says that they are gone. What a list of its kind did not tell again is gone. Where none of a kind is
 * left, no record shows that it was listed: there it may be gone when others were listed from nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"
#include "gates/architecture_priv.h"

#define LIST_NS (60 * WHEN_S)      /* one list takes less */
#define APART_NS WHEN_S            /* clocks that nobody compared */
#define WHOLE_NS (5 * 60 * WHEN_S) /* a source that is listed for so long is said to be unreadable */

struct making {
    const struct facts *f;
    struct gate_tellings *g;
    json_t *index; /* owned: "KIND/NAME" -> number of the object */
    size_t stream; /* that is looked at */
    bool handed;   /* it took over from another one, at least in part */
};

static int add_list(struct gate_tellings *g, size_t stream, const char *kind, int64_t at) {
    for (size_t i = g->n_lists; i-- > 0 && g->lists[i].stream == stream;)
        if (strcmp(g->lists[i].kind, kind) == 0 && at - g->lists[i].last <= LIST_NS) {
            g->lists[i].last = at;
            return 0;
        }
    if (g->n_lists == g->cap_lists) {
        size_t cap = g->cap_lists ? 2 * g->cap_lists : 64;
        struct gate_list *p = realloc(g->lists, cap * sizeof *p);
        if (!p)
            return -ENOMEM;
        g->lists = p;
        g->cap_lists = cap;
    }
    g->lists[g->n_lists++] = (struct gate_list){stream, kind, at, at};
    return 0;
}

/* Every namespace has one of these, and each agent reads them: whoever lists them has nothing to go on from.
 */
static bool is_everywhere(const char *kind) {
    return strcmp(kind, "ServiceAccount") == 0 || strcmp(kind, "Service") == 0 ||
           strcmp(kind, "Deployment") == 0;
}

static int64_t number_of(const struct making *m, const Pilotgate__Object *o) {
    char key[2 * WIRE_NAME_MAX + 2];
    (void)snprintf(key, sizeof key, "%s/%s", o->kind, o->name);
    const json_t *n = json_object_get(m->index, key);
    return n ? json_integer_value(n) : -1;
}

static int take_object(struct making *m, const struct ev_record *r) {
    const Pilotgate__Object *o = r->r->object;
    int64_t error;
    int64_t at = facts_clock(m->f->ev, r->stream, o->t_wall_ns, &error);
    if (error < 0)
        error = APART_NS;
    int64_t number = o->op == PILOTGATE__OBJECT__OP__OP_UNREADABLE ? -1 : number_of(m, o);
    if (number >= 0 && at + error > m->g->last[number]) {
        m->g->last[number] = at + error;
        m->g->teller[number] = r->stream;
    }
    at -= error;
    if (o->op != PILOTGATE__OBJECT__OP__OP_LISTED || !gate_is_compared(o->kind))
        return 0;
    int rc = add_list(m->g, r->stream, o->kind, at);
    return rc == 0 && is_everywhere(o->kind) && !m->handed ? add_list(m->g, r->stream, "", at) : rc;
}

/* It was to go on where another one ended, and could not: it listed these instead. */
static int take_loss(struct making *m, const struct ev_record *r) {
    const Pilotgate__Loss *l = r->r->loss;
    int64_t error;
    if (l->cause != PILOTGATE__LOSS__CAUSE__CAUSE_UNWATCHED || l->from_boot.len != WIRE_BOOT_BYTES ||
        memcmp(l->from_boot.data, m->f->ev->streams[r->stream].boot, WIRE_BOOT_BYTES) == 0)
        return 0;
    m->handed = true;
    const char *kind = gate_kind_of_source(m->f->ev, l->families);
    int64_t at = facts_clock(m->f->ev, r->stream, l->to_wall_ns, &error);
    return *kind ? add_list(m->g, r->stream, kind, at - (error < 0 ? APART_NS : error)) : 0;
}

static int take_all(struct making *m) {
    int r = 0;
    m->stream = SIZE_MAX;
    for (size_t i = 0; i < m->f->ev->records.n && r == 0; i++) {
        const struct ev_record *x = &m->f->ev->records.items[i];
        if (!facts_has_stream(m->f, x->stream))
            continue;
        if (x->stream != m->stream)
            m->handed = false;
        m->stream = x->stream;
        int64_t error, at = facts_clock(m->f->ev, x->stream, x->r->wall_ns, &error);
        m->g->words[x->stream] = at > m->g->words[x->stream] ? at : m->g->words[x->stream];
        if (x->r->body_case == PILOTGATE__RECORD__BODY_OBJECT)
            r = take_object(m, x);
        else if (x->r->body_case == PILOTGATE__RECORD__BODY_LOSS)
            r = take_loss(m, x);
    }
    return r;
}

static int by_from(const void *a, const void *b) {
    const struct gate_list *x = a;
    const struct gate_list *y = b;
    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    return x->stream != y->stream ? (x->stream < y->stream ? -1 : 1) : strcmp(x->kind, y->kind);
}

int gate_tellings_make(const struct facts *f, struct gate_tellings *ret, struct err *e) {
    struct gate_tellings g = {.last = calloc(f->n_objects + 1, sizeof *g.last),
                              .teller = calloc(f->n_objects + 1, sizeof *g.teller),
                              .words = calloc(f->ev->n_streams + 1, sizeof *g.words)};
    struct making m = {.f = f, .g = &g, .index = json_object()};
    int r = g.last && g.teller && g.words && m.index ? 0 : -ENOMEM;
    for (size_t i = 0; i < f->n_states && r == 0; i++) {
        char key[2 * WIRE_NAME_MAX + 2];
        (void)snprintf(key, sizeof key, "%s/%s", f->states[i].o->kind, f->states[i].o->name);
        if (json_object_set_new(m.index, key, json_integer((json_int_t)f->states[i].object)) < 0)
            r = -ENOMEM;
    }
    if (r == 0)
        r = take_all(&m);
    if (g.n_lists)
        qsort(g.lists, g.n_lists, sizeof *g.lists, by_from);
    json_decref(m.index);
    if (r < 0) {
        gate_tellings_free(&g);
        return err_oom(e);
    }
    *ret = g;
    return 0;
}

/* The list came to its end: its agent is there, or told something long afterwards. */
static bool is_whole(const struct gate_tellings *g, const struct gate_list *l, const struct gate_reading *r) {
    return g->words[l->stream] > l->from + WHOLE_NS || gate_reading_has(r, l->stream);
}

/* How many of the lists began by t. */
static size_t lists_until(const struct gate_tellings *g, int64_t t) {
    size_t lo = 0, hi = g->n_lists;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (g->lists[mid].from <= t)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

enum gate_here gate_tellings_look(const struct gate_tellings *g, const struct gate_reading *r,
                                  const struct fact_state *s, int64_t t, int64_t *ret_from) {
    enum gate_here here = GATE_HERE;
    for (size_t i = lists_until(g, t); i-- > 0 && g->lists[i].from > g->last[s->object];) {
        const struct gate_list *l = &g->lists[i];
        if ((*l->kind && strcmp(l->kind, s->o->kind) != 0) || l->stream == g->teller[s->object])
            continue; /* who told of it himself says when it goes */
        *ret_from = l->from;
        if (*l->kind && is_whole(g, l, r))
            return GATE_GONE;
        here = GATE_DOUBTED;
    }
    return here;
}

bool gate_tellings_listed(const struct gate_tellings *g, const char *kind, int64_t from, int64_t to) {
    for (size_t i = lists_until(g, to); i-- > 0 && g->lists[i].from > from;)
        if (!*g->lists[i].kind || strcmp(g->lists[i].kind, kind) == 0)
            return true;
    return false;
}

void gate_tellings_free(struct gate_tellings *g) {
    free(g->last);
    free(g->teller);
    free(g->words);
    free(g->lists);
    *g = (struct gate_tellings){0};
}
