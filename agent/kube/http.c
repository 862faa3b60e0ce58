/* http: requests to one API server: TLS always verified, the service account's token read again every
 * minute. See kube_priv.h. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/conf.h"
#include "base/when.h"
#include "kube/kube_priv.h"

#define TOKEN_AGE (60 * WHEN_S)
#define TOKEN_FILE "/var/run/secrets/kubernetes.io/serviceaccount/token"

static bool is_set(const char *s) {
    return s && *s;
}

/* The API server's address as every pod is told it, IPv6 in brackets. */
static char *base_from_environment(void) {
    const char *host = getenv("KUBERNETES_SERVICE_HOST");
    const char *port = getenv("KUBERNETES_SERVICE_PORT");
    char *out = NULL;
    if (!is_set(host))
        return NULL;
    bool v6 = strchr(host, ':') != NULL;
    if (asprintf(&out, "https://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", is_set(port) ? port : "443") <
        0)
        return NULL;
    return out;
}

static char *base_of(const struct config *c) {
    char *base = is_set(c->kube.api) ? strdup(c->kube.api) : base_from_environment();
    for (size_t n = base ? strlen(base) : 0; n > 0 && base[n - 1] == '/'; n--)
        base[n - 1] = 0;
    return base;
}

int kube_http_open(const struct config *c, struct kube_http *ret, struct err *e) {
    struct kube_http h = {.base = base_of(c)};
    if (!h.base)
        return err_set(e, -EINVAL, "kube.api is not set and KUBERNETES_SERVICE_HOST is absent: set kube.api");
    h.tls = strncmp(h.base, "https://", 8) == 0;
    if (!h.tls && strncmp(h.base, "http://", 7) != 0) {
        int r = err_set(e, -EINVAL, "kube.api \"%s\" is no URL: write https://host:port", h.base);
        free(h.base);
        return r;
    }
    h.token_file = is_set(c->kube.token_file) ? c->kube.token_file : TOKEN_FILE;
    h.ca_file = is_set(c->kube.ca_file) ? c->kube.ca_file : NULL;
    *ret = h;
    return 0;
}

void kube_http_forget_token(struct kube_http *h) {
    if (h->token)
        explicit_bzero(h->token, strlen(h->token));
    free(h->token);
    h->token = NULL;
}

void kube_http_close(struct kube_http *h) {
    if (!h)
        return;
    kube_http_forget_token(h);
    free(h->base);
    h->base = NULL;
}

/* A token goes into a header: printable ASCII without blanks only. */
static bool token_ok(const char *s, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (s[i] <= ' ' || s[i] > '~')
            return false;
    return len > 0;
}

static int read_token(struct kube_http *h, struct err *e) {
    int64_t now = when_mono_ns();
    if (!h->tls || (h->token && now - h->token_mono < TOKEN_AGE))
        return 0;
    char *text;
    size_t len;
    int r = conf_read_file(h->token_file, KUBE_TOKEN_MAX, &text, &len, e);
    if (r < 0)
        return r;
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        text[--len] = 0;
    if (!token_ok(text, len)) {
        explicit_bzero(text, len);
        free(text);
        return err_set(e, -EINVAL, "%s holds no token: mount a service account's token there", h->token_file);
    }
    kube_http_forget_token(h);
    h->token = text;
    h->token_mono = now;
    return 0;
}

/* With libcurl's keepalive (15 s idle, 5 s between probes) a dead peer ends a quiet watch in about 30 s. */
static int tune_socket(void *ctx, curl_socket_t fd, curlsocktype purpose) {
    (void)ctx;
    (void)purpose;
    int probes = 3;
    int unacknowledged_ms = 30000;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof unacknowledged_ms);
    return CURL_SOCKOPT_OK;
}

/* No proxy from the environment and no redirect: the token goes to the named server or nowhere. */
static void set_common(const struct kube_http *h, CURL *easy) {
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, h->tls ? "https" : "http");
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, "pilotgate-agent/" PILOTGATE_VERSION);
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, 10L);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 15L);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 5L);
    (void)curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, tune_socket);
    (void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 32768L);
}

/* The given CA alone counts: without CAPATH NULL the system's would be trusted as well. */
static CURLcode set_trust(const struct kube_http *h, CURL *easy) {
    CURLcode r = curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    if (r == CURLE_OK)
        r = curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    if (r == CURLE_OK)
        r = curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (r == CURLE_OK && h->ca_file)
        r = curl_easy_setopt(easy, CURLOPT_CAINFO, h->ca_file);
    if (r == CURLE_OK && h->ca_file)
        r = curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    return r;
}

static CURLcode set_token(const struct kube_http *h, CURL *easy) {
    if (!h->tls)
        return CURLE_OK;
    CURLcode r = curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    return r == CURLE_OK ? curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, h->token) : r;
}

int kube_http_prepare(struct kube_http *h, CURL *easy, const char *path, struct err *e) {
    int r = read_token(h, e);
    if (r < 0)
        return r;
    char *url = NULL;
    if (asprintf(&url, "%s%s", h->base, path) < 0)
        return err_oom(e);
    set_common(h, easy);
    CURLcode c = curl_easy_setopt(easy, CURLOPT_URL, url);
    free(url);
    if (c == CURLE_OK)
        c = set_trust(h, easy);
    if (c == CURLE_OK)
        c = set_token(h, easy);
    return c == CURLE_OK ? 0 : err_set(e, -ENOMEM, "libcurl: %s", curl_easy_strerror(c));
}

static size_t collect(char *data, size_t size, size_t n, void *ctx) {
    return buf_add(ctx, data, size * n) < 0 ? CURL_WRITEFUNC_ERROR : n;
}

int kube_http_get(struct kube_http *h, const char *path, int timeout_s, struct buf *body, long *ret_status,
                  struct err *e) {
    char text[CURL_ERROR_SIZE] = "";
    CURL *easy = curl_easy_init();
    if (!easy)
        return err_oom(e);
    buf_clear(body);
    int r = kube_http_prepare(h, easy, path, e);
    if (r == 0) {
        (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long)timeout_s);
        (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, text);
        (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, collect);
        (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, body);
        CURLcode c = curl_easy_perform(easy);
        if (c == CURLE_OK)
            (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, ret_status);
        else
            r = err_set(e, -EIO, "%s: %s", h->base, *text ? text : curl_easy_strerror(c));
    }
    curl_easy_cleanup(easy);
    return r;
}
