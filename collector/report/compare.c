/* compare: the table of `compare`: expectations as rows, stages as columns, matches below. In a narrow
 * terminal stages are numbered, then split over several tables; ids wrap, titles are cut; no cell is ever
 * left out. */
#include <string.h>

#include "base/js.h"
#include "report/compare_priv.h"

#define GAP 2           /* columns between columns */
#define ID_LEAST 20     /* columns of ids that a narrow terminal leaves */
#define TITLE_LEAST 24  /* columns that a title needs to be worth it */
#define STAGES_MAX 1000 /* columns of all tables; a pilot declares far fewer */

struct grid {
    const struct report *r;
    const json_t *doc, *stages;
    bool all;
    bool numbered;               /* heads are numbers of the list of stages */
    size_t n;                    /* stages */
    unsigned widths[STAGES_MAX]; /* of each column */
    bool compared[STAGES_MAX];   /* the stage has rows */
    unsigned id;                 /* of the first column */
    size_t folded;               /* rows that are ok on every stage that was compared */
};

static const char *stage_name(const struct grid *g, size_t k) {
    return js_str(json_array_get(g->stages, k), "stage", "");
}

static const char *head_of(const struct grid *g, size_t k, char out[16]) {
    (void)snprintf(out, 16, "[%zu]", k + 1);
    return g->numbered ? out : stage_name(g, k);
}

static enum compare_cell cell_at(const struct grid *g, const json_t *row, size_t k) {
    return g->compared[k] ? compare_cell_of(row, stage_name(g, k)) : COMPARE_UNKNOWN;
}

static bool is_shown(const struct grid *g, const json_t *row) {
    return g->all || !compare_ok_everywhere(g->doc, row);
}

/* ---- widths */

static unsigned larger(unsigned a, unsigned b) {
    return a > b ? a : b;
}

static void measure_row(struct grid *g, const json_t *row) {
    g->id = larger(g->id, report_columns(js_str(row, "id", "")) + GAP);
    for (size_t k = 0; k < g->n; k++)
        g->widths[k] = larger(g->widths[k], report_columns(compare_cell_word(cell_at(g, row, k))));
}

/* Columns of the table with stages first to last (not included), without titles. */
static unsigned whole(const struct grid *g, size_t first, size_t last) {
    unsigned sum = g->id;
    for (size_t k = first; k < last; k++)
        sum += GAP + g->widths[k];
    return sum;
}

static void measure(struct grid *g) {
    char head[16];
    size_t i;
    json_t *row;
    g->id = report_columns("EXPECTATION");
    for (size_t k = 0; k < g->n; k++)
        g->widths[k] = larger(report_columns("100 %"), report_columns(head_of(g, k, head)));
    json_array_foreach(json_object_get(g->doc, "rows"), i, row) {
        if (is_shown(g, row))
            measure_row(g, row);
    }
    unsigned half = larger(ID_LEAST, g->r->width / 2);
    if (g->r->width && g->id > half && whole(g, 0, g->n) > g->r->width)
        g->id = half;
}

static void choose_heads(struct grid *g) {
    measure(g);
    if (g->r->width == 0 || whole(g, 0, g->n) <= g->r->width)
        return;
    g->numbered = true;
    measure(g);
}

/* How many stages from `first` on fit beside the ids; at least one. */
static size_t fitting(const struct grid *g, size_t first) {
    size_t last = first + 1;
    while (last < g->n && (g->r->width == 0 || whole(g, first, last + 1) <= g->r->width))
        last++;
    return last < g->n ? last : g->n;
}

/* ---- lines */

static const char *colour_of(enum compare_cell cell) {
    static const char *const codes[] = {"", "\033[32m", "\033[31m", "\033[36m", "\033[33m"};
    return codes[cell];
}

static void put_cell(const struct grid *g, unsigned width, const char *colour, const char *text) {
    bool coloured = g->r->colour && *colour;
    (void)fprintf(g->r->to, "%*s%s", GAP, "", coloured ? colour : "");
    report_cut(g->r, text, width);
    (void)fputs(coloured ? "\033[0m" : "", g->r->to);
}

/* Bytes of the id that the first column bears: to its last '/', '-' or '.' there, if that is not far. */
static size_t id_piece(const char *id, unsigned room) {
    size_t n = report_bytes(id, room);
    if (!id[n])
        return n;
    for (size_t i = n; i > n / 2; i--)
        if (strchr("/-.", id[i - 1]))
            return i;
    return n;
}

static void put_id(const struct grid *g, const char *text, size_t n) {
    (void)fputs("  ", g->r->to);
    report_plain(g->r->to, text, n);
    unsigned used = GAP;
    for (size_t i = 0; i < n; i++)
        used += ((unsigned char)text[i] & 0xc0) != 0x80;
    for (; used < g->id; used++)
        (void)fputc(' ', g->r->to);
}

static void put_title(const struct grid *g, size_t first, size_t last, const char *title) {
    unsigned used = whole(g, first, last) + GAP;
    bool room = g->r->width == 0 || g->r->width >= used + TITLE_LEAST;
    if (!room || !*title)
        return;
    bool cut = g->r->width && report_columns(title) > g->r->width - used;
    (void)fprintf(g->r->to, "%*s", GAP, "");
    report_cut(g->r, title, cut ? g->r->width - used : 0);
}

