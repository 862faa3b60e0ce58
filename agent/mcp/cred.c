/* cred: see cred.h. */
#include "mcp/cred.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool unchanged(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static bool token_ok(const char *s) {
    for (const char *p = s; *p; p++)
        if (*p <= 0x20 || *p >= 0x7f)
            return false;
    return *s;
}

bool mcp_header_value_ok(const char *value) {
    for (const char *p = value; *p; p++)
        if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
            return false;
    return true;
}

static bool value_ok(const char *s) {
    return *s && mcp_header_value_ok(s) && s[strlen(s) - 1] != ' ' && *s != ' ';
}

/* Reads the file again when it changed; what names its content in errors. A NUL in its first line would
 * cut the secret short: no line of text holds one. */
static int refresh(struct mcp_bearer *b, bool (*ok)(const char *), const char *what, struct err *e) {
    struct stat now;
    char *text = NULL;
    size_t len;
    if (stat(b->path, &now) < 0)
        return err_set(e, -errno, "%s: %s; give the file with the %s", b->path, strerror(errno), what);
    if (b->token && unchanged(&now, &b->seen))
        return 0;
    int r = conf_read_file(b->path, MCP_TOKEN_MAX, &text, &len, e);
    if (r < 0)
        return r;
    size_t line = strcspn(text, "\r\n");
    bool whole = line == len || text[line];
    text[line] = 0;
    if (!whole || !ok(text)) {
        free(text);
        return err_set(e, -EINVAL, "%s: holds no %s; put it there as one line of visible characters", b->path,
                       what);
    }
    free(b->token);
    b->token = text;
    b->seen = now;
    return 0;
}

int mcp_bearer_get(struct mcp_bearer *b, const char **ret_token, struct err *e) {
    int r = b->path ? refresh(b, token_ok, "bearer token", e) : 0;
    if (r == 0)
        *ret_token = b->path ? b->token : NULL;
    return r;
}

void mcp_bearer_free(struct mcp_bearer *b) {
    free(b->token);
    b->token = NULL;
}

int mcp_header_file_get(struct mcp_header_file *h, const char **ret_value, struct err *e) {
    int r = refresh(&h->file, value_ok, "value of a header", e);
    if (r == 0)
        *ret_value = h->file.token;
    return r;
}

static int open_one(struct mcp_header_file *h, const char *line, struct err *e) {
    const char *colon = strchr(line, ':');
    const char *path = colon ? colon + 1 + strspn(colon + 1, " ") : "";
    if (!colon || colon == line || !*path || strcspn(line, " \t\r\n") < (size_t)(colon - line))
        return err_set(e, -EINVAL, "a header whose value is in a file must be written 'Name: path'");
    *h = (struct mcp_header_file){.name = strndup(line, (size_t)(colon - line)), .file = {.path = path}};
    return h->name ? 0 : err_oom(e);
}

int mcp_header_files_open(struct mcp_header_files *ret, const struct conf_strings *lines, struct err *e) {
    struct mcp_header_files h = {0};
    int r = 0;
    if (lines && lines->n) {
        h.items = calloc(lines->n, sizeof *h.items);
        r = h.items ? 0 : err_oom(e);
    }
    for (; r == 0 && lines && h.n < lines->n; h.n++)
        r = open_one(&h.items[h.n], lines->items[h.n], e);
    if (r < 0)
        mcp_header_files_free(&h);
    else
        *ret = h;
    return r;
}

void mcp_header_files_free(struct mcp_header_files *h) {
    for (size_t i = 0; i < h->n; i++) {
        free(h->items[i].name);
        mcp_bearer_free(&h->items[i].file);
    }
    free(h->items);
    *h = (struct mcp_header_files){0};
}
