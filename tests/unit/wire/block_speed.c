/* block-speed: how many calls a second of CPU time one core decodes and encodes, and how many bytes they
 * take, for schedules as probers have them.
 *
 * usage: wire_block_speed [--at-least MILLIONS]
 *
 * Prints a line for each schedule: bytes a call of the record, millions of calls a second of block_decode,
 * of wire_record_unpack (what a reader of records pays) and of block_encode. Exit status 1 when block_decode
 * is slower than that for the first schedule. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/when.h"
#include "schedule.h"

#define CALLS 1000
#define ROUND_NS (100 * WHEN_MS)
#define ROUNDS 5

static const struct schedule schedules[] = {
    {"a probe, 10 calls/s, kept connection", 1, 100000, 300, 20000, 3000, 1, false},
    {"a probe, 10 calls/s, a connection each", 1, 100000, 300, 20000, 3000, 0, false},
    {"3 probes, 30 calls/s, both kinds by turns", 3, 100000, 300, 20000, 3000, 2, true},
    {"30 in flight of 2 s, kept connections", 1, 66000, 300, 2000000, 3000, 30, false},
};

static struct block_calls calls, out;
static struct buf columns;
static uint8_t record[WIRE_RECORD_MAX];

static Pilotgate__PackedCalls packed_of(Pilotgate__PackedCalls__Entry **entries, size_t n) {
    Pilotgate__PackedCalls p = PILOTGATE__PACKED_CALLS__INIT;
    p.base_wall_ns = calls.base_wall_ns;
    p.base_mono_ns = calls.base_mono_ns;
    p.calls = CALLS;
    p.entries = entries;
    p.n_entries = n;
    p.columns = (ProtobufCBinaryData){.len = columns.len, .data = (uint8_t *)columns.data};
    return p;
}

struct work {
    const struct schedule *s;
    const Pilotgate__PackedCalls *packed;
    size_t record_len;
};

static bool decode(const struct work *w) {
    return block_decode(w->packed, &out, NULL) == 0;
}

static bool unpack(const struct work *w) {
    Pilotgate__Record *r = NULL;
    bool ok = wire_record_unpack(record, w->record_len, &r, NULL) == 0;
    wire_record_free(&r);
    return ok;
}

static bool encode(const struct work *w) {
    schedule_fill(w->s, CALLS, 1, &calls);
    return block_encode(&calls, w->s->probes, &columns, NULL) == 0;
}

/* Of this thread: the machine may do other things meanwhile. */
static int64_t cpu_ns(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * WHEN_S + t.tv_nsec;
}

/* Millions for each second of CPU, of the best round. */
static double rate(bool (*fn)(const struct work *w), const struct work *w) {
    double best = 0;
    for (int i = 0; i < ROUNDS; i++) {
        int64_t began = cpu_ns();
        int64_t n = 0;
        for (; cpu_ns() - began < ROUND_NS; n += CALLS)
            if (!fn(w))
                exit(2);
        double now = (double)n * 1e3 / (double)(cpu_ns() - began);
        best = now > best ? now : best;
    }
    return best;
}

static double measure(const struct schedule *s) {
    Pilotgate__PackedCalls__Entry entry = PILOTGATE__PACKED_CALLS__ENTRY__INIT;
    Pilotgate__PackedCalls__Entry *entries[] = {&entry, &entry, &entry};
    struct work w = {.s = s};
    entry.probe = entry.target = (char *)"gateway";
    entry.tool = (char *)"hold";
    columns = BUF_INIT(BLOCK_BYTES_MAX);
    if (!encode(&w))
        exit(2);
    Pilotgate__PackedCalls packed = packed_of(entries, s->probes);
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    r.seq = 100000;
    r.wall_ns = calls.base_wall_ns;
    r.mono_ns = calls.base_mono_ns;
    r.body_case = PILOTGATE__RECORD__BODY_PACKED_CALLS;
    r.packed_calls = &packed;
    w.packed = &packed;
    w.record_len = pilotgate__record__pack(&r, record);
    double decoded = rate(decode, &w);
    (void)printf("%-42s %5.2f bytes/call, M calls/s: decode %6.1f, record %6.1f, encode %5.1f\n", s->name,
                 (double)w.record_len / CALLS, decoded, rate(unpack, &w), rate(encode, &w));
    buf_free(&columns);
    return decoded;
}

int main(int argc, char **argv) {
    double at_least = argc == 3 && strcmp(argv[1], "--at-least") == 0 ? atof(argv[2]) : 0;
    bool ok = true;
    for (size_t i = 0; i < sizeof schedules / sizeof *schedules; i++)
        ok = (measure(&schedules[i]) >= at_least || i > 0) && ok;
    return ok ? 0 : 1;
}
