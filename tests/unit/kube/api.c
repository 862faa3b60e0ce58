/* api: see api.h. One thread a connection: watches wait under the one lock. */
#include "api.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/js.h"
#include "base/when.h"

#define EVENTS_MAX 20000
#define NAMES_MAX 32
#define PIECE 4096

struct api {
    struct MHD_Daemon *daemon;
    char url[64];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping, deny;
    unsigned cuts; /* watches that are older end */
    struct api_event events[EVENTS_MAX];
    size_t n;
    int64_t rv, compacted; /* newest; the oldest that is still known */
    unsigned uids;
    json_t *lease; /* NULL: there is none */
    unsigned writes, exact;
};

struct watch {
    struct api *api;
    int64_t rv; /* told so far */
    bool configmaps;
    unsigned cuts;
    char line[PIECE];
    size_t len, at;
};

/* ---------------------------------------------------------------- objects */

static void write_object(char *out, size_t size, const struct api_event *e) {
    snprintf(out, size,
             "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"c%d\",\"uid\":\"u%u\","
             "\"resourceVersion\":\"%lld\",\"creationTimestamp\":\"2026-11-23T00:00:00Z\"},\"data\":{\"v\":"
             "\"%u\"}}",
             e->name, e->uid, (long long)e->rv, e->value);
}

/* The newest event of each name up to rv; type NULL: none. */
static void state_at(const struct api *a, int64_t rv, struct api_event ret[NAMES_MAX]) {
    memset(ret, 0, NAMES_MAX * sizeof *ret);
    for (size_t i = 0; i < a->n && a->events[i].rv <= rv; i++)
        ret[a->events[i].name] = a->events[i];
}

void api_change(struct api *a, int names, unsigned chance) {
    struct api_event now[NAMES_MAX];
    pthread_mutex_lock(&a->lock);
    assert_true(a->n < EVENTS_MAX && names <= NAMES_MAX);
    state_at(a, a->rv, now);
    int name = (int)(chance % (unsigned)names);
    bool there = now[name].type && strcmp(now[name].type, "DELETED") != 0;
    struct api_event e = now[name];
    e.name = name;
    e.type = !there ? "ADDED" : (chance / 64) % 8 == 0 ? "DELETED" : "MODIFIED";
    if (!there)
        e.uid = ++a->uids;
    if (strcmp(e.type, "DELETED") != 0)
        e.value = (unsigned)a->n + 1;
    e.rv = ++a->rv;
    e.wall_ns = when_wall_ns();
    a->events[a->n++] = e;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

void api_compact(struct api *a) {
    pthread_mutex_lock(&a->lock);
    a->compacted = ++a->rv;
    pthread_mutex_unlock(&a->lock);
}

void api_cut(struct api *a) {
    pthread_mutex_lock(&a->lock);
    a->cuts++;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

/* ---------------------------------------------------------------- answers */

static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, const char *text) {
    struct MHD_Response *r =
        MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result q = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return q;
}

static enum MHD_Result refuse(struct MHD_Connection *c, unsigned status) {
    char text[128];
    snprintf(text, sizeof text, "{\"kind\":\"Status\",\"metadata\":{},\"code\":%u,\"message\":\"told to\"}",
             status);
    return answer(c, status, text);
}

static enum MHD_Result list(struct api *a, struct MHD_Connection *c, bool configmaps, const char *at,
                            bool exact) {
    static _Thread_local char text[NAMES_MAX * 512 + 256];
    struct api_event now[NAMES_MAX];
    int64_t rv = at ? strtoll(at, NULL, 10) : a->rv;
    if (rv < a->compacted)
        return refuse(c, 410);
    a->exact += exact;
    state_at(a, configmaps ? rv : -1, now);
    size_t n = (size_t)snprintf(text, sizeof text,
                                "{\"kind\":\"List\",\"metadata\":{\"resourceVersion\":\"%lld\"},\"items\":[",
                                (long long)rv);
    bool first = true;
    for (int i = 0; i < NAMES_MAX; i++) {
        if (!now[i].type || strcmp(now[i].type, "DELETED") == 0)
            continue;
        n += (size_t)snprintf(text + n, sizeof text - n, first ? "" : ",");
        write_object(text + n, sizeof text - n, &now[i]);
        n += strlen(text + n);
        first = false;
    }
    snprintf(text + n, sizeof text - n, "]}");
    return answer(c, 200, text);
}

/* ---------------------------------------------------------------- watches */

static bool next_line(struct watch *w) {
    const struct api *a = w->api;
    char object[PIECE - 64];
    for (size_t i = 0; w->configmaps && i < a->n; i++) {
        if (a->events[i].rv <= w->rv)
            continue;
        write_object(object, sizeof object, &a->events[i]);
        w->rv = a->events[i].rv;
        w->len = (size_t)snprintf(w->line, sizeof w->line, "{\"type\":\"%s\",\"object\":%s}\n",
                                  a->events[i].type, object);
        w->at = 0;
        return true;
    }
    return false;
}

static ssize_t read_watch(void *ctx, uint64_t pos, char *out, size_t max) {
    struct watch *w = ctx;
    struct api *a = w->api;
    (void)pos;
    pthread_mutex_lock(&a->lock);
    while (w->at == w->len && !next_line(w) && !a->stopping && w->cuts == a->cuts)
        pthread_cond_wait(&a->changed, &a->lock);
    bool over = w->at == w->len;
    pthread_mutex_unlock(&a->lock);
    if (over)
        return MHD_CONTENT_READER_END_OF_STREAM;
    size_t n = w->len - w->at < max ? w->len - w->at : max;
    memcpy(out, w->line + w->at, n);
    w->at += n;
    return (ssize_t)n;
}

static enum MHD_Result watch(struct api *a, struct MHD_Connection *c, bool configmaps, const char *at) {
    int64_t rv = at ? strtoll(at, NULL, 10) : 0;
    if (rv < a->compacted)
        return refuse(c, 410);
    struct watch *w = calloc(1, sizeof *w);
    w->api = a;
    w->rv = rv;
    w->configmaps = configmaps;
    w->cuts = a->cuts;
    struct MHD_Response *r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE, read_watch, w, free);
    enum MHD_Result q = MHD_queue_response(c, 200, r);
    MHD_destroy_response(r);
    return q;
}

