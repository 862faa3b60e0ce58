/* What the prober reads beside calls, what it refuses, and `pilotgate-agent check`. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/when.h"
#include "prober_scene.h"

/* ------------------------------------------------------------------ polled states */

static bool modified(const struct witness *w, int n) {
    return witness_object(w, "ToolCatalogue", OP(MODIFIED), n - 1) &&
           witness_object(w, "ProductConfiguration", OP(MODIFIED), n - 1);
}

static bool listed(const struct witness *w, int n) {
    return witness_object(w, "ToolCatalogue", OP(LISTED), n - 1) &&
           witness_object(w, "ProductConfiguration", OP(LISTED), n - 1);
}

static bool unreadable(const struct witness *w, int n) {
    return witness_object(w, "ToolCatalogue", OP(UNREADABLE), n - 1) &&
           witness_object(w, "ProductConfiguration", OP(UNREADABLE), n - 1);
}

static bool confirmed(const struct witness *w, int n) {
    return witness_object(w, "ToolCatalogue", OP(CONFIRMED), n - 1) &&
           witness_object(w, "ProductConfiguration", OP(CONFIRMED), n - 1);
}

static void check_change(const struct scene *s, const char *kind, int64_t changed_wall) {
    const Pilotgate__Object *before = witness_object(&s->witness, kind, OP(LISTED), 0);
    const Pilotgate__Object *after = witness_object(&s->witness, kind, OP(MODIFIED), 0);
    assert_string_not_equal(before->digest, after->digest);
    assert_true(after->previous_wall_ns <= changed_wall && changed_wall <= after->t_wall_ns);
    assert_true(changed_wall - after->previous_wall_ns < 3 * WHEN_S);
    assert_null(strstr(after->normal, "plain-secret"));
}

static void test_polls(void **state) {
    struct scene *s = *state;
    s->config.probes.n = 0;
    s->config.documents = (struct conf_list){&s->document, 1};
    s->target.catalogue_interval = s->document.interval = 20 * WHEN_S;
    begin(s);
    assert_true(witness_wait(&s->witness, listed, 1));
    mcp_set_load(s->mcp, 60 * WHEN_S); /* four times a second from now on */
    int64_t changed = when_wall_ns();
    script(s, 1, false);
    assert_true(witness_wait(&s->witness, modified, 1));
    script(s, 1, true);
    assert_true(witness_wait(&s->witness, unreadable, 1));
    script(s, 1, false);
    assert_true(witness_wait(&s->witness, confirmed, 1));
    mcp_stop(&s->mcp, WHEN_S);
    check_change(s, "ToolCatalogue", changed);
    check_change(s, "ProductConfiguration", changed);
    assert_string_equal(witness_object(&s->witness, "ToolCatalogue", OP(MODIFIED), 0)->normal,
                        "{\"tools\":[\"added\",\"echo\",\"hold\"]}");
    assert_non_null(
        strstr(witness_object(&s->witness, "ProductConfiguration", OP(LISTED), 0)->normal, "keyed:"));
    assert_non_null(strstr(witness_object(&s->witness, "ToolCatalogue", OP(UNREADABLE), 0)->reason, "503"));
    assert_int_equal(witness_last_coverage(&s->witness)->n_sources, 2);
}

/* ------------------------------------------------------------------ configuration, check */

static void refuse(struct scene *s, const char *why) {
    struct err e = {""};
    assert_int_equal(mcp_start(&s->config, &scene_key, scene_boot, &s->witness.emit, &s->mcp, &e), -EINVAL);
    if (!strstr(e.text, why))
        fail_msg("%s", e.text);
    assert_null(s->mcp);
}

static void test_refuses(void **state) {
    struct scene *s = *state;
    char *bad[] = {(char *)"X-A: b\r\nX-C: d"};
    s->target.headers = (struct conf_strings){bad, 1};
    refuse(s, "header");
    s->target.headers.n = 0;
    s->probe.arguments = (char *)"[1]";
    refuse(s, "JSON object");
    s->probe.arguments = NULL;
    s->probe.target = (char *)"nowhere";
    refuse(s, "nowhere");
}

/* Without its token a target is not called at all, and a token is read again when it changes. */
static bool token_row(const struct witness *w, int n) {
    const Pilotgate__Call *row = witness_row(w, n - 1);
    return row && strstr(row->detail, "bearer token");
}

static void write_token(const char *path, const char *token) {
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    (void)fputs(token, f);
    (void)fclose(f);
}

static void test_bearer(void **state) {
    struct scene *s = *state;
    char path[] = "/tmp/pilotgate-token-XXXXXX";
    (void)close(mkstemp(path));
    write_token(path, "two words\n");
    s->target.bearer_file = path;
    s->probe.interval = 20 * WHEN_MS;
    begin(s);
    assert_true(witness_wait(&s->witness, token_row, 1));
    assert_int_equal(fault_get(&s->server, &s->server.initializes), 0);
    write_token(path, "good\n");
    assert_true(witness_wait(&s->witness, completed, 2));
    assert_true(fault_saw_bearer(&s->server, "Bearer good"));
    write_token(path, "other-token\n");
    assert_true(witness_wait(&s->witness, completed, 120));
    assert_true(fault_saw_bearer(&s->server, "Bearer other-token"));
    mcp_stop(&s->mcp, WHEN_S);
    (void)unlink(path);
}

struct said {
    int ok, bad;
    char last_advice[256];
};

static void hear(void *ctx, bool ok, const char *what, const char *advice) {
    struct said *h = ctx;
    assert_true(*what);
    h->ok += ok;
    h->bad += !ok;
    if (!ok)
        (void)snprintf(h->last_advice, sizeof h->last_advice, "%s", advice);
}

static void test_check(void **state) {
    struct scene *s = *state;
    struct said h = {0};
    char url[64];
    s->config.documents = (struct conf_list){&s->document, 1};
    assert_int_equal(mcp_check(&s->config, hear, &h), 0);
    assert_int_equal(h.ok, 4); /* initialize, tools/list, the call, the document */
    assert_int_equal(s->server.deletes, 1);
    s->probe.tool = (char *)"missing";
    script(s, 0, false);
    assert_int_equal(mcp_check(&s->config, hear, &h), 0); /* the probe waits for its tool */
    assert_int_equal(h.ok, 8);
    s->probe.tool = (char *)"hold";
    fault_set(&s->server, FAULT_401, 0);
    assert_int_equal(mcp_check(&s->config, hear, &h), 1);
    assert_non_null(strstr(h.last_advice, "credentials"));
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/mcp", fault_free_port());
    s->target.url = url;
    assert_int_equal(mcp_check(&s->config, hear, &h), 1);
    assert_non_null(strstr(h.last_advice, "listens"));
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_polls),
        T(test_refuses),
        T(test_bearer),
        T(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
