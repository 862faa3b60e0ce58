/* flux: suspends Flux objects while a drill lasts, so that Flux does not undo the drill's change, by kubectl
 * and spec.suspend (Flux API: HelmRelease v2, Kustomization v1, sources v1).
 *
 * What was suspended before stays so. Resumed is what we suspended, also when the drill fails, and by a guard
 * process when the drill is killed: the guard ends by itself when the drill has resumed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "wire/wire.h"

#define FLUX_MAX 32

struct flux_item {
    char resource[WIRE_NAME_MAX + 1]; /* "helmreleases.helm.toolkit.fluxcd.io" */
    char kind[WIRE_NAME_MAX + 1], name[WIRE_NAME_MAX + 1], namespace_name[WIRE_NAME_MAX + 1];
    bool ours; /* to be resumed by us */
};

struct flux {
    const char *context; /* of the kubeconfig, or NULL: its current one */
    struct flux_item items[FLUX_MAX];
    size_t n;
    pid_t guard; /* 0: none */
    int guard_fd;
};

/* list: "KIND/NAME" or "KIND/NAMESPACE/NAME", split by ','; ns where none is named. KIND is one of Flux's, or
 * RESOURCE.GROUP of anything else that has spec.suspend. Touches nothing yet. */
int flux_parse(const char *list, const char *ns, struct flux *ret, struct err *e) MUST_CHECK;
/* On failure what was suspended is resumed. */
int flux_suspend(struct flux *f, struct err *e) MUST_CHECK;
/* Resumes what we suspended and dismisses the guard; goes on after a failure, and tells the first. Does
 * nothing when nothing is suspended. */
int flux_resume(struct flux *f, struct err *e) MUST_CHECK;
