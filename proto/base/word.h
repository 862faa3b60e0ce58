/* word: names that people write: the nearest of those that there are, and globs. Pure; every input may be
 * hostile. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define WORD_MAX 64       /* bytes of a word that can be near to another one */
#define WORD_GLOB_MAX 256 /* bytes of a glob that people may write; word_glob itself takes any */

/* Levenshtein's distance; SIZE_MAX when one of them is longer than WORD_MAX. */
size_t word_distance(const char *a, const char *b);

/* The nearest of names (ended by NULL) to a word that is none of them, or NULL when none is near. */
const char *word_nearest(const char *word, const char *const *names);

/* Does the whole text match? '*' stands for any characters, also '/' and none, '?' for any one byte;
 * everything else is itself. At most strlen(glob) * strlen(text) steps, whatever they hold. */
bool word_glob(const char *glob, const char *text);
