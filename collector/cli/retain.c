/* retain: the subcommand, and the daemon's thread; see retain.h. */
#include "cli/retain.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/conf.h"
#include "base/js.h"
#include "base/log.h"
#include "cli/commands.h"

int retain_parse(const char *keep_calls, const char *keep_bytes, struct retain_options *ret, struct err *e) {
    *ret = (struct retain_options){0};
    if (keep_calls && *keep_calls &&
        (when_parse_duration(keep_calls, &ret->keep_ns) < 0 || ret->keep_ns < 3600 * WHEN_S))
        return err_set(e, -EINVAL, "--keep-calls %s: write a duration of an hour or more, like 30d",
                       keep_calls);
    if (!keep_bytes || !*keep_bytes)
        return 0;
    if (conf_parse_bytes(keep_bytes, &ret->keep_bytes) < 0 || ret->keep_bytes < 1 << 20)
        return err_set(e, -EINVAL, "--keep-bytes %s: write a size of 1MiB or more, like 500GiB", keep_bytes);
    return 0;
}

/* ---- the daemon's thread */

struct retainer {
    const struct cli *cli;
    struct retain_options options;
    struct store *store; /* the thread's own */
    pthread_t thread;
    atomic_bool stop;
    pthread_mutex_t lock;
    pthread_cond_t wake;
};

static void one_round(struct retainer *r) {
    json_t *done = NULL;
    struct err e = {""};
    if (retain_once(r->store, &r->options, when_wall_ns(), false, &r->stop, &done, &e) < 0)
        log_warn("retention: %s; tried again in an hour", e.text);
    else if (js_int(done, "deleted", 0))
        log_info("retention: %lld blocks of completed calls from before %s were deleted",
                 (long long)js_int(done, "deleted", 0), js_str(done, "before", "the limit"));
    json_decref(done);
}

static void *loop(void *ctx) {
    struct retainer *r = ctx;
    (void)pthread_mutex_lock(&r->lock);
    while (!atomic_load(&r->stop)) {
        struct timespec until;
        (void)pthread_mutex_unlock(&r->lock);
        one_round(r);
        (void)pthread_mutex_lock(&r->lock);
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += RETAIN_EVERY_S;
        while (!atomic_load(&r->stop) && pthread_cond_timedwait(&r->wake, &r->lock, &until) == 0) {
        }
    }
    (void)pthread_mutex_unlock(&r->lock);
    return NULL;
}

static int start_thread(struct retainer *r, struct err *e) {
    pthread_condattr_t a;
    sigset_t all, old;
    (void)pthread_condattr_init(&a);
    (void)pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&r->wake, &a);
    (void)pthread_mutex_init(&r->lock, NULL);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the main thread's */
    int code = pthread_create(&r->thread, NULL, loop, r);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return code ? err_set(e, -code, "cannot start the thread of retention") : 0;
}

int retain_start(const struct cli *c, const struct retain_options *o, struct retainer **ret, struct err *e) {
    struct retainer *r = calloc(1, sizeof *r);
    if (!r)
        return err_oom(e);
    r->cli = c;
    r->options = *o;
    int code = cli_store(c, STORE_READ, &r->store, e);
    if (code == 0)
        code = start_thread(r, e);
    if (code < 0) {
        store_close(&r->store);
        free(r);
        return code;
    }
    *ret = r;
    return 0;
}

void retain_stop(struct retainer **r) {
    if (!*r)
        return;
    (void)pthread_mutex_lock(&(*r)->lock);
    atomic_store(&(*r)->stop, true);
    (void)pthread_cond_signal(&(*r)->wake);
    (void)pthread_mutex_unlock(&(*r)->lock);
    (void)pthread_join((*r)->thread, NULL);
    store_close(&(*r)->store);
    free(*r);
    *r = NULL;
}

/* ---- the subcommand */

static void show_stage(const json_t *s) {
    size_t i;
    json_t *span;
    bool nobody = js_bool(s, "waits_for_nobody", false);
    const char *watermark = js_str(s, "watermark", NULL);
    (void)printf("%s: %s%s; %lld blocks deleted\n", js_str(s, "stage", ""),
                 watermark ? "has told until "
                 : nobody  ? "each of its agents ended in order, or was not heard of for a week"
                           : "has told nothing yet, so all is kept",
                 watermark ? watermark : "", (long long)js_int(s, "deleted", 0));
    json_array_foreach(json_object_get(s, "protected"), i, span) {
        (void)printf("  kept for its verdicts: %s to %s\n", js_str(span, "from", ""), js_str(span, "to", ""));
    }
}

static int show(const struct cli *c, const json_t *done, bool dry) {
    size_t i;
    json_t *s;
    if (cli_wants_document(c))
        return cli_document(c, done);
    (void)printf("%s completed calls from before %s (set by %s)\n", dry ? "would delete" : "deleted",
                 js_str(done, "before", "no time: nothing is old enough"), js_str(done, "why", ""));
    json_array_foreach(json_object_get(done, "stages"), i, s) show_stage(s);
    (void)printf("the store has %lld bytes, %lld of them unused\n", (long long)js_int(done, "bytes", 0),
                 (long long)js_int(done, "unused", 0));
    return CLI_OK;
}

static int retain(const struct cli *c, const struct retain_options *o, bool dry) {
    struct err e = {""};
    struct store *s = NULL;
    json_t *done = NULL;
    int r = cli_store(c, dry ? STORE_READ : STORE_SERVE, &s, &e);
    if (r == -EBUSY && !dry)
        r = err_prefix(&e, r, "one process deletes: stop `pilotgate serve`, or start it with --keep-calls");
    if (r == 0)
        r = retain_once(s, o, when_wall_ns(), dry, NULL, &done, &e);
    store_close(&s);
    int status = r < 0 ? cli_fail("%s", e.text) : show(c, done, dry);
    json_decref(done);
    return status;
}

static int run(struct cli *c) {
    const char *keep_calls = NULL, *keep_bytes = NULL;
    bool dry = false, now = false;
    const struct cli_option options[] = {
        {"keep-calls", 0, CLI_TEXT, &keep_calls, "TIME", "completed calls are kept for so long, like 30d",
         NULL},
        {"keep-bytes", 0, CLI_TEXT, &keep_bytes, "SIZE",
         "the oldest go while the store is larger, like 500GiB", NULL},
        {"dry-run", 0, CLI_FLAG, &dry, NULL, "show what would go and what is kept", NULL},
        {"now", 0, CLI_FLAG, &now, NULL, "delete; no `pilotgate serve` may run on the store", NULL},
    };
    struct retain_options o;
    struct err e = {""};
    if (!cli_parse(c, options, sizeof options / sizeof *options, 0, 0))
        return c->status;
    if (!cli_format_ok(c, cli_formats))
        return CLI_ERROR;
    if (dry == now)
        return cli_fail("say --dry-run or --now");
    if (retain_parse(keep_calls, keep_bytes, &o, &e) < 0)
        return cli_fail("%s", e.text);
    if (!o.keep_ns && !o.keep_bytes)
        return cli_fail("say how much is kept: --keep-calls TIME, --keep-bytes SIZE, or both");
    return retain(c, &o, dry);
}

const struct cli_command cli_cmd_retain = {
    "retain", "deletes old completed calls that no verdict needs",
    "--dry-run|--now [--keep-calls TIME] [--keep-bytes SIZE] [-o table|json|yaml]", run};
