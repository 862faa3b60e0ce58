/* kube_priv: what the files of the Kubernetes source share. Nothing outside agent/kube includes this.
 *
 *   kube.c      thread: starts transfers that are due, coverage each second
 *   lease.h     whether this agent does the stage-scoped work: election.c, handover.c, lease.c
 *   source.c    one collection: HTTP transfers  ->  watch.c decides what comes next (pure table)
 *                  | bytes
 *                  v
 *   take.c      lines of a watch (frames.c), elements of a list (items.c): one object at a time
 *                  |
 *                  v
 *   view.c      what is known of the collection (known.c): first list, deltas, relists
 *                  |
 *                  v
 *   pods.c (containers.c) hooks.c events.c workloads.c objects.c releases.c (release.c decodes) gitops.c
 *   endpoints.c
 *                  | one handler a kind
 *                  v
 *   tell.c      records -> emit
 *
 *   served.c    which API groups there are, for the kinds that need not be
 *   extra.c     custom resources that the configuration names: their kind and version, by discovery
 *   optional.c  which of these is listed: what is not served is absent
 *   cover.c     what is told of the sources each second
 *   replicas.c  the addresses of a Service -> the callback of kube_start
 *
 * Everything runs in the source's one thread, or in the caller's for check.c.
 */
#pragma once

#include <curl/curl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "kube/items.h"
#include "kube/kube.h"
#include "kube/reduce.h"

#define KUBE_UID_MAX 64      /* with NUL */
#define KUBE_RV_MAX 128      /* an opaque resourceVersion, with NUL */
#define KUBE_REASON_MAX 384  /* a reason in a record or in coverage, with NUL */
#define KUBE_KNOWN_MAX 20000 /* objects remembered of one collection */
#define KUBE_CONTAINERS_MAX 64
#define KUBE_TOKEN_MAX (16u << 10)
#define KUBE_ERROR_BODY_MAX (16u << 10)

/* ---------------------------------------------------------------- http.c: one API server */

struct kube_http {
    char *base; /* "https://host:port", no slash at the end */
    const char *token_file;
    const char *ca_file; /* NULL: the system's certificates */
    char *token;         /* NULL: none (plain http) */
    int64_t token_mono;  /* when it was read */
    bool tls;
    bool unstreamed; /* this API server has said that it serves no streaming lists */
};

/* https only, unless the URL says http:// itself (tests, `kubectl proxy`); then no token is ever sent. */
int kube_http_open(const struct config *c, struct kube_http *ret, struct err *e) MUST_CHECK;
void kube_http_close(struct kube_http *h);

/* Forgets the token, so that the next request reads the file again (after a 401). */
void kube_http_forget_token(struct kube_http *h);

/* Sets every option that all requests share, the URL, and the token (read again when older than 60 s). */
int kube_http_prepare(struct kube_http *h, CURL *easy, const char *path, struct err *e) MUST_CHECK;

/* One blocking GET. 0 whatever the HTTP status; body is cleared first. */
int kube_http_get(struct kube_http *h, const char *path, int timeout_s, struct buf *body, long *ret_status,
                  struct err *e) MUST_CHECK;

/* ---------------------------------------------------------------- frames.c: lines of a watch */

/* Called once a line, without its newline, NUL-terminated. whole: false when it is longer than rest.max, and
 * line is its beginning. Negative ends the feeding. */
typedef int kube_line_fn(void *ctx, char *line, size_t len, bool whole, struct err *e);

struct kube_frames {
    struct buf rest; /* the unfinished line; rest.max bounds a line */
    bool over;       /* it is longer than that: what follows, up to its end, is not kept */
};

/* Splits what arrives into lines. Empty ones are skipped. -ENOMEM, or the callback's error. */
int kube_frames_feed(struct kube_frames *f, const char *data, size_t len, kube_line_fn *fn, void *ctx,
                     struct err *e) MUST_CHECK;
/* Forgets the unfinished line. */
void kube_frames_clear(struct kube_frames *f);

/* ---------------------------------------------------------------- watch.c: what comes next (pure) */

