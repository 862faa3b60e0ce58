/* events: what only the Events of pods tell: image pulls with what they cost, how often an image could not be
 * pulled, and why a pod could not be scheduled. They are kept by the API for about an hour and are no
 * evidence of absence: the pods themselves (pods.c) tell that a container started or failed.
 *
 *   Pulling           Pulling image "IMAGE"
 *   Pulled            Successfully pulled image "IMAGE" in D (1.20)
 *                     ... in D (D including waiting). Image size: N bytes. (1.30)
 *                     Container image "IMAGE" already present on machine ...: cached
 *   Failed            Failed to pull image "IMAGE": ...
 *   BackOff           Back-off pulling image "IMAGE"
 *   FailedScheduling  the scheduler's own words
 *
 * (kubernetes pkg/kubelet/images/image_manager.go, pkg/kubelet/events/event.go, pkg/scheduler; container:
 * involvedObject.fieldPath, pkg/kubelet/container/ref.go.) Whatever else a message says is not sent.
 *
 * Times: first- and lastTimestamp are whole seconds; Events by events.k8s.io (the scheduler's) have eventTime
 * and series.lastObservedTime, microseconds, and no firstTimestamp. Both by the clock of who reports.
 *
 * An Event that repeats is the same phase with a greater count: of each (pod, container, phase, reason) the
 * first is told, and then at most one record a minute. All together are told EVENTS_BURST times at once and
 * then EVENTS_EACH_NS apart, so that no flood of them fills the spool. See kube_priv.h. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "kube/kube_priv.h"
#include "wire/wire.h"

#define EVENTS_BURST 1000
#define EVENTS_EACH_NS (WHEN_S / 5)
#define REPEAT_NS (60 * WHEN_S)
#define FORGET_NS (2 * 3600 * WHEN_S) /* the API has dropped it by then */
#define PARTS 4 /* Event objects of one (pod, container, phase) whose counts are known apart */
#define CONTAINER_MAX 64
#define IMAGE_MAX 256

enum class { PULLING, PULLED, PULL_FAILED, PULL_BACKOFF, UNSCHEDULABLE, CLASSES };

static const struct {
    const char *event, *begins;
    Pilotgate__Phase__Kind kind;
    const char *reason; /* NULL: the message */
} classes[CLASSES] = {
    [PULLING] = {"Pulling", "Pulling image ", PILOTGATE__PHASE__KIND__KIND_IMAGE_PULLING, ""},
    [PULLED] = {"Pulled", "", PILOTGATE__PHASE__KIND__KIND_IMAGE_PULLED, ""},
    [PULL_FAILED] = {"Failed", "Failed to pull image ", PILOTGATE__PHASE__KIND__KIND_CONTAINER_FAILED,
                     "ErrImagePull"},
    [PULL_BACKOFF] = {"BackOff", "Back-off pulling image ", PILOTGATE__PHASE__KIND__KIND_CONTAINER_FAILED,
                      "ImagePullBackOff"},
    [UNSCHEDULABLE] = {"FailedScheduling", "", PILOTGATE__PHASE__KIND__KIND_POD_UNSCHEDULABLE, NULL},
};

/* What one Event says. Texts are bounded copies. */
struct pull {
    char image[IMAGE_MAX];
    uint64_t bytes, duration_ns;
    bool cached;
};
struct event {
    enum class class;
    const char *pod, *uid; /* borrowed */
    char container[CONTAINER_MAX];
    char reason[KUBE_REASON_MAX];
    struct pull pull;
    struct kube_time first, last;
    uint64_t count;
};

struct said_event {
    enum class class;
    char uid[KUBE_UID_MAX];
    char container[CONTAINER_MAX];
    char *pod, *reason, *image; /* owned */
    uint64_t bytes, duration_ns;
    bool cached, own;
    struct kube_time last;
    uint64_t count, told; /* told 0: not yet */
    int64_t told_wall, seen_wall;
    uint64_t used;
    struct part {
        uint64_t event; /* hash of its uid; 0: free */
        uint64_t count;
    } parts[PARTS];
    unsigned next_part;
};

/* ---- reading */

