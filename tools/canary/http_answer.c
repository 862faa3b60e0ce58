/* http_answer: how replies travel: at once, after a wait, or as an event stream; see http.h. */
#include "canary/http_priv.h"

#include <string.h>

#include "base/when.h"

#define STREAM_BLOCK 1024

/* In hold's thread. The state is read again only after the resume, which orders the two. */
static void wait_over(struct hold_entry *entry, enum hold_end why) {
    struct exchange *x = (struct exchange *)entry;
    x->state = why == HOLD_DUE ? ANSWERING : GONE;
    MHD_resume_connection(x->connection);
}

bool http_wait(struct exchange *x) {
    if (atomic_load(&x->http->ended))
        return false;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    x->entry.fd = info ? info->connect_fd : -1;
    x->entry.done = wait_over;
    x->state = WAITING;
    MHD_suspend_connection(x->connection);
    if (hold_add(x->http->hold, &x->entry)) {
        x->state = GONE;
        MHD_resume_connection(x->connection);
    }
    return true;
}

static bool must_wait(const struct exchange *x) {
    return x->state == RECEIVING && x->reply.executes && x->run.call.seconds > 0;
}

static void add_headers(const struct exchange *x, struct MHD_Response *response) {
    const struct reply *r = &x->reply;
    if (r->allow)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, r->allow);
    if (*r->session)
        MHD_add_response_header(response, "Mcp-Session-Id", r->session);
    if (r->status == 401)
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    if (atomic_load(&x->http->draining))
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
}

/* Now that the answer goes out, its body. In the thread that owns the log. */
static void finish(struct exchange *x) {
    const char *nonce = x->run.call.nonce;
    struct reply_end end = {.now_ns = when_wall_ns()};
    end.started_ns = x->reply.executes ? x->run.started_ns : end.now_ns;
    end.executions = *nonce ? execlog_executions(x->http->config.log, nonce) : 0;
    reply_finish(&x->reply, &end);
}

/* The stream's text: first the comment, and after the wait the event with the answer. */
static ssize_t read_stream(void *cls, uint64_t pos, char *out, size_t max) {
    struct exchange *x = cls;
    (void)pos;
    if (x->state == GONE)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (x->sent == x->event.len) {
        if (x->handed)
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (must_wait(x))
            return http_wait(x) ? 0 : MHD_CONTENT_READER_END_WITH_ERROR;
        finish(x);
        if (!x->reply.body || buf_addf(&x->event, "event: message\ndata: %s\n\n", x->reply.body))
            return MHD_CONTENT_READER_END_WITH_ERROR;
        x->handed = true;
    }
    size_t n = x->event.len - x->sent < max ? x->event.len - x->sent : max;
    memcpy(out, x->event.data + x->sent, n);
    x->sent += n;
    return (ssize_t)n;
}

struct MHD_Response *http_event_stream(struct exchange *x, MHD_ContentReaderCallback read) {
    x->event = BUF_INIT(MCP_BODY_MAX);
    if (buf_adds(&x->event, ": pilotgate-canary\n\n"))
        return NULL;
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read, x, NULL);
    if (!response)
        return NULL;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache");
    MHD_add_response_header(response, "X-Accel-Buffering", "no");
    return response;
}

static struct MHD_Response *plain_response(struct exchange *x) {
    struct reply *r = &x->reply;
    finish(x);
    size_t len = r->body ? strlen(r->body) : 0;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, len ? r->body : (void *)"", MHD_RESPMEM_PERSISTENT);
    if (response && len)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    x->handed = response != NULL;
    return response;
}

enum MHD_Result http_answer(struct exchange *x) {
    struct reply *r = &x->reply;
    bool stream = r->stream && r->executes;
    if (!stream && must_wait(x))
        return http_wait(x) ? MHD_YES : MHD_NO;
    struct MHD_Response *response = r->listens ? http_notices(x)
                                    : stream   ? http_event_stream(x, read_stream)
                                               : plain_response(x);
    if (!response)
        return MHD_NO;
    add_headers(x, response);
    enum MHD_Result queued = MHD_queue_response(x->connection, (unsigned)r->status, response);
    MHD_destroy_response(response);
    return queued;
}