enum kube_state {
    KUBE_PAUSE_LIST,  /* nothing until due, then list; the beginning */
    KUBE_LIST,        /* a list request is due or under way */
    KUBE_STREAM,      /* a watch that begins with what there is: its end of the list is awaited */
    KUBE_WATCH,       /* a watch request is due or under way */
    KUBE_PAUSE_WATCH, /* nothing until due, then watch on */
    KUBE_STATES
};

enum kube_event {
    KUBE_MORE,       /* a list page, and there are more */
    KUBE_LISTED,     /* the last list page */
    KUBE_POLLED,     /* a polled object was read: nothing to watch */
    KUBE_SYNCED,     /* the stream has told all there is: what follows is the watch */
    KUBE_UNSERVED,   /* the server serves no streaming lists, or ended one before its end */
    KUBE_ENDED,      /* the watch ended in order (timeoutSeconds) */
    KUBE_EXPIRED,    /* 410, as status or ERROR event, or our position is lost otherwise */
    KUBE_DENIED,     /* 403 */
    KUBE_THROTTLED,  /* 429; 5xx with Retry-After */
    KUBE_SILENT,     /* a watch without a byte for longer than any server rests */
    KUBE_FAILED,     /* anything else: transport, 401, 5xx */
    KUBE_DUE,        /* the pause is over */
    KUBE_DUE_STREAM, /* the pause is over, and the server may serve streaming lists */
    KUBE_EVENTS
};

struct kube_watch {
    enum kube_state state;
    unsigned tries;   /* failures in a row, for the backoff */
    unsigned again;   /* ends and expiries in a row without a line in between */
    int64_t due_mono; /* end of a pause */
};

/* Goes on. retry_after: ns that the server asked for, 0: none. chance: random bits for the jitter. */
void kube_watch_step(struct kube_watch *w, enum kube_event ev, int64_t now_mono, int64_t retry_after,
                     uint32_t chance);
/* The server answered as it should: failures are counted anew. */
void kube_watch_answered(struct kube_watch *w);
/* The watch has shown that it works (a line came, or a watch held for a minute): backoff starts anew. */
void kube_watch_alive(struct kube_watch *w);

/* ---------------------------------------------------------------- known.c: what was seen last */

struct kube_entry {
    char *uid;
    char *name;    /* as records call it */
    char *release; /* Helm release that owns it, NULL: none */
    bool own;
    char digest[NORM_HEX_MAX]; /* of the normal form last emitted; "" for none */
    char *rv;                  /* resourceVersion last seen, "": none; see kube_entry_rv */
    unsigned generation;       /* of the list that saw it last */
    bool seen;                 /* its kind's handler took it at least once */
    bool unreadable;           /* its newest state cannot be read, and that was said */
    bool ready;                /* of endpoints.c: as told last */
    bool held;                 /* something of it waits to be told, see kube_view_tick */
    void *extra;               /* the kind's own memory; malloc'ed, one block */
    struct kube_entry *prev, *next;
};

struct kube_known {
    void *tree; /* tsearch(3) over uid */
    struct kube_entry *first;
    size_t n;
};

struct kube_entry *kube_known_find(const struct kube_known *k, const char *uid);
/* Adds; NULL: out of memory or KUBE_KNOWN_MAX reached. */
struct kube_entry *kube_known_add(struct kube_known *k, const char *uid, const char *name);
/* Notes the resourceVersion; out of memory it is "", so that the next state is looked at. */
void kube_entry_rv(struct kube_entry *x, const char *rv);
void kube_known_remove(struct kube_known *k, struct kube_entry *x);
void kube_known_free(struct kube_known *k);

/* ---------------------------------------------------------------- view.c: deltas of one collection */

/* What the handlers need of the rest. */
struct kube_scope {
    const char *own_release; /* "" when not set */
    const char *namespace_name;
    const struct norm_key *key;
    const struct emit *emit;
    const struct replicas_to *replicas; /* NULL: nobody asks */
    struct kube_fleet *fleet;           /* NULL: nobody asks */
    struct kube_served *served;         /* NULL: optional kinds are simply tried */
    struct kube_apps *apps;             /* NULL: no Argo CD */
    const char *stage_namespace; /* NULL: namespace_name is the stage; else it is another one, and this is */
    struct kube_events *events;  /* NULL: events are not told */
};

