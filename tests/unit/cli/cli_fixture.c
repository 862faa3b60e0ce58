/* cli_fixture: see cli_fixture.h. */
#include "cli_fixture.h"

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/js.h"

#define WAIT_STEPS 500
#define WAIT_STEP_MS 20

static void die(const char *what) {
    perror(what);
    abort();
}

static int status_of(int status) {
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void slurp(const char *dir, const char *name, char *out, size_t max) {
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(out, 1, max - 1, f) : 0;
    out[n] = 0;
    if (f)
        (void)fclose(f);
}

void run_cli(struct run *r, const char *dir, const char *fmt, ...) {
    char line[4096], command[8192];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    (void)snprintf(command, sizeof command, "cd %s && %s %s >run.out 2>run.err </dev/null", dir,
                   PILOTGATE_BIN, line);
    int status = system(command);
    if (status < 0)
        die("system");
    r->status = status_of(status);
    slurp(dir, "run.out", r->out, sizeof r->out);
    slurp(dir, "run.err", r->err, sizeof r->err);
}

json_t *said(const struct run *r, int status) {
    json_t *doc = NULL;
    struct err e = {""};
    if (r->status != status)
        fail_msg("status %d instead of %d: %s%s", r->status, status, r->out, r->err);
    if (js_parse(r->out, strlen(r->out), JS_TEXT_MAX, &doc, &e) < 0)
        fail_msg("%s in %s", e.text, r->out);
    return doc;
}

void said_error(const struct run *r, const char *part) {
    if (r->status != 2)
        fail_msg("status %d where '%s' was expected: %s%s", r->status, part, r->out, r->err);
    assert_string_equal(r->out, "");
    assert_int_equal(strncmp(r->err, "pilotgate: ", 11), 0);
    assert_ptr_equal(strchr(r->err, '\n'), r->err + strlen(r->err) - 1);
    if (!strstr(r->err, part))
        fail_msg("'%s' is not in: %s", part, r->err);
}

pid_t start_cli(const char *dir, const char *name, char *const *argv) {
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    (void)unlink(path); /* what an earlier one said there is not this one's */
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid)
        return pid;
    if (chdir(dir) < 0)
        die(dir);
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || dup2(fd, STDERR_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0)
        die(name);
    execv(PILOTGATE_BIN, argv);
    die(PILOTGATE_BIN);
    return -1;
}

int wait_text(const char *dir, const char *name, const char *text, char *out, size_t max) {
    for (int i = 0; i < WAIT_STEPS; i++) {
        slurp(dir, name, out, max);
        if (strstr(out, text))
            return 1;
        (void)poll(NULL, 0, WAIT_STEP_MS);
    }
    return 0;
}

int stop_cli(pid_t pid, int signal_number) {
    int status;
    if (kill(pid, signal_number) < 0 || waitpid(pid, &status, 0) != pid)
        die("stop");
    return status_of(status);
}

void make_dir(char out[64]) {
    (void)snprintf(out, 64, "/tmp/test-cli.XXXXXX");
    if (!mkdtemp(out))
        die(out);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

void remove_dir(const char *dir) {
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int dir_setup(void **state) {
    char *dir = calloc(1, 64);
    assert_non_null(dir);
    make_dir(dir);
    *state = dir;
    return 0;
}

int dir_teardown(void **state) {
    remove_dir(*state);
    free(*state);
    return 0;
}

void write_text(const char *dir, const char *name, const char *text) {
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0)
        die(path);
}
