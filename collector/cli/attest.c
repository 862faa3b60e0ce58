/* attest: evidence that a person gives, by name, with a link or with a file's digest; `attest supersede` is
 * in attest_supersede.c. */
#include "cli/attest.h"

#include "cli/commands.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"

#define FILE_BYTES_MAX (1ull << 30)

int attest_digest(const char *path, char out[ATTEST_DIGEST_MAX], struct err *e) {
    unsigned char bytes[65536], hash[(ATTEST_DIGEST_MAX - 1) / 2];
    crypto_generichash_state st;
    FILE *f = fopen(path, "rb");
    if (!f)
        return err_set(e, -errno, "cannot read %s: %s", path, strerror(errno));
    (void)crypto_generichash_init(&st, NULL, 0, sizeof hash);
    size_t n;
    unsigned long long total = 0;
    while ((n = fread(bytes, 1, sizeof bytes, f)) > 0 && (total += n) <= FILE_BYTES_MAX)
        (void)crypto_generichash_update(&st, bytes, n);
    int r = ferror(f) ? err_set(e, -EIO, "cannot read %s", path) : 0;
    if (r == 0 && total > FILE_BYTES_MAX)
        r = err_set(e, -EFBIG, "%s is larger than 1 GiB: attest a smaller file", path);
    (void)fclose(f);
    if (r < 0)
        return r;
    (void)crypto_generichash_final(&st, hash, sizeof hash);
    (void)sodium_bin2hex(out, ATTEST_DIGEST_MAX, hash, sizeof hash);
    return 0;
}

int attest_body(const struct cli *c, const struct attestation *a, json_t **ret, struct err *e) {
    char digest[ATTEST_DIGEST_MAX] = "", at[WHEN_TEXT_MAX];
    int64_t t = c->at_ns ? c->at_ns : when_wall_ns();
    int r = a->file ? attest_digest(a->file, digest, e) : 0;
    if (r < 0)
        return r;
    json_t *body = json_pack("{s:s, s:s, s:s, s:I, s:s}", "what", a->what, "by", a->by, "at",
                             when_format(t, 3, at), "t_ns", (json_int_t)t, "note", a->note ? a->note : "");
    bool ok = body != NULL;
    if (ok && a->link)
        ok = json_object_set_new(body, "link", json_string(a->link)) == 0;
    if (ok && a->file)
        ok = json_object_set_new(body, "blake2b256", json_string(digest)) == 0;
    if (!ok) {
        json_decref(body);
        return err_set(e, -EINVAL, "an attestation is UTF-8 text");
    }
    *ret = body;
    return 0;
}

static int put(const struct cli *c, const struct attestation *a, struct err *e) {
    json_t *body = NULL;
    int r = attest_body(c, a, &body, e);
    if (r < 0)
        return r;
    const char *digest = js_str(body, "blake2b256", "");
    if (c->stage)
        (void)json_object_set_new(body, "stage", json_string(c->stage));
    struct store *s = NULL;
    r = cli_store(c, STORE_READ, &s, e);
    if (r == 0)
        r = cli_put_document(s, "attestation", a->what, body, e);
    store_close(&s);
    if (r == 0)
        (void)printf("attested %s by %s%s%s\n", a->what, a->by, *digest ? ", BLAKE2b-256 " : "", digest);
    json_decref(body);
    return r;
}

static bool short_enough(const char *text) {
    return !text || strnlen(text, ATTEST_TEXT_MAX) < ATTEST_TEXT_MAX;
}

static int attest(const struct cli *c, const struct attestation *a) {
    if (c->n_args)
        return cli_fail("`attest` knows supersede, not '%s'; other evidence is named with --name",
                        c->args[0]);
    if (!a->what || !wire_name_ok(a->what))
        return cli_fail("name what is attested with --name, in letters, digits, '.', '-' and '_'");
    if (!a->by || !*a->by)
        return cli_fail("an attestation needs a name: --by WHO");
    if (!a->link == !a->file)
        return cli_fail("give either --link URL or --digest FILE");
    struct err e = {""};
    return put(c, a, &e) < 0 ? cli_fail("%s", e.text) : CLI_OK;
}

static int run(struct cli *c) {
    struct attestation a = {0};
    const struct cli_option options[] = {
        {"name", 0, CLI_TEXT, &a.what, "WHAT", "what is attested", NULL},
        {"by", 0, CLI_TEXT, &a.by, "WHO|CHANGE", "who attests it; supersede: the later change that passes",
         NULL},
        {"who", 0, CLI_TEXT, &a.who, "WHO", "supersede: who says so", NULL},
        {"link", 0, CLI_TEXT, &a.link, "URL", "where the evidence is", NULL},
        {"digest|file", 0, CLI_TEXT, &a.file, "FILE", "the evidence; only its digest is kept", NULL},
        {"note", 0, CLI_TEXT, &a.note, "TEXT", "what should be known about it", NULL},
    };
    if (!cli_parse(c, options, sizeof options / sizeof *options, 0, 2))
        return c->status;
    if (!short_enough(a.by) || !short_enough(a.who) || !short_enough(a.link) || !short_enough(a.note))
        return cli_fail("--by, --who, --link and --note take at most %d bytes", ATTEST_TEXT_MAX - 1);
    return c->n_args && strcmp(c->args[0], "supersede") == 0 ? attest_supersede(c, &a) : attest(c, &a);
}

const struct cli_command cli_cmd_attest = {
    "attest", "records evidence that a person gives",
    "--name WHAT --by WHO --link URL|--digest FILE [--stage C/NS] [--note TEXT]\n"
    "supersede CHANGE --by CHANGE --who WHO [--stage C/NS] [--link URL] [--digest FILE] [--note TEXT]",
    run};
