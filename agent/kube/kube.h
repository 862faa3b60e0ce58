/* kube: the Kubernetes source. One thread lists and watches the stage over libcurl with the pod's service
 * account and emits phase, object and coverage records.
 *
 * Node-scoped (every agent): pods of its node. Stage-scoped (the holder of the Lease `kube.lease`; where that
 * is empty, or the Lease cannot be had, every agent with kube.stage_scoped, and the collector takes each
 * (uid, resourceVersion) once): the Namespace (polled), Helm release Secrets, Deployments, StatefulSets,
 * DaemonSets, Services, ConfigMaps, Secrets' digests when allowed, service accounts, claims of volumes,
 * quotas and limit ranges, which Services have ready endpoints, Jobs (Helm's hooks), pods that no node has
 * yet, and the Events of pods (image pulls). Where the API server serves them: Ingresses, NetworkPolicies,
 * autoscalers, disruption budgets, CronJobs, Roles, RoleBindings, Gateways and HTTPRoutes, the custom
 * resources of kube.resources, and with kube.gitops the objects of Flux and Argo CD, of which the status is
 * also read in kube.gitops_namespaces. What is not served is no error, and coverage says so.
 *
 * How many agents there should be is what the DaemonSet of this agent's own pod wants; the pod is found by
 * the variable POD_NAME, else the host's name. Not known (no DaemonSet, other namespace, not stage-scoped):
 * 0.
 *
 * For every target with `replicas` (every agent): the Endpoints of that Service, told by a callback, not by
 * records. core/v1 Endpoints, as every API server from 1.20 on serves it.
 *
 * What cannot be read is emitted once as an Object with OP_UNREADABLE and a reason that says which verb on
 * which resource to allow; everything else goes on, and reading is tried again every 30 s.
 *
 * Protocol facts: Kubernetes API conventions, "Efficient detection of changes" (list, watch, bookmarks,
 * 410); Helm pkg/storage/driver/secrets.go (release Secrets).
 * Limits: one object KUBE_OBJECT_MAX bytes of text and KUBE_NODES_MAX values (items.h); a longer one is said
 * to be unreadable and the others go on. Lists are taken object by object, however long they are. A page that
 * is asked for has KUBE_PAGE items; one decoded release KUBE_RELEASE_MAX bytes.
 */
#pragma once

#include "base/norm.h"
#include "config.h"
#include "source.h"

#define KUBE_PAGE 250
#define KUBE_RELEASE_MAX (32u << 20)

struct kube; /* opaque; one thread of its own between start and stop */

/* What a holder of the Lease must know of the way to the collector, so that its successor can go on where the
 * collector has everything. The functions are called from the kube thread. */
struct kube_handover {
    /* Everything that was emitted before this moment (when_mono_ns) is committed at the collector; 0:
     * unknown. */
    int64_t (*settled)(void *ctx);
    /* What the collector's clock answered: its time is ours plus offset, give or take bound; false: nothing.
     */
    bool (*clock)(void *ctx, int64_t *ret_offset_ns, uint64_t *ret_bound_ns);
    void *ctx;
    const uint8_t *boot; /* WIRE_BOOT_BYTES; of this lifetime */
};

/* Starts the thread. config, key, emit, replicas and handover must outlive it. replicas (NULL: nobody asks)
 * is called from the thread, with each change of a Service's addresses, and with the reason when they cannot
 * be read. handover (NULL: nobody settles): a successor lists then. */
int kube_start(const struct config *c, const struct norm_key *key, const struct emit *emit,
               const struct replicas_to *replicas, const struct kube_handover *handover, struct kube **ret,
               struct err *e) MUST_CHECK;
/* Asks the thread to end, waits for it, gives the Lease up (at most a second), frees. NULL-safe. */
void kube_stop(struct kube **k);

/* For `pilotgate-agent check`: tries each thing the source needs and calls `say` once a line:
 * ok, what was tried, and what to do when it did not work. Returns the number of failures. */
int kube_check(const struct config *c, check_say *say, void *ctx);

/* Identity of the stage, for Hello: the Namespace's UID and the digest of the cluster's CA (hex);
 * "" for what cannot be read. Blocking, at most 5 s. */
void kube_identity(const struct config *c, char ns_uid[64], char cluster_identity[80]);
