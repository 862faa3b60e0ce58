/* status: how the pilot stands: who watches, what keeps each gate from PASS, and what keeps it from ever
 * passing as the stages are watched now. */
#include "cli/commands.h"

#include <errno.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "cli/gitops.h"
#include "cli/show.h"
#include "cli/told.h"
#include "gates/gates.h"
#include "gates/hindrance.h"
#include "gates/holes.h"

struct standing {
    json_t *pilot, *agents, *verdicts, *stops, *holes, *gitops; /* owned */
};

/* ---- gathering */

static unsigned missing_agents(const json_t *agents, const char *stage) {
    size_t i;
    json_t *m;
    json_array_foreach(json_object_get(agents, "missing"), i, m) {
        if (strcmp(js_str(m, "stage", ""), stage) == 0)
            return (unsigned)js_int(m, "agents", 0);
    }
    return 0;
}

/* This stage in this gate; NULL: there is none. */
static const json_t *judged(const json_t *verdicts, const char *gate, const char *stage) {
    size_t i, k;
    json_t *g, *s;
    json_array_foreach(json_object_get(verdicts, "gates"), i, g) {
        if (strcmp(js_str(g, "id", ""), gate) != 0)
            continue;
        json_array_foreach(json_object_get(g, "stages"), k, s) {
            if (strcmp(js_str(s, "stage", ""), stage) == 0)
                return s;
        }
    }
    return NULL;
}

static int stops_of_stage(struct store *s, const struct corr *corr, const struct facts *f,
                          struct standing *st, struct err *e) {
    char cluster[WIRE_NAME_MAX + 1], ns[WIRE_NAME_MAX + 1];
    struct told told = {0};
    if (!cli_split_stage(f->stage, cluster, ns))
        return err_set(e, -EBADMSG, "the stored pilot has a malformed stage: declare it again");
    int r = told_read(s, cluster, ns, corr->at_ns, &told, e);
    if (r < 0)
        return r;
    const struct plan_rules rules = told_plan_rules(&corr->rubric);
    const struct plan_stage load = told_plan_stage(f, &told, st->verdicts);
    const struct hindrance_input in = {f,           &load,
                                       &rules,      missing_agents(st->agents, f->stage),
                                       corr->at_ns, judged(st->verdicts, "architecture", f->stage)};
    hindrances_of_stage(&in, st->stops);
    told_free(&told);
    json_t *holes = holes_of_stage(f);
    r = holes ? json_array_extend(st->holes, holes) : -1;
    json_decref(holes);
    return r < 0 ? err_oom(e) : cli_gitops_notes(corr, f, st->gitops, e);
}

static bool has_passed(const json_t *verdicts, const char *gate, const char *stage) {
    return strcmp(js_str(judged(verdicts, gate, stage), "verdict", ""), "PASS") == 0;
}

/* A gate that has passed needs nothing more. */
static void drop_passed(struct standing *st) {
    for (size_t i = json_array_size(st->stops); i-- > 0;) {
        const json_t *o = json_array_get(st->stops, i);
        if (has_passed(st->verdicts, js_str(o, "gate", ""), js_str(o, "stage", "")))
            (void)json_array_remove(st->stops, i);
    }
}

static int find_stops(const struct cli *c, struct store *s, struct standing *st, struct err *e) {
    struct corr corr;
    int r = show_facts(c, s, &corr, e);
    if (r < 0)
        return r;
    bool known = !c->stage;
    for (size_t i = 0; i < corr.n_stages; i++)
        known |= c->stage && strcmp(c->stage, corr.stages[i].stage) == 0;
    if (!known)
        r = err_set(e, -ENOENT, "the pilot has no stage '%s'; `pilotgate status` lists them", c->stage);
    if (r == 0)
        r = gates_evaluate(&corr, &st->verdicts, e);
    for (size_t i = 0; r == 0 && i < corr.n_stages; i++)
        if (!c->stage || strcmp(c->stage, corr.stages[i].stage) == 0)
            r = stops_of_stage(s, &corr, &corr.stages[i], st, e);
    drop_passed(st);
    if (r == 0)
        hindrances_of_rubric(&corr.rubric, st->stops);
    corr_free(&corr);
    return r;
}

static int gather(const struct cli *c, struct store *s, struct standing *st, struct err *e) {
    st->stops = json_array();
    st->holes = json_array();
    st->gitops = json_array();
    int r = st->stops && st->holes && st->gitops ? cli_pilot(s, &st->pilot, e) : err_oom(e);
    if (r == 0 && !st->pilot)
        r = err_set(e, -ENOENT,
                    "no pilot is declared: `pilotgate pilot init --file pilot.yaml` declares one");
    if (r == 0)
        r = cli_agents(s, &st->agents, e);
    return r == 0 ? find_stops(c, s, st, e) : r;
}

/* ---- showing */

static bool is_shown(const struct cli *c, const json_t *o) {
    const char *stage = js_str(o, "stage", NULL);
    return !c->stage || !stage || strcmp(c->stage, stage) == 0;
}

