/* timeline_gantt: rows as lines of a terminal: label, bar, figure. One character a column and state; nothing
 * but ASCII where that is asked for. See timeline_priv.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"
#include "gates/gates.h"
#include "report/timeline_priv.h"

#define WIDTH_MIN 60
#define WIDTH_MAX 400
#define WIDTH_PLAIN 100 /* when nobody knows */
#define NUMBERS "123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define LETTERS_MAX 36 /* of either */

enum colour { PLAIN, GREEN, YELLOW, RED, DIM, CYAN };

struct glyph {
    const char *wide, *ascii;
    enum colour colour;
    const char *legend;
};

static const struct glyph glyphs[TL_STATES] = {
    [TL_NONE] = {" ", " ", PLAIN, NULL},
    [TL_EXISTS] = {"\xe2\x94\x80", "=", DIM, "namespace"},
    [TL_UNDER_WAY] = {"\xe2\x96\x92", "o", YELLOW, "under way"},
    [TL_KNOWN] = {"\xe2\x95\x8c", "_", DIM, "before the agents"},
    [TL_DEPLOYED] = {"\xe2\x96\x88", "#", GREEN, "ready, available, deployed"},
    [TL_AVAILABLE] = {"\xe2\x96\x88", "#", GREEN, "ready, available, deployed"},
    [TL_CREATED] = {"\xc2\xb7", ".", YELLOW, "created"},
    [TL_UNSCHEDULABLE] = {"?", "?", RED, "not schedulable"},
    [TL_SCHEDULED] = {"-", "-", YELLOW, "scheduled"},
    [TL_PULLING] = {"\xe2\x86\x93", "p", CYAN, "pulling"},
    [TL_INIT] = {"i", "i", CYAN, "init containers"},
    [TL_STARTED] = {"\xe2\x96\x91", "s", YELLOW, "started"},
    [TL_READY] = {"\xe2\x96\x88", "#", GREEN, "ready, available, deployed"},
    [TL_UNREADY] = {"~", "~", YELLOW, "not ready any more"},
    [TL_FAILING] = {"x", "x", RED, "failing"},
    [TL_DELETING] = {"\\", "\\", DIM, "told to end"},
};
static const struct glyph fold = {"\xe2\x94\x8a", ":", DIM, "long quiet, folded"};
static const struct glyph failure = {"!", "!", RED, "a failure"};
static const struct glyph at_most = {"\xe2\x89\xa4", "<", PLAIN, "at most"};
static const struct glyph at_least = {"\xe2\x89\xa5", ">", PLAIN, "at least"};

struct chart {
    const struct report *r;
    const struct timeline *t;
    bool ascii;
    unsigned label, bar, note;
    struct tl_axis axis;
    bool used[TL_STATES], used_fold, used_failure, used_most, used_least;
};

/* ---- text in columns */

static const char *code_of(enum colour c) {
    static const char *const codes[] = {"", "\033[32m", "\033[33m", "\033[31m", "\033[2m", "\033[36m"};
    return codes[c];
}

/* Of neighbours in one colour only the first says which. */
static void put(const struct chart *c, const struct glyph *g, enum colour *now) {
    if (c->r->colour && g->colour != *now)
        (void)fprintf(c->r->to, "\033[0m%s", code_of(g->colour));
    *now = g->colour;
    (void)fputs(c->ascii ? g->ascii : g->wide, c->r->to);
}

static void put_end(const struct chart *c, enum colour now) {
    if (c->r->colour && now != PLAIN)
        (void)fputs("\033[0m", c->r->to);
}

/* Writes at most so many characters of UTF-8; returns how many. */
static unsigned put_text(FILE *to, const char *text, unsigned columns) {
    unsigned n = 0;
    while (*text && n < columns) {
        do
            (void)fputc(*text++, to);
        while (((unsigned char)*text & 0xc0) == 0x80);
        n++;
    }
    return n;
}

static void put_note(const struct chart *c, const char *text) {
    const char *dots = c->ascii ? ".." : "\xe2\x80\xa6";
    unsigned marks = c->ascii ? 2 : 1;
    bool whole = report_columns(text) <= c->note;
    (void)put_text(c->r->to, text, whole ? c->note : c->note - marks);
    (void)fputs(whole ? "" : dots, c->r->to);
}

static void spaces(FILE *to, unsigned n) {
    while (n--)
        (void)fputc(' ', to);
}

