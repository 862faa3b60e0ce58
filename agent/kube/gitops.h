/* gitops: what Flux and Argo CD say of the objects that they reconcile. Their spec is told as an object of
 * kind KIND.GROUP ("HelmRelease.helm.toolkit.fluxcd.io") in normal form; their status, which is no
 * configuration, as an object of kind "GitOps", name "KIND.GROUP/NAME", with this form. Of objects in other
 * namespaces (kube.gitops_namespaces) only the status is told, of those that apply to the stage and of
 * sources, as "KIND.GROUP/NAMESPACE/NAME":
 *
 *   {"controller": "flux" | "argocd", "kind", "name", "namespace",
 *    "suspended": bool, "automated": bool (Argo CD: it syncs by itself; Flux: not suspended),
 *    "ready": "True" | "False" | "Unknown" | "", "reason", "message",
 *    "drifted": bool, "stalled": bool,
 *    "revision": what was applied, "attempted": what was tried last, "fetched": of a source and a HelmChart,
 *    "source": {"kind","name","namespace","url","path","ref"} | null,
 *    "release": {"name","namespace"} | null, "storage_namespace", "targets": namespace that it applies to,
 *    "action", "phase", "failures": N,
 *    "conditions": {TYPE: {"status","reason","since"}},
 *    "history":
 * [{"helm_revision","status","action","chart","chart_version","app_version","config_digest","digest",
 *                 "revision","release","namespace","started","deployed"}]}      newest first, as the API
 * keeps it
 *
 * Where from (spec and status of the object, JSON names of the API types):
 *   HelmRelease    helm.toolkit.fluxcd.io/v2 api/v2/{helmrelease,snapshot}_types.go: status.history[] with
 * name, namespace, version, status, action, chartName, chartVersion, appVersion, configDigest, digest,
 *                  firstDeployed, lastDeployed; lastAttemptedRevision, lastAttemptedReleaseAction, failures,
 *                  storageNamespace, conditions Ready, Released, TestSuccess, Remediated, Drifted, Stalled.
 *                  v2beta1 has no history, but lastAppliedRevision and lastReleaseRevision.
 *   Kustomization  kustomize.toolkit.fluxcd.io/v1: lastAppliedRevision ("main@sha1:SHA"),
 * lastAttemptedRevision; from Flux 2.7 history[] with digest, firstReconciled, lastReconciledStatus,
 * metadata.revision. sources        source.toolkit.fluxcd.io/v1: artifact.revision,
 * observedSourceArtifactRevision of a HelmChart. Application    argoproj.io/v1alpha1 types.go: sync.status
 * and .revision, health.status, operationState.phase, .message and .syncResult.revision, history[] (oldest
 * first) with id, revision, deployStartedAt, deployedAt.
 *
 * Left out because it moves without anything happening: observedGeneration, lastHandledReconcileAt,
 * lastReconciled, reconciledAt, inventories, resources. Texts are bounded and reduced (kube_words_reduce);
 * Flux's own digests of values and releases are unkeyed and become keyed hashes, which compare as well. No
 * user's name is told.
 */
#pragma once

#include <jansson.h>

#include "base/norm.h"

#define GITOPS_HISTORY_MAX 32
#define GITOPS_CONDITIONS_MAX 24

/* The form above of an object of this kind ("HelmRelease") and group; a new reference. NULL: out of memory.
 * Pure. */
json_t *gitops_form(const struct norm_key *key, const json_t *object, const char *kind, const char *group);
