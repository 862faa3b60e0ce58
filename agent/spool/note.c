/* note: see note.h. */
#include "note.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/crash.h"

#define MAGIC_BYTES 8
#define VERSION 1

static uint32_t checksum(const struct note *k, const uint8_t *b) {
    return htole32((uint32_t)crc32(0, b, (uInt)k->len - 4));
}

bool note_read(const struct spool *s, const struct note *k, uint8_t *ret) {
    uint8_t b[NOTE_BYTES_MAX + 1]; /* one more, to see a longer file */
    int fd = s->io.open(s->dir, k->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, b, k->len + 1);
    (void)close(fd);
    uint32_t version = htole32(VERSION);
    uint32_t crc = n == (ssize_t)k->len ? checksum(k, b) : 0;
    if (n != (ssize_t)k->len || memcmp(b, k->magic, MAGIC_BYTES) != 0 ||
        memcmp(b + MAGIC_BYTES, &version, sizeof version) != 0 ||
        memcmp(b + k->len - 4, &crc, sizeof crc) != 0)
        return false;
    memcpy(ret, b, k->len);
    return true;
}

/* The whole file, on disk. */
static int write_aside(const struct spool *s, const struct note *k, uint8_t *b) {
    int fd = s->io.open(s->dir, k->aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    struct iovec iov = {.iov_base = b, .iov_len = k->len};
    ssize_t n;
    do
        n = s->io.pwritev(fd, &iov, 1, 0);
    while (n < 0 && errno == EINTR);
    int r = n < 0 ? -errno : n != (ssize_t)k->len ? -ENOSPC : 0;
    if (r == 0 && s->io.fsync(fd) < 0)
        r = -errno;
    (void)close(fd);
    return r;
}

int note_save(const struct spool *s, const struct note *k, uint8_t *b) {
    uint32_t version = htole32(VERSION);
    memcpy(b, k->magic, MAGIC_BYTES);
    memcpy(b + MAGIC_BYTES, &version, sizeof version);
    uint32_t crc = checksum(k, b);
    memcpy(b + k->len - 4, &crc, sizeof crc);
    int r = write_aside(s, k, b);
    CRASH_POINT("spool-note-aside");
    if (r == 0 && s->io.rename(s->dir, k->aside, s->dir, k->name) < 0)
        r = -errno;
    if (r < 0) {
        (void)s->io.unlink(s->dir, k->aside, 0);
        return r;
    }
    return s->io.fsync(s->dir) < 0 ? -errno : 0;
}
