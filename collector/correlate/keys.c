/* keys: a set of pairs of numbers (stream and call, stream and connection), by open addressing. The place of
 * the set itself seeds the hash, so that whoever chooses the numbers cannot choose collisions. */
#include <errno.h>
#include <stdlib.h>

#include "correlate/correlate_priv.h"

#define KEYS_FIRST 256 /* slots; a power of two */

/* The finalizer of MurmurHash3: every bit of the input changes every bit of the output. */
static uint64_t mix(uint64_t x) {
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ULL;
    return x ^ x >> 33;
}

/* The slot that holds the pair, or the free one in which it belongs. */
static struct corr_key *slot_of(const struct corr_keys *k, struct corr_key *slots, size_t cap, uint64_t a,
                                uint64_t b) {
    size_t i = (size_t)mix(a + mix(b + (uint64_t)(uintptr_t)k)) & (cap - 1);
    while (slots[i].used && (slots[i].a != a || slots[i].b != b))
        i = (i + 1) & (cap - 1);
    return &slots[i];
}

static int grow(struct corr_keys *k) {
    size_t cap = k->cap ? 2 * k->cap : KEYS_FIRST;
    struct corr_key *slots = calloc(cap, sizeof *slots);
    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; i < k->cap; i++)
        if (k->slots[i].used)
            *slot_of(k, slots, cap, k->slots[i].a, k->slots[i].b) = k->slots[i];
    free(k->slots);
    k->slots = slots;
    k->cap = cap;
    return 0;
}

int corr_keys_add(struct corr_keys *k, uint64_t a, uint64_t b) {
    if (2 * (k->n + 1) > k->cap && grow(k) < 0)
        return -ENOMEM;
    struct corr_key *s = slot_of(k, k->slots, k->cap, a, b);
    if (s->used)
        return 0;
    *s = (struct corr_key){a, b, true};
    k->n++;
    return 1;
}

bool corr_keys_has(const struct corr_keys *k, uint64_t a, uint64_t b) {
    return k->n > 0 && slot_of(k, k->slots, k->cap, a, b)->used;
}

void corr_keys_free(struct corr_keys *k) {
    free(k->slots);
    *k = (struct corr_keys){0};
}
