/* states: every state that an object of the stage was in, once, in the order in which they came to be,
 * whoever told of them, how often, how late and by which clock.
 *
 * A version of an object is (uid, resourceVersion). Several agents may tell of one: each with its own clock,
 * and a successor in the Lease tells again of what was told, later than of what came after it. What orders
 * versions, the first of these that says anything:
 *
 * - The uid: an object that was made later under the same name comes after the one before it, and after a
 *   deletion nothing is told of a uid (but by an agent that saw it again itself).
 * - The number: resourceVersions of one resource compare as whole numbers. That is said of every API server
 *   from 1.35 on (kubernetes/enhancements, KEP-5504) and was so before, as they are etcd's revisions. Where a
 *   list contradicts it, as after an etcd was restored, no number of that object is believed.
 * - The stream: what one agent told of one object for the first time, it told in the order in which it
 *   happened.
 * - The time at which it was first told.
 *
 * Once the order stands, a state was there at the latest when its successor was. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"
#include "correlate/correlate_priv.h"

#define NONE SIZE_MAX
/* By so much a watch that tells of a change as it comes may be later than a list that another agent made.
 * What is told later than that is told again. */
#define NEWS_LATE_NS (10 * WHEN_S)
/* A list of many pages tells what was so when its first page was made: etcd keeps that for minutes. */
#define LIST_LATE_NS (600 * WHEN_S)

struct telling {
    const struct ev_record *r;
    const Pilotgate__Object *o;
    const char *node; /* that read it, of the product's state; "" of objects, which are the same for all */
    int64_t lo, hi;
    bool known; /* the agent's clock is */
    bool deleted;
    bool again;         /* its stream told this version before */
    unsigned deletions; /* of this uid that its stream told before, and saw it again */
    size_t version;
};

struct version {
    size_t first, n;               /* its tellings, in `by_version` */
    const struct telling *witness; /* told first */
    const Pilotgate__Object *o;
    uint64_t number;
    unsigned deletions;
    bool deleted, known, came;
    int64_t found, seen; /* first told as found, and as seen to become so; INT64_MAX: never */
    int64_t lo, hi;
    size_t cursor; /* of the walk */
    bool entered, done;
};

struct life { /* of one object: all that was told of one uid */
    size_t first, n;
    int64_t created, seen; /* 0: not told */
};

struct making {
    struct facts *f;
    struct telling *all; /* by object, uid and place */
    size_t *by_version;  /* tellings of a life, by their versions */
    struct version *v;   /* of a life */
    size_t *stack, *order;
    struct life *lives; /* of an object */
    size_t n;
};

/* By more than `by`. */
static bool is_later(int64_t t, int64_t than, int64_t by) {
    return t > than && (uint64_t)t - (uint64_t)than > (uint64_t)by;
}

/* ---- tellings */

static int collect(struct making *m) {
    const struct facts *f = m->f;
    size_t cap = 0;
    for (size_t i = 0; i < f->ev->records.n; i++) {
        const struct ev_record *r = &f->ev->records.items[i];
        if (r->r->body_case != PILOTGATE__RECORD__BODY_OBJECT || !corr_in_stage(f, r->stream) ||
            r->r->object->own)
            continue;
        const Pilotgate__Object *o = r->r->object;
        if (!corr_tells_state(o) && o->op != PILOTGATE__OBJECT__OP__OP_CONFIRMED)
            continue;
        struct telling *t = CORR_PUSH(m->all, m->n, cap);
        if (!t)
            return -ENOMEM;
        m->n++;
        *t = (struct telling){.r = r, .o = o, .deleted = o->op == PILOTGATE__OBJECT__OP__OP_DELETED};
        t->node = corr_is_product(o) ? f->ev->streams[r->stream].node : "";
        t->known = f->ev->streams[r->stream].n_clock > 0;
        corr_interval(f->ev, r->stream, o->t_wall_ns, 0, &t->lo, &t->hi);
    }
    return 0;
}

static int compare_object(const struct telling *a, const struct telling *b) {
    int c = strcmp(a->o->kind, b->o->kind);
    if (c == 0)
        c = strcmp(a->o->name, b->o->name);
    if (c == 0)
        c = strcmp(a->node, b->node);
    return c ? c : strcmp(*a->node ? a->o->path : "", *b->node ? b->o->path : "");
}

static int compare_place(const struct telling *a, const struct telling *b) {
    if (a->r->stream != b->r->stream)
        return a->r->stream < b->r->stream ? -1 : 1;
    return a->r->seq < b->r->seq ? -1 : a->r->seq > b->r->seq;
}

