/* seen: a hash table of slots that are also one list from newest to oldest; see seen.h. */
#include "canary/seen.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX
#define KEY_BYTES crypto_shorthash_siphashx24_BYTES
#define FIRST_SLOTS 64

struct slot {
    uint8_t key[KEY_BYTES];
    uint32_t count;
    uint32_t next;         /* in its bucket, or in the list of free slots */
    uint32_t newer, older; /* by last touch */
};

struct seen {
    struct slot *slots;
    uint32_t *buckets; /* as many as slots; a power of two */
    uint32_t cap, max, used, free_slot, newest, oldest;
    uint64_t forgotten;
    uint8_t secret[crypto_shorthash_siphashx24_KEYBYTES];
};

static void hash(const struct seen *s, const char *text, uint8_t key[KEY_BYTES]) {
    crypto_shorthash_siphashx24(key, (const uint8_t *)text, strlen(text), s->secret);
}

static uint32_t *bucket_of(const struct seen *s, const uint8_t *key) {
    uint32_t h;
    memcpy(&h, key, sizeof h);
    return &s->buckets[h & (s->cap - 1)];
}

static uint32_t find(const struct seen *s, const uint8_t *key) {
    if (!s->cap)
        return NONE;
    uint32_t i = *bucket_of(s, key);
    while (i != NONE && memcmp(s->slots[i].key, key, KEY_BYTES))
        i = s->slots[i].next;
    return i;
}

static void list_remove(struct seen *s, uint32_t i) {
    struct slot *x = &s->slots[i];
    *(x->newer == NONE ? &s->newest : &s->slots[x->newer].older) = x->older;
    *(x->older == NONE ? &s->oldest : &s->slots[x->older].newer) = x->newer;
}

static void list_push(struct seen *s, uint32_t i) {
    s->slots[i].newer = NONE;
    s->slots[i].older = s->newest;
    *(s->newest == NONE ? &s->oldest : &s->slots[s->newest].newer) = i;
    s->newest = i;
}

static void bucket_push(struct seen *s, uint32_t i) {
    uint32_t *bucket = bucket_of(s, s->slots[i].key);
    s->slots[i].next = *bucket;
    *bucket = i;
}

static void drop(struct seen *s, uint32_t i) {
    uint32_t *at = bucket_of(s, s->slots[i].key);
    while (*at != i)
        at = &s->slots[*at].next;
    *at = s->slots[i].next;
    list_remove(s, i);
    s->slots[i].next = s->free_slot;
    s->free_slot = i;
    s->used--;
}

/* Doubles the table; every slot in use is put into its new bucket. Called only when all are in use. */
static int grow(struct seen *s) {
    uint32_t cap = s->cap ? s->cap * 2 : FIRST_SLOTS;
    struct slot *slots = realloc(s->slots, cap * sizeof *slots);
    if (!slots)
        return -ENOMEM;
    s->slots = slots;
    uint32_t *buckets = malloc(cap * sizeof *buckets);
    if (!buckets)
        return -ENOMEM;
    memset(buckets, 0xff, cap * sizeof *buckets);
    free(s->buckets);
    s->buckets = buckets;
    uint32_t old = s->cap;
    s->cap = cap;
    for (uint32_t i = 0; i < old; i++)
        bucket_push(s, i);
    for (uint32_t i = cap; i-- > old;) {
        s->slots[i].next = s->free_slot;
        s->free_slot = i;
    }
    return 0;
}

int seen_new(size_t max, struct seen **ret) {
    if (!max || max > (1u << 30))
        return -EINVAL;
    struct seen *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->max = (uint32_t)max;
    s->free_slot = s->newest = s->oldest = NONE;
    randombytes_buf(s->secret, sizeof s->secret);
    *ret = s;
    return 0;
}

void seen_free(struct seen **s) {
    if (!*s)
        return;
    free((*s)->slots);
    free((*s)->buckets);
    free(*s);
    *s = NULL;
}

int seen_add(struct seen *s, const char *text, uint32_t *ret_count) {
    uint8_t key[KEY_BYTES];
    hash(s, text, key);
    uint32_t i = find(s, key);
    if (i == NONE) {
        if (s->used == s->max) {
            drop(s, s->oldest);
            s->forgotten++;
        }
        if (s->free_slot == NONE && grow(s))
            return -ENOMEM;
        i = s->free_slot;
        s->free_slot = s->slots[i].next;
        memcpy(s->slots[i].key, key, KEY_BYTES);
        s->slots[i].count = 0;
        bucket_push(s, i);
        s->used++;
    } else {
        list_remove(s, i);
    }
    list_push(s, i);
    *ret_count = ++s->slots[i].count;
    return 0;
}

uint32_t seen_count(const struct seen *s, const char *text) {
    uint8_t key[KEY_BYTES];
    hash(s, text, key);
    uint32_t i = find(s, key);
    return i == NONE ? 0 : s->slots[i].count;
}

uint32_t seen_touch(struct seen *s, const char *text) {
    uint8_t key[KEY_BYTES];
    hash(s, text, key);
    uint32_t i = find(s, key);
    if (i == NONE)
        return 0;
    list_remove(s, i);
    list_push(s, i);
    return s->slots[i].count;
}

void seen_remove(struct seen *s, const char *text) {
    uint8_t key[KEY_BYTES];
    hash(s, text, key);
    uint32_t i = find(s, key);
    if (i != NONE)
        drop(s, i);
}

size_t seen_size(const struct seen *s) {
    return s->used;
}

uint64_t seen_forgotten(const struct seen *s) {
    return s->forgotten;
}
