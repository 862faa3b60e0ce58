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

/* What the configuration says of a target, as options of its peer. */
static struct peer_options options_of(const struct mcp *m, const struct config_target *c) {
    static const enum peer_kind kinds[] = {[CONFIG_TARGET_MCP] = PEER_MCP,
                                           [CONFIG_TARGET_ARCADE] = PEER_ARCADE,
                                           [CONFIG_TARGET_WORKER] = PEER_WORKER};
    static const enum peer_era eras[] = {
        [CONFIG_ERA_AUTO] = PEER_AUTO, [CONFIG_ERA_LEGACY] = PEER_LEGACY, [CONFIG_ERA_MODERN] = PEER_MODERN};
    return (struct peer_options){.kind = kinds[c->kind],
                                 .era = eras[c->era],
                                 .url = c->url,
                                 .id_prefix = m->boot,
                                 .headers = &c->headers,
                                 .header_files = &c->header_files,
                                 .bearer_file = c->bearer_file,
                                 .ca_file = c->ca_file,
                                 .client_cert_file = c->client_cert_file,
                                 .client_key_file = c->client_key_file,
                                 .secret_file = c->secret_file,
                                 .user_id = c->user_id,
                                 .http2 = c->http == CONFIG_HTTP_2,
                                 .notices = c->notices};
}

static int open_target(struct mcp *m, struct mcp_target *t, const struct config_target *c, struct err *e) {
    struct peer_options o = options_of(m, c);
    *t = (struct mcp_target){.m = m, .c = c};
    t->watch = (struct mcp_watch){.kind = "ToolCatalogue", .name = c->name, .control = c->control};
    int r = peer_open(&t->peer, &m->transport, &o, NULL, e);
    return r < 0 ? err_prefix(e, r, "target %s", c->name) : 0;
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
        peer_list_clear(&t->poll);
        json_decref(t->names);
        peer_close(&t->peer);
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
        peer_turn(m->targets[i].peer, now);
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
        next = earlier(next, peer_next(t->peer));
        if (peer_tried(t->peer) && !peer_list_running(&t->poll))
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

static bool parting(const struct mcp *m) {
    for (size_t i = 0; i < m->c->targets.n; i++)
        if (!peer_parted(m->targets[i].peer))
            return true;
    return false;
}

void mcp_goodbye(struct mcp *m) {
    int64_t until = when_mono_ns() + GOODBYE_NS;
    for (size_t i = 0; i < m->c->targets.n; i++) {
        peer_list_clear(&m->targets[i].poll);
        peer_goodbye(m->targets[i].peer);
    }
    while (parting(m) && when_mono_ns() < until)
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
