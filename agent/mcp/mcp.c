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
#include <sys/prctl.h>

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

static void open_document(struct mcp *m, struct mcp_document *d, const struct config_document *c) {
    *d = (struct mcp_document){.m = m, .c = c, .bearer = {.path = c->bearer_file}};
    d->watch = (struct mcp_watch){.kind = "ProductConfiguration", .name = c->name};
}

static int open_parts(struct mcp *m, struct err *e) {
    const struct config_document *documents = m->c->documents.items;
    m->documents = calloc(m->c->documents.n + 1, sizeof *m->documents);
    if (!m->documents)
        return err_oom(e);
    for (size_t i = 0; i < m->c->documents.n; i++)
        open_document(m, &m->documents[i], &documents[i]);
    return mcp_paths_open(m, e);
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
    (void)pthread_mutex_init(&m->inbox_lock, NULL);
    (void)snprintf(m->boot, sizeof m->boot, "%02x%02x%02x%02x", boot[0], boot[1], boot[2], boot[3]);
    int r = mcp_transport_open(&m->transport, (long)c->max_in_flight + 16, e);
    if (r == 0)
        r = mcp_counters_open(&m->counters, c->probes.n, e);
    if (r == 0)
        r = open_parts(m, e);
    if (r < 0) {
        mcp_close(&m);
        return r;
    }
    *ret = m;
    return 0;
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
    mcp_paths_close(m);
    close_documents(m);
    mcp_transport_close(&m->transport);
    (void)pthread_mutex_destroy(&m->inbox_lock);
    mcp_block_free(&m->block);
    mcp_counters_close(&m->counters);
    free(m);
    *ref = NULL;
}

/* ------------------------------------------------------------------ turns */

static void start_due(struct mcp *m, int64_t now) {
    mcp_paths_turn(m, now);
    if (!m->shared)
        mcp_probes_share(m);
    for (struct mcp_path *t = m->paths; t; t = t->next) {
        if (t->state != MCP_PATH_WAITING)
            peer_turn(t->peer, now);
        else
            peer_serve(t->peer, now);
        mcp_catalogue_turn(t, now);
    }
    for (size_t i = 0; i < m->c->documents.n; i++)
        mcp_document_turn(&m->documents[i], now);
    for (struct mcp_path *t = m->paths; t; t = t->next)
        for (size_t i = 0; i < t->n_probes && mcp_path_may_call(t); i++)
            mcp_probe_turn(&t->probes[i], now);
}

/* What is open goes on while nothing new begins. */
static void serve_open(struct mcp *m, int64_t now) {
    for (struct mcp_path *t = m->paths; t; t = t->next)
        peer_serve(t->peer, now);
}

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t next_due(const struct mcp *m) {
    int64_t next = m->second_at;
    for (const struct mcp_path *t = m->paths; t; t = t->next) {
        next = earlier(next, earlier(mcp_path_next(t), mcp_catalogue_next(t)));
        for (size_t i = 0; i < t->n_probes && mcp_path_may_call(t); i++)
            next = earlier(next, mcp_probe_next(&t->probes[i]));
    }
    for (size_t i = 0; i < m->c->documents.n; i++)
        if (!mcp_xfer_running(&m->documents[i].poll))
            next = earlier(next, mcp_poll_due(m, m->documents[i].c->interval, m->documents[i].poll_began));
    return next;
}

static void tell_second(struct mcp *m) {
    mcp_block_emit(&m->block, m->emit);
    mcp_cover(m);
}

/* How much later than it asked for the thread got its turn, and how long the turn took: what came meanwhile
 * waited so long, whatever gateway and tool server did. */
static void note_stall(struct mcp *m, int64_t begin, int64_t end) {
    int64_t late = m->asked_at && begin > m->asked_at ? begin - m->asked_at : 0;
    if (late + (end - begin) > m->stalled)
        m->stalled = late + (end - begin);
}

void mcp_turn(struct mcp *m, int64_t wait_ns) {
    int64_t begin = when_mono_ns();
    m->loaded = begin < atomic_load(&m->load_until);
    if (m->scheduling)
        start_due(m, begin);
    else
        serve_open(m, begin);
    mcp_transport_turn(&m->transport);
    int64_t now = when_mono_ns();
    if (now >= m->second_at) {
        note_stall(m, begin, now);
        tell_second(m);
        m->second_at = m->second_at && now - m->second_at < WHEN_S ? m->second_at + WHEN_S : now + WHEN_S;
    }
    now = when_mono_ns();
    note_stall(m, begin, now);
    int64_t wait = earlier(m->scheduling ? next_due(m) - now : m->second_at - now, wait_ns);
    m->asked_at = now + (wait > 0 ? wait : 0);
    mcp_transport_wait(&m->transport, wait);
}

static bool parting(const struct mcp *m) {
    for (const struct mcp_path *t = m->paths; t; t = t->next)
        if (!peer_parted(t->peer))
            return true;
    return false;
}

void mcp_goodbye(struct mcp *m) {
    int64_t until = when_mono_ns() + GOODBYE_NS;
    for (struct mcp_path *t = m->paths; t; t = t->next) {
        peer_list_clear(&t->poll);
        if (t->state != MCP_PATH_PARTING)
            peer_goodbye(t->peer);
    }
    while (parting(m) && when_mono_ns() < until)
        mcp_turn(m, DRAIN_NS);
}

/* Nothing new begins; what is open is seen through, also where a broken event stream is to be taken up. */
static void drain(struct mcp *m, int64_t until) {
    m->scheduling = false;
    for (struct mcp_path *t = m->paths; t; t = t->next)
        peer_hold(t->peer, true);
    while (m->calls_open > 0 && when_mono_ns() < until) {
        for (struct mcp_path *t = m->paths; t; t = t->next)
            peer_turn(t->peer, when_mono_ns());
        mcp_turn(m, DRAIN_NS);
    }
}

static void *run(void *arg) {
    struct mcp *m = arg;
    (void)pthread_setname_np(pthread_self(), "prober");
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); /* else the kernel adds 50 us to every wait */
    while (atomic_load(&m->stop_at) == 0)
        mcp_turn(m, TURN_MAX_NS);
    drain(m, atomic_load(&m->stop_at));
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
    mcp_transport_wake(&m->transport);
    (void)pthread_join(m->thread, NULL);
    mcp_close(ref);
}

static uint64_t look(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void mcp_counts(const struct mcp *m, size_t probe, struct mcp_counts *ret) {
    *ret = (struct mcp_counts){.unsent = 0};
    if (probe >= m->counters.n)
        return;
    for (int i = 0; i < MCP_OUTCOMES; i++)
        ret->outcomes[i] = look(&m->counters.probes[probe].outcomes[i]);
    ret->unsent = look(&m->counters.probes[probe].unsent);
}

void mcp_delays(const struct mcp *m, struct mcp_delays *ret) {
    for (int i = 0; i <= MCP_DELAY_BOUNDS; i++)
        ret->delays[i] = look(&m->counters.delays[i]);
    ret->sum_ns = look(&m->counters.delay_ns);
}

void mcp_set_load(struct mcp *m, int64_t ttl_ns) {
    atomic_store(&m->load_until, ttl_ns > 0 ? when_mono_ns() + ttl_ns : 0);
    mcp_transport_wake(&m->transport);
}
