/* look: which alerts begin and end; see alert.h. Pure: everything it knows is in `seen` and in the state:
 *
 *   {"active": {KEY: {"alert","stage","node","since_ns","reason"}},   what holds and was begun
 *    "held": {KEY: since_ns},                                         what holds and has not yet begun
 *    "verdicts": {GATE \n STAGE: verdict},                            as last told
 *    "queue": [event...], "next": number of the next event, "dropped": n}
 *
 * KEY is alert, stage and node, with newlines between: none of them holds one. */
#include "alert/alert.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"

#define KEY_MAX 512
#define REASON_MAX 256

struct look {
    const struct alert_seen *seen;
    json_t *state, *active, *held, *queue;
    json_t *now; /* KEY: condition that holds */
    bool changed;
};

static json_t *member(json_t *state, const char *key, json_t *(*make)(void)) {
    if (!json_object_get(state, key))
        (void)json_object_set_new(state, key, make());
    return json_object_get(state, key);
}

static void count(json_t *state, const char *key) {
    (void)json_object_set_new(state, key, json_integer(js_int(state, key, 0) + 1));
}

/* ---- events */

static void set_time(json_t *event, const char *key, int64_t ns) {
    char text[WHEN_TEXT_MAX];
    (void)json_object_set_new(event, key, json_string(when_format(ns, 3, text)));
}

/* Takes the event over. */
static int enqueue(struct look *l, json_t *event) {
    char id[96];
    int64_t next = js_int(l->state, "next", 1);
    if (!event)
        return -ENOMEM;
    (void)snprintf(id, sizeof id, "%.40s-%lld", l->seen->store_id, (long long)next);
    (void)json_object_set_new(event, "id", json_string(id));
    (void)json_object_set_new(event, "pilot", json_string(l->seen->pilot));
    (void)json_object_set_new(event, "at_ns", json_integer(l->seen->now_ns));
    set_time(event, "at", l->seen->now_ns);
    (void)json_object_set_new(l->state, "next", json_integer(next + 1));
    if (json_array_size(l->queue) >= ALERT_QUEUE_MAX) {
        (void)json_array_remove(l->queue, 0);
        count(l->state, "dropped");
    }
    l->changed = true;
    return json_array_append_new(l->queue, event) < 0 ? -ENOMEM : 0;
}

static void set_text(json_t *event, const char *key, const char *text) {
    if (text && *text)
        (void)json_object_set_new(event, key, json_string(text));
}

static int tell(struct look *l, const json_t *alert, const char *state) {
    json_t *event = json_pack("{s:s, s:s}", "alert", js_str(alert, "alert", ""), "state", state);
    set_text(event, "stage", js_str(alert, "stage", ""));
    set_text(event, "node", js_str(alert, "node", ""));
    set_text(event, "reason", js_str(alert, "reason", ""));
    set_time(event, "since", js_int(alert, "since_ns", 0));
    return enqueue(l, event);
}

/* ---- conditions */

static int holds(struct look *l, const char *alert, const char *stage, const char *node, const char *reason) {
    char key[KEY_MAX];
    (void)snprintf(key, sizeof key, "%s\n%s\n%s", alert, stage, node);
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s}", "alert", alert, "stage", stage, "node", node, "reason", reason);
    return json_object_set_new(l->now, key, o) < 0 ? -ENOMEM : 0;
}

/* What cannot be known just now is as it was. */
static int holds_on(struct look *l, const char *alert, const char *stage, const char *node) {
    char key[KEY_MAX];
    (void)snprintf(key, sizeof key, "%s\n%s\n%s", alert, stage, node);
    json_t *was = json_object_get(l->active, key);
    return was && json_object_set(l->now, key, was) < 0 ? -ENOMEM : 0;
}

static int look_at_coverage(struct look *l, const char *stage, const json_t *node) {
    char reason[REASON_MAX], age[WHEN_TEXT_MAX];
    int64_t ns = js_int(node, "age_ns", -1);
    if (ns < 0)
        return holds_on(l, "coverage-stale", stage, js_str(node, "node", ""));
    if (ns <= l->seen->stale_ns)
        return 0;
    (void)snprintf(reason, sizeof reason, "no newer coverage came for %s", when_format_duration(ns, age));
    return holds(l, "coverage-stale", stage, js_str(node, "node", ""), reason);
}

static int by_last_seen(const void *a, const void *b) {
    int64_t x = js_int(*(json_t *const *)a, "last_seen_ns", 0);
    int64_t y = js_int(*(json_t *const *)b, "last_seen_ns", 0);
    return (x < y) - (x > y);
}

