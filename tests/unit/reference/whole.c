/* whole: objects that are missing, there besides or called otherwise, and harmless changes of a whole stage.
 * See mutate.h. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "mutate.h"
#include "reference/checks.h"

#define SUFFIX "-bcdfgh2456" /* of 10 characters of kustomize's alphabet */
#define TEXT_MAX 512

/* ---- a stage against the manifests, row by row */

struct told {
    const char *object; /* whose differences are the right ones */
    size_t n, right;
    char first[TEXT_MAX]; /* the first one that is not */
};

static int take_row(void *ctx, struct ref_set_row *row) {
    struct told *t = ctx;
    for (size_t i = 0; i < row->outcome.differences.n; i++) {
        const struct ref_difference *d = &row->outcome.differences.items[i];
        bool right = t->object && strcmp(d->object, t->object) == 0;
        t->right += right;
        if (!right && !*t->first)
            (void)snprintf(t->first, sizeof t->first, "%s %s%s: expected %.80s, found %.80s",
                           ref_what_name(d->what), d->object, d->pointer,
                           d->expected ? d->expected : "nothing", d->found ? d->found : "nothing");
    }
    t->n += row->outcome.differences.n;
    ref_outcome_free(&row->outcome);
    return 0;
}

/* Kinds of which the agents told nothing when it was recorded. */
static const char *unread(void *ctx, const char *kind) {
    const struct ref_side *recorded = ctx;
    for (size_t i = 0; i < recorded->n; i++)
        if (strcmp(recorded->objects[i].kind, kind) == 0)
            return NULL;
    return "not recorded";
}

static struct told compare(const struct run *r, const json_t *live, const char *object) {
    struct told t = {.object = object};
    struct ref_side b;
    struct reference ref = {
        .doc = json_pack("{s:[{s:s}]}", "manifests", "id", "rendered"),
        .sets = (struct ref_side *)&r->f->a,
        .n_sets = 1,
    };
    fixture_side(live, &b);
    b.unread = unread;
    b.unread_ctx = (void *)&r->f->b;
    struct ref_scope scope = {.r = &ref, .live = &b};
    if (!ref.doc || ref_manifests(&scope, 0, take_row, &t) < 0)
        abort();
    json_decref(ref.doc);
    ref_side_free(&b);
    return t;
}

/* live is taken over. object NULL: nothing may be told. */
static void try_stage(struct run *r, const char *operation, const char *object, json_t *live) {
    struct told t = compare(r, live, object);
    char what[2 * TEXT_MAX];
    (void)snprintf(what, sizeof what, "%s%s%s", operation, *t.first ? ": " : "", t.first);
    mutate_count(r, what, object ? object : "the stage", object != NULL, t.n, t.right);
    json_decref(live);
}

/* ---- objects */

static json_t *without(const json_t *live, size_t place) {
    json_t *copy = json_deep_copy(live);
    (void)json_array_remove(json_object_get(copy, "objects"), place);
    return copy;
}

static void rename_object(json_t *object, const char *name) {
    (void)json_object_set_new(object, "name", json_string(name));
    (void)json_object_set_new(js_at(object, "normal.metadata"), "name", json_string(name));
}

static void try_object(struct run *r, const struct ref_object *b) {
    char name[TEXT_MAX];
    char object[2 * TEXT_MAX];
    (void)snprintf(object, sizeof object, "%s/%s", b->kind, b->name);
    try_stage(r, "missing", object, without(r->f->live, b->tag));
    (void)snprintf(name, sizeof name, "%s-renamed", b->name);
    (void)snprintf(object, sizeof object, "%s/%s", b->kind, name);
    json_t *live = json_deep_copy(r->f->live);
    json_t *one = json_deep_copy(json_array_get(json_object_get(live, "objects"), b->tag));
    rename_object(one, name);
    (void)json_array_append_new(json_object_get(live, "objects"), one);
    try_stage(r, "there besides", object, live);
}

/* ---- harmless ones */

static bool is_word(char c) {
    return isalnum((unsigned char)c);
}

