/* compare: where two objects that were matched differ. See compare.h. One walk over both; lists in
 * compare_lists.c. */
#include "reference/compare.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "reference/compare_priv.h"
#include "reference/reference_priv.h"

/* ---- the place */

const char *ref_walk_step(const struct ref_walk *w) {
    const char *step = strrchr(w->at.pointer, '/');
    return step ? step + 1 : "";
}

int ref_walk_at(struct ref_walk *w, size_t index, const char *name, const json_t *a, const json_t *b) {
    char step[24];
    (void)snprintf(step, sizeof step, "%zu", index);
    struct trail_back back = trail_enter(&w->at, step, name);
    int r = ref_walk(w, a, b);
    trail_leave(&w->at, back);
    return r;
}

/* ---- findings */

int ref_walk_add(struct ref_walk *w, enum ref_what what, const json_t *expected, const json_t *found,
                 bool field) {
    w->found = true;
    if (!w->to)
        return 0;
    size_t n = w->to->n;
    int r = ref_differences_add(w->to, what, w->b, NULL, w->at.pointer, w->at.where, expected, found);
    if (r == 0 && w->to->n > n) {
        w->to->items[n].of_a = w->a;
        w->to->items[n].field = field;
    }
    return r;
}

bool ref_walk_same(struct ref_walk *w, const char *step, const json_t *a, const json_t *b) {
    struct ref_differences *to = w->to;
    bool found = w->found;
    w->to = NULL;
    w->found = false;
    struct trail_back back = {0};
    if (step)
        back = trail_enter(&w->at, step, NULL);
    bool same = ref_walk(w, a, b) == 0 && !w->found;
    if (step)
        trail_leave(&w->at, back);
    w->to = to;
    w->found = found;
    return same;
}

/* ---- leaves */

/* Charts write a digest of a rendered file into the pods' template, so that they are rolled when it changes.
 * Rendered for another release or namespace it is another one; the file itself is compared. */
static bool is_digest_of_rendered(const struct ref_walk *w, const char *a, const char *b) {
    static const char hex[] = "0123456789abcdef";
    return !w->m->one_place && strstr(w->at.pointer, "/annotations/checksum~1") && strlen(a) == strlen(b) &&
           strlen(a) >= 32 && strspn(a, hex) == strlen(a) && strspn(b, hex) == strlen(b);
}

/* By the few that nearly all follow from first: there may be thousands of generated ones, which are tried
 * while the object has steps left. */
bool ref_walk_names(struct ref_walk *w, const char *a, const char *b) {
    if (ref_names_same(&w->m->plain, a, b))
        return true;
    if (w->m->names.n == w->m->plain.n || w->steps > REF_WALK_STEPS_MAX)
        return false;
    w->steps += w->m->names.n * strlen(a) / 8;
    return ref_names_same(&w->m->names, a, b);
}

/* "default" is what Kubernetes itself calls a namespace's service account (core/v1,
 * PodSpec.serviceAccountName), and many clusters a storage class: there it is no namespace's name. */
static bool is_own_default(const struct ref_walk *w, const char *a, const char *b) {
    static const char *const names[] = {"serviceAccountName", "serviceAccount", "storageClassName",
                                        "ingressClassName", NULL};
    const char *step = ref_walk_step(w);
    if ((strcmp(a, "default") == 0) == (strcmp(b, "default") == 0))
        return false;
    if (strcmp(step, "name") == 0)
        return strncmp(w->at.pointer, "/subjects/", 10) == 0;
    for (const char *const *n = names; *n; n++)
        if (strcmp(*n, step) == 0)
            return true;
    return false;
}

bool ref_walk_leaf(struct ref_walk *w, const json_t *a, const json_t *b) {
    enum ref_meaning meaning = ref_meaning_of(w->kind, w->at.pointer);
    if (ref_same_value(meaning, a, b) && (!w->exact || ref_same_value(meaning, b, a)))
        return true;
    if (meaning != REF_TEXT || !json_is_string(a) || !json_is_string(b))
        return false;
    const char *x = json_string_value(a);
    const char *y = json_string_value(b);
    return (!is_own_default(w, x, y) && ref_walk_names(w, x, y)) || is_digest_of_rendered(w, x, y);
}

/* ---- on one side only */

/* Would the API server have filled this in, there or here? (A Service's targetPort is its port: with another
 * port there it is still what the reference means.) */
static bool is_default(const struct ref_walk *w, const json_t *v) {
    return ref_is_default(w->kind, w->at.pointer, v, w->normal_b) ||
           ref_is_default(w->kind, w->at.pointer, v, w->normal_a);
}

