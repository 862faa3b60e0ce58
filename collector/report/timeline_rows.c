/* timeline_rows: from a stage's facts to rows and marks; which rows are shown, in which order. See
 * timeline_priv.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "report/timeline_priv.h"

#define KIND(x) PILOTGATE__PHASE__KIND__KIND_##x
#define GROUP_FROM 13 /* so many pods of old revisions and more are joined */

const char *tl_row_name(enum tl_row_kind k) {
    static const char *const names[] = {"namespace", "release", "hook", "workload", "pod", "pods"};
    return names[k];
}

const char *tl_state_name(enum tl_state s) {
    static const char *const names[TL_STATES] = {
        [TL_NONE] = "none",           [TL_EXISTS] = "exists",
        [TL_UNDER_WAY] = "under-way", [TL_KNOWN] = "known",
        [TL_DEPLOYED] = "deployed",   [TL_AVAILABLE] = "available",
        [TL_CREATED] = "created",     [TL_UNSCHEDULABLE] = "unschedulable",
        [TL_SCHEDULED] = "scheduled", [TL_PULLING] = "pulling",
        [TL_INIT] = "init",           [TL_STARTED] = "started",
        [TL_READY] = "ready",         [TL_UNREADY] = "unready",
        [TL_FAILING] = "failing",     [TL_DELETING] = "deleting"};
    return names[s];
}

/* ---- things: the phases of one subject and uid, in order */

/* Whole seconds tie: what naturally comes first, is first. */
static int rank_of(int kind) {
    static const int order[] = {KIND(NAMESPACE_CREATED),
                                KIND(RELEASE_CREATED),
                                KIND(RELEASE_PENDING),
                                KIND(WORKLOAD_CREATED),
                                KIND(HOOK_STARTED),
                                KIND(POD_CREATED),
                                KIND(POD_UNSCHEDULABLE),
                                KIND(POD_SCHEDULED),
                                KIND(IMAGE_PULLING),
                                KIND(IMAGE_PULLED),
                                KIND(POD_INITIALIZED),
                                KIND(CONTAINER_STARTED),
                                KIND(CONTAINER_FAILED),
                                KIND(CONTAINERS_READY),
                                KIND(POD_READY),
                                KIND(POD_UNREADY),
                                KIND(WORKLOAD_UNAVAILABLE),
                                KIND(WORKLOAD_AVAILABLE),
                                KIND(HOOK_SUCCEEDED),
                                KIND(HOOK_FAILED),
                                KIND(RELEASE_DEPLOYED),
                                KIND(RELEASE_FAILED),
                                KIND(RELEASE_SUPERSEDED),
                                KIND(POD_DELETING),
                                KIND(RELEASE_UNINSTALLED),
                                KIND(POD_GONE)};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (order[i] == kind)
            return (int)i;
    return -1;
}

static int by_thing(const void *a, const void *b) {
    const struct fact_phase *x = *(const struct fact_phase *const *)a;
    const struct fact_phase *y = *(const struct fact_phase *const *)b;
    int c = strcmp(x->p->subject, y->p->subject);
    if (c == 0)
        c = strcmp(x->p->uid, y->p->uid);
    if (c == 0)
        c = x->lo < y->lo ? -1 : x->lo > y->lo;
    if (c == 0)
        c = rank_of(x->kind) - rank_of(y->kind);
    if (c == 0)
        c = x < y ? -1 : x > y;
    return c;
}

static bool same_thing(const struct fact_phase *a, const struct fact_phase *b) {
    return strcmp(a->p->subject, b->p->subject) == 0 && strcmp(a->p->uid, b->p->uid) == 0;
}

