/* reference: the recommended production architecture as code, and how far a stage is from it. Pure: a
 * reference and the objects of a stage in, findings out; no I/O but what `ref_load` reads.
 *
 * The language, in full and for people: docs/reference.md; as a JSON schema: schema.json beside this file. In
 * short, a reference is a mapping (YAML or JSON) of
 *
 *   schema: pilotgate.reference/1
 *   id, title                     id: as wire_name_ok; unique
 *   read_for: {chart, versions: [..], date, note}    which charts and versions it was read for
 *   manifests: [SET]              (a) objects as they are rendered
 *   expectations: [EXPECTATION]   (b) on top of them
 *   tolerate: [TOLERANCE]
 *
 *   SET = {file: PATH | objects: [OBJECT], id, release, namespace, chart, severity, why, source,
 *          optional: ["KIND/NAME" globs],
 *          extra: {objects: SEVERITY|ignore, fields: SEVERITY|ignore}}
 *     release, namespace, chart: what the objects were rendered with; found from them where left out.
 *     file: one or more YAML documents, relative to the reference's folder; `ref_load` puts objects in its
 *     place. Hooks and tests of a chart are no part of it. Each object is one row, "SET/KIND/NAME" (NAME with
 *     the release as {release}). severity: of its rows, required where left out. extra: what the stage has
 *     besides; left out: recommended, both.
 *   EXPECTATION = {id, title, severity, why, source} and exactly one of
 *     all_of | any_of | one_of | none_of: [SELECTOR]   each / at least one / exactly one / none selects
 *                                                      something
 *     optional: [SELECTOR]                             told, never failed
 *     for: SELECTOR|[SELECTOR], expect: [CONDITION]    each selected object meets each; none selected: unmet,
 *                                                      unless `if_any: true`
 *     check: NAME, with: {..}, for: SELECTOR           across objects: checks.h
 *   SELECTOR = {kind: TEXT|[TEXT], name: GLOB|[GLOB], labels: {KEY: GLOB}, where: [CONDITION], not: SELECTOR}
 *     kind as the agents tell it: "Deployment", of custom resources KIND.GROUP; name: release-relative, in
 *     which {release} stands for the stage's release (names.h)
 *   CONDITION = {at: JSON Pointer ("*": any one step), and one of
 *     equals: VALUE, not: VALUE, at_least, at_most, in: [..], not_in: [..], matches: GLOB|[GLOB],
 *     present: BOOL, image: {repository, tag, not_tag: [..], digest: BOOL}, contains: VALUE;
 *     every: BOOL (default true: all places that `at` names; false: one of them),
 *     absent: VALUE (what it counts as where it is not there: the API's default)}
 *   TOLERANCE = {expectation: ID glob | object: "KIND/NAME" glob, pointer: JSON Pointer (means all below it),
 *          stage: GLOB, when: autoscaled|hook|kept, until: TIME, reason, owner}
 *     reason and owner are required
 *   SEVERITY = required | recommended | info.  why and source are required of every EXPECTATION and SET.
 *
 * Limits: REF_*_MAX below. Unknown keys are errors with a suggestion. Not thread-safe to load; read-only
 * then.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/norm.h"

#define REF_SCHEMA "pilotgate.reference/1"
#define REF_FILE_MAX (16u << 20) /* bytes of a reference's file, and of each file that it names */
#define REF_OBJECTS_MAX 20000
#define REF_EXPECTATIONS_MAX 1000
#define REF_TOLERANCES_MAX 1000
#define REF_DIGEST_MAX 65
#define REF_NAME_MAX 320 /* "KIND/NAME" and the like stay below twice this */

/* ---- one side of a comparison: the objects of a stage, or those of a SET */

enum {                     /* traits */
       REF_AUTOSCALED = 1, /* an autoscaler targets the object */
       REF_HOOK = 2,
       REF_KEPT = 4,
};

struct ref_object {
    const char *kind, *name; /* as agents tell them */
    const json_t *normal;    /* NULL: not known, `unknown` says why */
    const char *unknown;
    const char *release; /* Helm release that owns it; "" */
    unsigned traits;     /* filled by ref_side_finish */
    size_t tag;          /* the caller's, and given back with each difference of this object */
};

struct ref_pod {          /* where a pod of a workload runs, as witnessed */
    const char *workload; /* "Deployment/shop-engine" */
    const char *node;
};

/* Strings and normal forms are borrowed. Objects of pilotgate's own release are not among them. */
struct ref_side {
    const char *label;   /* "east/shop", for messages */
    const char *release; /* Helm release under pilot; NULL or "": found from the objects by ref_side_finish */
    const char *namespace_name;
    const char *chart;          /* NULL: found from the objects */
    struct ref_object *objects; /* owned; by (kind, name) after ref_side_finish */
    size_t n, cap;
    struct ref_pod *pods; /* owned; NULL where pods were not witnessed */
    size_t n_pods, cap_pods;
    bool pods_known;
    const char *key_id; /* norm_key_id of the key that its hashes are made with; "": not known; NULL: that of
                         * every reference that it is compared with */
    bool live;          /* as a stage lives, with the API server's defaults; else as it was rendered */
    /* Why it is not known which objects of this kind there are: static or borrowed text; NULL: it is known.
     * A NULL function: everything is known. */
    const char *(*unread)(void *ctx, const char *kind);
    void *unread_ctx;
    char found[3][REF_NAME_MAX]; /* release, namespace and chart, where they were found */
};
int ref_side_add(struct ref_side *s, const struct ref_object *o) MUST_CHECK;
int ref_side_add_pod(struct ref_side *s, const char *workload, const char *node) MUST_CHECK;
/* Sorts, finds what is NULL above, and fills the traits. After the last ref_side_add. */
int ref_side_finish(struct ref_side *s) MUST_CHECK;
const struct ref_object *ref_side_find(const struct ref_side *s, const char *kind, const char *name);
void ref_side_free(struct ref_side *s);

