/* same: is the state of an object in two records one state? Agents of two versions may tell it in two normal
 * forms (base/norm.h): then their digests say nothing, and the texts are compared in this version's form. So
 * an agent's upgrade in the middle of a pilot is no change of every object. */
#include <string.h>

#include "base/js.h"
#include "base/norm.h"
#include "correlate/correlate_priv.h"

static unsigned form_of(const Pilotgate__Object *o) {
    return o->norm ? o->norm : 1; /* agents that did not tell it yet */
}

/* The text in this version's form; a new reference, NULL: it was cut, or is no JSON object. */
static json_t *text_of(const Pilotgate__Object *o) {
    json_t *doc;
    if (o->truncated || js_parse(o->normal, strlen(o->normal), WIRE_NORMAL_MAX, &doc, NULL) < 0)
        return NULL;
    norm_again(doc);
    return doc;
}

static enum fact_same compare_texts(const Pilotgate__Object *a, const Pilotgate__Object *b) {
    json_t *x = text_of(a);
    json_t *y = text_of(b);
    enum fact_same r = !x || !y ? FACT_SAME_UNKNOWN : json_equal(x, y) ? FACT_SAME : FACT_DIFFERS;
    json_decref(x);
    json_decref(y);
    return r;
}

enum fact_same facts_same(const Pilotgate__Object *a, const Pilotgate__Object *b) {
    bool gone[] = {a->op == PILOTGATE__OBJECT__OP__OP_DELETED, b->op == PILOTGATE__OBJECT__OP__OP_DELETED};
    if (gone[0] || gone[1])
        return gone[0] == gone[1] ? FACT_SAME : FACT_DIFFERS;
    if (strcmp(a->digest, b->digest) == 0)
        return FACT_SAME;
    if (form_of(a) == form_of(b))
        return FACT_DIFFERS;
    if (*a->resource_version && strcmp(a->uid, b->uid) == 0 &&
        strcmp(a->resource_version, b->resource_version) == 0)
        return FACT_SAME;
    if (form_of(a) > NORM_VERSION || form_of(b) > NORM_VERSION)
        return FACT_SAME_UNKNOWN;
    /* Documents of the product have one form in all versions so far. */
    return corr_is_product(a) ? FACT_DIFFERS : compare_texts(a, b);
}
