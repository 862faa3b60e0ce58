/* post: one event to the webhook, over libcurl. What the receiver answers is bounded and thrown away; a
 * redirect is a failure, so that a secret in the URL goes nowhere else. */
#include "alert/alert.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"

#define URL_MAX 4096

/* ---- the URL */

static int read_url(const char *path, char out[URL_MAX], struct err *e) {
    FILE *f = fopen(path, "re");
    if (!f)
        return err_set(e, -errno, "cannot read the webhook's file %s: %s", path, strerror(errno));
    size_t n = fread(out, 1, URL_MAX - 1, f);
    int failed = ferror(f);
    (void)fclose(f);
    out[n] = 0;
    out[strcspn(out, "\r\n")] = 0;
    if (failed || n == URL_MAX - 1 || !*out)
        return err_set(e, -EINVAL, "the webhook's file %s must hold one line with a URL", path);
    return 0;
}

static bool is_loopback(const char *host) {
    struct in_addr a;
    if (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
        return true;
    return inet_pton(AF_INET, host, &a) == 1 && (ntohl(a.s_addr) >> 24) == 127;
}

static int check_url(const char *url, bool plain, struct err *e) {
    CURLU *u = curl_url();
    char *scheme = NULL, *host = NULL;
    int r = 0;
    if (!u)
        return err_oom(e);
    if (curl_url_set(u, CURLUPART_URL, url, 0) || curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) ||
        curl_url_get(u, CURLUPART_HOST, &host, 0))
        r = err_set(e, -EINVAL, "the webhook's file holds no URL: write https://host/path");
    else if (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0)
        r = err_set(e, -EINVAL, "the webhook's URL must be https://");
    else if (strcmp(scheme, "http") == 0 && !plain && !is_loopback(host))
        r = err_set(e, -EINVAL,
                    "the webhook's URL is plain http: use https, or allow it with --webhook-plain");
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(u);
    return r;
}

int alert_hook_check(const struct alert_hook *h, struct err *e) {
    char url[URL_MAX];
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_oom(e);
    int r = read_url(h->url_file, url, e);
    return r == 0 ? check_url(url, h->plain, e) : r;
}

/* ---- the exchange */

struct exchange {
    const struct alert_hook *hook;
    size_t received;
};

static size_t take_answer(char *data, size_t size, size_t n, void *ctx) {
    struct exchange *x = ctx;
    (void)data;
    x->received += size * n;
    return x->received > ALERT_ANSWER_MAX ? 0 : size * n;
}

static int go_on(void *ctx, curl_off_t dt, curl_off_t dn, curl_off_t ut, curl_off_t un) {
    const struct exchange *x = ctx;
    (void)dt, (void)dn, (void)ut, (void)un;
    return x->hook->stop && atomic_load(x->hook->stop);
}

static int set_up(CURL *c, const char *url, const char *body, struct curl_slist *headers,
                  struct exchange *x) {
    bool ok = curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK &&
              curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
              curl_easy_setopt(c, CURLOPT_POSTFIELDS, body) == CURLE_OK &&
              curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
              curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
              curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
              curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
              curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)ALERT_POST_TIMEOUT_S) == CURLE_OK &&
              curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)ALERT_POST_TIMEOUT_S / 2) == CURLE_OK &&
              curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
              curl_easy_setopt(c, CURLOPT_USERAGENT, "pilotgate/" PILOTGATE_VERSION) == CURLE_OK &&
              curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_answer) == CURLE_OK &&
              curl_easy_setopt(c, CURLOPT_WRITEDATA, x) == CURLE_OK &&
              curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, go_on) == CURLE_OK &&
              curl_easy_setopt(c, CURLOPT_XFERINFODATA, x) == CURLE_OK &&
              curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L) == CURLE_OK;
    return ok ? 0 : -ENOMEM;
}

/* A 2xx counts even where its body is too long or breaks off: the event was taken. */
static int judge(CURL *c, CURLcode code, struct err *e) {
    long status = 0;
    (void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200 && status < 300)
        return 0;
    if (status >= 300 && status < 400)
        return err_set(e, -EIO, "the webhook redirects (HTTP %ld), which is not followed: give the final URL",
                       status);
    if (status > 0)
        return err_set(e, -EIO, "the webhook answers HTTP %ld", status);
    return err_set(e, -EIO, "the webhook cannot be reached: %s", curl_easy_strerror(code));
}

static int exchange(const struct alert_hook *h, const char *url, const char *body, struct err *e) {
    struct exchange x = {.hook = h};
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    CURL *c = curl_easy_init();
    int r = c && headers ? set_up(c, url, body, headers, &x) : -ENOMEM;
    if (r < 0)
        (void)err_oom(e);
    else
        r = judge(c, curl_easy_perform(c), e);
    curl_easy_cleanup(c);
    curl_slist_free_all(headers);
    return r;
}

/* at_ns is ours alone. */
static char *body_of(const json_t *event) {
    json_t *copy = json_copy((json_t *)event);
    (void)json_object_del(copy, "at_ns");
    char *text = copy ? js_canonical(copy) : NULL;
    json_decref(copy);
    return text;
}

int alert_post(const struct alert_hook *h, const json_t *event, struct err *e) {
    char url[URL_MAX];
    int r = read_url(h->url_file, url, e);
    if (r == 0)
        r = check_url(url, h->plain, e);
    if (r < 0)
        return r;
    char *body = body_of(event);
    r = body ? exchange(h, url, body, e) : err_oom(e);
    free(body);
    return r;
}
