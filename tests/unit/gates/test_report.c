/* The writers: what other programs read must stay well-formed, whatever a cluster says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gates/gates.h"
#include "pilot.h"
#include "report/report.h"

static json_t *hostile(void) {
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:[{s:s, s:s, s:s, s:s, s:s, s:[{s:s, s:s, s:s}, {s:s, s:s, "
                     "s:s}]}]}",
                     "pilot", "p", "at", "now", "commit", (json_int_t)1, "evaluator", "e", "rubric", "r",
                     "gates", "id", "rollback", "title", "Rollback", "pass", "restored", "verdict", "FAIL",
                     "summary", "a|b <script>`x`\n\\", "stages", "stage", "east/shop", "verdict", "FAIL",
                     "reason", "\"<&>\x01", "stage", "west/shop", "verdict", "PENDING", "reason", "");
}

static char *written(const json_t *result, enum report_format format) {
    char *text = NULL;
    size_t len = 0;
    struct report r = {.to = open_memstream(&text, &len)};
    assert_non_null(r.to);
    assert_int_equal(report_gates(&r, result, format), 0);
    assert_int_equal(fclose(r.to), 0);
    return text;
}

static void writers_escape(void **state) {
    (void)state;
    json_t *result = hostile();
    assert_non_null(result);
    char *text = written(result, REPORT_JUNIT);
    assert_non_null(strstr(text, "tests=\"2\" failures=\"1\" errors=\"1\""));
    assert_non_null(strstr(text, "message=\"&quot;&lt;&amp;&gt; \""));
    free(text);
    text = written(result, REPORT_MARKDOWN);
    assert_non_null(strstr(text, "a\\|b &lt;script>\\`x\\` \\\\ |\n"));
    free(text);
    json_decref(result);
}

static void a_stage_has_its_own_status(void **state) {
    (void)state;
    json_t *result = hostile();
    assert_int_equal(gates_exit_status(result, NULL, NULL), 1);
    assert_int_equal(gates_exit_status(result, NULL, "east/shop"), 1);
    assert_int_equal(gates_exit_status(result, NULL, "west/shop"), 3);
    assert_int_equal(gates_exit_status(result, NULL, "no/where"), 3);
    assert_int_equal(gates_exit_status(result, "no-such-gate", NULL), 3);
    json_decref(result);
}

/* A change long before the only phase: the bar's place is bounded. */
static void a_timeline_of_anything(void **state) {
    (void)state;
    struct scenario s;
    char *text = NULL;
    size_t len = 0;
    pilot_play(&s, &(struct fault){0});
    json_decref(scenario_judge(&s, 290));
    struct facts *f = &s.c.stages[0];
    f->changes[0].begin_lo = 0;
    for (size_t phases = f->n_phases + 1; phases-- > 0;) {
        f->n_phases = phases;
        struct report r = {.to = open_memstream(&text, &len)};
        struct report_timeline how = {.as = phases % 2 ? REPORT_TIMELINE_LIST : REPORT_TIMELINE_GANTT};
        struct err e;
        assert_int_equal(report_timeline(&r, f, &how, &e), 0);
        assert_int_equal(fclose(r.to), 0);
        assert_non_null(strstr(text, "shop.v2"));
        free(text);
    }
    scenario_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writers_escape),
        cmocka_unit_test(a_stage_has_its_own_status),
        cmocka_unit_test(a_timeline_of_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
