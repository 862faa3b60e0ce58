/* transport: see transport.h. This file: the loop, and the life of one exchange. */
#include "mcp/transport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/when.h"
#include "mcp/mcp.h"
#include "mcp/message.h"
#include "mcp/transport_priv.h"

#define ERROR_BODY_MAX (64u << 10) /* of answers other than 2xx only a JSON-RPC error is of interest */

static int watch_fd(struct mcp_transport *t, int fd) {
    struct epoll_event event = {.events = EPOLLIN}; /* lanes have a pointer there */
    return fd < 0 ? -1 : epoll_ctl(t->epoll, EPOLL_CTL_ADD, fd, &event);
}

int mcp_transport_open(struct mcp_transport *t, long max_connections, struct err *e) {
    *t = (struct mcp_transport){.max_connections = max_connections};
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(e, -ENOMEM, "libcurl cannot start");
    t->epoll = epoll_create1(EPOLL_CLOEXEC);
    t->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    t->wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    t->open = true;
    if (t->epoll >= 0 && watch_fd(t, t->timer) == 0 && watch_fd(t, t->wakeup) == 0)
        return 0;
    int r = -errno;
    mcp_transport_close(t);
    return err_set(e, r, "the prober cannot wait for sockets: %s", strerror(-r));
}

static void close_fd(int fd) {
    if (fd >= 0)
        (void)close(fd);
}

void mcp_transport_close(struct mcp_transport *t) {
    if (!t->open)
        return;
    for (struct mcp_lane *l = t->lanes, *next; l; l = next) {
        next = l->next;
        mcp_lane_close(&l);
    }
    close_fd(t->epoll);
    close_fd(t->timer);
    close_fd(t->wakeup);
    free(t->sockets);
    *t = (struct mcp_transport){0};
}

static void linger_leave(struct mcp_xfer *x) {
    struct mcp_transport *t = x->transport;
    if (!x->lingers)
        return;
    *(x->linger_prev ? &x->linger_prev->linger_next : &t->linger_first) = x->linger_next;
    *(x->linger_next ? &x->linger_next->linger_prev : &t->linger_last) = x->linger_prev;
    x->linger_prev = x->linger_next = NULL;
    x->lingers = false;
}

static void linger_enter(struct mcp_xfer *x) {
    struct mcp_transport *t = x->transport;
    x->linger_prev = t->linger_last;
    *(t->linger_last ? &t->linger_last->linger_next : &t->linger_first) = x;
    t->linger_last = x;
    x->lingers = true;
}

/* Takes a message for what it is; true when it answers the request or cannot be understood. */
static bool take_message(struct mcp_xfer *x, const char *text, size_t len) {
    json_t *message = NULL;
    int r = mcp_message_parse(text, len, &message);
    x->overflow = r == -EMSGSIZE;
    x->kind = r < 0 ? MCP_ANSWER_MALFORMED : mcp_rpc_classify(message, x->id, &x->rpc_code);
    if (x->kind == MCP_ANSWER_RESULT || x->kind == MCP_ANSWER_ERROR) {
        x->message = json_incref(message);
        x->parsed = mcp_message_cost(text, len);
    } else if (x->kind == MCP_ANSWER_NONE && x->on_message)
        x->on_message(x, message);
    json_decref(message);
    if (x->kind == MCP_ANSWER_NONE)
        return false;
    x->answered_mono = when_mono_ns();
    return true;
}

static int on_event(void *ctx, const char *data, size_t len) {
    struct mcp_xfer *x = ctx;
    if (take_message(x, data, len))
        linger_enter(x);
    return x->kind != MCP_ANSWER_NONE;
}

/* What the head announces. MCP knows two types (2025-11-25, basic/transports: "the server MUST either return
 * Content-Type: text/event-stream ... or application/json"). */
enum body_type { BODY_JSON, BODY_EVENTS, BODY_OTHER };

static enum body_type type_of(CURL *easy) {
    const char *type = NULL;
    (void)curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
    size_t n = type ? strcspn(type, "; \t") : 0;
    if (n == 17 && strncasecmp(type, "text/event-stream", n) == 0)
        return BODY_EVENTS;
    return n == 16 && strncasecmp(type, "application/json", n) == 0 ? BODY_JSON : BODY_OTHER;
}

static bool is_success(CURL *easy) {
    long status = 0;
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status < 300;
}

/* ------------------------------------------------------------------ memory */

static void give_back(struct mcp_xfer *x) {
    x->transport->held -= x->held;
    x->held = 0;
}

/* The exchange that holds most gives up what it holds, also an answer that lies parsed while its stream
 * lingers: a small answer does not fail for a large one. */
static void sacrifice(struct mcp_transport *t) {
    struct mcp_xfer *most = t->first;
    for (struct mcp_xfer *x = t->first; x; x = x->next)
        if (x->held > most->held)
            most = x;
    most->overflow = most->condemned = true;
    t->condemned++;
    if (most->message)
        most->kind = MCP_ANSWER_MALFORMED;
    json_decref(most->message);
    most->message = NULL;
    most->parsed = 0;
    buf_free(&most->answer);
    mcp_sse_free(&most->sse);
    give_back(most);
}

