/* Tests of the handover: agents as processes of their own around one Lease and one changing collection
 * (api.h). The holder is killed in the middle of changes again and again; what an agent emitted in the last
 * 150 ms was not acknowledged, and is lost with it. Every event must be told all the same, in order, once
 * after duplicates by (uid, resourceVersion) are dropped, or declared to be in a gap. */
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

#include "api.h"
#include "base/when.h"
#include "kube/lease.h"

#define SECOND (20 * WHEN_MS) /* of the election */
#define UNACKNOWLEDGED (150 * WHEN_MS)
#define PATIENCE (30 * WHEN_S)
#define NAMES 6
#define KILLS 5
#define CHILDREN_MAX 32

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

static int run_agent(const char *url, int fd, int index, int on_node, int64_t second) {
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

struct told {
    Pilotgate__Record *r;
    int child;
};

static struct pilot {
    struct api *api;
    struct child {
        pid_t pid; /* 0: over */
        int fd;
        uint8_t *bytes;
        size_t n;
    } children[CHILDREN_MAX];
    int n_children;
    struct told *told;
    size_t n, cap;
    unsigned random;
} t;

static unsigned chance(void) {
    t.random = t.random * 1664525u + 1013904223u;
    return t.random >> 8;
}

/* One on this node; slower: how much longer the election's seconds are. Returns the child. */
static int start_agent_on(int on_node, int slower) {
    int fds[2];
    char fd[16];
    char index[16];
    char node[16];
    char second[32];
    assert_true(t.n_children < CHILDREN_MAX && pipe2(fds, O_CLOEXEC) == 0);
    struct child *c = &t.children[t.n_children];
    (void)snprintf(fd, sizeof fd, "%d", fds[1]);
    (void)snprintf(index, sizeof index, "%d", t.n_children);
    (void)snprintf(node, sizeof node, "%d", on_node);
    (void)snprintf(second, sizeof second, "%lld", (long long)(slower * SECOND));
    const char *url = api_url(t.api);
    c->pid = fork();
    assert_true(c->pid >= 0);
    if (c->pid == 0) { /* other threads hold locks: nothing but exec */
        (void)fcntl(fds[1], F_SETFD, 0);
        (void)execl("/proc/self/exe", "test", "agent", url, fd, index, node, second, (char *)NULL);
        _exit(127);
    }
    (void)close(fds[1]);
    c->fd = fds[0];
    return t.n_children++;
}

static int start_agent(void) {
    return start_agent_on(t.n_children, 1);
}

static void keep(int child, const uint8_t *bytes, size_t len) {
    struct err e;
    if (t.n == t.cap) {
        t.cap = t.cap ? 2 * t.cap : 1024;
        t.told = realloc(t.told, t.cap * sizeof *t.told);
    }
    t.told[t.n].child = child;
    if (wire_record_unpack(bytes, len, &t.told[t.n].r, &e) < 0)
        fail_msg("an agent emitted an invalid record: %s", e.text);
    t.n++;
}

static void take_bytes(int child) {
    struct child *c = &t.children[child];
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
    struct child *c = &t.children[child];
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
    for (int i = 0; i < t.n_children; i++)
        if (t.children[i].pid)
            (void)drain(i);
}

static void end_agent(int child, int sig) {
    struct child *c = &t.children[child];
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

static int set_up(void **state) {
    (void)state;
    memset(&t, 0, sizeof t);
    t.random = 4711;
    t.api = api_start();
    for (int i = 0; i < 3 * NAMES; i++) /* some objects there are */
        api_change(t.api, NAMES, chance());
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    for (int i = 0; i < t.n_children; i++) {
        if (t.children[i].pid)
            end_agent(i, SIGKILL);
        free(t.children[i].bytes);
    }
    for (size_t i = 0; i < t.n; i++)
        wire_record_free(&t.told[i].r);
    free(t.told);
    api_stop(&t.api);
    return 0;
}

/* ---------------------------------------------------------------- what was told */

static const Pilotgate__Object *configmap(size_t i) {
    const Pilotgate__Record *r = t.told[i].r;
    return r->body_case == PILOTGATE__RECORD__BODY_OBJECT && strcmp(r->object->kind, "ConfigMap") == 0
               ? r->object
               : NULL;
}

static const Pilotgate__Loss *loss(size_t i) {
    const Pilotgate__Record *r = t.told[i].r;
    return r->body_case == PILOTGATE__RECORD__BODY_LOSS ? r->loss : NULL;
}

static unsigned losses(void) {
    unsigned n = 0;
    for (size_t i = 0; i < t.n; i++)
        n += loss(i) != NULL;
    return n;
}

/* The first telling of an event, or NULL. */
static const Pilotgate__Object *telling(const struct api_event *ev) {
    char rv[32];
    (void)snprintf(rv, sizeof rv, "%lld", (long long)ev->rv);
    for (size_t i = 0; i < t.n; i++) {
        const Pilotgate__Object *o = configmap(i);
        if (o && strcmp(o->resource_version, rv) == 0)
            return o;
    }
    return NULL;
}

static bool is_told(void) {
    struct api_event last = api_event(t.api, api_events(t.api) - 1);
    return telling(&last) != NULL;
}

static bool is_declared(void) {
    return losses() > 0;
}

static bool has_position(void) {
    return api_positions(t.api);
}

static bool has_holder(void) {
    char holder[256];
    api_holder(t.api, holder, sizeof holder);
    return *holder != 0;
}

static void wait_for(bool (*holds)(void), const char *what) {
    int64_t until = when_mono_ns() + PATIENCE;
    while (!holds()) {
        if (when_mono_ns() > until)
            fail_msg("never: %s", what);
        drain_all();
        (void)poll(NULL, 0, 5);
    }
}

/* What agents said to have found, of ConfigMaps. */
static unsigned listed(void) {
    unsigned n = 0;
    for (size_t i = 0; i < t.n; i++)
        n += configmap(i) && configmap(i)->op == PILOTGATE__OBJECT__OP__OP_LISTED;
    return n;
}

/* Changes for so long, one every 4 ms or so. */
static void change_for(int64_t ns) {
    for (int64_t until = when_mono_ns() + ns; when_mono_ns() < until;) {
        api_change(t.api, NAMES, chance());
        drain_all();
        (void)poll(NULL, 0, 1 + (int)(chance() % 6));
    }
}

static int holder_child(void) {
    char holder[256];
    wait_for(has_holder, "somebody holds the Lease");
    api_holder(t.api, holder, sizeof holder);
    int child = atoi(holder + 1);
    return t.children[child].pid ? child : -1;
}

static bool in_a_gap(const struct api_event *ev) {
    for (size_t i = 0; i < t.n; i++) {
        const Pilotgate__Loss *l = loss(i);
        if (l && strcmp(l->families, "configmaps") == 0 && l->from_wall_ns <= ev->wall_ns &&
            l->to_wall_ns >= ev->wall_ns)
            return true;
    }
    return false;
}

static int op_of(const struct api_event *ev) {
    return strcmp(ev->type, "ADDED") == 0      ? PILOTGATE__OBJECT__OP__OP_ADDED
           : strcmp(ev->type, "MODIFIED") == 0 ? PILOTGATE__OBJECT__OP__OP_MODIFIED
                                               : PILOTGATE__OBJECT__OP__OP_DELETED;
}

/* Each event from the `first` on was told as what it was, seen no earlier than it happened, and known to be
 * otherwise no later than that; or it is in a gap. Returns how many were told. */
static unsigned check_events(size_t first) {
    unsigned told = 0;
    size_t n = api_events(t.api);
    for (size_t i = first; i < n; i++) {
        struct api_event ev = api_event(t.api, i);
        const Pilotgate__Object *o = telling(&ev);
        if (!o && !in_a_gap(&ev))
            fail_msg("event %lld (%s c%d) was never told", (long long)ev.rv, ev.type, ev.name);
        if (!o)
            continue;
        told++;
        bool listed = o->op == PILOTGATE__OBJECT__OP__OP_LISTED;
        if ((int)o->op != op_of(&ev) && !(listed && in_a_gap(&ev)))
            fail_msg("event %lld (%s c%d) was told as op %d", (long long)ev.rv, ev.type, ev.name, (int)o->op);
        if (o->t_wall_ns < ev.wall_ns ||
            (!listed && (o->previous_wall_ns == 0 || o->previous_wall_ns > ev.wall_ns)))
            fail_msg("event %lld: told at %lld, %lld after it; before it by %lld ns", (long long)ev.rv,
                     (long long)o->t_wall_ns, (long long)(o->t_wall_ns - ev.wall_ns),
                     (long long)(ev.wall_ns - o->previous_wall_ns));
    }
    return told;
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

/* As the collector reads them: in the order of time, each version of an object once. */
static unsigned check_order(void) {
    const Pilotgate__Object **all = calloc(t.n + 1, sizeof(Pilotgate__Object *));
    long long last[NAMES] = {0};
    unsigned repeats = 0;
    size_t n = 0;
    for (size_t i = 0; i < t.n; i++)
        if (configmap(i))
            all[n++] = configmap(i);
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

/* ---------------------------------------------------------------- tests */

static void test_holder_is_killed_again_and_again(void **state) {
    (void)state;
    (void)start_agent();
    (void)start_agent();
    wait_for(is_told, "the first list");
    size_t first = api_events(t.api);
    for (int i = 0; i < KILLS; i++) {
        change_for((100 + chance() % 500) * WHEN_MS);
        int child = holder_child();
        if (child >= 0) {
            end_agent(child, SIGKILL);
            (void)start_agent();
        }
        change_for(700 * WHEN_MS); /* nobody watches, then the successor does */
        if (i % 3 == 2)
            api_cut(t.api);
    }
    wait_for(is_told, "the last event");
    assert_int_equal(losses(), 0);
    assert_in_range(listed(), 1, NAMES); /* by the first list: one at a position tells nothing */
    unsigned told = check_events(first);
    unsigned repeats = check_order();
    print_message("%u events told, %u repeats dropped, %u lists at a position\n", told, repeats,
                  api_exact(t.api));
    assert_true(told > 200 && api_exact(t.api) >= KILLS);
}

static void test_what_the_history_no_longer_has_is_declared(void **state) {
    (void)state;
    int only = start_agent();
    wait_for(is_told, "the first list");
    size_t first = api_events(t.api);
    change_for(600 * WHEN_MS);
    wait_for(is_told, "what was changed while it was watched");
    change_for(50 * WHEN_MS);
    end_agent(only, SIGKILL);
    change_for(200 * WHEN_MS);
    api_compact(t.api);
    (void)start_agent();
    wait_for(is_declared, "the gap is declared");
    change_for(100 * WHEN_MS);
    wait_for(is_told, "the last event");
    unsigned told = check_events(first);
    assert_true(told > 50 && told < api_events(t.api) - first);
    for (size_t i = 0; i < t.n; i++) {
        const Pilotgate__Loss *l = loss(i);
        if (!l)
            continue;
        assert_int_equal(l->cause, PILOTGATE__LOSS__CAUSE__CAUSE_UNWATCHED);
        assert_int_equal(l->records, 0);
        assert_int_equal(l->from_boot.len, WIRE_BOOT_BYTES);
        assert_int_equal(l->from_boot.data[0], only + 1);
        assert_true(l->from_wall_ns > 0 && l->to_wall_ns > l->from_wall_ns);
    }
}

static void test_an_orderly_end_hands_over_at_once(void **state) {
    (void)state;
    (void)start_agent();
    (void)start_agent();
    wait_for(is_told, "the first list");
    size_t first = api_events(t.api);
    change_for(300 * WHEN_MS);
    int child = holder_child();
    end_agent(child, SIGTERM);
    char holder[256];
    api_holder(t.api, holder, sizeof holder);
    assert_int_not_equal(atoi(holder + 1) == child && *holder, 1);
    change_for(300 * WHEN_MS);
    wait_for(is_told, "the last event");
    assert_int_equal(losses(), 0);
    (void)check_events(first);
    (void)check_order();
}

/* Its earlier life on this node is over: the term, seven seconds and a half here, is not waited for. */
static void test_a_new_life_goes_on_at_once(void **state) {
    (void)state;
    int first = start_agent_on(0, 25);
    wait_for(is_told, "the first list");
    size_t since = api_events(t.api);
    wait_for(has_position, "a position is noted");
    change_for(100 * WHEN_MS);
    end_agent(first, SIGKILL);
    change_for(100 * WHEN_MS);
    int64_t killed = when_mono_ns();
    (void)start_agent_on(0, 25);
    wait_for(is_told, "the last event");
    assert_true(when_mono_ns() - killed < 6 * WHEN_S);
    assert_int_equal(losses(), 0);
    (void)check_events(since);
    (void)check_order();
}

/* What an agent's newest coverage says. */
static bool works(int child) {
    for (size_t i = t.n; i-- > 0;)
        if (t.told[i].child == child && t.told[i].r->body_case == PILOTGATE__RECORD__BODY_COVERAGE)
            return t.told[i].r->coverage->stage_scoped;
    return false;
}

static bool one_works(void) {
    return works(0) + works(1) == 1;
}

static bool both_work(void) {
    return works(0) && works(1);
}

static bool both_complain(void) {
    bool said[2] = {false, false};
    for (size_t i = 0; i < t.n; i++) {
        const Pilotgate__Record *r = t.told[i].r;
        if (r->body_case == PILOTGATE__RECORD__BODY_OBJECT && strcmp(r->object->kind, "Lease") == 0 &&
            strstr(r->object->reason, "RBAC: allow create on leases.coordination.k8s.io"))
            said[t.told[i].child] = true;
    }
    return said[0] && said[1];
}

static void test_without_the_lease_every_agent_works(void **state) {
    (void)state;
    (void)start_agent();
    (void)start_agent();
    wait_for(one_works, "one works");
    for (size_t i = t.n; i-- > 0;) { /* and the other one covers its node only */
        const Pilotgate__Record *r = t.told[i].r;
        if (r->body_case == PILOTGATE__RECORD__BODY_COVERAGE && !r->coverage->stage_scoped)
            assert_int_equal(r->coverage->n_sources, 1);
    }
    api_deny_lease(t.api, true);
    wait_for(both_work, "both work");
    wait_for(both_complain, "both say why");
    change_for(200 * WHEN_MS);
    wait_for(is_told, "the last event");
    (void)check_order();
    api_deny_lease(t.api, false);
    wait_for(one_works, "one works again");
    assert_int_equal(losses(), 0);
}

static bool too_large_is_told(void) {
    for (size_t i = 0; i < t.n; i++) {
        const Pilotgate__Record *r = t.told[i].r;
        if (r->body_case == PILOTGATE__RECORD__BODY_OBJECT && strcmp(r->object->kind, "Lease") == 0 &&
            strstr(r->object->reason, "is larger than 262144 bytes: delete it"))
            return true;
    }
    return false;
}

/* A Lease that nobody can read keeps nobody from working. */
static void test_a_lease_of_any_size(void **state) {
    (void)state;
    (void)start_agent();
    (void)start_agent();
    wait_for(one_works, "one works");
    api_grow_lease(t.api, 300000);
    wait_for(both_work, "both work");
    wait_for(too_large_is_told, "it is told");
}

static unsigned checks; /* that failed, about the Lease, with the advice */

static void hear(void *ctx, bool ok, const char *what, const char *advice) {
    unsigned *tried = ctx;
    if (!strstr(what, "Lease elected in namespace mcp"))
        return;
    ++*tried;
    checks += !ok && strstr(advice, "get, update on elected") != NULL;
}

/* Reading, making and changing it; nothing is changed by trying. */
static void test_check_tries_the_lease(void **state) {
    (void)state;
    struct config config = {.kube = {.enabled = true,
                                     .api = (char *)(uintptr_t)api_url(t.api),
                                     .stage_scoped = true,
                                     .lease = (char *)"elected"},
                            .stage = {.namespace_name = (char *)"mcp", .node = (char *)"n0"}};
    unsigned tried = 0;
    checks = 0;
    (void)kube_check(&config, hear, &tried);
    assert_int_equal(tried, 3);
    assert_int_equal(checks, 0);
    assert_int_equal(api_writes(t.api), 0);
    assert_false(has_holder());
    api_deny_lease(t.api, true);
    (void)kube_check(&config, hear, &tried);
    assert_int_equal(checks, 3);
}

int main(int argc, char **argv) {
    if (argc == 7 && strcmp(argv[1], "agent") == 0)
        return run_agent(argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]), atoll(argv[6]));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_holder_is_killed_again_and_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_the_history_no_longer_has_is_declared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_orderly_end_hands_over_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_new_life_goes_on_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_the_lease_every_agent_works, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_lease_of_any_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_check_tries_the_lease, set_up, tear_down),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
