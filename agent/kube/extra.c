/* extra: see extra.h.
 *
 *   ASKING --- no (more) version of the group ---> UNSERVED ---.
 *     | ^ \--- the group's versions are not told --> UNFIT ---+-- newer answer to /apis --> ASKING
 *     | '---- not in this version: the next one                |
 *     |------ in it, not to be watched in a namespace --> UNFIT'
 *     '------ in it ------------------------------------> FOUND --- kube_extra_forget -----> ASKING
 */
#include "kube/extra.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/js.h"
#include "base/kinds.h"
#include "base/when.h"

#define ANSWER_MAX (1u << 20) /* the largest built-in group has some 12 kB */
#define ASK_SECONDS 15L
#define AGAIN (15 * WHEN_S) /* after no answer */
#define PAGE 32             /* custom resources may be large */

/* ---- one resource, pure */

void kube_extra_init(struct kube_extra *x, const char *resource) {
    *x = (struct kube_extra){.answer = KUBE_EXTRA_ASKING};
    (void)snprintf(x->source, sizeof x->source, "%s", resource);
    size_t n = strcspn(x->source, ".");
    (void)snprintf(x->plural, sizeof x->plural, "%.*s", (int)n, x->source);
    x->group = x->source[n] ? x->source + n + 1 : "";
    x->kind = (struct kube_kind){.source = x->source,
                                 .kind = x->name, /* "" until it is found */
                                 .object = x->source,
                                 .resource = x->source,
                                 .plural = x->plural,
                                 .group = x->path,
                                 .optional = true,
                                 .custom = true,
                                 .page = PAGE,
                                 .extra = x,
                                 .see = kube_object_see,
                                 .gone = kube_object_gone};
}

static void be_unfit(struct kube_extra *x, const char *why) {
    x->answer = KUBE_EXTRA_UNFIT;
    (void)snprintf(x->reason, sizeof x->reason, "kube.resources: %.150s %s", x->source, why);
}

/* The version that x->version says is asked about, where the group has it. */
static void ask_version(struct kube_extra *x, const struct kube_served *served) {
    x->answer = KUBE_EXTRA_ASKING;
    x->due_mono = 0;
    if (!served->list)
        be_unfit(x, "cannot be looked up: allow get on /apis for this service account (ClusterRole "
                    "system:discovery)");
    else if (!kube_served_version(served, x->group, x->version, x->at, sizeof x->at))
        x->answer = KUBE_EXTRA_UNSERVED;
}

enum kube_extra_answer kube_extra_ask(struct kube_extra *x, const struct kube_served *served) {
    if (x->answer == KUBE_EXTRA_FOUND || x->round == served->round)
        return x->answer;
    x->round = served->round;
    x->version = 0;
    ask_version(x, served);
    return x->answer;
}

void kube_extra_forget(struct kube_extra *x) {
    x->answer = KUBE_EXTRA_ASKING;
    x->round = 0;
}

bool kube_extra_renamed(const struct kube_extra *x) {
    return strcmp(x->name, x->found.kind) != 0;
}

void kube_extra_take(struct kube_extra *x) {
    (void)snprintf(x->name, sizeof x->name, "%s", x->found.kind);
    (void)snprintf(x->object, sizeof x->object, "%s", x->found.object);
    (void)snprintf(x->path, sizeof x->path, "%s", x->at);
    x->kind.object = x->object;
    x->kind.custom = strchr(x->object, '.') != NULL; /* else of a group of Kubernetes' own */
}

/* ---- answers */

static bool is_kind(const char *text) {
    size_t n = 0;
    while (isalnum((unsigned char)text[n]))
        n++;
    return n > 0 && !text[n];
}

static bool has_verb(const json_t *resource, const char *verb) {
    size_t i;
    json_t *v;
    json_array_foreach(js_at(resource, "verbs"), i, v) {
        if (json_is_string(v) && strcmp(json_string_value(v), verb) == 0)
            return true;
    }
    return false;
}

int kube_extra_read(const char *text, size_t len, const char *plural, struct kube_extra_found *ret,
                    struct err *e) {
    struct kube_extra_found found = {.kind = ""};
    json_t *doc = NULL;
    json_t *resource;
    size_t i;
    int r = kube_items_nodes(text, len) > KUBE_NODES_MAX
                ? err_set(e, -EMSGSIZE, "the answer has too many values")
                : js_parse(text, len, ANSWER_MAX, &doc, e);
    if (r == 0 && !json_is_array(js_at(doc, "resources")))
        r = err_set(e, -EBADMSG, "the answer is no list of an API's resources");
    json_array_foreach(js_at(doc, "resources"), i, resource) {
        const char *kind = js_str(resource, "kind", "");
        if (strcmp(js_str(resource, "name", ""), plural) != 0 || !is_kind(kind) || strlen(kind) > 63)
            continue;
        (void)snprintf(found.kind, sizeof found.kind, "%s", kind);
        found.namespaced = js_bool(resource, "namespaced", false);
        found.watched = has_verb(resource, "list") && has_verb(resource, "watch");
        break;
    }
    json_decref(doc);
    if (r == 0)
        *ret = found;
    return r;
}

/* As records spell its kind (base/kinds.h), in x->found. */
static bool name_object(struct kube_extra *x) {
    const char *version = x->at + strlen("/apis/");
    return kinds_name(version, x->found.kind, x->found.object, sizeof x->found.object) == 0;
}

/* The same objects are told already, under another resource. */
static bool is_told_anyway(const struct kube_extra *x) {
    for (const struct kube_kind *k = kube_kinds; k->source; k++)
        if (!k->phases && strcmp(k->object, x->found.object) == 0 && strcmp(k->resource, x->source) != 0)
            return true;
    return false;
}

