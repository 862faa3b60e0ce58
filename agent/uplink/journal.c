/* journal: the thread over intake, keeper and uplink; see journal.h. It sleeps in one zmq_poll over the
 * sources' pipe and the collector's socket; what came in goes to the spool and from there out at once, so
 * that an idle agent's record is on its way within a millisecond, and a busy one's batches fill themselves.
 * fsync runs once a second: kill -9 loses nothing that was appended, a power cut at most that second. */
#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "uplink_priv.h"

#define DRAIN_MAX 256 /* records between two looks at the collector */
#define TICK (1 * WHEN_S)
#define EXPIRE_EVERY (60 * WHEN_S)

struct journal {
    const struct config *config;
    struct journal_identity id;
    struct emit emit;
    void *zmq;
    struct intake intake;
    struct spool *spool;
    struct keeper keeper;
    struct uplink uplink;
    struct stats stats;
    pthread_t thread;
    pthread_mutex_t hooks_lock;
    struct journal_hooks hooks; /* under hooks_lock */
    atomic_bool stopping;
    _Atomic int64_t stop_by; /* monotonic; set before stopping */
    int64_t next_tick, next_expiry;
    struct {
        int64_t mono; /* what was emitted before it has a seq of at most ...; 0: no mark is set */
        uint64_t seq;
    } mark;
    _Atomic int64_t settled_mono;
    /* what the log was told last, so that each change is one line */
    bool told_up;
    int told_keeper, told_spool, told_trim, told_sync, told_expire;
    struct err told_trouble, told_keys;
    int sync_trouble, expire_trouble;
};

static bool load_hook(void *ctx, int64_t ttl_ns) {
    struct journal *j = ctx;
    (void)pthread_mutex_lock(&j->hooks_lock);
    struct journal_hooks h = j->hooks;
    (void)pthread_mutex_unlock(&j->hooks_lock);
    if (h.load)
        h.load(h.ctx, ttl_ns);
    return h.load != NULL;
}

void journal_set_hooks(struct journal *j, const struct journal_hooks *hooks) {
    (void)pthread_mutex_lock(&j->hooks_lock);
    j->hooks = *hooks;
    (void)pthread_mutex_unlock(&j->hooks_lock);
}

const struct emit *journal_emit(struct journal *j) {
    return &j->emit;
}

void journal_stats(struct journal *j, struct journal_stats *ret) {
    stats_read(&j->stats, ret);
}

int64_t journal_settled_mono(const struct journal *j) {
    return atomic_load(&j->settled_mono);
}

/* ---- log */

static void tell_errno(int now, int *told, const char *what, const char *well) {
    if (now == *told)
        return;
    if (now < 0)
        log_error("%s: %s", what, strerror(-now));
    else
        log_info("%s", well);
    *told = now;
}

static void tell(struct journal *j) {
    const struct uplink *u = &j->uplink;
    bool up = u->state == UPLINK_STREAMING;
    const char *endpoint = j->config->collector.endpoint;
    if (up && !j->told_up) {
        log_info("collector %s: connected", endpoint);
        j->told_up = true;
        j->told_trouble.text[0] = 0;
    } else if (u->state == UPLINK_BACKOFF && strcmp(u->trouble.text, j->told_trouble.text) != 0) {
        log_warn("collector %s: %s", endpoint, u->trouble.text);
        j->told_up = false;
        j->told_trouble = u->trouble;
    }
    if (strcmp(u->key_trouble.text, j->told_keys.text) != 0) {
        if (*u->key_trouble.text)
            log_warn("the keys stay as they were: %s", u->key_trouble.text);
        j->told_keys = u->key_trouble;
    }
    tell_errno(j->keeper.trouble, &j->told_keeper, "spool: records are being lost and counted",
               "spool: appends succeed again");
    tell_errno(u->spool_trouble, &j->told_spool, "spool: cannot read it", "spool: readable again");
    tell_errno(u->trim_trouble, &j->told_trim, "spool: cannot mark delivered segments",
               "spool: delivered segments are marked again");
    tell_errno(j->expire_trouble, &j->told_expire, "spool: cannot remove segments whose grace is over",
               "spool: segments whose grace is over are removed again");
    tell_errno(j->sync_trouble, &j->told_sync, "spool: fsync failed, a power cut could lose records",
               "spool: fsync succeeds again");
}

/* ---- thread */

/* Takes what waits in the pipe; true when there may be more. */
static bool drain(struct journal *j) {
    size_t n = 0;
    size_t bytes = 0;
    zmq_msg_t m;
    struct item *item;
    while (n < DRAIN_MAX && intake_take(&j->intake, &m, &item) > 0) {
        n++;
        bytes += item->len;
        if (item->family == WIRE_FAMILY_COVERAGE) /* what emit dropped before it is told before it */
            intake_release(&j->intake, 0, 0, &j->keeper.lost);
        keeper_item(&j->keeper, item);
        (void)zmq_msg_close(&m);
    }
    intake_release(&j->intake, n, bytes, &j->keeper.lost);
    return n == DRAIN_MAX;
}

