/* The journal against a scripted collector over real sockets: whatever either side goes through, every
 * record that was appended arrives, in order, and counts once. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "spool/spool_priv.h"
#include "stand.h"

/* ---- tests */

static void test_delivery_and_bye(void **state) {
    struct stand *s = *state;
    start(s, 0, NULL);
    emit_n(s, 5000, 0);
    journal_stop(&s->journal, PATIENCE);
    assert_null(s->journal);
    AWAIT(seen(s, 0).bye_frame);
    assert_exactly_once(s, 0);
    assert_true(seen(s, 0).bye_record);
    assert_int_equal(seen(s, 0).duplicates, 0);
    start(s, 1, NULL); /* the next lifetime announces the old stream, which is complete, and lets it go */
    journal_stop(&s->journal, PATIENCE);
    AWAIT(seen(s, 1).bye_frame);
    struct spool *spool = NULL;
    struct spool_stream st[4];
    struct err e;
    uint64_t torn;
    assert_int_equal(spool_open(s->spool, 1 << 20, boots[2], &spool, &torn, &e), 0);
    assert_int_equal(spool_streams(spool, st, 4), 3); /* it is only asked for */
    assert_memory_equal(st[0].boot, boots[0], WIRE_BOOT_BYTES);
    assert_int_equal(st[0].acked_seq + 1, st[0].next_seq);
    assert_memory_equal(st[1].boot, boots[1], WIRE_BOOT_BYTES);
    spool_close(&spool);
}

struct emitter {
    const struct emit *emit;
    unsigned n;
};

static void *emit_calls(void *arg) {
    struct emitter *e = arg;
    for (unsigned i = 0; i < e->n; i++) {
        Pilotgate__Record r = PILOTGATE__RECORD__INIT;
        Pilotgate__CallBlock b = PILOTGATE__CALL_BLOCK__INIT;
        r.body_case = PILOTGATE__RECORD__BODY_CALLS;
        r.calls = &b;
        emit_record(e->emit, &r);
    }
    return NULL;
}

static void test_many_threads_emit(void **state) {
    struct stand *s = *state;
    pthread_t threads[4];
    start(s, 0, NULL);
    struct emitter e = {.emit = journal_emit(s->journal), .n = 2000};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, emit_calls, &e), 0);
    emit_n(s, 2000, 0);
    for (int i = 0; i < 4; i++)
        (void)pthread_join(threads[i], NULL);
    journal_stop(&s->journal, PATIENCE);
    AWAIT(seen(s, 0).bye_frame);
    struct peer_stream st = seen(s, 0);
    assert_int_equal(st.numbers,
                     2000); /* phases wait for room, passes may be dropped: all are accounted for */
    assert_int_equal(st.calls + st.lost_records, 8000);
}

/* What the collector would refuse (a time that an API server made up) must not block what comes after it. */
static void test_a_record_that_nobody_takes(void **state) {
    struct stand *s = *state;
    start(s, 0, NULL);
    emit_n(s, 3, 0);
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    Pilotgate__Phase p = PILOTGATE__PHASE__INIT;
    p.kind = PILOTGATE__PHASE__KIND__KIND_POD_READY;
    p.subject = (char *)"Pod/x";
    p.t_wall_ns = -1;
    r.body_case = PILOTGATE__RECORD__BODY_PHASE;
    r.phase = &p;
    emit_record(journal_emit(s->journal), &r);
    emit_n(s, 3, 0);
    journal_stop(&s->journal, PATIENCE);
    AWAIT(seen(s, 0).bye_frame);
    struct peer_stream st = seen(s, 0);
    assert_int_equal(st.numbers, 6);
    assert_int_equal(st.phases, 6);
    assert_int_equal(st.losses, 1);
    assert_int_equal(st.lost_records, 1);
    assert_int_equal(st.loss_cause, PILOTGATE__LOSS__CAUSE__CAUSE_TOO_LARGE);
}

