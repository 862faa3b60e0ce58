/* check: what `pilotgate-agent check` asks of the way to the collector. Everything is tried for real, without
 * disturbing a living agent that uses the same folder: its lock is not taken. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/norm.h"
#include "uplink_priv.h"

#define CHECK_WAIT (5 * WHEN_S)
#define BYE_LINGER_MS 300

struct check {
    const struct config *c;
    check_say *say;
    void *ctx;
    int failures;
};

static void say(struct check *k, bool ok, const char *what, const char *advice) {
    k->failures += !ok;
    k->say(k->ctx, ok, what, ok ? "" : advice);
}

/* The collector's keys, of which it has one. */
struct servers {
    char z85[CURVE_SERVER_KEYS_MAX][CURVE_Z85_MAX];
    size_t n;
};

static bool check_keys(struct check *k, struct curve_key *own, struct servers *servers) {
    struct err e = {0};
    struct norm_key hash;
    bool ok = curve_load(k->c->collector.key_file, true, own, &e) == 0;
    say(k, ok, "agent key", e.text);
    bool ok2 = curve_load_servers(k->c->collector.server_key_file, servers->z85, &servers->n, &e) == 0;
    say(k, ok2, "collector's public key", e.text);
    bool ok3 = norm_key_load(k->c->collector.hash_key_file, &hash, &e) == 0;
    sodium_memzero(&hash, sizeof hash);
    say(k, ok3, "pilot's hash key", e.text);
    return ok && ok2;
}

static int64_t folder_bytes(int dir) {
    int64_t total = 0;
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        if (fd >= 0)
            (void)close(fd);
        return 0;
    }
    struct stat sb;
    for (const struct dirent *de; (de = readdir(d));)
        if (fstatat(dir, de->d_name, &sb, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(sb.st_mode))
            total += sb.st_size;
    (void)closedir(d);
    return total;
}

/* Writes, syncs and removes a file. */
static int try_write(const char *dir) {
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/check-XXXXXX", dir);
    if (n < 0 || (size_t)n >= sizeof path)
        return -ENAMETOOLONG;
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = write(fd, "check\n", 6) == 6 && fsync(fd) == 0 ? 0 : -errno;
    (void)close(fd);
    (void)unlink(path);
    return r;
}

/* Whether the folder is this stage's. It is told when it is not, and not when an agent at work made it
 * unreadable just now. */
static void check_claim(struct check *k) {
    struct spool *s = NULL;
    struct err e = {0};
    if (spool_open_readonly(k->c->spool.dir, &s, &e) < 0)
        return;
    if (journal_claim(s, k->c, &e) < 0)
        say(k, false, "spool folder is of this stage", e.text);
    spool_close(&s);
}

static void check_spool(struct check *k) {
    const char *dir = k->c->spool.dir;
    struct err e = {0};
    struct statvfs fs;
    int r = mkdir(dir, 0700) < 0 && errno != EEXIST ? -errno : try_write(dir);
    if (r < 0)
        (void)err_set(&e, r, "cannot write to %s (%s): set spool.dir to a folder that this user owns", dir,
                      strerror(-r));
    say(k, r == 0, "spool folder is writable", e.text);
    int fd = r == 0 ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    int64_t missing = 0;
    if (fstatvfs(fd, &fs) == 0)
        missing = k->c->spool.quota - folder_bytes(fd) - (int64_t)(fs.f_bavail * fs.f_frsize);
    (void)close(fd);
    (void)err_set(&e, 0, "%s lacks %lld MiB for spool.quota: make room there, or lower spool.quota", dir,
                  (long long)(missing >> 20) + 1);
    say(k, missing <= 0, "spool folder has room for its quota", e.text);
    check_claim(k);
}

/* Waits for the Welcome: 0, -ETIMEDOUT, or why there is no session. */
static int await_welcome(void *socket, uint64_t *ret_nonce, struct err *e) {
    int64_t until = when_mono_ns() + CHECK_WAIT;
    for (int64_t now = when_mono_ns(); now < until; now = when_mono_ns()) {
        zmq_pollitem_t item = {.socket = socket, .events = ZMQ_POLLIN};
        (void)zmq_poll(&item, 1, (long)((until - now) / WHEN_MS) + 1);
        Pilotgate__Frame *f = NULL;
        int r = session_receive(socket, &f, e);
        bool welcome = r > 0 && f->kind_case == PILOTGATE__FRAME__KIND_WELCOME;
        if (welcome)
            r = session_check_welcome(f, e);
        if (welcome && r == 0)
            *ret_nonce = f->session;
        wire_free(&f);
        if (welcome)
            return r;
    }
    return -ETIMEDOUT;
}

/* A session of its own, with a stream that is empty and says Bye: no record is made. */
static int try_session(void *socket, const struct config *c, struct err *e) {
    const struct journal_identity nobody = {0};
    struct spool_stream stream = {.first_seq = 1, .next_seq = 1};
    const struct session_streams streams = {.items = &stream, .n = 1};
    randombytes_buf(stream.boot, sizeof stream.boot);
    int r = session_hello(socket, c, &nobody, &streams);
    if (r < 0)
        return err_set(e, r, "cannot send to %s: %s", c->collector.endpoint, zmq_strerror(-r));
    uint64_t nonce = 0;
    r = await_welcome(socket, &nonce, e);
    if (r < 0)
        return r;
    Pilotgate__Bye bye = PILOTGATE__BYE__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    int linger = BYE_LINGER_MS;
    bye.boot = (ProtobufCBinaryData){.len = sizeof stream.boot, .data = stream.boot};
    f.session = nonce;
    f.kind_case = PILOTGATE__FRAME__KIND_BYE;
    f.bye = &bye;
    (void)zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    return session_send(socket, &f) < 0 ? err_set(e, -EIO, "cannot send to the collector") : 0;
}

static void check_session(struct check *k, const struct curve_key *own, const struct servers *servers) {
    const struct config *c = k->c;
    struct err e = {0};
    void *zmq = zmq_ctx_new();
    int r = zmq ? -ETIMEDOUT : err_oom(&e);
    for (size_t i = 0; i < servers->n && r == -ETIMEDOUT; i++) {
        void *socket = NULL;
        r = session_dealer(zmq, c, own, servers->z85[i], &socket, &e);
        if (r < 0)
            break;
        r = try_session(socket, c, &e);
        (void)zmq_close(socket);
    }
    if (zmq)
        (void)zmq_ctx_term(zmq);
    if (r == -ETIMEDOUT)
        (void)err_set(
            &e, r,
            "the collector did not answer at %s: is it running, and is this key allowed? Public key %s "
            "must be in its allow-list for %s %s",
            c->collector.endpoint, own->public_z85, c->stage.cluster, c->stage.namespace_name);
    say(k, r == 0, "session with the collector", e.text);
}

int journal_check(const struct config *c, check_say *fn, void *ctx) {
    struct check k = {.c = c, .say = fn, .ctx = ctx};
    struct curve_key own = {0};
    struct servers servers = {0};
    bool keys = sodium_init() >= 0 && check_keys(&k, &own, &servers);
    check_spool(&k);
    if (keys)
        check_session(&k, &own, &servers);
    sodium_memzero(&own, sizeof own);
    return k.failures;
}
