/* gitops: which objects of a stage are owned as code, by whom and from which source; and which revision of
 * that code was which Helm revision and which change. Pure: facts in, a document out.
 *
 *   {"stage","objects","owned","percent",
 *    "owners": [{"owner": "flux:HelmRelease/NS/NAME" | "flux:Kustomization/NS/NAME" | "argocd:NAME",
 * "objects", "seen": bool, "via", "ready","reason","message","suspended","drifted","stalled","automated",
 *                "revision","attempted","failures",
 *                "source": {"kind","name","namespace","url","path","ref","revision"} | null, "evidence"}],
 *    "unowned": [{"object": "KIND/NAME", "helm": release, "evidence"}],
 *    "revisions": [{"owner","revision","source_revision","helm": "RELEASE.vN","chart","status","action","at",
 *                   "change","tied_by": "release" | "time", "evidence"}]}             oldest first
 *
 * "seen": the agent may read the owner itself; otherwise only the labels of what it owns tell of it (an owner
 * in another namespace), and its state and source are not known. Owned as code is what Flux or Argo CD say
 * they own; what Helm alone installed is not, but counts as owned when a HelmRelease of Flux says that the
 * release is its. Not counted: pilotgate's own objects, those that have a controller (it makes them), Helm's
 * Secrets, the Namespace, what the rubric ignores. A revision is tied to a change by release name and Helm
 * revision where it has them
 * ("release"), else by the API's whole seconds lying within the change's window ("time").
 */
#pragma once

#include <jansson.h>

#include "correlate/facts.h"

/* As of t. A new reference in ret. */
int gitops_read(const struct facts *f, const struct rubric *rubric, int64_t t, json_t **ret,
                struct err *e) MUST_CHECK;
