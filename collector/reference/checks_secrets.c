/* checks_secrets: no value of a Secret, and no reduced value of another object, equals one that everybody
 * knows. Values are compared by their keyed hashes (base/norm.h), so that nobody learns one that is not known
 * already. What was reduced as a whole, a file that holds a password, has the hash of the file: a known value
 * inside of it does not show. See checks.h. */
#include "reference/checks_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "correlate/differences.h"

#define DEPTH_MAX 64

/* ---- the forms of a known value */

static bool holds(const json_t *list, const char *text) {
    size_t i;
    const json_t *v;
    json_array_foreach(list, i,
                       v) if (json_is_string(v) && strcmp(json_string_value(v), text) == 0) return true;
    return false;
}

/* Adds what the value became, from "keyed:" on, wherever it stands in the normal form. */
static int collect(const json_t *v, json_t *into, int depth) {
    const char *text = json_string_value(v);
    const char *hash = text ? strstr(text, "keyed:") : NULL;
    const char *key;
    const json_t *child;
    int r = 0;
    if (hash)
        return holds(into, hash) || json_array_append_new(into, json_string(hash)) == 0 ? 0 : -ENOMEM;
    if (depth > DEPTH_MAX)
        return 0;
    json_object_foreach((json_t *)v, key, child) if (r == 0) r = collect(child, into, depth + 1);
    for (size_t i = 0; r == 0 && json_is_array(v) && i < json_array_size(v); i++)
        r = collect(json_array_get(v, i), into, depth + 1);
    return r;
}

static int add_forms(const struct norm_key *key, json_t *object, json_t *into) {
    json_t *normal = object ? norm_object(key, object, "") : NULL;
    int r = normal ? collect(normal, into, 0) : -ENOMEM;
    json_decref(object);
    json_decref(normal);
    return r;
}

/* An agent reduces what it finds at each place by what that place is: a Secret's value, an environment, an
 * argument, a flag. Whatever becomes of the value there is one of its forms. */
static json_t *forms_of(const struct norm_key *key, const char *value) {
    json_t *into = json_array();
    int r = into ? 0 : -ENOMEM;
    if (r == 0)
        r = add_forms(key, json_pack("{s:s, s:{s:s}}", "kind", "Secret", "stringData", "value", value), into);
    if (r == 0)
        r = add_forms(key,
                      json_pack("{s:s, s:[{s:s, s:s}], s:[s, s]}", "kind", "Deployment", "env", "name",
                                "SECRET", "value", value, "args", "--secret", value),
                      into);
    if (r == 0)
        r = add_forms(key, json_pack("{s:s, s:[s+]}", "kind", "Deployment", "args", "--secret=", value),
                      into);
    if (r == 0)
        return into;
    json_decref(into);
    return NULL;
}

json_t *ref_known_keyed(const struct norm_key *key, const json_t *known) {
    json_t *all = json_array();
    size_t i;
    const json_t *v;
    json_array_foreach(known, i, v) {
        const char *value = json_string_value(v);
        if (all && json_array_append_new(all, forms_of(key, value ? value : "")) != 0) {
            json_decref(all);
            all = NULL;
        }
    }
    return all;
}

/* ---- searching */

struct search {
    struct ref_checking *c;
    const struct ref_object *o;
    const json_t *known, *keyed; /* as they are written, and their hashes */
    size_t values;               /* reduced ones that were compared */
    char pointer[1024];
};

/* Which of the known ones this text is, or holds after a flag's '='; -1: none. */
static int which(struct search *s, const char *text) {
    const char *hash = strstr(text, "keyed:");
    size_t i;
    const json_t *k;
    if (!hash)
        return -1;
    s->values++;
    json_array_foreach(s->keyed, i, k) if (holds(k, hash)) return (int)i;
    return -1;
}

