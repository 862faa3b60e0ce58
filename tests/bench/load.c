/* load: see load.h. Prints one JSON object; exit status 0, 1 when anything was lost or doubled, 2 when it
 * could not run. */
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "store/store.h"

static const char usage[] =
    "usage: bench-load --keys DIR [--make-keys] [--endpoint tcp://HOST:PORT] [OPTION]...\n"
    "       bench-load --block [--rate R] [--block-calls C]\n"
    "       bench-load --pack --store URL\n"
    "\n"
    "Simulated agents over real CURVE connections to a running `pilotgate serve`.\n"
    "\n"
    "  --keys DIR      agents.keys, allow (the list for serve --allow), server.key and server.pub; made when "
    "missing\n"
    "  --make-keys     only make them\n"
    "  --block         only print one packed record of --block-calls calls at --rate, for other programs to "
    "carry\n"
    "  --endpoint E    the collector's address\n"
    "  --agents N      (100)\n"
    "  --rate R        calls/s of each agent; 0: coverage only (10)\n"
    "  --seconds S     (10)\n"
    "  --flood         packed full blocks as fast as the credit allows; --rate is then the blocks' own\n"
    "  --block-calls C calls of each block of --flood (4096)\n"
    "  --stages K      the agents are spread over so many (10)\n"
    "  --store URL     afterwards compare what is stored with what was made\n"
    "  --pack          only pack the store of --store, as the daemon does in quiet times\n"
    "  --watch PID     memory and CPU of that process, each second\n";

enum {
    OPT_KEYS = 1,
    OPT_MAKE,
    OPT_BLOCK,
    OPT_ENDPOINT,
    OPT_AGENTS,
    OPT_RATE,
    OPT_SECONDS,
    OPT_FLOOD,
    OPT_CALLS,
    OPT_STAGES,
    OPT_STORE,
    OPT_WATCH,
    OPT_PACK
};

static const struct option options[] = {
    {"keys", required_argument, NULL, OPT_KEYS},
    {"make-keys", no_argument, NULL, OPT_MAKE},
    {"block", no_argument, NULL, OPT_BLOCK},
    {"endpoint", required_argument, NULL, OPT_ENDPOINT},
    {"agents", required_argument, NULL, OPT_AGENTS},
    {"rate", required_argument, NULL, OPT_RATE},
    {"seconds", required_argument, NULL, OPT_SECONDS},
    {"flood", no_argument, NULL, OPT_FLOOD},
    {"block-calls", required_argument, NULL, OPT_CALLS},
    {"stages", required_argument, NULL, OPT_STAGES},
    {"store", required_argument, NULL, OPT_STORE},
    {"watch", required_argument, NULL, OPT_WATCH},
    {"pack", no_argument, NULL, OPT_PACK},
    {0},
};

/* A whole number from min to max; ends the program otherwise. */
static unsigned number(const char *name, unsigned min, unsigned max) {
    char *end = NULL;
    unsigned long v = strtoul(optarg, &end, 10);
    if (end == optarg || *end || v < min || v > max) {
        (void)fprintf(stderr, "bench-load: --%s takes %u to %u\n", name, min, max);
        exit(2);
    }
    return (unsigned)v;
}

static void take_option(struct load_options *o, int which) {
    switch (which) {
    case OPT_KEYS:
        o->keys = optarg;
        break;
    case OPT_MAKE:
        o->keys_only = true;
        break;
    case OPT_BLOCK:
        o->block_bytes = true;
        break;
    case OPT_ENDPOINT:
        o->endpoint = optarg;
        break;
    case OPT_AGENTS:
        o->agents = number("agents", 1, LOAD_AGENTS_MAX);
        break;
    case OPT_RATE:
        o->rate = number("rate", 0, 100000);
        break;
    case OPT_SECONDS:
        o->seconds = number("seconds", 1, 7000);
        break;
    case OPT_FLOOD:
        o->flood = true;
        break;
    case OPT_CALLS:
        o->block_calls = number("block-calls", 1, WIRE_BLOCK_CALLS_MAX);
        break;
    case OPT_STAGES:
        o->stages = number("stages", 1, 1000);
        break;
    case OPT_STORE:
        o->store = optarg;
        break;
    case OPT_WATCH:
        o->watch = number("watch", 1, 1u << 30);
        break;
    case OPT_PACK:
        o->pack = true;
        break;
    default:
        (void)fputs(usage, stderr);
        exit(2);
    }
}

static void take_options(struct load_options *o, int argc, char **argv) {
    int which;
    *o = (struct load_options){.cluster = "load",
                               .agents = 100,
                               .rate = 10,
                               .seconds = 10,
                               .stages = 10,
                               .block_calls = WIRE_BLOCK_CALLS_MAX};
    while ((which = getopt_long(argc, argv, "", options, NULL)) != -1)
        take_option(o, which);
    bool complete = o->block_bytes || (o->pack && o->store) || (o->keys && (o->keys_only || o->endpoint));
    if (!complete || optind < argc || ((o->flood || o->block_bytes) && o->rate == 0)) {
        (void)fputs(usage, stderr);
        exit(2);
    }
}

/* ------------------------------------------------------------------ the report */

static json_t *collector_over_time(const struct load *l) {
    json_t *list = json_array();
    for (size_t i = 0; i < l->n_watched; i++)
        (void)json_array_append_new(list, json_pack("{s:I, s:f}", "rss", (json_int_t)l->watched[i].rss_bytes,
                                                    "cpu", l->watched[i].cpu));
    return list;
}

