/* crash-dump: what a store holds, through collector/store's own reading, one line a row, for tests/crash.
 *
 * usage: crash-dump STORE [--marks]      --marks: only the streams
 *
 *   stream ID CLUSTER/NAMESPACE NODE BOOT HWM CONFLICTS DOUBTS
 *   gap STREAM FROM TO CAUSE
 *   rec STREAM SEQ DIGEST FAMILY WALL SPEAKS CALLS      CALLS: of a block
 *   rollup CLUSTER/NAMESPACE LEVEL CALLS                all calls that the level counts
 *   loss STREAM SEQ CAUSE RECORDS FROM TO FAMILIES... */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"

/* As truth.c makes it. */
static uint64_t digest(const uint8_t *p, size_t n) {
    uint64_t h = 0xcbf29ce484222325;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3;
    return h ? h : 1;
}

static int print_stream(void *ctx, const struct store_stream_row *row) {
    (void)ctx;
    (void)printf("stream %" PRId64 " %s/%s %s ", row->id, row->cluster, row->namespace_name, row->node);
    for (size_t i = 0; i < sizeof row->boot; i++)
        (void)printf("%02x", row->boot[i]);
    (void)printf(" %" PRIu64 " %" PRIu64 " %u\n", row->hwm, row->conflicts, row->doubts);
    return 0;
}

static int print_gap(void *ctx, const struct store_gap_row *row) {
    (void)ctx;
    (void)printf("gap %" PRId64 " %" PRIu64 " %" PRIu64 " %d\n", row->stream, row->from_seq, row->to_seq,
                 (int)row->cause);
    return 0;
}

static const char *speaks(const Pilotgate__Record *r) {
    if (r->body_case != PILOTGATE__RECORD__BODY_COVERAGE)
        return "-";
    return r->coverage->bye ? "bye" : r->coverage->n_probes ? "calls" : "sources";
}

static int print_record(void *ctx, const struct store_record *row, uint64_t commit) {
    (void)ctx;
    (void)commit;
    Pilotgate__Record *r = NULL;
    struct err e = {""};
    if (wire_record_unpack(row->payload, row->len, &r, &e) < 0) {
        (void)printf("bad %" PRId64 " %" PRIu64 " %s\n", row->stream, row->seq, e.text);
        return 0;
    }
    (void)printf("rec %" PRId64 " %" PRIu64 " %016" PRIx64 " %s %" PRId64 " %s %zu\n", row->stream, row->seq,
                 digest(row->payload, row->len), wire_family_name(row->family), r->wall_ns, speaks(r),
                 r->body_case == PILOTGATE__RECORD__BODY_CALLS ? r->calls->n_start_us : 0);
    if (r->body_case == PILOTGATE__RECORD__BODY_LOSS)
        (void)printf("loss %" PRId64 " %" PRIu64 " %d %" PRIu64 " %" PRId64 " %" PRId64 " %s\n", row->stream,
                     row->seq, (int)r->loss->cause, r->loss->records, r->loss->from_wall_ns,
                     r->loss->to_wall_ns, r->loss->families);
    wire_record_free(&r);
    return 0;
}

static int print_rollup(void *ctx, const struct store_rollup *r) {
    (void)ctx;
    (void)printf("rollup %s/%s %d %" PRIu64 "\n", r->cluster, r->namespace_name, (int)r->level, r->calls);
    return 0;
}

static int print_rollups(struct store *s, struct err *e) {
    int r = 0;
    for (int level = 0; level < STORE_LEVELS && r == 0; level++) {
        const struct store_rollup_query q = {.level = (enum store_level)level, .to_ns = INT64_MAX};
        r = store_rollups(s, &q, print_rollup, NULL, e);
    }
    return r;
}

static int print_all(struct store *s, int marks, struct err *e) {
    const struct store_query all = {0};
    int r = store_streams(s, print_stream, NULL, e);
    if (r == 0 && !marks)
        r = store_gaps(s, 0, print_gap, NULL, e);
    if (r == 0 && !marks)
        r = store_records(s, &all, print_record, NULL, e);
    if (r == 0 && !marks)
        r = print_rollups(s, e);
    return r;
}

int main(int argc, char **argv) {
    struct store *s = NULL;
    struct err e = {"usage: crash-dump STORE [--marks]"};
    int marks = argc == 3 && strcmp(argv[2], "--marks") == 0;
    int r = argc == 2 || marks ? store_open(argv[1], STORE_READ, &s, &e) : -1;
    if (r == 0)
        r = print_all(s, marks, &e);
    store_close(&s);
    if (r < 0 || fflush(stdout) != 0) {
        (void)fprintf(stderr, "crash-dump: %s\n", e.text);
        return 2;
    }
    return 0;
}