/* A duration as Go prints it ("1m2.5s", "532.7ms", "1.2µs"), in ns; 0 when it is none. end: behind it. */
static uint64_t go_duration(const char *p, const char **end) {
    static const struct {
        const char *unit;
        double ns;
    } units[] = {{"ns", 1},     {"us", 1e3}, {"\xc2\xb5s", 1e3}, {"ms", 1e6},
                 {"h", 3600e9}, {"m", 60e9}, {"s", 1e9}};
    double sum = 0;
    while (isdigit((unsigned char)*p)) {
        char *after;
        size_t u = 0;
        double value = strtod(p, &after);
        while (u < sizeof units / sizeof *units && strncmp(after, units[u].unit, strlen(units[u].unit)) != 0)
            u++;
        if (u == sizeof units / sizeof *units)
            break;
        sum += value * units[u].ns;
        p = after + strlen(units[u].unit);
    }
    *end = p;
    return sum >= 0 && sum < (double)WIRE_NS_MAX ? (uint64_t)sum : 0;
}

/* The first text in double quotes that is printable and not too long; "" without one. */
static void read_image(const char *message, char out[IMAGE_MAX]) {
    const char *open = strchr(message, '"');
    size_t n = open ? strcspn(open + 1, "\"") : 0;
    *out = 0;
    if (!open || n == 0 || n >= IMAGE_MAX || open[1 + n] != '"')
        return;
    for (size_t i = 1; i <= n; i++)
        if (!isgraph((unsigned char)open[i]))
            return;
    (void)snprintf(out, IMAGE_MAX, "%.*s", (int)n, open + 1);
}

static void read_pulled(const char *message, struct pull *pull) {
    const char *took = strstr(message, "\" in ");
    const char *size = strstr(message, "Image size: ");
    pull->cached = strstr(message, "already present on machine") != NULL;
    if (took) {
        const char *p = took + strlen("\" in ");
        pull->duration_ns = go_duration(p, &p);
        if (strncmp(p, " (", 2) == 0) {
            uint64_t all = go_duration(p + 2, &p);
            pull->duration_ns = strncmp(p, " including waiting", 18) == 0 ? all : pull->duration_ns;
        }
    }
    if (size && isdigit((unsigned char)size[12]))
        pull->bytes = strtoull(size + 12, NULL, 10);
    if (pull->bytes > INT64_MAX)
        pull->bytes = 0;
}

/* "spec.containers{NAME}", "spec.initContainers{NAME}" */
static void read_container(const json_t *object, char out[CONTAINER_MAX]) {
    const char *path = js_str(object, "involvedObject.fieldPath", "");
    const char *open = strchr(path, '{');
    size_t n = open ? strcspn(open + 1, "}") : 0;
    (void)snprintf(out, CONTAINER_MAX, "%.*s", n < CONTAINER_MAX ? (int)n : 0, open ? open + 1 : "");
}

static bool read_time(const json_t *object, const char *const *paths, const struct kube_sight *s,
                      struct kube_time *ret) {
    for (; *paths; paths++) {
        const char *text = js_str(object, *paths, "");
        int64_t t;
        if (!*text || when_parse(text, &t) < 0)
            continue;
        *ret = kube_time_api(text, s);
        ret->origin = PILOTGATE__ORIGIN__ORIGIN_EVENT;
        ret->precision = strchr(text, '.') ? 1000 : WHEN_S;
        return true;
    }
    return false;
}

static uint64_t read_count(const json_t *object) {
    int64_t a = js_int(object, "count", 0);
    int64_t b = js_int(object, "series.count", 0);
    int64_t n = a > b ? a : b;
    return n < 1 ? 1 : n < INT32_MAX ? (uint64_t)n : INT32_MAX;
}

static bool read_class(const json_t *object, const char *message, enum class *ret) {
    const char *reason = js_str(object, "reason", "");
    for (unsigned i = 0; i < CLASSES; i++)
        if (strcmp(classes[i].event, reason) == 0 &&
            strncmp(message, classes[i].begins, strlen(classes[i].begins)) == 0) {
            *ret = (enum class)i;
            return true;
        }
    return false;
}

static bool text_ok(const char *text, size_t size) {
    size_t n = strnlen(text, size);
    return n > 0 && n < size;
}

/* Events that differ a little are one, after ten of them (client-go tools/record/events_cache.go): its first
 * time is when that began. */