static int by_place(const void *a, const void *b) {
    int c = compare_object(a, b);
    if (c == 0)
        c = strcmp(((const struct telling *)a)->o->uid, ((const struct telling *)b)->o->uid);
    return c ? c : compare_place(a, b);
}

/* ---- versions of one life */

static const char *version_of(const struct telling *t) {
    return t->deleted ? "" : t->o->resource_version;
}

/* What has no version is told once. A deletion is one, whoever tells of it. */
static bool is_one_of_a_kind(const struct telling *t) {
    return !*t->o->uid ? t->deleted || !*t->o->resource_version : !t->deleted && !*t->o->resource_version;
}

static int compare_version(const struct telling *a, const struct telling *b) {
    if (a->deletions != b->deletions)
        return a->deletions < b->deletions ? -1 : 1;
    if (a->deleted != b->deleted)
        return a->deleted ? 1 : -1;
    int c = strcmp(version_of(a), version_of(b));
    return c == 0 && is_one_of_a_kind(a) ? compare_place(a, b) : c;
}

static int by_version(const void *a, const void *b, void *tellings) {
    const struct telling *x = (const struct telling *)tellings + *(const size_t *)a;
    const struct telling *y = (const struct telling *)tellings + *(const size_t *)b;
    int c = compare_version(x, y);
    return c ? c : compare_place(x, y);
}

/* A whole number without a leading zero; 0: it is none. */
static uint64_t number_of(const char *text) {
    size_t n = strlen(text);
    if (n == 0 || n > 18 || *text == '0' || strspn(text, "0123456789") != n)
        return 0;
    return strtoull(text, NULL, 10);
}

static bool is_list(const struct telling *t) {
    return t->o->origin == PILOTGATE__ORIGIN__ORIGIN_LIST;
}

/* What was told after the deletion shows the object later than it, and not what was before it told again. */
static bool lives_again(const struct telling *t, const struct telling *deletion) {
    return !t->deleted &&
           (is_list(t) || number_of(t->o->resource_version) > number_of(deletion->o->resource_version));
}

/* Of one uid; of objects without one a deletion says nothing of what is told later. */
static void count_deletions(struct telling *t, size_t n) {
    const struct telling *deletion = NULL;
    unsigned deletions = 0;
    for (size_t i = 0; i < n && *t->o->uid; i++) {
        if (i && t[i].r->stream != t[i - 1].r->stream) {
            deletions = 0;
            deletion = NULL;
        }
        if (deletion && lives_again(&t[i], deletion)) {
            deletions++;
            deletion = NULL;
        }
        t[i].deletions = deletions;
        if (t[i].deleted && !deletion)
            deletion = &t[i];
    }
}

/* Of two tellings the one by a clock that is known, then the earlier one. */
static bool is_better(const struct telling *t, const struct telling *than) {
    if (!than || t->known != than->known)
        return !than || t->known;
    return t->hi < than->hi;
}

static void take(struct version *v, const struct telling *t) {
    if (is_better(t, v->witness))
        v->witness = t;
    if (t->o->op == PILOTGATE__OBJECT__OP__OP_LISTED)
        v->found = t->hi < v->found ? t->hi : v->found;
    else
        v->seen = t->hi < v->seen ? t->hi : v->seen;
    v->came |= t->o->op == PILOTGATE__OBJECT__OP__OP_ADDED;
    if (!v->o || t->o->norm > v->o->norm || (t == v->witness && t->o->norm == v->o->norm))
        v->o = t->o; /* in the newest normal form that it was told in: what follows is compared with it */
    v->known = v->witness->known;
    v->lo = v->witness->lo;
    v->hi = v->witness->hi;
}

static size_t find_versions(struct making *m, const struct life *l) {
    struct telling *t = &m->all[l->first];
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        m->by_version[i] = i;
    qsort_r(m->by_version, l->n, sizeof *m->by_version, by_version, t);
    for (size_t i = 0; i < l->n; i++) {
        struct telling *x = &t[m->by_version[i]];
        if (i == 0 || compare_version(&t[m->by_version[i - 1]], x) != 0)
            m->v[n++] = (struct version){.first = i,
                                         .deletions = x->deletions,
                                         .found = INT64_MAX,
                                         .seen = INT64_MAX,
                                         .deleted = x->deleted && *x->o->uid};
        x->again = m->v[n - 1].n && t[m->by_version[i - 1]].r->stream == x->r->stream;
        m->v[n - 1].n++;
        take(&m->v[n - 1], x);
    }
    return n;
}

/* ---- numbers */

