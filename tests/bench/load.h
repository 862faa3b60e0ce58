/* load: thousands of agents in one thread, each with its own key, CURVE connection, session, window and
 * records; only calls and spool are left out. What is not acknowledged is kept in memory and sent again in
 * the next session, as an agent does from its spool.
 *
 *   load.c        options and the report         load_agent.c    one agent: sessions, window, acks
 *   load_keys.c   key pairs and allow-list       load_queue.c    records that are not acknowledged
 *   load_run.c    the loop and its schedule      load_check.c    what the store has afterwards
 *   load_watch.c  memory and CPU of the collector
 */
#pragma once

#include <stdio.h>
#include <zmq.h>

#include "base/when.h"
#include "calls.h"
#include "hist.h"
#include "wire/curve.h"
#include "wire/wire.h"

#define LOAD_AGENTS_MAX 20000
#define LOAD_RECORDS_MAX (1u << 15) /* of one agent, unacknowledged; beyond it the run fails */
#define LOAD_WATCH_MAX 7200

/* ---- records that are not acknowledged, oldest first */

struct load_record {
    uint8_t *data;
    size_t len;
    int64_t emitted_ns; /* monotonic */
    uint32_t calls;
};

struct load_queue {
    struct load_record *ring;
    size_t cap, head, n;
    uint64_t first_seq; /* of ring[head] */
};

/* Takes a copy. -ENOSPC beyond LOAD_RECORDS_MAX. */
int load_queue_add(struct load_queue *q, const struct buf *data, int64_t now, uint32_t calls,
                   struct err *e) MUST_CHECK;
const struct load_record *load_queue_at(const struct load_queue *q, uint64_t seq);
void load_queue_drop(struct load_queue *q); /* the oldest */
void load_queue_free(struct load_queue *q);

/* ---- one agent */

enum load_state { LOAD_OFF, LOAD_HELLO, LOAD_STREAMING, LOAD_OVER };

struct load_agent {
    struct load *load;
    unsigned number;
    enum load_state state;
    struct curve_key key;
    uint8_t boot[WIRE_BOOT_BYTES];
    char node[32];
    void *socket;
    int fd;
    uint64_t nonce;
    uint64_t next_seq, sent, acked; /* next to be made; next to be sent; acknowledged */
    size_t flying_bytes;            /* of sent - acked - 1 records */
    size_t credit_records, credit_bytes;
    int64_t heard_ns, again_ns; /* last frame from the collector; when to say Hello again */
    struct load_queue queue;
    struct calls_source calls;
    uint64_t made_calls; /* in records, acknowledged or not */
    uint64_t acked_calls;
    uint64_t probe_id;
    int64_t probe_wall_ns, offset_ns;
    uint64_t error_ns; /* 0: no clock probe was answered yet */
    unsigned seconds;  /* of its life */
};

/* A new socket and Hello. */
int load_agent_connect(struct load_agent *a, struct err *e) MUST_CHECK;
/* Reads whatever came, then sends what the window allows. */
int load_agent_serve(struct load_agent *a, struct err *e) MUST_CHECK;
/* One record, numbered and queued. */
int load_agent_emit(struct load_agent *a, struct buf *record, uint32_t calls, struct err *e) MUST_CHECK;
void load_agent_clock_probe(struct load_agent *a);
bool load_agent_quiet(const struct load_agent *a); /* everything is acknowledged */
void load_agent_bye(struct load_agent *a);
void load_agent_end(struct load_agent *a);

/* ---- the whole */

struct load_options {
    const char *endpoint, *server_key, *keys, *cluster, *store, *report;
    unsigned agents, rate, seconds, stages, watch, block_calls;
    bool flood, keys_only, block_bytes, pack;
};

struct load_second { /* of the collector */
    uint64_t rss_bytes;
    double cpu; /* cores, in this second */
};

struct load {
    struct load_options o;
    void *zmq;
    int epoll;
    char server_z85[CURVE_Z85_MAX];
    struct load_agent *agents;
    unsigned streaming;
    bool flooding;         /* acks call for more at once */
    struct buf *templates; /* of flood: packed blocks without seq; none: each is made */
    size_t n_templates;
    struct hist latency;        /* emit to acknowledged, of records that were made in the measured time */
    int64_t began_ns, ended_ns; /* of the measured time */
    uint64_t records, calls, acked_records, acked_calls, sent_bytes;
    uint64_t calls_in_time; /* acknowledged between began and ended */
    uint64_t sessions, refused, again;
    uint64_t stored_records, stored_calls, stored_doubles, missing;
    struct load_second watched[LOAD_WATCH_MAX];
    size_t n_watched;
    char refusal[WIRE_TEXT_MAX + 1]; /* the first one's reason */
};

int load_keys(struct load *l,
              struct err *e) MUST_CHECK; /* makes them and the allow-list when they are missing */
int load_run(struct load *l, struct err *e) MUST_CHECK;
int load_check(struct load *l, struct err *e) MUST_CHECK;
void load_watch(struct load *l);
