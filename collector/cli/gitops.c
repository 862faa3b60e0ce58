/* gitops: which of a stage's objects are owned as code, by whom and from which revision. */
#include "correlate/gitops.h"

#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "cli/commands.h"
#include "cli/gitops.h"
#include "cli/show.h"

#define SHOWN 30 /* lines of one list; the rest is counted */

/* "suspended, drifted"; "unknown" of an owner that cannot be read. */
static const char *state_of(const json_t *owner, char *out, size_t size) {
    static const char *const flags[] = {"suspended", "drifted", "stalled"};
    out[0] = 0;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (js_bool(owner, flags[i], false))
            (void)snprintf(out + strlen(out), size - strlen(out), "%s%s", *out ? ", " : "", flags[i]);
    if (*out)
        return out;
    const char *ready = js_str(owner, "ready", "");
    return !js_bool(owner, "seen", false)  ? "not read: in another namespace"
           : strcmp(ready, "True") == 0    ? "ready"
           : strcmp(ready, "False") == 0   ? "not ready"
           : strcmp(ready, "Unknown") == 0 ? "under way"
                                           : "-";
}

static const char *source_of(const json_t *owner, char *out, size_t size) {
    const json_t *s = json_object_get(owner, "source");
    const char *url = js_str(s, "url", "");
    (void)snprintf(out, size, "%s%s%s%s%s%s", js_str(s, "kind", "-"), *js_str(s, "name", "") ? "/" : "",
                   js_str(s, "name", ""), *url ? " " : "", url,
                   js_bool(s, "suspended", false) ? " (suspended)" : "");
    return out;
}

/* Of a HelmRelease the code is its source's revision, and its own is the chart's version. */
static const char *revision_of(const json_t *owner, char *out, size_t size) {
    const char *own = js_str(owner, "revision", "");
    const char *source = js_str(owner, "source.revision", "");
    bool both = *own && *source && strcmp(own, source) != 0;
    (void)snprintf(out, size, "%s%s%s%s",
                   *own      ? own
                   : *source ? source
                             : "-",
                   both ? " (" : "", both ? source : "", both ? ")" : "");
    return out;
}

static void show_owners(const struct cli *c, const json_t *doc) {
    json_t *rows = json_pack("[[s,s,s,s,s]]", "OWNER", "OBJECTS", "STATE", "REVISION", "SOURCE");
    size_t i;
    json_t *x;
    json_array_foreach(json_object_get(doc, "owners"), i, x) {
        char n[24], state[64], revision[600], source[800];
        (void)snprintf(n, sizeof n, "%lld", (long long)js_int(x, "objects", 0));
        (void)json_array_append_new(
            rows, json_pack("[s,s,s,s,s]", js_str(x, "owner", ""), n, state_of(x, state, sizeof state),
                            revision_of(x, revision, sizeof revision), source_of(x, source, sizeof source)));
    }
    cli_table(c, stdout, rows);
    json_decref(rows);
}

static void show_unowned(const json_t *doc) {
    const json_t *list = json_object_get(doc, "unowned");
    size_t n = json_array_size(list);
    if (n)
        (void)printf("\nowned by nobody as code:\n");
    for (size_t i = 0; i < n && i < SHOWN; i++) {
        const json_t *x = json_array_get(list, i);
        const char *helm = js_str(x, "helm", "");
        (void)printf("  %s%s%s%s\n", js_str(x, "object", ""), *helm ? " (by Helm alone, release " : "", helm,
                     *helm ? ")" : "");
    }
    if (n > SHOWN)
        (void)printf("  and %zu more: -o json has them all\n", n - SHOWN);
}

