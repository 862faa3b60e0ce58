/* uplink: the state machine of the way to the collector.
 *
 *            time            Welcome                 renew: a new Hello is wanted
 *   ┌─► IDLE ─────► HELLO ──────────► STREAMING ─────────────────────────────────┐
 *   │     │ lost      │ time (no Welcome), refused, lost   │ time (silence),     │
 *   │     ▼           ▼                                    │ refused, lost       │
 *   └── BACKOFF ◄─────┴────────────────────────────────────┘                     │
 *   ▲ time            (renew also from HELLO: the store is another one)           │
 *   └──────────────────────────────────── IDLE ◄─────────────────────────────────┘
 *
 * HELLO: socket and Hello are out. STREAMING: batches go out inside the credit, acks trim the spool.
 * BACKOFF: no socket; short after silence, long after a refusal, both growing and spread at random so
 * that the agents of a pilot do not come back in step. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/crash.h"
#include "uplink_priv.h"

#define RECEIVE_MAX 256 /* frames in one step */
#define BLOCKED_RETRY (20 * WHEN_MS)
#define BATCH_KEEP (64u << 10) /* a larger batch buffer is given back */
#define COMMAND_TTL_MAX 3600   /* seconds */
#define BYE_LINGER_MS 300
#define SETTLE_RETRY (60 * WHEN_S)
#define SESSION_WELL (60 * WHEN_S) /* a session of this length ends what was in a row */

const struct uplink_times uplink_times_default = {
    .hello = WIRE_SILENCE_S * WHEN_S,
    .silence = WIRE_SILENCE_S * WHEN_S,
    .lost_min = WHEN_S / 4,
    .lost_max = 5 * WHEN_S,
    .refused_min = 5 * WHEN_S,
    .refused_max = 60 * WHEN_S,
};

int uplink_open(struct uplink *u, struct err *e) {
    u->batch = BUF_INIT(WIRE_FRAME_MAX);
    u->state = UPLINK_IDLE;
    u->deadline = 0;
    return uplink_load_keys(u, e);
}

static void drop_socket(struct uplink *u) {
    if (u->socket)
        (void)zmq_close(u->socket);
    u->socket = NULL;
    u->session = 0;
    u->blocked = false;
}

void uplink_close(struct uplink *u) {
    drop_socket(u);
    buf_free(&u->batch);
    sodium_memzero(&u->own, sizeof u->own);
}

/* ---- actions of the table: 0, or negative when the socket failed */

static int act_connect(struct uplink *u, int64_t now) {
    u->deadline = now + u->times.hello;
    if (uplink_load_keys(u, &u->key_trouble) == 0) /* else: those that were good until now */
        u->key_trouble.text[0] = 0;
    int r = session_dealer(u->zmq, u->config, &u->own, u->server_z85[u->server_key], &u->socket, &u->trouble);
    if (r < 0)
        return r;
    struct session_streams said;
    uplink_announce(u, &said);
    r = session_hello(u->socket, u->config, u->id, &said);
    CRASH_POINT("uplink-hello");
    return r < 0 ? err_set(&u->trouble, r, "cannot say hello: %s", zmq_strerror(-r)) : 0;
}

static int act_begin(struct uplink *u, int64_t now) {
    u->heard = u->progress = u->begun = now;
    u->counts.sessions++;
    u->trouble.text[0] = 0;
    clocks_begin(&u->clocks, now);
    return 0;
}

/* min * 2^tries up to max, of that a random half to whole. */
static int64_t waiting(int64_t min, int64_t max, unsigned tries) {
    int64_t t = min;
    for (unsigned i = 0; i < tries && t < max; i++)
        t *= 2;
    if (t > max)
        t = max;
    return t / 2 + (int64_t)((double)t / 2 * randombytes_uniform(1000) / 1000.0);
}

static int act_wait_lost(struct uplink *u, int64_t now) {
    drop_socket(u);
    u->counts.losses++;
    u->deadline = now + waiting(u->times.lost_min, u->times.lost_max, u->losses++);
    return 0;
}

/* The collector ended the session: a new Hello soon, unless that happens again and again. */
static int act_ended(struct uplink *u, int64_t now) {
    if (now - u->begun > SESSION_WELL)
        u->losses = 0;
    return act_wait_lost(u, now);
}

