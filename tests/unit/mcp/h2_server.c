/* h2_server: see h2_server.h. Each connection has a thread of raw_server with an nghttp2 session. */
#include "h2_server.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>

#define TICK_MS 2

struct stream {
    struct stream *next;
    int32_t id;
    char nonce[40];
    char body[2048]; /* as far as it fits */
    size_t body_len;
    char answer[1024];
    size_t sent;
    bool whole;
    int64_t due; /* ms */
    enum h2_fault fault;
};

struct connection {
    struct h2_server *server;
    int fd;
    SSL *ssl;
    nghttp2_session *session;
    struct stream *streams;
    int open;
    bool ending, dead, broken;
};

static int64_t now_ms(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------ bytes */

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t len, int flags, void *ctx) {
    (void)session;
    (void)flags;
    struct connection *c = ctx;
    ssize_t n = c->ssl ? SSL_write(c->ssl, data, (int)len) : send(c->fd, data, len, MSG_NOSIGNAL);
    return n > 0 ? n : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* False: the connection is over. */
static bool receive(struct connection *c) {
    uint8_t bytes[16384];
    ssize_t n = c->ssl ? SSL_read(c->ssl, bytes, sizeof bytes) : recv(c->fd, bytes, sizeof bytes, 0);
    return n > 0 && nghttp2_session_mem_recv(c->session, bytes, (size_t)n) >= 0;
}

/* ------------------------------------------------------------------ requests */

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *ctx) {
    struct connection *c = ctx;
    struct stream *s = calloc(1, sizeof *s);
    s->id = frame->hd.stream_id;
    s->next = c->streams;
    c->streams = s;
    c->open++;
    pthread_mutex_lock(&c->server->raw.lock);
    if (c->open > c->server->most_open)
        c->server->most_open = c->open;
    pthread_mutex_unlock(&c->server->raw.lock);
    return nghttp2_session_set_stream_user_data(session, s->id, s);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t n,
                     const uint8_t *value, size_t len, uint8_t flags, void *ctx) {
    (void)flags;
    (void)ctx;
    struct stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (s && n == 16 && memcmp(name, "x-pilotgate-call", n) == 0)
        (void)snprintf(s->nonce, sizeof s->nonce, "%.*s", (int)len, (const char *)value);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                   void *ctx) {
    (void)flags;
    (void)ctx;
    struct stream *s = nghttp2_session_get_stream_user_data(session, id);
    if (s && s->body_len + len < sizeof s->body) {
        memcpy(s->body + s->body_len, data, len);
        s->body_len += len;
    }
    return 0;
}

static void count(struct h2_server *s, struct stream *t, bool first) {
    pthread_mutex_lock(&s->raw.lock);
    if (s->requests < H2_NONCES_MAX)
        memcpy(s->nonces[s->requests], t->nonce, sizeof t->nonce);
    s->requests++;
    s->connections += first;
    t->fault = s->fault;
    t->due = now_ms() + s->hold_ms;
    pthread_mutex_unlock(&s->raw.lock);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx) {
    struct connection *c = ctx;
    struct stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!s || s->whole || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM) ||
        (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS))
        return 0;
    s->whole = true;
    count(c->server, s, s->id == 1);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *ctx) {
    (void)error;
    struct connection *c = ctx;
    struct stream *s = nghttp2_session_get_stream_user_data(session, id);
    struct stream **at = &c->streams;
    while (*at && *at != s)
        at = &(*at)->next;
    if (s && *at) {
        *at = s->next;
        c->open--;
        free(s);
    }
    return 0;
}

/* ------------------------------------------------------------------ answers */

