/* execlog: see execlog.h. */
#include "canary/execlog.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/when.h"
#include "canary/seen.h"

struct execlog {
    int fd;
    pthread_t writer;
    bool running;
    pthread_mutex_t lock; /* guards the next five */
    pthread_cond_t more;
    struct buf pending;
    uint64_t pending_lines;
    uint64_t lost;
    bool closing;
    struct execlog_counts counts; /* from here on: the caller's thread only */
    struct seen *nonces;
};

static bool write_all(int fd, const char *data, size_t len) {
    while (len) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* The writer's thread: takes everything that waits and writes it outside the lock. */
static void *write_lines(void *arg) {
    struct execlog *log = arg;
    struct buf taken = BUF_INIT(EXECLOG_PENDING_MAX);
    pthread_mutex_lock(&log->lock);
    while (!log->closing || log->pending.len) {
        if (!log->pending.len) {
            pthread_cond_wait(&log->more, &log->lock);
            continue;
        }
        struct buf swap = log->pending;
        log->pending = taken;
        taken = swap;
        uint64_t lines = log->pending_lines;
        log->pending_lines = 0;
        pthread_mutex_unlock(&log->lock);
        bool written = write_all(log->fd, taken.data, taken.len);
        buf_clear(&taken);
        pthread_mutex_lock(&log->lock);
        log->lost += written ? 0 : lines;
    }
    pthread_mutex_unlock(&log->lock);
    buf_free(&taken);
    return NULL;
}

static int open_file(const char *path, struct err *e) {
    int fd = strcmp(path, "-") ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640)
                               : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return err_set(e, -errno, "log %s: %s", path, strerror(errno));
    return fd;
}

int execlog_open(const char *path, struct execlog **ret, struct err *e) {
    struct execlog *log = calloc(1, sizeof *log);
    if (!log)
        return err_oom(e);
    pthread_mutex_init(&log->lock, NULL);
    pthread_cond_init(&log->more, NULL);
    log->pending = BUF_INIT(EXECLOG_PENDING_MAX);
    log->fd = open_file(path, e);
    int rc = log->fd < 0 ? log->fd : 0;
    if (!rc && seen_new(EXECLOG_NONCES_MAX, &log->nonces))
        rc = err_oom(e);
    if (!rc) {
        rc = -pthread_create(&log->writer, NULL, write_lines, log);
        log->running = !rc;
        if (rc)
            err_set(e, rc, "no thread for the log: %s", strerror(-rc));
    }
    if (rc)
        execlog_close(&log);
    else
        *ret = log;
    return rc;
}

void execlog_close(struct execlog **plog) {
    struct execlog *log = *plog;
    if (!log)
        return;
    if (log->running) {
        pthread_mutex_lock(&log->lock);
        log->closing = true;
        pthread_cond_signal(&log->more);
        pthread_mutex_unlock(&log->lock);
        pthread_join(log->writer, NULL);
    }
    if (log->fd >= 0)
        close(log->fd);
    seen_free(&log->nonces);
    buf_free(&log->pending);
    pthread_cond_destroy(&log->more);
    pthread_mutex_destroy(&log->lock);
    free(log);
    *plog = NULL;
}

/* Every text here is of a restricted alphabet (see tools.h) or our own, so that none needs escaping. */
static void add_line(struct execlog *log, const char *event, const struct execution *x, int64_t at_ns,
                     double seconds) {
    char line[1024], at[WHEN_TEXT_MAX], nonce[TOOL_NONCE_MAX + 16] = "", call[TOOL_NONCE_MAX + 16] = "",
                                                               session[32] = "";
    if (*x->call.nonce)
        snprintf(nonce, sizeof nonce, ",\"nonce\":\"%s\"", x->call.nonce);
    if (*x->call_id)
        snprintf(call, sizeof call, ",\"call\":\"%s\"", x->call_id);
    if (*x->session)
        snprintf(session, sizeof session, ",\"session\":\"%s\"", x->session);
    int n = snprintf(
        line, sizeof line,
        "{\"t\":\"%s\",\"event\":\"%s\",\"tool\":\"%s\"%s%s%s,\"peer\":\"%s\",\"seconds\":%.3f}\n",
        when_format(at_ns, 9, at), event, tool_name(x->call.tool), nonce, call, session, x->peer, seconds);
    pthread_mutex_lock(&log->lock);
    if (buf_add(&log->pending, line, (size_t)n))
        log->lost++;
    else
        log->pending_lines++;
    pthread_cond_signal(&log->more);
    pthread_mutex_unlock(&log->lock);
}

void execlog_start(struct execlog *log, const struct execution *x) {
    uint32_t count;
    log->counts.started++;
    if (*x->call.nonce && seen_add(log->nonces, x->call.nonce, &count))
        log->counts.forgotten++;
    add_line(log, "start", x, x->started_ns, x->call.seconds);
}

void execlog_end(struct execlog *log, const struct execution *x, int64_t now_ns) {
    log->counts.ended++;
    add_line(log, "end", x, now_ns, (double)(now_ns - x->started_ns) / 1e9);
}

void execlog_gone(struct execlog *log, const struct execution *x, int64_t now_ns) {
    log->counts.gone++;
    add_line(log, "gone", x, now_ns, (double)(now_ns - x->started_ns) / 1e9);
}

uint32_t execlog_executions(const struct execlog *log, const char *nonce) {
    return seen_count(log->nonces, nonce);
}

struct execlog_counts execlog_counts(struct execlog *log) {
    struct execlog_counts c = log->counts;
    c.forgotten += seen_forgotten(log->nonces);
    pthread_mutex_lock(&log->lock);
    c.lost = log->lost;
    pthread_mutex_unlock(&log->lock);
    return c;
}