/* ---- a reference */

struct reference {
    json_t *doc; /* owned; valid, with all files read in; `objects` of each SET are in normal form */
    char digest[REF_DIGEST_MAX]; /* BLAKE2b-256 over the canonical JSON of doc */
    bool keyed;            /* known default secrets and values of Secrets are hashed with the pilot's key */
    const char *key_id;    /* norm_key_id of that key, or "" */
    struct ref_side *sets; /* owned; one for each SET, in the order of doc's `manifests` */
    size_t n_sets;
    json_t *normals; /* owned; what the sets borrow */
};

/* Built-in ones, ended by NULL; their text. */
extern const char *const ref_builtin_names[];
const char *ref_builtin_text(const char *name, size_t *ret_len); /* NULL: there is none */
extern const char *const ref_schema;                             /* schema.json */

/* From a built-in's name or a file's path. Values of Secrets never stay in doc: with key they become keyed
 * hashes as agents make them, without (NULL) DIFF_SECRET, which equals any value. -EINVAL, -ENOENT with the
 * text. */
int ref_load(const char *name_or_path, const struct norm_key *key, struct reference *ret,
             struct err *e) MUST_CHECK;
/* The same from text; name is for messages, folder (or NULL: none may be named) is where files are. */
int ref_load_text(const char *name, const char *folder, const char *text, size_t len,
                  const struct norm_key *key, struct reference *ret, struct err *e) MUST_CHECK;
/* From a document that ref_load or ref_merge made and a store kept; takes a reference of its own. */
int ref_from_document(const json_t *doc, struct reference *ret, struct err *e) MUST_CHECK;
/* Several as one; and `tolerate`, an array of TOLERANCEs or NULL, is added. The result is loaded into *ret.
 */
int ref_merge(const struct reference *const *list, size_t n, const json_t *tolerate, struct reference *ret,
              struct err *e) MUST_CHECK;
void ref_free(struct reference *r);

/* ---- comparing
 *
 * Findings, a JSON object (fields are only ever added):
 *  {"reference":{"id","title","digest"},
 *   "rows":[{"id","title","severity","verdict","reason","why","source","objects":N,"note",
 *            "tolerated":[{"reason","owner","n"}],
 *            "differences":[{"object","pointer","where","what","expected","found","tag","tolerated":{"reason","owner"}}],
 *            "more":N}],
 *   "match":{"required":{"n","met","tolerated","failed","unknown","percent"},"recommended":{..},"info":{..}},
 *   "verdict","reason"}
 * A row's verdict: PASS; FAIL: unmet, and not all of it tolerated; INCONCLUSIVE: not known. percent: met and
 * tolerated of n, 100 for none. what: "missing" "different" "extra" "unmet" "unknown"; expected and found:
 * bounded texts, left out where there is, or may be, none. The verdict of the whole: FAIL with a required row
 * that FAILs, INCONCLUSIVE with one that is, else PASS. "differences" of a row: at most REF_DIFFERENCES_MAX,
 * untolerated first; the others are counted in "more". "object": "KIND/NAME" as it lives, or, of what is
 * missing, as it was looked for. "tag": of the live object; left out where there is none.
 */
#define REF_DIFFERENCES_MAX 50

/* stage: "cluster/namespace", for tolerances; now: for `until`. A new reference in *ret. */
int ref_evaluate(const struct reference *r, const struct ref_side *live, const char *stage, int64_t now_ns,
                 json_t **ret, struct err *e) MUST_CHECK;

/* Two stages with each other, field by field, whatever a reference says; r (or NULL) gives tolerances.
 * {"a","b","differences":[as above, "expected" is a's and "found" b's, "tag_a","tag_b"],"more",
 *  "not_compared":[{"what","why"}],"objects":{"a","b","paired"},"verdict","reason"}, PASS: none untolerated.
 */
int ref_between(const struct reference *r, const struct ref_side *a, const struct ref_side *b, int64_t now_ns,
                json_t **ret, struct err *e) MUST_CHECK;

/* ---- making one */

struct ref_init {
    const char *release, *namespace_name; /* NULL: found */
    const char *id, *title;               /* NULL: of the chart */
    const char *source;                   /* what the reader is told to be the source */
};
/* A first reference from rendered manifests (YAML documents): what usually matters, as a document for
 * report_yaml; no value of a Secret is in it. left_out: [{"object","reason"}]. New references. */
int ref_make(const char *name, const char *text, size_t len, const struct ref_init *how, json_t **ret,
             json_t **ret_left_out, struct err *e) MUST_CHECK;

/* Rendered manifests as one side; the documents are owned by *ret_docs. key NULL: values of Secrets become
 * DIFF_SECRET. */
int ref_side_of_manifests(const char *name, const char *text, size_t len, const struct norm_key *key,
                          struct ref_side *ret, json_t **ret_docs, struct err *e) MUST_CHECK;