static int by_number(const void *a, const void *b) {
    const struct version *x = a;
    const struct version *y = b;
    if (x->deletions != y->deletions)
        return x->deletions < y->deletions ? -1 : 1;
    if (x->deleted != y->deleted)
        return x->deleted ? 1 : -1;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    if (x->hi != y->hi)
        return x->hi < y->hi ? -1 : 1;
    return compare_place(x->witness, y->witness);
}

/* When a list last showed this version, as its agent's clock says; INT64_MIN: none did. */
static int64_t listed_at(const struct making *m, const struct life *l, const struct version *v) {
    int64_t at = INT64_MIN;
    for (size_t i = v->first; i < v->first + v->n; i++) {
        const struct telling *t = &m->all[l->first + m->by_version[i]];
        if (t->known && is_list(t) && t->lo > at)
            at = t->lo;
    }
    return at;
}

/* A list shows a lower number than its own stream saw before. */
static bool stream_went_back(const struct making *m, const struct life *l) {
    uint64_t highest = 0;
    for (size_t i = l->first; i < l->first + l->n; i++) {
        const struct telling *t = &m->all[i];
        uint64_t number = t->deleted ? 0 : number_of(t->o->resource_version);
        if (i > l->first && t[-1].r->stream != t->r->stream)
            highest = 0;
        if (is_list(t) && number && number < highest)
            return true;
        highest = number > highest ? number : highest;
    }
    return false;
}

/* Nor does any list show a lower number long after a higher one was seen. v is in the order of the numbers.
 */
static bool numbers_hold(const struct making *m, const struct life *l, size_t n) {
    int64_t higher = INT64_MAX; /* when one with a higher number was first seen */
    for (size_t i = n; i-- > 0;) {
        const struct version *v = &m->v[i];
        if (v->deleted)
            continue;
        if (higher != INT64_MAX && is_later(listed_at(m, l, v), higher, LIST_LATE_NS))
            return false;
        if (v->known && v->hi < higher)
            higher = v->hi;
    }
    return !stream_went_back(m, l);
}

/* True: that is their order; false: streams have the last word. Readings of the product's state are in the
 * order of their times alone: each is made by itself. */
static bool order_versions(struct making *m, const struct life *l, size_t n) {
    bool numbers = *m->all[l->first].o->uid != 0;
    for (size_t i = 0; i < n; i++) {
        m->v[i].number = number_of(m->v[i].deleted ? "1" : m->v[i].o->resource_version);
        numbers &= m->v[i].number != 0;
    }
    if (numbers) {
        qsort(m->v, n, sizeof *m->v, by_number);
        numbers = numbers_hold(m, l, n);
    }
    for (size_t i = 0; i < n && !numbers; i++)
        m->v[i].number = 0;
    if (!numbers)
        qsort(m->v, n, sizeof *m->v, by_number);
    return numbers || !*m->all[l->first].o->uid;
}

/* ---- streams */

/* A version that some agent told before this one and that has no place yet; NONE: there is none. */
static size_t before(const struct making *m, const struct life *l, struct version *v) {
    for (; v->cursor < v->n; v->cursor++) {
        size_t i = m->by_version[v->first + v->cursor];
        const struct telling *t = &m->all[l->first + i];
        if (i == 0 || t->again || t[-1].r->stream != t->r->stream)
            continue;
        if (!m->v[t[-1].version].entered)
            return t[-1].version;
    }
    return NONE;
}

/* Walks the versions in their order; before each comes whatever any agent told before it. */
static size_t order_by_streams(struct making *m, const struct life *l, size_t n) {
    size_t placed = 0;
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < m->v[k].n; i++)
            m->all[l->first + m->by_version[m->v[k].first + i]].version = k;
    for (size_t k = 0; k < n; k++) {
        size_t depth = 0;
        if (!m->v[k].entered) {
            m->v[k].entered = true;
            m->stack[depth++] = k;
        }
        while (depth) {
            size_t at = m->stack[depth - 1];
            size_t next = before(m, l, &m->v[at]);
            if (next == NONE) {
                m->order[placed++] = at;
                depth--;
            } else {
                m->v[next].entered = true;
                m->stack[depth++] = next;
            }
        }
    }
    return placed;
}

/* ---- one object */

/* first: of its uid. Whoever watches on for another agent calls the first change that it sees an addition. */
static int add_state(struct making *m, const struct version *v, size_t object, bool first) {
    struct facts *f = m->f;
    bool news = !is_later(v->seen, v->found, NEWS_LATE_NS);
    struct fact_state *s = CORR_PUSH(f->states, f->n_states, f->cap_states);
    if (!s)
        return -ENOMEM;
    *s = (struct fact_state){
        .o = v->o,
        .told = v->witness->o,
        .ref = {v->witness->r->stream, v->witness->r->seq},
        .object = object,
        .place = f->n_states,
        .lo = v->lo,
        .hi = v->hi,
        .known = v->known,
        .news = news,
        .came = v->came && news && first,
    };
    f->n_states++;
    return 0;
}

