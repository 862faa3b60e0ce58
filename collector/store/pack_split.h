/* pack_split: records of packed calls, with what is alike in all of them side by side. Pure.
 *
 * A block of ten calls each second is mostly head: clocks that run in step, names that never change. Record
 * by record deflate finds little of that. So the fields of all records of a pack become columns:
 *
 *   varint number of records, varint bytes of all records when they are joined
 *   each column's length as a varint, then the columns one after the other
 *
 *     of each record      kind (0 deleted, 1 split, else its length + 2), seq, n, t_from, t_to
 *     of each split one   where seq stood, its clocks, number of calls, entries, first call number,
 *                         lengths of the seven columns (wire/block.h): varints
 *     bytes               the seven columns, the entries tables, records as they are
 *
 * The first number of the number column stands in a column of its own. Numbers are differences to the split
 * record before, modulo 2^64; times of a split record are relative to its base. A record is split only when
 * joining gives the same bytes again; any other is kept as it is. */
#pragma once

#include "base/buf.h"
#include "store/pack_codec.h"

/* Adds the columns to out. *ret_split: how many records were split. -ENOMEM; -EMSGSIZE by the limit of out.
 */
int pack_split(const struct pack_entry *entries, size_t n, struct buf *out, size_t *ret_split) MUST_CHECK;

/* Back: ret->entries and ret->raw are for the caller to free, also after an error. -EBADMSG; -ENOMEM. */
int pack_join(const uint8_t *data, size_t len, struct pack *ret) MUST_CHECK;