/* One mark at a time: set when the pipe was found empty after `before`, reached when the collector has
 * acknowledged so far. */
static void settle(struct journal *j, int64_t before, bool emptied) {
    const struct window *w = &j->uplink.window;
    if (j->mark.mono && j->uplink.state == UPLINK_STREAMING && w->n > 0 &&
        w->lanes[w->n - 1].acked >= j->mark.seq) {
        atomic_store(&j->settled_mono, j->mark.mono);
        j->mark.mono = 0;
    }
    if (j->mark.mono == 0 && emptied) {
        j->mark.mono = before;
        j->mark.seq = spool_next_seq(j->spool) - 1;
    }
}

static void keep_timing(struct journal *j, Pilotgate__Timing *t) {
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    r.body_case = PILOTGATE__RECORD__BODY_TIMING;
    r.timing = t;
    keeper_record(&j->keeper, &r);
}

static void watch_clock(struct journal *j) {
    Pilotgate__Timing t;
    int64_t before = when_mono_ns();
    int64_t wall = when_wall_ns();
    int64_t after = when_mono_ns();
    if (!clocks_step(&j->uplink.clocks, wall, before, (uint64_t)(after - before), &t))
        return;
    j->stats.clock_steps++;
    keep_timing(j, &t);
}

/* The disk is not touched while waiting: what is late here stood still, and did not wait for a slow fsync. */
static void watch_pause(struct journal *j, int64_t began, int64_t asked_ns) {
    struct timespec mono;
    Pilotgate__Timing t;
    (void)clock_gettime(CLOCK_MONOTONIC, &mono);
    int64_t now = when_mono_ns();
    const struct clocks_wait w = {asked_ns, now - began, now, mono.tv_sec * WHEN_S + mono.tv_nsec};
    if (!clocks_pause(&j->uplink.clocks, &w, &t))
        return;
    j->stats.pauses++;
    keep_timing(j, &t);
}

static void tick(struct journal *j, int64_t now) {
    if (now < j->next_tick)
        return;
    j->next_tick = now + TICK;
    watch_clock(j);
    keeper_declare(&j->keeper, now, false);
    j->sync_trouble = spool_sync(j->spool);
    stats_publish(&j->stats, &j->uplink, now);
    if (now < j->next_expiry)
        return;
    j->next_expiry = now + EXPIRE_EVERY;
    j->expire_trouble = spool_expire(j->spool, when_wall_ns() - j->config->spool.grace);
}

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static void wait_for_work(struct journal *j) {
    zmq_pollitem_t items[] = {{.socket = j->uplink.socket, .events = ZMQ_POLLIN},
                              {.socket = j->intake.pull, .events = ZMQ_POLLIN}};
    /* While ending nothing is taken from the sources, and there are no ticks: neither may wake us. */
    bool ending = j->uplink.ending;
    int64_t next = earlier(uplink_next(&j->uplink), ending ? j->stop_by : j->next_tick);
    int64_t now = when_mono_ns();
    int64_t ns = next - now;
    long ms = ns <= 0 ? 0 : (long)((ns + WHEN_MS - 1) / WHEN_MS);
    bool socket = j->uplink.socket != NULL;
    (void)zmq_poll(items + !socket, socket + !ending, ms);
    if (!ending) /* the stream's last record is made by then */
        watch_pause(j, now, ms * WHEN_MS);
}

