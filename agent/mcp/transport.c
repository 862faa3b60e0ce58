/* transport: see transport.h. This file: the multi handle, and the life of one exchange. */
#include "mcp/transport.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "mcp/mcp.h"
#include "mcp/transport_priv.h"

#define ERROR_BODY_MAX (64u << 10) /* of answers other than 2xx only a JSON-RPC error is of interest */

int mcp_transport_open(struct mcp_transport *t, long max_connections, struct err *e) {
    *t = (struct mcp_transport){0};
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(e, -ENOMEM, "libcurl cannot start");
    t->multi = curl_multi_init();
    if (!t->multi)
        return err_oom(e);
    (void)curl_multi_setopt(t->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    (void)curl_multi_setopt(t->multi, CURLMOPT_MAXCONNECTS, max_connections);
    return 0;
}

void mcp_transport_close(struct mcp_transport *t) {
    if (!t->multi)
        return;
    (void)curl_multi_cleanup(t->multi);
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
    if (js_parse(text, len, MCP_ANSWER_MAX, &message, NULL) < 0)
        x->kind = MCP_ANSWER_MALFORMED;
    else
        x->kind = mcp_rpc_classify(message, x->id, &x->rpc_code);
    if (x->kind == MCP_ANSWER_RESULT)
        x->message = json_incref(message);
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

static bool is_event_stream(CURL *easy) {
    const char *type = NULL;
    (void)curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
    return type && strncasecmp(type, "text/event-stream", 17) == 0;
}

/* Counts what the exchange holds now; false: all together hold too much. */
static bool count_held(struct mcp_xfer *x) {
    size_t now = x->answer.cap + x->sse.line.cap + x->sse.data.cap;
    x->transport->held += now - x->held; /* may be negative: unsigned numbers wrap back */
    x->held = now;
    return x->transport->held <= MCP_HELD_MAX;
}

size_t mcp_xfer_on_body(char *bytes, size_t size, size_t n, void *ctx) {
    struct mcp_xfer *x = ctx;
    size_t len = size * n;
    long status = 0;
    (void)curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    if (x->kind != MCP_ANSWER_NONE)
        return len; /* answered: what follows does not matter */
    if (status >= 300 && x->answer.len + len > ERROR_BODY_MAX)
        return len;
    x->is_sse = x->rpc && status < 300 && (x->is_sse || is_event_stream(x->easy));
    int r = x->is_sse ? mcp_sse_feed(&x->sse, bytes, len, on_event, x) : buf_add(&x->answer, bytes, len);
    if (!count_held(x) && r >= 0)
        r = -EMSGSIZE;
    x->overflow = r == -EMSGSIZE;
    return r < 0 ? 0 : len;
}

/* The transfer is over: reads a JSON body, takes the handle out and tells the owner. */
static void finish(struct mcp_xfer *x, CURLcode code) {
    x->code = code;
    linger_leave(x);
    x->is_sse = x->is_sse || (x->rpc && is_event_stream(x->easy));
    if (x->rpc && code == CURLE_OK && !x->is_sse && x->answer.len)
        (void)take_message(x, x->answer.data, x->answer.len);
    if (!x->answered_mono)
        x->answered_mono = when_mono_ns();
    (void)curl_multi_remove_handle(x->transport->multi, x->easy);
    x->done(x);
}

static void end_lingering(struct mcp_transport *t) {
    int64_t now = when_mono_ns();
    while (t->linger_first && t->linger_first->answered_mono + MCP_LINGER_NS <= now)
        finish(t->linger_first, CURLE_OK);
}

void mcp_transport_turn(struct mcp_transport *t) {
    int running;
    int left;
    CURLMsg *msg;
    (void)curl_multi_perform(t->multi, &running);
    while ((msg = curl_multi_info_read(t->multi, &left))) {
        struct mcp_xfer *x = NULL;
        CURLcode code = msg->data.result;
        (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &x);
        if (x)
            finish(x, code);
    }
    end_lingering(t);
}

void mcp_transport_wait(struct mcp_transport *t, int64_t wait_ns) {
    if (t->linger_first) {
        int64_t left = t->linger_first->answered_mono + MCP_LINGER_NS - when_mono_ns();
        wait_ns = wait_ns < left ? wait_ns : left;
    }
    if (wait_ns < 0)
        wait_ns = 0;
    (void)curl_multi_poll(t->multi, NULL, 0, (int)((wait_ns + WHEN_MS - 1) / WHEN_MS), NULL);
}

void mcp_transport_wake(struct mcp_transport *t) {
    (void)curl_multi_wakeup(t->multi);
}

int mcp_xfer_begin(struct mcp_xfer *x, struct mcp_transport *t, struct mcp_request *r,
                   void (*done)(struct mcp_xfer *x), struct err *e) {
    *x = (struct mcp_xfer){.transport = t, .answer = BUF_INIT(MCP_ANSWER_MAX), .body = r->body};
    r->body = NULL;
    mcp_sse_init(&x->sse);
    x->easy = curl_easy_init();
    int code = x->easy ? mcp_xfer_setup(x, r, e) : err_oom(e);
    x->began_mono = when_mono_ns();
    if (code == 0 && curl_multi_add_handle(t->multi, x->easy) != CURLM_OK)
        code = err_oom(e);
    if (code < 0) {
        mcp_xfer_clear(x);
        return code;
    }
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
        .orderly = strstr(x->error, "unexpected eof") != NULL,
        .sse = x->is_sse,
        .overflow = x->overflow,
        .answer = x->kind,
        .rpc_code = x->rpc_code,
    };
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
    x->transport->held -= x->held;
    if (x->easy) {
        (void)curl_multi_remove_handle(x->transport->multi, x->easy);
        curl_easy_cleanup(x->easy);
    }
    curl_slist_free_all(x->headers);
    curl_slist_free_all(x->connect_to);
    mcp_sse_free(&x->sse);
    buf_free(&x->answer);
    json_decref(x->message);
    free(x->body);
    *x = (struct mcp_xfer){0};
}
