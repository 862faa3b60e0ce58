/* checks: the table of checks by name, and what they share: which objects a check is about, what is not
 * known of them, and how differences are told. See checks.h and checks_priv.h. */
#include "reference/checks_priv.h"

#include <errno.h>
#include <fnmatch.h>
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
    const json_t *kinds = json_object_get(selector, "kind");
    if (!kinds)
        return strcmp(kind, "Job") != 0;
    for (size_t i = 0;; i++) {
        const char *text = ref_with_text(selector, "kind", NULL, i);
        if (!text)
            return false;
        if (fnmatch(text, kind, 0) == 0)
            return true;
    }
}

/* Is it of the release under pilot? What no release of Helm owns is: it was put into the stage beside it. */
static bool belongs(const struct ref_side *live, const struct ref_object *o) {
    const char *release = live->release ? live->release : "";
    return !*release || !o->release || !*o->release || strcmp(o->release, release) == 0;
}

static bool selected(const struct ref_checking *c, const struct ref_object *o) {
    if (!c->selector)
        return belongs(c->live, o);
    if (!json_is_array(c->selector))
        return ref_selected(c->scope, c->selector, o);
    size_t i;
    const json_t *one;
    json_array_foreach(c->selector, i, one) if (ref_selected(c->scope, one, o)) return true;
    return false;
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
    return s->objects + low;
}

static void each_of_kind(struct ref_checking *c, const char *kind, ref_checking_fn *fn) {
    size_t n;
    const struct ref_object *o = ref_checking_kind(c, kind, &n);
    for (size_t i = 0; i < n; i++) {
        if (!o[i].normal && (c->selector || belongs(c->live, &o[i])))
            (void)ref_checking_whole(c, &o[i]); /* whether it is selected cannot be told either */
        if (!o[i].normal || !selected(c, &o[i]))
            continue;
        c->selected++;
        fn(c, &o[i]);
    }
}

void ref_checking_each(struct ref_checking *c, const char *const *kinds, ref_checking_fn *fn) {
    for (; *kinds; kinds++)
        if (may_select(c->selector, *kinds)) {
            (void)ref_checking_read(c, *kinds);
            each_of_kind(c, *kinds, fn);
        }
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
    char pointer[REF_POINTER_MAX];
    const char *at = ref_workload_template(o->kind);
    return at ? js_at(o->normal, ref_pointer(pointer, at, rest)) : NULL;
}

const json_t *ref_workload_labels(const struct ref_object *o) {
    return in_template(o, "/metadata/labels");
}

const json_t *ref_workload_podspec(const struct ref_object *o) {
    return in_template(o, "/spec");
}

const char *ref_pointer(char *out, const char *base, const char *rest) {
    (void)snprintf(out, REF_POINTER_MAX, "%s%s", base, rest);
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

/* ---- with */

const char *ref_with_text(const json_t *with, const char *key, const char *const *fallback, size_t i) {
    const json_t *v = json_object_get(with, key);
    if (json_is_array(v))
        return json_string_value(json_array_get(v, i));
    if (v)
        return i == 0 ? json_string_value(v) : NULL;
    for (size_t at = 0; fallback && fallback[at]; at++)
        if (at == i)
            return fallback[at];
    return NULL;
}

int ref_with_number(const json_t *with, const char *key, int64_t min, int64_t max, struct err *e) {
    const json_t *v = json_object_get(with, key);
    if (v && (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max))
        return err_set(e, -EINVAL, "%s: give a whole number from %lld to %lld", key, (long long)min,
                       (long long)max);
    return 0;
}

int ref_with_bool(const json_t *with, const char *key, struct err *e) {
    const json_t *v = json_object_get(with, key);
    return v && !json_is_boolean(v) ? err_set(e, -EINVAL, "%s: give true or false", key) : 0;
}

static int check_text(const char *key, const char *text, const char *const *allowed, struct err *e) {
    if (!text || !*text)
        return err_set(e, -EINVAL, "%s: give a text, or a list of texts", key);
    const char *const *a = allowed;
    while (a && *a && strcmp(*a, text) != 0)
        a++;
    if (a && !*a) {
        char list[256] = "";
        for (a = allowed; *a; a++)
            (void)snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", a == allowed ? "" : ", ",
                           *a);
        return err_set(e, -EINVAL, "%s: \"%s\" is none of %s", key, text, list);
    }
    return 0;
}

int ref_with_texts(const json_t *with, const char *key, const char *const *allowed, struct err *e) {
    const json_t *v = json_object_get(with, key);
    if (!v)
        return 0;
    if (!json_is_array(v))
        return check_text(key, json_string_value(v), allowed, e);
    if (json_array_size(v) == 0)
        return err_set(e, -EINVAL, "%s: the list is empty: leave it out, or name something", key);
    int r = 0;
    for (size_t i = 0; r == 0 && i < json_array_size(v); i++)
        r = check_text(key, json_string_value(json_array_get(v, i)), allowed, e);
    return r;
}

