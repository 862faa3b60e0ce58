/* The prober on several paths: a gateway by its URL and replicas by their addresses, which come, go and come
 * back. Each is a server of its own on a loopback port. With an argument this program is the child of its own
 * test: a prober under raised load that is stopped and goes on. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/when.h"
#include "fault_server.h"
#include "mcp/mcp.h"
#include "witness.h"

#define OUT(name) PILOTGATE__OUTCOME__OUTCOME_##name
#define FLAG(name) PILOTGATE__CALL_FLAG__CALL_FLAG_##name
#define SERVERS 3 /* the URL, and two replicas */

static const uint8_t boot[16] = {0xa1, 0xb2, 0xc3, 0xd4};
static const struct norm_key key = {{1}};

struct scene {
    struct fault_server servers[SERVERS];
    struct witness witness;
    struct config config;
    struct config_target target;
    struct config_probe probe;
    struct mcp *mcp;
};

static int set_up(void **state) {
    struct scene *s = calloc(1, sizeof *s);
    for (int i = 0; i < SERVERS; i++) {
        fault_start(&s->servers[i]);
        fault_set(&s->servers[i], FAULT_NONE, 60);
    }
    witness_init(&s->witness);
    s->target = (struct config_target){.name = (char *)"gateway",
                                       .url = s->servers[0].url,
                                       .replicas = (char *)"gw:http",
                                       .catalogue_interval = 200 * WHEN_MS};
    s->probe = (struct config_probe){.name = (char *)"hold",
                                     .target = (char *)"gateway",
                                     .tool = (char *)"hold",
                                     .arguments = (char *)"{\"nonce\":\"{nonce}\"}",
                                     .in_flight = 2,
                                     .replica_in_flight = 2,
                                     .timeout = 5 * WHEN_S,
                                     .limit = 2 * WHEN_S};
    s->config.targets = (struct conf_list){&s->target, 1};
    s->config.probes = (struct conf_list){&s->probe, 1};
    s->config.max_in_flight = 100;
    *state = s;
    return 0;
}

static int tear_down(void **state) {
    struct scene *s = *state;
    mcp_stop(&s->mcp, 0);
    for (int i = 0; i < SERVERS; i++)
        fault_stop(&s->servers[i]);
    if (s->witness.error[0])
        print_error("a record that the wire refuses: %s\n", s->witness.error);
    int r = s->witness.error[0] ? -1 : 0;
    witness_free(&s->witness);
    free(s);
    return r;
}

static void begin(struct scene *s) {
    struct err e;
    if (mcp_start(&s->config, &key, boot, &s->witness.emit, &s->mcp, &e) < 0)
        fail_msg("%s", e.text);
}

/* One letter a replica: 'b' and 'c' are ready pods at the second and third server, 'B' and 'C' are not. */
static void tell(struct scene *s, const char *letters) {
    struct replica list[2];
    struct replicas r = {.service = "gw:http", .list = list};
    for (; *letters; letters++) {
        int i = (*letters | 0x20) - 'a';
        struct replica *x = &list[r.n++];
        *x = (struct replica){.port = (uint16_t)s->servers[i].port, .ready = *letters & 0x20};
        (void)snprintf(x->pod, sizeof x->pod, "gw-%c", *letters | 0x20);
        (void)snprintf(x->ip, sizeof x->ip, "127.0.0.1");
    }
    mcp_set_replicas(s->mcp, &r);
}

/* ------------------------------------------------------------------ what is looked for */

static const Pilotgate__Coverage__Probe *covered(const struct witness *w, const char *path) {
    const Pilotgate__Coverage *c = witness_last_coverage(w);
    for (size_t i = 0; c && i < c->n_probes; i++)
        if (strcmp(c->probes[i]->path, path) == 0)
            return c->probes[i];
    return NULL;
}

