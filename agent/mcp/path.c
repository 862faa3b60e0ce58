/* path: the ways of calls to each target: its URL, and each replica of the gateway by its address, so that
 * every one is witnessed. A path has a session, a catalogue, and probes of its own. Its states are drawn in
 * mcp_priv.h.
 *
 * A replica whose address changes (a pod of a StatefulSet) is another one: the old path ends first. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "mcp/mcp_priv.h"

#define PARTING_NS (2 * WHEN_S) /* for ending the session */

/* ------------------------------------------------------------------ probes of a path */

/* Without a configured text, an answer must hold the nonce when the arguments do. */
static int choose_expect(struct mcp_probe *p, struct err *e) {
    const char *expect = p->c->expect && *p->c->expect ? p->c->expect : NULL;
    if (!expect && mcp_rpc_has_nonce(p->arguments))
        expect = "{nonce}";
    p->expect = expect ? strdup(expect) : NULL;
    return expect && !p->expect ? err_oom(e) : 0;
}

static int open_probe(struct mcp_path *t, struct mcp_probe *p, const struct config_probe *c, struct err *e) {
    *p = (struct mcp_probe){.m = t->target->m, .c = c, .path = t};
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

static bool calls_here(const struct mcp_path *t, const struct config_probe *c) {
    return strcmp(c->target, t->target->c->name) == 0 &&
           (!*t->name || c->replica_in_flight > 0 || c->replica_drill_in_flight > 0);
}

static int open_probes(struct mcp_path *t, struct err *e) {
    struct mcp *m = t->target->m;
    const struct config_probe *c = m->c->probes.items;
    int r = 0;
    t->probes = calloc(m->c->probes.n + 1, sizeof *t->probes);
    if (!t->probes)
        return err_oom(e);
    for (size_t i = 0; r == 0 && i < m->c->probes.n; i++)
        if (calls_here(t, &c[i]))
            r = open_probe(t, &t->probes[t->n_probes++], &c[i], e);
    return r;
}

static void close_probes(struct mcp_path *t) {
    for (size_t i = 0; i < t->n_probes; i++) {
        json_decref(t->probes[i].arguments);
        free(t->probes[i].expect);
        mcp_probe_close(&t->probes[i]);
    }
    free(t->probes);
}

/* ------------------------------------------------------------------ life of a path */

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
                                 .streams = c->http == CONFIG_HTTP_2 ? (long)c->streams : 0,
                                 .notices = c->notices};
}

static void on_catalogue(void *ctx, struct peer *p) {
    struct mcp_path *t = ctx;
    (void)p;
    t->poll_now = true;
}

static void close_path(struct mcp_path *t) {
    struct mcp *m = t->target->m;
    m->n_probes -= t->n_probes;
    peer_list_clear(&t->poll);
    close_probes(t);
    json_decref(t->names);
    peer_close(&t->peer);
    free(t);
}

static void link_path(struct mcp *m, struct mcp_path *t) {
    struct mcp_path **at = &m->paths;
    while (*at)
        at = &(*at)->next;
    *at = t;
    m->n_paths++;
    m->shared = false;
}

/* replica NULL: by the URL. */
static int open_path(struct mcp_target *target, const struct replica *replica, struct mcp_path **ret,
                     struct err *e) {
    struct mcp *m = target->m;
    struct mcp_path *t = calloc(1, sizeof *t);
    if (!t)
        return err_oom(e);
    t->target = target;
    t->state = replica ? MCP_PATH_WAITING : MCP_PATH_OPEN;
    if (replica) {
        bool v6 = strchr(replica->ip, ':') != NULL;
        (void)snprintf(t->name, sizeof t->name, "Pod/%s", replica->pod);
        (void)snprintf(t->at, sizeof t->at, "%s%s%s:%u", v6 ? "[" : "", replica->ip, v6 ? "]" : "",
                       (unsigned)replica->port);
    }
    t->watch = (struct mcp_watch){
        .kind = "ToolCatalogue", .name = target->c->name, .path = t->name, .control = target->c->control};
    (void)snprintf(t->configuration_name, sizeof t->configuration_name, "%.*s.workers", WIRE_NAME_MAX - 8,
                   target->c->name);
    t->configuration = (struct mcp_watch){.kind = "ProductConfiguration",
                                          .name = t->configuration_name,
                                          .path = t->name,
                                          .control = target->c->control};
    struct peer_options o = options_of(m, target->c);
    o.connect_to = *t->at ? t->at : NULL;
    int r =
        peer_open(&t->peer, &m->transport, &o, &(struct peer_events){.ctx = t, .catalogue = on_catalogue}, e);
    if (r < 0)
        (void)err_prefix(e, r, "target %s", target->c->name);
    else
        r = open_probes(t, e);
    m->n_probes += t->n_probes;
    if (r < 0) {
        close_path(t);
        return r;
    }
    link_path(m, t);
    *ret = t;
    return 0;
}

