/* parse: is a document of the language? One table a mapping names its keys, what each must be, and which are
 * required. What is wrong is said in one line, with the JSON Pointer of its place. See reference.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "reference/parse_priv.h"
#include "wire/wire.h"

#define FIELDS_MAX 24 /* of one mapping */
#define NAMES_MAX 253 /* bytes of a name of Kubernetes or a chart */

int ref_parse_say(struct ref_parse *p, const char *fmt, ...) {
    char text[ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(p->e, -EINVAL, "%s", text);
}

/* ---- mappings and lists: the pointer is left where something is wrong */

size_t ref_parse_enter(struct ref_parse *p, const char *step) {
    size_t n = strlen(p->pointer);
    (void)snprintf(p->pointer + n, REF_AT_MAX - n, "/%s", step);
    return n;
}

static int in_step(struct ref_parse *p, const char *step, ref_parse_fn *fn, const json_t *v) {
    size_t n = ref_parse_enter(p, step);
    int r = fn(p, v);
    if (r == 0)
        p->pointer[n] = 0;
    return r;
}

static int in_item(struct ref_parse *p, size_t i, ref_parse_fn *fn, const json_t *v) {
    char step[24];
    (void)snprintf(step, sizeof step, "%zu", i);
    return in_step(p, step, fn, v);
}

static int unknown_key(struct ref_parse *p, const char *what, const char *key,
                       const struct ref_field *fields) {
    const char *names[FIELDS_MAX + 1] = {NULL};
    for (size_t i = 0; fields[i].name && i < FIELDS_MAX; i++)
        names[i] = fields[i].name;
    const char *near = word_nearest(key, names);
    if (strlen(key) < 100 && !strpbrk(key, "/~"))
        (void)ref_parse_enter(p, key);
    return near ? ref_parse_say(p, "%s has no '%.60s': did you mean '%s'?", what, key, near)
                : ref_parse_say(p, "%s has no '%.60s': docs/reference.md lists what there is", what, key);
}

static const struct ref_field *find_field(const struct ref_field *fields, const char *key) {
    for (; fields->name; fields++)
        if (strcmp(fields->name, key) == 0)
            return fields;
    return NULL;
}

int ref_parse_mapping(struct ref_parse *p, const json_t *v, const char *what,
                      const struct ref_field *fields) {
    const char *key;
    json_t *member;
    if (!json_is_object(v))
        return ref_parse_say(p, "%s must be a mapping", what);
    json_object_foreach((json_t *)v, key, member) {
        const struct ref_field *f = find_field(fields, key);
        int r = f ? in_step(p, f->name, f->fn, member) : unknown_key(p, what, key, fields);
        if (r < 0)
            return r;
    }
    for (const struct ref_field *f = fields; f->name; f++)
        if (f->required && !json_object_get(v, f->name))
            return ref_parse_say(p, "%s needs '%s'", what, f->name);
    return 0;
}

int ref_parse_list_of(struct ref_parse *p, const json_t *v, const char *of, size_t max, ref_parse_fn *fn) {
    size_t i;
    json_t *item;
    if (!json_is_array(v) || json_array_size(v) == 0 || json_array_size(v) > max)
        return ref_parse_say(p, "must be a list of 1 to %zu %s", max, of);
    json_array_foreach((json_t *)v, i, item) {
        int r = in_item(p, i, fn, item);
        if (r < 0)
            return r;
    }
    return 0;
}

int ref_parse_one_or_list(struct ref_parse *p, const json_t *v, const char *of, ref_parse_fn *fn) {
    return json_is_array(v) ? ref_parse_list_of(p, v, of, REF_LIST_MAX, fn) : fn(p, v);
}

/* ---- leaves */

const char *const ref_severities[] = {"required", "recommended", "info", NULL};

bool ref_parse_is_among(const char *text, const char *const *words) {
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

int ref_parse_text_upto(struct ref_parse *p, const json_t *v, size_t max) {
    size_t n = json_string_length(v);
    if (!json_is_string(v) || n == 0 || n > max)
        return ref_parse_say(p, "must be a text of 1 to %zu bytes%s", max,
                             json_is_string(v) || !v ? "" : ": quote it");
    return 0;
}

int ref_parse_text(struct ref_parse *p, const json_t *v) {
    return ref_parse_text_upto(p, v, REF_TEXT_MAX);
}

static int name(struct ref_parse *p, const json_t *v) {
    return ref_parse_text_upto(p, v, NAMES_MAX);
}

int ref_parse_id(struct ref_parse *p, const json_t *v) {
    if (!json_is_string(v) || !wire_name_ok(json_string_value(v)))
        return ref_parse_say(p, "must be an id: letters, digits, '.', '_' and '-', at most %d bytes",
                             WIRE_NAME_MAX);
    return 0;
}

/* Of a document that was loaded before: what ref_load put there. */
int ref_parse_key_id(struct ref_parse *p, const json_t *v) {
    const char *s = json_string_value(v);
    bool good =
        s && (!*s || (strlen(s) == NORM_KEY_ID_MAX - 1 && strspn(s, "0123456789abcdef") == strlen(s)));
    return good ? 0 : ref_parse_say(p, "must be 16 hexadecimal digits, as `pilotgate` writes them");
}

int ref_parse_boolean(struct ref_parse *p, const json_t *v) {
    return json_is_boolean(v) ? 0 : ref_parse_say(p, "must be true or false");
}

int ref_parse_anything(struct ref_parse *p, const json_t *v) {
    (void)p;
    (void)v;
    return 0;
}

static int word_of(struct ref_parse *p, const json_t *v, const char *const *words) {
    const char *said = json_string_value(v);
    char all[256] = "";
    if (said && ref_parse_is_among(said, words))
        return 0;
    for (const char *const *w = words; *w; w++)
        (void)snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", w == words ? "" : ", ", *w);
    return ref_parse_say(p, "must be one of %s", all);
}

int ref_parse_severity(struct ref_parse *p, const json_t *v) {
    return word_of(p, v, ref_severities);
}

static int severity_or_ignore(struct ref_parse *p, const json_t *v) {
    static const char *const words[] = {"required", "recommended", "info", "ignore", NULL};
    return word_of(p, v, words);
}

int ref_parse_glob(struct ref_parse *p, const json_t *v) {
    return ref_parse_text_upto(p, v, WORD_GLOB_MAX);
}

int ref_parse_globs(struct ref_parse *p, const json_t *v) {
    return ref_parse_one_or_list(p, v, "globs", ref_parse_glob);
}

static int texts(struct ref_parse *p, const json_t *v) {
    return ref_parse_list_of(p, v, "texts", REF_LIST_MAX, ref_parse_text);
}

int ref_parse_pointer(struct ref_parse *p, const json_t *v) {
    const char *s = json_string_value(v);
    size_t steps = 0;
    if (!s || *s != '/' || strlen(s) >= REF_AT_MAX / 2)
        return ref_parse_say(p, "must be a JSON Pointer, such as /spec/replicas");
    for (; *s; s++) {
        steps += *s == '/';
        if (*s == '~' && s[1] != '0' && s[1] != '1')
            return ref_parse_say(p, "in a JSON Pointer '~' is written ~0, and '/' inside a name ~1");
    }
    return steps <= REF_STEPS_MAX ? 0
                                  : ref_parse_say(p, "a JSON Pointer of more than %d steps", REF_STEPS_MAX);
}

int ref_until(const char *text, int64_t *ret_ns) {
    char whole[WHEN_TEXT_MAX];
    int64_t ns;
    if (strlen(text) != 10)
        return when_parse(text, ret_ns);
    (void)snprintf(whole, sizeof whole, "%sT23:59:59.999999999Z", text);
    if (when_parse(whole, &ns) < 0 || strncmp(when_format(ns, 0, whole), text, 10) != 0) /* 31 February */
        return -EINVAL;
    *ret_ns = ns;
    return 0;
}

static int until(struct ref_parse *p, const json_t *v) {
    int64_t ns;
    if (!json_is_string(v) || ref_until(json_string_value(v), &ns) < 0)
        return ref_parse_say(p, "must be a day, 2027-01-31, or a time, 2027-01-31T12:00:00Z");
    return 0;
}

static int date(struct ref_parse *p, const json_t *v) {
    int64_t ns;
    const char *s = json_string_value(v);
    return s && strlen(s) == 10 && ref_until(s, &ns) == 0
               ? 0
               : ref_parse_say(p, "must be a day, such as 2026-11-23");
}

/* Exactly one of these keys? The message names what there is. */
int ref_parse_exactly_one(struct ref_parse *p, const json_t *v, const char *what, const char *const *forms) {
    const char *first = NULL;
    char all[256] = "";
    for (const char *const *f = forms; *f; f++) {
        (void)snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", f == forms ? "" : ", ", *f);
        if (!json_object_get(v, *f))
            continue;
        if (first)
            return ref_parse_say(p, "%s has both '%s' and '%s': make two of it", what, first, *f);
        first = *f;
    }
    return first ? 0 : ref_parse_say(p, "%s needs one of %s", what, all);
}

/* ---- tolerances */

static int when(struct ref_parse *p, const json_t *v) {
    static const char *const words[] = {"autoscaled", "hook", "kept", NULL};
    return word_of(p, v, words);
}

static int tolerance(struct ref_parse *p, const json_t *v) {
    static const struct ref_field fields[] = {
        {"expectation", ref_parse_glob, false},
        {"object", ref_parse_glob, false},
        {"pointer", ref_parse_pointer, false},
        {"stage", ref_parse_glob, false},
        {"when", when, false},
        {"until", until, false},
        {"reason", ref_parse_text, true},
        {"owner", ref_parse_text, true},
        {NULL, NULL, false},
    };
    int r = ref_parse_mapping(p, v, "a tolerance", fields);
    if (r == 0 && !json_object_get(v, "expectation") && !json_object_get(v, "object"))
        return ref_parse_say(p, "a tolerance needs 'expectation' or 'object': what it is about");
    return r;
}

static int tolerances(struct ref_parse *p, const json_t *v) {
    return json_is_array(v) && json_array_size(v) == 0
               ? 0
               : ref_parse_list_of(p, v, "tolerances", REF_TOLERANCES_MAX, tolerance);
}

/* ---- sets */

static int file(struct ref_parse *p, const json_t *v) {
    const char *s = json_string_value(v);
    int r = ref_parse_text_upto(p, v, 1024);
    if (r < 0)
        return r;
    if (p->loaded)
        return ref_parse_say(p, "names a file, where its objects must stand");
    bool up = strcmp(s, "..") == 0 || strncmp(s, "../", 3) == 0 || strstr(s, "/../") ||
              (strlen(s) > 3 && strcmp(s + strlen(s) - 3, "/..") == 0);
    return *s == '/' || up ? ref_parse_say(p, "must be a file in the reference's folder or below it") : 0;
}

static int object(struct ref_parse *p, const json_t *v) {
    return json_is_object(v) ? 0 : ref_parse_say(p, "must be a Kubernetes object");
}

static int objects(struct ref_parse *p, const json_t *v) {
    return p->loaded && json_is_array(v) && json_array_size(v) == 0
               ? 0
               : ref_parse_list_of(p, v, "objects", REF_OBJECTS_MAX, object);
}

static int extra(struct ref_parse *p, const json_t *v) {
    static const struct ref_field fields[] = {
        {"objects", severity_or_ignore, false}, {"fields", severity_or_ignore, false}, {NULL, NULL, false}};
    return ref_parse_mapping(p, v, "'extra'", fields);
}

static int object_globs(struct ref_parse *p, const json_t *v) {
    return ref_parse_list_of(p, v, "globs", REF_LIST_MAX, ref_parse_glob);
}

static int set(struct ref_parse *p, const json_t *v) {
    static const struct ref_field fields[] = {
        {"file", file, false},
        {"objects", objects, false},
        {"id", ref_parse_id, true},
        {"release", name, false},
        {"namespace", name, false},
        {"chart", name, false},
        {"why", ref_parse_text, true},
        {"source", ref_parse_text, true},
        {"severity", ref_parse_severity, false},
        {"extra", extra, false},
        {"optional", object_globs, false},
        {NULL, NULL, false},
    };
    static const char *const forms[] = {"file", "objects", NULL};
    int r = ref_parse_mapping(p, v, "a set of manifests", fields);
    return r < 0 ? r : ref_parse_exactly_one(p, v, "a set of manifests", forms);
}

static int sets(struct ref_parse *p, const json_t *v) {
    return ref_parse_list_of(p, v, "sets", REF_LIST_MAX, set);
}

/* ---- the document */

static int schema(struct ref_parse *p, const json_t *v) {
    const char *s = json_string_value(v);
    return s && strcmp(s, REF_SCHEMA) == 0 ? 0 : ref_parse_say(p, "must be " REF_SCHEMA);
}

static int read_for(struct ref_parse *p, const json_t *v) {
    static const struct ref_field fields[] = {{"chart", ref_parse_text, false},
                                              {"versions", texts, false},
                                              {"date", date, false},
                                              {"note", ref_parse_text, false},
                                              {NULL, NULL, false}};
    return ref_parse_mapping(p, v, "'read_for'", fields);
}

static int part(struct ref_parse *p, const json_t *v) {
    static const struct ref_field fields[] = {{"id", ref_parse_text, true},
                                              {"title", ref_parse_text, false},
                                              {"read_for", read_for, false},
                                              {NULL, NULL, false}};
    return ref_parse_mapping(p, v, "a part", fields);
}

static int parts(struct ref_parse *p, const json_t *v) {
    return ref_parse_list_of(p, v, "parts", REF_LIST_MAX, part);
}

static int expectations(struct ref_parse *p, const json_t *v) {
    return ref_parse_list_of(p, v, "expectations", REF_EXPECTATIONS_MAX, ref_parse_expectation);
}

/* Ids of sets and expectations are names of rows: each is there once. */
static int unique(struct ref_parse *p, const json_t *doc) {
    static const char *const lists[] = {"manifests", "expectations", NULL};
    json_t *seen = json_object();
    int r = seen ? 0 : err_oom(p->e);
    for (const char *const *l = lists; *l && r == 0; l++) {
        size_t i;
        json_t *item;
        json_array_foreach(json_object_get(doc, *l), i, item) {
            const char *said = js_str(item, "id", "");
            if (r == 0 && json_object_get(seen, said)) {
                (void)snprintf(p->pointer, REF_AT_MAX, "/%s/%zu/id", *l, i);
                r = ref_parse_say(p, "the id '%s' is there twice", said);
            } else if (r == 0 && json_object_set_new(seen, said, json_true()) != 0) {
                r = err_oom(p->e);
            }
        }
    }
    json_decref(seen);
    return r;
}

int ref_parse(const json_t *doc, bool loaded, char *ret_pointer, struct err *e) {
    static const struct ref_field fields[] = {
        {"schema", schema, true},
        {"id", ref_parse_id, true},
        {"title", ref_parse_text, true},
        {"read_for", read_for, false},
        {"manifests", sets, false},
        {"expectations", expectations, false},
        {"tolerate", tolerances, false},
        {"keyed", ref_parse_boolean, false},
        {"parts", parts, false},
        {"key_id", ref_parse_key_id, false},
        {NULL, NULL, false},
    };
    struct ref_parse p = {.pointer = ret_pointer, .e = e, .loaded = loaded};
    *ret_pointer = 0;
    int r = ref_parse_mapping(&p, doc, "a reference", fields);
    if (r == 0 && !json_object_get(doc, "manifests") && !json_object_get(doc, "expectations"))
        return ref_parse_say(&p, "a reference needs 'manifests' or 'expectations': it asks for nothing");
    return r < 0 ? r : unique(&p, doc);
}
