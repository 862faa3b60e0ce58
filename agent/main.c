/* main of pilotgate-agent: wiring only. Reads the configuration, starts the journal and the sources that
 * emit into it, waits for SIGTERM or SIGINT, and stops them in the order in which data flows. */
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/norm.h"
#include "base/when.h"
#include "config.h"
#include "kube/kube.h"
#include "mcp/mcp.h"
#include "metrics.h"
#include "uplink/journal.h"

#define GRACE (5 * WHEN_S)
#define EXIT_WRONG 2 /* configuration, usage or a failed check */

struct agent {
    struct config config;
    struct norm_key key;
    uint8_t boot[WIRE_BOOT_BYTES];
    struct journal_identity identity;
    struct journal *journal;
    struct emit emit; /* for the sources: to the journal, with a word to the user where it is due */
    struct kube *kube;
    struct kube_handover handover; /* from journal to kube */
    struct replicas_to replicas;   /* from kube to mcp */
    struct mcp *mcp; /* under mcp_lock: the journal's thread calls on_load, kube's on_replicas */
    pthread_mutex_t mcp_lock;
    const char *argument; /* of the subcommand; borrowed from argv */
    struct metrics *metrics;
};

static int complain(const struct err *e) {
    (void)fprintf(stderr, "pilotgate-agent: %s\n", e->text);
    return EXIT_WRONG;
}

/* ---------------------------------------------------------------- run */

static void on_load(void *ctx, int64_t ttl_ns) {
    struct agent *a = ctx;
    (void)pthread_mutex_lock(&a->mcp_lock);
    if (a->mcp)
        mcp_set_load(a->mcp, ttl_ns);
    (void)pthread_mutex_unlock(&a->mcp_lock);
}

/* A reason is said once, and again when it is another one; _Thread_local as below. */
static void on_replicas(void *ctx, const struct replicas *r) {
    static _Thread_local char said[WIRE_TEXT_MAX + 1];
    struct agent *a = ctx;
    if (r->reason && strcmp(said, r->reason) != 0)
        log_warn("replicas of Service %s are not called: %s", r->service, r->reason);
    (void)snprintf(said, sizeof said, "%s", r->reason ? r->reason : "");
    (void)pthread_mutex_lock(&a->mcp_lock);
    if (a->mcp)
        mcp_set_replicas(a->mcp, r);
    (void)pthread_mutex_unlock(&a->mcp_lock);
}

static int64_t on_settled(void *ctx) {
    const struct agent *a = ctx;
    return journal_settled_mono(a->journal);
}

static bool on_clock(void *ctx, int64_t *ret_offset_ns, uint64_t *ret_bound_ns) {
    const struct agent *a = ctx;
    struct journal_stats st;
    journal_stats(a->journal, &st);
    *ret_offset_ns = st.clock.offset_ns;
    *ret_bound_ns = st.clock.bound_ns;
    return st.clock.known;
}

/* Sources do not log; what they may not read they tell in a record, when it is so and for each kind. Here one
 * reason is said once, also when it keeps several kinds from being read. */
static void say_unreadable(const Pilotgate__Object *o) {
    static _Thread_local char said[WIRE_TEXT_MAX + 1]; /* every source has a thread of its own */
    if (strcmp(said, o->reason) == 0)
        return;
    (void)snprintf(said, sizeof said, "%s", o->reason);
    log_warn("%s %s cannot be read: %s", o->kind, o->name, o->reason);
}

static void emit_and_say(void *ctx, Pilotgate__Record *r) {
    const struct agent *a = ctx;
    if (r->body_case == PILOTGATE__RECORD__BODY_OBJECT &&
        r->object->op == PILOTGATE__OBJECT__OP__OP_UNREADABLE)
        say_unreadable(r->object);
    emit_record(journal_emit(a->journal), r);
}

