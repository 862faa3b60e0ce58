/* served: which API groups and versions the server serves, for the kinds that need not be there. In the
 * source's one thread. */
#pragma once

#include "kube/kube_priv.h"

struct kube_served {
    struct kube_http *http;
    CURLM *multi;
    CURL *easy; /* NULL: nothing under way */
    struct buf body;
    int64_t due_mono;   /* not asked before */
    bool wanted;        /* some source waits for an answer, or for a newer one */
    bool known;         /* there is an answer ... */
    int64_t known_mono; /* ... of this moment, */
    int64_t known_wall; /* on both clocks */
    char *list; /* of it: lines "/apis/GROUP/VERSION", each group's preferred one first; NULL: it is not told
                   to us */
    unsigned round; /* answers that there were; never 0 when there is one */
};

void kube_served_init(struct kube_served *s, struct kube_http *h, CURLM *multi);
void kube_served_free(struct kube_served *s);
/* False: there is no answer yet. Asking makes kube_served_run ask when there is none or it is old. */
bool kube_served_known(struct kube_served *s, int64_t now_mono);
/* The newest version of an optional kind that is served, from this row on; NULL: none is. */
const struct kube_kind *kube_served_choose(const struct kube_served *s, const struct kube_kind *from);
/* The next asking is not to use the answer that there is. */
void kube_served_expire(struct kube_served *s);
/* "/apis/GROUP/VERSION" of the group's nth version, 0 is the preferred one; false: it has no more. */
bool kube_served_version(const struct kube_served *s, const char *group, unsigned nth, char *out,
                         size_t size);
/* Begins the transfer if one is due; ns until something is due. Its end is told by kube_served_done, which is
 * to be called for the transfer `easy`. */
int64_t kube_served_run(struct kube_served *s, int64_t now_mono);
void kube_served_done(struct kube_served *s, CURLcode code, int64_t now_mono);
/* Lines of an APIGroupList, malloc'ed. -EBADMSG, -ENOMEM. Pure. */
int kube_served_read(const char *text, size_t len, char **ret, struct err *e) MUST_CHECK;
