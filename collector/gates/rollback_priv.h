/* rollback_priv: what the files of the Rollback gate share.
 *
 *   rollback.c          which revisions are rollbacks, and what they are together
 *   rollback_clean.c    did it complete cleanly?
 *   rollback_read.c     the state of a stage at a time
 *   rollback_differ.c   where two states of one object differ, and whether they may
 *   rollback_compare.c  two states: live objects, the product
 *   rollback_manifest.c two revisions: what they render
 *   rollback_state.c    is the prior configuration restored?
 */
#pragma once

#include "gates/gates_priv.h"

#define ROLLBACK_FIELDS_MAX 12 /* differences that are told of one object */

struct rollback {
    const struct corr *c;
    const struct facts *f;
    const struct fact_revision *from, *to, *now; /* state before, target, the rollback itself */
    const struct fact_change *change;
    bool by_inputs;  /* chart and values are the target's, and rendered another manifest */
    int64_t settled; /* when what it left is read: its workloads were available by then */
};

/* ---- rollback.c */

/* Of one release, with equal rendered manifests; with equal chart and values. */
bool rollback_same_content(const struct fact_revision *a, const struct fact_revision *b);
bool rollback_same_inputs(const struct fact_revision *a, const struct fact_revision *b);
/* The change that a revision made; NULL: none was seen. */
const struct fact_change *rollback_change_of(const struct facts *f, const struct fact_revision *v);

/* ---- rollback_clean.c: gives o a verdict. True when there is one: it did not end cleanly, or not yet. */

bool rollback_not_clean(json_t *o, const struct rollback *r);
/* So it does where calls were lost between the window's end and after_at, when what it left is read. */
bool rollback_lost_since(json_t *o, const struct rollback *r, int64_t after_at);
/* When all workloads were available again, not before the window's end; 0: some were not inside the limit. */
int64_t rollback_settled(const struct rollback *r);

/* ---- rollback_manifest.c */

/* "Kind/name" -> digest of all that the revision's manifest names in this namespace; a new reference. NULL:
 * not known (an older agent, or a manifest that could not be read in full). */
json_t *rollback_named(const struct facts *f, const struct fact_revision *v);
/* Does the revision's manifest name this live object? What was cut off does not count. */
bool rollback_names(const struct fact_revision *v, const char *kind, const char *name);
/* Is it rendered differently in the two? Not when either does not name it. */
bool rollback_rendered_anew(const struct rollback *r, const char *kind, const char *name);
/* [{"object","baseline","after","what"}] of what differs; NULL: it is not known. A new reference. */
json_t *rollback_manifest(const struct rollback *r);
/* Do both name the same objects, some Secret among those that are rendered anew? */
bool rollback_renders_alike(const struct rollback *r);

/* ---- rollback_read.c */

struct rollback_item {
    char *key; /* "Deployment/gateway", "ToolCatalogue/shop on node-1 at Pod/x" */
    const Pilotgate__Object *o;
    struct fact_ref ref;
};
struct rollback_list {
    struct rollback_item *items; /* owned */
    size_t n, cap;
    json_t *index; /* key -> position */
};
const struct rollback_item *rollback_find(const struct rollback_list *l,
                                          const char *key); /* NULL: not there */

struct rollback_state {
    const struct rollback *r;
    struct rollback_list objects;  /* live, of the release */
    struct rollback_list product;  /* through the target's URL */
    struct rollback_list replicas; /* "... at Pod/x", of those that live at `at` */
    json_t *live;                  /* "Kind/name" of every live object of the stage, kind without its group */
    json_t *scaled;                /* those that an autoscaler targets: may it scale them to zero? */
    size_t configurations;         /* of the product that were read */
    int64_t at;
    int64_t read_since; /* earlier readings of the product count as none; 0: any counts */
    char unread[5 * WIRE_NAME_MAX + 32];
};
int rollback_read(const struct rollback *r, int64_t at, int64_t read_since, struct rollback_state *ret);
void rollback_state_free(struct rollback_state *s);
/* RUBRIC_... of a live object. */
unsigned rollback_traits(const struct rollback *r, const struct rollback_state *base,
                         const struct rollback_state *after, const Pilotgate__Object *o);

/* ---- rollback_differ.c */

enum rollback_what { /* ascending: worse wins */
                     ROLLBACK_EQUAL,
                     ROLLBACK_TOLERATED,
                     ROLLBACK_REGENERATED,
                     ROLLBACK_UNKNOWN,   /* in normal forms that do not compare */
                     ROLLBACK_DIFFERENT, /* there in both states, and not the same */
                     ROLLBACK_CAME,      /* the manifest names it, and it was not there before */
                     ROLLBACK_MISSING,
                     ROLLBACK_LEFTOVER,
                     ROLLBACK_WHATS
};
const char *rollback_what_name(enum rollback_what w);

struct rollback_differ {
    enum rollback_what what;
    const char *why; /* borrowed; "" */
    json_t *fields;  /* owned: gate_difference_json of the first; NULL: none */
    size_t places;   /* all of them */
};
void rollback_differ(const struct rollback *r, const struct rollback_item *a, const struct rollback_item *b,
                     unsigned traits, struct rollback_differ *ret);

/* ---- rollback_compare.c */

struct rollback_compared {
    json_t *list;      /* owned: [{"object","baseline","after","equal","what","why","pointers"}] */
    json_t *unwatched; /* owned: ["Kind/name"] that the manifest names, of kinds that no agent watches */
    size_t count[ROLLBACK_WHATS];
    char first[WIRE_NAME_MAX * 2 + 64]; /* the first that may not differ, with where */
};
/* o gets the evidence; NULL: none is wanted. named: of rollback_named, or NULL. */
void rollback_compare_objects(json_t *o, const struct rollback_state *base,
                              const struct rollback_state *after, const json_t *named,
                              struct rollback_compared *ret);
void rollback_compare_product(json_t *o, const struct rollback_state *base,
                              const struct rollback_state *after, struct rollback_compared *ret);
size_t rollback_wrong(const struct rollback_compared *k); /* those that may not differ */

/* ---- rollback_state.c */

/* The state at base_at against that at after_at, and against what was before the rollback. False: by its
 * content it is no rollback at all. */
bool rollback_restored(json_t *o, const struct rollback *r, int64_t base_at, int64_t after_at);
