/* test_ingest_hostile: peers with a key that break the rules or ask for too much. Each is refused with the
 * reason, counted, and neither slows a modest agent beyond a bound nor makes the collector grow. */
#include "ingest_fixture.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "base/when.h"

#define MODEST 40           /* records that the modest agent sends one after the other */
#define SLOW_MS 1000        /* none of them may take longer, however much the others send */
#ifdef __SANITIZE_ADDRESS__ /* keeps what is freed for a while, here less of it, and fences around what is \
                               not */
#define KEPT (100l << 20)
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "quarantine_size_mb=32";
}
#else
#define KEPT 0
#endif
#define WIDE 1024 /* blocks: four million calls in 60 KiB */
#define WIDE_FEW 8
#define WIDE_TIMES \
    32 /* the others wait for 64 blocks at most, eight times as many as WIDE_FEW; without a limit 128 */
#define GROWTH_MAX (KEPT + (96l << 20)) /* of this process, which holds the hostile peers' own queues too */
#define FLOODERS 4

static long rss_bytes(void) {
    long pages = 0, ignored = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &ignored, &pages), 2);
    (void)fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

/* The longest time from sending one record to its ack. */
static int64_t worst_ack_ms(struct peer *p, uint64_t *seq) {
    int64_t worst = 0;
    for (int k = 0; k < MODEST; k++) {
        int64_t sent = when_mono_ns();
        peer_batch(p, ++*seq, 1, 0, 0);
        peer_wait_ack(p, *seq);
        int64_t took = when_mono_ns() - sent;
        worst = took > worst ? took : worst;
    }
    return worst / WHEN_MS;
}

static void expect_refusal(struct peer *p, const char *words) {
    char why[256];
    peer_wait_refused(p, why, sizeof why);
    if (!strstr(why, words))
        fail_msg("refused with: %s", why);
}

/* ---- floods */

struct flood {
    struct site *site;
    uint8_t boot;
    atomic_bool stop;
    atomic_uint frames;
    pthread_t thread;
};

/* The same thousand records again and again, as fast as the socket takes them; nothing is ever read. */
static void *pour(void *ctx) {
    struct flood *f = ctx;
    struct peer p;
    char node[16];
    const int few = 2, soon = 100;
    (void)snprintf(node, sizeof node, "flood%d", f->boot);
    peer_open(&p, f->site, &f->site->agent, f->boot);
    (void)zmq_setsockopt(p.socket, ZMQ_SNDHWM, &few, sizeof few);
    (void)peer_join(&p, "shop", node, 1, 1);
    (void)zmq_setsockopt(p.socket, ZMQ_SNDTIMEO, &soon, sizeof soon);
    while (!f->stop) {
        peer_batch_or_leave(&p, 1, 64);
        f->frames++;
    }
    peer_close(&p);
    return NULL;
}

static void test_a_flood_does_not_stall_the_others(void **state) {
    struct site *s = *state;
    struct peer p;
    struct flood floods[FLOODERS];
    uint64_t seq = 0;
    peer_open(&p, s, &s->agent, 1);
    (void)peer_join(&p, "shop", "modest", 1, 1);
    int64_t quiet = worst_ack_ms(&p, &seq);
    for (int k = 0; k < FLOODERS; k++) {
        floods[k] = (struct flood){.site = s, .boot = (uint8_t)(10 + k)};
        assert_int_equal(pthread_create(&floods[k].thread, NULL, pour, &floods[k]), 0);
    }
    int64_t end = when_mono_ns() + WAIT_MS * WHEN_MS;
    for (int k = 0; k < FLOODERS; k++)
        while (floods[k].frames < 100 && when_mono_ns() < end)
            (void)poll(NULL, 0, 5);
    long before = rss_bytes();
    int64_t flooded = worst_ack_ms(&p, &seq);
    long grown = rss_bytes() - before;
    for (int k = 0; k < FLOODERS; k++) {
        floods[k].stop = true;
        assert_int_equal(pthread_join(floods[k].thread, NULL), 0);
        assert_true(floods[k].frames >= 100);
    }
    print_message("worst ack: %lld ms alone, %lld ms beside %d floods; memory grew by %ld KiB\n",
                  (long long)quiet, (long long)flooded, FLOODERS, grown >> 10);
    assert_in_range(flooded, 0, SLOW_MS);
    assert_in_range(grown < 0 ? 0 : grown, 0, GROWTH_MAX);
    peer_close(&p);
}

