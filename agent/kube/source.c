/* source: one collection over HTTP: starts what watch.c says is due, hands what arrives to take.c, and tells
 * watch.c how it ended. See kube_priv.h.
 *
 * Streaming lists are tried once: Kubernetes 1.32, and 1.34 on, serve them by default (feature gate
 * WatchList; kubernetes/kubernetes#131359). Servers from 1.27 on without the gate refuse them with 422
 * ("sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"), those from 1.19
 * to 1.26 as well
 * ("resourceVersionMatch is forbidden for watch": apimachinery meta/internalversion/validation). One that
 * knows neither would answer a plain watch, without the bookmark that ends the list (some 1.27 to 1.29 with
 * the gate do so, too: kubernetes/kubernetes#122805): no picture is complete before that bookmark, and LIST
 * follows.
 *
 * Silence: an API server sends a bookmark roughly every minute and 2 s before the watch's deadline (apiserver
 * pkg/storage/cacher, nextBookmarkTime; since 1.19: kubernetes/kubernetes#90560), but none while it has seen
 * no event of that resource since it started (dispatchEvents). So a watch lives long only where bookmarks
 * were seen; elsewhere it asks to be ended after about a minute. Either way something must come within
 * SILENT, or the server hangs. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "kube/served.h"

#define WATCH_SECONDS_MIN 300 /* a watch with bookmarks lives that long, and up to as much again */
#define WATCH_SECONDS_SHORT 55
#define WATCH_SECONDS_SPREAD 10
#define WATCH_GRACE 30
#define SHORT_LIVES 16       /* watches after one that was silent although bookmarks had come */
#define LIST_SECONDS 300     /* a page; one may be a whole list of 50 MB, as a server may ignore `limit` */
#define LIST_BYTES_PER_S 100 /* a page that comes slower ... */
#define LIST_SLOW_SECONDS 30 /* ... for that long is given up */
#define ANSWER (30 * WHEN_S)
#define SILENT (80 * WHEN_S)
#define SYNCED (10 * WHEN_S) /* the end follows the last object within about a second */
#define DENIED_FOR (5 * WHEN_S)
#define HELD_LONG (30 * WHEN_S)
#define UNSERVED "the API server does not serve it"

void kube_source_init(struct kube_source *s, const struct kube_kind *kind, const struct kube_scope *sc,
                      struct kube_http *h, CURLM *multi, const char *node) {
    *s = (struct kube_source){.kind = kind, .http = h, .multi = multi, .node = node, .page = kind->page};
    s->times = (struct kube_times){.answer = ANSWER, .silent = SILENT, .synced = SYNCED};
    s->newest = kind;
    s->absent = kind->optional;
    s->scope = s->view.scope = sc;
    s->view.kind = kind;
    s->body.max = KUBE_OBJECT_MAX;
    s->frames.rest.max = KUBE_OBJECT_MAX + 1024; /* and what an event says around it */
    s->lost = KUBE_EVENTS;
    (void)snprintf(s->reason, sizeof s->reason, "not read yet");
}

static void end_transfer(struct kube_source *s) {
    if (!s->easy)
        return;
    (void)curl_multi_remove_handle(s->multi, s->easy);
    curl_easy_cleanup(s->easy);
    s->easy = NULL;
}

void kube_source_free(struct kube_source *s) {
    end_transfer(s);
    kube_view_free(&s->view);
    kube_items_free(&s->items);
    buf_free(&s->frames.rest);
    buf_free(&s->body);
    free(s->more);
    s->more = NULL;
}

void kube_source_not_ok(struct kube_source *s, const char *reason) {
    s->ok = false;
    (void)snprintf(s->reason, sizeof s->reason, "%s", reason);
}

void kube_source_ok(struct kube_source *s) {
    s->ok = true;
    s->reason[0] = 0;
    s->told[0] = 0;
    s->denied_mono = 0;
}

void kube_source_unreadable(struct kube_source *s) {
    if (strcmp(s->told, s->reason) == 0)
        return;
    (void)snprintf(s->told, sizeof s->told, "%s", s->reason);
    if (s->kind->replicas)
        kube_replicas_unknown(s->scope, s->kind, s->reason);
    else
        kube_tell_unreadable(s->scope, s->kind->object, s->scope->stage_namespace ? s->kind->source : "*",
                             s->reason);
}

