/* checks_run: what the checks share: which objects a check is about, what is not known of them, how
 * differences are told, and what a workload's template says. See checks_priv.h. */
#include "reference/checks_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/js.h"

/* ---- one run */

void ref_checking_begin(struct ref_checking *c, const struct ref_scope *s, const json_t *expectation,
                        struct ref_outcome *out) {
    *c = (struct ref_checking){.scope = s, .live = s->live, .out = out};
    c->with = json_object_get(expectation, "with");
    c->selector = json_object_get(expectation, "for");
    c->if_any = json_is_true(json_object_get(expectation, "if_any"));
}

static void add(struct ref_checking *c, const struct ref_object *o, const char *object, const char *pointer,
                const char *where, const json_t *expected, const json_t *found) {
    int r = ref_differences_add(&c->out->differences, REF_UNMET, o, object, pointer, where, expected, found);
    if (r < 0)
        c->error = r;
}

void ref_checking_unmet_value(struct ref_checking *c, const struct ref_object *o, const char *pointer,
                              const char *where, const char *expected, const json_t *found) {
    char object[2 * REF_NAME_MAX];
    (void)snprintf(object, sizeof object, "%s/%s", o->kind, o->name);
    json_t *wanted = json_string(expected);
    if (!wanted)
        c->error = -ENOMEM;
    else
        add(c, o, object, pointer, where, wanted, found);
    json_decref(wanted);
}

void ref_checking_unmet(struct ref_checking *c, const struct ref_object *o, const char *pointer,
                        const char *where, const char *expected, const char *found) {
    json_t *value = found ? json_string(found) : NULL;
    if (found && !value)
        c->error = -ENOMEM;
    else
        ref_checking_unmet_value(c, o, pointer, where, expected, value);
    json_decref(value);
}

int ref_checking_end(struct ref_checking *c, const char *what) {
    json_decref(c->scalers);
    c->scalers = NULL;
    c->out->objects += c->selected;
    if (c->selected == 0 && !c->if_any && !c->out->unknown && c->error == 0) {
        json_t *wanted = json_sprintf("at least one %s", what);
        json_t *none = json_string("none selected");
        if (wanted && none)
            add(c, NULL, what, "", "", wanted, none);
        else
            c->error = -ENOMEM;
        json_decref(wanted);
        json_decref(none);
    }
    return c->error;
}

bool ref_checking_read(struct ref_checking *c, const char *kind) {
    const char *why = c->live->unread ? c->live->unread(c->live->unread_ctx, kind) : NULL;
    if (why)
        ref_outcome_unknown(c->out, "%s: %s", kind, why);
    return !why;
}

bool ref_checking_whole(struct ref_checking *c, const struct ref_object *o) {
    if (!o->normal)
        ref_outcome_unknown(c->out, "%s/%s: %s", o->kind, o->name, o->unknown ? o->unknown : "not known");
    return o->normal != NULL;
}

/* ---- which objects */

/* May the selector, or one of a list of them, select something of this kind? Jobs must be named: they come
 * and go, and those of CronJobs and hooks say again what made them. */
static bool may_select(const json_t *selector, const char *kind) {
    if (json_is_array(selector)) {
        size_t i;
        const json_t *one;
        json_array_foreach(selector, i, one) if (may_select(one, kind)) return true;
        return false;
    }
    if (!json_object_get(selector, "kind"))
        return strcmp(kind, "Job") != 0;
    for (size_t i = 0;; i++) {
        const char *text = ref_with_text(selector, "kind", NULL, i);
        if (!text)
            return false;
        if (strcmp(text, kind) == 0)
            return true;
    }
}

/* Is it of the release under pilot? What no release of Helm owns is: it was put into the stage beside it. */
static bool belongs(const struct ref_checking *c, const struct ref_object *o) {
    const char *release = c->live->release ? c->live->release : "";
    return c->everything || !*release || !o->release || !*o->release || strcmp(o->release, release) == 0;
}

