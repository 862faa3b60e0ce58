/* facts: what the records of one stage say together. Pure: same evidence, rubric and time, same facts.
 *
 *   evidence ─ clock ─► phases, releases, signs ─ group ─► changes ─ windows ─► (load calls) ─► exposure
 *
 * All times are the collector's, in ns: an agent's time plus the offset that clock probes gave, with an
 * error bound. A moment is an interval [lo, hi]: it happened inside. Strings are borrowed from the evidence,
 * which must outlive the facts, except where an array says otherwise.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "correlate/evidence.h"
#include "rubric/rubric.h"

#define FACTS_STAGE_MAX (2 * WIRE_NAME_MAX + 2)

struct fact_ref { /* one record; seq 0: none */
    size_t stream;
    uint64_t seq;
};

struct fact_phase {
    int kind; /* Pilotgate__Phase__Kind */
    const Pilotgate__Phase *p;
    int64_t lo, hi;
    struct fact_ref ref;
};

/* One revision of a Helm release, as its Secret showed it last. */
struct fact_revision {
    const char *release, *status, *description, *chart, *chart_version, *manifest_digest, *config_digest;
    int revision;
    bool live; /* its creation was witnessed, not found afterwards */
    int64_t created_lo, created_hi;
    int64_t deployed_lo, deployed_hi; /* 0: never seen deployed */
    const json_t *normal;             /* owned by the facts */
    unsigned norm;                    /* normal form of the digests of its objects */
    struct fact_ref ref;
};

/* The namespace from its creation to its next one: a namespace that was made again is a new stage, with its
 * past shown. What happened in a life that is not the last one is not judged. */
struct fact_life {
    const char *uid;
    int64_t from; /* the API server's whole second */
    int64_t to;   /* when the next one began; INT64_MAX: it is the last */
    int64_t heard_lo,
        heard_hi; /* first and last word of the agents that told of this one alone; hi 0: none did */
    struct fact_ref ref;
};

/* One state that an object was in, whoever told of it; of the product's own state one reading. states.c says
 * what orders them. */
struct fact_state {
    const Pilotgate__Object *o;    /* as its digest and text are compared */
    const Pilotgate__Object *told; /* as it was told first, with ref */
    struct fact_ref ref;
    size_t object;  /* which one: 0 .. n_objects - 1, by (kind, name) */
    size_t place;   /* of two states of one object the later one has the higher place */
    size_t life;    /* index into lives; 0 where there are none */
    int64_t lo, hi; /* it was first seen inside */
    bool known;     /* by a clock that is known */
    bool news;      /* some agent saw the object become so; else it was only found so */
    bool came;      /* some agent saw the object appear with it */
};

enum fact_sign_kind {
    FACT_SIGN_RELEASE,
    FACT_SIGN_UNINSTALL, /* Helm began to take the release away */
    FACT_SIGN_OBJECT,
    FACT_SIGN_CATALOGUE,
    FACT_SIGN_CONFIGURATION,
    FACT_SIGN_MARK /* a person said so: `pilotgate mark --name change` */
};

/* One way in which a change was seen. The state changed inside [lo, hi]. */
struct fact_sign {
    enum fact_sign_kind kind;
    size_t life;
    const char *object_kind, *name;
    const char *old_digest, *new_digest;     /* "" when there was, or is, none */
    const Pilotgate__Object *before, *after; /* before is NULL for a new object */
    int64_t lo, hi;
    int64_t order;       /* the moment that orders signs: a revision comes before everything that it causes */
    size_t place;        /* of its state: what orders signs of one moment */
    struct fact_ref ref; /* none of a mark */
    const json_t *mark;  /* of a mark: its document; else NULL */
};

/* New states of an object that say nothing about the product's configuration, as the rubric has it. */
struct fact_noise {
    const char *kind, *name, *reason;
    uint64_t n;
    int64_t last_hi;
    struct fact_ref ref; /* of the last */
};

/* How the verdict reads one call that meets a change's window; reading.c decides. */
enum fact_reading {
    FACT_READING_COMPLETED,
    FACT_READING_INTERRUPTED,  /* another answer than the expected one, or that one late or by a detour */
    FACT_READING_DROPPED,      /* no answer came */
    FACT_READING_UNRESOLVED,   /* nobody saw its end */
    FACT_READING_UNATTRIBUTED, /* lost, and something else than the gateway may be at fault */
    FACT_READING_EXCLUDED,     /* to a tool that a change added or removed, or to a replica told to end */
};
const char *fact_reading_name(enum fact_reading r);

