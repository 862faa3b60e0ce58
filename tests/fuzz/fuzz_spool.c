/* A spool's folder with any content: it opens or says why not, what is read ascends and ends, reading it
 * changes nothing, and what is appended then is read back, also after trimming, another store and reopening.
 * The input is a list of files: one byte says which (boot, first seq, kept, raw or built with right
 * checksums), one how long. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "spool/spool_priv.h"

#define FILES_MAX 12
#define APPENDED 5
#define QUOTA (1 << 20)

static char dir[64];
static int dir_fd = -1;

static int no_fsync(int fd) {
    (void)fd;
    return 0;
}

static void make_folder(void) {
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(dir, sizeof dir, "%s/fuzz-spool-XXXXXX", base);
    MUST(mkdtemp(dir));
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
    MUST(dir_fd >= 0);
}

static void empty_folder(void) {
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY);
    DIR *d = fdopendir(fd);
    MUST(d);
    for (const struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            MUST(unlinkat(dir_fd, e->d_name, 0) == 0);
    (void)closedir(d);
}

static void remove_folder(void) {
    empty_folder();
    (void)rmdir(dir);
}

static void put(int fd, const void *data, size_t len) {
    MUST(write(fd, data, len) == (ssize_t)len);
}

/* A segment whose header and records are whole: each byte is a record, or a hole in the numbers, or noise. */
static void build(int fd, const uint8_t *boot, uint64_t seq, uint64_t generation, const uint8_t *data,
                  size_t len) {
    struct segment_header h = {.first_seq = seq, .generation = generation};
    uint8_t head[SEGMENT_HEADER_BYTES];
    memcpy(h.boot, boot, sizeof h.boot);
    segment_header_encode(&h, head);
    put(fd, head, sizeof head);
    for (size_t i = 0; i < len; i++) {
        uint8_t record[SEGMENT_RECORD_BYTES];
        size_t n = 1 + (data[i] & 15u);
        if (n > len - i)
            n = len - i;
        segment_record_encode(seq, data + i, n, record);
        if (data[i] == 0xff)
            put(fd, data, i % 7);
        put(fd, record, sizeof record);
        put(fd, data + i, n);
        seq += 1 + (data[i] > 0xf0 ? data[i] & 15u : 0);
    }
}

/* Makes the files; where the next operations begin. */
static size_t make_files(const uint8_t *data, size_t size) {
    static const uint64_t firsts[] = {1, 4, 40, 1ull << 61};
    size_t at = 0;
    for (int i = 0; i < FILES_MAX && at + 2 < size; i++) {
        uint8_t what = data[at];
        size_t len = data[at + 1];
        at += 2;
        len = len > size - at ? size - at : len;
        uint8_t boot[SPOOL_BOOT_BYTES] = {(uint8_t)(1 + (what >> 1 & 3))};
        uint64_t first = firsts[what >> 3 & 3];
        char name[SEGMENT_NAME_MAX] = "store";
        if ((what & 0xc0) != 0xc0)
            segment_name(boot, first, what & 1, name);
        int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        MUST(fd >= 0);
        if (what & 0x20)
            build(fd, boot, first, what, data + at, len);
        else
            put(fd, data + at, len);
        (void)close(fd);
        at += len;
    }
    return at;
}

static int see(void *ctx, uint64_t seq, const uint8_t *data, size_t len) {
    uint64_t *last = ctx;
    MUST(seq > *last && data && len > 0 && len <= SPOOL_RECORD_MAX);
    *last = seq;
    return 0;
}

/* Reads all that can be read of the stream; how many records. */
static size_t read_all(struct spool *s, const struct spool_stream *st) {
    uint64_t last = 0;
    size_t n = 0;
    MUST(st->first_seq <= st->next_seq);
    for (uint64_t next = st->first_seq; next < st->next_seq;) {
        int r = spool_read(s, st->boot, next, 3, 100, see, &last);
        if (r > 0) {
            n += (size_t)r;
            next = last + 1;
            continue;
        }
        MUST(r == -EBADMSG);
        uint64_t held = 0;
        MUST(spool_next_held(s, st->boot, next, &held) == 0);
        MUST(held >= next && held <= st->next_seq);
        MUST(held > next || r != -EBADMSG);
        next = held;
    }
    return n;
}

static size_t read_everything(struct spool *s) {
    struct spool_stream st[8];
    size_t n = spool_held(s, 0, st, 8);
    size_t records = 0;
    for (size_t i = 0; i < n; i++)
        records += read_all(s, &st[i]);
    return records;
}

static struct spool *open_as(const uint8_t *boot) {
    struct spool_io io = spool_io_real;
    struct spool *s = NULL;
    struct err e = {0};
    uint64_t torn = 0;
    io.fsync = no_fsync;
    int r = spool_open_io(dir, QUOTA, boot, &io, &s, &torn, &e);
    MUST(r == 0 || (*e.text && !s));
    return s;
}

static void operate(struct spool *s, const uint8_t *data, size_t size) {
    struct spool_stream st[8];
    static const char *const stores[] = {"one", "two"};
    for (size_t i = 0; i < size && i < 16; i++) {
        size_t n = spool_streams(s, st, 8);
        MUST(n >= 1);
        const struct spool_stream *one = &st[data[i] >> 3 & 7 ? (data[i] >> 3 & 7) % n : 0];
        uint64_t last = 0;
        switch (data[i] & 7) {
        case 0:
            MUST(spool_set_store(s, stores[data[i] >> 7], 1) >= 0);
            break;
        case 1:
            MUST(spool_unsettle(s) == 0);
            break;
        case 2:
            MUST(spool_expire(s, INT64_MAX) == 0);
            MUST(spool_kept_bytes(s) >= 0 && spool_kept_bytes(s) <= spool_bytes(s));
            break;
        case 3:
            (void)!spool_read(s, one->boot, one->next_seq / 2, 2, 50, see, &last);
            break;
        default: /* never of the living one, whose records are looked for in the end */
            if (one != &st[n - 1])
                MUST(spool_trim(s, one->boot, one->first_seq + data[i] % 50) == 0);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    static const uint8_t boots[2][SPOOL_BOOT_BYTES] = {{200}, {201}};
    if (dir_fd < 0) {
        make_folder();
        (void)atexit(remove_folder);
    }
    empty_folder();
    size_t at = make_files(data, size);
    struct spool *reader = NULL;
    struct err e = {0};
    size_t seen = 0;
    if (spool_open_readonly(dir, &reader, &e) == 0)
        seen = read_everything(reader);
    spool_close(&reader);
    struct spool *s = open_as(boots[0]);
    if (!s)
        return 0;
    MUST(read_everything(s) == seen);
    for (uint64_t i = 1; i <= APPENDED; i++) {
        uint64_t seq = 0;
        MUST(spool_append(s, data, size < 100 ? size : 100, &seq) == 0 && seq == i);
    }
    operate(s, data + at, size - at);
    spool_close(&s);
    s = open_as(boots[1]);
    MUST(s);
    uint64_t last = 0;
    MUST(spool_read(s, boots[0], 1, 100, 1 << 20, see, &last) == APPENDED && last == APPENDED);
    (void)read_everything(s);
    spool_close(&s);
    return 0;
}