/* Counts what the exchange holds now. */
static void count_held(struct mcp_xfer *x) {
    struct mcp_transport *t = x->transport;
    if (x->kind != MCP_ANSWER_NONE)
        mcp_sse_free(&x->sse); /* its text is read; its id stays */
    size_t now = x->answer.cap + x->sse.line.cap + x->sse.data.cap + x->parsed;
    t->held += now - x->held; /* may be negative: unsigned numbers wrap back */
    x->held = now;
    if (t->held > MCP_HELD_MAX)
        sacrifice(t);
}

static int keep(struct mcp_xfer *x, const char *bytes, size_t len) {
    if (x->rpc && is_success(x->easy)) {
        enum body_type type = type_of(x->easy);
        x->is_sse = type == BODY_EVENTS;
        x->foreign = type == BODY_OTHER;
    }
    if (x->is_sse)
        return mcp_sse_feed(&x->sse, bytes, len, on_event, x);
    return x->foreign ? 0 : buf_add(&x->answer, bytes, len);
}

size_t mcp_xfer_on_body(char *bytes, size_t size, size_t n, void *ctx) {
    struct mcp_xfer *x = ctx;
    size_t len = size * n;
    x->decoded += len;
    if (x->condemned || x->decoded > MCP_STREAM_MAX) {
        x->overflow = x->kind == MCP_ANSWER_NONE;
        return 0;
    }
    if (x->kind != MCP_ANSWER_NONE)
        return len; /* answered: what follows does not matter */
    if (!is_success(x->easy) && x->answer.len + len > ERROR_BODY_MAX)
        return len;
    int r = keep(x, bytes, len);
    x->overflow = x->overflow || r == -EMSGSIZE;
    if (r >= 0)
        count_held(x);
    return r < 0 || x->condemned ? 0 : len;
}

/* ------------------------------------------------------------------ one exchange */

static void enlist(struct mcp_xfer *x) {
    struct mcp_transport *t = x->transport;
    x->next = t->first;
    if (t->first)
        t->first->prev = x;
    t->first = x;
}

static void delist(struct mcp_xfer *x) {
    struct mcp_transport *t = x->transport;
    if (x->prev || t->first == x)
        *(x->prev ? &x->prev->next : &t->first) = x->next;
    if (x->next)
        x->next->prev = x->prev;
    x->next = x->prev = NULL;
}

static void pardon(struct mcp_xfer *x) {
    x->transport->condemned -= x->condemned;
    x->condemned = false;
}

void mcp_xfer_finish(struct mcp_xfer *x, CURLcode code) {
    x->code = code;
    linger_leave(x);
    pardon(x);
    if (x->rpc && is_success(x->easy) && !x->decoded)
        x->is_sse = type_of(x->easy) == BODY_EVENTS;
    if (x->rpc && code == CURLE_OK && !x->is_sse && x->answer.len)
        (void)take_message(x, x->answer.data, x->answer.len);
    if (!x->answered_mono)
        x->answered_mono = when_mono_ns();
    mcp_lane_leave(x->lane, x);
    delist(x);
    x->done(x);
}

/* A condemned exchange ends even if nothing more comes for it. */
static void end_condemned(struct mcp_transport *t) {
    while (t->condemned) {
        struct mcp_xfer *x = t->first;
        while (!x->condemned)
            x = x->next;
        mcp_xfer_finish(x, CURLE_WRITE_ERROR);
    }
}

static void end_lingering(struct mcp_transport *t) {
    int64_t now = when_mono_ns();
    while (t->linger_first && t->linger_first->answered_mono + MCP_LINGER_NS <= now)
        mcp_xfer_finish(t->linger_first, CURLE_OK);
}

/* Closes lanes that nothing has used for long: replicas come and go. */
static void close_idle(struct mcp_transport *t, int64_t now) {
    struct mcp_lane **at = &t->lanes;
    while (*at) {
        struct mcp_lane *l = *at;
        if (l->n == 0 && now - l->idle_since > MCP_LANE_IDLE_NS) {
            *at = l->next;
            mcp_lane_close(&l);
        } else {
            at = &l->next;
        }
    }
}

/* ------------------------------------------------------------------ the loop */

static void pump(struct mcp_transport *t) {
    int64_t now = when_mono_ns();
    for (struct mcp_lane *l = t->lanes; l; l = l->next)
        mcp_lane_pump(l, now);
}

/* What ends may begin others, which go out in the same turn. */
void mcp_transport_turn(struct mcp_transport *t) {
    pump(t);
    for (struct mcp_lane *l = t->lanes; l; l = l->next)
        mcp_lane_move(l);
    end_condemned(t);
    end_lingering(t);
    pump(t);
    close_idle(t, when_mono_ns());
}

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* At least one: a timer of 0 would be none. */
static void set_timer(struct mcp_transport *t, int64_t ns) {
    struct itimerspec until = {.it_value = {.tv_sec = ns / WHEN_S, .tv_nsec = ns % WHEN_S}};
    (void)timerfd_settime(t->timer, 0, &until, NULL);
}

