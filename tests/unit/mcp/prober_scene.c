/* prober_scene: see prober_scene.h. */
#include "prober_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/when.h"

const uint8_t scene_boot[16] = {0xa1, 0xb2, 0xc3, 0xd4};
const struct norm_key scene_key = {{1}};

int set_up(void **state) {
    struct scene *s = calloc(1, sizeof *s);
    fault_start(&s->server);
    witness_init(&s->witness);
    s->target =
        (struct config_target){.name = (char *)"gateway", .url = s->server.url, .custom_server = true};
    s->probe = (struct config_probe){.name = (char *)"hold",
                                     .target = (char *)"gateway",
                                     .tool = (char *)"hold",
                                     .arguments = (char *)"{\"nonce\":\"{nonce}\"}",
                                     .timeout = 5 * WHEN_S,
                                     .limit = 2 * WHEN_S};
    s->document = (struct config_document){.name = (char *)"gateways", .url = s->server.document};
    s->config.targets = (struct conf_list){&s->target, 1};
    s->config.probes = (struct conf_list){&s->probe, 1};
    s->config.max_in_flight = 100;
    *state = s;
    return 0;
}

int tear_down(void **state) {
    struct scene *s = *state;
    mcp_stop(&s->mcp, 0);
    fault_stop(&s->server);
    if (s->witness.error[0])
        print_error("a record that the wire refuses: %s\n", s->witness.error);
    int r = s->witness.error[0] ? -1 : 0;
    witness_free(&s->witness);
    free(s);
    return r;
}

void begin(struct scene *s) {
    struct err e;
    if (mcp_start(&s->config, &scene_key, scene_boot, &s->witness.emit, &s->mcp, &e) < 0)
        fail_msg("%s", e.text);
}

bool completed(const struct witness *w, int n) {
    return witness_calls(w, OUT(COMPLETED), 0) >= n;
}

bool has_rows(const struct witness *w, int n) {
    return witness_row(w, n - 1) != NULL;
}

void assert_covered(struct scene *s, int sent) {
    const Pilotgate__Coverage *c = witness_last_coverage(&s->witness);
    assert_non_null(c);
    assert_int_equal(c->n_probes, 1);
    assert_int_equal(c->probes[0]->started, sent);
    assert_int_equal(c->probes[0]->resolved, sent);
    assert_int_equal(c->probes[0]->scheduled, c->probes[0]->started + c->probes[0]->unsent);
    assert_int_equal(c->probes[0]->n_open_number_delta, 0);
}

bool seconds(const struct witness *w, int n) {
    const Pilotgate__Coverage *c = witness_last_coverage(w);
    int covered = 0;
    for (size_t i = 0; i < w->n; i++)
        covered += w->records[i]->body_case == PILOTGATE__RECORD__BODY_COVERAGE;
    return c && covered >= n;
}

void script(struct scene *s, int tools, bool broken) {
    pthread_mutex_lock(&s->server.lock);
    s->server.tools = tools;
    s->server.broken_list = broken;
    pthread_mutex_unlock(&s->server.lock);
}
