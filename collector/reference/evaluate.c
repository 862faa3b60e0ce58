/* evaluate: a reference against the objects of a stage: rows, what is tolerated, how much of it is met, and
 * the verdict of the whole. reference.h draws the document. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "reference/reference_priv.h"
#include "reference/tolerate.h"

#define REASON_MAX 600
#define ROW_ID_MAX 700
#define NAMED_ROWS 3 /* rows that the reason of the whole names */

struct tally {
    size_t n, met, tolerated, failed, unknown;
};
struct evaluation {
    struct ref_scope scope;
    struct ref_tolerating tolerating;
    json_t *rows; /* array */
    const char *set;
    const json_t *set_doc;
    struct tally tally[REF_SEVERITIES];
};

/* What a row is, beside its outcome. */
struct row {
    const char *id, *title, *severity, *why, *source;
};

/* What became of its differences. */
struct sorted {
    json_t *open, *tolerated; /* differences, JSON; owned */
    json_t *by;               /* [{"reason","owner","n"}]; owned */
    size_t n_open, n_tolerated, n_unknown;
    const struct ref_difference *first; /* open one */
    const json_t *over;                 /* a tolerance that is over; borrowed */
    const json_t *rule;                 /* of the last one that is tolerated */
};

/* ---- differences */

static json_t *difference_json(const struct ref_difference *d, const json_t *rule) {
    json_t *x = json_pack("{s:o, s:o, s:o, s:s}", "object", ref_json_text(d->object), "pointer",
                          ref_json_text(d->pointer ? d->pointer : ""), "where",
                          ref_json_text(d->where ? d->where : ""), "what", ref_what_name(d->what));
    int bad = !x;
    if (!bad && d->expected)
        bad = json_object_set_new(x, "expected", ref_json_text(d->expected));
    if (!bad && d->found)
        bad = json_object_set_new(x, "found", ref_json_text(d->found));
    if (!bad && d->of)
        bad = json_object_set_new(x, "tag", json_integer((json_int_t)d->of->tag));
    if (!bad && rule)
        bad = json_object_set_new(x, "tolerated",
                                  json_pack("{s:O, s:O}", "reason", json_object_get(rule, "reason"), "owner",
                                            json_object_get(rule, "owner")));
    if (!bad)
        return x;
    json_decref(x);
    return NULL;
}

/* Counts one more difference under its rule. */
static int count_rule(json_t *by, const json_t *rule) {
    size_t i;
    json_t *entry;
    json_array_foreach(by, i, entry) {
        if (json_equal(json_object_get(entry, "reason"), json_object_get(rule, "reason")) &&
            json_equal(json_object_get(entry, "owner"), json_object_get(rule, "owner")))
            return json_integer_set(json_object_get(entry, "n"),
                                    json_integer_value(json_object_get(entry, "n")) + 1);
    }
    return json_array_append_new(by, json_pack("{s:O, s:O, s:i}", "reason", json_object_get(rule, "reason"),
                                               "owner", json_object_get(rule, "owner"), "n", 1));
}

static int sort_one(struct evaluation *x, const char *row, const struct ref_difference *d, struct sorted *s) {
    const json_t *rule = ref_tolerance(&x->tolerating, row, d, &s->over);
    json_t *into = rule ? s->tolerated : s->open;
    if (rule) {
        s->n_tolerated++;
        s->rule = rule;
        if (count_rule(s->by, rule) != 0)
            return -ENOMEM;
    } else if (d->what == REF_UNKNOWN) {
        s->n_unknown++;
    } else {
        s->first = s->n_open++ ? s->first : d;
    }
    if (json_array_size(into) >= REF_DIFFERENCES_MAX)
        return 0;
    return json_array_append_new(into, difference_json(d, rule)) == 0 ? 0 : -ENOMEM;
}

