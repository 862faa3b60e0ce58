/* store_fixture: a folder of its own for every store test, and short ways to put and read. */
#pragma once

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "store/store.h"

struct fixture {
    char dir[64], path[128], url[160];
};

int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Opens, or fails the test with the error's text. */
struct store *fixture_open(const struct fixture *f, enum store_mode mode);
/* A stream of stage c/ns on node, boot filled with `boot`. */
int64_t fixture_stream(struct store *s, const char *ns, uint8_t boot, uint64_t *hwm);
/* Puts text as record seq of family at [from, to]; returns what became of it. */
enum store_put fixture_put(struct store *s, int64_t stream, uint64_t seq, enum wire_family f, int64_t from,
                           int64_t to, const char *text);
uint64_t fixture_commit(struct store *s, int64_t at);
/* The records of a query as "stream.seq:text " in the order given. */
const char *fixture_read(struct store *s, const struct store_query *q);

int life_tests(void);