/* One look at one object: how and when it reached us. */
struct kube_sight {
    int64_t recv_wall;     /* when it reached us */
    int64_t previous_wall; /* last moment at which we were current; 0: never */
    bool listed;           /* from a list, not from a watch */
    bool first;            /* from the first list */
};

/* What every object has, checked and bounded; borrowed from the object. */
struct kube_meta {
    const char *name;
    const char *uid;
    const char *rv;
    const char *release;  /* Helm release of the annotation, "" */
    int64_t created_wall; /* 0: none */
    bool own;
    char managed_by[KUBE_OWNER_MAX]; /* as Object.managed_by: who owns it as code */
};

struct kube_kind;
typedef int kube_see_fn(const struct kube_scope *sc, const struct kube_kind *kind, const struct kube_sight *s,
                        const struct kube_meta *m, const json_t *object, struct kube_entry *x, struct err *e);
typedef void kube_gone_fn(const struct kube_scope *sc, const struct kube_kind *kind,
                          const struct kube_sight *s, const struct kube_entry *x);
/* Tells what was held back, as far as its rate allows now, and clears x->held when nothing is left. */
typedef void kube_tick_fn(const struct kube_scope *sc, int64_t now_wall, struct kube_entry *x);

struct kube_kind {
    const char *source;   /* name in coverage: "pods" */
    const char *kind;     /* "Pod" */
    const char *object;   /* kind of the Object that says what is unreadable: "HelmRelease" for Secrets */
    const char *resource; /* what RBAC calls it: "deployments.apps" */
    const char *plural;   /* last step of the path; "" for the Namespace itself */
    const char *group;    /* first steps of the path: "/api/v1", "/apis/apps/v1" */
    const char *selector; /* fieldSelector, "%s" is the node; NULL: none */
    bool node_scoped;
    bool poll;          /* one object, read every 10 s, instead of list and watch */
    bool needs_secrets; /* only when kube.secrets */
    bool optional;      /* silently absent where the API server does not serve it */
    bool older;  /* the kind of the row before, in an older version: asked for when that is not served */
    bool gitops; /* only when kube.gitops */
    bool spare;  /* no gate waits for it; optional ones are so by themselves */
    bool custom; /* a resource of whose fields nothing is known: whatever looks secret is reduced */
    bool unkept; /* nothing is remembered of an object: see gets no entry, gone is not called */
    bool phases; /* it tells phases, and no objects: coverage names no kind */
    int page;    /* items of a list page */
    struct kube_extra *extra; /* of extra.c: what its row is, discovery says; NULL: a row of kinds.c */
    const char *replicas;     /* of replicas.c: "SERVICE[:PORT]"; nothing of this kind becomes a record */
    kube_see_fn *see;
    kube_gone_fn *gone;
    kube_tick_fn *tick; /* NULL: it holds nothing back */
};

extern const struct kube_kind kube_kinds[]; /* ended by source == NULL */

struct kube_view {
    const struct kube_scope *scope;
    const struct kube_kind *kind;
    struct kube_known known;
    unsigned generation; /* of the current list */
    bool listed_once;
    char skipped[KUBE_NAME_MAX]; /* name last said to be unreadable of those without a uid */
    size_t held;                 /* entries with something held back */
};

/* A list begins, from its first page. */
void kube_view_begin(struct kube_view *v);
/* An item of a list, or the object of ADDED and MODIFIED. -EBADMSG, -ENOMEM with the reason. */
int kube_view_see(struct kube_view *v, struct kube_sight *s, const json_t *object, struct err *e) MUST_CHECK;
/* DELETED. */
int kube_view_delete(struct kube_view *v, struct kube_sight *s, const json_t *object,
                     struct err *e) MUST_CHECK;
