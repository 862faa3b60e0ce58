/* lease: the Lease object over HTTP: reads and writes it when election.c says so, and tells it what came of
 * that. Requests run among the sources' transfers, in the same thread. See lease.h. */
#include <ctype.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/when.h"
#include "kube/lease.h"

#define ANSWER_MAX (256u << 10)
#define ANSWER_SECONDS 5L /* below the term, so that a hung connection does not end it */
#define RELEASE_MS 1000L
#define PATH_POSITIONS "/metadata/annotations/pilotgate~1positions"

void kube_lease_init(struct kube_lease *l, const char *name, const char *identity, int64_t second,
                     const struct kube_scope *sc, struct kube_http *h, CURLM *multi) {
    *l = (struct kube_lease){.scope = sc, .http = h, .multi = multi, .name = name, .election.second = second};
    l->body.max = ANSWER_MAX;
    (void)snprintf(l->identity, sizeof l->identity, "%s", identity);
}

static void end_transfer(struct kube_lease *l) {
    if (l->easy) {
        (void)curl_multi_remove_handle(l->multi, l->easy);
        curl_easy_cleanup(l->easy);
    }
    curl_slist_free_all(l->headers);
    l->headers = NULL;
    l->easy = NULL;
}

void kube_lease_free(struct kube_lease *l) {
    end_transfer(l);
    buf_free(&l->body);
    json_decref(l->object);
    l->object = NULL;
}

/* Without name: that of all. malloc'ed. */
static char *path_of(const char *ns, const char *name, const char *query) {
    char *out = NULL;
    char *in = curl_easy_escape(NULL, ns, 0);
    char *of = curl_easy_escape(NULL, name ? name : "", 0);
    if (in && of &&
        asprintf(&out, "/apis/coordination.k8s.io/v1/namespaces/%s/leases%s%s%s", in, name ? "/" : "", of,
                 query) < 0)
        out = NULL;
    curl_free(in);
    curl_free(of);
    return out;
}

void kube_lease_advice(const char *ns, const char *name, char out[KUBE_REASON_MAX]) {
    (void)snprintf(
        out, KUBE_REASON_MAX,
        "every agent does the work of the whole stage. RBAC: allow create on "
        "leases.coordination.k8s.io, and get, update on %.100s, in namespace %.63s for this service "
        "account, or leave kube.lease empty",
        name, ns);
}

/* ---------------------------------------------------------------- what is written */

static int set_text(json_t *o, const char *key, const char *text) {
    return json_object_set_new(o, key, json_string(text));
}

/* The member as an object, made where there is none. */
static json_t *object_in(json_t *o, const char *key) {
    json_t *member = json_object_get(o, key);
    if (!json_is_object(member)) {
        (void)json_object_set_new(o, key, json_object());
        member = json_object_get(o, key);
    }
    return member;
}

static int set_positions(json_t *metadata, const struct kube_lease *l) {
    struct kube_positions *all = malloc(sizeof *all);
    json_t *annotations = object_in(metadata, "annotations");
    if (!all || !annotations) {
        free(all);
        return -ENOMEM;
    }
    *all = l->found; /* of a source that has no own position yet, the one that was found stays */
    kube_positions_merge(all, &l->ours);
    char *text = kube_positions_write(all);
    int r = text ? set_text(annotations, POSITIONS_KEY, text) : -ENOMEM;
    free(text);
    free(all);
    return r;
}

static int set_spec(json_t *spec, const struct kube_lease *l, bool ends) {
    char now[WHEN_TEXT_MAX];
    bool ours = strcmp(js_str(spec, "holderIdentity", ""), l->identity) == 0;
    int64_t terms = js_int(spec, "leaseTransitions", 0);
    int64_t seconds = ends ? 1 : ELECTION_SECONDS;
    (void)when_format(when_wall_ns(), 6, now);
    if (set_text(spec, "holderIdentity", ends ? "" : l->identity) < 0 ||
        set_text(spec, "renewTime", now) < 0 ||
        json_object_set_new(spec, "leaseDurationSeconds", json_integer(seconds)) < 0)
        return -ENOMEM;
    if (ours)
        return 0;
    terms = terms >= 0 && terms < INT32_MAX ? terms + 1 : 0;
    return set_text(spec, "acquireTime", now) < 0 ||
                   json_object_set_new(spec, "leaseTransitions", json_integer(terms)) < 0
               ? -ENOMEM
               : 0;
}

/* What others wrote into the object stays: labels, annotations, fields that we do not know. */
static char *document(const struct kube_lease *l, bool create, bool ends) {
    json_t *doc = create || !l->object ? json_object() : json_deep_copy(l->object);
    json_t *metadata = doc ? object_in(doc, "metadata") : NULL;
    json_t *spec = doc ? object_in(doc, "spec") : NULL;
    char *text = NULL;
    if (metadata && spec && set_text(doc, "apiVersion", "coordination.k8s.io/v1") == 0 &&
        set_text(doc, "kind", "Lease") == 0 && set_text(metadata, "name", l->name) == 0 &&
        set_text(metadata, "namespace", l->scope->namespace_name) == 0 && set_positions(metadata, l) == 0 &&
        set_spec(spec, l, ends) == 0) {
        (void)json_object_del(metadata, "managedFields");
        text = json_dumps(doc, JSON_COMPACT);
    }
    json_decref(doc);
    return text;
}