/* ------------------------------------------------------------------ replicas */

static bool is_at(const struct mcp_path *t, const struct replica *r) {
    char at[sizeof t->at];
    bool v6 = strchr(r->ip, ':') != NULL;
    (void)snprintf(at, sizeof at, "%s%s%s:%u", v6 ? "[" : "", r->ip, v6 ? "]" : "", (unsigned)r->port);
    return strcmp(t->name + 4, r->pod) == 0 && strcmp(t->at, at) == 0;
}

static const struct replica *replica_of(const struct mcp_path *t) {
    const struct mcp_replicas *all = t->target->replicas;
    for (size_t i = 0; i < all->n; i++)
        if (is_at(t, &all->list[i]))
            return &all->list[i];
    return NULL;
}

static struct mcp_path *path_of(struct mcp_target *target, const char *pod) {
    for (struct mcp_path *t = target->m->paths; t; t = t->next)
        if (t->target == target && *t->name && strcmp(t->name + 4, pod) == 0)
            return t;
    return NULL;
}

static void enter(struct mcp_path *t, enum mcp_path_state state, int64_t now) {
    if (t->state == state)
        return;
    t->state = state;
    t->target->m->shared = false;
    peer_hold(t->peer, state != MCP_PATH_OPEN);
    if (state != MCP_PATH_PARTING)
        return;
    t->parted_at = now;
    peer_list_clear(&t->poll);
    peer_goodbye(t->peer);
}

/* What the list of replicas means to a path. */
static void follow(struct mcp_path *t, int64_t now) {
    const struct replica *r = replica_of(t);
    if (t->state >= MCP_PATH_ENDING)
        return;
    if (r)
        t->gone_at = 0;
    else if (!t->gone_at)
        t->gone_at = now;
    if (r && r->ready)
        enter(t, MCP_PATH_OPEN, now);
    else if (t->state == MCP_PATH_OPEN)
        enter(t, MCP_PATH_GOING, now);
    else if (!r && t->state == MCP_PATH_WAITING)
        enter(t, MCP_PATH_PARTING, now);
}

/* A path for each replica that has none. A failure to open one is no memory: tried again with the next news.
 */
static void open_missing(struct mcp_target *target) {
    struct mcp *m = target->m;
    struct mcp_path *t;
    target->paths_wanting = 0;
    for (size_t i = 0; i < target->replicas->n; i++) {
        const struct replica *r = &target->replicas->list[i];
        size_t probes = m->n_probes + m->c->probes.n; /* at most, with one more path */
        if (path_of(target, r->pod))
            continue;
        if (m->n_paths >= m->c->targets.n + MCP_REPLICAS_MAX || probes > WIRE_PATHS_MAX ||
            open_path(target, r, &t, NULL) < 0)
            target->paths_wanting++;
    }
}

static void reconcile(struct mcp_target *target, int64_t now) {
    if (!target->replicas || !target->replicas->known)
        return;
    open_missing(target);
    for (struct mcp_path *t = target->m->paths; t; t = t->next)
        if (t->target == target && *t->name)
            follow(t, now);
}

static void take_news(struct mcp *m, int64_t now) {
    if (!atomic_exchange(&m->news, false))
        return;
    for (size_t i = 0; i < m->c->targets.n; i++) {
        struct mcp_target *target = &m->targets[i];
        if (!target->replicas)
            continue;
        (void)pthread_mutex_lock(&m->inbox_lock);
        bool news = target->inbox->news;
        target->inbox->news = false;
        if (news)
            *target->replicas = *target->inbox;
        (void)pthread_mutex_unlock(&m->inbox_lock);
        if (news)
            reconcile(target, now);
    }
}

static bool has_open_calls(const struct mcp_path *t) {
    for (size_t i = 0; i < t->n_probes; i++)
        if (t->probes[i].open)
            return true;
    return false;
}

/* True when nothing is left to do for it. */
static bool lead_out(struct mcp_path *t, int64_t now) {
    if (t->state == MCP_PATH_GOING && t->gone_at && now - t->gone_at >= MCP_PATH_GONE_NS)
        enter(t, MCP_PATH_ENDING, now);
    if (t->state == MCP_PATH_ENDING && !has_open_calls(t))
        enter(t, MCP_PATH_PARTING, now);
    return t->state == MCP_PATH_PARTING && t->covered &&
           (peer_parted(t->peer) || now - t->parted_at >= PARTING_NS);
}