static void put_label(const struct chart *c, const char *text, bool keep_end) {
    char plain[512];
    size_t n = 0;
    for (; text[n] && n + 1 < sizeof plain; n++)
        plain[n] = text[n] >= ' ' && text[n] < 0x7f ? text[n] : '?';
    plain[n] = 0;
    const char *dots = c->ascii ? ".." : "\xe2\x80\xa6";
    unsigned marks = c->ascii ? 2 : 1;
    unsigned used = 0;
    if (n <= c->label) {
        used = put_text(c->r->to, plain, c->label);
    } else if (keep_end) { /* names of pods differ in their ends */
        size_t indent = strspn(plain, " ");
        (void)fprintf(c->r->to, "%*s%s%s", (int)indent, "", dots, plain + n - (c->label - marks - indent));
        used = c->label;
    } else {
        (void)fprintf(c->r->to, "%.*s%s", (int)(c->label - marks), plain, dots);
        used = c->label;
    }
    spaces(c->r->to, c->label - used + 1);
}

static const char *after_slash(const char *subject) {
    const char *slash = strchr(subject, '/');
    return slash ? slash + 1 : subject;
}

static void row_label(const struct tl_row *row, char *out, size_t size) {
    switch (row->kind) {
    case TL_NAMESPACE:
        (void)snprintf(out, size, "namespace %s", after_slash(row->subject));
        break;
    case TL_RELEASE:
        (void)snprintf(out, size, "release %s", after_slash(row->subject));
        break;
    case TL_HOOK:
        (void)snprintf(out, size, "hook %s", row->subject);
        break;
    case TL_WORKLOAD:
        (void)snprintf(out, size, "%s", row->subject);
        break;
    case TL_POD:
        (void)snprintf(out, size, "  %s", after_slash(row->subject));
        break;
    case TL_POD_GROUP:
        (void)snprintf(out, size, "  %zu pods of old revisions", row->group);
        break;
    }
}

/* ---- bars */

static void paint(struct chart *c, const struct glyph **cells, const struct glyph *g, int64_t from,
                  int64_t to) {
    if (to < c->t->from || from > c->t->to)
        return;
    unsigned end = tl_axis_col(&c->axis, to);
    for (unsigned i = tl_axis_col(&c->axis, from); i <= end; i++)
        cells[i] = g;
}

/* A bound stands where its state begins, if that leaves some of the state to be seen. */
static void paint_bound(struct chart *c, const struct glyph **cells, const struct tl_span *s) {
    const char *sign = s->by ? tl_bound(s->by, true) : "";
    unsigned at = tl_axis_col(&c->axis, s->from);
    if (!*sign || s->from < c->t->from || s->from > c->t->to || tl_axis_col(&c->axis, s->to) < at + 2)
        return;
    cells[at] = *sign == '<' ? &at_most : &at_least;
    c->used_most = c->used_most || *sign == '<';
    c->used_least = c->used_least || *sign == '>';
}

static void put_bar(struct chart *c, const struct glyph *const *cells) {
    enum colour now = PLAIN;
    for (unsigned i = 0; i < c->bar; i++) {
        bool folded = tl_axis_folded(&c->axis, i);
        c->used_fold = c->used_fold || folded;
        put(c, folded ? &fold : cells[i] ? cells[i] : &glyphs[TL_NONE], &now);
    }
    put_end(c, now);
}

static void note_used(struct chart *c, const struct glyph *const *cells) {
    for (unsigned i = 0; i < c->bar; i++)
        for (size_t s = 0; s < TL_STATES; s++)
            if (cells[i] == &glyphs[s])
                c->used[s] = true;
}

static void put_row(struct chart *c, const struct tl_row *row) {
    const struct glyph *cells[WIDTH_MAX] = {NULL};
    char label[300];
    for (size_t i = 0; i < row->n_spans; i++)
        paint(c, cells, &glyphs[row->spans[i].state], row->spans[i].from, row->spans[i].to);
    for (size_t i = 0; i < row->n_spans; i++)
        paint_bound(c, cells, &row->spans[i]);
    for (size_t i = 0; i < row->n_failures; i++) {
        int64_t at = row->failures[i]->lo;
        if (at >= c->t->from && at <= c->t->to)
            cells[tl_axis_col(&c->axis, at)] = &failure;
        c->used_failure = true;
    }
    note_used(c, cells);
    row_label(row, label, sizeof label);
    put_label(c, label, row->kind == TL_POD);
    put_bar(c, cells);
    (void)fputc(' ', c->r->to);
    put_note(c, row->note);
    (void)fputc('\n', c->r->to);
}

/* ---- moments: one line of letters, and what each is below */

