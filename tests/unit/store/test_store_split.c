/* test_store_split: packs of packed calls: any records come back byte by byte, whether they could be split or
 * not; damaged packs are refused, or give what lies inside of their own memory; and they are small. */
#include "store_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/when.h"
#include "store/pack_codec.h"
#include "store/pack_split.h"
#include "store/varint.h"

#define RECORDS 300

static uint64_t seed = 0x9e3779b97f4a7c15ull;
static uint64_t rnd(uint64_t below) { /* xorshift64*: the same sequence in every run */
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (seed * 0x2545f4914f6cdd1dull >> 33) % below;
}

static uint8_t bytes[RECORDS][FIXTURE_BLOCK_MAX];
static struct pack_entry entries[RECORDS];

static void make_block(size_t i, uint64_t seq) {
    struct pack_entry *e = &entries[i];
    *e = (struct pack_entry){.seq = seq, .n = seq / 3 + 1, .payload = bytes[i]};
    e->len = fixture_block(rnd(1u << 30), seq, bytes[i], &e->t_from_ns, &e->t_to_ns);
}

/* What is no block, or nearly one. */
static void spoil(struct pack_entry *e, uint8_t *b) {
    switch (rnd(9)) {
    case 0:
        e->payload = NULL;
        e->len = 0;
        break;
    case 1:
        e->len = rnd(e->len);
        break;
    case 2:
        b[rnd(e->len)] ^= (uint8_t)(1u << rnd(8));
        break;
    case 3:
        e->t_from_ns += (int64_t)rnd(2000);
        break;
    case 4:
        e->t_from_ns = rnd(2) ? INT64_MIN : INT64_MAX;
        break;
    case 5:
        e->t_to_ns = rnd(2) ? INT64_MIN : INT64_MAX;
        break;
    case 6: /* more bytes, a field twice */
        b[e->len++] = (uint8_t)rnd(256);
        b[e->len++] = (uint8_t)rnd(256);
        break;
    case 7: /* seq as a varint that is longer than it must be */
        b[e->len - 1] |= 0x80;
        b[e->len++] = 0;
        break;
    default:
        for (size_t i = 0; i < e->len; i++)
            b[i] = (uint8_t)rnd(256);
    }
}

static size_t make_entries(bool spoiled) {
    size_t n = 1 + rnd(RECORDS);
    uint64_t seq = rnd(100000), rate = 1 + rnd(20);
    for (size_t i = 0; i < n; i++) {
        make_block(i, seq += 1 + rnd(3));
        if (spoiled && rnd(20) < rate)
            spoil(&entries[i], bytes[i]);
    }
    return n;
}

static void assert_same(const struct pack *p, size_t n) {
    assert_int_equal(p->n, n);
    for (size_t i = 0; i < n; i++) {
        const struct pack_entry *a = &entries[i], *b = &p->entries[i];
        assert_int_equal(a->seq, b->seq);
        assert_int_equal(a->n, b->n);
        assert_int_equal(a->t_from_ns, b->t_from_ns);
        assert_int_equal(a->t_to_ns, b->t_to_ns);
        assert_int_equal(a->payload == NULL, b->payload == NULL);
        assert_int_equal(a->len, b->len);
        if (a->len)
            assert_memory_equal(a->payload, b->payload, a->len);
    }
}

static void test_every_byte_comes_back(void **state) {
    size_t splits = 0;
    (void)state;
    for (int i = 0; i < 400; i++) {
        size_t n = make_entries(i % 4), len = 0;
        uint8_t *body = NULL;
        struct pack p = {0};
        assert_int_equal(pack_encode(entries, n, &body, &len), 0);
        splits += body[0] == 0;
        assert_int_equal(pack_decode(body, len, &p), 0);
        assert_same(&p, n);
        pack_free(&p);
        free(body);
    }
    assert_true(splits > 300);
}

static void test_agents_blocks_are_split(void **state) {
    struct buf raw = BUF_INIT(PACK_RAW_MAX);
    size_t n = make_entries(false), split = 0;
    (void)state;
    assert_int_equal(pack_split(entries, n, &raw, &split), 0);
    assert_int_equal(split, n);
    buf_free(&raw);
}

/* ---- damage */

/* Reads all that the pack says that it holds. */
static unsigned touch(const struct pack *p) {
    unsigned sum = 0;
    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; k < p->entries[i].len; k++)
            sum += p->entries[i].payload[k];
    return sum;
}