/* Of the nodes without a session those that were seen last are the ones that are missed: a DaemonSet that
 * became smaller misses none. `missing` agents were never seen at all when nodes do not suffice. */
static int look_at_gone(struct look *l, const char *stage, json_t **away, size_t n, size_t missing) {
    char reason[REASON_MAX];
    int r = 0;
    if (n > 1)
        qsort(away, n, sizeof *away, by_last_seen);
    for (size_t i = 0; i < n && i < missing && r == 0; i++) {
        r = holds(l, "agent-gone", stage, js_str(away[i], "node", ""),
                  "the agent of this node has no session");
        if (r == 0)
            r = look_at_coverage(l, stage, away[i]);
    }
    if (r < 0 || n >= missing)
        return r;
    (void)snprintf(reason, sizeof reason, "%zu expected agents never came", missing - n);
    return holds(l, "agent-gone", stage, "", reason);
}

static int look_at_agents(struct look *l, const json_t *stage) {
    const char *name = js_str(stage, "stage", "");
    json_t *nodes = json_object_get(stage, "nodes"), *node;
    json_t **away = calloc(json_array_size(nodes) + 1, sizeof(json_t *));
    size_t i, n = 0, connected = 0, expected = (size_t)js_int(stage, "expected", 0);
    int r = away ? 0 : -ENOMEM;
    json_array_foreach(nodes, i, node) {
        if (r < 0)
            break;
        if (!js_bool(node, "connected", false)) {
            away[n++] = node;
            continue;
        }
        connected++;
        r = look_at_coverage(l, name, node);
    }
    if (r == 0 && connected < expected)
        r = look_at_gone(l, name, away, n, expected - connected);
    free(away);
    return r;
}

static int look_at_holding(struct look *l, const json_t *stage) {
    char reason[REASON_MAX], age[WHEN_TEXT_MAX];
    const char *name = js_str(stage, "stage", "");
    int64_t ns = js_int(stage, "unheld_ns", -1);
    if (ns < 0)
        return holds_on(l, "stage-unwatched", name, "");
    if (ns <= ALERT_UNHELD_S * WHEN_S)
        return 0;
    (void)snprintf(reason, sizeof reason,
                   "no agent watches releases, workloads and configuration for %s: look at kube.stage_scoped "
                   "and at the Lease kube.lease",
                   when_format_duration(ns, age));
    return holds(l, "stage-unwatched", name, "", reason);
}

static int gather(struct look *l) {
    size_t i;
    json_t *stage;
    int r = 0;
    json_array_foreach(l->seen->stages, i, stage) {
        if (r == 0 && l->seen->running)
            r = look_at_agents(l, stage);
        if (r == 0 && l->seen->running)
            r = look_at_holding(l, stage);
        if (r == 0 && js_int(stage, "conflicts", 0) > 0)
            r = holds(l, "conflict", js_str(stage, "stage", ""), "",
                      "records of this stage contradict each other: `pilotgate agents` says which");
    }
    if (r == 0 && l->seen->store_full && *l->seen->store_full)
        r = holds(l, "store-full", "", "", l->seen->store_full);
    return r;
}

/* ---- begin and end */

/* Whether this look could tell if the alert holds. */
static bool looked_at(const struct look *l, const char *alert) {
    return strcmp(alert, "store-full") == 0 ? l->seen->store_full != NULL : l->seen->stages != NULL;
}

static bool waits(const char *alert) {
    return strcmp(alert, "agent-gone") == 0 || strcmp(alert, "coverage-stale") == 0;
}

static int begin_alert(struct look *l, const char *key, json_t *condition, int64_t since) {
    if (json_object_size(l->active) >= ALERT_ACTIVE_MAX)
        return 0;
    (void)json_object_set_new(condition, "since_ns", json_integer(since));
    (void)json_object_del(l->held, key);
    if (json_object_set(l->active, key, condition) < 0)
        return -ENOMEM;
    return tell(l, condition, "begin");
}

static int begin_all(struct look *l) {
    const char *key;
    json_t *condition;
    int r = 0;
    json_object_foreach(l->now, key, condition) {
        const json_t *held = json_object_get(l->held, key);
        int64_t since = held ? json_integer_value(held) : l->seen->now_ns;
        if (r < 0 || json_object_get(l->active, key))
            continue;
        if (waits(js_str(condition, "alert", "")) && l->seen->now_ns - since < l->seen->hold_ns) {
            l->changed = l->changed || !held;
            r = json_object_set_new(l->held, key, json_integer(since)) < 0 ? -ENOMEM : 0;
        } else {
            r = begin_alert(l, key, condition, since);
        }
    }
    return r;
}

