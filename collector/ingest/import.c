/* import: an exported file into the store, in one transaction: all of it or nothing. Streams and records go
 * the same way as those of the wire (intake); what differs is that no stream of a file is living, and that a
 * hole between two batches says that the agent cannot read what was there. */
#include "ingest/export_file.h"
#include "ingest/ingest_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/crash.h"
#include "base/when.h"

struct open_stream {
    uint8_t boot[WIRE_BOOT_BYTES];
    int64_t id;
    uint64_t hwm;       /* of the store */
    uint64_t next, end; /* of the file: the seq that may come, and one past the last */
};

struct import {
    struct intake *intake;
    const struct allow *allow;
    const char *path, *agent;
    struct ingest_imported *done;
    Pilotgate__Frame *hello; /* of the group; owned; NULL: none yet */
    struct open_stream streams[WIRE_STREAMS_MAX];
    size_t n;
};

static int against_rules(const struct import *m, const char *what, struct err *e) {
    return err_set(e, -EBADMSG, "%s: %s: nothing of it was taken", m->path, what);
}

/* What the file says that there is and does not bring cannot be read any more. */
static int end_group(struct import *m, struct err *e) {
    int r = 0;
    for (size_t k = 0; r == 0 && k < m->n; k++) {
        struct open_stream *st = &m->streams[k];
        r = intake_gap(m->intake, st->id, &st->hwm, st->end, intake_cause(m->intake, m->hello->hello), e);
    }
    wire_free(&m->hello);
    m->n = 0;
    return r;
}

/* So that `pilotgate agents` knows of it; it never was connected. */
static int tell_of(struct import *m, const struct open_stream *st, const Pilotgate__Hello *h, struct err *e) {
    int64_t now = when_wall_ns();
    struct store_session row = {.since_ns = now, .last_seen_ns = now, .records = st->end - 1};
    (void)snprintf(row.cluster, sizeof row.cluster, "%s", h->cluster);
    (void)snprintf(row.namespace_name, sizeof row.namespace_name, "%s", h->namespace_name);
    (void)snprintf(row.node, sizeof row.node, "%s", h->node);
    (void)snprintf(row.key, sizeof row.key, "%s", m->agent);
    (void)snprintf(row.version, sizeof row.version, "%s", h->version);
    memcpy(row.boot, st->boot, WIRE_BOOT_BYTES);
    return store_put_session(m->intake->store, &row, e);
}

static int begin_stream(struct import *m, const Pilotgate__Hello *h, const Pilotgate__StreamState *state,
                        struct err *e) {
    struct open_stream *st = &m->streams[m->n];
    memcpy(st->boot, state->boot.data, WIRE_BOOT_BYTES);
    st->next = state->first_seq;
    st->end = state->next_seq;
    int r = intake_stream(m->intake, h, state, &st->id, &st->hwm, e);
    if (r == 0)
        r = tell_of(m, st, h, e);
    if (r == 0)
        m->n++;
    return r;
}

/* Takes the frame. */
static int begin_group(struct import *m, Pilotgate__Frame *f, struct err *e) {
    int r = m->hello ? end_group(m, e) : 0;
    const Pilotgate__Hello *h = f->hello;
    const char *reason = r == 0 ? hello_check(m->allow, m->agent, h) : NULL;
    m->hello = f;
    if (reason)
        return against_rules(m, reason, e);
    for (size_t k = 0; r == 0 && k < h->n_streams; k++)
        r = begin_stream(m, h, h->streams[k], e);
    if (r < 0)
        return r;
    m->done->streams += h->n_streams;
    (void)snprintf(m->done->cluster, sizeof m->done->cluster, "%s", h->cluster);
    (void)snprintf(m->done->namespace_name, sizeof m->done->namespace_name, "%s", h->namespace_name);
    (void)snprintf(m->done->node, sizeof m->done->node, "%s", h->node);
    return 0;
}

