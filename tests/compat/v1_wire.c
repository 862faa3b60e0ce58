/* v1_wire: how version 0.1 decoded frames and records, as of commit 95adee8 and never to be changed: see
 * v1_wire.h. Only its names were given the prefix of this folder, and what compat programs do not use was
 * left out. */
#include "v1_wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUDGET_BASE (64u << 10)
#define BUDGET_PER_BYTE 12u

enum v1_family v1_family(const PilotgateV1__Record *r) {
    switch (r->body_case) {
    case PILOTGATE_V1__RECORD__BODY_TIMING:
        return V1_FAMILY_TIMING;
    case PILOTGATE_V1__RECORD__BODY_PHASE:
        return V1_FAMILY_PHASE;
    case PILOTGATE_V1__RECORD__BODY_CALLS:
        return V1_FAMILY_CALLS;
    case PILOTGATE_V1__RECORD__BODY_CALL:
        return V1_FAMILY_CALL;
    case PILOTGATE_V1__RECORD__BODY_OBJECT:
        return V1_FAMILY_OBJECT;
    case PILOTGATE_V1__RECORD__BODY_COVERAGE:
        return V1_FAMILY_COVERAGE;
    case PILOTGATE_V1__RECORD__BODY_LOSS:
        return V1_FAMILY_LOSS;
    default:
        return V1_FAMILY_NONE;
    }
}

/* ---------------------------------------------------------------- bounded unpacking */

/* Two bytes of hostile input can ask protobuf-c for a hundred of memory; the budget ends that. What is
 * unpacked is freed by the plain allocator: both are malloc and free. */
struct budget {
    size_t left;
    bool oom; /* malloc failed, not the budget */
};

static void *budget_alloc(void *data, size_t size) {
    struct budget *b = data;
    if (size > b->left)
        return NULL;
    b->left -= size;
    void *p = malloc(size);
    b->oom = b->oom || !p;
    return p;
}

static void budget_free(void *data, void *p) {
    (void)data;
    free(p);
}

static int unpack(const ProtobufCMessageDescriptor *d, const uint8_t *data, size_t len,
                  ProtobufCMessage **ret, struct err *e) {
    struct budget b = {.left = BUDGET_BASE + BUDGET_PER_BYTE * len};
    ProtobufCAllocator a = {.alloc = budget_alloc, .free = budget_free, .allocator_data = &b};
    ProtobufCMessage *m = protobuf_c_message_unpack(d, &a, len, data);
    if (!m)
        return b.oom ? err_oom(e) : err_set(e, -EBADMSG, "malformed %s of %zu bytes", d->short_name, len);
    *ret = m;
    return 0;
}

/* ---------------------------------------------------------------- rules for every field */

/* Limits by field name; what is not named has the limit of its type: V1_TEXT_MAX bytes of text,
 * V1_STREAMS_MAX elements. */
