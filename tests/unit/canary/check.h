/* check: what every test of the canary includes first. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/js.h"
#include "base/when.h"

/* Waits at most 10 s for the condition, looking every millisecond. */
#define WAIT_FOR(condition)                           \
    do {                                              \
        int64_t end_ = when_mono_ns() + 10 * WHEN_S;  \
        while (!(condition) && when_mono_ns() < end_) \
            usleep(1000);                             \
        assert_true(condition);                       \
    } while (0)

static inline json_t *parse(const char *text) {
    json_t *o = NULL;
    assert_non_null(text);
    assert_int_equal(js_parse(text, strlen(text), JS_TEXT_MAX, &o, NULL), 0);
    return o;
}

/* A new file with the text; path must hold 64 bytes. */
static inline void write_temp(char *path, const char *text) {
    snprintf(path, 64, "/tmp/canary-test-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static inline int sodium_ready(void **state) {
    (void)state;
    return sodium_init() < 0 ? -1 : 0;
}
