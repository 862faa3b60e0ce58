/* builtin: what is compiled in, made from profile-*.yaml and schema.json; see CMakeLists.txt. */
#pragma once

#include "reference/reference.h"

struct ref_builtin {
    const char *name, *text;
    size_t len;
};
extern const struct ref_builtin ref_builtins[]; /* ended by name == NULL */
