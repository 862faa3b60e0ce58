/* test_ingest: a collector and agents over real CURVE sockets: who may come in, what is acknowledged and
 * when, and what becomes of everything that is not in order. */
#include "ingest_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/when.h"

static struct store *reader(const struct site *s) {
    struct store *cli = NULL;
    struct err e = {""};
    if (store_open(s->url, STORE_READ, &cli, &e) < 0)
        fail_msg("%s", e.text);
    return cli;
}

static int count(void *ctx, const struct store_record *r, uint64_t commit) {
    (void)r;
    (void)commit;
    ++*(int *)ctx;
    return 0;
}

static int records(const struct site *s) {
    struct store *cli = reader(s);
    int n = 0;
    assert_int_equal(store_records(cli, &(struct store_query){0}, count, &n, NULL), 0);
    store_close(&cli);
    return n;
}

static void test_a_stranger_stays_out(void **state) {
    struct site *s = *state;
    struct peer p;
    peer_open(&p, s, &s->stranger, 1);
    peer_hello(&p, "c1", "shop", "n1", 1, 1);
    site_wait_refusal(s, s->stranger.public_z85, "not in the allow-list");
    assert_null(peer_wait(&p, PILOTGATE__FRAME__KIND_WELCOME, 300));
    peer_close(&p);
    assert_int_equal(records(s), 0);
}

static void test_a_key_speaks_only_for_its_stages(void **state) {
    struct site *s = *state;
    struct peer p;
    char why[256];
    peer_open(&p, s, &s->agent, 1);
    peer_hello(&p, "c1", "other", "n1", 1, 1);
    peer_wait_refused(&p, why, sizeof why);
    assert_non_null(strstr(why, "may not speak"));
    peer_hello(&p, "c2", "shop", "n1", 1, 1);
    peer_wait_refused(&p, why, sizeof why);
    site_wait_refusal(s, s->agent.public_z85, "may not speak");
    peer_batch(&p, 1, 1, 0, 0); /* without a session nothing is taken */
    peer_wait_refused(&p, why, sizeof why);
    assert_non_null(strstr(why, "Hello"));
    assert_int_equal(peer_join(&p, "pay", "n1", 1, 1), 0);
    peer_close(&p);
    assert_int_equal(records(s), 0);
}

static void test_ack_means_on_disk(void **state) {
    struct site *s = *state;
    struct peer p;
    peer_open(&p, s, &s->agent, 1);
    assert_int_equal(peer_join(&p, "shop", "n1", 1, 4), 0);
    struct store *cli = reader(s); /* holds the writing lock: nothing can be committed */
    assert_int_equal(store_begin(cli, NULL), 0);
    peer_batch(&p, 1, 3, 7, 0);
    Pilotgate__Frame *f;
    int64_t end = when_mono_ns() + 500 * WHEN_MS;
    while (when_mono_ns() < end && (f = peer_wait(&p, PILOTGATE__FRAME__KIND_ACK, 100))) {
        assert_int_equal(f->ack->streams[0]->acked_seq, 0);
        wire_free(&f);
    }
    store_rollback(cli);
    store_close(&cli);
    peer_wait_ack(&p, 3);
    assert_int_equal(records(s), 3);
    peer_close(&p);
}

