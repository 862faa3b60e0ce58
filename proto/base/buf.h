/* buf: a growing byte buffer with a hard limit. Not thread-safe. Never shrinks by itself. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct buf {
    char *data; /* owned; always NUL-terminated one byte past len once anything was added */
    size_t len; /* bytes used, without the NUL */
    size_t cap; /* bytes allocated */
    size_t max; /* len never exceeds this */
};

#define BUF_INIT(limit) ((struct buf){.max = (limit)})

/* -ENOMEM, or -EMSGSIZE when the limit would be exceeded; the buffer is then unchanged. */
int buf_add(struct buf *b, const void *data, size_t len) MUST_CHECK;
int buf_adds(struct buf *b, const char *s) MUST_CHECK;
int buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_CHECK;

/* Makes room for more bytes after len without changing len. */
int buf_reserve(struct buf *b, size_t more) MUST_CHECK;

/* Removes the first n bytes (n <= len). */
void buf_consume(struct buf *b, size_t n);

/* Keeps the memory, forgets the content. */
void buf_clear(struct buf *b);

/* Frees; the limit stays, so that the buffer can be used again. NULL-safe. */
void buf_free(struct buf *b);

/* The text, "" when nothing was added yet. Borrowed. */
const char *buf_str(const struct buf *b);
