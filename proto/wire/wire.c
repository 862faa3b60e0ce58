/* wire: see wire.h. The schema says what a field is; the rules here say how large it may be. They are
 * applied by walking the descriptors that protobuf-c generates, so that a field added to the schema is
 * bounded from its first day. */
#include "wire/wire.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "wire/block.h"

#define BUDGET_BASE (64u << 10)
#define BUDGET_PER_BYTE 12u

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

/* Limits by field name; what is not named has the limit of its type: WIRE_TEXT_MAX bytes of text,
 * WIRE_STREAMS_MAX elements. */
static const struct rule {
    const char *message; /* short name */
    const char *field;
    size_t bytes;    /* of a string or of bytes */
    size_t elements; /* of a repeated field */
} rules[] = {
    {"Hello", "cluster", WIRE_NAME_MAX, 0},
    {"Hello", "namespace_name", WIRE_NAME_MAX, 0},
    {"Hello", "node", WIRE_NAME_MAX, 0},
    {"Hello", "probes", WIRE_NAME_MAX, WIRE_BLOCK_PROBES_MAX},
    {"Hello", "store_id", WIRE_NAME_MAX, 0},
    {"Welcome", "store_id", WIRE_NAME_MAX, 0},
    {"Batch", "records", WIRE_RECORD_MAX, WIRE_BATCH_RECORDS_MAX},
    {"CallBlock", "probes", WIRE_NAME_MAX, WIRE_BLOCK_PROBES_MAX},
    {"CallBlock", "tools", WIRE_TEXT_MAX, WIRE_BLOCK_PROBES_MAX},
    {"CallBlock", "targets", WIRE_NAME_MAX, WIRE_BLOCK_PROBES_MAX},
    {"CallBlock", "paths", WIRE_NAME_MAX + 4, WIRE_BLOCK_PROBES_MAX},
    {"CallBlock", "number_delta", 0, WIRE_BLOCK_CALLS_MAX},
    {"CallBlock", "probe", 0, WIRE_BLOCK_CALLS_MAX},
    {"CallBlock", "start_us", 0, WIRE_BLOCK_CALLS_MAX},
    {"CallBlock", "duration_us", 0, WIRE_BLOCK_CALLS_MAX},
    {"CallBlock", "outcome", 0, WIRE_BLOCK_CALLS_MAX},
    {"CallBlock", "connection", 0, WIRE_BLOCK_CALLS_MAX},
    {"CallBlock", "flags", 0, WIRE_BLOCK_CALLS_MAX},
    {"PackedCalls", "entries", 0, WIRE_BLOCK_PROBES_MAX},
    {"PackedCalls", "columns", WIRE_RECORD_MAX, 0},
    {"Entry", "probe", WIRE_NAME_MAX, 0},
    {"Entry", "tool", WIRE_TEXT_MAX, 0},
    {"Entry", "target", WIRE_NAME_MAX, 0},
    {"Entry", "path", WIRE_NAME_MAX + 4, 0},
    {"Call", "probe", WIRE_NAME_MAX, 0},
    {"Call", "target", WIRE_NAME_MAX, 0},
    {"Object", "normal", WIRE_NORMAL_MAX, 0},
    {"Coverage", "probes", 0, WIRE_PATHS_MAX},
    {"Coverage", "sources", 0, WIRE_SOURCES_MAX},
    {"Probe", "name", WIRE_NAME_MAX, 0},
    {"Probe", "open_number_delta", 0, WIRE_BLOCK_CALLS_MAX},
    {"Probe", "open_start_us", 0, WIRE_BLOCK_CALLS_MAX},
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

/* What is checked of each field, found by its name once, as names take longer to compare than values. */
struct field_check {
    const struct rule *rule;
    int64_t min, max; /* of a number; max 0: any */
    bool boot;
};
#define TABLES 64 /* a power of two, more than twice the messages of the schema */
#define FIELDS 512
static struct {
    const ProtobufCMessageDescriptor *d;
    const struct field_check *fields;
} tables[TABLES]; /* by the descriptor's address, open addressing; written once */
static struct field_check fields[FIELDS];
static size_t n_fields;
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static size_t table_of(const ProtobufCMessageDescriptor *d) {
    size_t i = ((uintptr_t)d >> 5) % TABLES;
    while (tables[i].d && tables[i].d != d)
        i = (i + 1) % TABLES;
    return i;
}

/* Times stay in ranges in which the sum of any two fits an int64_t. An unsigned value over INT64_MAX
 * reads as negative and is refused with them. */
static struct field_check check_of(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f) {
    bool is_time = ends_with(f->name, "wall_ns") || ends_with(f->name, "mono_ns");
    bool is_unsigned = f->type == PROTOBUF_C_TYPE_UINT64 || f->type == PROTOBUF_C_TYPE_FIXED64;
    int64_t max = ends_with(f->name, "_ns") || is_time ? WIRE_NS_MAX
                  : ends_with(f->name, "_us")          ? WIRE_US_MAX
                                                       : 0;
    return (struct field_check){rule_of(d, f), is_time || is_unsigned ? 0 : -max, max,
                                strcmp(f->name, "boot") == 0};
}

/* Of this message and all that it can hold. */
static void make_table(const ProtobufCMessageDescriptor *d) {
    size_t at = table_of(d);
    if (tables[at].d)
        return;
    struct field_check *mine = &fields[n_fields];
    n_fields += d->n_fields;
    if (n_fields >
        FIELDS) /* cannot be with the schema that this was compiled with; a test unpacks every kind */
        abort();
    tables[at].d = d;
    tables[at].fields = mine;
    for (unsigned i = 0; i < d->n_fields; i++) {
        mine[i] = check_of(d, &d->fields[i]);
        if (d->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
            make_table(d->fields[i].descriptor);
    }
}

static void make_tables(void) {
    make_table(&pilotgate__frame__descriptor);
    make_table(&pilotgate__record__descriptor);
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

static int check_message(ProtobufCMessage *m, struct err *e);

static int check_bytes(const ProtobufCFieldDescriptor *f, const struct field_check *c, size_t len,
                       struct err *e) {
    size_t max = c->rule && c->rule->bytes ? c->rule->bytes : WIRE_TEXT_MAX;
    if (c->boot && len != WIRE_BOOT_BYTES)
        return err_set(e, -EBADMSG, "boot has %zu bytes, not %d", len, WIRE_BOOT_BYTES);
    if (len > max)
        return err_set(e, -EBADMSG, "%s has %zu bytes, over the limit of %zu", f->name, len, max);
    return 0;
}

/* One value, of a singular field or an element of a repeated one. */
static int check_value(const ProtobufCFieldDescriptor *f, const struct field_check *c, void *value,
                       struct err *e) {
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING: {
        char *s = *(char **)value;
        if (!s || !*s) /* the shared empty string is not ours to write to */
            return 0;
        make_printable(s);
        return check_bytes(f, c, strlen(s), e);
    }
    case PROTOBUF_C_TYPE_BYTES:
        return check_bytes(f, c, ((ProtobufCBinaryData *)value)->len, e);
    case PROTOBUF_C_TYPE_MESSAGE: {
        ProtobufCMessage *sub = *(ProtobufCMessage **)value;
        return sub ? check_message(sub, e) : 0;
    }
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
        if (c->max && (*(int64_t *)value > c->max || *(int64_t *)value < c->min))
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

static int check_repeated(const ProtobufCFieldDescriptor *f, const struct field_check *c, void *field,
                          size_t n, struct err *e) {
    size_t max = c->rule && c->rule->elements ? c->rule->elements : WIRE_STREAMS_MAX;
    if (n > max)
        return err_set(e, -EBADMSG, "%s has %zu elements, over the limit of %zu", f->name, n, max);
    char *items = *(char **)field;
    size_t step = size_of(f->type);
    for (size_t i = 0; step && i < n; i++) {
        int r = check_value(f, c, items + i * step, e);
        if (r < 0)
            return r;
    }
    return 0;
}

static int check_message(ProtobufCMessage *m, struct err *e) {
    const ProtobufCMessageDescriptor *d = m->descriptor;
    const struct field_check *checks = tables[table_of(d)].fields;
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        char *field = (char *)m + f->offset;
        const char *quantifier = (char *)m + f->quantifier_offset;
        int r;
        if (f->label == PROTOBUF_C_LABEL_REPEATED)
            r = check_repeated(f, &checks[i], field, *(const size_t *)quantifier, e);
        else if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && *(const uint32_t *)quantifier != f->id)
            continue;
        else
            r = check_value(f, &checks[i], field, e);
        if (r < 0)
            return err_prefix(e, r, "%s", d->short_name);
    }
    return 0;
}

static int check_all(ProtobufCMessage *m, struct err *e) {
    (void)pthread_once(&tables_once, make_tables);
    return check_message(m, e);
}

/* ---------------------------------------------------------------- frames */

int wire_pack(const Pilotgate__Frame *f, uint8_t **ret, size_t *ret_len) {
    size_t len = pilotgate__frame__get_packed_size(f);
    if (len > WIRE_FRAME_MAX)
        return -EMSGSIZE;
    uint8_t *p = malloc(len ? len : 1);
    if (!p)
        return -ENOMEM;
    *ret_len = pilotgate__frame__pack(f, p);
    *ret = p;
    return 0;
}

static int check_batch(const Pilotgate__Batch *b, struct err *e) {
    if (b->boot.len != WIRE_BOOT_BYTES)
        return err_set(e, -EBADMSG, "batch without a boot");
    if (b->first_seq == 0 || b->first_seq > WIRE_SEQ_MAX)
        return err_set(e, -EBADMSG, "batch: first_seq is out of range");
    for (size_t i = 0; i < b->n_records; i++)
        if (b->records[i].len == 0)
            return err_set(e, -EBADMSG, "batch: record %zu is empty", i);
    return 0;
}

static int check_frame(const Pilotgate__Frame *f, struct err *e) {
    switch (f->kind_case) {
    case PILOTGATE__FRAME__KIND__NOT_SET:
        return err_set(e, -EBADMSG, "frame of an unknown kind: is the other side a newer version?");
    case PILOTGATE__FRAME__KIND_BATCH:
        return check_batch(f->batch, e);
    case PILOTGATE__FRAME__KIND_BYE:
        if (f->bye->boot.len != WIRE_BOOT_BYTES)
            return err_set(e, -EBADMSG, "bye without a boot");
        return 0;
    default:
        return 0;
    }
}

int wire_unpack(const uint8_t *data, size_t len, Pilotgate__Frame **ret, struct err *e) {
    if (len > WIRE_FRAME_MAX)
        return err_set(e, -EBADMSG, "frame of %zu bytes is over the limit of %u", len, WIRE_FRAME_MAX);
    ProtobufCMessage *m = NULL;
    int r = unpack(&pilotgate__frame__descriptor, data, len, &m, e);
    if (r < 0 || !m)
        return r;
    Pilotgate__Frame *f = (Pilotgate__Frame *)m;
    r = check_all(m, e);
    if (r == 0)
        r = check_frame(f, e);
    if (r < 0)
        wire_free(&f);
    else
        *ret = f;
    return r;
}

void wire_free(Pilotgate__Frame **f) {
    if (!f || !*f)
        return;
    pilotgate__frame__free_unpacked(*f, NULL);
    *f = NULL;
}

/* ---------------------------------------------------------------- records */

static int check_columns(const Pilotgate__CallBlock *b, struct err *e) {
    size_t n = b->n_number_delta;
    if (b->n_probe != n || b->n_start_us != n || b->n_duration_us != n || b->n_outcome != n ||
        b->n_connection != n || b->n_flags != n)
        return err_set(e, -EBADMSG, "call block: columns of different length");
    if (b->n_tools != b->n_probes || b->n_targets != b->n_probes || (b->n_paths && b->n_paths != b->n_probes))
        return err_set(e, -EBADMSG, "call block: probes, tools and targets differ in number");
    return 0;
}

static int check_block(const Pilotgate__CallBlock *b, struct err *e) {
    int r = check_columns(b, e);
    int64_t number = (int64_t)b->first_number;
    if (r == 0 && b->first_number > WIRE_SEQ_MAX)
        r = err_set(e, -EBADMSG, "call block: first_number is out of range");
    for (size_t i = 0; r == 0 && i < b->n_number_delta; i++) {
        int64_t delta = b->number_delta[i];
        if (delta < -(int64_t)WIRE_SEQ_MAX || delta > (int64_t)WIRE_SEQ_MAX || number + delta < 1 ||
            number + delta > (int64_t)WIRE_SEQ_MAX)
            return err_set(e, -EBADMSG, "call block: number of call %zu is out of range", i);
        number += delta;
        if (b->probe[i] >= b->n_probes)
            return err_set(e, -EBADMSG, "call block: call %zu names no probe of the table", i);
    }
    return r;
}

static int check_coverage(const Pilotgate__Coverage *c, struct err *e) {
    for (size_t i = 0; i < c->n_probes; i++)
        if (c->probes[i]->n_open_number_delta != c->probes[i]->n_open_start_us)
            return err_set(e, -EBADMSG, "coverage: columns of different length");
    return 0;
}

/* From here on a block has one form, whichever it came in. */
static int take_packed(Pilotgate__Record *r, struct err *e) {
    Pilotgate__CallBlock *b = NULL;
    int code = block_unpack(r->packed_calls, &b, e);
    if (code < 0)
        return code;
    pilotgate__packed_calls__free_unpacked(r->packed_calls, NULL);
    r->body_case = PILOTGATE__RECORD__BODY_CALLS;
    r->calls = b;
    return 0;
}

static int check_record(const Pilotgate__Record *r, struct err *e) {
    switch (wire_family(r)) {
    case WIRE_FAMILY_NONE: /* a newer agent's family is an unknown field to us */
        return r->base.n_unknown_fields ? 0 : err_set(e, -EBADMSG, "record without a body");
    case WIRE_FAMILY_CALLS:
        return r->body_case == PILOTGATE__RECORD__BODY_CALLS ? check_block(r->calls, e) : 0;
    case WIRE_FAMILY_COVERAGE:
        return check_coverage(r->coverage, e);
    default:
        return 0;
    }
}

int wire_record_unpack_packed(const uint8_t *data, size_t len, Pilotgate__Record **ret, struct err *e) {
    if (len > WIRE_RECORD_MAX)
        return err_set(e, -EBADMSG, "record of %zu bytes is over the limit of %u", len, WIRE_RECORD_MAX);
    ProtobufCMessage *m = NULL;
    int r = unpack(&pilotgate__record__descriptor, data, len, &m, e);
    if (r < 0 || !m)
        return r;
    Pilotgate__Record *rec = (Pilotgate__Record *)m;
    r = check_all(m, e);
    if (r == 0)
        r = check_record(rec, e);
    if (r < 0)
        wire_record_free(&rec);
    else
        *ret = rec;
    return r;
}

int wire_record_unpack(const uint8_t *data, size_t len, Pilotgate__Record **ret, struct err *e) {
    Pilotgate__Record *rec = NULL;
    int r = wire_record_unpack_packed(data, len, &rec, e);
    if (r == 0 && rec->body_case == PILOTGATE__RECORD__BODY_PACKED_CALLS)
        r = take_packed(rec, e);
    if (r < 0)
        wire_record_free(&rec);
    else
        *ret = rec;
    return r;
}

void wire_record_free(Pilotgate__Record **r) {
    if (!r || !*r)
        return;
    pilotgate__record__free_unpacked(*r, NULL);
    *r = NULL;
}
