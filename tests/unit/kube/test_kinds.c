/* Agents and references call a kind by the same name: what a manifest says (base/kinds.h) is what the table
 * of watched kinds tells. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <string.h>

#include "base/kinds.h"
#include "kube/kube_priv.h"

/* "/apis/apps/v1" is apiVersion "apps/v1", "/api/v1" is "v1". */
static const char *api_version(const char *path) {
    return strncmp(path, "/apis/", 6) == 0 ? path + 6 : path + 5;
}

static void one_name_for_a_kind(void **state) {
    (void)state;
    size_t looked_at = 0;
    for (const struct kube_kind *k = kube_kinds; k->source; k++) {
        char name[KINDS_NAME_MAX];
        if (strcmp(k->source, "releases") == 0) /* a Secret that is told as what Helm keeps in it */
            continue;
        assert_int_equal(kinds_name(api_version(k->group), k->kind, name, sizeof name), 0);
        if (strcmp(name, k->object) != 0)
            fail_msg("%s is told as %s", name, k->object);
        looked_at++;
    }
    assert_true(looked_at > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_name_for_a_kind)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
