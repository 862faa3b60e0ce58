/* shot: see shot.h. */
#include "shot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/when.h"

#define WAIT_NS (15 * WHEN_S)

static struct shot *shot_of(struct mcp_xfer *x) {
    return (struct shot *)((char *)x - offsetof(struct shot, x));
}

static void on_message(struct mcp_xfer *x, const json_t *message) {
    (void)message;
    shot_of(x)->messages++;
}

static void on_done(struct mcp_xfer *x) {
    struct shot *s = shot_of(x);
    mcp_xfer_seen(x, &s->seen);
    s->seen.expected = s->seen.answer == MCP_ANSWER_RESULT;
    s->outcome = mcp_outcome(&s->seen, s->detail);
    s->seen.why = NULL;
    s->took_ns = x->sent_mono ? mcp_xfer_end_mono(x) - x->sent_mono : 0;
    s->connection = x->connection;
    s->retry_ms = mcp_xfer_retry_ms(x);
    (void)snprintf(s->event_id, sizeof s->event_id, "%s", mcp_xfer_event_id(x));
    s->ended = true;
    mcp_xfer_clear(x);
}

struct mcp_request shot_request(const char *url, const char *nonce) {
    return (struct mcp_request){.method = MCP_POST,
                                .url = url,
                                .nonce = nonce,
                                .id = nonce,
                                .message = on_message,
                                .timeout_ns = 10 * WHEN_S};
}

void shot_fire(struct shot *s, struct mcp_transport *t, struct mcp_request *r) {
    struct err e;
    char nonce[sizeof s->nonce];
    (void)snprintf(nonce, sizeof nonce, "%s", r->nonce ? r->nonce : "");
    memset(s, 0, sizeof *s);
    memcpy(s->nonce, nonce, sizeof nonce);
    if (r->method == MCP_POST &&
        asprintf(&r->body, "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"method\":\"x\"}", nonce) < 0)
        fail();
    if (mcp_xfer_begin(&s->x, t, r, on_done, &e) < 0)
        fail_msg("%s", e.text);
}

void shot_until(struct mcp_transport *t, bool (*test)(void *ctx), void *ctx) {
    int64_t until = when_mono_ns() + WAIT_NS;
    while (!test(ctx)) {
        if (when_mono_ns() > until)
            fail_msg("what a test waits for did not come");
        mcp_transport_turn(t);
        mcp_transport_wait(t, 10 * WHEN_MS);
    }
}

struct shots {
    struct shot *s;
    size_t n;
};

static bool all_ended(void *ctx) {
    struct shots *all = ctx;
    for (size_t i = 0; i < all->n; i++)
        if (!all->s[i].ended)
            return false;
    return true;
}

void shot_wait(struct mcp_transport *t, struct shot *s, size_t n) {
    struct shots all = {s, n};
    shot_until(t, all_ended, &all);
}

void shot_turn(struct mcp_transport *t, int64_t ns) {
    int64_t until = when_mono_ns() + ns;
    while (when_mono_ns() < until) {
        mcp_transport_turn(t);
        mcp_transport_wait(t, until - when_mono_ns());
    }
}

void shot_one(struct shot *s, struct mcp_transport *t, const char *url, const char *nonce) {
    struct mcp_request r = shot_request(url, nonce);
    shot_fire(s, t, &r);
    shot_wait(t, s, 1);
}

void shot_clear(struct shot *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        mcp_xfer_clear(&s[i].x);
}
