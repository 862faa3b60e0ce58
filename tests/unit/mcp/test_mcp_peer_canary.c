/* The peer against a real server, pilotgate-canary, in both eras: pages, answers as JSON and as event
 * streams, notices, a restart, and the server's own count of what it executed. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
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
#include "mcp/mcp.h"
#include "peer_scene.h"
#include "witness.h"

#define OUT(name) PILOTGATE__OUTCOME__OUTCOME_##name

/* The canary of one test. */
static struct {
    pid_t pid;
    int port;
    char listen[32], url[64], folder[64], log[96], tools[96];
} canary;

static int free_port(void) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int r = bind(fd, (struct sockaddr *)&a, n);
    if (r == 0)
        r = getsockname(fd, (struct sockaddr *)&a, &n);
    (void)close(fd);
    return r == 0 ? ntohs(a.sin_port) : 0;
}

static bool is_listening(void) {
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)canary.port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int r = connect(fd, (struct sockaddr *)&a, sizeof a);
    (void)close(fd);
    return r == 0;
}

static void write_tools(const char *names) {
    FILE *f = fopen(canary.tools, "we");
    assert_non_null(f);
    (void)fputs(names, f);
    (void)fclose(f);
}

static void run_canary(const char *answer, const char *page_size) {
    canary.pid = fork();
    if (canary.pid == 0) {
        (void)execl(CANARY, CANARY, "--listen", canary.listen, "--notices", "--tools-file", canary.tools,
                    "--answer", answer, "--page-size", page_size, "--log", canary.log, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 1000 && !is_listening(); i++)
        (void)usleep(10000);
    assert_true(is_listening());
}

static void end_canary(void) {
    if (canary.pid <= 0)
        return;
    (void)kill(canary.pid, SIGKILL);
    (void)waitpid(canary.pid, NULL, 0);
    canary.pid = 0;
}

static int set_up(void **state) {
    canary.port = free_port();
    (void)snprintf(canary.listen, sizeof canary.listen, "127.0.0.1:%d", canary.port);
    (void)snprintf(canary.url, sizeof canary.url, "http://127.0.0.1:%d/mcp", canary.port);
    (void)snprintf(canary.folder, sizeof canary.folder, "/tmp/pilotgate-canary-XXXXXX");
    if (!mkdtemp(canary.folder))
        return -1;
    (void)snprintf(canary.log, sizeof canary.log, "%s/log", canary.folder);
    (void)snprintf(canary.tools, sizeof canary.tools, "%s/tools", canary.folder);
    write_tools("echo\nhold\nwhoami\n");
    int r = scene_setup(state);
    struct scene *s = *state;
    s->o.url = canary.url;
    s->tool = "echo";
    s->arguments = "{\"text\":\"t\"}";
    return r;
}

static int tear_down(void **state) {
    int r = scene_teardown(state);
    end_canary();
    (void)unlink(canary.log);
    (void)unlink(canary.tools);
    (void)rmdir(canary.folder);
    return r;
}

/* Lines of the canary's log that hold both texts. */
static int logged(const char *one, const char *other) {
    char line[1024];
    int n = 0;
    FILE *f = fopen(canary.log, "re");
    while (f && fgets(line, sizeof line, f))
        n += strstr(line, one) && strstr(line, other);
    if (f)
        (void)fclose(f);
    return n;
}

static void list_and_call(struct scene *s) {
    scene_list(s);
    assert_int_equal(s->list.failure.outcome, OUT(COMPLETED));
    assert_int_equal(json_array_size(s->list.tools), 3);
    for (int i = 0; i < 5; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "call-%d", i);
        scene_call_is(s, id, OUT(COMPLETED));
    }
    peer_goodbye(s->peer);
    scene_turn(s, 200 * WHEN_MS);
    assert_true(peer_parted(s->peer));
    for (int i = 0; i < 5; i++) {
        char id[20];
        (void)snprintf(id, sizeof id, "\"call-%d\"", i);
        assert_int_equal(logged(id, "\"start\""), 1);
    }
}

static void test_modern(void **state) {
    struct scene *s = *state;
    run_canary("json", "1");
    scene_open(s, NULL);
    assert_string_equal(peer_revision(s->peer), "2026-07-28"); /* found out */
    list_and_call(s);
}

static void test_modern_streams(void **state) {
    struct scene *s = *state;
    run_canary("sse", "2");
    scene_open(s, NULL);
    list_and_call(s);
}

static void test_legacy(void **state) {
    struct scene *s = *state;
    run_canary("json", "2");
    s->o.era = PEER_LEGACY;
    s->o.revision = "2025-06-18";
    scene_open(s, NULL);
    assert_string_equal(peer_revision(s->peer), "2025-06-18");
    assert_true(peer_has_session(s->peer));
    list_and_call(s);
}

