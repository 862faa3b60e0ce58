/* Objects of the API as every handler of the agent meets them, twice each: what is told is a record that the
 * collector takes, the second sight of the same state tells nothing, a Secret's values are hashes, and a
 * normal form is its own. */
#include <string.h>

#include "base/js.h"
#include "fuzz.h"
#include "kube/kube_priv.h"
#include "wire/wire.h"

static const struct norm_key key = {.bytes = {1, 2, 3}};
static size_t told;

static void take(void *ctx, Pilotgate__Record *r) {
    (void)ctx;
    uint8_t *bytes = NULL;
    Pilotgate__Record *copy = NULL;
    size_t len = pilotgate__record__get_packed_size(r);
    MUST(len <= WIRE_RECORD_MAX);
    bytes = malloc(len);
    MUST(bytes && pilotgate__record__pack(r, bytes) == len);
    struct err e;
    MUST(wire_record_unpack(bytes, len, &copy, &e) == 0);
    wire_record_free(&copy);
    free(bytes);
    told++;
}

static void look_at_secret(const json_t *object) {
    json_t *normal = norm_object(&key, object, "Secret");
    const char *name;
    json_t *value;
    if (!normal)
        return;
    json_object_foreach(json_object_get(normal, "data"), name, value)
        MUST(json_is_string(value) && strncmp(json_string_value(value), "keyed:", 6) == 0);
    json_decref(normal);
}

/* A normal form holds nothing that norm_again drops. */
static void look_again(const json_t *object) {
    json_t *normal = norm_object(&key, object, NULL);
    if (!normal)
        return;
    json_t *again = json_deep_copy(normal);
    norm_again(again);
    MUST(json_equal(normal, again));
    json_decref(again);
    json_decref(normal);
}

static void look(const struct kube_kind *kind, const json_t *object) {
    static const struct emit emit = {.fn = take};
    static struct kube_apps apps;
    struct kube_events events = {.n = 0};
    const struct kube_scope scope = {.own_release = "pilotgate",
                                     .namespace_name = "shop",
                                     .key = &key,
                                     .emit = &emit,
                                     .apps = &apps,
                                     .events = &events};
    struct kube_view view = {.scope = &scope, .kind = kind};
    struct kube_sight sight = {.recv_wall = 1795000000000000000, .previous_wall = 1794999999000000000};
    struct err e;
    apps.n = 0;
    if (kube_view_see(&view, &sight, object, &e) == 0) {
        size_t before = told;
        MUST(kube_view_see(&view, &sight, object, &e) == 0 && told == before);
        kube_view_tick(&view, sight.recv_wall + 3600000000000);
        kube_events_tick(&scope, sight.recv_wall + 3600000000000);
        (void)!kube_view_delete(&view, &sight, object, &e);
    }
    kube_view_free(&view);
    kube_events_free(&events);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_t *object = NULL;
    if (js_parse((const char *)data, size, 1u << 20, &object, NULL) < 0)
        return 0;
    look_at_secret(object);
    look_again(object);
    for (const struct kube_kind *k = kube_kinds; k->source; k++)
        if (!k->older)
            look(k, object);
    json_decref(object);
    return 0;
}