void mcp_transport_wait(struct mcp_transport *t, int64_t wait_ns) {
    struct epoll_event event;
    uint64_t count;
    int64_t now = when_mono_ns();
    int64_t until = now + (wait_ns > 0 ? wait_ns : 0);
    if (t->linger_first)
        until = earlier(until, t->linger_first->answered_mono + MCP_LINGER_NS);
    for (const struct mcp_lane *l = t->lanes; l; l = l->next)
        until = earlier(until, mcp_lane_next(l));
    if (until > now) {
        set_timer(t, until - now);
        (void)epoll_wait(t->epoll, &event, 1, -1);
    }
    ssize_t n = read(t->timer, &count, sizeof count); /* both are to be quiet again; empty ones say EAGAIN */
    n += read(t->wakeup, &count, sizeof count);
    (void)n;
}

void mcp_transport_wake(struct mcp_transport *t) {
    uint64_t one = 1;
    ssize_t n = write(t->wakeup, &one, sizeof one); /* fails only when it is awake already */
    (void)n;
}

/* ------------------------------------------------------------------ begin and end */

/* Where HTTP/2 goes: one lane for each place, with whatever decides about its connections. */
static int lane_for(struct mcp_transport *t, const struct mcp_request *r, struct mcp_lane **ret,
                    struct err *e) {
    char *key = NULL;
    if (!r->streams || r->fresh)
        return mcp_lane_get(t, r->streams ? "2 fresh" : "1.1", 0, ret, e);
    if (asprintf(&key, "2 %ld %s %s %s %s %s", r->streams, r->url, r->connect_to ? r->connect_to : "",
                 r->ca_file ? r->ca_file : "", r->client_cert_file ? r->client_cert_file : "",
                 r->client_key_file ? r->client_key_file : "") < 0)
        return err_oom(e);
    int code = mcp_lane_get(t, key, r->streams, ret, e);
    free(key);
    return code;
}

int mcp_xfer_begin(struct mcp_xfer *x, struct mcp_transport *t, struct mcp_request *r,
                   void (*done)(struct mcp_xfer *x), struct err *e) {
    struct mcp_lane *lane = NULL;
    *x = (struct mcp_xfer){.transport = t, .answer = BUF_INIT(MCP_ANSWER_MAX), .body = r->body};
    r->body = NULL;
    mcp_sse_init(&x->sse);
    x->easy = curl_easy_init();
    int code = x->easy ? mcp_xfer_setup(x, r, e) : err_oom(e);
    code = code ? code : lane_for(t, r, &lane, e);
    if (code < 0) {
        mcp_xfer_clear(x);
        return code;
    }
    x->began_mono = when_mono_ns();
    x->timeout_ns = r->timeout_ns;
    x->ends_at = x->began_mono + r->timeout_ns;
    enlist(x);
    mcp_lane_enter(lane, x);
    x->done = done;
    return 0;
}

void mcp_xfer_seen(struct mcp_xfer *x, struct mcp_seen *ret) {
    curl_off_t body = 0;
    long head = 0;
    *ret = (struct mcp_seen){
        .curl = x->code,
        .sent = x->sent_mono != 0,
        .reused = x->reused,
        .resend = x->resend,
        .withheld = x->withheld,
        .head = x->head,
        .sse = x->is_sse,
        .foreign = x->foreign,
        .overflow = x->overflow,
        .answer = x->kind,
        .rpc_code = x->rpc_code,
    };
    mcp_connection_seen(x, ret);
    (void)curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &ret->status);
    (void)curl_easy_getinfo(x->easy, CURLINFO_HEADER_SIZE, &head);
    (void)curl_easy_getinfo(x->easy, CURLINFO_SIZE_DOWNLOAD_T, &body);
    (void)curl_easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &ret->os_error);
    ret->received = (uint64_t)head + (uint64_t)body;
}

const char *mcp_xfer_session(struct mcp_xfer *x) {
    struct curl_header *h;
    if (curl_easy_header(x->easy, "Mcp-Session-Id", 0, CURLH_HEADER, -1, &h) != CURLHE_OK)
        return "";
    return mcp_rpc_session_ok(h->value) ? h->value : "";
}

uint64_t mcp_xfer_bytes_sent(struct mcp_xfer *x) {
    long n = 0;
    (void)curl_easy_getinfo(x->easy, CURLINFO_REQUEST_SIZE, &n);
    return n > 0 ? (uint64_t)n : 0;
}

int64_t mcp_xfer_end_mono(const struct mcp_xfer *x) {
    return x->answered_mono ? x->answered_mono : when_mono_ns();
}

void mcp_xfer_clear(struct mcp_xfer *x) {
    if (!x->transport)
        return;
    linger_leave(x);
    pardon(x);
    give_back(x);
    if (x->lane)
        mcp_lane_leave(x->lane, x);
    delist(x);
    if (x->easy)
        curl_easy_cleanup(x->easy);
    curl_slist_free_all(x->headers);
    curl_slist_free_all(x->connect_to);
    mcp_sse_free(&x->sse);
    buf_free(&x->answer);
    json_decref(x->message);
    free(x->body);
    *x = (struct mcp_xfer){0};
}
