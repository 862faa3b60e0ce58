/* pack_codec: see pack_codec.h. */
#include "store/pack_codec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "store/pack_split.h"
#include "store/varint.h"

#define DEFLATE_LEVEL                                                                    \
    4 /* of the records of agents, within a few percent of the best, at thrice its speed \
       */
#define COLUMNS 5

static uint64_t value_of(const struct pack_entry *e, const struct pack_entry *before, int column) {
    switch (column) {
    case 0:
        return e->seq - before->seq;
    case 1:
        return e->n - before->n;
    case 2:
        return varint_zigzag((int64_t)((uint64_t)e->t_from_ns - (uint64_t)before->t_from_ns));
    case 3:
        return (uint64_t)e->t_to_ns - (uint64_t)e->t_from_ns;
    default:
        return e->payload ? e->len + 1 : 0;
    }
}

static void take_value(struct pack_entry *e, const struct pack_entry *before, int column, uint64_t v) {
    switch (column) {
    case 0:
        e->seq = before->seq + v;
        break;
    case 1:
        e->n = before->n + v;
        break;
    case 2:
        e->t_from_ns = (int64_t)((uint64_t)before->t_from_ns + (uint64_t)varint_unzigzag(v));
        break;
    case 3:
        e->t_to_ns = (int64_t)((uint64_t)e->t_from_ns + v);
        break;
    default:
        e->len = v ? v - 1 : 0;
    }
}

static size_t write_raw(const struct pack_entry *entries, size_t n, uint8_t *raw) {
    static const struct pack_entry none;
    size_t at = varint_put(raw, n);
    for (int column = 0; column < COLUMNS; column++)
        for (size_t i = 0; i < n; i++)
            at += varint_put(raw + at, value_of(&entries[i], i ? &entries[i - 1] : &none, column));
    for (size_t i = 0; i < n; i++)
        if (entries[i].payload) {
            memcpy(raw + at, entries[i].payload, entries[i].len);
            at += entries[i].len;
        }
    return at;
}

static int deflate_raw(const uint8_t *raw, size_t n, bool split, uint8_t **ret, size_t *ret_len) {
    uLongf room = compressBound((uLong)n);
    uint8_t *out = malloc(1 + VARINT_MAX + room);
    if (!out)
        return -ENOMEM;
    size_t at = split ? varint_put(out, 0) : 0;
    at += varint_put(out + at, n);
    if (compress2(out + at, &room, raw, (uLong)n, DEFLATE_LEVEL) != Z_OK) {
        free(out);
        return -ENOMEM;
    }
    *ret = out;
    *ret_len = at + room;
    return 0;
}

static int encode_plain(const struct pack_entry *entries, size_t n, size_t bytes, uint8_t **ret,
                        size_t *ret_len) {
    uint8_t *raw = malloc(bytes);
    if (!raw)
        return -ENOMEM;
    int r = deflate_raw(raw, write_raw(entries, n, raw), false, ret, ret_len);
    free(raw);
    return r;
}

/* 1: it is encoded; 0: there is nothing to split, or it does not fit so. */
static int encode_split(const struct pack_entry *entries, size_t n, uint8_t **ret, size_t *ret_len) {
    struct buf raw = BUF_INIT(PACK_RAW_MAX);
    size_t split = 0;
    int r = pack_split(entries, n, &raw, &split);
    if (r == 0 && split)
        r = deflate_raw((const uint8_t *)raw.data, raw.len, true, ret, ret_len) < 0 ? -ENOMEM : 1;
    buf_free(&raw);
    return r == -EMSGSIZE ? 0 : r;
}

int pack_encode(const struct pack_entry *entries, size_t n, uint8_t **ret, size_t *ret_len) {
    size_t bytes = VARINT_MAX + n * COLUMNS * VARINT_MAX;
    for (size_t i = 0; i < n; i++)
        bytes += entries[i].payload ? entries[i].len : 0;
    if (n == 0 || n > PACK_RECORDS_MAX || bytes > PACK_RAW_MAX)
        return -EMSGSIZE;
    int r = encode_split(entries, n, ret, ret_len);
    return r == 0 ? encode_plain(entries, n, bytes, ret, ret_len) : r < 0 ? r : 0;
}

/* ---- back */

static int read_columns(struct pack *p, const uint8_t **at, const uint8_t *end) {
    static const struct pack_entry none;
    static const uint8_t empty;
    for (int column = 0; column < COLUMNS; column++)
        for (size_t i = 0; i < p->n; i++) {
            uint64_t v;
            if (varint_get(at, end, &v) < 0)
                return -EBADMSG;
            take_value(&p->entries[i], i ? &p->entries[i - 1] : &none, column, v);
            if (column == 0 && i && p->entries[i].seq <= p->entries[i - 1].seq)
                return -EBADMSG;
            if (column == COLUMNS - 1)
                p->entries[i].payload = v ? &empty : NULL; /* where it lies is known after the columns */
        }
    return 0;
}

static int read_raw(struct pack *p, size_t raw_len) {
    const uint8_t *at = p->raw, *end = p->raw + raw_len;
    uint64_t n = 0;
    if (varint_get(&at, end, &n) < 0 || n == 0 || n > PACK_RECORDS_MAX)
        return -EBADMSG;
    p->entries = calloc(n, sizeof *p->entries);
    if (!p->entries)
        return -ENOMEM;
    p->n = n;
    int r = read_columns(p, &at, end);
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct pack_entry *e = &p->entries[i];
        if (!e->payload)
            continue;
        if (e->len > (size_t)(end - at))
            return -EBADMSG;
        e->payload = at;
        at += e->len;
    }
    return r == 0 && at != end ? -EBADMSG : r;
}

static int inflate_raw(const uint8_t *data, size_t len, uint8_t **ret, size_t *ret_len) {
    const uint8_t *at = data, *end = data + len;
    uint64_t raw_len = 0;
    if (varint_get(&at, end, &raw_len) < 0 || raw_len == 0 || raw_len > PACK_RAW_MAX)
        return -EBADMSG;
    *ret = malloc(raw_len);
    if (!*ret)
        return -ENOMEM;
    uLongf got = (uLongf)raw_len;
    int code = uncompress(*ret, &got, at, (uLong)(end - at));
    if (code != Z_OK || got != raw_len)
        return code == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
    *ret_len = raw_len;
    return 0;
}

static int decode_plain(const uint8_t *data, size_t len, struct pack *p) {
    size_t raw_len = 0;
    int r = inflate_raw(data, len, &p->raw, &raw_len);
    return r == 0 ? read_raw(p, raw_len) : r;
}

static int decode_split(const uint8_t *data, size_t len, struct pack *p) {
    uint8_t *raw = NULL;
    size_t raw_len = 0;
    int r = inflate_raw(data, len, &raw, &raw_len);
    if (r == 0)
        r = pack_join(raw, raw_len, p);
    free(raw);
    return r;
}

int pack_decode(const uint8_t *data, size_t len, struct pack *ret) {
    struct pack p = {0};
    bool split = len && !data[0];
    int r = split ? decode_split(data + 1, len - 1, &p) : decode_plain(data, len, &p);
    if (r < 0)
        pack_free(&p);
    else
        *ret = p;
    return r;
}

void pack_free(struct pack *p) {
    free(p->entries);
    free(p->raw);
    *p = (struct pack){0};
}

const struct pack_entry *pack_find(const struct pack *p, uint64_t seq) {
    size_t lo = 0, hi = p->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (p->entries[mid].seq < seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < p->n && p->entries[lo].seq == seq ? &p->entries[lo] : NULL;
}
