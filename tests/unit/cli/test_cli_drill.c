/* test_cli_drill: `pilotgate drill` against a collector and an agent that answers its commands, holds calls
 * open, and sees the change that the drill's command makes (a file that appears). Agent and kubectl are
 * fakes: what a drill leaves behind when something ends in the middle cannot be told from the real ones. */
#include "ingest_fixture.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/js.h"
#include "base/when.h"
#include "cli_fixture.h"

static struct run r;

struct agent {
    struct site *site;
    char changed[128]; /* the command makes this file */
    pthread_t thread;
    atomic_bool stop;
    atomic_int raised, lowered, ttl_seconds;
    uint64_t seq;
};

static void send_record(struct peer *p, struct agent *a, Pilotgate__Record *rec) {
    rec->seq = ++a->seq;
    rec->wall_ns = when_wall_ns();
    uint8_t bytes[1024];
    ProtobufCBinaryData packed = {pilotgate__record__pack(rec, bytes), bytes};
    Pilotgate__Batch b = PILOTGATE__BATCH__INIT;
    b.boot = (ProtobufCBinaryData){WIRE_BOOT_BYTES, p->boot};
    b.first_seq = rec->seq;
    b.n_records = 1;
    b.records = &packed;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    f.session = p->session;
    f.kind_case = PILOTGATE__FRAME__KIND_BATCH;
    f.batch = &b;
    peer_send(p, &f);
}

