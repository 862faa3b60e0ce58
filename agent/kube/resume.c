/* resume: a source goes on where another agent's work ended, and says where its own has come. See
 * kube_source_resume in kube_priv.h.
 *
 * The list at the position is `resourceVersion=RV&resourceVersionMatch=Exact` (Kubernetes API concepts,
 * "Semantics for get and list": from 1.19 on; the answer's metadata.resourceVersion is then RV, and 410 says
 * that the state is gone). Its objects go through the same handlers as ever, muted: so that what is known of
 * each, digests and phases that were said, is what the predecessor knew. Were it another list, an event would
 * be taken for one that was seen already, and a deletion of an object that was never seen would be nobody's.
 */
#include <stdio.h>
#include <string.h>

#include "kube/kube_priv.h"

static void drop(void *ctx, Pilotgate__Record *record) {
    (void)ctx;
    (void)record;
}

static const struct emit nobody = {.fn = drop};

void kube_source_resume(struct kube_source *s, const struct kube_position *p, int64_t since_wall) {
    s->from = *p;
    s->resuming = true;
    s->since_wall = since_wall;
    s->muted = *s->scope;
    s->muted.emit = &nobody;
    s->view.scope = &s->muted;
}

bool kube_source_resumed(struct kube_source *s, const char *rv) {
    if (strcmp(rv, s->from.rv) != 0)
        return false;
    s->resuming = false;
    s->view.scope = s->scope;
    s->previous_wall = s->since_wall;
    s->covered_wall = s->since_wall;
    return true;
}

void kube_source_give_up_resuming(struct kube_source *s) {
    const struct kube_kind *kind = s->kind;
    kube_view_free(&s->view);
    s->view = (struct kube_view){.scope = s->scope, .kind = kind};
    s->resuming = false;
    s->unresumed = s->gap = true;
    s->rv[0] = 0;
}

bool kube_source_position(const struct kube_source *s, struct kube_position *ret) {
    bool complete = s->watch.state == KUBE_WATCH || s->watch.state == KUBE_PAUSE_WATCH;
    if (s->disabled || !complete || s->kind->poll || s->kind->replicas || !*s->rv || s->previous_wall <= 0)
        return false;
    *ret = (struct kube_position){.wall = s->previous_wall};
    (void)snprintf(ret->source, sizeof ret->source, "%s", s->kind->source);
    (void)snprintf(ret->rv, sizeof ret->rv, "%s", s->rv);
    return true;
}