static int sort_all(struct evaluation *x, const char *row, const struct ref_outcome *o, struct sorted *s) {
    *s = (struct sorted){.open = json_array(), .tolerated = json_array(), .by = json_array()};
    int r = s->open && s->tolerated && s->by ? 0 : -ENOMEM;
    for (size_t i = 0; i < o->differences.n && r == 0; i++)
        r = sort_one(x, row, &o->differences.items[i], s);
    return r;
}

static void free_sorted(struct sorted *s) {
    json_decref(s->open);
    json_decref(s->tolerated);
    json_decref(s->by);
}

/* ---- one line that a person understands */

static void say_difference(const struct ref_difference *d, char *out, size_t size) {
    const char *pointer = d->pointer ? d->pointer : "";
    const char *where = d->where ? d->where : "";
    char place[2 * REF_VALUE_MAX];
    (void)snprintf(place, sizeof place, "%s%s%s%s%s", *pointer ? ": " : "", pointer, *where ? " (" : "",
                   where, *where ? ")" : "");
    if (d->what == REF_MISSING && !*pointer)
        (void)snprintf(out, size, "%s is not there", d->object);
    else if (d->what == REF_EXTRA)
        (void)snprintf(out, size, "%s%s is there, and should not be%s%s", d->object, place,
                       d->found ? ": " : "", d->found ? d->found : "");
    else if (d->found)
        (void)snprintf(out, size, "%s%s: found %s%s%s", d->object, place, d->found,
                       d->expected ? ", expected " : "", d->expected ? d->expected : "");
    else
        (void)snprintf(out, size, "%s%s is not set%s%s", d->object, place, d->expected ? ", expected " : "",
                       d->expected ? d->expected : "");
}

static void say_fail(const struct ref_outcome *o, const struct sorted *s, char out[REASON_MAX]) {
    size_t more = s->n_open - 1 + o->differences.more;
    say_difference(s->first, out, REASON_MAX - 40);
    if (more)
        (void)snprintf(out + strlen(out), REASON_MAX - strlen(out), "; and %zu more", more);
}

static void say_pass(const struct ref_outcome *o, const struct sorted *s, char out[REASON_MAX]) {
    if (s->n_tolerated)
        (void)snprintf(out, REASON_MAX, "met but for what %.100s tolerates: %.200s",
                       js_str(s->rule, "owner", ""), js_str(s->rule, "reason", ""));
    else if (*o->why)
        (void)snprintf(out, REASON_MAX, "%s", o->why);
    else if (o->objects)
        (void)snprintf(out, REASON_MAX, "met by %zu object%s", o->objects, o->objects == 1 ? "" : "s");
    else
        (void)snprintf(out, REASON_MAX, "met");
}

/* Also counts the row. */
static const char *verdict_of(const struct ref_outcome *o, const struct sorted *s, struct tally *t,
                              char reason[REASON_MAX]) {
    bool unknown = o->unknown || s->n_unknown || (!s->n_open && o->differences.more);
    t->n++;
    if (s->n_open) {
        t->failed++;
        say_fail(o, s, reason);
        return "FAIL";
    }
    if (unknown) {
        t->unknown++;
        (void)snprintf(reason, REASON_MAX, "not known: %s",
                       o->unknown ? o->why
                       : s->n_unknown
                           ? "some of it was hashed with another key than the agents': declare the "
                             "pilot again with theirs as --key"
                           : "there are more differences than are looked at");
        return "INCONCLUSIVE";
    }
    t->met += s->n_tolerated == 0;
    t->tolerated += s->n_tolerated > 0;
    say_pass(o, s, reason);
    return "PASS";
}

/* ---- rows */

static unsigned severity_index(const char *severity) {
    for (unsigned i = 0; ref_severities[i]; i++)
        if (strcmp(ref_severities[i], severity) == 0)
            return i;
    return REF_REQUIRED;
}

