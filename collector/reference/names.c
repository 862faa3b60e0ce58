/* names: see names.h. A text is walked once; where two readings are possible ("shop" may be the release or a
 * word that both sides have) the second one is kept and tried later, at most CHOICES_MAX of them and with a
 * budget that grows with the length only, so that no hostile text takes long: beyond it the texts differ. */
#include "reference/names.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reference/reference.h"

#define CHOICES_MAX 64
#define STEPS_PER_BYTE 8
#define HELM_NAME_MAX 63 /* `trunc 63` of the template that helm create writes, _helpers.tpl */
#define PAIRS_MAX 4096   /* more are not taken: each is tried at every word */

static bool is_word(char c) {
    return isalnum((unsigned char)c) != 0;
}

/* ---- pairs */

static int by_length(const void *a, const void *b) {
    const struct ref_pair *x = a;
    const struct ref_pair *y = b;
    size_t n = strlen(x->a);
    size_t m = strlen(y->a);
    return n != m ? (n < m) - (n > m) : strcmp(x->a, y->a);
}

static bool has_pair(const struct ref_names *n, const char *a, const char *b) {
    for (size_t i = 0; i < n->n; i++)
        if (strcmp(n->pairs[i].a, a) == 0 && strcmp(n->pairs[i].b, b) == 0)
            return true;
    return false;
}

int ref_names_add(struct ref_names *n, const char *a, const char *b) {
    if (!a || !b || !*a || !*b || strcmp(a, b) == 0 || n->n >= PAIRS_MAX || has_pair(n, a, b))
        return 0;
    if (n->n == n->cap) {
        size_t cap = n->cap ? 2 * n->cap : 8;
        struct ref_pair *p = realloc(n->pairs, cap * sizeof *p);
        if (!p)
            return -ENOMEM;
        n->pairs = p;
        n->cap = cap;
    }
    struct ref_pair pair = {strdup(a), strdup(b)};
    if (!pair.a || !pair.b) {
        free(pair.a);
        free(pair.b);
        return -ENOMEM;
    }
    size_t at = n->n; /* by its place, longest first */
    while (at > 0 && by_length(&pair, &n->pairs[at - 1]) < 0)
        at--;
    memmove(&n->pairs[at + 1], &n->pairs[at], (n->n - at) * sizeof *n->pairs);
    n->pairs[at] = pair;
    n->n++;
    return 0;
}

void ref_names_free(struct ref_names *n) {
    for (size_t i = 0; i < n->n; i++) {
        free(n->pairs[i].a);
        free(n->pairs[i].b);
    }
    free(n->pairs);
    *n = (struct ref_names){0};
}

static const char *text_or_empty(const char *s) {
    return s ? s : "";
}

/* Helm's "fullname", as `helm create` writes it into _helpers.tpl. "" where it is not known. */
static void fullname_of(const struct ref_side *s, char out[HELM_NAME_MAX + 1]) {
    const char *release = text_or_empty(s->release);
    const char *chart = text_or_empty(s->chart);
    char whole[2 * REF_NAME_MAX] = "";
    if (*release && *chart && strlen(release) < REF_NAME_MAX && strlen(chart) < REF_NAME_MAX)
        (void)snprintf(whole, sizeof whole, "%s%s%s", release, strstr(release, chart) ? "" : "-",
                       strstr(release, chart) ? "" : chart);
    size_t n = strlen(whole) < HELM_NAME_MAX ? strlen(whole) : HELM_NAME_MAX;
    while (n > 0 && whole[n - 1] == '-')
        n--;
    memcpy(out, whole, n);
    out[n] = 0;
}

int ref_names_of(const struct ref_side *a, const struct ref_side *b, struct ref_names *ret) {
    char full_a[HELM_NAME_MAX + 1];
    char full_b[HELM_NAME_MAX + 1];
    struct ref_names n = {0};
    fullname_of(a, full_a);
    fullname_of(b, full_b);
    int r = ref_names_add(&n, full_a, full_b);
    if (r == 0)
        r = ref_names_add(&n, a->release, b->release);
    if (r == 0)
        r = ref_names_add(&n, a->namespace_name, b->namespace_name);
    if (r < 0) {
        ref_names_free(&n);
        return r;
    }
    *ret = n;
    return 0;
}

/* ---- two texts */

/* Does `word` stand at text[at], whole? Returns its length, 0: no. */
static size_t whole_at(const char *text, size_t at, const char *word) {
    size_t n = strlen(word);
    if (strncmp(text + at, word, n) != 0)
        return 0;
    if (at > 0 && is_word(text[at - 1]) && is_word(word[0]))
        return 0;
    return is_word(word[n - 1]) && is_word(text[at + n]) ? 0 : n;
}

