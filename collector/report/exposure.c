/* exposure: for people, what was in flight across each switch, what is lost when nothing changes, and what
 * was attested of changes that failed. */
#include <stdio.h>

#include "base/js.h"
#include "report/report_priv.h"

static void switch_line(const struct report *r, const json_t *s) {
    (void)fprintf(r->to, "    %-46s", js_str(s, "what", ""));
    if (!json_object_get(s, "units"))
        (void)fputs("  nothing can have been in flight across it, or nobody saw when it was\n", r->to);
    else
        (void)fprintf(
            r->to,
            "  calls %lld reused %lld new, units %lld reused %lld new (%lld on HTTP/2), bound %.3g %%, "
            "longest %.3f s\n",
            (long long)js_int(s, "in_flight.reused", 0), (long long)js_int(s, "in_flight.new", 0),
            (long long)js_int(s, "units.reused", 0), (long long)js_int(s, "units.new", 0),
            (long long)js_int(s, "units_http2", 0), 100 * json_number_value(js_at(s, "rate_bound")),
            json_number_value(js_at(s, "longest_s")));
    long long some = js_int(s, "units_some.reused", 0) + js_int(s, "units_some.new", 0);
    if (some > js_int(s, "units.reused", 0) + js_int(s, "units.new", 0))
        (void)fprintf(r->to, "      across the switch of some replica: units %lld reused %lld new\n",
                      (long long)js_int(s, "units_some.reused", 0),
                      (long long)js_int(s, "units_some.new", 0));
    if (*js_str(s, "from", ""))
        (void)fprintf(r->to, "      between %s and %s\n", js_str(s, "from", ""), js_str(s, "to", ""));
    if (js_int(s, "dropped", 0) + js_int(s, "interrupted", 0))
        (void)fprintf(r->to, "      %lld dropped, %lld interrupted on this path\n",
                      (long long)js_int(s, "dropped", 0), (long long)js_int(s, "interrupted", 0));
    if (json_object_get(s, "reached"))
        (void)fprintf(r->to, "      %lld calls completed at its address\n",
                      (long long)js_int(s, "reached", 0));
}

void report_switches(const struct report *r, const json_t *change) {
    const json_t *list = json_object_get(change, "switches");
    size_t i;
    json_t *s;
    if (js_int(change, "replicas.before", 0) || js_int(change, "replicas.after", 0))
        (void)fprintf(r->to, "  replicas asked for: %lld before, %lld after; seen ready: %lld and %lld\n",
                      (long long)js_int(change, "replicas.before", 0),
                      (long long)js_int(change, "replicas.after", 0),
                      (long long)js_int(change, "replicas.seen_before", 0),
                      (long long)js_int(change, "replicas.seen_after", 0));
    if (json_array_size(list))
        (void)fputs("  switches\n", r->to);
    json_array_foreach((json_t *)list, i, s) {
        switch_line(r, s);
    }
}

void report_background(const struct report *r, const json_t *measured, const char *indent) {
    const json_t *b = json_object_get(measured, "background");
    if (!b)
        return;
    (void)fprintf(r->to, "%s%-22s ", indent, "background");
    if (js_bool(b, "known", false))
        (void)fprintf(r->to, "%lld of %lld calls lost outside all windows (%.3g %%), %s to %s\n",
                      (long long)js_int(b, "lost", 0), (long long)js_int(b, "n", 0),
                      100 * json_number_value(js_at(b, "rate")), js_str(b, "from", ""), js_str(b, "to", ""));
    else
        (void)fprintf(r->to, "not known: %s\n", js_str(b, "reason", ""));
}

void report_supersedes(const struct report *r, const json_t *stage) {
    size_t i;
    json_t *a;
    json_array_foreach(json_object_get(stage, "supersedes"), i, a) {
        (void)fprintf(r->to, "  attested by %s at %s: %s superseded by %s", js_str(a, "who", "(nobody)"),
                      js_str(a, "said", ""), js_str(a, "change", ""), js_str(a, "by", ""));
        if (*js_str(a, "link", ""))
            (void)fprintf(r->to, ", %s", js_str(a, "link", ""));
        if (js_bool(a, "valid", false))
            (void)fputs("\n", r->to);
        else
            (void)fprintf(r->to, "; NOT VALID: %s\n", js_str(a, "reason", ""));
    }
}
