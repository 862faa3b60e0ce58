/* kube: one thread that drives the transfers of all sources over one libcurl multi handle and says each
 * second what they cover. See kube.h. */
#include "kube/kube.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/when.h"
#include "kube/elsewhere.h"
#include "kube/extra.h"
#include "kube/lease.h"
#include "kube/served.h"

#define SOURCES_MAX (48 + 8 * CONFIG_GITOPS_NAMESPACES_MAX + CONFIG_SERVICES_MAX + CONFIG_RESOURCES_MAX)
static_assert(SOURCES_MAX <= WIRE_SOURCES_MAX, "one coverage record tells of all sources");

struct kube {
    struct kube_http http;
    struct kube_scope scope;
    struct kube_fleet fleet;
    struct kube_served served;
    struct kube_apps apps;
    struct kube_elsewhere elsewhere[CONFIG_GITOPS_NAMESPACES_MAX];
    struct kube_extras extras;
    struct kube_events events;
    const struct config *config;
    bool elects; /* the Lease says who does the stage-scoped work */
    bool works;  /* this agent does it */
    CURLM *multi;
    struct kube_source sources[SOURCES_MAX]; /* node-scoped ones, then those of the stage while it works */
    size_t n, n_node;
    struct kube_lease lease;
    int64_t second;                       /* of the election */
    const struct kube_handover *handover; /* NULL: nobody settles */
    uint8_t boot[WIRE_BOOT_BYTES];
    struct kube_positions taken; /* of all sources at once, ... */
    int64_t taken_mono;          /* ... then; 0: none. They count once the collector has all until then */
    struct kube_service services[CONFIG_SERVICES_MAX];
    pthread_t thread;
    bool running; /* the thread was started */
    atomic_bool stop;
    int64_t next_coverage; /* monotonic */
    struct kube_cover cover;
};

/* Resident pages of this process; 0 when /proc is not there. */
static uint64_t resident_bytes(void) {
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    if (fscanf(f, "%*u %lu", &pages) != 1)
        pages = 0;
    (void)fclose(f);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void cover(struct kube *k) {
    Pilotgate__Coverage__Source sources[SOURCES_MAX];
    Pilotgate__Coverage__Source *list[SOURCES_MAX];
    Pilotgate__Coverage c = PILOTGATE__COVERAGE__INIT;
    char key_id[NORM_KEY_ID_MAX];
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    c.n_sources = kube_cover_sources(&k->cover, k->sources, k->n, when_wall_ns(), sources, list);
    c.base_mono_ns = (uint64_t)when_mono_ns();
    c.sources = list;
    c.stage_scoped = k->works;
    c.rss_bytes = resident_bytes();
    c.expected_agents = kube_fleet_expected(&k->fleet);
    if (k->works)
        c.key_id = norm_key_id(k->scope.key, key_id);
    r.body_case = PILOTGATE__RECORD__BODY_COVERAGE;
    r.coverage = &c;
    emit_record(k->scope.emit, &r);
}

/* What was held back and may be told now. */
static void tell_held(struct kube *k, int64_t now_wall) {
    for (size_t i = 0; i < k->n; i++)
        kube_view_tick(&k->sources[i].view, now_wall);
    kube_events_tick(&k->scope, now_wall);
}

/* Emits coverage when a second is over; returns the ns to the next. A late one does not make up. */
static int64_t cover_when_due(struct kube *k, int64_t now) {
    if (now < k->next_coverage)
        return k->next_coverage - now;
    tell_held(k, when_wall_ns());
    cover(k);
    k->next_coverage += WHEN_S;
    if (k->next_coverage <= now)
        k->next_coverage = now + WHEN_S;
    return k->next_coverage - now;
}

static void finish_transfers(struct kube *k) {
    int left;
    CURLMsg *m;
    while ((m = curl_multi_info_read(k->multi, &left))) {
        struct kube_source *s = NULL;
        CURLcode code = m->data.result;
        if (m->msg != CURLMSG_DONE)
            continue;
        if (m->easy_handle == k->served.easy)
            kube_served_done(&k->served, code, when_mono_ns());
        else if (m->easy_handle == k->extras.easy)
            kube_extras_done(&k->extras, code, when_mono_ns());
        else if (m->easy_handle == k->lease.easy)
            kube_lease_done(&k->lease, code);
        else if (curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&s) == CURLE_OK)
            kube_source_done(s, code);
    }
}

/* ---- the stage's sources come and go with the work */

static bool own_clock(const struct kube *k, int64_t *ret_offset, uint64_t *ret_bound) {
    *ret_offset = 0;
    *ret_bound = 0;
    return k->handover && k->handover->clock(k->handover->ctx, ret_offset, ret_bound);
}

