/* stage_name: the note "stage" of a spool's folder, which names the stage whose records it holds. A copy of
 * the folder says the same, so that an agent of another stage does not send them as its own. */
#include <errno.h>
#include <string.h>

#include "note.h"

/* magic, version, stage, checksum */
#define STAGE_NAME_BYTES (NOTE_HEAD_BYTES + SPOOL_STAGE_MAX + 4)
_Static_assert(STAGE_NAME_BYTES == 528 && STAGE_NAME_BYTES <= NOTE_BYTES_MAX, "FORMAT.md draws it so");

static const struct note note = {
    .name = "stage", .aside = "stage.new", .magic = "PGSTAGE\n", .len = STAGE_NAME_BYTES};

static void load(const struct spool *s, char ret[SPOOL_STAGE_MAX]) {
    uint8_t b[STAGE_NAME_BYTES];
    memset(ret, 0, SPOOL_STAGE_MAX);
    if (note_read(s, &note, b) && b[NOTE_HEAD_BYTES + SPOOL_STAGE_MAX - 1] == 0)
        memcpy(ret, b + NOTE_HEAD_BYTES, SPOOL_STAGE_MAX);
}

int stage_name_save(const struct spool *s) {
    uint8_t b[STAGE_NAME_BYTES] = {0};
    memcpy(b + NOTE_HEAD_BYTES, s->stage, sizeof s->stage);
    return note_save(s, &note, b);
}

static bool holds_some(const struct spool *s) {
    for (size_t i = 0; i < s->n; i++)
        if (s->streams[i].n > 0)
            return true;
    return false;
}

int spool_claim(struct spool *s, const char *stage, char ret_other[SPOOL_STAGE_MAX]) {
    char noted[SPOOL_STAGE_MAX];
    if (strnlen(stage, SPOOL_STAGE_MAX) == SPOOL_STAGE_MAX)
        return -EMSGSIZE;
    load(s, noted);
    if (strcmp(noted, stage) == 0)
        return 0;
    if (*noted && holds_some(s)) {
        memcpy(ret_other, noted, sizeof noted);
        return -EXDEV;
    }
    if (s->readonly)
        return 0;
    memcpy(s->stage, stage, strlen(stage) + 1);
    s->stage_unsaved = stage_name_save(s) < 0;
    return 0;
}
