/* lane: see lane.h. */
#include "mcp/lane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/when.h"
#include "mcp/transport_priv.h"

#define SETTLE_NS (20 * WHEN_MS) /* beside two round trips */
#define SETTLE_MAX_NS (500 * WHEN_MS)
#define EVENTS 64
#define DRAIN_NS (100 * WHEN_MS) /* at most, before a hard maximum counts as reached */

/* ------------------------------------------------------------------ what libcurl asks for */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx) {
    (void)easy;
    (void)socket_ctx;
    struct mcp_lane *l = ctx;
    uint32_t want = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    struct epoll_event event = {.events = want, .data = {.fd = fd}};
    if (what == CURL_POLL_REMOVE || !want) {
        (void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    if (epoll_ctl(l->epoll, EPOLL_CTL_MOD, fd, &event) == 0)
        return 0;
    return epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -1;
}

static int on_timer(CURLM *multi, long ms, void *ctx) {
    (void)multi;
    struct mcp_lane *l = ctx;
    l->timer_at = ms < 0 ? INT64_MAX : when_mono_ns() + ms * WHEN_MS;
    return 0;
}

/* ------------------------------------------------------------------ life */

static int open_lane(struct mcp_lane *l, const char *key, long streams) {
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = l}};
    l->multi = curl_multi_init();
    l->key = strdup(key);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!l->multi || !l->key || l->epoll < 0 ||
        epoll_ctl(l->transport->epoll, EPOLL_CTL_ADD, l->epoll, &event) < 0)
        return -ENOMEM;
    (void)curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l);
    (void)curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l);
    (void)curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, l->transport->max_connections);
    (void)curl_multi_setopt(l->multi, CURLMOPT_PIPELINING,
                            (long)(streams ? CURLPIPE_MULTIPLEX : CURLPIPE_NOTHING));
    if (streams)
        (void)curl_multi_setopt(l->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, streams);
    return 0;
}

int mcp_lane_get(struct mcp_transport *t, const char *key, long streams, struct mcp_lane **ret,
                 struct err *e) {
    struct mcp_lane *l;
    for (l = t->lanes; l; l = l->next)
        if (strcmp(l->key, key) == 0) {
            *ret = l;
            return 0;
        }
    l = calloc(1, sizeof *l);
    if (!l)
        return err_oom(e);
    *l = (struct mcp_lane){.transport = t,
                           .epoll = -1,
                           .gated = streams > 0,
                           .timer_at = INT64_MAX,
                           .ends_at = INT64_MAX,
                           .idle_since = when_mono_ns()};
    if (open_lane(l, key, streams) < 0) {
        mcp_lane_close(&l);
        return err_set(e, -ENOMEM, "no memory or file descriptor for another way of connecting");
    }
    l->next = t->lanes;
    t->lanes = l;
    *ret = l;
    return 0;
}

void mcp_lane_close(struct mcp_lane **ref) {
    struct mcp_lane *l = *ref;
    if (!l)
        return;
    if (l->multi)
        (void)curl_multi_cleanup(l->multi);
    if (l->epoll >= 0)
        (void)close(l->epoll);
    free(l->key);
    free(l);
    *ref = NULL;
}

/* ------------------------------------------------------------------ sockets */