static void test_resent_records_count_once(void **state) {
    struct site *s = *state;
    struct peer p;
    peer_open(&p, s, &s->agent, 1);
    assert_int_equal(peer_join(&p, "shop", "n1", 1, 1), 0);
    peer_batch(&p, 1, 3, 7, 0);
    peer_wait_ack(&p, 3);
    peer_batch(&p, 2, 4, 7, 0); /* 2 and 3 again */
    peer_wait_ack(&p, 5);
    assert_int_equal(records(s), 5);
    peer_batch(&p, 9, 2, 7, 0); /* 6..8 were lost on the way: not taken, told where to begin */
    Pilotgate__Frame *f = peer_wait(&p, PILOTGATE__FRAME__KIND_ACK, WAIT_MS);
    assert_non_null(f);
    assert_int_equal(f->ack->streams[0]->acked_seq, 5);
    wire_free(&f);
    peer_close(&p);
    peer_open(&p, s, &s->agent, 1); /* another socket, the same stream */
    assert_int_equal(peer_join(&p, "shop", "n1", 1, 6), 5);
    peer_batch(&p, 5, 1, 99, 0); /* other bytes under a number that was taken */
    peer_batch(&p, 6, 1, 7, 0);
    peer_wait_ack(&p, 6);
    assert_int_equal(records(s), 6);
    struct ingest_counters c;
    int64_t end = when_mono_ns() + WAIT_MS * WHEN_MS;
    do
        ingest_counters(s->ingest, &c);
    while (c.records < 6 && when_mono_ns() < end);
    assert_int_equal(c.records, 6);
    assert_int_equal(c.duplicates, 2);
    assert_int_equal(c.conflicts, 1);
    assert_int_equal(c.refusals, 0);
    peer_close(&p);
}

static int first_gap(void *ctx, const struct store_gap_row *row) {
    *(struct store_gap_row *)ctx = *row;
    return 0;
}

static void test_what_the_agent_lost_is_a_gap(void **state) {
    struct site *s = *state;
    struct peer p;
    peer_open(&p, s, &s->agent, 1);
    assert_int_equal(peer_join(&p, "shop", "n1", 5, 7), 4);
    peer_batch(&p, 5, 2, 1, 0);
    peer_wait_ack(&p, 6);
    struct store *cli = reader(s);
    struct store_gap_row gap = {0};
    assert_int_equal(store_gaps(cli, 0, first_gap, &gap, NULL), 0);
    assert_int_equal(gap.from_seq, 1);
    assert_int_equal(gap.to_seq, 4);
    store_close(&cli);
    peer_close(&p);
}

static void test_garbage_ends_the_session_and_nothing_else(void **state) {
    struct site *s = *state;
    struct peer p, q;
    char why[256];
    uint8_t junk[300];
    memset(junk, 0xff, sizeof junk);
    peer_open(&p, s, &s->agent, 1);
    peer_open(&q, s, &s->agent, 2);
    (void)peer_join(&p, "shop", "n1", 1, 1);
    (void)peer_join(&q, "shop", "n2", 1, 1);
    peer_send_bytes(&p, junk, sizeof junk);
    peer_wait_refused(&p, why, sizeof why);
    peer_batch(&p, 1, 1, 0, 0); /* its session is over */
    peer_wait_refused(&p, why, sizeof why);
    (void)peer_join(&p, "shop", "n1", 1, 1);
    peer_batch(&p, 1, 3, 7, 2); /* the third record is no record */
    peer_wait_refused(&p, why, sizeof why);
    site_wait_refusal(s, s->agent.public_z85, "malformed Record");
    assert_int_equal(peer_join(&p, "shop", "n1", 1, 3), 2); /* the two before it were in order */
    uint64_t right = p.session;
    p.session = right + 1;
    peer_batch(&p, 3, 1, 0, 0);
    peer_wait_refused(&p, why, sizeof why);
    assert_non_null(strstr(why, "another session"));
    peer_batch(&q, 1, 2, 7, 0); /* the other one never noticed */
    peer_wait_ack(&q, 2);
    assert_int_equal(records(s), 4);
    peer_close(&p);
    peer_close(&q);
}

static void test_hellos_that_make_no_sense(void **state) {
    struct site *s = *state;
    struct peer p;
    char why[256];
    peer_open(&p, s, &s->agent, 1);
    peer_hello(&p, "c1", "shop", "n1", 0, 1);
    peer_wait_refused(&p, why, sizeof why);
    peer_hello(&p, "c1", "shop", "n1", 5, 4);
    peer_wait_refused(&p, why, sizeof why);
    peer_hello(&p, "c1", "shop", "../../etc", 1, 1);
    peer_wait_refused(&p, why, sizeof why);
    peer_hello(&p, "c1", "shop", "n1", 1, UINT64_MAX);
    peer_wait_refused(&p, why, sizeof why);
    (void)peer_join(&p, "shop", "n1", 1, 1);
    memset(p.boot, 9, sizeof p.boot);
    peer_batch(&p, 1, 1, 0, 0); /* a stream that Hello did not name */
    peer_wait_refused(&p, why, sizeof why);
    assert_non_null(strstr(why, "did not name"));
    peer_close(&p);
    assert_int_equal(records(s), 0);
}

