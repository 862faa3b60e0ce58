/* judge-store: writes the store of a pilot that has gone on for many days, through the store's own API, so
 * that the time of `pilotgate gates` can be measured at several lengths without waiting for them.
 *
 *   judge-store FILE DAYS AGENTS STAGES CHANGES
 *
 * Each agent makes a call every 10 s. Around each change, all in the last day, everything is there that an
 * agent tells: coverage of both of its threads each second, blocks of calls, clocks, readings. Elsewhere a
 * quarter of an hour is one record of each bulk family (90 calls a block), where a real agent tells more
 * often: what lies outside of the windows must not matter, however much it is. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"
#include "store/store.h"

#define T0 (1700000000 * WHEN_S)
#define QUARTER 900
#define BEFORE 150 /* seconds around a change in which everything is written */
#define AFTER 230
#define LISTED_OBJECTS 30
#define TRANSACTION 20000 /* records */

struct writing {
    struct store *store;
    int64_t stream;
    uint64_t seq, number, records, calls;
    unsigned open; /* records in this transaction */
    unsigned agents, changes;
    int64_t end; /* seconds since T0 */
    struct err e;
};

static void must(const struct writing *w, int r) {
    if (r < 0) {
        (void)fprintf(stderr, "judge-store: %s\n", w->e.text);
        exit(2);
    }
}

static void commit(struct writing *w, int64_t t) {
    must(w, store_commit(w->store, T0 + t * WHEN_S, NULL, &w->e));
    w->open = 0;
}

static void put(struct writing *w, Pilotgate__Record *r, int64_t t, int64_t from_ns) {
    static uint8_t bytes[WIRE_RECORD_MAX];
    enum store_put put;
    r->seq = ++w->seq;
    r->wall_ns = T0 + t * WHEN_S;
    r->mono_ns = (uint64_t)t * WHEN_S;
    struct store_record row = {.stream = w->stream,
                               .seq = w->seq,
                               .family = wire_family(r),
                               .t_from_ns = from_ns ? from_ns : r->wall_ns,
                               .t_to_ns = r->wall_ns,
                               .payload = bytes,
                               .len = pilotgate__record__pack(r, bytes)};
    if (w->open == 0)
        must(w, store_begin(w->store, &w->e));
    must(w, store_put_record(w->store, &row, &put, &w->e));
    w->records++;
    if (++w->open == TRANSACTION)
        commit(w, t);
}

static Pilotgate__Record record(Pilotgate__Record__BodyCase body) {
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    r.body_case = body;
    return r;
}

/* ---- the bulk families */

static void put_clock(struct writing *w, int64_t t) {
    Pilotgate__Record r = record(PILOTGATE__RECORD__BODY_TIMING);
    Pilotgate__Timing x = PILOTGATE__TIMING__INIT;
    x.kind = PILOTGATE__TIMING__KIND__KIND_CLOCK_OFFSET;
    x.value_ns = 3000000;
    x.error_ns = 200000;
    r.timing = &x;
    put(w, &r, t, 0);
}

static void put_calls(struct writing *w, int64_t t, unsigned n, unsigned every) {
    static struct block_calls calls; /* large */
    struct buf columns = BUF_INIT(BLOCK_BYTES_MAX);
    Pilotgate__Record r = record(PILOTGATE__RECORD__BODY_PACKED_CALLS);
    Pilotgate__PackedCalls b = PILOTGATE__PACKED_CALLS__INIT;
    Pilotgate__PackedCalls__Entry entry = PILOTGATE__PACKED_CALLS__ENTRY__INIT, *entries[] = {&entry};
    for (calls.n = 0; calls.n < n; calls.n++) {
        size_t i = calls.n;
        calls.number[i] = w->number + i + 1;
        calls.start_us[i] = ((int64_t)i - (int64_t)n) * every * 1000000;
        calls.duration_us[i] = 5000000 + calls.number[i] * 7919 % 10007;
        calls.outcome[i] = PILOTGATE__OUTCOME__OUTCOME_COMPLETED;
        calls.connection[i] = (uint32_t)calls.number[i];
        calls.flags[i] = i % 2 ? PILOTGATE__CALL_FLAG__CALL_FLAG_REUSED : 0;
    }
    w->number += n;
    w->calls += n;
    must(w, block_encode(&calls, 1, &columns, &w->e));
    entry.probe = entry.tool = "hold";
    entry.target = "canary";
    b.base_wall_ns = T0 + t * WHEN_S;
    b.base_mono_ns = (uint64_t)t * WHEN_S;
    b.calls = n;
    b.n_entries = 1;
    b.entries = entries;
    b.columns = (ProtobufCBinaryData){.len = columns.len, .data = (uint8_t *)columns.data};
    r.packed_calls = &b;
    put(w, &r, t, b.base_wall_ns - (int64_t)n * every * WHEN_S);
    buf_free(&columns);
}

