/* change: one change in full for people: signs, window, what it changed, switches, calls. */
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "correlate/differences.h"
#include "report/report_priv.h"

void report_heading(const struct report *r, const char *text) {
    (void)fprintf(r->to, r->colour ? "\n\033[1m%s\033[0m\n" : "\n%s\n", text);
}

void report_rest(const struct report *r, size_t n, const char *indent) {
    if (n > REPORT_LIST_MAX)
        (void)fprintf(r->to, "%s... and %zu more: -o json has them all\n", indent, n - REPORT_LIST_MAX);
}

void report_measured(const struct report *r, const json_t *m, const char *indent) {
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

void report_strings(const struct report *r, const char *title, const json_t *list) {
    size_t n = json_array_size(list);
    if (n == 0)
        return;
    (void)fprintf(r->to, "  %s\n", title);
    for (size_t i = 0; i < n && i < REPORT_LIST_MAX; i++)
        (void)fprintf(r->to, "    %s\n", json_string_value(json_array_get(list, i)));
    report_rest(r, n, "    ");
}

/* Each line behind its sign, as in a patch. */
static void value_lines(const struct report *r, int indent, char sign, const char *text) {
    const char *colour = sign == '-' ? "\033[31m" : "\033[32m";
    while (text) {
        const char *end = strchr(text, '\n');
        (void)fprintf(r->to, "%*s%s%c ", indent, "", r->colour ? colour : "", sign);
        report_plain(r->to, text, end ? (size_t)(end - text) : strlen(text));
        (void)fputs(r->colour ? "\033[0m\n" : "\n", r->to);
        text = end ? end + 1 : NULL;
    }
}

/* ---- what it changed */

void report_difference(const struct report *r, int indent, const json_t *d) {
    const char *where = js_str(d, "where", "");
    const char *lines = js_str(d, "lines_after", js_str(d, "lines_before", ""));
    (void)fprintf(r->to, "%*s", indent, "");
    report_plain(r->to, js_str(d, "pointer", ""), strlen(js_str(d, "pointer", "")));
    if (*where) {
        (void)fputs("  (", r->to);
        report_plain(r->to, where, strlen(where));
        (void)fputc(')', r->to);
    }
    if (*lines)
        (void)fprintf(r->to, "  line%s %s", strchr(lines, '-') ? "s" : "", lines);
    (void)fputc('\n', r->to);
    if (js_bool(d, "secret", false) && strcmp(js_str(d, "before", ""), DIFF_SECRET) == 0 &&
        strcmp(js_str(d, "after", ""), DIFF_SECRET_CHANGED) == 0) {
        (void)fputs("        changed; agents tell a keyed hash of it alone\n", r->to);
        return;
    }
    value_lines(r, indent + 2, '-', js_str(d, "before", NULL));
    value_lines(r, indent + 2, '+', js_str(d, "after", NULL));
}

static void object(const struct report *r, const json_t *o) {
    const json_t *items = json_object_get(o, "items");
    size_t n = json_array_size(items);
    const char *path = js_str(o, "path", "");
    long long more = js_int(o, "more", 0);
    (void)fprintf(r->to, "    %s%s%s  %s\n", js_str(o, "object", ""), *path ? " at " : "", path,
                  js_str(o, "what", ""));
    if (json_object_get(o, "not_known"))
        (void)fprintf(r->to, "      what differs is not shown: %s\n", js_str(o, "not_known", ""));
    for (size_t i = 0; i < n && i < REPORT_LIST_MAX; i++)
        report_difference(r, 6, json_array_get(items, i));
    report_rest(r, n, "      ");
    if (more)
        (void)fprintf(r->to, "      ... and %lld more differences\n", more);
}

static void differences(const struct report *r, const json_t *change) {
    const json_t *list = json_object_get(change, "differences");
    size_t i;
    json_t *o;
    if (json_array_size(list) == 0)
        return;
    (void)fputs("  what it changed\n", r->to);
    json_array_foreach((json_t *)list, i, o) {
        object(r, o);
    }
}

/* The revision of code that Flux or Argo CD applied with it. */
static void code(const struct report *r, const json_t *change) {
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(change, "gitops"), i, v) {
        const char *source = js_str(v, "source_revision", "");
        const char *action = js_str(v, "action", "");
        (void)fprintf(r->to, "  applied by %s: %s%s%s%s%s%s, %s\n", js_str(v, "owner", ""),
                      js_str(v, "revision", ""), *source ? " (" : "", source, *source ? ")" : "",
                      *action ? ", " : "", action, js_str(v, "status", ""));
    }
}