/* An object is there, and its state cannot be read: the others go on, this is said once. -ENOMEM, -EMSGSIZE;
 * -EBADMSG when the text does not even say its name. */
int kube_view_skip(struct kube_view *v, const struct kube_peek *p, const char *reason,
                   struct err *e) MUST_CHECK;
/* DELETED, of an object of which only this can be read. */
void kube_view_lost(struct kube_view *v, const struct kube_sight *s, const struct kube_peek *p);
/* The list is complete: what it did not hold is gone. */
void kube_view_end(struct kube_view *v, const struct kube_sight *s);
/* Each second: what the rate of an object held back is told when it may be. */
void kube_view_tick(struct kube_view *v, int64_t now_wall);
void kube_view_free(struct kube_view *v);

/* Reads and checks metadata. -EBADMSG. */
int kube_meta_read(const struct kube_scope *sc, const json_t *object, struct kube_meta *ret,
                   struct err *e) MUST_CHECK;

/* ---------------------------------------------------------------- tell.c: records */

struct kube_time {
    int64_t wall;
    uint64_t precision;
    int bound;  /* Pilotgate__TimeBound */
    int origin; /* Pilotgate__Origin */
};

/* A timestamp of the API, whole seconds; when text is no time: the moment of the sight, at most. */
struct kube_time kube_time_api(const char *text, const struct kube_sight *s);
struct kube_time kube_time_seen(const struct kube_sight *s);
/* The same of something that may have been so before, and not so in between: the API keeps the last
 * transition only. Watched, it is this one; found in a list, it was so at the latest then. */
struct kube_time kube_time_flip(const char *text, const struct kube_sight *s);

/* How many records of one subject may be told: KUBE_RATE_BURST at once, then one in KUBE_RATE_NS. */
#define KUBE_RATE_BURST 20
#define KUBE_RATE_NS (10 * 1000000000LL)
/* full: when the allowance will be whole again; 0 at first. True: it may be told, and counts. */
bool kube_rate_take(int64_t *full, int64_t now, int64_t each_ns, int burst);

/* Emits a phase. p carries kind, owner, reason, count; subject is made of kind and name. */
void kube_tell_phase(const struct kube_scope *sc, Pilotgate__Phase *p, const char *subject_kind,
                     const struct kube_meta *m, struct kube_time t);

/* Emits an object whose normal form changed against x->digest, and notes digest and name in x; nothing
 * when it did not. name, release: of the object as records call it. */
int kube_tell_object(const struct kube_scope *sc, const char *kind, const char *name,
                     const struct kube_sight *s, const struct kube_meta *m, const json_t *normal,
                     struct kube_entry *x, struct err *e) MUST_CHECK;
void kube_tell_deleted(const struct kube_scope *sc, const char *kind, const struct kube_sight *s,
                       const struct kube_entry *x);
void kube_tell_unreadable(const struct kube_scope *sc, const char *kind, const char *name,
                          const char *reason);

/* Nobody watched these sources ("deployments, services") from then until to_wall, and the API server's
 * history does not tell of it. from_boot: whose clock from_wall is; NULL: ours. */
void kube_tell_unwatched(const struct kube_scope *sc, const char *sources, int64_t from_wall,
                         const uint8_t *from_boot, int64_t to_wall);

/* ---------------------------------------------------------------- handlers */

/* pods.c, hooks.c, workloads.c, objects.c, releases.c, gitops.c, endpoints.c; each keeps what it said already
 * in x->extra, or in the entry. */
kube_see_fn kube_pod_see, kube_unscheduled_see, kube_job_see;
kube_tick_fn kube_pod_tick;
kube_see_fn kube_workload_see, kube_object_see, kube_namespace_see, kube_release_see, kube_gitops_see;
kube_see_fn kube_endpoints_see;
kube_gone_fn kube_pod_gone, kube_workload_gone, kube_object_gone, kube_release_gone, kube_gitops_gone;

