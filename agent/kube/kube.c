/* kube: one thread that drives the transfers of all sources over one libcurl multi handle and says each
 * second what they cover. See kube.h. */
#include "kube/kube.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/when.h"
#include "kube/kube_priv.h"

#define SOURCES_MAX (48 + CONFIG_SERVICES_MAX)

struct kube {
    struct kube_http http;
    struct kube_scope scope;
    struct kube_fleet fleet;
    struct kube_served served;
    struct kube_apps apps;
    bool stage_scoped;
    CURLM *multi;
    struct kube_source sources[SOURCES_MAX];
    size_t n;
    struct kube_service services[CONFIG_SERVICES_MAX];
    pthread_t thread;
    bool running; /* the thread was started */
    atomic_bool stop;
    int64_t next_coverage; /* monotonic */
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
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    int64_t now = when_wall_ns();
    for (size_t i = 0; i < k->n; i++) {
        if (k->sources[i].absent)
            continue;
        pilotgate__coverage__source__init(&sources[i]);
        kube_source_cover(&k->sources[i], now, &sources[i]);
        list[c.n_sources++] = &sources[i];
    }
    c.base_mono_ns = (uint64_t)when_mono_ns();
    c.sources = list;
    c.stage_scoped = k->stage_scoped;
    c.rss_bytes = resident_bytes();
    c.expected_agents = kube_fleet_expected(&k->fleet);
    r.body_case = PILOTGATE__RECORD__BODY_COVERAGE;
    r.coverage = &c;
    emit_record(k->scope.emit, &r);
}

/* Emits coverage when a second is over; returns the ns to the next. A late one does not make up. */
static int64_t cover_when_due(struct kube *k, int64_t now) {
    if (now < k->next_coverage)
        return k->next_coverage - now;
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
        if (m->msg == CURLMSG_DONE && m->easy_handle == k->served.easy)
            kube_served_done(&k->served, code, when_mono_ns());
        else if (m->msg == CURLMSG_DONE &&
                 curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&s) == CURLE_OK)
            kube_source_done(s, code);
    }
}

/* Takes what arrived, starts what is due; returns the ns until something is due again. */
static int64_t turn(struct kube *k) {
    int running;
    (void)curl_multi_perform(k->multi, &running);
    finish_transfers(k);
    int64_t now = when_mono_ns();
    int64_t wait = cover_when_due(k, now);
    for (size_t i = 0; i < k->n; i++) {
        int64_t due = kube_source_run(&k->sources[i], now);
        wait = due < wait ? due : wait;
    }
    int64_t due = kube_served_run(&k->served, now);
    return due < wait ? due : wait;
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

static void add_sources(struct kube *k, const struct config *c) {
    for (const struct kube_kind *kind = kube_kinds; kind->source && k->n < SOURCES_MAX; kind++) {
        if ((!kind->node_scoped && !k->stage_scoped) || kind->older || (kind->gitops && !c->kube.gitops))
            continue;
        struct kube_source *s = &k->sources[k->n++];
        kube_source_init(s, kind, &k->scope, &k->http, k->multi, c->stage.node);
        if (kind->needs_secrets && !c->kube.secrets)
            kube_source_disable(s, strcmp(kind->object, "HelmRelease") == 0
                                       ? "kube.secrets is false: Helm releases are not read"
                                       : "kube.secrets is false: Secrets are not read");
    }
}

static void add_services(struct kube *k, const struct config *c) {
    size_t n = k->scope.replicas ? kube_services_find(c, k->services) : 0;
    for (size_t i = 0; i < n && k->n < SOURCES_MAX; i++)
        kube_source_init(&k->sources[k->n++], &k->services[i].kind, &k->scope, &k->http, k->multi,
                         c->stage.node);
}

static int check_config(const struct config *c, struct err *e) {
    if (c->kube.lease && *c->kube.lease)
        return err_set(
            e, -ENOTSUP,
            "kube.lease \"%s\": this version elects nobody; leave kube.lease empty, and every agent "
            "with kube.stage_scoped does the stage's work",
            c->kube.lease);
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
    (void)curl_multi_setopt(k->multi, CURLMOPT_MAXCONNECTS, (long)SOURCES_MAX);
    kube_served_init(&k->served, &k->http, k->multi);
    add_sources(k, c);
    add_services(k, c);
    r = pthread_create(&k->thread, NULL, work, k);
    if (r != 0)
        return err_set(e, -r, "cannot start the kube thread: %s", strerror(r));
    k->running = true;
    return 0;
}

int kube_start(const struct config *c, const struct norm_key *key, const struct emit *emit,
               const struct replicas_to *replicas, struct kube **ret, struct err *e) {
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
                                   .apps = &k->apps};
    kube_fleet_init(&k->fleet, getenv("POD_NAME"));
    k->stage_scoped = c->kube.stage_scoped;
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
    for (size_t i = 0; i < k->n; i++)
        kube_source_free(&k->sources[i]);
    kube_served_free(&k->served);
    if (k->multi)
        (void)curl_multi_cleanup(k->multi);
    kube_http_close(&k->http);
    free(k);
}
