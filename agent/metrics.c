/* metrics: see metrics.h. Labels are bounded: probes of the configuration, outcomes, causes and families. */
#include "metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/when.h"
#include "serve/http.h"
#include "serve/metrics.h"

#define PREFIX "pilotgate_agent_"

struct metrics {
    const struct config *config;
    struct journal *journal;
    const struct mcp *mcp;
    struct http *http;
};

static double seconds(int64_t ns) {
    return (double)ns / 1e9;
}

static bool is_healthy(void *ctx) {
    const struct metrics *m = ctx;
    struct journal_stats s;
    journal_stats(m->journal, &s);
    return s.turned_mono_ns == 0 || when_mono_ns() - s.turned_mono_ns < METRICS_STILL_S * WHEN_S;
}

static bool is_ready(void *ctx) {
    const struct metrics *m = ctx;
    struct journal_stats s;
    journal_stats(m->journal, &s);
    return s.keeps && s.sessions > 0;
}

/* ---- singles: one number each, out of the journal's */

struct single {
    const char *name, *type, *help;
    double value;
};

static int write_singles(struct buf *out, const struct single *list, size_t n) {
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++)
        r = metric_single(out, list[i].name, list[i].type, list[i].help, list[i].value);
    return r;
}

static int write_spool(struct buf *out, const struct journal_stats *s) {
    int64_t age = s->oldest_unacked_wall_ns ? when_wall_ns() - s->oldest_unacked_wall_ns : 0;
    const struct single list[] = {
        {PREFIX "spool_bytes", "gauge", "Bytes of the spool's segments.", (double)s->spool_bytes},
        {PREFIX "spool_kept_bytes", "gauge", "Of these, what the collector has and spool.grace still keeps.",
         (double)s->spool_kept_bytes},
        {PREFIX "spool_quota_bytes", "gauge", "Most bytes that the spool may take.", (double)s->spool_quota},
        {PREFIX "spool_taking", "gauge", "1 while records can be kept.", s->keeps},
        {PREFIX "unacknowledged_records", "gauge", "Records that the collector does not have yet.",
         (double)s->unacked_records},
        {PREFIX "oldest_unacknowledged_seconds", "gauge", "Age of the oldest of these.",
         age > 0 ? seconds(age) : 0},
    };
    return write_singles(out, list, sizeof list / sizeof *list);
}

static int write_session(struct buf *out, const struct journal_stats *s) {
    const struct single list[] = {
        {PREFIX "session_up", "gauge", "1 while there is a session with the collector.", s->up},
        {PREFIX "sessions_total", "counter", "Sessions with the collector that began.", (double)s->sessions},
        {PREFIX "session_losses_total", "counter", "Sessions that broke, and attempts without an answer.",
         (double)s->session_losses},
        {PREFIX "refusals_total", "counter", "Times that the collector refused this agent or a batch.",
         (double)s->refusals},
        {PREFIX "clock_steps_total", "counter", "Jumps of the wall clock.", (double)s->clock_steps},
        {PREFIX "pauses_total", "counter", "Times that the process or its machine stood still.",
         (double)s->pauses},
    };
    int r = write_singles(out, list, sizeof list / sizeof *list);
    const struct single clock[] = {
        {PREFIX "clock_offset_seconds", "gauge", "The collector's clock minus this one's, as last reported.",
         seconds(s->clock.offset_ns)},
        {PREFIX "clock_bound_seconds", "gauge", "The offset is right within this.",
         (double)s->clock.bound_ns / 1e9},
        {PREFIX "clock_measured_timestamp_seconds", "gauge", "When it was measured.",
         seconds(s->clock.wall_ns)},
    };
    return r == 0 && s->clock.known ? write_singles(out, clock, sizeof clock / sizeof *clock) : r;
}

/* ---- labelled ones */

static int write_records(struct buf *out, const struct journal_stats *s) {
    int r = metric_head(out, PREFIX "records_total", "counter", "Records put into the spool, by family.");
    for (int f = 1; f < WIRE_FAMILIES && r == 0; f++)
        r = metric_value(out, PREFIX "records_total",
                         METRIC_LABELS({"family", wire_family_name((enum wire_family)f)}),
                         (double)s->appended[f]);
    return r;
}

static int write_lost(struct buf *out, const struct journal_stats *s) {
    static const char *const causes[] = {"against-the-rules", "spool-full",    "spool-failed",
                                         "queue-full",        "spool-damaged", "too-large"};
    int r = metric_head(out, PREFIX "lost_records_total", "counter",
                        "Records that could not be kept, by cause; each is declared to the collector.");
    for (size_t c = 0; c < sizeof causes / sizeof *causes && r == 0; c++)
        r = metric_value(out, PREFIX "lost_records_total", METRIC_LABELS({"cause", causes[c]}),
                         (double)s->lost[c]);
    return r;
}

