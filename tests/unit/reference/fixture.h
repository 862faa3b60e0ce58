/* fixture: rendered manifests and what lived after Helm had installed them, as two sides. */
#pragma once

#include "reference/compare.h"

/* The pilot's key of the lab's clusters, with which the recorded Secrets were hashed. */
#define FIXTURE_KEY 0x5e

struct fixture {
    char name[256];
    char *manifests;         /* text; owned */
    json_t *rendered, *live; /* documents that the sides borrow from; owned */
    struct ref_side a, b;    /* the reference's, the stage's; owned */
    struct ref_matches matches;
};

/* manifests: YAML as `helm template` prints it; live: {"release","namespace","chart",
 * "objects":[{"kind","name","release","normal"}]}, as tests/reference/run --record writes it. Exits with the
 * reason when it cannot. */
void fixture_load(const char *manifests, const char *live, struct fixture *ret);
/* The stage's side of such a document, in which strings stay, each object as the newest version of its API
 * says it. */
void fixture_side(const json_t *live, struct ref_side *ret);
void fixture_free(struct fixture *f);

/* ---- places by JSON Pointer */

json_t *place_at(json_t *root, const char *pointer);
/* pointer/step, escaped, into out. */
void place_below(const char *pointer, const char *step, char *out, size_t size);
void place_element(const char *pointer, size_t index, char *out, size_t size);
/* Puts v (a new reference, taken over) in the place of what is there; NULL: removes it. */
void place_set(json_t *root, const char *pointer, json_t *v);
/* The last step, as it stands in the pointer. */
const char *place_step(const char *pointer);