static void row_line(const struct grid *g, const json_t *row, size_t first, size_t last) {
    const char *id = js_str(row, "id", "");
    size_t n = id_piece(id, g->id - GAP);
    put_id(g, id, n);
    for (size_t k = first; k < last; k++) {
        enum compare_cell cell = cell_at(g, row, k);
        put_cell(g, g->widths[k], colour_of(cell), compare_cell_word(cell));
    }
    put_title(g, first, last, js_str(row, "title", ""));
    (void)fputc('\n', g->r->to);
    for (id += n; *id; id += n) { /* what the first column did not bear */
        n = id_piece(id, g->id - 2 * GAP);
        (void)fputs("    ", g->r->to);
        report_plain(g->r->to, id, n);
        (void)fputc('\n', g->r->to);
    }
}

static void head_line(const struct grid *g, const char *what, size_t first, size_t last) {
    char head[16];
    (void)fprintf(g->r->to, "%s%-*s", g->r->colour ? "\033[1m" : "", (int)g->id, what);
    for (size_t k = first; k < last; k++)
        put_cell(g, g->widths[k], "", head_of(g, k, head));
    (void)fputs(g->r->colour ? "\033[0m\n" : "\n", g->r->to);
}

/* ---- tables */

static void rows_of(const struct grid *g, const char *severity, size_t first, size_t last) {
    bool begun = false;
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(g->doc, "rows"), i, row) {
        if (strcmp(js_str(row, "severity", ""), severity) != 0 || !is_shown(g, row))
            continue;
        if (!begun)
            (void)fprintf(g->r->to, "%s\n", severity);
        begun = true;
        row_line(g, row, first, last);
    }
}

static void match_line(const struct grid *g, const char *severity, size_t first, size_t last) {
    (void)fprintf(g->r->to, "%-*s", (int)g->id, severity);
    for (size_t k = first; k < last; k++) {
        char text[COMPARE_MATCH_MAX];
        put_cell(g, g->widths[k], "", compare_match_text(json_array_get(g->stages, k), severity, text));
    }
    (void)fputc('\n', g->r->to);
}

static void table(const struct grid *g, size_t first, size_t last) {
    (void)fputc('\n', g->r->to);
    head_line(g, "EXPECTATION", first, last);
    for (size_t i = 0; compare_severities[i]; i++)
        rows_of(g, compare_severities[i], first, last);
    (void)fputc('\n', g->r->to);
    head_line(g, "MATCH", first, last);
    for (size_t i = 0; compare_severities[i]; i++)
        match_line(g, compare_severities[i], first, last);
}

static void legend(const struct grid *g) {
    compare_folded(g->r->to, g->folded);
    (void)fputc('\n', g->r->to);
    report_wrapped(g->r, "ok: met, FAIL: unmet, tolerated: unmet but let be, ?: not known, -: no row", 0);
}

/* ---- above */

static void stage_list(const struct grid *g) {
    unsigned width = report_columns("STAGE"), number = g->numbered ? 6 : 0;
    char text[16];
    for (size_t k = 0; k < g->n; k++)
        width = larger(width, report_columns(stage_name(g, k)));
    (void)fprintf(g->r->to, "%*s%-*s  %-12s  %s\n", (int)number, "", (int)width, "STAGE", "VERDICT",
                  "REASON");
    for (size_t k = 0; k < g->n; k++) {
        const json_t *stage = json_array_get(g->stages, k);
        (void)fprintf(g->r->to, "%-*s%-*s  ", (int)number, number ? head_of(g, k, text) : "", (int)width,
                      stage_name(g, k));
        report_verdict(g->r, js_str(stage, "verdict", ""));
        (void)fputs("  ", g->r->to);
        report_wrapped(g->r, js_str(stage, "reason", ""), number + width + 16);
    }
}

static void heading(const struct report *r, const json_t *doc) {
    const json_t *reference = json_object_get(doc, "reference");
    if (*js_str(doc, "at", "")) /* else manifests were compared, and no stage */
        (void)fprintf(r->to, "pilot %s   at %s   commit %lld\n", js_str(doc, "pilot", "(none)"),
                      js_str(doc, "at", ""), (long long)js_int(doc, "commit", 0));
    if (!json_is_object(reference))
        return;
    (void)fprintf(r->to, "reference %s   digest %.12s   ", js_str(reference, "id", ""),
                  js_str(reference, "digest", ""));
    report_plain(r->to, js_str(reference, "title", ""), strlen(js_str(reference, "title", "")));
    (void)fputc('\n', r->to);
}

static void compare_table(const struct report *r, const json_t *doc, bool all) {
    struct grid g = {.r = r, .doc = doc, .stages = json_object_get(doc, "stages"), .all = all};
    size_t i;
    json_t *row;
    g.n = json_array_size(g.stages) < STAGES_MAX ? json_array_size(g.stages) : STAGES_MAX;
    for (size_t k = 0; k < g.n; k++)
        g.compared[k] = compare_has_rows(json_array_get(g.stages, k));
    json_array_foreach(json_object_get(doc, "rows"), i, row) {
        g.folded += !is_shown(&g, row);
    }
    choose_heads(&g);
    heading(r, doc);
    (void)fputc('\n', r->to);
    stage_list(&g);
    bool any = json_array_size(json_object_get(doc, "rows")) > 0;
    for (size_t first = 0, last; any && first < g.n; first = last) {
        last = fitting(&g, first);
        table(&g, first, last);
    }
    if (any)
        legend(&g);
}

int report_compare(const struct report *r, const json_t *doc, enum report_format format, bool all) {
    if (format == REPORT_JSON)
        return report_json(r->to, doc);
    if (format == REPORT_YAML)
        return report_yaml(r->to, doc);
    if (format == REPORT_MARKDOWN)
        return compare_markdown(r, doc, all);
    if (format == REPORT_JUNIT)
        return compare_junit(r, doc);
    compare_table(r, doc, all);
    return compare_reasons(r, doc);
}
