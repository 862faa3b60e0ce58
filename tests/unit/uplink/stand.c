/* stand: see stand.h. */
#include "stand.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

const struct uplink_times quick = {.hello = 400 * WHEN_MS,
                                   .silence = 400 * WHEN_MS,
                                   .lost_min = 10 * WHEN_MS,
                                   .lost_max = 100 * WHEN_MS,
                                   .refused_min = 300 * WHEN_MS,
                                   .refused_max = 600 * WHEN_MS};
const struct journal_identity nobody;
const uint8_t boots[3][WIRE_BOOT_BYTES] = {{1}, {2}, {3}};

void config_fill(struct stand *s, const char *endpoint) {
    struct config *c = &s->config;
    (void)snprintf(s->spool, sizeof s->spool, "%s/spool", s->dir);
    (void)snprintf(s->key, sizeof s->key, "%s/key", s->dir);
    (void)snprintf(s->server, sizeof s->server, "%s/server", s->dir);
    (void)snprintf(s->hash, sizeof s->hash, "%s/hash", s->dir);
    c->collector.endpoint = (char *)(uintptr_t)endpoint;
    c->collector.key_file = s->key;
    c->collector.server_key_file = s->server;
    c->collector.hash_key_file = s->hash;
    c->stage.cluster = (char *)"test";
    c->stage.namespace_name = (char *)"gateway";
    c->stage.node = (char *)"node-1";
    c->spool.dir = s->spool;
    c->spool.quota = 64 << 20;
    c->spool.grace = 48 * 3600 * WHEN_S;
}

int setup(void **state) {
    struct stand *s = calloc(1, sizeof *s);
    struct curve_key own;
    struct err e;
    (void)snprintf(s->dir, sizeof s->dir, "/tmp/pilotgate-uplink-XXXXXX");
    if (!mkdtemp(s->dir))
        return -1;
    s->peer = peer_start();
    config_fill(s, s->peer->endpoint);
    if (curve_generate(&own, &e) < 0 || curve_save(s->key, &own, true, &e) < 0 ||
        curve_save(s->server, &s->peer->key, false, &e) < 0)
        return -1;
    *state = s;
    return 0;
}

static int remove_one(const char *path, const struct stat *sb, int type, struct FTW *w) {
    (void)sb, (void)type, (void)w;
    return remove(path);
}

int teardown(void **state) {
    struct stand *s = *state;
    journal_stop(&s->journal, 0);
    peer_stop(s->peer);
    (void)nftw(s->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(s);
    return 0;
}

void start(struct stand *s, int boot, const struct journal_hooks *hooks) {
    struct err e = {0};
    if (journal_start_timed(&s->config, boots[boot], &nobody, hooks, &quick, &s->journal, &e) < 0)
        fail_msg("%s", e.text);
}

/* One phase record; `size` bytes of padding behind its number. */
void emit_number(const struct emit *e, uint64_t number, size_t size) {
    Pilotgate__Record r = PILOTGATE__RECORD__INIT;
    Pilotgate__Phase p = PILOTGATE__PHASE__INIT;
    char subject[1100];
    int n = snprintf(subject, sizeof subject, "N/%llu", (unsigned long long)number);
    if (size > 0) {
        subject[n] = ' ';
        memset(subject + n + 1, 'x', size);
        subject[n + 1 + (int)size] = 0;
    }
    p.kind = PILOTGATE__PHASE__KIND__KIND_POD_READY;
    p.subject = subject;
    r.body_case = PILOTGATE__RECORD__BODY_PHASE;
    r.phase = &p;
    emit_record(e, &r);
}

void emit_n(struct stand *s, unsigned n, size_t size) {
    for (unsigned i = 0; i < n; i++)
        emit_number(journal_emit(s->journal), ++s->emitted, size);
}

struct peer_stream seen(struct stand *s, int boot) {
    static struct peer_stream st;
    memset(&st, 0, offsetof(struct peer_stream, digests));
    (void)peer_stream(s->peer, boots[boot], &st);
    return st;
}

void assert_exactly_once(struct stand *s, int boot) {
    struct peer_stream st = seen(s, boot);
    assert_int_equal(st.numbers, s->emitted);
    assert_int_equal(st.phases, s->emitted);
    assert_int_equal(st.misnumbered, 0);
    assert_int_equal(st.conflicts, 0);
    assert_int_equal(st.gap_records, 0);
    assert_int_equal(st.losses, 0);
}
