/* pack_split: the encoder; pack_split.h draws the columns. */
#include <errno.h>
#include <string.h>

#include "store/pack_split_priv.h"
#include "store/varint.h"

#define US 1000

/* ---- a record in its parts */

struct in {
    const uint8_t *at, *end;
};

static bool take_byte(struct in *in, uint8_t b) {
    if (in->at == in->end || *in->at != b)
        return false;
    in->at++;
    return true;
}

static bool take_fixed(struct in *in, uint8_t tag, uint64_t *ret) {
    if (!take_byte(in, tag) || in->end - in->at < 8)
        return false;
    *ret = 0;
    for (unsigned i = 0; i < 8; i++)
        *ret |= (uint64_t)in->at[i] << 8 * i;
    in->at += 8;
    return true;
}

static bool take_varint(struct in *in, uint8_t tag, uint64_t *ret) {
    return take_byte(in, tag) && varint_get(&in->at, in->end, ret) == 0;
}

static bool take_bytes(struct in *in, uint8_t tag, struct in *ret) {
    uint64_t len;
    if (!take_varint(in, tag, &len) || len > (uint64_t)(in->end - in->at))
        return false;
    *ret = (struct in){in->at, in->at + len};
    in->at += len;
    return true;
}

static bool cut_columns(const struct in *columns, struct split_record *r) {
    size_t lens[BLOCK_CUT];
    const uint8_t *at = columns->at;
    if (r->calls > WIRE_BLOCK_CALLS_MAX ||
        block_cut(at, (size_t)(columns->end - at), (size_t)r->calls, lens) < 0)
        return false;
    for (size_t c = 0; c < BLOCK_CUT; c++) {
        r->column[c] = (struct split_bytes){at, lens[c]};
        at += lens[c];
    }
    const uint8_t *number = r->column[0].at, *end = number + r->column[0].len;
    r->number_head = *number++;
    if (varint_get(&number, end, &r->first) < 0)
        return false;
    r->column[0] = (struct split_bytes){number, (size_t)(end - number)};
    return true;
}

static bool parse_calls(struct in *body, struct split_record *r) {
    struct in entry, columns;
    if (!take_fixed(body, SPLIT_TAG_BASE_WALL, &r->base_wall) ||
        !take_fixed(body, SPLIT_TAG_BASE_MONO, &r->base_mono) ||
        !take_varint(body, SPLIT_TAG_CALLS, &r->calls))
        return false;
    r->names.at = body->at;
    while (body->at < body->end && *body->at == SPLIT_TAG_ENTRY)
        if (!take_bytes(body, SPLIT_TAG_ENTRY, &entry))
            return false;
    r->names.len = (size_t)(body->at - r->names.at);
    return take_bytes(body, SPLIT_TAG_COLUMNS, &columns) && body->at == body->end && cut_columns(&columns, r);
}

static bool parse(const struct pack_entry *e, struct split_record *r) {
    struct in in = {e->payload, e->payload + e->len}, body;
    *r = (struct split_record){.place = SPLIT_NO_SEQ};
    if (in.at < in.end && *in.at == SPLIT_TAG_SEQ) {
        r->place = SPLIT_SEQ_FIRST;
        if (!take_varint(&in, SPLIT_TAG_SEQ, &r->seq))
            return false;
    }
    if (!take_fixed(&in, SPLIT_TAG_WALL, &r->wall) || !take_fixed(&in, SPLIT_TAG_MONO, &r->mono) ||
        !take_bytes(&in, SPLIT_TAG_PACKED_CALLS, &body) || !parse_calls(&body, r))
        return false;
    if (r->place == SPLIT_NO_SEQ && in.at < in.end) {
        r->place = SPLIT_SEQ_LAST;
        if (!take_varint(&in, SPLIT_TAG_SEQ, &r->seq))
            return false;
    }
    return in.at == in.end && (r->place == SPLIT_NO_SEQ || r->seq == e->seq);
}

/* Varints may be longer than they need to be: only joining shows that the same bytes come back. */
static bool joins_to(const struct split_record *r, const struct pack_entry *e, struct buf *scratch) {
    if (split_size(r) != e->len)
        return false;
    buf_clear(scratch);
    if (buf_reserve(scratch, e->len) < 0)
        return false; /* kept as it is, then */
    split_write(r, (uint8_t *)scratch->data);
    return memcmp(scratch->data, e->payload, e->len) == 0;
}

/* Whole microseconds after the base, as they are in a block. */
static bool times_of(const struct pack_entry *e, const struct split_record *r, int64_t *from, uint64_t *to) {
    int64_t after, span;
    if (__builtin_sub_overflow(e->t_from_ns, (int64_t)r->base_wall, &after) ||
        __builtin_sub_overflow(e->t_to_ns, e->t_from_ns, &span) || span < 0 || after % US || span % US)
        return false;
    *from = after / US;
    *to = (uint64_t)span / US;
    return true;
}

/* ---- columns */

struct splitter {
    struct buf column[SPLIT_COLUMNS], scratch;
    struct split_before before;
    int r;
};

