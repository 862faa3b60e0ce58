/* request: second part of the transport (transport.h): the options of one libcurl handle. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/when.h"
#include "mcp/transport_priv.h"

/* libcurl keeps the parsed certificates of the system for so long, as they are many. Of a file of ours it
 * must not: it goes by its name, and would not see that it has changed. */
#define CA_CACHE_S 60L

/* ------------------------------------------------------------------ headers */

/* -EINVAL: the value would break the head. */
static int add_header(struct mcp_xfer *x, const char *name, const char *value) {
    if (!value || !*value)
        return 0;
    if (!mcp_header_value_ok(value))
        return -EINVAL;
    struct buf line = BUF_INIT(MCP_TOKEN_MAX + 256);
    int r = buf_addf(&line, "%s: %s", name, value);
    struct curl_slist *list = r == 0 ? curl_slist_append(x->headers, line.data) : NULL;
    buf_free(&line);
    if (!list)
        return r == -EMSGSIZE ? -EINVAL : -ENOMEM;
    x->headers = list;
    return 0;
}

static int add_line(struct mcp_xfer *x, const char *line) {
    struct curl_slist *list = curl_slist_append(x->headers, line);
    if (!list)
        return -ENOMEM;
    x->headers = list;
    return 0;
}

static const char *accepts(const struct mcp_request *r) {
    if (r->method == MCP_GET)
        return r->id || r->stream ? "text/event-stream" : "application/json";
    return "application/json, text/event-stream";
}

/* What the protocol wants, and what joins the call with the logs of servers. */
static int add_own_headers(struct mcp_xfer *x, const struct mcp_request *r) {
    int code = add_line(x, "Expect:"); /* none: libcurl would wait for a 100 */
    code = code ? code : add_header(x, "Accept", accepts(r));
    if (x->body)
        code = code ? code : add_header(x, "Content-Type", "application/json");
    code = code ? code : add_header(x, "Mcp-Session-Id", r->session);
    code = code ? code : add_header(x, "MCP-Protocol-Version", r->revision);
    code = code ? code : add_header(x, "Last-Event-ID", r->last_event_id);
    code = code ? code : add_header(x, "X-Pilotgate-Call", r->nonce);
    for (size_t i = 0; code == 0 && i < r->n_extra; i++)
        code = add_header(x, r->extra[i].name, r->extra[i].value);
    return code;
}

static int add_secret_headers(struct mcp_xfer *x, const struct mcp_request *r, struct err *e) {
    const char *value = NULL;
    int code = r->bearer ? mcp_bearer_get(r->bearer, &value, e) : 0;
    if (code == 0 && value) {
        char *text = NULL;
        code = asprintf(&text, "Bearer %s", value) < 0 ? err_oom(e) : 0;
        if (code == 0 && add_header(x, "Authorization", text) < 0)
            code = err_oom(e);
        free(text);
    }
    for (size_t i = 0; code == 0 && r->header_files && i < r->header_files->n; i++) {
        code = mcp_header_file_get(&r->header_files->items[i], &value, e);
        if (code == 0 && add_header(x, r->header_files->items[i].name, value) < 0)
            code = err_oom(e);
    }
    return code;
}

static int add_headers(struct mcp_xfer *x, const struct mcp_request *r, struct err *e) {
    int code = add_own_headers(x, r);
    for (size_t i = 0; code == 0 && r->headers && i < r->headers->n; i++)
        code = add_line(x, r->headers->items[i]);
    if (code == -EINVAL)
        return err_set(e, code, "a value that the server gave cannot stand in a header");
    return code ? err_oom(e) : add_secret_headers(x, r, e);
}

/* ------------------------------------------------------------------ connections */

/* A replica by its address: name, Host and SNI stay the URL's. libcurl does not share connections between
 * different places to connect to. */
static int set_connect_to(struct mcp_xfer *x, const struct mcp_request *r, struct err *e) {
    char *entry = NULL;
    if (!r->connect_to || !*r->connect_to)
        return 0;
    if (asprintf(&entry, "::%s", r->connect_to) < 0)
        return err_oom(e);
    x->connect_to = curl_slist_append(NULL, entry);
    free(entry);
    if (!x->connect_to || curl_easy_setopt(x->easy, CURLOPT_CONNECT_TO, x->connect_to) != CURLE_OK)
        return err_oom(e);
    return 0;
}

static int check_readable(const char *path, const char *what, struct err *e) {
    if (!path || access(path, R_OK) == 0)
        return 0;
    return err_set(e, -errno, "%s: %s; give a readable file with the %s", path, strerror(errno), what);
}

/* libcurl reads certificate and key for each new connection. A TLS session must not be taken up again
 * under them: it would be the identity that was there before. */
