/* js: bounded access to JSON, over jansson. Parsing limits size and depth; the getters take a path and
 * a default, so that hostile or missing fields need no code at the caller. Values are borrowed from the
 * document. Not thread-safe per document. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define JS_TEXT_MAX (64u << 20) /* bytes of one document */
#define JS_PATH_MAX 16          /* steps of one path */

/* Parses exactly one document of at most max bytes (max <= JS_TEXT_MAX); duplicate keys are refused.
 * Depth is bounded by jansson (2048). The caller owns the result (json_decref). */
int js_parse(const char *text, size_t len, size_t max, json_t **ret, struct err *e) MUST_CHECK;

/* The value at a path of keys, "metadata.labels" or with '/' as first character for keys that hold
 * dots: "/metadata/labels/app.kubernetes.io~1name" (JSON Pointer, RFC 6901). NULL when absent. */
json_t *js_at(const json_t *root, const char *path);

const char *js_str(const json_t *root, const char *path, const char *fallback);
int64_t js_int(const json_t *root, const char *path, int64_t fallback); /* also from a real */
bool js_bool(const json_t *root, const char *path, bool fallback);

/* Canonical text: keys sorted, no spaces, UTF-8; equal documents give equal bytes. malloc'ed, or NULL. */
char *js_canonical(const json_t *root);