static const struct rule {
    const char *message; /* short name */
    const char *field;
    size_t bytes;    /* of a string or of bytes */
    size_t elements; /* of a repeated field */
} rules[] = {
    {"Hello", "cluster", V1_NAME_MAX, 0},
    {"Hello", "namespace_name", V1_NAME_MAX, 0},
    {"Hello", "node", V1_NAME_MAX, 0},
    {"Hello", "probes", V1_NAME_MAX, V1_BLOCK_PROBES_MAX},
    {"Batch", "records", V1_RECORD_MAX, V1_BATCH_RECORDS_MAX},
    {"CallBlock", "probes", V1_NAME_MAX, V1_BLOCK_PROBES_MAX},
    {"CallBlock", "tools", V1_TEXT_MAX, V1_BLOCK_PROBES_MAX},
    {"CallBlock", "targets", V1_NAME_MAX, V1_BLOCK_PROBES_MAX},
    {"CallBlock", "paths", V1_NAME_MAX + 4, V1_BLOCK_PROBES_MAX},
    {"CallBlock", "number_delta", 0, V1_BLOCK_CALLS_MAX},
    {"CallBlock", "probe", 0, V1_BLOCK_CALLS_MAX},
    {"CallBlock", "start_us", 0, V1_BLOCK_CALLS_MAX},
    {"CallBlock", "duration_us", 0, V1_BLOCK_CALLS_MAX},
    {"CallBlock", "outcome", 0, V1_BLOCK_CALLS_MAX},
    {"CallBlock", "connection", 0, V1_BLOCK_CALLS_MAX},
    {"CallBlock", "flags", 0, V1_BLOCK_CALLS_MAX},
    {"Call", "probe", V1_NAME_MAX, 0},
    {"Call", "target", V1_NAME_MAX, 0},
    {"Object", "normal", V1_NORMAL_MAX, 0},
    {"Coverage", "probes", 0, V1_PATHS_MAX},
    {"Coverage", "sources", 0, V1_SOURCES_MAX},
    {"Probe", "name", V1_NAME_MAX, 0},
    {"Probe", "open_number_delta", 0, V1_BLOCK_CALLS_MAX},
    {"Probe", "open_start_us", 0, V1_BLOCK_CALLS_MAX},
};

static const struct rule *rule_of(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f) {
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (strcmp(rules[i].field, f->name) == 0 && strcmp(rules[i].message, d->short_name) == 0)
            return &rules[i];
    return NULL;
}

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s);
    size_t m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* Length of the valid UTF-8 sequence at p (RFC 3629), 0 when there is none. p ends with NUL. */
static size_t utf8_len(const unsigned char *p) {
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

/* Texts reach terminals and JSON: what is no UTF-8, and control characters, become '?'. */
static void make_printable(char *s) {
    unsigned char *p = (unsigned char *)s;
    while (*p) {
        size_t n = utf8_len(p);
        if (n == 0 || *p < 0x20 || *p == 0x7f) {
            *p++ = '?';
            continue;
        }
        if (n == 2 && p[0] == 0xc2 && p[1] < 0xa0) /* C1 controls */
            p[0] = p[1] = '?';
        p += n;
    }
}

/* Times stay in ranges in which the sum of any two fits an int64_t. An unsigned value over INT64_MAX
 * reads as negative here and is refused with them. */
static bool number_ok(const ProtobufCFieldDescriptor *f, int64_t v) {
    bool is_time = ends_with(f->name, "wall_ns") || ends_with(f->name, "mono_ns");
    bool is_unsigned = f->type == PROTOBUF_C_TYPE_UINT64 || f->type == PROTOBUF_C_TYPE_FIXED64;
    int64_t max = ends_with(f->name, "_ns") || is_time ? V1_NS_MAX
                  : ends_with(f->name, "_us")          ? V1_US_MAX
                                                       : 0;
    return max == 0 || (v <= max && v >= (is_time || is_unsigned ? 0 : -max));
}

static int check_message(ProtobufCMessage *m, struct err *e);

static int check_bytes(const ProtobufCFieldDescriptor *f, const struct rule *rule, size_t len,
                       struct err *e) {
    size_t max = rule && rule->bytes ? rule->bytes : V1_TEXT_MAX;
    if (strcmp(f->name, "boot") == 0 && len != V1_BOOT_BYTES)
        return err_set(e, -EBADMSG, "boot has %zu bytes, not %d", len, V1_BOOT_BYTES);
    if (len > max)
        return err_set(e, -EBADMSG, "%s has %zu bytes, over the limit of %zu", f->name, len, max);
    return 0;
}

/* One value, of a singular field or an element of a repeated one. */
static int check_value(const ProtobufCFieldDescriptor *f, const struct rule *rule, void *value,
                       struct err *e) {
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING: {
        char *s = *(char **)value;
        if (!s || !*s) /* the shared empty string is not ours to write to */
            return 0;
        make_printable(s);
        return check_bytes(f, rule, strlen(s), e);
    }
    case PROTOBUF_C_TYPE_BYTES:
        return check_bytes(f, rule, ((ProtobufCBinaryData *)value)->len, e);
    case PROTOBUF_C_TYPE_MESSAGE: {
        ProtobufCMessage *sub = *(ProtobufCMessage **)value;
        return sub ? check_message(sub, e) : 0;
    }
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
        if (!number_ok(f, *(int64_t *)value))
            return err_set(e, -EBADMSG, "%s is out of range", f->name);
        return 0;
    default:
        return 0;
    }
}