static int start(struct agent *a, struct err *e) {
    const struct config *c = &a->config;
    randombytes_buf(a->boot, sizeof a->boot);
    a->emit = (struct emit){emit_and_say, a};
    int r = norm_key_load(c->collector.hash_key_file, &a->key, e);
    if (r < 0)
        return r;
    if (c->kube.enabled)
        kube_identity(c, a->identity.ns_uid, a->identity.cluster_identity);
    r = journal_start(c, a->boot, &a->identity, NULL, &a->journal, e);
    if (r == 0)
        r = mcp_start(c, &a->key, a->boot, &a->emit, &a->mcp, e);
    a->replicas = (struct replicas_to){on_replicas, a};
    a->handover = (struct kube_handover){on_settled, on_clock, a, a->boot};
    if (r == 0 && c->kube.enabled) /* after mcp, which must hear of the first replicas */
        r = kube_start(c, &a->key, &a->emit, &a->replicas, &a->handover, &a->kube, e);
    if (r == 0)
        journal_set_hooks(a->journal, &(struct journal_hooks){.load = on_load, .ctx = a});
    if (r == 0 && *c->metrics.listen)
        r = metrics_start(c, a->journal, a->mcp, &a->metrics, e);
    return r;
}

/* What asks the others first; then sources, so that the journal's last record is the last one. A late Command
 * finds no prober. */
static void stop(struct agent *a) {
    metrics_stop(&a->metrics);
    (void)pthread_mutex_lock(&a->mcp_lock);
    struct mcp *mcp = a->mcp;
    a->mcp = NULL;
    (void)pthread_mutex_unlock(&a->mcp_lock);
    mcp_stop(&mcp, GRACE);
    kube_stop(&a->kube);
    journal_stop(&a->journal, GRACE);
    sodium_memzero(&a->key, sizeof a->key);
}

/* Blocked in every thread that starts from here on, so that sigwait alone takes them. */
static sigset_t block_signals(void) {
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    return set;
}

static int run(struct agent *a) {
    const struct config *c = &a->config;
    sigset_t set = block_signals();
    struct err e;
    log_set_level((enum log_level)c->log_level);
    int r = start(a, &e);
    if (r == 0) {
        int which = 0;
        log_info("pilotgate-agent %s witnesses %s/%s from %s, boot %02x%02x%02x%02x", PILOTGATE_VERSION,
                 c->stage.cluster, c->stage.namespace_name, c->stage.node, a->boot[0], a->boot[1], a->boot[2],
                 a->boot[3]);
        (void)sigwait(&set, &which);
        log_info("ending on %s", which == SIGINT ? "SIGINT" : "SIGTERM");
    }
    stop(a);
    return r < 0 ? complain(&e) : EXIT_SUCCESS;
}

/* ---------------------------------------------------------------- check */

static void say(void *ctx, bool ok, const char *what, const char *advice) {
    bool colour = *(const bool *)ctx;
    const char *begin = !colour ? "" : ok ? "\033[32m" : "\033[31m";
    const char *end = colour ? "\033[0m" : "";
    if (ok)
        (void)printf("%sok%s   %s\n", begin, end, what);
    else
        (void)printf("%sFAIL%s %s: %s\n", begin, end, what, advice ? advice : "failed");
    (void)fflush(stdout);
}

static int check(struct agent *a) {
    const char *no_color = getenv("NO_COLOR");
    bool colour = isatty(STDOUT_FILENO) && !(no_color && *no_color);
    (void)signal(SIGPIPE, SIG_IGN);
    say(&colour, true, "configuration", NULL);
    int failures = 0;
    if (a->config.kube.enabled)
        failures += kube_check(&a->config, say, &colour);
    failures += mcp_check(&a->config, say, &colour);
    failures += journal_check(&a->config, say, &colour);
    return failures == 0 ? EXIT_SUCCESS : EXIT_WRONG;
}

/* ---------------------------------------------------------------- subcommands */

/* takes_argument: the last one that is no flag is for act. */
static int with_config(int argc, char *const *argv, bool takes_argument, int (*act)(struct agent *a)) {
    struct agent a = {.mcp_lock = PTHREAD_MUTEX_INITIALIZER};
    struct err e;
    int rest = 0;
    if (sodium_init() < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        (void)err_set(&e, -1, "cannot initialise libsodium or libcurl: check their installation");
        return complain(&e);
    }
    if (config_load(argc, argv, &a.config, &rest, &e) < 0)
        return complain(&e);
    int status;
    if (takes_argument && rest < argc)
        a.argument = argv[rest++];
    if (rest < argc) {
        (void)err_set(&e, -1, "unexpected argument '%.100s': a subcommand comes first, flags begin with --",
                      argv[rest]);
        status = complain(&e);
    } else {
        status = act(&a);
    }
    config_free(&a.config);
    curl_global_cleanup();
    return status;
}

