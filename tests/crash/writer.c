/* crash-writer: the agent's journal with sources that only generate, for tests/crash. Linked from the same
 * library as the agent; what it appends is noted by truth.c.
 *
 * usage: crash-writer TRUTH INTERVAL_MS SEED QUOTA_KIB [AGENT FLAG...]      SIGTERM is an orderly end
 *
 * The quota may be smaller than the agent's configuration allows, so that it is reached in a second. Silence
 * and waiting are shorter than the agent's, so that a run holds more of them. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/when.h"
#include "config.h"
#include "generate.h"
#include "truth.h"
#include "uplink/uplink_priv.h"

#define GRACE (3 * WHEN_S)

static const struct uplink_times times = {
    .hello = 2 * WHEN_S,
    .silence = 3 * WHEN_S,
    .lost_min = WHEN_S / 20,
    .lost_max = WHEN_S / 2,
    .refused_min = WHEN_S / 4,
    .refused_max = 1 * WHEN_S,
};

static int complain(const struct err *e) {
    (void)fprintf(stderr, "crash-writer: %s\n", e->text);
    return 2;
}

static void start_generators(struct generator *g, pthread_t *threads, const struct emit *emit,
                             long interval_ms, uint64_t seed, const atomic_bool *stop) {
    for (int i = 0; i < GENERATORS; i++) {
        g[i] = (struct generator){.kind = i,
                                  .emit = emit,
                                  .interval_ns = interval_ms * WHEN_MS * (i == GENERATE_TIMING ? 10 : 1),
                                  .random = seed * 2654435761 + (uint64_t)i + 1,
                                  .stop = stop};
        if (pthread_create(&threads[i], NULL, generate, &g[i]) != 0)
            abort();
    }
}

static void run(struct journal *j, long interval_ms, uint64_t seed) {
    static atomic_bool stop;
    struct generator generators[GENERATORS];
    pthread_t threads[GENERATORS];
    sigset_t ends;
    int number;
    start_generators(generators, threads, journal_emit(j), interval_ms, seed, &stop);
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigwait(&ends, &number);
    truth_ends(0);
    atomic_store(&stop, true);
    for (int i = 0; i < GENERATORS; i++)
        (void)pthread_join(threads[i], NULL);
}

static int begin(const char *truth, const struct config *c, struct journal **ret, struct err *e) {
    const struct journal_identity id = {.ns_uid = "", .cluster_identity = ""};
    uint8_t boot[WIRE_BOOT_BYTES];
    char stage[2 * WIRE_NAME_MAX + 2];
    if (getrandom(boot, sizeof boot, 0) != (ssize_t)sizeof boot)
        return err_set(e, -errno, "no random numbers");
    (void)snprintf(stage, sizeof stage, "%s/%s", c->stage.cluster, c->stage.namespace_name);
    int r = truth_open(truth, boot, stage, c->stage.node);
    if (r < 0)
        return err_set(e, r, "%s: %s", truth, strerror(-r));
    return journal_start_timed(c, boot, &id, NULL, &times, ret, e);
}

int main(int argc, char **argv) {
    struct config c;
    struct err e = {""};
    struct journal *j = NULL;
    int rest = 0;
    sigset_t ends;
    if (argc < 5)
        return complain(
            &(struct err){"usage: crash-writer TRUTH INTERVAL_MS SEED QUOTA_KIB [AGENT FLAG...]"});
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &ends, NULL);
    if (config_load(argc - 5, argv + 5, &c, &rest, &e) < 0)
        return complain(&e);
    c.spool.quota = strtoll(argv[4], NULL, 10) << 10;
    if (begin(argv[1], &c, &j, &e) < 0)
        return complain(&e);
    log_set_level(LOG_LEVEL_WARN);
    run(j, strtol(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
    journal_stop(&j, GRACE);
    truth_ends(1);
    config_free(&c);
    return 0;
}