static void put_probe_coverage(struct writing *w, int64_t t) {
    Pilotgate__Record r = record(PILOTGATE__RECORD__BODY_COVERAGE);
    Pilotgate__Coverage c = PILOTGATE__COVERAGE__INIT;
    Pilotgate__Coverage__Probe p = PILOTGATE__COVERAGE__PROBE__INIT, *probes[] = {&p};
    Pilotgate__Coverage__Source s = PILOTGATE__COVERAGE__SOURCE__INIT, *sources[] = {&s};
    c.base_mono_ns = (uint64_t)t * WHEN_S;
    p.name = "hold";
    p.scheduled = p.started = p.resolved = w->number;
    p.in_flight = 1;
    s.name = "catalogue/canary";
    s.last_wall_ns = T0 + t * WHEN_S;
    s.ok = true;
    c.n_probes = c.n_sources = 1;
    c.probes = probes;
    c.sources = sources;
    c.rss_bytes = 4000000;
    r.coverage = &c;
    put(w, &r, t, 0);
}

static void put_kube_coverage(struct writing *w, int64_t t) {
    static char *names[] = {"pods", "releases", "deployments", "configmaps", "secrets", "events"};
    enum { N = sizeof names / sizeof *names };
    Pilotgate__Record r = record(PILOTGATE__RECORD__BODY_COVERAGE);
    Pilotgate__Coverage c = PILOTGATE__COVERAGE__INIT;
    Pilotgate__Coverage__Source s[N], *sources[N];
    for (size_t i = 0; i < N; i++) {
        pilotgate__coverage__source__init(&s[i]);
        s[i].name = names[i];
        s[i].last_wall_ns = T0 + t * WHEN_S;
        s[i].ok = true;
        sources[i] = &s[i];
    }
    c.base_mono_ns = (uint64_t)t * WHEN_S;
    c.n_sources = N;
    c.sources = sources;
    c.expected_agents = w->agents;
    r.coverage = &c;
    put(w, &r, t, 0);
}

/* ---- objects */

static void put_object(struct writing *w, int64_t t, int op, char *kind, char *name, char *digest,
                       char *normal) {
    char version[64];
    Pilotgate__Record r = record(PILOTGATE__RECORD__BODY_OBJECT);
    Pilotgate__Object o = PILOTGATE__OBJECT__INIT;
    (void)snprintf(version, sizeof version, "%s-%s", name, digest);
    o.op = (Pilotgate__Object__Op)op;
    o.kind = kind;
    o.name = name;
    o.uid = name;
    bool product = strcmp(kind, "ToolCatalogue") == 0;
    if (!product)
        o.resource_version = version;
    o.digest = digest;
    o.normal = op == PILOTGATE__OBJECT__OP__OP_CONFIRMED ? "" : normal;
    o.release = product ? "" : "shop";
    o.t_wall_ns = T0 + t * WHEN_S;
    if (op == PILOTGATE__OBJECT__OP__OP_MODIFIED)
        o.previous_wall_ns = o.t_wall_ns - WHEN_S;
    o.created_wall_ns = T0;
    r.object = &o;
    put(w, &r, t, 0);
}

