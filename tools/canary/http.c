/* http: the daemon, the life of a request, and the drain; see http.h. */
#include "canary/http_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/when.h"

#define CONNECTION_MEMORY 8192 /* of libmicrohttpd, for the headers and buffers of one connection */
#define FDS_BESIDES_CONNECTIONS 64
#define DISCARD_MAX (16u << 20) /* bytes of a body over the limit that are read to be able to answer */
#define DRAIN_STEP_NS (10 * WHEN_MS)
#define END_NS (5 * WHEN_S) /* for ended calls to be closed */

/* The file limit goes up to the hard limit; as many connections as it allows, or as wanted. */
static int fit_connections(unsigned *connections, struct err *e) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files))
        return err_set(e, -errno, "file limit: %s", strerror(errno));
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur <= FDS_BESIDES_CONNECTIONS)
        return err_set(e, -EMFILE, "the file limit of %llu is too low: raise it to %u",
                       (unsigned long long)files.rlim_cur, *connections + FDS_BESIDES_CONNECTIONS);
    if (*connections > files.rlim_cur - FDS_BESIDES_CONNECTIONS)
        *connections = (unsigned)(files.rlim_cur - FDS_BESIDES_CONNECTIONS);
    return 0;
}

static struct exchange *begin(struct http *h, struct MHD_Connection *connection) {
    struct exchange *x = calloc(1, sizeof *x);
    if (!x)
        return NULL;
    x->http = h;
    x->connection = connection;
    x->body = BUF_INIT(MCP_BODY_MAX);
    atomic_fetch_add(&h->open, 1);
    return x;
}

/* False: it is of no use to go on. */
static bool receive(struct exchange *x, const char *data, size_t len) {
    if (!x->too_large && buf_add(&x->body, data, len)) {
        x->too_large = true;
        buf_free(&x->body);
    }
    x->discarded += x->too_large ? len : 0;
    return x->discarded <= DISCARD_MAX;
}

/* libmicrohttpd's handler: once with the headers, then with each piece of the body, then for the answer,
 * and again when a connection that waited is resumed. */
static enum MHD_Result handle(void *cls, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data, size_t *size,
                              void **state) {
    struct exchange *x = *state;
    (void)version;
    if (!x)
        return (*state = begin(cls, connection)) ? MHD_YES : MHD_NO;
    if (*size) {
        bool go_on = receive(x, data, *size);
        *size = 0;
        return go_on ? MHD_YES : MHD_NO;
    }
    if (x->state == GONE)
        return MHD_NO;
    if (x->state == RECEIVING) {
        http_route(x, method, url);
        buf_free(&x->body);
    }
    return http_answer(x);
}

static void completed(void *cls, struct MHD_Connection *connection, void **state,
                      enum MHD_RequestTerminationCode code) {
    struct http *h = cls;
    struct exchange *x = *state;
    (void)connection;
    if (!x)
        return;
    if (x->reply.executes && x->handed && code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        execlog_end(h->config.log, &x->run, when_wall_ns());
    else if (x->reply.executes)
        execlog_gone(h->config.log, &x->run, when_wall_ns());
    buf_free(&x->body);
    buf_free(&x->event);
    reply_free(&x->reply);
    free(x);
    *state = NULL;
    atomic_fetch_sub(&h->open, 1);
}

static int start_daemon(struct http *h, struct err *e) {
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_LISTEN_SOCKET, h->listen_fd, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)h->config.connections, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)h->config.idle_s, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, NULL},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)completed, h},
        {MHD_OPTION_END, 0, NULL},
    };
    h->daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
                                 handle, h, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
    if (!h->daemon)
        return err_set(e, -EIO, "cannot start the HTTP server on %s", h->config.listen);
    return 0;
}

int http_start(const struct http_config *config, struct http **ret, struct err *e) {
    struct http *h = calloc(1, sizeof *h);
    if (!h)
        return err_oom(e);
    h->config = *config;
    h->listen_fd = -1;
    int rc = fit_connections(&h->config.connections, e);
    if (!rc)
        rc = http_listen(config->listen, &h->listen_fd, &h->port, e);
    if (!rc)
        rc = hold_start(&h->hold, e);
    if (!rc)
        rc = start_daemon(h, e);
    if (rc)
        http_stop(&h, 0, NULL);
    else
        *ret = h;
    return rc;
}

uint16_t http_port(const struct http *h) {
    return h->port;
}

/* Until no request is open, the time is over, or early says so. */
static void wait_until_quiet(struct http *h, int64_t for_ns, bool (*early)(void)) {
    int64_t end = when_mono_ns() + for_ns;
    while (atomic_load(&h->open) && when_mono_ns() < end && !(early && early())) {
        struct timespec step = {.tv_nsec = DRAIN_STEP_NS};
        nanosleep(&step, NULL);
    }
}

void http_stop(struct http **ph, int64_t drain_ns, bool (*early)(void)) {
    struct http *h = *ph;
    if (!h)
        return;
    if (h->daemon) {
        atomic_store(&h->draining, true);
        h->listen_fd = MHD_quiesce_daemon(h->daemon);
    }
    if (h->listen_fd >= 0)
        close(h->listen_fd);
    if (h->daemon) {
        wait_until_quiet(h, drain_ns, early);
        atomic_store(&h->ended, true);
        hold_end_all(h->hold);
        wait_until_quiet(h, END_NS, NULL);
        MHD_stop_daemon(h->daemon);
    }
    hold_stop(&h->hold);
    free(h);
    *ph = NULL;
}
