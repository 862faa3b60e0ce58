/* config_targets: what a target's keys say together: its kind, its headers and where they come from, its
 * certificates. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "config_priv.h"

#define TOKEN \
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" /* RFC 9110, 5.6.2 */

/* ---------------------------------------------------------------- headers */

static bool is_among(const char *name, size_t n, const char *const list[], size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strlen(list[i]) == n && strncasecmp(name, list[i], n) == 0)
            return true;
    return false;
}

/* Headers that the prober sets by itself. */
static bool is_ours(const char *name, size_t n) {
    static const char *const ours[] = {
        "Accept", "Accept-Encoding",   "Content-Type",  "Content-Length",  "Connection",
        "Expect", "Transfer-Encoding", "Last-Event-ID", "X-Pilotgate-Call"};
    return strncasecmp(name, "Mcp-", 4) == 0 || is_among(name, n, ours, sizeof ours / sizeof *ours);
}

static bool is_secret(const char *name, size_t n) {
    static const char *const secret[] = {"Authorization", "Proxy-Authorization", "Cookie"};
    return is_among(name, n, secret, sizeof secret / sizeof *secret);
}

static bool is_printable(const char *s) {
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || (unsigned char)*s > 0x7e)
            return false;
    return true;
}

/* Length of the name in "Name: ...", 0 when it is none. */
static size_t name_length(const char *header) {
    size_t n = strspn(header, TOKEN);
    return header[n] == ':' && is_printable(header) ? n : 0;
}

/* "Name: value" of printable ASCII; neither secret nor one that the prober sets itself. */
static int check_header(const struct config_target *t, const char *header, struct err *e) {
    size_t n = name_length(header);
    if (n == 0)
        return err_set(e, -EINVAL, "target '%s': a header must be written 'Name: value'", t->name);
    if (is_secret(header, n))
        return err_set(e, -EINVAL, "target '%s': header %.*s is secret: use bearer_file or header_files",
                       t->name, (int)n, header);
    if (is_ours(header, n))
        return err_set(e, -EINVAL, "target '%s': header %.*s is the prober's own: remove it", t->name, (int)n,
                       header);
    return 0;
}

static bool is_given_plainly(const struct config_target *t, const char *name, size_t n) {
    for (size_t i = 0; i < t->headers.n; i++)
        if (name_length(t->headers.items[i]) == n && strncasecmp(t->headers.items[i], name, n) == 0)
            return true;
    return false;
}

/* "Name: /path". Relative paths would depend on where the agent is started. */
static int check_header_file(const struct config_target *t, size_t i, struct err *e) {
    const char *header = t->header_files.items[i];
    size_t n = name_length(header);
    const char *path = n ? header + n + 1 + strspn(header + n + 1, " ") : "";
    if (*path != '/')
        return err_set(e, -EINVAL, "target '%s': header_files must be written 'Name: /path/of/its/file'",
                       t->name);
    if (is_ours(header, n))
        return err_set(e, -EINVAL, "target '%s': header %.*s is the prober's own: remove it", t->name, (int)n,
                       header);
    bool twice = is_given_plainly(t, header, n);
    for (size_t k = 0; k < i; k++)
        twice = twice || (name_length(t->header_files.items[k]) == n &&
                          strncasecmp(t->header_files.items[k], header, n) == 0);
    if (twice)
        return err_set(e, -EINVAL, "target '%s': header %.*s is there twice", t->name, (int)n, header);
    if (n == 13 && strncasecmp(header, "Authorization", n) == 0 && (t->bearer_file || t->secret_file))
        return err_set(e, -EINVAL,
                       "target '%s': both header_files and %s give Authorization: remove one of them",
                       t->name, t->bearer_file ? "bearer_file" : "secret_file");
    return 0;
}

/* ---------------------------------------------------------------- kinds */

static bool ends_with(const char *s, size_t n, const char *end) {
    return n >= strlen(end) && strncmp(s + n - strlen(end), end, strlen(end)) == 0;
}

/* What the REST interfaces are asked stands behind url, so that it must end before that. */
static int check_base(const struct config_target *t, struct err *e) {
    const char *own = t->kind == CONFIG_TARGET_ARCADE ? "/v1" : "/worker";
    size_t n = strlen(t->url);
    while (n > 0 && t->url[n - 1] == '/')
        n--;
    if (strpbrk(t->url, "?#") || ends_with(t->url, n, own))
        return err_set(e, -EINVAL, "target '%s': of kind %s, url must end before %s", t->name,
                       t->kind == CONFIG_TARGET_ARCADE ? "arcade" : "worker", own);
    return 0;
}

/* What a kind needs, and what means nothing to it. */
static int check_kind(const struct config_target *t, struct err *e) {
    bool worker = t->kind == CONFIG_TARGET_WORKER;
    if (worker && !t->secret_file)
        return err_set(e, -EINVAL,
                       "target '%s': kind worker needs secret_file, the file with ARCADE_WORKER_SECRET",
                       t->name);
    if (!worker && t->secret_file)
        return err_set(e, -EINVAL, "target '%s': secret_file is for kind worker only", t->name);
    if (worker && t->bearer_file)
        return err_set(e, -EINVAL,
                       "target '%s': kind worker makes its token from secret_file: remove bearer_file",
                       t->name);
    if (t->kind == CONFIG_TARGET_ARCADE && (!t->user_id || !*t->user_id))
        return err_set(e, -EINVAL, "target '%s': kind arcade needs user_id, in whose name tools run",
                       t->name);
    if (t->kind == CONFIG_TARGET_MCP && t->user_id)
        return err_set(
            e, -EINVAL,
            "target '%s': user_id is for kinds arcade and worker; a gateway of Arcade takes the header "
            "'Arcade-User-ID: NAME'",
            t->name);
    return t->kind == CONFIG_TARGET_MCP ? 0 : check_base(t, e);
}

/* ---------------------------------------------------------------- certificates */

static int check_certificate(const struct config_target *t, struct err *e) {
    if (!t->client_cert_file != !t->client_key_file)
        return err_set(e, -EINVAL, "target '%s': give client_cert_file and client_key_file, or none of them",
                       t->name);
    if (t->client_cert_file && strncasecmp(t->url, "https:", 6) != 0)
        return err_set(e, -EINVAL, "target '%s': client_cert_file needs a url with https", t->name);
    return 0;
}

int config_check_target(const struct config_target *t, struct err *e) {
    int r = check_kind(t, e);
    for (size_t i = 0; r == 0 && i < t->headers.n; i++)
        r = check_header(t, t->headers.items[i], e);
    for (size_t i = 0; r == 0 && i < t->header_files.n; i++)
        r = check_header_file(t, i, e);
    return r == 0 ? check_certificate(t, e) : r;
}
