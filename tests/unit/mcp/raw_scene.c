/* raw_scene: see raw_scene.h. */
#include "raw_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void on_connection(struct raw_server *server, int fd) {
    struct scene *s = server->ctx;
    char *request = malloc(RAW_REQUEST_MAX);
    while (raw_request(server, fd, request)) {
        pthread_mutex_lock(&server->lock);
        memcpy(s->request, request, RAW_REQUEST_MAX);
        pthread_mutex_unlock(&server->lock);
        s->serve(s, fd, request);
        if (s->bytes)
            break;
    }
    free(request);
}

int raw_set_up(void **state) {
    struct scene *s = calloc(1, sizeof *s);
    struct err e;
    raw_start(&s->server, on_connection, s);
    if (mcp_transport_open(&s->transport, 20, &e) < 0)
        fail_msg("%s", e.text);
    *state = s;
    return 0;
}

int raw_tear_down(void **state) {
    struct scene *s = *state;
    shot_clear(s->shots, SHOTS);
    mcp_transport_close(&s->transport);
    raw_stop(&s->server);
    free(s);
    return 0;
}

void assert_outcome(const struct shot *s, const char *what, Pilotgate__Outcome outcome) {
    if (s->outcome != outcome)
        fail_msg("%s: %s (%s)", what, wire_outcome_name((int)s->outcome), s->detail);
}
