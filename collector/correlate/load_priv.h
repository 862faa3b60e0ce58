/* load_priv: what the files that read the store share. */
#pragma once

#include "correlate/load.h"

/* Coverage comes each second, and a record of what ended in a window may come a little after it. */
#define LOAD_SLACK_NS (5 * WHEN_S)
/* Clocks that are not known, or that stepped, may be off by this much before what they tell is missed. */
#define LOAD_MARGIN_NS (60 * WHEN_S)
#define LOAD_MARGIN_MAX_NS (86400 * WHEN_S) /* whose clock is worse is looked for by itself */

struct load_span {
    int64_t from, to;
};
/* Orders spans and joins those that overlap, so that nothing is loaded twice; how many are left. */
size_t load_join_spans(struct load_span *s, size_t n);

/* The stream with this id of the store; NULL: there is none. The evidence's streams are in their order. */
struct ev_stream *load_stream(struct evidence *ev, int64_t id, size_t *ret_index);
/* "cluster/namespace" into its halves; false: it is none. */
bool load_split_stage(const char *stage, char cluster[FACTS_STAGE_MAX], const char **ret_ns);
bool load_in_stage(const struct ev_stream *s, const char *cluster, const char *ns);
