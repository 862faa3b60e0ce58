/* raw_scene: a transport and a raw_server whose answers a test decides about byte by byte. */
#pragma once

#include <stdatomic.h>

#include "raw_server.h"
#include "shot.h"

#define OUT(name) PILOTGATE__OUTCOME__OUTCOME_##name
#define JSON_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
#define SSE_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
#define SHOTS 8

struct scene {
    struct raw_server server;
    struct mcp_transport transport;
    struct shot shots[SHOTS];
    void (*serve)(struct scene *s, int fd, const char *request);
    const char *_Atomic bytes; /* of the answer, where a test needs no more; the connection ends after it */
    atomic_bool resets;
    char request[RAW_REQUEST_MAX]; /* the newest */
};

int raw_set_up(void **state);
int raw_tear_down(void **state);
void assert_outcome(const struct shot *s, const char *what, Pilotgate__Outcome outcome);
