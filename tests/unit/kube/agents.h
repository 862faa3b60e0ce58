/* agents: agents as processes of their own around one Lease and one changing collection (api.h), and what
 * they told. What an agent emitted in the last 150 ms was not acknowledged, and is lost with it when it is
 * killed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "api.h"
#include "wire/wire.h"

#define AGENTS_SECOND (20 * WHEN_MS) /* of the election */
#define AGENTS_NAMES 6               /* ConfigMaps that change */
#define AGENTS_MAX 32

struct agents_told {
    Pilotgate__Record *r;
    int child;
};

extern struct agents {
    struct api *api;
    struct agents_child {
        pid_t pid; /* 0: over */
        int fd;
        uint8_t *bytes;
        size_t n;
    } children[AGENTS_MAX];
    int n_children;
    struct agents_told *told; /* owned; in the order in which it came */
    size_t n, cap;
    unsigned random;
} agents;

/* The first act of main: an agent's whole life where this process is one; else -1. */
int agents_main(int argc, char **argv);

/* Setup and teardown of a test: the API with some objects; no agent yet. */
int agents_set_up(void **state);
int agents_tear_down(void **state);

unsigned agents_chance(void);
/* One on this node; slower: how much longer the election's seconds are. Returns the child. */
int agents_start_on(int on_node, int slower);
int agents_start(void);
void agents_end(int child, int sig);

/* Bounded; takes what agents tell meanwhile. */
void agents_wait_for(bool (*holds)(void), const char *what);
/* Changes objects for so long, one every 4 ms or so. */
void agents_change_for(int64_t ns);

/* A ConfigMap's state, or a loss, that was told as the i-th; NULL: it was something else. */
const Pilotgate__Object *agents_configmap(size_t i);
const Pilotgate__Loss *agents_loss(size_t i);
unsigned agents_losses(void);
/* The first telling of an event, or NULL. */
const Pilotgate__Object *agents_telling(const struct api_event *ev);
/* Was the last event told? */
bool agents_is_told(void);
bool agents_has_holder(void);
/* As the collector reads them: in the order of time, each version of an object once. How many were repeats.
 */
unsigned agents_check_order(void);
