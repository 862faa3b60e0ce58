/* The journal and a store that comes back older, or is another one: what the agent still keeps is sent again,
 * what it no longer has is told, and nothing counts twice. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "spool/spool_priv.h"
#include "stand.h"

#define SIZE 1000 /* of a record */
#define MANY 1500 /* records: three segments of the quota below */

/* Two lifetimes, both delivered to store "one" as far as they went; the second goes on. */
static void two_lifetimes(struct stand *s) {
    s->config.spool.quota = 4 << 20;
    peer_restore(s->peer, "one", 1, 0);
    start(s, 0, NULL);
    emit_n(s, MANY, SIZE);
    journal_stop(&s->journal, PATIENCE);
    AWAIT(seen(s, 0).bye_frame);
    s->emitted = 0;
    start(s, 1, NULL);
    emit_n(s, MANY, SIZE);
    AWAIT(seen(s, 1).numbers == MANY);
}

static void reconnect(struct stand *s) {
    atomic_store(&s->peer->listening, false);
    AWAIT(!atomic_load(&s->peer->open));
    atomic_store(&s->peer->listening, true);
}

static void assert_all_came_again(struct stand *s, uint64_t from_first, uint64_t from_second) {
    struct peer_stream st = seen(s, 0);
    AWAIT(seen(s, 0).hwm == st.most);
    AWAIT(seen(s, 1).numbers == s->emitted && seen(s, 1).hwm == seen(s, 1).most);
    st = seen(s, 0);
    assert_int_equal(st.resent, st.most - from_first);
    assert_int_equal(st.gap_records, 0);
    assert_int_equal(st.conflicts, 0);
    assert_int_equal(st.numbers, MANY);
    st = seen(s, 1);
    assert_true(st.resent >= MANY - from_second);
    assert_exactly_once(s, 1);
}

static void test_restored_from_a_backup(void **state) {
    struct stand *s = *state;
    two_lifetimes(s);
    peer_restore(s->peer, "one", 2, 700);
    reconnect(s);
    emit_n(s, 100, SIZE);
    assert_all_came_again(s, 700, 700);
}

static void test_another_store(void **state) {
    struct stand *s = *state;
    two_lifetimes(s);
    peer_restore(s->peer, "two", 1, 0);
    reconnect(s);
    assert_all_came_again(s, 0, 0);
    peer_restore(s->peer, "one", 1, 0); /* and back: its copy has nothing either */
    reconnect(s);
    AWAIT(seen(s, 0).resent == 2 * seen(s, 0).most);
    AWAIT(seen(s, 1).hwm == seen(s, 1).most);
    assert_int_equal(seen(s, 0).gap_records + seen(s, 1).gap_records, 0);
}

/* A copied folder, a volume bound elsewhere, a renamed stage: its records are no other stage's. */
static void test_folder_of_another_stage(void **state) {
    struct stand *s = *state;
    const char *own = s->config.stage.namespace_name;
    struct err e = {0};
    struct journal_exported told;
    char line[256];
    start(s, 0, NULL);
    emit_n(s, 1, SIZE);
    journal_stop(&s->journal, PATIENCE);
    s->config.stage.namespace_name = (char *)(uintptr_t) "another";
    assert_int_equal(journal_start(&s->config, boots[1], &nobody, NULL, &s->journal, &e), -EXDEV);
    (void)snprintf(line, sizeof line, "spool.dir belongs to stage %s/%s: ", s->config.stage.cluster, own);
    assert_ptr_equal(strstr(e.text, line), e.text);
    e.text[0] = 0;
    FILE *out = fopen("/dev/null", "w");
    assert_non_null(out);
    assert_int_equal(journal_export(&s->config, out, &told, &e), -EXDEV);
    (void)fclose(out);
    assert_ptr_equal(strstr(e.text, line), e.text);
    s->config.stage.namespace_name = (char *)(uintptr_t)own;
    start(s, 1, NULL);
}

/* A machine's snapshot comes back: the store has the same name and epoch, and less than it said. */
static void test_snapshot(void **state) {
    struct stand *s = *state;
    two_lifetimes(s);
    peer_restore(s->peer, "one", 1, 600);
    reconnect(s);
    assert_all_came_again(s, 600, 600);
}

/* The same while the agent is away: its folder knows what was acknowledged. */
static void test_snapshot_while_away(void **state) {
    struct stand *s = *state;
    two_lifetimes(s);
    journal_stop(&s->journal, PATIENCE);
    AWAIT(seen(s, 1).bye_frame);
    peer_restore(s->peer, "one", 1, 600);
    start(s, 2, NULL);
    AWAIT(seen(s, 0).hwm == seen(s, 0).most && seen(s, 1).hwm == seen(s, 1).most);
    assert_int_equal(seen(s, 0).gap_records + seen(s, 1).gap_records, 0);
}

