/* records_priv: one store_records call, which reads rows and packs as one sequence. */
#pragma once

#include "store/store_priv.h"

/* One record that is given for its nearness alone; owns its bytes. */
struct near_record {
    struct store_record r;
    uint64_t n;
    uint8_t *bytes;
};
struct near_list {
    struct near_record list[2 * WIRE_FAMILIES];
    size_t count;
};

/* Packs that are open already: a window and its neighbours mostly lie in the same one. */
struct open_packs {
    int64_t window_id, near_id; /* 0: none */
    const struct pack *window;  /* borrowed from its source */
    struct pack near;           /* owned */
};

struct records_query {
    struct store *s;
    struct store_query q; /* commit is not 0 */
    bool timed;
    store_record_fn *fn;
    void *ctx;
    struct err *e;
    sqlite3_stmt *rows, *packs[STORE_BULK_COUNT]; /* in the order of seq */
    struct open_packs open[STORE_BULK_COUNT];
    sqlite3_stmt *pack_body, *row_before, *row_after, *pack_before, *pack_after; /* neighbours */
};

struct records_stream {
    int64_t id, span, pack_span;
    bool packed; /* it may have packs */
};

static inline bool records_wants(const struct records_query *q, int family) {
    return !q->q.families || (q->q.families & 1u << family);
}
/* from - span, or the least there is. */
static inline int64_t records_enter(int64_t from, int64_t span) {
    int64_t at;
    return span == INT64_MAX || __builtin_sub_overflow(from, span, &at) ? INT64_MIN : at;
}

/* Of each family the last record before the window and the first after it, by the order of seq. */
int records_near(struct records_query *q, const struct records_stream *x, struct near_list *ret) MUST_CHECK;
void records_near_free(struct near_list *l);
