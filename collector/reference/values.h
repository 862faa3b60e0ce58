/* values: do two leaves of an object mean the same? Pure; no state; every input may be hostile.
 *
 * What a leaf means follows from its place: kind of the object and JSON Pointer. Sources: Kubernetes API,
 * k8s.io/apimachinery resource.Quantity (pkg/api/resource/quantity.go), intstr.IntOrString, metav1.Duration
 * (Go's time.ParseDuration), metav1.LabelSelector, and github.com/distribution/reference for images. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum ref_meaning {
    REF_TEXT,          /* as it is; numbers by value */
    REF_QUANTITY,      /* "500m", "0.5", 1, "1Gi" */
    REF_DURATION,      /* "1h", "60m0s"; of custom resources of Flux and their like */
    REF_INT_OR_STRING, /* 80 and "80" */
    REF_IMAGE,         /* "nginx" and "docker.io/library/nginx:latest" */
    REF_BYTES,         /* base64 */
};
enum ref_meaning ref_meaning_of(const char *kind, const char *pointer);

/* Same meaning? Neither is NULL; a is the reference's side, whose image "x:1" is also "x:1@sha256:...", but
 * not the other way round: between two stages ask both ways. A keyed hash ("keyed:HEX") equals only itself
 * and DIFF_SECRET, which equals any text: "(secret)" alone, or inside of a text that is otherwise the same.
 */
bool ref_same_value(enum ref_meaning m, const json_t *a, const json_t *b);

/* Exact, over the whole range that Kubernetes allows; -EINVAL. *ret in nano-units, saturating at 128 bits. */
int ref_quantity(const char *text, __int128 *ret) MUST_CHECK;
/* Go's syntax, ns. -EINVAL, -ERANGE. */
int ref_duration(const char *text, int64_t *ret) MUST_CHECK;
/* -1, 0, 1 by meaning, numbers, quantities, durations and percentages alike; *ret_known false: they do not
 * compare. For at_least and at_most. */
int ref_order(const json_t *a, const json_t *b, bool *ret_known);

#define REF_IMAGE_MAX 1024
struct ref_image {                  /* parts of text; "" where there is none */
    char repository[REF_IMAGE_MAX]; /* "docker.io/library/nginx" */
    char tag[129];                  /* "latest" where neither tag nor digest is named */
    char digest[160];               /* "sha256:..." */
};
int ref_image(const char *text, struct ref_image *ret) MUST_CHECK; /* -EINVAL */

/* Does this label selector (matchLabels and matchExpressions; a Service's plain map when `plain`) select
 * these labels? An empty one selects everything, but a plain one nothing. Unknown operators select nothing.
 */
bool ref_selects(const json_t *selector, bool plain, const json_t *labels);
/* A selector in one order and spelling, so that those that mean the same are equal JSON; {k In [v]} stands in
 * matchLabels. A new reference; NULL: out of memory. What is no selector comes back as it is. */
json_t *ref_selector_form(const json_t *selector);

/* What stands at `pointer` of an object of this kind: `value` is what stands there, `object` the whole normal
 * form (requests default to limits, targetPort to port ...). A map, or a list of maps, is one when all in it
 * is.
 *
 * The API server's default: does a live object have this value here although nobody wrote it? Table in
 * defaults.c, with the source of each row. */
bool ref_is_default(const char *kind, const char *pointer, const json_t *value, const json_t *object);
/* What controllers and tools add to an object that nobody wrote there: labels and annotations of Helm, Flux,
 * Argo CD, kubectl and the API server, finalizers, the cluster's storage class ... */
bool ref_is_added(const char *kind, const char *pointer, const json_t *value, const json_t *object);
/* What the API server leaves out when somebody writes it (null, hostNetwork: false, an empty list or map
 * ...): a manifest that says so says nothing. */
bool ref_is_left_out(const char *kind, const char *pointer, const json_t *value);

/* The object as the newest version of its API says it: autoscaling/v1 as v2, an Ingress of v1beta1 as v1. A
 * new reference, of the same object where there is nothing to change; NULL: out of memory. */
json_t *ref_newest_form(const char *kind, const json_t *normal);
