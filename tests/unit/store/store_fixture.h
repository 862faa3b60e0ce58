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

/* Record seq with packed calls, random but the same for the same seed, as an agent sends one each second: how
 * many bytes, at most FIXTURE_BLOCK_MAX. *from and *to: the time that it speaks of. */
#define FIXTURE_BLOCK_MAX 2048
size_t fixture_block(uint64_t seed, uint64_t seq, uint8_t *out, int64_t *from, int64_t *to);

/* Runs fn in a child that dies at a crash point ("name" or "name:3"). True: it was killed there; false: it
 * ended by itself with success. Anything else fails the test. */
bool fixture_crash(const struct fixture *f, const char *at, void (*fn)(const struct fixture *f));
/* Runs SQL on the file as a whole, or fails the test. */
void fixture_sql(const char *path, const char *sql);
/* One value as text; "" for NULL or no row. */
const char *fixture_value(const char *path, const char *sql);
/* Makes the file from a text of SQL in data/. */
void fixture_load(const struct fixture *f, const char *name);