static size_t size_of(ProtobufCType type) {
    switch (type) {
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return sizeof(int64_t);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return 0; /* no rule looks at smaller ones */
    }
}

static int check_repeated(const ProtobufCFieldDescriptor *f, const struct rule *rule, void *field, size_t n,
                          struct err *e) {
    size_t max = rule && rule->elements ? rule->elements : V1_STREAMS_MAX;
    if (n > max)
        return err_set(e, -EBADMSG, "%s has %zu elements, over the limit of %zu", f->name, n, max);
    char *items = *(char **)field;
    size_t step = size_of(f->type);
    for (size_t i = 0; step && i < n; i++) {
        int r = check_value(f, rule, items + i * step, e);
        if (r < 0)
            return r;
    }
    return 0;
}

static int check_message(ProtobufCMessage *m, struct err *e) {
    const ProtobufCMessageDescriptor *d = m->descriptor;
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        const struct rule *rule = rule_of(d, f);
        char *field = (char *)m + f->offset;
        const char *quantifier = (char *)m + f->quantifier_offset;
        int r;
        if (f->label == PROTOBUF_C_LABEL_REPEATED)
            r = check_repeated(f, rule, field, *(const size_t *)quantifier, e);
        else if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && *(const uint32_t *)quantifier != f->id)
            continue;
        else
            r = check_value(f, rule, field, e);
        if (r < 0)
            return err_prefix(e, r, "%s", d->short_name);
    }
    return 0;
}

/* ---------------------------------------------------------------- frames */

int v1_pack(const PilotgateV1__Frame *f, uint8_t **ret, size_t *ret_len) {
    size_t len = pilotgate_v1__frame__get_packed_size(f);
    if (len > V1_FRAME_MAX)
        return -EMSGSIZE;
    uint8_t *p = malloc(len ? len : 1);
    if (!p)
        return -ENOMEM;
    *ret_len = pilotgate_v1__frame__pack(f, p);
    *ret = p;
    return 0;
}

static int check_batch(const PilotgateV1__Batch *b, struct err *e) {
    if (b->boot.len != V1_BOOT_BYTES)
        return err_set(e, -EBADMSG, "batch without a boot");
    if (b->first_seq == 0 || b->first_seq > V1_SEQ_MAX)
        return err_set(e, -EBADMSG, "batch: first_seq is out of range");
    for (size_t i = 0; i < b->n_records; i++)
        if (b->records[i].len == 0)
            return err_set(e, -EBADMSG, "batch: record %zu is empty", i);
    return 0;
}

static int check_frame(const PilotgateV1__Frame *f, struct err *e) {
    switch (f->kind_case) {
    case PILOTGATE_V1__FRAME__KIND__NOT_SET:
        return err_set(e, -EBADMSG, "frame of an unknown kind: is the other side a newer version?");
    case PILOTGATE_V1__FRAME__KIND_BATCH:
        return check_batch(f->batch, e);
    case PILOTGATE_V1__FRAME__KIND_BYE:
        if (f->bye->boot.len != V1_BOOT_BYTES)
            return err_set(e, -EBADMSG, "bye without a boot");
        return 0;
    default:
        return 0;
    }
}

