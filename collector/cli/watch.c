/* watch: see watch.h.
 *
 *   look: read the store, judge ─► alert_look ─► state, kept in the store ─► metrics
 *   post: the oldest event that waits, until the webhook takes it            (waits grow while it does not)
 *
 * Both run in one thread: a webhook that does not answer holds a look up for ALERT_POST_TIMEOUT_S at most. */
#include "cli/watch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alert/alert.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/when.h"
#include "cli/watch_priv.h"
#include "serve/http.h"

#define SETTLE_NS (30 * WHEN_S) /* after a start agents come back, and are not missed yet */
#define SHARE 10                /* a look may take one part in so many of the time */
#define HOLD_LOOKS 2            /* what must hold for so many intervals before it is told */

struct watch {
    const struct cli *cli;
    struct watch_options options;
    struct ingest *ingest;
    struct store *store; /* the thread's */
    struct watch_memory memory;
    json_t *state;
    bool took;   /* ingest was ready once */
    bool unkept; /* the state in the store is older */
    int64_t began, next_look, next_post;
    unsigned failures; /* of posts, in a row */
    char said[ERR_TEXT_MAX], said_post[ERR_TEXT_MAX];
    pthread_t thread;
    atomic_bool stop;
    pthread_mutex_t lock; /* metrics; and for the condition */
    pthread_cond_t wake;
    struct buf metrics;
};

/* Each new trouble is one line, and so is its end. */
static void say(char said[ERR_TEXT_MAX], const char *trouble, const char *what, const char *well) {
    if (strcmp(said, trouble) == 0)
        return;
    if (*trouble)
        log_warn("%s: %s", what, trouble);
    else
        log_info("%s", well);
    (void)snprintf(said, ERR_TEXT_MAX, "%s", trouble);
}

static void publish(struct watch *w, const struct watch_look *l) {
    struct buf text = BUF_INIT(HTTP_BODY_MAX / 2);
    if (watch_write(&text, l, w->state) < 0)
        buf_clear(&text);
    (void)pthread_mutex_lock(&w->lock);
    struct buf old = w->metrics;
    w->metrics = text;
    (void)pthread_mutex_unlock(&w->lock);
    buf_free(&old);
}

/* A full disk must not keep the word of it from going out: what cannot be kept now is kept later. */
static void keep(struct watch *w) {
    struct err e;
    CRASH_POINT("watch-keep");
    w->unkept = store_put_alerts(w->store, w->state, &e) < 0;
    CRASH_POINT("watch-kept");
}

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int look(struct watch *w, struct watch_look *l, struct err *e) {
    char why[INGEST_WHY_MAX] = "";
    bool changed = false;
    int r = watch_read(w->cli, w->store, w->options.stale_ns, &w->memory, l, e);
    if (r < 0)
        return r;
    bool ready = ingest_ready(w->ingest, why);
    bool late = when_mono_ns() - w->began > SETTLE_NS;
    bool settled = l->complete || late;
    w->took = w->took || ready || late; /* before ingest began it was not ready either */
    const struct alert_seen seen = {.pilot = l->pilot,
                                    .running = l->running,
                                    .verdicts = l->verdicts,
                                    .stages = settled ? l->stages : NULL,
                                    .store_full = ready     ? ""
                                                  : w->took ? why
                                                            : NULL,
                                    .store_id = store_id(w->store),
                                    .now_ns = l->at_ns,
                                    .stale_ns = larger(w->options.stale_ns, l->coverage_gap_ns),
                                    .hold_ns = HOLD_LOOKS * w->options.every_ns};
    r = alert_look(&seen, w->state, &changed, e);
    if (r == 0 && !w->options.hook_file) /* nobody is to be told */
        (void)json_array_clear(json_object_get(w->state, "queue"));
    if (r == 0 && (changed || w->unkept))
        keep(w);
    return r;
}

static void look_when_due(struct watch *w) {
    int64_t now = when_mono_ns();
    struct watch_look l = {0};
    struct err e = {""};
    if (now < w->next_look)
        return;
    int r = look(w, &l, &e);
    say(w->said, r < 0 ? e.text : "", "cannot look at the pilot", "looks at the pilot again");
    if (r == 0)
        publish(w, &l);
    watch_look_free(&l);
    w->next_look = now + larger(w->options.every_ns, SHARE * (when_mono_ns() - now));
}

