/* drill: raises the load, runs the user's command, waits until its effect has settled, lowers the load, waits
 * until the windows of its changes are closed, and shows the verdict of the gate concerned.
 *
 *   RAISE ─ answered ─► load is up ─ command ─► change settled ─► old calls resolved ─┬─► LOWER ─► judged ─►
 * verdict ▲────────────────── --repeat ─────────────────────────────┘
 *
 * Nothing stays behind: LOWER is sent whatever happens, also on SIGINT, SIGTERM, SIGHUP and a closed output.
 * When the drill is killed, nobody asks for the load any more, and agents end it (--load-ttl); and flux.c's
 * guard resumes what was suspended. */
#include "cli/drill.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "cli/commands.h"

#define ANSWER_NS (15 * WHEN_S)
#define REPEAT_MAX 1000
#define SETTLE_DEFAULT_NS (5 * WHEN_S)
#define TTL_DEFAULT_NS (60 * WHEN_S)
#define TTL_MIN_NS (3 * WHEN_S)
#define TTL_MAX_NS (3600 * WHEN_S) /* an agent takes no more */

void drill_say(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
}

static int save(struct drill *d, struct err *e) {
    return cli_put_document(d->store, "drill", d->id, d->doc, e);
}

/* ---- one change */

static int note(json_t *o, const char *key, json_t *value, struct err *e) {
    return json_object_set_new(o, key, value) < 0 ? err_oom(e) : 0;
}

static int command_step(struct drill *d, json_t *step, int64_t iteration, struct err *e) {
    int status = 0;
    int r = note(step, "begin_ns", json_integer(when_wall_ns()), e);
    if (r == 0)
        r = save(d, e); /* a drill that is killed has told of its command */
    if (r == 0)
        r = drill_run_command(d, iteration, &status, e);
    if (r == 0)
        r = note(step, "end_ns", json_integer(when_wall_ns()), e);
    if (r == 0)
        r = note(step, "exit", json_integer(status), e);
    if (r == 0 && status != 0)
        r = err_set(e, -ECHILD, "the command ended with status %d: the drill ends", status);
    return r;
}

static int settle_step(struct drill *d, json_t *step, uint64_t commit, struct err *e) {
    bool seen = false, resolved = false;
    int64_t begin_ns = js_int(step, "begin_ns", 0), end_ns = js_int(step, "end_ns", 0);
    int r = drill_wait_settled(d, commit, begin_ns, &seen, e);
    if (r == 0 && !seen)
        drill_say("  no agent saw anything change; the gate will say what that means");
    if (r == 0)
        r = note(step, "change_seen", json_boolean(seen), e);
    if (r == 0)
        r = note(step, "settled_ns", json_integer(when_wall_ns()), e);
    if (r == 0)
        r = drill_wait_resolved(d, end_ns, &resolved, e);
    if (r == 0 && !resolved)
        drill_say("  some calls that were open at the change are still open");
    return r == 0 ? note(step, "calls_resolved", json_boolean(resolved), e) : r;
}

static int one_change(struct drill *d, int64_t iteration, struct err *e) {
    json_t *step = json_object();
    uint64_t open = 0, commit = 0;
    if (!step || json_array_append_new(json_object_get(d->doc, "iterations"), step) < 0)
        return err_oom(e);
    int r = drill_load(d, PILOTGATE__COMMAND__KIND__KIND_RAISE_LOAD, ANSWER_NS, e);
    if (r == 0)
        r = drill_wait_up(d, &open, e);
    if (r < 0)
        return r;
    drill_say("drill %s, change %" PRId64 " of %" PRId64 ": %" PRIu64 " calls open, running %s", d->id,
              iteration, d->repeat, open, d->cli->rest[0]);
    if (open == 0)
        drill_say("  no call is open: give a probe drill_in_flight, or nothing can be proven");
    r = note(step, "open_calls", json_integer((json_int_t)open), e);
    if (r == 0)
        r = store_newest_commit(d->store, &commit, NULL, e);
    if (r == 0)
        r = command_step(d, step, iteration, e);
    return r == 0 ? settle_step(d, step, commit, e) : r;
}

/* ---- the whole */

static int begin(struct drill *d, struct err *e) {
    int64_t now = when_wall_ns();
    int r = cli_store(d->cli, STORE_READ, &d->store, e);
    if (r < 0)
        return r;
    if (!store_live(d->store))
        return err_set(e, -ENOTCONN, "no `pilotgate serve` runs on this store: agents cannot be reached");
    /* drills of two stages may begin in one millisecond, and the newest document of a name is the drill */
    (void)snprintf(d->id, sizeof d->id, "%s-%lld-%08x", d->kind, (long long)(now / WHEN_MS),
                   (unsigned)randombytes_random());
    d->doc = json_pack("{s:s, s:s, s:I, s:I, s:[]}", "stage", d->cli->stage, "kind", d->kind, "begin_ns",
                       (json_int_t)now, "repeat", (json_int_t)d->repeat, "iterations");
    if (!d->doc)
        return err_oom(e);
    return save(d, e);
}

