/* answer: what the driver says where a scenario leaves the choice to the user of a client: arguments of
 * tools, and answers to what a server asks. Pure. */
#pragma once

#include <jansson.h>

/* Arguments for a tool of the list: each required parameter gets a value of its type. A new reference. */
json_t *answer_arguments(const json_t *tool, const json_t *tools);

/* The result for a request of the server, a new reference; NULL: the driver cannot. */
json_t *answer_request(const char *method, const json_t *params);
