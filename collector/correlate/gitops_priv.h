/* gitops_priv: what gitops.c and gitops_history.c share. */
#pragma once

#include "correlate/gitops.h"

#define GITOPS_OWNER_MAX (3 * WIRE_NAME_MAX)

/* Everything that the questions need, as of one moment; all owned but f and rubric. */
struct gitops {
    const struct facts *f;
    const struct rubric *rubric;
    int64_t t;
    json_t *status;  /* owner ("flux:HelmRelease/NS/NAME") or "source:KIND/NS/NAME" -> form of
                        agent/kube/gitops.h, with  "evidence" */
    json_t *objects; /* [{"object","kind","name","managed_by","instance","evidence"}] that count */
    json_t *claims;  /* "KIND.GROUP/NAME" -> managed_by, of Flux's and Argo CD's own objects in the stage */
    json_t *helm;    /* Helm release -> owner that says that it is its */
};

/* "flux:HelmRelease/NS/NAME" of a form; out holds GITOPS_OWNER_MAX. */
void gitops_owner_of(const json_t *form, char *out);
/* The form of a source of Flux, NULL: not read. */
const json_t *gitops_source(const struct gitops *g, const char *kind, const char *ns, const char *name);
/* gitops_history.c: "revisions", a new reference; NULL: out of memory. */
json_t *gitops_history(const struct gitops *g);
