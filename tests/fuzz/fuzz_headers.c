/* Headers of ours: session ids and event ids of a server, values from files, values as base64. Whatever comes
 * in, nothing goes out that would end a line of the head, and an encoded value is the value. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sodium.h>

#include "fuzz.h"
#include "mcp/cred.h"
#include "mcp/modern.h"
#include "mcp/rpc.h"

static void check_ids(const char *text) {
    if (mcp_rpc_session_ok(text)) {
        MUST(strlen(text) <= MCP_SESSION_MAX && *text);
        MUST(mcp_header_value_ok(text) && !strchr(text, ' '));
    }
    if (mcp_header_value_ok(text))
        MUST(!strpbrk(text, "\r\n"));
    (void)mcp_rpc_revision_ok(text);
    (void)mcp_modern_revision_ok(text);
}

static const char mark[] = "=?base64?";

static bool looks_encoded(const char *text, size_t n) {
    return n >= sizeof mark - 1 + 2 && strncmp(text, mark, sizeof mark - 1) == 0 &&
           memcmp(text + n - 2, "?=", 2) == 0;
}

static void check_encoded(const char *value, size_t len) {
    char *text = mcp_modern_header_value(value, len);
    MUST(text && mcp_header_value_ok(text));
    size_t n = strlen(text);
    if (!looks_encoded(text, n)) {
        MUST(n == len && memcmp(text, value, len) == 0);
    } else {
        unsigned char *back = malloc(n);
        size_t back_len = 0;
        const char *end = NULL;
        MUST(sodium_base642bin(back, n, text + sizeof mark - 1, n - sizeof mark + 1 - 2, NULL, &back_len,
                               &end, sodium_base64_VARIANT_ORIGINAL) == 0);
        MUST(strcmp(end, "?=") == 0 && back_len == len && memcmp(back, value, len) == 0);
        free(back);
    }
    free(text);
}

/* A file with these bytes, as bearer token and as a header's value. */
static void check_file(const uint8_t *data, size_t size) {
    char path[64];
    struct err e;
    const char *value = NULL;
    int fd = memfd_create("value", MFD_CLOEXEC);
    MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct mcp_bearer bearer = {.path = path};
    if (mcp_bearer_get(&bearer, &value, &e) == 0)
        MUST(*value && !strpbrk(value, " \t\r\n") && memcmp(value, data, strlen(value)) == 0);
    else
        MUST(e.text[0]);
    mcp_bearer_free(&bearer);
    struct mcp_header_file header = {.file = {.path = path}};
    if (mcp_header_file_get(&header, &value, &e) == 0)
        MUST(*value && mcp_header_value_ok(value) && memcmp(value, data, strlen(value)) == 0);
    mcp_bearer_free(&header.file);
    (void)close(fd);
}

static void check_lines(char *text) {
    char *lines[] = {text};
    struct conf_strings strings = {lines, 1};
    struct mcp_header_files files = {0};
    struct err e;
    if (mcp_header_files_open(&files, &strings, &e) < 0)
        return;
    MUST(files.n == 1 && *files.items[0].name && *files.items[0].file.path);
    MUST(!strpbrk(files.items[0].name, ": \t\r\n"));
    mcp_header_files_free(&files);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    MUST(text);
    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    check_ids(text);
    check_encoded(text, size);
    check_file(data, size);
    check_lines(text);
    free(text);
    return 0;
}
