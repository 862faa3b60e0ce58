/* stats: what the journal's thread tells others of itself, gathered once a second and copied under a lock, so
 * that a reader never touches what the thread works on. */
#include <string.h>

#include "uplink_priv.h"

/* Everything of the stream up to the answer is in the collector, as far as this agent knows. */
static uint64_t acked_of(const struct uplink *u, const struct spool_stream *s) {
    for (size_t i = 0; u->state == UPLINK_STREAMING && i < u->window.n; i++)
        if (memcmp(u->window.lanes[i].boot, s->boot, WIRE_BOOT_BYTES) == 0)
            return u->window.lanes[i].acked;
    return s->acked_seq;
}

static int take_time(void *ctx, uint64_t seq, const uint8_t *data, size_t len) {
    Pilotgate__Record *r = NULL;
    (void)seq;
    if (wire_record_unpack(data, len, &r, NULL) == 0)
        *(int64_t *)ctx = r->wall_ns;
    wire_record_free(&r);
    return 1; /* one is enough */
}

/* Reads the time of a waiting record, each once. */
static int64_t time_of(struct stats *st, struct spool *spool, const uint8_t *boot, uint64_t seq) {
    if (seq != st->oldest_seq || memcmp(boot, st->oldest_boot, WIRE_BOOT_BYTES) != 0) {
        int64_t wall_ns = 0;
        if (spool_read(spool, boot, seq, 1, WIRE_RECORD_MAX, take_time, &wall_ns) < 0)
            wall_ns = 0;
        st->oldest_seq = seq;
        memcpy(st->oldest_boot, boot, WIRE_BOOT_BYTES);
        st->oldest_wall_ns = wall_ns;
    }
    return st->oldest_wall_ns;
}

static void gather_waiting(struct stats *st, const struct uplink *u, struct journal_stats *out) {
    struct spool_stream streams[WIRE_STREAMS_MAX + 1];
    size_t n = spool_streams(u->spool, streams, WIRE_STREAMS_MAX + 1);
    for (size_t i = 0; i < n; i++) {
        uint64_t next = acked_of(u, &streams[i]) + 1;
        if (next < streams[i].first_seq)
            next = streams[i].first_seq;
        if (next >= streams[i].next_seq)
            continue;
        if (out->unacked_records == 0)
            out->oldest_unacked_wall_ns = time_of(st, u->spool, streams[i].boot, next);
        out->unacked_records += streams[i].next_seq - next;
    }
}

static void gather_records(const struct keeper *k, struct journal_stats *out) {
    memcpy(out->appended, k->appended, sizeof out->appended);
    for (size_t c = 0; c < LOSS_CAUSES && c < JOURNAL_LOSS_CAUSES; c++) {
        out->lost[c] = k->declared[c];
        for (size_t f = 0; f < WIRE_FAMILIES; f++)
            out->lost[c] += k->lost.causes[c].records[f];
    }
}

void stats_publish(struct stats *st, const struct uplink *u, int64_t now) {
    struct journal_stats s = {.turned_mono_ns = now,
                              .spool_bytes = spool_bytes(u->spool),
                              .spool_kept_bytes = spool_kept_bytes(u->spool),
                              .spool_quota = u->config->spool.quota,
                              .keeps = u->keeper->trouble == 0,
                              .up = u->state == UPLINK_STREAMING,
                              .sessions = u->counts.sessions,
                              .session_losses = u->counts.losses,
                              .refusals = u->counts.refusals,
                              .clock_steps = st->clock_steps,
                              .pauses = st->pauses,
                              .clock = {.known = u->clocks.told.some,
                                        .offset_ns = u->clocks.told.value_ns,
                                        .bound_ns = u->clocks.told.error_ns,
                                        .wall_ns = u->clocks.told.wall_ns}};
    gather_records(u->keeper, &s);
    gather_waiting(st, u, &s);
    (void)pthread_mutex_lock(&st->lock);
    st->now = s;
    (void)pthread_mutex_unlock(&st->lock);
}

void stats_read(struct stats *st, struct journal_stats *ret) {
    (void)pthread_mutex_lock(&st->lock);
    *ret = st->now;
    (void)pthread_mutex_unlock(&st->lock);
}