static int act_silent(struct uplink *u, int64_t now) {
    if (u->state == UPLINK_HELLO) {
        (void)err_set(&u->trouble, 0,
                      "no answer at %s: is it running, and is this agent's public key %s in its allow-list?",
                      u->config->collector.endpoint, u->own.public_z85);
        u->server_key = (u->server_key + 1) % u->n_server_keys; /* the collector may have the other one */
    } else
        (void)err_set(&u->trouble, 0, "silent, connecting anew");
    return u->state == UPLINK_HELLO ? act_wait_lost(u, now) : act_ended(u, now);
}

static int act_wait_refused(struct uplink *u, int64_t now) {
    drop_socket(u);
    u->counts.refusals++;
    u->deadline = now + 2 * waiting(u->times.refused_min, u->times.refused_max / 2, u->refusals++);
    return 0;
}

static int act_idle(struct uplink *u, int64_t now) {
    drop_socket(u);
    u->deadline = now;
    return 0;
}

static int act_renew(struct uplink *u, int64_t now) {
    for (size_t i = 0; i < u->window.n; i++) {
        const struct lane *l = &u->window.lanes[i];
        struct gap *g = l->damaged && l->acked + 1 >= l->sent ? uplink_gap_of(u, l->boot) : NULL;
        if (g)
            g->ready = true;
    }
    (void)act_idle(u, now);
    if (u->trim_trouble) /* what should have vanished may still be there: no hurry */
        u->deadline = now + u->times.lost_max;
    return 0;
}

/* Events without an action mean nothing in that state. */
static const struct rule {
    int (*act)(struct uplink *u, int64_t now);
    enum uplink_state next;
} table[UPLINK_STATES][UPLINK_EVENTS] = {
    [UPLINK_IDLE] = {[UPLINK_TIME] = {act_connect, UPLINK_HELLO}},
    [UPLINK_HELLO] = {[UPLINK_TIME] = {act_silent, UPLINK_BACKOFF},
                      [UPLINK_WELCOME] = {act_begin, UPLINK_STREAMING},
                      [UPLINK_REFUSED] = {act_wait_refused, UPLINK_BACKOFF},
                      [UPLINK_LOST] = {act_wait_lost, UPLINK_BACKOFF},
                      [UPLINK_RENEW] = {act_idle, UPLINK_IDLE}},
    [UPLINK_STREAMING] = {[UPLINK_TIME] = {act_silent, UPLINK_BACKOFF},
                          [UPLINK_REFUSED] = {act_wait_refused, UPLINK_BACKOFF},
                          [UPLINK_LOST] = {act_ended, UPLINK_BACKOFF},
                          [UPLINK_RENEW] = {act_renew, UPLINK_IDLE}},
    [UPLINK_BACKOFF] = {[UPLINK_TIME] = {act_idle, UPLINK_IDLE}},
};

void uplink_fire(struct uplink *u, enum uplink_event ev, int64_t now) {
    const struct rule *rule = &table[u->state][ev];
    if (!rule->act)
        return;
    int r = rule->act(u, now);
    u->state = rule->next;
    if (r < 0)
        uplink_fire(u, UPLINK_LOST, now);
}

/* ---- what the collector sends */

static void trim(struct uplink *u, const uint8_t *boot, uint64_t acked) {
    CRASH_POINT("uplink-acked");
    if (!u->settled) /* nothing may be kept in the name of a store that did not acknowledge it */
        return;
    u->trim_trouble = spool_trim(u->spool, boot, acked);
    CRASH_POINT("uplink-trimmed");
}

static void on_welcome(struct uplink *u, const Pilotgate__Frame *f, int64_t now) {
    const char *reason = f->welcome->refused;
    if (u->state == UPLINK_STREAMING && reason && *reason) { /* after a restart it knows no session */
        (void)err_set(&u->trouble, -EPIPE, "the collector ended the session: %s", reason);
        uplink_fire(u, UPLINK_LOST, now);
    }
    if (u->state != UPLINK_HELLO)
        return;
    CRASH_POINT("uplink-welcome");
    int r = session_check_welcome(f, &u->trouble);
    enum uplink_event next = r == 0 ? uplink_settle(u, f->welcome) : UPLINK_REFUSED;
    CRASH_POINT("uplink-settled");
    if (next != UPLINK_WELCOME) {
        uplink_fire(u, next, now);
        return;
    }
    if (r == 0)
        r = window_begin(&u->window, u->announced, u->n_announced, u->window.more, f->welcome, &u->trouble);
    if (r == 0)
        u->session = f->session;
    uplink_fire(u, r < 0 ? UPLINK_REFUSED : UPLINK_WELCOME, now);
    for (size_t i = 0; r == 0 && i < u->window.n; i++)
        trim(u, u->window.lanes[i].boot, u->window.lanes[i].acked);
}

