/* changes: all changes as a table, one line each, and as Markdown; one of them in full (change.c). */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "report/report_priv.h"

#define SIGNS_TEXT 96
#define REASON_ROOM_MIN 24 /* columns below which a reason is left to `changes ID` */

/* ---- a change in a few words */

struct kinds {
    unsigned objects, releases, uninstalls, catalogues, configurations, marks;
    const char *object; /* kind of the only one */
    const char *name;
};

static void count(struct kinds *k, const json_t *s) {
    const char *kind = js_str(s, "kind", "");
    if (js_bool(s, "uninstall", false)) {
        k->uninstalls++;
    } else if (strcmp(kind, "HelmRelease") == 0) {
        k->releases++;
    } else if (strcmp(kind, "ToolCatalogue") == 0) {
        k->catalogues++;
    } else if (strcmp(kind, "ProductConfiguration") == 0) {
        k->configurations++;
    } else if (strcmp(kind, "Mark") == 0) {
        k->marks++;
    } else {
        k->objects++;
        k->object = kind;
        k->name = js_str(s, "name", "");
    }
}

/* Each object once, whoever told of it and however often. */
static void count_once(const json_t *signs, struct kinds *k) {
    char what[2 * WIRE_NAME_MAX + 2];
    json_t *seen = json_object();
    size_t i;
    json_t *s;
    json_array_foreach((json_t *)signs, i, s) {
        (void)snprintf(what, sizeof what, "%s/%s", js_str(s, "kind", ""), js_str(s, "name", ""));
        if (json_object_get(seen, what))
            continue;
        (void)json_object_set_new(seen, what, json_true());
        count(k, s);
    }
    json_decref(seen);
}

