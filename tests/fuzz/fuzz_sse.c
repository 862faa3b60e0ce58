/* Event streams: the same bytes give the same events, ids and retry times however they are cut, and what is
 * given is within its bounds. The first byte says how the rest is cut. */
#include <string.h>

#include "base/buf.h"
#include "fuzz.h"
#include "mcp/sse.h"

struct seen {
    struct mcp_sse sse;
    struct buf events;
    size_t stop_at, n; /* the callback ends the feeding at its stop_at-th event; 0: never */
};

static int on_event(void *ctx, const char *data, size_t len) {
    struct seen *s = ctx;
    MUST(len > 0 && data[len] == 0);
    MUST(strlen(s->sse.id) <= MCP_EVENT_ID_MAX && !strpbrk(s->sse.id, "\r\n"));
    if (buf_addf(&s->events, "%zu %s ", len, s->sse.id) < 0 || buf_add(&s->events, data, len) < 0)
        return -1;
    return ++s->n == s->stop_at ? 7 : 0;
}

static int feed(struct seen *s, const uint8_t *data, size_t size, size_t piece) {
    int r = 0;
    s->events = BUF_INIT(1u << 22);
    mcp_sse_init(&s->sse);
    for (size_t at = 0; at < size && r == 0; at += piece)
        r = mcp_sse_feed(&s->sse, (const char *)data + at, size - at < piece ? size - at : piece, on_event,
                         s);
    return r;
}

static void done(struct seen *s) {
    mcp_sse_free(&s->sse);
    buf_free(&s->events);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    size_t stop_at = data[0] >> 5;
    struct seen whole = {.stop_at = stop_at};
    struct seen cut = {.stop_at = stop_at};
    int a = feed(&whole, data + 1, size - 1, size);
    int b = feed(&cut, data + 1, size - 1, 1 + (data[0] & 31u));
    MUST(a == b);
    MUST(whole.events.len == cut.events.len);
    MUST(whole.events.len == 0 || memcmp(whole.events.data, cut.events.data, whole.events.len) == 0);
    MUST(strcmp(whole.sse.id, cut.sse.id) == 0 && whole.sse.retry_ms == cut.sse.retry_ms);
    MUST(whole.sse.retry_ms >= -1 && whole.sse.retry_ms <= MCP_SSE_RETRY_MAX);
    done(&whole);
    done(&cut);
    return 0;
}
