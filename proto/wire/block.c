/* block: the decoder of call blocks; block.h draws the bytes. This is on ingest's hot path: what is common in
 * real blocks, equal values and varints of one or two bytes, takes no branch that depends on the data. All
 * arithmetic is modulo 2^64, so that hostile numbers cannot overflow; ranges are checked after it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/block_priv.h"

/* ---------------------------------------------------------------- varints */

struct in {
    const uint8_t *at, *end;
};

static bool read_varint(struct in *in, uint64_t *ret) {
    uint64_t v = 0;
    for (unsigned shift = 0; in->at < in->end && shift < 64; shift += 7) {
        uint8_t b = *in->at++;
        if (shift == 63 && b > 1) /* more than 64 bits */
            return false;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            *ret = v;
            return true;
        }
    }
    return false;
}

/* Varints of one and of two bytes alternate without any order: that must not cost a wrong guess each. */
static bool read_varints(struct in *in, uint64_t *v, size_t n) {
    size_t i = 0;
    while (i < n && in->end - in->at >= 2) {
        uint64_t a = in->at[0];
        uint64_t b = in->at[1];
        if (a & b & 0x80) {
            if (!read_varint(in, &v[i++]))
                return false;
            continue;
        }
        uint64_t two = a >> 7;
        v[i++] = (a & 0x7f) | ((b << 7) & (0 - two));
        in->at += 1 + two;
    }
    for (; i < n; i++)
        if (!read_varint(in, &v[i]))
            return false;
    return true;
}

static void fill(uint64_t *v, size_t n, uint64_t x) {
    for (size_t i = 0; i < n; i++)
        v[i] = x;
}

static bool read_same(struct in *in, uint64_t *v, size_t n) {
    uint64_t x;
    if (!read_varint(in, &x))
        return false;
    fill(v, n, x);
    return true;
}

static bool read_runs(struct in *in, uint64_t *v, size_t n) {
    uint64_t runs;
    uint64_t len;
    uint64_t x;
    if (!read_varint(in, &runs))
        return false;
    for (; runs > 0; runs--) {
        if (!read_varint(in, &len) || !read_varint(in, &x) || len == 0 || len > n)
            return false;
        fill(v, (size_t)len, x);
        v += len;
        n -= (size_t)len;
    }
    return n == 0;
}

static bool read_values(struct in *in, unsigned coding, uint64_t *v, size_t n) {
    switch (coding) {
    case BLOCK_SAME:
        return read_same(in, v, n);
    case BLOCK_VARINT:
        return read_varints(in, v, n);
    case BLOCK_RUNS:
        return read_runs(in, v, n);
    default:
        return false;
    }
}

/* ---------------------------------------------------------------- columns */

static bool read_plain(struct in *in, unsigned coding, bool is_signed, uint64_t *x, size_t n) {
    bool ok = read_values(in, coding, x, n);
    for (size_t i = 0; ok && is_signed && i < n; i++)
        x[i] = block_unzigzag(x[i]);
    return ok;
}

static bool read_base(struct in *in, unsigned coding, bool is_signed, uint64_t *x, size_t n) {
    uint64_t base;
    if (!read_varint(in, &base) || !read_values(in, coding, x, n))
        return false;
    base = is_signed ? block_unzigzag(base) : base;
    for (size_t i = 0; i < n; i++)
        x[i] += base;
    return true;
}

static bool read_stride(struct in *in, unsigned coding, uint64_t *x, size_t n) {
    uint64_t at;
    uint64_t stride;
    if (!read_varint(in, &at) || !read_varint(in, &stride) || !read_values(in, coding, x + 1, n - 1))
        return false;
    stride = block_unzigzag(stride);
    x[0] = at = block_unzigzag(at);
    for (size_t i = 1; i < n; i++)
        x[i] = at += block_unzigzag(x[i]) + stride;
    return true;
}

static bool read_column(struct in *in, const struct block_range *range, uint64_t *x, size_t n) {
    if (in->at == in->end)
        return false;
    unsigned head = *in->at++;
    switch (head & 0x0f) {
    case BLOCK_PLAIN:
        return read_plain(in, head >> 4, range->is_signed, x, n);
    case BLOCK_BASE:
        return read_base(in, head >> 4, range->is_signed, x, n);
    case BLOCK_STRIDE:
        return read_stride(in, head >> 4, x, n);
    default:
        return false;
    }
}

/* Where the columns go. */
struct columns {
    uint64_t *number, *duration_us;
    int64_t *start_us;
    uint32_t *outcome, *connection, *flags;
    uint8_t *entry;  /* one of these */
    uint32_t *probe; /* is not NULL */
};