static int add_life(struct making *m, const struct life *l, size_t object) {
    int r = 0;
    count_deletions(&m->all[l->first], l->n);
    size_t n = find_versions(m, l);
    bool ordered = order_versions(m, l, n);
    if (!ordered)
        n = order_by_streams(m, l, n);
    for (size_t i = 0; i < n && r == 0; i++)
        r = add_state(m, &m->v[ordered ? i : m->order[i]], object, i == 0);
    return r;
}

/* The later one has it: it was so at the latest when its successor was, and a clock that is not known does
 * not turn the order around. */
static void set_times(struct fact_state *s, size_t n) {
    for (size_t i = 1; i < n; i++)
        if (!s[i].known && s[i].hi < s[i - 1].hi)
            s[i].hi = s[i - 1].hi;
    for (size_t i = n; i-- > 1;)
        if (s[i - 1].hi > s[i].hi)
            s[i - 1].hi = s[i].hi;
    for (size_t i = 0; i < n; i++)
        s[i].lo = s[i].lo < s[i].hi ? s[i].lo : s[i].hi;
}

static int by_birth(const void *a, const void *b) {
    const struct life *x = a;
    const struct life *y = b;
    if (x->created != y->created)
        return x->created < y->created ? -1 : 1;
    if (x->seen != y->seen)
        return x->seen < y->seen ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* When its object was made, and first told of. */
static struct life life_of(const struct making *m, size_t first, size_t n) {
    struct life l = {.first = first, .n = n, .seen = INT64_MAX};
    const struct telling *best = NULL;
    for (size_t i = first; i < first + n; i++) {
        const struct telling *t = &m->all[i];
        if (t->o->created_wall_ns > l.created)
            l.created = t->o->created_wall_ns;
        best = is_better(t, best) ? t : best;
    }
    l.seen = best->hi;
    return l;
}

static int add_object(struct making *m, size_t first, size_t n, size_t object) {
    size_t lives = 0;
    bool created = true;
    for (size_t i = first, j; i < first + n; i = j) {
        for (j = i + 1; j < first + n && strcmp(m->all[i].o->uid, m->all[j].o->uid) == 0; j++) {
        }
        m->lives[lives] = life_of(m, i, j - i);
        created &= m->lives[lives++].created != 0;
    }
    for (size_t i = 0; i < lives && !created; i++)
        m->lives[i].created = 0;
    qsort(m->lives, lives, sizeof *m->lives, by_birth);
    size_t begin = m->f->n_states;
    int r = 0;
    for (size_t i = 0; i < lives && r == 0; i++)
        r = add_life(m, &m->lives[i], object);
    if (r == 0)
        set_times(m->f->states + begin, m->f->n_states - begin);
    return r;
}

/* ---- all of them */

static int by_time(const void *a, const void *b) {
    const struct fact_state *x = a;
    const struct fact_state *y = b;
    if (x->hi != y->hi)
        return x->hi < y->hi ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static int make(struct making *m) {
    size_t n = m->n + 1;
    m->by_version = calloc(n, sizeof *m->by_version);
    m->v = calloc(n, sizeof *m->v);
    m->stack = calloc(n, sizeof *m->stack);
    m->order = calloc(n, sizeof *m->order);
    m->lives = calloc(n, sizeof *m->lives);
    if (!m->by_version || !m->v || !m->stack || !m->order || !m->lives)
        return -ENOMEM;
    if (m->n)
        qsort(m->all, m->n, sizeof *m->all, by_place);
    int r = 0;
    for (size_t i = 0, j; i < m->n && r == 0; i = j) {
        for (j = i + 1; j < m->n && compare_object(&m->all[i], &m->all[j]) == 0; j++) {
        }
        r = add_object(m, i, j - i, m->f->n_objects++);
    }
    return r;
}

int corr_states(struct facts *f, struct err *e) {
    struct making m = {.f = f};
    int r = collect(&m);
    if (r == 0)
        r = make(&m);
    if (r == 0 && f->n_states)
        qsort(f->states, f->n_states, sizeof *f->states, by_time);
    free(m.all);
    free(m.by_version);
    free(m.v);
    free(m.stack);
    free(m.order);
    free(m.lives);
    return r < 0 ? err_oom(e) : 0;
}
