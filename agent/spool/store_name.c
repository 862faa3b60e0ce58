/* store_name: the file "store" of a spool's folder, which names the store that acknowledged what is kept.
 * FORMAT.md draws it. Written aside, synced, renamed; what cannot be trusted in it names no store. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/crash.h"
#include "spool_priv.h"

#define NAME "store"
#define ASIDE "store.new"
#define VERSION 1

static const char magic[8] = {'P', 'G', 'S', 'T', 'O', 'R', 'E', '\n'};

/* magic, version, 4 zero bytes, epoch, id, 4 zero bytes, checksum */
_Static_assert(STORE_NAME_BYTES == 8 + 4 + 4 + 8 + SPOOL_STORE_MAX + 4 + 4, "FORMAT.md draws it so");

static uint32_t checksum(const uint8_t *b) {
    return htole32((uint32_t)crc32(0, b, STORE_NAME_BYTES - 4));
}

static void encode(const struct spool *s, uint8_t out[STORE_NAME_BYTES]) {
    uint32_t version = htole32(VERSION);
    uint64_t epoch = htole64(s->store_epoch);
    memset(out, 0, STORE_NAME_BYTES);
    memcpy(out, magic, sizeof magic);
    memcpy(out + 8, &version, sizeof version);
    memcpy(out + 16, &epoch, sizeof epoch);
    memcpy(out + 24, s->store_id, SPOOL_STORE_MAX);
    uint32_t crc = checksum(out);
    memcpy(out + STORE_NAME_BYTES - 4, &crc, sizeof crc);
}

void store_name_load(struct spool *s) {
    uint8_t b[STORE_NAME_BYTES + 1];
    int fd = s->io.open(s->dir, NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return;
    ssize_t n = read(fd, b, sizeof b);
    (void)close(fd);
    uint32_t version = htole32(VERSION);
    uint32_t crc = n == STORE_NAME_BYTES ? checksum(b) : 0;
    if (n != STORE_NAME_BYTES || memcmp(b, magic, sizeof magic) != 0 || memcmp(b + 8, &version, 4) != 0 ||
        memcmp(b + STORE_NAME_BYTES - 4, &crc, sizeof crc) != 0 || b[24 + SPOOL_STORE_MAX - 1] != 0)
        return;
    uint64_t epoch;
    memcpy(&epoch, b + 16, sizeof epoch);
    s->store_epoch = le64toh(epoch);
    memcpy(s->store_id, b + 24, SPOOL_STORE_MAX);
}

/* The whole file, on disk. */
static int write_aside(const struct spool *s) {
    uint8_t b[STORE_NAME_BYTES];
    encode(s, b);
    int fd = s->io.open(s->dir, ASIDE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    struct iovec iov = {.iov_base = b, .iov_len = sizeof b};
    ssize_t n;
    do
        n = s->io.pwritev(fd, &iov, 1, 0);
    while (n < 0 && errno == EINTR);
    int r = n < 0 ? -errno : n != (ssize_t)sizeof b ? -ENOSPC : 0;
    if (r == 0 && s->io.fsync(fd) < 0)
        r = -errno;
    (void)close(fd);
    return r;
}

int store_name_save(struct spool *s) {
    int r = write_aside(s);
    CRASH_POINT("spool-store-aside");
    if (r == 0 && s->io.rename(s->dir, ASIDE, s->dir, NAME) < 0)
        r = -errno;
    if (r < 0) {
        (void)s->io.unlink(s->dir, ASIDE, 0);
        return r;
    }
    return s->io.fsync(s->dir) < 0 ? -errno : 0;
}

int store_name_forget(struct spool *s) {
    if (s->io.unlink(s->dir, NAME, 0) < 0 && errno != ENOENT)
        return -errno;
    memset(s->store_id, 0, sizeof s->store_id);
    s->store_epoch = 0;
    s->store_unsaved = false;
    return s->io.fsync(s->dir) < 0 ? -errno : 0;
}
