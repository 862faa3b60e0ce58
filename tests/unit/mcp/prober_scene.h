/* prober_scene: the prober as main uses it, with one target, one probe and one document, against a server
 * that fails on purpose, and a witness of its records. Every record goes through the wire's checks on its
 * way. */
#pragma once

#include "fault_server.h"
#include "mcp/mcp.h"
#include "witness.h"

#define OUT(name) PILOTGATE__OUTCOME__OUTCOME_##name
#define FLAG(name) PILOTGATE__CALL_FLAG__CALL_FLAG_##name
#define OP(name) PILOTGATE__OBJECT__OP__OP_##name

extern const uint8_t scene_boot[16];
extern const struct norm_key scene_key;

/* Tests change what they need before begin(). */
struct scene {
    struct fault_server server;
    struct witness witness;
    struct config config;
    struct config_target target;
    struct config_probe probe;
    struct config_document document;
    struct mcp *mcp;
    bool slept;
};

int set_up(void **state);
int tear_down(void **state);
void begin(struct scene *s);
/* The version of the catalogue, and whether it can be read. */
void script(struct scene *s, int tools, bool broken);

/* For witness_wait. */
bool completed(const struct witness *w, int n);
bool has_rows(const struct witness *w, int n);
bool seconds(const struct witness *w, int n); /* covered */
/* What is covered adds up: nothing is open, and every due call was sent or counted as unsent. */
void assert_covered(struct scene *s, int sent);
