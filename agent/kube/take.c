/* take: what arrives becomes looks at single objects: elements of list pages, lines of watches, polled
 * objects. Nothing here holds more than one object. One that is too large, or cannot be read, is said to be
 * so once, and the others go on. See kube_priv.h. */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "kube/kube_priv.h"

#define CATCH_UP (5 * WHEN_S) /* after this time a new watch has told what had happened meanwhile */
#define LATENCY WHEN_S        /* what is allowed for the way of an event to us */
#define LARGE (256u << 10)    /* an object that is worth giving memory back for */

/* The bookmark that ends a streaming list (KEP-3157; k8s.io/apimachinery meta/v1,
 * InitialEventsAnnotationKey). */
#define LIST_END "/metadata/annotations/k8s.io~1initial-events-end"

/* ---- one object */

/* Why it cannot be read, in e: too long, too many values, not JSON. */
static int parse(const char *text, size_t len, bool whole, size_t max, json_t **ret, struct err *e) {
    if (!whole)
        return err_set(e, -EMSGSIZE, "the object is longer than %zu bytes", max);
    size_t nodes = kube_items_nodes(text, len);
    if (nodes > KUBE_NODES_MAX)
        return err_set(e, -EMSGSIZE,
                       "the object has too many values: more than %d brackets, commas and colons",
                       KUBE_NODES_MAX);
    return js_parse(text, len, max, ret, e);
}

static void done_with(json_t *doc, size_t len) {
    json_decref(doc);
    if (len > LARGE)
        (void)malloc_trim(0);
}

static struct kube_sight look(const struct kube_source *s, bool listed) {
    return (struct kube_sight){
        .recv_wall = s->byte_wall, .previous_wall = s->previous_wall, .listed = listed};
}

static void set_rv(struct kube_source *s, const char *rv) {
    if (*rv && strlen(rv) < sizeof s->rv)
        (void)snprintf(s->rv, sizeof s->rv, "%s", rv);
}

/* Ends the transfer from inside a callback: kube_source_done finds why. */
static int lose(struct kube_source *s, enum kube_event ev, struct err *e) {
    s->lost = ev;
    kube_source_not_ok(s, e->text);
    return -ECANCELED;
}

/* ---- a complete picture */

/* Nobody can say any more what happened between the last moment of the old picture and the new one: objects
 * may have changed to and fro, or come and gone. */
void kube_take_gap(struct kube_source *s, int64_t to_wall) {
    if (!s->gap)
        return;
    s->gap = false;
    if (s->unresumed) /* another agent watched last */
        kube_tell_unwatched(s->scope, s->kind->source, s->from.wall, s->from.boot, to_wall);
    else
        kube_tell_unwatched(s->scope, s->kind->source, s->previous_wall, NULL,
                            to_wall > s->previous_wall ? to_wall : s->previous_wall);
    s->unresumed = false;
}

static void complete(struct kube_source *s) {
    struct kube_sight sight = look(s, true);
    s->absent = s->unserved = false;
    s->refused = NULL;
    kube_take_gap(s, s->list_to_wall);
    kube_view_end(&s->view, &sight);
    if (s->kind->replicas && s->view.known.n == 0)
        kube_replicas_absent(s->view.scope, s->kind);
    s->previous_wall = s->list_wall;
    s->covered_wall = s->list_wall;
    s->plain_list = false;
    s->doubted = false;   /* a server that lists does not hang */
    (void)malloc_trim(0); /* a list is large and rare */
}

/* ---- list pages */

/* One element. What cannot be read and has no name is no object of an API: the whole list is refused. */
static int take_item(void *ctx, char *text, size_t len, bool whole, struct err *e) {
    struct kube_source *s = ctx;
    struct kube_sight sight = look(s, true);
    struct err why = {.text = ""};
    json_t *doc = NULL;
    int r = parse(text, len, whole, KUBE_OBJECT_MAX, &doc, &why);
    if (r == 0) {
        r = kube_view_see(&s->view, &sight, doc, e);
        done_with(doc, len);
        return r;
    }
    struct kube_peek peek;
    kube_items_peek(text, len, false, &peek);
    return kube_view_skip(&s->view, &peek, why.text, e);
}