static void show_stages(const struct cli *c, const json_t *stages) {
    json_t *rows =
        json_pack("[[s,s,s,s,s,s]]", "STAGE", "EXPECTED", "SEEN", "CONNECTED", "LAST RECORD", "UNREADABLE");
    size_t i;
    json_t *st;
    json_array_foreach(stages, i, st) {
        char ago[CLI_AGO_MAX], numbers[3][24], unreadable[512] = "-";
        const char *key;
        json_t *reason;
        if (!is_shown(c, st))
            continue;
        (void)snprintf(numbers[0], 24, "%lld", (long long)js_int(st, "expected", 0));
        (void)snprintf(numbers[1], 24, "%lld", (long long)js_int(st, "seen", 0));
        (void)snprintf(numbers[2], 24, "%lld", (long long)js_int(st, "connected", 0));
        json_object_foreach(json_object_get(st, "unreadable"), key, reason) {
            size_t used = strcmp(unreadable, "-") == 0 ? 0 : strlen(unreadable);
            (void)snprintf(unreadable + used, sizeof unreadable - used, "%s%s: %s", used ? "; " : "", key,
                           json_string_value(reason));
        }
        (void)json_array_append_new(
            rows, json_pack("[s,s,s,s,s,s]", js_str(st, "stage", ""), numbers[0], numbers[1], numbers[2],
                            cli_ago(js_int(st, "last_record_ns", 0), when_wall_ns(), ago), unreadable));
    }
    cli_table(c, stdout, rows);
    json_decref(rows);
}

/* One line each, with what to do. */
static void show_stops(const struct cli *c, const json_t *stops, const char *gate) {
    size_t i;
    json_t *s;
    json_array_foreach((json_t *)stops, i, s) {
        const char *stage = js_str(s, "stage", "");
        if (strcmp(js_str(s, "gate", ""), gate) == 0 && is_shown(c, s))
            (void)printf("    %s%snever, as it is now: %s; %s\n", stage, *stage ? ": " : "",
                         js_str(s, "what", ""), js_str(s, "do", ""));
    }
}

/* Why a gate is not PASS yet, stage by stage where the gate tells stages apart. */
static void show_gates(const struct cli *c, const struct standing *st) {
    size_t i, k;
    json_t *gate, *stage;
    (void)printf("\nwhat still keeps a gate from PASS:\n");
    json_array_foreach(json_object_get(st->verdicts, "gates"), i, gate) {
        if (strcmp(js_str(gate, "verdict", ""), "PASS") == 0)
            continue;
        (void)printf("  %s: %s\n", js_str(gate, "id", ""), js_str(gate, "verdict", ""));
        json_array_foreach(json_object_get(gate, "stages"), k, stage) {
            if (strcmp(js_str(stage, "verdict", ""), "PASS") != 0 && is_shown(c, stage))
                (void)printf("    %s: %s\n", js_str(stage, "stage", ""), js_str(stage, "reason", ""));
        }
        show_stops(c, st->stops, js_str(gate, "id", ""));
    }
}

#define HOLES_SHOWN 20 /* the rest is counted */

static void show_holes(const struct cli *c, const json_t *holes) {
    size_t i, shown = 0;
    json_t *h;
    json_array_foreach((json_t *)holes, i, h) {
        if (!is_shown(c, h) || shown++ >= HOLES_SHOWN)
            continue;
        (void)printf("%s  %s: %s; %s\n", shown == 1 ? "\nwhat nobody saw, or can read:\n" : "",
                     js_str(h, "stage", ""), js_str(h, "what", ""), js_str(h, "do", ""));
    }
    if (shown > HOLES_SHOWN)
        (void)printf("  and %zu more: `pilotgate status -o json` has them all\n", shown - HOLES_SHOWN);
}

static void show_gitops(const json_t *notes) {
    size_t i;
    json_t *n;
    if (json_array_size(notes))
        (void)printf("\nGitOps, see `pilotgate gitops`:\n");
    json_array_foreach((json_t *)notes, i, n) {
        (void)printf("  %s: %s %s\n", js_str(n, "stage", ""), js_str(n, "owner", ""), js_str(n, "what", ""));
    }
}

static int show(const struct cli *c, const struct standing *st) {
    if (!cli_wants_document(c)) {
        (void)printf("pilot %s, %s to %s\n\n", js_str(st->pilot, "name", ""), js_str(st->pilot, "begin", ""),
                     js_str(st->pilot, "end", "its end"));
        show_stages(c, json_object_get(st->agents, "stages"));
        show_gates(c, st);
        show_holes(c, st->holes);
        show_gitops(st->gitops);
        return CLI_OK;
    }
    json_t *doc = json_pack(
        "{s:O, s:O, s:O, s:O, s:O, s:O, s:O}", "pilot", st->pilot, "stages",
        json_object_get(st->agents, "stages"), "missing", json_object_get(st->agents, "missing"), "gates",
        json_object_get(st->verdicts, "gates"), "never", st->stops, "holes", st->holes, "gitops", st->gitops);
    int status = doc ? cli_document(c, doc) : cli_fail("out of memory");
    json_decref(doc);
    return status;
}

int cli_status(const struct cli *c) {
    struct standing st = {0};
    struct err e = {""};
    struct store *s = NULL;
    if (!cli_format_ok(c, cli_formats))
        return CLI_ERROR;
    int r = cli_store(c, STORE_READ, &s, &e);
    if (r == 0)
        r = gather(c, s, &st, &e);
    int status = r < 0 ? cli_fail("%s", e.text) : show(c, &st);
    if (status == CLI_OK)
        status = gates_exit_status(st.verdicts, NULL, c->stage);
    store_close(&s);
    json_decref(st.pilot);
    json_decref(st.agents);
    json_decref(st.verdicts);
    json_decref(st.stops);
    json_decref(st.holes);
    json_decref(st.gitops);
    return status;
}

static int run(struct cli *c) {
    return cli_parse(c, NULL, 0, 0, 0) ? cli_status(c) : c->status;
}

const struct cli_command cli_cmd_status = {"status",
                                           "how the pilot stands, and what keeps a gate from ever passing",
                                           "[--stage C/NS] [-o table|json|yaml]", run};
