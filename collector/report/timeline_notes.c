/* timeline_notes: the figure at the end of each row: how long its thing took, and what kept it. See
 * timeline_priv.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"
#include "gates/gates.h"
#include "report/timeline_priv.h"

#define AT_MOST PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST
#define AT_LEAST PILOTGATE__TIME_BOUND__TIME_BOUND_AT_LEAST

static const char *sign(int bound, bool ascii) {
    if (bound == AT_MOST)
        return ascii ? "<=" : "\xe2\x89\xa4";
    if (bound == AT_LEAST)
        return ascii ? ">=" : "\xe2\x89\xa5";
    return "";
}

/* A watch tells it when it happens: that it may be a little late is no bound worth showing. */
static int bound_of(const struct fact_phase *p) {
    return p->p->origin == PILOTGATE__ORIGIN__ORIGIN_WATCH ? PILOTGATE__TIME_BOUND__TIME_BOUND_AT
                                                           : (int)p->p->bound;
}

const char *tl_bound(const struct fact_phase *p, bool ascii) {
    return sign(bound_of(p), ascii);
}

/* Of an end at most, or a beginning at least, the time between is at most; of both ways, nothing is known. */
static const char *difference(const struct fact_phase *a, const struct fact_phase *b, bool ascii) {
    bool most = bound_of(b) == AT_MOST || bound_of(a) == AT_LEAST;
    bool least = bound_of(b) == AT_LEAST || bound_of(a) == AT_MOST;
    if (most && least)
        return "about";
    return most ? sign(AT_MOST, ascii) : least ? sign(AT_LEAST, ascii) : "";
}

/* Whole seconds carry no decimals. */
static char *duration_text(int64_t ns, bool whole, char *out, size_t size) {
    char text[WHEN_TEXT_MAX];
    ns = ns > 0 ? ns : 0;
    if (whole && ns < 60 * WHEN_S)
        (void)snprintf(out, size, "%lld s", (long long)((ns + WHEN_S / 2) / WHEN_S));
    else
        (void)snprintf(out, size, "%s", when_format_duration(ns, text));
    return out;
}

char *tl_duration(const struct fact_phase *a, const struct fact_phase *b, bool ascii, char *out) {
    char text[40];
    const char *how = difference(a, b, ascii);
    bool whole = a->p->precision_ns >= (uint64_t)WHEN_S || b->p->precision_ns >= (uint64_t)WHEN_S;
    (void)snprintf(out, 48, "%s%s%s", how, *how ? " " : "",
                   duration_text(b->lo - a->lo, whole, text, sizeof text));
    return out;
}

static void add(struct tl_row *row, const char *text) {
    size_t used = strlen(row->note);
    (void)snprintf(row->note + used, sizeof row->note - used, "%s%s", used ? ", " : "", text);
}

/* What a cluster says, without what a terminal may not show. */
static const char *plain(const char *text, char *out, size_t size) {
    size_t n = 0;
    for (; text[n] && n + 1 < size; n++)
        out[n] = text[n] >= ' ' && text[n] < 0x7f ? text[n] : '?';
    out[n] = 0;
    return out;
}

static void add_goal(struct tl_row *row, const char *reached, bool ascii) {
    char took[48];
    char text[80];
    if (!row->goal)
        return;
    (void)snprintf(text, sizeof text, "%s after %s", reached,
                   tl_duration(row->first, row->goal, ascii, took));
    add(row, text);
}

/* "88.1 MB" */
static const char *size_text(uint64_t bytes, char *out, size_t size) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t u = 0;
    while (value >= 1000 && u + 1 < sizeof units / sizeof *units) {
        value /= 1000;
        u++;
    }
    (void)snprintf(out, size, value < 10 && u ? "%.1f %s" : "%.0f %s", value, units[u]);
    return out;
}

