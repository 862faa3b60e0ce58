/* script_server: see script_server.h. */
#include "script_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <microhttpd.h>

#include "base/buf.h"
#include "base/js.h"
#include "base/when.h"

#define BODY_MAX (1u << 20)

struct exchange {
    struct script_server *server;
    struct buf body;
    int index; /* of its request */
    struct script_answer answer;
    size_t text_len, rest_len;
    bool ended;
};

/* ------------------------------------------------------------------ bodies */

static bool wait_ms(struct script_server *s, int ms) {
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    int64_t ns = until.tv_nsec + (int64_t)ms * 1000000;
    until.tv_sec += ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    while (!s->ending && pthread_cond_timedwait(&s->wake, &s->lock, &until) != ETIMEDOUT) {
    }
    return !s->ending;
}

/* Until the rest may be sent; false: it never may. */
static bool wait_for_rest(struct exchange *x) {
    struct script_server *s = x->server;
    if (x->answer.every_ms)
        return wait_ms(s, x->answer.every_ms);
    while (!s->ending && x->answer.until && !x->answer.until(s->ctx))
        pthread_cond_wait(&s->wake, &s->lock);
    return !s->ending;
}

static ssize_t on_stream(void *ctx, uint64_t at, char *out, size_t max) {
    struct exchange *x = ctx;
    struct script_server *s = x->server;
    size_t whole = x->text_len + x->rest_len;
    const char *from = x->answer.text + at;
    size_t left = at < x->text_len ? x->text_len - at : 0;
    pthread_mutex_lock(&s->lock);
    if (!left && x->rest_len && (x->answer.every_ms || at < whole)) {
        size_t offset = (at - x->text_len) % x->rest_len;
        if (offset == 0 && !wait_for_rest(x))
            whole = 0;
        from = x->answer.rest + offset;
        left = whole ? x->rest_len - offset : 0;
    }
    if (!left && x->answer.open && wait_ms(s, 20)) { /* a comment shows whether the client is still there */
        from = ":\n\n";
        left = 3;
    }
    pthread_mutex_unlock(&s->lock);
    if (!left) {
        x->ended = true;
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    size_t n = left < max ? left : max;
    memcpy(out, from, n);
    return (ssize_t)n;
}

static const char *type_of(const struct script_answer *a) {
    if (!a->type || strcmp(a->type, "json") == 0)
        return "application/json";
    return strcmp(a->type, "sse") == 0 ? "text/event-stream" : a->type;
}

static enum MHD_Result send_answer(struct exchange *x, struct MHD_Connection *c) {
    struct script_answer *a = &x->answer;
    bool streams = a->open || a->rest[0];
    x->text_len = strlen(a->text);
    x->rest_len = strlen(a->rest);
    x->ended = !streams;
    struct MHD_Response *r =
        streams ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 1024, on_stream, x, NULL)
                : MHD_create_response_from_buffer(x->text_len, a->text, MHD_RESPMEM_MUST_COPY);
    if (x->text_len || streams)
        (void)MHD_add_response_header(r, "Content-Type", type_of(a));
    if (a->session)
        (void)MHD_add_response_header(r, "Mcp-Session-Id", a->session);
    enum MHD_Result result = MHD_queue_response(c, (unsigned)(a->status ? a->status : 200), r);
    MHD_destroy_response(r);
    return result;
}

/* ------------------------------------------------------------------ requests */

static void copy_header(struct MHD_Connection *c, const char *name, char *out, size_t size) {
    const char *v = MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);
    (void)snprintf(out, size, "%s", v ? v : "");
}

