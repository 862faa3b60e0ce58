/* known: what was last seen of each object of a collection, by uid: glibc's balanced tree, and a list to
 * walk. Holds names and digests, never contents: some 350 bytes an object, of which uid, name and release are
 * half. See kube_priv.h. */
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "kube/kube_priv.h"

static int by_uid(const void *a, const void *b) {
    return strcmp(((const struct kube_entry *)a)->uid, ((const struct kube_entry *)b)->uid);
}

struct kube_entry *kube_known_find(const struct kube_known *k, const char *uid) {
    struct kube_entry wanted = {.uid = (char *)uid};
    void *node = tfind(&wanted, &k->tree, by_uid);
    return node ? *(struct kube_entry **)node : NULL;
}

static char no_rv[] = "";

void kube_entry_rv(struct kube_entry *x, const char *rv) {
    if (strcmp(x->rv, rv) == 0)
        return;
    if (x->rv != no_rv)
        free(x->rv);
    x->rv = *rv ? strdup(rv) : no_rv;
    if (!x->rv)
        x->rv = no_rv;
}

static void entry_free(struct kube_entry *x) {
    free(x->uid);
    free(x->name);
    free(x->release);
    kube_entry_rv(x, "");
    free(x->extra);
    free(x);
}

struct kube_entry *kube_known_add(struct kube_known *k, const char *uid, const char *name) {
    if (k->n >= KUBE_KNOWN_MAX)
        return NULL;
    struct kube_entry *x = calloc(1, sizeof *x);
    if (!x)
        return NULL;
    x->rv = no_rv;
    x->uid = strdup(uid);
    x->name = strdup(name);
    if (!x->uid || !x->name || !tsearch(x, &k->tree, by_uid)) {
        entry_free(x);
        return NULL;
    }
    x->next = k->first;
    if (x->next)
        x->next->prev = x;
    k->first = x;
    k->n++;
    return x;
}

void kube_known_remove(struct kube_known *k, struct kube_entry *x) {
    (void)tdelete(x, &k->tree, by_uid);
    if (x->prev)
        x->prev->next = x->next;
    else
        k->first = x->next;
    if (x->next)
        x->next->prev = x->prev;
    k->n--;
    entry_free(x);
}

void kube_known_free(struct kube_known *k) {
    while (k->first)
        kube_known_remove(k, k->first);
}