/* ---- the table */

#define KEYS(...) ((const char *const[]){__VA_ARGS__, NULL})

static int valid_replicas(const json_t *with, struct err *e) {
    return ref_with_number(with, "at_least", 1, 100000, e);
}

static int valid_budgets(const json_t *with, struct err *e) {
    return ref_with_number(with, "at_least_replicas", 1, 100000, e);
}

static int valid_spread(const json_t *with, struct err *e) {
    int r = ref_with_texts(with, "by", NULL, e);
    if (r == 0)
        r = ref_with_bool(with, "seen", e);
    if (r == 0)
        r = ref_with_bool(with, "hard", e);
    if (r == 0 && !json_object_get(with, "by") && !json_is_true(json_object_get(with, "seen")))
        r = err_set(e, -EINVAL,
                    "give \"by\", a list of topology keys such as kubernetes.io/hostname, or "
                    "\"seen: true\", or both");
    return r;
}

static int valid_probes(const json_t *with, struct err *e) {
    static const char *const probes[] = {"readiness", "liveness", "startup", NULL};
    return ref_with_texts(with, "of", probes, e);
}

static int valid_amounts(const json_t *with, struct err *e) {
    const char *list;
    const char *name;
    const json_t *amounts;
    const json_t *amount;
    json_object_foreach((json_t *)json_object_get(with, "at_least"), list, amounts) {
        if ((strcmp(list, "requests") != 0 && strcmp(list, "limits") != 0) || !json_is_object(amounts))
            return err_set(e, -EINVAL, "at_least: give {requests: {memory: 512Mi}, limits: {..}}");
        json_object_foreach((json_t *)amounts, name, amount) {
            __int128 n;
            const char *text = json_string_value(amount);
            if (!json_is_number(amount) && (!text || ref_quantity(text, &n) < 0))
                return err_set(e, -EINVAL, "at_least: %s.%s is no quantity", list, name);
        }
    }
    return 0;
}

static int valid_resources(const json_t *with, struct err *e) {
    const json_t *least = json_object_get(with, "at_least");
    int r = ref_with_texts(with, "requests", NULL, e);
    if (r == 0)
        r = ref_with_texts(with, "limits", NULL, e);
    if (r == 0 && least && !json_is_object(least))
        r = err_set(e, -EINVAL, "at_least: give {requests: {memory: 512Mi}, limits: {..}}");
    if (r == 0)
        r = valid_amounts(with, e);
    if (r == 0 && json_object_size(with) == 0)
        r = err_set(e, -EINVAL,
                    "give \"requests\" or \"limits\", lists such as [cpu, memory], or \"at_least\"");
    return r;
}

static int valid_security(const json_t *with, struct err *e) {
    const char *key;
    const json_t *value;
    bool any = false;
    json_object_foreach((json_t *)with, key, value) {
        int r = ref_with_bool(with, key, e);
        if (r < 0)
            return r;
        any = any || json_is_true(value);
    }
    return any ? 0 : err_set(e, -EINVAL, "ask for something, as {run_as_non_root: true}");
}

const struct ref_check_type ref_check_types[] = {
    {"replicas", "each workload, or its autoscaler, keeps at least so many replicas", KEYS("at_least"),
     ref_check_replicas, valid_replicas},
    {"disruption-budgets", "a drain may take one pod of each workload, and never all of them",
     KEYS("at_least_replicas"), ref_check_budgets, valid_budgets},
    {"spread", "the pods of each workload are kept apart, and (seen) are apart", KEYS("by", "seen", "hard"),
     ref_check_spread, valid_spread},
    {"probes", "each container has its probes", KEYS("of"), ref_check_probes, valid_probes},
    {"resources", "each container says what it needs and may take", KEYS("requests", "limits", "at_least"),
     ref_check_resources, valid_resources},
    {"security-context", "each container runs with no more rights than it needs",
     KEYS("run_as_non_root", "no_privilege_escalation", "drop_all", "read_only_root", "not_privileged",
          "seccomp", "no_host"),
     ref_check_security, valid_security},
    {.name = NULL},
};

int ref_check(const struct ref_scope *s, const json_t *expectation, struct ref_outcome *out) {
    const char *name = js_str(expectation, "check", "");
    for (const struct ref_check_type *t = ref_check_types; t->name; t++)
        if (strcmp(t->name, name) == 0)
            return t->run(s, expectation, out);
    ref_outcome_unknown(out, "there is no check \"%.64s\"", name);
    return 0;
}
