/* stand: a journal and a scripted collector in one process, for the uplink's tests. */
#pragma once

#include <time.h>

#include "peer.h"
#include "uplink/uplink_priv.h"

#define PATIENCE (20 * WHEN_S)

extern const struct uplink_times quick;
extern const struct journal_identity nobody;
extern const uint8_t boots[3][WIRE_BOOT_BYTES];

struct stand {
    struct peer *peer;
    char dir[64], spool[80], key[80], server[80], hash[80];
    struct config config;
    struct journal *journal;
    uint64_t emitted;
};

void config_fill(struct stand *s, const char *endpoint);
int setup(void **state);
int teardown(void **state);
void start(struct stand *s, int boot, const struct journal_hooks *hooks);
/* One phase record; `size` bytes of padding behind its number. */
void emit_number(const struct emit *e, uint64_t number, size_t size);
void emit_n(struct stand *s, unsigned n, size_t size);
struct peer_stream seen(struct stand *s, int boot);
void assert_exactly_once(struct stand *s, int boot);

/* Waits, with a bound, until the condition holds. */
#define AWAIT(cond)                                                        \
    do {                                                                   \
        int64_t until = when_mono_ns() + PATIENCE;                         \
        while (!(cond)) {                                                  \
            if (when_mono_ns() > until)                                    \
                fail_msg("never came true: %s", #cond);                    \
            (void)nanosleep(&(struct timespec){.tv_nsec = WHEN_MS}, NULL); \
        }                                                                  \
    } while (0)