/* The same where each lifetime was so short that of the last one nothing was kept yet. */
static void test_snapshot_after_short_lives(void **state) {
    struct stand *s = *state;
    peer_restore(s->peer, "one", 1, 0);
    for (int life = 0; life < 2; life++) {
        s->emitted = 0;
        start(s, life, NULL);
        emit_n(s, 5, 0);
        journal_stop(&s->journal, PATIENCE);
        AWAIT(seen(s, life).bye_frame);
    }
    peer_restore(s->peer, "one", 1, 0);
    start(s, 2, NULL);
    AWAIT(seen(s, 0).hwm == seen(s, 0).most && seen(s, 1).hwm == seen(s, 1).most);
    assert_int_equal(seen(s, 0).gap_records + seen(s, 1).gap_records, 0);
}

static size_t kept_files(const char *dir, bool remove) {
    size_t n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));)
        if (strstr(e->d_name, ".kept")) {
            assert_int_equal(remove ? unlinkat(dirfd(d), e->d_name, 0) : 0, 0);
            n++;
        }
    (void)closedir(d);
    return n;
}

/* What is gone is told with the name of the store that had it. */
static void test_what_is_gone_is_told(void **state) {
    struct stand *s = *state;
    char named[64];
    two_lifetimes(s);
    assert_true(kept_files(s->spool, true) >= 4); /* as the grace does, or a full spool */
    peer_restore(s->peer, "two", 1, 0);
    reconnect(s);
    AWAIT(seen(s, 1).hwm == seen(s, 1).most);
    assert_true(seen(s, 1).gap_records > 0);
    assert_int_equal(seen(s, 1).gap_records + seen(s, 1).resent, seen(s, 1).most);
    peer_hello_store(s->peer, named);
    assert_string_equal(named, "one");
    reconnect(s);
    emit_n(s, 1, 0);
    AWAIT(seen(s, 1).numbers == s->emitted);
    peer_hello_store(s->peer, named);
    assert_string_equal(named, "two");
}

/* More streams than one Hello takes. */
static void test_many_settled_streams(void **state) {
    struct stand *s = *state;
    enum { LIVES = 150 };
    uint8_t boot[WIRE_BOOT_BYTES] = {9};
    struct err e;
    for (int i = 1; i <= LIVES; i++) {
        boot[1] = (uint8_t)i;
        struct config c = s->config;
        struct journal *j = NULL;
        if (i == 1)
            peer_restore(s->peer, "one", 1, 0);
        assert_int_equal(journal_start_timed(&c, boot, &nobody, NULL, &quick, &j, &e), 0);
        emit_number(journal_emit(j), 1, 0);
        journal_stop(&j, PATIENCE);
    }
    peer_restore(s->peer, "two", 5, 0);
    start(s, 0, NULL);
    for (int i = 1; i <= LIVES; i++) {
        struct peer_stream st = {0};
        boot[1] = (uint8_t)i;
        AWAIT(peer_stream(s->peer, boot, &st) && st.hwm == st.most && st.hwm > 0);
        assert_int_equal(st.numbers, 1);
        assert_int_equal(st.gap_records + st.conflicts, 0);
    }
    emit_n(s, 1, 0);
    AWAIT(seen(s, 0).numbers == 1);
}

/* The store's name cannot be taken back: what waits is delivered all the same, nothing more is kept under
 * that name, and the rest comes when it works again. */
static void test_settling_fails(void **state) {
    struct stand *s = *state;
    char store[100];
    two_lifetimes(s);
    (void)snprintf(store, sizeof store, "%s/store", s->spool);
    assert_int_equal(unlink(store), 0);
    assert_int_equal(mkdir(store, 0700), 0); /* which unlink does not remove */
    peer_restore(s->peer, "two", 1, 0);
    reconnect(s);
    AWAIT(seen(s, 1).hwm == seen(s, 1).most); /* the living stream, with what was kept of it */
    size_t kept = kept_files(s->spool, false);
    AWAIT(seen(s, 0).hwm == seen(s, 0).most); /* the one that is asked for */
    emit_n(s, MANY / 3, SIZE);                /* all of it still fits into the quota */
    AWAIT(seen(s, 1).numbers == s->emitted);
    for (int i = 0; i < 3; i++) { /* with each the agent takes the ack of the one before */
        emit_n(s, 1, 0);
        AWAIT(seen(s, 1).numbers == s->emitted);
    }
    assert_int_equal(kept_files(s->spool, false), kept);
    assert_int_equal(rmdir(store), 0);
    reconnect(s);
    AWAIT(seen(s, 0).hwm == seen(s, 0).most);
    assert_int_equal(seen(s, 0).gap_records + seen(s, 1).gap_records, 0);
    assert_int_equal(seen(s, 1).numbers, s->emitted);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    log_set_level(LOG_LEVEL_ERROR);
    const struct CMUnitTest tests[] = {
        TEST(test_restored_from_a_backup),  TEST(test_another_store),
        TEST(test_folder_of_another_stage), TEST(test_snapshot),
        TEST(test_snapshot_while_away),     TEST(test_snapshot_after_short_lives),
        TEST(test_what_is_gone_is_told),    TEST(test_many_settled_streams),
        TEST(test_settling_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
