/* mutate: the mutation test. See mutate.h.
 *
 * usage: mutate [--manifests FILE --live FILE [--junit FILE]]
 *
 * Without files: all of live/, which tests/reference/run --record keeps. Prints recall and precision. Exit
 * status: 0 when both are 1, 1 when not, 2 for wrong usage. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "base/js.h"
#include "mutate.h"

#define SHOWN_MAX 3000 /* wrong cases that are told one by one */

static void show(struct run *r, const char *what, const char *object, const char *operation,
                 const char *pointer, const char *told) {
    if (r->shown++ < SHOWN_MAX)
        (void)fprintf(r->log, "%s: %s: %s: %s %s%s%s\n", r->f->name, what, object, operation, pointer,
                      told ? ": told at " : "", told ? told : "");
}

void mutate_count(struct run *r, const char *what, const char *object, bool matters, size_t told,
                  size_t right) {
    struct tally *t = &r->tally;
    t->cases++;
    t->matter += matters;
    t->found += matters && right > 0;
    t->told += told;
    t->right += matters ? right : 0;
    if (matters && !right)
        show(r, "missed", object, what, "", NULL);
    if (told > (matters ? right : 0))
        show(r, "false", object, what, "", NULL);
}

/* Judges what was told of one comparison; frees d. */
static void judge(struct run *r, const char *how, const char *operation, const char *pointer,
                  enum expectation expected, struct ref_differences *d) {
    struct tally *t = &r->tally;
    const struct ref_object *b = r->pair->b;
    char name[2 * REF_NAME_MAX];
    size_t right = 0;
    (void)snprintf(name, sizeof name, "%s/%s%s", b->kind, b->name, how);
    for (size_t i = 0; i < d->n; i++) {
        bool good = expected == AT_THE_PLACE && oracle_is_right(pointer, d->items[i].pointer);
        right += good;
        if (!good)
            show(r, "false", name, operation, pointer, d->items[i].pointer);
    }
    t->cases++;
    t->matter += expected == AT_THE_PLACE;
    t->found += expected == AT_THE_PLACE && right > 0;
    t->told += d->n;
    t->right += right;
    if (expected == AT_THE_PLACE && right == 0)
        show(r, "missed", name, operation, pointer, NULL);
    ref_differences_free(d);
}

void mutate_try(struct run *r, const char *operation, const char *pointer, json_t *mutated,
                enum expectation expected) {
    static const struct ref_matches same_names = {.one_place = true};
    struct ref_object b = *r->pair->b;
    struct ref_differences d = {0};
    b.normal = mutated;
    if (ref_compare_objects(&r->f->matches, r->pair->a, &b, false, &d) < 0)
        abort();
    judge(r, "", operation, pointer, expected, &d);
    if (ref_compare_objects(&same_names, r->pair->b, &b, true, &d) < 0)
        abort();
    judge(r, ", of two stages", operation, pointer, oracle_between(r, operation, pointer, expected), &d);
    json_decref(mutated);
}

void mutate_manifest(struct run *r, const char *operation, const char *pointer, json_t *mutated,
                     enum expectation expected) {
    struct ref_object a = *r->pair->a;
    struct ref_differences d = {0};
    a.normal = mutated;
    if (ref_compare_objects(&r->f->matches, &a, r->pair->b, false, &d) < 0)
        abort();
    judge(r, "", operation, pointer, expected, &d);
    json_decref(mutated);
}

static double part(size_t n, size_t of) {
    return of ? (double)n / (double)of : 1;
}

static void print(const char *name, const struct tally *t) {
    (void)printf("%-16s %6zu cases, %6zu that matter, %6zu found: recall %.4f; %6zu differences told, "
                 "%6zu in the right place: precision %.4f\n",
                 name, t->cases, t->matter, t->found, part(t->found, t->matter), t->told, t->right,
                 part(t->right, t->told));
}

static void add(struct tally *sum, const struct tally *t) {
    sum->cases += t->cases;
    sum->matter += t->matter;
    sum->found += t->found;
    sum->told += t->told;
    sum->right += t->right;
}

static bool is_good(const struct tally *t) {
    return t->cases > 0 && t->found == t->matter && t->right == t->told;
}

/* ---- files */

static json_t *load_exceptions(void) {
    char *text;
    size_t len;
    struct err e;
    json_t *doc;
    if (conf_read_file(TEST_SOURCE_DIR "/exceptions.json", 1u << 20, &text, &len, &e) < 0 ||
        js_parse(text, len, 1u << 20, &doc, &e) < 0) {
        (void)fprintf(stderr, "%s\n", e.text);
        exit(2);
    }
    free(text);
    return doc;
}

static void run_files(const char *manifests, const char *live, FILE *log, struct tally *sum) {
    struct fixture f;
    fixture_load(manifests, live, &f);
    json_t *exceptions = load_exceptions();
    struct run r = {.f = &f, .exceptions = exceptions, .log = log};
    for (size_t i = 0; i < f.matches.n; i++) {
        r.pair = &f.matches.items[i];
        if (r.pair->a && r.pair->b) {
            mutate_pair(&r);
            mutate_fields(&r);
        }
    }
    r.pair = NULL;
    mutate_side(&r);
    print(f.name, &r.tally);
    add(sum, &r.tally);
    json_decref(exceptions);
    fixture_free(&f);
}

static void run_all(FILE *log, struct tally *sum) {
    const char *folder = TEST_SOURCE_DIR "/live";
    struct dirent **names;
    int n = scandir(folder, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char live[4096];
        char manifests[4096];
        size_t len = strlen(names[i]->d_name);
        if (len > 5 && strcmp(names[i]->d_name + len - 5, ".json") == 0) {
            (void)snprintf(live, sizeof live, "%s/%s", folder, names[i]->d_name);
            (void)snprintf(manifests, sizeof manifests, "%s/%.*s.yaml", folder, (int)len - 5,
                           names[i]->d_name);
            run_files(manifests, live, log, sum);
        }
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

static void write_junit(const char *path, const struct tally *t) {
    FILE *to = fopen(path, "w");
    if (!to) {
        perror(path);
        exit(2);
    }
    (void)fprintf(to,
                  "<testsuite name=\"mutation\" tests=\"2\" failures=\"%d\">\n"
                  "<testcase name=\"recall\">%s</testcase>\n<testcase name=\"precision\">%s</testcase>\n"
                  "</testsuite>\n",
                  (t->found < t->matter) + (t->right < t->told),
                  t->found < t->matter ? "<failure message=\"differences were missed\"/>" : "",
                  t->right < t->told ? "<failure message=\"false differences were told\"/>" : "");
    (void)fclose(to);
}

static const char *option(int argc, char **argv, const char *name) {
    for (int i = 1; i + 1 < argc; i += 2)
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    return NULL;
}

int main(int argc, char **argv) {
    const char *manifests = option(argc, argv, "--manifests");
    const char *live = option(argc, argv, "--live");
    const char *junit = option(argc, argv, "--junit");
    int options = 2 * ((manifests != NULL) + (live != NULL) + (junit != NULL));
    struct tally sum = {0};
    if (argc != 1 + options || !manifests != !live) {
        (void)fprintf(stderr, "usage: mutate [--manifests FILE --live FILE] [--junit FILE]\n");
        return 2;
    }
    if (manifests)
        run_files(manifests, live, stdout, &sum);
    else
        run_all(stdout, &sum);
    print("all", &sum);
    if (junit)
        write_junit(junit, &sum);
    return is_good(&sum) ? 0 : 1;
}