static void put_catalogue(struct writing *w, int64_t t, int op, unsigned state) {
    char digest[32], normal[128];
    (void)snprintf(digest, sizeof digest, "tools-%u", state);
    (void)snprintf(normal, sizeof normal, "{\"tools\":[\"echo\",\"hold\"%s]}", state % 2 ? ",\"sum\"" : "");
    put_object(w, t, op, "ToolCatalogue", "canary", digest, normal);
}

static void put_release(struct writing *w, int64_t t, int op, unsigned revision, const char *status) {
    char name[32], digest[32], normal[512];
    Pilotgate__Record r = record(PILOTGATE__RECORD__BODY_OBJECT);
    Pilotgate__Object o = PILOTGATE__OBJECT__INIT;
    (void)snprintf(name, sizeof name, "shop.v%u", revision);
    (void)snprintf(digest, sizeof digest, "%s-%u", status, revision);
    (void)snprintf(normal, sizeof normal,
                   "{\"name\":\"shop\",\"revision\":%u,\"status\":\"%s\",\"description\":\"Upgrade\","
                   "\"manifest_digest\":\"m%u\",\"config_digest\":\"m%u\",\"chart\":{\"name\":\"shop\"}}",
                   revision, status, revision, revision);
    o.op = (Pilotgate__Object__Op)op;
    o.kind = "HelmRelease";
    o.name = name;
    o.uid = name;
    o.resource_version = digest;
    o.digest = digest;
    o.normal = normal;
    o.t_wall_ns = T0 + t * WHEN_S;
    o.created_wall_ns = T0 + (t - (strcmp(status, "deployed") == 0)) * WHEN_S;
    r.object = &o;
    put(w, &r, t, 0);
}

/* What an agent tells when it comes: every object of the namespace. */
static void put_beginning(struct writing *w) {
    static char normal[1500];
    memset(normal, ' ', sizeof normal - 1);
    memcpy(normal, "{\"spec\":{\"replicas\":1}}", 23);
    put_clock(w, 1);
    for (int i = 0; i < LISTED_OBJECTS; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, i ? "thing-%d" : "gateway", i);
        put_object(w, 2, PILOTGATE__OBJECT__OP__OP_LISTED, i ? "ConfigMap" : "Deployment", name, "d1",
                   normal);
    }
    put_release(w, 2, PILOTGATE__OBJECT__OP__OP_LISTED, 1, "deployed");
    put_catalogue(w, 3, PILOTGATE__OBJECT__OP__OP_LISTED, 0);
    Pilotgate__Record r = record(PILOTGATE__RECORD__BODY_PHASE);
    Pilotgate__Phase p = PILOTGATE__PHASE__INIT;
    p.kind = PILOTGATE__PHASE__KIND__KIND_FIRST_CALL;
    p.subject = "Probe/hold";
    p.reason = "custom-server";
    p.t_wall_ns = T0 + 10 * WHEN_S;
    p.origin = PILOTGATE__ORIGIN__ORIGIN_PROBE;
    r.phase = &p;
    put(w, &r, 10, 0);
}

/* ---- a life */

static void put_second(struct writing *w, int64_t at, int64_t change, unsigned number) {
    static char normal[] = "{}";
    put_probe_coverage(w, at);
    put_kube_coverage(w, at);
    if (at % 10 == 0)
        put_calls(w, at, 1, 10);
    if (at % 30 == 0)
        put_clock(w, at);
    if (at == change) {
        put_release(w, at, PILOTGATE__OBJECT__OP__OP_ADDED, number + 2, "pending-upgrade");
        put_object(w, at, PILOTGATE__OBJECT__OP__OP_MODIFIED, "ConfigMap", "thing-1",
                   number % 2 ? "d1" : "d2", normal);
    }
    if (at == change + 1) {
        put_release(w, at, PILOTGATE__OBJECT__OP__OP_MODIFIED, number + 2, "deployed");
        put_catalogue(w, at, PILOTGATE__OBJECT__OP__OP_MODIFIED, number + 1);
    } else if (at % 5 == 0) {
        put_catalogue(w, at, PILOTGATE__OBJECT__OP__OP_CONFIRMED, number + (at > change));
    }
}

