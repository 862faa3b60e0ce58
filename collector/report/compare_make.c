/* compare_make: stage objects of Architecture to the document of `compare`: one row an expectation, by
 * severity and in the reference's order, with the verdict on each stage. */
#include <errno.h>
#include <string.h>

#include "base/js.h"
#include "report/compare_priv.h"

const char *const compare_severities[] = {"required", "recommended", "info", NULL};

static json_t *index_of(const json_t *stage) {
    json_t *by_id = json_object();
    size_t i;
    json_t *finding;
    json_array_foreach(json_object_get(stage, "rows"), i, finding) {
        if (json_object_set(by_id, js_str(finding, "id", ""), finding) < 0) {
            json_decref(by_id);
            return NULL;
        }
    }
    return by_id;
}

json_t *compare_index(const json_t *doc) {
    json_t *index = json_object();
    size_t i;
    json_t *stage;
    json_array_foreach(json_object_get(doc, "stages"), i, stage) {
        if (json_object_set_new(index, js_str(stage, "stage", ""), index_of(stage)) < 0) {
            json_decref(index);
            return NULL;
        }
    }
    return index;
}

const char *compare_match_text(const json_t *stage, const char *severity, char out[COMPARE_MATCH_MAX]) {
    const json_t *match = json_object_get(json_object_get(stage, "match"), severity);
    if (!json_is_object(match))
        return "?";
    if (js_int(match, "n", 1) == 0)
        return "-";
    (void)snprintf(out, COMPARE_MATCH_MAX, "%d %%", (int)js_int(match, "percent", 0));
    return out;
}

enum compare_cell compare_cell_of(const json_t *row, const char *stage) {
    const char *verdict = json_string_value(json_object_get(json_object_get(row, "cells"), stage));
    if (!verdict)
        return COMPARE_NONE;
    if (strcmp(verdict, "FAIL") == 0)
        return COMPARE_FAIL;
    if (strcmp(verdict, "PASS") != 0)
        return COMPARE_UNKNOWN;
    return json_object_get(json_object_get(row, "tolerated"), stage) ? COMPARE_TOLERATED : COMPARE_OK;
}

const char *compare_cell_word(enum compare_cell cell) {
    static const char *const words[] = {"-", "ok", "FAIL", "tolerated", "?"};
    return words[cell];
}

bool compare_has_rows(const json_t *stage) {
    return json_array_size(json_object_get(stage, "rows")) > 0;
}

bool compare_ok_everywhere(const json_t *doc, const json_t *row) {
    size_t i;
    json_t *stage;
    json_array_foreach(json_object_get(doc, "stages"), i, stage) {
        if (compare_has_rows(stage) && compare_cell_of(row, js_str(stage, "stage", "")) != COMPARE_OK)
            return false;
    }
    return true;
}

/* ---- rows; each function is 0 or -ENOMEM */

static json_t *row_of(const json_t *finding) {
    json_t *row = json_pack("{s:s, s:s, s:s, s:{}}", "id", js_str(finding, "id", ""), "severity",
                            js_str(finding, "severity", ""), "title", js_str(finding, "title", ""), "cells");
    for (const char *const *key = (const char *const[]){"why", "source", NULL}; row && *key; key++)
        if (json_object_get(finding, *key) &&
            json_object_set(row, *key, json_object_get(finding, *key)) < 0) {
            json_decref(row);
            return NULL;
        }
    return row;
}

static int64_t tolerated_of(const json_t *finding) {
    int64_t n = 0;
    size_t i;
    json_t *t;
    json_array_foreach(json_object_get(finding, "tolerated"), i, t) {
        n += js_int(t, "n", 1);
    }
    return n;
}

static int set_cell(json_t *row, const char *stage, const json_t *finding) {
    int64_t n = tolerated_of(finding);
    if (json_object_set_new(json_object_get(row, "cells"), stage,
                            json_string(js_str(finding, "verdict", "INCONCLUSIVE"))) < 0)
        return -ENOMEM;
    if (n == 0)
        return 0;
    if (!json_object_get(row, "tolerated") && json_object_set_new(row, "tolerated", json_object()) < 0)
        return -ENOMEM;
    return json_object_set_new(json_object_get(row, "tolerated"), stage, json_integer(n)) < 0 ? -ENOMEM : 0;
}

/* index: id -> row, borrowed from rows. */
static int take_stage(json_t *rows, json_t *index, const json_t *stage, const char *severity) {
    size_t i;
    json_t *finding;
    json_array_foreach(json_object_get(stage, "rows"), i, finding) {
        const char *id = js_str(finding, "id", "");
        if (strcmp(js_str(finding, "severity", ""), severity) != 0)
            continue;
        json_t *row = json_object_get(index, id);
        if (!row) {
            row = row_of(finding);
            if (json_array_append_new(rows, row) < 0 || json_object_set(index, id, row) < 0)
                return -ENOMEM;
        }
        if (set_cell(row, js_str(stage, "stage", ""), finding) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int take_rows(json_t *rows, const json_t *stages) {
    json_t *index = json_object();
    int r = index ? 0 : -ENOMEM;
    size_t i;
    json_t *stage;
    for (size_t k = 0; compare_severities[k]; k++)
        json_array_foreach((json_t *)stages, i, stage) {
            if (r == 0)
                r = take_stage(rows, index, stage, compare_severities[k]);
        }
    json_decref(index);
    return r;
}

/* ---- the whole */

static const json_t *reference_of(const json_t *stages) {
    size_t i;
    json_t *stage;
    json_array_foreach((json_t *)stages, i, stage) {
        if (json_object_get(stage, "reference"))
            return json_object_get(stage, "reference");
    }
    return NULL;
}

/* The worst of the stages'; nothing compared is no PASS. */
static const char *verdict_of(const json_t *stages) {
    static const char *const worst_last[] = {"PASS", "PENDING", "INCONCLUSIVE", "FAIL"};
    size_t worst = json_array_size(stages) ? 0 : 1;
    size_t i;
    json_t *stage;
    json_array_foreach((json_t *)stages, i, stage) {
        size_t k = 3;
        while (k > 0 && strcmp(worst_last[k], js_str(stage, "verdict", "PENDING")) != 0)
            k--;
        worst = k > worst ? k : worst;
    }
    return worst_last[worst];
}

int report_compare_make(const struct report_head *h, json_t *stages, json_t **ret) {
    const json_t *reference = reference_of(stages);
    json_t *rows = json_array();
    json_t *doc = json_pack("{s:s, s:s, s:I, s:s, s:O?, s:O, s:O, s:s}", "pilot", h->pilot, "at", h->at,
                            "commit", (json_int_t)h->commit, "evaluator", h->evaluator, "reference",
                            reference, "stages", stages, "rows", rows, "verdict", verdict_of(stages));
    int r = doc ? take_rows(rows, stages) : -ENOMEM;
    json_decref(rows);
    if (r < 0)
        json_decref(doc);
    else
        *ret = doc;
    return r;
}
