/* call: one call of a probe, from its begin to the records that say what became of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "mcp/mcp_priv.h"

#define UNSENT_RECORD_NS \
    WHEN_S /* at most one record a probe and kind of reason in this time for calls never sent */

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
    peer_call_clear(&c->call);
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

static uint32_t flags_of(const struct mcp_call *c) {
    const struct mcp_seen *seen = &c->call.seen;
    uint32_t flags = 0;
    if (seen->reused)
        flags |= PILOTGATE__CALL_FLAG__CALL_FLAG_REUSED;
    if (c->probe->path->target->c->control)
        flags |= PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL;
    if (!seen->sent)
        flags |= PILOTGATE__CALL_FLAG__CALL_FLAG_UNSENT;
    if (c->drill)
        flags |= PILOTGATE__CALL_FLAG__CALL_FLAG_DRILL;
    if (seen->http2)
        flags |= PILOTGATE__CALL_FLAG__CALL_FLAG_HTTP2;
    if (seen->resumed)
        flags |= PILOTGATE__CALL_FLAG__CALL_FLAG_RESUMED;
    if (c->executions > 1)
        flags |= PILOTGATE__CALL_FLAG__CALL_FLAG_REPEATED;
    return flags;
}

static uint64_t us_between(int64_t from, int64_t to) {
    return from && to > from ? (uint64_t)(to - from) / 1000 : 0;
}

/* How often the tool server says that it executed this call; only an answer with our nonce says it of us. */
static uint32_t executions_of(const struct mcp_call *c) {
    const json_t *n = js_at(c->call.result, "structuredContent.executions");
    if (!json_is_integer(n) || json_integer_value(n) < 0 || !mcp_rpc_names(c->call.result, c->call.id))
        return 0;
    return json_integer_value(n) < UINT32_MAX ? (uint32_t)json_integer_value(n) : UINT32_MAX;
}

/* The result holds what the probe expects. A nonce at its end is this call's alone: "ab-1" is no "ab-12". */
static bool is_expected(const struct mcp_call *c) {
    static const char mark[] = "{nonce}";
    const char *expect = c->probe->expect;
    size_t n = expect ? strlen(expect) : 0;
    char *filled = expect ? mcp_rpc_fill(expect, c->call.id) : NULL;
    bool whole = n >= sizeof mark - 1 && strcmp(expect + n - (sizeof mark - 1), mark) == 0;
    bool found =
        filled && (whole ? mcp_rpc_names(c->call.result, filled) : mcp_rpc_contains(c->call.result, filled));
    free(filled);
    return !expect || found;
}

/* What came of it, beside what the transport saw. */
static void judge(struct mcp_call *c) {
    struct mcp_seen *seen = &c->call.seen;
    const json_t *result = c->call.result;
    int64_t limit = c->probe->c->limit;
    if (!result)
        return;
    const json_t *is_error = json_object_get(result, "isError");
    seen->is_error =
        is_error && !json_is_false(is_error) && !json_is_null(is_error); /* "true" is no success */
    seen->expected = is_expected(c);
    c->executions = executions_of(c);
    seen->late = limit > 0 && c->call.times.end_mono - c->call.times.sent_mono > limit;
}

static void tell_first(struct mcp_call *c) {
    char subject[WIRE_NAME_MAX + 16];
    char owner[WIRE_NAME_MAX + 16];
    struct mcp_probe *p = c->probe;
    if (p->completed_once || p->path->target->c->control || *p->path->name)
        return;
    p->completed_once = true;
    (void)snprintf(subject, sizeof subject, "Probe/%s", p->c->name);
    (void)snprintf(owner, sizeof owner, "Target/%s", p->path->target->c->name);
    Pilotgate__Phase phase = PILOTGATE__PHASE__INIT;
    phase.kind = PILOTGATE__PHASE__KIND__KIND_FIRST_CALL;
    phase.subject = subject;
    phase.owner = owner;
    if (p->path->target->c->custom_server)
        phase.reason = (char *)"custom-server";
    phase.t_wall_ns = c->call.times.sent_wall + (c->call.times.end_mono - c->call.times.sent_mono);
    mcp_emit_phase(p->m, &phase);
}

static void tell_row(struct mcp_call *c, const struct mcp_block_call *b) {
    struct mcp_probe *p = c->probe;
    Pilotgate__Call call = PILOTGATE__CALL__INIT;
    call.number = c->number;
    call.nonce = c->call.id;
    call.probe = p->c->name;
    call.target = p->c->target;
    call.tool = p->c->tool;
    call.start_wall_ns = b->start_wall;
    call.start_mono_ns = (uint64_t)b->start_mono;
    call.first_byte_us = us_between(c->call.times.sent_mono, c->call.times.first_byte_mono);
    call.duration_us = b->duration_us;
    call.outcome = (Pilotgate__Outcome)b->outcome;
    call.flags = b->flags;
    call.connection = b->connection;
    call.http_status = (uint32_t)p->last.status;
    call.rpc_code = (int32_t)p->last.rpc_code;
    call.bytes_sent = c->call.bytes_sent;
    call.bytes_received = c->call.seen.received;
    call.detail = p->last.detail;
    call.path = p->path->name;
    call.executions = c->executions;
    emit_call(p->m, &call);
}

