/* pack_join: the decoder of split records; pack_split.h draws the columns. A pack may be damaged: a column
 * that ends early, or is left over, refuses the pack, and no more is written than the pack said that it
 * holds. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/pack_split_priv.h"
#include "store/varint.h"

#define US 1000

/* ---- one record */

static size_t varint_len(uint64_t v) {
    size_t n = 1;
    for (; v >= 0x80; v >>= 7)
        n++;
    return n;
}

static size_t columns_size(const struct split_record *r) {
    size_t n = 1 + varint_len(r->first);
    for (unsigned c = 0; c < BLOCK_CUT; c++)
        n += r->column[c].len;
    return n;
}

static size_t body_size(const struct split_record *r) {
    size_t columns = columns_size(r);
    return 2 * 9 + 1 + varint_len(r->calls) + r->names.len + 1 + varint_len(columns) + columns;
}

size_t split_size(const struct split_record *r) {
    size_t body = body_size(r);
    return (r->place == SPLIT_NO_SEQ ? 0 : 1 + varint_len(r->seq)) + 2 * 9 + 1 + varint_len(body) + body;
}

static uint8_t *put_fixed(uint8_t *out, uint8_t tag, uint64_t v) {
    *out++ = tag;
    for (unsigned i = 0; i < 8; i++)
        *out++ = (uint8_t)(v >> 8 * i);
    return out;
}

static uint8_t *put_varint(uint8_t *out, uint8_t tag, uint64_t v) {
    *out++ = tag;
    return out + varint_put(out, v);
}

static uint8_t *put_bytes(uint8_t *out, const struct split_bytes *b) {
    if (b->len)
        memcpy(out, b->at, b->len);
    return out + b->len;
}

void split_write(const struct split_record *r, uint8_t *out) {
    if (r->place == SPLIT_SEQ_FIRST)
        out = put_varint(out, SPLIT_TAG_SEQ, r->seq);
    out = put_fixed(out, SPLIT_TAG_WALL, r->wall);
    out = put_fixed(out, SPLIT_TAG_MONO, r->mono);
    out = put_varint(out, SPLIT_TAG_PACKED_CALLS, body_size(r));
    out = put_fixed(out, SPLIT_TAG_BASE_WALL, r->base_wall);
    out = put_fixed(out, SPLIT_TAG_BASE_MONO, r->base_mono);
    out = put_varint(out, SPLIT_TAG_CALLS, r->calls);
    out = put_bytes(out, &r->names);
    out = put_varint(out, SPLIT_TAG_COLUMNS, columns_size(r));
    out = put_varint(out, r->number_head, r->first);
    for (unsigned c = 0; c < BLOCK_CUT; c++)
        out = put_bytes(out, &r->column[c]);
    if (r->place == SPLIT_SEQ_LAST)
        (void)put_varint(out, SPLIT_TAG_SEQ, r->seq);
}

void split_step(struct split_before *b, const struct split_record *r) {
    b->wall_step = b->wall ? r->wall - b->wall : 0;
    b->wall = r->wall;
    b->mono_ahead = r->mono - r->wall;
    b->base_behind = r->base_wall - r->wall;
    b->calls = r->calls;
    b->first = r->first;
    b->names = r->names;
}

/* ---- columns */

struct joiner {
    const uint8_t *at[SPLIT_COLUMNS], *end[SPLIT_COLUMNS];
    uint8_t *out, *out_end;
    struct split_before before;
    bool bad;
};

/* Most columns repeat one small number. */
static uint64_t get(struct joiner *j, unsigned column) {
    uint64_t v = 0;
    if (j->at[column] < j->end[column] && *j->at[column] < 0x80)
        return *j->at[column]++;
    if (varint_get(&j->at[column], j->end[column], &v) < 0)
        j->bad = true;
    return v;
}

static uint64_t get_signed(struct joiner *j, unsigned column) {
    return (uint64_t)varint_unzigzag(get(j, column));
}

static struct split_bytes get_bytes(struct joiner *j, unsigned column, uint64_t len) {
    if (len > (uint64_t)(j->end[column] - j->at[column])) {
        j->bad = true;
        len = 0;
    }
    struct split_bytes b = {j->at[column], (size_t)len};
    j->at[column] += len;
    return b;
}

static void get_clocks(struct joiner *j, struct split_record *r) {
    const struct split_before *b = &j->before;
    r->wall = get_signed(j, SPLIT_WALL) + b->wall + b->wall_step;
    uint64_t ahead = get_signed(j, SPLIT_MONO) + b->mono_ahead;
    r->mono = r->wall + ahead;
    r->base_wall = get_signed(j, SPLIT_BASE_WALL) + r->wall + b->base_behind;
    r->base_mono = get_signed(j, SPLIT_BASE_MONO) + r->base_wall + ahead;
}

