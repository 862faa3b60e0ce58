/* keygen: keys of collector and agents, and the pilot's key for keyed hashes. Nothing is overwritten. */
#include "cli/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "wire/curve.h"

#define PATH_MAX_HERE 4096
#define HASH_BYTES 32

static int path_in(const char *dir, const char *name, const char *suffix, char *out, struct err *e) {
    int n = snprintf(out, PATH_MAX_HERE, "%s/%s%s", dir, name, suffix);
    return n < PATH_MAX_HERE ? 0 : err_set(e, -ENAMETOOLONG, "%s: the path is too long", dir);
}

static int must_be_new(const char *path, struct err *e) {
    if (access(path, F_OK) == 0)
        return err_set(e, -EEXIST, "%s exists: keygen never overwrites; move it away or name another --out",
                       path);
    return 0;
}

/* Complete or not at all: a half-written key would look like one. */
static int write_new(const char *path, const char *text, mode_t mode, struct err *e) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return err_set(e, -errno, "cannot make %s: %s", path, strerror(errno));
    size_t len = strlen(text);
    int r = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0 ? 0 : -EIO;
    if (close(fd) < 0)
        r = -EIO;
    if (r < 0) {
        (void)unlink(path);
        return err_set(e, r, "cannot write %s: is the disk full?", path);
    }
    return 0;
}

static int make_pair(const char *dir, const char *name, struct curve_key *ret, struct err *e) {
    char secret[PATH_MAX_HERE], open_half[PATH_MAX_HERE];
    int r = path_in(dir, name, ".key", secret, e);
    if (r == 0)
        r = path_in(dir, name, ".pub", open_half, e);
    if (r == 0)
        r = must_be_new(secret, e);
    if (r == 0)
        r = must_be_new(open_half, e);
    if (r == 0)
        r = curve_generate(ret, e);
    if (r == 0)
        r = curve_save(secret, ret, true, e);
    if (r == 0)
        r = curve_save(open_half, ret, false, e);
    if (r == 0)
        (void)printf("%s\n%s\n", secret, open_half);
    return r;
}

static int make_hash_key(const char *dir, const char *name, struct err *e) {
    char path[PATH_MAX_HERE], text[2 * HASH_BYTES + 2];
    unsigned char bytes[HASH_BYTES];
    int r = path_in(dir, name, ".hash", path, e);
    if (r < 0)
        return r;
    if ((r = must_be_new(path, e)) < 0)
        return r;
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return err_set(e, -EIO, "the system gives no random numbers");
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    (void)snprintf(text + 2 * sizeof bytes, 2, "\n");
    r = write_new(path, text, 0600, e);
    explicit_bzero(bytes, sizeof bytes);
    explicit_bzero(text, sizeof text);
    if (r == 0)
        (void)printf("%s\n", path);
    return r;
}

/* "east/a,east/b,west/c": one line of the allow-list for each. */
static int allow_lines(const struct curve_key *agent, const char *stages, struct buf *text, struct err *e) {
    char list[4096], *save = NULL;
    if (strlen(stages) >= sizeof list)
        return err_set(e, -EINVAL, "--stage names too many stages");
    (void)snprintf(list, sizeof list, "%s", stages);
    int r = buf_adds(text, "# KEY CLUSTER NAMESPACE[,NAMESPACE...]; read again whenever it changes\n");
    for (char *one = strtok_r(list, ",", &save); one && r == 0; one = strtok_r(NULL, ",", &save)) {
        char cluster[WIRE_NAME_MAX + 1], ns[WIRE_NAME_MAX + 1];
        if (!cli_split_stage(one, cluster, ns))
            return err_set(e, -EINVAL, "--stage %s: a stage is written CLUSTER/NAMESPACE", one);
        r = buf_addf(text, "%s %s %s\n", agent->public_z85, cluster, ns);
    }
    return r < 0 ? err_oom(e) : 0;
}

