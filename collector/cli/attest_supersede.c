/* attest_supersede: names a later change that passes as the re-test of one that failed. Both stay displayed;
 * the judge looks at both again each time, so that a re-test that fails later has no effect any more. */
#include "cli/attest.h"

#include <errno.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "cli/show.h"
#include "gates/gates.h"

/* The change of that id, of --stage or of the only stage that has one. */
static int find(const struct cli *c, const json_t *changes, const char *stage, const char *id,
                const json_t **ret, struct err *e) {
    const json_t *found = NULL;
    size_t i;
    json_t *o;
    json_array_foreach((json_t *)changes, i, o) {
        if (strcmp(js_str(o, "id", ""), id) != 0 || (stage && strcmp(js_str(o, "stage", ""), stage) != 0))
            continue;
        if (found && !c->stage)
            return err_set(e, -EINVAL, "%s and %s both have a change '%s': name one with --stage",
                           js_str(found, "stage", ""), js_str(o, "stage", ""), id);
        found = o;
    }
    if (!found)
        return err_set(e, -ENOENT, "no change is called '%s'%s%s; `pilotgate changes` lists them", id,
                       stage ? " in " : "", stage ? stage : "");
    *ret = found;
    return 0;
}

static int check_pair(const json_t *failed, const json_t *retest, struct err *e) {
    const char *id = js_str(failed, "id", ""), *by = js_str(retest, "id", "");
    const char *verdict = js_str(retest, "verdict", "");
    if (strcmp(js_str(failed, "verdict", ""), "FAIL") != 0)
        return err_set(e, -EINVAL, "%s did not fail (%s): only a change that failed is superseded", id,
                       js_str(failed, "verdict", ""));
    if (strcmp(id, by) == 0)
        return err_set(e, -EINVAL, "%s cannot supersede itself: name a later change with --by", id);
    int64_t begin = 0, later = 0;
    if (when_parse(js_str(failed, "begin", ""), &begin) < 0 ||
        when_parse(js_str(retest, "begin", ""), &later) < 0 || later <= begin)
        return err_set(e, -EINVAL, "%s did not come after %s: name a later change with --by", by, id);
    if (!js_bool(retest, "qualifies", false))
        return err_set(e, -EINVAL, "%s is no re-test: %s", by, js_str(retest, "reason", ""));
    if (strcmp(verdict, "PASS") != 0)
        return err_set(e, -EINVAL, "%s does not pass (%s: %s): repeat the drill, and name one that passes",
                       by, verdict, js_str(retest, "reason", ""));
    return 0;
}

/* --at is when it was said; what it says is checked as of now. */
static int check(const struct cli *c, struct store *s, const char *id, const char *by, char *stage,
                 size_t max, struct err *e) {
    struct cli now = *c;
    struct corr corr;
    json_t *changes = NULL;
    const json_t *failed = NULL, *retest = NULL;
    now.at_ns = 0;
    int r = show_facts(&now, s, &corr, e);
    if (r < 0)
        return r;
    r = gates_changes(&corr, c->stage, &changes, e);
    if (r == 0)
        r = find(c, changes, c->stage, id, &failed, e);
    if (r == 0) {
        (void)snprintf(stage, max, "%s", js_str(failed, "stage", ""));
        r = find(c, changes, stage, by, &retest, e);
    }
    if (r == 0)
        r = check_pair(failed, retest, e);
    json_decref(changes);
    corr_free(&corr);
    return r;
}

static int put(struct cli *c, const struct attestation *a, const char *id, struct err *e) {
    char stage[FACTS_STAGE_MAX], name[FACTS_STAGE_MAX + 256];
    struct attestation said = *a;
    struct store *s = NULL;
    json_t *body = NULL;
    said.what = "supersede";
    int r = cli_store(c, STORE_READ, &s, e);
    if (r == 0)
        r = check(c, s, id, a->by, stage, sizeof stage, e);
    if (r == 0)
        r = attest_body(c, &said, &body, e);
    if (r == 0 && (json_object_set_new(body, "stage", json_string(stage)) < 0 ||
                   json_object_set_new(body, "change", json_string(id)) < 0 ||
                   json_object_set_new(body, "who", json_string(a->who)) < 0))
        r = err_set(e, -EINVAL, "an attestation is UTF-8 text");
    if (r == 0) {
        (void)snprintf(name, sizeof name, "supersede/%s/%s", stage, id);
        r = cli_put_document(s, "attestation", name, body, e);
    }
    store_close(&s);
    json_decref(body);
    if (r == 0)
        (void)printf("%s of %s is superseded by %s, says %s; both stay displayed\n", id, stage, a->by,
                     a->who);
    return r;
}

int attest_supersede(struct cli *c, const struct attestation *a) {
    if (c->n_args < 2)
        return cli_fail("name the change that failed: attest supersede CHANGE --by CHANGE --who WHO");
    if (a->what)
        return cli_fail("supersede takes no --name; the change is named: attest supersede CHANGE");
    if (!a->by || !*a->by)
        return cli_fail("name the later change that passes with --by CHANGE");
    if (!a->who || !*a->who)
        return cli_fail("an attestation needs a name: --who WHO");
    struct err e = {""};
    return put(c, a, c->args[1], &e) < 0 ? cli_fail("%s", e.text) : CLI_OK;
}