static void test_latency_when_idle(void **state) {
    struct stand *s = *state;
    start(s, 0, NULL);
    emit_n(s, 1, 0);
    AWAIT(seen(s, 0).numbers == 1);
    int late = 0;
    for (int i = 0; i < 40; i++) {
        int64_t before = when_mono_ns();
        emit_n(s, 1, 0);
        AWAIT(seen(s, 0).numbers == s->emitted);
        late += when_mono_ns() - before > 20 * WHEN_MS;
    }
    assert_true(late < 20); /* the machine may be busy; a batch that waits for company is always late */
}

static void test_collector_comes_later(void **state) {
    struct stand *s = *state;
    atomic_store(&s->peer->listening, false);
    AWAIT(!atomic_load(&s->peer->open));
    start(s, 0, NULL);
    emit_n(s, 1000, 0);
    atomic_store(&s->peer->listening, true);
    AWAIT(seen(s, 0).numbers == s->emitted);
    assert_exactly_once(s, 0);
}

/* What is settled, the collector has; what it has not taken is not, however long it takes. */
static void test_what_is_settled_is_committed(void **state) {
    struct stand *s = *state;
    struct journal_stats now = {0};
    start(s, 0, NULL);
    emit_n(s, 500, 0);
    int64_t then = when_mono_ns();
    AWAIT(journal_settled_mono(s->journal) > then);
    assert_int_equal(seen(s, 0).numbers, s->emitted);
    atomic_store(&s->peer->listening, false);
    AWAIT(!atomic_load(&s->peer->open));
    emit_n(s, 10, 0);
    then = when_mono_ns();
    AWAIT((journal_stats(s->journal, &now), now.turned_mono_ns > then + WHEN_S));
    assert_true(journal_settled_mono(s->journal) <= then);
    atomic_store(&s->peer->listening, true);
    AWAIT(journal_settled_mono(s->journal) > then);
    assert_int_equal(seen(s, 0).numbers, s->emitted);
    assert_exactly_once(s, 0);
}

static void test_lost_acks_double_nothing(void **state) {
    struct stand *s = *state;
    atomic_store(&s->peer->mute_acks, true);
    start(s, 0, NULL);
    emit_n(s, 3000, 0);
    AWAIT(atomic_load(&s->peer->hellos) >= 4); /* no ack for too long: a new socket, again and again */
    atomic_store(&s->peer->mute_acks, false);
    journal_stop(&s->journal, PATIENCE);
    AWAIT(seen(s, 0).bye_frame);
    assert_exactly_once(s, 0);
}

static void test_silence_ends_the_session(void **state) {
    struct stand *s = *state;
    start(s, 0, NULL);
    emit_n(s, 10, 0);
    AWAIT(seen(s, 0).numbers == 10);
    unsigned hellos = atomic_load(&s->peer->hellos);
    atomic_store(&s->peer->silent, true);
    emit_n(s, 10, 0);
    unsigned frames = atomic_load(&s->peer->frames);
    AWAIT(atomic_load(&s->peer->frames) >= frames + 3); /* batch, then Hellos nobody answers */
    atomic_store(&s->peer->silent, false);
    AWAIT(seen(s, 0).numbers == 20);
    assert_true(atomic_load(&s->peer->hellos) > hellos);
    assert_exactly_once(s, 0);
}

static void test_collector_restarts(void **state) {
    struct stand *s = *state;
    start(s, 0, NULL);
    for (int round = 0; round < 4; round++) {
        emit_n(s, 700, 100);
        AWAIT(seen(s, 0).numbers > (uint64_t)round * 700);
        atomic_store(&s->peer->listening, false);
        AWAIT(!atomic_load(&s->peer->open));
        emit_n(s, 700, 100);
        atomic_store(&s->peer->listening, true);
    }
    journal_stop(&s->journal, PATIENCE);
    AWAIT(seen(s, 0).bye_frame);
    assert_exactly_once(s, 0);
}