int v1_unpack(const uint8_t *data, size_t len, PilotgateV1__Frame **ret, struct err *e) {
    if (len > V1_FRAME_MAX)
        return err_set(e, -EBADMSG, "frame of %zu bytes is over the limit of %u", len, V1_FRAME_MAX);
    ProtobufCMessage *m = NULL;
    int r = unpack(&pilotgate_v1__frame__descriptor, data, len, &m, e);
    if (r < 0 || !m)
        return r;
    PilotgateV1__Frame *f = (PilotgateV1__Frame *)m;
    r = check_message(m, e);
    if (r == 0)
        r = check_frame(f, e);
    if (r < 0)
        v1_free(&f);
    else
        *ret = f;
    return r;
}

void v1_free(PilotgateV1__Frame **f) {
    if (!f || !*f)
        return;
    pilotgate_v1__frame__free_unpacked(*f, NULL);
    *f = NULL;
}

/* ---------------------------------------------------------------- records */

static int check_columns(const PilotgateV1__CallBlock *b, struct err *e) {
    size_t n = b->n_number_delta;
    if (b->n_probe != n || b->n_start_us != n || b->n_duration_us != n || b->n_outcome != n ||
        b->n_connection != n || b->n_flags != n)
        return err_set(e, -EBADMSG, "call block: columns of different length");
    if (b->n_tools != b->n_probes || b->n_targets != b->n_probes || (b->n_paths && b->n_paths != b->n_probes))
        return err_set(e, -EBADMSG, "call block: probes, tools and targets differ in number");
    return 0;
}

static int check_block(const PilotgateV1__CallBlock *b, struct err *e) {
    int r = check_columns(b, e);
    int64_t number = (int64_t)b->first_number;
    if (r == 0 && b->first_number > V1_SEQ_MAX)
        r = err_set(e, -EBADMSG, "call block: first_number is out of range");
    for (size_t i = 0; r == 0 && i < b->n_number_delta; i++) {
        int64_t delta = b->number_delta[i];
        if (delta < -(int64_t)V1_SEQ_MAX || delta > (int64_t)V1_SEQ_MAX || number + delta < 1 ||
            number + delta > (int64_t)V1_SEQ_MAX)
            return err_set(e, -EBADMSG, "call block: number of call %zu is out of range", i);
        number += delta;
        if (b->probe[i] >= b->n_probes)
            return err_set(e, -EBADMSG, "call block: call %zu names no probe of the table", i);
    }
    return r;
}

static int check_coverage(const PilotgateV1__Coverage *c, struct err *e) {
    for (size_t i = 0; i < c->n_probes; i++)
        if (c->probes[i]->n_open_number_delta != c->probes[i]->n_open_start_us)
            return err_set(e, -EBADMSG, "coverage: columns of different length");
    return 0;
}

static int check_record(const PilotgateV1__Record *r, struct err *e) {
    switch (v1_family(r)) {
    case V1_FAMILY_NONE: /* a newer agent's family is an unknown field to us */
        return r->base.n_unknown_fields ? 0 : err_set(e, -EBADMSG, "record without a body");
    case V1_FAMILY_CALLS:
        return check_block(r->calls, e);
    case V1_FAMILY_COVERAGE:
        return check_coverage(r->coverage, e);
    default:
        return 0;
    }
}

int v1_record_unpack(const uint8_t *data, size_t len, PilotgateV1__Record **ret, struct err *e) {
    if (len > V1_RECORD_MAX)
        return err_set(e, -EBADMSG, "record of %zu bytes is over the limit of %u", len, V1_RECORD_MAX);
    ProtobufCMessage *m = NULL;
    int r = unpack(&pilotgate_v1__record__descriptor, data, len, &m, e);
    if (r < 0 || !m)
        return r;
    PilotgateV1__Record *rec = (PilotgateV1__Record *)m;
    r = check_message(m, e);
    if (r == 0)
        r = check_record(rec, e);
    if (r < 0)
        v1_record_free(&rec);
    else
        *ret = rec;
    return r;
}

void v1_record_free(PilotgateV1__Record **r) {
    if (!r || !*r)
        return;
    pilotgate_v1__record__free_unpacked(*r, NULL);
    *r = NULL;
}
