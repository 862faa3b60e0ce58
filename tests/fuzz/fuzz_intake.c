/* Hostile YAML and JSON as a reference and as manifests: what loads is stored and read again as the same,
 * gives a well-formed result against any stage, and holds no secret's keyed hash without a key; what is made
 * of manifests is a reference that they meet. Input: a byte (a key or none), a reference, a NUL, manifests.
 */
#include <string.h>

#include "base/js.h"
#include "fuzz.h"
#include "reference/reference.h"

#define TEXT_MAX (1u << 18)

static const struct norm_key key = {{7}};

static void look_at_row(const json_t *row) {
    const char *verdict = js_str(row, "verdict", "");
    size_t open = 0, i;
    json_t *d;
    MUST(json_is_string(json_object_get(row, "id")) && json_is_string(json_object_get(row, "reason")));
    MUST(json_array_size(json_object_get(row, "differences")) <= REF_DIFFERENCES_MAX);
    json_array_foreach(json_object_get(row, "differences"), i, d) {
        bool unknown = strcmp(js_str(d, "what", ""), "unknown") == 0;
        open += !json_object_get(d, "tolerated") && !unknown;
    }
    MUST((strcmp(verdict, "FAIL") == 0) == (open > 0));
    MUST(open || strcmp(verdict, "PASS") == 0 || strcmp(verdict, "INCONCLUSIVE") == 0);
}

/* The verdict of the whole is that of its required rows. */
static const char *look_at_result(const json_t *result) {
    const char *verdict = js_str(result, "verdict", "");
    size_t failed = 0, i;
    json_t *row;
    json_array_foreach(json_object_get(result, "rows"), i, row) {
        look_at_row(row);
        failed += strcmp(js_str(row, "verdict", ""), "FAIL") == 0 &&
                  strcmp(js_str(row, "severity", ""), "required") == 0;
    }
    MUST((strcmp(verdict, "FAIL") == 0) == (failed > 0));
    return verdict;
}

static void evaluate(const struct reference *r, const struct ref_side *side, bool met) {
    json_t *result = NULL;
    struct err e;
    MUST(ref_evaluate(r, side, "a/b", 1000000000, &result, &e) == 0);
    const char *verdict = look_at_result(result);
    MUST(!met || strcmp(verdict, "FAIL") != 0);
    char *text = js_canonical(result);
    MUST(text);
    free(text);
    json_decref(result);
}

/* Without a key nothing is hashed: the throw-away one's hashes would say nothing, and look as if they did. */
static void look_for_hashes(const json_t *v) {
    const char *name;
    json_t *member;
    for (const char *p = json_string_value(v); p && (p = strstr(p, "keyed:")); p += 6)
        MUST(strspn(p + 6, "0123456789abcdef") < 64);
    json_object_foreach((json_t *)v, name, member) look_for_hashes(member);
    for (size_t i = 0; i < json_array_size(v); i++)
        look_for_hashes(json_array_get(v, i));
}

static void store_again(const struct reference *r, const struct norm_key *k) {
    struct reference again;
    struct err e;
    char *text = js_canonical(r->doc);
    MUST(text);
    if (!k)
        look_for_hashes(json_object_get(r->doc, "manifests"));
    MUST(ref_from_document(r->doc, &again, &e) == 0);
    MUST(strcmp(again.digest, r->digest) == 0 && again.n_sets == r->n_sets);
    ref_free(&again);
    MUST(ref_load_text("r", NULL, text, strlen(text), k, &again, &e) == 0);
    MUST(strcmp(again.digest, r->digest) == 0); /* what was reduced is not reduced again */
    ref_free(&again);
    free(text);
}

static void make(const char *text, size_t len, const struct ref_side *side) {
    struct ref_init how = {0};
    json_t *doc, *left_out;
    struct reference r;
    struct err e;
    if (ref_make("m", text, len, &how, &doc, &left_out, &e) < 0)
        return;
    char *written = json_dumps(doc, JSON_COMPACT);
    MUST(written);
    if (ref_load_text("r", NULL, written, strlen(written), NULL, &r, &e) < 0) {
        (void)fprintf(stderr, "%s\n", e.text);
        abort();
    }
    evaluate(&r, side, true);
    ref_free(&r);
    free(written);
    json_decref(doc);
    json_decref(left_out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2 || size > TEXT_MAX)
        return 0;
    const struct norm_key *k = data[0] & 1 ? &key : NULL;
    char *texts = malloc(size);
    MUST(texts);
    memcpy(texts, data + 1, size - 1);
    texts[size - 1] = 0;
    size_t first = strlen(texts);
    const char *manifests = first + 1 < size ? texts + first + 1 : "";
    size_t len = first + 1 < size ? size - 2 - first : 0;
    struct ref_side side = {0};
    struct reference r;
    struct err e;
    json_t *docs = NULL;
    bool staged = ref_side_of_manifests("m", manifests, len, k, &side, &docs, &e) == 0;
    if (ref_load_text("r", NULL, texts, first, k, &r, &e) == 0) {
        store_again(&r, k);
        evaluate(&r, &side, false);
        for (size_t i = 0; i < r.n_sets; i++)
            evaluate(&r, &r.sets[i], false);
        ref_free(&r);
    } else {
        MUST(*e.text && !strchr(e.text, '\n'));
    }
    if (staged)
        make(manifests, len, &side);
    ref_side_free(&side);
    json_decref(docs);
    free(texts);
    return 0;
}