static void add(struct splitter *s, unsigned column, uint64_t v) {
    uint8_t bytes[VARINT_MAX];
    if (s->r == 0)
        s->r = buf_add(&s->column[column], bytes, varint_put(bytes, v));
}

static void add_signed(struct splitter *s, unsigned column, uint64_t v) {
    add(s, column, varint_zigzag((int64_t)v));
}

static void add_bytes(struct splitter *s, unsigned column, const void *data, size_t len) {
    if (s->r == 0 && len)
        s->r = buf_add(&s->column[column], data, len);
}

static void add_clocks(struct splitter *s, const struct split_record *r) {
    const struct split_before *b = &s->before;
    uint64_t ahead = r->mono - r->wall;
    add_signed(s, SPLIT_WALL, r->wall - b->wall - b->wall_step);
    add_signed(s, SPLIT_MONO, ahead - b->mono_ahead);
    add_signed(s, SPLIT_BASE_WALL, r->base_wall - r->wall - b->base_behind);
    add_signed(s, SPLIT_BASE_MONO, r->base_mono - r->base_wall - ahead);
}

static void add_names(struct splitter *s, const struct split_record *r) {
    const struct split_bytes *last = &s->before.names;
    if (r->names.len == last->len && (!last->len || memcmp(r->names.at, last->at, last->len) == 0)) {
        add(s, SPLIT_NAMES, 0);
        return;
    }
    add(s, SPLIT_NAMES, r->names.len + 1);
    add_bytes(s, SPLIT_NAMES_BYTES, r->names.at, r->names.len);
}

static void add_split(struct splitter *s, const struct split_record *r, int64_t from, uint64_t to) {
    add_signed(s, SPLIT_FROM, (uint64_t)from);
    add(s, SPLIT_TO, to);
    add(s, SPLIT_PLACE, r->place);
    add_clocks(s, r);
    add_signed(s, SPLIT_CALLS, r->calls - s->before.calls);
    add_names(s, r);
    add_signed(s, SPLIT_FIRST, r->first - s->before.first - s->before.calls);
    add_bytes(s, SPLIT_BYTES, &r->number_head, 1);
    for (unsigned c = 0; c < BLOCK_CUT; c++) {
        add(s, SPLIT_LENGTHS + c, r->column[c].len);
        add_bytes(s, SPLIT_BYTES + c, r->column[c].at, r->column[c].len);
    }
    split_step(&s->before, r);
}

static void add_unsplit(struct splitter *s, const struct pack_entry *e) {
    add_signed(s, SPLIT_FROM, (uint64_t)e->t_from_ns - (uint64_t)s->before.unsplit.t_from_ns);
    add(s, SPLIT_TO, (uint64_t)e->t_to_ns - (uint64_t)e->t_from_ns);
    if (e->payload)
        add_bytes(s, SPLIT_WHOLE, e->payload, e->len);
    s->before.unsplit = *e;
}

static bool add_entry(struct splitter *s, const struct pack_entry *e) {
    struct split_record r;
    int64_t from;
    uint64_t to;
    bool split = e->payload && parse(e, &r) && times_of(e, &r, &from, &to) && joins_to(&r, e, &s->scratch);
    add(s, SPLIT_KIND, !e->payload ? SPLIT_IS_DELETED : split ? SPLIT_IS_SPLIT : SPLIT_IS_WHOLE + e->len);
    add(s, SPLIT_SEQ, e->seq - s->before.any.seq);
    add(s, SPLIT_COMMIT, e->n - s->before.any.n);
    if (split)
        add_split(s, &r, from, to);
    else
        add_unsplit(s, e);
    s->before.any = *e;
    return split;
}

/* ---- all */

static int add_varint(struct buf *out, uint64_t v) {
    uint8_t bytes[VARINT_MAX];
    return buf_add(out, bytes, varint_put(bytes, v));
}

static int write_columns(const struct splitter *s, size_t n, size_t joined, struct buf *out) {
    int r = add_varint(out, n);
    if (r == 0)
        r = add_varint(out, joined);
    for (unsigned c = 0; r == 0 && c < SPLIT_COLUMNS; c++)
        r = add_varint(out, s->column[c].len);
    for (unsigned c = 0; r == 0 && c < SPLIT_COLUMNS; c++)
        if (s->column[c].len)
            r = buf_add(out, s->column[c].data, s->column[c].len);
    return r;
}

int pack_split(const struct pack_entry *entries, size_t n, struct buf *out, size_t *ret_split) {
    struct splitter s = {.scratch = BUF_INIT(WIRE_RECORD_MAX)};
    size_t split = 0, joined = 0;
    for (unsigned c = 0; c < SPLIT_COLUMNS; c++)
        s.column[c] = BUF_INIT(PACK_RAW_MAX);
    for (size_t i = 0; i < n && s.r == 0; i++) {
        split += add_entry(&s, &entries[i]);
        joined += entries[i].payload ? entries[i].len : 0;
    }
    int r = s.r < 0 ? s.r : write_columns(&s, n, joined, out);
    for (unsigned c = 0; c < SPLIT_COLUMNS; c++)
        buf_free(&s.column[c]);
    buf_free(&s.scratch);
    if (r == 0)
        *ret_split = split;
    return r;
}
