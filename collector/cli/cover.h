/* cover: what the agents of a stage are watching right now, from their newest coverage records. */
#pragma once

#include "store/store.h"

#define COVER_STREAMS_MAX 4096
#define COVER_STALE_S 15  /* a stream that is this far behind the newest is over */
#define COVER_UNHELD_S 60 /* an agent takes the stage's work over within half of it */

struct cover_stream {
    int64_t id;
    int64_t wall_ns;       /* newest coverage of any kind, agent's clock */
    int64_t calls_wall_ns; /* newest one that tells of calls; 0: none */
    uint64_t open;         /* calls open then */
    int64_t oldest_ns;     /* start of the oldest of them; 0: none */
    bool bye;
    int64_t kube_since_ns;   /* oldest one of Kubernetes' sources; 0: none */
    int64_t stage_wall_ns;   /* newest one that tells of the stage's, not of this node's alone; 0: none */
    json_t *kube, *products; /* owned: {source: reason} of the newest ones */
};

struct cover {
    struct cover_stream *streams; /* owned */
    size_t n;
    int64_t newest_ns;
    json_t
        *unreadable; /* owned: {source: reason} over the streams that live; "stage": no agent does its work */
};

/* The half that a kube thread tells. */
bool cover_is_kube(const Pilotgate__Coverage *c);

/* Coverage since from_ns. The caller frees with cover_free. */
int cover_read(struct store *s, const char *cluster, const char *ns, int64_t from_ns, struct cover *ret,
               struct err *e) MUST_CHECK;
void cover_free(struct cover *c);

/* Over the streams that live: calls open, and the start of the oldest (0: none). The number of streams that
 * tell of calls. */
size_t cover_open(const struct cover *c, uint64_t *ret_open, int64_t *ret_oldest_ns);
