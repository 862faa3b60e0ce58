/* window: what is on its way to the collector. Acknowledgements are cumulative per stream; the credit is
 * counted over batches in the order of sending. Memory is bounded by WINDOW_BATCHES whatever the peer does.
 */
#include <errno.h>
#include <string.h>

#include "uplink_priv.h"

static size_t at_most(size_t a, size_t b) {
    return a < b ? a : b;
}

uint64_t window_acked_of(const Pilotgate__Welcome *w, const uint8_t *boot) {
    for (size_t i = 0; i < w->n_streams; i++)
        if (w->streams[i]->boot.len == WIRE_BOOT_BYTES &&
            memcmp(w->streams[i]->boot.data, boot, WIRE_BOOT_BYTES) == 0)
            return w->streams[i]->acked_seq;
    return 0;
}

int window_begin(struct window *w, const struct spool_stream *announced, size_t n, bool more,
                 const Pilotgate__Welcome *welcome, struct err *e) {
    memset(w, 0, sizeof *w);
    w->more = more;
    w->credit_records = at_most(welcome->credit_records, WIRE_CREDIT_RECORDS);
    w->credit_bytes = at_most(welcome->credit_bytes, WIRE_CREDIT_BYTES);
    if (w->credit_records == 0 || w->credit_bytes == 0)
        return err_set(e, -EPROTO, "the collector gives no credit: is it a version that fits this agent?");
    for (size_t i = 0; i < n; i++) {
        struct lane *l = &w->lanes[w->n++];
        bool living = i + 1 == n;
        memcpy(l->boot, announced[i].boot, WIRE_BOOT_BYTES);
        l->acked = window_acked_of(welcome, l->boot);
        if (living && l->acked >= announced[i].next_seq)
            return err_set(e, -EPROTO, "the collector says it has records that this agent never made");
        if (!living && l->acked >= announced[i].next_seq) /* a power cut took what it already has */
            l->acked = announced[i].next_seq - 1;
        l->end = living ? 0 : announced[i].next_seq;
        l->sent = l->acked + 1;
        if (announced[i].first_seq > l->sent) /* the collector was told that these no longer exist */
            l->sent = announced[i].first_seq;
    }
    return 0;
}

bool window_room(const struct window *w, size_t *ret_records, size_t *ret_bytes) {
    if (w->flying == WINDOW_BATCHES || w->records >= w->credit_records || w->bytes >= w->credit_bytes)
        return false;
    size_t bytes = w->credit_bytes - w->bytes;
    if (w->flying > 0 && bytes < WIRE_RECORD_MAX) /* the next record may be of that size */
        return false;
    *ret_records = at_most(w->credit_records - w->records, WIRE_BATCH_RECORDS_MAX);
    *ret_bytes = at_most(bytes, WIRE_FRAME_MAX / 2);
    return true;
}

void window_sent(struct window *w, size_t lane, size_t records, size_t bytes) {
    struct lane *l = &w->lanes[lane];
    l->sent += records;
    w->flights[(w->head + w->flying++) % WINDOW_BATCHES] = (struct flight){
        .last_seq = l->sent - 1, .lane = (uint32_t)lane, .records = (uint32_t)records, .bytes = bytes};
    w->records += records;
    w->bytes += bytes;
}

static void land(struct window *w) {
    while (w->flying > 0) {
        const struct flight *f = &w->flights[w->head];
        if (w->lanes[f->lane].acked < f->last_seq)
            return;
        w->records -= f->records;
        w->bytes -= f->bytes;
        w->head = (w->head + 1) % WINDOW_BATCHES;
        w->flying--;
    }
}

int window_ack(struct window *w, const uint8_t *boot, uint64_t acked, uint64_t living_next) {
    for (size_t i = 0; i < w->n; i++) {
        struct lane *l = &w->lanes[i];
        if (memcmp(l->boot, boot, WIRE_BOOT_BYTES) != 0)
            continue;
        if (l->end && acked >= l->end) /* as in the Welcome; or this is a copy, and its original goes on */
            acked = l->end - 1;
        if (!l->end && acked >= living_next)
            return -EPROTO;
        if (acked <= l->acked)
            return 0;
        l->acked = acked;
        if (l->sent <= acked)
            l->sent = acked + 1;
        land(w);
        return 1;
    }
    return 0;
}

bool window_empty(const struct window *w, uint64_t living_next) {
    for (size_t i = 0; i < w->n; i++)
        if (w->lanes[i].acked + 1 < (w->lanes[i].end ? w->lanes[i].end : living_next))
            return false;
    return true;
}

bool window_wants_renewal(const struct window *w) {
    bool dead_done = w->n > 1;
    for (size_t i = 0; i < w->n; i++) {
        const struct lane *l = &w->lanes[i];
        if (l->damaged && l->acked + 1 >= l->sent)
            return true;
        dead_done = dead_done && (l->end == 0 || l->acked + 1 >= l->end);
    }
    return w->more && dead_done;
}
