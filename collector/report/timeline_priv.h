/* timeline_priv: a stage as rows of spans on a time axis, and who writes them.
 *
 *   facts ─ timeline_rows.c, timeline_pods.c ─► rows ─ timeline_axis.c (long quiet is folded) ─►
 * timeline_gantt.c └──────────────────────────────────────────► timeline_json.c
 *
 * Texts are borrowed from the facts, except where a row owns them. One thread. */
#pragma once

#include "report/report.h"

enum tl_state {
    TL_NONE,
    TL_EXISTS,    /* the namespace */
    TL_UNDER_WAY, /* a release's operation, a workload's rollout, a hook */
    TL_KNOWN,     /* a revision of before the agents came: when it was deployed, nobody saw */
    TL_DEPLOYED,  /* a release */
    TL_AVAILABLE, /* a workload */
    TL_CREATED,   /* a pod, from here on */
    TL_UNSCHEDULABLE,
    TL_SCHEDULED,
    TL_PULLING,
    TL_INIT,
    TL_STARTED,
    TL_READY,
    TL_UNREADY,
    TL_FAILING, /* and a release that failed */
    TL_DELETING,
    TL_STATES
};
const char *tl_state_name(enum tl_state s);

struct tl_span {
    enum tl_state state;
    int64_t from, to;            /* to INT64_MAX: still so */
    const struct fact_phase *by; /* that began it */
};

enum tl_row_kind { TL_NAMESPACE, TL_RELEASE, TL_HOOK, TL_WORKLOAD, TL_POD, TL_POD_GROUP };
const char *tl_row_name(enum tl_row_kind k);

struct tl_row {
    enum tl_row_kind kind;
    const char *subject, *uid, *owner;
    int64_t born, gone;    /* gone INT64_MAX: not seen gone */
    struct tl_span *spans; /* owned, in time's order */
    size_t n_spans, cap_spans;
    const struct fact_phase **failures; /* array owned */
    size_t n_failures, cap_failures;
    const struct fact_phase *first, *goal; /* what its figure is about: from, to; goal NULL: not reached */
    const struct fact_phase *pulled;       /* of a pod: the costliest pull that the kubelet told */
    size_t group;                          /* TL_POD_GROUP: how many pods */
    char note[96];
};

struct tl_mark { /* one moment */
    int64_t at;
    const char *what, *text;     /* "first-call"; who or what it is about */
    const struct fact_phase *by; /* NULL: a person's mark */
};

struct timeline {
    const struct facts *f;
    int64_t from, to;    /* the window */
    bool adopted;        /* the product was there before the agents */
    struct tl_row *rows; /* owned; in the order in which they are shown */
    size_t n_rows, cap_rows;
    struct tl_mark *marks; /* owned; by `at` */
    size_t n_marks, cap_marks;
};

/* FIRST_TOOL_LISTED, FIRST_CALL: of one agent. */
bool tl_is_first(int kind);
/* timeline_rows.c: every row of the stage, whatever the window. */
int timeline_rows(struct timeline *t, struct err *e) MUST_CHECK;
void timeline_free(struct timeline *t);
/* timeline_pods.c: what the phases of one thing make of its row; sorted by time, then by their natural order.
 */
int timeline_row_fill(struct tl_row *row, const struct fact_phase *const *phases, size_t n) MUST_CHECK;
/* Orders rows: pods under their workload; leaves out what does not meet the window; unless all: joins pods
 * that were gone before the newest revision into one row a workload. */
int timeline_arrange(struct timeline *t, bool all, struct err *e) MUST_CHECK;

/* timeline_axis.c */
#define TL_SEGMENTS_MAX 24
struct tl_segment {
    int64_t from, to;
    unsigned col, cols; /* cols >= 1; the column before it, but for the first, stands for what is folded */
};
struct tl_axis {
    struct tl_segment segments[TL_SEGMENTS_MAX];
    size_t n;
    unsigned width;
};
/* width: at least 8. */
void timeline_axis(const struct timeline *t, unsigned width, struct tl_axis *ret);
/* The column of a moment; outside the axis: its nearest. */
unsigned tl_axis_col(const struct tl_axis *a, int64_t t);
/* When a column begins. A folded one begins where the segment before it ends. */
int64_t tl_axis_time(const struct tl_axis *a, unsigned col);
bool tl_axis_folded(const struct tl_axis *a, unsigned col);

/* timeline_notes.c: the figure of each row, for people. */
void timeline_notes(struct timeline *t, bool ascii);
/* "≤ 4 s", "4 s": the time from a to b and what is known of it; out holds 48. */
char *tl_duration(const struct fact_phase *a, const struct fact_phase *b, bool ascii, char *out);
/* "≤", "≥", "" for a moment, as ASCII or not: a watch is as exact as it gets. */
const char *tl_bound(const struct fact_phase *p, bool ascii);

/* writers */
void timeline_gantt(const struct report *r, const struct timeline *t, bool ascii);
json_t *timeline_json(const struct timeline *t);
void timeline_list(const struct report *r, const struct timeline *t);
