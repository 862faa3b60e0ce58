/* supersede: what people attest of a change that failed and was tested again. A failure stands until
 * somebody, by name, says which later change re-tested it; that one must itself pass. Both stay displayed,
 * and so does an attestation that has no effect, with the reason. */
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "gates/gates_priv.h"

static json_t *find(const json_t *judged, const char *id) {
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)judged, i, v) {
        if (strcmp(js_str(v, "id", ""), id) == 0)
            return v;
    }
    return NULL;
}

static const struct fact_change *change_by_id(const struct facts *f, const char *id) {
    for (size_t i = 0; i < f->n_changes; i++)
        if (strcmp(f->changes[i].id, id) == 0)
            return &f->changes[i];
    return NULL;
}

static bool began_later(const struct facts *f, const char *id, const char *than) {
    const struct fact_change *a = change_by_id(f, id);
    const struct fact_change *b = change_by_id(f, than);
    return a && b && a->begin_lo > b->begin_lo;
}

/* Why it has no effect, in `why`; false: it has one. */
static bool has_no_effect(const json_t *a, const struct facts *f, const json_t *judged,
                          char why[ERR_TEXT_MAX]) {
    const char *id = js_str(a, "change", "");
    const char *by = js_str(a, "by", "");
    const json_t *failed = find(judged, id);
    const json_t *again = find(judged, by);
    if (!*js_str(a, "who", ""))
        (void)snprintf(why, ERR_TEXT_MAX, "it does not say who attests it");
    else if (!failed)
        (void)snprintf(why, ERR_TEXT_MAX, "no change '%s' was judged here", id);
    else if (gate_verdict_of(failed) != GATE_FAIL)
        (void)snprintf(why, ERR_TEXT_MAX, "%s did not fail", id);
    else if (!again)
        (void)snprintf(why, ERR_TEXT_MAX, "no change '%s' was judged here", by);
    else if (!began_later(f, by, id))
        (void)snprintf(why, ERR_TEXT_MAX, "%s did not begin after %s", by, id);
    else if (gate_verdict_of(again) != GATE_PASS)
        (void)snprintf(why, ERR_TEXT_MAX, "%s does not pass: it is %s", by, js_str(again, "verdict", ""));
    else
        return false;
    return true;
}

static json_t *shown(const json_t *a) {
    char said[WHEN_TEXT_MAX];
    json_t *o = json_pack("{s:s, s:s, s:s}", "change", js_str(a, "change", ""), "by", js_str(a, "by", ""),
                          "who", js_str(a, "who", ""));
    static const char *const texts[] = {"link", "blake2b256", "note"};
    for (size_t i = 0; o && i < sizeof texts / sizeof *texts; i++)
        if (*js_str(a, texts[i], ""))
            (void)json_object_set_new(o, texts[i], json_string(js_str(a, texts[i], "")));
    (void)json_object_set_new(o, "said", json_string(when_format(js_int(a, "said_ns", 0), 3, said)));
    return o;
}

static void apply(json_t *o, const json_t *a, const struct facts *f, const json_t *judged) {
    char why[ERR_TEXT_MAX] = "";
    bool none = has_no_effect(a, f, judged, why);
    json_t *one = shown(a);
    if (!one)
        return;
    if (!none)
        (void)json_object_set_new(find(judged, js_str(a, "change", "")), "superseded", json_deep_copy(one));
    (void)json_object_set_new(one, "valid", json_boolean(!none));
    json_t *reason = json_string(why); /* which may have been cut inside a character */
    (void)json_object_set_new(one, "reason", reason ? reason : json_string("it names no change"));
    if (!json_object_get(o, "supersedes"))
        (void)json_object_set_new(o, "supersedes", json_array());
    (void)json_array_append_new(json_object_get(o, "supersedes"), one);
}

void gate_supersede(json_t *o, const struct facts *f, const json_t *judged, bool unknown_too) {
    size_t i;
    json_t *a;
    json_array_foreach(f->ev->attestations, i, a) {
        if (strcmp(js_str(a, "what", ""), "supersede") == 0 &&
            strcmp(js_str(a, "stage", ""), f->stage) == 0 &&
            (unknown_too || find(judged, js_str(a, "change", ""))))
            apply(o, a, f, judged);
    }
}

bool gate_is_superseded(const json_t *judged) {
    return json_object_get(judged, "superseded") != NULL;
}

/* "2 failed changes superseded by shop.v5 (shop.v3), attested by Ann ..." */
void gate_superseded_text(const json_t *judged, char *out, size_t size) {
    size_t n = 0;
    size_t len = 0;
    size_t i;
    json_t *v;
    *out = 0;
    json_array_foreach((json_t *)judged, i, v) {
        n += gate_is_superseded(v);
    }
    if (n == 0)
        return;
    len = (size_t)snprintf(out, size, "; %zu failed change%s superseded: ", n, n == 1 ? "" : "s");
    json_array_foreach((json_t *)judged, i, v) {
        if (!gate_is_superseded(v) || len >= size)
            continue;
        len += (size_t)snprintf(out + len, size - len, "%s%s by %s, attested by %s",
                                out[len - 1] == ' ' ? "" : "; ", js_str(v, "id", ""),
                                js_str(v, "superseded.by", ""), js_str(v, "superseded.who", ""));
    }
}
