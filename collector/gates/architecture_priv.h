/* architecture_priv: what the files of Architecture share.
 *
 *   architecture_read.c     which kinds of objects were read at a moment
 *   architecture_told.c     which objects may be gone although nobody said so
 *   architecture_picture.c  a stage at a moment, as reference/ compares it, and where its pods were seen
 *   architecture_since.c    since when a difference is there
 *   architecture.c          the gate; a stage over time
 *   architecture_compare.c  two stages with each other
 */
#pragma once

#include "gates/gates_priv.h"
#include "reference/reference.h"

/* ---- what was read */

/* A list of a kind from nothing: an agent told all objects of it that there were. */
struct gate_list {
    size_t stream;
    const char *kind; /* "": all kinds */
    int64_t from, last;
};
/* Who told last of each object, and who listed from nothing since: one for all moments of a stage. */
struct gate_tellings {
    int64_t *last;           /* owned: of each object, the newest word of it */
    size_t *teller;          /* owned: whose that was */
    int64_t *words;          /* owned: of each stream, its newest word of anything */
    struct gate_list *lists; /* owned; by from */
    size_t n_lists, cap_lists;
};
int gate_tellings_make(const struct facts *f, struct gate_tellings *ret, struct err *e) MUST_CHECK;
/* Is what was in this state still there at t, although nobody said that it went? *ret_from: by which list
 * not. */
enum gate_here { GATE_HERE, GATE_GONE, GATE_DOUBTED };
struct gate_reading;
enum gate_here gate_tellings_look(const struct gate_tellings *g, const struct gate_reading *r,
                                  const struct fact_state *s, int64_t t, int64_t *ret_from);
/* Did anybody list the objects of this kind from nothing in (from, to]? */
bool gate_tellings_listed(const struct gate_tellings *g, const char *kind, int64_t from, int64_t to);
void gate_tellings_free(struct gate_tellings *g);

/* The kind of what a source of kube tells of, "" where its name does not say it. */
const char *gate_kind_of_source(const struct evidence *ev, const char *name);

struct gate_reading {
    const struct corr *c;
    const struct facts *f;
    const struct gate_tellings *tellings;
    int64_t t;
    const struct fact_missing *lost; /* the last that may have told of objects; NULL: nothing is missing */
    json_t *kinds;                   /* owned: kind -> why it was not read, null: it was */
    json_t *asked;                   /* owned: those of them that somebody asked for and nobody read */
    json_t *unserved;                /* owned: sources of kinds that the API server does not serve */
    const char *nobody; /* why nothing was read at all; NULL: something was. Borrowed from kinds */
    const char *key_id; /* what hashes of its readers are made with; "": not known, or not one. Borrowed */
    struct fact_ref reader;   /* coverage of somebody who does the stage's work */
    unsigned nodes, expected; /* that have an agent whose picture was current, and should have */
};
int gate_reading_make(const struct corr *c, const struct facts *f, int64_t t,
                      const struct gate_tellings *tellings, struct gate_reading *ret,
                      struct err *e) MUST_CHECK;
/* Why it is not known which objects of this kind there were; NULL: it is. */
const char *gate_reading_unread(struct gate_reading *r, const char *kind);
bool gate_reading_was_read(struct gate_reading *r, const char *kind); /* nobody asks for it by this */
json_t *gate_reading_json(const struct gate_reading *r);              /* "not_read" */
void gate_reading_free(struct gate_reading *r);

/* Was this stream's agent there at that time, as coverage says? */
bool gate_reading_has(const struct gate_reading *r, size_t stream);

/* ---- a stage at a moment */

/* Normal forms of a stage's states, parsed once however often they are looked at. */
struct gate_texts {
    const struct facts *f;
    json_t **normal;    /* owned: one for each state, NULL: not looked at yet */
    const char **wrong; /* owned: why there is none; static texts */
    size_t *before;     /* owned: of each state, the one of the same object before it; SIZE_MAX: none */
    struct gate_tellings tellings;
};
int gate_texts_make(const struct facts *f, struct gate_texts *ret, struct err *e) MUST_CHECK;
const json_t *gate_texts_normal(struct gate_texts *x, size_t state, const char **ret_why);
void gate_texts_free(struct gate_texts *x);

struct gate_picture {
    struct gate_texts *texts;
    struct gate_reading *reading;
    struct ref_side side; /* tag of an object: its state's index; of one that nobody can read SIZE_MAX */
    size_t workloads;
    json_t *doubts; /* owned: kind -> why it is not known which objects of it there are */
};
/* reading and texts are borrowed, and must outlive it; it may not be moved. t may be earlier than the
 * reading's. */
int gate_picture_make(struct gate_texts *x, struct gate_reading *r, int64_t t, struct gate_picture *ret,
                      struct err *e) MUST_CHECK;
void gate_picture_free(struct gate_picture *p);
/* Adds the pods that were there at t. */
int gate_picture_pods(struct gate_picture *p, int64_t t) MUST_CHECK;
/* Is this kind one of the objects that are compared? */
bool gate_is_compared(const char *kind);

/* ---- since when */

/* Gives each difference of the findings its evidence and "since", instead of its tag. */
int gate_since(struct gate_picture *p, const struct reference *r, int64_t t, json_t *findings,
               struct err *e) MUST_CHECK;
/* Since when the object of this state shows what it shows there (pointer NULL: is there at all), without a
 * break; false: at most since then. */
bool gate_value_since(struct gate_texts *x, size_t state, const char *pointer, int64_t *ret);
/* The value that a JSON Pointer names; NULL: there is none. Borrowed. */
const json_t *gate_value_at(const json_t *v, const char *pointer);
/* The moments in (from, to] at which an object that is compared became otherwise, or (pods) a pod came or
 * went, ascending; at most max, the newest. How many. */
size_t gate_moments(const struct facts *f, int64_t from, int64_t to, bool pods, int64_t *out, size_t max);
/* Does it ask where pods were seen? */
bool gate_asks_for_pods(const struct reference *r);
