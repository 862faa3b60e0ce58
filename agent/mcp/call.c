/* call: one call of a probe, from its begin to the records that say what became of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "mcp/mcp_priv.h"

#define UNSENT_RECORD_NS WHEN_S /* at most one record a probe in this time for calls never sent */

static void link_call(struct mcp *m, struct mcp_call *c) {
    c->prev = m->calls_last;
    *(m->calls_last ? &m->calls_last->next : &m->calls_first) = c;
    m->calls_last = c;
    m->calls_open++;
    c->probe->open++;
}

static void drop_call(struct mcp *m, struct mcp_call *c) {
    *(c->prev ? &c->prev->next : &m->calls_first) = c->next;
    *(c->next ? &c->next->prev : &m->calls_last) = c->prev;
    m->calls_open--;
    c->probe->open--;
    mcp_xfer_clear(&c->xfer);
    free(c);
}

static void emit_call(struct mcp *m, Pilotgate__Call *call) {
    Pilotgate__Record record = PILOTGATE__RECORD__INIT;
    record.body_case = PILOTGATE__RECORD__BODY_CALL;
    record.call = call;
    emit_record(m->emit, &record);
}

/* False: out of memory. */
static bool add_to_block(struct mcp *m, const struct mcp_block_call *b) {
    if (mcp_block_add(&m->block, b) == 0)
        return true;
    mcp_block_emit(&m->block, m->emit);
    return mcp_block_add(&m->block, b) == 0;
}

static uint32_t flags_of(const struct mcp_call *c, const struct mcp_seen *seen) {
    uint32_t flags = 0;
    if (seen->reused)
        flags |= PILOTGATE__CALL_FLAG__CALL_FLAG_REUSED;
    if (c->probe->target->c->control)
        flags |= PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL;
    if (!seen->sent)
        flags |= PILOTGATE__CALL_FLAG__CALL_FLAG_UNSENT;
    if (c->drill)
        flags |= PILOTGATE__CALL_FLAG__CALL_FLAG_DRILL;
    return flags;
}

static uint64_t us_between(int64_t from, int64_t to) {
    return from && to > from ? (uint64_t)(to - from) / 1000 : 0;
}

/* What the probe expected of the result. */
static void judge(struct mcp_call *c, struct mcp_seen *seen) {
    const struct mcp_xfer *x = &c->xfer;
    int64_t limit = c->probe->c->limit;
    if (seen->answer != MCP_ANSWER_RESULT)
        return;
    const json_t *result = json_object_get(x->message, "result");
    char *expect = c->probe->expect ? mcp_rpc_fill(c->probe->expect, c->nonce) : NULL;
    const json_t *is_error = json_object_get(result, "isError");
    seen->is_error =
        is_error && !json_is_false(is_error) && !json_is_null(is_error); /* "true" is no success */
    seen->expected = !c->probe->expect || (expect && mcp_rpc_contains(result, expect));
    seen->late = limit > 0 && mcp_xfer_end_mono(x) - x->sent_mono > limit;
    free(expect);
}

static void tell_first(struct mcp_call *c) {
    char subject[WIRE_NAME_MAX + 16];
    char owner[WIRE_NAME_MAX + 16];
    struct mcp_probe *p = c->probe;
    if (p->completed_once || p->target->c->control)
        return;
    p->completed_once = true;
    (void)snprintf(subject, sizeof subject, "Probe/%s", p->c->name);
    (void)snprintf(owner, sizeof owner, "Target/%s", p->target->c->name);
    Pilotgate__Phase phase = PILOTGATE__PHASE__INIT;
    phase.kind = PILOTGATE__PHASE__KIND__KIND_FIRST_CALL;
    phase.subject = subject;
    phase.owner = owner;
    if (p->target->c->custom_server)
        phase.reason = (char *)"custom-server";
    phase.t_wall_ns = c->xfer.sent_wall + (mcp_xfer_end_mono(&c->xfer) - c->xfer.sent_mono);
    mcp_emit_phase(p->m, &phase);
}

static void tell_row(struct mcp_call *c, const struct mcp_seen *seen, const struct mcp_block_call *b) {
    struct mcp_probe *p = c->probe;
    Pilotgate__Call call = PILOTGATE__CALL__INIT;
    call.number = c->number;
    call.nonce = c->nonce;
    call.probe = p->c->name;
    call.target = p->c->target;
    call.tool = p->c->tool;
    call.start_wall_ns = b->start_wall;
    call.start_mono_ns = (uint64_t)b->start_mono;
    call.first_byte_us = us_between(c->xfer.sent_mono, c->xfer.first_byte_mono);
    call.duration_us = b->duration_us;
    call.outcome = (Pilotgate__Outcome)b->outcome;
    call.flags = b->flags;
    call.connection = b->connection;
    call.http_status = (uint32_t)seen->status;
    call.rpc_code = (int32_t)seen->rpc_code;
    call.bytes_sent = mcp_xfer_bytes_sent(&c->xfer);
    call.bytes_received = seen->received;
    call.detail = p->last.detail;
    emit_call(p->m, &call);
}

