/* explain: a gate, or a change, in full for people: what was measured, what was lost, what is cited. */
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "report/report_priv.h"

static void heading(const struct report *r, const char *text) {
    (void)fprintf(r->to, r->colour ? "\n\033[1m%s\033[0m\n" : "\n%s\n", text);
}

static void rest_line(const struct report *r, size_t n) {
    if (n > REPORT_LIST_MAX)
        (void)fprintf(r->to, "    ... and %zu more: -o json has them all\n", n - REPORT_LIST_MAX);
}

static void measured(const struct report *r, const json_t *m, const char *indent) {
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)m, key, v) {
        if (json_is_object(v) || json_is_array(v))
            continue;
        (void)fprintf(r->to, "%s%-22s ", indent, key);
        if (json_is_real(v))
            (void)fprintf(r->to, "%.6g\n", json_real_value(v));
        else if (json_is_integer(v))
            (void)fprintf(r->to, "%lld\n", (long long)json_integer_value(v));
        else
            (void)fprintf(r->to, "%s\n", json_is_string(v) ? json_string_value(v) : "");
    }
    report_background(r, m, indent);
}

static void strings(const struct report *r, const char *title, const json_t *list) {
    size_t n = json_array_size(list);
    if (n == 0)
        return;
    (void)fprintf(r->to, "  %s\n", title);
    for (size_t i = 0; i < n && i < REPORT_LIST_MAX; i++)
        (void)fprintf(r->to, "    %s\n", json_string_value(json_array_get(list, i)));
    rest_line(r, n);
}

/* ---- changes */

static void lost_calls(const struct report *r, const json_t *list) {
    size_t n = json_array_size(list);
    if (n == 0)
        return;
    (void)fprintf(r->to, "  calls that meet the window and did not complete (%zu)\n", n);
    for (size_t i = 0; i < n && i < REPORT_LIST_MAX; i++) {
        const json_t *l = json_array_get(list, i);
        const char *path = js_str(l, "path", "");
        (void)fprintf(r->to, "    %-12s call %s  probe %s%s%s  start %s  after %.3f s  %s\n",
                      js_str(l, "reading", ""), js_str(l, "call", "?"), js_str(l, "probe", ""),
                      *path ? " at " : "", path, js_str(l, "start", ""),
                      json_number_value(js_at(l, "seconds")), js_str(l, "outcome", ""));
        (void)fprintf(r->to, "                 %s; %s\n",
                      *js_str(l, "how_far", "") ? js_str(l, "how_far", "") : "how far it got is not known",
                      js_str(l, "why", ""));
    }
    rest_line(r, n);
}

static void spans(const struct report *r, const json_t *list) {
    size_t i;
    json_t *s;
    json_array_foreach((json_t *)list, i, s) {
        (void)fprintf(r->to, "  unwitnessed: node %s from %s to %s: %s\n", js_str(s, "node", ""),
                      js_str(s, "from", ""), js_str(s, "to", ""), js_str(s, "why", ""));
    }
}

static void change_signs(const struct report *r, const json_t *change) {
    size_t i;
    json_t *s;
    char what[2 * WIRE_NAME_MAX + 2];
    (void)fputs("  signs\n", r->to);
    json_array_foreach(json_object_get(change, "signs"), i, s) {
        (void)snprintf(what, sizeof what, "%s/%s", js_str(s, "kind", ""), js_str(s, "name", ""));
        (void)fprintf(r->to, "    %-40s %-8s %.8s -> %.8s\n", what, js_str(s, "what", ""),
                      *js_str(s, "old", "") ? js_str(s, "old", "") : "nothing",
                      *js_str(s, "new", "") ? js_str(s, "new", "") : "nothing");
        (void)fprintf(r->to, "      between %s and %s, told by node %s\n", js_str(s, "old_seen_until", ""),
                      js_str(s, "new_seen_from", ""), js_str(s, "node", ""));
    }
}

static void change_line(const struct report *r, const json_t *c) {
    (void)fprintf(r->to, "  %-24s", js_str(c, "id", ""));
    report_verdict(r, js_bool(c, "qualifies", true) ? js_str(c, "verdict", "") : "not judged");
    (void)fprintf(r->to, "  %s  ", js_str(c, "begin", ""));
    report_wrapped(r, js_str(c, "reason", ""), 2 + 24 + 12 + 2 + 24 + 2);
}

static void change_full(const struct report *r, const json_t *c) {
    change_line(r, c);
    change_signs(r, c);
    if (json_object_get(c, "superseded"))
        (void)fprintf(r->to, "  superseded by %s, attested by %s\n", js_str(c, "superseded.by", ""),
                      js_str(c, "superseded.who", ""));
    report_switches(r, c);
    (void)fprintf(r->to, "  window from %s to %s\n", js_str(c, "begin", ""), js_str(c, "window_to", ""));
    measured(r, json_object_get(c, "measured"), "    ");
    strings(r, "tools added", json_object_get(c, "tools_added"));
    strings(r, "tools removed", json_object_get(c, "tools_removed"));
    spans(r, json_object_get(c, "unwitnessed"));
    lost_calls(r, json_object_get(c, "lost"));
}

bool report_changes(const struct report *r, const json_t *changes, const char *id) {
    size_t i;
    json_t *c;
    bool found = false;
    const char *stage = "";
    json_array_foreach((json_t *)changes, i, c) {
        if (id && strcmp(js_str(c, "id", ""), id) != 0)
            continue;
        found = true;
        if (strcmp(stage, js_str(c, "stage", "")) != 0)
            heading(r, stage = js_str(c, "stage", ""));
        if (id)
            change_full(r, c);
        else
            change_line(r, c);
    }
    return found;
}

/* ---- the gate */

static void explain_stage(const struct report *r, const json_t *s) {
    heading(r, js_str(s, "stage", ""));
    (void)fputs("  ", r->to);
    report_verdict(r, js_str(s, "verdict", ""));
    (void)fputs("  ", r->to);
    report_wrapped(r, js_str(s, "reason", ""), 16);
    measured(r, json_object_get(s, "measured"), "    ");
    report_supersedes(r, s);
    report_deployment(r, s);
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(s, "changes"), i, c) {
        (void)fputs("\n", r->to);
        change_full(r, c);
    }
    report_rollbacks(r, json_object_get(s, "rollbacks"));
    strings(r, "evidence", json_object_get(s, "evidence"));
}

void report_explain(const struct report *r, const json_t *result, const char *gate) {
    size_t i;
    size_t j;
    json_t *g;
    json_t *s;
    json_array_foreach(json_object_get(result, "gates"), i, g) {
        if (strcmp(js_str(g, "id", ""), gate) != 0)
            continue;
        (void)fprintf(r->to, "%s: %s\n", js_str(g, "title", ""), js_str(g, "pass", ""));
        (void)fprintf(r->to, "at %s, commit %lld, rubric %.12s, %s\n", js_str(result, "at", ""),
                      (long long)js_int(result, "commit", 0), js_str(result, "rubric", ""),
                      js_str(result, "evaluator", ""));
        if (json_array_size(json_object_get(g, "stages")) == 0)
            (void)fprintf(r->to, "%s: %s\n", js_str(g, "verdict", ""), js_str(g, "summary", ""));
        json_array_foreach(json_object_get(g, "stages"), j, s) {
            explain_stage(r, s);
        }
    }
}
