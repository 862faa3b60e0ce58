/* words: free text made fit to be told. Error texts repeat what they met: a rendered value, a URL, a header.
 * No program can tell every secret from a word; this one takes away
 *   - the whole text, when it gives a name that looks secret a value, or holds a URL with a password or a
 * private key (as norm_document decides): its keyed hash stays;
 *   - what follows "Bearer" or "Basic";
 *   - runs of 16 and more letters and digits that mix both, or mix capitals in as tokens do, but for digests
 * that say so ("sha256:...", "sha1:..."). Names of pods and releases, versions and error codes are shorter,
 * or have dots and dashes, and stay. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kube/kube_priv.h"

#define TOKEN_RUN_MIN 16
#define READ_MAX 4096 /* of the text; the rest is not looked at, nor told */

static const char mask[] = "***";

static bool in_run(char c) {
    return isalnum((unsigned char)c) || c == '+' || c == '_' || c == '=';
}

/* Small letters then one capital is how reasons are written ("HealthCheckFailed"); tokens change more often.
 */
bool kube_words_random(const char *run, size_t n) {
    size_t digits = 0;
    size_t letters = 0;
    size_t turns = 0;
    for (size_t i = 0; i < n; i++) {
        digits += isdigit((unsigned char)run[i]) != 0;
        letters += isalpha((unsigned char)run[i]) != 0;
        turns += i > 0 && isupper((unsigned char)run[i]) && isupper((unsigned char)run[i - 1]) == 0;
    }
    return n >= TOKEN_RUN_MIN && ((digits && letters) || turns > n / 4);
}

static bool after(const char *text, const char *at, const char *what) {
    size_t n = strlen(what);
    return (size_t)(at - text) >= n && strncasecmp(at - n, what, n) == 0;
}

static bool is_digest(const char *text, const char *run) {
    return after(text, run, "sha1:") || after(text, run, "sha256:") || after(text, run, "sha512:");
}

static bool is_credential(const char *text, const char *run) {
    return after(text, run, "bearer ") || after(text, run, "basic ");
}

static void append(char out[KUBE_WORDS_MAX], size_t *len, const char *from, size_t n) {
    for (size_t i = 0; i < n && *len + 1 < KUBE_WORDS_MAX; i++)
        out[(*len)++] = ((unsigned char)from[i] < ' ' && from[i] != '\n') || from[i] == 0x7f ? ' ' : from[i];
    out[*len] = 0;
}

static void mask_words(const char *text, char out[KUBE_WORDS_MAX]) {
    size_t len = 0;
    out[0] = 0;
    for (const char *p = text; *p && len + 1 < KUBE_WORDS_MAX;) {
        size_t n = 0;
        while (in_run(p[n]))
            n++;
        if (n == 0)
            append(out, &len, p++, 1);
        else if (is_credential(text, p) || (kube_words_random(p, n) && !is_digest(text, p)))
            append(out, &len, mask, sizeof mask - 1);
        else
            append(out, &len, p, n);
        p += n;
    }
    if (len + 1 == KUBE_WORDS_MAX) { /* the last character may have been cut */
        while (len > 0 && ((unsigned char)out[len - 1] & 0xc0) == 0x80)
            len--;
        len -= len > 0;
        out[len] = 0;
    }
}

void kube_words_reduce(const struct norm_key *key, const char *text, char out[KUBE_WORDS_MAX]) {
    size_t n = strnlen(text, READ_MAX);
    while (n > 0 && text[n] && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    char *copy = strndup(text, n);
    json_t *doc = copy ? json_pack("{s:s}", "text", copy) : NULL; /* NULL: no UTF-8 */
    json_t *normal = doc ? norm_document(key, doc) : NULL;
    const char *reduced = json_string_value(json_object_get(normal, "text"));
    out[0] = 0;
    if (reduced && strcmp(reduced, copy) != 0)
        (void)snprintf(out, KUBE_WORDS_MAX, "%s", reduced);
    else if (reduced)
        mask_words(copy, out);
    json_decref(normal);
    json_decref(doc);
    free(copy);
}
