/* calls_log: what one line of somebody else's log says about one of our calls. Pure: no I/O; a line is
 * hostile.
 *
 * A call is named by its nonce, eight hex digits of the stream's boot, '-' and its number: the prober sends
 * it in the header X-Pilotgate-Call, as the request's JSON-RPC id, and where an argument asks for it. Log
 * formats:
 *
 *   jsonl    one JSON object a line: pilotgate-canary's executions ("event": start, end, gone), a gateway's
 * JSON access log, a vendor's record of executions ("status", "success", "error") haproxy  `option httplog`
 * with the header captured (HAProxy configuration manual, 8.2.3 and 8.5) nginx    "combined" with
 * $http_x_pilotgate_call somewhere in the line (ngx_http_log_module) csv      RFC 4180, one record a line,
 * names in the first line text     anything that holds the nonce
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define CALLS_LOG_LINE_MAX 65536 /* of a longer line the beginning is read */
#define CALLS_LOG_COLUMNS_MAX 256

enum calls_log_format {
    CALLS_LOG_AUTO, /* line by line; CSV when the first line names columns that we know */
    CALLS_LOG_HAPROXY,
    CALLS_LOG_NGINX,
    CALLS_LOG_JSONL,
    CALLS_LOG_CSV,
    CALLS_LOG_TEXT,
};

/* What a line says of its call. */
enum calls_log_fate {
    CALLS_LOG_NAMED,    /* nothing more */
    CALLS_LOG_ANSWERED, /* handled, with a good answer */
    CALLS_LOG_FAILED,   /* handled, without one */
    CALLS_LOG_START,    /* its execution began */
    CALLS_LOG_END,      /* ... and its answer was handed over whole */
    CALLS_LOG_GONE,     /* ... and the connection ended before that */
};

struct calls_log_entry {
    uint32_t boot;
    uint64_t number;
    enum calls_log_fate fate;
};

struct calls_log {
    enum calls_log_format format;
    const char *field; /* where the id is, in jsonl and csv; NULL: anywhere in the line */
    bool begun;
    int id_column; /* csv; -1: anywhere */
    int n_fates;   /* columns that tell the fate, with their names */
    int fate_columns[8];
    const char *fate_names[8]; /* static */
};

int calls_log_format_parse(const char *text, enum calls_log_format *ret, struct err *e) MUST_CHECK;

/* 1: *ret says what the line says; 0: it names no call. Changes the line. -EINVAL: the first line of a CSV
 * lacks the column that was asked for. */
int calls_log_line(struct calls_log *l, char *line, size_t len, struct calls_log_entry *ret,
                   struct err *e) MUST_CHECK;

/* The first nonce in a text that stands alone. */
bool calls_log_nonce(const char *text, size_t len, uint32_t *ret_boot, uint64_t *ret_number);
