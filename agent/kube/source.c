/* source: one collection over HTTP: starts what watch.c says is due, feeds what arrives to the view, and
 * tells watch.c how it ended. See kube_priv.h. */
#include <errno.h>
#include <malloc.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "kube/kube_priv.h"

#define WATCH_SECONDS_MIN 300 /* a watch lives that long, and up to as much again */
#define WATCH_GRACE 30
#define LIST_SECONDS 60
#define CATCH_UP (5 * WHEN_S) /* after this time a new watch has told what had happened meanwhile */
#define LATENCY WHEN_S        /* what is allowed for the way of an event to us */
#define DENIED_FOR (5 * WHEN_S)
#define HELD_LONG (60 * WHEN_S)
#define ASK_WHETHER_SERVED (250 * WHEN_MS) /* while the answer is on its way */
#define ASK_AGAIN (30 * WHEN_S)  /* what is not served: /apis is looked at, which costs no request */
#define TRY_AGAIN (600 * WHEN_S) /* its group is there, but it is not in it: that costs one */

void kube_source_init(struct kube_source *s, const struct kube_kind *kind, const struct kube_scope *sc,
                      struct kube_http *h, CURLM *multi, const char *node) {
    *s = (struct kube_source){.kind = kind, .http = h, .multi = multi, .node = node, .page = kind->page};
    s->newest = kind;
    s->absent = kind->optional;
    s->view.scope = sc;
    s->view.kind = kind;
    s->body.max = KUBE_LINE_MAX;
    s->rest.max = KUBE_LINE_MAX;
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
    buf_free(&s->body);
    buf_free(&s->rest);
    free(s->more);
    s->more = NULL;
}

static void not_ok(struct kube_source *s, const char *reason) {
    s->ok = false;
    (void)snprintf(s->reason, sizeof s->reason, "%s", reason);
}

static void is_ok(struct kube_source *s) {
    s->ok = true;
    s->reason[0] = 0;
    s->told[0] = 0;
    s->denied_mono = 0;
}

/* Says the reason once, and again when it changes. */
static void tell_unreadable(struct kube_source *s) {
    if (strcmp(s->told, s->reason) == 0)
        return;
    (void)snprintf(s->told, sizeof s->told, "%s", s->reason);
    if (s->kind->replicas)
        kube_replicas_unknown(s->view.scope, s->kind, s->reason);
    else
        kube_tell_unreadable(s->view.scope, s->kind->object, "*", s->reason);
}

/* An API server that has just started denies for a moment what it allows: what was readable before is
 * called unreadable only when the denial lasts. */
static void tell_denied(struct kube_source *s) {
    int64_t now = when_mono_ns();
    if (s->denied_mono == 0)
        s->denied_mono = now;
    if (!s->view.listed_once || now - s->denied_mono >= DENIED_FOR)
        tell_unreadable(s);
}

void kube_source_disable(struct kube_source *s, const char *reason) {
    s->disabled = true;
    not_ok(s, reason);
    tell_unreadable(s);
}

/* ---- a watch line */

static void set_rv(struct kube_source *s, const char *rv) {
    if (*rv && strlen(rv) < sizeof s->rv)
        (void)snprintf(s->rv, sizeof s->rv, "%s", rv);
}

/* Ends the transfer from inside a callback: kube_source_done finds why. */
static int lose(struct kube_source *s, enum kube_event ev, struct err *e) {
    s->lost = ev;
    not_ok(s, e->text);
    return -ECANCELED;
}

static int take_error_event(struct kube_source *s, const json_t *status, struct err *e) {
    int64_t code = js_int(status, "code", 0);
    err_set(e, 0, "watch of %s: %.200s (%lld)", s->kind->source, js_str(status, "message", "error"),
            (long long)code);
    return lose(s, code == 410 || code == 504 ? KUBE_EXPIRED : KUBE_FAILED, e);
}

static int take_event(struct kube_source *s, const json_t *event, struct err *e) {
    const char *type = js_str(event, "type", "");
    const json_t *object = js_at(event, "object");
    struct kube_sight sight = {.recv_wall = s->byte_wall, .previous_wall = s->previous_wall};
    int r = 0;
    if (strcmp(type, "ERROR") == 0)
        return take_error_event(s, object, e);
    if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0)
        r = kube_view_see(&s->view, &sight, object, e);
    else if (strcmp(type, "DELETED") == 0)
        r = kube_view_delete(&s->view, &sight, object, e);
    else if (strcmp(type, "BOOKMARK") != 0)
        r = err_set(e, -EBADMSG, "a watch event of unknown type \"%.32s\"", type);
    if (r == 0) {
        set_rv(s, js_str(object, "metadata.resourceVersion", ""));
        kube_watch_alive(&s->watch);
    }
    return r;
}

