/* rubric_priv: the compiled-in text of category-8.yaml. */
#pragma once

#include <stddef.h>

extern const char rubric_text[];
extern const size_t rubric_text_len;
