/* Tests of frames: round trips, every limit, what is unknown, what is torn, what is random. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wire/wire.h"

static uint8_t boot[WIRE_BOOT_BYTES] = {0xde, 0xad, 0xbe, 0xef, 5};
#define BOOT ((ProtobufCBinaryData){.len = sizeof boot, .data = boot})

/* Packs without wire_pack's limit. */
static uint8_t *raw(const Pilotgate__Frame *f, size_t *len) {
    uint8_t *p = malloc(pilotgate__frame__get_packed_size(f) + 1);
    *len = pilotgate__frame__pack(f, p);
    return p;
}

/* Unpacks the frame; NULL and the reason when it is refused. */
static Pilotgate__Frame *through(const Pilotgate__Frame *f, struct err *e) {
    size_t len = 0;
    uint8_t *p = raw(f, &len);
    Pilotgate__Frame *out = NULL;
    int r = wire_unpack(p, len, &out, e);
    free(p);
    if (r < 0) {
        assert_int_equal(r, -EBADMSG);
        assert_null(out);
    }
    return out;
}

static void expect_refused(const Pilotgate__Frame *f, const char *why) {
    struct err e = {0};
    Pilotgate__Frame *out = through(f, &e);
    assert_null(out);
    if (!strstr(e.text, why))
        fail_msg("'%s' does not say '%s'", e.text, why);
}

static void expect_taken(const Pilotgate__Frame *f) {
    struct err e = {0};
    Pilotgate__Frame *out = through(f, &e);
    if (!out)
        fail_msg("%s", e.text);
    wire_free(&out);
    assert_null(out);
}

static void hello_goes_round(void **state) {
    (void)state;
    Pilotgate__StreamState s = PILOTGATE__STREAM_STATE__INIT;
    Pilotgate__StreamState *streams[] = {&s};
    char *probes[] = {(char[]){"hold"}};
    Pilotgate__Hello h = PILOTGATE__HELLO__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    s.boot = BOOT;
    s.first_seq = 3;
    s.next_seq = 9;
    h.protocol = WIRE_PROTOCOL;
    h.cluster = (char[]){"west"};
    h.n_streams = 1;
    h.streams = streams;
    h.n_probes = 1;
    h.probes = probes;
    f.kind_case = PILOTGATE__FRAME__KIND_HELLO;
    f.hello = &h;
    uint8_t *p = NULL;
    size_t len = 0;
    Pilotgate__Frame *out = NULL;
    assert_int_equal(wire_pack(&f, &p, &len), 0);
    assert_int_equal(wire_unpack(p, len, &out, NULL), 0);
    free(p);
    assert_int_equal(out->kind_case, PILOTGATE__FRAME__KIND_HELLO);
    assert_string_equal(out->hello->cluster, "west");
    assert_string_equal(out->hello->node, "");
    assert_string_equal(out->hello->probes[0], "hold");
    assert_int_equal(out->hello->streams[0]->next_seq, 9);
    assert_memory_equal(out->hello->streams[0]->boot.data, boot, sizeof boot);
    wire_free(&out);
    wire_free(&out);
    wire_free(NULL);
}

static void a_frame_needs_a_kind(void **state) {
    (void)state;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    f.session = 7;
    expect_refused(&f, "unknown kind");
    static const uint8_t unknown[] = {0xfa, 0x06, 0x00}; /* field 111, empty */
    Pilotgate__Frame *out = NULL;
    struct err e;
    assert_int_equal(wire_unpack(unknown, sizeof unknown, &out, &e), -EBADMSG);
    assert_int_equal(wire_unpack(unknown, 0, &out, &e), -EBADMSG);
    assert_null(out);
}

static void hello_limits(void **state) {
    (void)state;
    static char name[WIRE_NAME_MAX + 2];
    Pilotgate__StreamState s = PILOTGATE__STREAM_STATE__INIT;
    Pilotgate__StreamState *streams[WIRE_STREAMS_MAX + 1];
    char *probes[WIRE_BLOCK_PROBES_MAX + 1];
    Pilotgate__Hello h = PILOTGATE__HELLO__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    f.kind_case = PILOTGATE__FRAME__KIND_HELLO;
    f.hello = &h;
    s.boot = BOOT;
    for (size_t i = 0; i < WIRE_STREAMS_MAX + 1; i++)
        streams[i] = &s;
    for (size_t i = 0; i < WIRE_BLOCK_PROBES_MAX + 1; i++)
        probes[i] = (char *)"p";
    h.streams = streams;
    h.probes = probes;
    memset(name, 'n', WIRE_NAME_MAX);
    h.node = h.cluster = h.namespace_name = name;
    h.n_streams = WIRE_STREAMS_MAX;
    h.n_probes = WIRE_BLOCK_PROBES_MAX;
    expect_taken(&f);
    h.n_streams++;
    expect_refused(&f, "streams has 65 elements");
    h.n_streams--;
    h.n_probes++;
    expect_refused(&f, "probes has 65 elements");
    h.n_probes--;
    h.store_id = name;
    h.restore_epoch = UINT64_MAX;
    expect_taken(&f);
    static char id[WIRE_NAME_MAX + 2];
    memset(id, '0', WIRE_NAME_MAX + 1);
    h.store_id = id;
    expect_refused(&f, "store_id has 254 bytes");
    h.store_id = name;
    name[WIRE_NAME_MAX] = 'n';
    expect_refused(&f, "has 254 bytes");
    name[WIRE_NAME_MAX] = 0;
    s.boot.len = 15;
    expect_refused(&f, "boot has 15 bytes");
    s.boot.len = 0;
    expect_refused(&f, "boot has 0 bytes");
}