static void test_legacy_streams(void **state) {
    struct scene *s = *state;
    run_canary("sse", "1");
    s->o.era = PEER_LEGACY;
    scene_open(s, NULL);
    list_and_call(s);
}

static bool has_notice(struct scene *s) {
    return s->notices > 0;
}

static void notices_come(struct scene *s) {
    s->o.notices = true;
    run_canary("json", "0");
    scene_open(s, NULL);
    scene_turn(s, 500 * WHEN_MS); /* the stream is open by now, else the notice comes when it is */
    s->notices = 0;
    write_tools("echo\nhold\nwhoami\nsum\n");
    UNTIL(s, has_notice);
    scene_list(s);
    assert_int_equal(json_array_size(s->list.tools), 4);
}

static void test_modern_notices(void **state) {
    notices_come(*state);
}

static void test_legacy_notices(void **state) {
    struct scene *s = *state;
    s->o.era = PEER_LEGACY;
    notices_come(s);
}

static bool is_listed(const struct witness *w, int op) {
    return witness_object(w, "ToolCatalogue", op, 0) != NULL;
}

/* The whole prober: a notice makes it read the catalogue at once, which it would poll in an hour. */
static void prober_hears(enum config_era era, const char *reason) {
    static const uint8_t boot[16] = {1};
    static const struct norm_key key = {{1}};
    struct witness w;
    struct mcp *mcp = NULL;
    struct err e;
    struct config_target target = {.name = (char *)"canary",
                                   .url = canary.url,
                                   .era = era,
                                   .notices = true,
                                   .catalogue_interval = 3600 * WHEN_S};
    struct config config = {.targets = {&target, 1}, .max_in_flight = 10};
    run_canary("json", "0");
    witness_init(&w);
    assert_int_equal(mcp_start(&config, &key, boot, &w.emit, &mcp, &e), 0);
    assert_true(witness_wait(&w, is_listed, PILOTGATE__OBJECT__OP__OP_LISTED));
    assert_string_equal(witness_object(&w, "ToolCatalogue", 0, 0)->reason, reason);
    int64_t changed = when_wall_ns();
    write_tools("echo\nsum\n");
    assert_true(witness_wait(&w, is_listed, PILOTGATE__OBJECT__OP__OP_MODIFIED));
    mcp_stop(&mcp, WHEN_S);
    const Pilotgate__Object *o = witness_object(&w, "ToolCatalogue", PILOTGATE__OBJECT__OP__OP_MODIFIED, 0);
    assert_string_equal(o->normal, "{\"tools\":[\"echo\",\"sum\"]}");
    assert_true(o->previous_wall_ns <= changed && changed <= o->t_wall_ns);
    assert_string_equal(w.error, "");
    witness_free(&w);
}

static void test_prober_hears_in_the_modern_era(void **state) {
    (void)state;
    prober_hears(CONFIG_ERA_AUTO, "speaks MCP 2026-07-28");
}

static void test_prober_hears_in_the_legacy_era(void **state) {
    (void)state;
    prober_hears(CONFIG_ERA_LEGACY, "speaks MCP 2025-11-25");
}

/* Its sessions are gone, and so is nothing in the modern era. */
static void restart(struct scene *s) {
    run_canary("json", "0");
    scene_open(s, NULL);
    scene_call_is(s, "before", OUT(COMPLETED));
    end_canary();
    run_canary("json", "0");
}

static void test_restart_of_a_legacy_server(void **state) {
    struct scene *s = *state;
    s->o.era = PEER_LEGACY;
    restart(s);
    scene_call(s, "lost", 5 * WHEN_S);
    UNTIL(s, scene_called);
    if (s->outcome == OUT(RESET)) { /* the kept connection went with the old process */
        scene_call(s, "lost", 5 * WHEN_S);
        UNTIL(s, scene_called);
    }
    assert_int_equal(s->outcome, OUT(SESSION_LOST));
    UNTIL(s, scene_is_up);
    scene_call_is(s, "after", OUT(COMPLETED));
    assert_int_equal(logged("\"lost\"", "\"start\""), 0);
}

static void test_restart_of_a_modern_server(void **state) {
    struct scene *s = *state;
    restart(s);
    scene_call(s, "next", 5 * WHEN_S);
    UNTIL(s, scene_called);
    assert_true(s->outcome == OUT(COMPLETED) || s->outcome == OUT(RESET));
    scene_call_is(s, "after", OUT(COMPLETED));
    assert_true(scene_is_up(s));
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_modern),
        T(test_modern_streams),
        T(test_legacy),
        T(test_legacy_streams),
        T(test_modern_notices),
        T(test_legacy_notices),
        T(test_prober_hears_in_the_modern_era),
        T(test_prober_hears_in_the_legacy_era),
        T(test_restart_of_a_legacy_server),
        T(test_restart_of_a_modern_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