/* ---------------------------------------------------------------- the Lease */

static enum MHD_Result show_lease(const struct api *a, struct MHD_Connection *c, unsigned status) {
    char *text = json_dumps(a->lease, JSON_COMPACT);
    enum MHD_Result r = answer(c, status, text);
    free(text);
    return r;
}

static enum MHD_Result lease(struct api *a, struct MHD_Connection *c, const char *method, const char *body) {
    char rv[32];
    bool dry = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "dryRun") != NULL;
    if (a->deny)
        return refuse(c, 403);
    if (strcmp(method, "GET") == 0)
        return a->lease ? show_lease(a, c, 200) : refuse(c, 404);
    json_t *doc = json_loads(body, 0, NULL);
    if (!doc)
        return refuse(c, 400);
    bool create = strcmp(method, "POST") == 0;
    const char *old = js_str(a->lease, "metadata.resourceVersion", "");
    unsigned bad = create && a->lease                                              ? 409
                   : create                                                        ? 0
                   : !a->lease                                                     ? 404
                   : strcmp(js_str(doc, "metadata.resourceVersion", ""), old) != 0 ? 409
                                                                                   : 0;
    if (bad || dry) {
        json_decref(doc);
        return bad ? refuse(c, bad) : answer(c, 200, body);
    }
    snprintf(rv, sizeof rv, "%lld", (long long)++a->rv);
    (void)json_object_set_new(json_object_get(doc, "metadata"), "resourceVersion", json_string(rv));
    json_decref(a->lease);
    a->lease = doc;
    a->writes++;
    return show_lease(a, c, create ? 201 : 200);
}

/* ---------------------------------------------------------------- requests */

struct upload {
    char text[65536];
    size_t len;
};