/* From where the one before us was settled, where there is such a position. */
static void resume(struct kube *k, struct kube_source *s) {
    const struct kube_position *p = kube_positions_find(&k->lease.found, s->kind->source);
    int64_t offset;
    uint64_t bound;
    if (!p || s->disabled || s->kind->poll)
        return;
    bool known = own_clock(k, &offset, &bound);
    int64_t since = kube_position_since(p, known, offset, bound);
    int64_t now = when_wall_ns();
    kube_source_resume(s, p, since < now ? since : now);
}

static void add_kind(struct kube *k, const struct kube_kind *kind, const struct kube_scope *scope) {
    if (k->n == SOURCES_MAX || kind->older || (kind->gitops && !k->config->kube.gitops))
        return;
    struct kube_source *s = &k->sources[k->n++];
    kube_source_init(s, kind, scope, &k->http, k->multi, k->config->stage.node);
    if (kind->needs_secrets && !k->config->kube.secrets)
        kube_source_disable(s, strcmp(kind->object, "HelmRelease") == 0
                                   ? "kube.secrets is false: Helm releases are not read"
                                   : "kube.secrets is false: Secrets are not read");
    if (!kind->node_scoped)
        resume(k, s);
}

static void stage_begin(struct kube *k) {
    k->works = true;
    for (const struct kube_kind *kind = kube_kinds; kind->source; kind++)
        if (!kind->node_scoped)
            add_kind(k, kind, &k->scope);
    for (size_t i = 0; i < k->extras.n; i++)
        add_kind(k, &k->extras.items[i].kind, &k->scope);
    for (size_t i = 0; i < k->config->kube.gitops_namespaces.n; i++) {
        struct kube_elsewhere *w = &k->elsewhere[i];
        kube_elsewhere_init(w, &k->scope, k->config->kube.gitops_namespaces.items[i]);
        for (const struct kube_kind *kind = w->kinds; kind->source; kind++)
            add_kind(k, kind, &w->scope);
    }
}

static void stage_end(struct kube *k) {
    k->works = false;
    while (k->n > k->n_node)
        kube_source_free(&k->sources[--k->n]);
    kube_fleet_forget(&k->fleet);
    kube_events_free(&k->events);
    k->apps.n = 0;
    k->taken_mono = 0;
    k->lease.ours.n = 0; /* who has it now has positions of its own */
}

/* ---- positions */

static void take_positions(struct kube *k, int64_t now) {
    int64_t offset;
    uint64_t bound;
    bool known = own_clock(k, &offset, &bound);
    k->taken.n = 0;
    for (size_t i = k->n_node; i < k->n && k->taken.n < POSITIONS_MAX; i++) {
        struct kube_position *p = &k->taken.items[k->taken.n];
        if (!kube_source_position(&k->sources[i], p))
            continue;
        memcpy(p->boot, k->boot, sizeof p->boot);
        p->clock_known = known;
        p->offset_ns = offset;
        p->bound_ns = bound;
        k->taken.n++;
    }
    k->taken_mono = now;
}

/* What was emitted before the positions were taken lies before them: once the collector has it, they count.
 */
static void settle(struct kube *k, int64_t now) {
    if (!k->works || !k->handover)
        return;
    if (k->taken_mono && k->handover->settled(k->handover->ctx) >= k->taken_mono) {
        kube_positions_merge(&k->lease.ours, &k->taken);
        k->taken_mono = 0;
    }
    if (!k->taken_mono)
        take_positions(k, now);
}

/* Returns the ns until the Lease wants something. */
static int64_t elect(struct kube *k, int64_t now) {
    if (!k->elects)
        return INT64_MAX;
    bool works = kube_election_works(&k->lease.election);
    if (works && !k->works)
        stage_begin(k);
    else if (!works && k->works)
        stage_end(k);
    settle(k, now);
    return kube_lease_run(&k->lease, now);
}

/* Takes what arrived, starts what is due; returns the ns until something is due again. */
static int64_t turn(struct kube *k) {
    int running;
    (void)curl_multi_perform(k->multi, &running);
    finish_transfers(k);
    int64_t now = when_mono_ns();
    int64_t wait = elect(k, now);
    int64_t covered = cover_when_due(k, now);
    wait = covered < wait ? covered : wait;
    for (size_t i = 0; i < k->n; i++) {
        int64_t due = kube_source_run(&k->sources[i], now);
        wait = due < wait ? due : wait;
    }
    int64_t due = kube_served_run(&k->served, now);
    int64_t extra = kube_extras_run(&k->extras, now);
    wait = due < wait ? due : wait;
    return extra < wait ? extra : wait;
}

static void *work(void *ctx) {
    struct kube *k = ctx;
    (void)pthread_setname_np(pthread_self(), "kube");
    k->next_coverage = when_mono_ns();
    while (!atomic_load(&k->stop)) {
        int64_t wait_ms = turn(k) / WHEN_MS + 1;
        (void)curl_multi_poll(k->multi, NULL, 0, (int)(wait_ms < 1000 ? wait_ms : 1000), NULL);
    }
    return NULL;
}