static void ask_the_time(struct peer *p, int times) {
    Pilotgate__ClockProbe probe = PILOTGATE__CLOCK_PROBE__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    f.session = p->session;
    f.kind_case = PILOTGATE__FRAME__KIND_CLOCK_PROBE;
    f.clock_probe = &probe;
    for (int k = 0; k < times; k++)
        peer_send(p, &f);
}

/* Answers to someone who does not read are dropped, not kept. */
static void test_who_does_not_read_costs_no_memory(void **state) {
    struct site *s = *state;
    struct peer p, deaf;
    uint64_t seq = 0;
    peer_open(&p, s, &s->agent, 1);
    peer_open(&deaf, s, &s->agent, 2);
    (void)peer_join(&p, "shop", "modest", 1, 1);
    (void)peer_join(&deaf, "shop", "deaf", 1, 1);
    long before = rss_bytes();
    ask_the_time(&deaf, 200000);
    int64_t worst = worst_ack_ms(&p, &seq);
    long grown = rss_bytes() - before;
    print_message("200000 answers that nobody read: memory grew by %ld KiB, worst ack %lld ms\n", grown >> 10,
                  (long long)worst);
    assert_in_range(grown < 0 ? 0 : grown, 0, KEPT + (16l << 20));
    assert_in_range(worst, 0, SLOW_MS);
    peer_close(&p);
    peer_close(&deaf);
}

static void test_hellos_have_a_quota(void **state) {
    struct site *s = *state;
    struct peer p, q;
    char line[256];
    uint64_t seq = 0;
    (void)snprintf(line, sizeof line, "%s c1 *\n%s c1 *\n", s->agent.public_z85, s->stranger.public_z85);
    site_write_allow(s, line);
    peer_open(&p, s, &s->agent, 1);
    (void)peer_join(&p, "shop", "n1", 1, 1);
    for (int k = 0; k < 3 * INGEST_SESSIONS_PER_KEY; k++)
        peer_hello(&p, "c1", "shop", "n1", 1, 1);
    site_wait_refusal(s, s->agent.public_z85, "too many Hellos");
    peer_open(&q, s, &s->stranger, 2); /* another key is another quota */
    (void)peer_join(&q, "shop", "n2", 1, 1);
    assert_in_range(worst_ack_ms(&q, &seq), 0, SLOW_MS);
    peer_close(&p);
    peer_close(&q);
}

static void hello_of_streams(struct peer *p, unsigned first) {
    Pilotgate__StreamState st[WIRE_STREAMS_MAX], *list[WIRE_STREAMS_MAX];
    uint8_t boots[WIRE_STREAMS_MAX][WIRE_BOOT_BYTES] = {{0}};
    Pilotgate__Hello h = PILOTGATE__HELLO__INIT;
    for (unsigned k = 0; k < WIRE_STREAMS_MAX; k++) {
        unsigned name = first + k + 1;
        pilotgate__stream_state__init(&st[k]);
        memcpy(boots[k], &name, sizeof name);
        st[k].boot = (ProtobufCBinaryData){WIRE_BOOT_BYTES, boots[k]};
        st[k].first_seq = st[k].next_seq = 1;
        list[k] = &st[k];
    }
    h.protocol = WIRE_PROTOCOL;
    h.version = h.cluster = h.node = (char *)"c1";
    h.namespace_name = (char *)"shop";
    h.n_streams = WIRE_STREAMS_MAX;
    h.streams = list;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    f.kind_case = PILOTGATE__FRAME__KIND_HELLO;
    f.hello = &h;
    peer_send(p, &f);
}