static void batch_limits(void **state) {
    (void)state;
    static uint8_t big[WIRE_RECORD_MAX + 1];
    static ProtobufCBinaryData records[WIRE_BATCH_RECORDS_MAX + 1];
    Pilotgate__Batch b = PILOTGATE__BATCH__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    for (size_t i = 0; i < WIRE_BATCH_RECORDS_MAX + 1; i++)
        records[i] = (ProtobufCBinaryData){.len = 1, .data = big};
    f.kind_case = PILOTGATE__FRAME__KIND_BATCH;
    f.batch = &b;
    b.boot = BOOT;
    b.first_seq = 1;
    b.records = records;
    b.n_records = WIRE_BATCH_RECORDS_MAX;
    expect_taken(&f);
    b.n_records++;
    expect_refused(&f, "records has 1025 elements");
    b.n_records = 2;
    records[1].len = WIRE_RECORD_MAX;
    expect_taken(&f);
    records[1].len++;
    expect_refused(&f, "over the limit of 262144");
    records[1].len = 0;
    expect_refused(&f, "record 1 is empty");
    b.n_records = 1;
    b.first_seq = 0;
    expect_refused(&f, "first_seq is out of range");
    b.first_seq = WIRE_SEQ_MAX + 1;
    expect_refused(&f, "first_seq is out of range");
    b.first_seq = 1;
    b.boot.len = 0;
    expect_refused(&f, "boot");
}

static void frame_size(void **state) {
    (void)state;
    static uint8_t big[WIRE_RECORD_MAX];
    ProtobufCBinaryData records[5];
    Pilotgate__Batch b = PILOTGATE__BATCH__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    for (size_t i = 0; i < 5; i++)
        records[i] = (ProtobufCBinaryData){.len = sizeof big, .data = big};
    f.kind_case = PILOTGATE__FRAME__KIND_BATCH;
    f.batch = &b;
    b.boot = BOOT;
    b.first_seq = 1;
    b.records = records;
    b.n_records = 4;
    uint8_t *p = (uint8_t *)&p;
    size_t len = 5;
    assert_int_equal(wire_pack(&f, &p, &len), -EMSGSIZE); /* four whole ones and their heads */
    assert_ptr_equal(p, &p);
    assert_int_equal(len, 5);
    expect_refused(&f, "over the limit of 1048576");
    records[3].len = WIRE_FRAME_MAX - 3 * sizeof big - 64;
    assert_int_equal(wire_pack(&f, &p, &len), 0);
    assert_true(len <= WIRE_FRAME_MAX);
    free(p);
}

static void texts_and_times_are_bounded(void **state) {
    (void)state;
    static char text[WIRE_TEXT_MAX + 2];
    Pilotgate__Welcome w = PILOTGATE__WELCOME__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    memset(text, 't', WIRE_TEXT_MAX);
    f.kind_case = PILOTGATE__FRAME__KIND_WELCOME;
    f.welcome = &w;
    w.refused = text;
    expect_taken(&f);
    text[WIRE_TEXT_MAX] = 't';
    expect_refused(&f, "refused has 1025 bytes");
    Pilotgate__ClockProbe c = PILOTGATE__CLOCK_PROBE__INIT;
    f.kind_case = PILOTGATE__FRAME__KIND_CLOCK_PROBE;
    f.clock_probe = &c;
    c.t1_wall_ns = WIRE_NS_MAX;
    expect_taken(&f);
    c.t1_wall_ns = WIRE_NS_MAX + 1;
    expect_refused(&f, "t1_wall_ns is out of range");
    c.t1_wall_ns = -1;
    expect_refused(&f, "t1_wall_ns is out of range");
}

static void texts_come_out_printable(void **state) {
    (void)state;
    static const struct {
        const char *in;
        const char *out;
    } cases[] = {
        {"plain", "plain"},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"a\033[31mb\nc\x7f", "a?[31mb?c?"},
        {"\xff\xc0\x80x", "???x"},
        {"\xed\xa0\x80", "???"}, /* a surrogate */
        {"\xc2\x9b"
         "31m",
         "??31m"}, /* CSI as one C1 control */
        {"cut \xe2\x82", "cut ??"},
        {"\xf4\x90\x80\x80", "????"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Pilotgate__Welcome w = PILOTGATE__WELCOME__INIT;
        Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
        struct err e;
        f.kind_case = PILOTGATE__FRAME__KIND_WELCOME;
        f.welcome = &w;
        w.refused = (char *)cases[i].in;
        Pilotgate__Frame *out = through(&f, &e);
        assert_non_null(out);
        assert_string_equal(out->welcome->refused, cases[i].out);
        wire_free(&out);
    }
}