static const char *skip_combined(const char *message, bool *ret) {
    static const char mark[] = "(combined from similar events): ";
    *ret = strncmp(message, mark, sizeof mark - 1) == 0;
    return *ret ? message + sizeof mark - 1 : message;
}

/* False: it tells nothing that becomes a phase. */
static bool read_event(const json_t *object, const struct kube_sight *s, struct event *ret) {
    static const char *const firsts[] = {"firstTimestamp", "eventTime", "metadata.creationTimestamp", NULL};
    static const char *const lasts[] = {"series.lastObservedTime", "lastTimestamp", NULL};
    struct event ev = {.pod = js_str(object, "involvedObject.name", ""),
                       .uid = js_str(object, "involvedObject.uid", ""),
                       .count = read_count(object)};
    bool combined;
    const char *message = skip_combined(js_str(object, "message", ""), &combined);
    if (strcmp(js_str(object, "involvedObject.kind", ""), "Pod") != 0 || !text_ok(ev.pod, KUBE_NAME_MAX) ||
        !text_ok(ev.uid, KUBE_UID_MAX) || !read_class(object, message, &ev.class) ||
        !read_time(object, firsts, s, &ev.first))
        return false;
    if (combined)
        ev.first.bound = PILOTGATE__TIME_BOUND__TIME_BOUND_AT_MOST;
    if (!read_time(object, lasts, s, &ev.last) || ev.last.wall < ev.first.wall)
        ev.last = ev.first;
    read_container(object, ev.container);
    if (ev.class == UNSCHEDULABLE)
        (void)snprintf(ev.reason, sizeof ev.reason, "%.*s", (int)strcspn(message, "\r\n"), message);
    else
        read_image(message, ev.pull.image);
    if (ev.class == PULLED)
        read_pulled(message, &ev.pull);
    *ret = ev;
    return true;
}

/* ---- remembering */

static void entry_free(struct said_event *x) {
    free(x->pod);
    free(x->reason);
    free(x->image);
}

static struct said_event *find(const struct kube_events *t, const struct event *ev) {
    for (size_t i = 0; i < t->n; i++) {
        struct said_event *x = &t->items[i];
        if (x->class == ev->class && strcmp(x->uid, ev->uid) == 0 && strcmp(x->container, ev->container) == 0)
            return x;
    }
    return NULL;
}

/* A free place, or that of the one that was used longest ago; NULL: out of memory. */
static struct said_event *place(struct kube_events *t) {
    if (t->n == KUBE_EVENTS_MAX) {
        struct said_event *oldest = t->items;
        for (size_t i = 1; i < t->n; i++)
            oldest = t->items[i].used < oldest->used ? &t->items[i] : oldest;
        entry_free(oldest);
        return oldest;
    }
    if (t->n == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 32;
        struct said_event *items = realloc(t->items, cap * sizeof *items);
        if (!items)
            return NULL;
        t->items = items;
        t->cap = cap;
    }
    return &t->items[t->n++];
}

static struct said_event *add(struct kube_events *t, const struct event *ev) {
    struct said_event *x = place(t);
    if (!x)
        return NULL;
    *x = (struct said_event){.class = ev->class,
                             .pod = strdup(ev->pod),
                             .reason = strdup(ev->reason),
                             .image = strdup(ev->pull.image)};
    (void)snprintf(x->uid, sizeof x->uid, "%s", ev->uid);
    memcpy(x->container, ev->container, sizeof x->container);
    if (x->pod && x->reason && x->image)
        return x;
    entry_free(x);
    *x = t->items[--t->n];
    return NULL;
}

static int replace(char **old, const char *text) {
    if (strcmp(*old, text) == 0)
        return 0;
    char *copy = strdup(text);
    if (!copy)
        return -ENOMEM;
    free(*old);
    *old = copy;
    return 0;
}

/* The newest is told: the scheduler's words change with the nodes. -ENOMEM. */
static int take_words(struct said_event *x, const struct event *ev) {
    x->bytes = ev->pull.bytes;
    x->duration_ns = ev->pull.duration_ns;
    x->cached = ev->pull.cached;
    x->last = ev->last;
    int r = replace(&x->reason, ev->reason);
    return r < 0 ? r : replace(&x->image, ev->pull.image);
}

