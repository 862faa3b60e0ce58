/* truth: what a crash-writer really did, noted beside the spool and without asking it. One line a write(2) to
 * a file: what was written so is there after kill -9. Lines (all numbers decimal but digests, which are hex):
 *
 *   L BOOT STAGE NODE WALL                     a lifetime begins
 *   E THREAD CONTENT FAMILY WALL SIZE          a generator is about to emit a record
 *   A SEQ DIGEST CONTENT FAMILY WALL SPEAKS    the journal is about to append it; SPEAKS: of coverage
 * "calls", "sources" or "bye", else "-"
 *   + SEQ | - SEQ ERROR                        spool_append returned
 *   F CONTENT FAMILY WALL ERROR                the journal gave it up, with the error of its last append (0:
 * none) T BOOT SEQ                                 acknowledged up to here, as the journal told its spool S
 * the orderly end begins Z                                          ... and is over
 *
 * CONTENT is the digest of a record before it has its number, "-" of the journal's own. The calls are caught
 * by the linker (--wrap), so the journal is the one that is released. Thread-safe. */
#pragma once

#include <stdint.h>

#include "source.h"

int truth_open(const char *path, const uint8_t boot[WIRE_BOOT_BYTES], const char *stage,
               const char *node);                              /* 0 or negative errno */
void truth_emits(unsigned thread, const Pilotgate__Record *r); /* with seq 0, and both times */
void truth_ends(int over);