static void look_at(struct search *s, const json_t *v) {
    char found[128];
    const char *text = json_string_value(v);
    if (text && strstr(text, DIFF_SECRET))
        ref_outcome_unknown(s->c->out, "%s/%s: its values were reduced without the pilot's key", s->o->kind,
                            s->o->name);
    int i = text ? which(s, text) : -1;
    if (i < 0)
        return;
    const char *known = json_string_value(json_array_get(s->known, (size_t)i));
    (void)snprintf(found, sizeof found, "the known default \"%.64s\"", known ? known : "");
    ref_checking_unmet(s->c, s->o, s->pointer, "", "a value of its own", found);
}

/* Appends one step, escaped (RFC 6901); false: it does not fit. */
static bool push(struct search *s, const char *step) {
    size_t n = strlen(s->pointer);
    if (n + 2 * strlen(step) + 2 > sizeof s->pointer)
        return false;
    s->pointer[n++] = '/';
    for (; *step; step++) {
        if (*step == '~' || *step == '/') {
            s->pointer[n++] = '~';
            s->pointer[n++] = *step == '~' ? '0' : '1';
        } else {
            s->pointer[n++] = *step;
        }
    }
    s->pointer[n] = 0;
    return true;
}

static void walk(struct search *s, const json_t *v, int depth) {
    size_t at = strlen(s->pointer);
    const char *key;
    const json_t *child;
    char index[32];
    if (depth > DEPTH_MAX)
        ref_outcome_unknown(s->c->out, "%s/%s: nested too deeply to be searched", s->o->kind, s->o->name);
    else if (json_is_object(v)) {
        json_object_foreach((json_t *)v, key, child) {
            (void)push(s, key); /* a place that is too long is told by what it lies in */
            walk(s, child, depth + 1);
            s->pointer[at] = 0;
        }
    } else if (json_is_array(v)) {
        for (size_t i = 0; i < json_array_size(v); i++) {
            (void)snprintf(index, sizeof index, "%zu", i);
            (void)push(s, index);
            walk(s, json_array_get(v, i), depth + 1);
            s->pointer[at] = 0;
        }
    } else {
        look_at(s, v);
    }
}

/* Kinds of which only what is secret is reduced. Of Helm's releases and of GitOps objects every text is
 * (agent/kube/values.c), so that `environment: dev` would be a default secret there. */
static void check_values(struct ref_checking *c, const struct ref_object *o) {
    struct search *s = c->ctx;
    s->o = o;
    *s->pointer = 0;
    walk(s, o->normal, 0);
}

int ref_check_secrets(const struct ref_scope *scope, const json_t *e, struct ref_outcome *out) {
    static const char *const kinds[] = {"Secret",    "ConfigMap", "Deployment", "StatefulSet",
                                        "DaemonSet", "CronJob",   "Job",        NULL};
    struct ref_checking c;
    ref_checking_begin(&c, scope, e, out);
    struct search s = {&c, NULL, json_object_get(c.with, "known"), json_object_get(c.with, "known_keyed"),
                       0,  ""};
    if (!scope->r->keyed || json_array_size(s.keyed) == 0 ||
        json_array_size(s.keyed) != json_array_size(s.known)) {
        ref_outcome_unknown(out,
                            "the known defaults were not hashed with the pilot's key: give it with --key");
        return 0;
    }
    if (scope->live->key_id && strcmp(scope->live->key_id, scope->r->key_id) != 0) {
        ref_outcome_unknown(out, *scope->live->key_id
                                     ? "the known defaults were hashed with another key than the agents': "
                                       "declare the pilot again with theirs as --key"
                                     : "the agents do not say which key they hash with: upgrade them");
        return 0;
    }
    c.ctx = &s;
    c.everything = true;
    ref_checking_each(&c, kinds, check_values);
    if (s.values == 0)
        ref_outcome_unknown(out, "no value of a Secret was read");
    else if (!out->unknown && out->differences.n == 0)
        (void)snprintf(
            out->why, sizeof out->why,
            "%zu values compared; a known default inside of a file that was reduced as a whole does not show",
            s.values);
    return ref_checking_end(&c, "Secret, ConfigMap or workload");
}