static void on_ack(struct uplink *u, const Pilotgate__Ack *a, int64_t now) {
    for (size_t i = 0; i < a->n_streams; i++) {
        const Pilotgate__StreamAck *s = a->streams[i];
        if (s->boot.len != WIRE_BOOT_BYTES)
            continue;
        int r = window_ack(&u->window, s->boot.data, s->acked_seq, spool_next_seq(u->spool));
        if (r < 0) {
            (void)err_set(&u->trouble, r, "the collector acknowledges records that were never made");
            uplink_fire(u, UPLINK_REFUSED, now);
            return;
        }
        if (r > 0) {
            u->progress = now;
            u->losses = u->refusals = 0;
            trim(u, s->boot.data, s->acked_seq);
        }
    }
    if (a->reason && *a->reason) {
        (void)err_set(&u->trouble, -EACCES, "the collector refused a batch: %s", a->reason);
        uplink_fire(u, UPLINK_REFUSED, now);
    }
}

/* For frames whose loss does no harm: the next one will do, or the collector asks again. */
static void send_or_leave(struct uplink *u, Pilotgate__Frame *f) {
    if (session_send(u->socket, f) < 0)
        u->blocked = true;
}

static void on_command(struct uplink *u, const Pilotgate__Command *c) {
    Pilotgate__CommandResult res = PILOTGATE__COMMAND_RESULT__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    const char *text = "";
    bool raise = c->kind == PILOTGATE__COMMAND__KIND__KIND_RAISE_LOAD;
    if (!raise && c->kind != PILOTGATE__COMMAND__KIND__KIND_LOWER_LOAD)
        text = "this agent does not know the command";
    else if (raise && (c->ttl_seconds == 0 || c->ttl_seconds > COMMAND_TTL_MAX))
        text = "ttl_seconds must be 1 to 3600";
    else if (!u->load(u->load_ctx, raise ? c->ttl_seconds * WHEN_S : 0))
        text = "this agent takes no load";
    res.id = c->id;
    res.ok = !*text;
    res.text = (char *)(uintptr_t)text;
    f.session = u->session;
    f.kind_case = PILOTGATE__FRAME__KIND_COMMAND_RESULT;
    f.command_result = &res;
    send_or_leave(u, &f);
}

static void on_frame(struct uplink *u, const Pilotgate__Frame *f, int64_t now) {
    if (f->kind_case == PILOTGATE__FRAME__KIND_WELCOME) {
        on_welcome(u, f, now);
        return;
    }
    if (u->state != UPLINK_STREAMING || f->session != u->session)
        return;
    u->heard = now;
    if (f->kind_case == PILOTGATE__FRAME__KIND_ACK)
        on_ack(u, f->ack, now);
    else if (f->kind_case == PILOTGATE__FRAME__KIND_CLOCK_REPLY)
        clocks_reply(&u->clocks, f->clock_reply, when_wall_ns(), when_mono_ns());
    else if (f->kind_case == PILOTGATE__FRAME__KIND_COMMAND)
        on_command(u, f->command);
}

/* A frame that breaks a rule, or of a kind that a newer collector has, is left aside: if nothing better
 * comes, that is silence. */
static void receive(struct uplink *u, int64_t now) {
    for (int i = 0; i < RECEIVE_MAX && u->socket; i++) {
        Pilotgate__Frame *f = NULL;
        struct err e;
        int r = session_receive(u->socket, &f, &e);
        if (r == 0)
            return;
        if (r > 0)
            on_frame(u, f, now);
        wire_free(&f);
    }
}

/* ---- what goes out */

struct collecting {
    struct uplink *u;
    size_t n;
};

static int collect(void *ctx, uint64_t seq, const uint8_t *data, size_t len) {
    struct collecting *c = ctx;
    (void)seq;
    int r = buf_add(&c->u->batch, data, len);
    if (r == 0)
        c->u->records[c->n++].len = len; /* the place is known once the buffer no longer moves */
    return r;
}

/* Reads the lane's next records into `batch`; how many, 0 when there is nothing to send just now. */
static size_t fill_batch(struct uplink *u, struct lane *l, size_t max_records, size_t max_bytes) {
    uint64_t end = l->end ? l->end : spool_next_seq(u->spool);
    if (l->damaged || l->sent >= end)
        return 0;
    struct collecting c = {.u = u};
    buf_clear(&u->batch);
    int n = spool_read(u->spool, l->boot, l->sent, max_records, max_bytes, collect, &c);
    if (n == -EBADMSG)
        uplink_found_gap(u, l);
    else
        u->spool_trouble = n < 0 ? n : 0;
    if (n <= 0)
        return 0;
    uint8_t *at = (uint8_t *)u->batch.data;
    for (size_t i = 0; i < (size_t)n; at += u->records[i++].len)
        u->records[i].data = at;
    return (size_t)n;
}

