/* fault_server: see fault_server.h. */
#include "fault_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <microhttpd.h>

#include "base/buf.h"
#include "base/js.h"

#define BODY_MAX (1u << 20)

/* One request; its connection is remembered in the socket context. */
struct request {
    struct buf body;
};

struct stream {
    struct fault_server *server;
    char text[2048];
    size_t len;
    bool cut;  /* end with an error */
    bool open; /* never end by itself */
};

/* ------------------------------------------------------------------ answers */

static enum MHD_Result reply(struct MHD_Connection *c, unsigned status, const char *type, const char *session,
                             const char *body) {
    struct MHD_Response *r =
        MHD_create_response_from_buffer(strlen(body), (void *)body, MHD_RESPMEM_MUST_COPY);
    if (type)
        (void)MHD_add_response_header(r, "Content-Type", type);
    if (session)
        (void)MHD_add_response_header(r, "Mcp-Session-Id", session);
    enum MHD_Result result = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return result;
}

#define HUGE_BYTES (3 << 20)

static ssize_t on_stream(void *ctx, uint64_t at, char *out, size_t max) {
    struct stream *t = ctx;
    if (at < t->len && !*t->text) {
        memset(out, ' ', t->len - at < max ? t->len - at : max);
        return (ssize_t)(t->len - at < max ? t->len - at : max);
    }
    if (at < t->len) {
        size_t n = t->len - at < max ? t->len - at : max;
        memcpy(out, t->text + at, n);
        return (ssize_t)n;
    }
    if (t->cut)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    pthread_mutex_lock(&t->server->lock);
    while (t->open && !t->server->ending)
        pthread_cond_wait(&t->server->wake, &t->server->lock);
    pthread_mutex_unlock(&t->server->lock);
    return MHD_CONTENT_READER_END_OF_STREAM;
}

static enum MHD_Result stream(struct fault_server *s, struct MHD_Connection *c, const char *type,
                              int64_t size, const char *text, bool cut, bool open) {
    struct stream *t = calloc(1, sizeof *t);
    *t = (struct stream){.server = s, .cut = cut, .open = open};
    (void)snprintf(t->text, sizeof t->text, "%s", text ? text : "");
    t->len = text ? strlen(t->text) : HUGE_BYTES;
    struct MHD_Response *r = MHD_create_response_from_callback(size < 0 ? MHD_SIZE_UNKNOWN : (uint64_t)size,
                                                               1024, on_stream, t, free);
    (void)MHD_add_response_header(r, "Content-Type", type);
    enum MHD_Result result = MHD_queue_response(c, 200, r);
    MHD_destroy_response(r);
    return result;
}

#define SSE_NOISE                                                                      \
    ": hello\r\nid: 0\r\ndata:\r\n\r\n"                                                \
    "event: message\r\ndata: "                                                         \
    "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\r\n\r\n" \
    "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\r\n\r\n"

static enum MHD_Result reply_stream(struct fault_server *s, struct MHD_Connection *c, enum fault fault,
                                    const char *answer) {
    char text[1536];
    bool with = fault == FAULT_SSE || fault == FAULT_SSE_OPEN;
    (void)snprintf(text, sizeof text, "%s%s%s%s", SSE_NOISE, with ? "data: " : "", with ? answer : "",
                   with ? "\n\n" : "");
    return stream(s, c, "text/event-stream", -1, text, fault == FAULT_SSE_CUT, fault == FAULT_SSE_OPEN);
}

/* Dissolving the association of a connected TCP socket sends RST at once. */
static enum MHD_Result reset(struct MHD_Connection *c) {
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    (void)connect(i->connect_fd, &none, sizeof none);
    return MHD_NO;
}

/* ------------------------------------------------------------------ calls */

static void hold(struct fault_server *s, int ms) {
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (ms % 1000) * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    while (!s->ending && pthread_cond_timedwait(&s->wake, &s->lock, &until) != ETIMEDOUT) {
    }
}