int kube_take_list(struct kube_source *s, const char *data, size_t len) {
    struct err e = {.text = ""};
    if (!s->items.fn)
        kube_items_init(&s->items, take_item, s);
    if (s->list_to_wall == 0)
        s->list_to_wall = s->byte_wall;
    int r = kube_items_feed(&s->items, data, len, &e);
    if (r < 0) {
        err_prefix(&e, r, "list of %s", s->kind->source);
        return lose(s, KUBE_FAILED, &e);
    }
    return 0;
}

/* The next page, or the end, by what the list's metadata says. */
static int turn_page(struct kube_source *s, const json_t *meta, enum kube_event *ret, struct err *e) {
    const char *more = js_str(meta, "continue", "");
    const char *rv = js_str(meta, "resourceVersion", "");
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
    *ret = s->resuming && !kube_source_resumed(s, rv) ? KUBE_EXPIRED : KUBE_LISTED;
    return 0;
}

enum kube_event kube_take_page_end(struct kube_source *s) {
    struct err e = {.text = ""};
    enum kube_event ev = KUBE_FAILED;
    json_t *meta = NULL;
    int r = 0;
    if (!kube_items_complete(&s->items))
        r = err_set(&e, -EBADMSG, "the answer is no list of %s: is kube.api an API server?", s->kind->source);
    if (r == 0 && s->items.meta.len > 0)
        r = js_parse(buf_str(&s->items.meta), s->items.meta.len, KUBE_META_MAX, &meta, &e);
    if (r == 0)
        r = turn_page(s, meta, &ev, &e);
    json_decref(meta);
    if (r == 0)
        return ev;
    kube_source_not_ok(s, e.text);
    return KUBE_FAILED;
}

/* ---- polled objects */

static int see_polled(struct kube_source *s, const json_t *object, struct err *e) {
    struct kube_sight sight = look(s, true);
    kube_view_begin(&s->view);
    if (strcmp(js_str(object, "kind", ""), s->kind->kind) != 0)
        return err_set(e, -EBADMSG, "the answer is no %s: is kube.api an API server?", s->kind->kind);
    return kube_view_see(&s->view, &sight, object, e);
}

enum kube_event kube_take_polled(struct kube_source *s) {
    struct err e = {.text = ""};
    json_t *doc = NULL;
    int r = parse(buf_str(&s->body), s->body.len, true, KUBE_OBJECT_MAX, &doc, &e);
    if (r == 0)
        r = see_polled(s, doc, &e);
    done_with(doc, s->body.len);
    if (r < 0) {
        kube_source_not_ok(s, e.text);
        return KUBE_FAILED;
    }
    complete(s);
    kube_source_ok(s);
    return KUBE_POLLED;
}

enum kube_event kube_take_absence(struct kube_source *s) {
    kube_view_begin(&s->view);
    complete(s);
    return KUBE_POLLED;
}

/* ---- a watch line */

static int take_error_event(struct kube_source *s, const json_t *status, struct err *e) {
    int64_t code = js_int(status, "code", 0);
    err_set(e, 0, "watch of %s: %.200s (%lld)", s->kind->source, js_str(status, "message", "error"),
            (long long)code);
    return lose(s, code == 410 || code == 504 ? KUBE_EXPIRED : KUBE_FAILED, e);
}

/* The streaming list is told: from here on the transfer is the watch. */
static void take_list_end(struct kube_source *s) {
    s->list_to_wall = s->byte_wall;
    complete(s);
    s->answered_mono = s->byte_mono;
    kube_source_ok(s);
    kube_source_step(s, KUBE_SYNCED, 0);
}

/* A server that serves streaming lists sends no bookmark before their end (KEP-3157): one without the mark
 * comes from a server that took the request for a plain watch. */