static const char *answer(struct peer *p, char *why, size_t max) {
    Pilotgate__Frame *f = peer_wait(p, PILOTGATE__FRAME__KIND_WELCOME, WAIT_MS);
    assert_non_null(f);
    (void)snprintf(why, max, "%s", f->welcome->refused);
    wire_free(&f);
    return why;
}

static void test_new_streams_have_a_quota(void **state) {
    struct site *s = *state;
    struct peer p;
    char why[256] = "";
    unsigned first = 0;
    peer_open(&p, s, &s->agent, 1);
    while (!*why && first < 2 * INGEST_STREAMS_PER_KEY_HOUR) {
        hello_of_streams(&p, first);
        (void)answer(&p, why, sizeof why);
        first += WIRE_STREAMS_MAX;
    }
    assert_non_null(strstr(why, "too many new streams"));
    assert_in_range(first, INGEST_STREAMS_PER_KEY_HOUR, INGEST_STREAMS_PER_KEY_HOUR + 4 * WIRE_STREAMS_MAX);
    hello_of_streams(&p, 0); /* those that there are go on */
    assert_string_equal(answer(&p, why, sizeof why), "");
    hello_of_streams(&p, first - WIRE_STREAMS_MAX); /* and what was refused was not made by that */
    assert_non_null(strstr(answer(&p, why, sizeof why), "too many new streams"));
    peer_close(&p);
}

/* ---- blocks that are small to send and large to count */

static uint8_t *put_number(uint8_t *p, uint64_t x) {
    for (; x > 0x7f; x >>= 7)
        *p++ = (uint8_t)(x | 0x80);
    *p++ = (uint8_t)x;
    return p;
}

/* n blocks of WIRE_BLOCK_CALLS_MAX calls, each a minute after the one before: 60 bytes each. */
static void wide_batch(struct peer *p, uint64_t first, size_t n) {
    static uint8_t packed[WIRE_BATCH_RECORDS_MAX][256];
    ProtobufCBinaryData records[WIRE_BATCH_RECORDS_MAX];
    uint8_t columns[64], *c = columns;
    *c++ = 0x02; /* number: stride of 1 from 1 */
    c = put_number(put_number(put_number(c, 2), 2), 0);
    *c++ = 0x00; /* entry 0 */
    c = put_number(c, 0);
    *c++ = 0x02; /* start: stride of a minute */
    c = put_number(put_number(put_number(c, 0), 2 * 60000000ull), 0);
    for (int k = 0; k < 4; k++) { /* duration, outcome, connection, flags */
        *c++ = 0x00;
        c = put_number(c, 1);
    }
    for (size_t k = 0; k < n; k++) {
        Pilotgate__PackedCalls__Entry entry = PILOTGATE__PACKED_CALLS__ENTRY__INIT, *entries[] = {&entry};
        Pilotgate__PackedCalls calls = PILOTGATE__PACKED_CALLS__INIT;
        Pilotgate__Record r = PILOTGATE__RECORD__INIT;
        entry.probe = entry.tool = entry.target = entry.path = (char *)"x";
        calls.calls = WIRE_BLOCK_CALLS_MAX;
        calls.base_wall_ns = WHEN_S + (int64_t)(first + k) * WIRE_BLOCK_CALLS_MAX * 60 * WHEN_S;
        calls.n_entries = 1;
        calls.entries = entries;
        calls.columns = (ProtobufCBinaryData){(size_t)(c - columns), columns};
        r.seq = first + k;
        r.wall_ns = WHEN_S;
        r.body_case = PILOTGATE__RECORD__BODY_PACKED_CALLS;
        r.packed_calls = &calls;
        records[k] = (ProtobufCBinaryData){pilotgate__record__pack(&r, packed[k]), packed[k]};
    }
    Pilotgate__Batch b = PILOTGATE__BATCH__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    b.boot = (ProtobufCBinaryData){WIRE_BOOT_BYTES, p->boot};
    b.first_seq = first;
    b.n_records = n;
    b.records = records;
    f.session = p->session;
    f.kind_case = PILOTGATE__FRAME__KIND_BATCH;
    f.batch = &b;
    peer_send(p, &f);
}

