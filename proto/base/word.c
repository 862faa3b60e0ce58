/* word: see word.h. */
#include "base/word.h"

#include <stdint.h>
#include <string.h>

#define NEAR_MAX 3 /* edits between a word and the name that it may have meant */

size_t word_distance(const char *a, const char *b) {
    size_t row[WORD_MAX + 1];
    size_t n = strlen(b);
    if (n > WORD_MAX || strlen(a) > WORD_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

const char *word_nearest(const char *word, const char *const *names) {
    const char *best = NULL;
    size_t least = NEAR_MAX + 1;
    for (; *names; names++) {
        size_t d = word_distance(word, *names);
        if (d < least && d < strlen(word)) {
            least = d;
            best = *names;
        }
    }
    return best;
}

bool word_glob(const char *glob, const char *text) {
    const char *star = NULL; /* after the last '*' that was met ... */
    const char *from = NULL; /* ... which has taken all before this */
    while (*text) {
        if (*glob == '*') {
            star = ++glob;
            from = text;
        } else if (*glob == '?' || (*glob && *glob == *text)) {
            glob++;
            text++;
        } else if (star) {
            glob = star;
            text = ++from;
        } else {
            return false;
        }
    }
    return glob[strspn(glob, "*")] == 0;
}
