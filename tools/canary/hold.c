/* hold: a binary heap of deadlines beside an epoll set; see hold.h. One timerfd both tells the earliest
 * deadline and wakes the thread. Only the thread removes entries, so that no event can be stale. */
#include "canary/hold.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/when.h"

#define EVENTS_MAX 64

struct hold {
    pthread_t thread;
    bool running;
    int epoll_fd, timer_fd;
    pthread_mutex_t lock; /* guards what follows */
    struct hold_entry **heap;
    size_t n, cap;
    bool ending, stopping;
};

static void place(struct hold *h, size_t i, struct hold_entry *x) {
    h->heap[i] = x;
    x->index = i;
}

static void sift_up(struct hold *h, size_t i) {
    struct hold_entry *x = h->heap[i];
    while (i && h->heap[(i - 1) / 2]->due_ns > x->due_ns) {
        place(h, i, h->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(h, i, x);
}

static void sift_down(struct hold *h, size_t i) {
    struct hold_entry *x = h->heap[i];
    for (size_t child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && h->heap[child + 1]->due_ns < h->heap[child]->due_ns)
            child++;
        if (h->heap[child]->due_ns >= x->due_ns)
            break;
        place(h, i, h->heap[child]);
    }
    place(h, i, x);
}

static void heap_remove(struct hold *h, struct hold_entry *x) {
    size_t i = x->index;
    struct hold_entry *last = h->heap[--h->n];
    if (last == x)
        return;
    place(h, i, last);
    sift_up(h, i);
    sift_down(h, last->index);
}

/* at_ns 0: at once. */
static void set_timer(struct hold *h, int64_t at_ns) {
    struct itimerspec t = {.it_value = {at_ns / WHEN_S, at_ns % WHEN_S}};
    if (at_ns <= 0)
        t.it_value.tv_nsec = 1;
    timerfd_settime(h->timer_fd, TFD_TIMER_ABSTIME, &t, NULL);
}

static bool hung_up(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    return fd >= 0 && poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* Takes the entry out of heap and set, then tells its owner. */
static void finish(struct hold *h, struct hold_entry *x, enum hold_end why) {
    pthread_mutex_lock(&h->lock);
    heap_remove(h, x);
    if (x->fd >= 0)
        epoll_ctl(h->epoll_fd, EPOLL_CTL_DEL, x->fd, NULL);
    pthread_mutex_unlock(&h->lock);
    x->done(x, why);
}

/* The first entry whose time has come, or NULL with the timer set for the next. */
static struct hold_entry *next_due(struct hold *h, enum hold_end *why) {
    pthread_mutex_lock(&h->lock);
    struct hold_entry *x = h->n ? h->heap[0] : NULL;
    *why = h->ending ? HOLD_ENDED : HOLD_DUE;
    if (x && !h->ending && x->due_ns > when_mono_ns()) {
        set_timer(h, x->due_ns);
        x = NULL;
    }
    pthread_mutex_unlock(&h->lock);
    return x;
}

static void finish_due(struct hold *h) {
    enum hold_end why;
    for (struct hold_entry *x; (x = next_due(h, &why));)
        finish(h, x, why == HOLD_DUE && hung_up(x->fd) ? HOLD_GONE : why);
}

static bool is_stopping(struct hold *h) {
    pthread_mutex_lock(&h->lock);
    bool stopping = h->stopping && !h->n;
    pthread_mutex_unlock(&h->lock);
    return stopping;
}

static void *run(void *arg) {
    struct hold *h = arg;
    struct epoll_event events[EVENTS_MAX];
    while (!is_stopping(h)) {
        int n = epoll_wait(h->epoll_fd, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            uint64_t ticks;
            if (events[i].data.ptr)
                finish(h, events[i].data.ptr, HOLD_GONE);
            else if (read(h->timer_fd, &ticks, sizeof ticks) < 0 && errno != EAGAIN)
                return NULL;
        }
        finish_due(h);
    }
    return NULL;
}

static int open_fds(struct hold *h) {
    h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    h->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event timer = {.events = EPOLLIN};
    if (h->epoll_fd < 0 || h->timer_fd < 0 || epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, h->timer_fd, &timer))
        return -errno;
    return 0;
}

int hold_start(struct hold **ret, struct err *e) {
    struct hold *h = calloc(1, sizeof *h);
    if (!h)
        return err_oom(e);
    pthread_mutex_init(&h->lock, NULL);
    int rc = open_fds(h);
    if (!rc) {
        rc = -pthread_create(&h->thread, NULL, run, h);
        h->running = !rc;
    }
    if (rc) {
        err_set(e, rc, "cannot start the timer: %s", strerror(-rc));
        hold_stop(&h);
        return rc;
    }
    *ret = h;
    return 0;
}

void hold_stop(struct hold **ph) {
    struct hold *h = *ph;
    if (!h)
        return;
    if (h->running) {
        pthread_mutex_lock(&h->lock);
        h->ending = h->stopping = true;
        set_timer(h, 0);
        pthread_mutex_unlock(&h->lock);
        pthread_join(h->thread, NULL);
    }
    if (h->epoll_fd >= 0)
        close(h->epoll_fd);
    if (h->timer_fd >= 0)
        close(h->timer_fd);
    pthread_mutex_destroy(&h->lock);
    free(h->heap);
    free(h);
    *ph = NULL;
}

static int make_room(struct hold *h) {
    if (h->n < h->cap)
        return 0;
    size_t cap = h->cap ? 2 * h->cap : 64;
    struct hold_entry **heap = realloc(h->heap, cap * sizeof(*heap));
    if (!heap)
        return -ENOMEM;
    h->heap = heap;
    h->cap = cap;
    return 0;
}

int hold_add(struct hold *h, struct hold_entry *x) {
    struct epoll_event watch = {.events = EPOLLRDHUP, .data.ptr = x};
    pthread_mutex_lock(&h->lock);
    int rc = make_room(h);
    if (!rc && x->fd >= 0 && epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, x->fd, &watch))
        rc = -errno;
    if (!rc) {
        place(h, h->n++, x);
        sift_up(h, h->n - 1);
        if (h->ending || h->heap[0] == x)
            set_timer(h, h->ending ? 0 : x->due_ns);
    }
    pthread_mutex_unlock(&h->lock);
    return rc;
}

void hold_end_all(struct hold *h) {
    pthread_mutex_lock(&h->lock);
    h->ending = true;
    set_timer(h, 0);
    pthread_mutex_unlock(&h->lock);
}
