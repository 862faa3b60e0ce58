/* peer: see peer.h. This file: life, and the state that others see. */
#include "mcp/peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "mcp/peer_priv.h"

/* ------------------------------------------------------------------ life */

static int check_header(const char *line, struct err *e) {
    const char *colon = strchr(line, ':');
    bool ok = colon && colon > line;
    for (const char *p = line; ok && *p; p++)
        ok = (unsigned char)*p >= 0x20 && *p != 0x7f && (*p != ' ' || p > colon);
    return ok ? 0 : err_set(e, -EINVAL, "a header must look like \"Name: value\" on one line");
}

static int check_options(const struct peer_options *o, struct err *e) {
    int r = 0;
    if (o->kind == PEER_WORKER && !o->secret_file)
        return err_set(e, -EINVAL, "kind worker needs secret_file, with the secret that signs its tokens");
    if (o->revision && strlen(o->revision) >= sizeof((struct peer *)0)->offered)
        return err_set(e, -EINVAL, "%.16s... is no revision of MCP", o->revision);
    if (!o->client_cert_file != !o->client_key_file)
        return err_set(e, -EINVAL, "give client_cert_file and client_key_file, or none of them");
    for (size_t i = 0; r == 0 && o->headers && i < o->headers->n; i++)
        r = check_header(o->headers->items[i], e);
    return r;
}

int peer_open(struct peer **ret, struct mcp_transport *t, const struct peer_options *o,
              const struct peer_events *events, struct err *e) {
    int r = check_options(o, e);
    struct peer *p = r == 0 ? calloc(1, sizeof *p) : NULL;
    if (!p)
        return r ? r : err_oom(e);
    *p = (struct peer){.transport = t, .o = *o, .known = o->era, .bearer = {.path = o->bearer_file}};
    p->kind = o->kind == PEER_ARCADE ? &kind_arcade : o->kind == PEER_WORKER ? &kind_worker : NULL;
    p->secret.path = o->secret_file;
    if (events)
        p->events = *events;
    r = mcp_header_files_open(&p->header_files, o->header_files, e);
    p->inbox = json_array();
    if (r == 0 && !p->inbox)
        r = err_oom(e);
    if (r < 0)
        peer_close(&p);
    else
        *ret = p;
    return r;
}

void peer_close(struct peer **ref) {
    struct peer *p = *ref;
    if (!p)
        return;
    mcp_xfer_clear(&p->handshake);
    peer_notice_stop(p);
    peer_posts_clear(p);
    peer_list_forget(p);
    json_decref(p->inbox);
    mcp_bearer_free(&p->bearer);
    mcp_bearer_free(&p->secret);
    mcp_header_files_free(&p->header_files);
    free(p);
    *ref = NULL;
}

void peer_serve(struct peer *p, int64_t now) {
    peer_inbox_turn(p);
    peer_calls_turn(p, now);
}

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

int64_t peer_serve_next(const struct peer *p) {
    return peer_inbox_waits(p) ? 0 : peer_calls_next(p);
}

void peer_turn(struct peer *p, int64_t now) {
    peer_serve(p, now);
    if (p->leaving || p->held)
        return;
    peer_notice_turn(p, now);
    peer_session_turn(p, now);
}

int64_t peer_next(const struct peer *p) {
    int64_t next = peer_serve_next(p);
    if (p->leaving || p->held)
        return next;
    next = earlier(next, peer_notice_next(p));
    if (p->state == PEER_UP && p->doubted)
        next = earlier(next, p->doubt_at);
    return p->state == PEER_DOWN ? earlier(next, p->retry_at) : next;
}

void peer_hold(struct peer *p, bool held) {
    p->held = held;
}

void peer_goodbye(struct peer *p) {
    p->leaving = true;
    mcp_xfer_clear(&p->handshake);
    peer_notice_stop(p);
    peer_session_delete(p);
}

bool peer_parted(const struct peer *p) {
    return !mcp_xfer_running(&p->handshake) && p->n_posts == 0;
}

/* ------------------------------------------------------------------ state */

enum peer_state peer_state(const struct peer *p) {
    return p->state;
}

bool peer_tried(const struct peer *p) {
    return p->tried;
}

const struct mcp_failure *peer_failure(const struct peer *p) {
    return &p->failure;
}

const char *peer_revision(const struct peer *p) {
    return p->state == PEER_UP ? p->revision : "";
}

bool peer_has_session(const struct peer *p) {
    return p->session[0];
}

const char *peer_tool_refused(const struct peer *p, const char *tool) {
    return json_string_value(json_object_get(p->refused, tool));
}

void peer_enter(struct peer *p, enum peer_state state) {
    p->state = state;
    if (p->events.changed)
        p->events.changed(p->events.ctx, p);
}