static json_t *note_of(const struct sorted *s) {
    char text[REASON_MAX] = "";
    if (s->over)
        (void)snprintf(text, sizeof text, "the tolerance of %.100s (%.200s) was over on %.40s",
                       js_str(s->over, "owner", ""), js_str(s->over, "reason", ""),
                       js_str(s->over, "until", ""));
    return ref_json_text(text);
}

static json_t *row_json(const struct row *row, const struct ref_outcome *o, struct sorted *s,
                        struct tally *t) {
    char reason[REASON_MAX];
    const char *verdict = verdict_of(o, s, t, reason);
    size_t room = REF_DIFFERENCES_MAX - json_array_size(s->open);
    for (size_t i = 0; i < room && i < json_array_size(s->tolerated); i++)
        if (json_array_append(s->open, json_array_get(s->tolerated, i)) != 0)
            return NULL;
    size_t all = o->differences.n + o->differences.more;
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:s, s:I, s:o, s:O, s:O, s:I}", "id", row->id, "title",
                     row->title, "severity", row->severity, "verdict", verdict, "reason",
                     ref_json_text(reason), "why", row->why, "source", row->source, "objects",
                     (json_int_t)o->objects, "note", note_of(s), "tolerated", s->by, "differences", s->open,
                     "more", (json_int_t)(all - json_array_size(s->open)));
}

/* Takes the outcome over. */
static int add_row(struct evaluation *x, const struct row *row, struct ref_outcome *o) {
    struct sorted s;
    int r = sort_all(x, row->id, o, &s);
    if (r == 0) {
        json_t *doc = row_json(row, o, &s, &x->tally[severity_index(row->severity)]);
        r = doc && json_array_append_new(x->rows, doc) == 0 ? 0 : -ENOMEM;
    }
    free_sorted(&s);
    ref_outcome_free(o);
    return r;
}

static int take_set_row(void *ctx, struct ref_set_row *from) {
    struct evaluation *x = ctx;
    char id[ROW_ID_MAX];
    (void)snprintf(id, sizeof id, "%s/%s", x->set, from->name);
    struct row row = {.id = id,
                      .title = from->title ? from->title : from->name,
                      .severity = from->severity,
                      .why = js_str(x->set_doc, "why", ""),
                      .source = js_str(x->set_doc, "source", "")};
    return add_row(x, &row, &from->outcome);
}

static int each_set(struct evaluation *x) {
    const struct reference *r = x->scope.r;
    for (size_t i = 0; i < r->n_sets; i++) {
        x->set_doc = json_array_get(json_object_get(r->doc, "manifests"), i);
        x->set = js_str(x->set_doc, "id", "");
        int status = ref_manifests(&x->scope, i, take_set_row, x);
        if (status < 0)
            return status;
    }
    return 0;
}

static int evaluate_sets(struct evaluation *x) {
    bool *in_sets = calloc(x->scope.live->n + 1, sizeof *in_sets);
    int r = in_sets ? ref_in_sets(x->scope.r, x->scope.live, in_sets) : -ENOMEM;
    x->scope.in_sets = in_sets;
    if (r == 0)
        r = each_set(x);
    x->scope.in_sets = NULL;
    free(in_sets);
    return r;
}