static uint32_t *narrow_of(const struct columns *c, enum block_column column) {
    return column == BLOCK_OUTCOME      ? c->outcome
           : column == BLOCK_CONNECTION ? c->connection
           : column == BLOCK_FLAGS      ? c->flags
                                        : c->probe;
}

/* Columns of 64 bits are decoded where they go, others in x. */
static uint64_t *place_of(const struct columns *c, enum block_column column, uint64_t *x) {
    return column == BLOCK_NUMBER     ? c->number
           : column == BLOCK_DURATION ? c->duration_us
           : column == BLOCK_START    ? (uint64_t *)c->start_us
                                      : x;
}

static void narrow(const struct columns *c, enum block_column column, const uint64_t *x, size_t n) {
    uint32_t *to = narrow_of(c, column);
    for (size_t i = 0; to && i < n; i++)
        to[i] = (uint32_t)x[i];
    for (size_t i = 0; !to && i < n; i++)
        c->entry[i] = (uint8_t)x[i];
}

static int check_head(const Pilotgate__PackedCalls *p, struct err *e) {
    if (p->calls == 0 || p->calls > WIRE_BLOCK_CALLS_MAX)
        return err_set(e, -EBADMSG, "packed calls: %u calls, not 1 to %d", p->calls, WIRE_BLOCK_CALLS_MAX);
    if (p->n_entries == 0 || p->n_entries > WIRE_BLOCK_PROBES_MAX)
        return err_set(e, -EBADMSG, "packed calls: %zu entries, not 1 to %d", p->n_entries,
                       WIRE_BLOCK_PROBES_MAX);
    return 0;
}

static int decode(const Pilotgate__PackedCalls *p, const struct columns *to, struct err *e) {
    uint64_t scratch[WIRE_BLOCK_CALLS_MAX];
    const uint8_t *data = p->columns.len ? p->columns.data : (const uint8_t *)""; /* else it may be NULL */
    struct in in = {data, data + p->columns.len};
    size_t n = p->calls;
    for (enum block_column c = 0; c < BLOCK_COLUMNS; c++) {
        struct block_range range = block_range(c, p->n_entries);
        uint64_t *x = place_of(to, c, scratch);
        if (!read_column(&in, &range, x, n))
            return err_set(e, -EBADMSG, "packed calls: column %s is malformed", range.name);
        if (!block_in_range(&range, x, n))
            return err_set(e, -EBADMSG, "packed calls: column %s: a value is out of range", range.name);
        if (x == scratch)
            narrow(to, c, x, n);
    }
    if (in.at != in.end)
        return err_set(e, -EBADMSG, "packed calls: %zu bytes are left over", (size_t)(in.end - in.at));
    return 0;
}

int block_decode(const Pilotgate__PackedCalls *p, struct block_calls *ret, struct err *e) {
    const struct columns to = {.number = ret->number,
                               .start_us = ret->start_us,
                               .duration_us = ret->duration_us,
                               .outcome = ret->outcome,
                               .connection = ret->connection,
                               .flags = ret->flags,
                               .entry = ret->entry};
    int r = check_head(p, e);
    if (r == 0)
        r = decode(p, &to, e);
    if (r < 0)
        return r;
    ret->n = p->calls;
    ret->base_wall_ns = p->base_wall_ns;
    ret->base_mono_ns = p->base_mono_ns;
    return 0;
}

/* ---------------------------------------------------------------- where columns end */

static bool skip_varints(struct in *in, uint64_t n) {
    uint64_t x;
    for (; n > 0; n--)
        if (!read_varint(in, &x))
            return false;
    return true;
}

static bool skip_values(struct in *in, unsigned coding, size_t n) {
    uint64_t runs;
    switch (coding) {
    case BLOCK_SAME:
        return skip_varints(in, 1);
    case BLOCK_VARINT:
        return skip_varints(in, n);
    case BLOCK_RUNS:
        return read_varint(in, &runs) && runs <= n && skip_varints(in, 2 * runs);
    default:
        return false;
    }
}

static bool skip_column(struct in *in, size_t n) {
    if (in->at == in->end)
        return false;
    unsigned head = *in->at++, transform = head & 0x0f;
    if (transform > BLOCK_STRIDE || !skip_varints(in, transform))
        return false;
    return skip_values(in, head >> 4, transform == BLOCK_STRIDE ? n - 1 : n);
}