/* Nobody wrote it, or writing it says nothing; of two stages, what tools add is none of theirs either. */
static bool is_understood(const struct ref_walk *w, const json_t *v, bool extra) {
    return ref_is_left_out(w->kind, w->at.pointer, v) || is_default(w, v) ||
           ((extra || w->exact) &&
            ref_is_added(w->kind, w->at.pointer, v, extra ? w->normal_b : w->normal_a));
}

static bool is_partly_understood(struct ref_walk *w, const json_t *v, bool extra);

/* Is this member, or something in it, understood? */
static bool is_child_understood(struct ref_walk *w, const char *key, const json_t *v, bool extra) {
    struct trail_back back = trail_enter(&w->at, key, NULL);
    bool r = is_understood(w, v, extra) || is_partly_understood(w, v, extra);
    trail_leave(&w->at, back);
    return r;
}

static bool is_partly_understood(struct ref_walk *w, const json_t *v, bool extra) {
    const char *key;
    json_t *child;
    if (!json_is_object(v) || w->at.depth >= REF_WALK_DEPTH_MAX || w->steps++ > REF_WALK_STEPS_MAX)
        return false;
    json_object_foreach((json_t *)v, key, child) {
        if (is_child_understood(w, key, child, extra))
            return true;
    }
    return false;
}

static bool is_element(const struct ref_walk *w) {
    const char *step = ref_walk_step(w);
    return *step && strspn(step, "0123456789") == strlen(step);
}

/* Does what is there besides change what the object itself is: an element of a list, an entry of its data,
 * which pods or nodes it selects? */
static bool is_content(const struct ref_walk *w, const json_t *v) {
    static const char *const parts[] = {"/matchLabels/", "/matchExpressions/", "/nodeSelector/", NULL};
    const char *step = ref_walk_step(w);
    if (is_element(w) || json_array_size(v) > 0 || strcmp(step, "nodeSelector") == 0)
        return true;
    for (const char *const *p = parts; *p; p++)
        if (strstr(w->at.pointer, *p))
            return true;
    return strncmp(w->at.pointer, "/data/", 6) == 0 || strncmp(w->at.pointer, "/binaryData/", 12) == 0 ||
           strncmp(w->at.pointer, "/spec/selector/", 15) == 0;
}

static int walk_members(struct ref_walk *w, const json_t *a, const json_t *b);

/* A field that a custom resource has besides may be a default of its definition's schema, which no agent
 * reads. */
static bool may_be_default(const struct ref_walk *w, const json_t *b) {
    return b && w->custom && !w->exact && !is_element(w) && strncmp(w->at.pointer, "/metadata", 9) != 0;
}

/* A map that holds nothing but what is understood is not told; of one that holds some of it the rest is; an
 * element of a list is told as a whole. */
static int walk_one_side(struct ref_walk *w, const json_t *a, const json_t *b) {
    const json_t *v = a ? a : b;
    if (is_understood(w, v, b != NULL) || may_be_default(w, b))
        return 0;
    if (json_is_object(v) && w->at.depth < REF_WALK_DEPTH_MAX && !is_element(w) &&
        (is_partly_understood(w, v, b != NULL) || strcmp(w->at.pointer, "/data") == 0))
        return walk_members(w, a, b);
    return ref_walk_add(w, a ? REF_MISSING : REF_EXTRA, a, b, b && !w->exact && !is_content(w, b));
}

/* ---- maps */

/* Matched, not compared: what the object is called and where it lives, which version of the API told it, who
 * made it. */
static bool is_left_out(const struct ref_walk *w, const json_t *a, const json_t *b) {
    if (strcmp(w->at.pointer, "/kind") == 0 || strcmp(w->at.pointer, "/apiVersion") == 0 ||
        strcmp(w->at.pointer, "/metadata/ownerReferences") == 0 ||
        strcmp(w->at.pointer, "/metadata/generateName") == 0 || strcmp(w->at.pointer, "/status") == 0)
        return true;
    if (strcmp(w->at.pointer, "/metadata/namespace") == 0)
        return !a || !b;
    if (strcmp(w->at.pointer, "/metadata/name") != 0)
        return false;
    return ref_names_same(&w->m->plain, w->a->name, w->b->name) ||
           ref_name_generated(&w->m->plain, w->a->name, w->b->name);
}

/* The name of an object that was matched by its labels: it is another one, although references to it agree.
 */
static int walk_member(struct ref_walk *w, const char *key, const json_t *map_a, const json_t *map_b) {
    const json_t *a = json_object_get(map_a, key);
    const json_t *b = json_object_get(map_b, key);
    struct trail_back back = trail_enter(&w->at, key, NULL);
    int r = 0;
    if (!is_left_out(w, a, b))
        r = strcmp(w->at.pointer, "/metadata/name") == 0 ? ref_walk_add(w, REF_DIFFERENT, a, b, false)
                                                         : ref_walk(w, a, b);
    trail_leave(&w->at, back);
    return r;
}

