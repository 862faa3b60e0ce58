/* sse: see sse.h. */
#include "mcp/sse.h"

#include <string.h>

#include "mcp/mcp.h"

void mcp_sse_init(struct mcp_sse *s) {
    *s = (struct mcp_sse){.line = BUF_INIT(MCP_SSE_LINE_MAX), .data = BUF_INIT(MCP_ANSWER_MAX)};
}

void mcp_sse_free(struct mcp_sse *s) {
    buf_free(&s->line);
    buf_free(&s->data);
}

/* The value after "data", or NULL when the line is another field or a comment. */
static const char *data_value(const char *line) {
    if (strncmp(line, "data", 4) != 0)
        return NULL;
    if (line[4] == 0)
        return line + 4;
    if (line[4] != ':')
        return NULL;
    return line[5] == ' ' ? line + 6 : line + 5;
}

/* An empty line ends an event. Every data line left a newline at its end; the last one is no content. */
static int dispatch(struct mcp_sse *s, mcp_sse_event *fn, void *ctx) {
    int r = 0;
    if (s->data.len > 1) {
        s->data.data[--s->data.len] = 0;
        r = fn(ctx, s->data.data, s->data.len);
    }
    buf_clear(&s->data);
    return r;
}

static int end_line(struct mcp_sse *s, mcp_sse_event *fn, void *ctx) {
    const char *line = buf_str(&s->line);
    if (!s->past_first && strncmp(line, "\xEF\xBB\xBF", 3) == 0)
        line += 3;
    s->past_first = true;
    int r = 0;
    const char *value = data_value(line);
    if (!*line)
        r = dispatch(s, fn, ctx);
    else if (value) {
        size_t rest = s->line.len - (size_t)(value - buf_str(&s->line));
        r = buf_add(&s->data, value, rest);
        if (r == 0)
            r = buf_add(&s->data, "\n", 1);
    }
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
