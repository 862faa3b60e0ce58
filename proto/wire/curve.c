/* curve: see curve.h. The one place that knows libzmq's socket options. */
#include "wire/curve.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "base/conf.h"
#include "wire/wire.h"

#define KEY_FILE_MAX 4096
#define MAX_SLACK (64 << 10)
#define KEY_HEADER "# pilotgate CURVE key"

bool curve_z85_ok(const char *s) {
    static const char alphabet[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    return s && strnlen(s, CURVE_Z85_MAX) == CURVE_Z85_MAX - 1 && strspn(s, alphabet) == CURVE_Z85_MAX - 1;
}

int curve_generate(struct curve_key *ret, struct err *e) {
    struct curve_key k = {0};
    if (zmq_curve_keypair(k.public_z85, k.secret_z85) != 0)
        return err_set(e, -ENOTSUP, "cannot make a CURVE key: install a libzmq with CURVE support");
    *ret = k;
    sodium_memzero(&k, sizeof k);
    return 0;
}

/* ---------------------------------------------------------------- key files */

static int write_all(int fd, const char *text) {
    size_t len = strlen(text);
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        text += n;
        len -= (size_t)n;
    }
    return fsync(fd) == 0 ? 0 : -errno;
}

/* Gives the finished file its name, unless something has that name already. */
static int publish(const char *from, const char *to) {
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    if (link(from, to) != 0) /* file systems without RENAME_NOREPLACE */
        return -errno;
    (void)unlink(from);
    return 0;
}

static int sync_folder_of(const char *path) {
    char folder[4096];
    const char *slash = strrchr(path, '/');
    (void)snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = fsync(fd) == 0 ? 0 : -errno;
    (void)close(fd);
    return r;
}

