/* reference: the recommended architecture as code: a first one from rendered manifests (init), checked and
 * compared offline (check), explained (show), those that are built in (list), and the language's JSON schema.
 */
#include "reference/reference.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/js.h"
#include "base/when.h"
#include "cli/commands.h"
#include "cli/show.h"
#include "gates/gates.h"

struct options {
    const char *from, *release, *namespace_name, *out, *id, *source; /* init */
    const char *against, *key;                                       /* check */
};

/* ---- files */

/* Standard input, as much of it as a file may have. */
static int read_input(char **ret, size_t *ret_len, struct err *e) {
    char *text = malloc(REF_FILE_MAX + 2);
    size_t len = text ? fread(text, 1, REF_FILE_MAX + 1, stdin) : 0;
    int r = !text                ? err_oom(e)
            : ferror(stdin)      ? err_set(e, -EIO, "cannot read standard input")
            : len > REF_FILE_MAX ? err_set(e, -EFBIG, "standard input is longer than %u bytes", REF_FILE_MAX)
                                 : 0;
    if (r < 0) {
        free(text);
        return r;
    }
    text[len] = 0;
    *ret = text;
    *ret_len = len;
    return 0;
}

static int read_manifests(const char *path, char **ret, size_t *ret_len, struct err *e) {
    return strcmp(path, "-") == 0 ? read_input(ret, ret_len, e)
                                  : conf_read_file(path, REF_FILE_MAX, ret, ret_len, e);
}

static int write_doc(FILE *to, const struct cli *c, const json_t *doc) {
    return strcmp(c->format, "json") == 0 ? report_json(to, doc) : report_yaml(to, doc);
}

/* A reference that people have edited is not overwritten. */
static int write_new(const struct cli *c, const char *path, const json_t *doc, struct err *e) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST)
        return err_set(e, -EEXIST, "%s exists: move it away or name another --out", path);
    FILE *to = fd < 0 ? NULL : fdopen(fd, "w");
    if (!to) {
        int r = err_set(e, -errno, "cannot make %s: %s", path, strerror(errno));
        if (fd >= 0)
            (void)close(fd);
        return r;
    }
    int r = write_doc(to, c, doc);
    if (fclose(to) != 0 || r < 0) {
        (void)unlink(path);
        return err_set(e, -EIO, "cannot write %s: is the disk full?", path);
    }
    return 0;
}

/* ---- init */

static void tell_left_out(const struct cli *c, const json_t *left_out) {
    size_t i;
    json_t *entry;
    json_t *rows = json_pack("[[s, s]]", "left out", "because");
    json_array_foreach((json_t *)left_out, i, entry)(void) json_array_append_new(
        rows, json_pack("[O, O]", json_object_get(entry, "object"), json_object_get(entry, "reason")));
    cli_table(c, stderr, rows);
    json_decref(rows);
}

static int make(const struct options *o, json_t **ret, json_t **ret_left_out, struct err *e) {
    struct ref_init how = {
        .release = o->release, .namespace_name = o->namespace_name, .id = o->id, .source = o->source};
    char *text;
    size_t len;
    int r = read_manifests(o->from, &text, &len, e);
    if (r < 0)
        return r;
    r = ref_make(strcmp(o->from, "-") == 0 ? "standard input" : o->from, text, len, &how, ret, ret_left_out,
                 e);
    memset(text, 0, len); /* it may hold the values of Secrets */
    free(text);
    return r;
}

static int init(const struct cli *c, const struct options *o) {
    json_t *doc, *left_out;
    struct err e = {""};
    if (!o->from)
        return cli_fail("name the manifests: --from FILE, or --from - for what `helm template` prints");
    if (make(o, &doc, &left_out, &e) < 0)
        return cli_fail("%s", e.text);
    int r = o->out ? write_new(c, o->out, doc, &e) : write_doc(stdout, c, doc);
    if (r == 0)
        tell_left_out(c, left_out);
    json_decref(doc);
    json_decref(left_out);
    return r < 0 ? cli_fail("%s", *e.text ? e.text : "cannot write the reference") : CLI_OK;
}

/* ---- check */

static size_t objects_of(const struct reference *r) {
    size_t n = 0;
    for (size_t i = 0; i < r->n_sets; i++)
        n += r->sets[i].n;
    return n;
}

