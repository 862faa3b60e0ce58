/* seen: a bounded memory of texts, each with a count; when it is full the one not touched for longest is
 * forgotten. It holds the open sessions and the executions per nonce. Texts are kept as keyed 128-bit
 * hashes, so that memory does not depend on their length and nobody can choose collisions.
 * Not thread-safe. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct seen; /* opaque */

/* max: texts to remember; memory grows with use up to about 44 bytes each. */
int seen_new(size_t max, struct seen **ret) MUST_CHECK;
void seen_free(struct seen **s);

/* Adds one to the text's count and makes it the newest; *ret_count gets the count. */
int seen_add(struct seen *s, const char *text, uint32_t *ret_count) MUST_CHECK;

/* The count, 0 when unknown; order unchanged. */
uint32_t seen_count(const struct seen *s, const char *text);

/* Makes the text the newest; 0 when unknown, else its count. */
uint32_t seen_touch(struct seen *s, const char *text);

void seen_remove(struct seen *s, const char *text);

size_t seen_size(const struct seen *s);
uint64_t seen_forgotten(const struct seen *s); /* texts dropped because it was full */