static int bits_of(uint32_t events) {
    return (events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
           (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) | (events & EPOLLERR ? CURL_CSELECT_ERR : 0);
}

/* False: none wanted to be moved. */
static bool move_sockets(struct mcp_lane *l) {
    struct epoll_event events[EVENTS];
    int running;
    int n = epoll_wait(l->epoll, events, EVENTS, 0);
    for (int i = 0; i < n; i++)
        (void)curl_multi_socket_action(l->multi, events[i].data.fd, bits_of(events[i].events), &running);
    return n > 0;
}

/* ------------------------------------------------------------------ the gate */

void mcp_lane_enter(struct mcp_lane *l, struct mcp_xfer *x) {
    x->lane = l;
    x->waits = true;
    x->wait_prev = l->last;
    x->wait_next = NULL;
    *(l->last ? &l->last->wait_next : &l->first) = x;
    l->last = x;
    l->n++;
}

static void stop_waiting(struct mcp_lane *l, struct mcp_xfer *x) {
    *(x->wait_prev ? &x->wait_prev->wait_next : &l->first) = x->wait_next;
    *(x->wait_next ? &x->wait_next->wait_prev : &l->last) = x->wait_prev;
    x->wait_prev = x->wait_next = NULL;
    x->waits = false;
}

void mcp_lane_leave(struct mcp_lane *l, struct mcp_xfer *x) {
    if (x->waits)
        stop_waiting(l, x);
    else
        (void)curl_multi_remove_handle(l->multi, x->easy);
    if (l->entering == x)
        l->entering = NULL;
    x->lane = NULL;
    l->n--;
    l->idle_since = when_mono_ns();
}

void mcp_lane_connected(struct mcp_lane *l, struct mcp_xfer *x, bool is_new) {
    curl_off_t resolved = 0;
    curl_off_t connected = 0;
    if (l->entering == x)
        l->entering = NULL;
    l->had_connection = true;
    if (!l->gated || !is_new)
        return;
    (void)curl_easy_getinfo(x->easy, CURLINFO_NAMELOOKUP_TIME_T, &resolved);
    (void)curl_easy_getinfo(x->easy, CURLINFO_CONNECT_TIME_T, &connected);
    int64_t settle = SETTLE_NS + 2 * (connected - resolved) * 1000;
    l->settles_at = when_mono_ns() + (settle < SETTLE_MAX_NS ? settle : SETTLE_MAX_NS);
}

static bool is_open(const struct mcp_lane *l, int64_t now) {
    return !l->gated || (!l->entering && now >= l->settles_at);
}

static void run_timer(struct mcp_lane *l) {
    int running;
    l->timer_at = INT64_MAX; /* libcurl sets it again */
    (void)curl_multi_socket_action(l->multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

/* libcurl 7.88 begins HTTP/2 by prior knowledge anew for every request, also on a connection that speaks it
 * already, which breaks that (Curl_http2_may_switch in its http2.c; fixed in 8.0). So a call first tries to
 * join such a connection, where no new one may be made; when there is none, it must make a new one. */
static void choose_version(struct mcp_xfer *x, bool joins) {
    x->joins = joins;
    (void)curl_easy_setopt(x->easy, CURLOPT_HTTP_VERSION,
                           (long)(joins ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE));
    (void)curl_easy_setopt(x->easy, CURLOPT_FRESH_CONNECT, (long)!joins);
}

/* The time that it waited here is not taken from the server's: a call that just went out would time out. */
static void hand_over(struct mcp_lane *l, struct mcp_xfer *x, int64_t now) {
    stop_waiting(l, x);
    x->ends_at = now + x->timeout_ns;
    l->ends_at = x->ends_at < l->ends_at ? x->ends_at : l->ends_at;
    if (x->prior_knowledge)
        choose_version(x, l->gated && l->had_connection);
    if (l->gated)
        l->entering = x;
    if (curl_multi_add_handle(l->multi, x->easy) != CURLM_OK)
        mcp_xfer_finish(x, CURLE_OUT_OF_MEMORY);
    else if (l->gated)
        run_timer(l); /* over a connection that is there it is sent in this step */
}

static struct mcp_xfer *overdue(const struct mcp_lane *l, int64_t now) {
    struct mcp_xfer *x = l->first;
    while (x && x->ends_at > now)
        x = x->wait_next;
    return x;
}

void mcp_lane_pump(struct mcp_lane *l, int64_t now) {
    struct mcp_xfer *x;
    while ((x = overdue(l, now)))
        mcp_xfer_finish(x, CURLE_OPERATION_TIMEDOUT);
    if (l->gated && l->first)
        (void)move_sockets(l); /* a GOAWAY that lies there is read before a call would meet it */
    while (l->first && is_open(l, now))
        hand_over(l, l->first, now);
}

/* ------------------------------------------------------------------ moving */

/* True: it found no connection to join, nothing was sent, and it goes on with one of its own. */
static bool add_again(struct mcp_lane *l, struct mcp_xfer *x, CURLcode code) {
    if (!x->joins || x->requests > 0 || code != CURLE_COULDNT_CONNECT || x->reuse_only)
        return false;
    (void)curl_multi_remove_handle(l->multi, x->easy);
    choose_version(x, false);
    return curl_multi_add_handle(l->multi, x->easy) == CURLM_OK;
}

static void take_ended(struct mcp_lane *l) {
    CURLMsg *msg;
    int left;
    while ((msg = curl_multi_info_read(l->multi, &left))) {
        struct mcp_xfer *x = NULL;
        CURLcode code = msg->data.result;
        (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &x);
        if (x && !add_again(l, x, code))
            mcp_xfer_finish(x, code);
    }
}

/* One that runs, has no answer, and should have one by now; NULL: none. Learns when to ask again. */
static struct mcp_xfer *past_its_end(struct mcp_lane *l, int64_t now) {
    l->ends_at = INT64_MAX;
    for (struct mcp_xfer *x = l->transport->first; x; x = x->next) {
        if (x->lane != l || x->waits || x->lingers)
            continue;
        if (x->ends_at <= now)
            return x;
        l->ends_at = x->ends_at < l->ends_at ? x->ends_at : l->ends_at;
    }
    return NULL;
}

/* Hard maximums are ours to watch: libcurl looks at its clock before it reads, and would give up calls whose
 * answers lay in their sockets while this thread stood still. */
void mcp_lane_move(struct mcp_lane *l) {
    struct mcp_xfer *x;
    int64_t now = when_mono_ns();
    bool ends = now >= l->ends_at;
    while (move_sockets(l) && ends && when_mono_ns() < now + DRAIN_NS)
        take_ended(l);
    if (when_mono_ns() >= l->timer_at)
        run_timer(l);
    take_ended(l);
    while (ends && (x = past_its_end(l, now)))
        mcp_xfer_finish(x, CURLE_OPERATION_TIMEDOUT);
}

int64_t mcp_lane_next(const struct mcp_lane *l) {
    int64_t next = l->timer_at < l->ends_at ? l->timer_at : l->ends_at;
    for (const struct mcp_xfer *x = l->first; x; x = x->wait_next)
        next = x->ends_at < next ? x->ends_at : next;
    if (l->first && !l->entering)
        next = l->settles_at < next ? l->settles_at : next;
    return next;
}