static struct open_stream *stream_of(struct import *m, const Pilotgate__Batch *b) {
    for (size_t k = 0; k < m->n; k++)
        if (memcmp(m->streams[k].boot, b->boot.data, WIRE_BOOT_BYTES) == 0)
            return &m->streams[k];
    return NULL;
}

static int take_batch(struct import *m, const Pilotgate__Batch *b, struct err *e) {
    struct open_stream *st = stream_of(m, b);
    if (!st || b->first_seq < st->next || b->first_seq > st->end || b->n_records > st->end - b->first_seq)
        return against_rules(m, "a batch of no stream that it named, or out of its order", e);
    const Pilotgate__Hello *h = m->hello->hello;
    const struct intake_place at = {st->id, h->cluster, h->namespace_name};
    int r = intake_gap(m->intake, st->id, &st->hwm, b->first_seq, intake_cause(m->intake, h), e);
    for (size_t k = 0; r == 0 && k < b->n_records; k++) {
        struct err why = {""};
        uint64_t seq = b->first_seq + k;
        r = intake_record(m->intake, &at, seq, &b->records[k], &why, e);
        if (r > 0)
            return against_rules(m, why.text, e);
        st->hwm = r == 0 && seq > st->hwm ? seq : st->hwm;
    }
    st->next = b->first_seq + b->n_records;
    return r;
}

static int take_frame(struct import *m, Pilotgate__Frame *f, struct err *e) {
    if (f->kind_case == PILOTGATE__FRAME__KIND_HELLO)
        return begin_group(m, f, e);
    int r = f->kind_case == PILOTGATE__FRAME__KIND_BATCH
                ? take_batch(m, f->batch, e)
                : against_rules(m, "a frame that exported files do not have", e);
    wire_free(&f);
    return r;
}

static int take_file(struct import *m, struct export_file *f, struct err *e) {
    for (;;) {
        enum export_kind kind = EXPORT_END;
        Pilotgate__Frame *frame = NULL;
        int r = export_next(f, &kind, &frame, e);
        if (r == 0 && kind == EXPORT_END)
            return m->hello ? end_group(m, e) : 0;
        if (r == 0)
            r = take_frame(m, frame, e);
        if (r < 0)
            return r;
    }
}

/* The whole file in one transaction. */
static int take(struct import *m, struct store *s, struct export_file *f, struct err *e) {
    int r = store_begin(s, e);
    if (r < 0)
        return r;
    m->agent = export_agent(f);
    r = allow_key(m->allow, m->agent) ? take_file(m, f, e)
                                      : against_rules(m, "the key that made it is not in the allow-list", e);
    CRASH_POINT("import-before-commit");
    if (r == 0)
        r = store_commit(s, when_wall_ns(), NULL, e);
    CRASH_POINT("import-committed");
    if (r < 0)
        store_rollback(s);
    wire_free(&m->hello);
    return r;
}

int ingest_import(struct store *s, const char *path, const char *key_file, const char *allow_file,
                  struct ingest_imported *ret, struct err *e) {
    struct curve_key key;
    struct allow *allow = NULL;
    struct export_file *f = NULL;
    struct ingest_imported done = {{0}, {0}, {0}, 0, 0, 0, 0};
    struct import m = {.path = path, .done = &done};
    int r = curve_load(key_file, true, &key, e);
    if (r < 0)
        return r;
    r = allow_open(allow_file, &allow, e);
    if (r == 0)
        r = intake_new(s, &m.intake, e);
    if (r == 0)
        r = export_open(path, &key, &f, e);
    explicit_bzero(&key, sizeof key);
    m.allow = allow;
    if (r == 0)
        r = take(&m, s, f, e);
    if (r == 0) {
        done.records = m.intake->count.records;
        done.duplicates = m.intake->count.duplicates;
        done.conflicts = m.intake->count.conflicts;
        *ret = done;
    }
    export_close(&f);
    intake_free(&m.intake);
    allow_free(&allow);
    return r;
}
