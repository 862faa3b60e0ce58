/* peer_send: what a request carries: address and credentials, and of its era the session, or the metadata of
 * 2026-07-28 in body and headers; and what became of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "mcp/peer_priv.h"

void peer_next_id(struct peer *p, char id[MCP_ID_MAX]) {
    const char *prefix = p->o.id_prefix ? p->o.id_prefix : "pilotgate";
    (void)snprintf(id, MCP_ID_MAX, "%.*s-s%llu", PEER_PREFIX_MAX, prefix, (unsigned long long)++p->last_id);
}

struct mcp_request peer_request(struct peer *p, char *body, const char *id) {
    return (struct mcp_request){.method = MCP_POST,
                                .url = p->o.url,
                                .connect_to = p->o.connect_to,
                                .body = body,
                                .headers = p->o.headers,
                                .header_files = &p->header_files,
                                .bearer = &p->bearer,
                                .ca_file = p->o.ca_file,
                                .client_cert_file = p->o.client_cert_file,
                                .client_key_file = p->o.client_key_file,
                                .session = p->session,
                                .revision = p->revision,
                                .id = id,
                                .timeout_ns = PEER_CONTROL_TIMEOUT_NS,
                                .streams = p->o.streams,
                                .fresh = true};
}

/* ------------------------------------------------------------------ the modern era */

/* Headers that repeat what the body says (basic/transports/streamable-http, Request Metadata). */
struct repeated {
    struct mcp_header items[2 + MCP_MODERN_HEADERS_MAX];
    char *values[2 + MCP_MODERN_HEADERS_MAX]; /* owned; of items */
    size_t n;
};

static void repeated_free(struct repeated *h) {
    for (size_t i = 0; i < h->n; i++)
        free(h->values[i]);
}

/* Steals value. */
static int repeat(struct repeated *h, const char *name, char *value, struct err *e) {
    if (!value)
        return err_oom(e);
    h->values[h->n] = value;
    h->items[h->n++] = (struct mcp_header){name, value};
    return 0;
}

static int repeat_params(const struct peer *p, const json_t *params, struct repeated *h, struct err *e) {
    const json_t *annotations = json_object_get(p->annotations, js_str(params, "name", ""));
    size_t i;
    json_t *annotation;
    int r = 0;
    json_array_foreach(annotations, i, annotation) {
        char *value = NULL;
        r = mcp_modern_param(annotation, json_object_get(params, "arguments"), &value, e);
        if (r == 0 && value)
            r = repeat(h, js_str(annotation, "header", ""), value, e);
        if (r < 0)
            break;
    }
    return r;
}

static int repeat_all(const struct peer *p, const struct peer_out *out, struct repeated *h, struct err *e) {
    int r = repeat(h, "Mcp-Method", strdup(out->method), e);
    const char *name = js_str(out->params, "name", js_str(out->params, "uri", NULL));
    if (r == 0 && name)
        r = repeat(h, "Mcp-Name", mcp_modern_header_value(name, strlen(name)), e);
    return r == 0 && strcmp(out->method, "tools/call") == 0 ? repeat_params(p, out->params, h, e) : r;
}

/* ------------------------------------------------------------------ both */

static bool is_modern(const struct peer *p, const struct peer_out *out) {
    return out->as || p->modern;
}

/* NULL when out of memory. */
static char *body_of(const struct peer *p, const struct peer_out *out) {
    const char *revision = out->as ? out->as : p->revision;
    json_t *params = is_modern(p, out) ? mcp_modern_params(out->params, revision, p->o.capabilities)
                                       : json_incref((json_t *)out->params);
    char *body = NULL;
    if (params || !is_modern(p, out))
        body = out->id ? mcp_rpc_request(out->id, out->method, params)
                       : mcp_rpc_notification(out->method, params);
    json_decref(params);
    return body;
}

int peer_send(struct peer *p, struct mcp_xfer *x, const struct peer_out *out,
              void (*done)(struct mcp_xfer *x), struct err *e) {
    struct repeated h = {.n = 0};
    int code = is_modern(p, out) ? repeat_all(p, out, &h, e) : 0;
    if (code == 0) {
        struct mcp_request r = peer_request(p, body_of(p, out), out->id);
        if (out->as) {
            r.session = NULL;
            r.revision = out->as;
        }
        r.owner = p;
        r.message = peer_on_message;
        r.nonce = out->nonce;
        r.extra = h.items;
        r.n_extra = h.n;
        r.fresh = out->fresh;
        r.reuse_only = out->reuse_only;
        if (out->timeout_ns)
            r.timeout_ns = out->timeout_ns;
        code = r.body ? mcp_xfer_begin(x, p->transport, &r, done, e) : err_oom(e);
    }
    repeated_free(&h);
    return code;
}

struct mcp_failure peer_result_of(struct mcp_xfer *x, bool had_session) {
    struct mcp_seen seen;
    struct mcp_failure f = {0};
    mcp_xfer_seen(x, &seen);
    seen.had_session = had_session;
    seen.expected = seen.answer == MCP_ANSWER_RESULT;
    f.outcome = mcp_outcome(&seen, f.detail);
    f.status = seen.status;
    f.rpc_code = seen.answer == MCP_ANSWER_ERROR ? seen.rpc_code : 0;
    return f;
}

struct mcp_failure peer_own_failure(const struct err *e) {
    struct mcp_failure why = {.outcome = PILOTGATE__OUTCOME__OUTCOME_ABORTED};
    (void)snprintf(why.detail, sizeof why.detail, "%s", e->text);
    return why;
}
