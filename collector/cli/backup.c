/* backup: the only supported copy of a store. */
#include "cli/commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COPY_BYTES 65536

static int copy_out(const char *path, FILE *in, struct err *e) {
    char bytes[COPY_BYTES];
    size_t n;
    int r = 0;
    while (r == 0 && (n = fread(bytes, 1, sizeof bytes, in)) > 0)
        if (fwrite(bytes, 1, n, stdout) != n)
            r = err_set(e, -EIO, "cannot write the backup to standard output");
    if (r == 0 && ferror(in))
        r = err_set(e, -EIO, "cannot read %s", path);
    return r;
}

/* SQLite writes files, not streams: a file in the temporary folder, then its bytes. Its name is gone before
 * they go out: whoever reads them may end us at any time. */
static int to_stdout(struct store *s, struct err *e) {
    const char *tmp = getenv("TMPDIR");
    char dir[4096], path[4200];
    if (isatty(STDOUT_FILENO))
        return err_set(e, -EINVAL, "a backup is no text for a terminal: redirect it, or name a file");
    (void)snprintf(dir, sizeof dir, "%s/pilotgate-backup.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        return err_set(e, -errno, "cannot make %s: %s; set TMPDIR to a folder with room", dir,
                       strerror(errno));
    (void)snprintf(path, sizeof path, "%s/pilot.db", dir);
    int r = store_backup(s, path, e);
    FILE *in = r == 0 ? fopen(path, "rbe") : NULL;
    if (r == 0 && !in)
        r = err_set(e, -errno, "cannot read %s: %s", path, strerror(errno));
    (void)unlink(path);
    (void)rmdir(dir);
    if (r == 0)
        r = copy_out(path, in, e);
    if (in)
        (void)fclose(in);
    return r;
}

static int run(struct cli *c) {
    if (!cli_parse(c, NULL, 0, 1, 1))
        return c->status;
    struct store *s = NULL;
    struct err e = {""};
    int r = cli_store(c, STORE_READ, &s, &e);
    if (r == 0)
        r = strcmp(c->args[0], "-") == 0 ? to_stdout(s, &e) : store_backup(s, c->args[0], &e);
    store_close(&s);
    return r < 0 ? cli_fail("%s", e.text) : CLI_OK;
}

const struct cli_command cli_cmd_backup = {"backup", "copies the store while the daemon goes on", "FILE|-",
                                           run};
