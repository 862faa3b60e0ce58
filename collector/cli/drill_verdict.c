/* drill_verdict: a change can only be judged when its window is closed: the drill waits for that, and shows
 * what the gate says then, the drill's changes one by one. */
#include "cli/drill.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/js.h"
#include "base/when.h"
#include "cli/show.h"
#include "gates/gates.h"

#define LOOK_NS WHEN_S /* between two evaluations */
#define GATE_GRACE_NS \
    (10 * WHEN_S) /* after the last window: the records of its last seconds are on their way */
#define POD_GRACE_NS (120 * WHEN_S) /* a pod that was told to end keeps a change open */

static const char *gate_of(const struct drill *d) {
    return strcmp(d->kind, "rollback") == 0 ? "rollback" : "config-safety";
}

static const json_t *stage_of(const struct drill *d, const json_t *gates) {
    size_t i, k;
    json_t *gate, *stage;
    json_array_foreach(json_object_get(gates, "gates"), i, gate) {
        if (strcmp(js_str(gate, "id", ""), gate_of(d)) != 0)
            continue;
        json_array_foreach(json_object_get(gate, "stages"), k, stage) {
            if (strcmp(js_str(stage, "stage", ""), d->cli->stage) == 0)
                return stage;
        }
    }
    return NULL;
}

static bool is_pending(const json_t *o) {
    return strcmp(js_str(o, "verdict", ""), "PENDING") == 0;
}

/* One of the drill's changes that a gate judges. */
static bool is_ours(const struct drill *d, const json_t *change) {
    return strcmp(js_str(change, "drill", ""), d->id) == 0 && js_bool(change, "qualifies", false);
}

static int evaluate(const struct drill *d, struct drill_verdict *ret, struct err *e) {
    struct drill_verdict v = {0};
    struct corr corr;
    int r = show_facts(d->cli, d->store, &corr, e);
    if (r < 0)
        return r;
    r = gates_evaluate(&corr, &v.gates, e);
    if (r == 0)
        r = gates_changes(&corr, d->cli->stage, &v.changes, e);
    corr_free(&corr);
    if (r < 0) {
        drill_verdict_free(&v);
        return r;
    }
    drill_verdict_free(ret);
    *ret = v;
    return 0;
}

/* When the wait is over at the latest; 0: nothing is waited for. A failure, too, is counted to the window's
 * end. */
static int64_t wait_until(const struct drill *d, const struct drill_verdict *v, int64_t *ret_window) {
    const json_t *stage = stage_of(d, v->gates);
    bool open = false;
    int64_t window = 0, to;
    size_t i;
    json_t *c;
    json_array_foreach(v->changes, i, c) {
        if (!is_ours(d, c) || when_parse(js_str(c, "window_to", ""), &to) < 0)
            continue;
        open |= is_pending(c);
        window = to > window ? to : window;
    }
    *ret_window = window;
    if (window == 0 || !(open || is_pending(stage)))
        return window;
    return window + (open ? POD_GRACE_NS : GATE_GRACE_NS);
}

static void show_progress(int64_t window, int64_t now) {
    char left[WHEN_TEXT_MAX];
    if (!isatty(STDERR_FILENO))
        return;
    if (window > now)
        (void)fprintf(stderr, "\r  the change's window closes in %s   ",
                      when_format_duration(window - now, left));
    else
        (void)fprintf(stderr, "\r  waiting for the verdict            ");
}

static void end_progress(void) {
    if (isatty(STDERR_FILENO))
        (void)fprintf(stderr, "\r%60s\r", "");
}

/* Until the window is closed, then a second at a time. False: interrupted. */
static bool pass_time(struct drill *d, int64_t window, struct err *e) {
    int64_t now = when_wall_ns(), end = window > now ? window : now + LOOK_NS;
    for (; now < end; now = when_wall_ns()) {
        show_progress(window, now);
        if (drill_pause(d, e) < 0)
            return false;
    }
    return true;
}

int drill_judge(struct drill *d, struct drill_verdict *ret, struct err *e) {
    int64_t until, window;
    int r = evaluate(d, ret, e);
    bool goes_on = r == 0 && !d->no_wait;
    while (goes_on && (until = wait_until(d, ret, &window)) > when_wall_ns()) {
        goes_on = pass_time(d, window, e); /* interrupted: the verdict as it is */
        r = evaluate(d, ret, e);
        goes_on = goes_on && r == 0;
    }
    end_progress();
    if (r < 0)
        drill_verdict_free(ret);
    return r;
}

static void show_change(const json_t *c) {
    int64_t before = js_int(c, "replicas.before", 0), after = js_int(c, "replicas.after", 0);
    (void)printf("change %s: %s, %s\n", js_str(c, "id", ""), js_str(c, "verdict", ""),
                 js_str(c, "reason", ""));
    if (before > 0 && after > 0)
        (void)printf("  replicas of %s: %lld before, %lld after\n",
                     js_str(c, "replicas.workload", "the gateway"), (long long)before, (long long)after);
}

/* That of the gate; but where the drill itself changed nothing, what passed before proves nothing of it. */
static int exit_status(const struct drill *d, const struct drill_verdict *v) {
    int status = gates_exit_status(v->gates, gate_of(d), d->cli->stage);
    size_t i;
    json_t *c;
    json_array_foreach(v->changes, i, c) {
        if (is_ours(d, c))
            return status;
    }
    drill_say("no change of this drill was judged: did its command change the product in service?");
    return status == CLI_OK ? CLI_OPEN : status;
}

int drill_show(const struct drill *d, const struct drill_verdict *v) {
    const json_t *stage = stage_of(d, v->gates);
    size_t i;
    json_t *c;
    if (cli_wants_document(d->cli))
        return cli_document(d->cli, v->gates) == CLI_OK ? exit_status(d, v) : CLI_ERROR;
    json_array_foreach(v->changes, i, c) {
        if (is_ours(d, c))
            show_change(c);
    }
    if (stage)
        (void)printf("%s %s: %s, %s\n", gate_of(d), d->cli->stage, js_str(stage, "verdict", ""),
                     js_str(stage, "reason", ""));
    return exit_status(d, v);
}

void drill_verdict_free(struct drill_verdict *v) {
    json_decref(v->gates);
    json_decref(v->changes);
    *v = (struct drill_verdict){0};
}