/* n calls open, all of them young: nothing that was open at the change stays open. */
static void send_coverage(struct peer *p, struct agent *a, size_t n) {
    uint64_t numbers[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    int64_t starts[8] = {-90000, -80000, -70000, -60000, -50000, -40000, -30000, -20000};
    Pilotgate__Coverage__Probe probe = PILOTGATE__COVERAGE__PROBE__INIT, *list = &probe;
    probe.name = (char *)"hold";
    probe.first_open = n ? 1 : 0;
    probe.n_open_number_delta = probe.n_open_start_us = n;
    probe.open_number_delta = numbers;
    probe.open_start_us = starts;
    Pilotgate__Coverage c = PILOTGATE__COVERAGE__INIT;
    c.n_probes = 1;
    c.probes = &list;
    Pilotgate__Record rec = PILOTGATE__RECORD__INIT;
    rec.body_case = PILOTGATE__RECORD__BODY_COVERAGE;
    rec.coverage = &c;
    send_record(p, a, &rec);
}

static void send_catalogue(struct peer *p, struct agent *a) {
    Pilotgate__Object o = PILOTGATE__OBJECT__INIT;
    o.op = PILOTGATE__OBJECT__OP__OP_MODIFIED;
    o.kind = (char *)"ToolCatalogue";
    o.name = (char *)"gateway";
    o.digest = (char *)"0123";
    o.normal = (char *)"{}";
    o.t_wall_ns = when_wall_ns();
    o.previous_wall_ns = o.t_wall_ns - WHEN_S;
    Pilotgate__Record rec = PILOTGATE__RECORD__INIT;
    rec.body_case = PILOTGATE__RECORD__BODY_OBJECT;
    rec.object = &o;
    send_record(p, a, &rec);
}

/* From here on the product is in service. */
static void send_first_call(struct peer *p, struct agent *a) {
    Pilotgate__Phase phase = PILOTGATE__PHASE__INIT;
    phase.kind = PILOTGATE__PHASE__KIND__KIND_FIRST_CALL;
    phase.subject = (char *)"Probe/hold";
    phase.t_wall_ns = when_wall_ns();
    phase.bound = PILOTGATE__TIME_BOUND__TIME_BOUND_AT;
    phase.origin = PILOTGATE__ORIGIN__ORIGIN_PROBE;
    Pilotgate__Record rec = PILOTGATE__RECORD__INIT;
    rec.body_case = PILOTGATE__RECORD__BODY_PHASE;
    rec.phase = &phase;
    send_record(p, a, &rec);
}

static void answer(struct peer *p, struct agent *a, const Pilotgate__Command *c) {
    Pilotgate__CommandResult result = PILOTGATE__COMMAND_RESULT__INIT;
    result.id = c->id;
    result.ok = true;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    f.session = p->session;
    f.kind_case = PILOTGATE__FRAME__KIND_COMMAND_RESULT;
    f.command_result = &result;
    peer_send(p, &f);
    a->ttl_seconds = (int)c->ttl_seconds;
    if (c->kind == PILOTGATE__COMMAND__KIND__KIND_RAISE_LOAD)
        a->raised++;
    else
        a->lowered++;
}

static void *act(void *ctx) {
    struct agent *a = ctx;
    struct peer p;
    bool reported = false;
    peer_open(&p, a->site, &a->site->agent, 1);
    (void)peer_join(&p, "shop", "n1", 1, 1);
    send_first_call(&p, a);
    while (!a->stop) {
        Pilotgate__Frame *f = peer_wait(&p, PILOTGATE__FRAME__KIND_COMMAND, 100);
        if (f) {
            answer(&p, a, f->command);
            wire_free(&f);
        }
        if (!reported && access(a->changed, F_OK) == 0) {
            send_catalogue(&p, a);
            reported = true;
        }
        send_coverage(&p, a, a->raised > a->lowered ? 8 : 1);
    }
    peer_close(&p);
    return NULL;
}

static void agent_start(struct agent *a, struct site *s) {
    memset(a, 0, sizeof *a);
    a->site = s;
    (void)snprintf(a->changed, sizeof a->changed, "%s/changed", s->dir);
    assert_int_equal(pthread_create(&a->thread, NULL, act, a), 0);
    site_wait_session(s, "n1", true);
}

static void agent_stop(struct agent *a) {
    a->stop = true;
    assert_int_equal(pthread_join(a->thread, NULL), 0);
}

static int take_drill(void *ctx, const char *name, const json_t *body, uint64_t commit, int64_t at_ns) {
    (void)name;
    (void)commit;
    (void)at_ns;
    *(json_t **)ctx = json_deep_copy(body);
    return 0;
}

static json_t *drill_document(const struct site *s) {
    struct store *cli = NULL;
    json_t *doc = NULL;
    assert_int_equal(store_open(s->url, STORE_READ, &cli, NULL), 0);
    assert_int_equal(store_documents(cli, 0, "drill", take_drill, &doc, NULL), 0);
    store_close(&cli);
    assert_non_null(doc);
    return doc;
}

static void declare(const struct site *s) {
    write_text(s->dir, "p.yaml",
               "name: demo\nrubric: {longest_call: 2s, keep_alive: 1s}\n"
               "stages: [{stage: c1/shop, gateway: Deployment/gateway}]\n");
    (void)setenv("PILOTGATE_STORE", s->url, 1);
    run_cli(&r, s->dir, "pilot init --file p.yaml");
    assert_int_equal(r.status, 0);
}

static void test_a_change_under_load(void **state) {
    struct site *s = *state;
    struct agent a;
    declare(s);
    agent_start(&a, s);
    run_cli(
        &r, s->dir,
        "drill config-change --stage c1/shop --settle 1 -- sh -c 'echo $PILOTGATE_DRILL_ITERATION >changed'");
    agent_stop(&a);
    if (r.status != 3 && r.status != 1) /* a change without evidence enough is no PASS */
        fail_msg("status %d: %s", r.status, r.err);
    const char *change = strstr(r.out, "change t"), *gate = strstr(r.out, "config-safety c1/shop: ");
    assert_true(change && gate && change < gate);
    assert_null(strstr(r.out, "PENDING")); /* the window was waited for */
    assert_null(strchr(r.err, '\r'));      /* and nobody was told how long, off a terminal */
    assert_int_equal(a.raised, 1);
    assert_int_equal(a.lowered, 1);
    json_t *doc = drill_document(s);
    assert_string_equal(js_str(doc, "stage", ""), "c1/shop");
    assert_string_equal(js_str(doc, "kind", ""), "config-change");
    const json_t *step = json_array_get(js_at(doc, "iterations"), 0);
    assert_int_equal(js_int(step, "open_calls", 0), 8);
    assert_int_equal(js_int(step, "exit", 9), 0);
    assert_true(js_bool(step, "change_seen", false));
    assert_true(js_bool(step, "calls_resolved", false));
    assert_true(js_int(doc, "begin_ns", 0) < js_int(step, "begin_ns", 0));
    assert_true(js_int(step, "settled_ns", 0) - js_int(step, "end_ns", 0) >= WHEN_S);
    assert_true(js_int(doc, "end_ns", 0) >= js_int(step, "settled_ns", 0));
    json_decref(doc);
    char text[16];
    assert_true(wait_text(s->dir, "changed", "1\n", text, sizeof text)); /* the iteration was told */
    run_cli(&r, s->dir, "agents");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "c1/shop"));
    assert_non_null(strstr(r.out, "n1"));
}

