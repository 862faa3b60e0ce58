/* hindrance: see hindrance.h. */
#include "gates/hindrance.h"

#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "gates/gates_priv.h"

static const char deployment[] = "helm-deployment", safety[] = "config-safety", rollback[] = "rollback",
                  architecture[] = "architecture";

struct noting {
    const struct hindrance_input *in;
    json_t *list;
};

static void note(const struct noting *n, const char *gate, const char *what, const char *what_to_do) {
    json_t *o = json_pack("{s:s, s:s, s:s, s:s}", "gate", gate, "stage", n->in->f->stage, "what", what, "do",
                          what_to_do);
    (void)json_array_append_new(n->list, o);
}

static void note_all(const struct noting *n, const char *what, const char *what_to_do) {
    note(n, deployment, what, what_to_do);
    note(n, safety, what, what_to_do);
    note(n, rollback, what, what_to_do);
}

/* ---- who watches */

static bool nobody_watches(const struct noting *n) {
    const struct facts *f = n->in->f;
    char text[128];
    if (f->n_streams == 0) {
        note_all(n, "no agent has reported", "install the agents, then `pilotgate agents`");
        note(n, architecture, "no agent has reported", "install the agents, then `pilotgate agents`");
        return true;
    }
    if (n->in->missing_agents) {
        (void)snprintf(text, sizeof text, "%u of %u expected agents never came", n->in->missing_agents,
                       f->expected_agents);
        note_all(
            n, text,
            "see `pilotgate agents`: a tainted node, a wrong key, or too many `agents:` in the pilot file");
    }
    return false;
}

static const struct fact_unreadable *unreadable(const struct facts *f, const char *kind) {
    for (size_t i = 0; i < f->n_unreadable; i++)
        if (strcmp(f->unreadable[i].kind, kind) == 0)
            return &f->unreadable[i];
    return NULL;
}

static void secrets(const struct noting *n) {
    const struct fact_unreadable *u = unreadable(n->in->f, "HelmRelease");
    char text[512];
    if (!u)
        u = unreadable(n->in->f, "Secret");
    if (!u)
        return;
    (void)snprintf(text, sizeof text, "Helm's Secrets cannot be read: %.300s", u->reason);
    static const char what_to_do[] =
        "let the agents list Secrets (chart: agent.rbac.secrets), or no revision is seen";
    note(n, deployment, text, what_to_do);
    note(n, rollback, text, what_to_do);
}

/* ---- an operation of Helm's that never ended */

#define PENDING_LONG (15 * 60 * WHEN_S) /* Helm gives up after 5 min, unless told otherwise */

struct newest {
    const struct facts *f;
    char name[WIRE_NAME_MAX + 1], status[32];
    int64_t revision, created;
};

/* The newest revision of those whose Secrets are there. */
static int take_revision(void *ctx, const Pilotgate__Object *o, struct fact_ref ref) {
    struct newest *n = ctx;
    json_t *normal = NULL;
    (void)ref;
    if (strcmp(o->kind, "HelmRelease") != 0 ||
        js_parse(o->normal, strlen(o->normal), WIRE_NORMAL_MAX, &normal, NULL) < 0)
        return 0;
    const char *release = js_str(normal, "name", "");
    if ((!n->f->release || strcmp(release, n->f->release) == 0) && o->created_wall_ns >= n->created &&
        js_int(normal, "revision", 0) > n->revision) {
        n->created = o->created_wall_ns;
        n->revision = js_int(normal, "revision", 0);
        (void)snprintf(n->name, sizeof n->name, "%.253s", o->name);
        (void)snprintf(n->status, sizeof n->status, "%s", js_str(normal, "status", ""));
    }
    json_decref(normal);
    return 0;
}

static void pending(const struct noting *n) {
    struct newest x = {.f = n->in->f};
    char text[WIRE_NAME_MAX + 128], since[WHEN_TEXT_MAX];
    if (facts_snapshot(n->in->f, n->in->now, take_revision, &x, NULL) < 0 ||
        strncmp(x.status, "pending-", 8) != 0 || n->in->now - x.created < PENDING_LONG)
        return;
    (void)snprintf(text, sizeof text, "release %s is %s since %s: whoever began it did not end it", x.name,
                   x.status, when_format(x.created, 0, since));
    static const char what_to_do[] =
        "Helm refuses the next operation until `helm rollback` or `helm uninstall`";
    note(n, deployment, text, what_to_do);
    note(n, rollback, text, what_to_do);
}

/* ---- what is called and read */

static void custom_server(const struct noting *n) {
    const struct facts *f = n->in->f;
    bool called = false;
    for (size_t i = 0; i < f->n_phases; i++) {
        if (f->phases[i].kind != PILOTGATE__PHASE__KIND__KIND_FIRST_CALL)
            continue;
        called = true;
        if (strcmp(f->phases[i].p->reason, "custom-server") == 0)
            return;
    }
    if (called)
        note(
            n, deployment, "no call to the custom server has succeeded, only to others",
            "set custom_server: true on the target that reaches it through the gateway, and give it a probe");
    else
        note(n, deployment, "no call through the gateway has succeeded",
             "give a target with custom_server: true a probe; `pilotgate-agent check` says what cannot be "
             "reached");
}

