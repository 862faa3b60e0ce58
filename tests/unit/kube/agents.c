/* agents: see agents.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agents.h"
#include "base/when.h"
#include "kube/lease.h"

#define UNACKNOWLEDGED (150 * WHEN_MS)
#define PATIENCE (30 * WHEN_S)

/* ---------------------------------------------------------------- an agent */

static struct outbox {
    pthread_mutex_t lock;
    int fd;
    struct message {
        int64_t mono;
        uint32_t len;
        uint8_t *bytes;
    } messages[4096];
    size_t n;
} outbox = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void out_emit(void *ctx, Pilotgate__Record *r) {
    (void)ctx;
    if (r->wall_ns == 0)
        r->wall_ns = when_wall_ns();
    struct message m = {.len = (uint32_t)pilotgate__record__get_packed_size(r)};
    m.bytes = malloc(m.len + 1);
    (void)pilotgate__record__pack(r, m.bytes);
    pthread_mutex_lock(&outbox.lock);
    m.mono = when_mono_ns();
    if (outbox.n == sizeof outbox.messages / sizeof *outbox.messages)
        abort();
    outbox.messages[outbox.n++] = m;
    pthread_mutex_unlock(&outbox.lock);
}

static void put(const void *data, size_t len) {
    const char *at = data;
    while (len > 0) {
        ssize_t n = write(outbox.fd, at, len);
        if (n < 0)
            _exit(3); /* the test is over */
        at += n;
        len -= (size_t)n;
    }
}

/* What is old enough reaches the collector; the rest would be lost with the process. */
static int64_t out_flush(void *ctx) {
    int64_t until = when_mono_ns() - (ctx ? UNACKNOWLEDGED : 0);
    pthread_mutex_lock(&outbox.lock);
    size_t n = 0;
    for (; n < outbox.n && outbox.messages[n].mono < until; n++) {
        put(&outbox.messages[n].len, sizeof outbox.messages[n].len);
        put(outbox.messages[n].bytes, outbox.messages[n].len);
        free(outbox.messages[n].bytes);
    }
    outbox.n -= n;
    memmove(outbox.messages, outbox.messages + n, outbox.n * sizeof *outbox.messages);
    pthread_mutex_unlock(&outbox.lock);
    return until;
}

static bool out_clock(void *ctx, int64_t *ret_offset, uint64_t *ret_bound) {
    (void)ctx;
    *ret_offset = 0; /* all run on one machine */
    *ret_bound = WHEN_MS;
    return true;
}

static int run(const char *url, int fd, int index, int on_node, int64_t second) {
    char node[16];
    uint8_t boot[WIRE_BOOT_BYTES];
    sigset_t set;
    const struct timespec pause = {.tv_nsec = 50 * WHEN_MS};
    struct kube *kube;
    struct err e;
    static struct norm_key key;
    memset(boot, index + 1, sizeof boot);
    outbox.fd = fd;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)snprintf(node, sizeof node, "n%d", on_node);
    struct config config = {
        .kube = {.enabled = true, .api = (char *)url, .stage_scoped = true, .lease = (char *)"elected"},
        .stage = {.namespace_name = (char *)"mcp", .node = node}};
    const struct emit emit = {.fn = out_emit};
    const struct kube_handover handover = {
        .settled = out_flush, .clock = out_clock, .ctx = &outbox, .boot = boot};
    if (kube_start_timed(&config, &key, &emit, NULL, &handover, second, &kube, &e) < 0) {
        (void)fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    while (sigtimedwait(&set, NULL, &pause) < 0) /* who holds nothing asks for no settlement */
        (void)out_flush(&outbox);
    kube_stop(&kube);
    (void)out_flush(NULL);
    return 0;
}

/* ---------------------------------------------------------------- the test's side */

struct agents agents;

unsigned agents_chance(void) {
    agents.random = agents.random * 1664525u + 1013904223u;
    return agents.random >> 8;
}