/* ---- signs, windows, calls */

static void sign(const struct report *r, const json_t *s) {
    char what[2 * WIRE_NAME_MAX + 2];
    const char *path = js_str(s, "path", "");
    const char *note = js_str(s, "note", "");
    if (strcmp(js_str(s, "kind", ""), "Mark") == 0) {
        (void)fprintf(r->to, "    marked by %s at %s%s", js_str(s, "by", ""), js_str(s, "new_seen_from", ""),
                      *note ? ": " : "");
        report_plain(r->to, note, strlen(note));
        (void)fputc('\n', r->to);
        return;
    }
    (void)snprintf(what, sizeof what, "%s/%s", js_str(s, "kind", ""), js_str(s, "name", ""));
    (void)fprintf(r->to, "    %-40s %-8s %.8s -> %.8s%s%s\n", what, js_str(s, "what", ""),
                  *js_str(s, "old", "") ? js_str(s, "old", "") : "nothing",
                  *js_str(s, "new", "") ? js_str(s, "new", "") : "nothing", *path ? " at " : "", path);
    (void)fprintf(r->to, "      between %s and %s, told by node %s (%s)\n", js_str(s, "old_seen_until", ""),
                  js_str(s, "new_seen_from", ""), js_str(s, "node", ""), js_str(s, "origin", ""));
}

static void signs(const struct report *r, const json_t *change) {
    const json_t *list = json_object_get(change, "signs");
    size_t n = json_array_size(list);
    (void)fputs("  signs\n", r->to);
    for (size_t i = 0; i < n && i < REPORT_LIST_MAX; i++)
        sign(r, json_array_get(list, i));
    report_rest(r, n, "    ");
}

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
    report_rest(r, n, "    ");
}

static void spans(const struct report *r, const json_t *list) {
    size_t i;
    json_t *s;
    json_array_foreach((json_t *)list, i, s) {
        (void)fprintf(r->to, "  unwitnessed: node %s from %s to %s: %s\n", js_str(s, "node", ""),
                      js_str(s, "from", ""), js_str(s, "to", ""), js_str(s, "why", ""));
    }
}

static void head(const struct report *r, const json_t *c) {
    (void)fprintf(r->to, "  %-24s", js_str(c, "id", ""));
    report_verdict(r, js_bool(c, "qualifies", true) ? js_str(c, "verdict", "") : "not judged");
    (void)fputs("  ", r->to);
    report_wrapped(r, js_str(c, "reason", ""), 2 + 24 + 12 + 2);
}

void report_change(const struct report *r, const json_t *c) {
    head(r, c);
    (void)fprintf(r->to, "  window from %s to %s\n", js_str(c, "begin", ""), js_str(c, "window_to", ""));
    if (json_object_get(c, "drill"))
        (void)fprintf(r->to, "  in drill %s\n", js_str(c, "drill", ""));
    if (json_object_get(c, "superseded"))
        (void)fprintf(r->to, "  superseded by %s, attested by %s\n", js_str(c, "superseded.by", ""),
                      js_str(c, "superseded.who", ""));
    code(r, c);
    signs(r, c);
    differences(r, c);
    report_switches(r, c);
    report_measured(r, json_object_get(c, "measured"), "    ");
    report_strings(r, "tools added", json_object_get(c, "tools_added"));
    report_strings(r, "tools removed", json_object_get(c, "tools_removed"));
    spans(r, json_object_get(c, "unwitnessed"));
    lost_calls(r, json_object_get(c, "lost"));
}