static const Pilotgate__Coverage__Source *source(const struct witness *w, const char *name) {
    const Pilotgate__Coverage *c = witness_last_coverage(w);
    for (size_t i = 0; c && i < c->n_sources; i++)
        if (strcmp(c->sources[i]->name, name) == 0)
            return c->sources[i];
    return NULL;
}

static bool is_on(const Pilotgate__CallBlock *b, size_t i, const char *path) {
    return strcmp(b->n_paths ? b->paths[b->probe[i]] : "", path) == 0;
}

/* Calls of the path in blocks, of this outcome (0: any), with these flags. */
static int calls_on(const struct witness *w, const char *path, int outcome, uint32_t flags) {
    int n = 0;
    for (size_t i = 0; i < w->n; i++) {
        const Pilotgate__Record *r = w->records[i];
        for (size_t j = 0; r->body_case == PILOTGATE__RECORD__BODY_CALLS && j < r->calls->n_outcome; j++)
            n += is_on(r->calls, j, path) && (!outcome || (int)r->calls->outcome[j] == outcome) &&
                 (r->calls->flags[j] & flags) == flags;
    }
    return n;
}

static bool on_b(const struct witness *w, int n) {
    return calls_on(w, "Pod/gw-b", OUT(COMPLETED), 0) >= n;
}

static bool on_all(const struct witness *w, int n) {
    return on_b(w, n) && calls_on(w, "", OUT(COMPLETED), 0) >= n &&
           calls_on(w, "Pod/gw-c", OUT(COMPLETED), 0) >= n;
}

static bool catalogues(const struct witness *w, int n) {
    return witness_object(w, "ToolCatalogue", 0, n - 1) != NULL;
}

static int coverages(const struct witness *w) {
    int n = 0;
    for (size_t i = 0; i < w->n; i++)
        n += w->records[i]->body_case == PILOTGATE__RECORD__BODY_COVERAGE;
    return n;
}

static bool seconds(const struct witness *w, int n) {
    return coverages(w) >= n;
}

static bool without_b(const struct witness *w, int n) {
    (void)n;
    return coverages(w) > 0 && !covered(w, "Pod/gw-b");
}

/* The same while the prober runs. */
static int calls_now(struct scene *s, const char *path, int outcome) {
    pthread_mutex_lock(&s->witness.lock);
    int n = calls_on(&s->witness, path, outcome, 0);
    pthread_mutex_unlock(&s->witness.lock);
    return n;
}

static void wait_seconds(struct scene *s, int n) {
    pthread_mutex_lock(&s->witness.lock);
    n += coverages(&s->witness);
    pthread_mutex_unlock(&s->witness.lock);
    assert_true(witness_wait(&s->witness, seconds, n));
}

/* ------------------------------------------------------------------ tests */

static void test_each_replica_is_called(void **state) {
    struct scene *s = *state;
    begin(s);
    tell(s, "bc");
    assert_true(witness_wait(&s->witness, on_all, 8));
    assert_true(witness_wait(&s->witness, catalogues, 3));
    mcp_stop(&s->mcp, WHEN_S);
    static const char *const paths[] = {"", "Pod/gw-b", "Pod/gw-c"};
    for (int i = 0; i < SERVERS; i++) {
        const Pilotgate__Coverage__Probe *p = covered(&s->witness, paths[i]);
        assert_non_null(p);
        assert_int_equal(fault_get(&s->servers[i], &s->servers[i].calls),
                         calls_on(&s->witness, paths[i], 0, 0));
        assert_int_equal(p->resolved, calls_on(&s->witness, paths[i], 0, 0));
        assert_int_equal(p->scheduled, p->started + p->unsent);
        assert_int_equal(p->in_flight, 2);
        assert_int_equal(s->servers[i].initializes, 1);
        assert_int_equal(s->servers[i].deletes, 1); /* a session of its own */
        assert_int_equal(s->servers[i].most_open, 2);
    }
    assert_null(witness_row(&s->witness, 0));
    assert_true(source(&s->witness, "catalogue/gateway")->ok);
    assert_true(source(&s->witness, "catalogue/gateway@Pod/gw-b")->ok);
    assert_true(source(&s->witness, "replicas/gateway")->ok);
    int by_replica = 0;
    const Pilotgate__Object *o;
    for (int i = 0; (o = witness_object(&s->witness, "ToolCatalogue", 0, i)) != NULL; i++)
        by_replica += strcmp(o->path, "Pod/gw-c") == 0;
    assert_true(by_replica > 0);
}

