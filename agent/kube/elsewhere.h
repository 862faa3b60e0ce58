/* elsewhere: GitOps in other namespaces than the stage's. */
#pragma once

#include "kube/kube_priv.h"

#define KUBE_GITOPS_ROWS_MAX 32
/* The kinds of GitOps once more, for another namespace than the stage's: only what applies to the stage is
 * told, and only its status. */
struct kube_elsewhere {
    struct kube_scope scope;
    struct kube_kind kinds[KUBE_GITOPS_ROWS_MAX + 1]; /* ended by source == NULL */
    char sources[KUBE_GITOPS_ROWS_MAX][2 * KUBE_NAME_MAX];
};
void kube_elsewhere_init(struct kube_elsewhere *w, const struct kube_scope *stage, const char *ns);