/* An API server that has just started denies for a moment what it allows: what was readable before is
 * called unreadable only when the denial lasts. */
static void tell_denied(struct kube_source *s) {
    int64_t now = when_mono_ns();
    if (s->denied_mono == 0)
        s->denied_mono = now;
    if (!s->view.listed_once || now - s->denied_mono >= DENIED_FOR)
        kube_source_unreadable(s);
}

void kube_source_disable(struct kube_source *s, const char *reason) {
    s->disabled = true;
    kube_source_not_ok(s, reason);
    kube_source_unreadable(s);
}

/* ---- callbacks of libcurl */

static bool is_watching(const struct kube_source *s) {
    return s->watch.state == KUBE_WATCH || s->watch.state == KUBE_STREAM;
}

static long status_of(const struct kube_source *s) {
    long status = 0;
    (void)curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* An error's words, as far as they are of use; a polled object. */
static int take_body(struct kube_source *s, const char *data, size_t len, bool good) {
    size_t max = good ? KUBE_OBJECT_MAX : KUBE_ERROR_BODY_MAX;
    size_t room = s->body.len < max ? max - s->body.len : 0;
    if (good && len > room) {
        kube_source_not_ok(s, "the answer is larger than any object");
        s->lost = KUBE_FAILED;
        return -EMSGSIZE;
    }
    return buf_add(&s->body, data, len < room ? len : room);
}

/* What is longer than any object may be is no sign of life, as it might never end. */
static size_t on_bytes(char *data, size_t size, size_t n, void *ctx) {
    struct kube_source *s = ctx;
    int r;
    s->byte_wall = when_wall_ns();
    if (!s->established || !s->frames.over)
        s->byte_mono = when_mono_ns();
    if (s->established)
        r = kube_take_watch(s, data, size * n);
    else if (s->watch.state == KUBE_LIST && !s->kind->poll && status_of(s) == 200)
        r = kube_take_list(s, data, size * n);
    else
        r = take_body(s, data, size * n, status_of(s) == 200);
    return r < 0 ? CURL_WRITEFUNC_ERROR : size * n;
}

/* The empty line after a status of 200: from now on the server tells what changes. After a silence that is
 * not enough: a server that hangs may still open a watch. */
static size_t on_header(char *data, size_t size, size_t n, void *ctx) {
    struct kube_source *s = ctx;
    if (size * n > 2 || !is_watching(s) || *data != '\r' || status_of(s) != 200)
        return size * n;
    s->established = true;
    s->answered_mono = s->byte_mono = when_mono_ns();
    s->byte_wall = when_wall_ns();
    if (s->watch.state == KUBE_STREAM)
        return size * n;
    kube_watch_answered(&s->watch);
    if (!s->doubted)
        kube_source_ok(s);
    return size * n;
}

/* ---- starting */

static unsigned watch_seconds(const struct kube_source *s) {
    if (!s->marks || s->short_lives > 0)
        return WATCH_SECONDS_SHORT + randombytes_uniform(WATCH_SECONDS_SPREAD);
    return WATCH_SECONDS_MIN + randombytes_uniform(WATCH_SECONDS_MIN);
}

static char *watch_query(struct kube_source *s) {
    char *out = NULL;
    bool stream = s->watch.state == KUBE_STREAM;
    char *rv = curl_easy_escape(NULL, stream ? "" : s->rv, 0);
    s->seconds = watch_seconds(s);
    if (!rv || asprintf(&out, "watch=1&allowWatchBookmarks=true%s&resourceVersion=%s&timeoutSeconds=%u",
                        stream ? "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan" : "", rv,
                        s->seconds) < 0)
        out = NULL;
    curl_free(rv);
    return out;
}

static char *query_of(struct kube_source *s) {
    char *out = NULL;
    if (is_watching(s))
        return watch_query(s);
    if (s->kind->poll)
        return strdup("");
    char *rv = s->resuming && !s->more ? curl_easy_escape(NULL, s->from.rv, 0) : NULL;
    if (asprintf(&out, "limit=%d%s%s%s%s%s", s->page, s->more ? "&continue=" : "", s->more ? s->more : "",
                 rv ? "&resourceVersion=" : "", rv ? rv : "", rv ? "&resourceVersionMatch=Exact" : "") < 0)
        out = NULL;
    curl_free(rv);
    return out;
}

static void set_callbacks(struct kube_source *s) {
    long seconds = is_watching(s) ? (long)s->seconds + WATCH_GRACE : LIST_SECONDS;
    (void)curl_easy_setopt(s->easy, CURLOPT_TIMEOUT, seconds);
    if (!is_watching(s)) {
        (void)curl_easy_setopt(s->easy, CURLOPT_LOW_SPEED_LIMIT, (long)LIST_BYTES_PER_S);
        (void)curl_easy_setopt(s->easy, CURLOPT_LOW_SPEED_TIME, (long)LIST_SLOW_SECONDS);
    }
    (void)curl_easy_setopt(s->easy, CURLOPT_PRIVATE, s);
    (void)curl_easy_setopt(s->easy, CURLOPT_ERRORBUFFER, s->error);
    (void)curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, on_bytes);
    (void)curl_easy_setopt(s->easy, CURLOPT_WRITEDATA, s);
    (void)curl_easy_setopt(s->easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(s->easy, CURLOPT_HEADERDATA, s);
}

static int begin(struct kube_source *s, struct err *e) {
    char *query = query_of(s);
    char *path = query ? kube_kind_path(s->kind, s->view.scope->namespace_name, s->node, query) : NULL;
    free(query);
    s->easy = path ? curl_easy_init() : NULL;
    int r = s->easy ? kube_http_prepare(s->http, s->easy, path, e) : err_oom(e);
    free(path);
    if (r < 0)
        return r;
    set_callbacks(s);
    CURLMcode c = curl_multi_add_handle(s->multi, s->easy);
    return c == CURLM_OK ? 0 : err_set(e, -EIO, "libcurl: %s", curl_multi_strerror(c));
}

void kube_source_step(struct kube_source *s, enum kube_event ev, int64_t retry_after) {
    kube_watch_step(&s->watch, ev, when_mono_ns(), retry_after, randombytes_random());
}

/* A list begins, paged or streaming, from its start. */
static void begin_list(struct kube_source *s) {
    s->list_wall = s->started_wall;
    s->list_to_wall = 0;
    s->pages = 0;
    if (!s->kind->poll)
        kube_view_begin(&s->view);
}

static void start(struct kube_source *s) {
    struct err e;
    s->error[0] = 0;
    s->lost = KUBE_EVENTS;
    s->established = false;
    buf_clear(&s->body);
    kube_items_free(&s->items);
    kube_frames_clear(&s->frames);
    s->started_wall = when_wall_ns();
    s->started_mono = when_mono_ns();
    if (s->watch.state == KUBE_STREAM || (s->watch.state == KUBE_LIST && !s->more))
        begin_list(s);
    if (begin(s, &e) == 0)
        return;
    curl_easy_cleanup(s->easy);
    s->easy = NULL;
    kube_source_not_ok(s, e.text);
    kube_source_step(s, KUBE_FAILED, 0);
}

/* The version is served, and does not have this kind. */
static enum kube_event take_unserved(struct kube_source *s) {
    s->refused = s->kind;
    return KUBE_FAILED;
}

/* ---- under way */

/* Ends a transfer that is under way; returns the ns until something is due. */
static int64_t drop(struct kube_source *s, enum kube_event ev, const char *why, int64_t limit) {
    char reason[KUBE_REASON_MAX];
    (void)snprintf(reason, sizeof reason, "%s: %s for %lld s", s->kind->source, why,
                   (long long)(limit / WHEN_S));
    kube_source_not_ok(s, reason);
    s->lost = ev;
    kube_source_done(s, CURLE_ABORTED_BY_CALLBACK);
    return 0;
}

/* TCP keepalive finds a peer that is gone within half a minute (http.c); a server that hangs, only this.
 * Lists have libcurl's limits. */
static int64_t look_after(struct kube_source *s, int64_t now) {
    if (!is_watching(s))
        return INT64_MAX;
    int64_t since = s->established ? s->byte_mono : s->started_mono;
    int64_t limit = !s->established                 ? s->times.answer
                    : s->watch.state == KUBE_STREAM ? s->times.synced
                                                    : s->times.silent;
    if (now - since < limit)
        return limit - (now - since);
    if (!s->established)
        return drop(s, KUBE_FAILED, "the API server answers no watch", limit);
    if (s->watch.state == KUBE_STREAM)
        return drop(s, KUBE_FAILED, "a streaming list has no end", limit);
    return drop(s, KUBE_SILENT, "the API server is silent", limit);
}

static bool may_stream(const struct kube_source *s) {
    return !s->kind->poll && !s->plain_list && !s->http->unstreamed && !s->resuming;
}

int64_t kube_source_run(struct kube_source *s, int64_t now) {
    if (s->disabled)
        return INT64_MAX;
    if (s->easy)
        return look_after(s, now);
    if (s->watch.due_mono > now || !kube_source_choose(s, now))
        return s->watch.due_mono - now;
    kube_source_step(s, may_stream(s) ? KUBE_DUE_STREAM : KUBE_DUE, 0);
    start(s);
    return s->easy ? look_after(s, now) : s->watch.due_mono - now;
}

/* ---- ending */

/* A reason out of an answer that is no success: the API's own words, bounded. */
static void explain_status(struct kube_source *s, long status) {
    json_t *doc = NULL;
    char reason[KUBE_REASON_MAX];
    const char *words = "";
    if (s->body.len <= KUBE_ERROR_BODY_MAX &&
        js_parse(buf_str(&s->body), s->body.len, KUBE_ERROR_BODY_MAX, &doc, NULL) == 0)
        words = js_str(doc, "message", "");
    if (status == 403)
        kube_kind_advice(s->kind, s->view.scope->namespace_name, reason);
    else if (status == 401)
        (void)snprintf(reason, sizeof reason,
                       "HTTP 401: the API server does not accept the service account's token");
    else
        (void)snprintf(reason, sizeof reason, "HTTP %ld for %s: %.200s", status, s->kind->source, words);
    kube_source_not_ok(s, reason);
    json_decref(doc);
}

/* A streaming list that this server does not serve, or not for this resource: any list will do. */
static enum kube_event take_unstreamed(struct kube_source *s, long status) {
    s->http->unstreamed |= status == 400 || status == 422;
    return KUBE_UNSERVED;
}

static enum kube_event take_status(struct kube_source *s, long status, curl_off_t retry_after) {
    bool refused = status >= 400 && status < 500;
    if (status == 404 && s->newest->optional && s->watch.state != KUBE_WATCH)
        return take_unserved(s);
    if (status == 401)
        kube_http_forget_token(s->http);
    if (s->watch.state == KUBE_STREAM && refused && status != 401 && status != 403 && status != 429)
        return take_unstreamed(s, status);
    s->absent = s->unserved = false;
    explain_status(s, status);
    if (status == 403)
        tell_denied(s);
    if (status == 404 && s->kind->poll && strstr(s->reason, "not found"))
        return kube_take_absence(s);
    if (status == 403)
        return KUBE_DENIED;
    if (status == 410 || (s->resuming && (status == 400 || status == 422)))
        return KUBE_EXPIRED;
    if (status == 429 || (status >= 500 && retry_after > 0))
        return KUBE_THROTTLED;
    return s->watch.state == KUBE_WATCH && refused && status != 401 ? KUBE_EXPIRED : KUBE_FAILED;
}

/* A watch of 200 is over: in order, or in the middle of a line. */
static enum kube_event take_watch_end(struct kube_source *s) {
    if (s->frames.rest.len == 0) {
        s->covered_wall = s->byte_wall = when_wall_ns(); /* an end in order is as good as a line */
        s->byte_mono = when_mono_ns();
        kube_take_current(s);
        return KUBE_ENDED;
    }
    s->covered_wall = s->byte_wall;
    kube_source_not_ok(s, "the watch was cut in the middle of a line");
    return KUBE_FAILED;
}

/* A page that does not come in time is asked for in smaller ones. */
static enum kube_event take_transport_error(struct kube_source *s, CURLcode code) {
    char reason[KUBE_REASON_MAX];
    bool began = s->byte_mono >= s->started_mono;
    if (code == CURLE_OPERATION_TIMEDOUT && began && s->watch.state == KUBE_LIST && s->page > 1)
        s->page /= 2;
    (void)snprintf(reason, sizeof reason, "%s: %.250s", s->kind->source,
                   *s->error ? s->error : curl_easy_strerror(code));
    kube_source_not_ok(s, reason);
    return KUBE_FAILED;
}

static enum kube_event how_it_ended(struct kube_source *s, CURLcode code, curl_off_t retry_after) {
    long status = status_of(s);
    bool watched = s->established && s->watch.state == KUBE_WATCH;
    if (watched) /* an end that the peer sent proves that it was there until now; silence does not */
        s->covered_wall = code == CURLE_PARTIAL_FILE ? when_wall_ns() : s->byte_wall;
    if (s->lost != KUBE_EVENTS)
        return s->lost;
    if (code != CURLE_OK)
        return take_transport_error(s, code);
    if (status != 200)
        return take_status(s, status, retry_after);
    if (s->established)
        return take_watch_end(s);
    return s->kind->poll ? kube_take_polled(s) : kube_take_page_end(s);
}

/* What the end of a transfer means for the next ones, beside the table. */
static void note_end(struct kube_source *s, enum kube_event ev) {
    if (s->established && when_mono_ns() - s->answered_mono > HELD_LONG && ev != KUBE_SILENT)
        kube_watch_alive(&s->watch);
    if (s->watch.state == KUBE_STREAM)
        s->plain_list = ev != KUBE_DENIED && ev != KUBE_THROTTLED;
    if (s->watch.state == KUBE_WATCH && s->short_lives > 0)
        s->short_lives--;
    if (s->watch.state == KUBE_WATCH && ev != KUBE_ENDED && ev != KUBE_SILENT)
        s->marks = false; /* another server, or one that started again, may send none */
    if (ev == KUBE_SILENT) {
        s->doubted = true;
        s->short_lives = s->marks ? SHORT_LIVES : 0;
    }
    if (ev == KUBE_EXPIRED && s->resuming)
        kube_source_give_up_resuming(s);
    if (ev == KUBE_EXPIRED && s->view.listed_once && !s->kind->poll && !s->kind->replicas)
        s->gap = true;
}

void kube_source_done(struct kube_source *s, CURLcode code) {
    curl_off_t retry_after = 0;
    (void)curl_easy_getinfo(s->easy, CURLINFO_RETRY_AFTER, &retry_after);
    enum kube_event ev = how_it_ended(s, code, retry_after);
    note_end(s, ev);
    s->established = false;
    end_transfer(s);
    buf_free(&s->body);
    kube_items_free(&s->items);
    if (ev != KUBE_MORE) {
        free(s->more);
        s->more = NULL;
    }
    kube_source_step(s, ev, retry_after > 0 && retry_after < 86400 ? retry_after * WHEN_S : 0);
}

void kube_source_cover(struct kube_source *s, int64_t now_wall, Pilotgate__Coverage__Source *ret) {
    if (s->established && s->watch.state == KUBE_WATCH && !s->doubted)
        s->covered_wall = now_wall;
    ret->name = (char *)s->kind->source;
    ret->last_wall_ns = s->covered_wall;
    ret->ok = s->ok || s->unserved;
    ret->reason = s->unserved ? (char *)(uintptr_t)UNSERVED : s->reason;
}

const char *kube_source_kind(const struct kube_source *s) {
    if (s->kind->phases || s->kind->replicas)
        return "";
    if (s->scope->stage_namespace) /* of another namespace only the status is told */
        return "GitOps";
    return *s->kind->kind ? s->kind->object : "";
}