static int take_line(void *ctx, char *line, size_t len, struct err *e) {
    struct kube_source *s = ctx;
    json_t *event = NULL;
    int r = js_parse(line, len, KUBE_LINE_MAX, &event, e);
    if (r < 0)
        return r;
    r = take_event(s, event, e);
    json_decref(event);
    return r;
}

/* ---- callbacks of libcurl */

static bool is_watching(const struct kube_source *s) {
    return s->watch.state == KUBE_WATCH;
}

/* A watch that has caught up and delivers shows the server's state of a moment ago. */
static void note_current(struct kube_source *s) {
    int64_t then = s->byte_wall - LATENCY;
    if (when_mono_ns() - s->answered_mono >= CATCH_UP && then > s->previous_wall)
        s->previous_wall = then;
}

static size_t take_watch_bytes(struct kube_source *s, const char *data, size_t len) {
    struct err e = {.text = ""};
    int r = kube_frames_feed(&s->rest, data, len, take_line, s, &e);
    if (r == 0 && s->rest.len == 0)
        note_current(s);
    if (r < 0 && r != -ECANCELED) { /* a line we cannot take: going on from there would meet it again */
        err_prefix(&e, r, "watch of %s", s->kind->source);
        (void)lose(s, KUBE_EXPIRED, &e);
    }
    return r < 0 ? CURL_WRITEFUNC_ERROR : len;
}

static size_t take_body_bytes(struct kube_source *s, const char *data, size_t len) {
    struct err e;
    if (buf_add(&s->body, data, len) == 0)
        return len;
    err_set(&e, 0, "a list page of %s is too large: asking for smaller ones", s->kind->source);
    s->page = s->page > 1 ? s->page / 2 : 1;
    (void)lose(s, KUBE_FAILED, &e);
    return CURL_WRITEFUNC_ERROR;
}

static size_t on_bytes(char *data, size_t size, size_t n, void *ctx) {
    struct kube_source *s = ctx;
    s->byte_wall = when_wall_ns();
    if (s->established)
        return take_watch_bytes(s, data, size * n);
    return take_body_bytes(s, data, size * n);
}

/* The empty line after a status of 200: from now on the server tells what changes. */
static size_t on_header(char *data, size_t size, size_t n, void *ctx) {
    struct kube_source *s = ctx;
    long status = 0;
    if (size * n > 2 || !is_watching(s) || *data != '\r')
        return size * n;
    (void)curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200) {
        s->established = true;
        s->answered_mono = when_mono_ns();
        s->byte_wall = when_wall_ns();
        kube_watch_answered(&s->watch);
        is_ok(s);
    }
    return size * n;
}

/* ---- starting */

static char *query_of(const struct kube_source *s) {
    char *out = NULL;
    int r;
    if (is_watching(s)) {
        char *rv = curl_easy_escape(NULL, s->rv, 0);
        unsigned seconds = WATCH_SECONDS_MIN + randombytes_uniform(WATCH_SECONDS_MIN);
        r = asprintf(&out, "watch=1&allowWatchBookmarks=true&resourceVersion=%s&timeoutSeconds=%u",
                     rv ? rv : "", seconds);
        curl_free(rv);
    } else if (s->kind->poll) {
        r = asprintf(&out, "%s", "");
    } else {
        r = asprintf(&out, "limit=%d%s%s", s->page, s->more ? "&continue=" : "", s->more ? s->more : "");
    }
    return r < 0 ? NULL : out;
}

