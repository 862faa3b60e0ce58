/* trail: see trail.h. */
#include "base/trail.h"

#include <stdio.h>
#include <string.h>

struct trail_back trail_enter(struct trail *p, const char *step, const char *name) {
    struct trail_back back = {strlen(p->pointer), strlen(p->where)};
    size_t n = back.pointer;
    if (n + 2 * strlen(step) + 2 < sizeof p->pointer) {
        p->pointer[n++] = '/';
        for (const char *s = step; *s; s++) {
            if (*s == '~' || *s == '/') {
                p->pointer[n++] = '~';
                p->pointer[n++] = *s == '~' ? '0' : '1';
            } else {
                p->pointer[n++] = *s;
            }
        }
        p->pointer[n] = 0;
    }
    if (name && *name)
        (void)snprintf(p->where + back.where, sizeof p->where - back.where, "%s%s", back.where ? " " : "",
                       name);
    p->depth++;
    return back;
}

void trail_leave(struct trail *p, struct trail_back back) {
    p->pointer[back.pointer] = 0;
    p->where[back.where] = 0;
    p->depth--;
}
