/* quota: what one key may ask for, so that who holds one cannot keep the collector from the others. Two
 * buckets a key, which fill by themselves: Hellos, each of which costs a walk over the sessions, and new
 * streams, each of which stays in the store for good. */
#include "ingest/ingest_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"

#define HELLOS_MAX (2.0 * INGEST_SESSIONS_PER_KEY) /* every agent may come twice at once ... */
#define HELLOS_PER_S (INGEST_SESSIONS_PER_KEY / 20.0)
#define STREAMS_MAX ((double)INGEST_STREAMS_PER_KEY_HOUR)
#define STREAMS_PER_S (STREAMS_MAX / 3600)

struct quota {
    struct quota *next;
    char key[CURVE_Z85_MAX];
    double hellos, streams; /* what is left */
    int64_t at_ns;          /* when that was counted, monotonic */
};

static struct quota **place(struct quotas *t, const char *key) {
    uint32_t h = 2166136261u; /* FNV-1a */
    for (const char *c = key; *c; c++)
        h = (h ^ (uint8_t)*c) * 16777619u;
    return &t->places[h % INGEST_QUOTA_PLACES];
}

static void fill(struct quota *q, int64_t now_ns) {
    double s = (double)(now_ns - q->at_ns) / WHEN_S;
    q->at_ns = now_ns;
    q->hellos = q->hellos + s * HELLOS_PER_S < HELLOS_MAX ? q->hellos + s * HELLOS_PER_S : HELLOS_MAX;
    q->streams = q->streams + s * STREAMS_PER_S < STREAMS_MAX ? q->streams + s * STREAMS_PER_S : STREAMS_MAX;
}

/* NULL: out of memory. Only keys of the allow-list come here, so their number is bounded. */
static struct quota *find(struct quotas *t, const char *key, int64_t now_ns) {
    struct quota **at = place(t, key);
    struct quota *q = *at;
    while (q && strcmp(q->key, key) != 0)
        q = q->next;
    if (!q && (q = calloc(1, sizeof *q))) {
        (void)snprintf(q->key, sizeof q->key, "%s", key);
        q->hellos = HELLOS_MAX;
        q->streams = STREAMS_MAX;
        q->at_ns = now_ns;
        q->next = *at;
        *at = q;
    }
    if (q)
        fill(q, now_ns);
    return q;
}

const char *quota_hello(struct quotas *t, const char *key, int64_t now_ns) {
    struct quota *q = find(t, key, now_ns);
    if (!q || q->hellos < 1)
        return "too many Hellos under this key: agents must wait longer between them";
    q->hellos--;
    return NULL;
}

bool quota_streams_left(struct quotas *t, const char *key, int64_t now_ns) {
    const struct quota *q = find(t, key, now_ns);
    return q && q->streams >= 1;
}

void quota_streams(struct quotas *t, const char *key, int64_t now_ns, int64_t made) {
    struct quota *q = find(t, key, now_ns);
    if (q)
        q->streams -= (double)made;
}

void quota_forget(struct quotas *t, int64_t now_ns, bool all) {
    for (size_t k = 0; k < INGEST_QUOTA_PLACES; k++)
        for (struct quota **at = &t->places[k], *q; (q = *at);) {
            fill(q, now_ns);
            if (all || (q->hellos >= HELLOS_MAX && q->streams >= STREAMS_MAX)) {
                *at = q->next;
                free(q);
            } else {
                at = &q->next;
            }
        }
}