static int tell_valid(const struct cli *c, const char *name, const struct reference *r) {
    size_t expectations = json_array_size(json_object_get(r->doc, "expectations"));
    size_t tolerances = json_array_size(json_object_get(r->doc, "tolerate"));
    if (cli_wants_document(c)) {
        json_t *doc =
            json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "id", js_str(r->doc, "id", ""), "title",
                      js_str(r->doc, "title", ""), "digest", r->digest, "objects", (json_int_t)objects_of(r),
                      "expectations", (json_int_t)expectations, "tolerances", (json_int_t)tolerances);
        int status = cli_document(c, doc);
        json_decref(doc);
        return status;
    }
    (void)printf("%s is a reference: %s\n", name, js_str(r->doc, "title", ""));
    (void)printf("  %zu objects, %zu expectations, %zu tolerances\n  digest %s\n", objects_of(r),
                 expectations, tolerances, r->digest);
    return CLI_OK;
}

static int status_of(const json_t *result) {
    const char *verdict = js_str(result, "verdict", "");
    return strcmp(verdict, "PASS") == 0 ? CLI_OK : strcmp(verdict, "FAIL") == 0 ? CLI_FAIL : CLI_OPEN;
}

/* As a table of one stage. */
static int tell_result(const struct cli *c, const json_t *result) {
    struct report r = show_report(c);
    struct report_head head = {.pilot = "", .at = "", .evaluator = GATES_EVALUATOR};
    enum report_format format;
    struct err e;
    json_t *doc = NULL;
    json_t *stage = json_copy((json_t *)result);
    json_t *stages = json_pack("[o]", stage);
    if (report_format_parse(c->format, &format, &e) < 0)
        return cli_fail("%s", e.text);
    int status = stage && stages && json_object_set_new(stage, "stage", json_string("rendered")) == 0
                     ? report_compare_make(&head, stages, &doc)
                     : -ENOMEM;
    if (status == 0)
        status = report_compare(&r, doc, format, true);
    json_decref(doc);
    json_decref(stages);
    return status < 0 ? cli_fail("cannot write the result") : status_of(result);
}

static int compare(const struct cli *c, const struct options *o, const struct reference *r,
                   const struct norm_key *key) {
    struct err e = {""};
    struct ref_side side;
    json_t *docs, *result = NULL;
    char *text;
    size_t len;
    if (read_manifests(o->against, &text, &len, &e) < 0)
        return cli_fail("%s", e.text);
    int status = ref_side_of_manifests(o->against, text, len, key, &side, &docs, &e);
    memset(text, 0, len);
    free(text);
    if (status < 0)
        return cli_fail("%s", e.text);
    if (o->release)
        side.release = o->release;
    if (o->namespace_name)
        side.namespace_name = o->namespace_name;
    status = ref_evaluate(r, &side, c->stage ? c->stage : "rendered", c->at_ns ? c->at_ns : when_wall_ns(),
                          &result, &e);
    if (status < 0)
        status = cli_fail("%s", e.text);
    else if (cli_wants_document(c))
        status = cli_document(c, result) == CLI_OK ? status_of(result) : CLI_ERROR;
    else
        status = tell_result(c, result);
    json_decref(result);
    ref_side_free(&side);
    json_decref(docs);
    return status;
}

static int check(const struct cli *c, const struct options *o) {
    struct norm_key key;
    struct reference r;
    struct err e = {""};
    if (c->n_args != 2)
        return cli_fail("name the reference to check: a file, or one of `pilotgate reference list`");
    if ((o->key && norm_key_load(o->key, &key, &e) < 0) ||
        ref_load(c->args[1], o->key ? &key : NULL, &r, &e) < 0)
        return cli_fail("%s", e.text);
    int status = o->against ? compare(c, o, &r, o->key ? &key : NULL) : tell_valid(c, c->args[1], &r);
    ref_free(&r);
    return status;
}

/* ---- show */

static void tell_wrapped(const struct report *r, const char *label, const char *text) {
    if (!*text)
        return;
    (void)printf("  %-10s", label);
    report_wrapped(r, text, 12);
}