/* Every whole word `from` of the text as `to`; malloc'ed. */
static char *replaced(const char *text, const char *from, const char *to) {
    size_t n = strlen(from);
    char *out;
    size_t len;
    FILE *f = open_memstream(&out, &len);
    for (const char *p = text; *p;) {
        bool here = strncmp(p, from, n) == 0 && !is_word(p[n]) && (p == text || !is_word(p[-1]));
        (void)(here ? fputs(to, f) : fputc(*p, f));
        p += here ? n : 1;
    }
    (void)fclose(f);
    return out;
}

/* Installed as another release in another namespace. */
static json_t *elsewhere(const struct run *r) {
    const char *release = js_str(r->f->live, "release", "");
    const char *chart = js_str(r->f->live, "chart", "");
    char other[TEXT_MAX];
    (void)snprintf(other, sizeof other, "blue%s%s", strstr(release, chart) ? "-" : "",
                   strstr(release, chart) ? chart : "");
    char *text = json_dumps(r->f->live, JSON_COMPACT);
    char *moved = replaced(text, js_str(r->f->live, "namespace", ""), "green");
    free(text);
    text = replaced(moved, release, other);
    free(moved);
    json_t *live = json_loads(text, 0, NULL);
    free(text);
    (void)json_object_set_new(live, "chart", json_string(chart));
    return live;
}

static void add_marks(json_t *live) {
    size_t i;
    json_t *o;
    json_array_foreach(json_object_get(live, "objects"), i, o) {
        json_t *metadata = js_at(o, "normal.metadata");
        json_t *more = json_pack("{s:{s:s, s:s}, s:{s:s, s:s}}", "labels", "helm.toolkit.fluxcd.io/name", "x",
                                 "helm.toolkit.fluxcd.io/namespace", "y", "annotations",
                                 "argocd.argoproj.io/tracking-id", "z", "kubernetes.io/change-cause", "me");
        (void)json_object_update_recursive(metadata, more);
        json_decref(more);
    }
}

/* {"matchLabels": {"a": "b"}} as {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}. */
static void write_expressions(json_t *v) {
    const char *key;
    json_t *child;
    json_t *labels = json_object_get(v, "matchLabels");
    if (json_is_object(labels)) {
        json_t *list = json_object_get(v, "matchExpressions");
        list = list ? json_incref(list) : json_array();
        json_object_foreach(labels, key, child)(void) json_array_append_new(
            list, json_pack("{s:s, s:s, s:[O]}", "key", key, "operator", "In", "values", child));
        (void)json_object_set_new(v, "matchExpressions", list);
        (void)json_object_del(v, "matchLabels");
    }
    json_object_foreach(v, key, child) write_expressions(child);
    for (size_t i = 0; i < json_array_size(v); i++)
        write_expressions(json_array_get(v, i));
}

/* What refers to a ConfigMap or Secret of this name. */
static void refer(json_t *v, const char *kind, const char *from, const char *to) {
    static const char *const of_map[] = {"configMapRef", "configMapKeyRef", "configMap", NULL};
    static const char *const of_secret[] = {"secretRef", "secretKeyRef", "secret", NULL};
    const char *const *holders = strcmp(kind, "Secret") == 0 ? of_secret : of_map;
    const char *key;
    json_t *child;
    for (; *holders; holders++) {
        json_t *holder = json_object_get(v, *holders);
        const char *field = json_object_get(holder, "secretName") ? "secretName" : "name";
        if (strcmp(js_str(holder, field, ""), from) == 0)
            (void)json_object_set_new(holder, field, json_string(to));
    }
    json_object_foreach(v, key, child) refer(child, kind, from, to);
    for (size_t i = 0; i < json_array_size(v); i++)
        refer(json_array_get(v, i), kind, from, to);
}

static void try_generated(struct run *r, const struct ref_object *b) {
    char name[TEXT_MAX];
    json_t *live = json_deep_copy(r->f->live);
    (void)snprintf(name, sizeof name, "%s" SUFFIX, b->name);
    rename_object(json_array_get(json_object_get(live, "objects"), b->tag), name);
    refer(live, b->kind, b->name, name);
    try_stage(r, "with a generated suffix", NULL, live);
}

