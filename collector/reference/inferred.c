/* inferred: the namespace that manifests were rendered for, where none of them names it: `helm template`
 * writes no metadata.namespace by itself. It shows in what charts write beside the names of their own
 * objects: subjects of a RoleBinding (rbac/v1, Subject.namespace), and names of Services in the cluster's
 * DNS, SERVICE.NAMESPACE.svc (kubernetes.io, "DNS for Services and Pods"). */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/js.h"
#include "reference/reference_priv.h"

#define DEPTH_MAX 64
#define LABEL_MAX 63 /* of DNS, RFC 1123 */

struct votes {
    const struct ref_side *side;
    json_t *counts; /* by namespace */
    bool failed;
};

static void vote(struct votes *w, const char *name) {
    json_int_t n = json_integer_value(json_object_get(w->counts, name));
    if (*name && json_object_set_new(w->counts, name, json_integer(n + 1)) < 0)
        w->failed = true;
}

static bool is_label(char c) {
    return isalnum((unsigned char)c) || c == '-';
}

/* The label that ends at `end`; returns where it begins. */
static const char *label_before(const char *text, const char *end, char out[LABEL_MAX + 1]) {
    const char *p = end;
    while (p > text && is_label(p[-1]) && end - p < LABEL_MAX)
        p--;
    memcpy(out, p, (size_t)(end - p));
    out[end - p] = 0;
    return p;
}

/* "http://shop-api.shop.svc:80": shop, when the manifests have a Service shop-api. */
static void look_at_text(struct votes *w, const char *text) {
    char ns[LABEL_MAX + 1];
    char service[LABEL_MAX + 1];
    for (const char *p = strstr(text, ".svc"); p; p = strstr(p + 1, ".svc")) {
        const char *begin = label_before(text, p, ns);
        if (is_label(p[4]) || begin == text || begin[-1] != '.')
            continue;
        (void)label_before(text, begin - 1, service);
        if (ref_side_find(w->side, "Service", service))
            vote(w, ns);
    }
}

static void look_at(struct votes *w, const json_t *v, unsigned depth) {
    const char *key;
    json_t *child;
    size_t i;
    if (json_is_string(v))
        look_at_text(w, json_string_value(v));
    if (depth == DEPTH_MAX)
        return;
    json_object_foreach((json_t *)v, key, child) look_at(w, child, depth + 1);
    json_array_foreach((json_t *)v, i, child) look_at(w, child, depth + 1);
}

static void look_at_subjects(struct votes *w, const struct ref_object *o) {
    size_t i;
    const json_t *subject;
    if (strcmp(o->kind, "RoleBinding") != 0)
        return;
    json_array_foreach(json_object_get(o->normal, "subjects"), i, subject) {
        if (strcmp(js_str(subject, "kind", ""), "ServiceAccount") == 0 &&
            ref_side_find(w->side, "ServiceAccount", js_str(subject, "name", "")))
            vote(w, js_str(subject, "namespace", ""));
    }
}

int ref_infer_namespace(const struct ref_side *s, char out[REF_NAME_MAX]) {
    struct votes w = {.side = s, .counts = json_object()};
    const char *name;
    json_t *count;
    json_int_t best = 0;
    if (!w.counts)
        return -ENOMEM;
    for (size_t i = 0; i < s->n; i++) {
        look_at_subjects(&w, &s->objects[i]);
        look_at(&w, s->objects[i].normal, 0);
    }
    json_object_foreach(w.counts, name, count) {
        if (json_integer_value(count) > best && strlen(name) < REF_NAME_MAX) {
            best = json_integer_value(count);
            strcpy(out, name);
        }
    }
    json_decref(w.counts);
    return w.failed ? -ENOMEM : 0;
}
