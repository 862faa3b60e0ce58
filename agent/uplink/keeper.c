/* keeper: every record that goes into the spool goes through here, and what could not is counted and
 * declared. As the quota fills, or the disk before it, passes give way first, coverage next; the last
 * percents are kept for the records that say what was lost. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "uplink_priv.h"

#define DECLARE_EVERY (1 * WHEN_S)
#define TROUBLE_ENDS (10 * WHEN_S) /* without a failed append */
#define LOOK_EVERY (100 * WHEN_MS)
#define LOOK_BYTES (16 << 10)
#define FAMILIES_TEXT_MAX 256

/* Percent of the room up to which a family may fill the spool. */
static int share(enum wire_family f) {
    switch (f) {
    case WIRE_FAMILY_CALLS:
        return 90;
    case WIRE_FAMILY_COVERAGE:
        return 95;
    case WIRE_FAMILY_LOSS:
        return 100;
    default:
        return 98;
    }
}

/* Asking the disk at every record would be most of an append's cost; between two looks much less is written
 * than the shares differ by. */
static int64_t room(struct keeper *k) {
    int64_t bytes = spool_bytes(k->spool);
    int64_t now = when_mono_ns();
    if (now >= k->next_look || bytes > k->looked_bytes + LOOK_BYTES) {
        k->room = spool_room(k->spool);
        k->looked_bytes = bytes;
        k->next_look = now + LOOK_EVERY;
    }
    return k->room;
}

static bool over(struct keeper *k, size_t len, int percent) {
    int64_t waiting =
        spool_bytes(k->spool) - spool_kept_bytes(k->spool); /* kept ones give way by themselves */
    return waiting + (int64_t)len > room(k) / 100 * percent;
}

static int append(struct keeper *k, const uint8_t *data, size_t len, int percent) {
    uint64_t seq;
    int r = over(k, len, percent) ? -ENOSPC : spool_append(k->spool, data, len, &seq);
    if (r < 0) {
        k->next_look = 0;
        k->trouble = r;
        k->failed_mono_ns = when_mono_ns();
    }
    return r;
}

static void count_failure(struct keeper *k, int error, enum wire_family f, int64_t wall_ns) {
    unsigned cause = error == -ENOSPC    ? PILOTGATE__LOSS__CAUSE__CAUSE_SPOOL_FULL
                     : error == -EBADMSG ? PILOTGATE__LOSS__CAUSE__CAUSE_TOO_LARGE
                                         : PILOTGATE__LOSS__CAUSE__CAUSE_SPOOL_FAILED;
    losses_count(&k->lost, cause, f, 1, wall_ns);
}

/* What breaks a rule of the wire (a time that an API server made up) would be refused by the collector again
 * and again, and block all that comes after it: it is lost here, and declared. */
static int check_item(const uint8_t *data, size_t len) {
    Pilotgate__Record *r = NULL;
    int error = wire_record_unpack(data, len, &r, NULL);
    wire_record_free(&r);
    return error;
}

/* protobuf takes fields in any order, and a later value of a field replaces an earlier one: the seq is
 * appended to the packed record instead of packing it a second time. */
static size_t append_seq(uint8_t *p, uint64_t seq) {
    size_t n = 0;
    p[n++] = 1 << 3; /* field 1, varint */
    for (; seq >= 0x80; seq >>= 7)
        p[n++] = (uint8_t)(seq | 0x80);
    p[n++] = (uint8_t)seq;
    return n;
}

/* A stream that ends without Bye is unwitnessed from its last coverage on: what was lost before that must be
 * told before it, or nobody would ever know. Where the coverage has no room itself, that can wait. */
static int tell_before(struct keeper *k, enum wire_family f, size_t len, int percent) {
    if (f != WIRE_FAMILY_COVERAGE || !k->lost.any || over(k, len, percent))
        return 0;
    keeper_declare(k, when_mono_ns(), true);
    return k->lost.any ? -ENOSPC : 0;
}

void keeper_item(struct keeper *k, struct item *item) {
    uint8_t *data = (uint8_t *)(item + 1);
    enum wire_family f = (enum wire_family)item->family;
    int r = check_item(data, item->len);
    if (r == 0)
        r = tell_before(k, f, item->len, share(f));
    size_t len = item->len + append_seq(data + item->len, spool_next_seq(k->spool));
    if (r == 0)
        r = append(k, data, len, share(f));
    if (r < 0)
        count_failure(k, r, f, item->wall_ns);
    else
        k->appended[f]++;
}

static int put_record(struct keeper *k, Pilotgate__Record *r, int percent) {
    if (r->wall_ns == 0)
        r->wall_ns = when_wall_ns();
    if (r->mono_ns == 0)
        r->mono_ns = (uint64_t)when_mono_ns();
    r->seq = spool_next_seq(k->spool);
    size_t len = pilotgate__record__get_packed_size(r);
    uint8_t *data = malloc(len);
    if (!data)
        return -ENOMEM;
    (void)pilotgate__record__pack(r, data);
    int error = append(k, data, len, percent);
    free(data);
    k->appended[wire_family(r)] += error == 0;
    return error;
}

void keeper_record(struct keeper *k, Pilotgate__Record *r) {
    enum wire_family f = wire_family(r);
    bool last = f == WIRE_FAMILY_COVERAGE && r->coverage->bye;
    int percent = last ? 100 : share(f);
    int error = tell_before(k, f, pilotgate__record__get_packed_size(r), percent);
    if (error == 0)
        error = put_record(k, r, percent);
    if (error < 0)
        count_failure(k, error, f, r->wall_ns);
}

/* "calls 12, coverage 3" */
static uint64_t describe(const struct tally *t, char out[FAMILIES_TEXT_MAX]) {
    uint64_t total = 0;
    size_t n = 0;
    out[0] = 0;
    for (int f = 0; f < WIRE_FAMILIES; f++) {
        if (t->records[f] == 0 || n >= FAMILIES_TEXT_MAX)
            continue;
        n += (size_t)snprintf(out + n, FAMILIES_TEXT_MAX - n, "%s%s %llu", n ? ", " : "",
                              wire_family_name((enum wire_family)f), (unsigned long long)t->records[f]);
        total += t->records[f];
    }
    return total;
}

static int declare_cause(struct keeper *k, unsigned cause) {
    char families[FAMILIES_TEXT_MAX];
    struct tally *t = &k->lost.causes[cause];
    Pilotgate__Loss loss = PILOTGATE__LOSS__INIT;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    loss.records = describe(t, families);
    if (loss.records == 0)
        return 0;
    loss.cause = (Pilotgate__Loss__Cause)cause;
    loss.from_wall_ns = t->from_wall_ns;
    loss.to_wall_ns = t->to_wall_ns;
    loss.families = families;
    r.body_case = PILOTGATE__RECORD__BODY_LOSS;
    r.loss = &loss;
    int error = put_record(k, &r, 100);
    if (error == 0) {
        k->declared[cause] += loss.records;
        memset(t, 0, sizeof *t);
    }
    return error;
}

void keeper_declare(struct keeper *k, int64_t now, bool at_once) {
    if (k->trouble && now - k->failed_mono_ns > TROUBLE_ENDS)
        k->trouble = 0;
    if (!k->lost.any || (!at_once && now < k->next_loss_mono_ns))
        return;
    k->next_loss_mono_ns = now + DECLARE_EVERY;
    bool left = false;
    for (unsigned c = 0; c < LOSS_CAUSES; c++)
        left = declare_cause(k, c) < 0 || left;
    k->lost.any = left;
}
