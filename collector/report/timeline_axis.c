/* timeline_axis: columns for moments. Time is linear but for long quiet, which is folded into one column, so
 * that the minutes in which something happened are seen in a pilot of weeks. See timeline_priv.h. */
#include <stdlib.h>
#include <string.h>

#include "base/when.h"
#include "report/timeline_priv.h"

#define QUIET_MIN (60 * WHEN_S) /* what is shorter is never folded */
#define QUIET_PART 6            /* nor what is less than this part of the time that is shown */
#define PAD_PART 20             /* before and after what happened stays so much of it */

struct moments {
    int64_t *at;
    size_t n;
};

static void note(struct moments *m, const struct timeline *t, int64_t at) {
    if (at >= t->from && at <= t->to)
        m->at[m->n++] = at;
}

static int by_time(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static size_t most_moments(const struct timeline *t) {
    size_t n = 2 + t->n_marks + t->f->n_changes;
    for (size_t i = 0; i < t->n_rows; i++)
        n += 2 * t->rows[i].n_spans + t->rows[i].n_failures;
    return n;
}

/* Everything at which a row changes. */
static struct moments collect(const struct timeline *t) {
    struct moments m = {.at = calloc(most_moments(t), sizeof(int64_t))};
    if (!m.at)
        return m;
    for (size_t i = 0; i < t->n_rows; i++) {
        const struct tl_row *row = &t->rows[i];
        for (size_t k = 0; k < row->n_spans; k++) {
            note(&m, t, row->spans[k].from);
            note(&m, t, row->spans[k].to);
        }
        for (size_t k = 0; k < row->n_failures; k++)
            note(&m, t, row->failures[k]->lo);
    }
    for (size_t i = 0; i < t->n_marks; i++)
        note(&m, t, t->marks[i].at);
    for (size_t i = 0; i < t->f->n_changes; i++)
        note(&m, t, t->f->changes[i].begin_lo);
    note(&m, t, t->from);
    note(&m, t, t->to);
    qsort(m.at, m.n, sizeof *m.at, by_time);
    return m;
}

struct quiet {
    int64_t from, to;
};

static int by_length(const void *a, const void *b) {
    const struct quiet *x = a;
    const struct quiet *y = b;
    int64_t lx = x->to - x->from;
    int64_t ly = y->to - y->from;
    return lx != ly ? (lx > ly ? -1 : 1) : by_time(&x->from, &y->from);
}

static int by_begin(const void *a, const void *b) {
    return by_time(&((const struct quiet *)a)->from, &((const struct quiet *)b)->from);
}

/* The longest quiets first, each as long as it is a good part of what stays; at most `most`. */
static size_t choose(struct quiet *q, size_t n, int64_t shown, size_t most) {
    size_t chosen = 0;
    if (n)
        qsort(q, n, sizeof *q, by_length);
    while (chosen < n && chosen < most) {
        int64_t length = q[chosen].to - q[chosen].from;
        if (length < QUIET_MIN || length < shown / QUIET_PART)
            break;
        shown -= length;
        chosen++;
    }
    if (chosen)
        qsort(q, chosen, sizeof *q, by_begin);
    return chosen;
}

/* A little before and after what happened is shown, too. */
static void pad(struct quiet *q, size_t n, int64_t shown) {
    for (size_t i = 0; i < n; i++) {
        int64_t some = shown / PAD_PART;
        if (some > (q[i].to - q[i].from) / 4)
            some = (q[i].to - q[i].from) / 4;
        q[i].from += some;
        q[i].to -= some;
    }
}

/* Columns in proportion; each segment has at least one, the last takes what rounding left. */
static void lay_out(struct tl_axis *a, unsigned width) {
    int64_t shown = 0;
    for (size_t i = 0; i < a->n; i++)
        shown += a->segments[i].to - a->segments[i].from;
    unsigned room = width - (unsigned)(a->n - 1) - (unsigned)a->n; /* folds, and one column each */
    unsigned col = 0;
    for (size_t i = 0; i < a->n; i++) {
        struct tl_segment *s = &a->segments[i];
        double part = shown > 0 ? (double)(s->to - s->from) / (double)shown : 1;
        s->col = col;
        s->cols = 1 + (unsigned)(part * room);
        if (i + 1 == a->n)
            s->cols = width - col;
        col += s->cols + 1;
    }
    a->width = width;
}

void timeline_axis(const struct timeline *t, unsigned width, struct tl_axis *ret) {
    struct moments m = collect(t);
    struct quiet *q = m.n > 1 ? calloc(m.n, sizeof *q) : NULL;
    size_t n = 0;
    int64_t shown = t->to - t->from;
    size_t most = width / 8 < TL_SEGMENTS_MAX ? width / 8 : TL_SEGMENTS_MAX;
    *ret = (struct tl_axis){.n = 0};
    for (size_t i = 1; q && i < m.n; i++)
        q[n++] = (struct quiet){m.at[i - 1], m.at[i]};
    n = choose(q, n, shown, most ? most - 1 : 0);
    for (size_t i = 0; i < n; i++)
        shown -= q[i].to - q[i].from;
    pad(q, n, shown);
    int64_t from = t->from;
    for (size_t i = 0; i <= n; i++) {
        ret->segments[ret->n++] = (struct tl_segment){.from = from, .to = i < n ? q[i].from : t->to};
        from = i < n ? q[i].to : from;
    }
    free(q);
    free(m.at);
    lay_out(ret, width);
}

unsigned tl_axis_col(const struct tl_axis *a, int64_t t) {
    for (size_t i = 0; i < a->n; i++) {
        const struct tl_segment *s = &a->segments[i];
        if (t > s->to && i + 1 < a->n)
            continue;
        if (t < s->from)
            return i ? s->col - 1 : 0;
        double part = s->to > s->from ? (double)(t - s->from) / (double)(s->to - s->from) : 0;
        unsigned col = (unsigned)(part * s->cols);
        return s->col + (col < s->cols ? col : s->cols - 1);
    }
    return 0;
}

static const struct tl_segment *segment_of(const struct tl_axis *a, unsigned col) {
    for (size_t i = 0; i < a->n; i++)
        if (col >= a->segments[i].col && col < a->segments[i].col + a->segments[i].cols)
            return &a->segments[i];
    return NULL;
}

bool tl_axis_folded(const struct tl_axis *a, unsigned col) {
    return segment_of(a, col) == NULL;
}

int64_t tl_axis_time(const struct tl_axis *a, unsigned col) {
    const struct tl_segment *s = segment_of(a, col);
    if (!s) /* folded, or behind the end */
        s = col ? segment_of(a, col - 1) : NULL;
    if (!s)
        return 0;
    return s->from + (int64_t)((double)(s->to - s->from) * ((double)(col - s->col) / s->cols));
}
