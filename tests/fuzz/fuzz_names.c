/* Texts of two releases: a text is the same as itself, names of the one put in the place of the other's are
 * the same, and nothing takes long. Input: release, namespace and chart of both sides and two texts, with
 * NULs between. */
#include <string.h>

#include "fuzz.h"
#include "reference/names.h"
#include "reference/reference.h"

#define PARTS 8

static void look(const char *const part[PARTS]) {
    const struct ref_side a = {.release = part[0], .namespace_name = part[1], .chart = part[2]};
    const struct ref_side b = {.release = part[3], .namespace_name = part[4], .chart = part[5]};
    char relative[2 * REF_NAME_MAX];
    struct ref_names n;
    MUST(ref_names_of(&a, &b, &n) == 0);
    MUST(ref_names_same(&n, part[6], part[6]) && ref_names_same(&n, part[7], part[7]));
    if (*part[0] && *part[3])
        MUST(ref_names_same(&n, part[0], part[3]));
    (void)ref_names_same(&n, part[6], part[7]);
    if (ref_name_generated(&n, part[6], part[7]))
        MUST(strchr(part[6], '-') || strchr(part[7], '-'));
    bool whole = ref_name_relative(&a, part[6], relative, sizeof relative);
    MUST(strlen(relative) < sizeof relative && (whole || strlen(part[6]) > 8));
    MUST(ref_names_add(&n, part[6], part[7]) == 0);
    MUST(!*part[6] || !*part[7] || ref_names_same(&n, part[6], part[7]));
    ref_names_free(&n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *part[PARTS];
    if (size > 1u << 14)
        return 0;
    char *texts = malloc(size + 1);
    MUST(texts);
    memcpy(texts, data, size);
    texts[size] = 0;
    const char *p = texts;
    for (size_t i = 0; i < PARTS; i++) {
        part[i] = p;
        p += p + strlen(p) < texts + size ? strlen(p) + 1 : strlen(p);
    }
    look(part);
    free(texts);
    return 0;
}
