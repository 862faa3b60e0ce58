/* flux: see flux.h. */
#include "cli/flux.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_MAX 512
#define REQUEST_TIMEOUT "--request-timeout=20s"

extern char **environ;

static const struct {
    const char *kind, *resource;
} kinds[] = {
    {"HelmRelease", "helmreleases.helm.toolkit.fluxcd.io"},
    {"Kustomization", "kustomizations.kustomize.toolkit.fluxcd.io"},
    {"GitRepository", "gitrepositories.source.toolkit.fluxcd.io"},
    {"HelmRepository", "helmrepositories.source.toolkit.fluxcd.io"},
    {"OCIRepository", "ocirepositories.source.toolkit.fluxcd.io"},
    {"Bucket", "buckets.source.toolkit.fluxcd.io"},
};

/* ---- the command line */

/* A kind of Flux's, or the full name of any other resource that has spec.suspend:
 * "terraforms.infra.contrib.fluxcd.io". */
static bool name_kind(const char *kind, struct flux_item *ret) {
    const char *resource = strchr(kind, '.') && wire_name_ok(kind) ? kind : NULL;
    *ret = (struct flux_item){.ours = false};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcasecmp(kinds[i].kind, kind) == 0) {
            resource = kinds[i].resource;
            kind = kinds[i].kind;
        }
    if (!resource)
        return false;
    (void)snprintf(ret->resource, sizeof ret->resource, "%s", resource);
    (void)snprintf(ret->kind, sizeof ret->kind, "%s", kind);
    return true;
}

static int parse_item(const char *text, size_t len, const char *ns, struct flux_item *ret, struct err *e) {
    char copy[2 * WIRE_NAME_MAX + 64], *kind = copy, *name, *second;
    if (len >= sizeof copy)
        return err_set(e, -ENAMETOOLONG, "--suspend-flux: a name is too long");
    (void)snprintf(copy, sizeof copy, "%.*s", (int)len, text);
    name = strchr(copy, '/');
    if (!name)
        return err_set(e, -EINVAL, "--suspend-flux %s: write KIND/NAME, as HelmRelease/shop", copy);
    *name++ = 0;
    second = strchr(name, '/');
    if (second)
        *second++ = 0;
    if (!wire_name_ok(name) || (second && !wire_name_ok(second)))
        return err_set(e, -EINVAL, "--suspend-flux: '%s' is no name; write KIND/NAME or KIND/NAMESPACE/NAME",
                       second ? second : name);
    if (name_kind(kind, ret)) {
        (void)snprintf(ret->name, sizeof ret->name, "%s", second ? second : name);
        (void)snprintf(ret->namespace_name, sizeof ret->namespace_name, "%s", second ? name : ns);
        return 0;
    }
    return err_set(e, -EINVAL,
                   "--suspend-flux: Flux has no kind '%s'; write HelmRelease, Kustomization, a source, or "
                   "RESOURCE.GROUP",
                   kind);
}

int flux_parse(const char *list, const char *ns, struct flux *ret, struct err *e) {
    struct flux f = {.context = ret->context, .guard_fd = -1};
    while (*list) {
        size_t len = strcspn(list, ",");
        if (f.n == FLUX_MAX)
            return err_set(e, -E2BIG, "--suspend-flux takes at most %d objects", FLUX_MAX);
        int r = parse_item(list, len, ns, &f.items[f.n++], e);
        if (r < 0)
            return r;
        list += len + (list[len] == ',');
    }
    if (f.n == 0)
        return err_set(e, -EINVAL, "--suspend-flux: name the objects, as HelmRelease/shop");
    *ret = f;
    return 0;
}

/* ---- kubectl */

/* In a process group of its own: what ends the drill at a terminal must not end this. */
static int spawn(char *const *argv, int output, pid_t *ret, struct err *e) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    (void)sigemptyset(&none);
    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
    (void)posix_spawn_file_actions_adddup2(&files, output, STDERR_FILENO);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    int code = posix_spawnp(ret, argv[0], &files, &attributes, argv, environ);
    (void)posix_spawn_file_actions_destroy(&files);
    (void)posix_spawnattr_destroy(&attributes);
    return code ? err_set(e, -code, "cannot run kubectl: %s; --suspend-flux needs it on PATH", strerror(code))
                : 0;
}