int agents_start_on(int on_node, int slower) {
    int fds[2];
    char fd[16];
    char index[16];
    char node[16];
    char second[32];
    assert_true(agents.n_children < AGENTS_MAX && pipe2(fds, O_CLOEXEC) == 0);
    struct agents_child *c = &agents.children[agents.n_children];
    (void)snprintf(fd, sizeof fd, "%d", fds[1]);
    (void)snprintf(index, sizeof index, "%d", agents.n_children);
    (void)snprintf(node, sizeof node, "%d", on_node);
    (void)snprintf(second, sizeof second, "%lld", (long long)(slower * AGENTS_SECOND));
    const char *url = api_url(agents.api);
    c->pid = fork();
    assert_true(c->pid >= 0);
    if (c->pid == 0) { /* other threads hold locks: nothing but exec */
        (void)fcntl(fds[1], F_SETFD, 0);
        (void)execl("/proc/self/exe", "test", "agent", url, fd, index, node, second, (char *)NULL);
        _exit(127);
    }
    (void)close(fds[1]);
    c->fd = fds[0];
    return agents.n_children++;
}

int agents_start(void) {
    return agents_start_on(agents.n_children, 1);
}

static void keep(int child, const uint8_t *bytes, size_t len) {
    struct err e;
    if (agents.n == agents.cap) {
        agents.cap = agents.cap ? 2 * agents.cap : 1024;
        agents.told = realloc(agents.told, agents.cap * sizeof *agents.told);
    }
    agents.told[agents.n].child = child;
    if (wire_record_unpack(bytes, len, &agents.told[agents.n].r, &e) < 0)
        fail_msg("an agent emitted an invalid record: %s", e.text);
    agents.n++;
}

static void take_bytes(int child) {
    struct agents_child *c = &agents.children[child];
    size_t at = 0;
    for (uint32_t len; c->n - at >= sizeof len; at += sizeof len + len) {
        memcpy(&len, c->bytes + at, sizeof len);
        if (c->n - at - sizeof len < len)
            break;
        keep(child, c->bytes + at + sizeof len, len);
    }
    c->n -= at;
    memmove(c->bytes, c->bytes + at, c->n);
}

/* Everything that is there; false: it is over. */
static bool drain(int child) {
    struct agents_child *c = &agents.children[child];
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    while (poll(&p, 1, 0) > 0) {
        c->bytes = realloc(c->bytes, c->n + 65536);
        ssize_t n = read(c->fd, c->bytes + c->n, 65536);
        if (n <= 0)
            return false;
        c->n += (size_t)n;
        take_bytes(child);
    }
    return true;
}

static void drain_all(void) {
    for (int i = 0; i < agents.n_children; i++)
        if (agents.children[i].pid)
            (void)drain(i);
}