static void set_callbacks(struct kube_source *s) {
    long seconds = is_watching(s) ? 2L * WATCH_SECONDS_MIN + WATCH_GRACE : LIST_SECONDS;
    (void)curl_easy_setopt(s->easy, CURLOPT_TIMEOUT, seconds);
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

static void go_on(struct kube_source *s, enum kube_event ev, int64_t retry_after) {
    kube_watch_step(&s->watch, ev, when_mono_ns(), retry_after, randombytes_random());
}

static void start(struct kube_source *s) {
    struct err e;
    s->error[0] = 0;
    s->lost = KUBE_EVENTS;
    s->established = false;
    buf_clear(&s->body);
    buf_clear(&s->rest);
    s->started_wall = when_wall_ns();
    if (!is_watching(s) && !s->more) {
        s->list_wall = s->started_wall;
        s->pages = 0;
    }
    if (begin(s, &e) == 0)
        return;
    curl_easy_cleanup(s->easy);
    s->easy = NULL;
    not_ok(s, e.text);
    go_on(s, KUBE_FAILED, 0);
}

/* ---- kinds that need not be served */

/* It is not there, so what was known of it is gone. */
static void be_absent(struct kube_source *s, int64_t now) {
    struct kube_sight sight = {
        .recv_wall = when_wall_ns(), .previous_wall = s->previous_wall, .listed = true};
    if (s->view.known.n) {
        kube_view_begin(&s->view);
        kube_view_end(&s->view, &sight);
    }
    s->absent = true;
    s->told[0] = 0;
    kube_watch_answered(&s->watch);
    s->watch.due_mono = now + (s->refused ? TRY_AGAIN : ASK_AGAIN);
    s->refused = NULL;
}

/* Chooses the version to list an optional kind in. False: there is none, or it is not known yet; due is set.
 */
static bool choose_version(struct kube_source *s, int64_t now) {
    bool lists = s->watch.state == KUBE_LIST || s->watch.state == KUBE_PAUSE_LIST;
    struct kube_served *served = s->view.scope->served;
    if (!s->newest->optional || !lists || s->more || !served)
        return true;
    if (!kube_served_known(served, now)) {
        s->watch.due_mono = now + ASK_WHETHER_SERVED;
        return false;
    }
    const struct kube_kind *from = s->refused ? s->refused + 1 : s->newest;
    const struct kube_kind *k = from == s->newest || from->older ? kube_served_choose(served, from) : NULL;
    if (!k) {
        be_absent(s, now);
        return false;
    }
    s->kind = s->view.kind = k;
    return true;
}

/* The version is served, and does not have this kind. */
static enum kube_event take_unserved(struct kube_source *s) {
    s->refused = s->kind;
    return KUBE_FAILED;
}

int64_t kube_source_run(struct kube_source *s, int64_t now) {
    if (s->disabled || s->easy)
        return INT64_MAX;
    if (s->watch.due_mono > now || !choose_version(s, now))
        return s->watch.due_mono - now;
    go_on(s, KUBE_DUE, 0);
    start(s);
    return s->easy ? INT64_MAX : s->watch.due_mono - now;
}

/* ---- ending */

static int take_items(struct kube_source *s, const json_t *items, struct err *e) {
    size_t i;
    json_t *item;
    int r = 0;
    if (!json_is_array(items) && !json_is_null(items))
        return err_set(e, -EBADMSG, "the answer is no list of %s: is kube.api an API server?",
                       s->kind->source);
    if (!s->more)
        kube_view_begin(&s->view);
    json_array_foreach(items, i, item) {
        struct kube_sight sight = {
            .recv_wall = s->byte_wall, .previous_wall = s->previous_wall, .listed = true};
        r = kube_view_see(&s->view, &sight, item, e);
        if (r < 0)
            return r;
    }
    return 0;
}

static void complete(struct kube_source *s) {
    s->absent = false;
    s->refused = NULL;
    struct kube_sight sight = {.recv_wall = s->byte_wall, .previous_wall = s->previous_wall, .listed = true};
    kube_view_end(&s->view, &sight);
    if (s->kind->replicas && s->view.known.n == 0)
        kube_replicas_absent(s->view.scope, s->kind);
    s->previous_wall = s->list_wall;
    s->covered_wall = s->list_wall;
    (void)malloc_trim(0); /* a list is large and rare */
}

static int take_page(struct kube_source *s, const json_t *list, enum kube_event *ret, struct err *e) {
    const char *more = js_str(list, "metadata.continue", "");
    const char *rv = js_str(list, "metadata.resourceVersion", "");
    int r = take_items(s, js_at(list, "items"), e);
    if (r < 0)
        return r;
    free(s->more);
    s->more = NULL;
    if (*more) {
        s->more = curl_easy_escape(NULL, more, 0);
        *ret = KUBE_MORE;
        return !s->more ? err_oom(e)
               : ++s->pages > KUBE_KNOWN_MAX
                   ? err_set(e, -EMSGSIZE, "the list of %s never ends", s->kind->source)
                   : 0;
    }
    if (!*rv || strlen(rv) >= sizeof s->rv)
        return err_set(e, -EBADMSG, "the list of %s has no resourceVersion", s->kind->source);
    set_rv(s, rv);
    complete(s);
    *ret = KUBE_LISTED;
    return 0;
}

static int take_polled(struct kube_source *s, const json_t *object, enum kube_event *ret, struct err *e) {
    struct kube_sight sight = {.recv_wall = s->byte_wall, .previous_wall = s->previous_wall, .listed = true};
    kube_view_begin(&s->view);
    if (strcmp(js_str(object, "kind", ""), s->kind->kind) != 0)
        return err_set(e, -EBADMSG, "the answer is no %s: is kube.api an API server?", s->kind->kind);
    int r = kube_view_see(&s->view, &sight, object, e);
    if (r < 0)
        return r;
    complete(s);
    is_ok(s);
    *ret = KUBE_POLLED;
    return 0;
}

static enum kube_event take_list(struct kube_source *s) {
    struct err e;
    enum kube_event ev = KUBE_FAILED;
    json_t *doc = NULL;
    int r = js_parse(buf_str(&s->body), s->body.len, KUBE_LINE_MAX, &doc, &e);
    if (r == 0)
        r = s->kind->poll ? take_polled(s, doc, &ev, &e) : take_page(s, doc, &ev, &e);
    json_decref(doc);
    buf_free(&s->body);
    if (r == 0)
        return ev;
    not_ok(s, e.text);
    return KUBE_FAILED;
}

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
    not_ok(s, reason);
    json_decref(doc);
}