static int write_allow(const char *dir, const struct curve_key *agent, const char *stages, struct err *e) {
    char path[PATH_MAX_HERE];
    struct buf text = BUF_INIT(1u << 20);
    int r = path_in(dir, "agents", ".allow", path, e);
    if (r == 0)
        r = allow_lines(agent, stages, &text, e);
    if (r == 0)
        r = write_new(path, buf_str(&text), 0644, e);
    if (r == 0)
        (void)printf("%s\n", path);
    buf_free(&text);
    return r;
}

/* Nothing is made unless all can be. */
static int check_all(const char *dir, const char *stages, struct err *e) {
    static const char *const names[] = {"server.key", "server.pub", "agent.key",
                                        "agent.pub",  "pilot.hash", "agents.allow"};
    struct curve_key none = {{0}, {0}};
    struct buf text = BUF_INIT(1u << 20);
    char path[PATH_MAX_HERE];
    int r = allow_lines(&none, stages, &text, e);
    buf_free(&text);
    for (size_t i = 0; r == 0 && i < sizeof names / sizeof *names; i++) {
        r = path_in(dir, names[i], "", path, e);
        if (r == 0)
            r = must_be_new(path, e);
    }
    return r;
}

static int make_all(const char *dir, const char *stages, struct err *e) {
    struct curve_key server = {{0}, {0}}, agent = {{0}, {0}};
    int r = check_all(dir, stages, e);
    if (r == 0)
        r = make_pair(dir, "server", &server, e);
    if (r == 0)
        r = make_pair(dir, "agent", &agent, e);
    if (r == 0)
        r = make_hash_key(dir, "pilot", e);
    if (r == 0)
        r = write_allow(dir, &agent, stages, e);
    explicit_bzero(&server, sizeof server);
    explicit_bzero(&agent, sizeof agent);
    return r;
}

static int make(const char *what, const char *dir, const char *name, const char *stages, struct err *e) {
    struct curve_key key = {{0}, {0}};
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return err_set(e, -errno, "cannot make the folder %s: %s", dir, strerror(errno));
    int r;
    if (strcmp(what, "all") == 0) {
        r = stages ? make_all(dir, stages, e)
                   : err_set(e, -EINVAL, "name the agents' stages with --stage CLUSTER/NAMESPACE[,...]");
    } else if (strcmp(what, "server") == 0) {
        r = make_pair(dir, name ? name : "server", &key, e);
    } else if (strcmp(what, "agent") == 0) {
        r = make_pair(dir, name ? name : "agent", &key, e);
        if (r == 0)
            (void)printf("# line for the collector's allow-list:\n%s CLUSTER NAMESPACE\n", key.public_z85);
    } else if (strcmp(what, "pilot") == 0) {
        r = make_hash_key(dir, name ? name : "pilot", e);
    } else {
        r = err_set(e, -EINVAL, "keygen makes server, agent, pilot or all, not '%s'", what);
    }
    explicit_bzero(&key, sizeof key);
    return r;
}

static int run(struct cli *c) {
    const char *dir = NULL, *name = NULL, *stages = NULL;
    const struct cli_option options[] = {
        {"out", 0, CLI_TEXT, &dir, "DIR", "folder for the files; made when it is missing", NULL},
        {"name", 0, CLI_TEXT, &name, "NAME", "file name instead of server, agent or pilot", NULL},
        {"stage", 0, CLI_TEXT, &stages, "C/NS[,...]", "stages the agents' key may speak for (all)", NULL},
    };
    if (!cli_parse(c, options, sizeof options / sizeof *options, 1, 1))
        return c->status;
    struct err e = {""};
    if (!dir)
        return cli_fail("name the folder with --out DIR");
    if (name && !wire_name_ok(name))
        return cli_fail("--name %s: a file name of letters, digits, '.', '-' and '_'", name);
    return make(c->args[0], dir, name, stages, &e) < 0 ? cli_fail("%s", e.text) : CLI_OK;
}

const struct cli_command cli_cmd_keygen = {"keygen", "makes keys for collector, agents and pilot",
                                           "server|agent|pilot --out DIR [--name NAME]\n"
                                           "all --out DIR --stage CLUSTER/NAMESPACE[,...]",
                                           run};
