/* mcp: see mcp.h. This file: what the prober is made of, its thread, and what other threads may touch.
 *
 * One turn of the thread: sessions, polls and probes start what is due; libcurl moves everything; once a
 * second the block and then a coverage record go out, so that what coverage counts as resolved is
 * already told; then it sleeps until something is due or moves. */
#include "mcp/mcp.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "mcp/mcp_priv.h"

#define TURN_MAX_NS WHEN_S
#define GOODBYE_NS (2 * WHEN_S) /* for ending sessions */
#define DRAIN_NS (10 * WHEN_MS) /* between looks at what is still open while ending */

/* ------------------------------------------------------------------ shared helpers */

void mcp_next_id(struct mcp *m, char id[MCP_ID_MAX]) {
    (void)snprintf(id, MCP_ID_MAX, "%s-s%llu", m->boot, (unsigned long long)++m->last_id);
}

struct mcp_request mcp_target_request(struct mcp_target *t, char *body, const char *id) {
    return (struct mcp_request){.method = MCP_POST,
                                .url = t->c->url,
                                .body = body,
                                .headers = &t->c->headers,
                                .bearer = &t->bearer,
                                .ca_file = t->c->ca_file,
                                .session = t->session,
                                .revision = t->revision,
                                .id = id,
                                .timeout_ns = MCP_CONTROL_TIMEOUT_NS,
                                .fresh = true};
}

struct mcp_failure mcp_result_of(struct mcp_xfer *x, bool had_session) {
    struct mcp_seen seen;
    struct mcp_failure f = {0};
    mcp_xfer_seen(x, &seen);
    seen.had_session = had_session;
    seen.expected = seen.answer == MCP_ANSWER_RESULT;
    f.outcome = mcp_outcome(&seen, f.detail);
    f.status = seen.status;
    f.rpc_code = seen.answer == MCP_ANSWER_ERROR ? seen.rpc_code : 0;
    return f;
}

void mcp_failure_text(const struct mcp_failure *f, char out[MCP_REASON_MAX]) {
    (void)snprintf(out, MCP_REASON_MAX, "%s: %s", wire_outcome_name((int)f->outcome), f->detail);
}

int64_t mcp_poll_due(const struct mcp *m, int64_t interval, int64_t began) {
    if (interval <= 0)
        return INT64_MAX;
    if (began == 0)
        return 0;
    return began + (m->loaded && interval > MCP_LOADED_POLL_NS ? MCP_LOADED_POLL_NS : interval);
}

/* ------------------------------------------------------------------ parts */

static int check_header(const char *line, struct err *e, const char *target) {
    const char *colon = strchr(line, ':');
    bool ok = colon && colon > line;
    for (const char *p = line; ok && *p; p++)
        ok = (unsigned char)*p >= 0x20 && *p != 0x7f && (*p != ' ' || p > colon);
    if (ok)
        return 0;
    return err_set(e, -EINVAL, "target %s: a header must look like \"Name: value\" on one line", target);
}

static int open_target(struct mcp *m, struct mcp_target *t, const struct config_target *c, struct err *e) {
    *t = (struct mcp_target){.m = m, .c = c, .bearer = {.path = c->bearer_file}};
    t->watch = (struct mcp_watch){.kind = "ToolCatalogue", .name = c->name, .control = c->control};
    if (c->era == CONFIG_ERA_MODERN)
        return err_set(
            e, -EINVAL,
            "target %s: era modern (2026-07-28) is not spoken by this version; set era to legacy or auto",
            c->name);
    for (size_t i = 0; i < c->headers.n; i++) {
        int r = check_header(c->headers.items[i], e, c->name);
        if (r < 0)
            return r;
    }
    return 0;
}

static struct mcp_target *find_target(struct mcp *m, const char *name) {
    for (size_t i = 0; i < m->c->targets.n; i++)
        if (strcmp(m->targets[i].c->name, name) == 0)
            return &m->targets[i];
    return NULL;
}

/* Without a configured text, an answer must hold the nonce when the arguments do. */
static int choose_expect(struct mcp_probe *p, struct err *e) {
    const char *expect = p->c->expect && *p->c->expect ? p->c->expect : NULL;
    if (!expect && mcp_rpc_has_nonce(p->arguments))
        expect = "{nonce}";
    p->expect = expect ? strdup(expect) : NULL;
    return expect && !p->expect ? err_oom(e) : 0;
}