static void test_never_ready_is_not_called(void **state) {
    struct scene *s = *state;
    begin(s);
    tell(s, "B");
    assert_true(witness_wait(&s->witness, seconds, 3));
    assert_int_equal(fault_get(&s->servers[1], &s->servers[1].initializes), 0);
    tell(s, "b");
    assert_true(witness_wait(&s->witness, on_b, 2));
}

static bool all_reused_since(const struct witness *w, const char *path, int from) {
    int n = 0;
    for (size_t i = 0; i < w->n; i++) {
        const Pilotgate__Record *r = w->records[i];
        for (size_t j = 0; r->body_case == PILOTGATE__RECORD__BODY_CALLS && j < r->calls->n_outcome; j++)
            if (is_on(r->calls, j, path) && n++ >= from && !(r->calls->flags[j] & FLAG(REUSED)))
                return false;
    }
    return true;
}

/* A pod that is ending keeps its connections and gets no new ones, whatever kind the probe asks for. */
static void test_going_keeps_connections_only(void **state) {
    struct scene *s = *state;
    s->probe.connection = CONFIG_CONNECTION_REUSED;
    begin(s);
    tell(s, "b");
    assert_true(witness_wait(&s->witness, on_b, 6));
    tell(s, "B");
    int before = calls_now(s, "Pod/gw-b", 0) + 6; /* those that were open, or not yet told */
    assert_true(witness_wait(&s->witness, on_b, before + 20));
    int lists = fault_get(&s->servers[1], &s->servers[1].lists);
    fault_set(&s->servers[1], FAULT_CLOSE_REUSED, 10); /* the pod closes what is kept */
    wait_seconds(s, 2);
    int calls = fault_get(&s->servers[1], &s->servers[1].calls);
    wait_seconds(s, 2);
    assert_int_equal(fault_get(&s->servers[1], &s->servers[1].calls), calls); /* none goes there any more */
    assert_in_range(fault_get(&s->servers[1], &s->servers[1].lists), lists, lists + 1);
    fault_set(&s->servers[1], FAULT_NONE, 10);
    mcp_stop(&s->mcp, WHEN_S);
    assert_true(all_reused_since(&s->witness, "Pod/gw-b", before));
}

static void test_ready_again(void **state) {
    struct scene *s = *state;
    begin(s);
    tell(s, "b");
    assert_true(witness_wait(&s->witness, on_b, 6));
    tell(s, "B");
    fault_set(&s->servers[1], FAULT_CLOSE_REUSED, 10);
    wait_seconds(s, 2);
    fault_set(&s->servers[1], FAULT_NONE, 10);
    tell(s, "b");
    assert_true(witness_wait(&s->witness, on_b, calls_now(s, "Pod/gw-b", OUT(COMPLETED)) + 5));
}

/* Its open calls end in their own time, then the path and its session. */
static void test_gone_ends_after_its_calls(void **state) {
    struct scene *s = *state;
    fault_set(&s->servers[1], FAULT_NONE, 2600);
    s->probe.limit = 4 * WHEN_S;
    begin(s);
    tell(s, "b");
    assert_true(witness_wait(&s->witness, on_b, 2));
    int64_t gone = when_mono_ns();
    tell(s, "");
    assert_true(witness_wait(&s->witness, without_b, 0));
    assert_true(when_mono_ns() - gone >= 4900 * WHEN_MS); /* a look away is no end */
    assert_int_equal(fault_get(&s->servers[1], &s->servers[1].deletes), 1);
    assert_int_equal(fault_get(&s->servers[1], &s->servers[1].open), 0);
    int before = calls_now(s, "Pod/gw-b", OUT(COMPLETED));
    assert_int_equal(fault_get(&s->servers[1], &s->servers[1].calls), before);
    fault_set(&s->servers[1], FAULT_NONE, 10);
    tell(s, "b"); /* a pod of that name again */
    assert_true(witness_wait(&s->witness, on_b, before + 2));
}