static int walk_members(struct ref_walk *w, const json_t *a, const json_t *b) {
    const char *key;
    json_t *v;
    int r = 0;
    json_object_foreach((json_t *)a, key, v) {
        if (r == 0)
            r = walk_member(w, key, a, b);
    }
    json_object_foreach((json_t *)b, key, v) {
        if (r == 0 && !json_object_get(a, key))
            r = walk_member(w, key, a, b);
    }
    return r;
}

static bool has_only(const json_t *map, const char *const *keys) {
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)map, key, v) {
        const char *const *k = keys;
        while (*k && strcmp(*k, key) != 0)
            k++;
        if (!*k)
            return false;
    }
    return true;
}

/* A LabelSelector with expressions, and with nothing that is none of one. */
static bool is_selector(const json_t *v) {
    static const char *const parts[] = {"matchLabels", "matchExpressions", NULL};
    static const char *const fields[] = {"key", "operator", "values", NULL};
    const json_t *list = json_object_get(v, "matchExpressions");
    size_t i;
    const json_t *x;
    json_array_foreach((json_t *)list, i, x) {
        if (!has_only(x, fields))
            return false;
    }
    return has_only(v, parts);
}

static bool has_expressions(const json_t *v) {
    return json_is_array(json_object_get(v, "matchExpressions"));
}

/* Two ways to say the same are the same. */
static bool selects_the_same(struct ref_walk *w, const json_t *a, const json_t *b) {
    json_t *x = ref_selector_form(a);
    json_t *y = ref_selector_form(b);
    bool changed = x && y && (!json_equal(x, a) || !json_equal(y, b));
    bool same = changed && (json_equal(x, y) ||
                            (!has_expressions(x) && !has_expressions(y) && ref_walk_same(w, NULL, x, y)));
    json_decref(x);
    json_decref(y);
    return same;
}

static int walk_maps(struct ref_walk *w, const json_t *a, const json_t *b) {
    if ((has_expressions(a) || has_expressions(b)) && is_selector(a) && is_selector(b) &&
        selects_the_same(w, a, b))
        return 0;
    return walk_members(w, a, b);
}

/* ---- the walk */

/* Of two stages: what tools wrote on both, each as it does. */
static bool is_mark(const struct ref_walk *w, const json_t *a, const json_t *b) {
    return w->exact && strncmp(w->at.pointer, "/metadata/", 10) == 0 &&
           ref_is_added(w->kind, w->at.pointer, a, w->normal_a) &&
           ref_is_added(w->kind, w->at.pointer, b, w->normal_b);
}

/* An empty list or map where the API server keeps none says as much as nothing. */
static bool is_empty(const struct ref_walk *w, const json_t *v) {
    return json_object_size(v) + json_array_size(v) == 0 && (json_is_object(v) || json_is_array(v)) &&
           ref_is_left_out(w->kind, w->at.pointer, v);
}

int ref_walk(struct ref_walk *w, const json_t *a, const json_t *b) {
    w->steps++;
    if (!w->to && w->found)
        return 0;
    a = json_is_null(a) ? NULL : a;
    b = json_is_null(b) ? NULL : b;
    if ((!a && !b) || (a && b && json_equal(a, b)))
        return 0;
    if (!a || !b)
        return walk_one_side(w, a, b);
    if ((is_empty(w, a) && is_understood(w, b, true)) || (is_empty(w, b) && is_understood(w, a, false)))
        return 0;
    if (w->at.depth < REF_WALK_DEPTH_MAX && json_is_object(a) && json_is_object(b))
        return walk_maps(w, a, b);
    if (w->at.depth < REF_WALK_DEPTH_MAX && json_is_array(a) && json_is_array(b))
        return ref_walk_lists(w, a, b);
    if (ref_walk_leaf(w, a, b) || is_mark(w, a, b))
        return 0;
    bool unknown = w->m->other_key && ref_is_reduced(a) && ref_is_reduced(b);
    return ref_walk_add(w, unknown ? REF_UNKNOWN : REF_DIFFERENT, a, b, false);
}

int ref_compare_objects(const struct ref_matches *m, const struct ref_object *a, const struct ref_object *b,
                        bool exact, struct ref_differences *ret) {
    struct ref_walk *w = calloc(1, sizeof *w);
    json_t *x = ref_modern(a->kind, a->normal);
    json_t *y = ref_modern(b->kind, b->normal);
    int r = -ENOMEM;
    if (w && x && y) {
        w->to = ret;
        w->m = m;
        w->a = a;
        w->b = b;
        w->kind = a->kind;
        w->exact = exact;
        w->custom = strchr(a->kind, '.') != NULL;
        w->normal_a = x;
        w->normal_b = y;
        r = ref_walk(w, x, y);
    }
    json_decref(x);
    json_decref(y);
    free(w);
    return r;
}
