/* block_fixture: records of packed calls as agents send them. */
#include "store_fixture.h"

#include <string.h>

#include "base/when.h"
#include "wire/block.h"

#define START (1700000000 * WHEN_S)
#define ENTRIES 4

static uint64_t next(uint64_t *seed) { /* xorshift64* */
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545f4914f6cdd1dull >> 33;
}

static void fill(struct block_calls *b, uint64_t *seed, uint64_t seq) {
    b->n = next(seed) % 8 ? 10 : 1 + next(seed) % 20;
    b->base_wall_ns = START + (int64_t)(seq * (uint64_t)WHEN_S + next(seed) % (uint64_t)WHEN_MS);
    b->base_mono_ns = (uint64_t)b->base_wall_ns - (uint64_t)START + 500 + next(seed) % 100;
    for (size_t i = 0; i < b->n; i++) {
        b->number[i] = seq * 10 + i;
        b->entry[i] = (uint8_t)(i % ENTRIES);
        b->start_us[i] = (int64_t)(i * 100000 + next(seed) % 300);
        b->duration_us[i] = (i % ENTRIES == 2 ? 2000000 : 8000) + next(seed) % 40000;
        b->outcome[i] = next(seed) % 50 ? PILOTGATE__OUTCOME__OUTCOME_COMPLETED : 2;
        b->connection[i] = i % ENTRIES == 1 ? (uint32_t)(100 + seq * 3) : (uint32_t)(i % ENTRIES);
        b->flags[i] = i % ENTRIES == 1 ? 0 : PILOTGATE__CALL_FLAG__CALL_FLAG_REUSED;
    }
}

/* As the agent has it: the number is added to the bytes when the journal has given it. */
static size_t write(Pilotgate__Record *r, uint64_t seq, bool last, uint8_t *out) {
    r->seq = last ? 0 : seq;
    assert_true(pilotgate__record__get_packed_size(r) + 16 <= FIXTURE_BLOCK_MAX);
    size_t len = pilotgate__record__pack(r, out);
    if (last) {
        out[len++] = 1 << 3;
        for (; seq >= 0x80; seq >>= 7)
            out[len++] = (uint8_t)(seq | 0x80);
        out[len++] = (uint8_t)seq;
    }
    return len;
}

static void span(const uint8_t *bytes, size_t len, int64_t *from, int64_t *to) {
    Pilotgate__Record *r = NULL;
    struct err e = {""};
    if (wire_record_unpack(bytes, len, &r, &e) < 0)
        fail_msg("%s", e.text);
    wire_record_span(r, from, to);
    wire_record_free(&r);
}

size_t fixture_block(uint64_t seed, uint64_t seq, uint8_t *out, int64_t *from, int64_t *to) {
    static const char *const probes[ENTRIES] = {"echo-kept", "echo-new", "hold", "echo-control"};
    static struct block_calls b;
    struct buf columns = BUF_INIT(BLOCK_BYTES_MAX);
    Pilotgate__PackedCalls__Entry entries[ENTRIES], *list[ENTRIES];
    Pilotgate__PackedCalls p = PILOTGATE__PACKED_CALLS__INIT;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    seed = seed * 7919 + 1;
    fill(&b, &seed, seq);
    assert_int_equal(block_encode(&b, ENTRIES, &columns, NULL), 0);
    for (size_t i = 0; i < ENTRIES; i++) {
        list[i] = &entries[i];
        pilotgate__packed_calls__entry__init(list[i]);
        list[i]->probe = (char *)(uintptr_t)probes[i];
        list[i]->tool = (char *)(uintptr_t) "echo";
        list[i]->target =
            (char *)(uintptr_t)(next(&seed) % 100 ? "gateway" : "canary"); /* a new configuration */
    }
    p.base_wall_ns = b.base_wall_ns;
    p.base_mono_ns = b.base_mono_ns;
    p.calls = (uint32_t)b.n;
    p.n_entries = ENTRIES;
    p.entries = list;
    p.columns = (ProtobufCBinaryData){columns.len, (uint8_t *)columns.data};
    r.wall_ns = p.base_wall_ns + WHEN_S + (int64_t)(next(&seed) % 100000);
    r.mono_ns = (uint64_t)(r.wall_ns - p.base_wall_ns) + p.base_mono_ns;
    r.body_case = PILOTGATE__RECORD__BODY_PACKED_CALLS;
    r.packed_calls = &p;
    size_t len = write(&r, seq, next(&seed) % 4 != 0, out);
    buf_free(&columns);
    span(out, len, from, to);
    return len;
}
