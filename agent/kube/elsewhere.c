/* elsewhere: the kinds of GitOps in another namespace than the stage's, where Flux and Argo CD often keep
 * their objects. Rows of one kind stay together, as kinds.c has them. See kube_priv.h. */
#include <stdio.h>

#include "kube/elsewhere.h"

void kube_elsewhere_init(struct kube_elsewhere *w, const struct kube_scope *stage, const char *ns) {
    size_t n = 0;
    *w = (struct kube_elsewhere){.scope = *stage};
    w->scope.namespace_name = ns;
    w->scope.stage_namespace = stage->namespace_name;
    for (const struct kube_kind *k = kube_kinds; k->source && n < KUBE_GITOPS_ROWS_MAX; k++) {
        if (!k->gitops)
            continue;
        (void)snprintf(w->sources[n], sizeof w->sources[n], "%.200s/%.253s", k->source, ns);
        w->kinds[n] = *k;
        w->kinds[n].source = w->sources[n];
        n++;
    }
}
