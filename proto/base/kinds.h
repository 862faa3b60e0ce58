/* kinds: how records, references and people name the kind of a Kubernetes object. Pure, no state.
 *
 * A kind that every API server has is named alone, "Deployment", whatever the version; of any other group
 * with its group, "HTTPRoute.gateway.networking.k8s.io", so that two groups' kinds of one name are two kinds.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define KINDS_NAME_MAX 320 /* KIND.GROUP */

/* Is the group ("" for core, "apps", "networking.k8s.io" ...) one of Kubernetes' own? */
bool kinds_builtin_group(const char *group);

/* KIND or KIND.GROUP of an object's apiVersion ("apps/v1", "v1") and kind. -EINVAL when one of them cannot be
 * such, or the name is longer than size. */
int kinds_name(const char *api_version, const char *kind, char *out, size_t size) MUST_CHECK;

/* Kubernetes' own kinds, ended by NULL: for checking what people write. */
extern const char *const kinds_builtin[];
/* Is this one of Kubernetes' own kinds that lives in no namespace? Of others nothing is known. */
bool kinds_cluster_scoped(const char *kind);