const struct ref_object *ref_checking_kind(const struct ref_checking *c, const char *kind, size_t *ret_n) {
    const struct ref_side *s = c->live;
    size_t low = 0;
    for (size_t high = s->n; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(s->objects[middle].kind, kind) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    size_t end = low;
    while (end < s->n && strcmp(s->objects[end].kind, kind) == 0)
        end++;
    *ret_n = end - low;
    return s->n ? s->objects + low : NULL;
}

/* What is selected, one by one. */
struct visit {
    struct ref_checking *c;
    const char *const *kinds;
    ref_checking_fn *fn;
};

static int visit(void *ctx, const struct ref_object *o) {
    struct visit *v = ctx;
    const char *const *k = v->kinds;
    while (*k && strcmp(*k, o->kind) != 0)
        k++;
    if (!*k || !may_select(v->c->selector, o->kind) || !ref_checking_whole(v->c, o))
        return 0;
    v->c->selected++;
    v->fn(v->c, o);
    return 0;
}

static int visit_own(struct visit *v) {
    for (const char *const *k = v->kinds; *k; k++) {
        size_t n;
        const struct ref_object *o = ref_checking_kind(v->c, *k, &n);
        for (size_t i = 0; i < n; i++)
            if (belongs(v->c, &o[i]))
                (void)visit(v, &o[i]);
    }
    return 0;
}

void ref_checking_each(struct ref_checking *c, const char *const *kinds, ref_checking_fn *fn) {
    struct visit v = {c, kinds, fn};
    for (const char *const *k = kinds; *k; k++)
        if (may_select(c->selector, *k))
            (void)ref_checking_read(c, *k);
    int r = c->selector ? ref_select(c->scope, c->selector, c->out, visit, &v) : visit_own(&v);
    if (r < 0)
        c->error = r;
}

/* ---- workloads */

const char *const ref_workloads_scaled[] = {"Deployment", "StatefulSet", NULL};
const char *const ref_workloads_running[] = {"Deployment", "StatefulSet", "DaemonSet", NULL};
const char *const ref_workloads_all[] = {"Deployment", "StatefulSet", "DaemonSet", "CronJob", "Job", NULL};

const char *ref_workload_template(const char *kind) {
    if (strcmp(kind, "CronJob") == 0)
        return "/spec/jobTemplate/spec/template";
    for (const char *const *k = ref_workloads_all; *k; k++)
        if (strcmp(kind, *k) == 0)
            return "/spec/template";
    return NULL;
}

static const json_t *in_template(const struct ref_object *o, const char *rest) {
    char pointer[REF_AT_MAX];
    const char *at = ref_workload_template(o->kind);
    return at ? js_at(o->normal, ref_pointer(pointer, at, rest)) : NULL;
}

const json_t *ref_workload_labels(const struct ref_object *o) {
    return in_template(o, "/metadata/labels");
}

const json_t *ref_workload_podspec(const struct ref_object *o) {
    return in_template(o, "/spec");
}

bool ref_workload_has_containers(struct ref_checking *c, const struct ref_object *o) {
    const json_t *containers = json_object_get(ref_workload_podspec(o), "containers");
    if (json_array_size(containers) > 0)
        return true;
    ref_outcome_unknown(c->out, "%s/%s: its pod template has no containers", o->kind, o->name);
    return false;
}

const char *ref_pointer(char *out, const char *base, const char *rest) {
    (void)snprintf(out, REF_AT_MAX, "%s%s", base, rest);
    return out;
}

bool ref_container_next(const struct ref_object *o, struct ref_container *it) {
    const json_t *pod = ref_workload_podspec(o);
    if (!it->spec && it->init_too)
        it->init = true;
    for (;; it->init = false, it->next = 0) {
        const char *list = it->init ? "initContainers" : "containers";
        const json_t *containers = json_object_get(pod, list);
        if (it->next < json_array_size(containers)) {
            it->spec = json_array_get(containers, it->next);
            it->name = js_str(it->spec, "name", "");
            (void)snprintf(it->pointer, sizeof it->pointer, "%s/spec/%s/%zu", ref_workload_template(o->kind),
                           list, it->next);
            it->next++;
            return true;
        }
        if (!it->init)
            return false;
    }
}
