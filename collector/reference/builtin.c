/* builtin: the built-in references by name. */
#include "reference/builtin.h"

#include <string.h>

const char *ref_builtin_text(const char *name, size_t *ret_len) {
    for (const struct ref_builtin *b = ref_builtins; b->name; b++)
        if (strcmp(b->name, name) == 0) {
            *ret_len = b->len;
            return b->text;
        }
    return NULL;
}