static void test_calls_of_many_minutes_stall_nobody(void **state) {
    struct site *s = *state;
    struct peer p, q;
    uint64_t seq = 0;
    peer_open(&p, s, &s->agent, 1);
    peer_open(&q, s, &s->agent, 2);
    (void)peer_join(&p, "shop", "n1", 1, 1);
    (void)peer_join(&q, "shop", "n2", 1, 1);
    wide_batch(&p, 1, WIDE);
    int64_t worst = worst_ack_ms(&q, &seq);
    print_message("worst ack beside blocks of many minutes: %lld ms\n", (long long)worst);
    expect_refusal(&p, "too many calls");
    uint64_t taken = peer_join(&p, "shop", "n1", 1, WIDE + 1); /* and it goes on where that ended */
    assert_in_range(taken, 64, WIDE - 1);
    int64_t begun = when_mono_ns();
    wide_batch(&p, taken + 1, WIDE_FEW);
    peer_wait_ack(&p, taken + WIDE_FEW);
    int64_t few = (when_mono_ns() - begun) / WHEN_MS;
    print_message("a few of them: %lld ms\n", (long long)few);
    assert_in_range(worst, 0, WIDE_TIMES * few + 2000);
    peer_close(&p);
    peer_close(&q);
}

/* ---- frames that break a rule */

static void test_frames_that_are_too_long(void **state) {
    struct site *s = *state;
    struct peer p, q;
    uint64_t seq = 0;
    uint8_t *bytes = calloc(1, 4 * WIRE_FRAME_MAX);
    assert_non_null(bytes);
    peer_open(&p, s, &s->agent, 1);
    peer_open(&q, s, &s->agent, 2);
    (void)peer_join(&p, "shop", "n1", 1, 1);
    (void)peer_join(&q, "shop", "n2", 1, 1);
    peer_send_bytes(&p, bytes, WIRE_FRAME_MAX + 1); /* a little: refused with the reason */
    expect_refusal(&p, "over the limit");
    site_wait_refusal(s, s->agent.public_z85, "over the limit");
    (void)peer_join(&p, "shop", "n1", 1, 1);
    peer_send_bytes(&p, bytes, 4 * WIRE_FRAME_MAX); /* far: libzmq ends the connection, and makes a new one */
    Pilotgate__Frame *f = NULL;
    for (int k = 0; k < 40 && !f; k++) { /* the first ones may still go into the old connection */
        peer_batch(&p, 1, 1, 0, 0);
        f = peer_wait(&p, PILOTGATE__FRAME__KIND_WELCOME, 250);
    }
    assert_non_null(f);
    assert_non_null(strstr(f->welcome->refused, "no session"));
    wire_free(&f);
    assert_in_range(worst_ack_ms(&q, &seq), 0, SLOW_MS);
    free(bytes);
    peer_close(&p);
    peer_close(&q);
}

static void test_frames_that_are_out_of_place(void **state) {
    struct site *s = *state;
    struct peer p;
    Pilotgate__Ack ack = PILOTGATE__ACK__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    const uint8_t newer[] = {0xfa, 0x01, 0x00}; /* field 31 of Frame: a kind that does not exist yet */
    peer_open(&p, s, &s->agent, 1);
    (void)peer_join(&p, "shop", "n1", 1, 1);
    f.session = p.session;
    f.kind_case = PILOTGATE__FRAME__KIND_ACK;
    f.ack = &ack;
    peer_send(&p, &f);
    expect_refusal(&p, "that agents do not send");
    (void)peer_join(&p, "shop", "n1", 1, 1);
    peer_send_bytes(&p, newer, sizeof newer);
    expect_refusal(&p, "unknown kind");
    (void)peer_join(&p, "shop", "n1", 1, 1);
    assert_int_equal(zmq_send(p.socket, "a", 1, ZMQ_SNDMORE), 1);
    assert_int_equal(zmq_send(p.socket, "b", 1, 0), 1);
    site_wait_refusal(s, s->agent.public_z85, "several parts");
    site_wait_refusal(s, s->agent.public_z85, "unknown kind");
    site_wait_refusal(s, s->agent.public_z85, "that agents do not send");
    peer_close(&p);
}

