/* serve: the collector daemon. Opens the store, binds, takes records until SIGTERM, and ends in order.
 * Only this file wires store, ingest and HTTP together. */
#include "cli/commands.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/log.h"
#include "ingest/ingest.h"
#include "serve/http.h"
#include "serve/metrics.h"

#define FSYNC_IMPLAUSIBLE_NS 20000 /* faster than any disk that really keeps what it was given */

struct serving {
    struct store *store;
    struct ingest *ingest;
    struct http *http;
    struct http_source source;
};

static struct ingest *signalled; /* for the handler; set before it is installed */

static void on_signal(int number) {
    (void)number;
    ingest_stop(signalled);
}

static int handle_signals(struct ingest *i, struct err *e) {
    struct sigaction a = {.sa_handler = on_signal};
    signalled = i;
    if (sigaction(SIGTERM, &a, NULL) < 0 || sigaction(SIGINT, &a, NULL) < 0)
        return err_set(e, -errno, "cannot handle signals");
    a.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &a, NULL);
    return 0;
}

/* Every agent is a file descriptor. */
static void raise_limits(void) {
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &l);
    }
}

static bool is_ready(void *ctx) {
    const struct serving *s = ctx;
    return ingest_ready(s->ingest, NULL);
}

static void why_not_ready(void *ctx, char out[HTTP_WHY_MAX]) {
    _Static_assert(HTTP_WHY_MAX >= INGEST_WHY_MAX, "the reason fits");
    const struct serving *s = ctx;
    (void)ingest_ready(s->ingest, out);
}

static int write_metrics(void *ctx, struct buf *out) {
    const struct serving *s = ctx;
    struct ingest_counters c;
    ingest_counters(s->ingest, &c);
    const struct {
        const char *name, *type, *help;
        double value;
    } all[] = {
        {"pilotgate_records_total", "counter", "Records committed.", (double)c.records},
        {"pilotgate_duplicate_records_total", "counter", "Records that came again and were dropped.",
         (double)c.duplicates},
        {"pilotgate_conflicting_records_total", "counter", "Records that came again with other bytes.",
         (double)c.conflicts},
        {"pilotgate_commits_total", "counter", "Commits with records in them.", (double)c.commits},
        {"pilotgate_refusals_total", "counter", "Peers, sessions and batches that were turned away.",
         (double)c.refusals},
        {"pilotgate_frames_total", "counter", "Frames received from agents.", (double)c.frames},
        {"pilotgate_received_bytes_total", "counter", "Bytes of those frames.", (double)c.bytes},
        {"pilotgate_sessions", "gauge", "Sessions of agents now.", (double)c.sessions},
        {"pilotgate_store_fsync_seconds", "gauge", "Median fsync of the store's disk, measured at start.",
         (double)store_fsync_ns(s->store) / 1e9},
    };
    int r = buf_addf(out,
                     "# HELP pilotgate_build_info The version that runs.\n# TYPE pilotgate_build_info gauge\n"
                     "pilotgate_build_info{version=\"%s\"} 1\n",
                     PILOTGATE_VERSION);
    for (size_t k = 0; r == 0 && k < sizeof all / sizeof *all; k++)
        r = metric_single(out, all[k].name, all[k].type, all[k].help, all[k].value);
    return r;
}

static void say_start(const struct cli *c, const struct serving *s) {
    int64_t fsync_ns = store_fsync_ns(s->store);
    log_info("pilotgate %s takes records on %s, health on port %u, store %s", PILOTGATE_VERSION,
             ingest_endpoint(s->ingest), http_port(s->http), c->store_url);
    log_info("an fsync of the store's disk takes %lld us (median of 20)", (long long)(fsync_ns / 1000));
    if (fsync_ns < FSYNC_IMPLAUSIBLE_NS)
        log_warn("fsync is implausibly fast: the disk may lose acknowledged records in a power cut");
    if (store_on_fuse(s->store))
        log_warn("the store is on FUSE: whether it is local and durable cannot be known");
}

static int begin(const struct cli *c, const struct ingest_options *o, const char *http, struct serving *s,
                 struct err *e) {
    raise_limits();
    int r = cli_store(c, STORE_SERVE, &s->store, e);
    if (r == 0)
        r = ingest_new(o, s->store, &s->ingest, e);
    if (r < 0)
        return r;
    s->source =
        (struct http_source){.ready = is_ready, .why = why_not_ready, .metrics = write_metrics, .ctx = s};
    r = http_start(http, &s->source, &s->http, e);
    return r < 0 ? r : handle_signals(s->ingest, e);
}

static int run(struct cli *c) {
    struct ingest_options o = {.bind = "tcp://0.0.0.0:5670"};
    const char *http = "127.0.0.1:5671";
    const struct cli_option options[] = {
        {"listen|bind", 0, CLI_TEXT, &o.bind, "ADDRESS", "where agents connect (tcp://0.0.0.0:5670)",
         "PILOTGATE_LISTEN"},
        {"key|key-file", 0, CLI_TEXT, &o.key_file, "FILE", "the collector's key pair (keygen server)",
         "PILOTGATE_KEY"},
        {"allow|allow-file", 0, CLI_TEXT, &o.allow_file, "FILE", "the allow-list of agents' keys",
         "PILOTGATE_ALLOW"},
        {"http", 0, CLI_TEXT, &http, "HOST:PORT", "health and metrics (127.0.0.1:5671)", "PILOTGATE_HTTP"},
    };
    if (!cli_parse(c, options, sizeof options / sizeof *options, 0, 0))
        return c->status;
    if (!o.key_file || !o.allow_file)
        return cli_fail(
            "name the key with --key FILE and the allow-list with --allow FILE; `pilotgate keygen all` "
            "makes both");
    struct serving s = {0};
    struct err e = {""};
    int r = begin(c, &o, http, &s, &e);
    if (r == 0) {
        say_start(c, &s);
        r = ingest_run(s.ingest, &e);
    }
    http_stop(&s.http);
    (void)signal(SIGTERM, SIG_IGN); /* the handler's ingest goes away; the end is in order already */
    (void)signal(SIGINT, SIG_IGN);
    ingest_free(&s.ingest);
    store_close(&s.store);
    if (r < 0)
        return cli_fail("%s", e.text);
    log_info("ended in order");
    return CLI_OK;
}

const struct cli_command cli_cmd_serve = {
    "serve", "the collector daemon", "--key FILE --allow FILE [--listen ADDRESS] [--http HOST:PORT]", run};
