/* drill_command: the user's command: whatever changes the product. It gets the drill's signals and no more of
 * its state than PILOTGATE_DRILL_ITERATION. */
#include "cli/drill.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define POLL_MS 20 /* between two looks whether the command has ended */

static volatile int interrupted;
static volatile pid_t child;
static const int ending[] = {SIGINT, SIGTERM, SIGHUP};

static void on_signal(int number) {
    interrupted = 1;
    if (number != SIGINT && child > 0) /* a terminal's SIGINT reaches the command by itself */
        (void)kill(child, SIGTERM);
}

/* A closed pipe must not end the drill either. What nohup(1) ignores stays ignored. */
volatile int *drill_handle_signals(void) {
    struct sigaction a = {.sa_handler = on_signal}, before;
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        if (sigaction(ending[i], NULL, &before) < 0 || before.sa_handler != SIG_IGN)
            (void)sigaction(ending[i], &a, NULL);
    a.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &a, NULL);
    return &interrupted;
}

static void exec_command(char **argv, int64_t iteration, const sigset_t *mask) {
    char text[24];
    struct sigaction a = {.sa_handler = SIG_DFL}, before;
    (void)sigaction(SIGPIPE, &a, NULL);
    /* Before the mask is lifted: our handlers live until exec, and would swallow what was meant for the
     * command. */
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        if (sigaction(ending[i], NULL, &before) < 0 || before.sa_handler != SIG_IGN)
            (void)sigaction(ending[i], &a, NULL);
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
    (void)snprintf(text, sizeof text, "%" PRId64, iteration);
    (void)setenv("PILOTGATE_DRILL_ITERATION", text, 1);
    execvp(argv[0], argv);
    (void)fprintf(stderr, "pilotgate: cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

/* Signals wait until it is known whom to pass them to: none falls between fork and `child`. */
static int start_command(char **argv, int64_t iteration, struct err *e) {
    sigset_t block, mask;
    (void)sigemptyset(&block);
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        (void)sigaddset(&block, ending[i]);
    (void)fflush(NULL);
    (void)sigprocmask(SIG_BLOCK, &block, &mask);
    pid_t pid = interrupted ? 0 : fork();
    int code = errno;
    if (pid == 0 && !interrupted)
        exec_command(argv, iteration, &mask);
    child = pid > 0 ? pid : 0;
    (void)sigprocmask(SIG_SETMASK, &mask, NULL);
    if (pid < 0)
        return err_set(e, -code, "cannot run %s: %s", argv[0], strerror(code));
    return pid > 0 ? 0 : err_set(e, -EINTR, "interrupted");
}

int drill_run_command(struct drill *d, int64_t iteration, int *ret_status, struct err *e) {
    char **argv = d->cli->rest;
    int status;
    pid_t ended;
    int r = start_command(argv, iteration, e);
    if (r < 0)
        return r;
    while ((ended = waitpid(child, &status, WNOHANG)) == 0 || (ended < 0 && errno == EINTR)) {
        drill_keep_load(d);
        (void)poll(NULL, 0, POLL_MS);
    }
    if (ended < 0)
        return err_set(e, -errno, "cannot wait for %s: %s", argv[0], strerror(errno));
    child = 0;
    *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return 0;
}
