/* architecture_picture: a stage at a moment, as reference/ compares it: the objects that there were, in
 * today's normal form, and the nodes that their pods were seen on. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "gates/architecture_priv.h"

bool gate_is_compared(const char *kind) {
    static const char *const others[] = {"HelmRelease", "GitOps", "ToolCatalogue", "ProductConfiguration"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(kind, others[i]) == 0)
            return false;
    return true;
}

/* ---- texts */

int gate_texts_make(const struct facts *f, struct gate_texts *ret, struct err *e) {
    size_t n = f->n_states + 1;
    struct gate_texts x = {.f = f,
                           .normal = calloc(n, sizeof *x.normal),
                           .wrong = calloc(n, sizeof *x.wrong),
                           .before = calloc(n, sizeof *x.before)};
    size_t *last = calloc(f->n_objects + 1, sizeof *last);
    int r = x.normal && x.wrong && x.before && last ? gate_tellings_make(f, &x.tellings, e) : err_oom(e);
    for (size_t i = 0; r == 0 && i < f->n_objects; i++)
        last[i] = SIZE_MAX;
    for (size_t i = 0; r == 0 && i < f->n_states; i++) {
        x.before[i] = last[f->states[i].object];
        last[f->states[i].object] = i;
    }
    free(last);
    if (r < 0)
        gate_texts_free(&x);
    else
        *ret = x;
    return r;
}

static json_t *parse(const Pilotgate__Object *o, const char **ret_why) {
    json_t *doc = NULL;
    *ret_why = NULL;
    if (o->truncated)
        *ret_why = "it is longer than agents tell";
    else if (!*o->normal)
        *ret_why = "its agent told a digest alone";
    else if (js_parse(o->normal, strlen(o->normal), WIRE_NORMAL_MAX, &doc, NULL) < 0 || !json_is_object(doc))
        *ret_why = "what its agent told of it cannot be read";
    if (*ret_why) {
        json_decref(doc);
        return NULL;
    }
    if (o->norm < NORM_VERSION)
        norm_again(doc);
    return doc;
}

const json_t *gate_texts_normal(struct gate_texts *x, size_t state, const char **ret_why) {
    if (!x->normal[state] && !x->wrong[state])
        x->normal[state] = parse(x->f->states[state].o, &x->wrong[state]);
    *ret_why = x->wrong[state];
    return x->normal[state];
}

void gate_texts_free(struct gate_texts *x) {
    for (size_t i = 0; x->f && x->normal && i < x->f->n_states; i++)
        json_decref(x->normal[i]);
    free(x->normal);
    free(x->wrong);
    free(x->before);
    gate_tellings_free(&x->tellings);
    *x = (struct gate_texts){0};
}

/* ---- objects */

struct taking {
    struct gate_picture *p;
    int64_t t;
};

static bool is_workload(const char *kind) {
    static const char *const kinds[] = {"Deployment", "StatefulSet", "DaemonSet", "CronJob"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kind, kinds[i]) == 0)
            return true;
    return false;
}

/* An agent could not read this one object, whichever state it was in before; NULL: they could. */
static const struct fact_unreadable *unreadable(const struct facts *f, const Pilotgate__Object *o,
                                                int64_t t) {
    for (size_t i = 0; i < f->n_unreadable; i++)
        if (f->unreadable[i].at <= t && strcmp(f->unreadable[i].kind, o->kind) == 0 &&
            strcmp(f->unreadable[i].name, o->name) == 0)
            return &f->unreadable[i];
    return NULL;
}

/* It is not known whether it is there. */
static int doubt(struct gate_picture *p, const Pilotgate__Object *o) {
    static const char why[] = "may be gone: an agent that listed the stage anew did not tell of it; apply it "
                              "again if it should be there, "
                              "else create and delete it once, so that its end is told";
    json_t *text = json_sprintf("%s %s", o->name, why);
    return json_object_set_new(p->doubts, o->kind, text ? text : json_string(why)) < 0 ? -ENOMEM : 0;
}

static int take_state(void *ctx, const struct fact_state *s) {
    struct taking *k = ctx;
    struct gate_picture *p = k->p;
    const struct facts *f = p->texts->f;
    const Pilotgate__Object *o = s->o;
    if (o->own || !gate_is_compared(o->kind) || !gate_reading_was_read(p->reading, o->kind))
        return 0; /* what was there once may be otherwise by now, where nobody reads its kind any more */
    size_t state = (size_t)(s - f->states);
    const struct fact_unreadable *u = unreadable(f, o, k->t);
    struct ref_object x = {.kind = o->kind, .name = o->name, .release = o->release, .tag = state};
    x.normal = gate_texts_normal(p->texts, state, &x.unknown);
    int64_t from;
    enum gate_here here = gate_tellings_look(&p->texts->tellings, p->reading, s, k->t, &from);
    if (here == GATE_GONE)
        return 0;
    if (here == GATE_DOUBTED)
        return doubt(p, o);
    if (u) {
        x.normal = NULL;
        x.unknown = u->reason;
    }
    p->workloads += is_workload(o->kind);
    return ref_side_add(&p->side, &x) < 0 ? -ENOMEM : 0;
}

static bool has(const struct ref_side *s, size_t n, const char *kind, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(s->objects[i].kind, kind) == 0 && strcmp(s->objects[i].name, name) == 0)
            return true;
    return false;
}