static int open_probe(struct mcp *m, struct mcp_probe *p, const struct config_probe *c, struct err *e) {
    *p = (struct mcp_probe){.m = m, .c = c, .target = find_target(m, c->target)};
    if (!p->target)
        return err_set(e, -EINVAL, "probe %s: no target is named %s", c->name, c->target);
    if (c->timeout <= 0)
        return err_set(e, -EINVAL, "probe %s: give a timeout", c->name);
    const char *text = c->arguments && *c->arguments ? c->arguments : "{}";
    int r = js_parse(text, strlen(text), CONF_FILE_MAX, &p->arguments, e);
    if (r < 0)
        return err_prefix(e, r, "probe %s: arguments", c->name);
    if (!json_is_object(p->arguments))
        return err_set(e, -EINVAL, "probe %s: arguments must be a JSON object", c->name);
    if (mcp_probe_open(p) < 0)
        return err_oom(e);
    return choose_expect(p, e);
}

static void open_document(struct mcp *m, struct mcp_document *d, const struct config_document *c) {
    *d = (struct mcp_document){.m = m, .c = c, .bearer = {.path = c->bearer_file}};
    d->watch = (struct mcp_watch){.kind = "ProductConfiguration", .name = c->name};
}

static int open_parts(struct mcp *m, struct err *e) {
    const struct config_target *targets = m->c->targets.items;
    const struct config_probe *probes = m->c->probes.items;
    const struct config_document *documents = m->c->documents.items;
    int r = 0;
    m->targets = calloc(m->c->targets.n + 1, sizeof *m->targets);
    m->probes = calloc(m->c->probes.n + 1, sizeof *m->probes);
    m->documents = calloc(m->c->documents.n + 1, sizeof *m->documents);
    if (!m->targets || !m->probes || !m->documents)
        return err_oom(e);
    for (size_t i = 0; r == 0 && i < m->c->targets.n; i++)
        r = open_target(m, &m->targets[i], &targets[i], e);
    for (size_t i = 0; r == 0 && i < m->c->probes.n; i++)
        r = open_probe(m, &m->probes[i], &probes[i], e);
    for (size_t i = 0; r == 0 && i < m->c->documents.n; i++)
        open_document(m, &m->documents[i], &documents[i]);
    return r;
}

int mcp_open(const struct config *c, const struct norm_key *key, const uint8_t boot[16],
             const struct emit *emit, struct mcp **ret, struct err *e) {
    struct mcp *m = calloc(1, sizeof *m);
    if (!m)
        return err_oom(e);
    m->c = c;
    m->key = key;
    m->emit = emit;
    m->scheduling = true;
    (void)snprintf(m->boot, sizeof m->boot, "%02x%02x%02x%02x", boot[0], boot[1], boot[2], boot[3]);
    int r = mcp_transport_open(&m->transport, (long)c->max_in_flight + 16, e);
    if (r == 0)
        r = open_parts(m, e);
    if (r < 0) {
        mcp_close(&m);
        return r;
    }
    *ret = m;
    return 0;
}

static void close_targets(struct mcp *m) {
    for (size_t i = 0; m->targets && i < m->c->targets.n; i++) {
        struct mcp_target *t = &m->targets[i];
        mcp_xfer_clear(&t->handshake);
        mcp_catalogue_reset(t);
        json_decref(t->names);
        mcp_bearer_free(&t->bearer);
    }
    free(m->targets);
}

static void close_probes(struct mcp *m) {
    for (size_t i = 0; m->probes && i < m->c->probes.n; i++) {
        json_decref(m->probes[i].arguments);
        free(m->probes[i].expect);
        mcp_probe_close(&m->probes[i]);
    }
    free(m->probes);
}

static void close_documents(struct mcp *m) {
    for (size_t i = 0; m->documents && i < m->c->documents.n; i++) {
        mcp_xfer_clear(&m->documents[i].poll);
        mcp_bearer_free(&m->documents[i].bearer);
    }
    free(m->documents);
}

void mcp_close(struct mcp **ref) {
    struct mcp *m = *ref;
    if (!m)
        return;
    if (m->calls_first)
        mcp_calls_abort(m);
    close_targets(m);
    close_probes(m);
    close_documents(m);
    mcp_transport_close(&m->transport);
    mcp_block_free(&m->block);
    free(m);
    *ref = NULL;
}

/* ------------------------------------------------------------------ turns */

