/* agents_streams: what is wrong with streams, for `pilotgate agents`. */
#pragma once

#include "cli/cli.h"

/* Appends to list an object for each stream that has conflicts, doubts or gaps:
 * {"stage","node","boot","records",
 * "conflicts","doubts":["two-agents","two-stages"],"gaps":{"agent"|"restored"|"replaced":records}}. */
int agents_streams(struct store *s, json_t *list, struct err *e) MUST_CHECK;
/* The one of that list, or NULL: borrowed. */
json_t *agents_stream(const json_t *streams, const char *stage, const char *boot);
void agents_show_streams(const struct cli *c, const json_t *list);
