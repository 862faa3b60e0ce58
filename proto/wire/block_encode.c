/* block: the encoder of call blocks; block.h draws the bytes. Each column is written in the shortest of the
 * ways that there are: their lengths are found first, so that writing cannot fail. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/block_priv.h"

#define N WIRE_BLOCK_CALLS_MAX
#define SAMPLES 63 /* differences of which the stride is the median */

/* ---------------------------------------------------------------- order */

static int compare(uint64_t a, uint64_t b) {
    return (a > b) - (a < b);
}

static int by_kind(const void *a, const void *b, void *arg) {
    const struct block_calls *c = arg;
    size_t i = *(const uint16_t *)a;
    size_t j = *(const uint16_t *)b;
    int r = compare(c->entry[i], c->entry[j]);
    r = r ? r : compare(c->flags[i], c->flags[j]);
    r = r ? r : compare(c->number[i], c->number[j]);
    return r ? r : compare(i, j);
}

static void reorder(void *column, size_t size, const uint16_t *order, size_t n) {
    _Alignas(uint64_t) unsigned char old[N * sizeof(uint64_t)];
    unsigned char *to = column;
    memcpy(old, column, n * size);
    for (size_t i = 0; i < n; i++)
        memcpy(to + i * size, old + order[i] * size, size);
}

static void sort(struct block_calls *c) {
    uint16_t order[N];
    for (size_t i = 0; i < c->n; i++)
        order[i] = (uint16_t)i;
    qsort_r(order, c->n, sizeof *order, by_kind, c);
    reorder(c->number, sizeof *c->number, order, c->n);
    reorder(c->start_us, sizeof *c->start_us, order, c->n);
    reorder(c->duration_us, sizeof *c->duration_us, order, c->n);
    reorder(c->connection, sizeof *c->connection, order, c->n);
    reorder(c->flags, sizeof *c->flags, order, c->n);
    reorder(c->outcome, sizeof *c->outcome, order, c->n);
    reorder(c->entry, sizeof *c->entry, order, c->n);
}

/* ---------------------------------------------------------------- ways to write a column */

/* What a column's values become: up to two numbers ahead, then n values v. */
struct form {
    enum block_transform transform;
    enum block_coding coding;
    uint64_t ahead[2];
    size_t n_ahead, n, bytes;
    uint64_t v[N];
};

static size_t varint_bytes(uint64_t v) {
    unsigned bits = 64 - (unsigned)__builtin_clzll(v | 1);
    return (bits + 6) / 7;
}

static size_t run_at(const struct form *f, size_t i) {
    size_t end = i + 1;
    while (end < f->n && f->v[end] == f->v[i])
        end++;
    return end - i;
}

/* Chooses the coding and says how long it is, with the head. */
static void choose_coding(struct form *f) {
    size_t each = 0;
    size_t runs = 0;
    size_t in_runs = 0;
    for (size_t i = 0, len; i < f->n; i += len) {
        size_t one = varint_bytes(f->v[i]);
        len = run_at(f, i);
        runs++;
        in_runs += varint_bytes(len) + one;
        each += len * one;
    }
    in_runs += varint_bytes(runs);
    f->coding = runs == 1 ? BLOCK_SAME : in_runs < each ? BLOCK_RUNS : BLOCK_VARINT;
    f->bytes = runs == 1 ? varint_bytes(f->v[0]) : in_runs < each ? in_runs : each;
    f->bytes += 1;
    for (size_t i = 0; i < f->n_ahead; i++)
        f->bytes += varint_bytes(f->ahead[i]);
}

static void make_plain(struct form *f, const uint64_t *x, size_t n, bool is_signed) {
    f->transform = BLOCK_PLAIN;
    f->n_ahead = 0;
    f->n = n;
    for (size_t i = 0; i < n; i++)
        f->v[i] = is_signed ? block_zigzag(x[i]) : x[i];
}

static void make_base(struct form *f, const uint64_t *x, size_t n, bool is_signed) {
    uint64_t least = x[0];
    for (size_t i = 1; i < n; i++)
        if (is_signed ? (int64_t)x[i] < (int64_t)least : x[i] < least)
            least = x[i];
    f->transform = BLOCK_BASE;
    f->n_ahead = 1;
    f->ahead[0] = is_signed ? block_zigzag(least) : least;
    f->n = n;
    for (size_t i = 0; i < n; i++)
        f->v[i] = x[i] - least;
}

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t usual_stride(const uint64_t *x, size_t n) {
    int64_t some[SAMPLES];
    size_t k = n - 1 < SAMPLES ? n - 1 : SAMPLES;
    for (size_t i = 0; i < k; i++) {
        size_t at = i * (n - 1) / k;
        some[i] = (int64_t)(x[at + 1] - x[at]);
    }
    qsort(some, k, sizeof *some, by_value);
    return (uint64_t)some[k / 2];
}

