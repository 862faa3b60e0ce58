/* plan: see plan.h. */
#include "gates/plan.h"

#include <stdio.h>
#include <string.h>

#include "base/when.h"
#include "gates/gates.h"

#define RAMP_NS (3 * WHEN_S)   /* until the load is seen to be up */
#define SETTLE_NS (5 * WHEN_S) /* `drill --settle` */

struct sums {
    uint64_t reused, fresh, unknown, replicas; /* units a drill */
    uint64_t held, drilled;                    /* calls through the gateway that are kept open; in drills */
    int64_t longest_ns;                        /* call through the gateway; 0: none known */
    unsigned unknown_calls;                    /* loads whose calls' duration is not known */
    bool by_address;
};

static uint64_t kept_open(const struct plan_load *l) {
    return l->drill_in_flight ? l->drill_in_flight : l->in_flight;
}

/* A call counts when it began before the switch can have been and ends after it: of the calls that are open,
 * those begun in the last stretch of their duration that is longer than the switch is uncertain. */
uint64_t plan_units(const struct plan_load *l, int64_t switch_ns) {
    uint64_t open = kept_open(l);
    if (l->control)
        return 0;
    if (l->call_ns == 0)
        return open; /* at most */
    if (l->call_ns <= switch_ns)
        return 0;
    double sure = (double)(l->call_ns - switch_ns);
    if (open)
        return (uint64_t)((double)open * sure / (double)l->call_ns);
    return l->interval_us ? (uint64_t)(sure / 1e3 / (double)l->interval_us) : 0;
}

static void sum(struct sums *t, const struct plan_load *l, int64_t switch_ns) {
    uint64_t units = plan_units(l, switch_ns);
    if (l->control)
        return;
    t->held += kept_open(l);
    t->drilled += l->drill_in_flight;
    t->longest_ns = l->call_ns > t->longest_ns ? l->call_ns : t->longest_ns;
    t->unknown_calls += l->call_ns == 0 && kept_open(l) > 0;
    t->by_address |= *l->path != 0;
    if (*l->path)
        t->replicas += units;
    else if (l->kind == PLAN_KIND_UNKNOWN)
        t->unknown += units;
    else
        *(l->kind == PLAN_KIND_REUSED ? &t->reused : &t->fresh) += units;
}

static void add(json_t *list, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add(json_t *list, const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)json_array_append_new(list, json_string(text));
}

static void too_few(json_t *never, const struct plan_rules *r, const struct sums *t) {
    static const char *const kinds[] = {"reused", "new"};
    const uint64_t units[] = {t->reused, t->fresh};
    for (int k = 0; k < 2; k++)
        if (units[k] + t->unknown < r->min_per_kind)
            add(never,
                "%llu calls on %s connections would be in flight across a switch, %llu are needed: raise "
                "drill_in_flight of a probe with connection: %s",
                (unsigned long long)units[k], kinds[k], (unsigned long long)r->min_per_kind, kinds[k]);
}

/* Why no number of drills is enough. */
static json_t *obstacles(const struct plan_rules *r, const struct plan_stage *s, const struct sums *t,
                         int64_t switch_ns) {
    char longest[WHEN_TEXT_MAX], bound[WHEN_TEXT_MAX];
    json_t *never = json_array();
    if (s->n_loads == 0)
        add(never, "no agent has told its load lately: `pilotgate agents` says who speaks");
    else if (t->held == 0)
        add(never, "no probe keeps calls open: give one to a slow tool in_flight and drill_in_flight");
    else if (t->longest_ns && t->longest_ns <= switch_ns && !t->unknown_calls)
        add(never,
            "calls last %s at most, and a switch is only known to lie within %s: call a slower tool, as "
            "pilotgate-canary's hold",
            when_format_duration(t->longest_ns, longest), when_format_duration(switch_ns, bound));
    else
        too_few(never, r, t);
    if (s->n_loads && s->replicas > 1 && !t->by_address)
        add(never,
            "the gateway has %lld replicas, and no call goes to one by its address: set targets[].replicas "
            "and "
            "probes[].replica_drill_in_flight",
            (long long)s->replicas);
    return never;
}