static bool all_shares(const struct witness *w, int n) {
    return covered(w, "Pod/gw-b") && covered(w, "Pod/gw-c") && coverages(w) >= n;
}

/* The URL's calls come first; what is left is shared. */
static void test_shares_of_a_small_quota(void **state) {
    struct scene *s = *state;
    s->config.max_in_flight = 7;
    s->probe.in_flight = 4;
    s->probe.replica_in_flight = 50;
    s->probe.drill_in_flight = 6;
    s->probe.replica_drill_in_flight = 60;
    begin(s);
    tell(s, "bc");
    assert_true(witness_wait(&s->witness, on_all, 8));
    assert_true(witness_wait(&s->witness, all_shares, 3));
    mcp_stop(&s->mcp, WHEN_S);
    assert_int_equal(fault_get(&s->servers[0], &s->servers[0].most_open), 4);
    assert_int_equal(s->servers[1].most_open + s->servers[2].most_open, 3);
    assert_int_equal(
        covered(&s->witness, "Pod/gw-b")->in_flight + covered(&s->witness, "Pod/gw-c")->in_flight, 3);
    assert_int_equal(covered(&s->witness, "")->in_flight, 4);
    assert_int_equal(covered(&s->witness, "")->drill_in_flight, 6);
    assert_int_equal(covered(&s->witness, "Pod/gw-b")->drill_in_flight +
                         covered(&s->witness, "Pod/gw-c")->drill_in_flight,
                     1); /* told before any drill: it is too little */
    assert_false(source(&s->witness, "replicas/gateway")->ok);
    assert_non_null(strstr(source(&s->witness, "replicas/gateway")->reason, "max_in_flight 7"));
    assert_int_equal(covered(&s->witness, "")->unsent, 0);
}

static bool reason_told(const struct witness *w, int n) {
    const Pilotgate__Coverage__Source *x = source(w, "replicas/gateway");
    return coverages(w) >= n && x && !x->ok && strcmp(x->reason, "RBAC: allow") == 0;
}

static bool left_out_told(const struct witness *w, int n) {
    const Pilotgate__Coverage__Source *x = source(w, "replicas/gateway");
    (void)n;
    return x && !x->ok && strstr(x->reason, "3 of 4 replicas are not called");
}

/* What cannot be known is said; wrong names and addresses never become a path. */
static void test_what_is_told_is_checked(void **state) {
    struct scene *s = *state;
    static const struct replica wrong[] = {{"../x", "127.0.0.1", 1, true},
                                           {"gw-x", "127.0.0.1\r\n", 1, true},
                                           {"gw-y", "localhost", 1, true},
                                           {"gw-z", "127.0.0.1", 0, true}};
    begin(s);
    mcp_set_replicas(s->mcp, &(struct replicas){.service = "other", .list = wrong, .n = 1});
    mcp_set_replicas(s->mcp, &(struct replicas){.service = "gw:http", .reason = "RBAC: allow"});
    assert_true(witness_wait(&s->witness, reason_told, 1));
    struct replica list[4] = {wrong[0], wrong[1], wrong[2], wrong[3]};
    list[3] = (struct replica){"gw-b", "127.0.0.1", (uint16_t)s->servers[1].port, true};
    mcp_set_replicas(s->mcp, &(struct replicas){.service = "gw:http", .list = list, .n = 4});
    assert_true(witness_wait(&s->witness, left_out_told, 0));
    assert_true(witness_wait(&s->witness, on_b, 1));
    mcp_set_replicas(s->mcp, &(struct replicas){.service = "gw:http", .reason = "RBAC: allow"});
    assert_true(witness_wait(&s->witness, reason_told, 1));
    int before = calls_now(s, "Pod/gw-b", OUT(COMPLETED));
    assert_true(witness_wait(&s->witness, on_b, before + 5)); /* what was known stays in force */
    mcp_stop(&s->mcp, WHEN_S);
    assert_int_equal(witness_last_coverage(&s->witness)->n_probes, 2);
}

