/* sse: see sse.h. */
#include "mcp/sse.h"

#include <string.h>

#include "mcp/mcp.h"

void mcp_sse_init(struct mcp_sse *s) {
    *s = (struct mcp_sse){
        .line = BUF_INIT(MCP_SSE_LINE_MAX), .data = BUF_INIT(MCP_SSE_LINE_MAX), .retry_ms = -1};
}

void mcp_sse_free(struct mcp_sse *s) {
    buf_free(&s->line);
    buf_free(&s->data);
}

/* The value when the line is that field, else NULL; of a line without a colon it is empty. */
static const char *value_of(const char *line, const char *end, const char *field) {
    size_t n = strlen(field);
    if (strncmp(line, field, n) != 0)
        return NULL;
    if (line + n == end)
        return end;
    if (line[n] != ':')
        return NULL;
    return line[n + 1] == ' ' ? line + n + 2 : line + n + 1;
}

/* An id that holds a NUL is ignored, so says the standard. */
static void take_id(struct mcp_sse *s, const char *value, size_t len) {
    if (memchr(value, 0, len))
        return;
    size_t keep = len > MCP_EVENT_ID_MAX ? 0 : len;
    memcpy(s->next_id, value, keep);
    s->next_id[keep] = 0;
}

/* Digits only; anything else is ignored. */
static void take_retry(struct mcp_sse *s, const char *value, size_t len) {
    int64_t ms = 0;
    if (len == 0 || strspn(value, "0123456789") != len)
        return;
    for (; *value && ms < MCP_SSE_RETRY_MAX; value++)
        ms = ms * 10 + (*value - '0');
    s->retry_ms = ms < MCP_SSE_RETRY_MAX ? ms : MCP_SSE_RETRY_MAX;
}

/* A first line of data becomes the event's data where it lies: a large one is there only once. */
static int take_data(struct mcp_sse *s, const char *value, size_t len) {
    int r = 0;
    if (s->data.len == 0) {
        struct buf empty = s->data;
        s->data = s->line;
        s->line = empty;
        buf_consume(&s->data, s->data.len - len);
    } else {
        r = buf_add(&s->data, value, len);
    }
    return r == 0 ? buf_add(&s->data, "\n", 1) : r;
}

/* An empty line ends an event. Every data line left a newline at its end; the last one is no content. */
static int dispatch(struct mcp_sse *s, mcp_sse_event *fn, void *ctx) {
    int r = 0;
    memcpy(s->id, s->next_id, sizeof s->id);
    if (s->data.len > 1) {
        s->data.data[--s->data.len] = 0;
        r = fn(ctx, s->data.data, s->data.len);
    }
    buf_clear(&s->data);
    return r;
}

static int take_field(struct mcp_sse *s, const char *line, const char *end) {
    const char *value;
    if ((value = value_of(line, end, "data")))
        return take_data(s, value, (size_t)(end - value));
    if ((value = value_of(line, end, "id")))
        take_id(s, value, (size_t)(end - value));
    else if ((value = value_of(line, end, "retry")))
        take_retry(s, value, (size_t)(end - value));
    return 0;
}

static int end_line(struct mcp_sse *s, mcp_sse_event *fn, void *ctx) {
    const char *line = buf_str(&s->line);
    const char *end = line + s->line.len;
    if (!s->past_first && strncmp(line, "\xEF\xBB\xBF", 3) == 0)
        line += 3;
    s->past_first = true;
    int r = line == end ? dispatch(s, fn, ctx) : take_field(s, line, end);
    buf_clear(&s->line);
    return r;
}

static const char *find_end(const char *p, const char *end) {
    while (p < end && *p != '\n' && *p != '\r')
        p++;
    return p;
}

int mcp_sse_feed(struct mcp_sse *s, const char *bytes, size_t len, mcp_sse_event *fn, void *ctx) {
    const char *p = bytes;
    const char *end = bytes + len;
    while (p < end) {
        if (s->after_cr && *p == '\n') {
            s->after_cr = false;
            p++;
            continue;
        }
        s->after_cr = false;
        const char *stop = find_end(p, end);
        int r = buf_add(&s->line, p, (size_t)(stop - p));
        if (r < 0)
            return r;
        if (stop == end)
            return 0;
        s->after_cr = *stop == '\r';
        p = stop + 1;
        r = end_line(s, fn, ctx);
        if (r != 0)
            return r;
    }
    return 0;
}
