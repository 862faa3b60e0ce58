/* served: which groups and versions the API server serves, asked for when some source wants to know, and
 * again when the answer is old; so that a kind that is not there is no kind that cannot be read. One GET of
 * /apis, which every authenticated client may (ClusterRole system:discovery): an APIGroupList of
 * {"groups":[{"name","versions":[{"groupVersion":"batch/v1",...}],"preferredVersion":{"groupVersion"}}]}
 * (Kubernetes API concepts, "Discovery API"). See kube_priv.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "kube/served.h"

#define ANSWER_MAX (4u << 20)
#define ASK_SECONDS 15L
#define OLD_AFTER (60 * WHEN_S)
#define AGAIN (15 * WHEN_S) /* after no answer */

void kube_served_init(struct kube_served *s, struct kube_http *h, CURLM *multi) {
    *s = (struct kube_served){.http = h, .multi = multi};
    s->body.max = ANSWER_MAX;
}

static void end_transfer(struct kube_served *s) {
    if (!s->easy)
        return;
    (void)curl_multi_remove_handle(s->multi, s->easy);
    curl_easy_cleanup(s->easy);
    s->easy = NULL;
    buf_free(&s->body);
}

void kube_served_free(struct kube_served *s) {
    end_transfer(s);
    free(s->list);
    s->list = NULL;
}

/* ---- reading */

static int add_version(const char *name, struct buf *to) {
    if (!*name || strpbrk(name, "\r\n"))
        return 0;
    return buf_adds(to, "/apis/") < 0 || buf_adds(to, name) < 0 || buf_adds(to, "\n") < 0 ? -ENOMEM : 0;
}

/* "/apis/batch/v1", each on a line of its own. */
static int add_versions(const json_t *group, struct buf *to) {
    const char *preferred = js_str(group, "preferredVersion.groupVersion", "");
    int r = add_version(preferred, to);
    size_t i;
    json_t *v;
    json_array_foreach(js_at(group, "versions"), i, v) {
        const char *name = js_str(v, "groupVersion", "");
        if (r == 0 && strcmp(name, preferred) != 0)
            r = add_version(name, to);
    }
    return r;
}

int kube_served_read(const char *text, size_t len, char **ret, struct err *e) {
    struct buf list = BUF_INIT(ANSWER_MAX);
    json_t *doc = NULL;
    json_t *group;
    size_t i;
    int r = kube_items_nodes(text, len) > KUBE_NODES_MAX
                ? err_set(e, -EMSGSIZE, "the answer to /apis has too many values")
                : js_parse(text, len, ANSWER_MAX, &doc, e);
    if (r == 0 && !json_is_array(js_at(doc, "groups")))
        r = err_set(e, -EBADMSG, "the answer to /apis is no list of API groups");
    if (r == 0 && buf_adds(&list, "\n") < 0)
        r = err_oom(e);
    json_array_foreach(js_at(doc, "groups"), i, group) {
        if (r == 0 && add_versions(group, &list) < 0)
            r = err_oom(e);
    }
    json_decref(doc);
    char *copy = r == 0 ? strdup(buf_str(&list)) : NULL;
    buf_free(&list);
    if (r == 0 && !copy)
        r = err_oom(e);
    if (r == 0)
        *ret = copy;
    return r;
}

static bool has(const char *list, const char *group) {
    size_t n = strlen(group);
    for (const char *p = strstr(list, group); p; p = strstr(p + 1, group))
        if (p > list && p[-1] == '\n' && p[n] == '\n')
            return true;
    return false;
}

const struct kube_kind *kube_served_choose(const struct kube_served *s, const struct kube_kind *from) {
    for (const struct kube_kind *k = from; k->source; k++) {
        if (k > from && !k->older)
            break;
        if (!s->list || has(s->list, k->group))
            return k;
    }
    return NULL;
}

bool kube_served_version(const struct kube_served *s, const char *group, unsigned nth, char *out,
                         size_t size) {
    size_t n = strlen(group);
    for (const char *p = s->list; p && (p = strstr(p, "\n/apis/")); p++) {
        const char *name = p + sizeof "\n/apis/" - 1;
        if (strncmp(name, group, n) != 0 || name[n] != '/' || nth-- > 0)
            continue;
        size_t len = strcspn(p + 1, "\n");
        if (len >= size || strcspn(name + n + 1, "/?#%\n") != len - (size_t)(name + n + 1 - (p + 1)))
            return false;
        memcpy(out, p + 1, len);
        out[len] = 0;
        return true;
    }
    return false;
}

/* ---- asking */

void kube_served_expire(struct kube_served *s) {
    s->known = false;
}

bool kube_served_known(struct kube_served *s, int64_t now) {
    bool fresh = s->known && now - s->known_mono < OLD_AFTER;
    s->wanted = !fresh;
    return s->known;
}

static size_t take(char *data, size_t size, size_t n, void *ctx) {
    return buf_add(ctx, data, size * n) < 0 ? CURL_WRITEFUNC_ERROR : n;
}

static int begin(struct kube_served *s) {
    s->easy = curl_easy_init();
    if (!s->easy || kube_http_prepare(s->http, s->easy, "/apis", NULL) < 0)
        return -EIO;
    (void)curl_easy_setopt(s->easy, CURLOPT_TIMEOUT, ASK_SECONDS);
    (void)curl_easy_setopt(s->easy, CURLOPT_PRIVATE, NULL);
    (void)curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, take);
    (void)curl_easy_setopt(s->easy, CURLOPT_WRITEDATA, &s->body);
    return curl_multi_add_handle(s->multi, s->easy) == CURLM_OK ? 0 : -EIO;
}

int64_t kube_served_run(struct kube_served *s, int64_t now) {
    if (!s->wanted || s->easy)
        return INT64_MAX;
    if (s->due_mono > now)
        return s->due_mono - now;
    buf_clear(&s->body);
    s->due_mono = now + AGAIN;
    if (begin(s) == 0)
        return INT64_MAX;
    curl_easy_cleanup(s->easy);
    s->easy = NULL;
    return AGAIN;
}

/* 401, 429 and 5xx are asked again; any other refusal means that it will not be told: then each kind is
 * simply tried (list NULL). */
static bool take_answer(struct kube_served *s, long status) {
    char *list = NULL;
    if (status == 401)
        kube_http_forget_token(s->http);
    if (status == 401 || status == 429 || status >= 500)
        return false;
    if (status == 200 && kube_served_read(buf_str(&s->body), s->body.len, &list, NULL) < 0)
        return false;
    free(s->list);
    s->list = list;
    return true;
}

void kube_served_done(struct kube_served *s, CURLcode code, int64_t now) {
    long status = 0;
    (void)curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK && take_answer(s, status)) {
        s->known = true;
        s->round = s->round + 1 ? s->round + 1 : 1;
        s->known_mono = now;
        s->known_wall = when_wall_ns();
        s->wanted = false;
    }
    end_transfer(s);
}