static json_t *notes(const struct plan_stage *s, const struct sums *t, uint64_t drills) {
    json_t *list = json_array();
    if (t->held && t->drilled == 0)
        add(list, "no probe takes part in drills, the quiet load is all there is: set drill_in_flight");
    if (t->unknown_calls)
        add(list, "how long calls take is not known of %u loads: counted as long enough", t->unknown_calls);
    if (t->unknown)
        add(list,
            "of %llu units it is not known whether connections are reused: no call was witnessed lately, or "
            "both kinds were",
            (unsigned long long)t->unknown);
    if (s->switch_ns == 0)
        add(list, "no switch was seen yet: assumed to be known within 1 s");
    if (drills && s->command_ns == 0)
        add(list, "the time that your command takes comes on top");
    return list;
}

static json_t *load_json(const struct plan_load *l, int64_t switch_ns) {
    static const char *const kinds[] = {"unknown", "reused", "new"};
    json_t *o = json_pack("{s:s, s:s, s:s, s:b, s:s, s:I, s:I, s:I}", "node", l->node, "probe", l->probe,
                          "path", l->path, "control", l->control, "connection", kinds[l->kind], "in_flight",
                          (json_int_t)l->in_flight, "drill_in_flight", (json_int_t)l->drill_in_flight,
                          "units", (json_int_t)plan_units(l, switch_ns));
    if (o && l->interval_us)
        (void)json_object_set_new(o, "interval_s", json_real((double)l->interval_us / 1e6));
    if (o && l->call_ns)
        (void)json_object_set_new(o, "call_s", json_real((double)l->call_ns / 1e9));
    return o;
}

static void set_numbers(json_t *o, const struct plan_rules *r, const struct plan_stage *s,
                        const struct sums *t, uint64_t drills) {
    int64_t once = RAMP_NS + s->command_ns + SETTLE_NS + t->longest_ns;
    double whole = (double)drills * (double)once + (double)r->longest_call_ns + (double)r->keep_alive_ns;
    (void)json_object_set_new(o, "drills", json_integer((json_int_t)drills));
    (void)json_object_set_new(o, "seconds_per_drill", json_real((double)once / 1e9));
    (void)json_object_set_new(o, "seconds", json_real(drills ? whole / 1e9 : 0));
    if (s->drill_units)
        (void)json_object_set_new(o, "units_of_last_drill", json_integer((json_int_t)s->drill_units));
}

json_t *plan_make(const struct plan_rules *r, const struct plan_stage *s) {
    int64_t switch_ns = s->switch_ns ? s->switch_ns : PLAN_SWITCH_NS;
    uint64_t needed = gates_units_needed(r->max_drop_rate, r->confidence);
    struct sums t = {0};
    json_t *loads = json_array();
    for (size_t i = 0; i < s->n_loads; i++) {
        sum(&t, &s->loads[i], switch_ns);
        (void)json_array_append_new(loads, load_json(&s->loads[i], switch_ns));
    }
    json_t *never = obstacles(r, s, &t, switch_ns);
    uint64_t each = t.reused + t.fresh + t.unknown + t.replicas;
    uint64_t missing = needed > s->units ? needed - s->units : 0;
    uint64_t drills = json_array_size(never) || !each ? 0 : (missing + each - 1) / each;
    if (drills > PLAN_DRILLS_MAX) {
        add(never, "%llu drills would be needed: raise drill_in_flight, or accept a higher --max-drop-rate",
            (unsigned long long)drills);
        drills = 0;
    }
    json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:b}", "stage", s->stage, "units_needed",
                          (json_int_t)needed, "units", (json_int_t)s->units, "units_per_drill",
                          (json_int_t)each, "reused", (json_int_t)t.reused, "new", (json_int_t)t.fresh,
                          "replicas", (json_int_t)t.replicas, "switch_s", (double)switch_ns / 1e9,
                          "switch_seen", s->switch_ns > 0);
    if (o)
        set_numbers(o, r, s, &t, drills);
    (void)json_object_set_new(o, "loads", loads);
    (void)json_object_set_new(o, "never", never);
    (void)json_object_set_new(o, "notes", notes(s, &t, drills));
    return o;
}