/* Two bytes a stream must not become a hundred of memory each before the limit is looked at. */
static void amplification_is_bounded(void **state) {
    (void)state;
    uint8_t *p = malloc(WIRE_FRAME_MAX);
    size_t body = WIRE_FRAME_MAX - 8;
    size_t n = 0;
    p[n++] = 0x12; /* hello */
    for (size_t v = body; v; v >>= 7)
        p[n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
    for (size_t i = 0; i < body; i += 2) {
        p[n + i] = 0x32; /* streams, empty */
        p[n + i + 1] = 0;
    }
    Pilotgate__Frame *out = NULL;
    struct err e;
    assert_int_equal(wire_unpack(p, n + body, &out, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "malformed"));
    free(p);
}

static void torn_and_random_bytes(void **state) {
    (void)state;
    Pilotgate__StreamAck a = PILOTGATE__STREAM_ACK__INIT;
    Pilotgate__StreamAck *acks[] = {&a, &a};
    Pilotgate__Ack ack = PILOTGATE__ACK__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    a.boot = BOOT;
    a.acked_seq = 1u << 30;
    ack.streams = acks;
    ack.n_streams = 2;
    ack.reason = (char *)"because";
    f.session = 99;
    f.kind_case = PILOTGATE__FRAME__KIND_ACK;
    f.ack = &ack;
    size_t len = 0;
    uint8_t *p = raw(&f, &len);
    for (size_t n = 0; n < len; n++) {
        uint8_t *exact = malloc(n ? n : 1);
        memcpy(exact, p, n);
        Pilotgate__Frame *out = NULL;
        assert_int_equal(wire_unpack(exact, n, &out, NULL), -EBADMSG);
        free(exact);
    }
    if (len == 0 || len > 128)
        fail_msg("a frame of %zu bytes", len);
    uint32_t x = 12345;
    for (int i = 0; i < 200000; i++) {
        uint8_t noisy[128];
        memcpy(noisy, p, len);
        for (int k = 0; k < 1 + i % 4; k++) {
            x = x * 1664525 + 1013904223;
            noisy[(x >> 8) % (len ? len : 1)] = (uint8_t)(x >> 24);
        }
        Pilotgate__Frame *out = NULL;
        if (wire_unpack(noisy, len, &out, NULL) == 0)
            wire_free(&out);
    }
    free(p);
}

static void names(void **state) {
    (void)state;
    char name[WIRE_NAME_MAX + 2];
    memset(name, 'a', sizeof name);
    name[WIRE_NAME_MAX] = 0;
    assert_true(wire_name_ok(name));
    name[WIRE_NAME_MAX] = 'a';
    name[WIRE_NAME_MAX + 1] = 0;
    assert_false(wire_name_ok(name));
    assert_true(wire_name_ok("a"));
    assert_true(wire_name_ok("Ab-1.c_d"));
    static const char *const bad[] = {"", "-a", "a-", ".", "a b", "a/b", "a\n", "\xc3\xa9", "a:b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(wire_name_ok(bad[i]));
    assert_false(wire_name_ok(NULL));
    char ref[WIRE_REF_MAX];
    assert_string_equal(wire_ref("west", "shop", "n1", boot, 42, ref), "west/shop/n1@deadbeef:42");
}

/* Every number of the schema has a word, 0 and unknown ones have none. */
static void words(void **state) {
    (void)state;
    static const struct {
        const ProtobufCEnumDescriptor *d;
        const char *(*name)(int);
    } tables[] = {
        {&pilotgate__outcome__descriptor, wire_outcome_name},
        {&pilotgate__phase__kind__descriptor, wire_phase_name},
        {&pilotgate__origin__descriptor, wire_origin_name},
    };
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        assert_true(tables[t].d->n_values > 3);
        for (unsigned i = 0; i < tables[t].d->n_values; i++) {
            int value = tables[t].d->values[i].value;
            assert_int_equal(strcmp(tables[t].name(value), "unknown") == 0, value == 0);
        }
        assert_string_equal(tables[t].name(-1), "unknown");
        assert_string_equal(tables[t].name(1000), "unknown");
        assert_string_equal(tables[t].name(INT32_MIN), "unknown");
    }
    assert_string_equal(wire_outcome_name(10), "stream-ended");
    assert_string_equal(wire_phase_name(1), "namespace-created");
    for (int i = 1; i < WIRE_FAMILIES; i++)
        assert_string_not_equal(wire_family_name((enum wire_family)i), "unknown");
    assert_string_equal(wire_family_name((enum wire_family)99), "unknown");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_goes_round),
        cmocka_unit_test(a_frame_needs_a_kind),
        cmocka_unit_test(hello_limits),
        cmocka_unit_test(batch_limits),
        cmocka_unit_test(frame_size),
        cmocka_unit_test(texts_and_times_are_bounded),
        cmocka_unit_test(texts_come_out_printable),
        cmocka_unit_test(amplification_is_bounded),
        cmocka_unit_test(torn_and_random_bytes),
        cmocka_unit_test(names),
        cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
