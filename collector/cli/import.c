/* import: what `pilotgate-agent spool export` wrote, for sites that cannot connect. */
#include "cli/commands.h"

#include <errno.h>
#include <string.h>

#include "ingest/ingest.h"

static int say(const struct cli *c, const char *path, const struct ingest_imported *d) {
    if (cli_wants_document(c)) {
        json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "file", path, "cluster", d->cluster,
                              "namespace", d->namespace_name, "node", d->node, "streams",
                              (json_int_t)d->streams, "records", (json_int_t)d->records, "duplicates",
                              (json_int_t)d->duplicates, "conflicts", (json_int_t)d->conflicts);
        int status = o ? cli_document(c, o) : cli_fail("out of memory");
        json_decref(o);
        return status;
    }
    (void)printf("%s: %s/%s/%s: %llu records of %llu streams, %llu were there already, %llu conflict\n", path,
                 d->cluster, d->namespace_name, d->node, (unsigned long long)d->records,
                 (unsigned long long)d->streams, (unsigned long long)d->duplicates,
                 (unsigned long long)d->conflicts);
    return CLI_OK;
}

static int open_store(const struct cli *c, struct store **ret, struct err *e) {
    int r = cli_store(c, STORE_SERVE, ret, e);
    return r == -EBUSY
               ? err_prefix(e, r,
                            "one process writes records: stop `pilotgate serve` while files are imported")
               : r;
}

static int run(struct cli *c) {
    const char *key_file = NULL, *allow_file = NULL;
    const struct cli_option options[] = {
        {"key|key-file", 0, CLI_TEXT, &key_file, "FILE", "the collector's key pair", "PILOTGATE_KEY"},
        {"allow|allow-file", 0, CLI_TEXT, &allow_file, "FILE", "the allow-list of agents' keys",
         "PILOTGATE_ALLOW"},
    };
    struct err e = {""};
    struct store *s = NULL;
    if (!cli_parse(c, options, sizeof options / sizeof *options, 1, CLI_ARGS_MAX))
        return c->status;
    if (!cli_format_ok(c, cli_formats))
        return CLI_ERROR;
    if (!key_file || !allow_file)
        return cli_fail(
            "name the collector's key with --key FILE and the allow-list with --allow FILE, as for serve");
    int r = open_store(c, &s, &e);
    int status = r < 0 ? cli_fail("%s", e.text) : CLI_OK;
    for (size_t k = 0; status == CLI_OK && k < c->n_args; k++) {
        struct ingest_imported done;
        r = ingest_import(s, c->args[k], key_file, allow_file, &done, &e);
        status = r < 0 ? cli_fail("%s", e.text) : say(c, c->args[k], &done);
    }
    store_close(&s);
    return status;
}

const struct cli_command cli_cmd_import = {"import", "takes what `pilotgate-agent spool export` wrote",
                                           "FILE... --key FILE --allow FILE [-o table|json|yaml]", run};
