/* absent: what may be written and says no more than leaving it out: the API server drops it, or means the
 * same by it.
 *
 * Go's "omitempty" drops false, 0, "" and empty lists and maps of fields that are no pointers; k8s.io/api,
 * core/v1, apps/v1, batch/v1, networking/v1 and policy/v1 types.go say which ones are. */
#include <string.h>

#include "reference/compare_priv.h"

static bool is_one_of(const char *const *list, const char *text) {
    for (; *list; list++)
        if (strcmp(*list, text) == 0)
            return true;
    return false;
}

/* A map whose keys are data: a key with an empty text is a key. */
static bool has_entries(const char *step) {
    static const char *const maps[] = {"labels",     "annotations", "matchLabels", "nodeSelector",
                                       "data",       "stringData",  "binaryData",  "selector",
                                       "parameters", "limits",      "requests",    NULL};
    return is_one_of(maps, step);
}

static bool is_entry(const struct ref_walk *w) {
    const char *last = strrchr(w->pointer, '/');
    const char *holder = last;
    while (holder > w->pointer && holder[-1] != '/')
        holder--;
    char step[64];
    if (!last || (size_t)(last - holder) >= sizeof step)
        return false;
    memcpy(step, holder, (size_t)(last - holder));
    step[last - holder] = 0;
    return has_entries(step);
}

/* Whether it is there is what an empty map says: all pods, an empty folder. */
static bool is_said_by_being_there(const char *step) {
    static const char *const maps[] = {"emptyDir", "podSelector",   "namespaceSelector",
                                       "selector", "labelSelector", NULL};
    return is_one_of(maps, step);
}

static bool is_plain_zero(const char *step, const json_t *v) {
    static const char *const flags[] = {
        "hostNetwork", "hostPID", "hostIPC",   "readOnly",      "paused",
        "stdin",       "tty",     "stdinOnce", "unschedulable", "publishNotReadyAddresses",
        NULL};
    static const char *const counts[] = {"initialDelaySeconds", "minReadySeconds", "hostPort", "nodePort",
                                         NULL};
    if (json_is_false(v))
        return is_one_of(flags, step);
    return json_is_integer(v) && json_integer_value(v) == 0 && is_one_of(counts, step);
}

static bool is_nothing(const char *step, const json_t *v, unsigned depth) {
    if (json_is_null(v))
        return true;
    if (json_is_string(v)) /* storageClassName: "" asks for no class; without it the default one is taken */
        return json_string_length(v) == 0 && strcmp(step, "storageClassName") != 0;
    if (json_is_array(v))
        return json_array_size(v) == 0;
    if (!json_is_object(v))
        return is_plain_zero(step, v);
    if (depth == REF_WALK_DEPTH_MAX || is_said_by_being_there(step))
        return false;
    const char *key;
    json_t *child;
    json_object_foreach((json_t *)v, key, child) {
        if (has_entries(step) || !is_nothing(key, child, depth + 1))
            return false;
    }
    return true;
}

bool ref_says_nothing(const struct ref_walk *w, const json_t *v) {
    const char *step = ref_walk_step(w);
    if (json_is_null(v))
        return true;
    if (w->custom || (*step >= '0' && *step <= '9')) /* an element of a list is there, whatever it says */
        return false;
    return !is_entry(w) && is_nothing(step, v, 0);
}