/* The last numbers that a stream can have: one too many is the agent's fault and must not end the daemon. */
static void test_numbers_at_the_end_of_a_stream(void **state) {
    struct site *s = *state;
    struct peer p, q;
    char why[256];
    peer_open(&p, s, &s->agent, 1);
    peer_open(&q, s, &s->agent, 2);
    (void)peer_join(&q, "shop", "n2", 1, 1);
    assert_int_equal(peer_join(&p, "shop", "n1", WIRE_SEQ_MAX, WIRE_SEQ_MAX), WIRE_SEQ_MAX - 1);
    peer_batch(&p, WIRE_SEQ_MAX, 2, 7, 0);
    peer_wait_refused(&p, why, sizeof why);
    assert_string_equal(why, "batch with a number out of range");
    peer_batch(&q, 1, 2, 7, 0);
    peer_wait_ack(&q, 2);
    peer_close(&p);
    peer_close(&q);
}

/* Whoever runs two agents with one boot (a copied machine) hears of it, and records do not mix. */
static void test_two_agents_with_one_identity(void **state) {
    struct site *s = *state;
    struct peer p, q;
    char why[256];
    peer_open(&p, s, &s->agent, 1);
    peer_open(&q, s, &s->agent, 1);
    (void)peer_join(&p, "shop", "n1", 1, 1);
    peer_batch(&p, 1, 5, 7, 0);
    peer_wait_ack(&p, 5);
    peer_hello(&q, "c1", "shop", "n1", 1, 4); /* made three records, the store has five */
    peer_wait_refused(&q, why, sizeof why);
    assert_non_null(strstr(why, "two agents"));
    site_wait_refusal(s, s->agent.public_z85, "two agents");
    peer_close(&p);
    peer_close(&q);
}

static int take_cause(void *ctx, const struct store_gap_row *row) {
    enum store_gap_cause *causes = ctx;
    assert_in_range(row->stream, 1, 4);
    causes[row->stream - 1] = row->cause;
    return 0;
}

/* What an agent no longer holds was acknowledged by this store, by another one, or by none. */
static void test_why_records_are_missing(void **state) {
    struct site *s = *state;
    struct peer p;
    enum store_gap_cause causes[4] = {0};
    uint64_t now = store_restore_epoch(s->store);
    site_restart_as_restored(s); /* epoch + 1 */
    const uint64_t epochs[] = {0, now + 1, now, now + 1};
    for (uint8_t k = 0; k < 4; k++) {
        peer_open(&p, s, &s->agent, (uint8_t)(k + 1));
        (void)snprintf(p.store_id, sizeof p.store_id, "%s",
                       k == 0   ? ""
                       : k == 1 ? "another"
                                : store_id(s->store));
        p.restore_epoch = epochs[k];
        assert_int_equal(peer_join(&p, "shop", "n1", 6, 9), 5);
        peer_close(&p);
    }
    struct store *cli = reader(s);
    assert_int_equal(store_gaps(cli, 0, take_cause, causes, NULL), 0);
    store_close(&cli);
    assert_int_equal(causes[0], STORE_GAP_AGENT);
    assert_int_equal(causes[1], STORE_GAP_REPLACED);
    assert_int_equal(causes[2], STORE_GAP_RESTORED);
    assert_int_equal(causes[3], STORE_GAP_AGENT);
}

struct doubted {
    unsigned shop, pay;
};

static int take_doubts(void *ctx, const struct store_stream_row *row) {
    struct doubted *d = ctx;
    *(strcmp(row->namespace_name, "shop") == 0 ? &d->shop : &d->pay) |= row->doubts;
    return 0;
}

