/* speed: a stage of 5,000 objects against a reference of as many: one evaluation, with parsing what agents
 * told, under a second on one core, and no more than n log n.
 *
 * usage: test_speed [--limit SECONDS]
 *
 * Objects are those of live/, over and over under other names; installed as another release, so that every
 * name is a relative one, and with generated suffixes. Without a limit only the ratio of 5,000 to 1,250 is
 * judged, which holds on a slow or busy machine, too. Exit status: 0, or 1 when it took longer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/js.h"
#include "fixture.h"

#define LARGE 5000
#define SMALL 1250
#define RATIO_MAX 10 /* four times as many objects; n log n is below 5, n squared 16 */
#define TRIES 2      /* the best one counts */

struct made {
    json_t *reference; /* a document */
    char **texts;      /* normal forms as agents tell them */
    char **names;
    const char **kinds;
    size_t n;
};

static double seconds(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void check(bool good, const char *what) {
    if (good)
        return;
    (void)fprintf(stderr, "%s\n", what);
    exit(1);
}

/* Another object of the same kind: "production-web" as "production-web-n17"; ConfigMaps have a generated
 * suffix, another one where they live. */
static char *renamed(const struct ref_object *o, size_t i, bool live) {
    char *name;
    bool generated = strcmp(o->kind, "ConfigMap") == 0;
    check(asprintf(&name, "%s-n%zu%s", o->name, i,
                   !generated ? ""
                   : live     ? "-bcdfgh2456"
                              : "-2456bcdfgh") > 0,
          "no memory");
    return name;
}

static json_t *copy_as(const struct ref_object *o, const char *name) {
    json_t *copy = json_deep_copy(o->normal);
    (void)json_object_set_new(json_object_get(copy, "metadata"), "name", json_string(name));
    return copy;
}

static void add(struct made *m, json_t *objects, const struct ref_match *x, size_t i) {
    char *there = renamed(x->a, i, false);
    json_t *rendered = copy_as(x->a, there);
    m->names[m->n] = renamed(x->b, i, true);
    json_t *lives = copy_as(x->b, m->names[m->n]);
    m->kinds[m->n] = x->b->kind;
    m->texts[m->n++] = json_dumps(lives, JSON_COMPACT | JSON_SORT_KEYS);
    if (!json_object_get(rendered, "apiVersion"))
        (void)json_object_set_new(rendered, "apiVersion", json_string("v1"));
    check(json_array_append_new(objects, rendered) == 0, "no memory");
    json_decref(lives);
    free(there);
}

static void make(const struct fixture *f, size_t n, struct made *m) {
    json_t *objects = json_array();
    *m = (struct made){.texts = calloc(n, sizeof *m->texts),
                       .names = calloc(n, sizeof *m->names),
                       .kinds = calloc(n, sizeof *m->kinds)};
    for (size_t i = 0; m->n < n; i++) {
        const struct ref_match *x = &f->matches.items[i % f->matches.n];
        if (x->a && x->b)
            add(m, objects, x, i);
    }
    m->reference =
        json_pack("{s:s, s:s, s:s, s:[{s:s, s:s, s:s, s:s, s:s, s:o}]}", "schema", REF_SCHEMA, "id", "speed",
                  "title", "speed", "manifests", "id", "m", "release", f->a.release, "namespace",
                  f->a.namespace_name, "why", "speed", "source", "speed", "objects", objects);
    check(m->reference != NULL, "no memory");
}

/* One evaluation, as a gate makes it: texts that were told, parsed, compared. met: rows that must be, 0: any.
 */
static double evaluate(const struct made *m, const struct reference *r, const struct fixture *f, size_t met) {
    double from = seconds();
    json_t **docs = calloc(m->n, sizeof(json_t *));
    struct ref_side live = {
        .label = "lab/stage", .release = f->b.release, .namespace_name = f->b.namespace_name, .live = true};
    for (size_t i = 0; i < m->n; i++) {
        check(js_parse(m->texts[i], strlen(m->texts[i]), JS_TEXT_MAX, &docs[i], NULL) == 0, "not JSON");
        struct ref_object o = {
            .kind = m->kinds[i], .name = m->names[i], .normal = docs[i], .release = live.release};
        check(ref_side_add(&live, &o) == 0, "no memory");
    }
    json_t *found = NULL;
    struct err e;
    check(ref_side_finish(&live) == 0 && ref_evaluate(r, &live, "lab/stage", 0, &found, &e) == 0,
          "no memory");
    check(!met || json_array_size(json_object_get(found, "rows")) == met + 2,
          "a row for each object, and the extra ones");
    check(!met || js_int(found, "match.required.met", 0) == (int64_t)met, "each is met");
    double took = seconds() - from;
    json_decref(found);
    for (size_t i = 0; i < m->n; i++)
        json_decref(docs[i]);
    free(docs);
    ref_side_free(&live);
    return took;
}

static double best(const struct made *m, const struct reference *r, const struct fixture *f, size_t met) {
    double best = 1e9;
    for (int i = 0; i < TRIES; i++) {
        double took = evaluate(m, r, f, met);
        best = took < best ? took : best;
    }
    return best;
}

struct times {
    double manifests, expectations;
};

/* With a SET of as many objects, and with the expectations of the built-in profile. */
static struct times measure(const struct fixture *f, size_t n) {
    struct made m;
    struct reference manifests;
    struct reference arcade;
    struct err e;
    make(f, n, &m);
    if (ref_from_document(m.reference, &manifests, &e) < 0 || ref_load("arcade", NULL, &arcade, &e) < 0)
        check(false, e.text);
    struct times t = {best(&m, &manifests, f, n), best(&m, &arcade, f, 0)};
    ref_free(&manifests);
    ref_free(&arcade);
    for (size_t i = 0; i < m.n; i++) {
        free(m.texts[i]);
        free(m.names[i]);
    }
    free(m.texts);
    free(m.names);
    free(m.kinds);
    json_decref(m.reference);
    return t;
}

static void judge(const char *what, double small, double large, double limit) {
    (void)printf("%s: %d objects: %.3f s; %d: %.3f s, %.1f times as long\n", what, SMALL, small, LARGE, large,
                 large / small);
    check(large < RATIO_MAX * small, "it grows faster than the stage");
    check(limit <= 0 || large < limit, "it took longer than the limit");
}

int main(int argc, char **argv) {
    double limit = argc == 3 && strcmp(argv[1], "--limit") == 0 ? strtod(argv[2], NULL) : 0;
    struct rusage usage;
    struct fixture f;
    if (argc != 1 && limit <= 0) {
        (void)fprintf(stderr, "usage: test_speed [--limit SECONDS]\n");
        return 2;
    }
    fixture_load(TEST_SOURCE_DIR "/live/web.yaml", TEST_SOURCE_DIR "/live/web.json", &f);
    struct times small = measure(&f, SMALL);
    struct times large = measure(&f, LARGE);
    (void)getrusage(RUSAGE_SELF, &usage);
    fixture_free(&f);
    judge("manifests", small.manifests, large.manifests, limit);
    judge("expectations", small.expectations, large.expectations, limit);
    (void)printf("%ld MiB\n", usage.ru_maxrss / 1024);
    return 0;
}
