/* watch_write: what a look saw, as metrics. Labels are bounded by the pilot: its stages and the rubric's
 * gates. */
#include <string.h>

#include "alert/alert.h"
#include "base/js.h"
#include "base/when.h"
#include "cli/watch_priv.h"
#include "serve/metrics.h"

static const char *const alerts[] = {"agent-gone", "coverage-stale", "stage-unwatched",
                                     "store-full", "conflict",       NULL};
static const char *const verdicts[] = {"PASS", "FAIL", "INCONCLUSIVE", "PENDING", NULL};

/* One number of each stage. scale: of the unit; a negative number is not known, and left out. */
static int write_stages(struct buf *out, const struct watch_look *l, const char *name, const char *type,
                        const char *help, const char *key, double scale) {
    size_t i;
    json_t *stage;
    int r = metric_head(out, name, type, help);
    json_array_foreach(l->stages, i, stage) {
        int64_t value = js_int(stage, key, -1);
        if (r == 0 && value >= 0)
            r = metric_value(out, name, METRIC_LABELS({"stage", js_str(stage, "stage", "")}),
                             (double)value * scale);
    }
    return r;
}

static int write_all_stages(struct buf *out, const struct watch_look *l) {
    int r =
        write_stages(out, l, "pilotgate_stage_sessions", "gauge", "Sessions of agents now.", "sessions", 1);
    if (r == 0)
        r = write_stages(out, l, "pilotgate_stage_expected_agents", "gauge",
                         "Agents that the pilot declares, or its DaemonSet wants if that is more.",
                         "expected", 1);
    if (r == 0)
        r = write_stages(out, l, "pilotgate_stage_oldest_coverage_seconds", "gauge",
                         "Since the least recent of its connected nodes told something new.", "oldest_age_ns",
                         1e-9);
    if (r == 0)
        r = write_stages(out, l, "pilotgate_stage_missing_records", "gauge", "Records that will never come.",
                         "gaps", 1);
    return r == 0 ? write_stages(out, l, "pilotgate_stage_conflicts", "gauge",
                                 "Records and streams that contradict others.", "conflicts", 1)
                  : r;
}

static int write_alerts(struct buf *out, const struct watch_look *l, const json_t *state) {
    static const char name[] = "pilotgate_alert_active";
    size_t i;
    json_t *stage;
    int r = metric_head(out, name, "gauge", "Alerts that began and have not ended.");
    for (size_t a = 0; alerts[a] && r == 0; a++) {
        if (strcmp(alerts[a], "store-full") == 0) {
            r = metric_value(out, name, METRIC_LABELS({"alert", alerts[a]}, {"stage", ""}),
                             alert_active(state, alerts[a], ""));
            continue;
        }
        json_array_foreach(l->stages, i, stage) if (r == 0) r = metric_value(
            out, name, METRIC_LABELS({"alert", alerts[a]}, {"stage", js_str(stage, "stage", "")}),
            alert_active(state, alerts[a], js_str(stage, "stage", "")));
    }
    return r;
}

static int write_verdict(struct buf *out, const char *gate, const json_t *stage) {
    int r = 0;
    for (size_t v = 0; verdicts[v] && r == 0; v++)
        r = metric_value(
            out, "pilotgate_gate_verdict",
            METRIC_LABELS({"gate", gate}, {"stage", js_str(stage, "stage", "")}, {"verdict", verdicts[v]}),
            strcmp(js_str(stage, "verdict", ""), verdicts[v]) == 0);
    return r;
}

static int write_verdicts(struct buf *out, const struct watch_look *l) {
    size_t i, j;
    json_t *gate, *stage;
    int r =
        metric_head(out, "pilotgate_gate_verdict", "gauge", "1 for the verdict of the gate on the stage.");
    json_array_foreach(json_object_get(l->verdicts, "gates"), i, gate)
        json_array_foreach(json_object_get(gate, "stages"), j, stage) if (r == 0) r =
            write_verdict(out, js_str(gate, "id", ""), stage);
    return r;
}

int watch_write(struct buf *out, const struct watch_look *l, const json_t *state) {
    const struct {
        const char *name, *type, *help;
        double value;
    } list[] = {
        {"pilotgate_store_file_bytes", "gauge", "Bytes of the database, its log included.",
         (double)l->size.file_bytes},
        {"pilotgate_store_free_bytes", "gauge", "Bytes free on its disk.", (double)l->size.free_disk_bytes},
        {"pilotgate_store_records", "gauge", "Records stored.", (double)l->size.records},
        {"pilotgate_store_packed_records", "gauge", "Of these, in packs.", (double)l->size.packed},
        {"pilotgate_store_calls", "gauge", "Calls in the rollups.", (double)l->size.calls},
        {"pilotgate_look_timestamp_seconds", "gauge", "When the collector last looked at its pilot.",
         (double)l->at_ns / 1e9},
        {"pilotgate_look_duration_seconds", "gauge", "How long that took.", (double)l->took_ns / 1e9},
        {"pilotgate_alerts_waiting", "gauge", "Events that the webhook has not taken yet.",
         (double)alert_waiting(state)},
        {"pilotgate_alerts_dropped_total", "counter", "Events that it did not take within a day.",
         (double)alert_dropped(state)},
    };
    int r = write_all_stages(out, l);
    for (size_t k = 0; r == 0 && k < sizeof list / sizeof *list; k++)
        r = metric_single(out, list[k].name, list[k].type, list[k].help, list[k].value);
    if (r == 0)
        r = write_alerts(out, l, state);
    return r == 0 ? write_verdicts(out, l) : r;
}
