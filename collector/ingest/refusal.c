/* refusal: who was turned away and why, gathered in memory and written once a second, so that a storm of
 * strangers is not a storm of disk writes. */
#include "ingest/ingest_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/when.h"

static struct store_refusal *row_of(struct ingest *i, const char *key, const char *reason) {
    for (size_t k = 0; k < i->n_refusals; k++) {
        struct store_refusal *r = &i->refusals[k];
        if (strcmp(r->key, key) == 0 && strncmp(r->reason, reason, sizeof r->reason - 1) == 0)
            return r;
    }
    if (i->n_refusals == INGEST_REFUSALS - 1) { /* the last place counts the rest together */
        key = "";
        reason = "more refusals in one second than are told apart";
    }
    if (i->n_refusals == INGEST_REFUSALS)
        return &i->refusals[INGEST_REFUSALS - 1];
    struct store_refusal *r = &i->refusals[i->n_refusals++];
    memset(r, 0, sizeof *r);
    (void)snprintf(r->key, sizeof r->key, "%s", key);
    (void)snprintf(r->reason, sizeof r->reason, "%s", reason);
    return r;
}

void refusal_count(struct ingest *i, const char *key, const char *reason) {
    struct store_refusal *r = row_of(i, key, reason);
    r->count++;
    r->last_ns = when_wall_ns();
    i->now.refusals++;
}

/* Committed before it is forgotten here. */
int refusal_flush(struct ingest *i, struct err *e) {
    if (i->n_refusals == 0)
        return 0;
    int r = ingest_begin(i, e);
    for (size_t k = 0; r == 0 && k < i->n_refusals; k++)
        r = store_add_refusals(i->store, &i->refusals[k], e);
    if (r == 0)
        r = ingest_flush(i, e);
    if (r == 0)
        i->n_refusals = 0;
    return r;
}
