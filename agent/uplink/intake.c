/* intake: the way from the sources' threads into the journal's. Bounded in records and bytes: a pass (a
 * block of calls) is dropped at once when there is no room, anything else waits INTAKE_PATIENCE first. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/tsan.h"
#include "uplink_priv.h"

#define INTAKE_ADDRESS "inproc://journal"

void losses_count(struct losses *l, unsigned cause, enum wire_family f, uint64_t records, int64_t wall_ns) {
    struct tally *t = &l->causes[cause < LOSS_CAUSES ? cause : 0];
    if (t->from_wall_ns == 0 || wall_ns < t->from_wall_ns)
        t->from_wall_ns = wall_ns;
    if (wall_ns > t->to_wall_ns)
        t->to_wall_ns = wall_ns;
    t->records[f] += records;
    l->any = true;
}

void losses_merge(struct losses *into, const struct losses *from) {
    for (unsigned c = 0; c < LOSS_CAUSES; c++) {
        const struct tally *t = &from->causes[c];
        for (int f = 0; f < WIRE_FAMILIES; f++)
            if (t->records[f]) {
                losses_count(into, c, (enum wire_family)f, t->records[f], t->from_wall_ns);
                losses_count(into, c, (enum wire_family)f, 0, t->to_wall_ns);
            }
    }
}

static int intake_socket(void *zmq, int type, void **ret) {
    const int hwm = 0; /* the bound is our own count: the pipe would tell of room only in large steps */
    void *s = zmq_socket(zmq, type);
    if (!s)
        return -errno;
    (void)zmq_setsockopt(s, type == ZMQ_PUSH ? ZMQ_SNDHWM : ZMQ_RCVHWM, &hwm, sizeof hwm);
    int linger = 0;
    (void)zmq_setsockopt(s, ZMQ_LINGER, &linger, sizeof linger);
    *ret = s;
    return 0;
}

int intake_open(struct intake *in, void *zmq, struct err *e) {
    pthread_condattr_t attr;
    (void)pthread_mutex_init(&in->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&in->room, &attr);
    (void)pthread_condattr_destroy(&attr);
    int r = intake_socket(zmq, ZMQ_PULL, &in->pull);
    if (r == 0)
        r = intake_socket(zmq, ZMQ_PUSH, &in->push);
    if (r == 0 && (zmq_bind(in->pull, INTAKE_ADDRESS) != 0 || zmq_connect(in->push, INTAKE_ADDRESS) != 0))
        r = -errno;
    return r < 0 ? err_set(e, r, "journal: cannot make its pipe (%s): raise the limit on open files",
                           zmq_strerror(-r))
                 : 0;
}

void intake_close(struct intake *in) {
    if (in->push)
        (void)zmq_close(in->push);
    if (in->pull)
        (void)zmq_close(in->pull);
    (void)pthread_cond_destroy(&in->room);
    (void)pthread_mutex_destroy(&in->lock);
}

/* Waits until there is room for len bytes or patience ends; holds the lock. */
static bool wait_for_room(struct intake *in, size_t len, bool patient) {
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += INTAKE_PATIENCE / WHEN_S;
    while (in->queued + len > INTAKE_BYTES || in->messages >= INTAKE_MESSAGES) {
        if (!patient || pthread_cond_timedwait(&in->room, &in->lock, &until) == ETIMEDOUT)
            return false;
    }
    return true;
}

/* A message that holds the packed record; 0 or negative errno. */
static int pack_item(const Pilotgate__Record *r, size_t len, zmq_msg_t *m) {
    if (zmq_msg_init_size(m, sizeof(struct item) + len + INTAKE_SEQ_ROOM) != 0)
        return -ENOMEM;
    struct item item = {.wall_ns = r->wall_ns, .family = wire_family(r), .len = (uint32_t)len};
    uint8_t *p = zmq_msg_data(m);
    memcpy(p, &item, sizeof item);
    (void)pilotgate__record__pack(r, p + sizeof item);
    return 0;
}

void intake_emit(void *intake, Pilotgate__Record *r) {
    struct intake *in = intake;
    if (r->wall_ns == 0)
        r->wall_ns = when_wall_ns();
    if (r->mono_ns == 0)
        r->mono_ns = (uint64_t)when_mono_ns();
    r->seq = 0; /* the journal appends it to the packed bytes */
    enum wire_family f = wire_family(r);
    size_t len = pilotgate__record__get_packed_size(r);
    bool fits = len + INTAKE_SEQ_ROOM <= WIRE_RECORD_MAX;
    zmq_msg_t m;
    int packed = fits ? pack_item(r, len, &m) : -EMSGSIZE;
    (void)pthread_mutex_lock(&in->lock);
    TSAN_HANDS_OVER(&in->push);
    if (packed == 0 && wait_for_room(in, len, f != WIRE_FAMILY_CALLS) &&
        zmq_msg_send(&m, in->push, ZMQ_DONTWAIT) >= 0) {
        in->queued += len;
        in->messages++;
    } else {
        losses_count(&in->lost,
                     fits ? PILOTGATE__LOSS__CAUSE__CAUSE_QUEUE_FULL
                          : PILOTGATE__LOSS__CAUSE__CAUSE_TOO_LARGE,
                     f, 1, r->wall_ns);
        if (packed == 0)
            (void)zmq_msg_close(&m);
    }
    (void)pthread_mutex_unlock(&in->lock);
}

void intake_wake(struct intake *in) {
    (void)pthread_mutex_lock(&in->lock);
    (void)zmq_send(in->push, "", 0, ZMQ_DONTWAIT); /* a full pipe wakes as well */
    (void)pthread_mutex_unlock(&in->lock);
}

int intake_take(struct intake *in, zmq_msg_t *m, struct item **ret_item) {
    for (;;) {
        (void)zmq_msg_init(m);
        if (zmq_msg_recv(m, in->pull, ZMQ_DONTWAIT) < 0) {
            (void)zmq_msg_close(m);
            return 0;
        }
        if (zmq_msg_size(m) > 0) {
            TSAN_TAKES_OVER(&in->push);
            *ret_item = zmq_msg_data(m);
            return 1;
        }
        (void)zmq_msg_close(m); /* only a call to wake up */
    }
}

void intake_release(struct intake *in, size_t messages, size_t bytes, struct losses *into) {
    (void)pthread_mutex_lock(&in->lock);
    in->queued -= bytes;
    in->messages -= messages;
    if (in->lost.any) {
        losses_merge(into, &in->lost);
        memset(&in->lost, 0, sizeof in->lost);
    }
    if (messages > 0)
        (void)pthread_cond_broadcast(&in->room);
    (void)pthread_mutex_unlock(&in->lock);
}
