/* metrics: Prometheus' text, version 0.0.4, written line by line into a buffer. Pure but for the memory.
 *
 * A metric begins with metric_head, once; its samples follow at once: metric_value for each set of labels, or
 * metric_histogram. Names are ours and must be valid; the values of labels may be any text, and are escaped.
 * Prometheus, "Exposition formats", "Text-based format". */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define METRIC_BUCKETS_MAX 32

struct metric_label {
    const char *name, *value;
};

struct metric_labels {
    const struct metric_label *list;
    size_t n;
};
#define METRIC_NO_LABELS (&(const struct metric_labels){NULL, 0})
#define METRIC_LABELS(...)                                                              \
    (&(const struct metric_labels){(const struct metric_label[]){__VA_ARGS__},          \
                                   sizeof((const struct metric_label[]){__VA_ARGS__}) / \
                                       sizeof(struct metric_label)})

/* counts[i]: observations of at most bounds[i] and above the bound before; counts[n]: above the last one. */
struct metric_histogram {
    size_t n; /* bounds, ascending, at most METRIC_BUCKETS_MAX */
    const double *bounds;
    const uint64_t *counts;
    double sum;
};

/* type: "counter", "gauge", "histogram". */
int metric_head(struct buf *out, const char *name, const char *type, const char *help) MUST_CHECK;
int metric_value(struct buf *out, const char *name, const struct metric_labels *labels,
                 double value) MUST_CHECK;
int metric_histogram(struct buf *out, const char *name, const struct metric_labels *labels,
                     const struct metric_histogram *h) MUST_CHECK;
/* A metric of one sample without labels, with its head. */
int metric_single(struct buf *out, const char *name, const char *type, const char *help,
                  double value) MUST_CHECK;