/* What is asked, as it is written: one line of JSON. */
static void tell_asked(const struct report *r, const json_t *rule) {
    static const char *const keys[] = {"all_of", "any_of", "one_of", "none_of", "optional",
                                       "check",  "with",   "for",    "expect",  NULL};
    for (const char *const *k = keys; *k; k++) {
        const json_t *v = json_object_get(rule, *k);
        char *text =
            v && !json_object_get(rule, "objects") ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
        tell_wrapped(r, *k, text ? text : "");
        free(text);
    }
}

static void tell_rule(const struct report *r, const json_t *rule) {
    (void)printf("%s  [%s]\n", js_str(rule, "id", ""), js_str(rule, "severity", "required"));
    tell_wrapped(r, "what", js_str(rule, "title", ""));
    tell_wrapped(r, "why", js_str(rule, "why", ""));
    tell_wrapped(r, "source", js_str(rule, "source", ""));
    tell_asked(r, rule);
    size_t objects = json_array_size(json_object_get(rule, "objects"));
    if (objects)
        (void)printf("  objects   %zu, compared field by field\n", objects);
    (void)printf("\n");
}

static void tell_tolerance(const struct report *r, const json_t *rule) {
    char what[1024];
    (void)snprintf(what, sizeof what, "%.300s%s%.300s %.300s", js_str(rule, "expectation", ""),
                   json_object_get(rule, "expectation") && json_object_get(rule, "object") ? " of " : "",
                   js_str(rule, "object", ""), js_str(rule, "pointer", ""));
    (void)printf("tolerated: %s\n", what);
    tell_wrapped(r, "when", js_str(rule, "when", ""));
    tell_wrapped(r, "stage", js_str(rule, "stage", ""));
    tell_wrapped(r, "until", js_str(rule, "until", ""));
    tell_wrapped(r, "reason", js_str(rule, "reason", ""));
    tell_wrapped(r, "owner", js_str(rule, "owner", ""));
    (void)printf("\n");
}

static void tell_read_for(const struct report *r, const json_t *doc) {
    const json_t *of = json_object_get(doc, "read_for");
    char text[1024];
    size_t i;
    json_t *version;
    if (!of)
        return;
    (void)snprintf(text, sizeof text, "%.200s", js_str(of, "chart", ""));
    json_array_foreach(json_object_get(of, "versions"), i, version) {
        size_t n = strlen(text);
        (void)snprintf(text + n, sizeof text - n, "%s%s", i ? ", " : " ", json_string_value(version));
    }
    tell_wrapped(r, "read for", text);
    tell_wrapped(r, "on", js_str(of, "date", ""));
    tell_wrapped(r, "note", js_str(of, "note", ""));
}

static int tell(const struct cli *c, const struct reference *ref) {
    static const char *const lists[] = {"manifests", "expectations", NULL};
    struct report r = show_report(c);
    size_t i;
    json_t *rule;
    if (cli_wants_document(c))
        return cli_document(c, ref->doc);
    (void)printf("%s: %s\n", js_str(ref->doc, "id", ""), js_str(ref->doc, "title", ""));
    tell_read_for(&r, ref->doc);
    (void)printf("  digest    %s\n\n", ref->digest);
    for (const char *const *l = lists; *l; l++)
        json_array_foreach(json_object_get(ref->doc, *l), i, rule) tell_rule(&r, rule);
    json_array_foreach(json_object_get(ref->doc, "tolerate"), i, rule) tell_tolerance(&r, rule);
    return CLI_OK;
}

static int show_stored(const struct cli *c) {
    struct corr corr;
    struct reference r;
    struct err e;
    if (!show_load(c, &corr))
        return CLI_ERROR;
    int status = CLI_ERROR;
    if (!corr.ev.reference)
        status = cli_fail("the pilot names no reference: name one here, or under architecture: in its file");
    else if (ref_from_document(corr.ev.reference, &r, &e) < 0)
        status = cli_fail("%s", e.text);
    else {
        status = tell(c, &r);
        ref_free(&r);
    }
    corr_free(&corr);
    return status;
}

static int show(const struct cli *c) {
    struct reference r;
    struct err e;
    if (c->n_args == 1)
        return show_stored(c);
    if (ref_load(c->args[1], NULL, &r, &e) < 0)
        return cli_fail("%s", e.text);
    int status = tell(c, &r);
    ref_free(&r);
    return status;
}

