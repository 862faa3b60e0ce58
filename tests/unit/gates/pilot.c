/* pilot: see pilot.h. */
#include "pilot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"

static void install(struct scenario *s, size_t a, const struct fault *x) {
    scenario_phase(s, a, 1, PILOTGATE__PHASE__KIND__KIND_NAMESPACE_CREATED, "Namespace/shop", "");
    scenario_release(s, a, ADDED, 5, 5.2, 1, "pending-install", "Initial install underway", "m1");
    scenario_object(s, a, ADDED, 5.5, 0, "ConfigMap", "gateway-config", "c1");
    scenario_object(s, a, ADDED, 5.5, 0, "Deployment", "gateway", "d1");
    scenario_phase(s, a, 6, PILOTGATE__PHASE__KIND__KIND_POD_READY, "Pod/gateway-1", "");
    scenario_release(s, a, MODIFIED, 5, 8, 1, "deployed", "Install complete", "m1");
    scenario_phase(s, a, x->late_first_call ? 90000 : 10, PILOTGATE__PHASE__KIND__KIND_FIRST_CALL,
                   "Probe/hold", "custom-server");
}

static void see_tools(struct scenario *s, const size_t *agents, int n, int op, double t, const char *tools) {
    for (int i = 0; i < n; i++)
        scenario_tools(s, agents[i], op, t + 0.1 * i, op == LISTED ? 0 : t - 0.5, tools);
}

static void calls_across(struct scenario *s, const size_t *agents, int n, double t, unsigned each,
                         double extra) {
    for (int i = 0; i < n; i++) {
        scenario_calls(s, agents[i], each, "hold", t - 4, t + 4 + extra, OK, 0);
        scenario_calls(s, agents[i], each, "hold", t - 4, t + 4 + extra, OK, REUSED);
    }
}

/* An upgrade at 100 that adds the tool sum, a rollback at 200. */
void pilot_play(struct scenario *s, const struct fault *x) {
    scenario_begin(s, RULES);
    size_t agents[2] = {scenario_agent(s, "n1"), 0};
    int n = 1;
    if (!x->no_second_agent)
        agents[n++] = scenario_agent(s, "n2");
    for (int i = 0; i < n && !x->no_clock; i++)
        scenario_clock(s, agents[i], 2, 0, 0.001);
    if (x->unreadable)
        scenario_unreadable(s, agents[0], 2, "HelmRelease", "RBAC: allow list on secrets");
    else
        install(s, agents[0], x);
    see_tools(s, agents, n, LISTED, 9, TOOLS_1);
    if (!x->unread_product)
        scenario_object(s, agents[0], LISTED, 9, 0, "ProductConfiguration", "caddy", "p1");

    scenario_release(s, agents[0], ADDED, 100, 100.3, 2, "pending-upgrade", "Preparing upgrade", "m2");
    scenario_object(s, agents[0], MODIFIED, 100.5, 90, "ConfigMap", "gateway-config",
                    x->no_effect ? "c1" : "c2");
    if (!x->no_effect) {
        see_tools(s, agents, n, MODIFIED, 102, TOOLS_2);
        if (!x->unread_product)
            scenario_object(s, agents[0], MODIFIED, 102, 101.5, "ProductConfiguration", "caddy", "p2");
    }
    scenario_release(s, agents[0], MODIFIED, 100, 103, 2, "deployed", "Upgrade complete", "m2");
    calls_across(s, agents, n, 102, x->few ? 10 : 40, 0);
    if (!x->uncalled)
        scenario_calls(s, agents[0], 1, "sum", 104, 104.1, OK, 0);
    if (x->lost_call)
        scenario_calls(s, agents[0], 2, "hold", 99, 102, PILOTGATE__OUTCOME__OUTCOME_STREAM_ENDED, 0);
    if (x->control_fails)
        scenario_calls(s, agents[0], 1, "hold", 98, 103, PILOTGATE__OUTCOME__OUTCOME_RESET, CONTROL);
    if (x->rate_limited)
        scenario_calls(s, agents[0], 1, "hold", 99, 102, PILOTGATE__OUTCOME__OUTCOME_RATE_LIMITED, 0);
    if (x->unknown_outcome)
        scenario_calls(s, agents[0], 1, "hold", 99, 102, 77, 0);

    scenario_release(s, agents[0], ADDED, 200, 200.2, 3, "pending-rollback", "Rollback to 1", "m1");
    scenario_object(s, agents[0], MODIFIED, 200.5, 190, "ConfigMap", "gateway-config",
                    x->live_differs ? "c9" : "c1");
    if (x->leftover)
        scenario_object(s, agents[0], ADDED, 150, 0, "Service", "left-behind", "s1");
    see_tools(s, agents, n, MODIFIED, 202, TOOLS_1);
    if (!x->unread_product)
        scenario_object(s, agents[0], MODIFIED, 202, 201.5, "ProductConfiguration", "caddy",
                        x->product_differs ? "p9" : "p1");
    if (!x->not_deployed)
        scenario_release(s, agents[0], MODIFIED, 200, 204, 3, "deployed", "Rollback to 1", "m1");
    if (x->crash)
        scenario_phase(s, agents[0], 203, PILOTGATE__PHASE__KIND__KIND_CONTAINER_FAILED, "Pod/gateway-2",
                       "CrashLoopBackOff");
    calls_across(s, agents, n, 202, x->few ? 10 : 40, 0);
    if (x->loss)
        scenario_loss(s, agents[0], 101, 103, 5);
    if (x->conflict)
        s->c.ev.streams[0].conflicts = 1;

    scenario_coverage(s, agents[0], 3, 300, 0);
    if (n > 1 &&
        x->killed_before_change) { /* its last coverage is from before, its successor's first from in it */
        scenario_coverage(s, agents[1], 3, 100, 0);
        size_t again = scenario_agent(s, "n2");
        scenario_clock(s, again, 100, 0, 0.001);
        scenario_coverage(s, again, 100.7, 300, 0);
    } else if (n > 1 && x->killed_in_change) {
        scenario_coverage(s, agents[1], 3, 102, x->bye_in_change);
        if (x->open_at_end)
            scenario_open_call(s, agents[1], 102, 100);
        size_t again = scenario_agent(s, "n2");
        scenario_clock(s, again, 110, 0, 0.001);
        scenario_coverage(s, again, 112, 300, 0);
    } else if (n > 1) {
        scenario_coverage(s, agents[1], 3, 300, 0);
    }
}

void pilot_expect(const struct fault *x, pilot_extra *extra, double at, const char *gate, const char *verdict,
                  const char *reason) {
    struct scenario s;
    pilot_play(&s, x);
    if (extra)
        extra(&s);
    json_t *result = scenario_judge(&s, at);
    const json_t *stage = scenario_gate(result, gate);
    if (strcmp(js_str(stage, "verdict", ""), verdict) != 0 || !strstr(js_str(stage, "reason", ""), reason))
        fail_msg("%s: wanted %s (%s), got %s: %s", gate, verdict, reason, js_str(stage, "verdict", ""),
                 js_str(stage, "reason", ""));
    json_decref(result);
    scenario_end(&s);
}
