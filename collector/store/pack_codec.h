/* pack_codec: many records as one blob, and back. Pure.
 *
 *   varint raw length, then a zlib stream (RFC 1950, so with a checksum) of:
 *     varint number of records
 *     columns, each record a varint: seq - seq before;  n - n before;  zigzag(t_from - t_from before);
 *                                    t_to - t_from;  0 when the record was deleted, else its length + 1
 *     the bytes of the records, one after the other
 *
 * When there are packed calls among them, a zero byte stands before all that, and the zlib stream is of their
 * fields side by side: pack_split.h. Differences wrap around at 64 bits, so that any times come back as they
 * were. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define PACK_RECORDS_MAX 2048
#define PACK_RAW_MAX (4u << 20) /* of one pack, before it is deflated */

struct pack_entry {
    uint64_t seq, n;
    int64_t t_from_ns, t_to_ns;
    const uint8_t *payload; /* NULL: deleted */
    size_t len;
};

struct pack {
    size_t n;
    struct pack_entry *entries; /* owned; ascending by seq */
    uint8_t *raw;               /* owned; what payloads point into */
};

/* -EMSGSIZE over PACK_RAW_MAX; -ENOMEM. *ret is malloc'ed. */
int pack_encode(const struct pack_entry *entries, size_t n, uint8_t **ret, size_t *ret_len) MUST_CHECK;
/* -EBADMSG: damaged; -ENOMEM. */
int pack_decode(const uint8_t *data, size_t len, struct pack *ret) MUST_CHECK;
void pack_free(struct pack *p); /* leaves it empty */
/* NULL: it is not in this pack. */
const struct pack_entry *pack_find(const struct pack *p, uint64_t seq);
