/* tolerate: what may differ between two states of one configuration, and why, as the rubric's data says. */
#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "base/js.h"
#include "rubric/rubric.h"
#include "rubric/rubric_priv.h"

static const struct {
    const char *name;
    unsigned trait;
} traits[] = {{"autoscaled", RUBRIC_AUTOSCALED},
              {"hook", RUBRIC_HOOK},
              {"kept", RUBRIC_KEPT},
              {"regenerated", RUBRIC_REGENERATED}};
#define N_TRAITS (sizeof traits / sizeof *traits)

/* 0 for none, also when the name is none of them. */
static unsigned trait_of(const char *name) {
    for (size_t i = 0; i < N_TRAITS; i++)
        if (strcmp(traits[i].name, name) == 0)
            return traits[i].trait;
    return 0;
}

static int check_entry(const json_t *item, struct err *e) {
    const char *when = js_str(item, "when", NULL);
    const char *pointer = js_str(item, "pointer", NULL);
    if (!*js_str(item, "kind", "") || !*js_str(item, "reason", ""))
        return err_set(e, -EINVAL, "rubric: each entry of 'tolerate' needs a kind and a reason");
    if (when && !trait_of(when))
        return err_set(e, -EINVAL, "rubric: 'tolerate' knows no '%s' under 'when'", when);
    if (pointer && *pointer != '/')
        return err_set(e, -EINVAL, "rubric: a pointer of 'tolerate' begins with '/', not '%s'", pointer);
    return 0;
}

int rubric_check_tolerate(const json_t *list, struct err *e) {
    size_t i;
    json_t *item;
    if (list && !json_is_array(list))
        return err_set(e, -EINVAL, "rubric: 'tolerate' must be a list");
    json_array_foreach((json_t *)list, i, item) {
        int r = check_entry(item, e);
        if (r < 0)
            return r;
    }
    return 0;
}

/* An entry without a pointer is about the whole object, and so about everything in it. */
static int matches(const json_t *item, const struct rubric_place *p) {
    const char *pointer = js_str(item, "pointer", NULL);
    const char *when = js_str(item, "when", NULL);
    return fnmatch(js_str(item, "kind", ""), p->kind, FNM_NOESCAPE) == 0 &&
           fnmatch(js_str(item, "name", "*"), p->name, FNM_NOESCAPE) == 0 &&
           (!when || trait_of(when) & p->traits) &&
           (!pointer ||
            (p->pointer && fnmatch(pointer, p->pointer, FNM_NOESCAPE | FNM_PATHNAME | FNM_LEADING_DIR) == 0));
}

const char *rubric_tolerates(const struct rubric *r, const struct rubric_place *p, int *ret_regenerated) {
    size_t i;
    json_t *item;
    json_array_foreach(js_at(r->doc, "tolerate"), i, item) {
        if (!matches(item, p))
            continue;
        *ret_regenerated = trait_of(js_str(item, "when", "")) == RUBRIC_REGENERATED;
        return js_str(item, "reason", "");
    }
    return NULL;
}
