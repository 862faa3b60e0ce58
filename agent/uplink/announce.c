/* announce: what a Hello says of the spool, and what the Welcome's store means for it.
 *
 *   Welcome                          what becomes of kept records
 *   the store that is known          they stay kept
 *   another store or epoch           they wait again, and a new Hello announces them
 *   the same, with less than it had  the same (a machine's snapshot came back)
 *
 * What is no longer held is told by first_seq; the collector makes a gap of it. */
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "uplink_priv.h"

int uplink_load_keys(struct uplink *u, struct err *e) {
    char servers[CURVE_SERVER_KEYS_MAX][CURVE_Z85_MAX];
    struct curve_key own;
    size_t n = 0;
    int r = curve_load(u->config->collector.key_file, true, &own, e);
    if (r < 0)
        return r;
    r = curve_load_servers(u->config->collector.server_key_file, servers, &n, e);
    if (r == 0) {
        if (n != u->n_server_keys || memcmp(servers, u->server_z85, n * sizeof *servers) != 0)
            u->server_key = 0;
        memcpy(u->server_z85, servers, n * sizeof *servers);
        u->n_server_keys = n;
        u->own = own;
    }
    sodium_memzero(&own, sizeof own);
    return r;
}

struct gap *uplink_gap_of(struct uplink *u, const uint8_t *boot) {
    for (size_t i = 0; i < WIRE_STREAMS_MAX; i++)
        if (u->gaps[i].from && memcmp(u->gaps[i].boot, boot, WIRE_BOOT_BYTES) == 0)
            return &u->gaps[i];
    return NULL;
}

/* A stretch that cannot be read: counted once, at the time when it was found, since nobody knows more. */
void uplink_found_gap(struct uplink *u, struct lane *l) {
    uint64_t to;
    int r = spool_next_held(u->spool, l->boot, l->sent, &to);
    if (r < 0) {
        u->spool_trouble = r;
        return;
    }
    l->damaged = true;
    struct gap *g = uplink_gap_of(u, l->boot);
    if (g && g->from == l->sent && g->to == to)
        return;
    for (size_t i = 0; !g && i < WIRE_STREAMS_MAX; i++)
        if (u->gaps[i].from == 0)
            g = &u->gaps[i];
    if (!g)
        g = &u->gaps[0];
    *g = (struct gap){.from = l->sent, .to = to};
    memcpy(g->boot, l->boot, WIRE_BOOT_BYTES);
    losses_count(&u->keeper->lost, PILOTGATE__LOSS__CAUSE__CAUSE_SPOOL_DAMAGED, WIRE_FAMILY_NONE,
                 to - l->sent, when_wall_ns());
}

/* Records before a gap that is ready count as gone with it. While what an older store had acknowledged is
 * announced group by group, the Hello names that store, so that the collector knows why some of it cannot
 * come. */
void uplink_announce(struct uplink *u, struct session_streams *ret) {
    u->n_announced = spool_streams(u->spool, u->announced, WIRE_STREAMS_MAX + 1);
    u->window.more = u->n_announced > WIRE_STREAMS_MAX;
    if (u->window.more)
        u->n_announced = spool_streams(u->spool, u->announced, WIRE_STREAMS_MAX);
    for (size_t i = 0; i < u->n_announced; i++) {
        const struct gap *g = uplink_gap_of(u, u->announced[i].boot);
        if (g && g->ready && g->to > u->announced[i].first_seq)
            u->announced[i].first_seq = g->to;
    }
    ret->items = u->announced;
    ret->n = u->n_announced;
    spool_store(u->spool, ret->store_id, &ret->restore_epoch);
    if (u->announcing) {
        memcpy(ret->store_id, u->old_store, sizeof ret->store_id);
        ret->restore_epoch = u->old_epoch;
    }
}

/* ---- the Welcome's store */

/* The store has less of some stream than it said once: than this folder knows it to have acknowledged. */
static bool has_less(const struct uplink *u, const Pilotgate__Welcome *w) {
    for (size_t i = 0; i < u->n_announced; i++)
        if (window_acked_of(w, u->announced[i].boot) < u->announced[i].acked_seq)
            return true;
    return false;
}

/* Some of what the Hello announced is gone since: kept records gave way to an append, or their grace ended.
 */
static bool gave_way(const struct uplink *u) {
    for (size_t i = 0; i < u->n_announced; i++) {
        const struct spool_stream *st = &u->announced[i];
        uint64_t held;
        if (spool_next_held(u->spool, st->boot, st->first_seq, &held) < 0 || held > st->first_seq)
            return true;
    }
    return false;
}

/* Makes kept records wait again; 1 when there were some, or there were when they were announced. The gaps are
 * found anew as they are read, since what was before them may be wanted, too. */
static int resettle(struct uplink *u, const char *id, uint64_t epoch, bool other) {
    bool some = spool_kept_bytes(u->spool) > 0 || gave_way(u);
    int r = other ? spool_set_store(u->spool, id, epoch) : spool_unsettle(u->spool);
    if (r < 0)
        return r;
    for (size_t i = 0; i < WIRE_STREAMS_MAX; i++)
        u->gaps[i].ready = false;
    u->announcing = u->announcing || some || u->window.more;
    return some;
}

enum uplink_event uplink_settle(struct uplink *u, const Pilotgate__Welcome *w) {
    char known[SPOOL_STORE_MAX];
    uint64_t epoch;
    const char *id = w->store_id ? w->store_id : "";
    spool_store(u->spool, known, &epoch);
    if (strnlen(id, SPOOL_STORE_MAX) == SPOOL_STORE_MAX) {
        (void)err_set(&u->trouble, -EPROTO, "the collector's store has a name that is too long");
        return UPLINK_REFUSED;
    }
    bool other = *id && (strcmp(id, known) != 0 || w->restore_epoch != epoch);
    u->settled = true;
    if (!other && !has_less(u, w)) {
        u->announcing = u->announcing && u->window.more;
        return UPLINK_WELCOME;
    }
    if (!u->announcing) {
        memcpy(u->old_store, known, sizeof known);
        u->old_epoch = epoch;
    }
    int r = resettle(u, id, w->restore_epoch, other);
    if (r < 0) { /* what waits is delivered all the same, and the rest tried again later */
        u->trim_trouble = r;
        u->settled = false;
        return UPLINK_WELCOME;
    }
    return r > 0 ? UPLINK_RENEW : UPLINK_WELCOME;
}
