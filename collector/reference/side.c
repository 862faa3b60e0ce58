/* side: the objects of one side of a comparison, sorted, and what they say of their release. See reference.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "reference/reference_priv.h"

/* Room for one more element; false: out of memory. */
static bool grow(void **items, size_t n, size_t *cap, size_t size) {
    if (n < *cap)
        return true;
    size_t more = *cap ? 2 * *cap : 64;
    void *p = realloc(*items, more * size);
    if (!p)
        return false;
    *items = p;
    *cap = more;
    return true;
}

int ref_side_add(struct ref_side *s, const struct ref_object *o) {
    void *items = s->objects;
    if (!grow(&items, s->n, &s->cap, sizeof *s->objects))
        return -ENOMEM;
    s->objects = items;
    s->objects[s->n++] = *o;
    return 0;
}

int ref_side_add_pod(struct ref_side *s, const char *workload, const char *node) {
    void *pods = s->pods;
    if (!grow(&pods, s->n_pods, &s->cap_pods, sizeof *s->pods))
        return -ENOMEM;
    s->pods = pods;
    s->pods[s->n_pods++] = (struct ref_pod){workload, node};
    return 0;
}

void ref_side_free(struct ref_side *s) {
    free(s->objects);
    free(s->pods);
    *s = (struct ref_side){0};
}

static int order(const void *a, const void *b) {
    const struct ref_object *x = a;
    const struct ref_object *y = b;
    int r = strcmp(x->kind, y->kind);
    return r ? r : strcmp(x->name, y->name);
}

const struct ref_object *ref_side_find(const struct ref_side *s, const char *kind, const char *name) {
    struct ref_object key = {.kind = kind, .name = name};
    return s->n ? bsearch(&key, s->objects, s->n, sizeof key, order) : NULL;
}

/* ---- traits */

static void take_traits(struct ref_object *o) {
    if (js_at(o->normal, "/metadata/annotations/helm.sh~1hook"))
        o->traits |= REF_HOOK;
    if (strcmp(js_str(o->normal, "/metadata/annotations/helm.sh~1resource-policy", ""), "keep") == 0)
        o->traits |= REF_KEPT;
}

/* What a HorizontalPodAutoscaler targets (autoscaling/v2, spec.scaleTargetRef). */
static void take_autoscaler(struct ref_side *s, const struct ref_object *scaler) {
    const struct ref_object *o = ref_side_find(s, js_str(scaler->normal, "spec.scaleTargetRef.kind", ""),
                                               js_str(scaler->normal, "spec.scaleTargetRef.name", ""));
    if (o)
        s->objects[o - s->objects].traits |= REF_AUTOSCALED;
}

/* ---- release, namespace and chart */

static int order_texts(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The text at the first of these places that an object has one at; "" for none. */
static const char *text_at(const struct ref_object *o, const char *const *places) {
    const char *text = "";
    for (; *places && !*text; places++)
        text = js_str(o->normal, *places, "");
    return text;
}

/* The text that most objects have there, ties by the alphabet; "" for none. */
static int most_common(const struct ref_side *s, const char *const *places, char out[REF_NAME_MAX]) {
    const char **texts = calloc(s->n + 1, sizeof *texts);
    size_t n = 0;
    size_t best = 0;
    if (!texts)
        return -ENOMEM;
    *out = 0;
    for (size_t i = 0; i < s->n; i++) {
        const char *text = text_at(&s->objects[i], places);
        if (*text && strlen(text) < REF_NAME_MAX)
            texts[n++] = text;
    }
    qsort(texts, n, sizeof *texts, order_texts);
    for (size_t i = 0, from = 0; i < n; i++) {
        from = strcmp(texts[i], texts[from]) == 0 ? from : i;
        if (i + 1 - from > best) {
            best = i + 1 - from;
            strcpy(out, texts[i]);
        }
    }
    free(texts);
    return 0;
}

/* "shop" of the label helm.sh/chart: "shop-1.2.3" (Helm best practices, "Labels and Annotations"). */
static void strip_version(char *chart) {
    for (char *p = strchr(chart, '-'); p; p = strchr(p + 1, '-'))
        if (p[1] >= '0' && p[1] <= '9') {
            *p = 0;
            return;
        }
}

/* Takes what most objects say where nobody told it. */
static int find_name(const struct ref_side *s, const char *const *places, char found[REF_NAME_MAX],
                     const char **name) {
    if (*name && **name)
        return 0;
    int r = most_common(s, places, found);
    *name = found;
    return r;
}

static int find_names(struct ref_side *s) {
    static const char *const release[] = {"/metadata/annotations/meta.helm.sh~1release-name",
                                          "/metadata/labels/app.kubernetes.io~1instance",
                                          "/metadata/labels/release", NULL};
    static const char *const ns[] = {"/metadata/annotations/meta.helm.sh~1release-namespace",
                                     "/metadata/namespace", NULL};
    static const char *const chart[] = {"/metadata/labels/helm.sh~1chart", "/metadata/labels/chart", NULL};
    bool chart_told = s->chart && *s->chart;
    int r = find_name(s, release, s->found[0], &s->release);
    if (r == 0)
        r = find_name(s, ns, s->found[1], &s->namespace_name);
    if (r == 0 && !s->live && s->namespace_name == s->found[1] && !*s->found[1])
        r = ref_infer_namespace(s, s->found[1]);
    if (r == 0)
        r = find_name(s, chart, s->found[2], &s->chart);
    if (!chart_told)
        strip_version(s->found[2]);
    return r;
}

int ref_side_finish(struct ref_side *s) {
    if (s->n)
        qsort(s->objects, s->n, sizeof *s->objects, order);
    for (size_t i = 0; i < s->n; i++)
        take_traits(&s->objects[i]);
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->objects[i].kind, "HorizontalPodAutoscaler") == 0)
            take_autoscaler(s, &s->objects[i]);
    return find_names(s);
}