static void get_record(struct joiner *j, struct split_record *r) {
    uint64_t place = get(j, SPLIT_PLACE);
    j->bad = j->bad || place >= SPLIT_PLACES;
    r->place = (enum split_place)(place % SPLIT_PLACES);
    get_clocks(j, r);
    r->calls = get_signed(j, SPLIT_CALLS) + j->before.calls;
    uint64_t names = get(j, SPLIT_NAMES);
    r->names = names ? get_bytes(j, SPLIT_NAMES_BYTES, names - 1) : j->before.names;
    r->first = get_signed(j, SPLIT_FIRST) + j->before.first + j->before.calls;
    struct split_bytes head = get_bytes(j, SPLIT_BYTES, 1);
    r->number_head = head.len ? *head.at : 0;
    for (unsigned c = 0; c < BLOCK_CUT; c++)
        r->column[c] = get_bytes(j, SPLIT_BYTES + c, get(j, SPLIT_LENGTHS + c));
    split_step(&j->before, r);
}

static bool room(const struct joiner *j, size_t len) {
    return !j->bad && len <= (size_t)(j->out_end - j->out);
}

static int join_split(struct joiner *j, struct pack_entry *e) {
    struct split_record r = {.seq = e->seq};
    uint64_t from = get_signed(j, SPLIT_FROM), to = get(j, SPLIT_TO);
    get_record(j, &r);
    size_t len = split_size(&r);
    if (!room(j, len))
        return -EBADMSG;
    split_write(&r, j->out);
    e->t_from_ns = (int64_t)(r.base_wall + from * US);
    e->t_to_ns = (int64_t)((uint64_t)e->t_from_ns + to * US);
    e->payload = j->out;
    e->len = len;
    j->out += len;
    return 0;
}

static int join_unsplit(struct joiner *j, struct pack_entry *e, uint64_t kind) {
    uint64_t from = get_signed(j, SPLIT_FROM) + (uint64_t)j->before.unsplit.t_from_ns;
    e->t_from_ns = (int64_t)from;
    e->t_to_ns = (int64_t)(from + get(j, SPLIT_TO));
    j->before.unsplit = *e;
    if (kind == SPLIT_IS_DELETED)
        return 0;
    struct split_bytes b = get_bytes(j, SPLIT_WHOLE, kind - SPLIT_IS_WHOLE);
    if (!room(j, b.len))
        return -EBADMSG;
    e->payload = j->out;
    e->len = b.len;
    j->out = put_bytes(j->out, &b);
    return 0;
}

static int join_entry(struct joiner *j, struct pack_entry *e) {
    const struct pack_entry *last = &j->before.any;
    uint64_t kind = get(j, SPLIT_KIND);
    e->seq = last->seq + get(j, SPLIT_SEQ);
    e->n = last->n + get(j, SPLIT_COMMIT);
    int r = kind == SPLIT_IS_SPLIT ? join_split(j, e) : join_unsplit(j, e, kind);
    j->before.any = *e;
    return j->bad ? -EBADMSG : r;
}

/* ---- all */

static int find_columns(struct joiner *j, const uint8_t *at, const uint8_t *end) {
    uint64_t lens[SPLIT_COLUMNS];
    for (unsigned c = 0; c < SPLIT_COLUMNS; c++)
        if (varint_get(&at, end, &lens[c]) < 0)
            return -EBADMSG;
    for (unsigned c = 0; c < SPLIT_COLUMNS; c++) {
        if (lens[c] > (uint64_t)(end - at))
            return -EBADMSG;
        j->at[c] = at;
        j->end[c] = at += lens[c];
    }
    return at == end ? 0 : -EBADMSG;
}

static bool at_end(const struct joiner *j) {
    for (unsigned c = 0; c < SPLIT_COLUMNS; c++)
        if (j->at[c] != j->end[c])
            return false;
    return j->out == j->out_end;
}

int pack_join(const uint8_t *data, size_t len, struct pack *ret) {
    const uint8_t *at = data, *end = data + len;
    uint64_t n = 0, joined = 0;
    struct joiner j = {0};
    if (varint_get(&at, end, &n) < 0 || n == 0 || n > PACK_RECORDS_MAX || varint_get(&at, end, &joined) < 0 ||
        joined > PACK_RAW_MAX || find_columns(&j, at, end) < 0)
        return -EBADMSG;
    ret->entries = calloc(n, sizeof *ret->entries);
    ret->raw = malloc(joined + 1); /* also nothing has an address */
    if (!ret->entries || !ret->raw)
        return -ENOMEM;
    ret->n = n;
    j.out = ret->raw;
    j.out_end = ret->raw + joined;
    for (size_t i = 0; i < n; i++) {
        int r = join_entry(&j, &ret->entries[i]);
        if (r < 0 || (i && ret->entries[i].seq <= ret->entries[i - 1].seq))
            return r < 0 ? r : -EBADMSG;
    }
    return at_end(&j) ? 0 : -EBADMSG;
}