static void readings(const struct noting *n) {
    const struct facts *f = n->in->f;
    if (!f->catalogue_seen && !f->configuration_seen)
        note(n, safety, "neither a tool catalogue nor the product's configuration is read",
             "add targets and documents to the agent's configuration");
    if (!f->configuration_seen)
        note(n, rollback, "the product's configuration is not read",
             "add its API to documents in the agent's configuration");
}

static int is_workload(void *ctx, const Pilotgate__Object *o, struct fact_ref ref) {
    (void)ref;
    *(bool *)ctx |= strcmp(o->kind, "Deployment") == 0 || strcmp(o->kind, "StatefulSet") == 0 ||
                    strcmp(o->kind, "DaemonSet") == 0;
    return 0;
}

static void gateway(const struct noting *n) {
    bool workloads = false;
    if (!n->in->f->gateway && facts_snapshot(n->in->f, WIRE_NS_MAX, is_workload, &workloads, NULL) == 0 &&
        workloads)
        note(n, safety, "it is not known which workload is the gateway",
             "name it in the pilot file, as `gateway: Deployment/NAME`");
}

/* ---- the load */

static bool takes_part_in_drills(const struct plan_stage *s) {
    for (size_t i = 0; i < s->n_loads; i++)
        if (!s->loads[i].control && s->loads[i].drill_in_flight)
            return true;
    return false;
}

/* plan's reasons are "what: what to do". */
static void load(const struct noting *n) {
    json_t *plan = plan_make(n->in->rules, n->in->load), *text;
    size_t i;
    json_array_foreach(json_object_get(plan, "never"), i, text) {
        const char *reason = json_string_value(text), *colon = strstr(reason, ": ");
        char what[512];
        (void)snprintf(what, sizeof what, "%.*s", colon ? (int)(colon - reason) : (int)strlen(reason),
                       reason);
        note(n, safety, what, colon ? colon + 2 : "see `pilotgate plan`");
    }
    if (n->in->load->n_loads && !takes_part_in_drills(n->in->load))
        note(n, safety, "no probe takes part in drills", "set drill_in_flight on probes of a slow tool");
    json_decref(plan);
}

/* ---- the reference */

/* Does the stored reference ask for this check? */
static bool asks_for(const json_t *reference, const char *check) {
    size_t i;
    json_t *x;
    json_array_foreach(json_object_get(reference, "expectations"), i, x) {
        if (strcmp(js_str(x, "check", ""), check) == 0)
            return true;
    }
    return false;
}

static bool is_declared(const struct noting *n) {
    const struct evidence *ev = n->in->f->ev;
    if (!js_at(ev->pilot, "architecture.digest"))
        note(n, architecture, "no reference is declared",
             "name one as `architecture:` in the pilot file, and declare the pilot again");
    else if (!ev->reference)
        note(n, architecture, "the reference that the pilot names is not in the store",
             "declare the pilot again with `pilotgate pilot init`");
    return ev->reference != NULL;
}

static void recommended(const struct noting *n) {
    const struct evidence *ev = n->in->f->ev;
    size_t i;
    json_t *x;
    if (!js_bool(ev->pilot, "architecture.keyed", false) && asks_for(ev->reference, "default-secrets"))
        note(n, architecture, "known default secrets cannot be told from others without the pilot's key",
             "declare the pilot again with `pilot init --key pilot.hash`");
    json_array_foreach(json_object_get(n->in->architecture, "not_read"), i, x) {
        char what[WIRE_NAME_MAX + 64];
        (void)snprintf(what, sizeof what, "objects of kind %.253s are not read", js_str(x, "kind", ""));
        note(n, architecture, what, js_str(x, "reason", ""));
    }
}

void hindrances_of_stage(const struct hindrance_input *in, json_t *list) {
    const struct noting n = {in, list};
    bool declared = is_declared(&n);
    if (nobody_watches(&n))
        return;
    if (declared)
        recommended(&n);
    secrets(&n);
    pending(&n);
    custom_server(&n);
    readings(&n);
    gateway(&n);
    load(&n);
}

void hindrances_of_rubric(const struct rubric *rubric, json_t *list) {
    for (size_t i = 0; i < rubric->n_gates; i++) {
        const struct rubric_gate *g = &rubric->gates[i];
        if (strcmp(g->evaluator, "none") == 0)
            (void)json_array_append_new(list,
                                        json_pack("{s:s, s:s, s:s}", "gate", g->id, "what",
                                                  g->pending ? g->pending : "not judged by this version",
                                                  "do", "judge it by hand"));
    }
}
