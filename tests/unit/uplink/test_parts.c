/* The journal's parts one by one: pipe, spool shares and losses, window, clocks. */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "spool/spool_priv.h"
#include "uplink/uplink_priv.h"

static const uint8_t boot[WIRE_BOOT_BYTES] = {7};

static int remove_one(const char *path, const struct stat *sb, int type, struct FTW *w) {
    (void)sb, (void)type, (void)w;
    return remove(path);
}

/* ---- records */

static void make_phase(Pilotgate__Record *r, Pilotgate__Phase *p, char *subject) {
    pilotgate__record__init(r);
    pilotgate__phase__init(p);
    p->kind = PILOTGATE__PHASE__KIND__KIND_POD_READY;
    p->subject = subject;
    r->body_case = PILOTGATE__RECORD__BODY_PHASE;
    r->phase = p;
}

static void make_calls(Pilotgate__Record *r, Pilotgate__CallBlock *b) {
    pilotgate__record__init(r);
    pilotgate__call_block__init(b);
    r->body_case = PILOTGATE__RECORD__BODY_CALLS;
    r->calls = b;
}

static void make_coverage(Pilotgate__Record *r, Pilotgate__Coverage *c) {
    pilotgate__record__init(r);
    pilotgate__coverage__init(c);
    r->body_case = PILOTGATE__RECORD__BODY_COVERAGE;
    r->coverage = c;
}

/* ---- intake */

static void test_intake_is_bounded(void **state) {
    (void)state;
    void *zmq = zmq_ctx_new();
    struct intake in = {0};
    struct err e;
    assert_int_equal(intake_open(&in, zmq, &e), 0);
    Pilotgate__Record r;
    Pilotgate__CallBlock b;
    make_calls(&r, &b);
    int64_t before = when_mono_ns();
    for (int i = 0; i < INTAKE_MESSAGES + 50; i++) {
        r.wall_ns = 1000 + i;
        intake_emit(&in, &r);
    }
    assert_true(when_mono_ns() - before < INTAKE_PATIENCE); /* passes never wait */
    assert_int_equal(in.messages, INTAKE_MESSAGES);
    Pilotgate__Phase p;
    make_phase(&r, &p, (char *)"Pod/x");
    before = when_mono_ns();
    intake_emit(&in, &r); /* anything else waits for room first */
    assert_true(when_mono_ns() - before >= INTAKE_PATIENCE / 2);
    zmq_msg_t m;
    struct item *item;
    size_t n = 0;
    size_t bytes = 0;
    for (; intake_take(&in, &m, &item) > 0; n++) {
        assert_int_equal(item->family, WIRE_FAMILY_CALLS);
        bytes += item->len;
        (void)zmq_msg_close(&m);
    }
    assert_int_equal(n, INTAKE_MESSAGES);
    struct losses lost = {0};
    intake_release(&in, n, bytes, &lost);
    assert_int_equal(in.queued, 0);
    const struct tally *t = &lost.causes[PILOTGATE__LOSS__CAUSE__CAUSE_QUEUE_FULL];
    assert_int_equal(t->records[WIRE_FAMILY_CALLS], 50);
    assert_int_equal(t->records[WIRE_FAMILY_PHASE], 1);
    assert_int_equal(t->from_wall_ns, 1000 + INTAKE_MESSAGES);
    assert_int_equal(t->to_wall_ns, r.wall_ns);
    assert_false(in.lost.any);
    intake_emit(&in, &r); /* there is room again */
    assert_int_equal(intake_take(&in, &m, &item), 1);
    (void)zmq_msg_close(&m);
    intake_close(&in);
    (void)zmq_ctx_term(zmq);
}

static void test_intake_refuses_what_the_wire_cannot_carry(void **state) {
    (void)state;
    void *zmq = zmq_ctx_new();
    struct intake in = {0};
    struct err e;
    assert_int_equal(intake_open(&in, zmq, &e), 0);
    char *big = malloc(WIRE_RECORD_MAX);
    memset(big, 'x', WIRE_RECORD_MAX - 1);
    big[WIRE_RECORD_MAX - 1] = 0;
    Pilotgate__Record r;
    Pilotgate__Phase p;
    make_phase(&r, &p, big);
    intake_emit(&in, &r);
    assert_int_equal(in.messages, 0);
    assert_int_equal(in.lost.causes[PILOTGATE__LOSS__CAUSE__CAUSE_TOO_LARGE].records[WIRE_FAMILY_PHASE], 1);
    free(big);
    intake_close(&in);
    (void)zmq_ctx_term(zmq);
}