static void test_a_failing_command_lowers_the_load(void **state) {
    struct site *s = *state;
    struct agent a;
    declare(s);
    agent_start(&a, s);
    run_cli(&r, s->dir, "drill rollback --stage c1/shop --repeat 3 -- sh -c 'exit 7'");
    agent_stop(&a);
    assert_int_equal(r.status, 2);
    assert_non_null(strstr(r.err, "status 7"));
    assert_int_equal(a.raised, 1);
    assert_int_equal(a.lowered, 1);
    json_t *doc = drill_document(s);
    assert_int_equal(js_int(json_array_get(js_at(doc, "iterations"), 0), "exit", 0), 7);
    assert_string_not_equal(js_str(doc, "failed", ""), "");
    json_decref(doc);
}

static void end_by(struct site *s, int signal_number) {
    struct agent a;
    char log[4096];
    agent_start(&a, s);
    static char *argv[] = {(char *)"pilotgate", (char *)"drill",   (char *)"rollback",
                           (char *)"--stage",   (char *)"c1/shop", (char *)"--",
                           (char *)"sleep",     (char *)"600",     NULL};
    pid_t pid = start_cli(s->dir, "drill.log", argv);
    assert_true(wait_text(s->dir, "drill.log", "running sleep", log, sizeof log));
    assert_int_equal(stop_cli(pid, signal_number), 2);
    agent_stop(&a);
    assert_int_equal(a.lowered, 1);
}

static void test_a_signal_lowers_the_load(void **state) {
    declare(*state);
    end_by(*state, SIGTERM);
}

static void test_a_lost_terminal_lowers_the_load(void **state) {
    declare(*state);
    end_by(*state, SIGHUP);
}

static void test_no_wait(void **state) {
    struct site *s = *state;
    struct agent a;
    declare(s);
    agent_start(&a, s);
    run_cli(&r, s->dir, "drill config-change --stage c1/shop --settle 1 --no-wait -- sh -c 'echo >changed'");
    agent_stop(&a);
    assert_int_equal(r.status, 3);
    assert_non_null(strstr(r.out, "PENDING, not settled: the window closes at"));
}

/* Something else applies the change, and never does. */
static void test_a_change_that_never_comes(void **state) {
    struct site *s = *state;
    struct agent a;
    declare(s);
    agent_start(&a, s);
    run_cli(&r, s->dir, "drill config-change --stage c1/shop --wait-change 1s -- true");
    agent_stop(&a);
    assert_int_equal(r.status, 2);
    assert_non_null(strstr(r.err, "--wait-change"));
    assert_int_equal(a.lowered, 1);
}

/* ... and here it does, some time after the command has ended. */
static void test_a_change_that_comes_later(void **state) {
    struct site *s = *state;
    struct agent a;
    declare(s);
    agent_start(&a, s);
    run_cli(&r, s->dir,
            "drill config-change --stage c1/shop --settle 1 --wait-change 20s --no-wait -- "
            "sh -c '(sleep 1; echo >changed) >>later 2>&1 </dev/null &'");
    agent_stop(&a);
    assert_int_equal(r.status, 3);
    json_t *doc = drill_document(s);
    assert_true(js_bool(json_array_get(js_at(doc, "iterations"), 0), "change_seen", false));
    json_decref(doc);
}

