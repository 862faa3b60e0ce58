/* fault_vfs: SQLite's own VFS with one call that fails, for faults that a real disk cannot be made to show at
 * a chosen moment. Everything else goes to the real one. Also allocations, SQLite's and (by the linker's
 * --wrap) ours.
 */
#pragma once

#include <stdbool.h>

enum fault {
    FAULT_NONE,
    FAULT_WRITE,  /* xWrite: input/output error, nothing written */
    FAULT_SHORT,  /* xWrite: the first half is written, then the disk is full */
    FAULT_FULL,   /* xWrite: the disk is full */
    FAULT_SYNC,   /* xSync: input/output error */
    FAULT_SHM,    /* xShmMap: input/output error */
    FAULT_MALLOC, /* no memory */
    FAULTS
};

/* Becomes the default VFS and allocator; before any other use of SQLite. */
void fault_install(void);
/* The at-th call of this kind fails, from 1; with `on` so do all after it. */
void fault_arm(enum fault f, long at, bool on);
/* Ends faults; true: one was shown. */
bool fault_disarm(void);
long fault_calls(void); /* of the armed kind, since it was armed */