static void test_one_boot_under_two_stages(void **state) {
    struct site *s = *state;
    struct peer p, q;
    struct doubted d = {0};
    peer_open(&p, s, &s->agent, 1);
    peer_open(&q, s, &s->agent, 1);
    (void)peer_join(&p, "shop", "n1", 1, 1);
    (void)peer_join(&q, "pay", "n1", 1, 1);
    peer_batch(&q, 1, 2, 0, 0);
    peer_wait_ack(&q, 2);
    peer_batch(&p, 1, 2, 0, 0); /* neither ends the other */
    peer_wait_ack(&p, 2);
    struct store *cli = reader(s);
    assert_int_equal(store_streams(cli, take_doubts, &d, NULL), 0);
    store_close(&cli);
    assert_int_equal(d.shop, 1u << STORE_DOUBT_TWO_STAGES); /* which of them is the clone, nobody knows */
    assert_int_equal(d.pay, 1u << STORE_DOUBT_TWO_STAGES);
    peer_close(&p);
    peer_close(&q);
}

/* A spool on a volume that moved: the same boot from another node goes on where it was. */
static void test_a_boot_on_another_node_is_the_same_stream(void **state) {
    struct site *s = *state;
    struct peer p, q;
    peer_open(&p, s, &s->agent, 1);
    peer_open(&q, s, &s->agent, 1);
    (void)peer_join(&p, "shop", "n1", 1, 1);
    peer_batch(&p, 1, 2, 0, 0);
    peer_wait_ack(&p, 2);
    assert_int_equal(peer_join(&q, "shop", "n2", 1, 3), 2);
    peer_batch(&q, 2, 2, 0, 0);
    peer_wait_ack(&q, 3);
    assert_int_equal(records(s), 3);
    site_wait_session(s, "n1", false);
    peer_close(&p);
    peer_close(&q);
}

static void test_a_revoked_key_loses_its_sessions(void **state) {
    struct site *s = *state;
    struct peer p;
    char why[256], line[128];
    peer_open(&p, s, &s->agent, 1);
    (void)peer_join(&p, "shop", "n1", 1, 1);
    site_wait_session(s, "n1", true);
    site_write_allow(s, "this is no allow-list\n"); /* kept as it was */
    peer_batch(&p, 1, 1, 0, 0);
    peer_wait_ack(&p, 1);
    (void)snprintf(line, sizeof line, "%s c1 *\n", s->stranger.public_z85);
    site_write_allow(s, line);
    peer_wait_refused(&p, why, sizeof why);
    assert_non_null(strstr(why, "taken out"));
    peer_batch(&p, 2, 1, 0, 0);
    peer_wait_refused(&p, why, sizeof why);
    site_wait_session(s, "n1", false);
    peer_close(&p);
    peer_open(&p, s, &s->stranger, 2); /* and who came in may speak */
    (void)peer_join(&p, "anything", "n2", 1, 1);
    peer_close(&p);
    assert_int_equal(records(s), 1);
}

static void test_clock_and_keepalive(void **state) {
    struct site *s = *state;
    struct peer p;
    peer_open(&p, s, &s->agent, 1);
    (void)peer_join(&p, "shop", "n1", 1, 1);
    Pilotgate__ClockProbe probe = PILOTGATE__CLOCK_PROBE__INIT;
    probe.id = 42;
    probe.t1_wall_ns = when_wall_ns();
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT, *got;
    f.session = p.session;
    f.kind_case = PILOTGATE__FRAME__KIND_CLOCK_PROBE;
    f.clock_probe = &probe;
    peer_send(&p, &f);
    got = peer_wait(&p, PILOTGATE__FRAME__KIND_CLOCK_REPLY, WAIT_MS);
    assert_non_null(got);
    assert_int_equal(got->clock_reply->id, 42);
    assert_int_equal(got->clock_reply->t1_wall_ns, probe.t1_wall_ns);
    assert_true(got->clock_reply->t2_wall_ns >= probe.t1_wall_ns);
    assert_true(got->clock_reply->t3_wall_ns >= got->clock_reply->t2_wall_ns);
    wire_free(&got);
    got = peer_wait(&p, PILOTGATE__FRAME__KIND_ACK, 5000); /* repeated though nothing happened */
    assert_non_null(got);
    wire_free(&got);
    peer_close(&p);
}

