/* merge: several references as one, and a pilot's own tolerances with them. See reference.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "reference/reference_priv.h"
#include "wire/wire.h"

struct joining {
    const struct reference *const *list;
    size_t n;
    json_t *taken;   /* object: ids of rows */
    json_t *renamed; /* array: of each reference, {id: what it is called in the whole} */
};

/* Rows of several references may have one id: that of a later one is then REFERENCE.ID. A new reference. */
static json_t *with_own_id(struct joining *j, size_t i, json_t *row) {
    char own[2 * WIRE_NAME_MAX + 2];
    const char *id = js_str(row, "id", "");
    if (!json_object_get(j->taken, id))
        return json_object_set_new(j->taken, id, json_true()) == 0 ? json_incref(row) : NULL;
    (void)snprintf(own, sizeof own, "%s.%s", js_str(j->list[i]->doc, "id", ""), id);
    json_t *copy = json_copy(row);
    if (copy && json_object_set_new(copy, "id", json_string(own)) == 0 &&
        json_object_set_new(j->taken, own, json_true()) == 0 &&
        json_object_set_new(json_array_get(j->renamed, i), id, json_string(own)) == 0)
        return copy;
    json_decref(copy);
    return NULL;
}

/* A tolerance goes with the row that it names. A new reference. */
static json_t *with_its_row(struct joining *j, size_t i, json_t *tolerance) {
    json_t *own = json_object_get(json_array_get(j->renamed, i), js_str(tolerance, "expectation", ""));
    json_t *copy = own ? json_copy(tolerance) : json_incref(tolerance);
    if (!own || !copy || json_object_set(copy, "expectation", own) == 0)
        return copy;
    json_decref(copy);
    return NULL;
}

/* Adds the elements of each reference's list of this name, and what is given besides. */
static int join_lists(json_t *into, const char *name, struct joining *j, const json_t *more) {
    bool rows = strcmp(name, "tolerate") != 0;
    json_t *all = json_array();
    int r = all ? 0 : -ENOMEM;
    for (size_t i = 0; i < j->n; i++) {
        size_t k;
        json_t *item;
        json_array_foreach(json_object_get(j->list[i]->doc, name), k, item) {
            json_t *own = rows ? with_own_id(j, i, item) : with_its_row(j, i, item);
            if (r == 0 && json_array_append_new(all, own) != 0)
                r = -ENOMEM;
        }
    }
    if (r == 0 && more && json_array_extend(all, (json_t *)more) != 0)
        r = -ENOMEM;
    if (r == 0 && json_array_size(all))
        r = json_object_set(into, name, all) == 0 ? 0 : -ENOMEM;
    json_decref(all);
    return r;
}

/* What of several references stands beside their lists: names, and which parts there are. */
static int join_heads(json_t *into, const struct reference *const *list, size_t n) {
    char id[WIRE_NAME_MAX + 1] = "";
    char title[512] = "";
    json_t *parts = json_array();
    bool keyed = true;
    int r = parts ? 0 : -ENOMEM;
    for (size_t i = 0; i < n && r == 0; i++) {
        const char *its = js_str(list[i]->doc, "id", "");
        if (strlen(id) + strlen(its) + 2 < sizeof id)
            (void)snprintf(id + strlen(id), sizeof id - strlen(id), "%s%s", i ? "_" : "", its);
        (void)snprintf(title + strlen(title), sizeof title - strlen(title), "%s%s", i ? ", " : "",
                       js_str(list[i]->doc, "title", its));
        json_t *part =
            json_pack("{s:s, s:O*, s:O*}", "id", its, "title", json_object_get(list[i]->doc, "title"),
                      "read_for", json_object_get(list[i]->doc, "read_for"));
        r = part && json_array_append_new(parts, part) == 0 ? 0 : -ENOMEM;
        keyed = keyed && list[i]->keyed && strcmp(list[i]->key_id, list[0]->key_id) == 0;
    }
    json_t *head = r == 0 ? json_pack("{s:s, s:s, s:o, s:O, s:b, s:s}", "schema", REF_SCHEMA, "id", id,
                                      "title", ref_json_text(title), "parts", parts, "keyed", keyed, "key_id",
                                      keyed ? list[0]->key_id : "")
                          : NULL;
    if (r == 0)
        r = head && json_object_update(into, head) == 0 ? 0 : -ENOMEM;
    json_decref(head);
    json_decref(parts);
    return r;
}

static int join(json_t *into, struct joining *j, const json_t *tolerate) {
    for (size_t i = 0; i < j->n; i++)
        if (json_array_append_new(j->renamed, json_object()) != 0)
            return -ENOMEM;
    int r = j->n > 1 ? join_heads(into, j->list, j->n) : 0;
    if (r == 0)
        r = join_lists(into, "manifests", j, NULL);
    if (r == 0)
        r = join_lists(into, "expectations", j, NULL);
    return r == 0 ? join_lists(into, "tolerate", j, tolerate) : r;
}

/* Rows are told apart by the ids of their references. */
static int check_ids(const struct joining *j, struct err *e) {
    for (size_t i = 0; i < j->n; i++)
        for (size_t k = 0; k < i; k++) {
            const char *id = js_str(j->list[i]->doc, "id", "");
            if (strcmp(id, js_str(j->list[k]->doc, "id", "")) == 0)
                return err_set(e, -EINVAL,
                               "two references have the id '%s': name each once, or give one another id", id);
        }
    return 0;
}

int ref_merge(const struct reference *const *list, size_t n, const json_t *tolerate, struct reference *ret,
              struct err *e) {
    struct joining j = {list, n, json_object(), json_array()};
    int r = check_ids(&j, e);
    json_t *doc = n == 1 ? json_copy(list[0]->doc) : json_object();
    if (r == 0 && (!doc || !j.taken || !j.renamed || join(doc, &j, tolerate) < 0))
        r = err_oom(e);
    if (r == 0)
        r = ref_from_document(doc, ret, e);
    json_decref(doc);
    json_decref(j.taken);
    json_decref(j.renamed);
    return r;
}
