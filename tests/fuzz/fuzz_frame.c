/* Frames and records, as they come from the other side: whatever is taken keeps what readers rely on, and is
 * taken again when it is written again. The first byte says whether the rest is a frame or a record. */
#include <string.h>

#include "fuzz.h"
#include "wire/wire.h"

/* Fields of a newer schema are kept as bytes and never written by us; protobuf-c reads field number 0 when
 * its tag is longer than it need be, and not when it is written again. */
static void drop_unknown(ProtobufCMessage *m) {
    for (unsigned i = 0; i < m->n_unknown_fields; i++)
        free(m->unknown_fields[i].data);
    free(m->unknown_fields);
    m->unknown_fields = NULL;
    m->n_unknown_fields = 0;
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        void *field = (char *)m + f->offset;
        const void *quantifier = (char *)m + f->quantifier_offset;
        if (f->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        size_t n = f->label == PROTOBUF_C_LABEL_REPEATED    ? *(const size_t *)quantifier
                   : f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF ? *(const uint32_t *)quantifier == f->id
                                                            : *(void **)field != NULL;
        ProtobufCMessage **all = f->label == PROTOBUF_C_LABEL_REPEATED ? *(ProtobufCMessage ***)field : field;
        for (size_t k = 0; k < n; k++)
            drop_unknown(all[k]);
    }
}

static void check_block(const Pilotgate__CallBlock *b) {
    size_t n = b->n_outcome;
    uint64_t number = b->first_number;
    MUST(n <= WIRE_BLOCK_CALLS_MAX && b->n_probes <= WIRE_BLOCK_PROBES_MAX);
    MUST(b->n_number_delta == n && b->n_probe == n && b->n_start_us == n && b->n_duration_us == n);
    MUST(b->n_connection == n && b->n_flags == n);
    MUST(b->n_tools == b->n_probes && b->n_targets == b->n_probes);
    MUST(b->n_paths == 0 || b->n_paths == b->n_probes);
    for (size_t i = 0; i < n; i++) {
        number += (uint64_t)b->number_delta[i];
        MUST(number >= 1 && number <= WIRE_SEQ_MAX);
        MUST(b->probe[i] < b->n_probes);
        MUST(b->start_us[i] <= WIRE_US_MAX && b->start_us[i] >= -WIRE_US_MAX);
        MUST(b->duration_us[i] <= (uint64_t)WIRE_US_MAX);
    }
}

static void check_text(const char *s, size_t max) {
    size_t n = strlen(s);
    MUST(n <= max);
    for (size_t i = 0; i < n; i++)
        MUST((unsigned char)s[i] >= 0x20 && s[i] != 0x7f);
}

static void check_known(const Pilotgate__Record *r) {
    switch (r->body_case) {
    case PILOTGATE__RECORD__BODY_CALLS:
        check_block(r->calls);
        break;
    case PILOTGATE__RECORD__BODY_CALL:
        check_text(r->call->probe, WIRE_NAME_MAX);
        check_text(r->call->detail, WIRE_TEXT_MAX);
        break;
    case PILOTGATE__RECORD__BODY_OBJECT:
        check_text(r->object->normal, WIRE_NORMAL_MAX);
        break;
    case PILOTGATE__RECORD__BODY_COVERAGE:
        MUST(r->coverage->n_probes <= WIRE_PATHS_MAX && r->coverage->n_sources <= WIRE_SOURCES_MAX);
        break;
    default:
        MUST(r->body_case != PILOTGATE__RECORD__BODY_PACKED_CALLS); /* these became `calls` */
    }
}

static void check_record(const uint8_t *data, size_t size, int again) {
    Pilotgate__Record *r = NULL;
    struct err e = {""};
    if (wire_record_unpack(data, size, &r, &e) < 0) {
        MUST(!r && e.text[0] && !again);
        return;
    }
    check_known(r);
    MUST(wire_family(r) != WIRE_FAMILY_NONE || r->base.n_unknown_fields > 0);
    int known = wire_family(r) != WIRE_FAMILY_NONE;
    drop_unknown(&r->base);
    size_t len = pilotgate__record__get_packed_size(r);
    uint8_t *bytes = malloc(len ? len : 1);
    MUST(bytes && pilotgate__record__pack(r, bytes) == len);
    wire_record_free(&r);
    /* a packed block is longer in its older form, and may be too long then */
    if (!again && known && len <= WIRE_RECORD_MAX)
        check_record(bytes, len, 1);
    free(bytes);
}

static void check_frame(const uint8_t *data, size_t size) {
    Pilotgate__Frame *f = NULL;
    Pilotgate__Frame *g = NULL;
    struct err e = {""};
    if (wire_unpack(data, size, &f, &e) < 0) {
        MUST(!f && e.text[0]);
        return;
    }
    uint8_t *bytes = NULL;
    size_t len = 0;
    drop_unknown(&f->base);
    MUST(wire_pack(f, &bytes, &len) == 0 && wire_unpack(bytes, len, &g, &e) == 0);
    MUST(g->kind_case == f->kind_case);
    if (f->kind_case == PILOTGATE__FRAME__KIND_HELLO)
        check_text(f->hello->node, WIRE_NAME_MAX);
    if (f->kind_case == PILOTGATE__FRAME__KIND_BATCH)
        for (size_t i = 0; i < f->batch->n_records; i++)
            check_record(f->batch->records[i].data, f->batch->records[i].len, 0);
    free(bytes);
    wire_free(&f);
    wire_free(&g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    if (data[0] & 1)
        check_record(data + 1, size - 1, 0);
    else
        check_frame(data + 1, size - 1);
    return 0;
}