static int save_text(const char *path, const char *text, mode_t mode) {
    char temporary[4096];
    int n = snprintf(temporary, sizeof temporary, "%s.new-XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof temporary)
        return -ENAMETOOLONG;
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = fchmod(fd, mode) == 0 ? write_all(fd, text) : -errno;
    if (close(fd) != 0 && r == 0)
        r = -errno;
    if (r == 0)
        r = publish(temporary, path);
    if (r < 0)
        (void)unlink(temporary);
    return r < 0 ? r : sync_folder_of(path);
}

int curve_save(const char *path, const struct curve_key *k, bool with_secret, struct err *e) {
    if (!curve_z85_ok(k->public_z85) || (with_secret && !curve_z85_ok(k->secret_z85)))
        return err_set(e, -EINVAL, "%s: not written: the key is incomplete", path);
    if (access(path, F_OK) == 0)
        return err_set(e, -EEXIST, "%s exists: keys are never overwritten; remove it or name another", path);
    char text[256];
    int n = snprintf(text, sizeof text, KEY_HEADER "\npublic: %s\n", k->public_z85);
    if (with_secret)
        (void)snprintf(text + n, sizeof text - (size_t)n, "secret: %s\n", k->secret_z85);
    int r = save_text(path, text, with_secret ? 0600 : 0644);
    sodium_memzero(text, sizeof text);
    if (r == -EEXIST)
        return err_set(e, r, "%s exists: keys are never overwritten; remove it or name another", path);
    return r < 0 ? err_set(e, r, "%s: cannot write: %s", path, strerror(-r)) : 0;
}

/* One line "name: 40 characters" into its half of the key. */
static int take_line(const char *path, int number, char *line, struct curve_key *k, struct err *e) {
    line[strcspn(line, "\r")] = 0;
    if (!*line || *line == '#')
        return 0;
    char *into = NULL;
    if (strncmp(line, "public: ", 8) == 0)
        into = k->public_z85;
    else if (strncmp(line, "secret: ", 8) == 0)
        into = k->secret_z85;
    if (!into)
        return err_set(e, -EINVAL, "%s:%d: not a key file: make one with `pilotgate keygen`", path, number);
    if (*into || !curve_z85_ok(line + 8))
        return err_set(e, -EINVAL, "%s:%d: %s key is %s; make one with `pilotgate keygen`", path, number,
                       into == k->public_z85 ? "public" : "secret", *into ? "there twice" : "not 40 of Z85");
    memcpy(into, line + 8, CURVE_Z85_MAX);
    return 0;
}

static int parse_key(const char *path, char *text, struct curve_key *k, struct err *e) {
    int number = 1;
    for (char *line = text; line; number++) {
        char *end = strchr(line, '\n');
        if (end)
            *end = 0;
        int r = take_line(path, number, line, k, e);
        if (r < 0)
            return r;
        line = end ? end + 1 : NULL;
    }
    if (!*k->public_z85)
        return err_set(e, -EINVAL, "%s: no public key in it: make one with `pilotgate keygen`", path);
    return 0;
}

int curve_load(const char *path, bool need_secret, struct curve_key *ret, struct err *e) {
    char *text = NULL;
    size_t len = 0;
    int r = conf_read_file(path, KEY_FILE_MAX, &text, &len, e);
    if (r < 0)
        return r;
    struct curve_key k = {0};
    r = parse_key(path, text, &k, e);
    if (r == 0 && need_secret && !*k.secret_z85)
        r = err_set(e, -EINVAL, "%s: holds only a public key; the file with the secret key is needed", path);
    if (r == 0)
        *ret = k;
    sodium_memzero(&k, sizeof k);
    sodium_memzero(text, len);
    free(text);
    return r;
}

/* One line of a file of the collector's keys; a secret has no business there, and is left alone. */
static int take_server(const char *path, char *line, char ret[CURVE_SERVER_KEYS_MAX][CURVE_Z85_MAX],
                       size_t *n, struct err *e) {
    line[strcspn(line, "\r")] = 0;
    if (strncmp(line, "public: ", 8) != 0)
        return 0;
    if (!curve_z85_ok(line + 8))
        return err_set(e, -EINVAL, "%s: a public key is not 40 of Z85; copy it from `pilotgate keygen`",
                       path);
    if (*n == CURVE_SERVER_KEYS_MAX)
        return err_set(e, -EINVAL, "%s: more than %d keys: remove those that the collector no longer has",
                       path, CURVE_SERVER_KEYS_MAX);
    memcpy(ret[(*n)++], line + 8, CURVE_Z85_MAX);
    return 0;
}

int curve_load_servers(const char *path, char ret[CURVE_SERVER_KEYS_MAX][CURVE_Z85_MAX], size_t *ret_n,
                       struct err *e) {
    char *text = NULL;
    size_t len = 0;
    size_t n = 0;
    char *rest = NULL;
    int r = conf_read_file(path, KEY_FILE_MAX, &text, &len, e);
    if (r < 0)
        return r;
    for (char *line = strtok_r(text, "\n", &rest); line && r == 0; line = strtok_r(NULL, "\n", &rest))
        r = take_server(path, line, ret, &n, e);
    if (r == 0 && n == 0)
        r = err_set(e, -EINVAL, "%s: no public key in it: make one with `pilotgate keygen`", path);
    if (r == 0)
        *ret_n = n;
    sodium_memzero(text, len);
    free(text);
    return r;
}

/* ---------------------------------------------------------------- socket options */

struct option {
    int option;
    int value;
    const char *name;
};

#define OPTION(o, v) \
    { o, v, #o }

static const struct option both_sides[] = {
    OPTION(ZMQ_LINGER, 0),
    OPTION(ZMQ_IPV6, 1),
    OPTION(ZMQ_TCP_MAXRT, 15000),
    OPTION(ZMQ_HANDSHAKE_IVL, 10000),
};

/* Heartbeats are the agent's alone: its pings tell both sides that the other is there (their TTL is the
 * collector's limit). One of the collector's own, due on a connection that broke while its input stood still,
 * would abort the process: libzmq 4.3.4 asserts !_io_error in out_event (stream_engine_base.cpp). */
static const struct option agent_side[] = {
    OPTION(ZMQ_HEARTBEAT_IVL, 5000),
    OPTION(ZMQ_HEARTBEAT_TIMEOUT, 15000),
    OPTION(ZMQ_HEARTBEAT_TTL, 15000),
    OPTION(ZMQ_SNDHWM, 64),
    OPTION(ZMQ_RCVHWM, 64),
    OPTION(ZMQ_RECONNECT_IVL, 200),
    OPTION(ZMQ_RECONNECT_IVL_MAX, 5000),
};

/* HWM counts per peer: 64 frames of at most 1 MiB may wait from one agent, TCP holds back the rest. */
static const struct option collector_side[] = {
    OPTION(ZMQ_SNDHWM, 1000),
    OPTION(ZMQ_RCVHWM, 64),
    OPTION(ZMQ_ROUTER_HANDOVER, 0),
    OPTION(ZMQ_CURVE_SERVER, 1),
};

static int set_options(void *socket, const struct option *o, size_t n, struct err *e) {
    for (size_t i = 0; i < n; i++)
        if (zmq_setsockopt(socket, o[i].option, &o[i].value, sizeof o[i].value) != 0)
            return err_set(e, -errno, "%s: %s", o[i].name, zmq_strerror(errno));
    return 0;
}

#define SET_OPTIONS(socket, table, e) set_options(socket, table, sizeof(table) / sizeof *(table), e)

/* CURVE adds 33 bytes to a frame (RFC 26). What is only a little too long gets through, and is refused with
 * the reason; for the rest libzmq ends the connection without a word to either side. */
static int set_common(void *socket, struct err *e) {
    int64_t max = WIRE_FRAME_MAX + MAX_SLACK;
    if (zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &max, sizeof max) != 0)
        return err_set(e, -errno, "ZMQ_MAXMSGSIZE: %s", zmq_strerror(errno));
    return SET_OPTIONS(socket, both_sides, e);
}

static int set_text(void *socket, int option, const char *text, const char *what, struct err *e) {
    if (zmq_setsockopt(socket, option, text, strlen(text)) != 0)
        return err_set(e, -errno, "%s: %s", what, zmq_strerror(errno));
    return 0;
}

int curve_setup_agent(void *socket, const struct curve_key *own, const char *server_public_z85,
                      const char *socks_proxy, struct err *e) {
    if (!curve_z85_ok(own->public_z85) || !curve_z85_ok(own->secret_z85) || !curve_z85_ok(server_public_z85))
        return err_set(e, -EINVAL, "CURVE key is incomplete: make keys with `pilotgate keygen`");
    int r = set_common(socket, e);
    if (r == 0)
        r = SET_OPTIONS(socket, agent_side, e);
    if (r == 0)
        r = set_text(socket, ZMQ_CURVE_SERVERKEY, server_public_z85, "the collector's key", e);
    if (r == 0)
        r = set_text(socket, ZMQ_CURVE_PUBLICKEY, own->public_z85, "public key", e);
    if (r == 0)
        r = set_text(socket, ZMQ_CURVE_SECRETKEY, own->secret_z85, "secret key", e);
    if (r == 0 && socks_proxy && *socks_proxy)
        r = set_text(socket, ZMQ_SOCKS_PROXY, socks_proxy, "SOCKS proxy", e);
    return r;
}

int curve_setup_collector(void *socket, const struct curve_key *own, struct err *e) {
    if (!curve_z85_ok(own->public_z85) || !curve_z85_ok(own->secret_z85))
        return err_set(e, -EINVAL, "CURVE key is incomplete: make keys with `pilotgate keygen`");
    int r = set_common(socket, e);
    if (r == 0)
        r = SET_OPTIONS(socket, collector_side, e);
    if (r == 0)
        r = set_text(socket, ZMQ_CURVE_SECRETKEY, own->secret_z85, "secret key", e);
    if (r == 0)
        r = set_text(socket, ZMQ_ZAP_DOMAIN, "pilotgate", "ZAP domain", e);
    return r;
}
