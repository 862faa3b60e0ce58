/* note: a small file of a spool's folder that says one thing of it. FORMAT.md draws them: magic, version,
 * what it says, checksum. Written aside, synced, renamed; one that cannot be trusted says nothing. */
#pragma once

#include "spool_priv.h"

#define NOTE_HEAD_BYTES 12 /* magic, version: before what it says */
#define NOTE_BYTES_MAX 640

struct note {
    const char *name, *aside;
    const char *magic; /* 8 bytes */
    size_t len;        /* of the whole file, at most NOTE_BYTES_MAX */
};

/* false: there is none, or none of ours that is whole. */
bool note_read(const struct spool *s, const struct note *k, uint8_t *ret) MUST_CHECK;
/* Puts magic, version and checksum around what it says, and has it on disk. */
int note_save(const struct spool *s, const struct note *k, uint8_t *b) MUST_CHECK;
