/* attest: evidence that a person gives, by name, with a link or with a file's digest. */
#include "cli/commands.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "base/when.h"

#define TEXT_MAX_HERE 2000
#define DIGEST_BYTES 32
#define FILE_BYTES_MAX (1ull << 30)

/* BLAKE2b-256 of the file's bytes, hex. */
static int digest_file(const char *path, char out[2 * DIGEST_BYTES + 1], struct err *e) {
    unsigned char bytes[65536], hash[DIGEST_BYTES];
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
    (void)sodium_bin2hex(out, 2 * DIGEST_BYTES + 1, hash, sizeof hash);
    return 0;
}

struct attestation {
    const char *what, *by, *link, *file, *note;
};

static int put(const struct cli *c, const struct attestation *a, struct err *e) {
    char digest[2 * DIGEST_BYTES + 1] = "", at[WHEN_TEXT_MAX];
    int64_t t = c->at_ns ? c->at_ns : when_wall_ns();
    int r = a->file ? digest_file(a->file, digest, e) : 0;
    if (r < 0)
        return r;
    json_t *body = json_pack("{s:s, s:s, s:s, s:I, s:s}", "what", a->what, "by", a->by, "at",
                             when_format(t, 3, at), "t_ns", (json_int_t)t, "note", a->note ? a->note : "");
    if (body && a->link)
        (void)json_object_set_new(body, "link", json_string(a->link));
    if (body && a->file)
        (void)json_object_set_new(body, "blake2b256", json_string(digest));
    if (body && c->stage)
        (void)json_object_set_new(body, "stage", json_string(c->stage));
    if (!body)
        return err_set(e, -EINVAL, "an attestation is UTF-8 text");
    struct store *s = NULL;
    r = cli_store(c, STORE_READ, &s, e);
    if (r == 0)
        r = cli_put_document(s, "attestation", a->what, body, e);
    store_close(&s);
    json_decref(body);
    if (r == 0)
        (void)printf("attested %s by %s%s%s\n", a->what, a->by, *digest ? ", BLAKE2b-256 " : "", digest);
    return r;
}

static bool short_enough(const char *text) {
    return !text || strnlen(text, TEXT_MAX_HERE) < TEXT_MAX_HERE;
}

static int run(struct cli *c) {
    struct attestation a = {0};
    const struct cli_option options[] = {
        {"name", 0, CLI_TEXT, &a.what, "WHAT", "what is attested", NULL},
        {"by", 0, CLI_TEXT, &a.by, "WHO", "who attests it", NULL},
        {"link", 0, CLI_TEXT, &a.link, "URL", "where the evidence is", NULL},
        {"digest", 0, CLI_TEXT, &a.file, "FILE", "the evidence; only its digest is kept", NULL},
        {"note", 0, CLI_TEXT, &a.note, "TEXT", "what should be known about it", NULL},
    };
    if (!cli_parse(c, options, sizeof options / sizeof *options, 0, 0))
        return c->status;
    if (!a.what || !wire_name_ok(a.what))
        return cli_fail("name what is attested with --name, in letters, digits, '.', '-' and '_'");
    if (!a.by || !*a.by)
        return cli_fail("an attestation needs a name: --by WHO");
    if (!a.link == !a.file)
        return cli_fail("give either --link URL or --digest FILE");
    if (!short_enough(a.by) || !short_enough(a.link) || !short_enough(a.note))
        return cli_fail("--by, --link and --note take at most %d bytes", TEXT_MAX_HERE - 1);
    struct err e = {""};
    return put(c, &a, &e) < 0 ? cli_fail("%s", e.text) : CLI_OK;
}

const struct cli_command cli_cmd_attest = {
    "attest", "records evidence that a person gives",
    "--name WHAT --by WHO --link URL|--digest FILE [--stage C/NS] [--note TEXT]", run};
