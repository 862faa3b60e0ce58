/* slim: a coverage record without its list of sources, which verdicts do not read and which is most of it. A
 * stage of a thousand agents tells two thousand of them every second of a window: what is not read is not
 * decoded.
 *
 * The wire format is protobuf's (protobuf.dev/programming-guides/encoding): fields of a varint tag, number <<
 * 3 | type, and a value; type 0 is a varint, 1 eight bytes, 2 a varint length and so many bytes, 5 four
 * bytes. */
#include <string.h>

#include "correlate/slim.h"

enum { COVERAGE = 9, SOURCES = 3 }; /* numbers in Record and in Coverage */

struct reader {
    const uint8_t *at, *end;
};

static bool varint(struct reader *r, uint64_t *ret) {
    *ret = 0;
    for (unsigned shift = 0; r->at < r->end && shift < 64; shift += 7) {
        uint8_t b = *r->at++;
        *ret |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return true;
    }
    return false;
}

struct field {
    uint64_t number;
    const uint8_t *begin, *end; /* with its tag */
    const uint8_t *value;       /* of type 2: its bytes; else NULL */
};

/* 1: there is one, 0: the end, -1: this is no protobuf. */
static int next(struct reader *r, struct field *f) {
    uint64_t tag, n = 0;
    *f = (struct field){.begin = r->at};
    if (r->at == r->end)
        return 0;
    if (!varint(r, &tag))
        return -1;
    f->number = tag >> 3;
    switch (tag & 7) {
    case 0:
        if (!varint(r, &n))
            return -1;
        n = 0;
        break;
    case 1:
        n = 8;
        break;
    case 2:
        if (!varint(r, &n))
            return -1;
        f->value = r->at;
        break;
    case 5:
        n = 4;
        break;
    default:
        return -1;
    }
    if (n > (uint64_t)(r->end - r->at))
        return -1;
    r->at += n;
    f->end = r->at;
    return 1;
}

static size_t put_varint(uint8_t *out, uint64_t v) {
    size_t n = 0;
    for (; v > 0x7f; v >>= 7)
        out[n++] = (uint8_t)(v | 0x80);
    out[n++] = (uint8_t)v;
    return n;
}

/* The coverage itself without its sources; its length, or -1. */
static long slim_coverage(struct reader r, uint8_t *out) {
    struct field f;
    size_t n = 0;
    int more;
    while ((more = next(&r, &f)) > 0) {
        if (f.number == SOURCES && f.value)
            continue;
        memcpy(out + n, f.begin, (size_t)(f.end - f.begin));
        n += (size_t)(f.end - f.begin);
    }
    return more < 0 ? -1 : (long)n;
}

size_t corr_slim(const uint8_t *record, size_t len, uint8_t *out, uint8_t *scratch) {
    struct reader r = {record, record + len};
    struct field f;
    size_t n = 0;
    int more;
    while ((more = next(&r, &f)) > 0) {
        if (f.number == COVERAGE && f.value) {
            long inside = slim_coverage((struct reader){f.value, f.end}, scratch);
            if (inside < 0)
                return 0;
            n += put_varint(out + n, COVERAGE << 3 | 2);
            n += put_varint(out + n, (uint64_t)inside);
            memcpy(out + n, scratch, (size_t)inside);
            n += (size_t)inside;
        } else {
            memcpy(out + n, f.begin, (size_t)(f.end - f.begin));
            n += (size_t)(f.end - f.begin);
        }
    }
    return more < 0 ? 0 : n;
}

/* ---- which coverage tells of the Kubernetes API */

enum { SOURCE_NAME = 1, SOURCE_KIND = 5 };

static bool is_text(const struct field *f, const char *text) {
    size_t n = strlen(text);
    return f->value && (size_t)(f->end - f->value) == n && memcmp(f->value, text, n) == 0;
}

static void look_at_source(struct reader r, bool *ret_pods, bool *ret_full) {
    struct field f;
    while (next(&r, &f) > 0) {
        *ret_pods |= f.number == SOURCE_NAME && is_text(&f, "pods");
        *ret_full |= f.number == SOURCE_KIND && f.value && f.end > f.value;
    }
}

bool corr_covers_kube(const uint8_t *record, size_t len, bool *ret_full) {
    struct reader r = {record, record + len};
    struct field f, s;
    bool pods = false;
    *ret_full = false;
    while (next(&r, &f) > 0) {
        if (f.number != COVERAGE || !f.value)
            continue;
        struct reader c = {f.value, f.end};
        while (next(&c, &s) > 0)
            if (s.number == SOURCES && s.value)
                look_at_source((struct reader){s.value, s.end}, &pods, ret_full);
    }
    return pods;
}