static void put_letters(struct chart *c, const char *label, const char *names, const int64_t *at, size_t n) {
    static const struct glyph several = {"*", "*", CYAN, NULL};
    struct glyph letters[LETTERS_MAX];
    char text[LETTERS_MAX][2];
    const struct glyph *cells[WIDTH_MAX] = {NULL};
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++) {
        const struct glyph **cell = &cells[tl_axis_col(&c->axis, at[i])];
        text[i][0] = names[i];
        text[i][1] = 0;
        letters[i] = (struct glyph){text[i], text[i], CYAN, NULL};
        *cell = *cell ? &several : &letters[i];
    }
    put_label(c, label, false);
    put_bar(c, cells);
    (void)fputc('\n', c->r->to);
}

/* "2026-11-23 14:02:10" */
static char *time_text(int64_t t, char out[WHEN_TEXT_MAX]) {
    (void)when_format(t, 0, out);
    out[10] = ' ';
    out[19] = 0;
    return out;
}

static const char *description_of(const struct facts *f, const struct fact_change *ch) {
    return ch->revision ? f->revisions[ch->revision - 1].description : ch->uninstall ? "uninstall" : "";
}

/* ", rollback to v1" where the change's revision goes back to one, and does not say so itself. */
static const char *rollback_text(const struct facts *f, const struct fact_change *ch, char *out,
                                 size_t size) {
    const struct fact_revision *to =
        ch->revision ? gates_rollback_target(f, &f->revisions[ch->revision - 1]) : NULL;
    (void)snprintf(out, size, "%s%d", ", rollback to v", to ? to->revision : 0);
    return to && strncmp(f->revisions[ch->revision - 1].description, "Rollback to ", 12) != 0 ? out : "";
}

static void explain_change(const struct chart *c, char letter, const struct fact_change *ch) {
    char at[WHEN_TEXT_MAX];
    char line[300];
    char back[40];
    const char *why = description_of(c->t->f, ch);
    (void)snprintf(line, sizeof line, "  %c  %s  change %s%s%s%.100s, %zu sign%s", letter,
                   time_text(ch->begin_lo, at), ch->id, rollback_text(c->t->f, ch, back, sizeof back),
                   *why ? ": " : "", why, ch->n_signs, ch->n_signs == 1 ? "" : "s");
    (void)put_text(c->r->to, line, c->label + c->bar + c->note + 2);
    (void)fputc('\n', c->r->to);
}

static int newest_first(const void *a, const void *b) {
    const struct fact_change *x = *(const struct fact_change *const *)a;
    const struct fact_change *y = *(const struct fact_change *const *)b;
    if (x->begin_lo != y->begin_lo)
        return x->begin_lo > y->begin_lo ? -1 : 1;
    return strcmp(y->id, x->id);
}

/* The newest, when there are more than letters; oldest first. */
static void put_changes(struct chart *c) {
    const struct facts *f = c->t->f;
    int64_t at[LETTERS_MAX];
    const struct fact_change **all = calloc(f->n_changes + 1, sizeof *all);
    size_t found = 0;
    for (size_t i = 0; all && i < f->n_changes; i++)
        if (f->changes[i].window_to >= c->t->from && f->changes[i].begin_lo <= c->t->to)
            all[found++] = &f->changes[i];
    if (found)
        qsort(all, found, sizeof *all, newest_first);
    size_t n = found < sizeof NUMBERS - 1 ? found : sizeof NUMBERS - 1;
    for (size_t i = 0; i < n; i++)
        at[i] = all[n - 1 - i]->begin_lo;
    put_letters(c, "changes", NUMBERS, at, n);
    if (found > n)
        (void)fprintf(c->r->to, "     %zu earlier ones: `pilotgate changes`\n", found - n);
    for (size_t i = 0; i < n; i++)
        explain_change(c, NUMBERS[i], all[n - 1 - i]);
    free(all);
}

/* "first-call" as people write it. */
static void put_words(const char *name, char *out, size_t size) {
    (void)snprintf(out, size, "%s", name);
    for (char *p = out; *p; p++)
        *p = *p == '-' ? ' ' : *p;
}

static void explain_mark(const struct chart *c, char letter, const struct tl_mark *m) {
    char at[WHEN_TEXT_MAX];
    char what[40];
    char line[300];
    const char *bound = !m->by ? "" : tl_bound(m->by, c->ascii);
    if (m->by && c->t->adopted && tl_is_first(m->by->kind))
        bound = c->ascii ? "<=" : "\xe2\x89\xa4";
    put_words(m->what, what, sizeof what);
    (void)snprintf(line, sizeof line, "  %c  %s%s%s  %s: %.150s", letter, bound, *bound ? " " : "",
                   time_text(m->at, at), what, m->text);
    (void)put_text(c->r->to, line, c->label + c->bar + c->note + 2);
    (void)fputc('\n', c->r->to);
}