static enum MHD_Result route(struct api *a, struct MHD_Connection *c, const char *path, const char *method,
                             const char *body) {
    const char *at = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "resourceVersion");
    const char *match = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "resourceVersionMatch");
    bool configmaps = strstr(path, "/configmaps") != NULL;
    if (strstr(path, "/leases"))
        return lease(a, c, method, body);
    if (strcmp(path, "/api/v1/namespaces/mcp") == 0)
        return answer(c, 200,
                      "{\"kind\":\"Namespace\",\"metadata\":{\"name\":\"mcp\",\"uid\":\"ns\","
                      "\"resourceVersion\":\"1\",\"creationTimestamp\":\"2026-11-23T00:00:00Z\"}}");
    if (MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "sendInitialEvents"))
        return refuse(c, 422);
    if (MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "watch"))
        return watch(a, c, configmaps, at);
    return list(a, c, configmaps, at, match && strcmp(match, "Exact") == 0);
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *path, const char *method,
                                  const char *version, const char *data, size_t *size, void **state) {
    struct api *a = ctx;
    struct upload *u = *state;
    (void)version;
    if (!u) {
        *state = calloc(1, sizeof *u);
        return MHD_YES;
    }
    if (*size > 0) {
        assert_true(u->len + *size < sizeof u->text);
        memcpy(u->text + u->len, data, *size);
        u->len += *size;
        *size = 0;
        return MHD_YES;
    }
    pthread_mutex_lock(&a->lock);
    enum MHD_Result r = route(a, c, path, method, u->text);
    pthread_mutex_unlock(&a->lock);
    return r;
}

static void on_done(void *ctx, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode how) {
    (void)ctx;
    (void)c;
    (void)how;
    free(*state);
    *state = NULL;
}

/* ---------------------------------------------------------------- outside */

struct api *api_start(void) {
    struct api *a = calloc(1, sizeof *a);
    assert_non_null(a);
    a->rv = 100;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    a->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION, 0, NULL,
                                 NULL, on_request, a, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&at,
                                 MHD_OPTION_NOTIFY_COMPLETED, on_done, NULL, MHD_OPTION_END);
    assert_non_null(a->daemon);
    snprintf(a->url, sizeof a->url, "http://127.0.0.1:%u",
             (unsigned)MHD_get_daemon_info(a->daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    return a;
}

void api_stop(struct api **ap) {
    struct api *a = *ap;
    if (!a)
        return;
    *ap = NULL;
    pthread_mutex_lock(&a->lock);
    a->stopping = true;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    MHD_stop_daemon(a->daemon);
    json_decref(a->lease);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

const char *api_url(const struct api *a) {
    return a->url;
}

void api_holder(struct api *a, char *out, size_t size) {
    pthread_mutex_lock(&a->lock);
    snprintf(out, size, "%s", js_str(a->lease, "spec.holderIdentity", ""));
    pthread_mutex_unlock(&a->lock);
}

bool api_positions(struct api *a) {
    pthread_mutex_lock(&a->lock);
    bool some =
        strstr(js_str(a->lease, "/metadata/annotations/pilotgate~1positions", ""), "configmaps") != NULL;
    pthread_mutex_unlock(&a->lock);
    return some;
}

unsigned api_writes(struct api *a) {
    pthread_mutex_lock(&a->lock);
    unsigned n = a->writes;
    pthread_mutex_unlock(&a->lock);
    return n;
}

unsigned api_exact(struct api *a) {
    pthread_mutex_lock(&a->lock);
    unsigned n = a->exact;
    pthread_mutex_unlock(&a->lock);
    return n;
}

void api_grow_lease(struct api *a, size_t bytes) {
    pthread_mutex_lock(&a->lock);
    char *text = malloc(bytes + 1);
    char rv[32];
    snprintf(rv, sizeof rv, "%lld", (long long)++a->rv);
    (void)json_object_set_new(json_object_get(a->lease, "metadata"), "resourceVersion", json_string(rv));
    memset(text, 'x', bytes);
    text[bytes] = 0;
    (void)json_object_set_new(js_at(a->lease, "metadata.annotations"), "other", json_string(text));
    free(text);
    pthread_mutex_unlock(&a->lock);
}

void api_deny_lease(struct api *a, bool deny) {
    pthread_mutex_lock(&a->lock);
    a->deny = deny;
    pthread_mutex_unlock(&a->lock);
}

size_t api_events(struct api *a) {
    pthread_mutex_lock(&a->lock);
    size_t n = a->n;
    pthread_mutex_unlock(&a->lock);
    return n;
}

struct api_event api_event(struct api *a, size_t i) {
    pthread_mutex_lock(&a->lock);
    struct api_event e = a->events[i];
    pthread_mutex_unlock(&a->lock);
    return e;
}
