/* load_run: connects the agents, makes their records on a schedule (or as fast as the credit allows), waits
 * for the last acknowledgement, and ends every stream with its Bye.
 *
 * The schedule is one line of time: half a second is shared evenly by all agents; in one half each emits what
 * its prober has, in the other what kube has. */
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define EVENTS 256
#define HELLOS_AT_ONCE 64
#define CONNECT_BOUND (180 * WHEN_S)
#define DRAIN_BOUND (120 * WHEN_S)
#define FLOOD_WARM_UP (1 * WHEN_S)
#define FLOOD_TEMPLATES 64
#define FLOOD_TEMPLATE_CALLS 1024
#define BYE_LINGER_MS 2000

static int reconnect(struct load *l, int64_t now, struct err *e) {
    int r = 0;
    for (unsigned i = 0; r == 0 && i < l->o.agents; i++) {
        struct load_agent *a = &l->agents[i];
        if (a->state == LOAD_OFF && a->again_ns && now >= a->again_ns)
            r = load_agent_connect(a, e);
        else if (a->socket)
            r = load_agent_serve(a, e); /* its silence is looked at here */
    }
    return r;
}

/* Serves whatever is ready, at most until then; keeps house each second. */
static int pump(struct load *l, int64_t until, struct err *e) {
    static int64_t house;
    struct epoll_event events[EVENTS];
    int64_t left = until - when_mono_ns();
    int n = epoll_wait(l->epoll, events, EVENTS, left <= 0 ? 0 : (int)((left + WHEN_MS - 1) / WHEN_MS));
    int r = n < 0 && errno != EINTR ? err_set(e, -errno, "epoll: %s", strerror(errno)) : 0;
    for (int i = 0; r == 0 && i < n; i++) {
        struct load_agent *a = events[i].data.ptr;
        if (a->socket)
            r = load_agent_serve(a, e);
    }
    int64_t now = when_mono_ns();
    if (r == 0 && now - house > WHEN_S) {
        house = now;
        r = reconnect(l, now, e);
    }
    load_watch(l);
    return r;
}

static int connect_all(struct load *l, struct err *e) {
    int64_t end = when_mono_ns() + CONNECT_BOUND;
    unsigned begun = 0;
    int r = 0;
    while (r == 0 && l->streaming < l->o.agents) {
        while (r == 0 && begun < l->o.agents && begun < l->streaming + HELLOS_AT_ONCE)
            r = load_agent_connect(&l->agents[begun++], e);
        if (r == 0)
            r = pump(l, when_mono_ns() + 10 * WHEN_MS, e);
        if (r == 0 && when_mono_ns() > end)
            r = err_set(e, -ETIMEDOUT, "%u of %u agents have a session; %s", l->streaming, l->o.agents,
                        l->refused ? l->refusal : "the collector says nothing");
    }
    return r;
}

/* ------------------------------------------------------------------ agents on a schedule */

static int emit_block(struct load_agent *a, struct buf *record, int64_t wall, int64_t mono, struct err *e) {
    struct load *l = a->load;
    size_t n = (size_t)l->o.rate;
    a->calls.wall = wall - WHEN_S;
    a->calls.mono = mono - WHEN_S;
    while (n > 0) {
        size_t some = n < WIRE_BLOCK_CALLS_MAX ? n : WIRE_BLOCK_CALLS_MAX;
        int r = calls_block(&a->calls, some, record, e);
        if (r == 0)
            r = load_agent_emit(a, record, (uint32_t)some, e);
        if (r < 0)
            return r;
        n -= some;
    }
    return 0;
}

static int emit_timing(struct load_agent *a, struct buf *record, int64_t wall, int64_t mono, struct err *e) {
    int r = calls_timing(wall, mono, a->offset_ns, a->error_ns, record, e);
    return r < 0 ? r : load_agent_emit(a, record, 0, e);
}

/* What one agent has to tell in this half of its second. */
static int emit_half(struct load_agent *a, bool of_kube, struct err *e) {
    static struct buf record = BUF_INIT(WIRE_RECORD_MAX);
    int64_t wall = when_wall_ns(), mono = when_mono_ns();
    int r = 0;
    if (!of_kube) {
        a->seconds++;
        if (a->seconds % 5 == 0)
            load_agent_clock_probe(a);
        if (a->load->o.rate)
            r = emit_block(a, &record, wall, mono, e);
        if (r == 0 && a->seconds % 10 == 0 && a->error_ns)
            r = emit_timing(a, &record, wall, mono, e);
    }
    if (r == 0)
        r = calls_coverage(&a->calls, of_kube ? CALLS_COVER_KUBE : CALLS_COVER_MCP, wall, mono, &record, e);
    if (r == 0)
        r = load_agent_emit(a, &record, 0, e);
    return r == 0 && a->socket ? load_agent_serve(a, e) : r;
}