int block_cut(const uint8_t *columns, size_t len, size_t calls, size_t ret_len[BLOCK_CUT]) {
    _Static_assert(BLOCK_CUT == BLOCK_COLUMNS, "a length for each column");
    _Static_assert(BLOCK_PLAIN == 0 && BLOCK_BASE == 1 && BLOCK_STRIDE == 2, "as many numbers before values");
    struct in in = {columns, columns + len};
    if (calls == 0 || calls > WIRE_BLOCK_CALLS_MAX)
        return -EBADMSG;
    for (size_t c = 0; c < BLOCK_CUT; c++) {
        const uint8_t *from = in.at;
        if (!skip_column(&in, calls))
            return -EBADMSG;
        ret_len[c] = (size_t)(in.at - from);
    }
    return in.at == in.end ? 0 : -EBADMSG;
}

/* ---------------------------------------------------------------- the older form */

static bool make_columns(Pilotgate__CallBlock *b, size_t n) {
    b->number_delta = malloc(n * sizeof *b->number_delta);
    b->start_us = malloc(n * sizeof *b->start_us);
    b->duration_us = malloc(n * sizeof *b->duration_us);
    b->probe = malloc(n * sizeof *b->probe);
    b->outcome = malloc(n * sizeof *b->outcome);
    b->connection = malloc(n * sizeof *b->connection);
    b->flags = malloc(n * sizeof *b->flags);
    b->n_number_delta = b->n_start_us = b->n_duration_us = b->n_probe = n;
    b->n_outcome = b->n_connection = b->n_flags = n;
    return b->number_delta && b->start_us && b->duration_us && b->probe && b->outcome && b->connection &&
           b->flags;
}

/* One text a time, so that what was copied is freed with the block. */
static bool copy_text(char ***list, size_t *n, const char *text) {
    (*list)[*n] = strdup(text);
    return (*list)[*n] && ++*n;
}

static bool by_url_only(const Pilotgate__PackedCalls *p) {
    for (size_t i = 0; i < p->n_entries; i++)
        if (*p->entries[i]->path)
            return false;
    return true;
}

static bool copy_entries(const Pilotgate__PackedCalls *p, Pilotgate__CallBlock *b) {
    bool paths = !by_url_only(p);
    b->probes = calloc(p->n_entries, sizeof *b->probes);
    b->tools = calloc(p->n_entries, sizeof *b->tools);
    b->targets = calloc(p->n_entries, sizeof *b->targets);
    b->paths = paths ? calloc(p->n_entries, sizeof *b->paths) : NULL;
    if (!b->probes || !b->tools || !b->targets || (paths && !b->paths))
        return false;
    for (size_t i = 0; i < p->n_entries; i++) {
        const Pilotgate__PackedCalls__Entry *from = p->entries[i];
        if (!copy_text(&b->probes, &b->n_probes, from->probe) ||
            !copy_text(&b->tools, &b->n_tools, from->tool) ||
            !copy_text(&b->targets, &b->n_targets, from->target) ||
            (paths && !copy_text(&b->paths, &b->n_paths, from->path)))
            return false;
    }
    return true;
}

/* The numbers lie in number_delta; they become differences. */
static void make_deltas(Pilotgate__CallBlock *b) {
    uint64_t last = b->first_number = (uint64_t)b->number_delta[0];
    for (size_t i = 0; i < b->n_number_delta; i++) {
        uint64_t number = (uint64_t)b->number_delta[i];
        b->number_delta[i] = (int64_t)(number - last);
        last = number;
    }
}

static int fill_block(const Pilotgate__PackedCalls *p, Pilotgate__CallBlock *b, struct err *e) {
    if (!make_columns(b, p->calls) || !copy_entries(p, b))
        return err_oom(e);
    const struct columns to = {.number = (uint64_t *)b->number_delta,
                               .start_us = b->start_us,
                               .duration_us = b->duration_us,
                               .outcome = b->outcome,
                               .connection = b->connection,
                               .flags = b->flags,
                               .probe = b->probe};
    int r = decode(p, &to, e);
    if (r < 0)
        return r;
    make_deltas(b);
    b->base_wall_ns = p->base_wall_ns;
    b->base_mono_ns = p->base_mono_ns;
    return 0;
}

int block_unpack(const Pilotgate__PackedCalls *p, Pilotgate__CallBlock **ret, struct err *e) {
    int r = check_head(p, e);
    if (r < 0)
        return r;
    Pilotgate__CallBlock *b = malloc(sizeof *b);
    if (!b)
        return err_oom(e);
    pilotgate__call_block__init(b);
    r = fill_block(p, b, e);
    if (r < 0)
        pilotgate__call_block__free_unpacked(b, NULL);
    else
        *ret = b;
    return r;
}
