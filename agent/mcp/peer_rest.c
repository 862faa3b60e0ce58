/* peer_rest: servers that speak one of the REST interfaces (kind.h). They keep no session: the peer is UP
 * once the server says that it is healthy or lists its tools, and stays so. A list begins with the question
 * for health:
 *
 *   health --any answer--> tools, page by page --> parts of the configuration, page by page --> done
 *                             | failed: done           | failed: done, without them
 *
 * An answer is put into the exchange in the form in which MCP would give it. Nothing is asked twice. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "mcp/message.h"
#include "mcp/peer_priv.h"

/* ------------------------------------------------------------------ asking */

/* "Bearer TOKEN"; the secret is read again when its file has changed. */
static int sign(struct peer *p, char out[KIND_TOKEN_MAX + 8], struct err *e) {
    char token[KIND_TOKEN_MAX];
    const char *secret = NULL;
    int r = mcp_bearer_get(&p->secret, &secret, e);
    if (r == 0)
        r = kind_token(secret, when_wall_ns(), token) < 0 ? err_oom(e) : 0;
    if (r == 0)
        (void)snprintf(out, KIND_TOKEN_MAX + 8, "Bearer %s", token);
    return r;
}

static char *url_of(const struct peer *p, const struct kind_question *q) {
    size_t n = strlen(p->o.url);
    char *url = NULL;
    while (n > 0 && p->o.url[n - 1] == '/')
        n--;
    return asprintf(&url, "%.*s%s", (int)n, p->o.url, q->suffix) < 0 ? NULL : url;
}

/* Begins the exchange; call NULL: it is none, and has a connection of its own. Takes the question's body. */
static int ask(struct peer *p, struct mcp_xfer *x, struct kind_question *q, const struct peer_call *call,
               int64_t timeout_ns, void (*done)(struct mcp_xfer *x), struct err *e) {
    char signature[KIND_TOKEN_MAX + 8];
    struct mcp_header authorization = {"Authorization", signature};
    bool signs = p->kind->signs && !q->open;
    char *url = url_of(p, q);
    struct mcp_request r = peer_request(p, q->body, NULL);
    r.method = q->post ? MCP_POST : MCP_GET;
    r.url = url;
    r.bearer = q->open ? NULL : r.bearer;
    r.extra = &authorization;
    r.n_extra = signs;
    r.timeout_ns = timeout_ns;
    if (call) {
        r.nonce = call->id;
        r.fresh = call->fresh;
        r.reuse_only = call->reuse_only;
    }
    int code = !url ? err_oom(e) : signs ? sign(p, signature, e) : 0;
    if (code == 0)
        code = mcp_xfer_begin(x, p->transport, &r, done, e);
    else
        free(q->body);
    q->body = NULL;
    free(url); /* libcurl has its own */
    return code;
}

int peer_rest_call(struct peer_call *c, int64_t timeout_ns, void (*done)(struct mcp_xfer *x), struct err *e) {
    struct kind_question q;
    struct kind_call call = {.tool = js_str(c->params, "name", ""),
                             .arguments = json_object_get(c->params, "arguments"),
                             .user_id = c->peer->o.user_id,
                             .id = c->id};
    if (c->method)
        return err_set(e, -EINVAL, "kind %s knows calls of tools only", c->peer->kind->name);
    int r = c->peer->kind->ask_call(&q, &call, e);
    return r < 0 ? r : ask(c->peer, &c->xfer, &q, c, timeout_ns, done, e);
}

/* ------------------------------------------------------------------ reading */

/* The JSON of a complete answer, of any status; NULL: it is none. A new reference. */
static json_t *body_of(struct mcp_xfer *x) {
    json_t *body = NULL;
    if (x->code != CURLE_OK || mcp_message_parse(buf_str(&x->answer), x->answer.len, &body) < 0)
        return NULL;
    return body;
}

/* False: it ended otherwise than with a complete 2xx; *ret_how says how. */
static bool is_success(struct mcp_xfer *x, struct mcp_failure *ret_how) {
    struct mcp_seen seen;
    mcp_xfer_seen(x, &seen);
    bool ok = seen.curl == CURLE_OK && seen.head && seen.status >= 200 && seen.status <= 299;
    seen.answer = ok ? MCP_ANSWER_RESULT : seen.answer;
    seen.expected = ok;
    *ret_how = (struct mcp_failure){.status = seen.status};
    ret_how->outcome = mcp_outcome(&seen, ret_how->detail);
    return ok;
}

void peer_rest_read(struct mcp_xfer *x) {
    struct mcp_failure how;
    if (!is_success(x, &how))
        return;
    json_t *body = body_of(x);
    json_t *result = kind_read_call(body);
    x->message = result ? json_pack("{s:o}", "result", result) : NULL;
    x->kind = x->message ? MCP_ANSWER_RESULT : MCP_ANSWER_MALFORMED;
    json_decref(body);
}

static bool read_health(struct peer *p, struct mcp_xfer *x) {
    struct mcp_failure how;
    json_t *body = body_of(x);
    bool success = is_success(x, &how);
    p->health_wall = when_wall_ns();
    p->healthy = p->kind->read_health(body, p->health_reason) && success;
    if (!success && !body)
        (void)snprintf(p->health_reason, sizeof p->health_reason, "%s", how.detail);
    else if (!success && !*p->health_reason)
        (void)snprintf(p->health_reason, sizeof p->health_reason, "healthy, with HTTP %ld", how.status);
    json_decref(body);
    return p->healthy;
}

