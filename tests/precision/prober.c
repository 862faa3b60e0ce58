/* precision-prober: the agent's own prober, without spool and collector, for tests/precision: calls a
 * precision-server on schedule and prints what its records say. Linked from the same library as the agent.
 *
 * usage: precision-prober URL SECONDS
 *   call PROBE NUMBER START_NS DURATION_US OUTCOME       each call in a block
 *   probe NAME SCHEDULED STARTED RESOLVED UNSENT DELAY   totals, and the worst delay in us
 *   stalled US                                           each second
 *   machine US                                           lateness of a thread that only waits, 500 times a
 *                                                        second: what the machine adds to anything */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/when.h"
#include "mcp/mcp.h"
#include "wire/block.h"

#define PROBES 5
#define INTERVAL_NS (10 * WHEN_MS) /* five of these are 500 calls/s */

static const int delays_us[PROBES] = {1000, 2000, 5000, 10000, 20000};

/* Printed at the end: writing to a pipe meanwhile would be work that the agent does not have. */
struct seen {
    char *text;
    size_t size;
    FILE *file;
    uint64_t max_delay[PROBES];
    Pilotgate__Coverage__Probe last[PROBES]; /* numbers only */
};

static void take_calls(struct seen *s, const Pilotgate__CallBlock *b) {
    uint64_t number = b->first_number;
    for (size_t i = 0; i < b->n_outcome; i++) {
        number += (uint64_t)b->number_delta[i];
        (void)fprintf(s->file, "call %s %" PRIu64 " %" PRId64 " %" PRIu64 " %" PRIu32 "\n",
                      b->probes[b->probe[i]], number, (int64_t)b->base_mono_ns + b->start_us[i] * 1000,
                      b->duration_us[i], b->outcome[i]);
    }
}

static void take_coverage(struct seen *s, const Pilotgate__Coverage *c) {
    (void)fprintf(s->file, "stalled %" PRIu64 "\n", c->stalled_us);
    for (size_t i = 0; i < c->n_probes && i < PROBES; i++) {
        s->last[i] = *c->probes[i];
        if (c->probes[i]->max_delay_us > s->max_delay[i])
            s->max_delay[i] = c->probes[i]->max_delay_us;
    }
}

static void take(void *ctx, Pilotgate__Record *r) {
    struct seen *s = ctx;
    Pilotgate__CallBlock *b = NULL;
    if (r->body_case == PILOTGATE__RECORD__BODY_PACKED_CALLS &&
        block_unpack(r->packed_calls, &b, NULL) == 0) {
        take_calls(s, b);
        pilotgate__call_block__free_unpacked(b, NULL);
    }
    if (r->body_case == PILOTGATE__RECORD__BODY_COVERAGE)
        take_coverage(s, r->coverage);
}

/* ------------------------------------------------------------------ the machine itself */

#define LATE_MAX 100000

static struct late {
    uint32_t us[LATE_MAX];
    size_t n;
    _Atomic bool ending;
} late;

static void *wait_only(void *arg) {
    struct timespec at;
    struct timespec now;
    (void)arg;
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    while (!late.ending && late.n < LATE_MAX) {
        at.tv_nsec += 2 * WHEN_MS;
        at.tv_sec += at.tv_nsec / WHEN_S;
        at.tv_nsec %= WHEN_S;
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        late.us[late.n++] =
            (uint32_t)((now.tv_sec - at.tv_sec) * 1000000 + (now.tv_nsec - at.tv_nsec) / 1000);
    }
    return NULL;
}

static int run(const struct config *c, int seconds) {
    static const struct norm_key key = {{1}};
    static const uint8_t boot[16] = {1, 2, 3, 4};
    struct seen s = {.size = 0};
    struct mcp *m = NULL;
    struct err e;
    s.file = open_memstream(&s.text, &s.size);
    struct emit emit = {take, &s};
    if (!s.file || mcp_start(c, &key, boot, &emit, &m, &e) < 0) {
        (void)fprintf(stderr, "precision-prober: %s\n", s.file ? e.text : "out of memory");
        return 1;
    }
    pthread_t waiter;
    bool waits = pthread_create(&waiter, NULL, wait_only, NULL) == 0;
    (void)sleep((unsigned)seconds);
    mcp_stop(&m, 2 * WHEN_S);
    late.ending = true;
    if (waits)
        (void)pthread_join(waiter, NULL);
    for (size_t i = 0; i < late.n; i++)
        (void)fprintf(s.file, "machine %" PRIu32 "\n", late.us[i]);
    for (int i = 0; i < PROBES; i++)
        (void)fprintf(s.file, "probe p%d %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", i,
                      s.last[i].scheduled, s.last[i].started, s.last[i].resolved, s.last[i].unsent,
                      s.max_delay[i]);
    (void)fclose(s.file);
    (void)fputs(s.text, stdout);
    free(s.text);
    return 0;
}

int main(int argc, char **argv) {
    static char names[PROBES][8];
    static char arguments[PROBES][64];
    struct config_probe probes[PROBES];
    if (argc != 3) {
        (void)fprintf(stderr, "usage: precision-prober URL SECONDS\n");
        return 2;
    }
    struct config_target target = {
        .name = (char *)"server", .url = argv[1], .era = CONFIG_ERA_LEGACY, .catalogue_interval = WHEN_S};
    for (int i = 0; i < PROBES; i++) {
        (void)snprintf(names[i], sizeof names[i], "p%d", i);
        (void)snprintf(arguments[i], sizeof arguments[i], "{\"nonce\":\"{nonce}\",\"delay_us\":%d}",
                       delays_us[i]);
        probes[i] = (struct config_probe){.name = names[i],
                                          .target = target.name,
                                          .tool = (char *)"wait",
                                          .arguments = arguments[i],
                                          .interval = INTERVAL_NS,
                                          .connection = CONFIG_CONNECTION_REUSED,
                                          .timeout = 5 * WHEN_S,
                                          .limit = 2 * WHEN_S};
    }
    struct config c = {.targets = {&target, 1}, .probes = {probes, PROBES}, .max_in_flight = 1000};
    return run(&c, atoi(argv[2]));
}