/* FNV-1a, of 64 bits; never 0. */
static uint64_t hash_of(const char *text) {
    uint64_t h = 14695981039346656037ULL;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211ULL;
    return h ? h : 1;
}

/* Adds what this Event counts more than when it was last seen; false: nothing. */
static bool count_up(struct said_event *x, const char *uid, uint64_t count) {
    uint64_t event = hash_of(uid);
    struct part *p = x->parts;
    while (p < x->parts + PARTS && p->event != event)
        p++;
    if (p == x->parts + PARTS) {
        p = &x->parts[x->next_part++ % PARTS];
        *p = (struct part){.event = event};
    }
    if (count <= p->count)
        return false;
    x->count += count - p->count;
    p->count = count;
    return true;
}

/* ---- telling */

static void tell(const struct kube_scope *sc, struct said_event *x, struct kube_time t, uint64_t count,
                 int64_t now) {
    Pilotgate__Phase p = PILOTGATE__PHASE__INIT;
    struct kube_meta m = {.name = x->pod, .uid = x->uid, .rv = "", .release = "", .own = x->own};
    p.kind = classes[x->class].kind;
    p.reason = classes[x->class].reason ? (char *)classes[x->class].reason : x->reason;
    p.container = x->container;
    p.image = x->image;
    p.bytes = x->bytes;
    p.duration_ns = x->duration_ns;
    p.cached = x->cached;
    p.count = count < INT32_MAX ? (uint32_t)count : INT32_MAX;
    kube_tell_phase(sc, &p, "Pod", &m, t);
    x->told = count;
    x->told_wall = now;
}

static bool may_tell(const struct kube_scope *sc, const struct said_event *x, int64_t now) {
    bool waited = x->told == 0 || now - x->told_wall >= REPEAT_NS || now < x->told_wall;
    return x->told < x->count && waited &&
           kube_rate_take(&sc->events->full, now, EVENTS_EACH_NS, EVENTS_BURST);
}

/* The scheduler repeats names, labels and taints: words that look like secrets are not sent. */
static void reduce(const struct kube_scope *sc, struct event *ev) {
    char words[KUBE_WORDS_MAX];
    kube_words_reduce(sc->key, ev->reason, words);
    (void)snprintf(ev->reason, sizeof ev->reason, "%s", words);
}

int kube_event_see(const struct kube_scope *sc, const struct kube_kind *kind, const struct kube_sight *s,
                   const struct kube_meta *m, const json_t *object, struct kube_entry *none, struct err *e) {
    struct event ev;
    (void)kind;
    (void)none;
    if (!sc->events || !read_event(object, s, &ev))
        return 0;
    if (ev.class == UNSCHEDULABLE)
        reduce(sc, &ev);
    struct said_event *x = find(sc->events, &ev);
    bool known = x != NULL;
    if (!known)
        x = add(sc->events, &ev);
    if (!x)
        return err_oom(e);
    x->used = ++sc->events->uses;
    x->seen_wall = s->recv_wall;
    if (!count_up(x, m->uid, ev.count))
        return 0;
    x->own = m->own;
    if (take_words(x, &ev) < 0)
        return err_oom(e);
    if (!known && may_tell(sc, x, s->recv_wall)) /* the first of them, with its own time */
        tell(sc, x, ev.first, 1, s->recv_wall);
    else if (may_tell(sc, x, s->recv_wall))
        tell(sc, x, x->last, x->count, s->recv_wall);
    return 0;
}

void kube_events_tick(const struct kube_scope *sc, int64_t now_wall) {
    struct kube_events *t = sc->events;
    for (size_t i = 0; t && i < t->n;) {
        struct said_event *x = &t->items[i];
        if (may_tell(sc, x, now_wall))
            tell(sc, x, x->last, x->count, now_wall);
        if (now_wall - x->seen_wall < FORGET_NS) {
            i++;
            continue;
        }
        entry_free(x);
        *x = t->items[--t->n];
    }
}

void kube_events_free(struct kube_events *t) {
    for (size_t i = 0; i < t->n; i++)
        entry_free(&t->items[i]);
    free(t->items);
    *t = (struct kube_events){0};
}