/* With the right checksum: what zlib would let through. */
static int decode_raw(const struct buf *raw, unsigned *sum) {
    uLongf len = compressBound(raw->len);
    uint8_t *body = malloc(len + 11);
    struct pack p = {0};
    assert_non_null(body);
    size_t at = varint_put(body, 0);
    at += varint_put(body + at, raw->len);
    assert_int_equal(compress2(body + at, &len, (const uint8_t *)raw->data, raw->len, 1), Z_OK);
    int r = pack_decode(body, at + len, &p);
    if (r == 0)
        *sum += touch(&p);
    pack_free(&p);
    free(body);
    return r;
}

static void damage(struct buf *raw) {
    size_t head = raw->len < 60 ? raw->len : 60;
    for (uint64_t k = 1 + rnd(3); k > 0; k--)
        raw->data[rnd(rnd(2) ? head : raw->len)] = (char)rnd(256);
    if (rnd(10) == 0)
        raw->len = 1 + rnd(raw->len);
}

static void test_damage_is_harmless(void **state) {
    size_t refused = 0, read = 0, split = 0;
    unsigned sum = 0;
    (void)state;
    for (int i = 0; i < 3000; i++) {
        struct buf raw = BUF_INIT(PACK_RAW_MAX);
        size_t n = i % 50 ? 1 + rnd(8) : 1 + rnd(40);
        for (size_t k = 0; k < n; k++)
            make_block(k, 5 + k);
        assert_int_equal(pack_split(entries, n, &raw, &split), 0);
        assert_int_equal(decode_raw(&raw, &sum), 0);
        damage(&raw);
        int r = decode_raw(&raw, &sum);
        assert_true(r == 0 || r == -EBADMSG);
        read += r == 0;
        refused += r < 0;
        buf_free(&raw);
    }
    print_message("damaged: %zu refused, %zu read as other records (sum %u)\n", refused, read, sum);
    assert_true(refused > 1000);
}

/* ---- memory that runs out */

static long fail_at; /* the allocation that fails; 0: none */
static bool fails(void) {
    return fail_at && --fail_at == 0;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n) {
    return fails() ? NULL : __real_malloc(n);
}
void *__wrap_calloc(size_t n, size_t size) {
    return fails() ? NULL : __real_calloc(n, size);
}
void *__wrap_realloc(void *p, size_t n) {
    return fails() ? NULL : __real_realloc(p, n);
}

/* A record that could not be split for want of memory may be kept as it is; nothing else may differ. */
static void test_memory_may_run_out(void **state) {
    size_t n = make_entries(false), failed = 0;
    (void)state;
    for (long k = 1; k < 400; k++) {
        uint8_t *body = NULL;
        size_t len = 0;
        struct pack p = {0};
        fail_at = k;
        int r = pack_encode(entries, n, &body, &len);
        fail_at = 0;
        failed += r == -ENOMEM;
        assert_true(r == 0 || r == -ENOMEM);
        if (r < 0)
            continue;
        fail_at = k;
        r = pack_decode(body, len, &p);
        fail_at = 0;
        assert_int_equal(r, k <= 3 ? -ENOMEM : 0);
        if (r == 0)
            assert_same(&p, n);
        pack_free(&p);
        free(body);
    }
    assert_true(failed > 30);
}

/* ---- size */

static void test_ten_calls_a_second_are_small(void **state) {
    uint8_t *body = NULL;
    size_t len = 0, calls = 0;
    (void)state;
    for (size_t i = 0; i < RECORDS; i++) {
        Pilotgate__Record *r = NULL;
        make_block(i, 1000 + i);
        assert_int_equal(wire_record_unpack(entries[i].payload, entries[i].len, &r, NULL), 0);
        calls += r->calls->n_outcome;
        wire_record_free(&r);
    }
    assert_int_equal(pack_encode(entries, RECORDS, &body, &len), 0);
    free(body);
    print_message("blocks of each second: %.2f bytes a call\n", (double)len / (double)calls);
    assert_true(len < 7 * calls + calls / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte_comes_back),        cmocka_unit_test(test_agents_blocks_are_split),
        cmocka_unit_test(test_damage_is_harmless),           cmocka_unit_test(test_memory_may_run_out),
        cmocka_unit_test(test_ten_calls_a_second_are_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
