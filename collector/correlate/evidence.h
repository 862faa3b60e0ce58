/* evidence: the records that a question needs, decoded and owned, as they were at one commit.
 * Made by load.c (the only file of this module that reads the store) or by a test; everything that follows
 * is pure. Not thread-safe; read-only after loading. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "wire/wire.h"

/* One answer of the collector's clock: collector = agent + offset, give or take error. */
struct ev_clock {
    int64_t wall_ns, offset_ns, error_ns;
    uint64_t seq;
};

/* CLOCK_REALTIME of the agent jumped by this much, or (pause) everything stood still for so long, shortly
 * before wall_ns. */
struct ev_step {
    int64_t wall_ns, jump_ns;
    uint64_t seq;
    bool pause;
};
#define EV_STEPS_MAX 256

/* A stream that cannot be believed as a whole. */
enum ev_doubt { EV_DOUBT_TWO_AGENTS, EV_DOUBT_TWO_STAGES };

/* Why records are not in the store and never will be. */
enum ev_cause { EV_CAUSE_AGENT, EV_CAUSE_RESTORED, EV_CAUSE_REPLACED, EV_CAUSE_DELETED };

/* Records of a stream that are missing, as the store says. */
struct ev_missing {
    size_t stream;
    uint64_t from_seq, to_seq;
    uint64_t records; /* of this range; of a gap all of them */
    enum ev_cause cause;
    int64_t t_from_ns, t_to_ns; /* DELETED: agent's time of their calls */
    int64_t at_ns;              /* DELETED: when */
};

struct ev_stream {
    int64_t id; /* of the store */
    char cluster[WIRE_NAME_MAX + 1], namespace_name[WIRE_NAME_MAX + 1], node[WIRE_NAME_MAX + 1];
    uint8_t boot[WIRE_BOOT_BYTES];
    uint64_t conflicts;
    unsigned doubts;        /* bits 1u << EV_DOUBT_... */
    struct ev_clock *clock; /* owned; filled by ev_add, by wall_ns */
    size_t n_clock, cap_clock;
    struct ev_step *steps; /* owned; filled by ev_add */
    size_t n_steps, cap_steps;
    int64_t more_steps_ns; /* sum of those over EV_STEPS_MAX: their places are not kept */
};

struct ev_record {
    size_t stream; /* index into streams */
    uint64_t seq;
    Pilotgate__Record *r; /* owned */
};

struct ev_list {
    struct ev_record *items;
    size_t n, cap;
};

struct evidence {
    uint64_t commit;
    int64_t commit_at_ns;
    struct ev_stream *streams;
    size_t n_streams, cap_streams;
    struct ev_list records; /* phase, call, object, timing, loss: the whole pilot, in (stream, seq) order */
    struct ev_list watched; /* coverage and call blocks: of the windows that were asked for, same order */
    struct ev_list sources; /* coverage of Kubernetes sources: of each stream the newest, and the newest that
                             * names kinds, before the moments that were asked for */
    struct ev_missing *missing; /* owned */
    size_t n_missing, cap_missing;
    uint64_t unknown_records; /* of families that this version does not know */
    json_t *pilot;            /* newest pilot document, NULL when there is none */
    json_t *reference; /* what the pilot's stages are compared with (reference/reference.h), as it is stored
                        * under the digest that the pilot names; NULL: there is none */
    json_t *marks, *drills, *attestations; /* arrays of documents, each with "name" and "said_ns" added */
};

/* Orders a list by (stream, seq) and drops what is in it twice. */
void ev_sort(struct ev_list *l);
/* Takes r over, also on failure. l is one of ev's lists. */
int ev_add(struct evidence *ev, struct ev_list *l, size_t stream, uint64_t seq,
           Pilotgate__Record *r) MUST_CHECK;
int ev_add_missing(struct evidence *ev, const struct ev_missing *m) MUST_CHECK;
/* Index of the new stream, or -ENOMEM. */
int ev_add_stream(struct evidence *ev, const struct ev_stream *s) MUST_CHECK;
void ev_free(struct evidence *ev); /* NULL-safe; the struct itself is the caller's */