static enum fault enter_call(struct fault_server *s, const char *nonce, int on_connection) {
    pthread_mutex_lock(&s->lock);
    if (s->calls < FAULT_NONCES_MAX)
        (void)snprintf(s->nonces[s->calls], sizeof s->nonces[0], "%s", nonce);
    s->calls++;
    if (++s->open > s->most_open)
        s->most_open = s->open;
    enum fault fault = s->fault;
    hold(s, s->hold_ms);
    s->open--;
    pthread_mutex_unlock(&s->lock);
    if (fault == FAULT_CLOSE_REUSED)
        return on_connection > 1 ? FAULT_CLOSE : FAULT_NONE;
    return fault;
}

static void make_answer(enum fault fault, const char *id, const char *nonce, char *out, size_t size) {
    if (fault == FAULT_RPC_ERROR)
        (void)snprintf(out, size,
                       "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"error\":{\"code\":-32602,\"message\":\"x\"}}",
                       id);
    else
        (void)snprintf(out, size,
                       "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{\"content\":[{\"type\":\"text\","
                       "\"text\":\"held %s\"}],\"isError\":%s%s}}",
                       fault == FAULT_WRONG_ID ? "other" : id, fault == FAULT_OTHER_NONCE ? "other" : nonce,
                       fault == FAULT_IS_ERROR        ? "true"
                       : fault == FAULT_IS_ERROR_TEXT ? "\"true\""
                                                      : "false",
                       fault == FAULT_TWICE ? ",\"structuredContent\":{\"executions\":2}" : "");
}

static enum MHD_Result answer_call(struct fault_server *s, struct MHD_Connection *c, const json_t *m,
                                   int on_connection) {
    char answer[1024];
    const char *nonce = js_str(m, "params.arguments.nonce", "");
    enum fault fault = enter_call(s, nonce, on_connection);
    make_answer(fault, js_str(m, "id", ""), nonce, answer, sizeof answer);
    switch (fault) {
    case FAULT_SSE:
    case FAULT_SSE_OPEN:
    case FAULT_SSE_ENDED:
    case FAULT_SSE_CUT:
        return reply_stream(s, c, fault, answer);
    case FAULT_CLOSE:
        return MHD_NO;
    case FAULT_RST:
        return reset(c);
    case FAULT_TRUNCATED:
        answer[strlen(answer) / 2] = 0;
        return stream(s, c, "application/json", (int64_t)strlen(answer) * 2, answer, true, false);
    case FAULT_429:
        return reply(c, 429, NULL, NULL, "slow down");
    case FAULT_503:
        return reply(c, 503, "text/plain", NULL, "no upstream");
    case FAULT_401:
        return reply(c, 401, NULL, NULL, "");
    case FAULT_GARBAGE:
        return reply(c, 200, "application/json", NULL, "<html>");
    case FAULT_EMPTY:
        return reply(c, 202, NULL, NULL, "");
    case FAULT_HUGE:
        return stream(s, c, "application/json", HUGE_BYTES * 2, NULL, false, true);
    default:
        return reply(c, 200, "application/json", NULL, answer);
    }
}

/* ------------------------------------------------------------------ the rest of MCP */

static enum MHD_Result answer_initialize(struct fault_server *s, struct MHD_Connection *c, const json_t *m) {
    char body[512];
    char session[32] = "";
    pthread_mutex_lock(&s->lock);
    s->initializes++;
    if (s->sessions) {
        s->session = s->initializes;
        (void)snprintf(session, sizeof session, "session-%d", s->session);
    }
    if (s->fault == FAULT_FORGET)
        s->fault = FAULT_NONE;
    pthread_mutex_unlock(&s->lock);
    (void)snprintf(body, sizeof body,
                   "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{\"protocolVersion\":\"2025-11-25\","
                   "\"capabilities\":{\"tools\":{}},\"serverInfo\":{\"name\":\"f\",\"version\":\"1\"}}}",
                   js_str(m, "id", ""));
    return reply(c, 200, "application/json", *session ? session : NULL, body);
}