static int send_batch(struct uplink *u, size_t lane, size_t n) {
    struct lane *l = &u->window.lanes[lane];
    Pilotgate__Batch b = PILOTGATE__BATCH__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    b.boot.data = l->boot;
    b.boot.len = WIRE_BOOT_BYTES;
    b.first_seq = l->sent;
    b.n_records = n;
    b.records = u->records;
    f.session = u->session;
    f.kind_case = PILOTGATE__FRAME__KIND_BATCH;
    f.batch = &b;
    return session_send(u->socket, &f);
}

/* One batch of the oldest stream that has something. False when nothing went out. */
static bool send_some(struct uplink *u, int64_t now) {
    size_t max_records;
    size_t max_bytes;
    if (!window_room(&u->window, &max_records, &max_bytes))
        return false;
    for (size_t i = 0; i < u->window.n; i++) {
        size_t n = fill_batch(u, &u->window.lanes[i], max_records, max_bytes);
        if (n == 0)
            continue;
        u->blocked = send_batch(u, i, n) < 0;
        if (u->blocked)
            return false;
        CRASH_POINT("uplink-sent");
        if (u->window.flying == 0)
            u->progress = now; /* the wait for an ack begins here */
        window_sent(&u->window, i, n, u->batch.len);
        return true;
    }
    return false;
}

static void send_clock_probe(struct uplink *u, int64_t now) {
    Pilotgate__ClockProbe p = PILOTGATE__CLOCK_PROBE__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    if (!clocks_probe(&u->clocks, now, &p))
        return;
    f.session = u->session;
    f.kind_case = PILOTGATE__FRAME__KIND_CLOCK_PROBE;
    f.clock_probe = &p;
    send_or_leave(u, &f);
}

static void stream(struct uplink *u, int64_t now) {
    Pilotgate__Record r;
    Pilotgate__Timing t;
    if (!u->ending && clocks_offset(&u->clocks, now, &r, &t))
        keeper_record(u->keeper, &r);
    send_clock_probe(u, now);
    while (send_some(u, now))
        ;
    if (u->batch.cap > BATCH_KEEP)
        buf_free(&u->batch);
    bool settle_again = !u->settled && now - u->begun > SETTLE_RETRY;
    if (window_wants_renewal(&u->window) || settle_again)
        uplink_fire(u, UPLINK_RENEW, now);
}

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t deadline(const struct uplink *u) {
    if (u->state != UPLINK_STREAMING)
        return u->deadline;
    int64_t since = u->window.flying > 0 ? earlier(u->heard, u->progress) : u->heard;
    return since + u->times.silence;
}

void uplink_step(struct uplink *u, int64_t now) {
    receive(u, now);
    for (int i = 0; i < UPLINK_STATES && now >= deadline(u); i++)
        uplink_fire(u, UPLINK_TIME, now);
    if (u->state == UPLINK_STREAMING)
        stream(u, now);
}

int64_t uplink_next(const struct uplink *u) {
    int64_t t = deadline(u);
    if (u->state == UPLINK_STREAMING)
        t = earlier(t, u->clocks.next_probe);
    return u->blocked ? earlier(t, when_mono_ns() + BLOCKED_RETRY) : t;
}

bool uplink_delivered(const struct uplink *u) {
    return u->state == UPLINK_STREAMING && !u->window.more &&
           window_empty(&u->window, spool_next_seq(u->spool));
}

void uplink_bye(struct uplink *u) {
    if (u->state != UPLINK_STREAMING)
        return;
    Pilotgate__Bye b = PILOTGATE__BYE__INIT;
    Pilotgate__Frame f = PILOTGATE__FRAME__INIT;
    int linger = BYE_LINGER_MS;
    b.boot.data = u->window.lanes[u->window.n - 1].boot;
    b.boot.len = WIRE_BOOT_BYTES;
    b.last_seq = spool_next_seq(u->spool) - 1;
    f.session = u->session;
    f.kind_case = PILOTGATE__FRAME__KIND_BYE;
    f.bye = &b;
    (void)zmq_setsockopt(u->socket, ZMQ_LINGER, &linger, sizeof linger);
    send_or_leave(u, &f);
}