static int take_bookmark(struct kube_source *s, const json_t *object, struct err *e) {
    if (s->watch.state != KUBE_STREAM) {
        s->marks = true;
        return 0;
    }
    if (strcmp(js_str(object, LIST_END, ""), "true") != 0) {
        err_set(e, 0, "%s: the API server sends no end of a streaming list", s->kind->source);
        return lose(s, KUBE_UNSERVED, e);
    }
    take_list_end(s);
    return 0;
}

static int take_event(struct kube_source *s, const json_t *event, struct err *e) {
    const char *type = js_str(event, "type", "");
    const json_t *object = js_at(event, "object");
    struct kube_sight sight = look(s, s->watch.state == KUBE_STREAM);
    int r = 0;
    if (strcmp(type, "ERROR") == 0)
        return take_error_event(s, object, e);
    if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0)
        r = kube_view_see(&s->view, &sight, object, e);
    else if (strcmp(type, "DELETED") == 0)
        r = kube_view_delete(&s->view, &sight, object, e);
    else if (strcmp(type, "BOOKMARK") == 0)
        r = take_bookmark(s, object, e);
    else
        r = err_set(e, -EBADMSG, "a watch event of unknown type \"%.32s\"", type);
    if (r == 0) {
        set_rv(s, js_str(object, "metadata.resourceVersion", ""));
        kube_watch_alive(&s->watch);
    }
    return r;
}

/* A line that cannot be read. Of an object whose name it says, the others go on; where it does not say its
 * resourceVersion, the position stays behind it, and a later watch brings it again. */
static int take_unreadable(struct kube_source *s, const char *line, size_t len, struct err *e) {
    struct kube_sight sight = look(s, s->watch.state == KUBE_STREAM);
    struct kube_peek peek;
    char reason[ERR_TEXT_MAX];
    (void)snprintf(reason, sizeof reason, "%s", e->text);
    kube_items_peek(line, len, true, &peek);
    int r = -EBADMSG;
    if (strcmp(peek.type, "ADDED") == 0 || strcmp(peek.type, "MODIFIED") == 0)
        r = kube_view_skip(&s->view, &peek, reason, e);
    else if (strcmp(peek.type, "DELETED") == 0 && *peek.uid) {
        kube_view_lost(&s->view, &sight, &peek);
        r = 0;
    }
    if (r == 0) {
        set_rv(s, peek.rv);
        kube_watch_alive(&s->watch);
    }
    return r;
}

static int take_line(void *ctx, char *line, size_t len, bool whole, struct err *e) {
    struct kube_source *s = ctx;
    json_t *event = NULL;
    int r = parse(line, len, whole, s->frames.rest.max, &event, e);
    if (r < 0)
        return take_unreadable(s, line, len, e);
    r = take_event(s, event, e);
    done_with(event, len);
    return r;
}

/* A watch that has caught up and delivers shows the server's state of a moment ago. */
void kube_take_current(struct kube_source *s) {
    int64_t then = s->byte_wall - LATENCY;
    if (s->watch.state != KUBE_WATCH)
        return;
    if (s->doubted)
        kube_source_ok(s);
    s->doubted = false;
    if (s->byte_mono - s->answered_mono >= CATCH_UP && then > s->previous_wall)
        s->previous_wall = then;
}

int kube_take_watch(struct kube_source *s, const char *data, size_t len) {
    struct err e = {.text = ""};
    int r = kube_frames_feed(&s->frames, data, len, take_line, s, &e);
    if (r == 0 && s->frames.rest.len == 0)
        kube_take_current(s);
    if (r < 0 && r != -ECANCELED) { /* a line we cannot take: going on from there would meet it again */
        err_prefix(&e, r, "watch of %s", s->kind->source);
        (void)lose(s, s->watch.state == KUBE_STREAM ? KUBE_FAILED : KUBE_EXPIRED, &e);
    }
    return r;
}