/* ------------------------------------------------------------------ a load that is raised, and a stop */

#define RAISED_S 2

/* The child: keeps its load raised until a byte comes, answers it, and lives until it is killed. */
static int be_child(char *url) {
    struct config_target target = {.name = (char *)"gateway", .url = url};
    struct config_probe probe = {.name = (char *)"hold",
                                 .target = (char *)"gateway",
                                 .tool = (char *)"hold",
                                 .arguments = (char *)"{\"nonce\":\"{nonce}\"}",
                                 .in_flight = 1,
                                 .drill_in_flight = 8,
                                 .timeout = 20 * WHEN_S,
                                 .limit = 20 * WHEN_S};
    struct config c = {.targets = {&target, 1}, .probes = {&probe, 1}, .max_in_flight = 100};
    struct witness w;
    struct mcp *m = NULL;
    struct err e;
    witness_init(&w);
    if (mcp_start(&c, &key, boot, &w.emit, &m, &e) < 0)
        return 1;
    struct pollfd told = {.fd = STDIN_FILENO, .events = POLLIN};
    do
        mcp_set_load(m, RAISED_S * WHEN_S);
    while (poll(&told, 1, 100) == 0);
    (void)!write(STDIN_FILENO, "", 1);
    for (;;)
        (void)pause();
}

static bool wait_for(struct fault_server *s, const int *counter, int at_least) {
    int64_t until = when_mono_ns() + 20 * WHEN_S;
    while (fault_get(s, counter) < at_least && when_mono_ns() < until)
        (void)usleep(5000);
    return fault_get(s, counter) >= at_least;
}

/* An agent whose node stood still while its load was raised does not go on with it: the end is a time, and
 * nobody's message is needed for it. */
static void test_raised_load_ends_while_stopped(void **state) {
    struct scene *s = *state;
    struct fault_server *server = &s->servers[0];
    char *argv[] = {(char *)"test_mcp_paths", server->url, NULL};
    int ends[2];
    posix_spawn_file_actions_t actions;
    pid_t pid;
    char byte;
    fault_set(server, FAULT_NONE, 100);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO), 0);
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, NULL), 0);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(ends[1]);
    bool raised = wait_for(server, &server->most_open, 8);
    assert_int_equal(write(ends[0], "", 1), 1);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    (void)close(ends[0]);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    (void)usleep((RAISED_S * 1000 + 200) * 1000); /* a stopped process can be waited for no other way */
    pthread_mutex_lock(&server->lock);
    server->most_open = 0;
    int before = server->calls;
    pthread_mutex_unlock(&server->lock);
    assert_int_equal(kill(pid, SIGCONT), 0);
    bool goes_on = wait_for(server, &server->calls, before + 10);
    int most = fault_get(server, &server->most_open);
    assert_int_equal(kill(pid, SIGKILL), 0);
    (void)waitpid(pid, NULL, 0);
    assert_true(raised);
    assert_true(goes_on);
    assert_int_equal(most, 1);
}

int main(int argc, char **argv) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_each_replica_is_called),       T(test_never_ready_is_not_called),
        T(test_going_keeps_connections_only), T(test_ready_again),
        T(test_gone_ends_after_its_calls),    T(test_shares_of_a_small_quota),
        T(test_what_is_told_is_checked),      T(test_raised_load_ends_while_stopped),
    };
    if (argc > 1)
        return be_child(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
