/* values: what a leaf means by its place, and whether two leaves mean the same. See values.h. */
#include "reference/values.h"

#include <stdio.h>
#include <string.h>

#include "correlate/differences.h"
#include "reference/values_priv.h"

/* ---- pointers */

static size_t step_len(const char *p) {
    return strcspn(p, "/");
}

const char *ref_pointer_after(const char *pointer, const char *pattern) {
    if (!pointer || !pattern)
        return NULL;
    while (*pattern == '/') {
        if (*pointer != '/')
            return NULL;
        size_t n = step_len(++pointer);
        size_t m = step_len(++pattern);
        bool open = m > 0 && pattern[m - 1] == '*';
        if (open ? n < m - 1 || memcmp(pointer, pattern, m - 1) != 0
                 : n != m || memcmp(pointer, pattern, m) != 0)
            return NULL;
        pointer += n;
        pattern += m;
    }
    return pointer;
}

bool ref_pointer_is(const char *pointer, const char *pattern) {
    const char *rest = ref_pointer_after(pointer, pattern);
    return rest && !*rest;
}

void ref_last_steps(const char *pointer, struct ref_step out[REF_STEPS]) {
    const char *end = pointer + strlen(pointer);
    for (size_t i = 0; i < REF_STEPS; i++) {
        const char *p = end;
        while (p > pointer && p[-1] != '/')
            p--;
        out[i] = (struct ref_step){p, (size_t)(end - p)};
        end = p > pointer ? p - 1 : pointer;
    }
}

bool ref_step_is(const struct ref_step *s, const char *text) {
    return s->len == strlen(text) && memcmp(s->text, text, s->len) == 0;
}

bool ref_step_in(const struct ref_step *s, const char *const *texts) {
    for (; *texts; texts++)
        if (ref_step_is(s, *texts))
            return true;
    return false;
}

bool ref_escape_step(const char *key, char *out, size_t size) {
    size_t n = 0;
    for (; *key; key++) {
        bool escape = *key == '~' || *key == '/';
        if (n + 2 + (size_t)escape > size)
            return false;
        out[n++] = escape ? '~' : *key;
        if (escape)
            out[n++] = *key == '~' ? '0' : '1';
    }
    if (size == 0)
        return false;
    out[n] = 0;
    return true;
}

bool ref_is_custom(const char *kind) {
    return strchr(kind, '.') != NULL;
}

/* ---- meaning */

/* Maps of a user's own texts: whatever a key is called, its value is a text. */
static const char *const free_maps[] = {"labels", "annotations", "matchLabels", "nodeSelector",
                                        "data",   "stringData",  NULL};

/* Of type Quantity: k8s.io/api core/v1 ResourceList (requests, limits, capacity, hard, overhead, podFixed),
 * and in a LimitRange max, min, default ...; autoscaling/v2 MetricTarget; core/v1
 * EmptyDirVolumeSource.sizeLimit, ResourceFieldSelector.divisor. */
static bool is_quantity(const char *kind, const struct ref_step s[REF_STEPS]) {
    static const char *const lists[] = {"requests", "limits",   "capacity", "hard",
                                        "overhead", "podFixed", NULL};
    static const char *const of_range[] = {"max", "min", "default", "defaultRequest", "maxLimitRequestRatio",
                                           NULL};
    static const char *const of_target[] = {"value", "averageValue", "targetValue", "targetAverageValue",
                                            NULL};
    if (ref_step_in(&s[1], lists) || ref_step_is(&s[0], "sizeLimit"))
        return true;
    if (ref_step_is(&s[0], "divisor"))
        return ref_step_is(&s[1], "resourceFieldRef");
    if (ref_is_custom(kind))
        return ref_step_is(&s[0], "storage");
    return (strcmp(kind, "LimitRange") == 0 && ref_step_in(&s[1], of_range)) ||
           (strcmp(kind, "HorizontalPodAutoscaler") == 0 && ref_step_in(&s[0], of_target));
}

/* core/v1 Container.image and ImageVolumeSource.reference; in custom resources whatever is called so. */
static bool is_image(const char *kind, const struct ref_step s[REF_STEPS]) {
    static const char *const lists[] = {"containers", "initContainers", "ephemeralContainers", NULL};
    if (ref_step_is(&s[0], "reference"))
        return ref_step_is(&s[1], "image") && ref_step_is(&s[3], "volumes");
    return ref_step_is(&s[0], "image") && (ref_is_custom(kind) || ref_step_in(&s[2], lists));
}

/* Of type IntOrString: Service targetPort, HTTPGetAction and TCPSocketAction port, RollingUpdate* and
 * PodDisruptionBudget bounds, NetworkPolicyPort port, servicePort of Ingress v1beta1. */
static bool is_int_or_string(const char *kind, const struct ref_step s[REF_STEPS]) {
    static const char *const names[] = {"targetPort",   "maxUnavailable", "maxSurge",
                                        "minAvailable", "servicePort",    NULL};
    static const char *const actions[] = {"httpGet", "tcpSocket", NULL};
    if (ref_step_in(&s[0], names))
        return true;
    return ref_step_is(&s[0], "port") &&
           (ref_step_in(&s[1], actions) ||
            (strcmp(kind, "NetworkPolicy") == 0 && ref_step_is(&s[2], "ports")));
}

/* The step ends so, whatever its first letter's case: "interval", "retryInterval". */
static bool ends(const struct ref_step *s, const char *word) {
    size_t n = strlen(word);
    return s->len >= n && strncasecmp(s->text + s->len - n, word, n) == 0;
}