static void test_refusal_waits(void **state) {
    struct stand *s = *state;
    atomic_store(&s->peer->refuse, true);
    int64_t before = when_mono_ns();
    start(s, 0, NULL);
    emit_n(s, 100, 0);
    AWAIT(atomic_load(&s->peer->hellos) >= 3);
    assert_true(when_mono_ns() - before >= 2 * quick.refused_min); /* it does not hammer */
    assert_int_equal(seen(s, 0).hwm, 0);
    atomic_store(&s->peer->refuse, false);
    AWAIT(seen(s, 0).numbers == 100);
    assert_exactly_once(s, 0);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const long memory_limit_kib = 1 << 20; /* what was freed stays in the sanitizer's quarantine */
#else
static const long memory_limit_kib = 16 << 10;
#endif

static long rss_anon_kib(void) {
    char line[256];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        (void)sscanf(line, "RssAnon: %ld", &kib);
    (void)fclose(f);
    return kib;
}

/* 30 MB pile up in front of a collector that never acknowledges: on disk, not in memory, and no more
 * than its credit is sent in a session. */
static void test_credit_bounds_memory(void **state) {
    struct stand *s = *state;
    atomic_store(&s->peer->credit_records, 500);
    atomic_store(&s->peer->mute_acks, true);
    start(s, 0, NULL);
    emit_n(s, 500, 0);
    AWAIT(seen(s, 0).numbers == 500);
    long before = rss_anon_kib();
    emit_n(s, 30000, 1000);
    AWAIT(atomic_load(&s->peer->hellos) >= 3);
    assert_true(rss_anon_kib() - before < memory_limit_kib);
    assert_true(atomic_load(&s->peer->outstanding_max) <= 500);
    atomic_store(&s->peer->mute_acks, false);
    AWAIT(seen(s, 0).numbers == s->emitted);
    assert_true(atomic_load(&s->peer->outstanding_max) <= 500);
    assert_exactly_once(s, 0);
}

/* The same in front of nobody, while the socket is made again and again. */
static void test_nobody_there_bounds_memory(void **state) {
    struct stand *s = *state;
    atomic_store(&s->peer->listening, false);
    AWAIT(!atomic_load(&s->peer->open));
    start(s, 0, NULL);
    emit_n(s, 500, 0);
    long before = rss_anon_kib();
    emit_n(s, 30000, 1000);
    (void)nanosleep(&(struct timespec){.tv_sec = 2}, NULL); /* several sessions that come to nothing */
    assert_true(rss_anon_kib() - before < memory_limit_kib);
    atomic_store(&s->peer->listening, true);
    AWAIT(seen(s, 0).numbers == s->emitted);
    assert_exactly_once(s, 0);
}

static void test_stray_acks_trim_nothing(void **state) {
    struct stand *s = *state;
    s->config.spool.quota = SPOOL_QUOTA_MIN * 16;
    atomic_store(&s->peer->stray, true);
    atomic_store(&s->peer->credit_records, 10);
    start(s, 0, NULL);
    emit_n(s, 3000, 200);
    AWAIT(seen(s, 0).numbers == s->emitted); /* a believed stray would have left a gap */
    assert_exactly_once(s, 0);
    assert_int_equal(atomic_load(&s->peer->hellos), 1);
}

static void test_impossible_acks_end_the_session(void **state) {
    struct stand *s = *state;
    atomic_store(&s->peer->overack, true);
    start(s, 0, NULL);
    emit_n(s, 100, 0);
    AWAIT(atomic_load(&s->peer->hellos) >= 2);
    atomic_store(&s->peer->overack, false);
    emit_n(s, 100, 0);
    AWAIT(seen(s, 0).numbers == s->emitted);
    assert_exactly_once(s, 0);
}

static void test_full_spool_is_declared(void **state) {
    struct stand *s = *state;
    s->config.spool.quota = SPOOL_QUOTA_MIN * 2;
    atomic_store(&s->peer->listening, false);
    AWAIT(!atomic_load(&s->peer->open));
    start(s, 0, NULL);
    for (int i = 0; i < 500; i++)
        emit_number(journal_emit(s->journal), 0, 1000); /* half a megabyte into 128 KiB */
    atomic_store(&s->peer->listening, true);
    journal_stop(&s->journal, PATIENCE);
    AWAIT(seen(s, 0).bye_frame);
    struct peer_stream st = seen(s, 0);
    assert_true(st.losses >= 1 && st.lost_records > 300);
    assert_int_equal(st.loss_cause, PILOTGATE__LOSS__CAUSE__CAUSE_SPOOL_FULL);
    assert_int_equal(st.phases + st.lost_records, 500); /* every one is either there or declared */
    assert_true(st.bye_record);
}

static void test_damage_is_passed_and_declared(void **state) {
    struct stand *s = *state;
    atomic_store(&s->peer->listening, false);
    AWAIT(!atomic_load(&s->peer->open));
    start(s, 0, NULL);
    emit_n(s, 400, 50);
    journal_stop(&s->journal, 0);
    char path[256];
    char name[SEGMENT_NAME_MAX];
    segment_name(boots[0], 1, false, name);
    (void)snprintf(path, sizeof path, "%s/%s", s->spool, name);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, 12000), 8);
    (void)close(fd);
    atomic_store(&s->peer->listening, true);
    start(s, 1, NULL);
    AWAIT(seen(s, 0).coverages == 1); /* the old stream to its end, over the gap */
    AWAIT(seen(s, 1).losses == 1);
    struct peer_stream old = seen(s, 0);
    struct peer_stream now = seen(s, 1);
    assert_true(old.gap_records >= 1 && old.gap_records <= 2);
    assert_int_equal(old.phases + old.gap_records, 400);
    assert_int_equal(now.lost_records, old.gap_records);
    assert_int_equal(now.loss_cause, PILOTGATE__LOSS__CAUSE__CAUSE_SPOOL_DAMAGED);
    emit_number(journal_emit(s->journal), 1, 0);
    AWAIT(seen(s, 1).numbers == 1);
}

