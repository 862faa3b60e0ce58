/* tolerate: which TOLERANCE a difference falls under. See reference.h. */
#include "reference/tolerate.h"

#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "reference/reference_priv.h"

static const struct {
    const char *name;
    unsigned trait;
} traits[] = {{"autoscaled", REF_AUTOSCALED}, {"hook", REF_HOOK}, {"kept", REF_KEPT}};

static bool has_trait(const char *when, const struct ref_difference *d) {
    unsigned has = (d->of ? d->of->traits : 0) | (d->of_a ? d->of_a->traits : 0);
    for (size_t i = 0; i < sizeof traits / sizeof *traits; i++)
        if (strcmp(traits[i].name, when) == 0)
            return has & traits[i].trait;
    return false;
}

/* The object as the live one is called, or as it is of the reference. */
static bool is_object(const struct ref_tolerating *t, const char *glob, const struct ref_difference *d) {
    if (word_glob(glob, d->object))
        return true;
    return (d->of && ref_glob_object(t->live, glob, d->of->kind, d->of->name)) ||
           (d->of_a && ref_glob_object(t->live, glob, d->of_a->kind, d->of_a->name));
}

static bool is_meant(const struct ref_tolerating *t, const json_t *rule, const char *row,
                     const struct ref_difference *d) {
    const char *expectation = js_str(rule, "expectation", NULL);
    const char *object = js_str(rule, "object", NULL);
    const char *pointer = js_str(rule, "pointer", NULL);
    const char *when = js_str(rule, "when", NULL);
    return (!expectation || (row && word_glob(expectation, row))) && (!object || is_object(t, object, d)) &&
           (!pointer || ref_pointer_below(d->pointer, pointer)) &&
           word_glob(js_str(rule, "stage", "*"), t->stage) && (!when || has_trait(when, d));
}

const json_t *ref_tolerance(const struct ref_tolerating *t, const char *row, const struct ref_difference *d,
                            const json_t **ret_over) {
    size_t i;
    json_t *rule;
    json_array_foreach((json_t *)t->rules, i, rule) {
        const char *until = js_str(rule, "until", NULL);
        int64_t ns = INT64_MAX;
        if (!is_meant(t, rule, row, d))
            continue;
        if (!until || ref_until(until, &ns) < 0 || t->now_ns <= ns)
            return rule;
        *ret_over = rule;
    }
    return NULL;
}
