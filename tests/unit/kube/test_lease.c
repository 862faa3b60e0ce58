/* Tests of what agents do where there is no Lease to be had, or none that can be read, and of trying it
 * (agents.h).
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agents.h"
#include "base/when.h"
#include "kube/kube.h"

/* What an agent's newest coverage says. */
static bool works(int child) {
    for (size_t i = agents.n; i-- > 0;)
        if (agents.told[i].child == child && agents.told[i].r->body_case == PILOTGATE__RECORD__BODY_COVERAGE)
            return agents.told[i].r->coverage->stage_scoped;
    return false;
}

static bool one_works(void) {
    return works(0) + works(1) == 1;
}

static bool both_work(void) {
    return works(0) && works(1);
}

static bool both_complain(void) {
    bool said[2] = {false, false};
    for (size_t i = 0; i < agents.n; i++) {
        const Pilotgate__Record *r = agents.told[i].r;
        if (r->body_case == PILOTGATE__RECORD__BODY_OBJECT && strcmp(r->object->kind, "Lease") == 0 &&
            strstr(r->object->reason, "RBAC: allow create on leases.coordination.k8s.io"))
            said[agents.told[i].child] = true;
    }
    return said[0] && said[1];
}

static void test_without_the_lease_every_agent_works(void **state) {
    (void)state;
    (void)agents_start();
    (void)agents_start();
    agents_wait_for(one_works, "one works");
    for (size_t i = agents.n; i-- > 0;) { /* and the other one covers its node only */
        const Pilotgate__Record *r = agents.told[i].r;
        if (r->body_case == PILOTGATE__RECORD__BODY_COVERAGE && !r->coverage->stage_scoped)
            assert_int_equal(r->coverage->n_sources, 1);
    }
    api_deny_lease(agents.api, true);
    agents_wait_for(both_work, "both work");
    agents_wait_for(both_complain, "both say why");
    agents_change_for(200 * WHEN_MS);
    agents_wait_for(agents_is_told, "the last event");
    (void)agents_check_order();
    api_deny_lease(agents.api, false);
    agents_wait_for(one_works, "one works again");
    assert_int_equal(agents_losses(), 0);
}

static bool too_large_is_told(void) {
    for (size_t i = 0; i < agents.n; i++) {
        const Pilotgate__Record *r = agents.told[i].r;
        if (r->body_case == PILOTGATE__RECORD__BODY_OBJECT && strcmp(r->object->kind, "Lease") == 0 &&
            strstr(r->object->reason, "is larger than 262144 bytes: delete it"))
            return true;
    }
    return false;
}

/* A Lease that nobody can read keeps nobody from working. */
static void test_a_lease_of_any_size(void **state) {
    (void)state;
    (void)agents_start();
    (void)agents_start();
    agents_wait_for(one_works, "one works");
    api_grow_lease(agents.api, 300000);
    agents_wait_for(both_work, "both work");
    agents_wait_for(too_large_is_told, "it is told");
}

static unsigned checks; /* that failed, about the Lease, with the advice */

static void hear(void *ctx, bool ok, const char *what, const char *advice) {
    unsigned *tried = ctx;
    if (!strstr(what, "Lease elected in namespace mcp"))
        return;
    ++*tried;
    checks += !ok && strstr(advice, "get, update on elected") != NULL;
}

/* Reading, making and changing it; nothing is changed by trying. */
static void test_check_tries_the_lease(void **state) {
    (void)state;
    struct config config = {.kube = {.enabled = true,
                                     .api = (char *)(uintptr_t)api_url(agents.api),
                                     .stage_scoped = true,
                                     .lease = (char *)"elected"},
                            .stage = {.namespace_name = (char *)"mcp", .node = (char *)"n0"}};
    unsigned tried = 0;
    checks = 0;
    (void)kube_check(&config, hear, &tried);
    assert_int_equal(tried, 3);
    assert_int_equal(checks, 0);
    assert_int_equal(api_writes(agents.api), 0);
    assert_false(agents_has_holder());
    api_deny_lease(agents.api, true);
    (void)kube_check(&config, hear, &tried);
    assert_int_equal(checks, 3);
}

int main(int argc, char **argv) {
    int agent = agents_main(argc, argv);
    if (agent >= 0)
        return agent;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_without_the_lease_every_agent_works, agents_set_up,
                                        agents_tear_down),
        cmocka_unit_test_setup_teardown(test_a_lease_of_any_size, agents_set_up, agents_tear_down),
        cmocka_unit_test_setup_teardown(test_check_tries_the_lease, agents_set_up, agents_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