/* A Namespace that the API says does not exist: what was known of it is gone. */
static enum kube_event take_absence(struct kube_source *s) {
    kube_view_begin(&s->view);
    complete(s);
    return KUBE_POLLED;
}

static enum kube_event take_status(struct kube_source *s, long status, curl_off_t retry_after) {
    if (status == 404 && s->newest->optional && !is_watching(s))
        return take_unserved(s);
    s->absent = false;
    explain_status(s, status);
    if (status == 401)
        kube_http_forget_token(s->http);
    if (status == 403)
        tell_denied(s);
    if (status == 404 && s->kind->poll && strstr(s->reason, "not found"))
        return take_absence(s);
    if (status == 403)
        return KUBE_DENIED;
    if (status == 410)
        return KUBE_EXPIRED;
    if (status == 429 || (status == 503 && retry_after > 0))
        return KUBE_THROTTLED;
    return is_watching(s) && status >= 400 && status < 500 && status != 401 ? KUBE_EXPIRED : KUBE_FAILED;
}

/* A watch of 200 is over: in order, or in the middle of a line. */
static enum kube_event take_watch_end(struct kube_source *s) {
    s->covered_wall = when_wall_ns();
    if (s->rest.len == 0)
        return KUBE_ENDED;
    s->covered_wall = s->byte_wall;
    not_ok(s, "the watch was cut in the middle of a line");
    return KUBE_FAILED;
}

static enum kube_event take_transport_error(struct kube_source *s, CURLcode code) {
    char reason[KUBE_REASON_MAX];
    (void)snprintf(reason, sizeof reason, "%s: %.250s", s->kind->source,
                   *s->error ? s->error : curl_easy_strerror(code));
    not_ok(s, reason);
    return KUBE_FAILED;
}

static enum kube_event how_it_ended(struct kube_source *s, CURLcode code, curl_off_t retry_after) {
    long status = 0;
    (void)curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    if (s->established) /* an end that the peer sent proves that it was there until now; silence does not */
        s->covered_wall = code == CURLE_PARTIAL_FILE ? when_wall_ns() : s->byte_wall;
    if (s->lost != KUBE_EVENTS)
        return s->lost;
    if (code != CURLE_OK)
        return take_transport_error(s, code);
    if (status != 200)
        return take_status(s, status, retry_after);
    return s->established ? take_watch_end(s) : take_list(s);
}

void kube_source_done(struct kube_source *s, CURLcode code) {
    curl_off_t retry_after = 0;
    (void)curl_easy_getinfo(s->easy, CURLINFO_RETRY_AFTER, &retry_after);
    enum kube_event ev = how_it_ended(s, code, retry_after);
    if (s->established && when_mono_ns() - s->answered_mono > HELD_LONG)
        kube_watch_alive(&s->watch);
    s->established = false;
    end_transfer(s);
    if (ev != KUBE_MORE) {
        free(s->more);
        s->more = NULL;
    }
    go_on(s, ev, retry_after > 0 && retry_after < 86400 ? retry_after * WHEN_S : 0);
}

void kube_source_cover(struct kube_source *s, int64_t now_wall, Pilotgate__Coverage__Source *ret) {
    if (s->established)
        s->covered_wall = now_wall;
    ret->name = (char *)s->kind->source;
    ret->last_wall_ns = s->covered_wall;
    ret->ok = s->ok;
    ret->reason = s->reason;
}