static ssize_t on_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t size, uint32_t *flags,
                       nghttp2_data_source *source, void *ctx) {
    (void)session;
    (void)id;
    (void)ctx;
    struct stream *s = source->ptr;
    size_t left = strlen(s->answer) - s->sent;
    size_t n = left < size ? left : size;
    memcpy(out, s->answer + s->sent, n);
    s->sent += n;
    if (s->sent < strlen(s->answer))
        return (ssize_t)n;
    if (s->fault == H2_RESET_BODY || s->fault == H2_RESET_EVENTS)
        return n ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

/* One result for whatever is asked: initialize, tools/list and tools/call find in it what they need. */
static void say_result(struct stream *s) {
    char id[64];
    raw_id(s->body, id);
    (void)snprintf(
        s->answer, sizeof s->answer,
        "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{"
        "},"
        "\"serverInfo\":{\"name\":\"h2\",\"version\":\"1\"},\"tools\":[{\"name\":\"hold\",\"inputSchema\":{"
        "\"type\":\"object\"}}],\"content\":[{\"type\":\"text\",\"text\":\"%s\"}]}}",
        id, s->nonce);
}

#define PAIR(n, v) \
    { (uint8_t *)(n), (uint8_t *)(v), sizeof(n) - 1, strlen(v), NGHTTP2_NV_FLAG_NONE }

static void answer(struct connection *c, struct stream *s) {
    bool events = s->fault == H2_RESET_EVENTS;
    nghttp2_nv head[] = {PAIR(":status", "200"),
                         PAIR("content-type", events ? "text/event-stream" : "application/json")};
    nghttp2_data_provider body = {.source = {.ptr = s}, .read_callback = on_body};
    if (events)
        (void)snprintf(s->answer, sizeof s->answer, ": hello\n\nid: 7\nretry: 10\ndata:\n\n");
    else if (s->fault == H2_RESET_BODY)
        (void)snprintf(s->answer, sizeof s->answer, "{\"jsonrpc\":");
    else
        say_result(s);
    (void)nghttp2_submit_response(c->session, s->id, head, 2, &body);
    (void)nghttp2_session_send(c->session);
}

static void reset(struct connection *c, struct stream *s, uint32_t code) {
    (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, s->id, code);
}

static void go_away(struct connection *c, int32_t last, bool dies) {
    (void)nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
    (void)nghttp2_session_send(c->session);
    c->ending = true;
    c->dead = dies;
}

/* s may be gone afterwards, and others with it. */
static void act(struct connection *c, struct stream *s) {
    int32_t id = s->id;
    switch (s->fault) {
    case H2_REFUSE:
        reset(c, s, NGHTTP2_REFUSED_STREAM);
        return;
    case H2_RESET:
        reset(c, s, NGHTTP2_INTERNAL_ERROR);
        return;
    case H2_CLEAN:
        reset(c, s, NGHTTP2_NO_ERROR);
        return;
    case H2_1_1:
        reset(c, s, NGHTTP2_HTTP_1_1_REQUIRED);
        return;
    case H2_RESET_BODY:
    case H2_RESET_EVENTS:
        if (s->sent) {
            reset(c, s, NGHTTP2_INTERNAL_ERROR);
            return;
        }
        s->due = now_ms() + 30; /* its body does not end before */
        answer(c, s);
        return;
    case H2_GOAWAY:
        go_away(c, s->id - 2 > 0 ? s->id - 2 : 0, true);
        return;
    case H2_GOAWAY_DROP:
        go_away(c, s->id, true);
        return;
    case H2_GRACEFUL:
        go_away(c, s->id, false);
        answer(c, s);
        return;
    case H2_IDLE_GOAWAY:
        answer(c, s);
        go_away(c, id, false);
        return;
    case H2_RST:
        raw_reset(c->fd);
        c->dead = c->broken = true;
        return;
    case H2_CLOSE:
        c->dead = true;
        return;
    default:
        answer(c, s);
    }
}

static struct stream *find_due(struct connection *c) {
    int64_t now = now_ms();
    struct stream *s = c->streams;
    while (s && (!s->whole || !s->due || s->due > now))
        s = s->next;
    return s;
}

static void act_due(struct connection *c) {
    struct stream *s;
    while (!c->dead && (s = find_due(c))) {
        s->due = 0;
        act(c, s);
    }
}

/* ------------------------------------------------------------------ connections */

static bool begin_tls(struct connection *c) {
    if (!c->server->tls)
        return true;
    c->ssl = SSL_new(c->server->tls);
    (void)SSL_set_fd(c->ssl, c->fd);
    if (SSL_accept(c->ssl) != 1)
        return false;
    X509 *cert = SSL_get1_peer_certificate(c->ssl);
    pthread_mutex_lock(&c->server->raw.lock);
    c->server->client_certs += cert != NULL;
    if (cert)
        (void)X509_NAME_oneline(X509_get_subject_name(cert), c->server->subject, sizeof c->server->subject);
    pthread_mutex_unlock(&c->server->raw.lock);
    X509_free(cert);
    return true;
}

static bool begin_session(struct connection *c) {
    nghttp2_session_callbacks *calls;
    nghttp2_settings_entry max = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, c->server->max_streams};
    if (nghttp2_session_callbacks_new(&calls) != 0)
        return false;
    nghttp2_session_callbacks_set_send_callback(calls, on_send);
    nghttp2_session_callbacks_set_on_begin_headers_callback(calls, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_close);
    int r = nghttp2_session_server_new(&c->session, calls, c);
    nghttp2_session_callbacks_del(calls);
    return r == 0 && nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, &max, max.value ? 1 : 0) == 0;
}