/* n is at least 2. */
static void make_stride(struct form *f, const uint64_t *x, size_t n) {
    uint64_t stride = usual_stride(x, n);
    f->transform = BLOCK_STRIDE;
    f->n_ahead = 2;
    f->ahead[0] = block_zigzag(x[0]);
    f->ahead[1] = block_zigzag(stride);
    f->n = n - 1;
    for (size_t i = 0; i + 1 < n; i++)
        f->v[i] = block_zigzag(x[i + 1] - x[i] - stride);
}

static void make_form(struct form *f, enum block_transform t, const uint64_t *x, size_t n, bool is_signed) {
    if (t == BLOCK_PLAIN)
        make_plain(f, x, n, is_signed);
    else if (t == BLOCK_BASE)
        make_base(f, x, n, is_signed);
    else
        make_stride(f, x, n);
    choose_coding(f);
}

/* ---------------------------------------------------------------- writing */

static uint8_t *write_varint(uint8_t *to, uint64_t v) {
    for (; v >= 0x80; v >>= 7)
        *to++ = (uint8_t)(v | 0x80);
    *to++ = (uint8_t)v;
    return to;
}

static uint8_t *write_runs(uint8_t *to, const struct form *f) {
    size_t runs = 0;
    for (size_t i = 0; i < f->n; i += run_at(f, i))
        runs++;
    to = write_varint(to, runs);
    for (size_t i = 0, len; i < f->n; i += len) {
        len = run_at(f, i);
        to = write_varint(to, len);
        to = write_varint(to, f->v[i]);
    }
    return to;
}

static int write_form(const struct form *f, struct buf *out, struct err *e) {
    int r = buf_reserve(out, f->bytes);
    if (r < 0)
        return err_set(e, r, "packed calls: %zu more bytes: %s", f->bytes, strerror(-r));
    uint8_t *to = (uint8_t *)out->data + out->len;
    *to++ = (uint8_t)((unsigned)f->coding << 4 | (unsigned)f->transform);
    for (size_t i = 0; i < f->n_ahead; i++)
        to = write_varint(to, f->ahead[i]);
    if (f->coding == BLOCK_SAME)
        to = write_varint(to, f->v[0]);
    else if (f->coding == BLOCK_RUNS)
        to = write_runs(to, f);
    for (size_t i = 0; f->coding == BLOCK_VARINT && i < f->n; i++)
        to = write_varint(to, f->v[i]);
    out->len = (size_t)(to - (uint8_t *)out->data);
    return 0;
}

static int write_column(const uint64_t *x, size_t n, bool is_signed, struct buf *out, struct err *e) {
    struct form forms[2];
    struct form *best = &forms[0];
    struct form *other = &forms[1];
    make_form(best, BLOCK_PLAIN, x, n, is_signed);
    for (enum block_transform t = BLOCK_BASE; t <= BLOCK_STRIDE && n > 1; t++) {
        make_form(other, t, x, n, is_signed);
        if (other->bytes < best->bytes) {
            struct form *was = best;
            best = other;
            other = was;
        }
    }
    return write_form(best, out, e);
}

/* ---------------------------------------------------------------- blocks */

static uint64_t value_of(const struct block_calls *c, enum block_column column, size_t i) {
    switch (column) {
    case BLOCK_NUMBER:
        return c->number[i];
    case BLOCK_ENTRY:
        return c->entry[i];
    case BLOCK_START:
        return (uint64_t)c->start_us[i];
    case BLOCK_DURATION:
        return c->duration_us[i];
    case BLOCK_OUTCOME:
        return c->outcome[i];
    case BLOCK_CONNECTION:
        return c->connection[i];
    default:
        return c->flags[i];
    }
}

int block_encode(struct block_calls *calls, size_t n_entries, struct buf *out, struct err *e) {
    uint64_t x[N];
    buf_clear(out);
    if (calls->n == 0 || calls->n > N || n_entries == 0 || n_entries > WIRE_BLOCK_PROBES_MAX)
        return err_set(e, -EINVAL, "packed calls: %zu calls and %zu entries", calls->n, n_entries);
    sort(calls);
    for (enum block_column c = 0; c < BLOCK_COLUMNS; c++) {
        struct block_range range = block_range(c, n_entries);
        for (size_t i = 0; i < calls->n; i++)
            x[i] = value_of(calls, c, i);
        if (!block_in_range(&range, x, calls->n))
            return err_set(e, -EINVAL, "packed calls: column %s: a value is out of range", range.name);
        int r = write_column(x, calls->n, range.is_signed, out, e);
        if (r < 0)
            return r;
    }
    return 0;
}