/* ---------------------------------------------------------------- requests */

static size_t collect(char *data, size_t size, size_t n, void *ctx) {
    return buf_add(ctx, data, size * n) < 0 ? CURL_WRITEFUNC_ERROR : n;
}

static int set_body(struct kube_lease *l, CURL *easy, char *text) {
    CURLcode c = CURLE_OUT_OF_MEMORY;
    l->headers = curl_slist_append(l->headers, "Content-Type: application/json");
    if (text && l->headers)
        c = curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, text);
    if (c == CURLE_OK)
        c = curl_easy_setopt(easy, CURLOPT_HTTPHEADER, l->headers);
    if (c == CURLE_OK && l->act == ELECTION_UPDATE)
        c = curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "PUT");
    free(text);
    return c == CURLE_OK ? 0 : -ENOMEM;
}

static void set_callbacks(struct kube_lease *l, CURL *easy) {
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT, ANSWER_SECONDS);
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, l);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, collect);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, &l->body);
}

/* The request of l->act. ends: it gives the Lease up; query: "" or "?dryRun=All". */
static CURL *prepare(struct kube_lease *l, bool ends, const char *query, struct err *e) {
    bool create = l->act == ELECTION_CREATE;
    char *path = path_of(l->scope->namespace_name, create ? NULL : l->name, query);
    CURL *easy = path ? curl_easy_init() : NULL;
    int r = easy ? kube_http_prepare(l->http, easy, path, e) : err_oom(e);
    free(path);
    buf_clear(&l->body);
    if (r == 0 && l->act != ELECTION_READ && set_body(l, easy, document(l, create, ends)) < 0)
        r = err_oom(e);
    if (r == 0) {
        set_callbacks(l, easy);
        return easy;
    }
    curl_easy_cleanup(easy);
    return NULL;
}

static void go_on(struct kube_lease *l, enum election_event ev, int64_t retry_after) {
    kube_election_step(&l->election, ev, when_mono_ns(), retry_after, randombytes_random());
}

int64_t kube_lease_run(struct kube_lease *l, int64_t now) {
    struct err e;
    if (l->easy)
        return INT64_MAX;
    if (l->election.due_mono > now)
        return l->election.due_mono - now;
    l->act = l->election.next;
    l->easy = prepare(l, false, "", &e);
    if (l->easy && curl_multi_add_handle(l->multi, l->easy) == CURLM_OK)
        return INT64_MAX;
    curl_easy_cleanup(l->easy);
    l->easy = NULL;
    end_transfer(l);
    go_on(l, ELECTION_SILENT, 0);
    return l->election.due_mono - now;
}

/* ---------------------------------------------------------------- answers */

static bool is_valid(const struct kube_lease *l, const json_t *o) {
    const char *rv = js_str(o, "metadata.resourceVersion", "");
    return strcmp(js_str(o, "kind", ""), "Lease") == 0 &&
           strcmp(js_str(o, "metadata.name", ""), l->name) == 0 && *rv && strlen(rv) < KUBE_RV_MAX;
}

/* A Lease that names another one: did it change since we looked? */
static enum election_event look_at_other(struct kube_lease *l, const json_t *o) {
    const char *rv = js_str(o, "metadata.resourceVersion", "");
    int64_t now = when_mono_ns();
    int64_t seconds = js_int(o, "spec.leaseDurationSeconds", 0);
    bool first = !*l->seen_rv;
    bool changed = strcmp(l->seen_rv, rv) != 0;
    if (changed)
        kube_election_changed(&l->election, now, seconds);
    (void)snprintf(l->seen_rv, sizeof l->seen_rv, "%s", rv);
    return kube_election_other(&l->election, now, first, changed);
}

/* NODE_LIFETIME of our own node: there is one agent a node, so that one is over. Asked once, when we begin:
 * two that are there all the same do not take it from each other for ever. */
static bool is_earlier_life(const struct kube_lease *l, const char *holder) {
    const char *mine = strrchr(l->identity, '_');
    const char *theirs = strrchr(holder, '_');
    size_t n = mine ? (size_t)(mine - l->identity) : 0;
    return !l->looked && n > 0 && theirs && (size_t)(theirs - holder) == n &&
           memcmp(holder, l->identity, n) == 0;
}