struct fact_lost_call {          /* a call that meets the window and did not complete */
    const Pilotgate__Call *call; /* NULL for an unresolved one */
    uint64_t number;
    const char *probe, *path;
    int64_t start, end; /* end 0: unknown */
    enum fact_reading reading;
    const char *why; /* static text */
    struct fact_ref ref;
};

struct fact_span { /* nobody watched */
    char node[WIRE_NAME_MAX + 1];
    int64_t from, to;
    const char *why; /* static text */
};

/* Records of this stage that nobody can read, and when what they told of may have been. */
enum fact_missing_kind {
    FACT_MISSING_LOST,      /* the agent said that it lost them */
    FACT_MISSING_AGENT,     /* the agent no longer held them when it was asked */
    FACT_MISSING_RESTORED,  /* the store was restored from an older copy, and the agent no longer held them */
    FACT_MISSING_REPLACED,  /* another store has them */
    FACT_MISSING_DELETED,   /* retention deleted them */
    FACT_MISSING_UNWATCHED, /* nobody watched the Kubernetes API: they were never made */
    /* No record is missing: an object's states of before and after do not compare, as agents of two versions
     * told them in two normal forms and a text was cut, or is of a form that this version does not know. */
    FACT_MISSING_UNCOMPARED,
};
struct fact_missing {
    enum fact_missing_kind kind;
    size_t stream;
    uint64_t records;
    int64_t lo, hi; /* hi INT64_MAX: nobody knows until when */
    int64_t at;     /* DELETED: when */
    bool blind;     /* signs of a change may be among them */
    const char
        *sources;     /* UNWATCHED: which, "deployments, services"; UNCOMPARED: the object's kind; borrowed */
    const char *name; /* UNCOMPARED: the object's; borrowed */
    struct fact_ref ref; /* of the record that tells of a loss, or of the new state */
};

struct fact_tool { /* of one target; borrowed */
    const char *name, *target;
};

enum fact_kind { FACT_KIND_REUSED, FACT_KIND_NEW, FACT_KINDS };

/* One pod of the gateway, over its whole life. Several may have one name after each other. */
struct fact_pod {
    const char *subject, *uid; /* "Pod/gateway-6d5f-x2", which is its path, too */
    int64_t created_lo, created_hi;
    int64_t told_lo, told_hi; /* it was told to end inside; told_hi 0: never */
    int64_t gone_hi;          /* 0: not seen gone */
};

/* Replicas that the gateway's workload asks for, from `at` on. */
struct fact_scale {
    int64_t at;
    int64_t replicas; /* 0: not known, or the workload is gone */
    const Pilotgate__Object *o;
    struct fact_ref ref;
};

enum fact_switch_kind {
    FACT_SWITCH_GATEWAY,  /* the gateway as a whole, as its clients see it through the target's URL */
    FACT_SWITCH_REPLACED, /* this pod ended, and another one came */
    FACT_SWITCH_ENDED,    /* this pod ended, and none came for it */
    FACT_SWITCH_RELOADED, /* this pod stayed, and took the new state over */
    FACT_SWITCH_UNSEEN,   /* this pod stayed, and nobody saw when it took the new state over, if it did */
    FACT_SWITCH_NEW       /* this pod came: nothing was in flight there */
};

/* One switch of a change, and the calls certainly in flight across it on its path. */
struct fact_switch {
    enum fact_switch_kind kind;
    const char *path;           /* "": the target's URL; "Pod/NAME" */
    const struct fact_pod *pod; /* NULL: the gateway as a whole */
    bool known;                 /* [lo, hi] says when; not so of UNSEEN and NEW */
    int64_t lo, hi;
    uint64_t calls[FACT_KINDS]; /* completed ones */
    uint64_t units[FACT_KINDS]; /* of them, those that are independent: one a connection */
    uint64_t http2_units;       /* of them, those on an HTTP/2 connection */
    uint64_t some[FACT_KINDS];  /* GATEWAY: units across this switch, or across that of some replica */
    uint64_t dropped, interrupted;
    uint64_t reached; /* NEW: completed calls on its path, begun after it was made */
    int64_t longest_ns;
};

