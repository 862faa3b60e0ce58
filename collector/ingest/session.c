/* session: the table of sessions, by ZeroMQ routing id. */
#include "ingest/ingest_priv.h"

#include <stdlib.h>
#include <string.h>

/* FNV-1a. A peer may choose its routing id; the worst it gets are long chains, bounded with the table. */
static struct session **bucket(const struct sessions *t, const void *routing, size_t len) {
    const uint8_t *p = routing;
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 16777619u;
    return (struct session **)&t->buckets[h % INGEST_BUCKETS];
}

struct session *session_find(const struct sessions *t, const void *routing, size_t len) {
    for (struct session *s = *bucket(t, routing, len); s; s = s->next)
        if (s->routing_len == len && memcmp(s->routing, routing, len) == 0)
            return s;
    return NULL;
}

struct session *session_add(struct sessions *t, const void *routing, size_t len) {
    if (t->n >= INGEST_SESSIONS_MAX || len > INGEST_ROUTING_MAX)
        return NULL;
    struct session *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    memcpy(s->routing, routing, len);
    s->routing_len = len;
    struct session **b = bucket(t, routing, len);
    s->next = *b;
    *b = s;
    t->n++;
    return s;
}

void session_mark_dirty(struct sessions *t, struct session *s) {
    if (s->dirty)
        return;
    s->dirty = true;
    s->dirty_next = t->dirty;
    t->dirty = s;
}

void session_drop(struct sessions *t, struct session *s) {
    struct session **at = bucket(t, s->routing, s->routing_len);
    while (*at && *at != s)
        at = &(*at)->next;
    if (*at)
        *at = s->next;
    for (at = &t->dirty; s->dirty && *at; at = &(*at)->dirty_next)
        if (*at == s) {
            *at = s->dirty_next;
            break;
        }
    t->n--;
    free(s->streams);
    free(s);
}

struct session_stream *session_stream(struct session *s, const uint8_t *boot) {
    for (size_t i = 0; i < s->n_streams; i++)
        if (memcmp(s->streams[i].boot, boot, WIRE_BOOT_BYTES) == 0)
            return &s->streams[i];
    return NULL;
}

void session_each(struct sessions *t, void (*fn)(void *ctx, struct session *s), void *ctx) {
    for (size_t b = 0; b < INGEST_BUCKETS; b++)
        for (struct session *s = t->buckets[b]; s; s = s->next)
            fn(ctx, s);
}

void session_drop_all(struct sessions *t) {
    for (size_t b = 0; b < INGEST_BUCKETS; b++)
        for (struct session *s = t->buckets[b], *next; s; s = next) {
            next = s->next;
            free(s->streams);
            free(s);
        }
    memset(t, 0, sizeof *t);
}