/* The condition of this type in status.conditions, or NULL. */
const json_t *kube_condition(const json_t *object, const char *type);
/* "Deployment/web" of a pod whose ReplicaSet is "web-HASH"; else its controller; "" without one. */
void kube_pod_owner(const json_t *pod, char *out, size_t size);

/* hooks.c: which Helm hook an object is ("pre-install,pre-upgrade"), "" for none. */
const char *kube_hook_of(const json_t *object);
/* Of a hook that is a bare pod; said: bits that the caller keeps. */
void kube_hook_pod(const struct kube_scope *sc, const struct kube_sight *s, const struct kube_meta *m,
                   const json_t *pod, unsigned *said);

/* ---------------------------------------------------------------- events.c: Events of pods */

#define KUBE_EVENTS_MAX 2048 /* (pod, container, reason) that are remembered */
struct kube_events {
    struct said_event *items; /* owned */
    size_t n, cap;
    uint64_t uses;
    int64_t full; /* of the rate of them all */
};
kube_see_fn kube_event_see;
/* Each second: tells counts that rose, and forgets what the API has dropped. */
void kube_events_tick(const struct kube_scope *sc, int64_t now_wall);
void kube_events_free(struct kube_events *ev);

/* ---------------------------------------------------------------- fleet.c: how many agents there should be
 */

#define KUBE_DAEMONS_MAX 64 /* DaemonSets of a namespace that are kept */
struct kube_fleet {
    char pod[KUBE_NAME_MAX];   /* this agent's own */
    char owner[KUBE_NAME_MAX]; /* uid of the DaemonSet that owns it; "": none, or not known yet */
    struct kube_daemons {
        char uid[KUBE_NAME_MAX];
        uint32_t desired; /* 0: not known */
    } sets[KUBE_DAEMONS_MAX];
    size_t n;
};

/* pod: name of the own pod; NULL or "": the host's name. */
void kube_fleet_init(struct kube_fleet *f, const char *pod);
/* f may be NULL. A pod, a DaemonSet as seen; a DaemonSet that is gone. */
void kube_fleet_pod(struct kube_fleet *f, const struct kube_meta *m, const json_t *pod);
void kube_fleet_daemons(struct kube_fleet *f, const struct kube_meta *m, const json_t *set);
void kube_fleet_gone(struct kube_fleet *f, const char *uid);
/* DaemonSets are no longer watched. */
void kube_fleet_forget(struct kube_fleet *f);
/* 0: not known. */
uint32_t kube_fleet_expected(const struct kube_fleet *f);

/* ---------------------------------------------------------------- replicas.c: addresses of a Service */

/* What is watched for one `replicas` of the configuration: a kind of its own. */
struct kube_service {
    struct kube_kind kind;
    char source[KUBE_NAME_MAX + 32]; /* "endpoints/NAME" */
    char selector[KUBE_NAME_MAX + 32];
};

/* One for each different `replicas` among the targets; returns how many, at most CONFIG_SERVICES_MAX. */
size_t kube_services_find(const struct config *c, struct kube_service ret[CONFIG_SERVICES_MAX]);

/* What an Endpoints object says of the wanted "SERVICE[:PORT]". list holds REPLICAS_MAX. True with n,
 * left_out and list; false with the reason in `reason`. Pure. */
bool kube_replicas_read(const char *wanted, const json_t *endpoints, struct replica *list,
                        struct replicas *ret, char reason[KUBE_REASON_MAX]);
/* Says that the replicas cannot be read. */
void kube_replicas_unknown(const struct kube_scope *sc, const struct kube_kind *kind, const char *reason);
/* Says that there is no such Service. */
void kube_replicas_absent(const struct kube_scope *sc, const struct kube_kind *kind);

/* ---------------------------------------------------------------- release.c: Helm's release Secrets */

struct kube_release {
    char name[KUBE_NAME_MAX];
    int64_t revision;
    char status[32];
    int64_t last_deployed; /* the START of the operation; 0: unknown */
    json_t *normal;        /* owned; see release.c for its form */
};

/* data: the Secret's data.release as the API gives it. -EBADMSG with the reason, -EMSGSIZE, -ENOMEM. */
int kube_release_decode(const struct norm_key *key, const char *data, size_t len, struct kube_release *ret,
                        struct err *e) MUST_CHECK;