#define TOOL(name) "{\"name\":\"" name "\",\"description\":\"d\",\"inputSchema\":{\"type\":\"object\"}}"

/* Two pages, the names not in order. */
static enum MHD_Result answer_list(struct fault_server *s, struct MHD_Connection *c, const json_t *m) {
    char body[1024];
    pthread_mutex_lock(&s->lock);
    int tools = s->tools;
    bool broken = s->broken_list;
    s->lists++;
    pthread_mutex_unlock(&s->lock);
    const char *cursor = js_str(m, "params.cursor", "");
    if (broken)
        return reply(c, 503, NULL, NULL, "");
    const char *page = !*cursor ? TOOL("hold") : tools ? TOOL("echo") "," TOOL("added") : TOOL("echo");
    (void)snprintf(body, sizeof body, "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{\"tools\":[%s]%s}}",
                   js_str(m, "id", ""), page, *cursor ? "" : ",\"nextCursor\":\"page 2\"");
    return reply(c, 200, "application/json", NULL, body);
}

static const char *header(struct MHD_Connection *c, const char *name) {
    const char *v = MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);
    return v ? v : "";
}

/* 0, or the status with which the request is refused. */
static unsigned check_headers(struct fault_server *s, struct MHD_Connection *c, const char *method) {
    char session[32] = "";
    bool ok = strcmp(header(c, "Accept"), "application/json, text/event-stream") == 0 &&
              !*header(c, "Origin") && !*header(c, "Expect") &&
              strcmp(header(c, "Accept-Encoding"), "gzip, deflate") == 0 &&
              strcmp(header(c, "Content-Type"), "application/json") == 0;
    bool first = strcmp(method, "initialize") == 0;
    pthread_mutex_lock(&s->lock);
    (void)snprintf(s->bearer, sizeof s->bearer, "%s", header(c, "Authorization"));
    if (s->session)
        (void)snprintf(session, sizeof session, "session-%d", s->session);
    bool forgot = s->fault == FAULT_FORGET && !first;
    ok = ok && (first ? !*header(c, "Mcp-Session-Id") && !*header(c, "MCP-Protocol-Version")
                      : strcmp(header(c, "MCP-Protocol-Version"), "2025-11-25") == 0);
    bool known = first || strcmp(header(c, "Mcp-Session-Id"), session) == 0;
    if (!ok)
        s->bad++;
    pthread_mutex_unlock(&s->lock);
    return forgot || !known ? 404 : ok ? 0 : 400;
}

static enum MHD_Result answer_post(struct fault_server *s, struct MHD_Connection *c, const struct buf *body) {
    json_t *m = NULL;
    if (js_parse(buf_str(body), body->len, BODY_MAX, &m, NULL) < 0)
        return reply(c, 400, NULL, NULL, "");
    const char *method = js_str(m, "method", "");
    bool modern = strcmp(method, "server/discover") == 0; /* what a server of the legacy era says to it */
    unsigned refused = modern ? 400 : check_headers(s, c, method);
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    int *on_connection = i->socket_context;
    enum MHD_Result r;
    if (refused)
        r = reply(c, refused, NULL, NULL, "");
    else if (strcmp(method, "initialize") == 0)
        r = answer_initialize(s, c, m);
    else if (strcmp(method, "tools/list") == 0)
        r = answer_list(s, c, m);
    else if (strcmp(method, "tools/call") == 0)
        r = answer_call(s, c, m, ++*on_connection);
    else
        r = reply(c, 202, NULL, NULL, "");
    json_decref(m);
    return r;
}

static enum MHD_Result answer_document(struct fault_server *s, struct MHD_Connection *c) {
    char body[128];
    pthread_mutex_lock(&s->lock);
    (void)snprintf(body, sizeof body, "{\"version\":%d,\"api_key\":\"plain-secret\"}", s->tools);
    bool broken = s->broken_list;
    pthread_mutex_unlock(&s->lock);
    return reply(c, broken ? 500 : 200, "application/json", NULL, body);
}

