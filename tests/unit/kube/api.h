/* api: one collection (ConfigMaps) and one Lease of an API server, with history: lists, lists at a position,
 * watches from one, compaction, writes that name a resourceVersion. A model, so that a test can say which
 * event happened when, and let the history end at a chosen moment; with a real API server the scenarios of
 * tests/cluster do the same. Other collections are empty. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct api;

struct api_event {
    const char *type; /* "ADDED", "MODIFIED", "DELETED" */
    int name;         /* of "cN" */
    unsigned uid, value;
    int64_t rv, wall_ns;
};

struct api *api_start(void);
void api_stop(struct api **a);
const char *api_url(const struct api *a);

/* The next event of one of `names` ConfigMaps: mostly a change. */
void api_change(struct api *a, int names, unsigned chance);
/* From now on what was before is gone: 410 for lists and watches from there. */
void api_compact(struct api *a);
/* Watches are cut. */
void api_cut(struct api *a);
/* "n0_..." or "". */
void api_holder(struct api *a, char *out, size_t size);
/* True when the Lease's annotation has a position. */
bool api_positions(struct api *a);
/* How often the Lease was written, and how many lists at a position were answered with 200. */
unsigned api_writes(struct api *a);
unsigned api_exact(struct api *a);
/* The Lease gets an annotation of so many bytes, as somebody else may write it. */
void api_grow_lease(struct api *a, size_t bytes);
/* While true, everything about the Lease is answered with 403. */
void api_deny_lease(struct api *a, bool deny);

size_t api_events(struct api *a);
struct api_event api_event(struct api *a, size_t i);