void kube_release_free(struct kube_release *r);

/* ---------------------------------------------------------------- source.c: one collection, over HTTP */

/* Up to where the collector had everything of a source: from there another agent watches on. */
struct kube_position {
    char source[KUBE_NAME_MAX + 32];
    char rv[KUBE_RV_MAX];
    int64_t wall;                  /* it was surely current then, by the clock of the agent with ... */
    uint8_t boot[WIRE_BOOT_BYTES]; /* ... this boot */
    bool clock_known;              /* the collector's clock answered that agent ... */
    int64_t offset_ns;             /* ... this, give or take ... */
    uint64_t bound_ns;
};

/* How long is waited for what. */
struct kube_times {
    int64_t answer; /* for the first byte of an answer to a watch */
    int64_t silent; /* for a byte of a watch under way */
    int64_t synced; /* for a byte of a streaming list, until its end */
};

struct kube_source {
    const struct kube_kind *kind;
    const struct kube_kind *newest;  /* of an optional kind: its first row */
    const struct kube_kind *refused; /* the row whose version turned out not to have it; NULL: none */
    bool absent;                     /* an optional kind that is not served, or not known to be */
    bool unserved;                   /* of these two, the former */
    struct kube_http *http;
    CURLM *multi;
    const char *node;
    struct kube_times times;
    bool disabled;                  /* by configuration; reason says so */
    const struct kube_scope *scope; /* while it resumes, the view has a muted one */
    struct kube_scope muted;
    bool resuming;  /* the list at the position `from` is due or under way */
    bool unresumed; /* it could not be had: what happened since `from` was not watched */
    struct kube_position from;
    int64_t since_wall; /* its moment, on our clock */
    char error[CURL_ERROR_SIZE];

    struct kube_watch watch;
    struct kube_view view;
    CURL *easy; /* NULL: nothing under way */

    struct kube_items items;   /* of a list page */
    struct kube_frames frames; /* of a watch */
    struct buf body;           /* of a polled object or an error */
    char rv[KUBE_RV_MAX];
    char *more; /* continue token of the next page, escaped; NULL: first page */
    int page;   /* items asked for */
    int pages;
    unsigned seconds; /* that the watch under way is to live */

    bool established;      /* the watch was answered with 200 and has not ended */
    bool plain_list;       /* the next list is no streaming one: the last was not told to its end */
    bool marks;            /* bookmarks come: a quiet watch may live long */
    unsigned short_lives;  /* watches that shall be short although bookmarks came */
    bool doubted;          /* a watch was silent too long: a status alone proves nothing any more */
    bool gap;              /* what happened since previous_wall can no longer be watched */
    int64_t started_mono;  /* when the request under way began */
    int64_t started_wall;  /* the same */
    int64_t answered_mono; /* when the watch was established, or its streaming list was complete */
    int64_t byte_mono;     /* when the last byte came */
    int64_t byte_wall;     /* the same */
    int64_t list_wall;     /* when the first page was asked for: what a list says is at least that new */
    int64_t list_to_wall;  /* when its first byte came: its snapshot is no newer */
    int64_t previous_wall; /* last moment at which we surely were current; stays behind while a watch catches
                              up */
    int64_t covered_wall;  /* what coverage says */
    enum kube_event lost;  /* KUBE_EVENTS: nothing; else why the transfer is being ended from inside */
    bool ok;
    char reason[KUBE_REASON_MAX];
    char told[KUBE_REASON_MAX]; /* reason of the last OP_UNREADABLE */
    int64_t denied_mono;        /* when a 403 first came in a row of them; 0: none */
};

void kube_source_init(struct kube_source *s, const struct kube_kind *kind, const struct kube_scope *sc,
                      struct kube_http *h, CURLM *multi, const char *node);
