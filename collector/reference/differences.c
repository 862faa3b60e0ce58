/* differences: what was found to differ, with bounded texts. See compare.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "correlate/differences.h"
#include "reference/compare.h"

const char *ref_what_name(enum ref_what w) {
    static const char *const names[] = {
        [REF_MISSING] = "missing", [REF_DIFFERENT] = "different", [REF_EXTRA] = "extra",
        [REF_UNMET] = "unmet",     [REF_UNKNOWN] = "unknown",
    };
    return names[w];
}

static struct ref_difference *push(struct ref_differences *d) {
    if (d->n == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 8;
        void *items = realloc(d->items, cap * sizeof *d->items);
        if (!items)
            return NULL;
        d->items = items;
        d->cap = cap;
    }
    struct ref_difference *x = &d->items[d->n];
    *x = (struct ref_difference){0};
    return x;
}

static void free_texts(struct ref_difference *x) {
    free(x->pointer);
    free(x->where);
    free(x->expected);
    free(x->found);
}

static void name_object(struct ref_difference *x, const struct ref_object *of, const char *object) {
    if (object)
        (void)snprintf(x->object, sizeof x->object, "%s", object);
    else if (of)
        (void)snprintf(x->object, sizeof x->object, "%s/%s", of->kind, of->name);
}

int ref_differences_add(struct ref_differences *d, enum ref_what what, const struct ref_object *of,
                        const char *object, const char *pointer, const char *where, const json_t *expected,
                        const json_t *found) {
    if (d->n == REF_DIFFERENCES_KEPT) {
        d->more++;
        return 0;
    }
    struct ref_difference *x = push(d);
    if (!x)
        return -ENOMEM;
    x->what = what;
    x->of = of;
    name_object(x, of, object);
    x->pointer = strdup(pointer ? pointer : "");
    x->where = strdup(where ? where : "");
    if (!x->pointer || !x->where || diff_values(expected, found, &x->expected, &x->found) < 0) {
        free_texts(x);
        return -ENOMEM;
    }
    d->n++;
    return 0;
}

int ref_differences_take(struct ref_differences *d, struct ref_difference *x) {
    struct ref_difference *to = d->n < REF_DIFFERENCES_KEPT ? push(d) : NULL;
    int r = to || d->n == REF_DIFFERENCES_KEPT ? 0 : -ENOMEM;
    if (to) {
        *to = *x;
        d->n++;
        return 0;
    }
    d->more += r == 0;
    free_texts(x);
    return r;
}

void ref_differences_free(struct ref_differences *d) {
    for (size_t i = 0; i < d->n; i++)
        free_texts(&d->items[i]);
    free(d->items);
    *d = (struct ref_differences){0};
}
