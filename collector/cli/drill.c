/* drill: raises the load, runs the user's command, waits until its effect has settled, lowers the load, and
 * shows the verdict of the gate concerned.
 *
 *   RAISE ─ answered ─► load is up ─ command ─► change settled ─► old calls resolved ─┬─► LOWER ─► verdict
 *                           ▲────────────────── --repeat ─────────────────────────────┘
 *
 * LOWER is sent whatever happens, also on SIGINT, SIGTERM, SIGHUP and a closed output; and agents end a
 * raised load by themselves. */
#include "cli/drill.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/js.h"
#include "base/when.h"
#include "cli/commands.h"
#include "gates/gates.h"

#define ANSWER_NS (15 * WHEN_S)
#define REPEAT_MAX 1000
#define SETTLE_DEFAULT_NS (5 * WHEN_S)

static volatile int interrupted;
static volatile pid_t child;
static const int ending[] = {SIGINT, SIGTERM, SIGHUP};

static void on_signal(int number) {
    interrupted = 1;
    if (number != SIGINT && child > 0) /* a terminal's SIGINT reaches the command by itself */
        (void)kill(child, SIGTERM);
}

/* A closed pipe must not end the drill either. What nohup(1) ignores stays ignored. */
static void handle_signals(void) {
    struct sigaction a = {.sa_handler = on_signal}, before;
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        if (sigaction(ending[i], NULL, &before) < 0 || before.sa_handler != SIG_IGN)
            (void)sigaction(ending[i], &a, NULL);
    a.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &a, NULL);
}