static void add_word(char *out, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add_word(char *out, const char *fmt, ...) {
    size_t n = strlen(out);
    va_list ap;
    va_start(ap, fmt);
    if (n + 2 < SIGNS_TEXT) {
        (void)snprintf(out + n, SIGNS_TEXT - n, "%s", n ? ", " : "");
        n = strlen(out);
        (void)vsnprintf(out + n, SIGNS_TEXT - n, fmt, ap);
    }
    va_end(ap);
}

/* "release, 3 objects, tools +1" */
static const char *sign_words(const json_t *change, char out[SIGNS_TEXT]) {
    const json_t *list = json_object_get(change, "signs");
    size_t added = json_array_size(json_object_get(change, "tools_added"));
    size_t removed = json_array_size(json_object_get(change, "tools_removed"));
    struct kinds k = {0};
    out[0] = 0;
    count_once(list, &k);
    if (k.marks)
        add_word(out, "marked");
    if (k.uninstalls)
        add_word(out, "uninstall");
    if (k.releases)
        add_word(out, "release");
    if (k.objects == 1)
        add_word(out, "%s/%s", k.object, k.name);
    else if (k.objects)
        add_word(out, "%u objects", k.objects);
    if (k.configurations)
        add_word(out, "configuration");
    if (k.catalogues && added + removed == 0)
        add_word(out, "tools");
    if (added && removed)
        add_word(out, "tools +%zu -%zu", added, removed);
    else if (added || removed)
        add_word(out, added ? "tools +%zu" : "tools -%zu", added + removed);
    return out;
}

static const char *verdict_of(const json_t *change) {
    return js_bool(change, "qualifies", true) ? js_str(change, "verdict", "") : "not judged";
}

/* ---- the table */

struct widths {
    unsigned id, signs;
};

static struct widths widths_of(const json_t *changes) {
    struct widths w = {2, 5};
    size_t i;
    json_t *c;
    json_array_foreach((json_t *)changes, i, c) {
        char words[SIGNS_TEXT];
        size_t id = strlen(js_str(c, "id", ""));
        size_t signs = strlen(sign_words(c, words));
        w.id = id > w.id ? (unsigned)id : w.id;
        w.signs = signs > w.signs ? (unsigned)signs : w.signs;
    }
    return w;
}

#define FIXED_COLUMNS                                                                     \
    (2 + 20 + 2 + 2 + 9 + 2 + 12) /* beside id and signs: begin, calls, verdict, and gaps \
                                   */

static void table_line(const struct report *r, const struct widths *w, unsigned reason, const json_t *c) {
    char words[SIGNS_TEXT];
    char begin[32];
    (void)snprintf(begin, sizeof begin, "%.19s", js_str(c, "begin", ""));
    begin[10] = begin[10] == 'T' ? ' ' : begin[10];
    (void)fprintf(r->to, "%-*s  %-20s  ", (int)w->id, js_str(c, "id", ""), begin);
    report_cut(r, sign_words(c, words), w->signs);
    (void)fprintf(r->to, "  %9lld  ", (long long)js_int(c, "measured.calls_across", 0));
    report_verdict(r, verdict_of(c));
    if (r->width == 0) {
        (void)fprintf(r->to, "  %s\n", js_str(c, "reason", ""));
        return;
    }
    if (reason) {
        (void)fputs("  ", r->to);
        report_cut(r, js_str(c, "reason", ""), reason);
    }
    (void)fputc('\n', r->to);
}

static void table(const struct report *r, const json_t *changes) {
    struct widths w = widths_of(changes);
    unsigned used = w.id + w.signs + FIXED_COLUMNS;
    const char *stage = "";
    size_t i;
    json_t *c;
    if (r->width && used > r->width) /* the signs give way first */
        w.signs = used - r->width < w.signs - 5 ? w.signs - (used - r->width) : 5;
    used = w.id + w.signs + FIXED_COLUMNS + 2;
    unsigned reason = r->width > used + REASON_ROOM_MIN ? r->width - used : 0;
    json_array_foreach((json_t *)changes, i, c) {
        if (strcmp(stage, js_str(c, "stage", "")) != 0) {
            report_heading(r, stage = js_str(c, "stage", ""));
            (void)fprintf(r->to, "%-*s  %-20s  %-*s  %9s  %-12s%s\n", (int)w.id, "ID", "BEGAN", (int)w.signs,
                          "SIGNS", "IN FLIGHT", "VERDICT", r->width == 0 || reason ? "  REASON" : "");
        }
        table_line(r, &w, reason, c);
    }
}

/* ---- Markdown */

static void markdown_row(const struct report *r, const json_t *c) {
    char words[SIGNS_TEXT];
    (void)fputs("| ", r->to);
    report_markdown_cell(r->to, js_str(c, "stage", ""));
    (void)fputs(" | ", r->to);
    report_markdown_cell(r->to, js_str(c, "id", ""));
    (void)fprintf(r->to, " | %s | ", js_str(c, "begin", ""));
    report_markdown_cell(r->to, sign_words(c, words));
    (void)fprintf(r->to, " | %lld | %s | ", (long long)js_int(c, "measured.calls_across", 0), verdict_of(c));
    report_markdown_cell(r->to, js_str(c, "reason", ""));
    (void)fputs(" |\n", r->to);
}

static void markdown_item(const struct report *r, const json_t *o, const json_t *d) {
    (void)fputs("| ", r->to);
    report_markdown_cell(r->to, js_str(o, "object", ""));
    (void)fputs(" | ", r->to);
    report_markdown_cell(r->to, js_str(d, "pointer", ""));
    (void)fputs(" | ", r->to);
    report_markdown_cell(r->to, js_str(d, "before", ""));
    (void)fputs(" | ", r->to);
    report_markdown_cell(r->to, js_str(d, "after", ""));
    (void)fputs(" |\n", r->to);
}

static void markdown_differences(const struct report *r, const json_t *change) {
    size_t i;
    size_t j;
    json_t *o;
    json_t *d;
    (void)fputs("\n| Object | Field | Before | After |\n|---|---|---|---|\n", r->to);
    json_array_foreach(json_object_get(change, "differences"), i, o) {
        json_array_foreach(json_object_get(o, "items"), j, d) {
            markdown_item(r, o, d);
        }
    }
}

bool report_changes_markdown(const struct report *r, const json_t *changes, const char *id) {
    size_t i;
    json_t *c;
    bool found = false;
    (void)fputs("| Stage | Change | Began | Signs | Calls in flight | Verdict | Reason "
                "|\n|---|---|---|---|---|---|---|\n",
                r->to);
    json_array_foreach((json_t *)changes, i, c) {
        if (id && strcmp(js_str(c, "id", ""), id) != 0)
            continue;
        found = true;
        markdown_row(r, c);
        if (id)
            markdown_differences(r, c);
    }
    return found;
}

bool report_changes(const struct report *r, const json_t *changes, const char *id) {
    size_t i;
    json_t *c;
    bool found = false;
    if (!id) {
        table(r, changes);
        return json_array_size(changes) > 0;
    }
    json_array_foreach((json_t *)changes, i, c) {
        if (strcmp(js_str(c, "id", ""), id) != 0)
            continue;
        found = true;
        report_heading(r, js_str(c, "stage", ""));
        report_change(r, c);
    }
    return found;
}

/* ---- what is no change */

void report_noise(const struct report *r, const struct facts *f) {
    if (f->n_noise == 0)
        return;
    (void)fprintf(r->to, "\nno changes of the configuration, as the rubric has it\n");
    for (size_t i = 0; i < f->n_noise && i < REPORT_LIST_MAX; i++)
        (void)fprintf(r->to, "  %s/%s, %llu time%s: %s\n", f->noise[i].kind, f->noise[i].name,
                      (unsigned long long)f->noise[i].n, f->noise[i].n == 1 ? "" : "s", f->noise[i].reason);
    report_rest(r, f->n_noise, "  ");
}