static int suspend(struct drill *d, struct err *e) {
    json_t *names = json_array();
    int r = names ? flux_suspend(&d->flux, e) : err_oom(e);
    for (size_t i = 0; r == 0 && i < d->flux.n; i++) {
        const struct flux_item *x = &d->flux.items[i];
        drill_say("%s/%s in %s %s", x->kind, x->name, x->namespace_name,
                  x->ours ? "is suspended while the drill lasts" : "was suspended already, and stays so");
        if (x->ours &&
            json_array_append_new(names, json_sprintf("%s/%s/%s", x->kind, x->namespace_name, x->name)) < 0)
            r = err_oom(e);
    }
    if (r == 0)
        r = note(d->doc, "flux_suspended", json_incref(names), e);
    json_decref(names);
    return r;
}

static int end(struct drill *d, int result, struct err *e) {
    struct err second = {""};
    if (drill_load(d, PILOTGATE__COMMAND__KIND__KIND_LOWER_LOAD, ANSWER_NS, &second) < 0)
        drill_say("the load may still be raised: %s; agents lower it by themselves", second.text);
    (void)json_object_set_new(d->doc, "end_ns", json_integer(when_wall_ns()));
    if (result < 0)
        (void)json_object_set_new(d->doc, "failed", json_string(e->text));
    int r = save(d, &second);
    if (r < 0 && result == 0)
        return err_set(e, r, "%s", second.text);
    return result;
}

static int changes(struct drill *d, struct err *e) {
    int r = d->flux.n ? suspend(d, e) : 0;
    for (int64_t i = 1; r == 0 && i <= d->repeat; i++)
        r = one_change(d, i, e);
    return end(d, r, e);
}

static int perform(struct drill *d) {
    struct drill_verdict v = {0};
    struct err e = {""}, second = {""};
    int status = CLI_ERROR;
    int r = begin(d, &e);
    if (r == 0) {
        d->interrupted = drill_handle_signals();
        r = changes(d, &e);
    }
    if (r == 0)
        r = drill_judge(d, &v, &e);
    int resumed = flux_resume(&d->flux, &second); /* what it undoes then is no part of the drill's windows */
    if (r == 0)
        status = drill_show(d, &v);
    if (r < 0)
        status = cli_fail("%s", e.text);
    if (resumed < 0)
        status = cli_fail("%s", second.text);
    drill_verdict_free(&v);
    store_close(&d->store);
    json_decref(d->doc);
    return status;
}

static int check(struct drill *d, const char *suspended) {
    struct err e = {""};
    if (d->repeat < 1 || d->repeat > REPEAT_MAX)
        return cli_fail("--repeat takes 1 to %d", REPEAT_MAX);
    if (d->ttl_ns < TTL_MIN_NS || d->ttl_ns > TTL_MAX_NS)
        return cli_fail("--load-ttl takes 3s to 1h");
    if (suspended && flux_parse(suspended, d->cli->namespace_name, &d->flux, &e) < 0)
        return cli_fail("%s", e.text);
    if (!suspended && d->flux.context)
        return cli_fail("--kube-context says where --suspend-flux looks: name what to suspend");
    return CLI_OK;
}

static int run(struct cli *c) {
    const char *suspended = NULL;
    struct drill d = {.cli = c, .settle_ns = SETTLE_DEFAULT_NS, .ttl_ns = TTL_DEFAULT_NS, .repeat = 1};
    const struct cli_option options[] = {
        {"for", 0, CLI_DURATION, &d.ramp_ns, "TIME", "hold the load at least this long before each change",
         NULL},
        {"repeat", 0, CLI_NUMBER, &d.repeat, "N", "make the change N times (1)", NULL},
        {"settle", 0, CLI_DURATION, &d.settle_ns, "TIME", "quiet time after which a change is over (5s)",
         NULL},
        {"wait-change", 0, CLI_DURATION, &d.wait_change_ns, "TIME",
         "something else applies the change (Flux, a pipeline): wait so long for it", NULL},
        {"no-wait", 0, CLI_FLAG, &d.no_wait, NULL, "do not wait until the change's window is closed", NULL},
        {"suspend-flux", 0, CLI_TEXT, &suspended, "KIND/NAME[,..]",
         "suspend these Flux objects (or KIND/NAMESPACE/NAME) meanwhile, by kubectl", NULL},
        {"kube-context", 0, CLI_TEXT, &d.flux.context, "NAME", "of the kubeconfig, for --suspend-flux", NULL},
        {"load-ttl", 0, CLI_DURATION, &d.ttl_ns, "TIME",
         "agents end the load when the drill is gone so long (60s)", NULL},
    };
    if (!cli_parse(c, options, sizeof options / sizeof *options, 1, 1))
        return c->status;
    d.kind = c->args[0];
    if (strcmp(d.kind, "config-change") != 0 && strcmp(d.kind, "rollback") != 0)
        return cli_fail("a drill is config-change or rollback, not '%s'", d.kind);
    if (!cli_need_stage(c) || !cli_format_ok(c, cli_formats))
        return CLI_ERROR;
    if (!c->rest || !c->rest[0])
        return cli_fail("name the command that makes the change, after --");
    return check(&d, suspended) == CLI_OK ? perform(&d) : CLI_ERROR;
}

const struct cli_command cli_cmd_drill = {
    "drill", "makes a change under load, and judges it",
    "config-change|rollback --stage C/NS [OPTIONS] [-o table|json|yaml] -- COMMAND [ARGUMENTS]", run};