/* The load is asked for for a short time only, again and again: whoever kills the drill ends it. */
static void test_a_killed_drill_asks_for_no_more_load(void **state) {
    struct site *s = *state;
    struct agent a;
    char log[4096];
    static char *argv[] = {(char *)"pilotgate",
                           (char *)"drill",
                           (char *)"rollback",
                           (char *)"--load-ttl",
                           (char *)"3s",
                           (char *)"--stage",
                           (char *)"c1/shop",
                           (char *)"--",
                           (char *)"sh",
                           (char *)"-c",
                           (char *)"echo $$ >command; exec sleep 60",
                           NULL};
    declare(s);
    agent_start(&a, s);
    pid_t pid = start_cli(s->dir, "drill.log", argv);
    assert_true(wait_text(s->dir, "command", "\n", log, sizeof log));
    int64_t end = when_mono_ns() + 10 * WHEN_S;
    while (a.raised < 3 && when_mono_ns() < end)
        (void)usleep(20000);
    assert_true(a.raised >= 3); /* once, and renewed while the command runs */
    assert_int_equal(a.ttl_seconds, 3);
    assert_int_equal(stop_cli(pid, SIGKILL), 128 + SIGKILL);
    assert_int_equal(kill((pid_t)strtol(log, NULL, 10), SIGKILL), 0);
    (void)usleep(300000); /* what was asked for before the end is on its way */
    int raised = a.raised;
    end = when_mono_ns() + 3 * WHEN_S; /* time itself is the subject: a whole life of the load */
    while (when_mono_ns() < end)
        (void)usleep(100000);
    agent_stop(&a);
    assert_int_equal(a.raised, raised);
    assert_int_equal(a.lowered, 0);
    json_t *doc = drill_document(s); /* what it made is known to be a drill's */
    assert_true(js_int(json_array_get(js_at(doc, "iterations"), 0), "begin_ns", 0) > 0);
    json_decref(doc);
}

/* ---- Flux: the kubectl here is a fake, which keeps what is suspended in a file for each object */

static const char fake_kubectl[] = "#!/bin/sh\n"
                                   "# usage as flux.c uses it: kubectl --request-timeout=20s -n NS get|patch "
                                   "RESOURCE NAME [--context C] ...\n"
                                   "echo \"$*\" >>\"$FAKE/calls\"\n"
                                   "file=\"$FAKE/$5.$6\"\n"
                                   "[ ! -e \"$FAKE/broken.$6\" ] || { echo 'no such object' >&2; exit 1; }\n"
                                   "case $4:$* in\n"
                                   "get:*) cat \"$file\" 2>/dev/null || true ;;\n"
                                   "patch:*true*) printf true >\"$file\" ;;\n"
                                   "patch:*false*) printf false >\"$file\" ;;\n"
                                   "esac\n";

#define SHOP "helmreleases.helm.toolkit.fluxcd.io.shop"
#define APPS "kustomizations.kustomize.toolkit.fluxcd.io.apps"

static void flux_begin(struct site *s, struct agent *a) {
    static char *path;
    char command[256], *old = getenv("PATH");
    if (!path)
        path = strdup(old);
    assert_non_null(path);
    char with[8192];
    (void)snprintf(with, sizeof with, "%s:%s", s->dir, path);
    (void)setenv("PATH", with, 1);
    (void)setenv("FAKE", s->dir, 1);
    write_text(s->dir, "kubectl", fake_kubectl);
    (void)snprintf(command, sizeof command, "chmod +x %s/kubectl", s->dir);
    assert_int_equal(system(command), 0);
    declare(s);
    agent_start(a, s);
}

static bool says(const struct site *s, const char *name, const char *text) {
    char out[4096];
    return wait_text(s->dir, name, text, out, sizeof out);
}

static void test_flux_is_suspended_and_resumed(void **state) {
    struct site *s = *state;
    struct agent a;
    flux_begin(s, &a);
    write_text(s->dir, APPS, "true"); /* by somebody else, before */
    run_cli(&r, s->dir,
            "drill config-change --stage c1/shop --settle 1 --kube-context east --suspend-flux "
            "HelmRelease/shop,kustomization/flux-system/apps -- sh -c 'cat %s >seen; echo >changed'",
            SHOP);
    agent_stop(&a);
    if (r.status == 2)
        fail_msg("%s", r.err);
    assert_true(says(s, "seen", "true")); /* while the command ran */
    assert_true(says(s, SHOP, "false"));
    assert_true(says(s, APPS, "true")); /* stays as it was */
    assert_true(says(s, "calls", "-n shop get helmreleases.helm.toolkit.fluxcd.io shop --context east"));
    assert_true(says(s, "calls", "-n flux-system get kustomizations.kustomize.toolkit.fluxcd.io apps"));
    json_t *doc = drill_document(s);
    assert_int_equal(json_array_size(js_at(doc, "flux_suspended")), 1);
    json_decref(doc);
}

