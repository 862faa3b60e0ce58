/* segment: the bytes of one segment file, as FORMAT.md draws them. */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "spool_priv.h"

#define RESYNC_WINDOW (16u << 10)
#define BOOT_HEX ((size_t)2 * SPOOL_BOOT_BYTES)
#define NAME_STEM (BOOT_HEX + 1 + 16)
#define WAITING ".seg"
#define KEPT ".kept"
#define SEQ_MAX (UINT64_MAX / 4) /* far from where sums of numbers could wrap */

static const char magic[8] = {'P', 'G', 'S', 'P', 'O', 'O', 'L', '\n'};

static void put_u32(uint8_t *p, uint32_t v) {
    v = htole32(v);
    memcpy(p, &v, sizeof v);
}

static void put_u64(uint8_t *p, uint64_t v) {
    v = htole64(v);
    memcpy(p, &v, sizeof v);
}

static uint32_t get_u32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static uint64_t get_u64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

static uint32_t checksum(uint32_t crc, const void *data, size_t len) {
    return (uint32_t)crc32(crc, data, (uInt)len);
}

void segment_name(const uint8_t *boot, uint64_t first_seq, bool kept, char out[SEGMENT_NAME_MAX]) {
    for (size_t i = 0; i < SPOOL_BOOT_BYTES; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", boot[i]);
    (void)snprintf(out + BOOT_HEX, SEGMENT_NAME_MAX - BOOT_HEX, "-%016llx%s", (unsigned long long)first_seq,
                   kept ? KEPT : WAITING);
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool segment_parse_name(const char *name, uint8_t *boot, uint64_t *ret_first_seq, bool *ret_kept) {
    if (strnlen(name, NAME_STEM) < NAME_STEM || name[BOOT_HEX] != '-')
        return false;
    bool kept = strcmp(name + NAME_STEM, KEPT) == 0;
    if (!kept && strcmp(name + NAME_STEM, WAITING) != 0)
        return false;
    for (size_t i = 0; i < SPOOL_BOOT_BYTES; i++) {
        int hi = hex_digit(name[2 * i]);
        int lo = hex_digit(name[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return false;
        boot[i] = (uint8_t)(hi << 4 | lo);
    }
    uint64_t seq = 0;
    for (const char *p = name + BOOT_HEX + 1; p < name + NAME_STEM; p++) {
        int digit = hex_digit(*p);
        if (digit < 0)
            return false;
        seq = seq << 4 | (uint64_t)digit;
    }
    *ret_first_seq = seq;
    *ret_kept = kept;
    return seq > 0 && seq <= SEQ_MAX;
}

void segment_header_encode(const struct segment_header *h, uint8_t out[SEGMENT_HEADER_BYTES]) {
    memcpy(out, magic, sizeof magic);
    put_u32(out + 8, SEGMENT_VERSION);
    memcpy(out + 12, h->boot, SPOOL_BOOT_BYTES);
    put_u64(out + 28, h->first_seq);
    put_u64(out + 36, h->generation);
    put_u32(out + 44, checksum(0, out, 44));
}

/* All of len bytes at offset; -EBADMSG when the disk does not give them. */
static int read_exactly(int fd, void *out, size_t len, int64_t offset) {
    char *p = out;
    while (len > 0) {
        ssize_t n = pread(fd, p, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -EBADMSG;
        p += n;
        len -= (size_t)n;
        offset += n;
    }
    return 0;
}

int segment_header_read(int fd, struct segment_header *ret) {
    uint8_t h[SEGMENT_HEADER_BYTES];
    int r = read_exactly(fd, h, sizeof h, 0);
    if (r < 0)
        return r;
    if (memcmp(h, magic, sizeof magic) != 0 || get_u32(h + 44) != checksum(0, h, 44))
        return -EBADMSG;
    if (get_u32(h + 8) != SEGMENT_VERSION)
        return -EPROTO;
    memcpy(ret->boot, h + 12, SPOOL_BOOT_BYTES);
    ret->first_seq = get_u64(h + 28);
    ret->generation = get_u64(h + 36);
    return 0;
}

/* The checksum covers length, seq and content, so that a record cannot pass for another. */
static uint32_t record_checksum(const uint8_t *h, const void *data, size_t len) {
    return checksum(checksum(checksum(0, h, 4), h + 8, 8), data, len);
}

void segment_record_encode(uint64_t seq, const void *data, size_t len, uint8_t out[SEGMENT_RECORD_BYTES]) {
    put_u32(out, (uint32_t)len);
    put_u64(out + 8, seq);
    put_u32(out + 4, record_checksum(out, data, len));
}

static bool plausible(const uint8_t *h, int64_t offset, int64_t size) {
    uint32_t len = get_u32(h);
    return len > 0 && len <= SPOOL_RECORD_MAX && (int64_t)len <= size - offset - SEGMENT_RECORD_BYTES &&
           get_u64(h + 8) > 0 && get_u64(h + 8) <= SEQ_MAX;
}

int segment_record_read(int fd, int64_t offset, int64_t size, struct buf *scratch,
                        struct segment_record *ret) {
    uint8_t h[SEGMENT_RECORD_BYTES];
    if (offset >= size)
        return -ENODATA;
    if (size - offset < SEGMENT_RECORD_BYTES || read_exactly(fd, h, sizeof h, offset) < 0 ||
        !plausible(h, offset, size))
        return -EBADMSG;
    size_t len = get_u32(h);
    buf_clear(scratch);
    int r = buf_reserve(scratch, len);
    if (r < 0)
        return r;
    if (read_exactly(fd, scratch->data, len, offset + SEGMENT_RECORD_BYTES) < 0 ||
        record_checksum(h, scratch->data, len) != get_u32(h + 4))
        return -EBADMSG;
    *ret = (struct segment_record){
        .seq = get_u64(h + 8), .len = len, .after = offset + SEGMENT_RECORD_BYTES + (int64_t)len};
    return 0;
}

/* One candidate: cheap tests on the header first, the checksum only when they hold. */
static bool record_at(int fd, const uint8_t *h, int64_t offset, int64_t size, uint64_t min, uint64_t max,
                      struct buf *scratch) {
    struct segment_record rec;
    uint64_t seq = get_u64(h + 8);
    return plausible(h, offset, size) && seq >= min && seq <= max &&
           segment_record_read(fd, offset, size, scratch, &rec) == 0;
}

int segment_resync(int fd, int64_t offset, int64_t size, uint64_t min, uint64_t max, struct buf *scratch,
                   int64_t *ret_offset) {
    uint8_t window[RESYNC_WINDOW];
    while (size - offset > SEGMENT_RECORD_BYTES) {
        size_t want = sizeof window;
        if ((int64_t)want > size - offset)
            want = (size_t)(size - offset);
        size_t step = want - SEGMENT_RECORD_BYTES + 1;
        if (read_exactly(fd, window, want, offset) == 0)
            for (size_t i = 0; i < step; i++)
                if (record_at(fd, window + i, offset + (int64_t)i, size, min, max, scratch)) {
                    *ret_offset = offset + (int64_t)i;
                    return 0;
                }
        offset += (int64_t)step;
    }
    return -ENODATA;
}
