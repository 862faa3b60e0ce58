/* reduce: what of free text, of a user's values and of labels may be told. Pure; thread-safe. kube_priv.h
 * includes it. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/norm.h"

#define KUBE_NAME_MAX 254  /* names and label values, with NUL */
#define KUBE_OWNER_MAX 560 /* "flux:Kustomization/NAMESPACE/NAME", with NUL */

/* ---- words.c: free text */

#define KUBE_WORDS_MAX 257 /* with NUL */
/* Free text of a controller, a description of Helm's ..., bounded, so that it may be told: a text that
 * gives a secret-looking name a value, or holds a URL with a password, becomes its keyed hash; of others,
 * words that look like tokens become "***". What a secret looks like no other word does, stays: see words.c.
 */
void kube_words_reduce(const struct norm_key *key, const char *text, char out[KUBE_WORDS_MAX]);
/* True when these n bytes look like a token. */
bool kube_words_random(const char *word, size_t n);

/* ---- values.c: what a user gave a chart or a kustomization */

/* norm_values as {JSON Pointer: value} of all leaves, at most about max bytes; ret_cut: some were left out.
 */
json_t *kube_values_list(const struct norm_key *key, const json_t *values, size_t max, bool *ret_cut);

/* ---- owner.c: who owns an object as code */

#define KUBE_APPS_MAX 256
struct kube_apps { /* the Applications of Argo CD that were seen in the namespace */
    char names[KUBE_APPS_MAX][KUBE_NAME_MAX];
    size_t n;
};
/* a may be NULL. */
void kube_apps_add(struct kube_apps *a, const char *name);
void kube_apps_remove(struct kube_apps *a, const char *name);

/* Object.managed_by by labels and annotations; "" for nobody. */
void kube_owner_read(const struct kube_apps *apps, const json_t *object, char out[KUBE_OWNER_MAX]);