static void turn(struct connection *c) {
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    bool pending = c->ssl && SSL_pending(c->ssl) > 0;
    if (nghttp2_session_send(c->session) != 0)
        c->dead = true;
    else if ((pending || poll(&p, 1, TICK_MS) > 0) && !receive(c))
        c->dead = true;
    if (!c->dead)
        act_due(c);
    if (!c->dead && c->ending && !c->streams)
        c->dead = nghttp2_session_send(c->session) == 0;
}

/* Bytes that nobody read would turn the close into a reset (RFC 1122, 4.2.2.13). */
static void end_in_order(struct connection *c) {
    if (c->broken)
        return;
    (void)shutdown(c->fd, SHUT_WR);
    raw_wait_closed(c->fd, 100);
}

static void serve(struct raw_server *raw, int fd) {
    struct connection c = {.server = raw->ctx, .fd = fd};
    if (begin_tls(&c) && begin_session(&c))
        while (!c.dead)
            turn(&c);
    end_in_order(&c);
    if (c.session)
        nghttp2_session_del(c.session);
    while (c.streams) {
        struct stream *s = c.streams;
        c.streams = s->next;
        free(s);
    }
    SSL_free(c.ssl);
}

/* ------------------------------------------------------------------ life */

static int choose_h2(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *in,
                     unsigned int len, void *ctx) {
    (void)ssl;
    (void)ctx;
    static const unsigned char h2[] = "\x02h2";
    return SSL_select_next_proto((unsigned char **)out, n, h2, 3, in, len) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static SSL_CTX *tls_for(const char *cert, const char *key, const char *client_ca) {
    SSL_CTX *t = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(t, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(t, key, SSL_FILETYPE_PEM) != 1)
        abort();
    if (client_ca) {
        if (SSL_CTX_load_verify_locations(t, client_ca, NULL) != 1)
            abort();
        SSL_CTX_set_verify(t, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    SSL_CTX_set_alpn_select_cb(t, choose_h2, NULL);
    return t;
}

void h2_start(struct h2_server *s, const char *cert, const char *key, const char *client_ca) {
    (void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    *s = (struct h2_server){.tls = cert ? tls_for(cert, key, client_ca) : NULL};
    raw_start(&s->raw, serve, s);
    (void)snprintf(s->url, sizeof s->url, "http%s://localhost:%d/mcp", cert ? "s" : "", s->raw.port);
}

void h2_stop(struct h2_server *s) {
    raw_stop(&s->raw);
    SSL_CTX_free(s->tls);
}

void h2_set(struct h2_server *s, enum h2_fault fault, int hold_ms) {
    pthread_mutex_lock(&s->raw.lock);
    s->fault = fault;
    s->hold_ms = hold_ms;
    pthread_mutex_unlock(&s->raw.lock);
}

int h2_get(struct h2_server *s, const int *counter) {
    pthread_mutex_lock(&s->raw.lock);
    int v = *counter;
    pthread_mutex_unlock(&s->raw.lock);
    return v;
}

int h2_executions(struct h2_server *s, const char *nonce) {
    int n = 0;
    pthread_mutex_lock(&s->raw.lock);
    for (int i = 0; i < s->requests && i < H2_NONCES_MAX; i++)
        n += strcmp(s->nonces[i], nonce) == 0;
    pthread_mutex_unlock(&s->raw.lock);
    return n;
}
