/* Helm's release Secrets: the bytes as they stand in data.release, and as the JSON inside of it. What is read
 * is whole JSON that fits into a record, has a name and a revision, and holds no text of the values. */
#include <sodium.h>
#include <string.h>

#include "base/js.h"
#include "fuzz.h"
#include "kube/kube_priv.h"
#include "wire/wire.h"

static const struct norm_key key = {.bytes = {1, 2, 3}};

static char *base64(const void *data, size_t len) {
    size_t size = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL);
    char *out = malloc(size);
    MUST(out);
    return sodium_bin2base64(out, size, data, len, sodium_base64_VARIANT_ORIGINAL);
}

/* Texts among the values are hashes, whatever they were. */
static void look_at_values(const json_t *normal) {
    const char *pointer;
    json_t *value;
    json_object_foreach(js_at(normal, "values"), pointer, value) {
        const char *text = json_string_value(value);
        MUST(*pointer == '/' && (!text || !*text || strncmp(text, "keyed:", 6) == 0));
    }
}

static void decode(const char *data, size_t len) {
    struct kube_release r;
    struct err e;
    if (kube_release_decode(&key, data, len, &r, &e) < 0)
        return;
    MUST(*r.name && r.revision >= 1 && *r.status);
    char *text = js_canonical(r.normal);
    MUST(text && strlen(text) <= WIRE_NORMAL_MAX);
    look_at_values(r.normal);
    free(text);
    kube_release_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    decode((const char *)data, size);
    char *once = base64(data, size);
    char *twice = base64(once, strlen(once));
    decode(once, strlen(once));
    decode(twice, strlen(twice));
    free(once);
    free(twice);
    return 0;
}