static void test_clock_offset(void **state) {
    struct stand *s = *state;
    const int64_t offset = -3 * WHEN_S;
    atomic_store(&s->peer->clock_offset, offset);
    start(s, 0, NULL);
    AWAIT(seen(s, 0).timings >= 1);
    struct peer_stream st = seen(s, 0);
    assert_true(st.offset_error_ns > 0 && st.offset_error_ns < WHEN_S);
    assert_true(llabs(st.offset_ns - offset) <= (int64_t)st.offset_error_ns);
}

static void note_load(void *ctx, int64_t ttl_ns) {
    atomic_store((atomic_llong *)ctx, ttl_ns);
}

static void test_commands(void **state) {
    struct stand *s = *state;
    atomic_llong load = -1;
    struct journal_hooks hooks = {.load = note_load, .ctx = &load};
    start(s, 0, NULL);
    emit_n(s, 1, 0);
    AWAIT(seen(s, 0).numbers == 1);
    atomic_store(&s->peer->command, PILOTGATE__COMMAND__KIND__KIND_RAISE_LOAD);
    AWAIT(atomic_load(&s->peer->results_bad) == 1); /* nobody takes load yet */
    journal_set_hooks(s->journal, &hooks);
    atomic_store(&s->peer->command, PILOTGATE__COMMAND__KIND__KIND_RAISE_LOAD);
    AWAIT(atomic_load(&s->peer->results_ok) == 1);
    assert_int_equal(atomic_load(&load), 7 * WHEN_S);
    atomic_store(&s->peer->command, PILOTGATE__COMMAND__KIND__KIND_LOWER_LOAD);
    AWAIT(atomic_load(&s->peer->results_ok) == 2);
    assert_int_equal(atomic_load(&load), 0);
    atomic_store(&s->peer->command, 99);
    AWAIT(atomic_load(&s->peer->results_bad) == 2);
}

/* ---- an agent that is killed */