static int evaluate_expectations(struct evaluation *x) {
    size_t i;
    json_t *e;
    json_array_foreach(json_object_get(x->scope.r->doc, "expectations"), i, e) {
        const char *id = js_str(e, "id", "");
        struct row row = {id, js_str(e, "title", id), js_str(e, "severity", "required"), js_str(e, "why", ""),
                          js_str(e, "source", "")};
        struct ref_outcome out = {0};
        int r = json_object_get(e, "check") ? ref_check(&x->scope, e, &out) : ref_group(&x->scope, e, &out);
        if (r < 0)
            ref_outcome_free(&out);
        else
            r = add_row(x, &row, &out);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- the whole */

/* One decimal, rounded down: 100 is all of it. */
static double percent(const struct tally *t) {
    return t->n ? (double)(1000 * (t->met + t->tolerated) / t->n) / 10 : 100;
}

static json_t *match_of(const struct evaluation *x) {
    json_t *all = json_object();
    for (unsigned i = 0; i < REF_SEVERITIES; i++) {
        const struct tally *t = &x->tally[i];
        json_t *one =
            json_pack("{s:I, s:I, s:I, s:I, s:I, s:f}", "n", (json_int_t)t->n, "met", (json_int_t)t->met,
                      "tolerated", (json_int_t)t->tolerated, "failed", (json_int_t)t->failed, "unknown",
                      (json_int_t)t->unknown, "percent", percent(t));
        if (json_object_set_new(all, ref_severities[i], one) != 0) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

/* "a, b, c and 4 more": required rows with this verdict. */
static void name_rows(const struct evaluation *x, const char *verdict, char *out, size_t size) {
    size_t i, n = 0;
    json_t *row;
    *out = 0;
    json_array_foreach(x->rows, i, row) {
        if (strcmp(js_str(row, "severity", ""), "required") != 0 ||
            strcmp(js_str(row, "verdict", ""), verdict) != 0)
            continue;
        if (n < NAMED_ROWS)
            (void)snprintf(out + strlen(out), size - strlen(out), "%s%.100s", n ? ", " : "",
                           js_str(row, "id", ""));
        n++;
    }
    if (n > NAMED_ROWS)
        (void)snprintf(out + strlen(out), size - strlen(out), " and %zu more", n - NAMED_ROWS);
}

static const char *conclude(const struct evaluation *x, char reason[REASON_MAX]) {
    const struct tally *t = &x->tally[REF_REQUIRED];
    char rows[400];
    if (t->failed) {
        name_rows(x, "FAIL", rows, sizeof rows);
        (void)snprintf(reason, REASON_MAX, "%zu of %zu required rows fail: %s", t->failed, t->n, rows);
        return "FAIL";
    }
    if (t->unknown) {
        name_rows(x, "INCONCLUSIVE", rows, sizeof rows);
        (void)snprintf(reason, REASON_MAX, "%zu of %zu required rows are not known: %s", t->unknown, t->n,
                       rows);
        return "INCONCLUSIVE";
    }
    if (t->n == 0) {
        (void)snprintf(reason, REASON_MAX,
                       "the reference requires nothing: give what matters `severity: required`");
        return "INCONCLUSIVE";
    }
    (void)snprintf(reason, REASON_MAX, "all %zu required rows are met", t->n);
    if (t->tolerated)
        (void)snprintf(reason + strlen(reason), REASON_MAX - strlen(reason), ", %zu of them as tolerated",
                       t->tolerated);
    return "PASS";
}

static json_t *document_of(const struct evaluation *x) {
    char reason[REASON_MAX];
    const struct reference *r = x->scope.r;
    const char *verdict = conclude(x, reason);
    return json_pack("{s:{s:s, s:s, s:s}, s:O, s:o, s:s, s:o}", "reference", "id", js_str(r->doc, "id", ""),
                     "title", js_str(r->doc, "title", ""), "digest", r->digest, "rows", x->rows, "match",
                     match_of(x), "verdict", verdict, "reason", ref_json_text(reason));
}

int ref_evaluate(const struct reference *r, const struct ref_side *live, const char *stage, int64_t now_ns,
                 json_t **ret, struct err *e) {
    struct evaluation x = {.scope = {.r = r, .live = live},
                           .tolerating = {json_object_get(r->doc, "tolerate"), live, stage, now_ns},
                           .rows = json_array()};
    int status = x.rows ? evaluate_sets(&x) : -ENOMEM;
    if (status == 0)
        status = evaluate_expectations(&x);
    json_t *doc = status == 0 ? document_of(&x) : NULL;
    json_decref(x.rows);
    if (!doc)
        return status == 0 || status == -ENOMEM ? err_oom(e)
                                                : err_set(e, status, "cannot evaluate the reference");
    *ret = doc;
    return 0;
}
