/* http_notices: streams of notices: each looks at what is offered as often as the tools file is looked at,
 * until its client leaves or the canary stops; see http.h. */
#include "canary/http_priv.h"

#include <string.h>

#include "base/when.h"

static bool add_event(struct exchange *x, const char *json) {
    return buf_addf(&x->event, "event: message\ndata: %s\n\n", json) == 0;
}

/* Puts what comes next into x->event, or waits. What libmicrohttpd is to hear; 1: there is something to send.
 */
static ssize_t next_event(struct exchange *x) {
    const struct reply *r = &x->reply;
    int64_t now = when_mono_ns();
    if (x->handed)
        return MHD_CONTENT_READER_END_OF_STREAM;
    buf_clear(&x->event);
    x->sent = 0;
    if (atomic_load(&x->http->draining)) {
        x->handed = true;
        if (!r->last)
            return MHD_CONTENT_READER_END_OF_STREAM;
        return add_event(x, r->last) ? 1 : MHD_CONTENT_READER_END_WITH_ERROR;
    }
    unsigned offered = mcp_offered(x->http->config.mcp, r->limit, now);
    if (offered != x->offered && r->notice) {
        x->offered = offered;
        return add_event(x, r->notice) ? 1 : MHD_CONTENT_READER_END_WITH_ERROR;
    }
    x->entry.due_ns = now + TOOLS_FILE_CHECK_MS * WHEN_MS;
    return http_wait(x) ? 0 : MHD_CONTENT_READER_END_WITH_ERROR;
}

static ssize_t read_notices(void *cls, uint64_t pos, char *out, size_t max) {
    struct exchange *x = cls;
    (void)pos;
    if (x->state == GONE)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (x->sent == x->event.len) {
        ssize_t rc = next_event(x);
        if (rc != 1)
            return rc;
    }
    size_t n = x->event.len - x->sent < max ? x->event.len - x->sent : max;
    memcpy(out, x->event.data + x->sent, n);
    x->sent += n;
    return (ssize_t)n;
}

struct MHD_Response *http_notices(struct exchange *x) {
    x->offered = mcp_offered(x->http->config.mcp, x->reply.limit, when_mono_ns());
    struct MHD_Response *response = http_event_stream(x, read_notices);
    if (response && x->reply.body && !add_event(x, x->reply.body)) {
        MHD_destroy_response(response);
        return NULL;
    }
    return response;
}