static int end_all(struct look *l) {
    const char *key;
    json_t *alert;
    void *next;
    int r = 0;
    json_object_foreach_safe(l->active, next, key, alert) {
        if (r < 0 || json_object_get(l->now, key) || !looked_at(l, js_str(alert, "alert", "")))
            continue;
        r = tell(l, alert, "end");
        (void)json_object_del(l->active, key);
    }
    json_object_foreach_safe(l->held, next, key, alert) {
        if (l->seen->stages && !json_object_get(l->now, key)) {
            (void)json_object_del(l->held, key);
            l->changed = true;
        }
    }
    return r;
}

/* ---- verdicts */

static int look_at_verdict(struct look *l, json_t *known, const char *gate, const json_t *stage) {
    char key[KEY_MAX];
    const char *name = js_str(stage, "stage", ""), *after = js_str(stage, "verdict", "");
    (void)snprintf(key, sizeof key, "%s\n%s", gate, name);
    const json_t *was = json_object_get(known, key);
    if (was && strcmp(json_string_value(was), after) == 0)
        return 0;
    json_t *event = NULL;
    if (was) {
        event = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "alert", "verdict-changed", "state", "begin",
                          "stage", name, "gate", gate, "before", json_string_value(was), "after", after,
                          "reason", js_str(stage, "reason", ""));
        if (!event)
            return -ENOMEM;
    }
    l->changed = true;
    if (json_object_set_new(known, key, json_string(after)) < 0) {
        json_decref(event);
        return -ENOMEM;
    }
    return event ? enqueue(l, event) : 0;
}

static int look_at_verdicts(struct look *l) {
    json_t *known = member(l->state, "verdicts", json_object), *gate, *stage;
    size_t i, j;
    int r = 0;
    json_array_foreach(json_object_get(l->seen->verdicts, "gates"), i, gate)
        json_array_foreach(json_object_get(gate, "stages"), j, stage) if (r == 0) r =
            look_at_verdict(l, known, js_str(gate, "id", ""), stage);
    return r;
}

int alert_look(const struct alert_seen *seen, json_t *state, bool *ret_changed, struct err *e) {
    struct look l = {.seen = seen,
                     .state = state,
                     .active = member(state, "active", json_object),
                     .held = member(state, "held", json_object),
                     .queue = member(state, "queue", json_array),
                     .now = json_object()};
    int r = l.active && l.held && l.queue && l.now ? gather(&l) : -ENOMEM;
    if (r == 0)
        r = end_all(&l);
    if (r == 0)
        r = begin_all(&l);
    if (r == 0)
        r = look_at_verdicts(&l);
    json_decref(l.now);
    *ret_changed = l.changed;
    return r < 0 ? err_oom(e) : 0;
}

/* ---- what waits to be told */

const json_t *alert_next(json_t *state, int64_t now_ns, bool *ret_changed) {
    json_t *queue = json_object_get(state, "queue");
    *ret_changed = false;
    while (json_array_size(queue) > 0) {
        const json_t *event = json_array_get(queue, 0);
        if (now_ns - js_int(event, "at_ns", 0) <= ALERT_KEEP_S * WHEN_S)
            return event;
        (void)json_array_remove(queue, 0);
        count(state, "dropped");
        *ret_changed = true;
    }
    return NULL;
}

void alert_told(json_t *state) {
    (void)json_array_remove(json_object_get(state, "queue"), 0);
}

int64_t alert_wait(unsigned failures) {
    int64_t s = 1;
    for (unsigned i = 1; i < failures && s < ALERT_WAIT_MAX_S; i++)
        s *= 2;
    return (s < ALERT_WAIT_MAX_S ? s : ALERT_WAIT_MAX_S) * WHEN_S;
}

unsigned alert_active(const json_t *state, const char *alert, const char *stage) {
    const char *key;
    json_t *a;
    unsigned n = 0;
    json_object_foreach(json_object_get(state, "active"), key, a) n +=
        strcmp(js_str(a, "alert", ""), alert) == 0 && strcmp(js_str(a, "stage", ""), stage) == 0;
    return n;
}

uint64_t alert_waiting(const json_t *state) {
    return json_array_size(json_object_get(state, "queue"));
}

uint64_t alert_dropped(const json_t *state) {
    return (uint64_t)js_int(state, "dropped", 0);
}