static void start_due(struct mcp *m, int64_t now) {
    for (size_t i = 0; i < m->c->targets.n; i++) {
        mcp_session_turn(&m->targets[i], now);
        mcp_catalogue_turn(&m->targets[i], now);
    }
    for (size_t i = 0; i < m->c->documents.n; i++)
        mcp_document_turn(&m->documents[i], now);
    for (size_t i = 0; i < m->c->probes.n; i++)
        mcp_probe_turn(&m->probes[i], now);
}

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t next_due(const struct mcp *m) {
    int64_t next = m->second_at;
    for (size_t i = 0; i < m->c->targets.n; i++) {
        const struct mcp_target *t = &m->targets[i];
        if (t->state == MCP_SESSION_DOWN)
            next = earlier(next, t->retry_at);
        if (t->tried && !mcp_xfer_running(&t->poll))
            next = earlier(next, mcp_poll_due(m, t->c->catalogue_interval, t->poll_began));
    }
    for (size_t i = 0; i < m->c->documents.n; i++)
        if (!mcp_xfer_running(&m->documents[i].poll))
            next = earlier(next, mcp_poll_due(m, m->documents[i].c->interval, m->documents[i].poll_began));
    for (size_t i = 0; i < m->c->probes.n; i++)
        next = earlier(next, mcp_probe_next(&m->probes[i]));
    return next;
}

static void tell_second(struct mcp *m) {
    mcp_block_emit(&m->block, m->emit);
    mcp_cover(m);
}

void mcp_turn(struct mcp *m, int64_t wait_ns) {
    int64_t now = when_mono_ns();
    m->loaded = now < atomic_load(&m->load_until);
    if (m->scheduling)
        start_due(m, now);
    mcp_transport_turn(&m->transport);
    now = when_mono_ns();
    if (now >= m->second_at) {
        tell_second(m);
        m->second_at = m->second_at && now - m->second_at < WHEN_S ? m->second_at + WHEN_S : now + WHEN_S;
    }
    int64_t wait = m->scheduling ? next_due(m) - when_mono_ns() : m->second_at - now;
    mcp_transport_wait(&m->transport, earlier(wait, wait_ns));
}

static bool handshaking(const struct mcp *m) {
    for (size_t i = 0; i < m->c->targets.n; i++)
        if (mcp_xfer_running(&m->targets[i].handshake))
            return true;
    return false;
}

void mcp_goodbye(struct mcp *m) {
    int64_t until = when_mono_ns() + GOODBYE_NS;
    for (size_t i = 0; i < m->c->targets.n; i++) {
        struct mcp_target *t = &m->targets[i];
        mcp_catalogue_reset(t);
        mcp_xfer_clear(&t->handshake);
        mcp_session_delete(t);
    }
    while (handshaking(m) && when_mono_ns() < until)
        mcp_turn(m, DRAIN_NS);
}

static void *run(void *arg) {
    struct mcp *m = arg;
    while (atomic_load(&m->stop_at) == 0)
        mcp_turn(m, TURN_MAX_NS);
    m->scheduling = false;
    int64_t until = atomic_load(&m->stop_at);
    while (m->calls_open > 0 && when_mono_ns() < until)
        mcp_turn(m, DRAIN_NS);
    mcp_calls_abort(m);
    mcp_goodbye(m);
    tell_second(m);
    return NULL;
}

/* ------------------------------------------------------------------ the contract */

/* Signals are main's: the thread takes none. */
static int start_thread(struct mcp *m) {
    sigset_t all;
    sigset_t old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&m->thread, NULL, run, m);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -r;
}

int mcp_start(const struct config *c, const struct norm_key *key, const uint8_t boot[16],
              const struct emit *emit, struct mcp **ret, struct err *e) {
    struct mcp *m = NULL;
    int r = mcp_open(c, key, boot, emit, &m, e);
    if (r < 0)
        return r;
    r = start_thread(m);
    if (r < 0) {
        mcp_close(&m);
        return err_set(e, r, "the prober's thread cannot start: %s", strerror(-r));
    }
    *ret = m;
    return 0;
}

void mcp_stop(struct mcp **ref, int64_t grace_ns) {
    struct mcp *m = *ref;
    if (!m)
        return;
    atomic_store(&m->stop_at, when_mono_ns() + (grace_ns > 0 ? grace_ns : 0));
    (void)curl_multi_wakeup(m->transport.multi);
    (void)pthread_join(m->thread, NULL);
    mcp_close(ref);
}

void mcp_set_load(struct mcp *m, int64_t ttl_ns) {
    atomic_store(&m->load_until, ttl_ns > 0 ? when_mono_ns() + ttl_ns : 0);
    (void)curl_multi_wakeup(m->transport.multi);
}