static enum election_event look(struct kube_lease *l, json_t *o) {
    const char *holder = js_str(o, "spec.holderIdentity", "");
    bool ours = strcmp(holder, l->identity) == 0;
    bool free = !*holder || (!ours && is_earlier_life(l, holder));
    l->looked = true;
    json_decref(l->object);
    l->object = json_incref(o);
    if (!ours)
        kube_positions_read(js_str(o, PATH_POSITIONS, ""), &l->found);
    if (ours || free)
        l->seen_rv[0] = 0;
    if (ours)
        return l->act == ELECTION_READ ? ELECTION_OURS : ELECTION_WRITTEN;
    return free ? ELECTION_FREE : look_at_other(l, o);
}

/* Once, and again when it comes back or changes. */
static void tell_refused(struct kube_lease *l, enum election_event ev) {
    if (l->election.state != ELECTION_ALONE)
        l->told[0] = 0;
    else if (ev != ELECTION_REFUSED && ev != ELECTION_FAILED)
        return;
    if (l->election.state != ELECTION_ALONE || strcmp(l->told, l->reason) == 0)
        return;
    (void)snprintf(l->told, sizeof l->told, "%s", l->reason);
    kube_tell_unreadable(l->scope, "Lease", l->name, l->reason);
}

static enum election_event take_object(struct kube_lease *l) {
    struct err e;
    json_t *doc = NULL;
    enum election_event ev = ELECTION_REFUSED;
    if (js_parse(buf_str(&l->body), l->body.len, ANSWER_MAX, &doc, &e) == 0 && is_valid(l, doc)) {
        ev = look(l, doc);
    } else {
        (void)snprintf(
            l->reason, sizeof l->reason,
            "the answer is no Lease %.200s: is kube.api an API server? Every agent does the work of "
            "the whole stage",
            l->name);
    }
    json_decref(doc);
    return ev;
}

static enum election_event take_status(struct kube_lease *l, long status) {
    if (status == 200 || status == 201)
        return take_object(l);
    if (status == 409)
        return ELECTION_CONFLICT;
    if (status == 404 && l->act != ELECTION_CREATE)
        return ELECTION_ABSENT;
    if (status == 401)
        kube_http_forget_token(l->http);
    if (status == 401 || status == 429 || status == 503)
        return ELECTION_SILENT;
    if (status == 403)
        kube_lease_advice(l->scope->namespace_name, l->name, l->reason);
    else
        (void)snprintf(l->reason, sizeof l->reason,
                       "HTTP %ld for the Lease %.200s: every agent does the work of the whole stage", status,
                       l->name);
    return status >= 500 ? ELECTION_FAILED : ELECTION_REFUSED;
}

/* No answer, or one that is no Lease's size: that is no silence, it would be so again. */
static enum election_event take_failure(struct kube_lease *l, CURLcode code) {
    if (code != CURLE_WRITE_ERROR)
        return ELECTION_SILENT;
    (void)snprintf(
        l->reason, sizeof l->reason,
        "the Lease %.200s is larger than %u bytes: delete it. Every agent does the work of the whole "
        "stage",
        l->name, ANSWER_MAX);
    return ELECTION_REFUSED;
}

void kube_lease_done(struct kube_lease *l, CURLcode code) {
    curl_off_t retry_after = 0;
    long status = 0;
    (void)curl_easy_getinfo(l->easy, CURLINFO_RETRY_AFTER, &retry_after);
    (void)curl_easy_getinfo(l->easy, CURLINFO_RESPONSE_CODE, &status);
    end_transfer(l);
    enum election_event ev = code == CURLE_OK ? take_status(l, status) : take_failure(l, code);
    if (ev == ELECTION_ABSENT) { /* somebody took it away, or there never was one */
        json_decref(l->object);
        l->object = NULL;
        l->seen_rv[0] = 0;
    }
    go_on(l, ev, retry_after > 0 && retry_after < 86400 ? retry_after * WHEN_S : 0);
    tell_refused(l, ev);
}

/* ---------------------------------------------------------------- blocking */

int kube_lease_try(struct kube_lease *l, enum election_act act, long *ret_status, struct err *e) {
    l->act = act;
    CURL *easy = prepare(l, false, act == ELECTION_READ ? "" : "?dryRun=All", e);
    if (!easy)
        return -EIO;
    CURLcode c = curl_easy_perform(easy);
    if (c == CURLE_OK)
        (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, ret_status);
    curl_easy_cleanup(easy);
    end_transfer(l);
    return c == CURLE_OK ? 0 : err_set(e, -EIO, "%s: %s", l->http->base, curl_easy_strerror(c));
}

void kube_lease_release(struct kube_lease *l) {
    struct err e;
    if (l->election.state != ELECTION_HOLD || !l->object)
        return;
    end_transfer(l);
    l->act = ELECTION_UPDATE;
    CURL *easy = prepare(l, true, "", &e);
    if (!easy)
        return;
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, RELEASE_MS);
    (void)curl_easy_perform(easy); /* where it fails, the term ends by itself */
    curl_easy_cleanup(easy);
    end_transfer(l);
}
