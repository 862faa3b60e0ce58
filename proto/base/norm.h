/* norm: the normal form of a Kubernetes object, and keyed hashes.
 *
 * One normaliser for everything that compares objects (Rollback, changes, the architecture comparison).
 * The normal form keeps what a person wrote or a controller decided and drops what the API server counts:
 *  - dropped: status; metadata.{uid, resourceVersion, generation, creationTimestamp, deletionTimestamp,
 *    deletionGracePeriodSeconds, managedFields, selfLink, ownerReferences[].uid}; the annotations that
 *    change without anybody's will (kubectl last-applied, deployment.kubernetes.io/revision,
 *    kubectl.kubernetes.io/restartedAt ...), each named with its reason in norm.c's table;
 *    spec.clusterIP(s), spec.nodeName, healthCheckNodePort, nodePort given by the server;
 *    label pod-template-hash; a Job's controller-uid; caBundle of webhooks and API services.
 *  - reduced: every value under data, stringData and binaryData of a Secret becomes "keyed:HEX"; so does
 *    every env value, annotation and flag whose name looks secret (PASSWORD, PASSPHRASE, TOKEN, SECRET, KEY,
 *    CREDENTIAL, AUTHORIZATION), and every text, as a file in a ConfigMap, that gives such a name a value or
 *    holds a URL with a password or a private key. Secrets never leave in any other form.
 *  - keys sorted, no spaces (js_canonical); lists keep their order.
 *  - kept on purpose: fields that the API server fills in with defaults, and names with a generated suffix.
 * Live objects have both before and after a change alike; only who compares a live object with a manifest or
 * with another cluster's must read past them, and does so itself. What a site adds to its objects (sidecars,
 *    replicas that an autoscaler sets) is kept, too: which of that may differ is the rubric's to say.
 *
 * Hashes: keyed BLAKE2b-256 (libsodium crypto_generichash), hex of 32 bytes. The key belongs to the
 * pilot, so that digests of different clusters compare and outsiders cannot guess values.
 * Thread-safe: no state; the key is read-only.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Which normal form this is. Agents tell it with each object (0: form 1, before they told it). Whatever
 * changes what is dropped or reduced takes a new number, so that an agent's upgrade is no change of every
 * object: digests compare within one form only, texts of two forms after norm_again.
 *
 *   1  until agents told it
 *   2  drops a Job's controller-uid, the status that autoscaling/v1 keeps in annotations, what the binding of
 * a volume writes into a claim's, and apiVersion (the same object from a list and from a watch is the same)
 */
#define NORM_VERSION 2

#define NORM_KEY_BYTES 32
#define NORM_HEX_MAX 65 /* 64 hex digits and NUL */

struct norm_key {
    uint8_t bytes[NORM_KEY_BYTES];
};

/* File: 64 hex digits and an optional newline, as `pilotgate keygen` writes it. */
int norm_key_load(const char *path, struct norm_key *ret, struct err *e) MUST_CHECK;

/* Keyed hash of bytes; out holds NORM_HEX_MAX. Returns out. */
char *norm_hash(const struct norm_key *k, const void *data, size_t len, char *out);

/* Which key this is, without telling it: two sides whose ids are equal hash alike. Returns out. */
#define NORM_KEY_ID_MAX 17 /* 16 hex digits and NUL */
char *norm_key_id(const struct norm_key *k, char out[NORM_KEY_ID_MAX]);

/* The object in normal form, a new reference; the input is not changed. NULL: out of memory or not a
 * JSON object. `kind` is taken from the object, or `fallback_kind` (list items carry none). */
json_t *norm_object(const struct norm_key *k, const json_t *object, const char *fallback_kind);

/* The same for a document of a product's own configuration, of which nothing is known: nothing is
 * dropped; every value under a key that looks secret, at any depth, is reduced. A new reference; NULL:
 * out of memory or neither a JSON object nor an array. */
json_t *norm_document(const struct norm_key *k, const json_t *document);

/* Drops from an object's normal form, of this or an earlier version, what this version drops. In place. */
void norm_again(json_t *normal);

/* A custom resource, of whose fields nothing is known, in normal form: norm_object, and every value under a
 * key that looks secret is reduced as norm_document does. kind is KIND.GROUP, as records spell it. Of the
 * objects of Flux and Argo CD more is known: what is asked for in passing (a refresh, a sync) is dropped, and
 * a user's values (values, parameters, substitute) are norm_values. A new reference; NULL: out of memory or
 * not a JSON object. */
json_t *norm_custom(const struct norm_key *k, const json_t *object, const char *kind);

/* What a user gave a chart or a kustomization: passwords stand there under any name, so every text becomes
 * its keyed hash; numbers, booleans and null stay, unless their name looks secret. A new reference; NULL: out
 * of memory. */
json_t *norm_values(const struct norm_key *k, const json_t *values);

/* Canonical text of a normal form and its keyed hash; text is malloc'ed. */
int norm_digest(const struct norm_key *k, const json_t *normal, char **ret_text, char *ret_hex) MUST_CHECK;