static json_t *latency(const struct hist *h) {
    return json_pack("{s:I, s:f, s:f, s:f, s:f}", "records", (json_int_t)h->n, "p50",
                     (double)hist_quantile(h, 0.5) / 1e6, "p99", (double)hist_quantile(h, 0.99) / 1e6, "p999",
                     (double)hist_quantile(h, 0.999) / 1e6, "max", (double)h->max / 1e6);
}

static void report(const struct load *l, const char *failed) {
    double seconds = (double)(l->ended_ns - l->began_ns) / 1e9;
    json_t *all = json_pack(
        "{s:i, s:i, s:f, s:I, s:I, s:I, s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:o, s:o, s:s}",
        "agents", (int)l->o.agents, "rate", (int)l->o.rate, "seconds", seconds, "records",
        (json_int_t)l->records, "calls", (json_int_t)l->calls, "acked_records", (json_int_t)l->acked_records,
        "acked_calls", (json_int_t)l->acked_calls, "acked_calls_per_s",
        seconds > 0 ? (double)l->calls_in_time / seconds : 0, "sent_bytes", (json_int_t)l->sent_bytes,
        "sessions", (json_int_t)l->sessions, "again", (json_int_t)l->again, "refused", (json_int_t)l->refused,
        "stored_records", (json_int_t)l->stored_records, "stored_calls", (json_int_t)l->stored_calls,
        "missing", (json_int_t)l->missing, "refusal", l->refusal, "latency_ms", latency(&l->latency),
        "collector", collector_over_time(l), "failed", failed);
    if (all)
        (void)json_dumpf(all, stdout, JSON_COMPACT);
    (void)puts("");
    json_decref(all);
}

/* ------------------------------------------------------------------ life */

/* Two descriptors for each agent's socket; root may go beyond the hard limit. */
static int raise_limits(const struct load *l, struct err *e) {
    rlim_t wanted = 2 * (rlim_t)l->o.agents + 256;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return err_set(e, -errno, "cannot read the limit of file descriptors");
    if (limit.rlim_cur >= wanted)
        return 0;
    limit.rlim_cur = wanted;
    if (limit.rlim_max < wanted)
        limit.rlim_max = wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return err_set(e, -errno, "%u agents need %lu file descriptors: ulimit -Hn allows fewer", l->o.agents,
                       (unsigned long)wanted);
    return 0;
}

static int begin(struct load *l, struct err *e) {
    int r = raise_limits(l, e);
    l->agents = calloc(l->o.agents, sizeof *l->agents);
    l->zmq = zmq_ctx_new();
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!l->agents || !l->zmq || l->epoll < 0)
        return err_oom(e);
    if (zmq_ctx_set(l->zmq, ZMQ_MAX_SOCKETS, (int)l->o.agents + 16) < 0)
        return err_set(e, -errno, "libzmq takes no %u sockets", l->o.agents);
    for (unsigned i = 0; i < l->o.agents; i++) {
        struct load_agent *a = &l->agents[i];
        a->load = l;
        a->number = i;
        a->next_seq = a->sent = a->queue.first_seq = a->calls.next = 1;
        a->calls.rate = l->o.rate ? l->o.rate : 1;
        a->calls.random = i + 1;
        (void)snprintf(a->node, sizeof a->node, "node-%u", i);
    }
    return r;
}

static void end(struct load *l) {
    for (unsigned i = 0; l->agents && i < l->o.agents; i++)
        load_queue_free(&l->agents[i].queue);
    if (l->zmq)
        (void)zmq_ctx_term(l->zmq);
    free(l->agents);
}

static int print_block(const struct load *l, struct err *e) {
    struct calls_source s = {
        .random = 7, .rate = l->o.rate, .next = 1, .wall = when_wall_ns(), .mono = when_mono_ns()};
    struct buf record = BUF_INIT(WIRE_RECORD_MAX);
    int r = calls_block(&s, l->o.block_calls, &record, e);
    if (r == 0)
        r = calls_number(&record, 1);
    if (r == 0 && fwrite(record.data, 1, record.len, stdout) != record.len)
        r = err_set(e, -EIO, "cannot write the block");
    buf_free(&record);
    return r;
}

/* As if a day had gone by: everything is old enough. */
static int pack_store(const char *url, struct err *e) {
    struct store *s = NULL;
    size_t packed = 1;
    int r = store_open(url, STORE_SERVE, &s, e);
    while (r == 0 && packed > 0)
        r = store_pack(s, when_wall_ns() + 86400 * WHEN_S, &packed, e);
    store_close(&s);
    return r;
}

static int run(struct load *l, struct err *e) {
    if (l->o.block_bytes)
        return print_block(l, e);
    if (l->o.pack)
        return pack_store(l->o.store, e);
    int r = begin(l, e);
    if (r == 0)
        r = load_keys(l, e);
    if (r == 0 && !l->o.keys_only)
        r = load_run(l, e);
    if (r == 0 && l->acked_records != l->records)
        r = err_set(e, -EBADMSG, "%llu records were not acknowledged",
                    (unsigned long long)(l->records - l->acked_records));
    if (r == 0 && !l->o.keys_only && l->o.store)
        r = load_check(l, e);
    return r;
}

int main(int argc, char **argv) {
    static struct load l; /* zero, and too large for a stack */
    struct err e = {""};
    take_options(&l.o, argc, argv);
    int r = run(&l, &e);
    if (!l.o.keys_only && !l.o.block_bytes && !l.o.pack)
        report(&l, r < 0 ? e.text : "");
    end(&l);
    if (r == 0)
        return 0;
    (void)fprintf(stderr, "bench-load: %s\n", e.text);
    return r == -EBADMSG || r == -ETIMEDOUT || r == -ENOSPC ? 1 : 2;
}
