/* load: from the store to facts. The one part of correlate that does I/O. */
#pragma once

#include "correlate/corr.h"
#include "store/store.h"

/* commit 0: newest. at_ns: T. Without a pilot: no stages. The caller frees with corr_free. */
int corr_load(struct store *s, uint64_t commit, int64_t at_ns, struct corr *ret, struct err *e) MUST_CHECK;

/* Which kinds of objects were read at these moments of a stage (NULL: of every stage): into ev.sources. What
 * corr_load itself has of it is for T alone. */
int corr_load_sources(struct store *s, struct corr *c, const char *stage, const int64_t *t, size_t n,
                      struct err *e) MUST_CHECK;
