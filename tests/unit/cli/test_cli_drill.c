/* test_cli_drill: `pilotgate drill` against a collector and an agent that answers its commands, holds calls
 * open, and sees the change that the drill's command makes (a file that appears). */
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
    atomic_int raised, lowered;
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

static void answer(struct peer *p, struct agent *a, const Pilotgate__Command *c) {
    Pilotgate__CommandResult result = PILOTGATE__COMMAND_RESULT__INIT;
    result.id = c->id;
    result.ok = true;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    f.session = p->session;
    f.kind_case = PILOTGATE__FRAME__KIND_COMMAND_RESULT;
    f.command_result = &result;
    peer_send(p, &f);
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
    write_text(s->dir, "p.yaml", "name: demo\nstages: [{stage: c1/shop, gateway: Deployment/gateway}]\n");
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
    assert_non_null(strstr(r.out, "config-safety c1/shop: "));
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
