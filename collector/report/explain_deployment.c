/* explain_deployment: how a stage's product came to life, for people. */
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "report/report_priv.h"

static void step(const struct report *r, const json_t *p) {
    const char *bound = js_str(p, "bound", "at");
    if (!js_bool(p, "seen", false)) {
        (void)fprintf(r->to, "    %12s  %s\n", "not seen", js_str(p, "phase", ""));
        return;
    }
    (void)fprintf(r->to, "    %10.2f s  %s (%s, within %.3g s%s%s)\n",
                  json_number_value(js_at(p, "since_t0_s")), js_str(p, "phase", ""), js_str(p, "at", ""),
                  json_number_value(js_at(p, "precision_s")), strcmp(bound, "at") == 0 ? "" : ", ",
                  strcmp(bound, "at") == 0 ? "" : bound);
}

static void clock_start(const struct report *r, const json_t *stage) {
    (void)fprintf(r->to, "  clock starts at %s: %s", js_str(stage, "t0", ""), js_str(stage, "t0_sign", ""));
    if (*js_str(stage, "t0_set_by", ""))
        (void)fprintf(r->to, ", set by %s", js_str(stage, "t0_set_by", ""));
    (void)fputs("\n", r->to);
    if (js_bool(stage, "adopted", false))
        (void)fprintf(
            r->to,
            "    the product was there when the first agent came at %s: what lies before is what the "
            "API server still knew\n",
            js_str(stage, "watched_from", ""));
}

static void marks(const struct report *r, const json_t *list) {
    size_t i;
    json_t *m;
    json_array_foreach((json_t *)list, i, m) {
        (void)fprintf(r->to, "    mark t0 at %s by %s%s%s%s\n", js_str(m, "at", ""),
                      *js_str(m, "by", "") ? js_str(m, "by", "") : "nobody",
                      *js_str(m, "note", "") ? ": " : "", js_str(m, "note", ""),
                      js_bool(m, "used", false) ? "" : " (has no effect)");
    }
}

/* A text of the cluster's. */
static void plain(const struct report *r, const char *text) {
    report_plain(r->to, text, strlen(text));
}

static void images(const struct report *r, const json_t *list) {
    size_t i;
    json_t *o;
    if (json_array_size(list))
        (void)fputs("  images\n", r->to);
    json_array_foreach((json_t *)list, i, o) {
        double mib = json_number_value(json_object_get(o, "bytes")) / 1048576.0;
        double seconds = json_number_value(json_object_get(o, "seconds"));
        (void)fputs("    ", r->to);
        plain(r, js_str(o, "image", ""));
        (void)fputs(": ", r->to);
        if (js_int(o, "pulls", 0))
            (void)fprintf(r->to, "%lld pulled", (long long)js_int(o, "pulls", 0));
        if (js_int(o, "cached", 0))
            (void)fprintf(r->to, "%s%lld on the node already", js_int(o, "pulls", 0) ? ", " : "",
                          (long long)js_int(o, "cached", 0));
        if (seconds > 0)
            (void)fprintf(r->to, ", the slowest in %.1f s (%s)", seconds, js_str(o, "slowest", ""));
        if (mib > 0)
            (void)fprintf(r->to, ", %.1f MiB", mib);
        (void)fputs("\n", r->to);
    }
}

static void failures(const struct report *r, const json_t *list) {
    size_t i;
    json_t *o;
    if (json_array_size(list))
        (void)fputs("  failed on the way\n", r->to);
    json_array_foreach((json_t *)list, i, o) {
        if (i >= REPORT_LIST_MAX)
            continue;
        int64_t objects = js_int(o, "objects", 1);
        (void)fprintf(r->to, "    %lld x %s: ", (long long)js_int(o, "times", 0), js_str(o, "what", ""));
        plain(r, js_str(o, "reason", ""));
        (void)fprintf(r->to, " (%s", js_str(o, "subject", ""));
        if (objects > 1)
            (void)fprintf(r->to, " and %lld more", (long long)objects - 1);
        (void)fprintf(r->to, "), %s to %s\n", js_str(o, "first", ""), js_str(o, "last", ""));
    }
}

static void install(const struct report *r, const json_t *o) {
    const char *ended = js_str(o, "ended", "");
    const char *deployed = js_str(o, "deployed", "");
    (void)fprintf(r->to, "    %s, chart %s %s, from %s%s%s, %lld revisions: %s%s%s%s\n",
                  js_str(o, "release", ""), js_str(o, "chart", ""), js_str(o, "version", ""),
                  js_str(o, "created", ""), *deployed ? ", deployed " : ", never deployed", deployed,
                  (long long)js_int(o, "revisions", 0), js_str(o, "end", ""), *ended ? " " : "", ended,
                  js_bool(o, "earlier_namespace", false) ? " (in an earlier namespace)" : "");
}

static void installs(const struct report *r, const json_t *list) {
    size_t i;
    json_t *o;
    size_t here = 0;
    json_array_foreach((json_t *)list, i, o) {
        here += !js_bool(o, "earlier_namespace", false);
    }
    if (here > 1)
        (void)fprintf(r->to, "  installs: %zu in this namespace; the clock was not reset\n", here);
    else if (json_array_size(list))
        (void)fputs("  installs\n", r->to);
    json_array_foreach((json_t *)list, i, o) {
        install(r, o);
    }
}

static void past(const struct report *r, const json_t *list) {
    size_t i;
    json_t *o;
    if (json_array_size(list))
        (void)fputs("  the namespace had this name before: each is a stage of its own\n", r->to);
    json_array_foreach((json_t *)list, i, o) {
        (void)fprintf(r->to, "    namespace %s from %s to %s: %lld installs, ", js_str(o, "uid", ""),
                      js_str(o, "created", ""), js_str(o, "until", ""), (long long)js_int(o, "installs", 0));
        if (json_object_get(o, "first_call"))
            (void)fprintf(r->to, "first successful call after %.1f s\n",
                          json_number_value(json_object_get(o, "seconds")));
        else
            (void)fputs("no call succeeded\n", r->to);
    }
}

void report_deployment(const struct report *r, const json_t *stage) {
    const json_t *list = json_object_get(stage, "phases");
    size_t i;
    json_t *p;
    if (!list)
        return;
    clock_start(r, stage);
    marks(r, json_object_get(stage, "t0_marks"));
    json_array_foreach((json_t *)list, i, p) {
        step(r, p);
    }
    images(r, json_object_get(stage, "images"));
    failures(r, json_object_get(stage, "failures"));
    installs(r, json_object_get(stage, "installs"));
    past(r, json_object_get(stage, "past"));
}