/* A page of a list; false: none, and *ret_how says why. */
static bool read_page(struct peer *p, struct mcp_xfer *x, enum kind_list what, size_t offset, json_t *into,
                      size_t *ret_next, struct mcp_failure *ret_how) {
    struct err e;
    if (!is_success(x, ret_how))
        return false;
    json_t *body = body_of(x);
    int r = kind_take_page(p->kind, what, body, offset, PEER_TOOLS_MAX, into, ret_next, &e);
    json_decref(body);
    if (r < 0) {
        ret_how->outcome = PILOTGATE__OUTCOME__OUTCOME_MALFORMED;
        (void)snprintf(ret_how->detail, sizeof ret_how->detail, "%s", e.text);
    }
    return r == 0;
}

bool peer_health(const struct peer *p, int64_t *ret_wall, const char **ret_reason) {
    *ret_wall = p->health_wall;
    *ret_reason = p->health_wall ? p->health_reason : "not asked yet";
    return p->healthy;
}

/* ------------------------------------------------------------------ opening */

static struct peer *peer_of(struct mcp_xfer *x) {
    return (struct peer *)((char *)x - offsetof(struct peer, handshake));
}

static void open_failed(struct peer *p, const struct err *e) {
    struct mcp_failure why = peer_own_failure(e);
    peer_handshake_failed(p, &why);
}

static void on_first_page(struct mcp_xfer *x) {
    struct peer *p = peer_of(x);
    struct mcp_failure how;
    json_t *tools = json_array();
    size_t next;
    if (read_page(p, x, KIND_TOOLS, 0, tools, &next, &how))
        peer_up(p, p->known);
    else
        peer_handshake_failed(p, &how);
    json_decref(tools);
}

static void on_first_health(struct mcp_xfer *x) {
    struct peer *p = peer_of(x);
    struct kind_question q;
    struct err e;
    if (read_health(p, x)) {
        peer_up(p, p->known);
        return;
    }
    mcp_xfer_clear(x);
    p->kind->ask_page(&q, KIND_TOOLS, 0);
    if (ask(p, x, &q, NULL, PEER_CONTROL_TIMEOUT_NS, on_first_page, &e) < 0)
        open_failed(p, &e);
}

void peer_rest_turn(struct peer *p, int64_t now) {
    struct kind_question q;
    struct err e;
    if (p->state != PEER_DOWN || now < p->retry_at)
        return;
    p->kind->ask_health(&q);
    if (ask(p, &p->handshake, &q, NULL, PEER_CONTROL_TIMEOUT_NS, on_first_health, &e) < 0)
        open_failed(p, &e);
    else
        peer_enter(p, PEER_DETECTING);
}

/* ------------------------------------------------------------------ lists */

static struct peer_list *list_of(struct mcp_xfer *x) {
    return (struct peer_list *)((char *)x - offsetof(struct peer_list, xfer));
}

static void on_page(struct mcp_xfer *x);

static void list_done(struct peer_list *l, const struct mcp_failure *how) {
    struct mcp_failure fine = {.outcome = PILOTGATE__OUTCOME__OUTCOME_COMPLETED};
    if (l->configuration && how->outcome != fine.outcome) { /* the tools are known all the same */
        l->configuration_failure = *how;
        json_decref(l->configuration);
        l->configuration = NULL;
        how = &fine;
    }
    peer_list_finish(l, how);
}

static void ask_page(struct peer_list *l) {
    struct kind_question q;
    struct err e;
    l->peer->kind->ask_page(&q, l->configuration ? KIND_CONFIGURATION : KIND_TOOLS, l->offset);
    if (ask(l->peer, &l->xfer, &q, NULL, PEER_CONTROL_TIMEOUT_NS, on_page, &e) == 0)
        return;
    struct mcp_failure how = peer_own_failure(&e);
    list_done(l, &how);
}

/* After the last page of one list. False: there is none to follow. */
static bool next_list(struct peer_list *l) {
    if (l->configuration || !l->peer->kind->configuration)
        return false;
    l->configuration = json_array();
    l->pages = 0;
    return l->configuration;
}

static void on_page(struct mcp_xfer *x) {
    struct peer_list *l = list_of(x);
    struct mcp_failure how;
    int64_t asked = x->sent_wall;
    bool fits = peer_list_afford(l, mcp_message_cost(buf_str(&x->answer), x->answer.len));
    bool ok = read_page(l->peer, x, l->configuration ? KIND_CONFIGURATION : KIND_TOOLS, l->offset,
                        l->configuration ? l->configuration : l->tools, &l->offset, &how);
    if (l->pages++ == 0)
        *(l->configuration ? &l->configuration_wall : &l->asked_wall) = asked;
    if (ok && (!fits || (l->offset && l->pages >= PEER_PAGES_MAX))) {
        ok = false;
        how = (struct mcp_failure){.outcome = PILOTGATE__OUTCOME__OUTCOME_MALFORMED,
                                   .detail = "the list is longer than we read"};
    }
    mcp_xfer_clear(x);
    if (ok && (l->offset || next_list(l)))
        ask_page(l);
    else
        list_done(l, &how);
}

static void on_health(struct mcp_xfer *x) {
    struct peer_list *l = list_of(x);
    (void)read_health(l->peer, x);
    mcp_xfer_clear(x);
    ask_page(l);
}

int peer_rest_list(struct peer_list *l, struct err *e) {
    struct kind_question q;
    l->peer->kind->ask_health(&q);
    return ask(l->peer, &l->xfer, &q, NULL, PEER_CONTROL_TIMEOUT_NS, on_health, e);
}