/* ---------------------------------------------------------------- spool export */

/* Into a file that has its name only when it is whole and on disk. */
static int export_to(struct agent *a, const char *path, struct journal_exported *ret, struct err *e) {
    char aside[4096];
    int n = snprintf(aside, sizeof aside, "%s.new-XXXXXX", path);
    int fd = n > 0 && (size_t)n < sizeof aside ? mkostemp(aside, O_CLOEXEC) : -1;
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!out) {
        if (fd >= 0)
            (void)close(fd);
        return err_set(e, -errno, "cannot write %.1000s: %s", path, strerror(errno));
    }
    int r = journal_export(&a->config, out, ret, e);
    if (r == 0 && (fflush(out) != 0 || fsync(fd) < 0))
        r = err_set(e, -errno, "cannot write %.1000s: %s", aside, strerror(errno));
    if (fclose(out) != 0 && r == 0)
        r = err_set(e, -errno, "cannot write %.1000s: %s", aside, strerror(errno));
    if (r == 0 && rename(aside, path) < 0)
        r = err_set(e, -errno, "cannot write %.1000s: %s", path, strerror(errno));
    if (r < 0)
        (void)unlink(aside);
    return r;
}

static int spool_export(struct agent *a) {
    const char *path = a->argument;
    struct journal_exported done = {0};
    struct err e;
    if (!path) {
        (void)err_set(&e, -1,
                      "name the file to write: pilotgate-agent spool export [FLAGS] FILE, or - for stdout");
        return complain(&e);
    }
    (void)signal(SIGPIPE, SIG_IGN);
    int r = strcmp(path, "-") == 0 ? journal_export(&a->config, stdout, &done, &e)
                                   : export_to(a, path, &done, &e);
    if (r < 0)
        return complain(&e);
    (void)fprintf(stderr, "pilotgate-agent: %llu records exported", (unsigned long long)done.records);
    if (done.unreadable > 0)
        (void)fprintf(stderr, ", %llu cannot be read and will be gaps", (unsigned long long)done.unreadable);
    (void)fputc('\n', stderr);
    return EXIT_SUCCESS;
}

/* `--dir DIR` is short for `--spool-dir DIR`. No API is asked, so that none need be known. */
static int run_export(int argc, char **argv) {
    (void)setenv("PILOTGATE_AGENT_KUBE_ENABLED", "false", 1);
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], "--dir") == 0)
            argv[i] = (char *)(uintptr_t) "--spool-dir";
    return with_config(argc, argv, true, spool_export);
}

static bool has_flag(int argc, char *const *argv, const char *flag) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], flag) == 0)
            return true;
    return false;
}

int main(int argc, char **argv) {
    const char *command = argc > 1 && argv[1][0] != '-' ? argv[1] : NULL;
    if (has_flag(argc, argv, "--version")) {
        (void)printf("pilotgate-agent %s\n", PILOTGATE_VERSION);
    } else if (has_flag(argc, argv, "--help") || has_flag(argc, argv, "-h") ||
               (command && strcmp(command, "help") == 0)) {
        conf_help(&config_program, stdout);
    } else if (!command) {
        return with_config(argc - 1, argv + 1, false, run);
    } else if (strcmp(command, "check") == 0) {
        return with_config(argc - 2, argv + 2, false, check);
    } else if (strcmp(command, "spool") == 0 && argc > 2 && strcmp(argv[2], "export") == 0) {
        return run_export(argc - 3, argv + 3);
    } else if (strcmp(command, "docs") == 0) {
        conf_markdown(&config_program, stdout);
    } else {
        struct err e;
        (void)err_set(
            &e, -1,
            "unknown subcommand '%.100s': known are check, spool export and help; none runs the agent",
            command);
        return complain(&e);
    }
    return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_SUCCESS : EXIT_WRONG;
}