struct walk {
    const struct ref_names *names;
    const char *a, *b;
    struct choice {
        size_t i, j, pair;
    } choices[CHOICES_MAX];
    size_t n_choices;
    size_t budget;
};

/* The first pair from `from` on that stands at both places; n: none. */
static size_t pair_at(struct walk *w, size_t i, size_t j, size_t from) {
    for (size_t p = from; p < w->names->n; p++)
        if (whole_at(w->a, i, w->names->pairs[p].a) && whole_at(w->b, j, w->names->pairs[p].b))
            return p;
    return w->names->n;
}

/* Keeps the other reading of this place for later. */
static void keep_choice(struct walk *w, size_t i, size_t j, size_t pair) {
    if (w->n_choices < CHOICES_MAX)
        w->choices[w->n_choices++] = (struct choice){i, j, pair};
}

/* From this place on, pairs from `pair` on. */
static bool walk_from(struct walk *w, size_t i, size_t j, size_t pair) {
    while (w->budget > 0) {
        w->budget--;
        bool begins = i == 0 || !is_word(w->a[i - 1]) || !is_word(w->a[i]);
        size_t p = begins ? pair_at(w, i, j, pair) : w->names->n;
        pair = 0;
        if (p < w->names->n) {
            keep_choice(w, i, j, p + 1);
            i += strlen(w->names->pairs[p].a);
            j += strlen(w->names->pairs[p].b);
            continue;
        }
        if (w->a[i] != w->b[j])
            return false;
        if (!w->a[i])
            return true;
        i++;
        j++;
    }
    return false;
}

bool ref_names_same(const struct ref_names *n, const char *a, const char *b) {
    if (strcmp(a, b) == 0)
        return true;
    if (n->n == 0)
        return false;
    struct walk w = {.names = n, .a = a, .b = b};
    w.budget = STEPS_PER_BYTE * (strlen(a) + strlen(b) + 16);
    keep_choice(&w, 0, 0, 0);
    while (w.n_choices > 0) {
        struct choice c = w.choices[--w.n_choices];
        if (walk_from(&w, c.i, c.j, c.pair))
            return true;
    }
    return false;
}

/* ---- relative names */

bool ref_name_relative(const struct ref_side *s, const char *name, char *out, size_t size) {
    const char *const words[] = {text_or_empty(s->release), text_or_empty(s->namespace_name)};
    static const char *const stand[] = {"{release}", "{namespace}"};
    size_t at = 0;
    size_t n = 0;
    while (name[at]) {
        size_t len = 0;
        const char *put = name + at;
        size_t put_len = 1;
        for (size_t k = 0; k < 2 && !len; k++) {
            len = *words[k] ? whole_at(name, at, words[k]) : 0;
            put = len ? stand[k] : put;
            put_len = len ? strlen(stand[k]) : 1;
        }
        if (n + put_len >= size)
            break;
        memcpy(out + n, put, put_len);
        n += put_len;
        at += len ? len : 1;
    }
    if (size > 0)
        out[n] = 0;
    return !name[at];
}

/* ---- generated names */

/* Where the generated suffix begins, at its '-'; the text's end: there is none. Kubernetes' safe alphabet is
 * bcdfghjklmnpqrstvwxz2456789 (k8s.io/apimachinery pkg/util/rand), kustomize's a part of it and of 10
 * characters (kustomize api/hasher/hasher.go, encode). */
static size_t suffix_at(const char *name) {
    const char *dash = strrchr(name, '-');
    if (!dash || dash == name)
        return strlen(name);
    size_t n = strlen(dash + 1);
    bool safe = n == 10 && strspn(dash + 1, "bcdfghjklmnpqrstvwxz2456789") == n;
    bool hex =
        n >= 8 && n <= 64 && strspn(dash + 1, "0123456789abcdef") == n &&
        strspn(dash + 1, "0123456789") < n; /* digits alone are a date, or a number that somebody chose */
    return safe || hex ? (size_t)(dash - name) : strlen(name);
}

bool ref_name_generated(const struct ref_names *n, const char *a, const char *b) {
    char base[2][REF_NAME_MAX];
    size_t end_a = suffix_at(a);
    size_t end_b = suffix_at(b);
    if (end_a >= REF_NAME_MAX || end_b >= REF_NAME_MAX || (!a[end_a] && !b[end_b]))
        return false;
    memcpy(base[0], a, end_a);
    base[0][end_a] = 0;
    memcpy(base[1], b, end_b);
    base[1][end_b] = 0;
    return ref_names_same(n, base[0], base[1]);
}
