/* Two texts as a reference and a live object may say them, as quantities, durations, images and in order:
 * what is taken is taken again the same, order is total and has two ends, sameness needs no side. Input: two
 * texts with a NUL between. */
#include <string.h>

#include <jansson.h>

#include "fuzz.h"
#include "reference/values.h"

static void look_at_image(const char *text) {
    struct ref_image i;
    struct ref_image again;
    char whole[REF_IMAGE_MAX + sizeof i.tag + sizeof i.digest + 2];
    if (ref_image(text, &i) < 0)
        return;
    MUST(*i.repository && strchr(i.repository, '/') && (*i.tag || *i.digest));
    (void)snprintf(whole, sizeof whole, "%s%s%s%s%s", i.repository, *i.tag ? ":" : "", i.tag,
                   *i.digest ? "@" : "", i.digest);
    if (strlen(whole) >= REF_IMAGE_MAX)
        return;
    MUST(ref_image(whole, &again) == 0 && strcmp(again.repository, i.repository) == 0 &&
         strcmp(again.tag, i.tag) == 0 && strcmp(again.digest, i.digest) == 0);
}

/* -x is the opposite of x. */
static void look_at_number(const char *text) {
    char minus[160];
    __int128 q;
    __int128 back;
    int64_t d;
    int64_t back_d;
    if (*text == '-' || *text == '+' || strlen(text) + 2 > sizeof minus)
        return;
    (void)snprintf(minus, sizeof minus, "-%s", text);
    if (ref_quantity(text, &q) == 0 && ref_quantity(minus, &back) == 0)
        MUST(q == -back && q >= 0);
    if (ref_duration(text, &d) == 0)
        MUST(ref_duration(minus, &back_d) == 0 && d == -back_d && d >= 0);
}

static void look_at_pair(const json_t *a, const json_t *b) {
    bool known;
    bool known_too;
    int r = ref_order(a, b, &known);
    int back = ref_order(b, a, &known_too);
    MUST(known == known_too && (!known || r == -back) && r >= -1 && r <= 1);
    MUST(ref_order(a, a, &known) == 0);
    for (int m = REF_TEXT; m <= REF_BYTES; m++) {
        MUST(ref_same_value((enum ref_meaning)m, a, a));
        if (m != REF_IMAGE)
            MUST(ref_same_value((enum ref_meaning)m, a, b) == ref_same_value((enum ref_meaning)m, b, a));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 1u << 16)
        return 0;
    char *texts = malloc(size + 1);
    MUST(texts);
    memcpy(texts, data, size);
    texts[size] = 0;
    const char *x = texts;
    const char *y = strlen(x) + 1 < size ? texts + strlen(x) + 1 : texts;
    look_at_image(x);
    look_at_number(x);
    json_t *a = json_string(x);
    json_t *b = json_string(y);
    if (a && b) /* else no UTF-8 */
        look_at_pair(a, b);
    json_decref(a);
    json_decref(b);
    free(texts);
    return 0;
}
