/* v1_wire: the wire as version 0.1 knew it (commit 95adee8), frozen: its limits and its decoder. What a later
 * version sends must be taken by this; what this sends, by a later version. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "v1.pb-c.h"

#define V1_PROTOCOL 1
#define V1_BOOT_BYTES 16

/* Limits. Whatever exceeds one is refused before anything in it is believed. */
#define V1_FRAME_MAX (1u << 20)    /* bytes of one ZeroMQ message (ZMQ_MAXMSGSIZE) */
#define V1_RECORD_MAX (256u << 10) /* bytes of one packed record */
#define V1_BATCH_RECORDS_MAX 1024  /* records of one batch */
#define V1_BLOCK_CALLS_MAX 4096    /* calls of one block */
#define V1_BLOCK_PROBES_MAX 64     /* entries of a block's table, probes of a configuration */
#define V1_PATHS_MAX 256           /* probes and paths of one coverage record */
#define V1_NAME_MAX 253            /* cluster, namespace, node, probe and object names */
#define V1_STREAMS_MAX 64          /* streams in one Hello */
#define V1_NORMAL_MAX (64u << 10)  /* bytes of an object's normal form; longer ones are cut */
#define V1_TEXT_MAX 1024           /* bytes of any other text: reason, detail, subject ... */
#define V1_SOURCES_MAX 256         /* sources of one coverage record */
#define V1_SEQ_MAX (1ull << 62)
#define V1_NS_MAX (1ll << 62)                /* *_ns: two of them add up without overflow */
#define V1_US_MAX (20ll * 366 * 86400000000) /* *_us: 20 years */
#define V1_CREDIT_RECORDS 4096
#define V1_CREDIT_BYTES (8u << 20)

/* Seconds without any frame from the collector after which an agent takes a new socket. */
#define V1_SILENCE_S 10

enum v1_family {
    V1_FAMILY_NONE, /* a record family that this version does not know */
    V1_FAMILY_TIMING,
    V1_FAMILY_PHASE,
    V1_FAMILY_CALLS, /* call blocks */
    V1_FAMILY_CALL,
    V1_FAMILY_OBJECT,
    V1_FAMILY_COVERAGE,
    V1_FAMILY_LOSS,
};
#define V1_FAMILIES (V1_FAMILY_LOSS + 1)

enum v1_family v1_family(const PilotgateV1__Record *r);

/* As wire.h has them. */
int v1_pack(const PilotgateV1__Frame *f, uint8_t **ret, size_t *ret_len) MUST_CHECK;
int v1_unpack(const uint8_t *data, size_t len, PilotgateV1__Frame **ret, struct err *e) MUST_CHECK;
void v1_free(PilotgateV1__Frame **f);
int v1_record_unpack(const uint8_t *data, size_t len, PilotgateV1__Record **ret, struct err *e) MUST_CHECK;
void v1_record_free(PilotgateV1__Record **r);