static void test_commands_reach_their_stage(void **state) {
    struct site *s = *state;
    struct peer shop, pay;
    peer_open(&shop, s, &s->agent, 1);
    peer_open(&pay, s, &s->agent, 2);
    (void)peer_join(&shop, "shop", "n1", 1, 1);
    (void)peer_join(&pay, "pay", "n1", 1, 1);
    struct store *cli = reader(s);
    int64_t now = when_wall_ns();
    struct store_command c = {.cluster = "c1",
                              .namespace_name = "shop",
                              .kind = PILOTGATE__COMMAND__KIND__KIND_RAISE_LOAD,
                              .ttl_seconds = 30,
                              .asked_ns = now,
                              .expires_ns = now + 30 * WHEN_S};
    assert_int_equal(store_put_command(cli, &c, NULL), 0);
    Pilotgate__Frame *got = peer_wait(&shop, PILOTGATE__FRAME__KIND_COMMAND, WAIT_MS);
    assert_non_null(got);
    assert_int_equal(got->command->id, c.id);
    assert_int_equal(got->command->ttl_seconds, 30);
    wire_free(&got);
    Pilotgate__CommandResult result = PILOTGATE__COMMAND_RESULT__INIT;
    result.id = c.id;
    result.ok = true;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    f.kind_case = PILOTGATE__FRAME__KIND_COMMAND_RESULT;
    f.command_result = &result;
    f.session = pay.session;
    peer_send(&pay, &f); /* another stage's answer does not count */
    f.session = shop.session;
    peer_send(&shop, &f);
    peer_send(&shop, &f); /* nor does the same answer again */
    int64_t end = when_mono_ns() + WAIT_MS * WHEN_MS;
    do
        assert_int_equal(store_command(cli, c.id, &c, NULL), 0);
    while (c.answered_ok == 0 && when_mono_ns() < end);
    assert_null(peer_wait(&pay, PILOTGATE__FRAME__KIND_COMMAND, 300));
    assert_int_equal(store_command(cli, c.id, &c, NULL), 0);
    assert_int_equal(c.sent, 1);
    assert_int_equal(c.answered_ok, 1);
    assert_int_equal(c.answered_bad, 0);
    store_close(&cli);
    peer_close(&shop);
    peer_close(&pay);
}

static void test_bye_and_an_orderly_end(void **state) {
    struct site *s = *state;
    struct peer p;
    peer_open(&p, s, &s->agent, 1);
    (void)peer_join(&p, "shop", "n1", 1, 1);
    peer_batch(&p, 1, 2, 0, 0);
    Pilotgate__Bye bye = PILOTGATE__BYE__INIT;
    bye.boot = (ProtobufCBinaryData){WIRE_BOOT_BYTES, p.boot};
    bye.last_seq = 2;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    f.session = p.session;
    f.kind_case = PILOTGATE__FRAME__KIND_BYE;
    f.bye = &bye;
    peer_send(&p, &f);
    peer_wait_ack(&p, 2); /* what came before the Bye is acknowledged */
    site_wait_session(s, "n1", false);
    peer_close(&p);
    site_stop(s);
    assert_int_equal(records(s), 2); /* readable without a daemon: closed in order */
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_a_stranger_stays_out),
        CASE(test_a_key_speaks_only_for_its_stages),
        CASE(test_ack_means_on_disk),
        CASE(test_resent_records_count_once),
        CASE(test_what_the_agent_lost_is_a_gap),
        CASE(test_garbage_ends_the_session_and_nothing_else),
        CASE(test_hellos_that_make_no_sense),
        CASE(test_numbers_at_the_end_of_a_stream),
        CASE(test_two_agents_with_one_identity),
        CASE(test_why_records_are_missing),
        CASE(test_one_boot_under_two_stages),
        CASE(test_a_boot_on_another_node_is_the_same_stream),
        CASE(test_a_revoked_key_loses_its_sessions),
        CASE(test_clock_and_keepalive),
        CASE(test_commands_reach_their_stage),
        CASE(test_bye_and_an_orderly_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