/* Those that nobody could ever read are there, too. */
static int take_unreadable(struct gate_picture *p, int64_t t) {
    const struct facts *f = p->texts->f;
    size_t known = p->side.n;
    for (size_t i = 0; i < f->n_unreadable; i++) {
        const struct fact_unreadable *u = &f->unreadable[i];
        struct ref_object x = {
            .kind = u->kind, .name = u->name, .unknown = u->reason, .release = "", .tag = SIZE_MAX};
        if (strcmp(u->name, "*") == 0 || u->at > t || !gate_is_compared(u->kind) ||
            has(&p->side, known, u->kind, u->name))
            continue;
        if (ref_side_add(&p->side, &x) < 0)
            return -ENOMEM;
    }
    return 0;
}

static const char *unread(void *ctx, const char *kind) {
    struct gate_picture *p = ctx;
    json_t *why = json_object_get(p->doubts, kind);
    if (!why)
        return gate_reading_unread(p->reading, kind);
    (void)json_object_set(p->reading->asked, kind, why);
    return json_string_value(why);
}

int gate_picture_make(struct gate_texts *x, struct gate_reading *r, int64_t t, struct gate_picture *ret,
                      struct err *e) {
    const struct facts *f = x->f;
    const char *slash = strchr(f->stage, '/');
    *ret = (struct gate_picture){.texts = x, .reading = r, .doubts = json_object()};
    ret->side = (struct ref_side){.label = f->stage,
                                  .release = f->release,
                                  .namespace_name = slash ? slash + 1 : f->stage,
                                  .key_id = r->key_id,
                                  .live = true,
                                  .unread = unread,
                                  .unread_ctx = ret};
    int rc = ret->doubts ? facts_states_at(f, t, take_state, &(struct taking){ret, t}, e) : -ENOMEM;
    if (rc == 0)
        rc = take_unreadable(ret, t);
    if (rc == 0)
        rc = gate_picture_pods(ret, t);
    if (rc == 0)
        rc = ref_side_finish(&ret->side);
    if (rc < 0) {
        gate_picture_free(ret);
        return err_oom(e);
    }
    return 0;
}

void gate_picture_free(struct gate_picture *p) {
    ref_side_free(&p->side);
    json_decref(p->doubts);
    p->doubts = NULL;
}

/* ---- pods */

struct seen_pod {
    const Pilotgate__Phase *p; /* the newest word of it that names its owner */
    size_t stream;             /* whose that was */
    bool here, gone;
};

static bool is_pod(const Pilotgate__Phase *p) {
    return !p->own && strncmp(p->subject, "Pod/", 4) == 0 && *p->uid;
}

static bool shows_node(int kind) { /* what only the agent of its node tells */
    return kind == PILOTGATE__PHASE__KIND__KIND_POD_SCHEDULED ||
           kind == PILOTGATE__PHASE__KIND__KIND_POD_READY ||
           kind == PILOTGATE__PHASE__KIND__KIND_POD_UNREADY ||
           kind == PILOTGATE__PHASE__KIND__KIND_CONTAINERS_READY;
}

static void take_word(struct seen_pod *x, const Pilotgate__Phase *p, size_t stream) {
    x->gone |= p->kind == PILOTGATE__PHASE__KIND__KIND_POD_GONE ||
               p->kind == PILOTGATE__PHASE__KIND__KIND_POD_DELETING;
    if (!shows_node(p->kind))
        return;
    x->here = true;
    x->stream = stream;
    if (*p->owner || !x->p)
        x->p = p;
}

struct pods {
    struct seen_pod *items; /* owned */
    size_t n, cap;
    json_t *index; /* owned: uid -> number */
};

static struct seen_pod *pod_of(struct pods *l, const char *uid) {
    const json_t *at = json_object_get(l->index, uid);
    if (at)
        return &l->items[json_integer_value(at)];
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct seen_pod *p = realloc(l->items, cap * sizeof *p);
        if (!p)
            return NULL;
        l->items = p;
        l->cap = cap;
    }
    if (json_object_set_new(l->index, uid, json_integer((json_int_t)l->n)) < 0)
        return NULL;
    l->items[l->n] = (struct seen_pod){0};
    return &l->items[l->n++];
}

static int find_pods(const struct facts *f, int64_t t, struct pods *l) {
    int64_t from = f->n_lives ? f->lives[facts_life_at(f, t)].from : INT64_MIN;
    for (size_t i = 0; i < f->ev->records.n; i++) {
        const struct ev_record *r = &f->ev->records.items[i];
        int64_t error;
        if (r->r->body_case != PILOTGATE__RECORD__BODY_PHASE || !facts_has_stream(f, r->stream) ||
            !is_pod(r->r->phase))
            continue;
        int64_t at = facts_clock(f->ev, r->stream, r->r->wall_ns, &error);
        if (at > t || at < from)
            continue;
        struct seen_pod *x = pod_of(l, r->r->phase->uid);
        if (!x)
            return -ENOMEM;
        take_word(x, r->r->phase, r->stream);
    }
    return 0;
}

/* A pod is where the agent of its node says; an agent that began anew tells of each that there is. All of
 * them are known only when each node that should have an agent has one. */
int gate_picture_pods(struct gate_picture *p, int64_t t) {
    const struct facts *f = p->texts->f;
    struct pods l = {.index = json_object()};
    int r = l.index ? find_pods(f, t, &l) : -ENOMEM;
    for (size_t i = 0; i < l.n && r == 0; i++) {
        const struct seen_pod *x = &l.items[i];
        if (x->here && !x->gone && x->p && *x->p->owner && gate_reading_has(p->reading, x->stream))
            r = ref_side_add_pod(&p->side, x->p->owner, f->ev->streams[x->stream].node);
    }
    p->side.pods_known = p->reading->nodes > 0 && p->reading->nodes >= p->reading->expected;
    free(l.items);
    json_decref(l.index);
    return r < 0 ? -ENOMEM : 0;
}