static int64_t change_at(const struct writing *w, unsigned i) {
    return w->end - 86400 + 3600 * (int64_t)(i + 1);
}

static void put_life(struct writing *w) {
    unsigned change = 0;
    put_beginning(w);
    for (int64_t t = QUARTER; t < w->end; t += QUARTER) {
        put_calls(w, t, 90, 10);
        put_clock(w, t);
        put_probe_coverage(w, t);
        put_kube_coverage(w, t);
        put_catalogue(w, t, PILOTGATE__OBJECT__OP__OP_CONFIRMED, change);
        int64_t at = change_at(w, change);
        if (change == w->changes || at >= t + QUARTER - AFTER)
            continue;
        for (int64_t s = at - BEFORE; s < at + AFTER; s++)
            put_second(w, s, at, change);
        change++;
    }
}

static void put_pilot(struct writing *w, unsigned stages) {
    json_t *list = json_array();
    for (unsigned i = 0; i < stages; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "c%u/shop", i);
        (void)json_array_append_new(list, json_pack("{s:s, s:i, s:s, s:s}", "stage", name, "agents",
                                                    (int)(w->agents), "gateway", "Deployment/gateway",
                                                    "release", "shop"));
    }
    json_t *pilot = json_pack("{s:s, s:o}", "name", "long", "stages", list);
    must(w, store_begin(w->store, &w->e));
    must(w, store_put_document(w->store, "pilot", "long", pilot, &w->e));
    commit(w, 0);
    json_decref(pilot);
}

static void put_agent(struct writing *w, unsigned number, unsigned stages) {
    char cluster[32], node[32];
    uint8_t boot[WIRE_BOOT_BYTES] = {(uint8_t)number, (uint8_t)(number >> 8), 1};
    struct store_stream_key key = {cluster, "shop", node, boot};
    uint64_t hwm;
    bool elsewhere;
    (void)snprintf(cluster, sizeof cluster, "c%u", number % stages);
    (void)snprintf(node, sizeof node, "node-%u", number);
    if (w->open)
        commit(w, w->end);
    must(w, store_begin(w->store, &w->e));
    must(w, store_stream(w->store, &key, &w->stream, &hwm, &elsewhere, &w->e));
    commit(w, 0);
    w->seq = w->number = 0;
    put_life(w);
}

/* As the daemon does, which by now would have. */
static void pack(struct writing *w) {
    size_t n = 1;
    while (n)
        must(w, store_pack(w->store, T0 + (w->end + 86400) * WHEN_S, &n, &w->e));
}

int main(int argc, char **argv) {
    struct writing w = {0};
    char url[4096];
    if (argc != 6) {
        (void)fprintf(stderr, "usage: judge-store FILE DAYS AGENTS STAGES CHANGES\n");
        return 2;
    }
    unsigned agents = (unsigned)atoi(argv[3]), stages = (unsigned)atoi(argv[4]);
    w.end = 86400 * (int64_t)atoi(argv[2]);
    w.changes = (unsigned)atoi(argv[5]);
    if (w.end == 0 || agents == 0 || stages == 0 || w.changes > 22)
        return (void)fprintf(stderr, "judge-store: numbers from 1 on, and at most 22 changes\n"), 2;
    w.agents = agents / stages;
    (void)snprintf(url, sizeof url, "sqlite:%s", argv[1]);
    must(&w, store_open(url, STORE_CREATE, &w.store, &w.e));
    store_close(&w.store);
    must(&w, store_open(url, STORE_SERVE, &w.store, &w.e));
    put_pilot(&w, stages);
    for (unsigned i = 0; i < agents; i++)
        put_agent(&w, i, stages);
    if (w.open)
        commit(&w, w.end);
    pack(&w);
    store_close(&w.store);
    (void)printf("%" PRIu64 " records, %" PRIu64 " calls\n", w.records, w.calls);
    return 0;
}