/* ------------------------------------------------------------------ HTTP */

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url, const char *method,
                                  const char *version, const char *data, size_t *size, void **state) {
    (void)version;
    struct fault_server *s = ctx;
    struct request *q = *state;
    if (!q) {
        q = *state = calloc(1, sizeof *q);
        q->body = BUF_INIT(BODY_MAX);
        return MHD_YES;
    }
    if (*size) {
        int r = buf_add(&q->body, data, *size);
        *size = 0;
        return r == 0 ? MHD_YES : MHD_NO;
    }
    if (strcmp(url, "/document") == 0)
        return answer_document(s, c);
    if (strcmp(method, "POST") == 0)
        return answer_post(s, c, &q->body);
    if (strcmp(method, "DELETE") != 0)
        return reply(c, 405, NULL, NULL, "");
    pthread_mutex_lock(&s->lock);
    s->deletes++;
    pthread_mutex_unlock(&s->lock);
    return reply(c, 405, NULL, NULL, "");
}

static void on_done(void *ctx, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode code) {
    (void)ctx;
    (void)c;
    (void)code;
    struct request *q = *state;
    if (q)
        buf_free(&q->body);
    free(q);
    *state = NULL;
}

static void on_connection(void *ctx, struct MHD_Connection *c, void **state,
                          enum MHD_ConnectionNotificationCode code) {
    (void)ctx;
    (void)c;
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        *state = calloc(1, sizeof(int));
    else
        free(*state);
}

int fault_free_port(void) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int r = bind(fd, (struct sockaddr *)&a, sizeof a);
    if (r == 0)
        r = getsockname(fd, (struct sockaddr *)&a, &n);
    (void)close(fd);
    return r == 0 ? ntohs(a.sin_port) : 0;
}

void fault_start(struct fault_server *s) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *s = (struct fault_server){.sessions = true};
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    s->daemon =
        MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION, 0, NULL, NULL,
                         on_request, s, MHD_OPTION_SOCK_ADDR, &a, MHD_OPTION_NOTIFY_COMPLETED, on_done, NULL,
                         MHD_OPTION_NOTIFY_CONNECTION, on_connection, NULL, MHD_OPTION_END);
    if (!s->daemon)
        abort();
    s->port = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    (void)snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d/mcp", s->port);
    (void)snprintf(s->document, sizeof s->document, "http://127.0.0.1:%d/document", s->port);
}

void fault_stop(struct fault_server *s) {
    pthread_mutex_lock(&s->lock);
    s->ending = true;
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->lock);
    MHD_stop_daemon(s->daemon);
    if (s->hung > 0)
        (void)close(s->hung);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->wake);
}

void fault_set(struct fault_server *s, enum fault fault, int hold_ms) {
    pthread_mutex_lock(&s->lock);
    s->fault = fault;
    s->hold_ms = hold_ms;
    pthread_mutex_unlock(&s->lock);
}

int fault_get(struct fault_server *s, const int *counter) {
    pthread_mutex_lock(&s->lock);
    int v = *counter;
    pthread_mutex_unlock(&s->lock);
    return v;
}

bool fault_saw_bearer(struct fault_server *s, const char *value) {
    pthread_mutex_lock(&s->lock);
    bool same = strcmp(s->bearer, value) == 0;
    pthread_mutex_unlock(&s->lock);
    return same;
}

void fault_stop_listening(struct fault_server *s) {
    (void)close(MHD_quiesce_daemon(s->daemon));
}

/* A full backlog drops what would open another connection (Linux, tcp_v4_syn_recv_sock). */
void fault_hang_new(struct fault_server *s) {
    s->hung = MHD_quiesce_daemon(s->daemon);
    (void)listen(s->hung, 0);
}

int fault_executions(struct fault_server *s, const char *nonce) {
    int n = 0;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->calls && i < FAULT_NONCES_MAX; i++)
        n += strcmp(s->nonces[i], nonce) == 0;
    pthread_mutex_unlock(&s->lock);
    return n;
}