/* ---- list */

static json_t *head_of(const char *name, struct err *e) {
    struct reference r;
    if (ref_load(name, NULL, &r, e) < 0)
        return NULL;
    json_t *head = json_pack("{s:s, s:O, s:O*, s:s}", "name", name, "title", json_object_get(r.doc, "title"),
                             "read_for", json_object_get(r.doc, "read_for"), "digest", r.digest);
    ref_free(&r);
    return head;
}

static int list(const struct cli *c) {
    json_t *all = json_array();
    json_t *rows = json_pack("[[s, s, s, s]]", "name", "read for", "on", "title");
    for (const char *const *name = ref_builtin_names; *name; name++) {
        struct err e = {""};
        json_t *head = head_of(*name, &e);
        if (!head) {
            json_decref(all);
            json_decref(rows);
            return cli_fail("%s", e.text);
        }
        const json_t *of = json_object_get(head, "read_for");
        (void)json_array_append_new(rows, json_pack("[s, s, s, s]", *name, js_str(of, "chart", "-"),
                                                    js_str(of, "date", "-"), js_str(head, "title", "")));
        (void)json_array_append_new(all, head);
    }
    int status = CLI_OK;
    if (cli_wants_document(c))
        status = cli_document(c, all);
    else
        cli_table(c, stdout, rows);
    json_decref(all);
    json_decref(rows);
    return status;
}

/* ---- the subcommand */

static int run(struct cli *c) {
    static const char *const formats[] = {"table", "json", "yaml", "markdown", "junit", NULL};
    struct options o = {0};
    const struct cli_option options[] = {
        {"from", 0, CLI_TEXT, &o.from, "FILE|-", "init: rendered manifests", NULL},
        {"out", 0, CLI_TEXT, &o.out, "FILE", "init: where to write it; never over a file that is there",
         NULL},
        {"id", 0, CLI_TEXT, &o.id, "ID", "init: its id; the chart's name where it is not given", NULL},
        {"source", 0, CLI_TEXT, &o.source, "TEXT", "init: where the manifests are from, for its readers",
         NULL},
        {"release", 0, CLI_TEXT, &o.release, "NAME",
         "the Helm release of the manifests, where they do not say", NULL},
        {"namespace", 0, CLI_TEXT, &o.namespace_name, "NS", "their namespace, where they do not say", NULL},
        {"against", 0, CLI_TEXT, &o.against, "FILE|-", "check: rendered manifests to compare with it", NULL},
        {"key", 0, CLI_TEXT, &o.key, "FILE", "check: the pilot's key, so that values of Secrets compare",
         NULL},
    };
    if (!cli_parse(c, options, sizeof options / sizeof *options, 1, 2))
        return c->status;
    const char *action = c->args[0];
    static const char *const actions[] = {"init", "check", "show", "list", "schema", NULL};
    if (strcmp(action, "check") == 0)
        return cli_format_ok(c, formats) ? check(c, &o) : CLI_ERROR;
    if (!cli_format_ok(c, cli_formats))
        return CLI_ERROR;
    if (strcmp(action, "init") == 0)
        return init(c, &o);
    if (strcmp(action, "show") == 0)
        return show(c);
    if (strcmp(action, "list") == 0)
        return list(c);
    if (strcmp(action, "schema") == 0)
        return fputs(ref_schema, stdout) < 0 ? CLI_ERROR : CLI_OK;
    const char *near = cli_nearest(action, actions);
    return near ? cli_fail("reference has no '%s'; did you mean '%s'?", action, near)
                : cli_fail("reference has no '%s': init, check, show, list and schema are there", action);
}

const struct cli_command cli_cmd_reference = {
    .name = "reference",
    .summary = "the recommended architecture as code: made, checked, explained",
    .usage = "init --from FILE|- [--release R] [--namespace NS] [--out FILE] [-o yaml|json]\n"
             "check FILE|NAME [--against RENDERED.yaml] [-o table|json|yaml|markdown|junit]\n"
             "show [FILE|NAME] [-o table|json|yaml]\n"
             "list [-o table|json|yaml]\n"
             "schema",
    .run = run,
};