static void add_pull(struct tl_row *row) {
    const Pilotgate__Phase *p = row->pulled ? row->pulled->p : NULL;
    char took[40];
    char size[24];
    char text[80];
    if (!p)
        return;
    if (p->cached) {
        add(row, "image cached");
        return;
    }
    (void)snprintf(text, sizeof text, "pull%s%s%s%s", p->duration_ns ? " " : "",
                   p->duration_ns ? duration_text((int64_t)p->duration_ns, false, took, sizeof took) : "",
                   p->bytes ? " " : "", p->bytes ? size_text(p->bytes, size, sizeof size) : "");
    add(row, text);
}

/* The last failure, with the highest count of its reason. */
static void add_failure(struct tl_row *row) {
    char reason[64];
    char text[80];
    uint32_t count = 0;
    const struct fact_phase *last = NULL;
    for (size_t i = 0; i < row->n_failures; i++)
        last = !last || row->failures[i]->lo >= last->lo ? row->failures[i] : last;
    for (size_t i = 0; last && i < row->n_failures; i++)
        if (strcmp(row->failures[i]->p->reason, last->p->reason) == 0 && row->failures[i]->p->count > count)
            count = row->failures[i]->p->count;
    if (!last)
        return;
    (void)plain(last->p->reason, reason, sizeof reason);
    if (count > 1)
        (void)snprintf(text, sizeof text, "%s x%u", reason, count);
    else
        (void)snprintf(text, sizeof text, "%s", reason);
    add(row, text);
}

static void add_rollback(struct tl_row *row, const struct fact_revision *to) {
    char text[40];
    (void)snprintf(text, sizeof text, "rollback to v%d", to->revision);
    add(row, text);
}

/* After a reinstall two revisions have one name. */
static bool in_row(const struct tl_row *row, const struct fact_revision *v) {
    return v->created_lo <= row->born && row->born < v->created_hi;
}

static void note_release(struct timeline *t, struct tl_row *row, bool ascii) {
    for (size_t i = 0; i < t->f->n_revisions; i++) {
        const struct fact_revision *v = &t->f->revisions[i];
        char name[2 * WIRE_NAME_MAX];
        (void)snprintf(name, sizeof name, "Release/%s.v%d", v->release, v->revision);
        const struct fact_revision *to =
            strcmp(name, row->subject) == 0 && in_row(row, v) ? gates_rollback_target(t->f, v) : NULL;
        if (to)
            add_rollback(row, to);
    }
    if (row->n_failures)
        add(row, "failed");
    else if (row->goal)
        add_goal(row, "deployed", ascii);
    else
        add(row, row->spans[0].state == TL_KNOWN ? "was here before the agents" : "never ended");
}

static void note_hook(struct tl_row *row, bool ascii) {
    add_failure(row);
    add_goal(row, "succeeded", ascii);
    if (!row->n_failures && !row->goal)
        add(row, "never ended");
}

/* What matters more comes first: of a pod that serves how soon it did, of others why not. */
static void note_pod(struct tl_row *row, bool ascii) {
    bool serves = row->n_spans && row->spans[row->n_spans - 1].state == TL_READY;
    if (!serves)
        add_failure(row);
    add_goal(row, "ready", ascii);
    if (serves)
        add_failure(row);
    add_pull(row);
}

static void note_since(struct tl_row *row) {
    char at[WHEN_TEXT_MAX];
    char text[64];
    (void)snprintf(text, sizeof text, "since %.16s", when_format(row->born, 0, at));
    text[6 + 10] = ' '; /* the date's T */
    add(row, text);
}

void timeline_notes(struct timeline *t, bool ascii) {
    for (struct tl_row *row = t->rows; row < t->rows + t->n_rows; row++) {
        row->note[0] = 0;
        switch (row->kind) {
        case TL_NAMESPACE:
            note_since(row);
            break;
        case TL_RELEASE:
            note_release(t, row, ascii);
            break;
        case TL_HOOK:
            note_hook(row, ascii);
            break;
        case TL_WORKLOAD:
            add_goal(row, "available", ascii);
            break;
        case TL_POD:
            note_pod(row, ascii);
            break;
        case TL_POD_GROUP:
            add_failure(row);
            break;
        }
    }
}