/* The child's work: numbers for ever, each told on stdout once its emit returned. */
static int be_agent(const char *dir, const char *endpoint) {
    struct stand s = {0};
    (void)snprintf(s.dir, sizeof s.dir, "%s", dir);
    config_fill(&s, endpoint);
    start(&s, 0, NULL);
    for (uint64_t i = 1; i < PEER_RECORDS; i++)
        emit_number(journal_emit(s.journal), i, 20);
    return 1;
}

static void test_killed_agent_loses_nothing_appended(void **state) {
    struct stand *s = *state;
    pid_t pid = fork();
    if (pid == 0) {
        (void)execl("/proc/self/exe", "agent", s->dir, s->peer->endpoint, (char *)NULL);
        _exit(127);
    }
    AWAIT(seen(s, 0).numbers > 1000);
    atomic_store(&s->peer->mute_acks, true); /* so that the spool surely holds something */
    uint64_t before = seen(s, 0).numbers;
    AWAIT(seen(s, 0).numbers > before || kill(pid, 0) < 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    atomic_store(&s->peer->mute_acks, false);
    struct spool *spool = NULL;
    struct spool_stream st[2];
    struct err e;
    uint64_t torn;
    assert_int_equal(spool_open(s->spool, 64 << 20, boots[2], &spool, &torn, &e), 0);
    assert_int_equal(spool_streams(spool, st, 2), 2);
    spool_close(&spool);
    assert_true(st[0].next_seq > before);
    start(s, 1, NULL);
    AWAIT(seen(s, 0).hwm == st[0].next_seq - 1);
    struct peer_stream got = seen(s, 0);
    assert_int_equal(got.misnumbered + got.conflicts + got.gap_records, 0);
    assert_true(got.numbers >= before);
}

/* ---- check */

struct said {
    int ok, bad;
    char advice[1024];
};

static void note(void *ctx, bool ok, const char *what, const char *advice) {
    struct said *s = ctx;
    (void)what;
    s->ok += ok;
    s->bad += !ok;
    if (!ok)
        (void)snprintf(s->advice, sizeof s->advice, "%s", advice);
}

static void test_check(void **state) {
    struct stand *s = *state;
    FILE *f = fopen(s->hash, "w");
    assert_non_null(f);
    for (int i = 0; i < 64; i++)
        (void)fputc('a', f);
    (void)fclose(f);
    (void)chmod(s->hash, 0600);
    struct said said = {0};
    int failures = journal_check(&s->config, note, &said);
    if (failures)
        fail_msg("%s", said.advice);
    assert_int_equal(said.ok, 6);
    start(s, 0, NULL); /* beside a living agent as well */
    emit_n(s, 1, 0);
    assert_int_equal(journal_check(&s->config, note, &said), 0);
    AWAIT(seen(s, 0).numbers == 1);
    atomic_store(&s->peer->refuse, true);
    assert_int_equal(journal_check(&s->config, note, &said), 1);
    assert_non_null(strstr(said.advice, "not in the allow-list"));
    atomic_store(&s->peer->silent, true);
    assert_int_equal(journal_check(&s->config, note, &said), 1);
    struct curve_key own;
    struct err e;
    assert_int_equal(curve_load(s->key, true, &own, &e), 0);
    assert_non_null(strstr(said.advice, own.public_z85));
    assert_null(strstr(said.advice, own.secret_z85));
    assert_non_null(strstr(said.advice, "test gateway"));
}

static void write_servers(const struct stand *s, const char *first, const char *second) {
    char aside[100];
    (void)snprintf(aside, sizeof aside, "%s.new", s->server);
    FILE *f = fopen(aside, "w");
    assert_non_null(f);
    (void)fprintf(f, "# while the collector's key is changed\npublic: %s\n", first);
    if (second)
        (void)fprintf(f, "public: %s\n", second);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(aside, s->server), 0);
}