void mcp_paths_turn(struct mcp *m, int64_t now) {
    take_news(m, now);
    for (struct mcp_path **at = &m->paths; *at;) {
        struct mcp_path *t = *at;
        if (!lead_out(t, now)) {
            at = &t->next;
            continue;
        }
        struct mcp_target *target = t->target;
        mcp_block_emit(&m->block, m->emit); /* it borrows names of the path */
        *at = t->next;
        m->n_paths--;
        m->shared = false;
        close_path(t);
        reconcile(target, now); /* there is room, or the pod is back at another address */
    }
}

/* The end of calls, and coverage's second, wake the thread by themselves. */
int64_t mcp_path_next(const struct mcp_path *t) {
    int64_t next = t->state == MCP_PATH_WAITING ? INT64_MAX : peer_next(t->peer);
    int64_t gone = t->state == MCP_PATH_GOING && t->gone_at ? t->gone_at + MCP_PATH_GONE_NS : INT64_MAX;
    return gone < next ? gone : next;
}

/* ------------------------------------------------------------------ the contract with other threads */

static bool replica_ok(const struct replica *r) {
    return wire_name_ok(r->pod) && r->port > 0 && *r->ip && strnlen(r->ip, sizeof r->ip) < sizeof r->ip &&
           strspn(r->ip, "0123456789abcdefABCDEF:.") == strlen(r->ip);
}

static void put(struct mcp_replicas *to, const struct replicas *r) {
    to->news = true;
    if (r->reason) {
        (void)snprintf(to->reason, sizeof to->reason, "%s", r->reason);
        return;
    }
    to->known = true;
    to->reason[0] = 0;
    to->n = 0;
    to->left_out = r->left_out;
    for (size_t i = 0; i < r->n; i++) {
        if (to->n < REPLICAS_MAX && replica_ok(&r->list[i]))
            to->list[to->n++] = r->list[i];
        else
            to->left_out++;
    }
}

void mcp_set_replicas(struct mcp *m, const struct replicas *r) {
    (void)pthread_mutex_lock(&m->inbox_lock);
    for (size_t i = 0; i < m->c->targets.n; i++)
        if (m->targets[i].inbox && strcmp(m->targets[i].c->replicas, r->service) == 0)
            put(m->targets[i].inbox, r);
    (void)pthread_mutex_unlock(&m->inbox_lock);
    atomic_store(&m->news, true);
    mcp_transport_wake(&m->transport);
}

/* ------------------------------------------------------------------ all of them */

static int open_target(struct mcp *m, struct mcp_target *target, const struct config_target *c,
                       struct err *e) {
    *target = (struct mcp_target){.m = m, .c = c};
    if (c->replicas && *c->replicas) {
        target->replicas = calloc(1, sizeof *target->replicas);
        target->inbox = calloc(1, sizeof *target->inbox);
        if (!target->replicas || !target->inbox)
            return err_oom(e);
    }
    return open_path(target, NULL, &target->url, e);
}

static int check_probes(const struct mcp *m, struct err *e) {
    const struct config_probe *p = m->c->probes.items;
    for (size_t i = 0; i < m->c->probes.n; i++) {
        bool found = false;
        for (size_t k = 0; k < m->c->targets.n; k++)
            found = found || strcmp(m->targets[k].c->name, p[i].target) == 0;
        if (!found)
            return err_set(e, -EINVAL, "probe %s: no target is named %s", p[i].name, p[i].target);
    }
    return 0;
}

int mcp_paths_open(struct mcp *m, struct err *e) {
    const struct config_target *c = m->c->targets.items;
    int r = 0;
    m->targets = calloc(m->c->targets.n + 1, sizeof *m->targets);
    if (!m->targets)
        return err_oom(e);
    for (size_t i = 0; r == 0 && i < m->c->targets.n; i++)
        r = open_target(m, &m->targets[i], &c[i], e);
    return r == 0 ? check_probes(m, e) : r;
}

void mcp_paths_close(struct mcp *m) {
    while (m->paths) {
        struct mcp_path *t = m->paths;
        m->paths = t->next;
        close_path(t);
    }
    for (size_t i = 0; m->targets && i < m->c->targets.n; i++) {
        free(m->targets[i].replicas);
        free(m->targets[i].inbox);
    }
    free(m->targets);
}