/* An outcome that no call of the probe had has no series, but for completed. */
static int write_probe(struct buf *out, const char *probe, const struct mcp_counts *c) {
    int r = 0;
    for (int o = 0; o < MCP_OUTCOMES && r == 0; o++)
        if (c->outcomes[o] > 0 || o == PILOTGATE__OUTCOME__OUTCOME_COMPLETED)
            r = metric_value(out, PREFIX "calls_total",
                             METRIC_LABELS({"probe", probe}, {"outcome", wire_outcome_name(o)}),
                             (double)c->outcomes[o]);
    return r;
}

static int write_calls(struct buf *out, const struct metrics *m) {
    const struct config_probe *probes = m->config->probes.items;
    struct mcp_counts c;
    int r = metric_head(out, PREFIX "calls_total", "counter", "Calls that were sent, by probe and outcome.");
    for (size_t i = 0; i < m->config->probes.n && r == 0; i++) {
        mcp_counts(m->mcp, i, &c);
        r = write_probe(out, probes[i].name, &c);
    }
    if (r == 0)
        r = metric_head(out, PREFIX "unsent_calls_total", "counter", "Calls that were due and not sent.");
    for (size_t i = 0; i < m->config->probes.n && r == 0; i++) {
        mcp_counts(m->mcp, i, &c);
        r = metric_value(out, PREFIX "unsent_calls_total", METRIC_LABELS({"probe", probes[i].name}),
                         (double)c.unsent);
    }
    return r;
}

static int write_delays(struct buf *out, const struct metrics *m) {
    double bounds[MCP_DELAY_BOUNDS];
    struct mcp_delays d;
    mcp_delays(m->mcp, &d);
    for (size_t i = 0; i < MCP_DELAY_BOUNDS; i++)
        bounds[i] = seconds(mcp_delay_bounds_ns[i]);
    const struct metric_histogram h = {MCP_DELAY_BOUNDS, bounds, d.delays, (double)d.sum_ns / 1e9};
    int r = metric_head(out, PREFIX "scheduling_delay_seconds", "histogram",
                        "How much later than due the calls of probes with an interval began.");
    return r == 0 ? metric_histogram(out, PREFIX "scheduling_delay_seconds", METRIC_NO_LABELS, &h) : r;
}

/* "VmRSS:      5432 kB"; 0 when /proc is not there. */
static double status_bytes(const char *key) {
    char line[128];
    unsigned long kb = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, strlen(key)) == 0)
            kb = strtoul(line + strlen(key), NULL, 10);
    if (f)
        (void)fclose(f);
    return (double)kb * 1024;
}

static int write_process(struct buf *out) {
    const struct single list[] = {
        {PREFIX "resident_memory_bytes", "gauge", "Memory of the process.", status_bytes("VmRSS:")},
        {PREFIX "resident_anonymous_bytes", "gauge", "Of it, what no file backs.", status_bytes("RssAnon:")},
    };
    int r = metric_head(out, "pilotgate_build_info", "gauge", "The version that runs.");
    if (r == 0)
        r = metric_value(out, "pilotgate_build_info",
                         METRIC_LABELS({"version", PILOTGATE_VERSION}, {"program", "pilotgate-agent"}), 1);
    return r == 0 ? write_singles(out, list, sizeof list / sizeof *list) : r;
}

static int write_metrics(void *ctx, struct buf *out) {
    const struct metrics *m = ctx;
    struct journal_stats s;
    journal_stats(m->journal, &s);
    int r = write_process(out);
    if (r == 0)
        r = write_spool(out, &s);
    if (r == 0)
        r = write_session(out, &s);
    if (r == 0)
        r = write_records(out, &s);
    if (r == 0)
        r = write_lost(out, &s);
    if (r == 0)
        r = write_calls(out, m);
    return r == 0 ? write_delays(out, m) : r;
}

int metrics_start(const struct config *c, struct journal *j, const struct mcp *mcp, struct metrics **ret,
                  struct err *e) {
    struct metrics *m = malloc(sizeof *m);
    if (!m)
        return err_oom(e);
    *m = (struct metrics){.config = c, .journal = j, .mcp = mcp};
    const struct http_source source = {
        .ready = is_ready, .healthy = is_healthy, .metrics = write_metrics, .ctx = m};
    int r = http_start(c->metrics.listen, &source, &m->http, e);
    if (r < 0) {
        free(m);
        return r;
    }
    log_info("health and metrics on port %u", http_port(m->http));
    *ret = m;
    return 0;
}

void metrics_stop(struct metrics **mp) {
    struct metrics *m = mp ? *mp : NULL;
    if (!m)
        return;
    http_stop(&m->http);
    free(m);
    *mp = NULL;
}