static bool begins(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

/* What row a thing gets; false: none (targets and probes are marks). */
static bool row_kind(const struct fact_phase *p, enum tl_row_kind *ret) {
    const char *s = p->p->subject;
    if (p->kind == KIND(HOOK_STARTED) || p->kind == KIND(HOOK_SUCCEEDED) || p->kind == KIND(HOOK_FAILED))
        *ret = TL_HOOK;
    else if (begins(s, "Namespace/"))
        *ret = TL_NAMESPACE;
    else if (begins(s, "Release/"))
        *ret = TL_RELEASE;
    else if (begins(s, "Pod/"))
        *ret = TL_POD;
    else if (p->kind == KIND(WORKLOAD_CREATED) || p->kind == KIND(WORKLOAD_AVAILABLE) ||
             p->kind == KIND(WORKLOAD_UNAVAILABLE))
        *ret = TL_WORKLOAD;
    else
        return false;
    return true;
}

static struct tl_row *add_row(struct timeline *t) {
    if (t->n_rows == t->cap_rows) {
        size_t cap = t->cap_rows ? 2 * t->cap_rows : 16;
        struct tl_row *rows = realloc(t->rows, cap * sizeof *rows);
        if (!rows)
            return NULL;
        t->rows = rows;
        t->cap_rows = cap;
    }
    struct tl_row *row = &t->rows[t->n_rows++];
    *row = (struct tl_row){.gone = INT64_MAX};
    return row;
}

/* The first owner that one of them names: Events of a pod name none. */
static const char *owner_of(const struct fact_phase *const *phases, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (*phases[i]->p->owner)
            return phases[i]->p->owner;
    return "";
}

static int add_thing(struct timeline *t, const struct fact_phase *const *phases, size_t n) {
    enum tl_row_kind kind;
    if (!row_kind(phases[0], &kind))
        return 0;
    struct tl_row *row = add_row(t);
    if (!row)
        return -ENOMEM;
    row->kind = kind;
    row->subject = phases[0]->p->subject;
    row->uid = phases[0]->p->uid;
    row->owner = owner_of(phases, n);
    return timeline_row_fill(row, phases, n);
}

static int add_things(struct timeline *t) {
    const struct facts *f = t->f;
    const struct fact_phase **sorted = calloc(f->n_phases + 1, sizeof *sorted);
    int r = sorted ? 0 : -ENOMEM;
    for (size_t i = 0; sorted && i < f->n_phases; i++)
        sorted[i] = &f->phases[i];
    if (sorted && f->n_phases)
        qsort(sorted, f->n_phases, sizeof *sorted, by_thing);
    for (size_t i = 0, j; i < f->n_phases && r == 0; i = j) {
        for (j = i + 1; j < f->n_phases && same_thing(sorted[i], sorted[j]); j++) {
        }
        r = add_thing(t, sorted + i, j - i);
    }
    free(sorted);
    return r;
}

/* Workloads and namespaces that were deleted: their objects say so. */
static void end_deleted(struct timeline *t) {
    for (size_t i = 0; i < t->f->n_signs; i++) {
        const Pilotgate__Object *o = t->f->signs[i].after;
        if (!o || o->op != PILOTGATE__OBJECT__OP__OP_DELETED || !*o->uid)
            continue;
        for (struct tl_row *row = t->rows; row < t->rows + t->n_rows; row++) {
            struct tl_span *last = row->n_spans ? &row->spans[row->n_spans - 1] : NULL;
            if ((row->kind != TL_WORKLOAD && row->kind != TL_NAMESPACE) || strcmp(row->uid, o->uid) != 0)
                continue;
            row->gone = t->f->signs[i].hi;
            if (last && last->to == INT64_MAX)
                last->to = row->gone;
        }
    }
}

static const struct tl_row *workload_row(const struct timeline *t, const char *subject) {
    for (size_t i = 0; i < t->n_rows; i++)
        if (t->rows[i].kind == TL_WORKLOAD && strcmp(t->rows[i].subject, subject) == 0)
            return &t->rows[i];
    return NULL;
}

/* The first moment after t at which the workload had no such pod: it was available, which it is only when it
 * has as many pods as it wants, each of them available; or it was gone. */
static int64_t without_since(const struct tl_row *workload, int64_t t) {
    for (size_t i = 0; i < workload->n_spans; i++)
        if (workload->spans[i].state == TL_AVAILABLE && workload->spans[i].from > t)
            return workload->spans[i].from;
    return workload->gone;
}

/* Nobody tells when a pod that no node took is taken away. */
static void end_unscheduled(struct timeline *t) {
    for (struct tl_row *row = t->rows; row < t->rows + t->n_rows; row++) {
        struct tl_span *last = row->n_spans ? &row->spans[row->n_spans - 1] : NULL;
        const struct tl_row *workload = last && last->state == TL_UNSCHEDULABLE && last->to == INT64_MAX
                                            ? workload_row(t, row->owner)
                                            : NULL;
        if (workload)
            last->to = without_since(workload, last->from);
    }
}

/* ---- marks */

static int add_mark(struct timeline *t, struct tl_mark m) {
    if (t->n_marks == t->cap_marks) {
        size_t cap = t->cap_marks ? 2 * t->cap_marks : 8;
        struct tl_mark *marks = realloc(t->marks, cap * sizeof *marks);
        if (!marks)
            return -ENOMEM;
        t->marks = marks;
        t->cap_marks = cap;
    }
    t->marks[t->n_marks++] = m;
    return 0;
}

bool tl_is_first(int kind) {
    return kind == KIND(FIRST_TOOL_LISTED) || kind == KIND(FIRST_CALL);
}

/* Each agent tells of its own first one: the stage's is the earliest of them all. */
static int mark_first(struct timeline *t, int kind, const char *what) {
    for (size_t i = 0; i < t->f->n_phases; i++) {
        const struct fact_phase *p = &t->f->phases[i];
        if (p->kind == kind)
            return add_mark(t, (struct tl_mark){p->lo, what, p->p->subject, p});
    }
    return 0;
}

static int mark_persons(struct timeline *t) {
    size_t i;
    json_t *m;
    json_array_foreach(t->f->ev->marks, i, m) {
        int64_t at = js_int(m, "t_ns", 0);
        if (at && strcmp(js_str(m, "stage", ""), t->f->stage) == 0 &&
            add_mark(t, (struct tl_mark){at, "mark", js_str(m, "what", ""), NULL}) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int by_moment(const void *a, const void *b) {
    const struct tl_mark *x = a;
    const struct tl_mark *y = b;
    return x->at != y->at ? (x->at < y->at ? -1 : 1) : strcmp(x->what, y->what);
}

int timeline_rows(struct timeline *t, struct err *e) {
    int r = add_things(t);
    if (r == 0)
        r = mark_first(t, KIND(FIRST_TOOL_LISTED), "first-tool-listed");
    if (r == 0)
        r = mark_first(t, KIND(FIRST_CALL), "first-call");
    if (r == 0)
        r = mark_persons(t);
    if (r < 0)
        return err_oom(e);
    end_deleted(t);
    end_unscheduled(t);
    t->adopted = t->f->n_revisions && !t->f->revisions[0].live;
    if (t->n_marks)
        qsort(t->marks, t->n_marks, sizeof *t->marks, by_moment);
    return 0;
}

static void row_free(struct tl_row *row) {
    free(row->spans);
    free(row->failures);
}

void timeline_free(struct timeline *t) {
    for (size_t i = 0; i < t->n_rows; i++)
        row_free(&t->rows[i]);
    free(t->rows);
    free(t->marks);
    *t = (struct timeline){0};
}

/* ---- which rows, in which order */

/* Without an end, a row goes on: its thing may still be there. */
static int64_t end_of(const struct tl_row *row) {
    return row->n_spans ? row->spans[row->n_spans - 1].to : row->gone;
}

static bool meets(const struct timeline *t, const struct tl_row *row) {
    return row->n_spans && row->spans[0].from <= t->to && end_of(row) >= t->from;
}

static void keep_rows(struct timeline *t) {
    size_t kept = 0;
    for (size_t i = 0; i < t->n_rows; i++) {
        if (meets(t, &t->rows[i]))
            t->rows[kept++] = t->rows[i];
        else
            row_free(&t->rows[i]);
    }
    t->n_rows = kept;
}

/* A pod belongs below its workload, whose subject is its owner. */
static const char *workload_of(const struct tl_row *row) {
    return row->kind == TL_POD || row->kind == TL_POD_GROUP ? row->owner : row->subject;
}

static int section(const struct tl_row *row) {
    static const int sections[] = {[TL_NAMESPACE] = 0, [TL_RELEASE] = 1, [TL_HOOK] = 2,
                                   [TL_WORKLOAD] = 3,  [TL_POD] = 3,     [TL_POD_GROUP] = 3};
    return sections[row->kind];
}

static int by_place(const void *a, const void *b) {
    const struct tl_row *x = a;
    const struct tl_row *y = b;
    int c = section(x) - section(y);
    if (c == 0 && section(x) == 3)
        c = strcmp(workload_of(x), workload_of(y));
    if (c == 0 && section(x) == 3) /* workload, those that are joined, the others */
        c = (x->kind == TL_WORKLOAD    ? 0
             : x->kind == TL_POD_GROUP ? 1
                                       : 2) -
            (y->kind == TL_WORKLOAD    ? 0
             : y->kind == TL_POD_GROUP ? 1
                                       : 2);
    if (c == 0)
        c = x->born < y->born ? -1 : x->born > y->born;
    return c ? c : strcmp(x->subject, y->subject);
}

/* When the newest revision that the window holds was made; INT64_MIN: there is none. */
static int64_t newest_revision(const struct timeline *t) {
    int64_t at = INT64_MIN;
    for (size_t i = 0; i < t->f->n_revisions; i++)
        if (t->f->revisions[i].created_lo <= t->to && t->f->revisions[i].created_lo > at)
            at = t->f->revisions[i].created_lo;
    return at;
}

static bool is_old(const struct tl_row *row, int64_t newest) {
    return row->kind == TL_POD && end_of(row) < newest;
}

/* What a group shows at a moment is its last pod's state then: spans one after the other. */
static int join_into(struct tl_row *group, struct tl_row *pod) {
    size_t n = group->n_spans + pod->n_spans;
    struct tl_span *spans = realloc(group->spans, n * sizeof *spans);
    if (!spans)
        return -ENOMEM;
    memcpy(spans + group->n_spans, pod->spans, pod->n_spans * sizeof *spans);
    group->spans = spans;
    group->n_spans = group->cap_spans = n;
    group->gone = pod->gone > group->gone ? pod->gone : group->gone;
    group->group++;
    if (pod->n_failures) {
        const struct fact_phase **list =
            realloc(group->failures, (group->n_failures + pod->n_failures) * sizeof *list);
        if (!list)
            return -ENOMEM;
        memcpy(list + group->n_failures, pod->failures, pod->n_failures * sizeof *list);
        group->failures = list;
        group->n_failures = group->cap_failures = group->n_failures + pod->n_failures;
    }
    return 0;
}

/* Rows are in order: those of one workload stand together, by birth. */
static int join_old(struct timeline *t, int64_t newest) {
    size_t kept = 0;
    struct tl_row *group = NULL;
    int r = 0;
    for (size_t i = 0; i < t->n_rows; i++) {
        struct tl_row row = t->rows[i];
        bool old = is_old(&row, newest);
        if (old && r == 0 && group && strcmp(group->owner, row.owner) == 0) {
            r = join_into(group, &row);
            row_free(&row);
            continue;
        }
        t->rows[kept] = row;
        if (old) {
            group = &t->rows[kept];
            group->kind = TL_POD_GROUP;
            group->group = 1;
        }
        kept++;
    }
    t->n_rows = kept;
    return r;
}

int timeline_arrange(struct timeline *t, bool all, struct err *e) {
    int64_t newest = newest_revision(t);
    size_t old = 0;
    keep_rows(t);
    if (t->n_rows)
        qsort(t->rows, t->n_rows, sizeof *t->rows, by_place);
    for (size_t i = 0; i < t->n_rows; i++)
        old += is_old(&t->rows[i], newest);
    if (all || old < GROUP_FROM)
        return 0;
    if (join_old(t, newest) < 0)
        return err_oom(e);
    qsort(t->rows, t->n_rows, sizeof *t->rows, by_place);
    return 0;
}
