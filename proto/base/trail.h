/* trail: where a walk over a document is, as a JSON Pointer (RFC 6901) and by the names on the way. Bounded;
 * one thread. Zeroed is the root. */
#pragma once

#include <stddef.h>

#define TRAIL_POINTER_MAX 2048
#define TRAIL_WHERE_MAX 512

struct trail {
    char pointer[TRAIL_POINTER_MAX]; /* "/spec/template/spec/containers/0" */
    char where[TRAIL_WHERE_MAX];     /* "gateway": names of elements that were matched by a key */
    unsigned depth;
};
struct trail_back { /* to come back to */
    size_t pointer, where;
};

/* Goes one step down; a pointer that is too long stays as it is. name NULL or "": it has none. */
struct trail_back trail_enter(struct trail *p, const char *step, const char *name);
void trail_leave(struct trail *p, struct trail_back back);
