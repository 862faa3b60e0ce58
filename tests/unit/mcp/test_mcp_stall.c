/* A node that stands still: answers that came while the thread did not run, and before a call's hard maximum,
 * are answers, however many there are and however late it looks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/when.h"
#include "raw_server.h"
#include "shot.h"

#define CALLS 200
#define TIMEOUT_NS (4 * WHEN_S)
#define PATIENCE_NS (15 * WHEN_S)

struct scene {
    struct raw_server server;
    struct mcp_transport transport;
    struct shot shots[CALLS];
    pthread_cond_t wake;
    bool released;
    int answered;
};

static void on_connection(struct raw_server *server, int fd) {
    struct scene *s = server->ctx;
    char *request = malloc(RAW_REQUEST_MAX);
    char result[512];
    if (raw_request(server, fd, request)) {
        pthread_mutex_lock(&server->lock);
        while (!s->released && !server->ending)
            pthread_cond_wait(&s->wake, &server->lock);
        pthread_mutex_unlock(&server->lock);
        raw_result(request, result, sizeof result);
        (void)raw_say(fd,
                      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                      strlen(result), result);
        pthread_mutex_lock(&server->lock);
        s->answered++;
        pthread_mutex_unlock(&server->lock);
        raw_wait_closed(fd, 15000);
    }
    free(request);
}

static int count(struct scene *s, const int *counter) {
    pthread_mutex_lock(&s->server.lock);
    int n = *counter;
    pthread_mutex_unlock(&s->server.lock);
    return n;
}

static void release(struct scene *s) {
    pthread_mutex_lock(&s->server.lock);
    s->released = true;
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->server.lock);
}

static bool all_asked(void *ctx) {
    struct scene *s = ctx;
    return count(s, &s->server.requests) == CALLS;
}

static int set_up(void **state) {
    struct scene *s = calloc(1, sizeof *s);
    struct err e;
    pthread_cond_init(&s->wake, NULL);
    raw_start(&s->server, on_connection, s);
    if (mcp_transport_open(&s->transport, CALLS, &e) < 0)
        fail_msg("%s", e.text);
    *state = s;
    return 0;
}

static int tear_down(void **state) {
    struct scene *s = *state;
    release(s);
    shot_clear(s->shots, CALLS);
    mcp_transport_close(&s->transport);
    raw_stop(&s->server);
    pthread_cond_destroy(&s->wake);
    free(s);
    return 0;
}

static void answers_that_lie_in_sockets_are_read_before_time_is_up(void **state) {
    struct scene *s = *state;
    for (int i = 0; i < CALLS; i++) {
        char nonce[16];
        (void)snprintf(nonce, sizeof nonce, "n-%d", i);
        struct mcp_request r = shot_request(s->server.url, nonce);
        r.timeout_ns = TIMEOUT_NS;
        r.fresh = true;
        shot_fire(&s->shots[i], &s->transport, &r);
    }
    int64_t over = when_mono_ns() + TIMEOUT_NS + 50 * WHEN_MS;
    shot_until(&s->transport, all_asked, s);
    release(s);
    /* From here on the thread stands still; time itself is the subject. */
    for (int64_t until = when_mono_ns() + PATIENCE_NS; count(s, &s->answered) < CALLS; usleep(1000))
        assert_true(when_mono_ns() < until);
    assert_true(when_mono_ns() < over); /* else this machine is too slow to show it */
    while (when_mono_ns() < over)
        usleep(1000);
    shot_wait(&s->transport, s->shots, CALLS);
    for (int i = 0; i < CALLS; i++)
        if (s->shots[i].outcome != PILOTGATE__OUTCOME__OUTCOME_COMPLETED)
            fail_msg("call %d of %d: %s", i, CALLS, s->shots[i].detail);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_that_lie_in_sockets_are_read_before_time_is_up, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