static void add_node(struct kube *k) {
    for (const struct kube_kind *kind = kube_kinds; kind->source; kind++)
        if (kind->node_scoped)
            add_kind(k, kind, &k->scope);
}

static void add_services(struct kube *k, const struct config *c) {
    size_t n = k->scope.replicas ? kube_services_find(c, k->services) : 0;
    for (size_t i = 0; i < n && k->n < SOURCES_MAX; i++)
        kube_source_init(&k->sources[k->n++], &k->services[i].kind, &k->scope, &k->http, k->multi,
                         c->stage.node);
}

/* Without an election the stage's work begins now, where it is wanted at all. */
static void begin_work(struct kube *k) {
    const struct config *c = k->config;
    char hex[2 * WIRE_BOOT_BYTES + 1];
    char identity[KUBE_NAME_MAX];
    if (k->handover)
        memcpy(k->boot, k->handover->boot, sizeof k->boot);
    else
        randombytes_buf(k->boot, sizeof k->boot);
    (void)sodium_bin2hex(hex, sizeof hex, k->boot, sizeof k->boot);
    (void)snprintf(identity, sizeof identity, "%.200s_%.16s", c->stage.node, hex);
    k->elects = c->kube.stage_scoped && c->kube.lease && *c->kube.lease;
    kube_lease_init(&k->lease, c->kube.lease, identity, k->second, &k->scope, &k->http, k->multi);
    if (c->kube.stage_scoped && !k->elects)
        stage_begin(k);
}

static int check_config(const struct config *c, struct err *e) {
    if (!c->stage.namespace_name || !*c->stage.namespace_name)
        return err_set(e, -EINVAL, "stage.namespace is not set: name the namespace to witness");
    if (!c->stage.node || !*c->stage.node)
        return err_set(e, -EINVAL,
                       "stage.node is not set: give the node's name (downward API spec.nodeName)");
    return 0;
}

static int open_all(struct kube *k, const struct config *c, struct err *e) {
    int r = kube_http_open(c, &k->http, e);
    if (r < 0)
        return r;
    k->multi = curl_multi_init();
    if (!k->multi)
        return err_oom(e);
    (void)curl_multi_setopt(k->multi, CURLMOPT_MAXCONNECTS, (long)SOURCES_MAX + 1);
    kube_served_init(&k->served, &k->http, k->multi);
    kube_extras_init(&k->extras, c, &k->http, k->multi, &k->served);
    add_node(k);
    add_services(k, c);
    k->n_node = k->n;
    begin_work(k);
    r = pthread_create(&k->thread, NULL, work, k);
    if (r != 0)
        return err_set(e, -r, "cannot start the kube thread: %s", strerror(r));
    k->running = true;
    return 0;
}

int kube_start(const struct config *c, const struct norm_key *key, const struct emit *emit,
               const struct replicas_to *replicas, const struct kube_handover *handover, struct kube **ret,
               struct err *e) {
    return kube_start_timed(c, key, emit, replicas, handover, WHEN_S, ret, e);
}

int kube_start_timed(const struct config *c, const struct norm_key *key, const struct emit *emit,
                     const struct replicas_to *replicas, const struct kube_handover *handover, int64_t second,
                     struct kube **ret, struct err *e) {
    int r = check_config(c, e);
    if (r < 0)
        return r;
    struct kube *k = calloc(1, sizeof *k);
    if (!k)
        return err_oom(e);
    k->scope = (struct kube_scope){.own_release = c->kube.own_release ? c->kube.own_release : "",
                                   .namespace_name = c->stage.namespace_name,
                                   .key = key,
                                   .emit = emit,
                                   .replicas = replicas,
                                   .fleet = &k->fleet,
                                   .served = &k->served,
                                   .apps = &k->apps,
                                   .events = &k->events};
    kube_fleet_init(&k->fleet, getenv("POD_NAME"));
    k->config = c;
    k->handover = handover;
    k->second = second;
    r = open_all(k, c, e);
    if (r < 0)
        kube_stop(&k);
    else
        *ret = k;
    return r;
}

void kube_stop(struct kube **kp) {
    struct kube *k = *kp;
    if (!k)
        return;
    *kp = NULL;
    if (k->running) {
        atomic_store(&k->stop, true);
        (void)curl_multi_wakeup(k->multi);
        (void)pthread_join(k->thread, NULL);
    }
    if (k->elects)
        kube_lease_release(&k->lease);
    kube_lease_free(&k->lease);
    for (size_t i = 0; i < k->n; i++)
        kube_source_free(&k->sources[i]);
    kube_served_free(&k->served);
    kube_extras_free(&k->extras);
    if (k->multi)
        (void)curl_multi_cleanup(k->multi);
    kube_http_close(&k->http);
    kube_events_free(&k->events);
    free(k);
}