void kube_source_free(struct kube_source *s);
/* Before the first run: goes on where another agent's work ended. It lists the state as of the position and
 * tells nothing of it, since that was told; then it watches from there, and each event finds what its teller
 * would have known. since_wall: the position's moment on our clock, at the earliest. Where the API server no
 * longer has that state, the source lists as usual, and what nobody watched is declared. */
void kube_source_resume(struct kube_source *s, const struct kube_position *p, int64_t since_wall);
/* The list at the position is complete, with this resourceVersion: false when it is another list. */
bool kube_source_resumed(struct kube_source *s, const char *rv);
/* It cannot be had: lists as usual, and declares what nobody watched. */
void kube_source_give_up_resuming(struct kube_source *s);
/* Up to where this source has told everything; false: there is no such position, or none to watch from. */
bool kube_source_position(const struct kube_source *s, struct kube_position *ret);
/* Says once that the configuration keeps this source from being read. */
void kube_source_disable(struct kube_source *s, const char *reason);
/* Begins the transfer that is due, if any, and ends one that has been silent too long; returns the ns until
 * something is due. */
int64_t kube_source_run(struct kube_source *s, int64_t now_mono);
/* The transfer ended. */
void kube_source_done(struct kube_source *s, CURLcode code);
/* One entry of coverage without its kind; strings are borrowed until the next call. Not to be called while it
 * is absent, and not known to be unserved. */
void kube_source_cover(struct kube_source *s, int64_t now_wall, Pilotgate__Coverage__Source *ret);
/* The kind of the objects that it tells of, as records spell it; "" when it tells of none. */
const char *kube_source_kind(const struct kube_source *s);
/* "/api/v1/namespaces/NS/pods?limit=1", malloc'ed; query without '?', may be "". */
char *kube_kind_path(const struct kube_kind *kind, const char *ns, const char *node, const char *query);
/* "RBAC: allow list, watch on pods in namespace NS for this service account" */
void kube_kind_advice(const struct kube_kind *kind, const char *ns, char out[KUBE_REASON_MAX]);

/* Shared with take.c and optional.c. */
void kube_source_ok(struct kube_source *s);
void kube_source_not_ok(struct kube_source *s, const char *reason);
/* Tells the reason once, and again when it changes. */
void kube_source_unreadable(struct kube_source *s);
void kube_source_step(struct kube_source *s, enum kube_event ev, int64_t retry_after);

/* ---------------------------------------------------------------- cover.c: the sources of a coverage record
 */

#define KUBE_COVER_FULL_S 10 /* seconds from one full record to the next, unless something changes */

struct kube_cover {
    unsigned since;  /* records after the last full one */
    uint64_t states; /* which source is read, unread or unserved, as told last */
};

/* What this second's record says of the sources; returns how many entries. items and list hold n. */
size_t kube_cover_sources(struct kube_cover *c, struct kube_source *sources, size_t n, int64_t now_wall,
                          Pilotgate__Coverage__Source *items, Pilotgate__Coverage__Source **list);

/* ---------------------------------------------------------------- optional.c: kinds that need not be served
 */

/* Before a list: which version of an optional kind is listed. False: none is served, or it is not known yet;
 * due is set, and it is asked again then. */
bool kube_source_choose(struct kube_source *s, int64_t now_mono);

/* ---------------------------------------------------------------- take.c: what arrives */

/* Bytes of an answer; what they say ends the transfer by a negative result, and s->lost says why. */
int kube_take_list(struct kube_source *s, const char *data, size_t len) MUST_CHECK;
int kube_take_watch(struct kube_source *s, const char *data, size_t len) MUST_CHECK;
/* The last byte of a watch shows that the server lives, and what was told until then is all there was. */
void kube_take_current(struct kube_source *s);
/* A page, a polled object is there from its first to its last byte. */
enum kube_event kube_take_page_end(struct kube_source *s);
enum kube_event kube_take_polled(struct kube_source *s);
/* Where there is a gap, says that it goes from the last moment of the old picture to that one. */
void kube_take_gap(struct kube_source *s, int64_t to_wall);
/* A Namespace that the API says does not exist: what was known of it is gone. */
enum kube_event kube_take_absence(struct kube_source *s);