/* The collector's key is changed: keys are tried in turn, and the file is read again for each session. */
static void test_collectors_key_is_changed(void **state) {
    struct stand *s = *state;
    struct curve_key other;
    struct err e;
    assert_int_equal(curve_generate(&other, &e), 0);
    write_servers(s, other.public_z85, s->peer->key.public_z85);
    start(s, 0, NULL);
    emit_n(s, 10, 0);
    AWAIT(seen(s, 0).numbers == s->emitted);
    write_servers(s, other.public_z85, NULL);
    atomic_store(&s->peer->listening, false);
    AWAIT(!atomic_load(&s->peer->open));
    atomic_store(&s->peer->listening, true);
    emit_n(s, 10, 0);
    unsigned hellos = atomic_load(&s->peer->hellos);
    (void)nanosleep(&(struct timespec){.tv_nsec = 3 * quick.hello},
                    NULL); /* time in which it would have come */
    assert_int_equal(atomic_load(&s->peer->hellos), hellos);
    assert_int_equal(unlink(s->server), 0); /* for a moment there is none: the keys stay */
    (void)nanosleep(&(struct timespec){.tv_nsec = quick.hello}, NULL);
    write_servers(s, s->peer->key.public_z85, NULL);
    AWAIT(seen(s, 0).numbers == s->emitted);
    assert_exactly_once(s, 0);
}

static int64_t cpu_ns(void) {
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    return t.tv_sec * WHEN_S + t.tv_nsec;
}

/* Ending without a collector is waiting, not turning in circles, also while sources still emit. */
static void test_ending_alone_is_idle(void **state) {
    struct stand *s = *state;
    atomic_store(&s->peer->listening, false);
    AWAIT(!atomic_load(&s->peer->open));
    start(s, 0, NULL);
    emit_n(s, 10, 0);
    int64_t cpu = cpu_ns();
    int64_t begun = when_mono_ns();
    journal_stop(&s->journal, 3 * WHEN_S);
    int64_t took = when_mono_ns() - begun;
    assert_true(took >= 3 * WHEN_S);
    assert_true(cpu_ns() - cpu < took / 20);
    atomic_store(&s->peer->listening, true);
}

static void test_start_says_what_is_wrong(void **state) {
    struct stand *s = *state;
    struct journal *j = NULL;
    struct err e = {0};
    start(s, 0, NULL);
    assert_int_equal(journal_start(&s->config, boots[1], &nobody, NULL, &j, &e), -EBUSY);
    assert_non_null(strstr(e.text, "another agent"));
    struct config other = s->config; /* the first one's thread reads its own */
    other.collector.key_file = (char *)"/nonexistent/key";
    assert_true(journal_start(&other, boots[1], &nobody, NULL, &j, &e) < 0);
    assert_non_null(strstr(e.text, "/nonexistent/key"));
    assert_null(j);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv) {
    log_set_level(LOG_LEVEL_ERROR);
    if (argc == 3)
        return be_agent(argv[1], argv[2]);
    const struct CMUnitTest tests[] = {
        TEST(test_delivery_and_bye),
        TEST(test_many_threads_emit),
        TEST(test_a_record_that_nobody_takes),
        TEST(test_latency_when_idle),
        TEST(test_collector_comes_later),
        TEST(test_what_is_settled_is_committed),
        TEST(test_lost_acks_double_nothing),
        TEST(test_silence_ends_the_session),
        TEST(test_collector_restarts),
        TEST(test_refusal_waits),
        TEST(test_credit_bounds_memory),
        TEST(test_nobody_there_bounds_memory),
        TEST(test_stray_acks_trim_nothing),
        TEST(test_impossible_acks_end_the_session),
        TEST(test_full_spool_is_declared),
        TEST(test_damage_is_passed_and_declared),
        TEST(test_clock_offset),
        TEST(test_commands),
        TEST(test_killed_agent_loses_nothing_appended),
        TEST(test_check),
        TEST(test_collectors_key_is_changed),
        TEST(test_ending_alone_is_idle),
        TEST(test_start_says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