static int set_tls(struct mcp_xfer *x, const struct mcp_request *r, struct err *e) {
    CURL *h = x->easy;
    int code = check_readable(r->ca_file, "CA certificates", e);
    code = code ? code : check_readable(r->client_cert_file, "client certificate", e);
    code = code ? code : check_readable(r->client_key_file, "client certificate's key", e);
    if (code < 0)
        return code;
    (void)curl_easy_setopt(h, CURLOPT_CA_CACHE_TIMEOUT, r->ca_file ? 0L : CA_CACHE_S);
    if (r->ca_file && (curl_easy_setopt(h, CURLOPT_CAINFO, r->ca_file) != CURLE_OK ||
                       curl_easy_setopt(h, CURLOPT_CAPATH, NULL) != CURLE_OK)) /* the system's do not count */
        return err_oom(e);
    if (!r->client_cert_file)
        return 0;
    (void)curl_easy_setopt(h, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    if (curl_easy_setopt(h, CURLOPT_SSLCERT, r->client_cert_file) != CURLE_OK ||
        curl_easy_setopt(h, CURLOPT_SSLKEY, r->client_key_file) != CURLE_OK)
        return err_oom(e);
    return 0;
}

/* ------------------------------------------------------------------ all of it */

static void set_method(struct mcp_xfer *x, const struct mcp_request *r) {
    if (r->method == MCP_DELETE)
        (void)curl_easy_setopt(x->easy, CURLOPT_CUSTOMREQUEST, "DELETE");
    if (r->method != MCP_POST)
        return;
    x->body_len = x->body ? strlen(x->body) : 0;
    (void)curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->body_len);
    (void)curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS, x->body ? x->body : "");
}

/* Small buffers, as many calls wait at once; no proxy or redirect comes between. */
static void set_limits(CURL *h, const struct mcp_request *r) {
    int64_t connect_ns = r->timeout_ns < MCP_CONNECT_MAX_NS ? r->timeout_ns : MCP_CONNECT_MAX_NS;
    (void)curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)(connect_ns / WHEN_MS));
    (void)curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(h, CURLOPT_QUICK_EXIT,
                           1L); /* else a slow resolver would hold up our end of a call */
    (void)curl_easy_setopt(h, CURLOPT_BUFFERSIZE, 4096L);
    (void)curl_easy_setopt(h, CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
    (void)curl_easy_setopt(h, CURLOPT_DNS_CACHE_TIMEOUT, 5L);
    (void)curl_easy_setopt(h, CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
    (void)curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(h, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(h, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(h, CURLOPT_TCP_NODELAY, 1L);
    (void)curl_easy_setopt(h, CURLOPT_USERAGENT, "pilotgate-agent/" PILOTGATE_VERSION);
    (void)curl_easy_setopt(h, CURLOPT_FRESH_CONNECT, r->fresh ? 1L : 0L);
    (void)curl_easy_setopt(h, CURLOPT_FORBID_REUSE, r->fresh ? 1L : 0L);
}

/* HTTP/2 over TLS is agreed on by ALPN, where a server may prefer 1.1; without TLS by prior knowledge
 * (RFC 9113, 3.2 and 3.3). */
static void set_version(struct mcp_xfer *x, const struct mcp_request *r) {
    x->prior_knowledge = r->streams && strncasecmp(r->url, "https:", 6) != 0;
    (void)curl_easy_setopt(x->easy, CURLOPT_HTTP_VERSION,
                           (long)(r->streams ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
}

int mcp_xfer_setup(struct mcp_xfer *x, const struct mcp_request *r, struct err *e) {
    x->rpc = r->id || r->stream;
    x->on_message = r->message;
    x->owner = r->owner;
    x->reuse_only = r->reuse_only;
    if (r->id && strlen(r->id) < sizeof x->id)
        memcpy(x->id, r->id, strlen(r->id) + 1);
    int code = add_headers(x, r, e);
    code = code ? code : set_connect_to(x, r, e);
    code = code ? code : set_tls(x, r, e);
    if (code < 0)
        return code;
    if (curl_easy_setopt(x->easy, CURLOPT_URL, r->url) != CURLE_OK)
        return err_oom(e);
    set_method(x, r);
    set_limits(x->easy, r);
    set_version(x, r);
    mcp_connection_watch(x, r->streams > 0);
    (void)curl_easy_setopt(x->easy, CURLOPT_PRIVATE, x);
    (void)curl_easy_setopt(x->easy, CURLOPT_ERRORBUFFER, x->error);
    (void)curl_easy_setopt(x->easy, CURLOPT_WRITEFUNCTION, mcp_xfer_on_body);
    (void)curl_easy_setopt(x->easy, CURLOPT_WRITEDATA, x);
    (void)curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->headers);
    return 0;
}
