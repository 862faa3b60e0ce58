/* stored_pilot: a real store with what one agent would have sent over two minutes: two changes of the
 * gateway's tools, in the first of which one call is lost. Times are seconds after the pilot's begin. */
#pragma once

#include "store/store.h"

#define STORED_BOOT "0a0b0c0d" /* of the stream's nonces */
#define STORED_BEFORE_NOW 300  /* the pilot began so many seconds ago */
#define STORED_EACH 5          /* calls across each switch, of each kind of connection */
#define STORED_LOST 3          /* number of the lost call; it was reset */
#define STORED_CONTROL 900     /* number of a call past the gateway */

struct stored {
    struct store *store;
    int64_t stream, begin_ns;
    uint64_t seq;
};

/* Declares the pilot c1/shop and writes its records into dir/p.db, which PILOTGATE_STORE then names. */
void stored_pilot(const char *dir);
/* Setup of a test whose state is a folder with it (cli_fixture.h). */
int stored_setup(void **state);
/* The same, left open for more records; ended by stored_close. */
void stored_open(struct stored *s, const char *dir);
void stored_close(struct stored *s);
void stored_put(struct stored *s, Pilotgate__Record *rec, double t);
/* The load that the agent tells each second from `from` to `to`; probes are borrowed. */
void stored_coverage(struct stored *s, double from, double to, Pilotgate__Coverage__Probe **probes, size_t n);
/* n calls that complete, each on a connection of its own, from start to end. */
void stored_calls(struct stored *s, const char *probe, uint64_t first, size_t n, double start, double end,
                  uint32_t flags);
