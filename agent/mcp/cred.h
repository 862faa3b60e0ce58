/* cred: secrets in files, each read again when its file changes: a bearer token, and values of request
 * headers. Bounded by MCP_TOKEN_MAX; never part of an error text. Not thread-safe. */
#pragma once

#include <sys/stat.h>

#include "base/conf.h"

#define MCP_TOKEN_MAX (16u << 10)

/* The first line of a file. path NULL: none. */
struct mcp_bearer {
    const char *path;
    char *token; /* owned */
    struct stat seen;
};

/* *ret_token is borrowed until the next call, NULL when the path is NULL. -errno: the file cannot be read
 * or holds no token (visible ASCII). */
int mcp_bearer_get(struct mcp_bearer *b, const char **ret_token, struct err *e) MUST_CHECK;
void mcp_bearer_free(struct mcp_bearer *b);

struct mcp_header_file {
    char *name; /* owned */
    struct mcp_bearer file;
};

struct mcp_header_files {
    struct mcp_header_file *items; /* owned */
    size_t n;
};

/* From lines "Name: path", borrowed as long as *ret lives; lines may be NULL. -EINVAL: a line of another
 * form. The files are read when they are needed. */
int mcp_header_files_open(struct mcp_header_files *ret, const struct conf_strings *lines,
                          struct err *e) MUST_CHECK;
/* The value: printable, at least one character. Borrowed until the next call for the same header. */
int mcp_header_file_get(struct mcp_header_file *h, const char **ret_value, struct err *e) MUST_CHECK;
void mcp_header_files_free(struct mcp_header_files *h);

/* True for what may stand in a header's value: printable characters, spaces and tabs (RFC 9110, 5.5). */
bool mcp_header_value_ok(const char *value);
