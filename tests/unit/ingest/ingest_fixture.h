/* ingest_fixture: a collector with its store in a folder of its own, run in a thread; and agents that
 * speak the wire over real CURVE sockets on loopback. Every wait is bounded by WAIT_MS. */
#pragma once

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <pthread.h>

#include "ingest/ingest.h"
#include "wire/curve.h"

#define WAIT_MS 60000

struct site {
    char dir[64], url[128], key_file[128], allow_file[128];
    struct curve_key server, agent, stranger; /* agent: in the allow-list for c1/shop and c1/pay */
    struct store *store;
    struct ingest *ingest;
    pthread_t thread;
    int result;
    struct err error;
};

struct peer {
    void *zmq, *socket;
    uint64_t session; /* from Welcome */
    uint8_t boot[WIRE_BOOT_BYTES];
    char store_id[64]; /* what Hello says; "" at first */
    uint64_t restore_epoch;
};

int site_setup(void **state);
int site_teardown(void **state);
void site_write_allow(struct site *s, const char *text);
/* Ends the daemon, puts a backup in its store's place, and starts it again: before any peer comes. */
void site_restart_as_restored(struct site *s);
void site_start(struct site *s); /* again, after site_stop */
void site_stop(struct site *s);  /* ends the daemon in order */

void peer_open(struct peer *p, const struct site *s, const struct curve_key *key, uint8_t boot);
void peer_close(struct peer *p);
void peer_send(struct peer *p, Pilotgate__Frame *f);
void peer_send_bytes(struct peer *p, const void *data, size_t len);
void peer_hello(struct peer *p, const char *cluster, const char *ns, const char *node, uint64_t first,
                uint64_t next);
/* n coverage records from first on, each with `mark` as its rss; bad: one of them is garbage */
void peer_batch(struct peer *p, uint64_t first, size_t n, uint64_t mark, size_t bad);
/* The same, when the socket takes it in its time. */
void peer_batch_or_leave(struct peer *p, uint64_t first, size_t n);
/* The next frame of this kind, others are skipped; NULL after ms. The caller frees. */
Pilotgate__Frame *peer_wait(struct peer *p, Pilotgate__Frame__KindCase kind, int ms);
/* Says Hello and takes the Welcome; returns acked_seq of the stream. */
uint64_t peer_join(struct peer *p, const char *ns, const char *node, uint64_t first, uint64_t next);
/* Waits until an Ack names at least seq. */
void peer_wait_ack(struct peer *p, uint64_t seq);
/* Waits for a Welcome that refuses; out gets the reason. */
void peer_wait_refused(struct peer *p, char *out, size_t max);

/* Waits until the store counts a refusal with this reason (a part of it) under the key. */
void site_wait_refusal(const struct site *s, const char *key, const char *reason);
/* Waits until the session's row says connected or not. */
void site_wait_session(const struct site *s, const char *node, bool connected);