static void put_marks(struct chart *c) {
    int64_t at[LETTERS_MAX];
    const struct tl_mark *shown[LETTERS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < c->t->n_marks && n < sizeof LETTERS - 1; i++)
        if (c->t->marks[i].at >= c->t->from && c->t->marks[i].at <= c->t->to) {
            shown[n] = &c->t->marks[i];
            at[n] = shown[n]->at;
            n++;
        }
    put_letters(c, "tools, calls, marks", LETTERS, at, n);
    for (size_t i = 0; i < n; i++)
        explain_mark(c, LETTERS[i], shown[i]);
}

/* ---- frame */

/* The time of a column, with its date where a day or more is shown and a segment begins. */
static size_t ruler_text(const struct chart *c, unsigned col, bool begins, char out[WHEN_TEXT_MAX]) {
    bool days = c->t->to - c->t->from > 20 * 3600 * WHEN_S;
    char at[WHEN_TEXT_MAX];
    (void)time_text(tl_axis_time(&c->axis, col), at);
    (void)snprintf(out, WHEN_TEXT_MAX, "%s", days && begins ? at + 5 : at + 11);
    return strlen(out);
}

/* Times where a segment begins, and in between where there is room. */
static void put_ruler(const struct chart *c) {
    char line[WIDTH_MAX + 1];
    unsigned free_from = 0;
    memset(line, ' ', c->bar);
    line[c->bar] = 0;
    for (unsigned i = 0; i < c->bar; i++) {
        char text[WHEN_TEXT_MAX];
        bool begins = i == 0 || tl_axis_folded(&c->axis, i - 1);
        if (tl_axis_folded(&c->axis, i) || i < free_from + (begins ? 0 : 3))
            continue;
        size_t n = ruler_text(c, i, begins, text);
        if (i + n > c->bar)
            continue;
        memcpy(line + i, text, n);
        free_from = i + (unsigned)n + 2;
    }
    spaces(c->r->to, c->label + 1);
    (void)fprintf(c->r->to, "%s\n", line);
}

static void put_head(const struct chart *c) {
    char from[WHEN_TEXT_MAX];
    char to[WHEN_TEXT_MAX];
    char span[WHEN_TEXT_MAX];
    (void)fprintf(c->r->to, "%s  %s to %s UTC (%s)\n", c->t->f->stage, time_text(c->t->from, from),
                  time_text(c->t->to, to), when_format_duration(c->t->to - c->t->from, span));
}

static void put_legend_of(const struct chart *c, const struct glyph *g, bool used) {
    if (!used)
        return;
    enum colour now = PLAIN;
    put(c, g, &now);
    put_end(c, now);
    (void)fprintf(c->r->to, " %s   ", g->legend);
}

static void put_legend(const struct chart *c) {
    bool whole = c->used[TL_DEPLOYED] || c->used[TL_AVAILABLE] || c->used[TL_READY];
    for (size_t s = TL_EXISTS; s < TL_STATES; s++)
        if (s != TL_DEPLOYED && s != TL_AVAILABLE && s != TL_READY)
            put_legend_of(c, &glyphs[s], c->used[s]);
    put_legend_of(c, &glyphs[TL_READY], whole);
    put_legend_of(c, &failure, c->used_failure);
    put_legend_of(c, &at_most, c->used_most);
    put_legend_of(c, &at_least, c->used_least);
    put_legend_of(c, &fold, c->used_fold);
    (void)fputc('\n', c->r->to);
}

static void measure(struct chart *c) {
    unsigned width = c->r->width ? c->r->width : WIDTH_PLAIN;
    width = width < WIDTH_MIN ? WIDTH_MIN : width > WIDTH_MAX ? WIDTH_MAX : width;
    size_t label = strlen("tools, calls, marks");
    size_t note = 0;
    for (size_t i = 0; i < c->t->n_rows; i++) {
        char text[300];
        row_label(&c->t->rows[i], text, sizeof text);
        label = strlen(text) > label ? strlen(text) : label;
        note = report_columns(c->t->rows[i].note) > note ? report_columns(c->t->rows[i].note) : note;
    }
    c->label = label < width * 3 / 10 ? (unsigned)label : width * 3 / 10;
    c->note = note < width * 3 / 10 ? (unsigned)note : width * 3 / 10;
    c->bar = width - c->label - c->note - 2;
}

void timeline_gantt(const struct report *r, const struct timeline *t, bool ascii) {
    struct chart c = {.r = r, .t = t, .ascii = ascii};
    measure(&c);
    timeline_axis(t, c.bar, &c.axis);
    put_head(&c);
    put_ruler(&c);
    for (size_t i = 0; i < t->n_rows; i++)
        put_row(&c, &t->rows[i]);
    put_changes(&c);
    put_marks(&c);
    put_legend(&c);
}
