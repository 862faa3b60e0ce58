/* wire: frames, limits and names that agent and collector share. Schema: proto/pilotgate.proto.
 * Thread-safe: no state. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "pilotgate.pb-c.h"

#define WIRE_PROTOCOL 1
#define WIRE_BOOT_BYTES 16

/* Limits. Whatever exceeds one is refused before anything in it is believed. */
#define WIRE_FRAME_MAX (1u << 20)    /* bytes of one ZeroMQ message (ZMQ_MAXMSGSIZE) */
#define WIRE_RECORD_MAX (256u << 10) /* bytes of one packed record */
#define WIRE_BATCH_RECORDS_MAX 1024  /* records of one batch */
#define WIRE_BLOCK_CALLS_MAX 4096    /* calls of one block */
#define WIRE_BLOCK_PROBES_MAX 64     /* entries of a block's table, probes of a configuration */
#define WIRE_PATHS_MAX 256           /* probes and paths of one coverage record */
#define WIRE_NAME_MAX 253            /* cluster, namespace, node, probe and object names */
#define WIRE_STREAMS_MAX 64          /* streams in one Hello */
#define WIRE_NORMAL_MAX (64u << 10)  /* bytes of an object's normal form; longer ones are cut */
#define WIRE_TEXT_MAX 1024           /* bytes of any other text: reason, detail, subject ... */
#define WIRE_SOURCES_MAX 256         /* sources of one coverage record */
#define WIRE_SEQ_MAX (1ull << 62)
#define WIRE_NS_MAX (1ll << 62)                /* *_ns: two of them add up without overflow */
#define WIRE_US_MAX (20ll * 366 * 86400000000) /* *_us: 20 years */
#define WIRE_CREDIT_RECORDS 4096
#define WIRE_CREDIT_BYTES (8u << 20)

/* Seconds without any frame from the collector after which an agent takes a new socket. */
#define WIRE_SILENCE_S 10

enum wire_family {
    WIRE_FAMILY_NONE, /* a record family that this version does not know */
    WIRE_FAMILY_TIMING,
    WIRE_FAMILY_PHASE,
    WIRE_FAMILY_CALLS, /* call blocks */
    WIRE_FAMILY_CALL,
    WIRE_FAMILY_OBJECT,
    WIRE_FAMILY_COVERAGE,
    WIRE_FAMILY_LOSS,
    WIRE_FAMILY_CONFIRMED, /* an object of which is said only that it is as it was */
};
#define WIRE_FAMILIES (WIRE_FAMILY_CONFIRMED + 1)

enum wire_family wire_family(const Pilotgate__Record *r);
const char *wire_family_name(enum wire_family f); /* "call", "coverage" ... */

/* Words for people and JSON, lower case with '-': "completed", "stream-ended". "unknown-N" is never
 * returned: an unknown number gives "unknown". */
const char *wire_outcome_name(int outcome);
const char *wire_phase_name(int kind); /* "namespace-created" ... */
const char *wire_origin_name(int origin);

/* True when the name is 1..WIRE_NAME_MAX of [A-Za-z0-9._-], starting and ending alphanumeric. */
bool wire_name_ok(const char *s);

/* Frame to bytes, in a malloc'ed buffer. -EMSGSIZE over WIRE_FRAME_MAX. */
int wire_pack(const Pilotgate__Frame *f, uint8_t **ret, size_t *ret_len) MUST_CHECK;

/* Bytes to frame: size, oneof present, string and repeated limits, boot lengths. The caller frees with
 * wire_free. -EBADMSG with the reason. Records inside a batch stay packed. */
int wire_unpack(const uint8_t *data, size_t len, Pilotgate__Frame **ret, struct err *e) MUST_CHECK;
void wire_free(Pilotgate__Frame **f);

/* One packed record: size, known body, every column of a block equally long, every string bounded.
 * A body of an unknown family is accepted (WIRE_FAMILY_NONE). Free with wire_record_free.
 * Texts come out as UTF-8 without control characters, from here and from wire_unpack: whatever else
 * was in them is '?'. Call numbers are 1..WIRE_SEQ_MAX, times and durations within WIRE_NS_MAX and
 * WIRE_US_MAX, entries of the probe column inside the probe table; enums may hold unknown numbers. */
int wire_record_unpack(const uint8_t *data, size_t len, Pilotgate__Record **ret, struct err *e) MUST_CHECK;
/* The same, but a block that came packed stays so, with its entries checked and its columns not: block_decode
 * does. */
int wire_record_unpack_packed(const uint8_t *data, size_t len, Pilotgate__Record **ret,
                              struct err *e) MUST_CHECK;
void wire_record_free(Pilotgate__Record **r);
/* The agent's wall time that an unpacked record speaks of: from the first call's start to the last one's end,
 * the moment of a phase or object, else when it was emitted. */
void wire_record_span(const Pilotgate__Record *r, int64_t *ret_from_ns, int64_t *ret_to_ns);

/* "cluster/namespace/node@boot:seq", boot as its first 8 hex digits; out holds WIRE_REF_MAX. */
#define WIRE_REF_MAX (3 * WIRE_NAME_MAX + 64)
char *wire_ref(const char *cluster, const char *ns, const char *node, const uint8_t *boot, uint64_t seq,
               char *out);
