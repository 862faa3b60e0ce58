/* err: the one error idiom of the project.
 *
 * A function that can fail returns 0 or a negative errno value. Where a person needs the reason, it
 * takes a `struct err *` as last parameter and writes one line into it: what is wrong and what to do.
 * The line is valid only when the function failed; NULL is allowed and ignored. ret_ parameters are
 * untouched on failure. Library modules never print; the caller does, once.
 */
#pragma once

#include <stdarg.h>

#define ERR_TEXT_MAX 1024

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

struct err {
    char text[ERR_TEXT_MAX]; /* one line, no newline, always terminated; longer texts are cut */
};

/* Writes the text and returns code, so that `return err_set(e, -EINVAL, "...")` reads as one act.
 * Control characters in the text become '?': an error may quote hostile input. */
int err_set(struct err *e, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "prefix: " before the text that is there; returns code. */
int err_prefix(struct err *e, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The usual text for running out of memory; returns -ENOMEM. */
int err_oom(struct err *e);