/* libzmq 4.3.4 aborts the process when its heartbeat is due on a connection that broke while its input stood
 * still (stream_engine_base.cpp: out_event asserts !_io_error). A store that somebody holds makes the input
 * stand still, an agent that is killed breaks the connection. */
static void test_who_leaves_while_the_collector_stands_still(void **state) {
    struct site *s = *state;
    struct peer p, q;
    uint64_t seq = 0;
    struct store *cli = NULL;
    assert_int_equal(store_open(s->url, STORE_READ, &cli, NULL), 0);
    peer_open(&q, s, &s->agent, 2);
    (void)peer_join(&q, "shop", "n2", 1, 1);
    peer_open(&p, s, &s->agent, 1);
    (void)peer_join(&p, "shop", "n1", 1, 1);
    ask_the_time(&p, 2000); /* answers that it leaves unread make of its end a reset */
    (void)poll(NULL, 0, 1000);
    assert_int_equal(store_begin(cli, NULL), 0);
    for (int k = 0; k < 120; k++)
        peer_batch(&p, 1, 64, 0, 0);
    (void)poll(NULL, 0, 300); /* libzmq's thread sends them: nothing tells when it did */
    peer_close(&p);
    (void)poll(NULL, 0, 5500); /* longer than a heartbeat's interval */
    store_rollback(cli);
    store_close(&cli);
    (void)peer_join(&q, "shop", "n2", 1, 1);
    assert_in_range(worst_ack_ms(&q, &seq), 0, SLOW_MS);
    peer_close(&q);
}

/* Whoever has no key costs a handshake, and nothing else. */
static void test_a_storm_of_strangers(void **state) {
    struct site *s = *state;
    struct peer p;
    uint64_t seq = 0;
    void *sockets[200];
    peer_open(&p, s, &s->agent, 1);
    (void)peer_join(&p, "shop", "n1", 1, 1);
    void *zmq = zmq_ctx_new();
    for (size_t k = 0; k < 200; k++) {
        struct err e = {""};
        sockets[k] = zmq_socket(zmq, ZMQ_DEALER);
        assert_non_null(sockets[k]);
        assert_int_equal(curve_setup_agent(sockets[k], &s->stranger, s->server.public_z85, NULL, &e), 0);
        assert_int_equal(zmq_connect(sockets[k], ingest_endpoint(s->ingest)), 0);
    }
    int64_t worst = worst_ack_ms(&p, &seq);
    site_wait_refusal(s, s->stranger.public_z85, "not in the allow-list");
    print_message("worst ack beside 200 strangers: %lld ms\n", (long long)worst);
    assert_in_range(worst, 0, SLOW_MS);
    for (size_t k = 0; k < 200; k++)
        zmq_close(sockets[k]);
    zmq_ctx_term(zmq);
    peer_close(&p);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_a_flood_does_not_stall_the_others),
        CASE(test_who_does_not_read_costs_no_memory),
        CASE(test_hellos_have_a_quota),
        CASE(test_new_streams_have_a_quota),
        CASE(test_calls_of_many_minutes_stall_nobody),
        CASE(test_frames_that_are_too_long),
        CASE(test_frames_that_are_out_of_place),
        CASE(test_who_leaves_while_the_collector_stands_still),
        CASE(test_a_storm_of_strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