static int run_paced(struct load *l, struct err *e) {
    int64_t n = l->o.agents, halves = 2ll * l->o.seconds * n;
    int64_t began = l->began_ns = when_mono_ns();
    int r = 0;
    for (int64_t k = 0; r == 0 && k < halves;) {
        int64_t due = began + (int64_t)((double)k * 5e8 / (double)n);
        if (when_mono_ns() < due)
            r = pump(l, due, e);
        else {
            r = emit_half(&l->agents[k % n], (k / n) % 2, e);
            if (++k % 64 == 0 && r == 0)
                r = pump(l, 0, e);
        }
    }
    l->ended_ns = when_mono_ns();
    return r;
}

/* ------------------------------------------------------------------ flood */

static int make_templates(struct load *l, struct err *e) {
    struct calls_source s = {
        .random = 7, .rate = l->o.rate, .next = 1, .wall = when_wall_ns(), .mono = when_mono_ns()};
    int r = 0;
    l->templates = calloc(FLOOD_TEMPLATES, sizeof *l->templates);
    if (!l->templates)
        return err_oom(e);
    for (; r == 0 && l->n_templates < FLOOD_TEMPLATES; l->n_templates++)
        r = calls_block(&s, l->o.block_calls, &l->templates[l->n_templates], e);
    return r;
}

static int pump_until(struct load *l, int64_t end, struct err *e) {
    int r = 0;
    while (r == 0 && when_mono_ns() < end)
        r = pump(l, end, e);
    return r;
}

/* Small blocks are made one by one: what is the same in all of them would pack too well. */
static int run_flood(struct load *l, struct err *e) {
    int r = l->o.block_calls >= FLOOD_TEMPLATE_CALLS ? make_templates(l, e) : 0;
    for (unsigned i = 0; i < l->o.agents; i++) {
        l->agents[i].calls.wall = when_wall_ns();
        l->agents[i].calls.mono = when_mono_ns();
    }
    l->flooding = true;
    for (unsigned i = 0; r == 0 && i < l->o.agents; i++)
        r = load_agent_serve(&l->agents[i], e);
    if (r == 0)
        r = pump_until(l, when_mono_ns() + FLOOD_WARM_UP, e);
    l->began_ns = when_mono_ns();
    if (r == 0)
        r = pump_until(l, l->began_ns + l->o.seconds * WHEN_S, e);
    l->ended_ns = when_mono_ns();
    l->flooding = false;
    return r;
}

/* ------------------------------------------------------------------ the end */

static unsigned waiting(const struct load *l) {
    unsigned n = 0;
    for (unsigned i = 0; i < l->o.agents; i++)
        n += !load_agent_quiet(&l->agents[i]);
    return n;
}

static int drain(struct load *l, struct err *e) {
    int64_t end = when_mono_ns() + DRAIN_BOUND;
    int r = 0;
    while (r == 0 && waiting(l) > 0) {
        r = pump(l, when_mono_ns() + 20 * WHEN_MS, e);
        if (r == 0 && when_mono_ns() > end)
            r = err_set(e, -ETIMEDOUT, "%u agents still wait for acknowledgements; %s", waiting(l),
                        l->refused ? l->refusal : "nothing was refused");
    }
    return r;
}

static int say_bye(struct load *l, struct err *e) {
    struct buf record = BUF_INIT(WIRE_RECORD_MAX);
    int r = 0;
    for (unsigned i = 0; r == 0 && i < l->o.agents; i++) {
        struct load_agent *a = &l->agents[i];
        r = calls_coverage(&a->calls, CALLS_COVER_BYE, when_wall_ns(), when_mono_ns(), &record, e);
        if (r == 0)
            r = load_agent_emit(a, &record, 0, e);
        if (r == 0 && a->socket)
            r = load_agent_serve(a, e);
    }
    buf_free(&record);
    if (r == 0)
        r = drain(l, e);
    for (unsigned i = 0; r == 0 && i < l->o.agents; i++) {
        int linger = BYE_LINGER_MS;
        load_agent_bye(&l->agents[i]);
        if (l->agents[i].socket)
            (void)zmq_setsockopt(l->agents[i].socket, ZMQ_LINGER, &linger, sizeof linger);
    }
    return r;
}

int load_run(struct load *l, struct err *e) {
    int r = connect_all(l, e);
    if (r == 0)
        r = l->o.flood ? run_flood(l, e) : run_paced(l, e);
    if (r == 0)
        r = drain(l, e);
    if (r == 0)
        r = say_bye(l, e);
    for (unsigned i = 0; i < l->o.agents; i++)
        load_agent_end(&l->agents[i]);
    for (size_t i = 0; i < l->n_templates; i++)
        buf_free(&l->templates[i]);
    free(l->templates);
    return r;
}