static void take_found(struct kube_extra *x, const struct kube_served *served) {
    x->answer = KUBE_EXTRA_FOUND;
    if (!*x->found.kind) {
        x->version++;
        ask_version(x, served);
    } else if (!x->found.namespaced) {
        be_unfit(x, "is not namespaced: it belongs to no stage, leave it out");
    } else if (!x->found.watched || !name_object(x)) {
        be_unfit(x, "cannot be listed and watched: leave it out");
    } else if (is_told_anyway(x)) {
        be_unfit(x, "is read anyway, in another group: leave it out");
    }
}

bool kube_extra_answered(struct kube_extra *x, const struct kube_served *served, long status,
                         const char *text, size_t len) {
    struct err e = {.text = ""};
    x->reason[0] = 0;
    x->found = (struct kube_extra_found){.kind = ""};
    if (status == 403) {
        be_unfit(x, "cannot be looked up: allow get on /apis/* for this service account (ClusterRole "
                    "system:discovery)");
        return true;
    }
    if (status != 404 && status != 200)
        err_set(&e, -EIO, "HTTP %ld", status);
    else if (status == 404 || kube_extra_read(text, len, x->plural, &x->found, &e) == 0) {
        take_found(x, served);
        return true;
    }
    (void)snprintf(x->reason, sizeof x->reason, "kube.resources: %.150s: %.100s: %.80s", x->source, x->at,
                   e.text);
    return false;
}

/* ---- all of them, over HTTP */

/* A row of kinds.c tells its objects. */
static bool is_watched_anyway(const struct config *c, const char *resource) {
    for (const struct kube_kind *k = kube_kinds; k->source; k++)
        if (strcmp(k->resource, resource) == 0 && !k->phases && (!k->gitops || c->kube.gitops))
            return true;
    return false;
}

void kube_extras_init(struct kube_extras *all, const struct config *c, struct kube_http *h, CURLM *multi,
                      struct kube_served *served) {
    *all = (struct kube_extras){.http = h, .multi = multi, .served = served};
    all->body.max = ANSWER_MAX;
    for (size_t i = 0; i < c->kube.resources.n && all->n < CONFIG_RESOURCES_MAX; i++)
        if (!is_watched_anyway(c, c->kube.resources.items[i]))
            kube_extra_init(&all->items[all->n++], c->kube.resources.items[i]);
}

static void end_transfer(struct kube_extras *all) {
    if (!all->easy)
        return;
    (void)curl_multi_remove_handle(all->multi, all->easy);
    curl_easy_cleanup(all->easy);
    all->easy = NULL;
    buf_free(&all->body);
}

void kube_extras_free(struct kube_extras *all) {
    end_transfer(all);
}

static size_t take(char *data, size_t size, size_t n, void *ctx) {
    return buf_add(ctx, data, size * n) < 0 ? CURL_WRITEFUNC_ERROR : n;
}

static int begin(struct kube_extras *all) {
    all->easy = curl_easy_init();
    if (!all->easy || kube_http_prepare(all->http, all->easy, all->at, NULL) < 0)
        return -EIO;
    buf_clear(&all->body);
    (void)curl_easy_setopt(all->easy, CURLOPT_TIMEOUT, ASK_SECONDS);
    (void)curl_easy_setopt(all->easy, CURLOPT_PRIVATE, NULL);
    (void)curl_easy_setopt(all->easy, CURLOPT_WRITEFUNCTION, take);
    (void)curl_easy_setopt(all->easy, CURLOPT_WRITEDATA, &all->body);
    return curl_multi_add_handle(all->multi, all->easy) == CURLM_OK ? 0 : -EIO;
}

static bool is_asking(const struct kube_extra *x) {
    return x->answer == KUBE_EXTRA_ASKING && x->round != 0;
}

/* The one whose turn is next; NULL: none asks. */
static struct kube_extra *next(struct kube_extras *all) {
    struct kube_extra *first = NULL;
    for (size_t i = 0; i < all->n; i++)
        if (is_asking(&all->items[i]) && (!first || all->items[i].due_mono < first->due_mono))
            first = &all->items[i];
    return first;
}

int64_t kube_extras_run(struct kube_extras *all, int64_t now) {
    struct kube_extra *x = all->easy ? NULL : next(all);
    if (!x)
        return INT64_MAX;
    if (x->due_mono > now)
        return x->due_mono - now;
    (void)snprintf(all->at, sizeof all->at, "%s", x->at);
    if (begin(all) == 0)
        return INT64_MAX;
    curl_easy_cleanup(all->easy);
    all->easy = NULL;
    x->due_mono = now + AGAIN;
    return AGAIN;
}

/* One answer serves all that ask about the same version of the same group. */
void kube_extras_done(struct kube_extras *all, CURLcode code, int64_t now) {
    long status = 0;
    (void)curl_easy_getinfo(all->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status == 401)
        kube_http_forget_token(all->http);
    for (size_t i = 0; i < all->n; i++) {
        struct kube_extra *x = &all->items[i];
        if (!is_asking(x) || strcmp(x->at, all->at) != 0)
            continue;
        if (code != CURLE_OK)
            (void)snprintf(x->reason, sizeof x->reason, "kube.resources: %.150s: %.80s", x->source,
                           curl_easy_strerror(code));
        if (code != CURLE_OK ||
            !kube_extra_answered(x, all->served, status, buf_str(&all->body), all->body.len))
            x->due_mono = now + AGAIN;
    }
    end_transfer(all);
}