static void say(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void say(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputc('\n', stderr);
}

static int save(struct drill *d, struct err *e) {
    return cli_put_document(d->store, "drill", d->id, d->doc, e);
}

/* ---- the user's command */

static void exec_command(char **argv, int64_t iteration, const sigset_t *mask) {
    char text[24];
    struct sigaction a = {.sa_handler = SIG_DFL}, before;
    (void)sigaction(SIGPIPE, &a, NULL);
    /* Before the mask is lifted: our handlers live until exec, and would swallow what was meant for the
     * command. */
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        if (sigaction(ending[i], NULL, &before) < 0 || before.sa_handler != SIG_IGN)
            (void)sigaction(ending[i], &a, NULL);
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
    (void)snprintf(text, sizeof text, "%" PRId64, iteration);
    (void)setenv("PILOTGATE_DRILL_ITERATION", text, 1);
    execvp(argv[0], argv);
    (void)fprintf(stderr, "pilotgate: cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

/* Signals wait until it is known whom to pass them to: none falls between fork and `child`. */
static int start_command(char **argv, int64_t iteration, struct err *e) {
    sigset_t block, mask;
    (void)sigemptyset(&block);
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        (void)sigaddset(&block, ending[i]);
    (void)fflush(NULL);
    (void)sigprocmask(SIG_BLOCK, &block, &mask);
    pid_t pid = interrupted ? 0 : fork();
    int code = errno;
    if (pid == 0 && !interrupted)
        exec_command(argv, iteration, &mask);
    child = pid > 0 ? pid : 0;
    (void)sigprocmask(SIG_SETMASK, &mask, NULL);
    if (pid < 0)
        return err_set(e, -code, "cannot run %s: %s", argv[0], strerror(code));
    return pid > 0 ? 0 : err_set(e, -EINTR, "interrupted");
}

/* The exit status, 128 + N for a signal. */
static int run_command(char **argv, int64_t iteration, int *ret_status, struct err *e) {
    int status;
    int r = start_command(argv, iteration, e);
    if (r < 0)
        return r;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return err_set(e, -errno, "cannot wait for %s: %s", argv[0], strerror(errno));
    child = 0;
    *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return 0;
}

/* ---- one change */

static int note(json_t *o, const char *key, json_t *value, struct err *e) {
    return json_object_set_new(o, key, value) < 0 ? err_oom(e) : 0;
}

static int command_step(struct drill *d, json_t *step, int64_t iteration, struct err *e) {
    int status = 0;
    int r = note(step, "begin_ns", json_integer(when_wall_ns()), e);
    if (r == 0)
        r = run_command(d->cli->rest, iteration, &status, e);
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
        say("  no agent saw anything change; the gate will say what that means");
    if (r == 0)
        r = note(step, "change_seen", json_boolean(seen), e);
    if (r == 0)
        r = note(step, "settled_ns", json_integer(when_wall_ns()), e);
    if (r == 0)
        r = drill_wait_resolved(d, end_ns, &resolved, e);
    if (r == 0 && !resolved)
        say("  some calls that were open at the change are still open");
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
    say("drill %s, change %" PRId64 " of %" PRId64 ": %" PRIu64 " calls open, running %s", d->id, iteration,
        d->repeat, open, d->cli->rest[0]);
    if (open == 0)
        say("  no call is open: give a probe drillInFlight, or nothing can be proven");
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
    (void)snprintf(d->id, sizeof d->id, "%s-%lld", d->kind, (long long)(now / WHEN_MS));
    d->doc = json_pack("{s:s, s:s, s:I, s:I, s:[]}", "stage", d->cli->stage, "kind", d->kind, "begin_ns",
                       (json_int_t)now, "repeat", (json_int_t)d->repeat, "iterations");
    if (!d->doc)
        return err_oom(e);
    return save(d, e);
}

static int end(struct drill *d, int result, struct err *e) {
    struct err second = {""};
    if (drill_load(d, PILOTGATE__COMMAND__KIND__KIND_LOWER_LOAD, ANSWER_NS, &second) < 0)
        say("the load may still be raised: %s; agents lower it by themselves", second.text);
    (void)json_object_set_new(d->doc, "end_ns", json_integer(when_wall_ns()));
    if (result < 0)
        (void)json_object_set_new(d->doc, "failed", json_string(e->text));
    int r = save(d, &second);
    if (r < 0 && result == 0)
        return err_set(e, r, "%s", second.text);
    return result;
}

static const char *gate_of(const struct drill *d) {
    return strcmp(d->kind, "rollback") == 0 ? "rollback" : "config-safety";
}

static void show_verdict(const struct drill *d, const json_t *result) {
    size_t i, k;
    json_t *gate, *stage;
    json_array_foreach(json_object_get(result, "gates"), i, gate) {
        if (strcmp(js_str(gate, "id", ""), gate_of(d)) != 0)
            continue;
        json_array_foreach(json_object_get(gate, "stages"), k, stage) {
            if (strcmp(js_str(stage, "stage", ""), d->cli->stage) == 0)
                (void)printf("%s %s: %s, %s\n", gate_of(d), d->cli->stage, js_str(stage, "verdict", ""),
                             js_str(stage, "reason", ""));
        }
    }
}

static int verdict(struct drill *d, int *ret_status, struct err *e) {
    json_t *result = NULL;
    int r = cli_verdicts(d->cli, d->store, &result, e);
    if (r < 0)
        return r;
    if (strcmp(d->cli->format, "json") == 0)
        cli_json(stdout, result);
    else
        show_verdict(d, result);
    *ret_status = gates_exit_status(result, gate_of(d), d->cli->stage);
    json_decref(result);
    return 0;
}

static int perform(struct drill *d) {
    struct err e = {""};
    int status = CLI_ERROR;
    int r = begin(d, &e);
    if (r == 0) {
        handle_signals();
        for (int64_t i = 1; r == 0 && i <= d->repeat; i++)
            r = one_change(d, i, &e);
        r = end(d, r, &e);
    }
    if (r == 0)
        r = verdict(d, &status, &e);
    store_close(&d->store);
    json_decref(d->doc);
    return r < 0 ? cli_fail("%s", e.text) : status;
}

static int run(struct cli *c) {
    static const char *const formats[] = {"table", "json", NULL};
    struct drill d = {.cli = c, .settle_ns = SETTLE_DEFAULT_NS, .repeat = 1, .interrupted = &interrupted};
    const struct cli_option options[] = {
        {"for", 0, CLI_DURATION, &d.ramp_ns, "TIME", "hold the load at least this long before each change",
         NULL},
        {"repeat", 0, CLI_NUMBER, &d.repeat, "N", "make the change N times (1)", NULL},
        {"settle", 0, CLI_DURATION, &d.settle_ns, "TIME", "quiet time after which a change is over (5s)",
         NULL},
    };
    if (!cli_parse(c, options, sizeof options / sizeof *options, 1, 1))
        return c->status;
    d.kind = c->args[0];
    if (strcmp(d.kind, "config-change") != 0 && strcmp(d.kind, "rollback") != 0)
        return cli_fail("a drill is config-change or rollback, not '%s'", d.kind);
    if (!cli_need_stage(c) || !cli_format_ok(c, formats))
        return CLI_ERROR;
    if (!c->rest || !c->rest[0])
        return cli_fail("name the command that makes the change, after --");
    if (d.repeat < 1 || d.repeat > REPEAT_MAX)
        return cli_fail("--repeat takes 1 to %d", REPEAT_MAX);
    return perform(&d);
}

const struct cli_command cli_cmd_drill = {
    "drill", "makes a change under load, and judges it",
    "config-change|rollback --stage C/NS [--for TIME] [--repeat N] [--settle TIME] -- COMMAND [ARGUMENTS]",
    run};