/* A quota that is reached all the time must not hide that the gateway could not be reached either. */
static bool may_tell_unsent(struct mcp_probe *p, Pilotgate__Outcome outcome) {
    int64_t now = when_mono_ns();
    int64_t *told = &p->unsent_told[outcome == PILOTGATE__OUTCOME__OUTCOME_ABORTED];
    if (*told && now - *told < UNSENT_RECORD_NS)
        return false;
    *told = now;
    return true;
}

/* Counts the call and makes its records; p->last says what became of it. */
static void tell(struct mcp_call *c) {
    struct mcp_probe *p = c->probe;
    const struct peer_times *t = &c->call.times;
    bool sent = c->call.seen.sent;
    int64_t start = sent ? t->sent_mono : t->began_mono;
    struct mcp_block_call b = {.probe = p->c->name,
                               .tool = p->c->tool,
                               .target = p->c->target,
                               .path = p->path->name,
                               .number = c->number,
                               .start_mono = start,
                               .start_wall = sent ? t->sent_wall : when_wall_ns() - (when_mono_ns() - start),
                               .duration_us = us_between(start, t->end_mono),
                               .outcome = p->last.outcome,
                               .connection = c->call.connection,
                               .flags = flags_of(c)};
    bool row =
        p->last.outcome != PILOTGATE__OUTCOME__OUTCOME_COMPLETED || c->executions > 1 || c->call.seen.resumed;
    if (sent) {
        p->resolved++;
        mcp_count_call(&p->m->counters, mcp_probe_index(p), (int)p->last.outcome);
        p->executions_told += c->executions > 0;
        row = !add_to_block(p->m, &b) || row; /* a call is never without any record */
    } else {
        mcp_probe_unsent(p);
        row = row && may_tell_unsent(p, p->last.outcome);
    }
    if (row)
        tell_row(c, &b);
}

/* out of the call is filled. */
static void settle(struct mcp_call *c) {
    struct mcp_probe *p = c->probe;
    struct mcp_seen *seen = &c->call.seen;
    judge(c);
    p->last.outcome = mcp_outcome(seen, p->last.detail);
    p->last.status = seen->status;
    p->last.rpc_code = seen->answer == MCP_ANSWER_ERROR ? seen->rpc_code : 0;
    tell(c);
    bool completed = p->last.outcome == PILOTGATE__OUTCOME__OUTCOME_COMPLETED;
    if (completed) {
        p->takes = c->call.times.end_mono - c->call.times.sent_mono;
        tell_first(c);
    }
    mcp_probe_ended(p, seen->sent, completed, when_mono_ns());
    drop_call(p->m, c);
}

static void on_call(struct peer_call *call) {
    settle((struct mcp_call *)((char *)call - offsetof(struct mcp_call, call)));
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
    *c = (struct mcp_call){.probe = p, .number = ++m->last_number, .drill = drill};
    c->call =
        (struct peer_call){.tool = p->c->tool, .fresh = fresh, .timeout_ns = timeout_ns, .done = on_call};
    c->call.reuse_only = p->path->state != MCP_PATH_OPEN;
    (void)snprintf(c->call.id, sizeof c->call.id, "%s-%llu", m->boot, (unsigned long long)c->number);
    json_t *arguments = mcp_rpc_filled(p->arguments, c->call.id);
    c->call.arguments = arguments;
    int code = arguments ? peer_call_begin(p->path->peer, &c->call, &e) : err_oom(&e);
    json_decref(arguments);
    if (code < 0) {
        begin_failed(p, e.text);
        free(c);
        return false;
    }
    link_call(m, c);
    return true;
}

void mcp_call_unsent(struct mcp_probe *p, const struct mcp_failure *why) {
    mcp_probe_unsent(p);
    if (!may_tell_unsent(p, why->outcome))
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
                 (p->path->target->c->control ? PILOTGATE__CALL_FLAG__CALL_FLAG_CONTROL : 0u);
    call.http_status = (uint32_t)why->status;
    call.rpc_code = (int32_t)why->rpc_code;
    call.detail = (char *)why->detail;
    call.path = p->path->name;
    emit_call(p->m, &call);
}

void mcp_calls_abort(struct mcp *m) {
    while (m->calls_first) {
        peer_call_look(&m->calls_first->call);
        m->calls_first->call.seen.aborted =
            !m->calls_first->call.broken; /* else its stream had ended before */
        settle(m->calls_first);
    }
}
