/* document: polls a document of the product's own configuration over HTTP and says when it differs. */
#include <stdio.h>
#include <stdlib.h>

#include "base/js.h"
#include "base/when.h"
#include "mcp/mcp_priv.h"
#include "mcp/message.h"

static void fail(struct mcp_document *d, const struct mcp_failure *why) {
    char reason[MCP_REASON_MAX];
    mcp_failure_text(why, reason);
    mcp_xfer_clear(&d->poll);
    mcp_watch_failed(&d->watch, reason, when_wall_ns(), d->m->emit);
}

static void fail_text(struct mcp_document *d, Pilotgate__Outcome outcome, const char *text) {
    struct mcp_failure why = {.outcome = outcome};
    (void)snprintf(why.detail, sizeof why.detail, "%s", text);
    fail(d, &why);
}

/* Normal form and digest of the body; false: it is no JSON object or array. */
static bool normalise(struct mcp_document *d, char **ret_normal, char digest[NORM_HEX_MAX]) {
    const struct buf *body = &d->poll.answer;
    json_t *root = NULL;
    if (mcp_message_parse(buf_str(body), body->len, &root) < 0)
        return false;
    json_t *normal = norm_document(d->m->key, root);
    bool ok = normal && norm_digest(d->m->key, normal, ret_normal, digest) == 0;
    json_decref(normal);
    json_decref(root);
    return ok;
}

static void on_document(struct mcp_xfer *x) {
    struct mcp_document *d = (struct mcp_document *)((char *)x - offsetof(struct mcp_document, poll));
    struct mcp_seen seen;
    struct mcp_failure why = {0};
    char digest[NORM_HEX_MAX];
    char *normal = NULL;
    mcp_xfer_seen(x, &seen);
    if (seen.curl != CURLE_OK || seen.status < 200 || seen.status > 299) {
        why.outcome = mcp_outcome(&seen, why.detail);
        why.status = seen.status;
        fail(d, &why);
        return;
    }
    if (!normalise(d, &normal, digest)) {
        fail_text(d, PILOTGATE__OUTCOME__OUTCOME_MALFORMED,
                  "the document is no JSON object or array, or too large");
        return;
    }
    struct mcp_watch_read read = {.normal = normal,
                                  .digest = digest,
                                  .start_wall = d->asked_wall,
                                  .now_wall = when_wall_ns(),
                                  .now_mono = when_mono_ns()};
    mcp_xfer_clear(x);
    mcp_watch_read(&d->watch, &read, d->m->emit);
    free(normal);
}

void mcp_document_turn(struct mcp_document *d, int64_t now) {
    if (mcp_xfer_running(&d->poll) || now < mcp_poll_due(d->m, d->c->interval, d->poll_began))
        return;
    d->poll_began = now;
    mcp_document_start(d);
}

void mcp_document_start(struct mcp_document *d) {
    struct err e;
    d->asked_wall = when_wall_ns();
    struct mcp_request r = {.method = MCP_GET,
                            .url = d->c->url,
                            .bearer = &d->bearer,
                            .ca_file = d->c->ca_file,
                            .timeout_ns = MCP_DOCUMENT_TIMEOUT_NS,
                            .fresh = true};
    if (mcp_xfer_begin(&d->poll, &d->m->transport, &r, on_document, &e) < 0)
        fail_text(d, PILOTGATE__OUTCOME__OUTCOME_ABORTED, e.text);
}
