/* explain_rollback: each rollback of a stage for people: what it went back to, what is as it was, what is not
 * and where, and what no rollback restores. */
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "report/report_priv.h"

static bool has(const json_t *o, const char *what) {
    return strcmp(js_str(o, "what", ""), what) == 0;
}

static void fields(const struct report *r, const json_t *o) {
    const json_t *list = json_object_get(o, "fields");
    size_t places = (size_t)js_int(o, "places", (int64_t)json_array_size(list));
    size_t i;
    json_t *d;
    json_array_foreach((json_t *)list, i, d) {
        report_difference(r, 8, d);
    }
    if (places > i)
        (void)fprintf(r->to, "        and at %zu other places\n", places - i);
}

static void entry(const struct report *r, const json_t *o) {
    const char *why = js_str(o, "why", "");
    (void)fprintf(r->to, "      %-14s %-44s %.12s -> %.12s\n", js_str(o, "what", ""), js_str(o, "object", ""),
                  *js_str(o, "baseline", "") ? js_str(o, "baseline", "") : "nothing",
                  *js_str(o, "after", "") ? js_str(o, "after", "") : "nothing");
    if (*why)
        (void)fprintf(r->to, "        %s\n", why);
    fields(r, o);
}

/* What is not equal comes first and in full; of the rest one line each. */
static void comparison(const struct report *r, const char *title, const json_t *list) {
    size_t i;
    json_t *o;
    size_t shown = 0;
    if (!list)
        return;
    (void)fprintf(r->to, "    %s\n", title);
    json_array_foreach((json_t *)list, i, o) {
        if (!has(o, "equal") && shown++ < REPORT_LIST_MAX)
            entry(r, o);
    }
    json_array_foreach((json_t *)list, i, o) {
        if (!has(o, "equal") || shown++ >= REPORT_LIST_MAX)
            continue;
        (void)fprintf(r->to, "      %-14s %-44s %.12s\n", "equal", js_str(o, "object", ""),
                      js_str(o, "after", ""));
        if (*js_str(o, "why", ""))
            (void)fprintf(r->to, "        %s\n", js_str(o, "why", ""));
    }
    if (shown > REPORT_LIST_MAX)
        (void)fprintf(r->to, "      ... and %zu more: -o json has them all\n", shown - REPORT_LIST_MAX);
}

static void manifests(const struct report *r, const json_t *o) {
    const json_t *list = json_object_get(o, "manifest");
    const char *a = js_str(o, "manifest_baseline", "");
    const char *b = js_str(o, "manifest_after", "");
    size_t i;
    json_t *x;
    (void)fprintf(r->to, "    rendered manifest: %s (%.12s -> %.12s)\n",
                  *a && strcmp(a, b) == 0 ? "equal" : "not the same", a, b);
    json_array_foreach((json_t *)list, i, x) {
        if (i < REPORT_LIST_MAX)
            (void)fprintf(r->to, "      %-44s %s\n", js_str(x, "object", ""), js_str(x, "what", ""));
    }
}

static void not_compared(const struct report *r, const json_t *list) {
    size_t n = json_array_size(list);
    if (n == 0)
        return;
    (void)fprintf(r->to, "    only by the manifest, as no agent watches these kinds (%zu)\n", n);
    for (size_t i = 0; i < n && i < REPORT_LIST_MAX; i++)
        (void)fprintf(r->to, "      %s\n", json_string_value(json_array_get(list, i)));
}

static void not_restored(const struct report *r, const json_t *list) {
    size_t i;
    json_t *x;
    if (json_array_size(list))
        (void)fputs("    never restored by Helm, and not compared\n", r->to);
    json_array_foreach((json_t *)list, i, x) {
        if (i < REPORT_LIST_MAX)
            (void)fprintf(r->to, "      %s: %s\n", js_str(x, "what", ""), js_str(x, "reason", ""));
    }
}

static void head(const struct report *r, const json_t *o) {
    (void)fprintf(r->to, "\n  revision %lld back to %lld (%s; %s)", (long long)js_int(o, "revision", 0),
                  (long long)js_int(o, "target", 0), js_str(o, "description", ""),
                  js_str(o, "recognised", ""));
    if (js_int(o, "from", 0))
        (void)fprintf(r->to, ", from %lld (%s)", (long long)js_int(o, "from", 0),
                      js_str(o, "from_status", ""));
    (void)fprintf(r->to, "\n    created %s, ", js_str(o, "created", ""));
    if (json_object_get(o, "seconds"))
        (void)fprintf(r->to, "deployed after %.1f s: ", json_number_value(js_at(o, "seconds")));
    else
        (void)fprintf(r->to, "not deployed (%s): ", js_str(o, "status", ""));
    report_verdict(r, js_str(o, "verdict", ""));
    (void)fputs("\n    ", r->to);
    report_wrapped(r, js_str(o, "reason", ""), 4);
    if (json_object_get(o, "superseded"))
        (void)fprintf(r->to, "    superseded by %s, attested by %s\n", js_str(o, "superseded.by", ""),
                      js_str(o, "superseded.who", ""));
}

void report_rollbacks(const struct report *r, const json_t *list) {
    size_t i;
    json_t *o;
    json_array_foreach((json_t *)list, i, o) {
        head(r, o);
        if (*js_str(o, "baseline_at", ""))
            (void)fprintf(r->to, "    compared: the state at %s under revision %lld, with that at %s\n",
                          js_str(o, "baseline_at", ""), (long long)js_int(o, "target", 0),
                          js_str(o, "after_at", ""));
        manifests(r, o);
        comparison(r, "live objects (baseline -> after)", json_object_get(o, "objects"));
        comparison(r, "product configuration and catalogues (baseline -> after)",
                   json_object_get(o, "product"));
        not_compared(r, json_object_get(o, "not_compared"));
        not_restored(r, json_object_get(o, "not_restored"));
    }
}