struct fact_change {
    char id[96];              /* "shop.v2", or "t20261123T040506Z" when no revision goes with it */
    size_t revision;          /* index + 1 into revisions; 0: none */
    size_t life;              /* index into lives */
    struct fact_sign **signs; /* array owned */
    size_t n_signs;
    int64_t begin_lo;   /* last moment at which everything was as before; a drill's command, if earlier */
    int64_t not_before; /* the install before it was over then, and it begins no earlier; 0: none was open */
    int64_t last_hi;    /* newest sign */
    int64_t window_to;  /* last sign + longest call + keep-alive */
    int64_t next_lo;    /* when the next change began; INT64_MAX: there is none */
    bool effective;     /* catalogue or product configuration ended otherwise than they began */
    bool uninstall;     /* the product was taken away */
    const char *ending_pod; /* a gateway pod that was told to end, and has not been seen gone; NULL: none */
    bool has_switch;
    int64_t switch_lo, switch_hi; /* the old state was seen at lo, the new one at hi */
    struct fact_switch *switches; /* owned; the gateway's comes first, if has_switch */
    size_t n_switches, cap_switches;
    int64_t replicas_before, replicas_after; /* asked for by the gateway's workload; 0: not known */
    unsigned pods_before, pods_after;        /* pods of it that agents saw, ready at some time of it */
    unsigned ready_before;                   /* those that were ready when it began */
    struct fact_tool *added, *removed;       /* from the first state to the last; arrays owned */
    size_t n_added, n_removed;
    struct fact_tool *passing; /* there only in between: came and went within the change; owned */
    size_t n_passing;
    const char *split_tool;     /* by the target's URL some node lists it in the end, and another does not */
    const char *gone_tool;      /* listed before and after by the target's URL, and not in between */
    bool tools_unknown;         /* a catalogue changed whose names are not known */
    bool added_called;          /* every added tool gave an expected answer after the switch */
    const char *added_uncalled; /* the first added tool that no call proved */

    /* exposure, filled by facts_exposure; what is in flight across each switch stands in `switches` */
    bool served_before;       /* a call through the gateway completed before it began */
    uint64_t calls_in_window; /* gateway calls that meet the window */
    uint64_t completed_after; /* of them, through the target's URL, begun after its last sign and completed */
    struct fact_lost_call *lost; /* owned; every one that meets the window and did not plainly complete */
    size_t n_lost, cap_lost;
    uint64_t dropped, interrupted, unresolved, unattributed, excluded, unknown_outcomes;
    uint64_t repeated;        /* calls that the tool server executed more than once */
    uint64_t executions_told; /* calls of which the tool server said how often it executed them */
    uint64_t unsent;          /* calls that were due and could not be sent */
    uint64_t queued;          /* at most so many waited at once for a connection or stream */
    unsigned stalls;          /* seconds in which an agent's node stood still */
    int64_t worst_stall_ns;
    uint64_t control_failures;
    struct fact_span *unwitnessed; /* owned */
    size_t n_unwitnessed, cap_unwitnessed;
    const char *silent_node; /* it was watched, and none of its calls meets the window; NULL: none */
    unsigned witnesses;      /* nodes whose calls were watched from begin to window_to */
    int64_t clock_error_ns;  /* worst bound among the streams used; -1: one has none */
    const struct fact_missing *missing; /* the first that may have told of the window; NULL: none */
    unsigned expected_agents; /* by the pilot, or by what its DaemonSet wanted at that time if that is more */
    const char *drill;        /* name of the drill in which it happened, or NULL */
};

/* What was lost outside the windows of all changes, through the targets' URLs. */
struct fact_background {
    const char *unknown; /* why it cannot be said: static text; NULL: it can */
    uint64_t n, lost;    /* calls that ended, and those of them that were dropped or interrupted */
    uint64_t unsent;     /* calls that were due and could not be sent */
    int64_t from, to;    /* over which the streams with coverage tell of it */
};

struct fact_unreadable {              /* a source that the agent may not read */
    const char *kind, *name, *reason; /* name "*": the whole kind */
    struct fact_ref ref;
    int64_t at;
};

struct facts {
    char stage[FACTS_STAGE_MAX];
    const char *gateway;      /* "Deployment/gateway", from the pilot */
    const char *release;      /* Helm release under pilot, from the pilot; NULL: any */
    unsigned expected_agents; /* as the pilot declares */
    int64_t longest_call_ns, keep_alive_ns;
    const struct evidence *ev;
    struct fact_phase *phases; /* by lo */
    size_t n_phases, cap_phases;
    struct fact_life *lives; /* by `from`; the last is judged */
    size_t n_lives, cap_lives;
    struct fact_state *states; /* by hi, of one object in their order */
    size_t n_states, cap_states;
    size_t n_objects;                /* of different ones among them */
    struct fact_revision *revisions; /* by created_lo */
    size_t n_revisions, cap_revisions;
    struct fact_sign *signs; /* by hi */
    size_t n_signs, cap_signs;
    struct fact_change *changes; /* by begin */
    size_t n_changes, cap_changes;
    struct fact_pod *pods; /* of the gateway, by creation */
    size_t n_pods, cap_pods;
    struct fact_scale *scales; /* of the gateway's workload, by `at` */
    size_t n_scales, cap_scales;
    struct fact_background background; /* filled by facts_exposure */
    struct fact_noise *noise;          /* in the order in which they came */
    size_t n_noise, cap_noise;
    struct fact_unreadable *unreadable; /* still unreadable */
    size_t n_unreadable, cap_unreadable;
    uint64_t conflicts;
    const char *conflict_node;          /* of the first stream that has some */
    const char *twin_node, *clone_node; /* two agents said that they are it; its boot came elsewhere, too */
    const struct fact_life *twins[2];   /* two namespaces whose agents told at the same time: two clusters */
    struct fact_missing *missing;       /* by lo; filled by facts_exposure, UNCOMPARED before */
    size_t n_missing, cap_missing;
    size_t n_streams;                        /* of this stage */
    bool catalogue_seen, configuration_seen; /* the product's state was read at all */
    json_t *texts;                           /* owned: keeps the tool names alive that changes borrow */
};