/* metav1.Duration of custom resources (Flux interval, timeout, retryInterval; cert-manager duration,
 * renewBefore; External Secrets refreshInterval), and Gateway API's Duration (HTTPRouteTimeouts). */
static bool is_duration(const char *kind, const struct ref_step s[REF_STEPS]) {
    if (!ref_is_custom(kind))
        return false;
    return ends(&s[0], "interval") || ends(&s[0], "timeout") || ends(&s[0], "duration") ||
           ends(&s[0], "renewBefore") || ref_step_is(&s[1], "timeouts");
}

enum ref_meaning ref_meaning_of(const char *kind, const char *pointer) {
    struct ref_step s[REF_STEPS];
    ref_last_steps(pointer, s);
    if (ref_step_is(&s[1], "binaryData") || ref_step_is(&s[0], "caBundle"))
        return REF_BYTES;
    if (ref_step_in(&s[1], free_maps))
        return REF_TEXT;
    if (is_quantity(kind, s))
        return REF_QUANTITY;
    if (is_image(kind, s))
        return REF_IMAGE;
    if (is_int_or_string(kind, s))
        return REF_INT_OR_STRING;
    return is_duration(kind, s) ? REF_DURATION : REF_TEXT;
}

/* ---- sameness */

/* Does the text read as the pattern, in which each DIFF_SECRET stands for any text? The last piece is looked
 * for at the end, the others as early as they come: linear but for strstr. */
static bool fits(const char *pattern, const char *text) {
    const size_t mark = strlen(DIFF_SECRET);
    const char *next = strstr(pattern, DIFF_SECRET);
    if (!next)
        return strcmp(pattern, text) == 0;
    size_t n = (size_t)(next - pattern);
    if (strncmp(pattern, text, n) != 0)
        return false;
    text += n;
    for (pattern = next + mark; (next = strstr(pattern, DIFF_SECRET)); pattern = next + mark) {
        n = (size_t)(next - pattern);
        const char *at = n ? memmem(text, strlen(text), pattern, n) : text;
        if (!at)
            return false;
        text = at + n;
    }
    n = strlen(pattern);
    return strlen(text) >= n && strcmp(text + strlen(text) - n, pattern) == 0;
}

static bool is_keyed(const char *s) {
    return strncmp(s, "keyed:", 6) == 0;
}

static bool same_image(const char *a, const char *b) {
    struct ref_image x;
    struct ref_image y;
    if (ref_image(a, &x) < 0 || ref_image(b, &y) < 0 || strcmp(x.repository, y.repository) != 0)
        return false;
    if (*x.digest && strcmp(x.digest, y.digest) != 0)
        return false;
    /* With a digest of the reference's the tag says nothing more, but two tags are two names. */
    return strcmp(x.tag, y.tag) == 0 || (*x.digest && (!*x.tag || !*y.tag));
}

/* base64 but for line breaks, which the API server does not keep. */
static bool same_bytes(const char *a, const char *b) {
    for (;; a++, b++) {
        a += strspn(a, "\r\n");
        b += strspn(b, "\r\n");
        if (*a != *b)
            return false;
        if (!*a)
            return true;
    }
}

static bool same_text(enum ref_meaning m, const char *a, const char *b) {
    int64_t d[2];
    if (strcmp(a, b) == 0 || fits(a, b) || fits(b, a))
        return true;
    if (is_keyed(a) || is_keyed(b))
        return false;
    if (m == REF_IMAGE)
        return same_image(a, b);
    if (m == REF_BYTES)
        return same_bytes(a, b);
    return m == REF_DURATION && ref_duration(a, &d[0]) == 0 && ref_duration(b, &d[1]) == 0 && d[0] == d[1];
}

static bool same_number(const json_t *a, const json_t *b) {
    if (json_is_integer(a) && json_is_integer(b))
        return json_integer_value(a) == json_integer_value(b);
    double x = json_number_value(a);
    double y = json_number_value(b);
    return !(x < y) && !(x > y);
}

/* 80 and "80". */
static bool same_int(const json_t *number, const json_t *text) {
    json_int_t n = json_integer_value(number);
    char out[32];
    (void)snprintf(out, sizeof out, "%lld", (long long)n);
    return json_is_integer(number) && json_is_string(text) && strcmp(out, json_string_value(text)) == 0;
}

/* The API server rounds resources up to thousandths (core/v1 SetDefaults_ResourceList): "0.3333Gi" lives as
 * "357878149940m". */
static __int128 in_thousandths(__int128 nano) {
    const __int128 milli = 1000000;
    const __int128 most = (__int128)1 << 126; /* beyond it nobody counts in parts of one */
    __int128 rest = nano < most && nano > -most ? nano % milli : 0;
    return rest ? nano - rest + (rest > 0 ? milli : -milli) : nano;
}

static bool same_quantity(const json_t *a, const json_t *b) {
    __int128 x;
    __int128 y;
    if (!ref_as_quantity(a, &x) || !ref_as_quantity(b, &y))
        return false;
    return x == y || ((x > 0) == (y > 0) && (in_thousandths(x) == y || in_thousandths(y) == x));
}

bool ref_same_value(enum ref_meaning m, const json_t *a, const json_t *b) {
    if (json_is_number(a) && json_is_number(b))
        return same_number(a, b);
    if (json_is_string(a) && json_is_string(b) && same_text(m, json_string_value(a), json_string_value(b)))
        return true;
    if (m == REF_QUANTITY && same_quantity(a, b))
        return true;
    if (m == REF_INT_OR_STRING && (same_int(a, b) || same_int(b, a)))
        return true;
    return json_equal((json_t *)a, (json_t *)b);
}