static void show_revisions(const struct cli *c, const json_t *doc) {
    json_t *rows = json_pack("[[s,s,s,s,s,s]]", "AT", "OWNER", "REVISION", "STATUS", "HELM", "CHANGE");
    const json_t *list = json_object_get(doc, "revisions");
    size_t n = json_array_size(list);
    for (size_t i = n > SHOWN ? n - SHOWN : 0; i < n; i++) {
        const json_t *x = json_array_get(list, i);
        const char *source = js_str(x, "source_revision", "");
        const char *helm = js_str(x, "helm", "");
        const char *change = js_str(x, "change", "");
        char revision[600];
        (void)snprintf(revision, sizeof revision, "%s%s%s%s", js_str(x, "revision", ""), *source ? " (" : "",
                       source, *source ? ")" : "");
        (void)json_array_append_new(rows, json_pack("[s,s,s,s,s,s]", js_str(x, "at", ""),
                                                    js_str(x, "owner", ""), revision, js_str(x, "status", ""),
                                                    *helm ? helm : "-", *change ? change : "-"));
    }
    if (n > SHOWN)
        (void)printf("\nthe last %d of %zu revisions; -o json has them all", SHOWN, n);
    if (n)
        (void)printf("\n");
    cli_table(c, stdout, rows);
    json_decref(rows);
}

static void show_stage(const struct cli *c, const json_t *doc) {
    (void)printf("%s: %lld of %lld objects are owned as code (%.0f %%)\n", js_str(doc, "stage", ""),
                 (long long)js_int(doc, "owned", 0), (long long)js_int(doc, "objects", 0),
                 json_number_value(json_object_get(doc, "percent")));
    show_owners(c, doc);
    show_unowned(doc);
    show_revisions(c, doc);
}

static int read_all(const struct cli *c, const struct corr *corr, json_t *list, struct err *e) {
    for (size_t i = 0; i < corr->n_stages; i++) {
        json_t *doc;
        if (c->stage && strcmp(c->stage, corr->stages[i].stage) != 0)
            continue;
        int r = gitops_read(&corr->stages[i], &corr->rubric, corr->at_ns, &doc, e);
        if (r < 0)
            return r;
        (void)json_array_append_new(list, doc);
    }
    return 0;
}

static int show(const struct cli *c, const json_t *list) {
    size_t i;
    json_t *doc;
    if (cli_wants_document(c))
        return cli_document(c, list);
    json_array_foreach(list, i, doc) {
        if (i)
            (void)printf("\n");
        show_stage(c, doc);
    }
    return CLI_OK;
}

static int run(struct cli *c) {
    struct corr corr;
    struct err e;
    if (!cli_parse(c, NULL, 0, 0, 0))
        return c->status;
    if (!cli_format_ok(c, cli_formats) || !show_load(c, &corr))
        return CLI_ERROR;
    json_t *list = json_array();
    int status = CLI_ERROR;
    if (!list)
        status = cli_fail("out of memory");
    else if (!c->stage || show_stage_known(c, &corr))
        status = read_all(c, &corr, list, &e) < 0 ? cli_fail("%s", e.text) : CLI_OK;
    if (status == CLI_OK)
        status = show(c, list);
    json_decref(list);
    corr_free(&corr);
    return status;
}

const struct cli_command cli_cmd_gitops = {
    .name = "gitops",
    .summary = "which objects are owned as code, by whom and from which revision",
    .usage = "[--stage C/NS] [--at TIME] [-o table|json|yaml]",
    .run = run,
};

/* ---- for status */

static const char what_suspended[] = "is suspended: what is changed in its source does not come here";
static const char what_drifted[] = "says that the live objects differ from its source";

static int add(json_t *list, const char *stage, const char *owner, const char *what) {
    return json_array_append_new(list,
                                 json_pack("{s:s, s:s, s:s}", "stage", stage, "owner", owner, "what", what));
}

int cli_gitops_notes(const struct corr *corr, const struct facts *f, json_t *list, struct err *e) {
    json_t *doc;
    json_t *x;
    size_t i;
    int r = gitops_read(f, &corr->rubric, corr->at_ns, &doc, e);
    if (r < 0)
        return r;
    json_array_foreach(json_object_get(doc, "owners"), i, x) {
        const char *owner = js_str(x, "owner", "");
        if (js_bool(x, "suspended", false))
            r |= add(list, f->stage, owner, what_suspended);
        if (js_bool(x, "source.suspended", false))
            r |= add(list, f->stage, owner, "has a source that is suspended");
        if (js_bool(x, "drifted", false))
            r |= add(list, f->stage, owner, what_drifted);
    }
    json_decref(doc);
    return r < 0 ? err_oom(e) : 0;
}
