/* serve: the collector daemon. Opens the store, binds, takes records until SIGTERM, and ends in order.
 * Only this file wires store, ingest and HTTP together. */
#include "cli/commands.h"
#include "cli/watch.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/when.h"
#include "cli/retain.h"
#include "ingest/ingest.h"
#include "serve/http.h"
#include "serve/metrics.h"

#define FSYNC_IMPLAUSIBLE_NS 20000 /* faster than any disk that really keeps what it was given */

struct serving {
    struct store *store;
    struct ingest *ingest;
    struct http *http;
    struct http_source source;
    struct watch *watch;
    struct retainer *retainer; /* NULL: everything is kept */
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

static int write_commits(struct buf *out, const struct ingest_counters *c) {
    double bounds[INGEST_COMMIT_BUCKETS];
    uint64_t counts[INGEST_COMMIT_BUCKETS + 1];
    uint64_t longer = c->commits;
    for (size_t k = 0; k < INGEST_COMMIT_BUCKETS; k++) {
        bounds[k] = (double)(INGEST_COMMIT_BUCKET_NS << k) / 1e9;
        counts[k] = c->commit_buckets[k];
        longer -= counts[k] < longer ? counts[k] : longer;
    }
    counts[INGEST_COMMIT_BUCKETS] = longer;
    const struct metric_histogram h = {INGEST_COMMIT_BUCKETS, bounds, counts, (double)c->commit_ns_sum / 1e9};
    int r = metric_head(out, "pilotgate_commit_seconds", "histogram",
                        "From the first record of a transaction to its fsync.");
    return r == 0 ? metric_histogram(out, "pilotgate_commit_seconds", METRIC_NO_LABELS, &h) : r;
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
        {"pilotgate_calls_total", "counter", "Calls in the blocks that were committed.", (double)c.calls},
        {"pilotgate_store_full_batches_total", "counter",
         "Batches refused because the store was full or failed; agents keep them.", (double)c.store_full},
        {"pilotgate_oldest_uncommitted_seconds", "gauge", "Age of the transaction that is open.",
         (double)c.oldest_unacked_ns / 1e9},
        {"pilotgate_sessions", "gauge", "Sessions of agents now.", (double)c.sessions},
        {"pilotgate_store_fsync_seconds", "gauge", "Median fsync of the store's disk, measured at start.",
         (double)store_fsync_ns(s->store) / 1e9},
    };
    int r = metric_head(out, "pilotgate_build_info", "gauge", "The version that runs.");
    if (r == 0)
        r = metric_value(out, "pilotgate_build_info",
                         METRIC_LABELS({"version", PILOTGATE_VERSION}, {"program", "pilotgate"}), 1);
    for (size_t k = 0; r == 0 && k < sizeof all / sizeof *all; k++)
        r = metric_single(out, all[k].name, all[k].type, all[k].help, all[k].value);
    if (r == 0)
        r = write_commits(out, &c);
    return r == 0 ? watch_metrics(s->watch, out) : r;
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

static int begin(const struct cli *c, const struct ingest_options *o, const struct watch_options *w,
                 const char *http, struct serving *s, struct err *e) {
    raise_limits();
    int r = cli_store(c, STORE_SERVE, &s->store, e);
    if (r == 0)
        r = ingest_new(o, s->store, &s->ingest, e);
    if (r == 0)
        r = watch_start(c, w, s->ingest, &s->watch, e);
    if (r < 0)
        return r;
    s->source =
        (struct http_source){.ready = is_ready, .why = why_not_ready, .metrics = write_metrics, .ctx = s};
    r = http_start(http, &s->source, &s->http, e);
    return r < 0 ? r : handle_signals(s->ingest, e);
}

static int run(struct cli *c) {
    struct ingest_options o = {.bind = "tcp://0.0.0.0:5670"};
    const char *http = "127.0.0.1:5671", *keep_calls = NULL, *keep_bytes = NULL;
    struct watch_options w = {.every_ns = 10 * WHEN_S, .stale_ns = 30 * WHEN_S};
    const struct cli_option options[] = {
        {"listen|bind", 0, CLI_TEXT, &o.bind, "ADDRESS", "where agents connect (tcp://0.0.0.0:5670)",
         "PILOTGATE_LISTEN"},
        {"key|key-file", 0, CLI_TEXT, &o.key_file, "FILE", "the collector's key pair (keygen server)",
         "PILOTGATE_KEY"},
        {"allow|allow-file", 0, CLI_TEXT, &o.allow_file, "FILE", "the allow-list of agents' keys",
         "PILOTGATE_ALLOW"},
        {"http", 0, CLI_TEXT, &http, "HOST:PORT", "health and metrics (127.0.0.1:5671)", "PILOTGATE_HTTP"},
        {"webhook-file", 0, CLI_TEXT, &w.hook_file, "FILE", "file with the URL that alerts are posted to",
         "PILOTGATE_WEBHOOK_FILE"},
        {"webhook-plain", 0, CLI_FLAG, &w.hook_plain, NULL, "the URL may be http, to any host", NULL},
        {"alert-every", 0, CLI_DURATION, &w.every_ns, "TIME", "between two looks at the pilot (10s)",
         "PILOTGATE_ALERT_EVERY"},
        {"alert-stale", 0, CLI_DURATION, &w.stale_ns, "TIME",
         "a node that tells nothing new for so long is stale (30s)", "PILOTGATE_ALERT_STALE"},
        {"keep-calls", 0, CLI_TEXT, &keep_calls, "TIME",
         "delete completed calls that are older and that no verdict needs, like 30d", "PILOTGATE_KEEP_CALLS"},
        {"keep-bytes", 0, CLI_TEXT, &keep_bytes, "SIZE",
         "the same, the oldest first, while the store is larger", "PILOTGATE_KEEP_BYTES"},
    };
    if (!cli_parse(c, options, sizeof options / sizeof *options, 0, 0))
        return c->status;
    if (!o.key_file || !o.allow_file)
        return cli_fail(
            "name the key with --key FILE and the allow-list with --allow FILE; `pilotgate keygen all` "
            "makes both");
    if (w.every_ns < WHEN_S / 2 || w.stale_ns < WHEN_S)
        return cli_fail("--alert-every must be at least 500ms, --alert-stale at least 1s");
    struct serving s = {0};
    struct retain_options keep;
    struct err e = {""};
    int r = retain_parse(keep_calls, keep_bytes, &keep, &e);
    if (r == 0)
        r = begin(c, &o, &w, http, &s, &e);
    if (r == 0 && (keep.keep_ns || keep.keep_bytes))
        r = retain_start(c, &keep, &s.retainer, &e);
    if (r == 0) {
        say_start(c, &s);
        r = ingest_run(s.ingest, &e);
    }
    http_stop(&s.http);
    watch_stop(&s.watch);
    retain_stop(&s.retainer);
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
    "serve", "the collector daemon",
    "--key FILE --allow FILE [--listen ADDRESS] [--http HOST:PORT]\n"
    "                [--webhook-file FILE] [--webhook-plain] [--alert-every TIME] [--alert-stale TIME]\n"
    "                [--keep-calls TIME] [--keep-bytes SIZE]",
    run};
