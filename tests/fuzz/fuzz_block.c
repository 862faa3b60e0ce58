/* Call blocks: what the decoder takes, the encoder writes again as the same calls; what the encoder takes,
 * the decoder reads as the same calls. Input: a byte whose lowest bit says which of the two; two bytes for
 * the number of calls and one for that of entries; then the columns, or the values. */
#include <string.h>

#include "fuzz.h"
#include "wire/block.h"

#define HEAD 4

static struct block_calls calls, back;
static Pilotgate__PackedCalls__Entry entry = PILOTGATE__PACKED_CALLS__ENTRY__INIT;
static Pilotgate__PackedCalls__Entry *entries[256];

static Pilotgate__PackedCalls packed(size_t n, size_t n_entries, const void *data, size_t len) {
    Pilotgate__PackedCalls p = PILOTGATE__PACKED_CALLS__INIT;
    for (size_t i = 0; i < 256; i++)
        entries[i] = &entry;
    p.calls = (uint32_t)n;
    p.entries = entries;
    p.n_entries = n_entries;
    p.columns = (ProtobufCBinaryData){.len = len, .data = (uint8_t *)data};
    return p;
}

/* Of all calls, whatever their order is. */
static uint64_t sum_of(const struct block_calls *c) {
    uint64_t sum = 0;
    for (size_t i = 0; i < c->n; i++) {
        const uint64_t all[] = {c->number[i],      c->entry[i],      (uint64_t)c->start_us[i],
                                c->duration_us[i], c->connection[i], c->outcome[i],
                                c->flags[i]};
        uint64_t one = 1469598103934665603u;
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            one = (one ^ all[k]) * 1099511628211u;
        sum += one;
    }
    return sum;
}

/* Encodes `calls` and reads them again. */
static void check_round(size_t n_entries) {
    struct buf columns = BUF_INIT(BLOCK_BYTES_MAX);
    uint64_t sum = sum_of(&calls);
    MUST(block_encode(&calls, n_entries, &columns, NULL) == 0);
    Pilotgate__PackedCalls p = packed(calls.n, n_entries, columns.data, columns.len);
    MUST(block_decode(&p, &back, NULL) == 0);
    MUST(back.n == calls.n && sum_of(&back) == sum);
    buf_free(&columns);
}

/* Both readers say the same. */
static void check_unpacked(const Pilotgate__PackedCalls *p, bool taken) {
    Pilotgate__CallBlock *b = NULL;
    MUST((block_unpack(p, &b, NULL) == 0) == taken);
    if (!taken)
        return;
    uint64_t number = b->first_number;
    for (size_t i = 0; i < calls.n; i++) {
        number += (uint64_t)b->number_delta[i];
        MUST(number == calls.number[i] && b->probe[i] == calls.entry[i]);
        MUST(b->start_us[i] == calls.start_us[i] && b->duration_us[i] == calls.duration_us[i]);
        MUST(b->outcome[i] == calls.outcome[i] && b->connection[i] == calls.connection[i]);
        MUST(b->flags[i] == calls.flags[i]);
    }
    pilotgate__call_block__free_unpacked(b, NULL);
}

static void check_columns(size_t n, size_t n_entries, const uint8_t *data, size_t size) {
    Pilotgate__PackedCalls p = packed(n, n_entries, data, size);
    struct err e = {""};
    bool taken = block_decode(&p, &calls, &e) == 0;
    size_t lens[BLOCK_CUT], sum = 0;
    MUST(taken || e.text[0]);
    bool cut = block_cut(data, size, n, lens) == 0;
    for (size_t c = 0; cut && c < BLOCK_CUT; c++)
        sum += lens[c];
    MUST(cut ? sum == size : !taken);
    check_unpacked(&p, taken);
    if (taken)
        check_round(n_entries);
}

static uint64_t take(const uint8_t **data, size_t *size) {
    uint64_t v = 0;
    size_t n = *size ? **data & 7u : 0;
    for (size_t i = 0; i <= n && *size > 0; i++, ++*data, --*size)
        v = v << 8 | **data;
    return v;
}

static void check_values(size_t n, size_t n_entries, const uint8_t *data, size_t size) {
    if (n == 0 || n > WIRE_BLOCK_CALLS_MAX || n_entries == 0 || n_entries > WIRE_BLOCK_PROBES_MAX)
        return;
    calls.n = n;
    for (size_t i = 0; i < n; i++) {
        calls.number[i] = 1 + take(&data, &size) % WIRE_SEQ_MAX;
        calls.entry[i] = (uint8_t)(take(&data, &size) % n_entries);
        calls.start_us[i] = (int64_t)(take(&data, &size) % (2 * (uint64_t)WIRE_US_MAX + 1)) - WIRE_US_MAX;
        calls.duration_us[i] = take(&data, &size) % ((uint64_t)WIRE_US_MAX + 1);
        calls.outcome[i] = (uint32_t)take(&data, &size);
        calls.connection[i] = (uint32_t)take(&data, &size);
        calls.flags[i] = (uint32_t)take(&data, &size);
    }
    check_round(n_entries);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < HEAD)
        return 0;
    size_t n = data[1] | (size_t)data[2] << 8;
    if (data[0] & 1)
        check_values(n, data[3], data + HEAD, size - HEAD);
    else
        check_columns(n, data[3], data + HEAD, size - HEAD);
    return 0;
}