/* Everything but exposure. `stage` is one entry of the pilot's "stages". */
int facts_build(const struct evidence *ev, const struct rubric *rubric, const json_t *stage,
                struct facts *ret, struct err *e) MUST_CHECK;
/* Exposure of every change from ev->watched, which must hold the windows. now: time T of the verdict. */
int facts_exposure(struct facts *f, const struct rubric *rubric, int64_t now, struct err *e) MUST_CHECK;
void facts_free(struct facts *f);

/* An agent's wall time as the collector's, with bound; error < 0: the offset is not known. */
int64_t facts_clock(const struct evidence *ev, size_t stream, int64_t wall_ns, int64_t *ret_error);

/* The state of all Kubernetes objects at a time: the newest state of each (kind, name) with hi <= t, of the
 * life that the namespace had then. Calls fn for each that existed, in (kind, name) order. */
typedef int facts_object_fn(void *ctx, const Pilotgate__Object *o, struct fact_ref ref);
int facts_snapshot(const struct facts *f, int64_t t, facts_object_fn *fn, void *ctx,
                   struct err *e) MUST_CHECK;

/* The same with what else is known of each state. */
typedef int facts_state_fn(void *ctx, const struct fact_state *s);
int facts_states_at(const struct facts *f, int64_t t, facts_state_fn *fn, void *ctx,
                    struct err *e) MUST_CHECK;

/* Calls through the targets' URLs that were dropped or interrupted and meet [from, to], inside a window or
 * outside of all; whether something else than the gateway is at fault is not asked. */
size_t facts_lost_between(const struct facts *f, int64_t from, int64_t to, struct fact_ref *ret_first);

/* Does this HorizontalPodAutoscaler, in normal form, scale to no replica at all, by itself or by KEDA's
 * doing? One that does not leaves alone what stands at zero. */
bool facts_scales_to_zero(const json_t *scaler);

/* Do two records tell one state of an object? UNKNOWN: in normal forms that do not compare. Deleted is a
 * state. */
enum fact_same { FACT_SAME, FACT_DIFFERS, FACT_SAME_UNKNOWN };
enum fact_same facts_same(const Pilotgate__Object *a, const Pilotgate__Object *b);

/* What one node read of the product at a time: a tool catalogue, or a document of its configuration. */
struct fact_product {
    const char *kind, *name, *node;
    const char *path;           /* "": through the target's URL; "Pod/NAME": from that replica */
    const char *digest;         /* of the last reading that succeeded; NULL: none did */
    const Pilotgate__Object *o; /* that reading, or NULL */
    bool unreadable;            /* the newest reading failed */
    int64_t read_hi;            /* when the last reading that a record tells of succeeded; 0: never */
    struct fact_ref ref;
};
typedef int facts_product_fn(void *ctx, const struct fact_product *p);
/* Calls fn for each in (kind, name, node, path) order: the target's URL comes before its replicas. */
int facts_products(const struct facts *f, int64_t t, facts_product_fn *fn, void *ctx,
                   struct err *e) MUST_CHECK;
/* The life that the namespace had at t: an index into lives, 0 where there are none. */
size_t facts_life_at(const struct facts *f, int64_t t);
/* Is this stream of the facts' stage? */
bool facts_has_stream(const struct facts *f, size_t stream);
/* The first of what is missing that meets [from, to]; blind: only what may hold signs of a change. */
const struct fact_missing *facts_missing(const struct facts *f, int64_t from, int64_t to, bool blind);
/* True when this path is a pod of the gateway that certainly still served at t. */
bool facts_path_lives(const struct facts *f, const char *path, int64_t t);
/* True when an agent of this node told anything in [from, to]. */
bool facts_node_alive(const struct facts *f, const char *node, int64_t from, int64_t to);

/* "cluster/namespace/node@boot:seq"; out holds WIRE_REF_MAX. */
char *facts_ref(const struct evidence *ev, struct fact_ref ref, char *out);
