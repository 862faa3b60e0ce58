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
    struct fact_ref ref;
};

enum fact_sign_kind {
    FACT_SIGN_RELEASE,
    FACT_SIGN_UNINSTALL, /* Helm began to take the release away */
    FACT_SIGN_OBJECT,
    FACT_SIGN_CATALOGUE,
    FACT_SIGN_CONFIGURATION
};

/* One way in which a change was seen. The state changed inside [lo, hi]. */
struct fact_sign {
    enum fact_sign_kind kind;
    const char *object_kind, *name;
    const char *old_digest, *new_digest;     /* "" when there was, or is, none */
    const Pilotgate__Object *before, *after; /* before is NULL for a new object */
    int64_t lo, hi;
    struct fact_ref ref;
};

/* How the verdict reads one call that meets a change's window. */
enum fact_reading {
    FACT_READING_COMPLETED,
    FACT_READING_INTERRUPTED,  /* an answer came, and it was not the expected one */
    FACT_READING_DROPPED,      /* no answer came */
    FACT_READING_UNRESOLVED,   /* nobody saw its end */
    FACT_READING_UNATTRIBUTED, /* lost while the control probe failed too, or by a rate limit */
    FACT_READING_EXCLUDED,     /* to a tool that the change itself added or removed */
};
const char *fact_reading_name(enum fact_reading r);

struct fact_lost_call {          /* a call that meets the window and did not complete */
    const Pilotgate__Call *call; /* NULL for an unresolved one */
    uint64_t number;
    const char *probe;
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

struct fact_tool { /* of one target; borrowed */
    const char *name, *target;
};

enum fact_kind { FACT_KIND_REUSED, FACT_KIND_NEW, FACT_KINDS };

struct fact_change {
    char id[96];              /* "shop.v2", or "t20261123T040506Z" when no revision goes with it */
    size_t revision;          /* index + 1 into revisions; 0: none */
    struct fact_sign **signs; /* array owned */
    size_t n_signs;
    int64_t begin_lo;       /* last moment at which everything was as before */
    int64_t last_hi;        /* newest sign */
    int64_t window_to;      /* last sign + longest call + keep-alive */
    bool effective;         /* catalogue or product configuration ended otherwise than they began */
    bool uninstall;         /* the product was taken away */
    const char *ending_pod; /* a gateway pod that was told to end, and has not been seen gone; NULL: none */
    bool has_switch;
    int64_t switch_lo, switch_hi;      /* the old state was seen at lo, the new one at hi */
    struct fact_tool *added, *removed; /* from the first state to the last; arrays owned */
    size_t n_added, n_removed;
    struct fact_tool *passing; /* there only in between: came and went within the change; owned */
    size_t n_passing;
    bool tools_unknown;         /* a catalogue changed whose names are not known */
    bool added_called;          /* every added tool gave an expected answer after the switch */
    const char *added_uncalled; /* the first added tool that no call proved */

    /* exposure, filled by facts_exposure */
    bool served_before;             /* a call through the gateway completed before it began */
    uint64_t calls_in_window;       /* gateway calls that meet the window */
    uint64_t in_flight[FACT_KINDS]; /* clean: certainly in flight across the switch, and completed */
    int64_t longest_in_flight_ns;
    struct fact_lost_call *lost; /* owned; every non-completed one that meets the window */
    size_t n_lost, cap_lost;
    uint64_t dropped, interrupted, unresolved, unattributed, excluded, unknown_outcomes;
    uint64_t control_failures;
    struct fact_span *unwitnessed; /* owned */
    size_t n_unwitnessed, cap_unwitnessed;
    unsigned witnesses;     /* nodes whose calls were watched from begin to window_to */
    int64_t clock_error_ns; /* worst bound among the streams used; -1: one has none */
    uint64_t losses;        /* records that agents declared lost inside the window */
    const char *drill;      /* name of the drill in which it happened, or NULL */
};

struct fact_unreadable {              /* a source that the agent may not read */
    const char *kind, *name, *reason; /* name "*": the whole kind */
    struct fact_ref ref;
    int64_t at;
};

struct facts {
    char stage[FACTS_STAGE_MAX];
    const char *gateway; /* "Deployment/gateway", from the pilot */
    const char *release; /* Helm release under pilot, from the pilot; NULL: any */
    unsigned expected_agents;
    int64_t longest_call_ns, keep_alive_ns;
    const struct evidence *ev;
    struct fact_phase *phases; /* by lo */
    size_t n_phases, cap_phases;
    struct fact_revision *revisions; /* by created_lo */
    size_t n_revisions, cap_revisions;
    struct fact_sign *signs; /* by hi */
    size_t n_signs, cap_signs;
    struct fact_change *changes; /* by begin */
    size_t n_changes, cap_changes;
    struct fact_unreadable *unreadable; /* still unreadable */
    size_t n_unreadable, cap_unreadable;
    uint64_t conflicts, lost_seqs;
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

/* The state of all Kubernetes objects at a time: the newest record of each (kind, name) with hi <= t. Calls
 * fn for each that existed, in (kind, name) order. */
typedef int facts_object_fn(void *ctx, const Pilotgate__Object *o, struct fact_ref ref);
int facts_snapshot(const struct facts *f, int64_t t, facts_object_fn *fn, void *ctx,
                   struct err *e) MUST_CHECK;

/* What one node read of the product at a time: a tool catalogue, or a document of its configuration. */
struct fact_product {
    const char *kind, *name, *node;
    const char *digest; /* of the last reading that succeeded; NULL: none did */
    bool unreadable;    /* the newest reading failed */
    int64_t read_hi;    /* when the last reading that a record tells of succeeded; 0: never */
    struct fact_ref ref;
};
typedef int facts_product_fn(void *ctx, const struct fact_product *p);
/* Calls fn for each in (kind, name, node) order. */
int facts_products(const struct facts *f, int64_t t, facts_product_fn *fn, void *ctx,
                   struct err *e) MUST_CHECK;
/* Is this stream of the facts' stage? */
bool facts_has_stream(const struct facts *f, size_t stream);
/* True when an agent of this node told anything in [from, to]. */
bool facts_node_alive(const struct facts *f, const char *node, int64_t from, int64_t to);

/* "cluster/namespace/node@boot:seq"; out holds WIRE_REF_MAX. */
char *facts_ref(const struct evidence *ev, struct fact_ref ref, char *out);