/* One event; true when there may be another at once. */
static bool post_one(struct watch *w) {
    const struct alert_hook hook = {w->options.hook_file, w->options.hook_plain, &w->stop};
    bool dropped = false;
    struct err e = {""};
    const json_t *event = alert_next(w->state, when_wall_ns(), &dropped);
    if (dropped)
        keep(w);
    if (!event)
        return false;
    int r = alert_post(&hook, event, &e);
    if (atomic_load(&w->stop) && r < 0)
        return false;
    say(w->said_post, r < 0 ? e.text : "", "alerts wait", "the webhook takes alerts again");
    if (r < 0) {
        w->next_post = when_mono_ns() + alert_wait(++w->failures);
        return false;
    }
    w->failures = 0;
    alert_told(w->state);
    keep(w);
    return true;
}

static void post_when_due(struct watch *w) {
    while (w->options.hook_file && !atomic_load(&w->stop) && when_mono_ns() >= w->next_post && post_one(w) &&
           when_mono_ns() < w->next_look)
        ;
}

static void wait_until(struct watch *w) {
    int64_t until = w->next_look;
    if (alert_waiting(w->state) > 0 && w->next_post < until)
        until = w->next_post;
    int64_t ns = until - when_mono_ns();
    struct timespec t;
    if (ns <= 0)
        return;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ns / WHEN_S;
    t.tv_nsec += ns % WHEN_S;
    t.tv_sec += t.tv_nsec / WHEN_S;
    t.tv_nsec %= WHEN_S;
    (void)pthread_mutex_lock(&w->lock);
    if (!atomic_load(&w->stop))
        (void)pthread_cond_timedwait(&w->wake, &w->lock, &t);
    (void)pthread_mutex_unlock(&w->lock);
}

static void *work(void *ctx) {
    struct watch *w = ctx;
    (void)pthread_setname_np(pthread_self(), "watch");
    while (!atomic_load(&w->stop)) {
        look_when_due(w);
        post_when_due(w);
        wait_until(w);
    }
    return NULL;
}

static int begin(struct watch *w, struct err *e) {
    const struct alert_hook hook = {w->options.hook_file, w->options.hook_plain, NULL};
    int r = w->options.hook_file ? alert_hook_check(&hook, e) : 0;
    if (r == 0)
        r = cli_store(w->cli, STORE_READ, &w->store, e);
    if (r == 0)
        r = store_alerts(w->store, &w->state, e);
    if (r == 0 && !w->state && !(w->state = json_object()))
        r = err_oom(e);
    return r;
}

static int start_thread(struct watch *w, struct err *e) {
    pthread_condattr_t attr;
    sigset_t all, old;
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&w->wake, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&w->thread, NULL, work, w);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return r == 0 ? 0 : err_set(e, -r, "cannot start the thread that looks at the pilot: %s", strerror(r));
}

static void watch_free(struct watch *w) {
    store_close(&w->store);
    json_decref(w->state);
    watch_memory_free(&w->memory);
    buf_free(&w->metrics);
    free(w);
}

int watch_start(const struct cli *c, const struct watch_options *o, struct ingest *i, struct watch **ret,
                struct err *e) {
    struct watch *w = calloc(1, sizeof *w);
    if (!w)
        return err_oom(e);
    w->cli = c;
    w->options = *o;
    w->ingest = i;
    w->metrics = BUF_INIT(HTTP_BODY_MAX / 2);
    w->began = when_mono_ns();
    int r = begin(w, e);
    if (r == 0)
        r = start_thread(w, e);
    if (r < 0)
        watch_free(w);
    else
        *ret = w;
    return r;
}

void watch_stop(struct watch **ref) {
    struct watch *w = ref ? *ref : NULL;
    if (!w)
        return;
    (void)pthread_mutex_lock(&w->lock);
    atomic_store(&w->stop, true);
    (void)pthread_cond_signal(&w->wake);
    (void)pthread_mutex_unlock(&w->lock);
    (void)pthread_join(w->thread, NULL);
    (void)pthread_cond_destroy(&w->wake);
    (void)pthread_mutex_destroy(&w->lock);
    watch_free(w);
    *ref = NULL;
}

int watch_metrics(struct watch *w, struct buf *out) {
    (void)pthread_mutex_lock(&w->lock);
    int r = buf_add(out, buf_str(&w->metrics), w->metrics.len);
    (void)pthread_mutex_unlock(&w->lock);
    return r;
}