static void test_flux_is_resumed_after_a_failure(void **state) {
    struct site *s = *state;
    struct agent a;
    flux_begin(s, &a);
    run_cli(&r, s->dir,
            "drill rollback --stage c1/shop --suspend-flux HelmRelease/shop -- sh -c 'kill -9 $$'");
    assert_int_equal(r.status, 2);
    assert_non_null(strstr(r.err, "status 137"));
    assert_true(says(s, SHOP, "false"));
    write_text(s->dir, "broken.second", "");
    run_cli(&r, s->dir,
            "drill rollback --stage c1/shop --suspend-flux HelmRelease/shop,HelmRelease/second -- touch ran");
    agent_stop(&a);
    assert_int_equal(r.status, 2);
    assert_non_null(strstr(r.err, "HelmRelease/second in shop"));
    assert_non_null(strstr(r.err, "no such object"));
    assert_true(says(s, SHOP, "false"));
    char path[160];
    (void)snprintf(path, sizeof path, "%s/ran", s->dir);
    assert_int_equal(access(path, F_OK), -1);
}

static void flux_ended_by(struct site *s, int signal_number, int status) {
    struct agent a;
    char pid_text[64];
    static char *argv[] = {(char *)"pilotgate",
                           (char *)"drill",
                           (char *)"rollback",
                           (char *)"--suspend-flux",
                           (char *)"HelmRelease/shop",
                           (char *)"--stage",
                           (char *)"c1/shop",
                           (char *)"--",
                           (char *)"sh",
                           (char *)"-c",
                           (char *)"echo $$ >command; exec sleep 60",
                           NULL};
    flux_begin(s, &a);
    pid_t pid = start_cli(s->dir, "drill.log", argv);
    assert_true(wait_text(s->dir, "command", "\n", pid_text, sizeof pid_text));
    assert_true(says(s, SHOP, "true"));
    assert_int_equal(stop_cli(pid, signal_number), status);
    assert_true(says(s, SHOP, "false")); /* also when nobody could: the guard does it */
    (void)kill((pid_t)strtol(pid_text, NULL, 10), SIGKILL);
    agent_stop(&a);
}

static void test_flux_is_resumed_after_a_signal(void **state) {
    flux_ended_by(*state, SIGTERM, 2);
}

static void test_flux_is_resumed_when_the_drill_is_killed(void **state) {
    flux_ended_by(*state, SIGKILL, 128 + SIGKILL);
}

/* The reader of its output goes away; the second change, which is told of first, fails. */
static void test_a_closed_output_lowers_the_load(void **state) {
    struct site *s = *state;
    struct agent a;
    declare(s);
    agent_start(&a, s);
    run_cli(&r, s->dir,
            "drill config-change --stage c1/shop --settle 1 --repeat 2 -- "
            "sh -c 'test $PILOTGATE_DRILL_ITERATION = 1 && echo >changed' 2>&1 | head -c 1");
    agent_stop(&a);
    assert_int_equal(a.raised, 2);
    assert_int_equal(a.lowered, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_change_under_load, site_setup, site_teardown),
        cmocka_unit_test_setup_teardown(test_a_failing_command_lowers_the_load, site_setup, site_teardown),
        cmocka_unit_test_setup_teardown(test_a_signal_lowers_the_load, site_setup, site_teardown),
        cmocka_unit_test_setup_teardown(test_a_lost_terminal_lowers_the_load, site_setup, site_teardown),
        cmocka_unit_test_setup_teardown(test_a_closed_output_lowers_the_load, site_setup, site_teardown),
        cmocka_unit_test_setup_teardown(test_no_wait, site_setup, site_teardown),
        cmocka_unit_test_setup_teardown(test_a_change_that_never_comes, site_setup, site_teardown),
        cmocka_unit_test_setup_teardown(test_a_change_that_comes_later, site_setup, site_teardown),
        cmocka_unit_test_setup_teardown(test_a_killed_drill_asks_for_no_more_load, site_setup, site_teardown),
        cmocka_unit_test_setup_teardown(test_flux_is_suspended_and_resumed, site_setup, site_teardown),
        cmocka_unit_test_setup_teardown(test_flux_is_resumed_after_a_failure, site_setup, site_teardown),
        cmocka_unit_test_setup_teardown(test_flux_is_resumed_after_a_signal, site_setup, site_teardown),
        cmocka_unit_test_setup_teardown(test_flux_is_resumed_when_the_drill_is_killed, site_setup,
                                        site_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