/* The stage and another one, which is the same but for its names. `live` is taken over. */
static void try_between(struct run *r, const char *operation, json_t *live) {
    struct ref_side b;
    json_t *found = NULL;
    struct err e;
    fixture_side(live, &b);
    if (ref_between(NULL, &r->f->b, &b, 0, &found, &e) < 0)
        abort();
    const json_t *list = json_object_get(found, "differences");
    const json_t *first = json_array_get(list, 0);
    char what[2 * TEXT_MAX];
    (void)snprintf(what, sizeof what, "%s %s%s", operation, js_str(first, "object", ""),
                   js_str(first, "pointer", ""));
    bool passed = strcmp(js_str(found, "verdict", ""), "PASS") == 0;
    mutate_count(r, what, "two stages", false, json_array_size(list) + !passed, 0);
    json_decref(found);
    ref_side_free(&b);
    json_decref(live);
}

static void try_harmless(struct run *r) {
    json_t *live = json_deep_copy(r->f->live);
    size_t i;
    json_t *o;
    try_stage(r, "as it lives", NULL, json_incref(live));
    json_array_foreach(json_object_get(live, "objects"), i, o) {
        if (strcmp(js_str(o, "kind", ""), "Service") != 0)
            write_expressions(json_object_get(o, "normal"));
    }
    try_stage(r, "selectors as expressions", NULL, live);
    live = json_deep_copy(r->f->live);
    add_marks(live);
    try_stage(r, "marks of tools", NULL, live);
    /* Where the release is called as its chart is, a text does not say which of the two it has. */
    if (strcmp(js_str(r->f->live, "release", ""), js_str(r->f->live, "chart", "")) != 0) {
        try_stage(r, "another release and namespace", NULL, elsewhere(r));
        try_between(r, "another release and namespace", elsewhere(r));
    }
    live = json_deep_copy(r->f->live);
    add_marks(live);
    try_between(r, "marks of tools", live);
}

/* What `reference init` makes of the manifests asks for nothing that what lives does not meet. */
static void try_made(struct run *r) {
    const char *text = r->f->manifests;
    struct ref_init how = {.namespace_name = js_str(r->f->live, "rendered.namespace", NULL)};
    json_t *made = NULL;
    json_t *left_out = NULL;
    json_t *found = NULL;
    struct reference ref;
    struct err e;
    size_t i;
    const json_t *row;
    if (ref_make("rendered.yaml", text, strlen(text), &how, &made, &left_out, &e) < 0) {
        mutate_count(r, e.text, "reference init", false, 1, 0);
        return;
    }
    char *doc = json_dumps(made, 0);
    struct ref_side live;
    fixture_side(r->f->live, &live);
    live.unread = unread;
    live.unread_ctx = (void *)&r->f->b;
    if (ref_load_text("made.yaml", NULL, doc, strlen(doc), NULL, &ref, &e) < 0 ||
        ref_evaluate(&ref, &live, "lab/stage", 0, &found, &e) < 0)
        mutate_count(r, e.text, "reference init", false, 1, 0);
    json_array_foreach(json_object_get(found, "rows"), i, row) {
        bool certificate = strcmp(js_str(row, "id", ""), "tls") == 0; /* the lab issues none */
        if (!certificate && strcmp(js_str(row, "verdict", ""), "FAIL") == 0)
            mutate_count(r, js_str(row, "reason", ""), js_str(row, "id", ""), false, 1, 0);
    }
    mutate_count(r, "a made reference", "the stage", false, 0, 0);
    ref_free(&ref);
    ref_side_free(&live);
    free(doc);
    json_decref(found);
    json_decref(made);
    json_decref(left_out);
}

void mutate_side(struct run *r) {
    try_harmless(r);
    try_made(r);
    for (size_t i = 0; i < r->f->matches.n; i++) {
        const struct ref_match *m = &r->f->matches.items[i];
        if (!m->a || !m->b)
            continue;
        try_object(r, m->b);
        if (strcmp(m->b->kind, "ConfigMap") == 0 || strcmp(m->b->kind, "Secret") == 0)
            try_generated(r, m->b);
    }
}
