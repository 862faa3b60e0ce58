/* watch: what is known of one state that is polled, a tool catalogue or a configuration document, and
 * the object records that its polls make:
 *   LISTED first, MODIFIED on a change (with the start of the last poll that showed the old state),
 *   CONFIRMED every MCP_CONFIRM_NS, and when the server speaks another revision of MCP than before; it and
 *   LISTED say which as their reason, UNREADABLE after MCP_FAILURES_MAX failures in a row. */
#pragma once

#include "base/norm.h"
#include "source.h"

#define MCP_CONFIRM_NS 10000000000LL
#define MCP_FAILURES_MAX 3
#define MCP_REASON_MAX 160

struct mcp_watch {
    const char *kind, *name; /* borrowed, as is ... */
    const char *path;        /* ... how it is read: NULL or "" by its URL, "Pod/NAME" from that replica */
    bool control;            /* read past the gateway */
    char digest[NORM_HEX_MAX];
    int64_t read_wall;    /* start of the last poll that succeeded; 0: none */
    int64_t emitted_mono; /* when a record last said that the state is so */
    int failures;         /* in a row */
    bool unreadable;      /* an UNREADABLE record stands */
    char speaks[16];      /* the revision of MCP as of the last record that said so */
    char reason[MCP_REASON_MAX];
};

/* A poll, whose request was sent at start_wall, showed this state. now_*: its end. */
struct mcp_watch_read {
    const char *normal, *digest;
    const char *speaks; /* of a catalogue: the revision of MCP in which it was read; NULL or "": none */
    int64_t start_wall, now_wall, now_mono;
};
void mcp_watch_read(struct mcp_watch *w, const struct mcp_watch_read *r, const struct emit *to);
void mcp_watch_failed(struct mcp_watch *w, const char *reason, int64_t now_wall, const struct emit *to);

/* For coverage; name is of the record's Source. */
void mcp_watch_cover(const struct mcp_watch *w, Pilotgate__Coverage__Source *ret);
