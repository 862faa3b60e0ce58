/* reference_priv: what the files of the language share: intake (reference, parse, manifests), selectors and
 * the places of an object. */
#pragma once

#include "base/word.h"
#include "reference/checks.h"

#define REF_AT_MAX 1024  /* bytes of a JSON Pointer, also of one with every "*" replaced */
#define REF_STEPS_MAX 32 /* of a pointer */
#define REF_LIST_MAX 256 /* elements of a list of an expectation */

/* ---- intake */

/* Adds the objects of rendered manifests to `into`, an array: in normal form, with their apiVersion again, so
 * that they are manifests still. Hooks and tests of a chart are left out, also from the error of an object
 * without a name. left_out (or NULL): [{"object","reason"}]. key NULL: secrets become DIFF_SECRET. */
int ref_manifests_read(const char *name, const char *text, size_t len, const struct norm_key *key,
                       json_t *into, json_t *left_out, struct err *e) MUST_CHECK;
/* The same of one object; *ret NULL: it is left out. where: "FILE:LINE", for messages. */
int ref_manifest_normal(const char *where, const json_t *object, const struct norm_key *key, json_t **ret,
                        struct err *e) MUST_CHECK;
/* Calls fn with each object of the text as it is written, those of Lists one by one; borrowed. */
typedef int ref_manifest_fn(void *ctx, const char *where, const json_t *object, struct err *e);
int ref_manifests_each(const char *name, const char *text, size_t len, ref_manifest_fn *fn, void *ctx,
                       struct err *e) MUST_CHECK;
/* The namespace that most objects name, but for those of the cluster itself (kube-system ...); "" where none
 * does. Borrowed. */
const char *ref_main_namespace(const json_t *objects);
/* Does the object say another namespace? */
bool ref_is_elsewhere(const json_t *object, const char *namespace_name);
/* Fills a side from such objects; what it borrows is put into `normals`, an array. Finished. */
int ref_side_of_objects(const json_t *objects, json_t *normals, struct ref_side *ret,
                        struct err *e) MUST_CHECK;

/* Is the document of the language? The message is without a place; *ret_pointer (REF_AT_MAX bytes) says
 * where. loaded: as ref_load leaves it, no file is named. */
int ref_parse(const json_t *doc, bool loaded, char *ret_pointer, struct err *e) MUST_CHECK;
/* "2027-01-31" (the whole day, UTC) or RFC 3339. -EINVAL. */
int ref_until(const char *text, int64_t *ret_ns) MUST_CHECK;
enum { REF_REQUIRED, REF_RECOMMENDED, REF_INFO, REF_SEVERITIES };
extern const char *const ref_severities[]; /* ended by NULL */
/* The keys of a CONDITION that say what is asked, and of an EXPECTATION that say its form; ended by NULL. */
extern const char *const ref_condition_forms[], *const ref_expectation_forms[];

/* The namespace that a rendered side was rendered for, from what its objects say of their own; untouched
 * where none shows. -ENOMEM. */
int ref_infer_namespace(const struct ref_side *s, char out[REF_NAME_MAX]) MUST_CHECK;

/* ---- places of an object */

/* Takes the first step off a pointer, unescaped (RFC 6901); returns the rest. */
const char *ref_step(const char *pointer, char *step, size_t size);

/* Adds a name to a pointer, escaped; cut where it does not fit. */
void ref_pointer_add(char *pointer, size_t size, const char *name);

struct ref_place {
    const json_t *value; /* NULL: nothing is there */
    const char *pointer; /* of the value, or of what is not there */
    const char *where;   /* names on the way, "gateway LOG_LEVEL" */
};
typedef int ref_place_fn(void *ctx, const struct ref_place *p);
/* Calls fn for each place that a pointer with "*" steps names; what it borrows is of the call. Where "*"
 * meets nothing there is one place without a value. */
int ref_places(const json_t *object, const char *at, ref_place_fn *fn, void *ctx) MUST_CHECK;

/* Does the pointer lie at `under`, in which "*" is any one step, or below it? */
bool ref_pointer_below(const char *pointer, const char *under);

/* A text or a list of texts: does one of these globs match? absent NULL list: yes. */
bool ref_glob_any(const json_t *globs, const char *text);
/* Helm's "fullname" leaves the chart's name out of names where the release's holds it (names.h): what is
 * "{release}-web-api" of one release is "{release}-api" of another one. A relative name as the other one has
 * it; false: it has none. */
bool ref_name_other(const struct ref_side *s, const char *relative, char *out, size_t size);
/* "KIND/NAME" or a name by a glob: as it is called, or with {release} and {namespace} put in. */
bool ref_glob_object(const struct ref_side *s, const char *glob, const char *kind, const char *name);
/* Is something of the value a keyed hash or DIFF_SECRET? Then nobody knows what it is. */
bool ref_is_reduced(const json_t *v);
/* Kinds that agents watch without being asked to, ended by NULL. (between.c) */
extern const char *const ref_watched_kinds[];

/* A text that may have been cut in the middle of a character: such characters stand as '?'. A new reference.
 */
json_t *ref_json_text(const char *text);
