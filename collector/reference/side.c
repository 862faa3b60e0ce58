/* side: the objects of one side of a comparison, sorted, and what they say of their release. See reference.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "reference/reference.h"

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

/* The text at this place that most objects have, ties by the first; "" for none. */
static void most_common(const struct ref_side *s, const char *const *places, char out[REF_NAME_MAX]) {
    size_t best = 0;
    *out = 0;
    for (size_t i = 0; i < s->n; i++) {
        const char *text = "";
        for (const char *const *p = places; *p && !*text; p++)
            text = js_str(s->objects[i].normal, *p, "");
        size_t n = 0;
        for (size_t j = i; *text && j < s->n; j++)
            for (const char *const *p = places; *p; p++)
                if (strcmp(js_str(s->objects[j].normal, *p, ""), text) == 0) {
                    n++;
                    break;
                }
        if (n > best && strlen(text) < REF_NAME_MAX) {
            best = n;
            strcpy(out, text);
        }
        if (best > (s->n - i) / 2)
            break;
    }
}

/* "shop" of the label helm.sh/chart: "shop-1.2.3" (Helm best practices, "Labels and Annotations"). */
static void strip_version(char *chart) {
    for (char *p = strchr(chart, '-'); p; p = strchr(p + 1, '-'))
        if (p[1] >= '0' && p[1] <= '9') {
            *p = 0;
            return;
        }
}

static void find_names(struct ref_side *s) {
    static const char *const release[] = {"/metadata/annotations/meta.helm.sh~1release-name",
                                          "/metadata/labels/app.kubernetes.io~1instance",
                                          "/metadata/labels/release", NULL};
    static const char *const ns[] = {"/metadata/annotations/meta.helm.sh~1release-namespace",
                                     "/metadata/namespace", NULL};
    static const char *const chart[] = {"/metadata/labels/helm.sh~1chart", "/metadata/labels/chart", NULL};
    if (!s->release || !*s->release) {
        most_common(s, release, s->found[0]);
        s->release = s->found[0];
    }
    if (!s->namespace_name || !*s->namespace_name) {
        most_common(s, ns, s->found[1]);
        s->namespace_name = s->found[1];
    }
    if (!s->chart || !*s->chart) {
        most_common(s, chart, s->found[2]);
        strip_version(s->found[2]);
        s->chart = s->found[2];
    }
}

int ref_side_finish(struct ref_side *s) {
    if (s->n)
        qsort(s->objects, s->n, sizeof *s->objects, order);
    for (size_t i = 0; i < s->n; i++)
        take_traits(&s->objects[i]);
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->objects[i].kind, "HorizontalPodAutoscaler") == 0)
            take_autoscaler(s, &s->objects[i]);
    find_names(s);
    return 0;
}
