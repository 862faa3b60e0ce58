/* pilot: declares a pilot (init) and shows how it stands (status, which status.c shows). */
#include "cli/commands.h"

#include <errno.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "cli/pilot_file.h"

struct newest {
    json_t *body;
    uint64_t commit;
};

static int take_newest(void *ctx, const char *name, const json_t *body, uint64_t commit, int64_t at_ns) {
    struct newest *n = ctx;
    (void)name;
    (void)at_ns;
    if (commit < n->commit)
        return 0;
    json_decref(n->body);
    n->body = json_deep_copy(body);
    n->commit = commit;
    return n->body ? 0 : -ENOMEM;
}

int cli_pilot(struct store *s, json_t **ret, struct err *e) {
    struct newest n = {NULL, 0};
    int r = store_documents(s, 0, "pilot", take_newest, &n, e);
    if (r < 0)
        json_decref(n.body);
    else
        *ret = n.body;
    return r;
}

/* ---- init */

/* A file without begin begins when it was first declared, not each time the daemon's pod starts. */
static int set_begin(json_t *doc, const json_t *old, struct err *e) {
    char text[WHEN_TEXT_MAX];
    if (json_object_get(doc, "begin"))
        return 0;
    bool same = strcmp(js_str(old, "name", ""), js_str(doc, "name", "")) == 0;
    int64_t begin = same ? js_int(old, "begin_ns", when_wall_ns()) : when_wall_ns();
    if (js_int(doc, "end_ns", INT64_MAX) <= begin)
        return err_set(e, -EINVAL, "the pilot's end has passed already: name a later end, or its begin");
    if (json_object_set_new(doc, "begin", json_string(when_format(begin, 0, text))) < 0 ||
        json_object_set_new(doc, "begin_ns", json_integer(begin)) < 0)
        return err_oom(e);
    return 0;
}

/* What has the digest already is there already. */
static int put_reference(struct store *s, const json_t *doc, const json_t *reference, struct err *e) {
    const char *digest = js_str(doc, "architecture.digest", "");
    json_t *there = NULL;
    if (!reference)
        return 0;
    int r = store_document(s, 0, "reference", digest, &there, e);
    if (r == 0 && !(there && json_equal(there, reference)))
        r = cli_put_document(s, "reference", digest, reference, e);
    json_decref(there);
    return r;
}

static int declare(struct store *s, json_t *doc, const json_t *reference, bool replace, struct err *e) {
    json_t *old = NULL;
    int r = cli_pilot(s, &old, e);
    const char *name = js_str(doc, "name", ""), *old_name = js_str(old, "name", "");
    if (r == 0 && old && strcmp(name, old_name) != 0 && !replace)
        r = err_set(e, -EEXIST,
                    "the store holds the pilot '%s': use another store for '%s', or say --replace", old_name,
                    name);
    if (r == 0)
        r = set_begin(doc, old, e);
    bool same = r == 0 && old && json_equal(old, doc);
    if (r == 0)
        r = put_reference(s, doc, reference, e);
    if (r == 0 && !same)
        r = cli_put_document(s, "pilot", name, doc, e);
    if (r == 0)
        (void)printf("pilot %s %s: %zu stages, from %s%s%.12s\n", name,
                     same  ? "is as it was"
                     : old ? "has a new version"
                           : "is declared",
                     json_array_size(json_object_get(doc, "stages")), js_str(doc, "begin", ""),
                     reference ? ", reference " : "", js_str(doc, "architecture.digest", ""));
    json_decref(old);
    return r;
}

static int init(const struct cli *c, const char *file, const char *key, bool replace) {
    struct err e = {""};
    struct store *s = NULL;
    json_t *doc = NULL, *reference = NULL;
    if (!file)
        return cli_fail("name the pilot's file with --file FILE");
    int r = pilot_file_load(file, &doc, &e);
    if (r == 0)
        r = pilot_reference(file, doc, key, &reference, &e);
    if (r == 0)
        r = cli_store(c, STORE_CREATE, &s, &e);
    if (r == 0)
        r = declare(s, doc, reference, replace, &e);
    store_close(&s);
    json_decref(doc);
    json_decref(reference);
    return r < 0 ? cli_fail("%s", e.text) : CLI_OK;
}

static int run(struct cli *c) {
    const char *file = NULL, *key = NULL;
    bool replace = false;
    const struct cli_option options[] = {
        {"file", 'f', CLI_TEXT, &file, "FILE", "init: the pilot in YAML", NULL},
        {"key", 0, CLI_TEXT, &key, "FILE", "init: the pilot's key, for Secrets of its reference (pilot.hash)",
         "PILOTGATE_HASH_KEY"},
        {"replace", 0, CLI_FLAG, &replace, NULL, "init: even if another pilot is declared", NULL},
    };
    if (!cli_parse(c, options, sizeof options / sizeof *options, 1, 1))
        return c->status;
    if (strcmp(c->args[0], "init") == 0)
        return init(c, file, key, replace);
    if (strcmp(c->args[0], "status") == 0)
        return cli_status(c) == CLI_ERROR ? CLI_ERROR : CLI_OK;
    return cli_fail("`pilot` knows init and status, not '%s'", c->args[0]);
}

const struct cli_command cli_cmd_pilot = {
    "pilot", "declares a pilot, and shows how it stands",
    "init --file FILE [--key FILE] [--replace]\nstatus [-o table|json|yaml]", run};