static void read_all(int fd, char out[OUTPUT_MAX]) {
    size_t n = 0;
    char rest[256];
    for (;;) {
        bool full = n == OUTPUT_MAX - 1;
        ssize_t got = full ? read(fd, rest, sizeof rest) : read(fd, out + n, OUTPUT_MAX - 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        n += full ? 0 : (size_t)got;
    }
    out[n] = 0;
    while (n && (out[n - 1] == '\n' || out[n - 1] == ' '))
        out[--n] = 0;
}

/* words: what follows the options that say where; ended by NULL. */
static int kubectl(const struct flux *f, const struct flux_item *x, const char *verb,
                   const char *const *words, char out[OUTPUT_MAX], struct err *e) {
    const char *argv[16] = {"kubectl", REQUEST_TIMEOUT, "-n", x->namespace_name, verb, x->resource, x->name};
    int n = 7, status = -1, pipes[2];
    pid_t pid = 0;
    if (f->context) {
        argv[n++] = "--context";
        argv[n++] = f->context;
    }
    for (; *words; words++)
        argv[n++] = *words;
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return err_set(e, -errno, "cannot make a pipe: %s", strerror(errno));
    int r = spawn((char *const *)argv, pipes[1], &pid, e);
    (void)close(pipes[1]);
    if (r == 0)
        read_all(pipes[0], out);
    (void)close(pipes[0]);
    if (r < 0)
        return r;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (status != 0)
        return err_set(e, -EIO, "%s/%s in %s cannot be read or changed: %.200s", x->kind, x->name,
                       x->namespace_name, *out ? out : "kubectl failed");
    return 0;
}

static int read_suspended(const struct flux *f, const struct flux_item *x, bool *ret, struct err *e) {
    static const char *const words[] = {"-o", "jsonpath={.spec.suspend}", NULL};
    char out[OUTPUT_MAX];
    int r = kubectl(f, x, "get", words, out, e);
    if (r == 0)
        *ret = strcmp(out, "true") == 0;
    return r;
}

static int set_suspended(const struct flux *f, const struct flux_item *x, bool suspend, struct err *e) {
    const char *words[] = {"--type=merge", "-p",
                           suspend ? "{\"spec\":{\"suspend\":true}}" : "{\"spec\":{\"suspend\":false}}",
                           NULL};
    char out[OUTPUT_MAX];
    return kubectl(f, x, "patch", words, out, e);
}

static int resume_all(struct flux *f, struct err *e) {
    struct err later = {""};
    int first = 0;
    for (size_t i = 0; i < f->n; i++) {
        struct flux_item *x = &f->items[i];
        int r = x->ours ? set_suspended(f, x, false, first ? &later : e) : 0;
        if (r == 0)
            x->ours = false;
        else if (first == 0)
            first = err_prefix(e, r, "still suspended, resume it by hand");
    }
    return first;
}

/* ---- the guard */

/* Waits until the drill has resumed by itself (a byte), or is gone (the pipe's end). */
static void stand_guard(struct flux *f, int fd) {
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    struct err e = {""};
    char done = 0;
    ssize_t n;
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        (void)signal(ignored[i], SIG_IGN);
    (void)setsid();
    while ((n = read(fd, &done, 1)) < 0 && errno == EINTR) {
    }
    if (n == 0 && resume_all(f, &e) < 0)
        (void)fprintf(stderr, "pilotgate: %s\n", e.text);
    _exit(0);
}

static int post_guard(struct flux *f, struct err *e) {
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return err_set(e, -errno, "cannot make a pipe: %s", strerror(errno));
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(pipes[1]);
        stand_guard(f, pipes[0]);
    }
    (void)close(pipes[0]);
    if (pid < 0) {
        (void)close(pipes[1]);
        return err_set(e, -errno, "cannot start a guard: %s", strerror(errno));
    }
    f->guard = pid;
    f->guard_fd = pipes[1];
    return 0;
}

static void dismiss_guard(struct flux *f) {
    static const char done = 1;
    if (!f->guard)
        return;
    (void)!write(f->guard_fd, &done, 1);
    (void)close(f->guard_fd);
    while (waitpid(f->guard, NULL, 0) < 0 && errno == EINTR) {
    }
    f->guard = 0;
    f->guard_fd = -1;
}

/* ---- from the drill */

int flux_suspend(struct flux *f, struct err *e) {
    int r = 0;
    struct err second = {""};
    for (size_t i = 0; i < f->n && r == 0; i++) {
        bool already = false;
        r = read_suspended(f, &f->items[i], &already, e);
        f->items[i].ours = r == 0 && !already;
    }
    if (r == 0) /* before anything is changed */
        r = post_guard(f, e);
    for (size_t i = 0; i < f->n && r == 0; i++)
        if (f->items[i].ours)
            r = set_suspended(f, &f->items[i], true, e);
    if (r < 0 && f->guard)
        (void)!flux_resume(f, &second);
    return r;
}

int flux_resume(struct flux *f, struct err *e) {
    int r = f->guard ? resume_all(f, e) : 0;
    dismiss_guard(f);
    return r;
}
