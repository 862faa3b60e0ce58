/* metrics: see metrics.h. */
#include "serve/metrics.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#define NUMBER_MAX 40

/* Backslash, line feed and, in labels, the double quote are escaped; what is no printable ASCII nor a part of
 * UTF-8 never reaches this far in names that the wire took, and would do no harm here. */
static int add_escaped(struct buf *out, const char *text) {
    int r = 0;
    for (const char *p = text; *p && r == 0; p++) {
        if (*p == '\n')
            r = buf_adds(out, "\\n");
        else if (*p == '\\' || *p == '"')
            r = buf_addf(out, "\\%c", *p);
        else
            r = buf_add(out, p, 1);
    }
    return r;
}

/* Whole numbers as such; the shortest text otherwise that gives the same number back. */
static void write_number(double value, char out[NUMBER_MAX]) {
    if (isnan(value))
        (void)snprintf(out, NUMBER_MAX, "NaN");
    else if (isinf(value))
        (void)snprintf(out, NUMBER_MAX, value > 0 ? "+Inf" : "-Inf");
    else if (fabs(value) < 1e15 && value == floor(value))
        (void)snprintf(out, NUMBER_MAX, "%.0f", value + 0.0);
    else
        (void)snprintf(out, NUMBER_MAX, "%.15g", value);
}

/* `le` may be NULL. */
static int add_labels(struct buf *out, const struct metric_labels *labels, const char *le) {
    const char *before = "{";
    int r = 0;
    for (size_t i = 0; i < labels->n && r == 0; i++) {
        r = buf_addf(out, "%s%s=\"", before, labels->list[i].name);
        if (r == 0)
            r = add_escaped(out, labels->list[i].value);
        if (r == 0)
            r = buf_adds(out, "\"");
        before = ",";
    }
    if (r == 0 && le)
        r = buf_addf(out, "%sle=\"%s\"", before, le);
    return r == 0 && (labels->n > 0 || le) ? buf_adds(out, "}") : r;
}

static int add_sample(struct buf *out, const char *name, const char *suffix,
                      const struct metric_labels *labels, const char *le, double value) {
    char number[NUMBER_MAX];
    write_number(value, number);
    int r = buf_addf(out, "%s%s", name, suffix);
    if (r == 0)
        r = add_labels(out, labels, le);
    return r == 0 ? buf_addf(out, " %s\n", number) : r;
}

int metric_head(struct buf *out, const char *name, const char *type, const char *help) {
    return buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

int metric_value(struct buf *out, const char *name, const struct metric_labels *labels, double value) {
    return add_sample(out, name, "", labels, NULL, value);
}

int metric_histogram(struct buf *out, const char *name, const struct metric_labels *labels,
                     const struct metric_histogram *h) {
    char le[NUMBER_MAX];
    uint64_t count = 0;
    int r = h->n <= METRIC_BUCKETS_MAX ? 0 : -EINVAL;
    for (size_t i = 0; i < h->n && r == 0; i++) {
        count += h->counts[i];
        write_number(h->bounds[i], le);
        r = add_sample(out, name, "_bucket", labels, le, (double)count);
    }
    count += r == 0 ? h->counts[h->n] : 0;
    if (r == 0)
        r = add_sample(out, name, "_bucket", labels, "+Inf", (double)count);
    if (r == 0)
        r = add_sample(out, name, "_sum", labels, NULL, h->sum);
    return r == 0 ? add_sample(out, name, "_count", labels, NULL, (double)count) : r;
}

int metric_single(struct buf *out, const char *name, const char *type, const char *help, double value) {
    int r = metric_head(out, name, type, help);
    return r == 0 ? metric_value(out, name, METRIC_NO_LABELS, value) : r;
}