static int64_t rss_bytes(void) {
    FILE *f = fopen("/proc/self/statm", "re");
    long long pages = 0;
    if (!f)
        return 0;
    if (fscanf(f, "%*s %lld", &pages) != 1)
        pages = 0;
    (void)fclose(f);
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

/* The stream's last records: what was lost, then the orderly end. */
static void say_bye(struct journal *j, int64_t now) {
    Pilotgate__Coverage c = PILOTGATE__COVERAGE__INIT;
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    while (drain(j))
        ;
    keeper_declare(&j->keeper, now, true);
    c.base_mono_ns = (uint64_t)now;
    c.bye = true;
    c.rss_bytes = (uint64_t)rss_bytes();
    r.body_case = PILOTGATE__RECORD__BODY_COVERAGE;
    r.coverage = &c;
    keeper_record(&j->keeper, &r);
    j->sync_trouble = spool_sync(j->spool);
}

static void *run(void *arg) {
    struct journal *j = arg;
    while (!atomic_load(&j->stopping)) {
        wait_for_work(j);
        int64_t before = when_mono_ns();
        bool emptied = !drain(j);
        int64_t now = when_mono_ns();
        tick(j, now);
        uplink_step(&j->uplink, now);
        settle(j, before, emptied);
        tell(j);
    }
    say_bye(j, when_mono_ns());
    j->uplink.ending = true;
    for (int64_t now = when_mono_ns(); now < j->stop_by; now = when_mono_ns()) {
        uplink_step(&j->uplink, now);
        tell(j);
        if (uplink_delivered(&j->uplink))
            break;
        wait_for_work(j);
    }
    uplink_bye(&j->uplink);
    return NULL;
}

/* ---- start and stop */

static void journal_free(struct journal *j) {
    uplink_close(&j->uplink);
    if (j->zmq) {
        intake_close(&j->intake);
        (void)zmq_ctx_term(j->zmq);
    }
    spool_close(&j->spool);
    (void)pthread_mutex_destroy(&j->hooks_lock);
    (void)pthread_mutex_destroy(&j->stats.lock);
    free(j);
}

int journal_claim(struct spool *s, const struct config *c, struct err *e) {
    char stage[2 * WIRE_NAME_MAX + 2];
    char other[SPOOL_STAGE_MAX];
    (void)snprintf(stage, sizeof stage, "%s/%s", c->stage.cluster, c->stage.namespace_name);
    int r = spool_claim(s, stage, other);
    if (r == -EXDEV)
        return err_set(
            e, r,
            "spool.dir belongs to stage %s: %s has its records; set spool.dir to another folder for "
            "%s (`pilotgate-agent spool export`, run as %s, saves what is there)",
            other, c->spool.dir, stage, other);
    return r < 0 ? err_set(e, r, "spool.dir: the stage's name is too long") : 0;
}

static int open_parts(struct journal *j, const uint8_t *boot, const struct uplink_times *times,
                      struct err *e) {
    uint64_t torn = 0;
    j->uplink.config = j->config;
    j->uplink.id = &j->id;
    j->uplink.times = *times;
    j->uplink.load = load_hook;
    j->uplink.load_ctx = j;
    int r = uplink_open(&j->uplink, e);
    if (r == 0)
        r = spool_open(j->config->spool.dir, j->config->spool.quota, boot, &j->spool, &torn, e);
    if (r == 0)
        r = journal_claim(j->spool, j->config, e);
    if (r < 0)
        return r;
    if (torn > 0)
        log_warn("spool: cut %llu bytes of records whose writing was interrupted", (unsigned long long)torn);
    j->keeper = (struct keeper){.spool = j->spool};
    j->uplink.spool = j->spool;
    j->uplink.keeper = &j->keeper;
    j->uplink.zmq = j->zmq = zmq_ctx_new();
    if (!j->zmq)
        return err_oom(e);
    return intake_open(&j->intake, j->zmq, e);
}

/* Signals are main's business. */
static int start_thread(struct journal *j) {
    sigset_t all;
    sigset_t old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&j->thread, NULL, run, j);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -r;
}

int journal_start_timed(const struct config *c, const uint8_t boot[16], const struct journal_identity *id,
                        const struct journal_hooks *hooks, const struct uplink_times *times,
                        struct journal **ret, struct err *e) {
    struct journal *j = calloc(1, sizeof *j);
    if (!j)
        return err_oom(e);
    j->config = c;
    j->id = *id;
    if (hooks)
        j->hooks = *hooks;
    (void)pthread_mutex_init(&j->hooks_lock, NULL);
    (void)pthread_mutex_init(&j->stats.lock, NULL);
    j->emit = (struct emit){.fn = intake_emit, .ctx = &j->intake};
    int r = sodium_init() < 0 ? err_set(e, -ENOTSUP, "libsodium does not work here") : 0;
    if (r == 0)
        r = open_parts(j, boot, times, e);
    if (r == 0) {
        r = start_thread(j);
        if (r < 0)
            (void)err_set(e, r, "cannot start the journal's thread: %s", strerror(-r));
    }
    if (r < 0) {
        journal_free(j);
        return r;
    }
    *ret = j;
    return 0;
}

int journal_start(const struct config *c, const uint8_t boot[16], const struct journal_identity *id,
                  const struct journal_hooks *hooks, struct journal **ret, struct err *e) {
    return journal_start_timed(c, boot, id, hooks, &uplink_times_default, ret, e);
}

void journal_stop(struct journal **jp, int64_t grace_ns) {
    struct journal *j = jp ? *jp : NULL;
    if (!j)
        return;
    j->stop_by = when_mono_ns() + grace_ns;
    atomic_store(&j->stopping, true);
    intake_wake(&j->intake);
    (void)pthread_join(j->thread, NULL);
    journal_free(j);
    *jp = NULL;
}
