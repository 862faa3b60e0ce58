/* store_name: the note "store" of a spool's folder, which names the store that acknowledged what is kept. */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "note.h"

/* magic, version, 4 zero bytes, epoch, id, 4 zero bytes, checksum */
_Static_assert(STORE_NAME_BYTES == 8 + 4 + 4 + 8 + SPOOL_STORE_MAX + 4 + 4, "FORMAT.md draws it so");

static const struct note note = {
    .name = "store", .aside = "store.new", .magic = "PGSTORE\n", .len = STORE_NAME_BYTES};

void store_name_load(struct spool *s) {
    uint8_t b[STORE_NAME_BYTES];
    uint64_t epoch;
    if (!note_read(s, &note, b) || b[24 + SPOOL_STORE_MAX - 1] != 0)
        return;
    memcpy(&epoch, b + 16, sizeof epoch);
    s->store_epoch = le64toh(epoch);
    memcpy(s->store_id, b + 24, SPOOL_STORE_MAX);
}

int store_name_save(struct spool *s) {
    uint8_t b[STORE_NAME_BYTES] = {0};
    uint64_t epoch = htole64(s->store_epoch);
    memcpy(b + 16, &epoch, sizeof epoch);
    memcpy(b + 24, s->store_id, SPOOL_STORE_MAX);
    return note_save(s, &note, b);
}

int store_name_forget(struct spool *s) {
    if (s->io.unlink(s->dir, note.name, 0) < 0 && errno != ENOENT)
        return -errno;
    memset(s->store_id, 0, sizeof s->store_id);
    s->store_epoch = 0;
    s->store_unsaved = false;
    return s->io.fsync(s->dir) < 0 ? -errno : 0;
}