void agents_end(int child, int sig) {
    struct agents_child *c = &agents.children[child];
    int status;
    assert_int_equal(kill(c->pid, sig), 0);
    while (drain(child)) {
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        (void)poll(&p, 1, 100);
    }
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    (void)close(c->fd);
    c->pid = 0;
    if (sig == SIGTERM)
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int agents_set_up(void **state) {
    (void)state;
    memset(&agents, 0, sizeof agents);
    agents.random = 4711;
    agents.api = api_start();
    for (int i = 0; i < 3 * AGENTS_NAMES; i++) /* some objects there are */
        api_change(agents.api, AGENTS_NAMES, agents_chance());
    return 0;
}

int agents_tear_down(void **state) {
    (void)state;
    for (int i = 0; i < agents.n_children; i++) {
        if (agents.children[i].pid)
            agents_end(i, SIGKILL);
        free(agents.children[i].bytes);
    }
    for (size_t i = 0; i < agents.n; i++)
        wire_record_free(&agents.told[i].r);
    free(agents.told);
    api_stop(&agents.api);
    return 0;
}

/* ---------------------------------------------------------------- what was told */

const Pilotgate__Object *agents_configmap(size_t i) {
    const Pilotgate__Record *r = agents.told[i].r;
    return r->body_case == PILOTGATE__RECORD__BODY_OBJECT && strcmp(r->object->kind, "ConfigMap") == 0
               ? r->object
               : NULL;
}

const Pilotgate__Loss *agents_loss(size_t i) {
    const Pilotgate__Record *r = agents.told[i].r;
    return r->body_case == PILOTGATE__RECORD__BODY_LOSS ? r->loss : NULL;
}

unsigned agents_losses(void) {
    unsigned n = 0;
    for (size_t i = 0; i < agents.n; i++)
        n += agents_loss(i) != NULL;
    return n;
}

const Pilotgate__Object *agents_telling(const struct api_event *ev) {
    char rv[32];
    (void)snprintf(rv, sizeof rv, "%lld", (long long)ev->rv);
    for (size_t i = 0; i < agents.n; i++) {
        const Pilotgate__Object *o = agents_configmap(i);
        if (o && strcmp(o->resource_version, rv) == 0)
            return o;
    }
    return NULL;
}

bool agents_is_told(void) {
    struct api_event last = api_event(agents.api, api_events(agents.api) - 1);
    return agents_telling(&last) != NULL;
}

bool agents_has_holder(void) {
    char holder[256];
    api_holder(agents.api, holder, sizeof holder);
    return *holder != 0;
}

void agents_wait_for(bool (*holds)(void), const char *what) {
    int64_t until = when_mono_ns() + PATIENCE;
    while (!holds()) {
        if (when_mono_ns() > until)
            fail_msg("never: %s", what);
        drain_all();
        (void)poll(NULL, 0, 5);
    }
}

void agents_change_for(int64_t ns) {
    for (int64_t until = when_mono_ns() + ns; when_mono_ns() < until;) {
        api_change(agents.api, AGENTS_NAMES, agents_chance());
        drain_all();
        (void)poll(NULL, 0, 1 + (int)(agents_chance() % 6));
    }
}

static int by_time(const void *a, const void *b) {
    const Pilotgate__Object *x = *(const Pilotgate__Object *const *)a;
    const Pilotgate__Object *y = *(const Pilotgate__Object *const *)b;
    return x->t_wall_ns < y->t_wall_ns ? -1 : x->t_wall_ns > y->t_wall_ns;
}

static bool is_repeat(const Pilotgate__Object *const *all, size_t i) {
    for (size_t k = 0; k < i; k++)
        if (strcmp(all[k]->resource_version, all[i]->resource_version) == 0 &&
            strcmp(all[k]->uid, all[i]->uid) == 0) {
            assert_string_equal(all[k]->digest, all[i]->digest);
            return true;
        }
    return false;
}

unsigned agents_check_order(void) {
    const Pilotgate__Object **all = calloc(agents.n + 1, sizeof(Pilotgate__Object *));
    long long last[AGENTS_NAMES] = {0};
    unsigned repeats = 0;
    size_t n = 0;
    for (size_t i = 0; i < agents.n; i++)
        if (agents_configmap(i))
            all[n++] = agents_configmap(i);
    qsort(all, n, sizeof *all, by_time);
    for (size_t i = 0; i < n; i++) {
        int name = atoi(all[i]->name + 1);
        long long rv = strtoll(all[i]->resource_version, NULL, 10);
        if (is_repeat(all, i)) {
            repeats++;
            continue;
        }
        if (rv <= last[name])
            fail_msg("%s: %lld was told after %lld", all[i]->name, rv, last[name]);
        last[name] = rv;
    }
    free(all);
    return repeats;
}

int agents_main(int argc, char **argv) {
    (void)signal(SIGPIPE, SIG_IGN);
    if (argc != 7 || strcmp(argv[1], "agent") != 0)
        return -1;
    return run(argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]), atoll(argv[6]));
}