static bool may_tell_unsent(struct mcp_probe *p) {
    int64_t now = when_mono_ns();
    if (p->unsent_told && now - p->unsent_told < UNSENT_RECORD_NS)
        return false;
    p->unsent_told = now;
    return true;
}

/* Counts the call and makes its records; p->last says what became of it. */
static void tell(struct mcp_call *c, const struct mcp_seen *seen) {
    struct mcp_probe *p = c->probe;
    const struct mcp_xfer *x = &c->xfer;
    int64_t start = seen->sent ? x->sent_mono : x->began_mono;
    struct mcp_block_call b = {.probe = p->c->name,
                               .tool = p->c->tool,
                               .target = p->c->target,
                               .number = c->number,
                               .start_mono = start,
                               .start_wall =
                                   seen->sent ? x->sent_wall : when_wall_ns() - (when_mono_ns() - start),
                               .duration_us = us_between(start, mcp_xfer_end_mono(x)),
                               .outcome = p->last.outcome,
                               .connection = x->connection,
                               .flags = flags_of(c, seen)};
    bool row = p->last.outcome != PILOTGATE__OUTCOME__OUTCOME_COMPLETED;
    if (seen->sent) {
        p->resolved++;
        row = !add_to_block(p->m, &b) || row; /* a call is never without any record */
    } else {
        p->unsent++;
        row = row && may_tell_unsent(p);
    }
    if (row)
        tell_row(c, seen, &b);
}

static void settle(struct mcp_call *c, bool aborted) {
    struct mcp_probe *p = c->probe;
    struct mcp_seen seen;
    mcp_xfer_seen(&c->xfer, &seen);
    seen.had_session = c->had_session;
    seen.aborted = aborted;
    judge(c, &seen);
    p->last.outcome = mcp_outcome(&seen, p->last.detail);
    p->last.status = seen.status;
    p->last.rpc_code = seen.answer == MCP_ANSWER_ERROR ? seen.rpc_code : 0;
    seen.rpc_code = p->last.rpc_code;
    tell(c, &seen);
    bool completed = p->last.outcome == PILOTGATE__OUTCOME__OUTCOME_COMPLETED;
    if (completed) {
        p->takes = mcp_xfer_end_mono(&c->xfer) - c->xfer.sent_mono;
        tell_first(c);
    }
    if (p->last.outcome == PILOTGATE__OUTCOME__OUTCOME_SESSION_LOST)
        mcp_session_lost(p->target, c->generation, &p->last);
    mcp_probe_ended(p, seen.sent, completed, when_mono_ns());
    drop_call(p->m, c);
}

static void on_call(struct mcp_xfer *x) {
    settle((struct mcp_call *)((char *)x - offsetof(struct mcp_call, xfer)), false);
}

static void begin_failed(struct mcp_probe *p, const char *text) {
    struct mcp_failure why = {.outcome = PILOTGATE__OUTCOME__OUTCOME_ABORTED};
    (void)snprintf(why.detail, sizeof why.detail, "%s", text);
    mcp_call_unsent(p, &why);
}

bool mcp_call_begin(struct mcp_probe *p, bool fresh, bool drill, int64_t timeout_ns) {
    struct mcp *m = p->m;
    struct err e;
    struct mcp_call *c = calloc(1, sizeof *c);
    if (!c) {
        begin_failed(p, "out of memory");
        return false;
    }
    *c = (struct mcp_call){.probe = p,
                           .number = ++m->last_number,
                           .generation = p->target->generation,
                           .had_session = p->target->session[0],
                           .drill = drill};
    (void)snprintf(c->nonce, sizeof c->nonce, "%s-%llu", m->boot, (unsigned long long)c->number);
    char *body = mcp_rpc_tools_call(c->nonce, p->c->tool, p->arguments, c->nonce);
    struct mcp_request r = mcp_target_request(p->target, body, c->nonce);
    r.nonce = c->nonce;
    r.fresh = fresh;
    r.timeout_ns = timeout_ns;
    int code = body ? mcp_xfer_begin(&c->xfer, &m->transport, &r, on_call, &e) : err_oom(&e);
    if (code < 0) {
        begin_failed(p, e.text);
        free(c);
        return false;
    }
    link_call(m, c);
    return true;
}

void mcp_call_unsent(struct mcp_probe *p, const struct mcp_failure *why) {
    p->unsent++;
    if (!may_tell_unsent(p))
        return;
    Pilotgate__Call call = PILOTGATE__CALL__INIT;
    call.number = ++p->m->last_number;
    call.probe = p->c->name;
    call.target = p->c->target;
    call.tool = p->c->tool;
    call.start_wall_ns = when_wall_ns();
    call.start_mono_ns = (uint64_t)when_mono_ns();
    call.outcome = why->outcome;
    call.flags = PILOTGATE__CALL_FLAG__CALL_FLAG_UNSENT |
                 (p->target->c->control ? PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL : 0u);
    call.http_status = (uint32_t)why->status;
    call.rpc_code = (int32_t)why->rpc_code;
    call.detail = (char *)why->detail;
    emit_call(p->m, &call);
}

void mcp_calls_abort(struct mcp *m) {
    while (m->calls_first)
        settle(m->calls_first, true);
}