static void fill(struct script_request *q, struct MHD_Connection *c, const char *http,
                 const struct buf *body) {
    q->at = when_mono_ns();
    (void)snprintf(q->http, sizeof q->http, "%s", http);
    copy_header(c, "Mcp-Session-Id", q->session, sizeof q->session);
    copy_header(c, "MCP-Protocol-Version", q->version, sizeof q->version);
    copy_header(c, "Last-Event-ID", q->last_event, sizeof q->last_event);
    copy_header(c, "Mcp-Method", q->mcp_method, sizeof q->mcp_method);
    copy_header(c, "Mcp-Name", q->mcp_name, sizeof q->mcp_name);
    copy_header(c, "Mcp-Param-Region", q->region, sizeof q->region);
    if (js_parse(buf_str(body), body->len, BODY_MAX, &q->body, NULL) < 0)
        return;
    (void)snprintf(q->method, sizeof q->method, "%s", js_str(q->body, "method", ""));
    char *id = json_dumps(json_object_get(q->body, "id"), JSON_ENCODE_ANY | JSON_COMPACT);
    (void)snprintf(q->id, sizeof q->id, "%s", id ? id : "");
    free(id);
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url, const char *method,
                                  const char *version, const char *data, size_t *size, void **state) {
    (void)url;
    (void)version;
    struct script_server *s = ctx;
    struct exchange *x = *state;
    if (!x) {
        x = *state = calloc(1, sizeof *x);
        *x = (struct exchange){.server = s, .body = BUF_INIT(BODY_MAX), .index = -1};
        return MHD_YES;
    }
    if (*size) {
        int r = buf_add(&x->body, data, *size);
        *size = 0;
        return r == 0 ? MHD_YES : MHD_NO;
    }
    pthread_mutex_lock(&s->lock);
    bool room = s->n < SCRIPT_REQUESTS_MAX;
    if (room) {
        x->index = s->n++;
        fill(&s->requests[x->index], c, method, &x->body);
        s->answer(s->ctx, &s->requests[x->index], &x->answer);
        pthread_cond_broadcast(&s->wake);
    }
    pthread_mutex_unlock(&s->lock);
    return room ? send_answer(x, c) : MHD_NO;
}

static void on_done(void *ctx, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode code) {
    struct script_server *s = ctx;
    struct exchange *x = *state;
    (void)c;
    if (!x)
        return;
    pthread_mutex_lock(&s->lock);
    if (x->index >= 0 && !s->ending)
        s->requests[x->index].cut = code != MHD_REQUEST_TERMINATED_COMPLETED_OK || !x->ended;
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->lock);
    buf_free(&x->body);
    free(x);
    *state = NULL;
}

/* ------------------------------------------------------------------ the contract */

void script_start(struct script_server *s) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    s->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION, 0, NULL,
                                 NULL, on_request, s, MHD_OPTION_SOCK_ADDR, &a, MHD_OPTION_NOTIFY_COMPLETED,
                                 on_done, s, MHD_OPTION_END);
    if (!s->daemon)
        abort();
    s->port = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    (void)snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d/mcp", s->port);
}

void script_stop(struct script_server *s) {
    pthread_mutex_lock(&s->lock);
    s->ending = true;
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->lock);
    MHD_stop_daemon(s->daemon);
    for (int i = 0; i < s->n; i++)
        json_decref(s->requests[i].body);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->wake);
}

const struct script_request *script_request(struct script_server *s, const char *method, int i) {
    const struct script_request *found = NULL;
    pthread_mutex_lock(&s->lock);
    for (int k = 0; k < s->n && !found; k++) {
        const struct script_request *q = &s->requests[k];
        if ((strcmp(q->method, method) == 0 || strcmp(q->http, method) == 0) && i-- == 0)
            found = q;
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

int script_count(struct script_server *s, const char *method) {
    int n = 0;
    while (script_request(s, method, n))
        n++;
    return n;
}

const struct script_request *script_response(const struct script_server *s, const char *id) {
    for (int i = 0; i < s->n; i++)
        if (!s->requests[i].method[0] && s->requests[i].body && strcmp(s->requests[i].id, id) == 0)
            return &s->requests[i];
    return NULL;
}

static void envelope(struct script_answer *a, const struct script_request *q, const char *key,
                     const char *text) {
    (void)snprintf(a->text, sizeof a->text, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"%s\":%s}", q->id, key, text);
}

void script_result(struct script_answer *a, const struct script_request *q, const char *fmt, ...) {
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    envelope(a, q, "result", text);
}

void script_error(struct script_answer *a, const struct script_request *q, int status, const char *fmt, ...) {
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    envelope(a, q, "error", text);
    a->status = status;
}

void script_event(struct script_answer *a, const char *before) {
    char text[sizeof a->text];
    (void)snprintf(text, sizeof text, "%sdata: %s\n\n", before, a->text);
    (void)snprintf(a->text, sizeof a->text, "%s", text);
    a->type = "sse";
}
