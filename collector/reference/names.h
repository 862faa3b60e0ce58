/* names: texts of two sides, read as relative to release, chart and namespace. Pure.
 *
 * A chart writes its release's name, or RELEASE-CHART (only RELEASE when the release contains the chart's
 * name: Helm's "fullname"), and its namespace into names, labels, hosts and references between objects. Two
 * texts are the same when one becomes the other by putting these of the one side in the place of those of the
 * other. Words are whole: bounded by the text's ends or a character that is neither letter nor digit. Linear
 * in the texts' length. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct ref_pair { /* what stands for what, longest first; owned */
    char *a, *b;
};
struct ref_names {
    struct ref_pair *pairs; /* owned */
    size_t n, cap;
};
struct ref_side;

/* The pairs that follow from both sides' release, chart and namespace. */
int ref_names_of(const struct ref_side *a, const struct ref_side *b, struct ref_names *ret) MUST_CHECK;
/* One more: objects that were matched under otherwise unlike names (generated suffixes). */
int ref_names_add(struct ref_names *n, const char *a, const char *b) MUST_CHECK;
bool ref_names_same(const struct ref_names *n, const char *a, const char *b);
void ref_names_free(struct ref_names *n);

/* "{release}-engine" of "shop-engine"; "{namespace}" likewise. out holds size bytes; false: it was cut. */
bool ref_name_relative(const struct ref_side *s, const char *name, char *out, size_t size);
/* The same name but for a suffix that tools generate (10 characters of kustomize's and Kubernetes' safe
 * alphabet, or 8 to 64 hexadecimal digits, a letter among them, after a '-')? */
bool ref_name_generated(const struct ref_names *n, const char *a, const char *b);