/* ---- keeper */

struct shelf {
    char dir[64];
    struct spool *spool;
    struct keeper k;
};

static int shelf_open(void **state) {
    struct shelf *s = calloc(1, sizeof *s);
    struct err e;
    uint64_t torn;
    (void)snprintf(s->dir, sizeof s->dir, "/tmp/pilotgate-keeper-XXXXXX");
    if (!mkdtemp(s->dir) || spool_open(s->dir, SPOOL_QUOTA_MIN, boot, &s->spool, &torn, &e) < 0)
        return -1;
    s->k = (struct keeper){.spool = s->spool};
    *state = s;
    return 0;
}

static int shelf_close(void **state) {
    struct shelf *s = *state;
    spool_close(&s->spool);
    (void)nftw(s->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(s);
    return 0;
}

/* What came back, by family. */
struct back {
    uint64_t n[WIRE_FAMILIES], next, lost;
    Pilotgate__Loss__Cause cause;
    char families[128];
};

static int take_back(void *ctx, uint64_t seq, const uint8_t *data, size_t len) {
    struct back *b = ctx;
    Pilotgate__Record *r = NULL;
    struct err e = {0};
    if (wire_record_unpack(data, len, &r, &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(seq, b->next);
    assert_int_equal(r->seq, seq); /* also where it was appended to packed bytes */
    b->next++;
    b->n[wire_family(r)]++;
    if (r->body_case == PILOTGATE__RECORD__BODY_LOSS) {
        b->lost += r->loss->records;
        b->cause = r->loss->cause;
        (void)snprintf(b->families, sizeof b->families, "%s", r->loss->families);
    }
    wire_record_free(&r);
    return 0;
}

static struct back read_back(struct shelf *s) {
    struct back b = {.next = 1};
    while (b.next < spool_next_seq(s->spool))
        assert_true(spool_read(s->spool, boot, b.next, 100, 1 << 20, take_back, &b) > 0);
    return b;
}

/* The way of a record that came through the pipe. */
static void put_item(struct keeper *k, const Pilotgate__Record *r) {
    size_t len = pilotgate__record__get_packed_size(r);
    struct item *item = malloc(sizeof *item + len + INTAKE_SEQ_ROOM);
    *item = (struct item){.wall_ns = r->wall_ns, .family = wire_family(r), .len = (uint32_t)len};
    (void)pilotgate__record__pack(r, (uint8_t *)(item + 1));
    keeper_item(k, item);
    free(item);
}

static void test_passes_give_way_first(void **state) {
    struct shelf *s = *state;
    Pilotgate__Record calls;
    Pilotgate__Record coverage;
    Pilotgate__Record phase;
    Pilotgate__CallBlock b;
    Pilotgate__Coverage c;
    Pilotgate__Phase p;
    make_calls(&calls, &b);
    make_coverage(&coverage, &c);
    make_phase(&phase, &p, (char *)"Pod/x");
    calls.wall_ns = 500;
    coverage.wall_ns = 600;
    while (!s->k.lost.any)
        put_item(&s->k, &calls);
    assert_int_equal(s->k.trouble, -ENOSPC);
    put_item(&s->k, &coverage); /* passes are refused while coverage is still taken, after what was lost */
    assert_false(s->k.lost.any);
    assert_int_equal(s->k.lost.causes[PILOTGATE__LOSS__CAUSE__CAUSE_SPOOL_FULL].records[WIRE_FAMILY_COVERAGE],
                     0);
    while (s->k.lost.causes[PILOTGATE__LOSS__CAUSE__CAUSE_SPOOL_FULL].records[WIRE_FAMILY_COVERAGE] < 2)
        put_item(&s->k, &coverage);
    for (int i = 0; i < 3; i++)
        put_item(&s->k, &phase); /* and phases while coverage is not */
    put_item(&s->k, &calls);
    keeper_declare(&s->k, when_mono_ns() + 2 * WHEN_S, false);
    assert_false(s->k.lost.any);
    struct back back = read_back(s);
    assert_int_equal(back.n[WIRE_FAMILY_PHASE], 3);
    assert_int_equal(back.n[WIRE_FAMILY_LOSS], 2);
    assert_int_equal(back.lost, 4);
    assert_int_equal(back.cause, PILOTGATE__LOSS__CAUSE__CAUSE_SPOOL_FULL);
    assert_string_equal(back.families, "calls 1, coverage 2");
}

static ssize_t no_write(int fd, const struct iovec *iov, int n, off_t offset) {
    (void)fd, (void)iov, (void)n, (void)offset;
    errno = EIO;
    return -1;
}

static void test_failed_writes_are_declared(void **state) {
    struct shelf *s = *state;
    Pilotgate__Record r;
    Pilotgate__Record coverage;
    Pilotgate__Phase p;
    Pilotgate__Coverage c;
    make_phase(&r, &p, (char *)"Pod/x");
    make_coverage(&coverage, &c);
    put_item(&s->k, &r);
    struct spool_io io = s->spool->io;
    struct spool_io broken = io;
    broken.pwritev = no_write;
    spool_set_io(s->spool, &broken);
    for (int i = 0; i < 4; i++)
        put_item(&s->k, &r);
    put_item(&s->k, &coverage);
    keeper_declare(&s->k, WHEN_S, true);
    assert_true(s->k.lost.any); /* not even that could be written */
    assert_int_equal(s->k.trouble, -EIO);
    spool_set_io(s->spool, &io);
    put_item(&s->k, &r);
    keeper_declare(&s->k, WHEN_S, true);
    assert_false(s->k.lost.any);
    struct back back = read_back(s);
    assert_int_equal(back.n[WIRE_FAMILY_COVERAGE], 0); /* it would have hidden what could not be told */
    assert_int_equal(back.n[WIRE_FAMILY_PHASE], 2);
    assert_int_equal(back.lost, 5);
    assert_int_equal(back.cause, PILOTGATE__LOSS__CAUSE__CAUSE_SPOOL_FAILED);
}

/* ---- announce */

static Pilotgate__Welcome welcome(uint32_t records, uint32_t bytes) {
    Pilotgate__Welcome w = PILOTGATE__WELCOME__INIT;
    w.credit_records = records;
    w.credit_bytes = bytes;
    return w;
}

/* Kept records that go between a Hello and the Welcome of another store are missing because of that store. */
static void test_kept_go_before_a_welcome(void **state) {
    struct shelf *s = *state;
    struct uplink u = {.spool = s->spool, .keeper = &s->k};
    struct session_streams said;
    Pilotgate__Welcome wel = welcome(1500, 4 << 20);
    char data[1000] = "";
    uint64_t seq = 0;
    assert_int_equal(spool_set_store(s->spool, "one", 1), 1);
    while (seq < 50)
        assert_int_equal(spool_append(s->spool, data, sizeof data, &seq), 0);
    assert_int_equal(spool_trim(s->spool, boot, 50), 0);
    uplink_announce(&u, &said);
    assert_int_equal(said.items[0].first_seq, 1);
    assert_int_equal(spool_expire(s->spool, INT64_MAX), 0);
    assert_int_equal(spool_kept_bytes(s->spool), 0);
    wel.store_id = (char *)(uintptr_t) "two";
    wel.restore_epoch = 1;
    assert_int_equal(uplink_settle(&u, &wel), UPLINK_RENEW);
    uplink_announce(&u, &said);
    assert_true(said.items[0].first_seq > 1);
    assert_string_equal(said.store_id, "one");
    assert_int_equal(uplink_settle(&u, &wel), UPLINK_WELCOME);
    uplink_announce(&u, &said);
    assert_string_equal(said.store_id, "two");
}

/* ---- window */

static void test_window_credit(void **state) {
    (void)state;
    struct window w;
    struct err e;
    struct spool_stream s = {.first_seq = 1, .next_seq = 5000};
    memcpy(s.boot, boot, sizeof boot);
    Pilotgate__Welcome wel = welcome(1500, 4 << 20);
    assert_int_equal(window_begin(&w, &s, 1, false, &wel, &e), 0);
    size_t records;
    size_t bytes;
    assert_true(window_room(&w, &records, &bytes));
    assert_int_equal(records, WIRE_BATCH_RECORDS_MAX);
    window_sent(&w, 0, 1024, 1000);
    assert_true(window_room(&w, &records, &bytes));
    assert_int_equal(records, 1500 - 1024);
    window_sent(&w, 0, 476, 1000);
    assert_false(window_room(&w, &records, &bytes));
    assert_int_equal(window_ack(&w, boot, 1000, 5000), 1); /* inside a batch: no credit back yet */
    assert_false(window_room(&w, &records, &bytes));
    assert_int_equal(window_ack(&w, boot, 1024, 5000), 1);
    assert_int_equal(window_ack(&w, boot, 1024, 5000), 0); /* again, and an older one: nothing */
    assert_int_equal(window_ack(&w, boot, 3, 5000), 0);
    assert_true(window_room(&w, &records, &bytes));
    assert_int_equal(records, 1024);
    assert_int_equal(window_ack(&w, boot, 5000, 5000), -EPROTO); /* 4999 is the newest there is */
    assert_int_equal(w.lanes[0].acked, 1024);
    assert_int_equal(window_ack(&w, boot, 4999, 5000), 1);
    assert_true(window_empty(&w, 5000));
    assert_int_equal(w.records + w.bytes + w.flying, 0);
}

/* A copy of a living agent's folder: the original goes on, and the collector has more than the copy ends
 * with. */
static void test_window_of_a_copy(void **state) {
    (void)state;
    struct window w;
    struct err e;
    struct spool_stream s[2] = {{.first_seq = 1, .next_seq = 100},
                                {.boot = {9}, .first_seq = 1, .next_seq = 1}};
    memcpy(s[0].boot, boot, sizeof boot);
    Pilotgate__Welcome wel = welcome(1500, 4 << 20);
    assert_int_equal(window_begin(&w, s, 2, false, &wel, &e), 0);
    window_sent(&w, 0, 99, 1000);
    assert_int_equal(window_ack(&w, boot, 250, 1), 1);
    assert_int_equal(w.lanes[0].acked, 99);
    assert_int_equal(window_ack(&w, boot, 300, 1), 0);
    assert_true(window_empty(&w, 1));
    assert_int_equal(w.records + w.bytes + w.flying, 0);
    assert_int_equal(window_ack(&w, s[1].boot, 1, 1), -EPROTO);
}

static void test_window_bytes_and_batches(void **state) {
    (void)state;
    struct window w;
    struct err e;
    struct spool_stream s = {.first_seq = 1, .next_seq = 1};
    Pilotgate__Welcome wel = welcome(UINT32_MAX, UINT32_MAX); /* our own limits hold */
    size_t records;
    size_t bytes;
    assert_int_equal(window_begin(&w, &s, 1, false, &wel, &e), 0);
    for (int i = 0; i < WINDOW_BATCHES; i++) {
        assert_true(window_room(&w, &records, &bytes));
        window_sent(&w, 0, 1, 10);
    }
    assert_false(window_room(&w, &records, &bytes));
    assert_int_equal(window_begin(&w, &s, 1, false, &wel, &e), 0);
    window_sent(&w, 0, 1, WIRE_CREDIT_BYTES - 1000);
    assert_false(window_room(&w, &records, &bytes)); /* a record might not fit */
    wel = welcome(10, 100);
    assert_int_equal(window_begin(&w, &s, 1, false, &wel, &e), 0);
    assert_true(window_room(&w, &records, &bytes)); /* but one always goes out alone */
    wel = welcome(0, 100);
    assert_int_equal(window_begin(&w, &s, 1, false, &wel, &e), -EPROTO);
}

static void test_window_beginnings(void **state) {
    (void)state;
    struct window w;
    struct err e;
    struct spool_stream s[2] = {{.first_seq = 11, .next_seq = 21}, {.first_seq = 1, .next_seq = 4}};
    s[0].boot[0] = 1;
    s[1].boot[0] = 2;
    Pilotgate__StreamAck a = PILOTGATE__STREAM_ACK__INIT;
    Pilotgate__StreamAck *acks[] = {&a};
    Pilotgate__Welcome wel = welcome(100, 100000);
    wel.n_streams = 1;
    wel.streams = acks;
    a.boot = (ProtobufCBinaryData){.len = WIRE_BOOT_BYTES, .data = s[0].boot};
    a.acked_seq = 5; /* 6..10 no longer exist */
    assert_int_equal(window_begin(&w, s, 2, false, &wel, &e), 0);
    assert_int_equal(w.lanes[0].sent, 11);
    assert_int_equal(w.lanes[1].sent, 1);
    a.acked_seq = 15;
    assert_int_equal(window_begin(&w, s, 2, false, &wel, &e), 0);
    assert_int_equal(w.lanes[0].sent, 16);
    a.acked_seq = 99; /* a power cut took what the collector has */
    assert_int_equal(window_begin(&w, s, 2, true, &wel, &e), 0);
    assert_int_equal(w.lanes[0].acked, 20);
    assert_true(window_wants_renewal(&w)); /* the dead ones are done, and there are more */
    a.boot.data = s[1].boot;
    a.acked_seq = 4; /* of the living stream that cannot be */
    assert_int_equal(window_begin(&w, s, 2, false, &wel, &e), -EPROTO);
}

/* ---- clocks */

static void reply_after(struct clocks *c, int64_t offset, int64_t there, int64_t inside, int64_t back) {
    Pilotgate__ClockReply r = PILOTGATE__CLOCK_REPLY__INIT;
    r.id = c->id;
    r.t1_wall_ns = c->t1_wall_ns;
    r.t2_wall_ns = c->t1_wall_ns + there + offset;
    r.t3_wall_ns = r.t2_wall_ns + inside;
    clocks_reply(c, &r, c->t1_wall_ns + there + inside + back, c->t1_mono_ns + there + inside + back);
}

static void test_clock_bound_holds(void **state) {
    (void)state;
    static const int64_t ways[][3] = {
        {WHEN_MS, 0, WHEN_MS}, {0, 5 * WHEN_MS, 40 * WHEN_MS}, {40 * WHEN_MS, 1, 0}, {3, 3, 4}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct clocks c = {0};
        Pilotgate__ClockProbe p;
        Pilotgate__Record r;
        Pilotgate__Timing t;
        const int64_t offset = -7 * WHEN_S + 1;
        clocks_begin(&c, 0);
        assert_true(clocks_probe(&c, 0, &p));
        assert_false(clocks_probe(&c, 1, &p));
        reply_after(&c, offset, ways[i][0], ways[i][1], ways[i][2]);
        assert_true(clocks_offset(&c, 0, &r, &t));
        assert_true(llabs(t.value_ns - offset) <= (int64_t)t.error_ns);
        assert_true((int64_t)t.error_ns <= (ways[i][0] + ways[i][2]) / 2 + 1);
        assert_int_equal(t.kind, PILOTGATE__TIMING__KIND__KIND_CLOCK_OFFSET);
    }
}

static void test_clock_takes_the_best_and_no_nonsense(void **state) {
    (void)state;
    struct clocks c = {0};
    Pilotgate__ClockProbe p;
    Pilotgate__ClockReply wrong = PILOTGATE__CLOCK_REPLY__INIT;
    Pilotgate__Record r;
    Pilotgate__Timing t;
    assert_true(clocks_probe(&c, 0, &p));
    clocks_reply(&c, &wrong, when_wall_ns(), when_mono_ns()); /* not an answer to this probe */
    reply_after(&c, 0, 10, 50, -55); /* the collector says it took longer than it did */
    assert_false(clocks_offset(&c, 0, &r, &t));
    const int64_t delays[] = {9 * WHEN_MS, 2 * WHEN_MS, 30 * WHEN_MS};
    for (int i = 0; i < 3; i++) {
        assert_true(clocks_probe(&c, (i + 1) * 10 * WHEN_S, &p));
        reply_after(&c, 0, delays[i], 0, 0);
        reply_after(&c, 0, 0, 0, 0); /* a second answer to the same probe counts for nothing */
    }
    assert_true(clocks_offset(&c, 0, &r, &t));
    assert_int_equal(t.error_ns, WHEN_MS + 1);
    assert_false(clocks_offset(&c, 0, &r, &t));
    assert_true(clocks_probe(&c, 100 * WHEN_S, &p)); /* the wall clock was set during this one */
    Pilotgate__ClockReply set = PILOTGATE__CLOCK_REPLY__INIT;
    set.id = c.id;
    set.t1_wall_ns = set.t2_wall_ns = set.t3_wall_ns = c.t1_wall_ns;
    clocks_reply(&c, &set, c.t1_wall_ns + 5 * WHEN_S, c.t1_mono_ns + WHEN_MS);
    assert_false(clocks_offset(&c, 200 * WHEN_S, &r, &t));
}

/* One sample; true when it became a record at `now`. */
static bool sampled(struct clocks *c, int64_t now, int64_t offset, int64_t error) {
    Pilotgate__ClockProbe p = PILOTGATE__CLOCK_PROBE__INIT;
    Pilotgate__Record r;
    Pilotgate__Timing t;
    c->next_probe = now;
    assert_true(clocks_probe(c, now, &p));
    reply_after(c, offset, error, 0, error);
    return clocks_offset(c, now, &r, &t);
}

static void test_clock_says_only_what_is_new(void **state) {
    (void)state;
    struct clocks c = {0};
    int64_t at = WHEN_S;
    unsigned records = 0;
    clocks_begin(&c, 0);
    assert_true(sampled(&c, at, 0, 2 * WHEN_MS));                          /* the first one */
    assert_false(sampled(&c, at += 10 * WHEN_S, WHEN_MS, 2 * WHEN_MS));    /* moved within what was known */
    assert_true(sampled(&c, at += 10 * WHEN_S, 5 * WHEN_MS, 2 * WHEN_MS)); /* moved by more */
    assert_false(sampled(&c, at += 10 * WHEN_S, 5 * WHEN_MS, 2 * WHEN_MS - 1000));
    assert_true(sampled(&c, at += 10 * WHEN_S, 5 * WHEN_MS, WHEN_MS - 2000)); /* known twice as well */
    clocks_begin(&c, at);
    assert_true(sampled(&c, at += 10 * WHEN_S, 5 * WHEN_MS, 2 * WHEN_MS)); /* a session began */
    for (int64_t end = at + 600 * WHEN_S; at < end; at += 5 * WHEN_S)
        records += sampled(&c, at, 5 * WHEN_MS, 2 * WHEN_MS);
    assert_in_range(records, 8, 11); /* about one a minute */
}

static void test_clock_pauses(void **state) {
    (void)state;
    struct clocks c = {0};
    Pilotgate__Timing t;
    struct clocks_wait w = {.asked_ns = WHEN_S, .took_ns = WHEN_S + 400 * WHEN_MS, .boot_ns = 7 * WHEN_S};
    assert_false(clocks_pause(&c, &w, &t)); /* late, but not by much; suspended before we were there */
    w.took_ns = WHEN_S + 600 * WHEN_MS;
    assert_true(clocks_pause(&c, &w, &t));
    assert_int_equal(t.kind, PILOTGATE__TIMING__KIND__KIND_PAUSE);
    assert_int_equal(t.value_ns, w.took_ns);
    assert_int_equal(t.error_ns, WHEN_S);
    w.took_ns = WHEN_MS; /* work came early */
    assert_false(clocks_pause(&c, &w, &t));
    w.boot_ns += 5 * WHEN_S;
    w.mono_ns += 2 * WHEN_S; /* suspended for 3 s */
    assert_true(clocks_pause(&c, &w, &t));
    assert_int_equal(t.value_ns, 3 * WHEN_S);
    assert_int_equal(t.error_ns, 0);
    assert_false(clocks_pause(&c, &w, &t)); /* told once */
}

static void test_clock_steps(void **state) {
    (void)state;
    struct clocks c = {0};
    Pilotgate__Timing t;
    const int64_t wall = 1700000000 * WHEN_S;
    assert_false(clocks_step(&c, wall, 0, 1, &t)); /* the first look only notes */
    assert_false(clocks_step(&c, wall + WHEN_S + 49 * WHEN_MS, WHEN_S, 1, &t));
    assert_true(clocks_step(&c, wall + 2 * WHEN_S - 60 * WHEN_MS, 2 * WHEN_S, 9, &t));
    assert_int_equal(t.kind, PILOTGATE__TIMING__KIND__KIND_CLOCK_STEP);
    assert_int_equal(t.value_ns, -109 * WHEN_MS);
    assert_int_equal(t.error_ns, 9);
    assert_false(clocks_step(&c, wall + 3 * WHEN_S - 60 * WHEN_MS, 3 * WHEN_S, 1, &t)); /* told once */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_intake_is_bounded),
        cmocka_unit_test(test_intake_refuses_what_the_wire_cannot_carry),
        cmocka_unit_test_setup_teardown(test_passes_give_way_first, shelf_open, shelf_close),
        cmocka_unit_test_setup_teardown(test_failed_writes_are_declared, shelf_open, shelf_close),
        cmocka_unit_test_setup_teardown(test_kept_go_before_a_welcome, shelf_open, shelf_close),
        cmocka_unit_test(test_window_credit),
        cmocka_unit_test(test_window_of_a_copy),
        cmocka_unit_test(test_window_bytes_and_batches),
        cmocka_unit_test(test_window_beginnings),
        cmocka_unit_test(test_clock_bound_holds),
        cmocka_unit_test(test_clock_takes_the_best_and_no_nonsense),
        cmocka_unit_test(test_clock_says_only_what_is_new),
        cmocka_unit_test(test_clock_pauses),
        cmocka_unit_test(test_clock_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
